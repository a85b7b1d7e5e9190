"""Numbers that are not finite: found, named, and kept away from the weights."""

import math
from collections import Counter

import pytest
import torch

from headctl.ppo.faults import NonFiniteError, broken_parts
from headctl.ppo.learner import weighted_sums
from tests.ppo.test_learner import COIN, coin_rollout, make_learner, update


def weights_of(learner):
    return [weight.detach().clone() for weight in learner.policy.parameters()]


def same(learner, before):
    return all(torch.equal(a, b) for a, b in zip(weights_of(learner), before, strict=True))


@pytest.mark.parametrize("part", ["observation", "reward", "log_prob", "value", "bootstrap"])
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_broken_rollout_is_named_and_changes_nothing(part, number):
    learner = make_learner(COIN, {}, epochs=1)
    rollout = coin_rollout(learner.policy)
    getattr(rollout, part)[1, 3] = number
    before, alpha = weights_of(learner), learner.controller.alpha.clone()
    with pytest.raises(NonFiniteError) as error:
        update(learner, rollout)
    assert error.value.terms == {part: 1}
    assert f"the rollout's {part} were not finite (1 of {part})" in str(error.value)
    assert same(learner, before)
    assert torch.equal(alpha, learner.controller.alpha)
    assert not learner.optimizer.state_dict()["state"]


def test_finite_numbers_whose_sum_overflows_are_not_accused():
    rollout = coin_rollout(make_learner(COIN, {}).policy)
    rollout.reward[:] = 3e38
    assert broken_parts(rollout, torch.zeros(rollout.rows)) == {}
    assert broken_parts(rollout, torch.full((rollout.rows,), math.nan)) == {"last value": rollout.rows}


def breaking(learner, monkeypatch, number, change):
    """Changes the losses of the nth minibatch, as tensors. What goes without them: tests/ppo/test_hand_step.py."""
    losses_of, count = learner.losses, [0]
    learner._hand_step = None

    def losses(batch):
        count[0] += 1
        found = losses_of(batch)
        return change(found) if count[0] == number else found

    monkeypatch.setattr(learner, "losses", losses)


def steep(losses):
    weight = losses.params
    return losses._replace(value=losses.value + (weight * 0.0).sum().abs().sqrt())


@pytest.mark.parametrize(
    ("term", "change"),
    [
        ("policy_loss", lambda losses: losses._replace(policy=losses.policy * math.nan)),
        ("value_loss", lambda losses: losses._replace(value=losses.value * math.inf)),
        ("entropy_bonus", lambda losses: losses._replace(bonus=losses.bonus * math.nan)),
        ("rescue_loss", lambda losses: losses._replace(rescue=losses.rescue + math.nan)),
        ("entropy", lambda losses: losses._replace(sums=losses.sums * math.nan)),
        (
            "log_prob",
            lambda losses: losses._replace(log_prob=losses.log_prob * math.nan, policy=losses.policy * math.nan),
        ),
        ("gradient", steep),
    ],
)
def test_one_broken_minibatch_is_left_out_and_the_others_are_used(monkeypatch, term, change):
    learner = make_learner(COIN, {"coin": 0.9}, epochs=2, minibatch_size=32, target_kl=None)
    breaking(learner, monkeypatch, 3, change)
    metrics = update(learner, coin_rollout(learner.policy))  # 128 rows: 8 minibatches
    assert learner.skipped == Counter({term: 1})
    assert metrics["ppo/skipped"] == 1
    assert metrics["ppo/updates"] == 7
    assert all(bool(torch.isfinite(weight).all()) for weight in weights_of(learner))
    assert all(math.isfinite(metrics[name]) for name in ("ppo/policy_loss", "ppo/value_loss", "ppo/grad_norm"))
    if term == "entropy":
        assert metrics["heads/coin/skipped"] == 1
    assert update(learner, coin_rollout(learner.policy))["ppo/skipped"] == 0
    assert not learner.skipped


def test_the_skipped_minibatch_takes_no_step(monkeypatch):
    learner = make_learner(COIN, {}, epochs=1, minibatch_size=1000)
    breaking(learner, monkeypatch, 1, lambda losses: losses._replace(policy=losses.policy * math.nan))
    before = weights_of(learner)
    with pytest.raises(NonFiniteError, match="policy_loss was not finite in every minibatch"):
        update(learner, coin_rollout(learner.policy))
    assert same(learner, before)
    metrics = learner.metrics_without_update(0.0)
    assert metrics["ppo/skipped"] == 1
    assert metrics["ppo/updates"] == 0
    assert math.isnan(metrics["ppo/policy_loss"])
    assert "heads/coin/alpha" in metrics


def test_entropies_of_heads_without_a_choice_are_nobodys_fault():
    entropy = torch.tensor([[math.nan, 0.5], [0.3, math.inf], [0.2, 0.1]])
    weight = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    sums = weighted_sums(entropy, torch.ones(3, 2), weight)
    torch.testing.assert_close(sums, torch.tensor([[0.5, 0.6], [2.0, 2.0], [2.0, 2.0], [3.0, 3.0]]))


def test_outputs_that_are_broken_for_the_dead_are_nobodys_fault():
    learner = make_learner(COIN, {}, epochs=1, minibatch_size=1000)
    rollout = coin_rollout(learner.policy)
    rollout.alive[1, :4] = 0.0
    ((batch,),) = rollout.minibatches(rollout.reward, 1000, 1, torch.Generator().manual_seed(0))
    params, value = (part.detach() for part in learner.policy(batch.observation))
    expected = learner.losses(batch)
    broken = torch.where(batch.alive.unsqueeze(-1) > 0, params, math.nan).requires_grad_()
    learner.policy.forward = lambda seen: (broken, torch.where(batch.alive > 0, value, math.nan))
    losses = learner.losses(batch)
    for term in ("policy", "value", "bonus", "sums"):
        assert torch.equal(getattr(losses, term), getattr(expected, term)), term
    (losses.policy - losses.bonus).backward()
    assert bool(torch.isfinite(broken.grad).all())
