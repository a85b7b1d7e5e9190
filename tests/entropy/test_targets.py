"""Units of targets against numbers worked out by hand, and brute force."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headctl import MultiHeadEntropyController
from headctl.entropy.spec import HeadSpecError, parse_head
from headctl.entropy.targets import (
    GAUSS_HERMITE,
    TANH_GAUSSIAN_LOG_STD_MAX,
    beta_range,
    entropy_std,
    favourite_probability,
    floored_entropy,
    nats_coefficients,
    std_entropy,
    tanh_gaussian_entropy,
    target_fraction,
)

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
        ({"target": 0.01, "unit": "std", "kind": "tanh_gaussian"}, "smallest is 0.04979"),
        ({"target": 1.5, "unit": "std", "kind": "tanh_gaussian"}, r"beyond a standard deviation of 0.8744 .* got 1\.5"),
        ({"target": 0.5, "unit": "std", "kind": "tanh_gaussian", "log_std_max": -1}, "the head's most"),
        ({"target": 0.0, "unit": "std", "kind": "gaussian"}, "a standard deviation is positive"),
        ({"target": 0.5, "unit": "std", "kind": "beta"}, "a beta head has no targets in std"),
        ({"target": 0.7, "unit": "nats", "kind": "beta"}, r"the head's most are 0\.6931"),
        ({"target": 3, "unit": "nats", "kind": "multidiscrete", "choices": [3, 4]}, r"the head's most are 2\.485"),
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


# Ranges of the distributions on an interval ------------------------------------------------------------------------


def test_the_quadrature_is_that_of_numpy():
    nodes, weights = np.polynomial.hermite_e.hermegauss(16)
    half = np.array(GAUSS_HERMITE)
    np.testing.assert_allclose(half[:, 0], nodes[8:], rtol=1e-13)
    np.testing.assert_allclose(half[:, 1], weights[8:] / weights.sum(), rtol=1e-10)


def fine_tanh_entropy(log_std):
    """Trapezoids in double precision, spectrally accurate for a Gaussian weight."""
    z = np.linspace(-12.0, 12.0, 20_001)
    density = np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    u = np.abs(math.exp(log_std) * z)
    slope = 2.0 * (math.log(2.0) - u - np.log1p(np.exp(-2.0 * u)))
    return GAUSSIAN + log_std + np.trapezoid(density * slope, z)


@pytest.mark.parametrize("log_std", [-5.0, -3.0, -1.5, -0.7, -0.134217, 0.0])
def test_entropy_of_a_centred_tanh_gaussian(log_std):
    assert tanh_gaussian_entropy(log_std) == pytest.approx(fine_tanh_entropy(log_std), abs=2e-5)


def test_a_tanh_gaussian_is_most_random_at_its_bound():
    peak = TANH_GAUSSIAN_LOG_STD_MAX
    around = [fine_tanh_entropy(peak + step) for step in (-0.01, 0.0, 0.01)]
    assert max(around) == around[1] == pytest.approx(0.6836, abs=1e-4)
    assert around[2] - around[0] == pytest.approx(0.0, abs=1e-6)  # the parabola's top is at the bound
    rising = [tanh_gaussian_entropy(log_std) for log_std in np.linspace(-5.0, peak, 200)]
    assert (np.diff(rising) > 0).all()


@pytest.mark.parametrize(
    ("concentration", "entropy"), [(2.0, 0.5681), (5.0, 0.2130), (20.0, -0.4377), (50.0, -0.8890)]
)  # the closed form with the exact digamma function, computed apart
def test_range_of_a_beta_head(concentration, entropy):
    assert beta_range(1, concentration) == (pytest.approx(entropy, abs=1e-3), math.log(2))
    x = np.linspace(0.0, 1.0, 200_001)[1:-1]
    log_density = (concentration - 1) * np.log(4 * x * (1 - x))
    density = np.exp(log_density) / np.exp(log_density).sum() / (x[1] - x[0])
    brute = -(density * np.log(density)).sum() * (x[1] - x[0]) + math.log(2)
    assert beta_range(3, concentration)[0] == pytest.approx(3 * brute, abs=1e-5)


@given(st.floats(-4.9, -0.2), st.sampled_from(["gaussian", "tanh_gaussian"]))
def test_std_and_entropy_are_inverse(log_std, kind):
    assert entropy_std(kind, std_entropy(kind, math.exp(log_std))) == pytest.approx(math.exp(log_std), rel=1e-6)


def test_a_target_in_std_is_the_entropy_of_that_scale():
    value = {"kind": "tanh_gaussian", "dims": 2, "target": 0.3, "unit": "std"}
    controller = MultiHeadEntropyController({"a": value})
    controller.step(torch.zeros(4, 1))
    wanted = 2 * fine_tanh_entropy(math.log(0.3))
    assert controller.metrics()["heads/a/target_entropy"] == pytest.approx(wanted, abs=1e-4)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=3), st.floats(0.0, 0.9))
def test_least_entropy_under_a_probability_floor(sizes, share):
    least = 0.0
    for size in sizes:
        probabilities = [1.0 - share + share / size] + [share / size] * (size - 1)
        least -= sum(p * math.log(p) for p in probabilities if p > 0)
    assert floored_entropy(sizes, share) == pytest.approx(least, abs=1e-12)


@pytest.mark.parametrize(
    ("share", "actions", "expected"),
    [(0.98, 2, 0.583), (0.89, 3, 0.574), (0.7, 5, 0.653), (0.5, 9, 0.745), (0.2, 9, 0.921), (0.5, 1, 1.0)],
)
def test_probability_of_the_favourite(share, actions, expected):
    assert favourite_probability(share, actions) == pytest.approx(expected, abs=6e-4)


def test_units_of_one_head_leave_a_head_without_a_target_alone():
    controller = MultiHeadEntropyController(
        {"a": {"target": 0.4, "unit": "nats", "choices": 4}, "b": {"alpha": 0.1, "choices": 4}}
    )
    controller.step(torch.full((8, 2), 0.7))
    metrics = controller.metrics()
    assert [metrics[f"heads/{head}/skipped"] for head in "ab"] == [0.0, 0.0]
    assert metrics["heads/b/fraction"] == pytest.approx(0.7 / math.log(4))
