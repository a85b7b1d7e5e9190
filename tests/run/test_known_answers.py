"""Self-play through the whole stack, from YAML, in games whose answers are known exactly."""

from pathlib import Path

import numpy as np
import pytest
import torch
from headctl_envs import matrix_v0
from headctl_envs.matrix.config import MatrixConfig
from headctl_envs.matrix.engine import MatrixEngine

from headctl.policy.actions import ActionHeads, describe_space, resolve_heads
from headctl.policy.network import Policy
from headctl.run.config import load_config
from headctl.run.trainer import Trainer
from headctl.selfplay.answers import choice_probabilities, exact_exploitability
from headctl.selfplay.games import Observations
from headctl.selfplay.parallel_env import ParallelEnvGame
from tests.helpers.players import set_preference

BIASED_RPS_YAML = Path(__file__).parents[2] / "configs" / "biased_rps.yaml"
QUIET = ("evaluation.games=2", "checkpoint.every=100_000_000")
UNCONTROLLED = "heads.choice={law: fixed, alpha: 0.0}"


def exploitabilities(folder, *overrides):
    """What the game said of the last iterate, in every iteration of the second half of a training."""
    folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(load_config(BIASED_RPS_YAML, [*QUIET, *overrides]), folder)
    course = [record["env/exploitability"] for record in trainer.iterations()]
    return np.array(course[len(course) // 2 :]), trainer


def policy_for(engine):
    specs = resolve_heads(describe_space(engine.action_space), {})
    return Policy(engine.observation_dim, ActionHeads(specs, engine.action_space), hidden=(8,))


def test_the_probabilities_asked_for_are_those_that_are_played():
    engine = MatrixEngine(MatrixConfig(payoff=[[3.0, 1.0, 4.0], [2.0, 5.0, 1.5]], rounds=2), num_games=1)
    policy = policy_for(engine)
    with torch.no_grad():
        policy.actor.bias.copy_(torch.tensor([1.0, -0.5, 0.3]))
    seen = engine.everything_seen()
    probabilities = choice_probabilities(policy, seen)
    torch.testing.assert_close(
        probabilities.sum(-1), torch.ones(len(probabilities), dtype=torch.float64), atol=1e-6, rtol=0
    )
    assert (probabilities[: len(probabilities) // 2, 2] == 0.0).all()  # the first seat has two choices
    row = Observations(
        seen.observation[:1].expand(20_000, -1, -1), {"choice": seen.masks["choice"][:1].expand(20_000, -1, -1)}
    )
    drawn = policy.act(row.observation[:, 0], {"choice": row.masks["choice"][:, 0]}).actions["choice"]
    shares = torch.bincount(drawn, minlength=3).double() / 20_000
    torch.testing.assert_close(shares, probabilities[0], atol=0.015, rtol=0)


def test_the_exploitability_of_a_policy_is_that_of_what_it_does():
    engine = MatrixEngine(MatrixConfig(), num_games=4)
    policy = policy_for(engine)
    for choice, expected in enumerate((1 / 3, 1 / 3, 1.0)):  # paper takes rock's third, scissors paper's, rock all
        set_preference(policy, "choice", choice)
        assert exact_exploitability(engine, policy) == pytest.approx(expected, abs=1e-6)
    other = ParallelEnvGame(matrix_v0.parallel_env, {}, num_games=1, seed=0)
    assert exact_exploitability(other, policy) is None


@pytest.mark.slow
def test_the_learned_temperature_finds_the_equilibrium_and_its_absence_does_not(tmp_path):
    controlled, trainer = exploitabilities(tmp_path / "with", "total_steps=1_000_000")
    assert controlled.mean() < 0.03
    assert trainer.controller.metrics()["heads/choice/fraction"] == pytest.approx(0.865, abs=0.03)
    without, _ = exploitabilities(tmp_path / "without", "total_steps=1_000_000", UNCONTROLLED)
    assert without.mean() > 5.0 * controlled.mean()


@pytest.mark.slow
def test_matching_pennies_ends_on_a_fair_coin_for_both_seats(tmp_path):
    # The seats want opposite things, so both are learned apart. It is uniform, of an entropy that no target may ask for
    # (above 0.98 it could not be held from above), and any temperature leads there.
    pennies = ("game.options={game: matching_pennies}", "total_steps=500_000")
    warm = "heads.choice={law: fixed, alpha: 1.0}"
    course, trainer = exploitabilities(tmp_path / "warm", *pennies, warm)
    assert course.mean() < 0.03
    engine = MatrixEngine(MatrixConfig(game="matching_pennies"), num_games=1)
    probabilities = choice_probabilities(trainer.policy, engine.everything_seen())
    torch.testing.assert_close(probabilities, torch.full((2, 2), 0.5, dtype=torch.float64), atol=0.02, rtol=0)
    cold, _ = exploitabilities(tmp_path / "cold", *pennies, UNCONTROLLED)
    assert cold.mean() > 5.0 * course.mean()


@pytest.mark.slow
def test_a_game_with_a_dominant_choice_is_solved_without_help(tmp_path):
    # Choice 1 beats both others: the equilibrium is pure, and the controller must not stand in the way.
    dominant = "game.options={payoff: [[0, -0.5, 1], [0.5, 0, 0.5], [-1, -0.5, 0]]}"
    course, trainer = exploitabilities(tmp_path / "dominant", dominant, "total_steps=600_000", UNCONTROLLED)
    assert course[-10:].mean() < 0.02
    engine = MatrixEngine(MatrixConfig(), num_games=1)
    assert choice_probabilities(trainer.policy, engine.everything_seen())[0, 1] > 0.95
