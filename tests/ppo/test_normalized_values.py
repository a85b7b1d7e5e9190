"""Rewards of any size teach the same policy once the critic learns in units of its returns."""

import pytest
import torch
from gymnasium import spaces

from headctl.entropy.controller import MultiHeadEntropyController
from headctl.policy.actions import ActionHeads, describe_space, resolve_heads
from headctl.policy.network import Policy
from headctl.ppo.learner import PPOLearner, PPOOptions
from headctl.ppo.rollout import Rollout

SPACE = spaces.Dict({"act": spaces.Discrete(4)})
STEPS, ROWS = 8, 64


def learned(scale, *, normalize_values, updates=20):
    """Returns how probable the only choice that pays has become, and the last record."""
    specs = resolve_heads(describe_space(SPACE), {"act": {"alpha": 0.01}})
    generator = torch.Generator().manual_seed(0)
    heads = ActionHeads(specs, SPACE)
    policy = Policy(2, heads, hidden=(32,), normalize_values=normalize_values, generator=generator)
    options = PPOOptions(minibatch_size=128, learning_rate=3e-3, gamma=0.9, target_kl=None)
    learner = PPOLearner(policy, MultiHeadEntropyController(specs), options, generator)
    told = {}
    for update in range(updates):
        rollout = Rollout(STEPS, ROWS, 2, heads, mask_sizes={}, device=torch.device("cpu"))
        for step in range(STEPS):
            seen = torch.randn(ROWS, 2, generator=generator)
            decision = policy.act(seen, {}, generator)
            rollout.store_decision(step, seen, {}, decision)
            right = (seen[:, 0] > 0).long() + 2 * (seen[:, 1] > 0).long()
            reward = scale * (decision.actions["act"] == right).float() + 5.0 * scale
            rollout.store_outcome(step, reward, torch.ones(ROWS), torch.zeros(ROWS), torch.ones(ROWS))
        told = learner.update(rollout, torch.zeros(ROWS), update / updates)
    seen = torch.randn(512, 2, generator=generator)
    right = (seen[:, 0] > 0).long() + 2 * (seen[:, 1] > 0).long()
    evaluation, _ = policy.evaluate(seen, {"act": right}, {})
    return float(evaluation.log_prob.detach().exp().mean()), told


def test_rewards_of_any_size_teach_the_same():
    plain, told = learned(1.0, normalize_values=True)
    assert plain > 0.8
    assert 5.25 < told["ppo/return_mean"] < 6.0  # 5 and more, 6 where every choice is right
    assert 0.0 < told["ppo/return_std"] < 0.6
    for scale in (2.0**-10, 2.0**14):  # powers of 2, so that rounding is the same too
        probability, scaled = learned(scale, normalize_values=True)
        assert probability == pytest.approx(plain, abs=0.02)
        assert scaled["ppo/return_mean"] == pytest.approx(scale * told["ppo/return_mean"], rel=0.01)
        assert scaled["ppo/value_loss"] == pytest.approx(scale**2 * told["ppo/value_loss"], rel=0.1)


def test_without_it_large_rewards_drown_the_policy():
    probability, told = learned(1e4, normalize_values=False)
    assert probability < 0.6
    assert "ppo/return_std" not in told
