"""The law as a function: hand-computed steps, and its behaviour at the bounds."""

import math

import pytest
import torch

from headctl.entropy.laws import Bounds, proportional_integral


def step(alpha: float, error: float, *, low: float = 1e-4, high: float = 1.0, kp: float = 2.0, ki: float = 0.125):
    vector = torch.tensor
    limits = (low, high, math.log(max(low, 1e-4)), math.log(high), 0.0)
    bounds = Bounds(*(vector([limit]) for limit in limits))
    log_alpha = vector([alpha]).log()
    return proportional_integral(log_alpha, log_alpha + ki * error, vector([error]), vector([kp]), bounds)


def test_a_step_by_hand():
    moved = step(0.1, 0.04)
    assert moved.log_alpha.item() == pytest.approx(math.log(0.1) + 0.125 * 0.04, abs=1e-6)
    assert moved.alpha.item() == pytest.approx(0.1 * math.exp(0.005) + 0.08, abs=1e-6)
    assert not moved.at_upper.item()
    assert not moved.at_lower.item()


def test_at_rest_alpha_is_the_learned_temperature():
    moved = step(0.3, 0.0)
    assert moved.alpha.item() == pytest.approx(0.3)
    assert moved.log_alpha.item() == pytest.approx(math.log(0.3))


def test_no_proportional_gain_is_plain_dual_ascent():
    moved = step(0.1, 0.5, kp=0.0, ki=1.0)
    assert moved.alpha.item() == pytest.approx(0.1 * math.exp(0.5))


def test_at_the_upper_bound_the_integral_waits():
    moved = step(0.2, 0.6)
    assert moved.alpha.item() == 1.0
    assert moved.at_upper.item()
    assert moved.log_alpha.item() == pytest.approx(math.log(0.2))


def test_at_the_lower_bound_the_integral_waits():
    moved = step(0.2, -0.3)
    assert moved.alpha.item() == pytest.approx(1e-4)
    assert moved.at_lower.item()
    assert moved.log_alpha.item() == pytest.approx(math.log(0.2))


def test_leaving_a_bound_is_never_held_up():
    assert step(1.0, -0.01).log_alpha.item() < 0.0
    assert step(1e-4, 0.01).log_alpha.item() > math.log(1e-4)


def test_track_presses_down_with_a_negative_temperature():
    assert step(0.01, -0.02, low=-0.05).alpha.item() == pytest.approx(0.01 * math.exp(-0.0025) - 0.04, abs=1e-6)
    assert step(0.01, -0.5, low=-0.05).alpha.item() == pytest.approx(-0.05)


def test_log_alpha_never_leaves_its_bounds():
    log_alpha = torch.tensor([0.5]).log()
    bounds = Bounds(*(torch.tensor([limit]) for limit in (1e-4, 1.0, math.log(1e-4), 0.0, 0.0)))
    for _ in range(1000):
        log_alpha = proportional_integral(
            log_alpha, log_alpha + 4.5, torch.tensor([0.9]), torch.tensor([0.0]), bounds
        ).log_alpha
    assert log_alpha.item() == 0.0
