"""How many decisions it takes to solve CartPole-v1: headctl, and the structure of CleanRL's ``ppo.py`` at its defaults.

Solved is what Gymnasium's registry says: a mean return of 475 over 100 episodes. Here the last 100 that ended in
training count, with the policy drawing its actions as it learns.

Shapes: T steps, R rows.
"""

import math
import statistics
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch import Tensor

from headctl.run.config import RunConfig, parse_config
from headctl.run.peers.cleanrl_style import CleanRL, CleanRLOptions
from headctl.run.peers.games import BatchedRows
from headctl.run.peers.work import Work
from headctl.run.report_view import make_table
from headctl.run.trainer import Trainer

GAME = "gymnasium:CartPole-v1"
SOLVED, EPISODES = 475.0, 100
CONFIG = """
total_steps: 200_000
game: {name: 'gymnasium:CartPole-v1', num_games: 8}
heads: {action: {target: {schedule: linear, start: 0.9, end: 0.05, until: 0.5}}}
policy: {hidden: [64, 64]}
ppo:
  rollout_steps: 128
  epochs: 10
  minibatch_size: 256
  gamma: 0.99
  gae_lambda: 0.95
  learning_rate: 1e-3
  normalize_values: true
  target_kl: 0.02
selfplay: {snapshot_every: 1_000_000_000}
"""
"""The run that is measured: ``configs/cartpole.yaml``."""
CLEANRL_STEPS = 500_000
"""Default of ``total_timesteps`` in ``ppo.py``, over which its learning rate falls to zero."""
_CLEANRL_GAMES = 4


class Returns:
    """Returns of the last episodes, out of rollouts.

    Attributes:
        steps: Decisions so far.
        solved_at: Decisions by the end of the rollout in which it was solved; ``None`` before that.
    """

    def __init__(self, rows: int) -> None:
        """Begins with R ``rows``, every one at the start of an episode."""
        self.steps = 0
        self.solved_at: int | None = None
        self._running = [0.0] * rows
        self._last: deque[float] = deque(maxlen=EPISODES)

    @property
    def mean(self) -> float:
        """Mean return of the last episodes, at most 100; NaN before the first has ended."""
        return statistics.fmean(self._last) if self._last else math.nan

    def add(self, reward: Tensor, done: Tensor) -> None:
        """Takes in a rollout: rewards, and 1 where an episode ended, each ``[T, R]``."""
        for rewards, ends in zip(reward.tolist(), done.tolist(), strict=True):
            for row, (earned, end) in enumerate(zip(rewards, ends, strict=True)):
                self._running[row] += earned
                if end:
                    self._last.append(self._running[row])
                    self._running[row] = 0.0
        self.steps += reward.numel()
        if self.solved_at is None and len(self._last) == EPISODES and self.mean >= SOLVED:
            self.solved_at = self.steps


def solve(config: RunConfig, limit: int) -> Returns:
    """Trains with headctl until CartPole is solved or ``limit`` decisions are taken."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, Path(folder))
        returns = Returns(trainer.collector.rows)
        try:
            for _ in trainer.iterations():
                returns.add(trainer.collector.rollout.reward, trainer.collector.rollout.done)
                if returns.solved_at is not None or returns.steps >= limit:
                    break
        finally:
            trainer.close()
    return returns


def solve_like_cleanrl(seed: int, limit: int) -> Returns:
    """Does the same with the structure of CleanRL's ``ppo.py``, at the defaults of that file."""
    rows = BatchedRows(Work(game=GAME, options={}, games=_CLEANRL_GAMES, seed=seed))
    trainer = CleanRL(rows, CleanRLOptions(total_steps=CLEANRL_STEPS), seed=seed)
    returns = Returns(rows.rows)
    while returns.solved_at is None and returns.steps < limit:
        trainer.iterate()
        returns.add(*trainer.last_rollout())
    return returns


@dataclass(frozen=True, slots=True)
class Race:
    """What it took both, per seed; ``None``: not solved within the limit.

    Attributes:
        seeds: The seeds.
        own: Decisions that headctl needed.
        cleanrl: Decisions that the structure of CleanRL needed.
        limit: Decisions after which a run was given up.
    """

    seeds: Sequence[int]
    own: Sequence[int | None]
    cleanrl: Sequence[int | None]
    limit: int

    def plain(self) -> dict[str, Any]:
        """Returns it for machines."""
        return {
            "solved": f"mean return of {EPISODES} episodes at least {SOLVED:g}",
            "limit": self.limit,
            "seeds": list(self.seeds),
            "headctl": list(self.own),
            "cleanrl": list(self.cleanrl),
        }

    def table(self) -> Table:
        """Returns it for people."""
        caption = (
            f"agent-steps until the mean return of the last {EPISODES} episodes was {SOLVED:g}; given up after "
            f"{self.limit:_}. cleanrl: the structure of ppo.py, re-written, at its defaults"
        )
        table = make_table("CartPole-v1", caption)
        for column in ("seed", "headctl", "cleanrl"):
            table.add_column(column, justify="right")
        for seed, mine, theirs in zip(self.seeds, self.own, self.cleanrl, strict=True):
            table.add_row(str(seed), _shown(mine), _shown(theirs))
        table.add_row("median", _shown(self._median(self.own)), _shown(self._median(self.cleanrl)), style="bold")
        return table

    def _median(self, steps: Sequence[int | None]) -> int | None:
        """Returns the median, of which a run that was given up is the upper end."""
        middle = statistics.median_high([math.inf if each is None else each for each in steps])
        return None if math.isinf(middle) else int(middle)


def race(seeds: Sequence[int], limit: int, tell: Callable[[str], None] = lambda _: None) -> Race:
    """Solves CartPole with both, once per seed.

    Args:
        seeds: The seeds of games, networks and draws.
        limit: Decisions after which a run is given up.
        tell: Gets a line about what is going on.
    """
    torch.set_num_threads(1)
    own, cleanrl = [], []
    for seed in seeds:
        tell(f"headctl, seed {seed}")
        own.append(solve(parse_config(CONFIG, [f"seed={seed}"]), limit).solved_at)
        tell(f"cleanrl, seed {seed}")
        cleanrl.append(solve_like_cleanrl(seed, limit).solved_at)
    return Race(tuple(seeds), own, cleanrl, limit)


def _shown(steps: int | None) -> str:
    return "not solved" if steps is None else f"{steps:_}"
