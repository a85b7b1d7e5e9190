"""Which checkpoint counts: manifests, the newest whole one, milestones, older formats."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from headctl.run.checkpoint import (
    FORMAT,
    CheckpointError,
    OtherFormatError,
    checkpoint_path,
    list_checkpoints,
    load_checkpoint,
    load_snapshot,
    newest_usable,
    read_checkpoint,
    save_checkpoint,
    save_snapshot,
    set_aside,
    snapshot_key,
    steps_of,
)
from headctl.run.config import load_config
from headctl.run.manifest import FileMark, manifest_path, read_manifest
from headctl.run.scheme import check_optimizer, check_scheme
from headctl.run.trainer import Trainer
from headctl.selfplay.league import Snapshot

STORED = Path(__file__).parent / "stored" / "format1"
STATE = {"weights": torch.arange(3.0)}


def saved(run_dir, steps, **options):
    return save_checkpoint(run_dir, steps, STATE, keep=options.pop("keep", 9), **options)


def manifest_of(run_dir, path):
    return json.loads(manifest_path(run_dir, path).read_text())


def test_the_manifest_names_every_file_with_size_and_hash(tmp_path):
    mark = save_snapshot(tmp_path, Snapshot(7, {"w": torch.ones(2)}))
    path = saved(tmp_path, 50, snapshots={snapshot_key(7): mark})
    marks = read_manifest(tmp_path, path)
    assert set(marks) == {"checkpoints/step_000000000050.pt", "league/000000000007.pt"}
    for name, entry in marks.items():
        assert entry == FileMark.of((tmp_path / name).read_bytes())
    content = manifest_of(tmp_path, path)
    assert content["checkpoint"] == path.name
    assert content["manifest"] == 1


def test_the_manifest_is_written_last(tmp_path, monkeypatch):
    from headctl.run import checkpoint

    def never(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "write_manifest", never)
    with pytest.raises(KeyboardInterrupt):
        saved(tmp_path, 50)
    with pytest.raises(CheckpointError, match=r"has no manifest .*never finished"):
        load_checkpoint(checkpoint_path(tmp_path, 50))


def newest(run_dir):
    told = []
    return newest_usable(run_dir, lambda found: found.agent_steps, told.append), told


def damage(run_dir, path, kind):
    data = path.read_bytes()
    if kind == "bit":
        path.write_bytes(data[:-300] + bytes([data[-300] ^ 1]) + data[-299:])
    elif kind == "content":  # a whole file of the right form with other numbers
        torch.save(torch.load(path, weights_only=True) | {"state": {"weights": torch.zeros(3)}}, path)
    elif kind == "manifest":
        manifest_path(run_dir, path).write_text("{")
    elif kind == "unfinished":
        manifest_path(run_dir, path).unlink()
    elif kind == "renamed":
        older = list_checkpoints(run_dir)[0]
        path.write_bytes(older.read_bytes())
        text = manifest_path(run_dir, older).read_text().replace(older.name, path.name)
        manifest_path(run_dir, path).write_text(text)
    elif kind == "huge number":
        manifest_path(run_dir, path).write_text(json.dumps({"manifest": 1, "files": {"../../x": {}}}))
    elif kind == "gone":
        path.unlink()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("bit", "damaged"),
        ("content", "is not what its manifest describes"),
        ("manifest", "is damaged"),
        ("unfinished", "never finished"),
        ("renamed", "was taken at 10 agent-steps"),
        ("huge number", "is damaged"),
        ("gone", "no such file"),
    ],
)
def test_the_newest_whole_checkpoint_is_used_and_the_user_is_told(tmp_path, kind, words):
    for steps in (10, 20, 30):
        saved(tmp_path, steps)
    assert newest(tmp_path) == (30, [])
    path = checkpoint_path(tmp_path, 30)
    damage(tmp_path, path, kind)
    used, told = newest(tmp_path)
    assert used == 20
    assert len(told) == 1
    assert words in told[0]
    assert "step_000000000020.pt" in told[0]
    # What was passed over is neither met again nor counted among those to keep.
    set_aside(tmp_path, newer_than=20)
    assert newest(tmp_path) == (20, [])
    save_checkpoint(tmp_path, 25, STATE, keep=1)
    assert [steps_of(path) for path in list_checkpoints(tmp_path)] == [25]


def test_without_a_whole_checkpoint_the_newest_problem_is_named(tmp_path):
    for steps in (10, 20):
        damage(tmp_path, saved(tmp_path, steps), "bit")
    with pytest.raises(CheckpointError, match=r"none of its 2 checkpoints can be used.*step_000000000020"):
        newest(tmp_path)


def test_a_newer_format_is_refused_and_not_passed_over(tmp_path):
    saved(tmp_path, 10)
    path = saved(tmp_path, 20)
    torch.save({"format": FORMAT + 1, "headctl": "9.1", "agent_steps": 20, "state": {}}, path)
    said = rf"format {FORMAT + 1}, written by headctl 9.1; .*Use the version that wrote it"
    with pytest.raises(OtherFormatError, match=said):
        newest(tmp_path)


def test_older_checkpoints_are_kept_at_every_doubling(tmp_path):
    for steps in range(0, 2100, 50):
        save_checkpoint(tmp_path, steps, STATE, keep=2, milestones=100)
        kept = [steps_of(path) for path in list_checkpoints(tmp_path)]
        assert kept[-1] == steps
        assert len(kept) <= 2 + 5
    assert kept == [100, 200, 400, 800, 1600, 2000, 2050]
    manifests = sorted(path.stem for path in (tmp_path / "manifests").iterdir())
    assert manifests == [path.stem for path in list_checkpoints(tmp_path)]


def test_the_checkpoint_of_the_beginning_makes_way(tmp_path):
    saved(tmp_path, 0)
    assert [steps_of(path) for path in list_checkpoints(tmp_path)] == [0]
    saved(tmp_path, 10)
    assert [steps_of(path) for path in list_checkpoints(tmp_path)] == [10]


def test_foreign_names_are_no_checkpoints(tmp_path):
    path = saved(tmp_path, 10)
    for name in ("step_x.pt", "step_-00000000001.pt", "step_00000000001e.pt", "step_000000000099.pt.damaged"):
        shutil.copy(path, path.with_name(name))
    assert list_checkpoints(tmp_path) == [path]


def test_links_that_lead_out_are_not_followed(tmp_path):
    run, other = tmp_path / "run", tmp_path / "other"
    path = saved(run, 10)
    shutil.copytree(run, other)
    path.unlink()
    path.symlink_to(other / "checkpoints" / path.name)
    with pytest.raises(CheckpointError, match="leads out of the run folder"):
        load_checkpoint(path)
    save_snapshot(other, Snapshot(3, {"w": torch.ones(1)}))
    (run / "league").symlink_to(other / "league")
    with pytest.raises(CheckpointError, match="leads out of the run folder"):
        load_snapshot(run, 3)


class Large:
    def __reduce__(self):
        return bytearray, (10**13,)


def test_names_that_no_checkpoint_needs_are_refused_before_anything_is_made(tmp_path):
    path = saved(tmp_path, 10)
    torch.save({"format": 2, "agent_steps": 10, "state": {"x": Large.__new__(Large)}}, path)
    with pytest.raises(CheckpointError, match=r"it names builtins\.bytearray|__builtin__\.bytearray"):
        load_checkpoint(path)


# Schemes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"a": torch.zeros(1), "n": 1, "l": [1, 2]}, r"a: is a float32 tensor of shape \[1\], expected .*\[2\]"),
        ({"a": torch.zeros(2).double(), "n": 1, "l": [1, 2]}, "a: is a float64 tensor"),
        ({"a": 3, "n": 1, "l": [1, 2]}, "a: is int, expected a tensor"),
        ({"a": torch.zeros(2), "n": "1", "l": [1, 2]}, "n: is str, expected int"),
        ({"a": torch.zeros(2), "n": True, "l": [1, 2]}, "n: is bool, expected int"),
        ({"a": torch.zeros(2), "n": 1, "l": [1]}, "l: has 1 entries, expected 2"),
        ({"a": torch.zeros(2), "n": 1, "l": 4}, "l: is int, expected a list"),
        ({"a": torch.zeros(2), "n": 1}, "l: is missing"),
        ({"a": torch.zeros(2), "n": 1, "l": [1, 2], "x": 0}, "x: nothing of this name is known"),
        ([1], "the state: is list"),
    ],
)
def test_a_state_of_another_scheme_is_refused_before_anything_is_copied(state, words):
    like = {"a": torch.ones(2), "n": 5, "l": [0, 0]}
    check_scheme({"a": torch.zeros(2), "n": 1.5, "l": [1, 2]}, like)
    with pytest.raises((ValueError, TypeError), match=words):
        check_scheme(state, like)


def test_weights_that_are_no_numbers_are_refused():
    like = {"learner": {"policy": {"w": torch.ones(2)}}, "collector": {"observation": torch.ones(2)}}
    nan = torch.tensor([1.0, float("nan")])
    check_scheme({"learner": {"policy": {"w": torch.ones(2)}}, "collector": {"observation": nan}}, like)
    with pytest.raises(ValueError, match=r"learner\.policy\.w: holds NaN"):
        check_scheme({"learner": {"policy": {"w": nan}}, "collector": {"observation": nan}}, like)


def test_what_an_optimiser_remembers_belongs_to_its_parameters():
    parameters = [torch.ones(3, 2)]
    right = {"step": torch.tensor(1.0), "exp_avg": torch.zeros(3, 2), "exp_avg_sq": torch.zeros(3, 2)}
    mine = {"state": {}, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "params": [0]}]}
    groups = [{"lr": 3e-4, "betas": [0.9, 0.999], "params": [0]}]

    def remembers(state, groups=groups):
        check_optimizer({"state": state, "param_groups": groups}, mine, parameters)

    remembers({})
    remembers({0: right})
    wrong = (
        {1: right},
        {"0": right},
        {0: 5},
        {0: {}},
        {0: right | {"more": torch.zeros(3, 2)}},
        {0: right | {"exp_avg": torch.zeros(2)}},
        {0: right | {"exp_avg": torch.tensor(0.0)}},
        {0: right | {"exp_avg": torch.zeros(3, 2).half()}},
        {0: right | {"exp_avg_sq": torch.full((3, 2), float("nan"))}},
        {0: right | {"exp_avg_sq": torch.full((3, 2), -1.0)}},
        {0: right | {"step": torch.tensor(-1.0)}},
        {0: right | {"step": 3}},
    )
    for state in wrong:
        with pytest.raises((ValueError, TypeError), match=r"learner\.optimizer\.state"):
            remembers(state)
    for strange in ([], [groups[0] | {"betas": [5.0, 0.999]}], [{"lr": 1.0}]):
        with pytest.raises((ValueError, LookupError)):
            remembers({}, strange)


# Older formats ----------------------------------------------------------------------------------------------------


def test_a_stored_checkpoint_of_format_1_is_migrated_and_goes_on(tmp_path):
    run = tmp_path / "run"
    shutil.copytree(STORED, run)
    config = load_config(run / "config.yaml")
    stored = torch.load(run / "checkpoints" / "step_000000000264.pt", weights_only=True)
    assert stored["format"] == 1
    trainer = Trainer(config, run, resume=True)
    assert trainer.agent_steps == 264
    assert trainer.iteration == stored["state"]["iteration"] == 6
    for name, weight in stored["state"]["learner"]["policy"].items():
        assert torch.equal(trainer.policy.state_dict()[name], weight), name
    assert [snapshot.agent_steps for snapshot in trainer.pool.snapshots] == stored["state"]["pool"]["snapshots"]
    records = list(trainer.iterations())
    assert records[0]["iteration"] == 7
    newer = read_checkpoint(list_checkpoints(run)[-1])
    assert newer.format == FORMAT
    assert newer.agent_steps == trainer.agent_steps >= 400
    assert Trainer(config, run, resume=True).agent_steps == trainer.agent_steps
