"""Matrix games: the same rules in both forms, and their answers."""

import math
import re

import numpy as np
import pytest
import torch
from headctl_envs import matrix_v0
from headctl_envs.matrix.config import GAMES, MatrixConfig, MatrixOptionError
from headctl_envs.matrix.engine import MatrixEngine, uniform
from headctl_envs.matrix.solution import solve_zero_sum
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pettingzoo.test import api_test, parallel_api_test

from headctl.selfplay.parallel_env import ParallelEnvGame
from tests.helpers.games import BIASED_RPS, BIASED_RPS_NASH

PURSUIT = [[3.0, 1.0, 4.0], [2.0, 5.0, 1.5]]
"""Two choices against three, with another value than 0."""
ALL_OPTIONS = [
    {},
    {"game": "matching_pennies"},
    {"game": "rps", "rounds": 3},
    {"game": "matching_pennies", "rounds": 4},
    {"payoff": PURSUIT},
    {"payoff": PURSUIT, "rounds": 3},
    {"payoff": [[2.5]]},
]


def everywhere(config, *mixtures):
    """A policy that does the same in every round, in the form of ``exploitability``."""
    table = np.zeros((*config.features.shape[:-1], config.choices))
    for seat, mixture in enumerate(mixtures):
        table[seat, ..., : len(mixture)] = mixture
    return table


# Answers ------------------------------------------------------------------------------------------------------------


def test_equilibria_that_are_known():
    first, second, value = MatrixConfig().equilibrium
    np.testing.assert_allclose(MatrixConfig().matrix, BIASED_RPS)
    np.testing.assert_allclose([first, second], [BIASED_RPS_NASH] * 2, atol=1e-12)
    assert value == pytest.approx(0.0, abs=1e-12)
    first, second, value = MatrixConfig(game="matching_pennies").equilibrium
    np.testing.assert_allclose([first, second], 0.5)
    # By hand: rows indifferent between columns 0 and 1: 3p + 2(1-p) = p + 5(1-p), p = 0.6, worth 2.6 against 0 and 1,
    # and 3.0 against column 2. Columns: 3q + (1-q) = 2q + 5(1-q), q = 0.8.
    first, second, value = MatrixConfig(payoff=PURSUIT).equilibrium
    np.testing.assert_allclose(first, [0.6, 0.4], atol=1e-12)
    np.testing.assert_allclose(second, [0.8, 0.2, 0.0], atol=1e-12)
    assert value == pytest.approx(2.6)


@settings(deadline=None, max_examples=200)
@given(
    st.tuples(st.integers(1, 8), st.integers(1, 8)).flatmap(
        lambda shape: arrays(np.float64, shape, elements=st.integers(-3, 3).map(float))
    )
)
def test_no_answer_is_better_than_the_value(payoff):
    # Small whole numbers: full of ties, which is where the simplex method may run in circles.
    first, second, value = solve_zero_sum(payoff)
    assert first.min() >= 0.0
    assert second.min() >= 0.0
    assert first.sum() == pytest.approx(1.0)
    assert second.sum() == pytest.approx(1.0)
    assert (payoff @ second).max() == pytest.approx(value, abs=1e-7)
    assert (first @ payoff).min() == pytest.approx(value, abs=1e-7)


def test_exploitability_by_hand():
    config = MatrixConfig()
    assert config.exploitability(uniform(config)) == pytest.approx(2 / 9)
    assert config.exploitability(everywhere(config, BIASED_RPS_NASH, BIASED_RPS_NASH)) == pytest.approx(0.0, abs=1e-12)
    rock = np.array([1.0, 0.0, 0.0])
    assert config.exploitability(everywhere(config, rock, rock)) == pytest.approx(1 / 3)  # paper
    # Every seat has its own policy: the mean of what both best answers get.
    assert config.exploitability(everywhere(config, rock, BIASED_RPS_NASH)) == pytest.approx(1 / 6)
    pennies = MatrixConfig(game="matching_pennies")
    assert pennies.exploitability(everywhere(pennies, [0.75, 0.25], [0.5, 0.5])) == pytest.approx(0.25)


def test_the_value_of_a_game_is_no_exploitability():
    config = MatrixConfig(payoff=PURSUIT)
    first, second, _ = config.equilibrium
    assert config.exploitability(everywhere(config, first, second)) == pytest.approx(0.0, abs=1e-9)
    # Against the first row alone column 1 pays 1; against the second row alone column 2 pays 1.5, the columns' best
    # answer gains 2.6 - 1 by it.
    assert config.exploitability(everywhere(config, [1.0, 0.0], second)) == pytest.approx((2.6 - 1.0) / 2)


def test_a_policy_with_memory_is_exploited_through_it():
    # Pennies of three rounds: the second seat repeats its last choice. That can be foreseen twice in three rounds.
    config = MatrixConfig(game="matching_pennies", rounds=3)
    policy = everywhere(config, [0.5, 0.5], [0.5, 0.5])
    for last in (0, 1):
        policy[1, 1:, 1 + last, :] = np.eye(2)[last]
    assert config.exploitability(policy) == pytest.approx((0 + 1 + 1) / 2)
    # Repeating what the *other* did gives as much away to one who plans a round ahead.
    policy = everywhere(config, [0.5, 0.5], [0.5, 0.5])
    for last in (0, 1):
        policy[1, 1:, :, 1 + last] = np.eye(2)[last]
    assert config.exploitability(policy) == pytest.approx(1.0)
    assert config.exploitability(everywhere(config, [0.5, 0.5], [0.5, 0.5])) == pytest.approx(0.0)


@pytest.mark.parametrize("options", ALL_OPTIONS)
def test_the_nash_pilot_is_the_equilibrium(options):
    engine = MatrixEngine(MatrixConfig.from_mapping(options), num_games=20_000, seed=3)
    chosen = engine.pilot_actions("nash")["choice"]
    for seat, mixture in enumerate(engine.config.equilibrium[:2]):
        shares = np.bincount(chosen[:, seat], minlength=len(mixture)) / 20_000
        np.testing.assert_allclose(shares, mixture, atol=0.02)
    chosen = engine.pilot_actions("random")["choice"]
    for seat, size in enumerate(engine.config.matrix.shape):
        shares = np.bincount(chosen[:, seat], minlength=size) / 20_000
        np.testing.assert_allclose(shares, 1 / size, atol=0.02)


# Both forms ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", ALL_OPTIONS)
def test_the_batch_plays_what_the_environment_plays(options):
    single = ParallelEnvGame(matrix_v0.parallel_env, options, num_games=7, seed=0)
    batch = MatrixEngine(MatrixConfig.from_mapping(options), num_games=7, seed=0)
    assert (single.observation_dim, single.action_space) == (batch.observation_dim, batch.action_space)
    random = torch.Generator().manual_seed(1)
    seen, expected = batch.reset(), single.reset()
    for _ in range(12):
        torch.testing.assert_close(seen.observation, expected.observation)
        assert seen.masks.keys() == expected.masks.keys()
        for name, mask in expected.masks.items():
            assert torch.equal(seen.masks[name], mask)
        choice = torch.stack([torch.randint(0, size, (7,), generator=random) for size in batch.config.matrix.shape], 1)
        seen, expected = (game.step({"choice": choice}) for game in (batch, single))
        for field in ("reward", "terminated", "truncated", "alive"):
            torch.testing.assert_close(getattr(seen, field), getattr(expected, field))
        assert torch.equal(seen.outcome, expected.outcome.to(torch.int64))
        torch.testing.assert_close(seen.final_observation, expected.final_observation)


@pytest.mark.parametrize("options", ALL_OPTIONS)
def test_pettingzoo_accepts_both_forms(options):
    parallel_api_test(matrix_v0.parallel_env(**options), num_cycles=30)
    api_test(matrix_v0.env(**options), num_cycles=30)


def test_whoever_has_more_in_the_end_has_won():
    engine = MatrixEngine(MatrixConfig(rounds=2), num_games=3)
    engine.reset()
    # Round 1: rock beats scissors (+1), paper loses to scissors (-1/3), a draw.
    first = engine.step({"choice": torch.tensor([[0, 2], [1, 2], [1, 1]])})
    assert first.outcome.tolist() == [0, 0, 0]
    torch.testing.assert_close(first.reward[:, 0], torch.tensor([1.0, -1 / 3, 0.0]))
    # Round 2: rock loses to paper (-1/3): still ahead; rock loses again; a draw again.
    second = engine.step({"choice": torch.tensor([[0, 1], [0, 1], [2, 2]])})
    assert second.outcome.tolist() == [1, 2, 3]
    assert second.terminated.all()
    assert not second.truncated.any()


def test_symmetric_seats_see_the_same_and_others_do_not():
    assert np.array_equal(MatrixConfig().features[0], MatrixConfig().features[1])
    pennies = MatrixConfig(game="matching_pennies").features
    assert pennies[:, 0, 0, 0].tolist() == [[1.0, 1.0], [-1.0, 1.0]]
    engine = MatrixEngine(MatrixConfig(game="rps", rounds=3), num_games=1)
    engine.reset()
    seen = engine.step({"choice": torch.tensor([[2, 0]])}).observation[0]
    assert seen[0].tolist() == pytest.approx([0.0, 2 / 3, 0, 0, 1, 1, 0, 0])  # own scissors, their rock
    assert seen[1].tolist() == pytest.approx([0.0, 2 / 3, 1, 0, 0, 0, 0, 1])


def test_a_state_comes_back_and_the_pilots_go_on():
    config = MatrixConfig(game="rps", rounds=4)
    engine = MatrixEngine(config, num_games=5, seed=1)
    engine.reset()
    for _ in range(6):
        engine.step(engine.pilot_actions("random"))
    state = engine.state_dict()
    other = MatrixEngine(config, num_games=5, seed=9)
    other.load_state_dict(state)
    for _ in range(6):
        steps = [game.step(game.pilot_actions("nash")) for game in (engine, other)]
        assert torch.equal(steps[0].observation, steps[1].observation)
        assert torch.equal(steps[0].outcome, steps[1].outcome)
    assert engine.pop_statistics()["first_seat_payoff"] != 0.0
    assert math.isnan(engine.pop_statistics()["first_seat_payoff"])
    with pytest.raises(ValueError, match="the state is of 5 games, here are 2"):
        MatrixEngine(config, num_games=2).load_state_dict(state)


def test_a_choice_that_is_not_legal_counts_as_the_first():
    engine = MatrixEngine(MatrixConfig(payoff=PURSUIT), num_games=2)
    engine.reset()
    reward = engine.step({"choice": torch.tensor([[2, 1], [-4, 99]])}).reward
    assert reward[:, 0].tolist() == [PURSUIT[0][1], PURSUIT[0][0]]


# Bad options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"gane": "rps"},
            "unknown option of the matrix game: 'gane'. Did you mean 'game'? Allowed: game, payoff, rounds",
        ),
        ({"game": "biased_rsp"}, "unknown value of game: 'biased_rsp'. Did you mean 'biased_rps'?"),
        ({"game": 3}, "unknown value of game: 3."),
        ({"rounds": 0}, "rounds = 0 must be a whole number from 1 to 32"),
        ({"rounds": True}, "rounds = True must be a whole number"),
        ({"payoff": 3}, "payoff = 3 must be a list of rows of numbers"),
        ({"payoff": []}, "payoff: has 0 rows"),
        ({"payoff": [[1, 2], [3]]}, "payoff[1]: has 1 entries, the first row has 2"),
        ({"payoff": [[1, math.nan]]}, "payoff[0] = [1.0, nan]: entries must be finite"),
        ({"payoff": [["a"]]}, "payoff = [['a']] must be a list of rows of numbers"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(MatrixOptionError, match=re.escape(message)):
        MatrixConfig.from_mapping(options)


def test_every_shipped_game_is_fair():
    for game in GAMES:
        assert MatrixConfig(game=game).equilibrium[2] == pytest.approx(0.0, abs=1e-12)
