"""The loss in one pass: the same terms and gradients as term by term, whatever the heads, masks and dead rows."""

import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from headctl.entropy.controller import MultiHeadEntropyController
from headctl.policy.actions import describe_space
from headctl.policy.network import Policy
from headctl.ppo.gradients import FlatGradients
from headctl.ppo.learner import PPOLearner, PPOOptions
from headctl.ppo.rollout import Minibatch
from tests.policy.test_fused import KINDS, situations

TERMS = ("policy", "value", "bonus", "rescue", "approx_kl", "clip_fraction", "joint_entropy")


def learner_of(heads, alphas):
    policy = Policy(3, heads, hidden=(4,), generator=torch.Generator().manual_seed(0))
    known = describe_space(spaces.Dict({name: KINDS[name] for name in heads.names}))
    specs = {name: known[name] | {"alpha": alpha} for name, alpha in zip(heads.names, alphas, strict=True)}
    return PPOLearner(policy, MultiHeadEntropyController(specs), PPOOptions(), torch.Generator().manual_seed(0))


@settings(max_examples=150, deadline=None)
@given(situations(), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.01, 0.3]))
def test_terms_and_gradients_are_those_of_autograd_term_by_term(situation, dead, drift):
    heads, params, masks, actions, generator = situation
    params = params.reshape(-1, heads.num_params)
    rows = len(params)
    masks = {name: mask.reshape(rows, -1) for name, mask in masks.items()}
    actions = {head.name: actions[head.name].reshape(rows, *head.action_shape) for head in heads.heads}
    learner = learner_of(heads, [0.1 * (place + 1) for place in range(len(heads.names))])
    said = heads.evaluate(params, actions, masks)
    # Where a head has no choice, its log-probability is a constant, then as now.
    moved = drift * torch.randn(said.log_prob.shape, generator=generator) * said.choice
    batch = Minibatch(
        observation=torch.zeros(rows, 3),
        masks=masks,
        actions=actions,
        log_prob=said.log_prob + moved,
        alive=(torch.rand(rows, generator=generator) >= dead).float(),
        advantage=torch.randn(rows, generator=generator),
        value_target=torch.randn(rows, generator=generator),
    )
    value = torch.randn(rows, generator=generator)

    def outcome(evaluate):
        leaves = params.clone().requires_grad_(), value.clone().requires_grad_()
        losses = evaluate(*leaves)
        (losses.policy + 0.7 * losses.value - 1.3 * losses.bonus).backward()
        return losses, [leaf.grad for leaf in leaves]

    def fused(outputs, values):
        learner.policy.forward = lambda seen: (outputs, values)
        return learner.losses(batch)

    ours, slopes = outcome(fused)
    theirs, expected = outcome(lambda *leaves: learner.losses_apart(*leaves, batch))
    for term in TERMS:
        torch.testing.assert_close(getattr(ours, term), getattr(theirs, term), rtol=1e-5, atol=2e-6, msg=term)
    torch.testing.assert_close(ours.sums, theirs.sums, rtol=1e-5, atol=1e-5)
    assert torch.equal(ours.weight, theirs.weight)
    for slope, right in zip(slopes, expected, strict=True):
        torch.testing.assert_close(slope, right, rtol=1e-5, atol=1e-5)


def test_gradients_side_by_side_are_cleared_clipped_and_taken_back():
    weights = [torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(3))]
    gradients = FlatGradients(weights)
    for _ in range(2):
        gradients.clear()
        (3.0 * weights[0].sum() + 4.0 * weights[1][0]).backward()
        assert gradients.clip(1e9).item() == pytest.approx((4 * 9 + 16) ** 0.5)
        assert weights[0].grad.tolist() == [[3.0, 3.0], [3.0, 3.0]]
        weights[0].grad = None  # as ``optimizer.zero_grad()`` does
    gradients.clear()
    (3.0 * weights[0].sum() + 4.0 * weights[1][0]).backward()
    gradients.clip(0.1)
    assert gradients.flat.norm().item() == pytest.approx(0.1, rel=1e-4)
    assert weights[1].grad.tolist()[1:] == [0.0, 0.0]
