"""Files of a run folder that a stranger has written: every command says one thing about them, or goes on without."""

import json
import math
import shutil

import pytest
from click.testing import CliRunner

from headctl.cli import main
from headctl.run.lines import MetricsError, as_record, read_metrics
from headctl.selfplay.results import MatchResult
from tests.helpers.synthetic_run import make_run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    run = tmp_path_factory.mktemp("whole") / "run"
    make_run(run)
    return run


@pytest.fixture
def run(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    return tmp_path / "run"


def outcomes(run, *commands):
    """Runs commands on a folder; none of them may end with a traceback."""
    for command in commands:
        done = CliRunner().invoke(main, command)
        assert done.exception is None or isinstance(done.exception, SystemExit), (command, done.exception)
        assert done.exit_code in (0, 1, 2), command
        yield done


def looks(run):
    return list(outcomes(run, ["inspect", str(run)], ["inspect", str(run), "--json"], ["runs", str(run.parent)]))


def draws(run):
    return list(outcomes(run, ["plot", str(run)], ["report", str(run)]))


def changed(run, **values):
    """Rewrites all records with other values for some keys."""
    path = run / "metrics.jsonl"
    records = [json.loads(line) | values for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(record).replace("Infinity", "1e999") + "\n" for record in records))


@pytest.mark.parametrize(
    "values",
    [
        {"agent_steps": None},
        {"agent_steps": "many"},
        {"agent_steps": [1]},
        {"agent_steps": -5},
        {"agent_steps": 10**30},
        {"agent_steps": math.inf},
        {"heads/maneuver/alpha": {}},
        {"heads/maneuver/entropy": [1, 2]},
        {"heads/maneuver/status": ["TRACKING"]},
        {"heads/maneuver/alpha": 1e308},
        {"heads/maneuver/entropy": 10**400},
        {"heads/maneuver/status": "\ud800"},
        {"heads/\ud800/alpha": 1.0},
    ],
)
def test_records_that_are_none_are_named_by_their_line(run, values):
    changed(run, **values)
    for done in looks(run)[:2]:
        assert done.exit_code == 2
        assert "metrics.jsonl, line 1: not a record" in done.output
    with pytest.raises(MetricsError, match="line 1: not a record"):
        read_metrics(run / "metrics.jsonl")


@pytest.mark.parametrize("value", [-math.inf, 1e299, None])
def test_numbers_that_no_training_writes_are_shown_as_well_as_they_can(run, value):
    record = json.loads((run / "metrics.jsonl").read_text().splitlines()[0])
    floats = [key for key, entry in record.items() if isinstance(entry, float)]
    changed(run, **dict.fromkeys(floats, value))
    assert [done.exit_code for done in looks(run)] == [0, 0, 0]
    assert [done.exit_code for done in draws(run)] == [0, 0]


def test_records_without_heads_are_not_those_of_a_training(run):
    (run / "metrics.jsonl").write_text('{"agent_steps": 5}\n')
    for done in (*looks(run)[:2], *draws(run)):
        assert done.exit_code == 2
        assert "its last record has no heads" in done.output


def test_a_record_has_a_clock_and_plain_values():
    assert as_record({"agent_steps": 5, "a": None, "b": True, "c": "x"})["c"] == "x"
    for values in (None, [], 5, {}, {"a": 1}, {"agent_steps": None}, {"agent_steps": 5, "a": []}):
        assert as_record(values) is None


MATCH = {"wins": 3, "losses": 1, "draws": 0}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        '{"agent_steps": 1e999, "opponents": {}}',
        json.dumps({"agent_steps": "x", "opponents": {"ace": MATCH}}),
        json.dumps({"agent_steps": 5, "opponents": [1]}),
        json.dumps({"agent_steps": 5, "opponents": {"ace": None}}),
        json.dumps({"agent_steps": 5, "opponents": {"ace": MATCH | {"wins": -5}}}),
        json.dumps({"agent_steps": 5, "opponents": {"ace": MATCH | {"wins": 10**400}}}),
        json.dumps({"agent_steps": 5, "opponents": {"ace": MATCH | {"wins": "3"}}}),
        json.dumps({"agent_steps": 10**400, "opponents": {"ace": MATCH}}),
        '{"agent_steps": 5, "opponents": {"ace": {"wins": 1e999, "losses": 1, "draws": 1}}}',
    ],
)
def test_matches_that_are_none_are_left_out(run, text):
    (run / "eval").mkdir(exist_ok=True)
    (run / "eval" / "final.json").write_text(text)
    assert [done.exit_code for done in looks(run)] == [0, 0, 0]


def test_a_result_from_plain_data():
    assert MatchResult.from_plain(MATCH) == MatchResult(3, 1, 0)
    assert MatchResult.from_plain({"wins": 2.0, "losses": 0, "draws": 0.0}) == MatchResult(2, 0, 0)
    for wrong in ({}, MATCH | {"wins": 2.5}, MATCH | {"wins": math.nan}, MATCH | {"draws": -1}):
        with pytest.raises(ValueError, match="no counts of wins"):
            MatchResult.from_plain(wrong)
