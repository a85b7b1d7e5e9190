"""The laboratory's loop: it is PPO as the product does it, and experiments do not touch each other."""

import math

import numpy as np
import pytest
import torch

from headctl.entropy.controller import MultiHeadEntropyController
from headctl.policy.actions import ActionHeads, describe_space, resolve_heads
from headctl.policy.network import Policy
from headctl.ppo.learner import PPOLearner, PPOOptions
from headctl.ppo.rollout import Minibatch
from headctl.run.lab.contestants import CONTESTANTS, COURSES, heads_of, unreachable_for_a_while
from headctl.run.lab.loop import Experiment, Loop, LoopOptions, clip_grad_norms, run
from headctl.run.lab.task import FEATURES, MISSILE, SPACE, Task, mean_capacity

_DUAL = "dual adam 0.3 bounded"
SMALL = LoopOptions(rows=64, hidden=(16,))


def experiment(name="pi floor", course="const", seed=0, **keys):
    return Experiment(heads_of(CONTESTANTS[name], COURSES[course]), seed, **keys)


class Product:
    """The product's learner with the network of one experiment."""

    def __init__(self, one, loop, number):
        specs = resolve_heads(describe_space(SPACE), one.heads)
        policy = Policy(FEATURES, ActionHeads(specs, SPACE), hidden=SMALL.hidden)
        policy.load_state_dict(
            {name: value[number].detach().clone() for name, value in loop._parameters.items()}
            | {name: value[number].clone() for name, value in loop._buffers.items()}
        )
        options = PPOOptions(learning_rate_schedule="constant", target_kl=None)
        self.learner = PPOLearner(policy, MultiHeadEntropyController(specs), options, torch.Generator())

    def minibatch(self, batch, number):
        own = {
            "masks": {name: mask[number] for name, mask in batch.masks.items()},
            "actions": {name: action[number] for name, action in batch.actions.items()},
        }
        policy = self.learner.policy
        with torch.no_grad():
            evaluation, _ = policy.evaluate(batch.observation[number], own["actions"], own["masks"])
        return Minibatch(
            observation=batch.observation[number],
            log_prob=evaluation.log_prob,
            alive=torch.ones(SMALL.rows),
            advantage=batch.advantage[number],
            value_target=batch.reward[number],
            **own,
        )


def test_losses_and_updates_are_those_of_the_product():
    targets = {"maneuver": 0.97, "weapon": 0.98, "params": 0.9}  # near where a network begins
    experiments = [
        Experiment(heads_of(CONTESTANTS[name], targets), seed) for name, seed in (("pi floor", 3), (_DUAL, 4))
    ]
    loop = Loop(experiments, SMALL)
    batch, _, _ = loop.play()
    products = [Product(one, loop, number) for number, one in enumerate(experiments)]
    minibatches = [product.minibatch(batch, number) for number, product in enumerate(products)]
    for _ in range(3):  # from the second update on ratios differ from 1 and alphas from each other
        ours = loop.losses(batch)
        theirs = [p.learner.losses(minibatch) for p, minibatch in zip(products, minibatches, strict=True)]
        for term in ("policy", "value", "bonus"):
            together = sum(getattr(one, term) for one in theirs)
            torch.testing.assert_close(getattr(ours, term), together, rtol=1e-5, atol=1e-6)
        loop._descend(batch, progress=0.2)
        for product, terms in zip(products, theirs, strict=True):
            product.learner._descend(terms, 0.2)
    for number, product in enumerate(products):
        for name, parameter in product.learner.policy.named_parameters():
            torch.testing.assert_close(loop._parameters[name][number], parameter, rtol=1e-4, atol=1e-6)
        alphas = loop.controller.alpha.view(2, 3)[number]
        torch.testing.assert_close(alphas, product.learner.controller.alpha, rtol=1e-4, atol=1e-7)
    assert loop.controller.alpha.unique().numel() >= 5


def test_an_experiment_does_not_depend_on_its_neighbours():
    one = experiment(seed=7)
    wild = experiment("dual sgd 10 bounded", "step up", seed=8)
    alone = run([one], 4, SMALL)[0]
    beside = run([wild, one], 4, SMALL)[1]
    np.testing.assert_allclose(beside.fraction, alone.fraction, rtol=1e-3)
    np.testing.assert_allclose(beside.alpha, alone.alpha, rtol=1e-3, atol=1e-6)
    other = run([experiment(seed=9)], 4, SMALL)[0]
    assert np.abs(other.fraction - alone.fraction).max() > 1e-3


def test_gradients_are_clipped_per_experiment():
    weight, bias = torch.zeros(2, 3, 2, requires_grad=True), torch.zeros(2, 2, requires_grad=True)
    weight.grad = torch.stack([torch.zeros(3, 2), torch.full((3, 2), 0.1)])
    bias.grad = torch.tensor([[3.0, 4.0], [0.1, 0.1]])
    clip_grad_norms([weight, bias], 0.5)
    torch.testing.assert_close(bias.grad[0], torch.tensor([0.3, 0.4]))
    torch.testing.assert_close(bias.grad[1], torch.tensor([0.1, 0.1]))  # of norm 0.28
    torch.testing.assert_close(weight.grad[1], torch.full((3, 2), 0.1))


def test_prescribed_alphas_stand_in_the_trace():
    trace = run([experiment("decay 0.05 to 0.001")], 4, SMALL)[0]
    np.testing.assert_allclose(trace.alpha[:, 0], 0.05 + np.arange(4) / 4 * (0.001 - 0.05), rtol=1e-5)
    assert np.isnan(trace.target).all()


def test_params_count_after_a_missile_only():
    loop = Loop([experiment()], SMALL)
    batch, evaluation, _ = loop.play()
    column = loop.action_heads.names.index("params")
    assert torch.equal(evaluation.choice[0, :, column] > 0, batch.actions["weapon"][0] == MISSILE)
    weapon = loop.action_heads.names.index("weapon")
    assert torch.equal(evaluation.choice[0, :, weapon] > 0, batch.masks["weapon"][0].sum(-1) > 1)


def test_rewards_by_hand():
    task = Task([torch.Generator().manual_seed(0)])
    task._maneuver = torch.arange(16 * 9.0).view(1, 16, 9)
    task._weapon = 1000.0 * torch.arange(16 * 4.0).view(1, 16, 4)
    task._aim = torch.zeros(1, 16, 3)
    actions = {
        "maneuver": torch.tensor([[2, 3]]),
        "weapon": torch.tensor([[MISSILE, 1]]),
        "params": torch.tensor([[[0.5, -0.5, 0.0], [0.0, 0.0, 0.0]]]),
    }
    paid = task.reward(torch.tensor([[1, 0]]), actions)
    hit = 1.5 * math.exp(-0.5 / 0.5)
    assert paid.tolist() == [[pytest.approx(11 + 6000 + hit), pytest.approx(3 + 1000)]]


def test_the_mean_capacity_is_what_the_masks_allow():
    states = Task([torch.Generator().manual_seed(1)]).states(100_000)
    for head in ("maneuver", "weapon"):
        legal = states.masks[head][0].sum(-1)
        assert mean_capacity(head) == pytest.approx(legal[legal > 1].float().log().mean().item(), abs=0.005)
        assert mean_capacity(head) < math.log(states.masks[head].shape[-1]) - 0.1
    forced = (states.masks["weapon"][0].sum(-1) == 1).float().mean().item()
    assert 0.5 < forced < 0.6


def test_the_target_out_of_reach_is_out_of_reach():
    loop = Loop([Experiment(unreachable_for_a_while(CONTESTANTS["pi floor"]), 0)], SMALL)
    batch, _, _ = loop.play()
    wanted = {}
    for progress in (0.0, 0.3, 0.6):
        loop.learn(batch, progress)
        metrics = loop.controller.metrics()
        wanted[progress] = [metrics[f"heads/0/{head}/target_fraction"] for head in ("maneuver", "weapon", "params")]
    assert wanted[0.0] == pytest.approx(wanted[0.6], abs=1e-6)  # sums of the same capacities in another order
    assert wanted[0.0] == pytest.approx([0.5, 0.5, 0.5], abs=0.06)
    assert min(wanted[0.3][:2]) > 1.05
