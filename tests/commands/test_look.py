import json
import re

from click.testing import CliRunner

from headctl.cli import main
from headctl.run.lock import RunLock
from tests.helpers.synthetic_run import DEFAULT_COURSES, make_run, record


def headctl(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args], prog_name="headctl")


def test_following_a_run_ends_when_it_is_finished(tmp_path, monkeypatch):
    run = make_run(tmp_path / "run", done=20)
    waits = []

    def wait(seconds):
        """Every look the training has come further; after the second nothing is new."""
        waits.append(seconds)
        done = [20, 30, 30, 40][len(waits)]
        with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
            for iteration in range(21, done + 1):
                values = record(iteration, 40, DEFAULT_COURSES)
                values = {key: value.name if key.endswith("/status") else value for key, value in values.items()}
                file.write(json.dumps(values).replace("NaN", "null") + "\n")

    monkeypatch.setattr("headctl.commands.look.time.sleep", wait)
    result = headctl("inspect", run, "--follow", "--every", "0.5", "--json")
    assert result.exit_code == 0, result.output
    assert waits == [0.5, 0.5, 0.5]
    looks = re.findall(r'^  "agent_steps": (\d+)', result.stdout, re.MULTILINE)
    assert looks == ["500000", "750000", "1000000"]  # what is not new is not shown again
    assert "finished" in headctl("inspect", run, "--follow").stdout


def test_following_a_run_ends_when_its_training_is_stopped(tmp_path, monkeypatch):
    run = make_run(tmp_path / "run", done=20)
    training = RunLock(run)
    waits = []

    def wait(seconds):
        """Nobody trains it at first, then somebody does for a while, and is killed."""
        waits.append(seconds)
        if len(waits) == 2:
            training.__enter__()
        if len(waits) == 4:
            training.__exit__(None, None, None)
        assert len(waits) < 5, "it goes on waiting for a training that has ended"

    monkeypatch.setattr("headctl.commands.look.time.sleep", wait)
    result = headctl("inspect", run, "--follow", "--json")
    assert result.exit_code == 0, result.output
    assert len(waits) == 4
    assert "has stopped before its end" in result.stderr


def test_several_runs_are_compared(tmp_path):
    runs = [make_run(tmp_path / name) for name in ("a", "b")]
    (tmp_path / "logs").mkdir()
    result = headctl("plot", *runs, tmp_path / "logs", "--out", tmp_path / "out")
    assert result.stdout == f"{tmp_path}/out/comparison.png\n"
    assert "say with --out" in headctl("plot", *runs).stderr
    assert "needs two runs" in headctl("plot", runs[0], tmp_path / "logs", "--out", tmp_path).stderr
    assert "no such run folder" in headctl("plot", *runs, tmp_path / "none", "--out", tmp_path).stderr
