"""The learner with every kind of head: ratios, conditional heads, the joint entropy, the rescue of collapsed heads."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces

from headctl.entropy.controller import MultiHeadEntropyController
from headctl.entropy.status import HeadStatus
from headctl.policy.actions import ActionHeads, describe_space, resolve_heads
from headctl.policy.network import Policy
from headctl.ppo.learner import PPOLearner, PPOOptions
from headctl.ppo.rollout import Rollout

BOX = spaces.Box(-1, 1, (2,), np.float32)
EVERYTHING = spaces.Dict(
    {
        "aim": BOX,
        "dials": spaces.MultiDiscrete([3, 2, 4]),
        "look": BOX,
        "steer": BOX,
        "switches": spaces.MultiBinary(3),
        "weapon": spaces.Discrete(4),
    }
)
HEADS = {
    "aim": {"kind": "tanh_gaussian", "active_when": {"weapon": [1, 2]}},
    "look": {"kind": "beta"},
    "dials": {"probability_floor": 0.05},
    "switches": {"active_when": {"weapon": [3]}},
}
MASKS = {"dials": 9, "switches": 3, "weapon": 4}


def make_learner(space, heads, *, features=3, **options):
    specs = resolve_heads(describe_space(space), heads)
    generator = torch.Generator().manual_seed(0)
    policy = Policy(features, ActionHeads(specs, space), hidden=(32,), generator=generator)
    return PPOLearner(policy, MultiHeadEntropyController(specs), PPOOptions(**options), generator)


def play(policy, masks, *, steps=4, rows=64, features=3, reward=lambda actions: torch.zeros(64)):
    """A game of single decisions with random observations and masks."""
    rollout = Rollout(steps, rows, features, policy.action_heads, mask_sizes=masks, device=torch.device("cpu"))
    generator = torch.Generator().manual_seed(1)
    for step in range(steps):
        observation = torch.randn(rows, features, generator=generator)
        legal = {name: torch.rand(rows, size, generator=generator) > 0.3 for name, size in masks.items()}
        if "weapon" in legal:
            legal["weapon"][:, 0] = True
        decision = policy.act(observation, legal, generator)
        rollout.store_decision(step, observation, legal, decision)
        ones = torch.ones(rows)
        rollout.store_outcome(step, reward(decision.actions), ones, torch.zeros(rows), ones)
    return rollout


def lively(learner):
    with torch.no_grad():
        learner.policy.actor.weight.mul_(100.0)
    return learner


def test_the_ratio_is_1_for_every_kind_of_head():
    learner = lively(make_learner(EVERYTHING, HEADS))
    rollout = play(learner.policy, MASKS)
    zeros = torch.zeros_like(rollout.reward)
    for batches in rollout.minibatches(zeros, 64, 1, torch.Generator().manual_seed(2)):
        for batch in batches:
            said, _ = learner.policy.evaluate(batch.observation, batch.actions, batch.masks)
            assert (said.log_prob - batch.log_prob).abs().max().item() <= 2e-5  # other rows side by side: other kernels
            losses = learner.losses(batch)
            assert losses.clip_fraction.item() == 0.0
            assert losses.approx_kl.item() == pytest.approx(0.0, abs=1e-8)


def test_an_update_learns_with_every_kind_of_head_at_once():
    learner = make_learner(EVERYTHING, HEADS, epochs=2, minibatch_size=64, learning_rate=1e-3)
    rollout = play(learner.policy, MASKS, reward=lambda actions: actions["steer"].sum(-1) + actions["look"].sum(-1))
    before = [weight.detach().clone() for weight in learner.policy.parameters()]
    metrics = learner.update(rollout, torch.zeros(64), 0.0)
    assert all(math.isfinite(metrics[f"heads/{name}/fraction"]) for name in EVERYTHING.spaces)
    pairs = zip(before, learner.policy.parameters(), strict=True)
    assert all(torch.isfinite(new).all() and not torch.equal(old, new) for old, new in pairs)
    # Weapon 1 or 2, and weapon 3: about half and about a quarter of the rows.
    shares = {name: metrics[f"heads/{name}/weight"] for name in EVERYTHING.spaces}
    taken = rollout.actions["weapon"]
    assert shares["aim"] == pytest.approx(((taken == 1) | (taken == 2)).float().mean().item())
    assert 0.0 < shares["switches"] <= (taken == 3).float().mean().item()
    assert shares["steer"] == shares["look"] == 1.0
    assert metrics["ppo/rescue_loss"] == 0.0


def test_the_joint_entropy_is_the_mean_over_the_living_of_the_heads_that_counted():
    learner = make_learner(EVERYTHING, HEADS, epochs=1, minibatch_size=10**6, target_kl=None)
    rollout = play(learner.policy, MASKS)
    rollout.alive[0, :32] = 0.0
    flat = {name: action.flatten(0, 1) for name, action in rollout.actions.items()}
    masks = {name: mask.flatten(0, 1) for name, mask in rollout.masks.items()}
    said, _ = learner.policy.evaluate(rollout.observation.flatten(0, 1), flat, masks)
    expected = (said.entropy * said.choice).sum(-1)[rollout.alive.flatten() > 0].mean().item()
    metrics = learner.update(rollout, torch.zeros(64), 0.0)
    assert metrics["policy/joint_entropy"] == pytest.approx(expected, rel=1e-5)


# Rescue -------------------------------------------------------------------------------------------------------------

COIN = spaces.Dict({"coin": spaces.Discrete(2), "other": spaces.Discrete(2)})


def collapsed_coin(*, rescue, gap=24.0, iterations=10):
    """A coin that the softmax has given up, though its target asks for more; the share of its range per iteration."""
    heads = {"coin": {"target": 0.4, "rescue": rescue}}
    learner = make_learner(COIN, heads, epochs=2, minibatch_size=32, target_kl=None, learning_rate=0.02)
    with torch.no_grad():
        learner.policy.actor.weight.zero_()
        learner.policy.actor.bias.copy_(torch.tensor([gap, 0.0, gap, 0.0]))
    told = []
    for _ in range(iterations):
        # Heads pays, so the surrogate presses the coin down all the time.
        rollout = play(learner.policy, {}, reward=lambda actions: 0.01 * (actions["coin"] == 0).float())
        told.append(learner.update(rollout, torch.zeros(64), 0.0))
    return told


def test_a_collapsed_head_is_rescued_and_only_then():
    told = collapsed_coin(rescue=True)
    fractions = [record["heads/coin/fraction"] for record in told]
    pulls = [record["ppo/rescue_loss"] for record in told]
    statuses = [record["heads/coin/status"] for record in told]
    first = statuses.index(HeadStatus.COLLAPSED)
    # Pulled from the update after the status on, and until half of the target of 0.4 is reached.
    assert fractions[: first + 1] == [pytest.approx(0.0, abs=1e-6)] * (first + 1)
    assert pulls[: first + 1] == [0.0] * (first + 1)
    back = next(at for at, fraction in enumerate(fractions) if fraction > 0.2)
    assert all(pull > 0.0 for pull in pulls[first + 1 : back + 1])
    assert all(pull == 0.0 for pull in pulls[back + 1 :])
    assert back - first <= 4
    assert max(fractions[-3:]) > 0.3
    # `other` has collapsed as well, and was not to be rescued.
    assert told[-1]["heads/other/status"] == HeadStatus.COLLAPSED
    assert told[-1]["heads/other/fraction"] < 1e-6


def test_without_rescue_a_softmax_that_has_saturated_stays_so():
    told = collapsed_coin(rescue=False)
    assert max(record["heads/coin/fraction"] for record in told) < 1e-6
    assert told[-1]["heads/coin/alpha"] == pytest.approx(1.0)  # whatever the temperature does
    assert all(record["ppo/rescue_loss"] == 0.0 for record in told)


def test_the_pull_is_a_mean_over_the_rows_where_the_head_counts():
    learner = make_learner(COIN, {"coin": {"target": 0.4, "rescue": True}}, minibatch_size=10**6)
    with torch.no_grad():
        learner.policy.actor.weight.zero_()
        learner.policy.actor.bias.copy_(torch.tensor([3.0, 0.0, 5.0, 0.0]))
    rollout = play(learner.policy, {"coin": 2})
    rollout.alive[1] = 0.0
    ((batch,),) = rollout.minibatches(torch.zeros(4, 64), 10**6, 1, torch.Generator())
    assert learner.losses(batch).rescue.item() == 0.0
    learner.controller.collapsed = torch.tensor([True, True])
    # KL(U || p) = -log 2 - mean log p with logits 3 and 0, on rows with both sides legal; `other` asked for nothing.
    log_p = torch.tensor([3.0, 0.0]).log_softmax(0)
    expected = -math.log(2) - log_p.mean().item()
    assert learner.losses(batch).rescue.item() == pytest.approx(expected, rel=1e-5)
    assert learner.losses(batch._replace(alive=torch.zeros_like(batch.alive))).rescue.item() == 0.0
