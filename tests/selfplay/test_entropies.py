"""Which opponent moved a head's entropy."""

import math

import pytest
import torch
from gymnasium import spaces

from headctl.policy.actions import ActionHeads, describe_space, resolve_heads
from headctl.policy.network import Policy
from headctl.ppo.rollout import Rollout
from headctl.selfplay.entropies import entropies_by_opponent, entropy_metrics

SPACE = spaces.Dict({"act": spaces.Discrete(4)})


def test_rows_are_put_to_the_opponent_that_they_met():
    heads = ActionHeads(resolve_heads(describe_space(SPACE), {}), SPACE)
    policy = Policy(1, heads, hidden=(4,), generator=torch.Generator().manual_seed(0))
    rollout = Rollout(9, 4, 1, heads, mask_sizes={"act": 4}, device=torch.device("cpu"))
    with torch.no_grad():
        policy.actor.weight.zero_()
        policy.actor.bias.zero_()
    legal = torch.arange(4) < torch.tensor([[4], [2], [3], [1]])
    for step in range(9):
        rollout.store_decision(step, torch.zeros(4, 1), {"act": legal}, policy.act(torch.zeros(4, 1), {"act": legal}))
    rollout.alive.fill_(1.0)
    rollout.alive[8, 1] = 0.0  # the dead count nothing
    slots = torch.tensor([-1, 0, 1, 1])
    found = entropies_by_opponent(policy, rollout, slots, ["a", "b"])
    assert list(found) == ["latest", "a", "b"]
    assert found["latest"]["act"] == pytest.approx(math.log(4), abs=1e-5)
    assert found["a"]["act"] == pytest.approx(math.log(2), abs=1e-5)
    assert found["b"]["act"] == pytest.approx(math.log(3), abs=1e-5)  # the row with a single legal action is no choice
    # The same opponent in two slots is one opponent.
    both = entropies_by_opponent(policy, rollout, slots, ["a", "a"])
    assert both["a"]["act"] == pytest.approx((8 * math.log(2) + 9 * math.log(3)) / 17, abs=1e-5)
    # Where nobody says who sits where, nothing is told.
    assert entropies_by_opponent(policy, rollout, slots, []) == {}


def test_the_opponent_with_the_largest_difference_is_named():
    told = entropy_metrics({"a": {"act": 1.0}, "b": {"act": 1.2}, "c": {"act": 0.2}, "d": {"act": math.nan}})
    assert told["selfplay/entropy_shift_by/act"] == "c"
    assert told["selfplay/entropy_shift/act"] == pytest.approx(0.2 - 1.1)
    assert told["selfplay/opponent/b/entropy/act"] == 1.2
    assert "selfplay/entropy_shift/act" not in entropy_metrics({"a": {"act": 1.0}})
    assert entropy_metrics({}) == {}
