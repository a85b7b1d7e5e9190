"""The loop of a training run: play, learn, freeze, save, evaluate.

A run is a function of its configuration: every random stream is spawned from ``seed``, and all that depends on the
clock of the machine is kept under ``perf/``.
"""

import math
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headctl.entropy.controller import MultiHeadEntropyController
from headctl.policy.actions import ActionHeads, describe_space, resolve_heads
from headctl.policy.network import Policy
from headctl.ppo.learner import PPOLearner, PPOOptions
from headctl.run.checkpoint import (
    CheckpointError,
    list_checkpoints,
    load_checkpoint,
    load_snapshot,
    save_checkpoint,
    save_snapshot,
)
from headctl.run.config import RunConfig
from headctl.selfplay.catalog import make
from headctl.selfplay.collector import SelfPlayCollector
from headctl.selfplay.games import VectorGame
from headctl.selfplay.league import OpponentPool, Snapshot
from headctl.selfplay.match import PolicyPlayer, evaluate_against_pilots
from headctl.selfplay.results import MatchResult

_STREAMS = ("network", "actions", "minibatches", "opponents", "game")


class Trainer:
    """Trains one policy by self-play.

    Attributes:
        config: The resolved configuration.
        run_dir: The run's folder.
        policy: The policy as it is now.
        controller: Its temperatures.
        agent_steps: Decisions taken so far by agents that the learner controls.
        iteration: Rounds of rollout and update so far.
    """

    def __init__(self, config: RunConfig, run_dir: Path, *, resume: bool = False) -> None:
        """Makes game, policy, controller and learner.

        Args:
            config: The resolved configuration.
            run_dir: The run's folder; checkpoints and snapshots go there.
            resume: Continue from the newest checkpoint.

        Raises:
            CheckpointError: Nothing to resume from, or a checkpoint that is damaged or of another configuration.
        """
        torch.set_num_threads(config.run.threads)
        self.config, self.run_dir = config, run_dir
        seeds = dict(zip(_STREAMS, np.random.SeedSequence(config.seed).spawn(len(_STREAMS)), strict=True))
        self._device = torch.device(config.run.device)
        game = self._make_game(config.game.options, config.game.num_games, _integer(seeds["game"]))
        self._game = game
        self.policy, self.controller = build_agent(config, game, _generator(seeds["network"], "cpu"))
        self.learner = PPOLearner(
            self.policy,
            self.controller,
            PPOOptions(**config.ppo.model_dump(exclude={"rollout_steps"})),
            _generator(seeds["minibatches"], "cpu"),
        )
        self.pool = OpponentPool(config.selfplay.pool_size, np.random.Generator(np.random.PCG64(seeds["opponents"])))
        self._streams = {"actions": _generator(seeds["actions"], self._device), "minibatches": self.learner.generator}
        self.collector = SelfPlayCollector(
            game,
            self.policy,
            self.pool,
            steps=config.ppo.rollout_steps,
            latest_share=config.selfplay.latest_share,
            slots=config.selfplay.slots,
            slot_iterations=config.selfplay.slot_iterations,
            generator=self._streams["actions"],
            seed=_integer(seeds["game"]),
        )
        self.iteration = 0
        self._elapsed_before = 0.0
        self._started = time.perf_counter()
        if resume:
            self._resume()
        else:
            self._freeze()

    @property
    def agent_steps(self) -> int:
        """Decisions taken so far by agents that the learner controls."""
        return self.collector.agent_steps

    @property
    def progress(self) -> float:
        """Share of the training that is done, in [0, 1]."""
        return min(self.agent_steps / self.config.total_steps, 1.0)

    def iterations(self) -> Iterator[dict[str, float]]:
        """Trains until ``total_steps`` is reached; yields one record per iteration.

        Snapshots and checkpoints are written before the record is yielded, so that a run that stops between two records
        continues behind the last one it has checkpointed.
        """
        config = self.config
        while self.agent_steps < config.total_steps:
            before = self.agent_steps
            record = self._iterate()
            done = self.agent_steps >= config.total_steps
            if config.evaluation.every and (done or _crossed(before, self.agent_steps, config.evaluation.every)):
                for name, result in self.evaluate().items():
                    record |= result.metrics(f"eval/{name}")
            # Schedules of performance may follow any metric by its name; win_rate is short for the one of self-play.
            self.controller.report(win_rate=record["selfplay/win_rate"], **record)
            if _crossed(before, self.agent_steps, config.selfplay.snapshot_every):
                self._freeze()
                self.controller.opponents_changed()
            if done or _crossed(before, self.agent_steps, config.checkpoint.every):
                self.save()
            yield record

    def _iterate(self) -> dict[str, float]:
        started = time.perf_counter()
        before = self.agent_steps
        self._game.set_progress(self.progress)
        rollout, last_value, against_pool = self.collector.collect()
        played = time.perf_counter()
        self.controller.advance(agent_steps=self.agent_steps, iterations=self.iteration)
        learned = self.learner.update(rollout, last_value, self.progress)
        self.policy.normalizer.update(rollout.observation[rollout.alive > 0])
        updated = time.perf_counter()
        self.iteration += 1
        taken = self.agent_steps - before
        return {
            "agent_steps": self.agent_steps,
            "iteration": self.iteration,
            "progress": self.progress,
            **learned,
            "selfplay/pool_size": len(self.pool),
            "selfplay/games": against_pool.games,
            "selfplay/win_rate": against_pool.win_rate,
            "selfplay/draw_rate": against_pool.draws / against_pool.games if against_pool.games else math.nan,
            **{f"env/{name}": value for name, value in self._game.pop_statistics().items()},
            "perf/agent_steps_per_s": taken / (updated - started),
            "perf/rollout_s": played - started,
            "perf/update_s": updated - played,
            "perf/elapsed_s": self._elapsed_before + updated - self._started,
            "perf/rss_mb": _resident_mb(),
            "perf/wall_time": time.time(),
        }

    def evaluate(self, games: int | None = None) -> dict[str, MatchResult]:
        """Plays the agent as it is against every scripted pilot, half of the games from each seat.

        Evaluation has games and random streams of its own; a run is the same with and without it.
        """
        settings = self.config.evaluation
        return dict(
            evaluate_against_pilots(
                partial(self._make_game, self.config.evaluation_options),
                PolicyPlayer(self.policy),
                self._game.pilot_names,
                games=games or settings.games,
                seed=settings.seed,
            )
        )

    def _make_game(self, options: Mapping[str, Any], num_games: int, seed: int) -> VectorGame:
        config = self.config
        return make(
            config.game.name,
            options,
            num_games=num_games,
            seed=seed,
            device=config.run.device,
            gamma=config.ppo.gamma,
        )

    def _freeze(self) -> None:
        """Puts a copy of the policy into the pool and on disk."""
        snapshot = Snapshot.of(self.policy, self.agent_steps)
        self.pool.add(snapshot)
        save_snapshot(self.run_dir, snapshot)

    def save(self) -> Path:
        """Writes a checkpoint of everything and returns its file."""
        return save_checkpoint(self.run_dir, self.agent_steps, self.state_dict(), keep=self.config.checkpoint.keep)

    def state_dict(self) -> dict[str, Any]:
        """Returns everything that a bit-exact resume needs, as plain data."""
        return {
            "iteration": self.iteration,
            "elapsed_s": self._elapsed_before + time.perf_counter() - self._started,
            "learner": self.learner.state_dict(),
            "collector": self.collector.state_dict(),
            "pool": self.pool.state_dict(),
            "streams": {name: stream.get_state() for name, stream in self._streams.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over a state of the same configuration; the snapshots that it names are read from the run's folder."""
        self.iteration = int(state["iteration"])
        self._elapsed_before = float(state["elapsed_s"])
        self.learner.load_state_dict(state["learner"])
        snapshots = [load_snapshot(self.run_dir, int(steps)) for steps in state["pool"]["snapshots"]]
        self.pool.load_state_dict(state["pool"], snapshots)
        self.collector.load_state_dict(state["collector"])
        for name, stream in self._streams.items():
            stream.set_state(state["streams"][name])

    def _resume(self) -> None:
        checkpoints = list_checkpoints(self.run_dir)
        if not checkpoints:
            raise CheckpointError(f"{self.run_dir}: no checkpoint to resume from; start anew with --force or --name")
        with _fitting(checkpoints[-1]):
            self.load_state_dict(load_checkpoint(checkpoints[-1]))


def build_agent(
    config: RunConfig, game: VectorGame, generator: torch.Generator
) -> tuple[Policy, MultiHeadEntropyController]:
    """Returns the policy and the controller that a configuration asks for, on the game's device."""
    specs = resolve_heads(describe_space(game.action_space), config.heads)
    policy = Policy(
        game.observation_dim,
        ActionHeads(specs, game.action_space),
        hidden=config.policy.hidden,
        activation=config.policy.activation,
        generator=generator,
    ).to(game.device)
    return policy, MultiHeadEntropyController(specs, device=game.device)


def load_policy(config: RunConfig, run_dir: Path) -> Policy:
    """Returns the policy of a run's newest checkpoint.

    Raises:
        CheckpointError: No checkpoint, or one that is damaged or of another configuration.
    """
    checkpoints = list_checkpoints(run_dir)
    if not checkpoints:
        raise CheckpointError(f"{run_dir}: no checkpoint yet")
    game = make(config.game.name, config.game.options, num_games=1, seed=0, device="cpu")
    policy, _ = build_agent(config, game, torch.Generator())
    with _fitting(checkpoints[-1]):
        policy.load_state_dict(load_checkpoint(checkpoints[-1])["learner"]["policy"])
    return policy


@contextmanager
def _fitting(path: Path) -> Iterator[None]:
    """Turns whatever a state of another configuration breaks into one message."""
    try:
        yield
    except CheckpointError:
        raise
    except (LookupError, RuntimeError, TypeError, ValueError) as error:
        what = " ".join(str(error).split())
        raise CheckpointError(f"{path}: does not fit this configuration: {type(error).__name__}: {what}") from error


def _crossed(before: int, after: int, every: int) -> bool:
    return before // every != after // every


def _integer(seed: np.random.SeedSequence) -> int:
    return int(seed.generate_state(1)[0]) % 2**31


def _generator(seed: np.random.SeedSequence, device: torch.device | str) -> torch.Generator:
    return torch.Generator(device=device).manual_seed(_integer(seed))


def _resident_mb() -> float:
    """Returns the peak resident memory of this process in megabytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
