"""Speed of this machine: the engine, the training loop, the controller. Nothing here asserts anything.

Figures are medians of several repetitions, with the smallest and largest beside them: shared machines drift, so
compare only figures of one call. An agent-step is one decision of one agent.
"""

import importlib
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from headctl.entropy.controller import MultiHeadEntropyController
from headctl.run.config import RunConfig
from headctl.run.trainer import Trainer
from headctl.selfplay.catalog import make
from headctl.selfplay.games import VectorGame

_REPETITIONS = 5
_PACKAGES = ("headctl", "torch", "warp-lang", "numpy")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity.

    Attributes:
        name: What was measured.
        unit: Unit of the values.
        values: One per repetition.
    """

    name: str
    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The figure to quote."""
        return statistics.median(self.values)


def machine(config: RunConfig) -> dict[str, str]:
    """Returns what the figures depend on: processor, cores, load, threads, versions."""
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    packages = ", ".join(f"{package} {version(package)}" for package in _PACKAGES)
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "load before": load,
        "torch threads": str(config.run.threads),
        "versions": f"python {platform.python_version()}, {packages}",
    }


def bench_env(config: RunConfig, sizes: tuple[int, ...] = (1, 64, 1024, 8192), *, seconds: float = 1.0) -> list[Figure]:
    """Returns agent-steps/s of the game alone, with random legal actions drawn beforehand.

    Args:
        config: Names the game.
        sizes: Numbers of games N, one figure each.
        seconds: How long each repetition plays.
    """
    torch.set_num_threads(config.run.threads)
    figures = []
    for size in sizes:
        game = make(config.game.name, config.game.options, num_games=size, seed=1)
        game.reset(1)
        actions = [game.pilot_actions("random") for _ in range(16)]
        decisions = {key: [value.clone() for value in column] for key, column in _columns(actions).items()}
        play = _player(game, decisions)
        steps = _calibrated(play, seconds)
        rates = []
        for _ in range(_REPETITIONS):
            started = time.perf_counter()
            for step in range(steps):
                play(step)
            rates.append(steps * size * game.num_seats / (time.perf_counter() - started))
        figures.append(Figure(f"game, N = {size}", "agent-steps/s", tuple(rates)))
    return figures


def bench_face(config: RunConfig, *, seconds: float = 1.0) -> list[Figure]:
    """Returns environment-steps/s of one dogfight through its PettingZoo face, in every action layout.

    An environment-step is one call of ``step``, with an action of every agent. Actions are drawn beforehand.

    Args:
        config: Names the game; there are no figures of other games.
        seconds: How long each repetition plays.
    """
    if config.game.name != "dogfight":
        return []
    torch.set_num_threads(config.run.threads)
    face = importlib.import_module("headctl_envs.dogfight_v0")
    layouts = importlib.import_module("headctl_envs.dogfight.layouts").LAYOUTS
    figures = []
    for layout in layouts:
        env = face.parallel_env(action_layout=layout, **config.game.options)
        env.reset(seed=1)
        for agent in env.possible_agents:
            env.action_space(agent).seed(1)
        actions = [{agent: env.action_space(agent).sample() for agent in env.possible_agents} for _ in range(64)]

        def play(step: int, env: Any = env, actions: list[dict[str, Any]] = actions) -> None:
            env.step(actions[step % len(actions)])
            if not env.agents:
                env.reset()

        steps = _calibrated(play, seconds)
        rates = []
        for _ in range(_REPETITIONS):
            started = time.perf_counter()
            for step in range(steps):
                play(step)
            rates.append(steps / (time.perf_counter() - started))
        figures.append(Figure(f"PettingZoo face, {layout}", "environment-steps/s", tuple(rates)))
    return figures


def bench_train(config: RunConfig, *, iterations: int = 6) -> list[Figure]:
    """Returns agent-steps/s of the whole training loop, and the shares of its time that playing and control take.

    Args:
        config: The run to measure; it leaves nothing behind.
        iterations: Iterations per repetition, after two that are not counted.
    """
    rates, shares, controls = [], [], []
    for _ in range(_REPETITIONS):
        with tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(config, Path(folder))
            clock = Stopwatch(trainer.controller, ("observe", "step"))
            records = trainer.iterations()
            for _ in range(2):
                next(records)
            clock.elapsed_s = 0.0
            counted = [next(records) for _ in range(iterations)]
        rollout, update = (sum(record[f"perf/{part}_s"] for record in counted) for part in ("rollout", "update"))
        taken = sum(record["perf/agent_steps_per_s"] * _duration(record) for record in counted)
        rates.append(taken / (rollout + update))
        shares.append(100.0 * rollout / (rollout + update))
        controls.append(100.0 * clock.elapsed_s / (rollout + update))
    return [
        Figure("training", "agent-steps/s", tuple(rates)),
        Figure("share of time spent playing", "%", tuple(shares)),
        Figure("share of time in observe and step", "%", tuple(controls)),
    ]


class Stopwatch:
    """Adds up the time that an object spends in some of its methods. Replaces them on this one object.

    Attributes:
        elapsed_s: Wall time so far.
    """

    def __init__(self, watched: object, methods: tuple[str, ...]) -> None:
        """Begins to watch.

        Args:
            watched: The object.
            methods: Names of its methods.
        """
        self.elapsed_s = 0.0
        for name in methods:
            setattr(watched, name, self._timed(getattr(watched, name)))

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                self.elapsed_s += time.perf_counter() - started

        return timed


def bench_controller(config: RunConfig, *, heads: int = 12, rows: int = 4096) -> list[Figure]:
    """Returns the cost of the controller's three calls on packed ``[rows, heads]`` tensors.

    Args:
        config: Says how many threads torch may use.
        heads: Number of heads H, each among nine choices.
        rows: Number of samples B.
    """
    torch.set_num_threads(config.run.threads)
    controller = MultiHeadEntropyController({f"head{index}": {"target": 0.5, "choices": 9} for index in range(heads)})
    entropy = torch.rand(rows, heads, requires_grad=True)
    weight = (torch.rand(rows, heads) > 0.5).float()
    capacity = 1.0 + torch.rand(rows, heads)
    calls: dict[str, Callable[[], object]] = {
        "bonus": lambda: controller.bonus(entropy, weight=weight),
        "observe": lambda: controller.observe(entropy, capacity=capacity, weight=weight),
        "step": controller.step,
    }
    shape = f"[{rows}, {heads}]"
    return [
        Figure(f"controller.{name}, {heads if name == 'step' else shape}", "us", _microseconds(call))
        for name, call in calls.items()
    ]


def _duration(record: dict[str, float]) -> float:
    return record["perf/rollout_s"] + record["perf/update_s"]


def _columns(actions: list[dict[str, torch.Tensor]]) -> dict[str, list[torch.Tensor]]:
    return {head: [action[head] for action in actions] for head in actions[0]}


def _player(game: VectorGame, decisions: dict[str, list[torch.Tensor]]) -> Callable[[int], object]:
    def play(step: int) -> object:
        return game.step({head: column[step % len(column)] for head, column in decisions.items()})

    return play


def _calibrated(play: Callable[[int], object], seconds: float) -> int:
    """Returns how many steps take about ``seconds``; warms up on the way."""
    steps = 8
    while True:
        started = time.perf_counter()
        for step in range(steps):
            play(step)
        elapsed = time.perf_counter() - started
        if elapsed > 0.1 * seconds:
            return max(1, int(steps * seconds / elapsed))
        steps *= 2


def _microseconds(call: Callable[[], object], calls: int = 200) -> tuple[float, ...]:
    for _ in range(calls):
        call()
    values = []
    for _ in range(_REPETITIONS):
        started = time.perf_counter()
        for _ in range(calls):
            call()
        values.append((time.perf_counter() - started) / calls * 1e6)
    return tuple(values)


def _processor() -> str:
    """Returns the model name of the processor where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
