"""Trainers in turn on the same work, and what came of it."""

import importlib
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch

from headctl.run.peers.ceiling import Ceiling, ceiling
from headctl.run.peers.work import ROUTES, Account, Contestant, Entry, PeerMissingError, Work

TRAINERS: dict[str, tuple[str, str, dict[str, str]]] = {
    "headctl": (
        "own",
        "make_own",
        {"batched": "the game's engine", "pettingzoo": "the batch that the environments offer (vector_game)"},
    ),
    "headctl-by-env": ("own", "make_own_by_env", {"pettingzoo": "ParallelEnv adapter, environment by environment"}),
    "cleanrl": (
        "cleanrl_style",
        "make_cleanrl",
        {"batched": "structure of ppo.py, re-written", "pettingzoo": "the same, loop over the environments"},
    ),
    "sb3": ("stable_baselines", "make_stable_baselines", {"batched": "PPO, VecEnv", "pettingzoo": "PPO, SuperSuit"}),
    "pufferlib": ("puffer", "make_puffer", {"batched": "PuffeRL, PufferEnv", "pettingzoo": "PuffeRL, emulation"}),
    "torchrl": (
        "torchrl_trainer",
        "make_torchrl",
        {"batched": "ClipPPOLoss, EnvBase", "pettingzoo": "ClipPPOLoss, PettingZooWrapper"},
    ),
}
"""Per trainer its module in this room, the function that makes it, and how it plays on each route."""

OWN = ("headctl", "headctl-by-env")
"""Which of them are headctl's, the one to compare with first."""


def entries(names: Sequence[str] = tuple(TRAINERS), routes: Sequence[str] = ROUTES) -> list[Entry]:
    """Returns trainers by name, on the given routes."""
    found = []
    for route in routes:
        for name in names:
            module, function, notes = TRAINERS[name]
            if route in notes:
                make = partial(_make, module, function, route)
                found.append(Entry(name, route, notes[route], make, own=name in OWN))
    return found


def _make(module: str, function: str, route: str, work: Work) -> Contestant:
    """Makes a trainer; only now is its module loaded, and its library by that."""
    make: Callable[[Work, str], Contestant] = getattr(importlib.import_module(f"headctl.run.peers.{module}"), function)
    return make(work, route)


@dataclass(slots=True)
class Standing:
    """What one trainer has shown.

    Attributes:
        entry: The trainer.
        missing: Why it did not take part; empty where it did.
        threads: Threads of torch with which it takes its turns.
        rates: Agent-steps per second of wall time, one per repetition.
        account: What it did in one repetition.
        ceiling: What matrix products alone would allow.
    """

    entry: Entry
    missing: str = ""
    threads: int = 1
    rates: list[float] = field(default_factory=list)
    account: Account | None = None
    ceiling: Ceiling | None = None

    @property
    def median(self) -> float:
        """Median agent-steps/s of wall time."""
        return statistics.median(self.rates)

    @property
    def share(self) -> float:
        """Share of the ceiling that is in use."""
        return self.median / self.ceiling.agent_steps_per_s if self.ceiling else float("nan")


class UnequalAccountsError(RuntimeError):
    """Trainers did not do the same work: their speeds say nothing about each other."""


def compete(
    work: Work,
    taking_part: Sequence[Entry],
    *,
    repetitions: int = 3,
    iterations: int = 1,
    threads: int = 1,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Standing]:
    """Lets trainers work in turn, one round of all of them after the other, after a warm-up that does not count.

    Args:
        work: The work.
        taking_part: Who.
        repetitions: Rounds.
        iterations: Rollouts and updates of each in a round.
        threads: Cores to use. Other trainers get so many threads of torch, or one where they are faster with it: one
            rollout and update with each tells. headctl shares its work out by itself, as ``work`` says.
        tell: Gets a line about what is going on.

    Returns:
        A standing per entry, in their order.

    Raises:
        UnequalAccountsError: Somebody took other numbers of steps or samples than the others.
    """
    standings = [Standing(entry) for entry in taking_part]
    at_work: list[tuple[Standing, Contestant]] = []
    try:
        for standing in standings:
            entry = standing.entry
            tell(f"{entry.name}, {entry.route}: warming up")
            torch.set_num_threads(1)
            try:
                contestant = entry.make(work)
            except PeerMissingError as error:
                standing.missing = " ".join(str(error).split())
                continue
            at_work.append((standing, contestant))
            contestant.iterate()
            if threads > 1 and not entry.own:
                standing.threads = min((1, threads), key=lambda number: _trial(contestant, number))
        for repetition in range(repetitions):
            for standing, contestant in at_work:
                tell(f"{standing.entry.name}, {standing.entry.route}: repetition {repetition + 1} of {repetitions}")
                torch.set_num_threads(standing.threads)  # again before every turn, because libraries change it
                _take_turn(standing, contestant, iterations)
        torch.set_num_threads(1)
        for standing, contestant in at_work:
            standing.ceiling = ceiling(work, contestant, threads)
        check_accounts(work, at_work, iterations)
    finally:
        for _, contestant in at_work:
            contestant.close()
    return standings


def _trial(contestant: Contestant, threads: int) -> float:
    """Returns how long a rollout and an update take with so many threads."""
    torch.set_num_threads(threads)
    started = time.perf_counter()
    contestant.iterate()
    return time.perf_counter() - started


def _take_turn(standing: Standing, contestant: Contestant, iterations: int) -> None:
    before, started = contestant.account(), time.perf_counter()
    for _ in range(iterations):
        contestant.iterate()
    elapsed = time.perf_counter() - started
    standing.account = contestant.account().since(before)
    standing.rates.append(standing.account.agent_steps / elapsed)


def check_accounts(work: Work, at_work: Sequence[tuple[Standing, Contestant]], iterations: int) -> None:
    """Makes sure that everybody did what the work says, no more and no less.

    Raises:
        UnequalAccountsError: Names who did not.
    """
    for standing, contestant in at_work:
        steps = work.gradient_steps(contestant.rows) * iterations
        due = Account(contestant.rows * work.steps * iterations, steps, steps * work.minibatch)
        if standing.account != due:
            entry = standing.entry
            raise UnequalAccountsError(f"{entry.name}, {entry.route}: did {standing.account}, the work is {due}")


def load() -> float:
    """Returns the load average of the last minute, NaN where the system has none."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
