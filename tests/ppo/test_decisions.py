"""Decisions in kept memory: what the policy itself would say of them, and the ratio is 1 in the update."""

import pytest
import torch

from headctl.policy.network import Policy
from headctl.ppo.decisions import Decisions
from headctl.ppo.rollout import Rollout
from tests.ppo.test_by_hand import FEATURES, ROWS, SIZES, STEPS, make_learner


def played(learner, *, seed=3):
    """A rollout of random observations and masks, decided in kept memory."""
    policy, generator = learner.policy, torch.Generator().manual_seed(seed)
    policy.normalizer.update(3.0 + 2.0 * torch.randn(50, FEATURES, generator=generator))
    rollout = Rollout(STEPS, ROWS, FEATURES, policy.action_heads, mask_sizes=SIZES, device=torch.device("cpu"))
    decisions = Decisions(policy, rollout)
    decisions.begin(generator)
    for step in range(STEPS):
        for name, size in SIZES.items():
            mask = torch.rand(ROWS, size, generator=generator) < 0.6
            mask[:, 0] = mask[:, min(2, size - 1)] = True
            rollout.masks[name][step] = mask
        seen = 3.0 + 2.0 * torch.randn(ROWS, FEATURES, generator=generator)
        seen[0, 0] = torch.nan  # a broken sensor
        taken = decisions.decide(step, seen)
        for name, action in taken.items():
            assert torch.equal(action, rollout.actions[name][step])
        rollout.alive[step] = 1.0
    return rollout


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_what_is_stored_is_what_the_policy_says_of_the_actions(activation):
    learner = make_learner(activation=activation)
    rollout = played(learner)
    said, value = learner.policy.evaluate(rollout.observation, rollout.actions, rollout.masks)
    torch.testing.assert_close(rollout.log_prob, said.log_prob, rtol=0.0, atol=2e-6)
    torch.testing.assert_close(rollout.value, value, rtol=1e-5, atol=1e-5)
    assert torch.equal(rollout.choice, said.choice)
    torch.testing.assert_close(rollout.entropy, said.entropy, rtol=0.0, atol=2e-6)


def test_what_the_network_sees_is_to_the_bit_what_the_normaliser_makes_of_it():
    learner = make_learner()
    rollout = played(learner)
    decisions = Decisions(learner.policy, rollout)
    decisions.begin(torch.Generator().manual_seed(1))
    seen = 1e3 * torch.randn(ROWS, FEATURES)  # some beyond the clip
    seen[:, 1] *= 1e-3
    seen[0, 0], seen[1, 2], seen[2, 3] = torch.nan, torch.inf, -torch.inf
    decisions.decide(2, seen)
    normal = learner.policy.normalizer(seen)
    assert normal.abs().max() == 10.0
    assert torch.equal(decisions._seen, normal)


def test_actions_are_legal_and_as_likely_as_the_policy_says():
    learner = make_learner()
    counts, expected = torch.zeros(3), torch.zeros(3)
    for seed in range(60):
        rollout = played(learner, seed=seed)
        legal = rollout.masks["weapon"].gather(-1, rollout.actions["weapon"].unsqueeze(-1))
        assert legal.all()
        counts += torch.bincount(rollout.actions["weapon"].flatten(), minlength=3)
        (params, _), masks = learner.policy(rollout.observation), rollout.masks["weapon"]
        column = [head.name for head in learner.policy.action_heads.heads].index("weapon")
        sizes = [head.num_params for head in learner.policy.action_heads.heads]
        logits = params.split(sizes, -1)[column].masked_fill(~masks, -torch.inf)
        expected += logits.softmax(-1).sum((0, 1)).detach()
    total = counts.sum()
    deviation = (expected * (1.0 - expected / total)).sqrt()
    assert ((counts - expected).abs() < 4.0 * deviation).all()


def test_the_ratio_is_1_in_the_update_that_follows():
    learner = make_learner(threads=2)
    rollout = played(learner)
    with torch.no_grad():
        normal = learner.policy.normalizer(rollout.observation)
    generator = torch.Generator().manual_seed(0)
    for batch in next(rollout.drawn(torch.randn(STEPS, ROWS), 150, 1, generator, normal=normal)):
        losses = learner.losses(batch)
        moved = losses.log_prob - batch.table.log_prob[batch.chosen]
        assert moved[losses.weight > 0].abs().max().item() <= 1e-6
        assert losses.clip_fraction.item() == 0.0


def test_the_policy_acts_as_it_is_when_the_rollout_begins():
    learner = make_learner()
    rollout = Rollout(STEPS, ROWS, FEATURES, learner.policy.action_heads, mask_sizes=SIZES, device=torch.device("cpu"))
    decisions = Decisions(learner.policy, rollout)
    seen = torch.randn(ROWS, FEATURES)
    values = []
    for _ in range(2):
        decisions.begin(torch.Generator().manual_seed(1))
        decisions.decide(0, seen)
        values.append(rollout.value[0].clone())
        with torch.no_grad():
            learner.policy.critic.bias += 1.0
    torch.testing.assert_close(values[1], values[0] + 1.0)


def test_every_decision_has_random_numbers_of_its_own_from_the_given_stream():
    learner = make_learner()
    first, again, other = (played(learner, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.actions["params"], again.actions["params"])
    assert not torch.equal(first.actions["params"], other.actions["params"])
    assert first.actions["params"].unique().numel() == first.actions["params"].numel()


def test_conditional_heads_and_other_networks_decide_through_the_policy():
    assert Decisions.knows(make_learner().policy)
    waiting = {"weapon": {"active_when": {"maneuver": [0]}}}
    assert not Decisions.knows(make_learner(heads=waiting).policy)
    silu = make_learner(activation="silu").policy
    assert isinstance(silu, Policy)
    assert not Decisions.knows(silu)
