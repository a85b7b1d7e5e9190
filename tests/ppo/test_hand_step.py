"""A gradient step with its numbers on the host: the step of the graph, and what is broken is left out."""

import math
from collections import Counter

import pytest
import torch

from headctl.ppo.faults import NonFiniteError
from tests.faults.numbers import nan_in
from tests.ppo.test_by_hand import ROWS, make_learner, play
from tests.ppo.test_faults import same, weights_of

HEADS = {"maneuver": {"target": 0.6}, "weapon": {"target": 0.4}, "params": {"target": 0.3}}


def state_of(learner):
    controller = learner.controller
    return [*weights_of(learner), controller.log_alpha.clone(), controller.alpha.clone()]


@pytest.mark.parametrize("dead", [0.0, 0.4, 1.0])
def test_an_update_with_numbers_on_the_host_is_the_one_with_a_graph(dead):
    host, graph = make_learner(heads=HEADS), make_learner(heads=HEADS)
    assert host._hand_step is not None
    graph._hand_step = None
    rollout = play(make_learner(seed=5).policy, dead=dead)
    for progress in (0.1, 0.2):
        told = [learner.update(rollout, torch.zeros(ROWS), progress) for learner in (host, graph)]
        assert told[0] == pytest.approx(told[1], rel=1e-4, abs=1e-5, nan_ok=True)
    for mine, theirs in zip(state_of(host), state_of(graph), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)
    assert told[0]["ppo/grad_norm"] > 0.0 or dead == 1.0


@pytest.mark.parametrize("term", ["policy_loss", "value_loss", "entropy", "log_prob", "gradient"])
def test_a_broken_minibatch_is_left_out_and_the_others_are_used(term):
    learner = make_learner(heads=HEADS)
    rollout = play(learner.policy)
    with nan_in(term, range(3, 4)):
        metrics = learner.update(rollout, torch.zeros(ROWS), 0.1)
    assert learner.skipped == Counter({term: 1})
    assert metrics["ppo/skipped"] == 1
    assert metrics["ppo/updates"] >= 3
    assert all(bool(torch.isfinite(weight).all()) for weight in weights_of(learner))
    assert all(math.isfinite(metrics[name]) for name in ("ppo/policy_loss", "ppo/value_loss", "ppo/grad_norm"))
    assert metrics["heads/weapon/skipped"] == (1 if term == "entropy" else 0)
    assert learner.update(rollout, torch.zeros(ROWS), 0.2)["ppo/skipped"] == 0


def test_where_every_minibatch_is_broken_nothing_moves():
    learner = make_learner(heads=HEADS)
    rollout = play(learner.policy)
    before = state_of(learner)
    with (
        nan_in("policy_loss", range(1, 1000)),
        pytest.raises(NonFiniteError, match="policy_loss was not finite in every"),
    ):
        learner.update(rollout, torch.zeros(ROWS), 0.1)
    assert same(learner, before[:-2])
    assert torch.equal(learner.controller.alpha, before[-1])
