"""Which heads have collapsed: on with the status, off with half of the target, and part of the state."""

import math

import pytest
import torch

from headctl import MultiHeadEntropyController
from headctl.entropy.monitor import PATIENCE
from headctl.entropy.status import HeadStatus

TARGET = 0.4
HEADS = {"a": {"target": TARGET, "choices": 4}, "b": {"target": TARGET, "choices": 4}, "c": {"alpha": 0.0}}


def feed(controller, fraction, updates=PATIENCE):
    """Head b stays on its target; c is not controlled."""
    entropy = torch.tensor([[fraction, TARGET, 0.0]]) * math.log(4)
    for _ in range(updates):
        controller.step(entropy, capacity=torch.full((1, 3), math.log(4)))
    return controller.metrics()


def test_a_collapse_is_over_when_half_of_the_target_is_reached():
    controller = MultiHeadEntropyController(HEADS)
    assert controller.collapsed.tolist() == [False, False, False]
    feed(controller, 0.01, PATIENCE // 2)
    assert controller.collapsed.tolist() == [False, False, False]  # not yet for long enough
    course = [(0.01, True), (0.05, True), (0.19, True), (0.21, False), (0.05, False), (0.015, True)]
    for fraction, collapsed in course:
        metrics = feed(controller, fraction)
        assert controller.collapsed.tolist() == [collapsed, False, False], fraction
        assert (metrics["heads/a/status"] == HeadStatus.COLLAPSED) == (fraction < 0.02)


def test_a_head_without_rows_stays_as_it_was():
    controller = MultiHeadEntropyController(HEADS)
    feed(controller, 0.01)
    for _ in range(PATIENCE):
        controller.step(torch.zeros(1, 3), capacity=torch.ones(1, 3), weight=torch.zeros(1, 3))
    assert controller.metrics()["heads/a/status"] == HeadStatus.INACTIVE
    assert controller.collapsed.tolist() == [True, False, False]


def test_a_collapse_is_part_of_the_state():
    controller, resumed = MultiHeadEntropyController(HEADS), MultiHeadEntropyController(HEADS)
    feed(controller, 0.01)
    feed(controller, 0.1)  # the status is no longer COLLAPSED
    resumed.load_state_dict(controller.state_dict())
    assert resumed.collapsed.tolist() == [True, False, False]
    feed(resumed, 0.1)
    assert resumed.collapsed.tolist() == [True, False, False]


@pytest.mark.parametrize("progress", [0.0, 1.0])
def test_half_of_the_target_is_half_of_the_target_in_force(progress):
    schedule = {"schedule": "linear", "start": 0.8, "end": 0.2}
    controller = MultiHeadEntropyController({"a": {"target": schedule, "choices": 4}})
    for fraction in (0.01, 0.15):
        for _ in range(PATIENCE):
            entropy = torch.full((1, 1), fraction * math.log(4))
            controller.step(entropy, progress=progress)
        controller.metrics()
    assert controller.collapsed.tolist() == [progress == 0.0]
