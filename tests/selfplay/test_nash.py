"""The game of the players: equilibria, how exploitable a mixture is, and what ratings cannot explain."""

import math

import numpy as np
import pytest
from headctl_envs.matrix.solution import solve_zero_sum
from hypothesis import given, settings

from headctl.selfplay.nash import (
    _interior_point,
    cycles,
    effective_strategies,
    exploitability,
    nash_mixture,
    non_transitivity,
)
from headctl.selfplay.payoff import PayoffMatrix
from tests.helpers.games import BIASED_RPS, BIASED_RPS_NASH
from tests.selfplay.test_payoff import league, leagues

KINDS = [
    "skill and cycles", "no structure", "few dimensions", "counted games", "clones", "only wins and losses",
    "majority of five", "far apart in size", "ladder",
]  # fmt: skip


def antisymmetric(kind, size, seed):
    random = np.random.default_rng(seed)
    noise = random.normal(size=(size, size))
    skill = random.normal(size=size)
    if kind == "skill and cycles":
        return np.tanh(0.5 * (skill[:, None] - skill) + 0.5 * (noise - noise.T))
    if kind == "no structure":
        return noise - noise.T
    if kind == "few dimensions":
        left, right = random.normal(size=(2, size, 2))
        return np.tanh(left @ right.T - right @ left.T)
    if kind == "clones":  # of rock, paper and scissors: a plane of equilibria
        copies = random.integers(0, 3, size)
        return BIASED_RPS[np.ix_(copies, copies)]
    if kind == "only wins and losses":
        return np.sign(noise - noise.T)
    if kind == "majority of five":  # ties and wins by one vote: few different numbers, many answers
        votes = random.random((size, 5))
        votes /= votes.sum(1, keepdims=True)
        ahead = (votes[:, None] > votes).sum(-1)
        return np.sign(ahead - ahead.T).astype(float)
    if kind == "far apart in size":
        wide = np.triu(noise * 10.0 ** random.uniform(-6, 0, (size, size)), 1)
        return wide - wide.T
    if kind == "ladder":
        return np.tanh(np.linspace(-3, 3, size)[:, None] - np.linspace(-3, 3, size))
    wins = np.triu(random.binomial(20, 1 / (1 + np.exp(-(skill[:, None] - skill) - 0.5 * (noise - noise.T)))), 1)
    rates = (wins + np.triu(20 - wins, 1).T + 1) / 22
    np.fill_diagonal(rates, 0.5)
    return rates - rates.T


@pytest.mark.parametrize("size", [5, 20, 50, 100, 200])
@pytest.mark.parametrize("kind", KINDS)
def test_the_mixture_cannot_be_exploited_within_the_pool(kind, size):
    for seed in range(3):
        payoffs = antisymmetric(kind, size, seed)
        mixture = nash_mixture(payoffs)
        assert mixture.min() >= 0.0
        assert mixture.sum() == pytest.approx(1.0)
        assert exploitability(payoffs, mixture) < 1e-8


@pytest.mark.parametrize("size", [1, 2, 3, 30])
@pytest.mark.parametrize("kind", KINDS)
def test_the_interior_point_method_alone_finds_an_equilibrium(kind, size):
    payoffs = antisymmetric(kind, size, 0)
    mixture = _interior_point(payoffs / max(np.abs(payoffs).max(), 1e-300), 1e-9)
    assert mixture.min() > 0.0
    assert mixture.sum() == pytest.approx(1.0)
    assert exploitability(payoffs, mixture) < 1e-7


def test_linear_programming_regret_matching_and_interior_points_agree():
    payoffs = antisymmetric("skill and cycles", 12, 0)
    payoffs /= np.abs(payoffs).max()
    exact = solve_zero_sum(payoffs)[1]
    assert exploitability(payoffs, exact) < 1e-12
    np.testing.assert_allclose(nash_mixture(payoffs), exact, atol=1e-9)  # generic, so it is the only one
    assert exploitability(payoffs, nash_mixture(payoffs, rounds=100, tolerance=1.0)) < 0.1
    np.testing.assert_allclose(_interior_point(payoffs, 1e-12), exact, atol=1e-6)


def test_known_equilibria():
    np.testing.assert_allclose(nash_mixture(BIASED_RPS), BIASED_RPS_NASH, atol=1e-9)
    dominant = np.array([[0.0, 0.2, 0.4], [-0.2, 0.0, 0.9], [-0.4, -0.9, 0.0]])
    np.testing.assert_allclose(nash_mixture(dominant), [1.0, 0.0, 0.0], atol=1e-9)
    five = np.sign(
        np.sin(2 * np.pi * (np.arange(5)[:, None] - np.arange(5)) / 5)
    ).round()  # rock-paper-scissors of five
    np.testing.assert_allclose(nash_mixture(five), np.full(5, 0.2), atol=1e-9)


def test_exploitability_by_hand():
    assert exploitability(BIASED_RPS, np.full(3, 1 / 3)) == pytest.approx(2 / 9)
    assert exploitability(BIASED_RPS, np.array([0.0, 0.0, 1.0])) == pytest.approx(1.0)  # rock takes three of scissors
    assert exploitability(BIASED_RPS, BIASED_RPS_NASH) == pytest.approx(0.0, abs=1e-12)


def test_neutral_answers():
    assert nash_mixture(np.zeros((1, 1))).tolist() == [1.0]
    assert nash_mixture(np.zeros((4, 4))).tolist() == [0.25] * 4
    with pytest.raises(ValueError, match="at least one player"):
        nash_mixture(np.zeros((0, 0)))
    with pytest.raises(ValueError, match="antisymmetric"):
        nash_mixture(np.ones((2, 2)))
    with pytest.raises(ValueError, match="finite"):
        nash_mixture(np.array([[0.0, np.nan], [np.nan, 0.0]]))


@settings(deadline=None, max_examples=100)
@given(leagues())
def test_nothing_is_ever_nan(payoff):
    if not len(payoff):
        return
    mixture = nash_mixture(payoff.payoffs())
    assert np.isfinite(mixture).all()
    assert mixture.sum() == pytest.approx(1.0)
    assert exploitability(payoff.payoffs(), mixture) < 1e-4
    assert 1.0 - 1e-9 <= effective_strategies(mixture) <= len(payoff) + 1e-9
    assert 0.0 <= non_transitivity(payoff.rates()) <= 1.0
    assert 0.0 <= non_transitivity(payoff.rates(), payoff.games) <= 1.0
    cycles(payoff)


def test_effective_strategies_count_equals():
    assert effective_strategies(np.array([0.25, 0.25, 0.0, 0.5])) == pytest.approx(2 * math.sqrt(2))
    assert effective_strategies(np.array([1.0, 0.0])) == 1.0


def ladder(size):
    skill = np.linspace(-1.5, 1.5, size)
    return 1 / (1 + np.exp(-(skill[:, None] - skill)))


def test_a_ladder_is_transitive_and_rock_paper_scissors_is_not():
    circle = np.array([[0.5, 0.2, 0.8], [0.8, 0.5, 0.2], [0.2, 0.8, 0.5]])
    assert non_transitivity(ladder(6)) == pytest.approx(0.0, abs=1e-12)
    assert non_transitivity(circle) == pytest.approx(1.0)
    assert non_transitivity(np.full((4, 4), 0.5)) == 0.0
    assert non_transitivity(np.array([[0.5, 0.9], [0.1, 0.5]])) == 0.0
    # A circle on top of a ladder: its share of the sum of squares of the log-odds.
    odds = np.array([[0, 3, 1], [-3, 0, 2], [-1, -2, 0]], float)  # ratings (4, -1, -3) / 3 leave 4 / 3 of each
    assert non_transitivity(1 / (1 + np.exp(-odds))) == pytest.approx(32 / 3 / 28)


def test_few_games_do_not_make_a_ladder_cyclic():
    random = np.random.default_rng(0)
    raw, corrected = [], []
    for _ in range(40):
        rates = ladder(10)
        wins = np.triu(random.binomial(30, rates), 1)
        points = wins + np.triu(30 - wins, 1).T
        smoothed = (points + 1) / 32
        np.fill_diagonal(smoothed, 0.5)
        games = np.full((10, 10), 30.0)
        np.fill_diagonal(games, 0.0)
        raw.append(non_transitivity(smoothed))
        corrected.append(non_transitivity(smoothed, games))
    assert np.mean(raw) > 0.06
    assert np.mean(corrected) < 0.025


def test_pairs_that_have_not_met_prove_nothing():
    """A chain of games without a circle is explained by ratings whatever its results; closed to a circle it is not."""
    rates = np.full((4, 4), 0.5)
    games = np.zeros((4, 4))
    for row, column, rate in ((0, 1, 0.9), (1, 2, 0.8), (2, 3, 0.7)):
        rates[row, column], rates[column, row] = rate, 1 - rate
        games[row, column] = games[column, row] = 1e9
    assert non_transitivity(rates, games) == pytest.approx(0.0, abs=1e-6)
    assert non_transitivity(rates) > 0.3
    rates[3, 0], rates[0, 3] = 0.9, 0.1
    games[3, 0] = games[0, 3] = 1e9
    odds = np.log([9.0, 4.0, 7 / 3, 9.0])  # the circle's mean is what no ratings explain
    assert non_transitivity(rates, games) == pytest.approx(4 * odds.mean() ** 2 / (odds**2).sum(), abs=1e-6)
    assert non_transitivity(np.full((3, 3), 0.5), np.zeros((3, 3))) == 0.0


def test_a_circle_is_named_only_where_the_games_prove_it():
    sure = league(
        "rock", "paper", "scissors", paper_rock=(90, 10, 0), scissors_paper=(80, 20, 0), rock_scissors=(70, 30, 0)
    )
    assert cycles(sure) == [("rock", "scissors", "paper")]
    assert cycles(league("a", "b", "c", a_b=(3, 1, 0), b_c=(3, 1, 0), c_a=(3, 1, 0))) == []
    assert cycles(league("a", "b", "c", a_b=(90, 10, 0), b_c=(90, 10, 0), a_c=(90, 10, 0))) == []
    assert cycles(PayoffMatrix()) == []
