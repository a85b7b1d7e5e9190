import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headctl.run import sweep_runner
from headctl.run.config import ConfigError, parse_config
from headctl.run.folder import RunFolderError, create_run_folder
from headctl.run.records import MetricsWriter
from headctl.run.report import write_evaluation
from headctl.run.sweep import default_name, parse_axis, plan, write_configs
from headctl.run.sweep_table import percent_text, score_of, settings_of, sweep_table
from headctl.selfplay.results import MatchResult
from tests.helpers.synthetic_run import DEFAULT_COURSES, record

TINY = "total_steps: 1000\ngame: {num_games: 16}\nppo: {rollout_steps: 16, minibatch_size: 128}\n"


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("a=0.1,0.3,0.5", ("0.1", "0.3", "0.5")),
        ("seed=1..4", ("1", "2", "3", "4")),
        ("seed=-1..1,7", ("-1", "0", "1", "7")),
        ("hidden=[64,64],[128]", ("[64,64]", "[128]")),
        ("t={schedule: linear, start: 0.8, end: 0.3},0.4", ("{schedule: linear, start: 0.8, end: 0.3}", "0.4")),
        ('name="a,b",c', ('"a,b"', "c")),
        ("a= 1 , 2 ", ("1", "2")),
        ("x=1..2.5", ("1..2.5",)),
    ],
)
def test_axes(word, values):
    assert parse_axis(word).values == values


@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("seed", "is no axis"),
        ("=3", "is no axis"),
        ("a=1,,2", "is empty"),
        ("a=", "is empty"),
        ("seed=5..1", "write 1..5"),
        ("a=1,2,1", "stands twice"),
        ("seed=1..3,2", "stands twice"),
        ("a=[1,2", "not closed"),
        ("seed=1..1000000", "more than 10_000 values"),
    ],
)
def test_bad_axes(word, part):
    with pytest.raises(ConfigError, match=part):
        parse_axis(word)


@given(st.integers(-50, 50), st.integers(0, 40))
def test_a_range_has_every_number_once(first, count):
    values = parse_axis(f"seed={first}..{first + count}").values
    assert [int(value) for value in values] == list(range(first, first + count + 1))


def test_every_combination_is_a_run_of_its_own(source):
    runs = plan(source, ["heads.weapon.target=0.1,0.3", "seed=1..3", "ppo.epochs=2"])
    assert [run.label for run in runs] == [
        f"weapon.target={target},seed={seed}" for target in ("0.1", "0.3") for seed in (1, 2, 3)
    ]
    assert [(run.config.heads["weapon"]["target"], run.config.seed) for run in runs][3] == (0.3, 1)
    assert all(run.config.ppo.epochs == 2 for run in runs)
    assert {run.state for run in runs} == {"missing"}
    assert {str(run.run_dir.parent) for run in runs} == {"runs/tiny_weapon.target_seed"}
    assert all(run.config.run.dir == "runs/tiny_weapon.target_seed" for run in runs)
    assert list(source.parent.iterdir()) == [source]


def test_names_tell_keys_apart_and_fit_into_a_folder(source):
    runs = plan(source, ["heads.weapon.target=0.1,0.2", "heads.params.target=0.5,0.6"])
    assert runs[0].label == "weapon.target=0.1,params.target=0.5"
    assert plan(source, ["policy.hidden=[16],[32, 16]"])[1].label == "hidden=-32,-16"
    odd = plan(source, ["policy.hidden=[16],[16 ],[ 16]"])
    assert len({run.label for run in odd}) == 3
    assert default_name(source, [parse_axis("seed=1")]) == "tiny_sweep"
    assert plan(source, ["seed=4"])[0].label == "run"


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["heads.weapon.target=0.1,1.7"], "in the combination heads.weapon.target=1.7"),
        (["ppo.epoch=1,2"], "Did you mean 'epochs'"),
        (["seed=1", "seed=2"], "stands twice on the command line"),
        (["seed=1..5000", "ppo.epochs=1,2,3"], "the limit is 10_000"),
    ],
)
def test_a_bad_combination_is_told_before_anything_is_trained(source, words, part):
    with pytest.raises(ConfigError, match=part):
        plan(source, words)
    assert list(source.parent.iterdir()) == [source]


def finish(run, wins, *, done=True, checkpoint=True):
    """Makes the folder of a planned run as a training would leave it."""
    create_run_folder(run.run_dir, run.config)
    with MetricsWriter(run.run_dir, list(DEFAULT_COURSES), tensorboard=False) as writer:
        writer.write(record(1, 1, DEFAULT_COURSES, agent_steps=1000 if done else 500) | {"eval/straight/games": 20.0})
    if done:
        write_evaluation(run.run_dir, "final", {"pursuit": MatchResult(wins, 10 - wins, 10)}, 2000)
    if checkpoint:
        (run.run_dir / "checkpoints" / "step_000000000500.pt").write_bytes(b"")


def test_what_is_there_is_not_trained_again(source):
    words = ["heads.weapon.target=0.1,0.3", "seed=1..2"]
    first, second, third, fourth = plan(source, words)
    finish(first, 5)
    finish(second, 5, done=False)
    finish(third, 5, done=False, checkpoint=False)
    assert [run.state for run in plan(source, words)] == ["finished", "unfinished", "broken off", "missing"]
    assert [run.state for run in plan(source, [words[0], "seed=1..3"])][2] == "missing"
    with pytest.raises(RunFolderError, match=r"other settings: ppo\.epochs 4 there, 2 now"):
        plan(source, [*words, "ppo.epochs=2"])
    (fourth.run_dir).mkdir()
    assert plan(source, words)[3].state == "missing"
    (fourth.run_dir / "mine.txt").write_text("x")
    with pytest.raises(RunFolderError, match="is in the way"):
        plan(source, words)


def test_the_configuration_of_a_run_survives_its_file(source):
    run = plan(source, ["seed=1..2"])[1]
    path = write_configs([run])[run.label]
    source.write_text("nonsense", encoding="utf-8")
    assert parse_config(path.read_text(encoding="utf-8")) == run.config


def test_seeds_are_put_together_with_their_intervals(source):
    runs = plan(source, ["heads.weapon.target=0.1,0.3", "seed=1..3"])
    for run, wins in zip(runs, (4, 5, 6, 9), strict=False):
        finish(run, wins)
    finish(runs[4], 0, done=False)
    low, high = settings_of(runs)
    assert (low.values, low.runs, low.planned) == ({"heads.weapon.target": "0.1"}, 3, 3)
    assert (high.runs, high.planned) == (1, 3)
    pursuit = low.win_rates["pursuit"]
    assert pursuit.mean == pytest.approx(0.5)
    assert pursuit.low == pytest.approx(0.5 - 0.248417, abs=1e-5)  # Student's t; Wilson of 15 in 30 is narrower
    one = high.win_rates["pursuit"]
    assert (one.mean, one.low, one.high) == (0.9, *MatchResult(9, 1, 10).interval)
    assert low.score.seeds == 3
    assert low.to_json()["shortfalls"]["weapon"]["mean"] == pytest.approx(0.3)
    text = percent_text(pursuit)
    assert text == "50 % (25 to 75)"
    assert sweep_table([low, high]).row_count == 2


def test_seeds_that_agree_know_no_more_than_their_games(source):
    runs = plan(source, ["seed=1..2"])
    for run in runs:
        finish(run, 10)
    (setting,) = settings_of(runs)
    rate = setting.win_rates["pursuit"]
    assert (rate.mean, rate.high) == (1.0, 1.0)
    assert rate.low == pytest.approx(MatchResult(20, 0, 20).interval[0])


def test_score_counts_a_draw_half():
    assert score_of(MatchResult(1, 1, 2)) == 0.5
    assert score_of(MatchResult(0, 0, 4)) == 0.5


def stand_in(code):
    """Returns a stand-in for the start of a training: a process that runs ``code``."""

    def start(run, file):
        log = (run.run_dir.parent / f"{run.label}.log").open("ab")
        process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
        return sweep_runner._Job(run, process, log, time.monotonic())

    return start


def test_a_run_that_fails_is_told_and_the_others_go_on(source, monkeypatch):
    runs = plan(source, ["seed=1..3"])
    fails, works = stand_in("raise SystemExit(1)"), stand_in("")
    monkeypatch.setattr(sweep_runner, "_start", lambda run, file: (fails if run is runs[0] else works)(run, file))
    said = []
    outcome = sweep_runner.train_all(runs, said.append, jobs=2)
    assert list(outcome.failed) == ["seed=1"]
    assert not outcome.interrupted
    assert sum("done in" in line for line in said) == 2
    assert any("seed=1: failed with exit code 1" in line and "seed=1.log" in line for line in said)


def test_ctrl_c_reaches_every_run_once_and_starts_no_other(source, monkeypatch, tmp_path):
    asked = tmp_path / "asked"
    code = (
        "import signal, sys, time\n"
        f"def end(*_): open({str(asked)!r}, 'a').write('x'); sys.exit(130)\n"
        "signal.signal(signal.SIGINT, end)\n"
        f"open({str(asked)!r}, 'a').write('-')\n"
        "time.sleep(60)"
    )
    monkeypatch.setattr(sweep_runner, "_start", stand_in(code))

    def interrupt():
        while not asked.exists() or asked.read_text() != "--":
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    outcome = sweep_runner.train_all(plan(source, ["seed=1..3"]), lambda _: None, jobs=2)
    thread.join()
    assert outcome.interrupted
    assert outcome.failed == {}
    assert asked.read_text() == "--xx"
