"""Ratings: what Bradley-Terry and Elo say of leagues whose truth is known."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings

from headctl.selfplay.payoff import PayoffError, PayoffMatrix
from headctl.selfplay.rating import ANCHOR_RATING, Elo, bradley_terry, expected_score, fit_bradley_terry
from headctl.selfplay.results import MatchResult
from tests.selfplay.test_payoff import league, leagues

WIN, LOSS, DRAW = MatchResult(1, 0, 0), MatchResult(0, 1, 0), MatchResult(0, 0, 1)


def simulated(seed, *, players=20, games=4000, deviation=200.0, draws=0.2):
    """True ratings, and games between random pairs, of which a fifth are draws whatever the skill."""
    random = np.random.default_rng(seed)
    truth = random.normal(0.0, deviation, players)
    played = []
    for _ in range(games):
        first, second = random.choice(players, 2, replace=False)
        if random.random() < draws:
            result = DRAW
        else:
            result = WIN if random.random() < expected_score(truth[first] - truth[second]) else LOSS
        played.append((f"p{first}", f"p{second}", result))
    return truth, played


def kendall_tau(first, second):
    """Share of pairs in the same order minus that of pairs in the other (Kendall 1938)."""
    signs = [np.sign(np.subtract.outer(values, values)) for values in (np.asarray(first), np.asarray(second))]
    size = len(signs[0])
    return float((signs[0] * signs[1]).sum() / (size * (size - 1)))


def rated(played, players=20, **options):
    payoff = PayoffMatrix(f"p{number}" for number in range(players))
    for first, second, result in played:
        payoff.record(first, second, result)
    return bradley_terry(payoff, **options)


def elo_of(played, players=20):
    elo = Elo(step=16.0)
    for game in played:
        elo.update(*game)
    return np.array([elo.rating(f"p{number}") for number in range(players)])


def test_bradley_terry_beats_elo_on_a_simulated_league():
    taus = []
    for seed in range(10):
        truth, played = simulated(seed)
        fitted = [rating.rating for rating in rated(played)]
        taus.append((kendall_tau(truth, fitted), kendall_tau(truth, elo_of(played))))
    ours, theirs = np.array(taus).T
    assert (ours >= theirs).mean() >= 0.8  # walking at random, Elo may stop at the right place
    assert ours.mean() > theirs.mean() + 0.03
    assert ours.mean() > 0.9


def test_the_order_of_the_games_is_nothing_to_bradley_terry_and_much_to_elo():
    _, played = simulated(7, games=1000)
    order = np.random.default_rng(0).permutation(len(played))
    shuffled = [played[index] for index in order]
    assert rated(played) == rated(shuffled)
    assert np.abs(elo_of(played) - elo_of(shuffled)).max() > 5.0


def test_the_order_of_the_players_is_nothing_either():
    forward = {
        rating.name: rating.rating for rating in bradley_terry(league("a", "b", "c", a_b=(7, 3, 1), b_c=(6, 4, 0)))
    }
    back = {rating.name: rating.rating for rating in bradley_terry(league("c", "b", "a", a_b=(7, 3, 1), b_c=(6, 4, 0)))}
    assert forward == pytest.approx(back)


def test_odds_of_ten_to_one_are_four_hundred_points():
    assert expected_score(400.0) == pytest.approx(10 / 11)
    ratings = bradley_terry(league("a", "b", a_b=(1000, 100, 0)), anchor="b", prior_draws=0.0)
    assert [rating.rating for rating in ratings] == pytest.approx([1400.0, 1000.0], abs=0.05)


def test_the_interval_is_that_of_the_log_odds():
    # For two players the variance of the log-odds is 1 / (n p q).
    ratings = bradley_terry(league("a", "b", a_b=(75, 25, 0)), anchor="b", prior_draws=0.0)
    half = 1.959964 * math.sqrt(1 / (100 * 0.75 * 0.25)) * 400 / math.log(10)
    assert ratings[0].high - ratings[0].rating == pytest.approx(half, rel=1e-3)
    assert ratings[0].rating - ratings[0].low == pytest.approx(half, rel=1e-3)
    assert (ratings[1].low, ratings[1].high) == (1000.0, 1000.0)


def test_intervals_cover_the_truth_as_often_as_they_say():
    covered = []
    for seed in range(30):
        truth, played = simulated(seed, players=8, games=600, draws=0.0)
        ratings = rated(played, players=8, anchor="p0")
        covered += [
            rating.low <= ANCHOR_RATING + true - truth[0] <= rating.high
            for rating, true in zip(ratings[1:], truth[1:], strict=True)
        ]
    assert 0.91 < np.mean(covered) < 0.99  # 95 % of 210


def test_the_fit_is_a_maximum():
    random = np.random.default_rng(3)
    points = random.integers(0, 30, (7, 7)).astype(float)
    np.fill_diagonal(points, 0.0)
    ratings, covariance = fit_bradley_terry(points, prior_draws=0.0)
    unit = math.log(10) / 400

    def objective(values):
        leads = unit * (values[:, None] - values[None, :])
        return -(points * np.log1p(np.exp(-leads))).sum() - unit * unit * (values**2).sum() / (2 * (4000 * unit) ** 2)

    for index in range(7):
        step = np.eye(7)[index]
        slope = (objective(ratings + 1e-3 * step) - objective(ratings - 1e-3 * step)) / 2e-3
        assert slope == pytest.approx(0.0, abs=1e-6)
    curvature = np.linalg.inv(covariance)
    step = np.eye(7)[0]
    second = (objective(ratings + step) - 2 * objective(ratings) + objective(ratings - step)) / 1.0
    assert -second == pytest.approx(curvature[0, 0], rel=1e-3)


@settings(deadline=None, max_examples=200)
@given(leagues())
def test_ratings_are_finite_whatever_was_played(payoff):
    for anchor in (None, *payoff.names[:1]):
        for rating in bradley_terry(payoff, anchor=anchor):
            assert math.isfinite(rating.rating)
            assert math.isfinite(rating.low)
            assert rating.low <= rating.rating <= rating.high < math.inf
            assert math.isnan(rating.score) == (rating.games == 0)


def test_what_nothing_is_known_of_stays_in_the_middle_and_says_so():
    assert bradley_terry(PayoffMatrix()) == []
    (alone,) = bradley_terry(PayoffMatrix(["alone"]))
    assert (alone.rating, alone.low, alone.high, alone.games) == (1000.0, 1000.0, 1000.0, 0)
    ratings = bradley_terry(league("a", "b", "new", a_b=(50, 50, 0)), anchor="a")
    assert ratings[2].rating == pytest.approx(1000.0)
    assert ratings[2].high - ratings[2].low > 4 * (ratings[1].high - ratings[1].low)


def test_all_wins_are_finite_and_more_of_them_are_worth_more():
    few = bradley_terry(league("a", "b", a_b=(10, 0, 0)), anchor="b")[0]
    many = bradley_terry(league("a", "b", a_b=(1000, 0, 0)), anchor="b")[0]
    assert few.rating == pytest.approx(1000 + 400 * math.log10(11), rel=0.01)  # as if one more was won and one lost
    assert many.rating == pytest.approx(1000 + 400 * math.log10(1001), rel=0.02)
    assert few.low > 1000  # ten in a row are no accident


def test_all_draws_are_equal_strength_and_the_draw_rate_says_why():
    ratings = bradley_terry(league("a", "b", "c", a_b=(0, 0, 40), b_c=(0, 0, 40), a_c=(0, 0, 40)))
    assert [rating.rating for rating in ratings] == pytest.approx([1000.0] * 3)
    assert {rating.draw_rate for rating in ratings} == {1.0}
    assert {rating.score for rating in ratings} == {0.5}


def test_a_ladder_of_many_rungs_is_rated_as_one():
    names = [f"s{number}" for number in range(60)]
    payoff = PayoffMatrix(names)
    for low, high in pairwise(names):
        payoff.record(high, low, MatchResult(76, 24, 0))
    ratings = [rating.rating for rating in bradley_terry(payoff)]
    truth = 400 * math.log10(76 / 24)  # 200; a prior around the mean would draw them together
    assert np.diff(ratings) == pytest.approx(np.full(59, truth), rel=0.1)


def test_the_anchor_must_be_a_player():
    with pytest.raises(PayoffError, match=r"unknown player: 'pursuit'. Allowed: a, b"):
        bradley_terry(league("a", "b"), anchor="pursuit")
    with pytest.raises(PayoffError, match="prior_draws: must be a number of games, at least 0"):
        bradley_terry(league("a", "b"), prior_draws=-1.0)


# Elo ----------------------------------------------------------------------------------------------------------------


def test_one_game_between_equals_moves_half_a_step():
    elo = Elo(step=16.0)
    assert elo.update("a", "b", WIN) == 1008.0
    assert elo.rating("b") == 992.0
    assert elo.update("a", "c", MatchResult(0, 0, 0)) == 1008.0
    assert elo.rating("c") == 1000.0


def test_a_frozen_opponent_keeps_her_rating():
    elo = Elo()
    elo.set_rating("pilot", 1200.0)
    elo.update("live", "pilot", MatchResult(3, 0, 0), frozen=True)
    assert elo.rating("pilot") == 1200.0
    assert elo.rating("live") > 1000.0


def test_thousands_of_games_at_once_end_at_the_rating_of_their_score():
    elo = Elo(step=16.0)
    elo.update("live", "pilot", MatchResult(7500, 2500, 0), frozen=True)
    assert elo.rating("live") == pytest.approx(1000 + 400 * math.log10(3), abs=0.01)


def test_elo_comes_back_from_its_state():
    elo = Elo()
    elo.update("a", "b", WIN)
    other = Elo()
    other.load_state_dict(elo.state_dict())
    assert other.update("a", "b", LOSS) == elo.update("a", "b", LOSS)
    with pytest.raises(ValueError, match=r"elo\.ratings\.a: must be a finite number"):
        other.load_state_dict({"ratings": {"a": math.nan}})
    with pytest.raises(ValueError, match="step: must be a positive number"):
        Elo(step=0.0)
