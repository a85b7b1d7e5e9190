"""Advantages by hand, storage and minibatches."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from headctl.policy.actions import ActionHeads, describe_space, resolve_heads
from headctl.policy.network import Policy
from headctl.ppo.rollout import Rollout, generalized_advantages, in_order, normalize

SPACE = spaces.Dict({"weapon": spaces.Discrete(4), "params": spaces.Box(-1, 1, (2,), np.float32)})


def advantages(done=(0, 0, 0), bootstrap=(0, 0, 0), last=4.0):
    """Rewards 1, 0, 2 in states of value 1, 2, 3; gamma and lambda are one half."""
    column = [
        torch.tensor(entry, dtype=torch.float32).unsqueeze(1) for entry in ((1, 0, 2), (1, 2, 3), done, bootstrap)
    ]
    result = generalized_advantages(*column, torch.tensor([last]), gamma=0.5, gae_lambda=0.5)
    return result.flatten().tolist()


def test_advantages_of_an_episode_that_goes_on():
    # d = r + g v' - v: 1 + .5 * 2 - 1 = 1; 0 + .5 * 3 - 2 = -.5; 2 + .5 * 4 - 3 = 1
    assert advantages() == [1 + 0.25 * (-0.5 + 0.25), -0.5 + 0.25, 1.0]


def test_termination_in_the_middle_lets_nothing_through():
    # d1 = 0 - 2; what comes after belongs to the next episode and is as before.
    assert advantages(done=(0, 1, 0)) == [1 + 0.25 * -2, -2.0, 1.0]


def test_truncation_in_the_middle_bootstraps_with_the_value_of_the_final_state():
    # d1 = 0 + .5 * 6 - 2 = 1, and no advantage of the next episode flows back.
    assert advantages(done=(0, 1, 0), bootstrap=(0, 6, 0)) == [1.25, 1.0, 1.0]


def test_an_episode_that_ends_with_the_rollout_ignores_the_value_behind_it():
    assert advantages(done=(0, 0, 1)) == advantages(done=(0, 0, 1), last=1000.0)
    assert advantages(done=(0, 0, 1))[2] == -1.0  # 2 - 3
    assert advantages(done=(0, 0, 1), bootstrap=(0, 0, 4), last=1000.0) == advantages()  # cut at the same value


@given(
    data=st.lists(
        st.tuples(st.floats(-2, 2), st.floats(-2, 2), st.sampled_from(["on", "terminated", "truncated"])),
        min_size=1,
        max_size=12,
    ),
    last=st.floats(-2, 2),
)
@settings(deadline=None, max_examples=100)
def test_with_lambda_1_value_plus_advantage_is_the_discounted_return(data, last):
    gamma, cut_value = 0.9, 1.5
    reward, value = (torch.tensor([[row[index]] for row in data]) for index in (0, 1))
    done = torch.tensor([[float(row[2] != "on")] for row in data])
    bootstrap = torch.tensor([[cut_value * (row[2] == "truncated")] for row in data])
    result = (
        generalized_advantages(reward, value, done, bootstrap, torch.tensor([last]), gamma=gamma, gae_lambda=1.0)
        + value
    )
    for start in range(len(data)):
        expected, discount = 0.0, 1.0
        for row_reward, _, fate in data[start:]:
            expected += discount * row_reward
            discount *= gamma
            if fate != "on":
                expected += discount * cut_value * (fate == "truncated")
                break
        else:
            expected += discount * last
        assert result[start, 0].item() == pytest.approx(expected, abs=1e-4)


def test_rows_do_not_mix():
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(6, 5, generator=generator) for _ in range(2)]
    done = (torch.rand(6, 5, generator=generator) > 0.7).float()
    last = torch.randn(5, generator=generator)
    options = {"gamma": 0.9, "gae_lambda": 0.8}
    together = generalized_advantages(*parts, done, done * 0.3, last, **options)
    for row in range(5):
        alone = generalized_advantages(
            *(part[:, row : row + 1] for part in (*parts, done, done * 0.3)), last[row : row + 1], **options
        )
        assert torch.equal(together[:, row : row + 1], alone)


def test_advantages_are_normalised_over_the_living_only():
    advantage = torch.tensor([[1.0, 100.0], [3.0, -50.0], [5.0, 7.0]])
    alive = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    normal = normalize(advantage, alive)
    deviation = (8 / 3) ** 0.5
    assert normal[:, 0].tolist() == pytest.approx([-2 / deviation, 0.0, 2 / deviation])
    assert (normal[:, 1] == 0).all()


@pytest.mark.parametrize("alive", [torch.zeros(4, 1), torch.tensor([[1.0], [0.0], [0.0], [0.0]]), torch.ones(4, 1)])
def test_normalising_what_does_not_vary_gives_zeros(alive):
    assert (normalize(torch.full((4, 1), 2.5), alive) == 0).all()


def filled_rollout(steps=3, rows=5):
    heads = ActionHeads(resolve_heads(describe_space(SPACE), {}), SPACE)
    policy = Policy(2, heads, hidden=(8,), generator=torch.Generator().manual_seed(0))
    rollout = Rollout(steps, rows, 2, heads, mask_sizes={"weapon": 4}, device=torch.device("cpu"))
    generator = torch.Generator().manual_seed(1)
    for step in range(steps):
        # The first feature says which step and row an observation is of.
        observation = torch.stack((step * rows + torch.arange(rows) * 1.0, torch.ones(rows)), dim=1)
        mask = torch.rand(rows, 4, generator=generator) > 0.3
        mask[:, 0] = True
        decision = policy.act(observation, {"weapon": mask}, generator)
        rollout.store_decision(step, observation, {"weapon": mask}, decision)
        count = step * rows + torch.arange(rows) * 1.0
        rollout.store_outcome(step, count, torch.zeros(rows), torch.zeros(rows), (count != 4).float())
    return rollout


@pytest.mark.parametrize(("size", "pieces"), [(15, [15]), (4, [4, 4, 4, 3]), (8, [8, 7]), (1000, [15]), (1, [1] * 15)])
def test_every_epoch_sees_every_row_once_in_pieces_of_nearly_equal_size(size, pieces):
    rollout = filled_rollout()
    advantage = torch.arange(15.0).view(3, 5)
    epochs = [list(epoch) for epoch in rollout.minibatches(advantage, size, 2, torch.Generator().manual_seed(2))]
    orders = [torch.cat([batch.observation[:, 0] for batch in batches]).tolist() for batches in epochs]
    assert [[len(batch.alive) for batch in batches] for batches in epochs] == [pieces, pieces]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(15))
    # Within a minibatch, which is a set, rows stay in order; which rows meet in it is new in every epoch.
    assert all(batch.observation[:, 0].diff().gt(0).all() for batch in epochs[0])
    assert (orders[0] != orders[1]) == (len(pieces) > 1)


def test_the_parts_of_a_row_stay_together():
    rollout = filled_rollout()
    advantage = torch.arange(15.0).view(3, 5)
    normal = normalize(advantage, rollout.alive).flatten()
    for batches in rollout.minibatches(advantage, 4, 1, torch.Generator().manual_seed(3)):
        for batch in batches:
            for position, row in enumerate(batch.observation[:, 0].long().tolist()):
                step, column = divmod(row, 5)
                assert batch.advantage[position] == normal[row]
                assert batch.value_target[position] == advantage[step, column] + rollout.value[step, column]
                assert batch.alive[position] == (0.0 if row == 4 else 1.0)
                assert torch.equal(batch.log_prob[position], rollout.log_prob[step, column])
                assert torch.equal(batch.masks["weapon"][position], rollout.masks["weapon"][step, column])
                assert batch.masks["weapon"][position, batch.actions["weapon"][position]]
                for name in ("weapon", "params"):
                    assert torch.equal(batch.actions[name][position], rollout.actions[name][step, column])


def test_the_order_of_rows_follows_the_generator_alone():
    rollout = filled_rollout()
    before = torch.get_rng_state()
    orders = [
        torch.cat(
            [
                batch.observation[:, 0]
                for batches in rollout.minibatches(rollout.reward, 4, 2, torch.Generator().manual_seed(seed))
                for batch in batches
            ]
        )
        for seed in (4, 4, 5)
    ]
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(("below", "count"), [(1, 1), (100, 100), (1000, 400), (1000, 3), (7, 0)])
def test_numbers_are_put_in_order(below, count):
    numbers = torch.randperm(below, generator=torch.Generator().manual_seed(0))[:count]
    assert in_order(numbers, below).tolist() == sorted(numbers.tolist())
