"""The laboratory's measures, against numbers worked out by hand."""

import numpy as np
import pytest

from headctl.run.lab import measures
from headctl.run.lab.measures import Course, Jump


def course(fraction, target, alpha=None):
    fraction = np.asarray(fraction, dtype=float)
    target = np.broadcast_to(np.asarray(target, dtype=float), fraction.shape)
    return Course(fraction, target, np.zeros_like(fraction) if alpha is None else np.asarray(alpha, dtype=float))


def test_shortfall_counts_below_target_only_and_not_the_first_tenth():
    fractions = [0.0] + [0.5] * 7 + [0.4, 0.3]  # the first of ten does not count; nine do
    assert measures.mean_shortfall(course(fractions, 0.5)) == pytest.approx((0.1 + 0.2) / 9)
    assert measures.mean_shortfall(course([0.9] * 10, 0.5)) == 0.0


def test_rmse_counts_both_ways():
    fractions = [0.0, *[0.5] * 7, 0.2, 0.9]
    assert measures.rmse(course(fractions, 0.5)) == pytest.approx(np.sqrt((0.3**2 + 0.4**2) / 9))


def test_jitter_is_the_mean_step_of_alpha():
    assert measures.alpha_jitter(course([0] * 4, 0, alpha=[0.1, 0.3, 0.2, 0.2])) == pytest.approx((0.2 + 0.1 + 0.0) / 3)


def test_jumps_are_told_from_slopes():
    target = np.array([0.5, 0.45, 0.40, 0.7, 0.7, 0.4, 0.4])
    first, second = measures.jumps(target)
    assert (first.first, first.last, first.size) == (3, 5, pytest.approx(0.3))
    assert (second.first, second.last, second.size) == (5, 7, pytest.approx(-0.3))
    assert measures.jumps(np.full(5, np.nan)) == []


UP = Jump(first=2, last=12, size=0.3)


def test_a_head_has_settled_when_it_stays():
    #                       jump at 2   near once, away again, then near for good
    head = course([0.4, 0.4, 0.4, 0.5, 0.66, 0.6, 0.66, 0.68, 0.72, 0.7, 0.7, 0.7], [0.4] * 2 + [0.7] * 10)
    assert measures.settle_iterations(head, UP, one_sided=False) == 4
    assert measures.settle_iterations(head, UP, one_sided=True) == 4


def test_a_floor_does_not_mind_too_much():
    head = course([0.4, 0.4, *[0.9] * 10], [0.4] * 2 + [0.7] * 10)
    assert measures.settle_iterations(head, UP, one_sided=True) == 0
    assert measures.settle_iterations(head, UP, one_sided=False) == 10  # never: the length of the segment


def test_the_last_iterations_cannot_pass_for_settled():
    head = course([0.4, 0.4, *[0.4] * 6, *[0.7] * 4], [0.4] * 2 + [0.7] * 10)
    assert measures.settle_iterations(head, UP, one_sided=False) == 10


def test_overshoot_is_a_share_of_the_jump():
    up = course([0.4, 0.4, 0.6, 0.79, *[0.7] * 8], [0.4] * 2 + [0.7] * 10)
    assert measures.overshoot(up, UP) == pytest.approx(0.3)
    down = course([0.7, 0.7, 0.6, 0.34, *[0.4] * 8], [0.7] * 2 + [0.4] * 10)
    assert measures.overshoot(down, UP._replace(size=-0.3)) == pytest.approx(0.2)
    short = course([0.4] * 12, [0.4] * 2 + [0.7] * 10)
    assert measures.overshoot(short, UP) == 0.0


def test_recovery_ends_where_the_head_first_comes_near():
    back = Jump(first=2, last=8, size=-0.6)
    head = course([1.0, 1.0, 0.9, 0.7, 0.59, 0.7, 0.5, 0.5], [1.1] * 2 + [0.5] * 6)
    assert measures.recovery_iterations(head, back, within=0.1) == 2
    assert measures.recovery_iterations(course([1.0] * 8, [1.1] * 2 + [0.5] * 6), back, within=0.1) == 6
