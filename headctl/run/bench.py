"""Speed of this machine: the engine, the training loop, the controller. Nothing here asserts anything.

Figures are medians of several repetitions, with the smallest and largest beside them: shared machines drift, so
compare only figures of one call. An agent-step is one decision of one agent.
"""

import importlib
import math
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from headctl.entropy.controller import MultiHeadEntropyController
from headctl.policy.network import Policy
from headctl.run.agent import build_agent
from headctl.run.config import RunConfig
from headctl.run.trainer import Trainer
from headctl.selfplay.catalog import make
from headctl.selfplay.games import VectorGame
from headctl.selfplay.league import OpponentStack
from headctl.selfplay.match import PilotPlayer, play_match

DOGFIGHTS: dict[str, dict[str, Any]] = {
    "1v1 guns only": {"team_size": 1, "missiles": 0, "flares": 0},
    "1v1 full weapons": {"team_size": 1, "missiles": 2, "flares": 8},
    "4v4 full weapons": {"team_size": 4, "missiles": 2, "flares": 8},
}
"""Options of the dogfights that are measured."""

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

    The dogfight is measured with its other options as given, but with guns only, with all weapons, and four against
    four, and the memory of one game.

    Args:
        config: Names the game.
        sizes: Numbers of games N, one figure each.
        seconds: How long each repetition plays.
    """
    torch.set_num_threads(config.run.threads)
    if config.game.name != "dogfight":
        return [_game_speed(config, config.game.options, "game", size, seconds) for size in sizes]
    figures = []
    for label, changes in DOGFIGHTS.items():
        options = {**config.game.options, **changes}
        figures += [_game_speed(config, options, label, size, seconds) for size in sizes]
        game = make(config.game.name, options, num_games=1, seed=1)
        figures.append(Figure(f"{label}, memory per game", "bytes", (getattr(game, "bytes_per_game", math.nan),)))
    return figures


def _game_speed(config: RunConfig, options: Mapping[str, Any], label: str, size: int, seconds: float) -> Figure:
    game = make(config.game.name, options, num_games=size, seed=1)
    game.reset(1)
    actions = [{head: value.clone() for head, value in game.pilot_actions("random").items()} for _ in range(16)]
    play = _player(game, _columns(actions))
    steps = _calibrated(play, seconds)
    rates = []
    for _ in range(_REPETITIONS):
        started = time.perf_counter()
        for step in range(steps):
            play(step)
        rates.append(steps * size * game.num_seats / (time.perf_counter() - started))
    return Figure(f"{label}, N = {size}", "agent-steps/s", tuple(rates))


def bench_pilots(config: RunConfig, games: int = 400) -> list[Figure]:
    """Returns how often each scripted pilot beats each one below it: wins over decided games, both seats alike.

    Args:
        config: Names the game and its evaluation options.
        games: Games per pair.
    """
    torch.set_num_threads(config.run.threads)

    def make_game(num_games: int, seed: int) -> VectorGame:
        return make(config.game.name, config.evaluation_options, num_games=num_games, seed=seed)

    names = make_game(1, 0).pilot_names
    figures = []
    for place, better in enumerate(names):
        for worse in names[:place]:
            result = play_match(make_game, PilotPlayer(better), PilotPlayer(worse), games=games, seed=1)
            label = f"{better} against {worse}: {result.wins} won, {result.losses} lost, {result.draws} drawn"
            figures.append(Figure(label, "share of decided games", (result.win_rate,)))
    return figures


def bench_face(config: RunConfig, *, seconds: float = 1.0) -> list[Figure]:
    """Returns environment-steps/s of one dogfight through its PettingZoo face, in every action layout.

    An environment-step is one call of ``step``, with an action of every agent. Actions are drawn beforehand. The same
    dogfights are measured as by :func:`bench_env`.

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
    for label, changes in DOGFIGHTS.items():
        for layout in layouts:
            env = face.parallel_env(action_layout=layout, **{**config.game.options, **changes})
            figures.append(Figure(f"{label}, PettingZoo, {layout}", "environment-steps/s", _face_speeds(env, seconds)))
    return figures


def _face_speeds(env: Any, seconds: float) -> tuple[float, ...]:
    env.reset(seed=1)
    for agent in env.possible_agents:
        env.action_space(agent).seed(1)
    actions = [{agent: env.action_space(agent).sample() for agent in env.possible_agents} for _ in range(64)]

    def play(step: int) -> None:
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
    return tuple(rates)


def bench_train(config: RunConfig, *, iterations: int = 6) -> list[Figure]:
    """Returns agent-steps/s of the whole training loop, and the shares of its time that playing and control take.

    Args:
        config: The run to measure; it leaves nothing behind.
        iterations: Iterations per repetition, after two that are not counted.
    """
    rates, shares, controls, bonuses = [], [], [], []
    for _ in range(_REPETITIONS):
        with tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(config, Path(folder))
            control = Stopwatch(trainer.controller, ("observe", "observe_sums", "step"))
            bonus = Stopwatch(trainer.controller, ("bonus_factor",))
            records = trainer.iterations()
            for _ in range(2):
                next(records)
            control.elapsed_s = bonus.elapsed_s = 0.0
            counted = [next(records) for _ in range(iterations)]
        rollout, update = (sum(record[f"perf/{part}_s"] for record in counted) for part in ("rollout", "update"))
        taken = sum(record["perf/agent_steps_per_s"] * _duration(record) for record in counted)
        rates.append(taken / (rollout + update))
        shares.append(100.0 * rollout / (rollout + update))
        controls.append(100.0 * control.elapsed_s / (rollout + update))
        bonuses.append(100.0 * bonus.elapsed_s / (rollout + update))
    return [
        Figure("training", "agent-steps/s", tuple(rates)),
        Figure("share of time spent playing", "%", tuple(shares)),
        Figure("share of time in observe and step", "%", tuple(controls)),
        Figure("share of time in the weights of the bonus", "%", tuple(bonuses)),
    ]


def bench_opponents(config: RunConfig, slots: tuple[int, ...] = (1, 4, 16, 64), *, rows: int = 256) -> list[Figure]:
    """Returns what a decision of frozen opponents costs: in one batched call, and one policy after the other.

    The rows are always as many; only by how many opponents they are shared out changes.

    Args:
        config: Names the game and the network.
        slots: Numbers of opponents P.
        rows: Seats of all opponents together.
    """
    torch.set_num_threads(config.run.threads)
    game = make(config.game.name, config.game.options, num_games=rows, seed=1)
    policy, _ = build_agent(config, game, torch.Generator().manual_seed(1))
    seen, generator = game.reset(1), torch.Generator().manual_seed(1)
    observation = seen.observation[:, 0].contiguous()
    masks = {name: mask[:, 0].contiguous() for name, mask in seen.masks.items()}

    def one_by_one(policies: list[Policy]) -> None:
        parts = zip(policies, observation.chunk(len(policies)), strict=True)
        legal = {name: mask.chunk(len(policies)) for name, mask in masks.items()}
        for number, (each, piece) in enumerate(parts):
            each.act(piece, {name: pieces[number] for name, pieces in legal.items()}, generator)

    figures = []
    for number in slots:
        stack = OpponentStack(policy, number)
        share = (observation.unflatten(0, (number, -1)), {k: m.unflatten(0, (number, -1)) for k, m in masks.items()})
        label = f"{number} opponents, {rows} rows"
        batched = _microseconds(partial(stack.act, *share, generator))
        figures.append(Figure(f"{label}: one batched call", "us", batched))
        figures.append(
            Figure(f"{label}: one after the other", "us", _microseconds(partial(one_by_one, [policy] * number)))
        )
    return figures


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
