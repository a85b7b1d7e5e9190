"""Frozen opponents: who stays, who is drawn, and that many act as each alone would."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from headctl.policy.actions import ActionHeads, describe_space, resolve_heads
from headctl.policy.network import Policy
from headctl.selfplay.league import OpponentPool, OpponentStack, Snapshot
from tests.helpers.players import numpy_stream

SPACE = spaces.Dict({"act": spaces.Discrete(3), "aim": spaces.Box(-1, 1, (2,), np.float32), "duck": spaces.Discrete(2)})


def policy_of(seed):
    heads = ActionHeads(resolve_heads(describe_space(SPACE), {}), SPACE)
    policy = Policy(3, heads, hidden=(8, 8), generator=torch.Generator().manual_seed(seed))
    policy.normalizer.update(torch.randn(50, 3, generator=torch.Generator().manual_seed(seed)) * (seed + 1) + seed)
    with torch.no_grad():
        policy.actor.weight.mul_(100.0)
    return policy


def pool_of(ages, capacity):
    pool = OpponentPool(capacity, numpy_stream(0))
    for age in ages:
        pool.add(Snapshot(age, {}))
    return [snapshot.agent_steps for snapshot in pool.snapshots]


@pytest.mark.parametrize(
    ("ages", "capacity", "left"),
    [
        ([0, 1, 2], 5, [0, 1, 2]),
        ([0, 1, 2], 1, [2]),
        ([0, 1, 2, 3], 2, [0, 3]),
        # Ages 30, 20, 19, 0 in units of 19: log 49/19, log 39/19, log 2, 0. Around 10: log 49/38, around 11: log 39/19.
        ([0, 10, 11, 30], 3, [0, 11, 30]),
        # Ages 20, 10, 1, 0: log 21, log 11, log 2, 0. Around 10: log 21/2 = 2.35, around 19: log 11 = 2.40.
        ([0, 10, 19, 20], 3, [0, 19, 20]),
        # Evenly taken: ages 4, 3, 2, 1, 0, holes log 5/3, log 2, log 3.
        ([0, 1, 2, 3, 4], 4, [0, 2, 3, 4]),
    ],
)
def test_the_snapshot_leaves_that_makes_the_smallest_hole_among_the_logarithms_of_the_ages(ages, capacity, left):
    assert pool_of(ages, capacity) == left


def test_those_who_are_held_fast_stay_as_long_as_somebody_else_can_leave():
    pool = OpponentPool(4, numpy_stream(0))
    for age in range(4):
        pool.add(Snapshot(age, {}))
    assert pool.add(Snapshot(4, {}), keep=[f"{1:012d}"]).agent_steps == 2
    assert [snapshot.agent_steps for snapshot in pool.snapshots] == [0, 1, 3, 4]
    # Everybody is held: a cap is a cap, and the rule is the same as if nobody were.
    assert pool.add(Snapshot(5, {}), keep=pool.names).agent_steps == 1
    assert len(pool) == 4


@given(steps=st.lists(st.integers(1, 1000), min_size=1, max_size=60), capacity=st.integers(2, 8))
@settings(deadline=None, max_examples=100)
def test_the_oldest_and_the_newest_stay_and_the_pool_is_never_too_large(steps, capacity):
    ages = np.cumsum(steps).tolist()
    left = pool_of(ages, capacity)
    assert len(left) == min(len(ages), capacity)
    assert left == sorted(set(left))
    assert (left[0], left[-1]) == (ages[0], ages[-1])


def test_a_full_pool_spans_the_past_like_logarithms():
    left = pool_of(range(0, 1000, 10), 8)
    assert (left[0], left[-1]) == (0, 990)
    ages = (990 - np.array(left)) / 10
    steps = -np.diff(np.log1p(ages))
    assert steps.max() <= 2.5 * np.log(100) / 7  # no more than twice and a half the even spacing of the logarithms
    assert sorted(steps)[3] >= 0.5 * np.log(100) / 7
    assert ages[-3:].tolist() == [3, 1, 0] or ages[-3:].tolist() == [2, 1, 0]


def test_snapshots_come_in_order_of_age():
    pool = OpponentPool(3, numpy_stream(0))
    pool.add(Snapshot(5, {}))
    with pytest.raises(ValueError, match="must be younger than 5 agent-steps, got 5"):
        pool.add(Snapshot(5, {}))
    with pytest.raises(ValueError, match=r"selfplay\.pool_size: must be at least 1, got 0"):
        OpponentPool(0, numpy_stream(0))


def filled_pool(size, seed=0):
    pool = OpponentPool(20, numpy_stream(seed))
    for age in range(size):
        pool.add(Snapshot(age, {}))
    return pool


@given(size=st.integers(1, 9), count=st.integers(1, 20), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_draws_are_different_as_far_as_the_pool_goes(size, count, seed):
    drawn = [snapshot.agent_steps for snapshot in filled_pool(size, seed).draw(count)]
    times = np.bincount(drawn, minlength=size)
    assert len(drawn) == count
    assert times.max() - times.min() <= 1


def test_draws_are_uniform():
    pool = filled_pool(5)
    counts = np.bincount([pool.draw(1)[0].agent_steps for _ in range(4000)], minlength=5)
    assert ((counts - 800) ** 2 / 800).sum() < 18.5  # 0.1 % quantile with 4 degrees of freedom


def test_a_pool_goes_on_drawing_from_its_state():
    pool = filled_pool(6)
    pool.draw(3)
    state = pool.state_dict()
    ahead = [snapshot.agent_steps for snapshot in pool.draw(12)]
    other = OpponentPool(20, numpy_stream(77))
    other.load_state_dict(state, pool.snapshots)
    assert [snapshot.agent_steps for snapshot in other.draw(12)] == ahead
    with pytest.raises(ValueError, match="the state names the snapshots"):
        other.load_state_dict(state, pool.snapshots[1:])


def test_drawing_from_an_empty_pool_is_refused():
    with pytest.raises(ValueError, match="the pool of opponents is empty"):
        OpponentPool(3, numpy_stream(0)).draw(1)


def test_a_snapshot_does_not_follow_the_policy():
    policy = policy_of(1)
    snapshot = Snapshot.of(policy, 7)
    before = {name: entry.clone() for name, entry in snapshot.state.items()}
    with torch.no_grad():
        for weight in policy.parameters():
            weight.add_(1.0)
    policy.normalizer.update(torch.ones(5, 3))
    assert all(torch.equal(before[name], entry) for name, entry in snapshot.state.items())
    assert snapshot.name == "000000000007"


# Many at once -------------------------------------------------------------------------------------------------------


def test_a_stack_acts_as_its_policies_do_one_by_one():
    policies = [policy_of(seed) for seed in (1, 2, 3)]
    stack = OpponentStack(policy_of(9), 3)
    for slot, policy in enumerate(policies):
        stack.load(slot, Snapshot.of(policy, slot))
    generator = torch.Generator().manual_seed(0)
    observation = torch.randn(3, 40, 3, generator=generator) * 3
    masks = {"act": torch.rand(3, 40, 3, generator=generator) > 0.4}
    masks["act"][..., 0] = True

    given_to_heads = []
    heads = stack._heads

    class Spy:
        def sample(self, params, masks, generator):
            given_to_heads.append(params)
            return heads.sample(params, masks, generator)

    stack._heads = Spy()
    actions = stack.act(observation, masks, torch.Generator().manual_seed(1))
    outputs = torch.stack([policy(rows)[0].detach() for policy, rows in zip(policies, observation, strict=True)])
    assert (outputs[0] - outputs[1]).abs().max() > 0.1
    torch.testing.assert_close(given_to_heads[0], outputs, atol=1e-5, rtol=1e-5)
    assert actions["act"].shape == (3, 40)
    assert actions["aim"].shape == (3, 40, 2)
    assert masks["act"].gather(-1, actions["act"].unsqueeze(-1)).all()
    # The same draws from the same outputs.
    alone = heads.sample(outputs, masks, torch.Generator().manual_seed(1))
    assert torch.equal(alone["act"], actions["act"])
    assert torch.equal(alone["duck"], actions["duck"])
    torch.testing.assert_close(alone["aim"], actions["aim"], atol=1e-5, rtol=1e-5)


def test_a_stack_does_not_follow_the_policy_it_was_made_from():
    policy = policy_of(1)
    stack = OpponentStack(policy, 2)
    observation = torch.ones(2, 4, 3)
    before = stack.act(observation, {}, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for weight in policy.parameters():
            weight.add_(1.0)
    after = stack.act(observation, {}, torch.Generator().manual_seed(0))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_state_of_a_stack_is_a_copy_and_brings_all_slots_back():
    stack, other = OpponentStack(policy_of(1), 2), OpponentStack(policy_of(5), 2)
    stack.load(1, Snapshot.of(policy_of(2), 0))
    state = stack.state_dict()
    stack.load(0, Snapshot.of(policy_of(3), 0))
    other.load_state_dict(state)
    expected = OpponentStack(policy_of(1), 2)
    expected.load(1, Snapshot.of(policy_of(2), 0))
    observation = torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(4))
    drawn = [each.act(observation, {}, torch.Generator().manual_seed(0)) for each in (other, expected)]
    assert all(torch.equal(drawn[0][name], drawn[1][name]) for name in drawn[0])
