"""Two processes with unequal shares of living rows take the steps of one process with all rows."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import distributed, multiprocessing

from headctl.entropy.controller import MultiHeadEntropyController
from headctl.policy.actions import ActionHeads, describe_space, resolve_heads
from headctl.policy.network import Policy
from headctl.ppo.learner import PPOLearner, PPOOptions
from headctl.ppo.rollout import Rollout, RowShare

BOX = spaces.Box(-1, 1, (2,), np.float32)
SPACE = spaces.Dict({"maneuver": spaces.Discrete(5), "params": BOX, "weapon": spaces.Discrete(3)})
STEPS, ROWS, FEATURES, UPDATES = 4, 48, 3, 4
KINDS = {"fused": {}, "apart": {"params": {"kind": "tanh_gaussian"}}}
SMALL = {"epochs": 1, "minibatch_size": 4}  # so small that some have no row in one of the processes


def make_learner(kind, seed, group=None, *, epochs=3, minibatch_size=10**6):
    heads = {"maneuver": 0.9, "weapon": 0.7} | KINDS[kind]
    specs = resolve_heads(describe_space(SPACE), heads)
    policy = Policy(FEATURES, ActionHeads(specs, SPACE), hidden=(16,), generator=torch.Generator().manual_seed(seed))
    # One minibatch per epoch: the rows of a step are then the same however they are dealt out.
    options = PPOOptions(
        epochs=epochs, minibatch_size=minibatch_size, learning_rate=1e-3, max_grad_norm=0.1, target_kl=None
    )
    generator = torch.Generator().manual_seed(seed)
    return PPOLearner(policy, MultiHeadEntropyController(specs), options, generator, process_group=group)


def play(learner, update, part):
    """Fills a rollout with some rows of a game that all processes know; the first rows are mostly dead.

    One and the same policy plays for everybody: a rounding that moved a draw would be another game.
    """
    generator = torch.Generator().manual_seed(update)
    policy = Policy(FEATURES, learner.policy.action_heads, hidden=(16,), generator=torch.Generator().manual_seed(0))
    whole = Rollout(STEPS, ROWS, FEATURES, policy.action_heads, mask_sizes={"weapon": 3}, device=torch.device("cpu"))
    for step in range(STEPS):
        observation = torch.randn(ROWS, FEATURES, generator=generator)
        masks = {"weapon": torch.rand(ROWS, 3, generator=generator) < 0.4}
        masks["weapon"][:, 0] = True
        decision = policy.act(observation, masks, generator)
        whole.store_decision(step, observation, masks, decision)
        alive = torch.rand(ROWS, generator=generator) < torch.linspace(0.0, 1.0, ROWS)
        reward = (decision.actions["maneuver"] == 2).float() + 0.1 * torch.randn(ROWS, generator=generator)
        whole.store_outcome(step, reward, torch.ones(ROWS), torch.zeros(ROWS), alive.float())
    rows = len(range(ROWS)[part])
    mine = Rollout(STEPS, rows, FEATURES, policy.action_heads, mask_sizes={"weapon": 3}, device=torch.device("cpu"))
    for name in ("observation", "log_prob", "choice", "value", "reward", "done", "bootstrap", "alive"):
        getattr(mine, name).copy_(getattr(whole, name)[:, part])
    for name, action in whole.actions.items():
        mine.actions[name].copy_(action[:, part])
    mine.masks["weapon"].copy_(whole.masks["weapon"][:, part])
    return mine


def train(learner, part, *, updates=UPDATES, dealt_out_together=False):
    """Returns all weights and log alphas after some updates, and what the last one told."""
    told = {}
    for update in range(updates):
        rollout = play(learner, update, part)
        rollout.share = RowShare(part.start, ROWS) if dealt_out_together else None
        told = learner.update(rollout, torch.zeros(rollout.rows), progress=0.1 * update)
    weights = torch.cat([weight.detach().flatten() for weight in learner.policy.parameters()])
    return weights, learner.controller.log_alpha.clone(), told


def process(rank, store, kind, results):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    # The second one begins elsewhere: it gets the weights of the first.
    learner = make_learner(kind, seed=rank, group=distributed.group.WORLD)
    part = slice(0, ROWS // 2) if rank == 0 else slice(ROWS // 2, ROWS)
    weights, log_alpha, told = train(learner, part)
    broken = play(learner, 0, part)
    if rank == 1:
        broken.reward[0, 0] = float("nan")
    try:
        learner.update(broken, torch.zeros(broken.rows), 0.0)
        fault = ""
    except FloatingPointError as error:
        fault = str(error)
    small = make_learner(kind, 0, distributed.group.WORLD, **SMALL)
    of_small = train(small, part, updates=2, dealt_out_together=True)[0]
    results.put((rank, weights.numpy(), log_alpha.numpy(), told, fault, of_small.numpy()))
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_two_processes_equal_one(kind, tmp_path):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [
        context.Process(target=process, args=(rank, str(tmp_path / "store"), kind, results)) for rank in range(2)
    ]
    for each in processes:
        each.start()
    found = {rank: rest for rank, *rest in (results.get(timeout=120) for _ in processes)}
    for each in processes:
        each.join(timeout=60)
    alone = make_learner(kind, seed=0)
    begun = torch.cat([weight.detach().flatten() for weight in alone.policy.parameters()])
    weights, log_alpha, told = train(alone, slice(None))
    assert (weights - begun).abs().max() > 5e-3
    assert np.array_equal(found[0][0], found[1][0])
    assert np.array_equal(found[0][1], found[1][1])
    np.testing.assert_allclose(found[0][0], weights.numpy(), atol=1e-6)
    np.testing.assert_allclose(found[0][1], log_alpha.numpy(), atol=1e-6)
    for name in ("ppo/policy_loss", "ppo/value_loss", "ppo/entropy_bonus", "ppo/approx_kl", "ppo/grad_norm"):
        assert found[0][2][name] == pytest.approx(told[name], abs=2e-6), name
    of_small = train(make_learner(kind, 0, **SMALL), slice(None), updates=2)[0]
    assert np.array_equal(found[0][4], found[1][4])
    np.testing.assert_allclose(found[0][4], of_small.numpy(), atol=1e-6)
    assert "the rollout's reward were not finite" in found[1][3]
    assert "another process" in found[0][3]


def test_a_controller_that_adds_up_by_itself_is_refused(tmp_path):
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        specs = resolve_heads(describe_space(SPACE), {})
        policy = Policy(FEATURES, ActionHeads(specs, SPACE), hidden=(4,))
        controller = MultiHeadEntropyController(specs, process_group=distributed.group.WORLD)
        with pytest.raises(ValueError, match="process group of its own"):
            PPOLearner(policy, controller, PPOOptions(), torch.Generator())
    finally:
        distributed.destroy_process_group()
