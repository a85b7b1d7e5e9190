import json

import pytest
from click.testing import CliRunner
from headctl_envs.dogfight.config import PILOTS

from headctl.cli import main

TINY = """
total_steps: 600
game: {num_games: 16, options: {time_limit_s: 2}}
policy: {hidden: [16]}
ppo: {rollout_steps: 16, epochs: 1, minibatch_size: 128}
evaluation: {games: 4}
run: {tensorboard: false}
"""


def headctl(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args], prog_name="headctl")


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY, encoding="utf-8")
    return path


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
