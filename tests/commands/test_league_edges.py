"""Leagues and tournaments in which there is little to say: draws only, one policy only, nobody at all."""

import json
import math

import pytest
from click.testing import CliRunner

from headctl.cli import main
from headctl.run.checkpoint import list_checkpoints, load_checkpoint, save_checkpoint, steps_of

SMALL = """
total_steps: 6_000
game: {name: matrix, num_games: 32, options: {payoff: [[0, 0], [0, 0]]}}
policy: {hidden: [8]}
ppo: {rollout_steps: 4, epochs: 1, minibatch_size: 128}
selfplay: {snapshot_every: 2_000}
evaluation: {games: 10}
run: {tensorboard: false}
"""


def headctl(*args):
    result = CliRunner().invoke(main, [str(arg) for arg in args], prog_name="headctl")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def train(folder, name, *overrides):
    (folder / "small.yaml").write_text(SMALL, encoding="utf-8")
    result = headctl("train", folder / "small.yaml", f"run.dir={folder}/runs", "--name", name, *overrides)
    assert result.exit_code == 0, result.output
    return folder / "runs" / name


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A run of a game that nobody can win, with opponents of every rule."""
    opponents = "selfplay.opponents={latest: 1, uniform: 1, pfsp: 1, nash: 1, window: 1, pilots: 1}"
    payoff = "selfplay.payoff={every: 2, pairs: 2, games: 4}"
    return train(tmp_path_factory.mktemp("drawn"), "drawn", opponents, payoff)


def finite(value):
    """Tells whether plain data holds no NaN and no infinity."""
    if isinstance(value, dict | list):
        return all(finite(entry) for entry in (value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)


def test_draws_only_are_equal_strength_everywhere(drawn, tmp_path):
    told = json.loads(headctl("league", drawn, "--json").stdout)
    assert finite(told)
    played = [player for player in told["players"] if player["games"]]
    assert len(played) > 3
    assert {player["draws"] == player["games"] for player in played} == {True}
    assert [player["rating"] for player in told["players"]] == pytest.approx([1000.0] * len(told["players"]))
    shares = [player["probability"] for player in told["players"] if player["probability"] is not None]
    assert sum(shares) == pytest.approx(1.0)
    assert min(shares) > 0.0
    told = json.loads(headctl("tournament", drawn, "random", "--games", 10, "--out", tmp_path, "--json").stdout)
    assert finite(told)
    assert [player["rating"] for player in told["players"]] == pytest.approx([1000.0, 1000.0])
    assert [player["nash"] for player in told["players"]] == pytest.approx([0.5, 0.5])
    for command in (["league", drawn], ["eval", drawn], ["inspect", drawn]):
        assert headctl(*command).exit_code == 0
    assert '"win_rate": null' in headctl("eval", drawn, "--json").stdout


def test_a_league_of_one_policy_is_a_league(tmp_path):
    run = train(tmp_path, "one", "selfplay.snapshot_every=1_000_000", "total_steps=1_000")
    told = json.loads(headctl("league", run, "--json").stdout)
    frozen = [player for player in told["players"] if player["kind"] == "snapshot"]
    assert [player["probability"] for player in frozen] == [1.0]
    assert [player["nash"] for player in told["players"]] == pytest.approx([0.5, 0.5])
    assert headctl("league", run, "--games", 4).exit_code == 0


def test_an_empty_league_is_named(tmp_path):
    run = train(tmp_path, "empty", "total_steps=600", "selfplay.opponents={latest: 1}")
    path = list_checkpoints(run)[-1]
    state = load_checkpoint(path)
    state["pool"]["snapshots"], state["league"] = [], {}
    save_checkpoint(run, steps_of(path), state, keep=1)
    result = headctl("league", run)
    assert result.exit_code == 2
    assert f"{run}: its league is empty: nobody but the learner itself" in result.stderr
    resumed = headctl("train", run, "--resume", "total_steps=900")
    assert resumed.exit_code == 2
    assert "are no names of at most" in resumed.stderr
