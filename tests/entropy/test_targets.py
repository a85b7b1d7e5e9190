"""Units of targets against numbers worked out by hand, and brute force."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headctl import MultiHeadEntropyController
from headctl.entropy.spec import HeadSpecError, parse_head
from headctl.entropy.targets import favourite_probability, nats_coefficients, target_fraction

GAUSSIAN = 1.4189385332046727
"""0.5 log(2 pi e), from the closed form."""


def fraction(
    unit: str, value: float, capacity: float, *, discrete: bool = True, dims: int = 1, floor: float = 0.0
) -> float:
    return target_fraction(nats_coefficients(unit, value, discrete=discrete, dims=dims, floor=floor), floor, capacity)


@pytest.mark.parametrize(
    ("unit", "value", "actions", "expected"),
    [
        ("fraction", 0.4, 9, 0.4),
        ("nats", 1.0, 9, 1.0 / math.log(9)),
        ("effective_actions", 3, 9, 0.5),
        ("epsilon", 0.1, 2, 0.469),
        ("epsilon", 0.1, 3, 0.359),
        ("epsilon", 0.1, 5, 0.288),
        ("epsilon", 0.1, 9, 0.243),
        ("epsilon", 0.05, 9, 0.138),
    ],
)
def test_units_of_discrete_heads(unit, value, actions, expected):
    assert fraction(unit, value, math.log(actions)) == pytest.approx(expected, abs=1e-3)


@given(st.floats(0.01, 0.9), st.integers(2, 30))
def test_epsilon_is_the_entropy_of_the_epsilon_greedy_choice(epsilon, actions):
    probabilities = [1 - epsilon] + [epsilon / (actions - 1)] * (actions - 1)
    entropy = -sum(p * math.log(p) for p in probabilities)
    assert fraction("epsilon", epsilon, math.log(actions)) * math.log(actions) == pytest.approx(entropy)


@pytest.mark.parametrize(
    ("unit", "value", "expected"),
    [
        ("std", 1.0, 1.0),
        ("std", math.exp(-1.5), 0.5),
        ("nats", 2 * (GAUSSIAN - 1.5), 0.5),
        ("nats_per_dim", GAUSSIAN - 3, 0.0),
    ],
)
def test_units_of_a_gaussian_head(unit, value, expected):
    floor, capacity = 2 * (GAUSSIAN - 3.0), 2 * GAUSSIAN
    assert fraction(unit, value, capacity, discrete=False, dims=2, floor=floor) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"target": 3.0, "unit": "nats", "choices": 9}, r"3 nats are 3 nats, the head's most are 2\.197"),
        ({"target": 12, "unit": "effective_actions", "choices": 9}, "effective_actions"),
        ({"target": 0.5, "unit": "effective_actions"}, "one action is the least"),
        ({"target": 1.5, "unit": "epsilon"}, "between 0 and 1"),
        ({"target": 0.3, "unit": "std"}, "a discrete head has no targets in std"),
        ({"target": 0.3, "unit": "epsilon", "kind": "gaussian"}, "a continuous head has no targets in epsilon"),
        ({"target": 2.0, "unit": "std", "kind": "gaussian"}, "the head's most"),
        ({"target": 0.01, "unit": "std", "kind": "gaussian"}, "smallest is 0.04979"),
        ({"target": -9, "unit": "nats", "kind": "gaussian"}, "at least"),
        ({"target": -2, "unit": "nats_per_dim", "kind": "gaussian", "dims": 3}, "nats per dim"),
        ({"unit": "nats"}, "needed with unit nats"),
    ],
)
def test_targets_out_of_reach_are_refused_at_construction(value, message):
    with pytest.raises(HeadSpecError, match=message) as caught:
        parse_head("a", value)
    assert str(caught.value).startswith("heads.a.target: ")


def test_a_target_in_nats_becomes_a_fraction_of_what_the_states_allow():
    controller = MultiHeadEntropyController(
        {"a": {"target": 0.4, "unit": "nats", "choices": 9, "gain_integral": 1.0, "gain_proportional": 0.0}}
    )
    for legal, wanted in ((2, 0.4 / math.log(2)), (9, 0.4 / math.log(9))):
        before = controller.log_alpha.item()
        capacity = torch.full((4, 1), math.log(legal))
        controller.step(0.5 * capacity, capacity=capacity)
        assert controller.metrics()["heads/a/target_fraction"] == pytest.approx(wanted)
        assert controller.log_alpha.item() - before == pytest.approx(wanted - 0.5, abs=1e-5)


def test_a_target_beyond_the_states_is_bounded_and_told():
    controller = MultiHeadEntropyController({"a": {"target": 1.0, "unit": "nats", "choices": 9}})
    capacity = torch.full((4, 1), math.log(2))
    for _ in range(200):
        controller.step(0.9 * capacity, capacity=capacity)
    metrics = controller.metrics()
    assert metrics["heads/a/beyond_reach"] == 1.0
    assert metrics["heads/a/target_fraction"] == pytest.approx(1.0 / math.log(2), rel=1e-5)
    assert metrics["heads/a/target_entropy"] == pytest.approx(1.0)
    assert controller.alpha.item() <= 1.0


@pytest.mark.parametrize(
    ("share", "actions", "expected"),
    [(0.98, 2, 0.583), (0.89, 3, 0.574), (0.7, 5, 0.653), (0.5, 9, 0.745), (0.2, 9, 0.921), (0.5, 1, 1.0)],
)
def test_probability_of_the_favourite(share, actions, expected):
    assert favourite_probability(share, actions) == pytest.approx(expected, abs=6e-4)
