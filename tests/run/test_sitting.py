"""What a training does when its surroundings break: disk, folder, clock, signals, numbers, the game itself."""

import json
import os
import shutil
import signal
import time

import pytest

from headctl.run import durable
from headctl.run.checkpoint import CheckpointError, list_checkpoints, steps_of
from headctl.run.config import load_config
from headctl.run.diagnosis import RunFailedError
from headctl.run.folder import RunFolderError, check_run_folder, create_run_folder
from headctl.run.lines import read_metrics
from headctl.run.lock import RunLock, RunLockError, is_held
from headctl.run.records import MetricsWriter
from headctl.run.report import RunReader
from headctl.run.session import train
from headctl.run.sitting import Sitting
from tests.faults.broken_games import Broken, Raises
from tests.faults.runs import begin_and_train, config_of, differing_runs, quiet_console, records_of

STEPS = "total_steps=700"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    assert begin_and_train(config_of(STEPS), run)[0] == 0
    return run


def diary(run, name):
    return [json.loads(line) for line in (run / name).read_text(encoding="utf-8").splitlines()]


def at_iteration(monkeypatch, number, act):
    """Lets something happen right after a record was written."""
    write = MetricsWriter.write

    def write_and_act(self, record):
        write(self, record)
        if record["iteration"] == number:
            act()

    monkeypatch.setattr(MetricsWriter, "write", write_and_act)


# Signals and starts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_either_signal_finishes_the_iteration_saves_and_ends_with_130(tmp_path, monkeypatch, undisturbed, number):
    run = tmp_path / "run"
    at_iteration(monkeypatch, 3, lambda: signal.raise_signal(number))
    code, said = begin_and_train(config_of(STEPS), run)
    assert code == 130
    assert "interrupted; saved" in said
    assert steps_of(list_checkpoints(run)[-1]) == read_metrics(run / "metrics.jsonl")[-1]["agent_steps"]
    monkeypatch.undo()
    assert begin_and_train(config_of(STEPS), run, resume=True)[0] == 0
    assert differing_runs(undisturbed, run) == []


def test_a_second_signal_ends_at_once_and_leaves_a_folder_that_resumes(tmp_path, monkeypatch, undisturbed):
    run = tmp_path / "run"

    def twice():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)

    at_iteration(monkeypatch, 4, twice)
    with pytest.raises(KeyboardInterrupt):
        begin_and_train(config_of(STEPS), run)
    monkeypatch.undo()
    assert begin_and_train(config_of(STEPS), run, resume=True)[0] == 0
    assert differing_runs(undisturbed, run) == []


def test_a_run_that_was_killed_before_its_first_checkpoint_begins(tmp_path, undisturbed):
    run = tmp_path / "run"
    create_run_folder(run, config_of(STEPS))
    code, said = begin_and_train(config_of(STEPS), run, resume=True)
    assert code == 0
    assert "before its first checkpoint: it begins now" in said
    assert differing_runs(undisturbed, run) == []


def test_records_without_a_checkpoint_are_not_thrown_away(tmp_path):
    run = tmp_path / "run"
    create_run_folder(run, config_of(STEPS))
    (run / "metrics.jsonl").write_text('{"agent_steps": 5, "iteration": 1}\n')
    with pytest.raises(CheckpointError, match="no checkpoint to resume from"):
        train(config_of(STEPS), run, quiet_console(), resume=True)
    assert (run / "metrics.jsonl").read_text()


def test_a_start_that_was_killed_does_not_block_its_name(tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "version.txt").write_text("headctl: 0.1.0\n")
    (run / f"{durable.UNFINISHED}1-config.yaml").write_text("half")
    create_run_folder(run, config_of())
    check_run_folder(run)
    assert not list(run.glob(f"{durable.UNFINISHED}*"))


@pytest.mark.parametrize("name", ["a" * 300, "a\0b"])
def test_names_that_no_folder_can_have_are_refused(tmp_path, name):
    with pytest.raises(RunFolderError, match="cannot be"):
        create_run_folder(tmp_path / name, config_of())


# Changes ----------------------------------------------------------------------------------------------------------


def test_allowed_changes_take_effect_and_are_recorded_others_are_refused_by_name(tmp_path, undisturbed):
    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    longer = config_of("total_steps=900", "evaluation.games=6")
    code, said = begin_and_train(longer, run, resume=True)
    assert code == 0
    assert "total_steps: was 700, is 900 from here on" in said
    assert load_config(run / "config.yaml").total_steps == 900
    sittings = diary(run, "sittings.jsonl")
    assert sittings[0]["changed"] == {}
    assert sittings[-1]["changed"] == {
        "total_steps": {"from": 700, "to": 900},
        "evaluation.games": {"from": 4, "to": 6},
    }
    assert read_metrics(run / "metrics.jsonl")[-1]["agent_steps"] >= 900
    for override, words in (
        ("seed=12", "seed was 11, is 12"),
        ("ppo.epochs=3", "ppo.epochs was 2, is 3"),
        ("heads.aim.target=0.3", r"heads\.aim\.target was 0\.5, is 0\.3"),
        ("game.options={limit: 7}", r"game\.options was \{\}, is \{'limit': 7\}"),
    ):
        with pytest.raises(CheckpointError, match=words):
            train(config_of("total_steps=900", override), run, quiet_console(), resume=True)
    assert load_config(run / "config.yaml") == longer


# Disk, folder, lock, clock ----------------------------------------------------------------------------------------


def full_disk(monkeypatch, failures):
    """Lets the next writes of whole files fail."""
    write, left = durable.write_bytes, [failures]

    def full(path, data):
        if left[0] > 0 and path.suffix in {".pt", ".json"}:
            left[0] -= 1
            raise OSError(28, "No space left on device", str(path))
        write(path, data)

    monkeypatch.setattr(durable, "write_bytes", full)


def test_a_full_disk_is_told_of_and_the_run_goes_on(tmp_path, monkeypatch, undisturbed):
    run = tmp_path / "run"
    at_iteration(monkeypatch, 2, lambda: full_disk(monkeypatch, 5))
    code, said = begin_and_train(config_of(STEPS), run)
    assert code == 0
    assert "cannot be written" in said
    assert "No space left on device" in said
    assert "checkpoints can be written again" in said
    assert differing_runs(undisturbed, run) == []


def test_a_disk_that_stays_full_ends_the_run_with_one_message(tmp_path, monkeypatch, undisturbed):
    run = tmp_path / "run"
    at_iteration(monkeypatch, 8, lambda: full_disk(monkeypatch, 10_000))
    with pytest.raises(RunFailedError, match="Make room and continue with: headctl train"):
        begin_and_train(config_of(STEPS), run)
    monkeypatch.undo()
    assert begin_and_train(config_of(STEPS), run, resume=True)[0] == 0
    assert differing_runs(undisturbed, run) == []


def test_records_survive_a_full_disk(tmp_path, monkeypatch):
    write = os.write
    full = []

    def half(descriptor, data):
        if full and b"agent_steps" in data:
            write(descriptor, data[:7])
            raise OSError(28, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", half)
    told = []
    with MetricsWriter(tmp_path, tensorboard=False, tell=told.append) as writer:
        for number in range(1, 9):
            full[:] = [1] if number in (3, 4, 5) else []
            writer.write({"agent_steps": number, "x": 0.5})
            if full:
                with pytest.raises(OSError, match="No space"):
                    writer.sync()
        writer.sync()
    assert [record["agent_steps"] for record in read_metrics(tmp_path / "metrics.jsonl")] == list(range(1, 9))
    assert len(told) == 2
    assert "kept until it can" in told[0]
    assert "nothing is missing" in told[1]


def test_a_folder_that_is_removed_is_made_anew(tmp_path, monkeypatch, undisturbed):
    run = tmp_path / "run"
    at_iteration(monkeypatch, 5, lambda: shutil.rmtree(run))
    code, said = begin_and_train(config_of(STEPS), run)
    assert code == 0
    assert "was removed while it was trained in; it was made anew" in said
    check_run_folder(run)
    assert records_of(run) == records_of(undisturbed)
    assert begin_and_train(config_of("total_steps=800"), run, resume=True)[0] == 0


def test_a_folder_that_is_moved_away_is_made_anew_with_its_lock_and_all_records(tmp_path, monkeypatch, undisturbed):
    run = tmp_path / "run"
    held = []
    at_iteration(monkeypatch, 3, lambda: run.rename(tmp_path / "moved"))
    monkeypatch.setattr(
        "headctl.run.sitting.Sitting._before_save",
        lambda self, writer, save=Sitting._before_save: (save(self, writer), held.append(is_held(run))),
    )
    code, said = begin_and_train(config_of(STEPS), run)
    assert code == 0
    assert "was no longer there and was written again" in said
    assert held[-1] is True
    assert differing_runs(undisturbed, run)[:1] in ([], ["league/"])  # what had left the league before is in the other
    assert records_of(run) == records_of(undisturbed)


def test_a_lock_that_was_deleted_is_taken_again(tmp_path, monkeypatch):
    run = tmp_path / "run"
    held = []
    at_iteration(monkeypatch, 3, (run / ".lock").unlink)
    at_later = MetricsWriter.write

    def write(self, record):
        at_later(self, record)
        held.append(is_held(run))

    monkeypatch.setattr(MetricsWriter, "write", write)
    assert begin_and_train(config_of(STEPS), run)[0] == 0
    assert held[:4] == [True, True, False, True]


@pytest.mark.parametrize("still_held", [True, False])
def test_a_folder_in_which_another_run_lies_now_is_left_alone(tmp_path, monkeypatch, still_held):
    run = tmp_path / "run"
    other = config_of(STEPS, "seed=5")
    lock = RunLock(run)

    def files():
        return {path: path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}

    before = {}

    def exchange():
        shutil.rmtree(run)
        create_run_folder(run, other)
        (run / "metrics.jsonl").write_text('{"agent_steps": 5, "iteration": 1}\n')
        if still_held:
            lock.__enter__()
        before.update(files())

    at_iteration(monkeypatch, 2, exchange)
    try:
        with pytest.raises(RunFailedError, match=r"was removed while it was trained in: .*(lies there now|in use by)"):
            begin_and_train(config_of(STEPS), run)
        assert files() == before
    finally:
        lock.__exit__(None, None, None)


def test_a_run_in_use_is_not_resumed(tmp_path):
    run = tmp_path / "run"
    create_run_folder(run, config_of(STEPS))
    with RunLock(run), pytest.raises(RunLockError, match="in use by process"):
        train(config_of(STEPS), run, quiet_console(), resume=True)


def test_a_clock_that_is_set_back_changes_nothing(tmp_path, monkeypatch, undisturbed):
    hours = iter(range(10**6, 0, -1))
    monkeypatch.setattr(time, "time", lambda: 3600.0 * next(hours))
    run = tmp_path / "run"
    assert begin_and_train(config_of(STEPS), run)[0] == 0
    assert differing_runs(undisturbed, run) == []


@pytest.mark.parametrize("name", ["metrics.jsonl", "checkpoints", "league", "config.yaml", "sittings.jsonl"])
def test_nothing_outside_the_folder_is_written_through_a_link(tmp_path, name):
    run, victim = tmp_path / "run", tmp_path / "victim"
    create_run_folder(run, config_of(STEPS))
    if (run / name).is_dir():
        shutil.move(run / name, victim)
    else:
        victim.write_text("seed: 1\n")
        (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(victim)
    before = victim.read_text() if victim.is_file() else sorted(victim.iterdir())
    with pytest.raises(RunFolderError, match=rf"{name} is a link that leads out of the run folder"):
        train(config_of(STEPS), run, quiet_console(), resume=True)
    assert before == (victim.read_text() if victim.is_file() else sorted(victim.iterdir()))


def test_pictures_are_not_drawn_through_a_link(tmp_path, undisturbed):
    run, victim = tmp_path / "run", tmp_path / "victim"
    shutil.copytree(undisturbed, run)
    victim.write_text("mine")
    (run / "report" / "heads.png").unlink()
    (run / "report" / "heads.png").symlink_to(victim)
    with pytest.raises(RunFolderError, match=r"heads\.png is a link"):
        RunReader(run)
    assert victim.read_text() == "mine"


def test_records_that_break_off_are_cut_at_the_checkpoint(tmp_path, undisturbed):
    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    lines = (run / "metrics.jsonl").read_bytes()
    (run / "metrics.jsonl").write_bytes(lines + b'{"agent_steps": 99999, "x": 1}\n{"agent_steps": 1000')
    code, _ = begin_and_train(config_of(STEPS), run, resume=True)
    assert code == 0
    assert (run / "metrics.jsonl").read_bytes() == lines


# Numbers and games ------------------------------------------------------------------------------------------------


def broken(fault, first, last, *overrides):
    options = f"{{fault: {fault}, first: {first}, last: {last}}}"
    game = f"game={{name: 'tests.faults.broken_games:Broken', num_games: 4, options: {options}}}"
    Broken.decisions = 0
    # Nobody but the learner plays: the decisions of the process are those of its rollouts.
    alone = (
        "selfplay.opponents.nash=0",
        "selfplay.payoff.every=0",
        "selfplay.roles.main_exploiter.share=0",
        "selfplay.roles.league_exploiter.share=0",
    )
    return config_of(game, "faults={max_skipped: 2, max_restores: 2}", *alone, *overrides)


def test_after_several_skipped_updates_the_last_good_checkpoint_is_restored(tmp_path):
    run = tmp_path / "run"
    code, said = begin_and_train(broken("reward", 130, 193, STEPS), run)  # an iteration has 32 decisions
    assert code == 0
    assert "2 updates in a row were left out" in said
    assert "Went back from" in said
    records = read_metrics(run / "metrics.jsonl")
    steps = [record["agent_steps"] for record in records]
    assert steps == sorted(set(steps))
    assert [record["iteration"] for record in records] == list(range(1, len(records) + 1))
    assert steps[-1] >= 700
    faults = diary(run, "faults.jsonl")
    assert all(set(fault["terms"]) == {"reward"} for fault in faults)
    assert max(fault["in_a_row"] for fault in faults) == 2
    assert not (run / "diagnosis.json").exists()


def test_numbers_that_stay_broken_end_with_a_diagnosis_and_a_folder_that_resumes(tmp_path):
    run = tmp_path / "run"
    config = broken("observation", 130, 10**9, STEPS)
    with pytest.raises(RunFailedError, match=r"not finite: observation; going back .* 2 times did not help.*diagnosis"):
        begin_and_train(config, run)
    found = json.loads((run / "diagnosis.json").read_text())
    assert set(found["terms"]) == {"observation"}
    assert all(weight["finite"] for weight in found["weights"].values())
    assert len(found["faults_before"]) == 6  # two skipped updates, three times
    Broken.decisions = -(10**9)  # the game was repaired
    assert begin_and_train(config, run, resume=True)[0] == 0


def test_no_checkpoint_is_made_of_a_policy_in_trouble(tmp_path, monkeypatch):
    run = tmp_path / "run"
    config = broken("reward", 0, 10**9, "total_steps=400", "faults.max_skipped=100")
    at_iteration(monkeypatch, 4, lambda: signal.raise_signal(signal.SIGINT))
    code, said = begin_and_train(config, run)
    assert code == 130
    assert "not saved, because the last 4 updates were left out" in said
    assert [steps_of(path) for path in list_checkpoints(run)] == [0]


def test_a_game_that_raises_is_reported_so_that_it_can_be_repeated(tmp_path):
    run = tmp_path / "run"
    config = config_of("game={name: 'tests.faults.broken_games:Raises', num_games: 4}", STEPS)
    with pytest.raises(
        RunFailedError, match=r"broken_games:Raises has raised in game \d, episode \d+, seed \d+, step 3"
    ):
        begin_and_train(config, run)
    found = json.loads((run / "diagnosis.json").read_text())
    assert "division by zero in the damage model" in found["what"]
    assert any("damage model" in line for line in found["traceback"])
    again = found["reproduction"]
    assert again["game"] == "tests.faults.broken_games:Raises"
    assert len(again["actions"]) == again["step"] == 3
    env = Raises(**again["options"])
    env.reset(seed=again["seed"])
    *before, last = again["actions"]
    for chosen in before:
        env.step({agent: chosen[agent] for agent in env.agents})
    with pytest.raises(ZeroDivisionError):
        env.step({agent: last[agent] for agent in env.agents})
    with pytest.raises(RunFailedError) as second:  # the run is exact: it meets the same step again
        train(config, run, quiet_console(), resume=True)
    assert json.loads((run / "diagnosis.json").read_text())["reproduction"] == again
    assert "once the game is repaired, continue with" in str(second.value)
