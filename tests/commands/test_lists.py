import fcntl
import json
import os
import shutil

import pytest
from click.testing import CliRunner

from headctl.cli import main
from headctl.run.listing import last_record, summarise_run
from headctl.run.lock import RunLock
from headctl.run.report import write_evaluation
from headctl.selfplay.results import MatchResult
from tests.helpers.synthetic_run import make_run


def headctl(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args], prog_name="headctl")


@pytest.fixture
def folder(tmp_path):
    done = make_run(tmp_path / "runs" / "done")
    write_evaluation(done, "final", {"a": MatchResult(30, 10, 0), "b": MatchResult(30, 30, 60)}, 1_000_000)
    trained, stopped = (make_run(tmp_path / "runs" / "sweep" / name, done=10) for name in ("seed=1", "seed=2"))
    (stopped / ".lock").write_text("process 1 on elsewhere")  # was killed: the file stays, the lock does not
    empty, begun = (make_run(tmp_path / "runs" / name) for name in ("empty", "begun"))
    for run in (empty, begun):
        (run / "metrics.jsonl").write_bytes(b"")
    (make_run(tmp_path / "runs" / "bad") / "version.txt").write_text("run_format: 99\nheadctl: 9.9", encoding="utf-8")
    (tmp_path / "runs" / "notes").mkdir()
    with RunLock(trained), RunLock(begun):
        yield tmp_path / "runs"


def test_runs_are_found_with_state_progress_and_win_rate(folder, monkeypatch):
    found = {run["run"].removeprefix(f"{folder}/"): run for run in json.loads(headctl("runs", folder, "--json").stdout)}
    assert {name: run["state"] for name, run in found.items()} == {
        "bad": "unreadable",
        "begun": "running",
        "done": "finished",
        "empty": "empty",
        "sweep/seed=1": "running",
        "sweep/seed=2": "stopped",
    }
    assert found["done"]["win_rate"] == 0.6
    assert found["done"]["statuses"]["weapon"] == "SATURATED"
    assert found["sweep/seed=2"]["progress"] == 0.25
    assert found["empty"]["win_rate"] is None
    for columns in ("80", "120"):
        monkeypatch.setenv("COLUMNS", columns)
        page = headctl("runs", folder).stdout
        assert "60%" in page
        assert "250 k of 1 M" in page
        assert "run format 99" in " ".join(page.split())
        assert ("last record" in page) == (columns == "120")


def test_without_locks_the_age_of_the_records_says_whether_a_run_is_running(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    run = make_run(tmp_path / "run", done=10)
    (run / ".lock").touch()
    os.utime(run / "metrics.jsonl", (1e9, 1e9))
    assert summarise_run(run, now=1e9 + 10).state == "stopped"
    monkeypatch.setattr(fcntl, "flock", refuse)
    assert summarise_run(run, now=1e9 + 10).state == "running"
    assert summarise_run(run, now=1e9 + 200).state == "stopped"


def test_a_folder_without_runs_and_none_at_all(tmp_path):
    assert "no run in" in headctl("runs", tmp_path).stdout
    for name, part in (("none", "no such folder"), ("file", "is a file")):
        (tmp_path / "file").touch()
        result = headctl("runs", tmp_path / name)
        assert result.exit_code == 2
        assert part in result.stderr


def test_a_half_written_last_line_is_no_record(folder):
    with (folder / "done" / "metrics.jsonl").open("a") as file:
        file.write('{"agent_steps": 99')
    record, _ = last_record(folder / "done")
    assert record["agent_steps"] == 1_000_000
    shutil.rmtree(folder / "done" / "eval")
    assert summarise_run(folder / "done").games == 0


def test_games_and_how_headctl_sees_ones_own():
    games = json.loads(headctl("envs", "--json").stdout)
    assert games["dogfight"]["heads"]["params"] == {"kind": "gaussian", "dims": 3}
    assert "pursuit" in games["dogfight"]["pilots"]
    page = headctl("envs", "tests.helpers.games:Skirmish").stdout
    assert "3 choices" in page
    assert "1 dims" in page
    assert "Did you mean 'dogfight'?" in headctl("envs", "dogfite").stderr
