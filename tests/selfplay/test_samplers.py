"""Who is drawn: every rule by hand, and what known implementations get wrong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headctl.selfplay.samplers import (
    Anchors,
    Mixture,
    Nash,
    Pilots,
    PrioritizedFictitious,
    Standings,
    Uniform,
    Window,
    draw,
    pfsp,
    with_floor,
)
from tests.helpers.players import numpy_stream

KINDS = ("hard", "variance", "linear_capped")


def standings(win_rates, kinds=None, nash=None, anchored=()):
    size = len(win_rates)
    names = tuple(f"p{number}" for number in range(size))
    kinds = kinds or ("snapshot",) * size
    nash = np.zeros(size) if nash is None else np.array(nash)
    return Standings(names, tuple(kinds), np.array(win_rates, float), nash, frozenset(anchored))


MIXED = standings(
    [0.2, 0.5, 0.9, 0.6, 0.3], ("snapshot", "snapshot", "snapshot", "anchor", "pilot"), [0.5, 0, 0.25, 0.25, 0], ("p1",)
)


@pytest.mark.parametrize(
    ("kind", "power", "weights"),
    [
        ("hard", 1.0, [0.8, 0.5, 0.1]),
        ("hard", 2.0, [0.64, 0.25, 0.01]),
        ("hard", 0.0, [1, 1, 1]),
        ("variance", 2.0, [0.16, 0.25, 0.09]),
        ("linear_capped", 2.0, [0.5, 0.5, 0.1]),
    ],
)
def test_pfsp_by_hand(kind, power, weights):
    expected = np.array(weights) / sum(weights)
    np.testing.assert_allclose(pfsp(np.array([0.2, 0.5, 0.9]), kind, power=power), expected, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rates", [[1, 1, 1], [0, 0, 0], [1, 1], [1, 0], [0.5], [1], [0], [1, 1, 0.5]])
def test_all_won_and_all_lost_is_never_nan(kind, rates):
    # DI-engine's pfsp returns NaN for [1, 1, 1] (squared), [1, 1] and [1, 0] (variance).
    drawn = pfsp(np.array(rates, float), kind)
    assert np.isfinite(drawn).all()
    assert drawn.sum() == pytest.approx(1.0)
    if len(set(rates)) == 1:
        np.testing.assert_allclose(drawn, 1.0 / len(rates))


def test_a_very_sharp_rule_does_not_underflow():
    drawn = pfsp(np.array([0.9999, 0.99995]), "hard", power=100.0)
    np.testing.assert_allclose(drawn, [1.0, 0.0], atol=1e-12)


@given(rates=st.lists(st.floats(0, 1), min_size=1, max_size=12), kind=st.sampled_from(KINDS), copies=st.integers(2, 20))
@settings(deadline=None, max_examples=100)
def test_the_sharpness_does_not_depend_on_the_size_of_the_pool(rates, kind, copies):
    small = pfsp(np.array(rates), kind)
    large = pfsp(np.tile(np.array(rates), copies), kind)
    np.testing.assert_allclose(large.reshape(copies, -1).sum(0), small, atol=1e-9)


@given(rates=st.lists(st.floats(0, 1), min_size=1, max_size=30), floor=st.floats(0, 1), kind=st.sampled_from(KINDS))
@settings(deadline=None, max_examples=100)
def test_everybody_keeps_a_floor(rates, floor, kind):
    drawn = with_floor(pfsp(np.array(rates), kind), floor)
    assert drawn.min() >= floor / len(rates) - 1e-12
    assert drawn.sum() == pytest.approx(1.0)


def test_a_wrong_kind_and_a_wrong_rate_are_refused():
    with pytest.raises(ValueError, match=r"unknown kind of pfsp: 'hart'.*hard"):
        pfsp(np.array([0.5]), "hart")
    with pytest.raises(ValueError, match="win_rates: must lie in"):
        pfsp(np.array([float("nan")]), "hard")


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        (Uniform(), [0.25, 0.25, 0.25, 0.25, 0]),
        (Window(2), [0, 0.5, 0.5, 0, 0]),
        (Window(9), [1 / 3, 1 / 3, 1 / 3, 0, 0]),
        (Pilots(), [0, 0, 0, 0, 1]),
        (Anchors(), [0, 0.5, 0, 0.5, 0]),
        # (1 - w) = .8 .5 .1 .4, sum 1.8; nine tenths of it and a tenth spread over four.
        (PrioritizedFictitious("hard", 1.0, 0.1), [0.425, 0.275, 0.075, 0.225, 0]),
        (Nash(0.2), [0.45, 0.05, 0.25, 0.25, 0]),
    ],
)
def test_every_rule_by_hand(sampler, expected):
    np.testing.assert_allclose(sampler.probabilities(MIXED), expected, atol=1e-12)


def test_nash_without_a_mixture_is_uniform():
    np.testing.assert_allclose(Nash(0.0).probabilities(standings([0.5, 0.5])), [0.5, 0.5])


def test_a_mixture_adds_up_by_weight():
    mixture = Mixture(((1.0, Window(1)), (3.0, Pilots())))
    np.testing.assert_allclose(mixture.probabilities(MIXED), [0, 0, 0.25, 0, 0.75])


def test_the_weight_of_a_rule_without_an_opponent_goes_to_the_others():
    mixture = Mixture(((1.0, Uniform()), (3.0, Anchors())))
    np.testing.assert_allclose(mixture.probabilities(standings([0.5, 0.5])), [0.5, 0.5])
    with pytest.raises(ValueError, match="the league is empty"):
        Mixture(((1.0, Pilots()),)).probabilities(standings([0.5]))


def test_a_mixture_is_read_from_plain_options():
    options = {"latest": 2.0, "uniform": 0.0, "pfsp": {"weight": 1.0, "kind": "variance", "power": 2.0}, "nash": 0.5}
    mixture = Mixture.from_options(options, floor=0.3)
    assert mixture.parts == ((1.0, PrioritizedFictitious("variance", 2.0, 0.3)), (0.5, Nash(0.3)))
    with pytest.raises(ValueError, match=r"selfplay\.opponents: unknown sampler: 'unifrom'"):
        Mixture.from_options({"unifrom": 1.0}, floor=0.0)
    assert Mixture.from_options({"latest": 1.0}, floor=0.0).parts == ((1.0, Uniform()),)


@given(
    weights=st.lists(st.floats(0, 1), min_size=1, max_size=10).filter(lambda each: sum(each) > 0.01),
    count=st.integers(1, 20),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=100)
def test_everybody_comes_up_as_often_as_the_probability_says_give_or_take_one(weights, count, seed):
    chances = np.array(weights) / sum(weights)
    times = np.bincount(draw(chances, count, numpy_stream(seed)), minlength=len(weights))
    assert times.sum() == count
    assert (np.abs(times - count * chances) < 1.0 + 1e-9).all()
    assert not times[chances == 0].any()


def test_draws_are_unbiased():
    chances = np.array([0.55, 0.3, 0.15, 0.0])
    random = numpy_stream(3)
    times = sum(np.bincount(draw(chances, 3, random), minlength=4) for _ in range(4000)) / 12_000
    np.testing.assert_allclose(times, chances, atol=0.01)


def test_seats_are_given_out_in_random_order():
    random = numpy_stream(5)
    first = np.bincount([draw([0.5, 0.5], 2, random)[0] for _ in range(2000)], minlength=2)
    assert abs(first[0] - 1000) < 120
