"""The terms of the loss by hand, and what an update does and does not do."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces

from headctl.entropy.controller import MultiHeadEntropyController
from headctl.policy.actions import ActionHeads, describe_space, resolve_heads
from headctl.policy.network import Policy
from headctl.ppo.diagnostics import explained_variance
from headctl.ppo.learner import PPOLearner, PPOOptions
from headctl.ppo.rollout import Minibatch, Rollout

COIN = spaces.Dict({"coin": spaces.Discrete(2)})
FIGHT = spaces.Dict(
    {"maneuver": spaces.Discrete(9), "weapon": spaces.Discrete(4), "params": spaces.Box(-1, 1, (3,), np.float32)}
)


def make_learner(space, heads, *, features=1, seed=0, hidden=(8,), **options):
    specs = resolve_heads(describe_space(space), heads)
    policy = Policy(features, ActionHeads(specs, space), hidden=hidden, generator=torch.Generator().manual_seed(seed))
    controller = MultiHeadEntropyController(specs)
    return PPOLearner(policy, controller, PPOOptions(**options), torch.Generator().manual_seed(seed))


def coin_learner(alpha=0.1, **options):
    """Outputs exactly zero: p = 1/2 for both sides, value 0."""
    learner = make_learner(COIN, {"coin": {"alpha": alpha}}, **options)
    with torch.no_grad():
        for layer in (learner.policy.actor, learner.policy.critic):
            layer.weight.zero_()
            layer.bias.zero_()
    return learner


def coin_batch(ratios, advantages, targets, alive):
    rows = len(ratios)
    return Minibatch(
        observation=torch.zeros(rows, 1),
        masks={},
        actions={"coin": torch.arange(rows) % 2},
        log_prob=(math.log(0.5) - torch.tensor(ratios).log()).unsqueeze(1),
        alive=torch.tensor(alive),
        advantage=torch.tensor(advantages),
        value_target=torch.tensor(targets),
    )


def test_the_terms_of_the_loss_on_two_rows_by_hand():
    losses = coin_learner().losses(coin_batch([1.5, 0.5], [1.0, -1.0], [2.0, -1.0], [1.0, 1.0]))
    assert losses.policy.item() == pytest.approx(-(1.2 - 0.8) / 2)  # min(1.5, 1.2) and min(-.5, -.8)
    assert losses.value.item() == pytest.approx(0.5 * (4.0 + 1.0) / 2)
    assert losses.bonus.item() == pytest.approx(0.1 * math.log(2))
    k3 = [ratio - 1 - math.log(ratio) for ratio in (1.5, 0.5)]
    assert losses.approx_kl.item() == pytest.approx(sum(k3) / 2)
    assert losses.clip_fraction.item() == 1.0


def test_the_clip_binds_only_where_it_costs():
    # Positive advantage, ratio below; negative advantage, ratio above: the plain term is the smaller one.
    losses = coin_learner().losses(coin_batch([0.5, 1.5], [1.0, -1.0], [0.0, 0.0], [1.0, 1.0]))
    assert losses.policy.item() == pytest.approx(-(0.5 - 1.5) / 2)


def test_rows_of_the_dead_count_in_no_term():
    learner = coin_learner()
    alone = learner.losses(coin_batch([1.1], [1.0], [2.0], [1.0]))
    # The dead row would overflow the ratio: exp(230).
    both = learner.losses(coin_batch([1.1, 1e-38], [1.0, 0.0], [2.0, 50.0], [1.0, 0.0]))
    for name in ("policy", "value", "bonus", "approx_kl", "clip_fraction"):
        assert getattr(both, name).item() == pytest.approx(getattr(alone, name).item()), name
    assert both.weight.tolist() == [[1.0], [0.0]]
    nobody = learner.losses(coin_batch([1.0, 1.0], [1.0, 1.0], [2.0, 2.0], [0.0, 0.0]))
    assert nobody.policy.item() == nobody.value.item() == nobody.bonus.item() == 0.0


def fight_batch(policy, rows, seed, *, act_in=None):
    """Rows as a rollout stores them; the actions are drawn in batches of ``act_in`` rows."""
    generator = torch.Generator().manual_seed(seed)
    observation = torch.randn(rows, 6, generator=generator)
    mask = torch.rand(rows, 4, generator=generator) > 0.5
    mask[:, 0] = True
    pieces = torch.arange(rows).split(act_in or rows)
    steps = [policy.act(observation[piece], {"weapon": mask[piece]}, generator) for piece in pieces]
    return Minibatch(
        observation=observation,
        masks={"weapon": mask},
        actions={name: torch.cat([step.actions[name] for step in steps]) for name in steps[0].actions},
        log_prob=torch.cat([step.evaluation.log_prob for step in steps]),
        alive=torch.ones(rows),
        advantage=torch.randn(rows, generator=generator),
        value_target=torch.randn(rows, generator=generator),
    )


def lively(learner):
    """Makes the heads far from uniform, as they are late in training."""
    with torch.no_grad():
        learner.policy.actor.weight.mul_(100.0)
    return learner


# One row goes through another kernel than many: a few roundings of log-probabilities near -10. By sevens 511 rows leave
# none alone.
@pytest.mark.parametrize(
    ("rows", "act_in", "tolerance"),
    [(512, 512, 0.0), (512, 96, 1e-6), (512, 8, 1e-6), (511, 7, 1e-6), (512, 1, 5e-6)],
)
def test_the_ratio_is_1_for_unchanged_parameters_per_head_and_joint(rows, act_in, tolerance):
    learner = lively(make_learner(FIGHT, {}, features=6, hidden=(64, 64)))
    batch = fight_batch(learner.policy, rows, 1, act_in=act_in)
    said, _ = learner.policy.evaluate(batch.observation, batch.actions, batch.masks)
    assert said.entropy.std(0).min() > 0.01  # the states differ, and so do the distributions
    difference = said.log_prob - batch.log_prob
    assert (difference.exp() - 1).abs().max().item() <= tolerance
    assert (difference.sum(-1).exp() - 1).abs().max().item() <= tolerance
    assert learner.losses(batch).clip_fraction.item() == 0.0


def tiled(batch, times):
    return Minibatch(
        *(
            {name: entry.repeat(times, *[1] * (entry.ndim - 1)) for name, entry in part.items()}
            if isinstance(part, dict)
            else part.repeat(times, *[1] * (part.ndim - 1))
            for part in batch[:7]
        )
    )


def test_the_terms_do_not_change_with_batch_size_nor_with_rows_of_the_dead():
    learner = lively(make_learner(FIGHT, {"weapon": {"alpha": 0.3}, "maneuver": {"alpha": 0.2}}, features=6))
    four = fight_batch(learner.policy, 4, 2)
    small, large = learner.losses(four), learner.losses(tiled(four, 1024))
    padded = tiled(four, 2)
    padded.alive[4:] = 0.0
    with_padding = learner.losses(padded)
    assert small.bonus.item() > 0.05
    for name in ("policy", "value", "bonus"):
        expected = getattr(small, name).item()
        assert getattr(large, name).item() == pytest.approx(expected, abs=1e-6), name
        assert getattr(with_padding, name).item() == pytest.approx(expected, abs=1e-6), name


def test_a_head_weighs_only_where_it_has_a_choice_and_lives():
    learner = make_learner(FIGHT, {}, features=6)
    batch = fight_batch(learner.policy, 4, 3)
    batch.masks["weapon"][:] = torch.tensor([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]]).bool()
    batch.actions["weapon"][:] = 0
    batch.alive[3] = 0.0
    weight = learner.losses(batch).weight
    column = learner.policy.action_heads.names.index("weapon")
    assert weight[:, column].tolist() == [0.0, 1.0, 0.0, 0.0]
    assert weight[:, 1 - column if column < 2 else 0].tolist() == [1.0, 1.0, 1.0, 0.0]


# Updates ----------------------------------------------------------------------------------------------------------


def coin_rollout(policy, rows=64, steps=2, seed=0):
    """A living game of heads or tails in which heads pays."""
    rollout = Rollout(steps, rows, 1, policy.action_heads, mask_sizes={}, device=torch.device("cpu"))
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        observation = torch.randn(rows, 1, generator=generator)
        decision = policy.act(observation, {}, generator)
        rollout.store_decision(step, observation, {}, decision)
        reward = (decision.actions["coin"] == 0).float()
        rollout.store_outcome(step, reward, torch.ones(rows), torch.zeros(rows), torch.ones(rows))
    return rollout


def update(learner, rollout, progress=0.0):
    return learner.update(rollout, torch.zeros(rollout.rows), progress)


@pytest.mark.parametrize(("target_kl", "updates"), [(None, 20), (1e-9, 4), (1e9, 20)])
def test_an_update_stops_after_the_epoch_that_moved_too_far(target_kl, updates):
    learner = make_learner(COIN, {}, epochs=5, minibatch_size=32, target_kl=target_kl, learning_rate=1e-2)
    metrics = update(learner, coin_rollout(learner.policy))
    assert metrics["ppo/updates"] == updates


def test_an_update_stops_by_the_mean_divergence_of_an_epoch():
    def updates(**options):
        learner = make_learner(COIN, {}, minibatch_size=32, learning_rate=1e-2, **options)
        return update(learner, coin_rollout(learner.policy))

    moved = updates(epochs=1, target_kl=None)["ppo/approx_kl"]
    assert moved > 1e-5
    assert updates(epochs=5, target_kl=0.99 * moved)["ppo/updates"] == 4  # one epoch
    assert updates(epochs=5, target_kl=1.01 * moved)["ppo/updates"] > 4


def test_gradient_clipping_bounds_the_policy_and_leaves_the_controller_alone():
    moved, learned, norms = [], [], []
    for max_grad_norm in (1e-9, 1e9):
        # One minibatch, so that both see the same entropies.
        learner = make_learner(COIN, {"coin": 0.9}, epochs=1, minibatch_size=10**6, max_grad_norm=max_grad_norm)
        with torch.no_grad():
            learner.policy.actor.bias.copy_(torch.tensor([2.0, 0.0]))
        before = [weight.detach().clone() for weight in learner.policy.parameters()]
        alpha = learner.controller.log_alpha.clone()
        metrics = update(learner, coin_rollout(learner.policy))
        pairs = zip(before, learner.policy.parameters(), strict=True)
        moved.append(max((a - b).abs().max().item() for a, b in pairs))
        learned.append((learner.controller.log_alpha - alpha).item())
        norms.append(metrics["ppo/grad_norm"])
    assert moved[0] < 1e-6
    assert moved[1] > 1e-4
    assert learned[0] == learned[1] > 0.01
    assert norms[0] == norms[1] > 0.01  # told as it was before clipping


@pytest.mark.parametrize(("schedule", "rates"), [("constant", (4e-3, 4e-3, 4e-3)), ("linear", (4e-3, 2.2e-3, 4e-4))])
def test_the_learning_rate_follows_the_schedule(schedule, rates):
    learner = make_learner(COIN, {}, epochs=1, learning_rate=4e-3, learning_rate_schedule=schedule)
    for progress, rate in zip((0.0, 0.5, 1.0), rates, strict=True):
        metrics = update(learner, coin_rollout(learner.policy), progress)
        assert metrics["ppo/learning_rate"] == pytest.approx(rate)
        assert learner.optimizer.param_groups[0]["lr"] == metrics["ppo/learning_rate"]


def test_the_controller_takes_one_step_per_minibatch_and_follows_progress():
    learner = make_learner(
        COIN,
        {"coin": {"target": {"schedule": "linear", "start": 0.8, "end": 0.2}, "gain_integral": 0.5}},
        epochs=3,
        minibatch_size=32,
        target_kl=None,
        learning_rate=1e-12,
    )
    before = learner.controller.log_alpha.item()
    metrics = update(learner, coin_rollout(learner.policy), progress=0.5)
    assert metrics["heads/coin/target_fraction"] == pytest.approx(0.5)
    # A frozen, nearly uniform coin: 12 steps of K_I * (target - fraction), down to the floor of log 1e-4.
    expected = before + 12 * 0.5 * (0.5 - metrics["heads/coin/fraction"])
    assert metrics["heads/coin/fraction"] == pytest.approx(1.0, abs=1e-3)
    assert metrics["heads/coin/alpha"] < 0.01
    # anti-windup: alpha is at its floor at once (0.01 - 2 * 0.5 < 1e-4), the integral holds.
    assert learner.controller.log_alpha.item() == pytest.approx(before)
    assert expected < before


def test_the_share_of_the_bonus_in_the_gradient_by_closed_forms():
    alpha = 0.7
    learner = make_learner(COIN, {"coin": {"alpha": alpha}}, epochs=1, minibatch_size=10**6)
    with torch.no_grad():
        learner.policy.actor.weight.mul_(200.0)
    rollout = coin_rollout(learner.policy)
    params, _ = learner.policy(rollout.observation.flatten(0, 1))
    probs = params.detach().double().softmax(-1)
    action = torch.nn.functional.one_hot(rollout.actions["coin"].flatten(), 2)
    advantage = (rollout.reward - rollout.value).flatten().double()
    advantage = (advantage - advantage.mean()) / advantage.std(correction=0)
    rows = len(advantage)
    of_policy = advantage.unsqueeze(1) * (action - probs) / rows
    entropy = -(probs * probs.log()).sum(-1, keepdim=True)
    of_bonus = -alpha * probs * (probs.log() + entropy) / rows
    metrics = update(learner, rollout)
    expected = (of_bonus.norm() / of_policy.norm()).item()
    assert metrics["heads/coin/bonus_to_policy_grad"] == pytest.approx(expected, rel=1e-4)
    assert expected > 0.01


def test_a_number_that_is_not_finite_ends_the_training_and_names_its_origin():
    learner = make_learner(COIN, {}, epochs=1)
    rollout = coin_rollout(learner.policy)
    rollout.reward[1, 3] = math.nan
    with pytest.raises(FloatingPointError, match=r"policy_loss.*the rollout's reward were not finite.*checkpoint"):
        update(learner, rollout)


def test_a_controller_of_other_heads_is_refused():
    learner = make_learner(COIN, {})
    with pytest.raises(ValueError, match=r"controller: has the heads \['die'\], the policy has \['coin'\]"):
        PPOLearner(
            learner.policy,
            MultiHeadEntropyController({"die": {"choices": 6}}),
            PPOOptions(),
            torch.Generator(),
        )


def test_explained_variance_by_hand():
    value = torch.tensor([[1.0], [2.0], [3.0], [9.0]])
    alive = torch.tensor([[1.0], [1.0], [1.0], [0.0]])
    assert explained_variance(value, torch.zeros(4, 1), alive).item() == pytest.approx(1.0)
    # returns 2, 2, 5: variance 2; errors 1, 0, 2: variance 2/3
    assert explained_variance(value, torch.tensor([[1.0], [0.0], [2.0], [50.0]]), alive).item() == pytest.approx(2 / 3)
    # a constant estimate explains nothing: returns 1, 2, 6
    constant = torch.full((4, 1), 3.0)
    errors = torch.tensor([[-2.0], [-1.0], [3.0], [7.0]])
    assert explained_variance(constant, errors, alive).item() == pytest.approx(0.0, abs=1e-6)


def test_a_learner_goes_on_from_its_state_bit_for_bit():
    heads = {"coin": 0.7}
    one, other = (make_learner(COIN, heads, seed=seed, minibatch_size=32) for seed in (1, 2))
    update(one, coin_rollout(one.policy, seed=1))
    other.load_state_dict(one.state_dict())
    other.generator.set_state(one.generator.get_state())
    rollouts = [coin_rollout(learner.policy, seed=2) for learner in (one, other)]
    told = [update(learner, rollout) for learner, rollout in zip((one, other), rollouts, strict=True)]
    assert told[0] == told[1]
    weights = zip(one.policy.parameters(), other.policy.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in weights)


# What does not learn ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fused", [True, False])
def test_the_loss_has_gradients_for_the_policy_and_for_nothing_else(fused):
    learner = make_learner(FIGHT, {"weapon": {"alpha": 0.3}}, features=6)
    batch = fight_batch(learner.policy, 32, 4)
    constants = [batch.log_prob, batch.advantage, batch.value_target]
    for constant in constants:
        constant.requires_grad_()
    learner.controller.alpha.requires_grad_()
    losses = learner.losses(batch) if fused else learner.losses_apart(*learner.policy(batch.observation), batch)
    (losses.policy + losses.value - losses.bonus).backward()
    assert all(entry.grad is not None and entry.grad.abs().sum() > 0 for entry in learner.policy.parameters())
    assert learner.controller.alpha.grad is None
    assert batch.value_target.grad is None or not fused
    assert not any(entry.requires_grad for entry in (losses.approx_kl, losses.clip_fraction, losses.joint_entropy))
    assert not losses.sums.requires_grad
    assert not losses.weight.requires_grad
    assert not losses.log_prob.requires_grad


def test_parts_of_the_network_that_are_frozen_stay_as_they_are():
    learner = make_learner(COIN, {}, epochs=2, minibatch_size=32, learning_rate=1e-2)
    for parameter in learner.policy.trunk.parameters():
        parameter.requires_grad_(False)
    before = {name: entry.clone() for name, entry in learner.policy.state_dict().items()}
    update(learner, coin_rollout(learner.policy))
    for name, entry in learner.policy.state_dict().items():
        assert torch.equal(entry, before[name]) == name.startswith(("trunk", "normalizer")), name


def test_parts_that_have_moved_stay_as_they_are_once_they_are_frozen():
    learner = make_learner(COIN, {}, epochs=2, minibatch_size=32, learning_rate=1e-2)
    update(learner, coin_rollout(learner.policy))
    for parameter in learner.policy.trunk.parameters():
        parameter.requires_grad_(False)
    before = {name: entry.clone() for name, entry in learner.policy.state_dict().items()}
    update(learner, coin_rollout(learner.policy, seed=2))
    for name, entry in learner.policy.state_dict().items():
        assert torch.equal(entry, before[name]) == name.startswith(("trunk", "normalizer")), name
