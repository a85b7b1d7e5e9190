"""Several processes that share a run: together they are one, in weights, temperatures, league, metrics and files."""

import shutil

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing

from headctl.ppo.ranks import ALONE, Ranks
from headctl.run.checkpoint import list_checkpoints, steps_of
from headctl.run.config import parse_config
from headctl.run.folder import create_run_folder
from headctl.run.manifest import remove_manifest
from headctl.run.trainer import Trainer

LEAGUE = """
seed: 3
total_steps: 2_700
game:
  name: dogfight
  num_games: 16
  options: {missiles: 0, flares: 0, time_limit_s: 5, start: {in_zone: 0.5, offensive: 0.5}}
heads: {maneuver: 0.9, weapon: 0.7, params: 0.95}
policy: {hidden: [16, 16]}
# The first process has all games against itself, the second one all others: their shares of a minibatch are unequal.
ppo: {rollout_steps: 16, epochs: 3, minibatch_size: 96, learning_rate: 1e-3, target_kl: 0.002}
selfplay:
  opponents: {latest: 0.5, pfsp: {weight: 0.25, kind: hard, power: 1}, pilots: {weight: 0.25, names: [pursuit, straight]}}
  pool_size: 3
  snapshot_every: 1_200
  entry: {by: both, win_rate: 0.4, games: 6}
  slots: 4
  slot_iterations: 2
  payoff: {every: 4, pairs: 2, games: 2}
evaluation: {games: 2, every: 1_500, pilots: [straight]}
checkpoint: {every: 1_000}
run: {tensorboard: false}
"""


def config(*overrides):
    return parse_config(LEAGUE, overrides)


def trained(run_dir, ranks, *, resume=False):
    """Returns what is left of a training at its end: weights, temperatures, and what was told on the way."""
    trainer = Trainer(config(), run_dir, resume=resume, ranks=ranks, tell=lambda _: None)
    if not resume:
        trainer.save()
    told = [dict(record) for record in trainer.iterations()]
    weights = torch.cat([weight.detach().flatten() for weight in trainer.policy.parameters()]).numpy()
    normalizer = torch.cat((trainer.policy.normalizer.mean, trainer.policy.normalizer.variance)).numpy()
    log_alpha = trainer.controller.log_alpha.numpy().copy()
    payoff = trainer.league.payoff.games.copy(), trainer.league.payoff.points.copy()
    return {
        "weights": weights,
        "normalizer": normalizer,
        "log_alpha": log_alpha,
        "payoff": payoff,
        "pool": trainer.pool.names,
        "told": told,
    }


def forget_after(run_dir, agent_steps):
    """Removes the checkpoints that are younger: the run looks as if it had been killed."""
    for path in list_checkpoints(run_dir):
        if steps_of(path) > agent_steps:
            remove_manifest(run_dir, path)
            path.unlink()


def process(rank, folder, results):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=2)
    ranks = Ranks(rank, 2, distributed.group.WORLD)
    uninterrupted = trained(folder / "two", ranks)
    if ranks.first:
        shutil.copytree(folder / "two", folder / "again")
        forget_after(folder / "again", steps_of(list_checkpoints(folder / "two")[1]))
    ranks.any(flag=False)
    results.put((rank, uninterrupted, trained(folder / "again", ranks, resume=True)))
    ranks.any(flag=False)
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Returns what one process has come to, and what each of two has, without and with an interruption."""
    folder = tmp_path_factory.mktemp("together")
    for name in ("one", "two"):
        create_run_folder(folder / name, config())
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=process, args=(rank, folder, results)) for rank in range(2)]
    for each in processes:
        each.start()
    one = trained(folder / "one", ALONE)
    found = {rank: rest for rank, *rest in (results.get(timeout=240) for _ in processes)}
    for each in processes:
        each.join(timeout=60)
    return folder, one, found


def assert_same(found, expected, tolerance):
    for name in ("weights", "normalizer", "log_alpha"):
        np.testing.assert_allclose(found[name], expected[name], rtol=tolerance, atol=tolerance, err_msg=name)
    assert found["pool"] == expected["pool"]
    for mine, other in zip(found["payoff"], expected["payoff"], strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-9)


def assert_same_told(found, expected, tolerance):
    assert [record["agent_steps"] for record in found] == [record["agent_steps"] for record in expected]
    for mine, other in zip(found, expected, strict=True):
        assert mine.keys() == other.keys()
        for name in (name for name in mine if not name.startswith("perf/")):
            value = (
                other[name]
                if isinstance(other[name], str)
                else pytest.approx(other[name], tolerance, tolerance, nan_ok=True)
            )
            assert mine[name] == value, f"{name} in iteration {other['iteration']}"


def test_two_processes_equal_one(runs):
    _, one, found = runs
    two, other = found[0][0], found[1][0]
    assert_same(two, one, 1e-6)
    assert_same(other, two, 0.0)
    assert_same_told(two["told"], one["told"], 2e-5)
    last = one["told"][-1]
    # The test can fail: games were decided, temperatures have moved, the league has grown by its gate, and updates
    # have ended early.
    assert sum(record["selfplay/games"] for record in one["told"]) > 10
    assert len(one["pool"]) > 1
    assert last["heads/params/alpha"] > 2e-4
    assert len({record["ppo/updates"] for record in one["told"]}) > 1
    assert any("eval/straight/games" in record for record in one["told"])
