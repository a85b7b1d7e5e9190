import json

import pytest
from headctl_envs.dogfight.config import PILOTS

from tests.helpers.command_line import TINY, headctl, write_tiny

SHORT = TINY.replace("1500", "600").replace("time_limit_s: 4", "time_limit_s: 2")


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_tiny(tmp_path, SHORT)


@pytest.mark.slow
def test_a_sweep_trains_what_is_missing_and_ends_with_a_table(config):
    result = headctl("sweep", config, "seed=1..2", "--name", "s", "--jobs", "2")
    assert result.exit_code == 0, result.output
    assert "2/2" in result.stdout
    assert "win rate" in result.stdout
    folder = config.parent / "runs" / "s"
    before = (folder / "seed=1" / "metrics.jsonl").read_bytes()
    (folder / "seed=2" / "eval" / "final.json").unlink()  # as if it had been killed during the closing matches
    again = headctl("sweep", config, "seed=1..2", "--name", "s", "--json")
    assert again.exit_code == 0, again.output
    found = json.loads(again.stdout)
    assert "seed=2: going on" in again.stderr
    assert "seed=1: " not in again.stderr
    assert (folder / "seed=1" / "metrics.jsonl").read_bytes() == before
    assert found["settings"][0]["runs"] == 2
    assert set(found["settings"][0]["win_rates"]) == set(PILOTS)
    assert [run["failed"] for run in found["runs"]] == [False, False]


def test_a_dry_run_writes_nothing(config):
    result = headctl("sweep", config, "heads.weapon.target=0.1,0.3", "seed=1..2", "--dry-run")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == "missing    runs/tiny_weapon.target_seed/weapon.target=0.1,seed=1"
    assert len(json.loads(headctl("sweep", config, "seed=1..5", "--dry-run", "--json").stdout)) == 5
    assert list(config.parent.iterdir()) == [config]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["sed=1..2"], "Did you mean 'seed'?"),
        (["seed"], "write key=value"),
        (["seed=1..2", "--name", "a/b"], "no name of a folder"),
        (["seed=1..2", "--jobs", "0"], "is not in the range"),
    ],
)
def test_bad_input(config, words, part):
    result = headctl("sweep", config, *words)
    assert result.exit_code == 2
    assert part in result.stderr
    assert list(config.parent.iterdir()) == [config]
