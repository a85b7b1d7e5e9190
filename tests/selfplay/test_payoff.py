"""The payoff matrix: counts by outcome, smoothed rates, what to play next, and its state."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headctl.selfplay.payoff import PayoffError, PayoffMatrix
from headctl.selfplay.results import MatchResult, wilson_interval


def league(*names, **games):
    """Games as ``a_b=(wins, losses, draws)``."""
    payoff = PayoffMatrix(names)
    for pair, counts in games.items():
        payoff.record(*pair.split("_"), MatchResult(*counts))
    return payoff


def test_a_win_of_one_side_is_the_loss_of_the_other():
    payoff = league("a", "b", "c", a_b=(6, 2, 3), b_a=(1, 4, 0), c_a=(0, 5, 0))
    assert payoff.result("a", "b") == MatchResult(10, 3, 3)
    assert payoff.result("b", "a") == MatchResult(3, 10, 3)
    assert payoff.total("a") == MatchResult(15, 3, 3)
    assert payoff.games.tolist() == [[0, 16, 5], [16, 0, 0], [5, 0, 0]]
    assert payoff.points.tolist() == [[0, 11.5, 5], [4.5, 0, 0], [0, 0, 0]]
    assert np.array_equal(payoff.wins[:2, :2], [[0, 10], [3, 0]])
    assert np.array_equal(payoff.draws, payoff.draws.T)


def test_rates_are_smoothed_by_the_rule_of_laplace():
    payoff = league("a", "b", "c", a_b=(8, 0, 0), a_c=(1, 0, 3))
    rates = payoff.rates()
    assert rates[0, 1] == 9 / 10  # (8 + 1) / (8 + 2)
    assert rates[0, 2] == 3.5 / 6  # draws are half
    assert rates[1, 2] == 0.5  # nothing known
    assert rates[1, 0] == pytest.approx(0.1)
    assert payoff.rates(prior=4.0)[0, 1] == 12 / 16
    assert payoff.rates_against("a", ["c", "b"]).tolist() == [3.5 / 6, 0.9]
    assert np.array_equal(payoff.payoffs(), -payoff.payoffs().T)


COUNTS = st.one_of(st.just(0), st.integers(0, 3), st.integers(0, 10**6))


@st.composite
def leagues(draw):
    """Leagues of any size, with everything in them: all wins, all losses, all draws, no games, one player, nobody."""
    size = draw(st.integers(0, 6))
    payoff = PayoffMatrix([f"p{number}" for number in range(size)])
    kind = draw(st.sampled_from(["mixed", "wins", "losses", "draws", "none"]))
    for row in range(size):
        for column in range(row + 1, size):
            wins, losses, draws = draw(COUNTS), draw(COUNTS), draw(COUNTS)
            counts = {
                "mixed": (wins, losses, draws),
                "wins": (wins, 0, 0),
                "losses": (0, losses, 0),
                "draws": (0, 0, draws),
                "none": (0, 0, 0),
            }[kind]
            payoff.record(f"p{row}", f"p{column}", MatchResult(*counts))
    return payoff


@settings(deadline=None, max_examples=200)
@given(leagues(), st.floats(1e-3, 100.0))
def test_nothing_is_ever_nan(payoff, prior):
    rates = payoff.rates(prior)
    assert ((rates > 0.0) & (rates < 1.0)).all()
    np.testing.assert_allclose(rates + rates.T, 1.0)
    deviation = payoff.uncertainty(prior)
    assert np.isfinite(deviation).all()
    assert (deviation >= 0.0).all()
    assert (deviation <= 0.5).all()
    for first in payoff.names:
        for second in payoff.names:
            low, high = payoff.interval(first, second)
            mirrored = payoff.interval(second, first)
            assert 0.0 <= low <= high <= 1.0
            assert mirrored == pytest.approx((1 - high, 1 - low))
    size = len(payoff)
    pairs = payoff.most_uncertain(100)
    assert len({frozenset(pair) for pair in pairs}) == len(pairs) == size * (size - 1) // 2


def test_intervals_are_those_of_wilson():
    payoff = league("a", "b", "c", a_b=(15, 133, 0), b_c=(0, 0, 4))
    assert payoff.interval("a", "b") == wilson_interval(15, 148)
    assert payoff.interval("b", "c") == wilson_interval(2, 4)
    assert payoff.interval("a", "c") == (0.0, 1.0)
    assert payoff.interval("a", "a") == (0.5, 0.5)


def test_uncertainty_is_that_of_the_posterior():
    payoff = league("a", "b", "c", a_b=(7, 3, 0))
    expected = math.sqrt(8 * 4 / (12**2 * 13))  # Beta(8, 4)
    assert payoff.uncertainty()[0, 1] == pytest.approx(expected)
    assert payoff.uncertainty()[0, 2] == pytest.approx(math.sqrt(1 / 12))  # uniform


def test_the_least_known_pair_is_played_first():
    payoff = league("a", "b", "c", "d", a_b=(10, 10, 0), a_c=(20, 0, 0), b_c=(5, 5, 0), b_d=(50, 50, 0), c_d=(3, 0, 0))
    order = payoff.most_uncertain(10)
    assert order[0] == ("a", "d")  # no game at all
    # As few as three games say little, and an even score says less than a clear one.
    assert order[1:] == [("c", "d"), ("b", "c"), ("a", "b"), ("b", "d"), ("a", "c")]
    assert payoff.most_uncertain(1, among=["b", "a", "c"]) == [("b", "c")]
    assert payoff.most_uncertain(0) == []
    assert PayoffMatrix(["alone"]).most_uncertain(5) == []


def test_playing_the_least_known_pair_learns_faster_than_playing_in_turn():
    def worst(schedule):
        payoff = PayoffMatrix("abcd")
        chances = {
            ("a", "b"): 0.5,
            ("a", "c"): 0.99,
            ("a", "d"): 1.0,
            ("b", "c"): 0.5,
            ("b", "d"): 1.0,
            ("c", "d"): 1.0,
        }
        for round_ in range(60):
            pair = schedule(payoff, round_, list(chances))
            won = round(10 * chances[pair])
            payoff.record(*pair, MatchResult(won, 10 - won, 0))
        return payoff.uncertainty().max()

    by_need = worst(lambda payoff, _, __: payoff.most_uncertain(1)[0])
    in_turn = worst(lambda _, round_, pairs: pairs[round_ % len(pairs)])
    assert by_need < 0.75 * in_turn


def test_players_come_and_go_with_their_games():
    payoff = league("a", "b", "c", a_b=(3, 1, 0), b_c=(2, 0, 5))
    payoff.add("d")
    payoff.record("d", "a", MatchResult(1, 0, 0))
    payoff.remove("b")
    assert payoff.names == ("a", "c", "d")
    assert payoff.result("a", "c") == MatchResult(0, 0, 0)
    assert payoff.result("a", "d") == MatchResult(0, 1, 0)
    assert "b" not in payoff
    payoff.add("b")
    assert payoff.total("b").games == 0


def test_the_games_of_a_learner_can_fade():
    payoff = league("live", "old", "pilot", live_old=(8, 4, 4), old_pilot=(4, 0, 0))
    payoff.decay("live", 0.5)
    assert payoff.result("live", "old") == MatchResult(4, 2, 2)
    assert payoff.result("old", "pilot") == MatchResult(4, 0, 0)
    payoff.decay("live", 0.0)
    assert payoff.rates()[0, 1] == 0.5
    with pytest.raises(PayoffError, match=r"keep: must be in \[0, 1\], got 1.5"):
        payoff.decay("live", 1.5)


def test_matrices_are_copies():
    payoff = league("a", "b", a_b=(1, 0, 0))
    payoff.wins[0, 1] = 99
    payoff.draws[0, 1] = 99
    assert payoff.result("a", "b") == MatchResult(1, 0, 0)


def test_a_state_goes_through_json_and_comes_back():
    payoff = league("a", "b", "c", a_b=(6, 2, 3), b_c=(1, 4, 0))
    payoff.decay("c", 0.3)
    other = PayoffMatrix(["x"])
    other.load_state_dict(json.loads(json.dumps(payoff.state_dict())))
    assert other.state_dict() == payoff.state_dict()
    other.record("a", "b", MatchResult(1, 0, 0))
    assert payoff.result("a", "b").wins == 6
    empty = PayoffMatrix(["x"])
    empty.load_state_dict(PayoffMatrix().state_dict())
    assert len(empty) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 7}, "payoff.format: expected 1, got 7"),
        ({"names": "ab"}, "payoff.names: expected a list of names"),
        ({"names": ["a", "a"]}, "there is a player 'a' already"),
        ({"wins": [[0, 1]]}, "payoff.wins: expected 2 rows of 2 numbers"),
        ({"wins": None}, "payoff.wins: expected 2 rows of 2 numbers"),
        ({"wins": [[0, -1], [0, 0]]}, "payoff.wins: counts must be finite, not negative"),
        ({"wins": [[0, math.nan], [0, 0]]}, "payoff.wins: counts must be finite"),
        ({"wins": [[1, 0], [0, 0]]}, "payoff.wins: .* 0 on the diagonal"),
        ({"draws": [[0, 1], [2, 0]]}, "payoff.draws: a draw belongs to both"),
    ],
)
def test_a_state_that_cannot_be_is_refused_and_changes_nothing(change, message):
    payoff = league("a", "b", a_b=(1, 0, 0))
    before = payoff.state_dict()
    with pytest.raises(PayoffError, match=message):
        payoff.load_state_dict(before | change)
    assert payoff.state_dict() == before


def test_what_cannot_be_is_named():
    payoff = league("pursuit", "ace")
    with pytest.raises(PayoffError, match=r"unknown player: 'persuit'. Did you mean 'pursuit'\? Allowed: ace, pursuit"):
        payoff.result("persuit", "ace")
    with pytest.raises(PayoffError, match="unknown player: 'ace'; the league is empty"):
        PayoffMatrix().index("ace")
    with pytest.raises(PayoffError, match="there is a player 'ace' already"):
        payoff.add("ace")
    with pytest.raises(PayoffError, match="a player needs a name"):
        payoff.add("")
    with pytest.raises(PayoffError, match="'ace' cannot play himself"):
        payoff.record("ace", "ace", MatchResult(1, 0, 0))
    with pytest.raises(PayoffError, match="counts of games must not be negative"):
        payoff.record("ace", "pursuit", MatchResult(-1, 0, 0))
    with pytest.raises(PayoffError, match="prior: must be a positive number"):
        payoff.rates(0.0)
