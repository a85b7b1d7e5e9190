import math
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from headctl_envs.dogfight.config import TACTICAL14
from PIL import Image

from headctl.run.checkpoint import list_checkpoints, load_checkpoint
from headctl.run.config import parse_config
from headctl.run.film import FRAMES_MAX, Film
from headctl.run.folder import RunFolderError, create_run_folder
from headctl.run.replay import ReplayError, record
from headctl.run.report_view import make_console
from headctl.run.session import train
from tests.helpers.acmi_reader import read_acmi

TINY = """
total_steps: 600
game: {num_games: 16, options: {time_limit_s: 3, start: in_zone, gun_half_angle_deg: 5, missiles: 0, flares: 0}}
policy: {hidden: [16]}
ppo: {rollout_steps: 16, epochs: 1, minibatch_size: 128}
evaluation: {games: 2}
run: {tensorboard: false}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = parse_config(TINY)
    folder = tmp_path_factory.mktemp("replay") / "tiny"
    create_run_folder(folder, config)
    assert train(config, folder, make_console(), resume=False) == 0
    return folder


def test_every_head_is_on_the_aircraft_with_entropy_and_alpha(run, tmp_path):
    told = record(run, seed=1, acmi=tmp_path / "f.acmi")
    assert told.files == [tmp_path / "f.acmi"]
    assert told.summary.startswith(f"{run} (red) against itself, seed 1: ")
    controller = load_checkpoint(list_checkpoints(run)[-1])["learner"]["controller"]
    alphas = dict(zip(controller["heads"], controller["alpha"].tolist(), strict=True))
    header, frames, _ = read_acmi(tmp_path / "f.acmi")
    assert header["Title"] == "tiny against tiny, seed 1"
    for _, objects in frames[:-1]:
        assert {known["Pilot"] for known in objects.values()} == {"tiny"}
        for known in objects.values():
            for head in ("maneuver", "weapon", "params"):
                name = head.capitalize()
                assert float(known[f"{name}Alpha"]) == pytest.approx(alphas[head], rel=1e-4)
                assert math.isfinite(float(known[f"{name}Entropy"]))
            assert known["Maneuver"] in TACTICAL14
            assert 0.0 <= float(known["ManeuverEntropy"]) <= math.log(len(TACTICAL14)) + 1e-4
            assert 0.0 <= float(known["WeaponEntropy"]) <= math.log(2) + 1e-4
            assert len(known["Params"].split()) == 3
            assert known["Label"] == f"{known['Maneuver']} {known['Weapon']}"


@pytest.mark.parametrize("team", [1, 2])
def test_fights_with_all_weapons_are_replayed_the_same_twice(team, tmp_path):
    config = parse_config(
        TINY.replace(", gun_half_angle_deg: 5, missiles: 0, flares: 0", f", team_size: {team}"), ["total_steps=300"]
    )
    folder = tmp_path / "full"
    create_run_folder(folder, config)
    assert train(config, folder, make_console(), resume=False) == 0
    for name in "ab":
        record(folder, seed=2, acmi=tmp_path / f"{name}.txt.acmi")
    assert (tmp_path / "a.txt.acmi").read_bytes() == (tmp_path / "b.txt.acmi").read_bytes()
    _, frames, _ = read_acmi(tmp_path / "a.txt.acmi")
    flying = [[known for known in objects.values() if "CallSign" in known] for _, objects in frames[:-1]]
    assert all(len(aircraft) <= 2 * team for aircraft in flying)
    assert len(flying[0]) == 2 * team
    for known in flying[0]:
        assert known["Weapon"] in ("hold", "gun", "missile", "flare")
        # All four weapons have an entropy together: more than two may be legal.
        assert 0.0 <= float(known["WeaponEntropy"]) <= math.log(4) + 1e-4


def test_the_recorded_decisions_are_those_that_were_flown(run, tmp_path):
    """Whoever decides to fire while the gun is legal has fewer rounds in the next frame, and nobody else has."""
    record(run, seed=2, acmi=tmp_path / "f.acmi", against="pursuit")
    _, frames, _ = read_acmi(tmp_path / "f.acmi")
    shots = 0
    for (_, before), (_, after) in pairwise(frames):
        for number in before.keys() & after.keys():
            fired = float(after[number]["Rounds"]) < float(before[number]["Rounds"])
            assert fired == (before[number]["Weapon"] == "gun") == (after[number]["TriggerPressed"] == "1")
            shots += fired
    assert shots > 0


def test_sides_and_opponents(run, tmp_path):
    told = record(run, against="pursuit", side="blue", acmi=tmp_path / "f.zip.acmi")
    assert f"{run} (blue) against pursuit, seed 0: " in told.summary
    _, frames, _ = read_acmi(tmp_path / "f.zip.acmi")
    pilots = {known["Coalition"]: known for known in frames[0][1].values()}
    assert (pilots["Red"]["Pilot"], pilots["Blue"]["Pilot"]) == ("pursuit", "tiny")
    assert "ManeuverAlpha" not in pilots["Red"]
    assert "ManeuverAlpha" in pilots["Blue"]
    assert "against tiny, seed 0" in record(run, against=str(run)).summary


def test_one_seed_gives_one_file_and_touches_no_global_stream(run, tmp_path):
    before = torch.random.get_rng_state()
    for name in ("a", "b"):
        record(run, seed=5, acmi=tmp_path / f"{name}.acmi")
    record(run, seed=6, acmi=tmp_path / "c.acmi")
    assert torch.equal(before, torch.random.get_rng_state())
    files = [(tmp_path / f"{name}.acmi").read_bytes() for name in "abc"]
    assert files[0] == files[1] != files[2].replace(b"seed 6", b"seed 5")


def test_gif(run, tmp_path):
    record(run, seed=1, acmi=tmp_path / "f.acmi", gif=tmp_path / "f.gif")
    with Image.open(tmp_path / "f.gif") as picture:
        assert picture.size == (1000, 720)
        assert picture.n_frames == len(read_acmi(tmp_path / "f.acmi")[1])
        durations = []
        for index in range(picture.n_frames):
            picture.seek(index)
            durations.append(picture.info["duration"])
    assert set(durations[:-1]) == {100}
    assert durations[-1] == 3000


def test_mp4(run, tmp_path):
    """The film has every moment, stands at the end, and shows what the GIF shows."""
    import imageio_ffmpeg

    record(run, seed=1, acmi=tmp_path / "f.acmi", gif=tmp_path / "f.gif", mp4=tmp_path / "f.mp4")
    record(run, seed=1, mp4=tmp_path / "again.mp4")
    assert (tmp_path / "f.mp4").read_bytes() == (tmp_path / "again.mp4").read_bytes()
    moments = len(read_acmi(tmp_path / "f.acmi")[1])
    stream = imageio_ffmpeg.read_frames(str(tmp_path / "f.mp4"))
    known = next(stream)
    assert (known["size"], known["fps"], known["codec"]) == ((1000, 720), 10.0, "h264")
    frames = [np.frombuffer(frame, np.uint8).reshape(720, 1000, 3).astype(int) for frame in stream]
    assert len(frames) == moments - 1 + 30  # the last picture stands for 3 s
    with Image.open(tmp_path / "f.gif") as picture:
        for index in (0, moments // 2, moments - 1):
            picture.seek(index)
            shown = np.asarray(picture.convert("RGB")).astype(int)
            assert np.abs(shown - frames[index]).mean() < 4.0
        assert np.abs(shown - frames[0]).mean() > 0.5  # it moves


def test_mp4_without_the_encoder_is_refused_before_the_game(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ReplayError, match=r"--mp4 needs imageio-ffmpeg .*pip install 'headctl\[render\]'"):
        record(run, mp4=tmp_path / "f.mp4", acmi=tmp_path / "f.acmi")
    assert list(tmp_path.iterdir()) == []


def test_a_long_film_leaves_pictures_out(tmp_path):
    from headctl_envs.dogfight.config import DogfightConfig
    from headctl_envs.dogfight.engine import DogfightEngine
    from headctl_envs.dogfight.snapshots import snapshot

    engine = DogfightEngine(DogfightConfig(start="head_on", start_range_min_m=100.0))
    engine.reset(0)
    film = Film(engine.config)
    with pytest.raises(ValueError, match="at least one moment"):
        film.write(tmp_path / "none.gif")
    now = snapshot(engine)
    for step in range(FRAMES_MAX + 2):
        film.add(now._replace(time_s=0.2 * step), {})
    film.write(tmp_path / "f.gif")
    with Image.open(tmp_path / "f.gif") as picture:
        assert picture.n_frames == 152  # 0, 2, ... 300 and the last one, 301


def test_bad_input_is_told_before_anything_is_written(run, tmp_path):
    with pytest.raises(ReplayError, match=r"--acmi .*f\.txt: the name must end in \.acmi"):
        record(run, acmi=tmp_path / "f.txt")
    with pytest.raises(ReplayError, match=r"--gif .*f\.png: the name must end in \.gif"):
        record(run, gif=tmp_path / "f.png")
    with pytest.raises(ReplayError, match="there is no folder"):
        record(run, acmi=tmp_path / "nowhere" / "f.acmi")
    with pytest.raises(RunFolderError, match=r"unknown opponent: 'persuit'\. Did you mean 'pursuit'"):
        record(run, against="persuit", acmi=tmp_path / "f.acmi")
    with pytest.raises(RunFolderError, match="no such run folder"):
        record(tmp_path / "none", acmi=tmp_path / "f.acmi")
    assert list(tmp_path.iterdir()) == []
