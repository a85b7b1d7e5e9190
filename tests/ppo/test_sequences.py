"""Learning from sequences: what is drawn, that the ratio is 1, that episodes and burn-ins are respected."""

from itertools import pairwise

import pytest
import torch
from gymnasium import spaces

from headctl.entropy.controller import MultiHeadEntropyController
from headctl.policy.actions import ActionHeads, describe_space, resolve_heads
from headctl.policy.network import Policy
from headctl.ppo.learner import PPOLearner, PPOOptions
from headctl.ppo.rollout import Cut, Rollout
from headctl.ppo.sequences import SequenceRollout, make_rollout
from tests.ppo.test_every_head import BOX, EVERYTHING, HEADS, MASKS

STEPS, ROWS, FEATURES, SIZE = 12, 10, 3, 6
LAYOUTS = {
    "categorical": (spaces.Dict({"weapon": spaces.Discrete(4)}), {}, {"weapon": 4}),
    "single": (spaces.Discrete(3), {}, {}),
    "gaussian": (spaces.Dict({"steer": BOX}), {}, {}),
    "fused": (
        spaces.Dict({"dials": spaces.MultiDiscrete([3, 2]), "steer": BOX, "switches": spaces.MultiBinary(3)}),
        {},
        {"dials": 5, "switches": 3},
    ),
    "conditional": (
        spaces.Dict({"aim": BOX, "weapon": spaces.Discrete(4)}),
        {"aim": {"active_when": {"weapon": [1, 2]}}},
        {"weapon": 4},
    ),
    "everything": (EVERYTHING, HEADS, MASKS),
}


def make_learner(layout="everything", **options):
    space, heads, _ = LAYOUTS[layout]
    specs = resolve_heads(describe_space(space), heads)
    generator = torch.Generator().manual_seed(0)
    policy = Policy(FEATURES, ActionHeads(specs, space), hidden=(16,), memory=SIZE, generator=generator)
    with torch.no_grad():
        policy.actor.weight.mul_(100.0)
    return PPOLearner(policy, MultiHeadEntropyController(specs), PPOOptions(**options), generator)


def play(policy, masks, *, rows=ROWS, seed=1):
    """Random observations, masks, rewards, deaths and ends of episodes; the memory is carried as the policy says."""
    rollout = make_rollout(policy, STEPS, rows, FEATURES, mask_sizes=masks, device=torch.device("cpu"))
    assert isinstance(rollout, SequenceRollout)
    generator = torch.Generator().manual_seed(seed)
    state, over = torch.randn(rows, SIZE, generator=generator).tanh(), torch.zeros(rows)
    for step in range(STEPS):
        observation = torch.randn(rows, FEATURES, generator=generator)
        legal = {name: torch.rand(rows, size, generator=generator) > 0.3 for name, size in masks.items()}
        if "weapon" in legal:
            legal["weapon"][:, 0] = True
        rollout.store_state(step, state, over)
        decision = policy.act(observation, legal, generator, state=state)
        rollout.store_decision(step, observation, legal, decision)
        over = (torch.rand(rows, generator=generator) < 0.2).float()
        alive = (torch.rand(rows, generator=generator) < 0.8).float()
        rollout.store_outcome(step, torch.randn(rows, generator=generator), over, torch.zeros(rows), alive)
        state = decision.state * (1.0 - over).unsqueeze(-1)
    return rollout


def minibatches(learner, rollout, size, cut, *, spread=0.0):
    advantage = spread * torch.randn(STEPS, rollout.rows, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        normal = learner.policy.normalizer(rollout.observation)
    stream = torch.Generator().manual_seed(2)
    for batches in rollout.minibatches(advantage, size, 1, stream, normal=normal, cut=cut):
        yield from batches


CUTS = [Cut(12), Cut(4), Cut(4, 2), Cut(3, 3), Cut(1), Cut(1, 1), Cut(6, 1)]


# What is drawn --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("size", [1, 7, 24, 1000])
def test_every_decision_is_drawn_once_in_whole_sequences(cut, size):
    learner = make_learner("single")
    rollout = play(learner.policy, {})
    # The observation says which decision it is.
    rollout.observation[..., 0] = torch.arange(STEPS).unsqueeze(1)
    rollout.observation[..., 1] = torch.arange(ROWS)
    drawn = []
    stream = torch.Generator().manual_seed(2)
    for batches in rollout.minibatches(
        torch.zeros(STEPS, ROWS), size, 2, stream, normal=rollout.observation.clone(), cut=cut
    ):
        epoch = []
        for batch in batches:
            steps = batch.observation.view(cut.length, -1, FEATURES)
            assert steps[..., 0].diff(dim=0).eq(1.0).all()  # one step after the other
            assert (steps[0, :, 0] % cut.length == 0).all()
            assert steps[..., 1].diff(dim=0).eq(0.0).all()  # of one agent
            assert len(batch.observation) <= max(size, cut.length)
            epoch += [(int(step), int(row)) for step, row in batch.observation[:, :2].tolist()]
            first = steps[0, :, :2].long()
            assert torch.equal(batch.sequences.state, rollout.state[first[:, 0], first[:, 1]])
        assert sorted(epoch) == [(step, row) for step in range(STEPS) for row in range(ROWS)]
        drawn.append(epoch)
    assert drawn[0] != drawn[1]


def test_a_burn_in_is_the_steps_before():
    learner = make_learner("single")
    rollout = play(learner.policy, {})
    where = torch.stack(torch.meshgrid(torch.arange(STEPS), torch.arange(ROWS), indexing="ij"), -1)
    rollout.observation[..., :2] = where.float()
    for batch in minibatches(learner, rollout, 16, Cut(4, 2)):
        first = batch.observation.view(4, -1, FEATURES)[0, :, :2].long()
        before = batch.sequences.burn_in
        # All but those at the beginning of the rollout.
        assert before.sequences.tolist() == first[:, 0].nonzero().squeeze(-1).tolist()
        assert before.normal.shape[:2] == before.keep.shape == (2, len(before.sequences))
        for number, sequence in enumerate(before.sequences.tolist()):
            step, row = first[sequence].tolist()
            assert before.normal[:, number, :2].tolist() == [[step - 2, row], [step - 1, row]]
            assert torch.equal(before.state[number], rollout.state[step - 2, row])
            assert torch.equal(before.keep[:, number], 1.0 - rollout.fresh[step - 2 : step, row])


@pytest.mark.parametrize("cut", [Cut(5), Cut(24), Cut(0), Cut(4, 5), Cut(4, -1)])
def test_cuts_that_make_no_sequences_are_refused(cut):
    learner = make_learner("single")
    with pytest.raises(ValueError, match="the length must divide the 12 steps of the rollout, and the burn-in"):
        next(minibatches(learner, play(learner.policy, {}), 24, cut))


def test_a_policy_without_memory_has_rollouts_without_sequences():
    space = LAYOUTS["single"][0]
    policy = Policy(FEATURES, ActionHeads(resolve_heads(describe_space(space), {}), space), hidden=(4,))
    rollout = make_rollout(policy, 2, 3, FEATURES, mask_sizes={}, device=torch.device("cpu"))
    assert type(rollout) is Rollout
    assert rollout.state is None
    with pytest.raises(ValueError, match="has no memory"):
        SequenceRollout(policy, 2, 3, FEATURES, mask_sizes={}, device=torch.device("cpu"))


# Ratio and gradients --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_the_ratio_is_1_for_unchanged_parameters(layout, cut):
    learner = make_learner(layout)
    rollout = play(learner.policy, LAYOUTS[layout][2])
    rows = 0
    for batch in minibatches(learner, rollout, 30, cut):
        losses = learner.losses(batch)
        difference = (losses.log_prob - batch.log_prob) * batch.packed.choice  # others count for nothing
        assert difference.abs().max().item() <= 2e-5
        assert losses.clip_fraction.item() == 0.0
        assert losses.approx_kl.item() == pytest.approx(0.0, abs=1e-8)
        rows += len(batch.alive)
    assert rows == STEPS * ROWS


def test_without_the_ends_of_episodes_the_ratio_would_not_be_1():
    learner = make_learner("categorical")
    rollout = play(learner.policy, {"weapon": 4})
    rollout.fresh.zero_()
    worst = [
        (learner.losses(batch).log_prob - batch.log_prob).abs().max()
        for batch in minibatches(learner, rollout, 30, Cut(12))
    ]
    assert max(worst) > 0.05


def gradient_of(losses, policy):
    total = losses.policy + 0.5 * losses.value - losses.bonus
    return torch.cat([part.flatten() for part in torch.autograd.grad(total, list(policy.parameters()))])


@pytest.mark.parametrize("layout", ["categorical", "fused", "conditional"])
def test_the_fused_loss_has_the_gradients_of_the_plain_one_through_the_memory(layout):
    learner = make_learner(layout)
    rollout = play(learner.policy, LAYOUTS[layout][2])
    moved = 0.1 * torch.randn(rollout.log_prob.shape, generator=torch.Generator().manual_seed(5))
    rollout.log_prob.add_(moved * rollout.choice)
    batch = next(minibatches(learner, rollout, 60, Cut(6, 2), spread=1.0))
    fused = gradient_of(learner.losses(batch), learner.policy)
    params, value = learner.policy.outputs(*batch.seen)
    plain = gradient_of(learner.losses_apart(params, value, batch), learner.policy)
    assert plain.norm() > 1e-2
    torch.testing.assert_close(fused, plain, atol=1e-5 * plain.abs().max().item(), rtol=1e-5)


def test_the_gradient_is_that_of_the_episodes_one_by_one():
    # A row at a time, an episode at a time, with the decisions of the others masked out.
    learner = make_learner("categorical")
    policy = learner.policy
    rollout = play(policy, {"weapon": 4}, rows=3)
    batch = next(minibatches(learner, rollout, 1000, Cut(STEPS)))
    params, value = policy.outputs(*batch.seen)
    weights = torch.randn(params.shape, generator=torch.Generator().manual_seed(3))
    together = torch.autograd.grad((params * weights).sum() + value.sum(), list(policy.parameters()))

    order = batch.observation.view(STEPS, 3, FEATURES)[0]
    pieces = [torch.zeros_like(weight) for weight in policy.parameters()]
    for place, first in enumerate(order):
        row = int((rollout.observation[0] == first).all(-1).nonzero())
        begins = [0, *rollout.fresh[:, row].nonzero().flatten().tolist(), STEPS]
        for start, end in pairwise(begins):
            state = rollout.state[start, row : row + 1]
            for step in range(start, end):
                told, worth, state = policy.step(rollout.observation[step, row : row + 1], state)
                loss = (told * weights.view(STEPS, 3, -1)[step, place]).sum() + worth.sum()
                parts = torch.autograd.grad(loss, list(policy.parameters()), retain_graph=True)
                pieces = [piece + part for piece, part in zip(pieces, parts, strict=True)]
    for piece, part in zip(pieces, together, strict=True):
        torch.testing.assert_close(part, piece, atol=2e-5, rtol=1e-4)


# Updates --------------------------------------------------------------------------------------------------------------


def stale_by(learner, rollout, cut):
    """How far the memories that sequences start from are from those that the network as it is would have."""
    policy = learner.policy
    apart = []
    for batch in minibatches(learner, rollout, 10**6, cut):
        start = policy._refreshed(batch.sequences)
        first = batch.observation.view(cut.length, -1, FEATURES)[0]
        for sequence, seen in enumerate(first):
            step, row = (rollout.observation == seen).all(-1).nonzero()[0].tolist()
            if step < 2:
                continue
            state = rollout.state[0, row : row + 1]
            for earlier in range(step):
                state = state * (1.0 - rollout.fresh[earlier, row])
                state = policy.step(rollout.observation[earlier, row : row + 1], state)[2]
            apart.append(((start[sequence] - state[0]) * (1.0 - rollout.fresh[step, row])).abs().max().item())
    return sum(apart) / len(apart)


def test_a_burn_in_brings_stale_memories_up_to_date():
    learner = make_learner("categorical")
    rollout = play(learner.policy, {"weapon": 4})
    assert stale_by(learner, rollout, Cut(4)) < 1e-5
    with torch.no_grad():
        for weight in learner.policy.memory.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(4)))
    by_steps = [stale_by(learner, rollout, Cut(4, steps)) for steps in (0, 1, 4)]
    assert by_steps[0] > 1.5 * by_steps[1] > 1.5 * by_steps[2]


def test_a_burn_in_that_sees_an_episode_begin_knows_all_of_it():
    # However stale the memory is that the burn-in starts from, it is emptied where the episode begins.
    learner = make_learner("categorical")
    policy = learner.policy
    rollout = play(policy, {"weapon": 4})
    with torch.no_grad():
        for weight in policy.memory.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(4)))
    known = 0
    for batch in minibatches(learner, rollout, 10**6, Cut(4, 4)):
        starts = policy._refreshed(batch.sequences)
        for start, seen in zip(starts, batch.observation.view(4, -1, FEATURES)[0], strict=True):
            step, row = (rollout.observation == seen).all(-1).nonzero()[0].tolist()
            begins = [each for each in range(max(step - 4, 0), step) if rollout.fresh[each, row]]
            if not begins or rollout.fresh[step, row]:
                continue
            state = policy.initial_state(1)
            for earlier in range(begins[-1], step):
                state = policy.step(rollout.observation[earlier, row : row + 1], state)[2]
            torch.testing.assert_close(start, state[0], rtol=0.0, atol=1e-6)
            assert (start - rollout.state[step, row]).abs().max() > 1e-2  # what the rollout remembered is stale
            known += 1
    assert known >= 5


@pytest.mark.parametrize("layout", ["everything", "categorical"])
def test_an_update_moves_every_part_of_the_network(layout):
    learner = make_learner(layout, epochs=2, minibatch_size=24, learning_rate=1e-3, cut=Cut(4, 2), target_kl=None)
    rollout = play(learner.policy, LAYOUTS[layout][2])
    before = {name: weight.detach().clone() for name, weight in learner.policy.named_parameters()}
    metrics = learner.update(rollout, torch.zeros(ROWS), 0.0)
    assert metrics["ppo/updates"] == 2 * 5
    for name, weight in learner.policy.named_parameters():
        assert torch.isfinite(weight).all(), name
        assert not torch.equal(before[name], weight), name


def test_an_update_stops_early_by_its_divergence():
    learner = make_learner("categorical", epochs=50, minibatch_size=24, learning_rate=3e-2, cut=Cut(4), target_kl=0.01)
    metrics = learner.update(play(learner.policy, {"weapon": 4}), torch.zeros(ROWS), 0.0)
    assert metrics["ppo/updates"] < 50 * 5


def test_a_minibatch_without_sequences_is_of_first_decisions():
    learner = make_learner("categorical")
    batch = next(minibatches(learner, play(learner.policy, {"weapon": 4}), 24, Cut(4)))
    alone = learner.losses(batch._replace(sequences=None))
    said, _ = learner.policy.evaluate(batch.observation, batch.actions, batch.masks)
    torch.testing.assert_close(alone.log_prob, said.log_prob, atol=1e-6, rtol=1e-6)
