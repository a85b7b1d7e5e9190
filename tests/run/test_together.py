"""Several processes that share a run: together they are one, in weights, temperatures, league, metrics and files."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing

from headctl.ppo.ranks import ALONE, Ranks
from headctl.run.checkpoint import list_checkpoints, steps_of
from headctl.run.config import ConfigError, parse_config
from headctl.run.folder import create_run_folder
from headctl.run.manifest import remove_manifest
from headctl.run.together import check_together
from headctl.run.trainer import Trainer

ROOT = Path(__file__).parents[2]
LIMIT_S = 540  # for a machine that is busy with much else, and less than the processes themselves wait for each other
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
ppo: {rollout_steps: 16, epochs: 3, minibatch_size: 96, learning_rate: 1e-3, target_kl: 0.001}
selfplay:
  opponents:
    latest: 0.5
    pfsp: {weight: 0.25, kind: hard, power: 1}
    pilots: {weight: 0.25, names: [pursuit, straight]}
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
    found = {rank: rest for rank, *rest in (results.get(timeout=LIMIT_S) for _ in processes)}
    for each in processes:
        each.join(timeout=LIMIT_S)
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
    # The test can fail: games were decided, temperatures have moved, the league has grown, and updates ended early.
    told = one["told"]
    assert sum(record["selfplay/games"] for record in told) > 5
    assert len(one["pool"]) > 1
    assert told[-1]["heads/params/alpha"] > 2e-4
    assert len({record["ppo/updates"] for record in told}) > 1
    assert any("eval/straight/games" in record for record in told)


def test_two_processes_that_resume_go_on_exactly(runs):
    folder, _, found = runs
    for uninterrupted, resumed in found.values():
        assert_same(resumed, uninterrupted, 0.0)
        rest = uninterrupted["told"][-len(resumed["told"]) :]
        assert 0 < len(rest) < len(uninterrupted["told"])
        assert_same_told(resumed["told"], rest, 0.0)
    files = [path.name for path in list_checkpoints(folder / "two")]
    assert files == [path.name for path in list_checkpoints(folder / "again")]


def test_one_process_goes_on_with_what_two_have_saved(runs):
    folder, one, _ = runs
    shutil.copytree(folder / "two", folder / "alone")
    forget_after(folder / "alone", steps_of(list_checkpoints(folder / "two")[1]))
    resumed = trained(folder / "alone", ALONE, resume=True)
    assert_same(resumed, one, 1e-6)


def test_only_the_first_process_writes(runs):
    folder, _, _ = runs
    one, two = (sorted(path.relative_to(folder / run) for path in (folder / run).rglob("*")) for run in ("one", "two"))
    assert one == two


# The command line, with the environment that torchrun gives to the processes that it starts -----------------------


@contextlib.contextmanager
def started(*arguments, log):
    """Starts ``headctl train`` in two processes; whatever happens, they are gone afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in range(2):
        environment = os.environ | {
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'envs'}",
            "OMP_NUM_THREADS": "1",
            "WORLD_SIZE": "2",
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
        with (log / f"{rank}.log").open("w") as output:
            command = [sys.executable, "-m", "headctl", "train", *arguments]
            processes.append(subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT))
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def wait_for_records(run_dir, processes, count):
    metrics = run_dir / "metrics.jsonl"
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if metrics.exists() and metrics.read_bytes().count(b"\n") >= count:
            return
        assert all(process.poll() is None for process in processes), "a process has ended by itself"
        time.sleep(0.05)
    pytest.fail("no record was written")


def said(log, rank):
    return " ".join((log / f"{rank}.log").read_text().split())


def test_a_signal_to_one_process_stops_all_and_a_killed_one_is_noticed(tmp_path):
    (tmp_path / "league.yaml").write_text(LEAGUE)
    run_dir = tmp_path / "run"
    new = [str(tmp_path / "league.yaml"), "total_steps=1_000_000", "--name", "run", f"run.dir={tmp_path}"]
    with started(*new, log=tmp_path) as processes:
        wait_for_records(run_dir, processes, 2)
        processes[1].send_signal(signal.SIGTERM)
        assert [process.wait(timeout=LIMIT_S) for process in processes] == [130, 130]
    assert "interrupted; saved" in said(tmp_path, 0)
    assert "interrupted" not in said(tmp_path, 1)
    lines = (run_dir / "metrics.jsonl").read_bytes().count(b"\n")
    assert len(list_checkpoints(run_dir)) >= 1

    with started(str(run_dir), "--resume", log=tmp_path) as processes:
        wait_for_records(run_dir, processes, lines + 1)
        processes[1].kill()
        assert processes[0].wait(timeout=LIMIT_S) == 1
    assert "process 0 of 2 has lost another one" in said(tmp_path, 0)
    assert "Traceback" not in said(tmp_path, 0)


def test_what_cannot_be_shared_is_said_once_and_nothing_is_written(tmp_path):
    (tmp_path / "league.yaml").write_text(LEAGUE)
    arguments = [str(tmp_path / "league.yaml"), "game.num_games=15", "--name", "run", f"run.dir={tmp_path}"]
    with started(*arguments, log=tmp_path) as processes:
        assert [process.wait(timeout=LIMIT_S) for process in processes] == [2, 2]
    assert "game.num_games: 15 games do not divide among the 2 processes of WORLD_SIZE; 14 would" in said(tmp_path, 0)
    assert "game.num_games" not in said(tmp_path, 1)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("game.num_games=15", "game.num_games: 15 games do not divide among the 2 processes of WORLD_SIZE; 14 would"),
        ("policy.recurrent.cell=gru", "policy.recurrent.cell: .* 'gru'"),
        ("heads.params.kind=beta", "heads.params.kind: .* 'beta'"),
        ("selfplay.roles.main_exploiter.share=0.5", "selfplay.roles.main_exploiter.share: exploiters"),
        ("run.device=cuda:1", "run.device: 'cuda:1' is one device"),
        (
            "game.num_games=12 selfplay.opponents.latest=0",
            "selfplay.slots: 4 opponents cannot have equally many games each in every one of the 2 processes",
        ),
    ],
)
def test_what_processes_cannot_share_is_refused_by_name(override, message):
    changed = config(*override.split(), "ppo.minibatch_size=16")
    check_together(changed, 1)
    with pytest.raises(ConfigError, match=message):
        check_together(changed, 2)


def test_a_game_of_one_process_is_refused():
    matrix = parse_config("game: {name: matrix, num_games: 16}\nppo: {minibatch_size: 16}")
    with pytest.raises(ConfigError, match=r"game.name: 'matrix' cannot be divided .* allowed: dogfight"):
        check_together(matrix, 2)


@pytest.mark.parametrize("name", ["dogfight_1v1", "league_1v1"])
def test_the_configurations_that_come_along_can_be_shared(name):
    text = (ROOT / "configs" / f"{name}.yaml").read_text()
    for size in (2, 4, 8):
        check_together(parse_config(text), size)
