"""The games that a configuration can name: what they are (without loading torch), and how to make them.

A game is ``dogfight`` or ``matrix``, ``package.module:function`` where the function returns a PettingZoo
``ParallelEnv``, or ``gymnasium:Id`` for a single-agent environment of Gymnasium's registry.
"""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from headctl.messages import unknown_name
from headctl.selfplay.origin import factory_problem, origin_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from headctl.selfplay.games import VectorGame

BUILT_IN = ("dogfight", "matrix")
SHARED = ("dogfight",)
"""Games whose course does not depend on the batch they are played in: processes can have a part of it each."""
GYMNASIUM = "gymnasium:"
"""What the names of single-agent games begin with."""


class GameShare(NamedTuple):
    """Games that are a part of a larger batch."""

    first: int
    """Number of the first one there."""
    total: Callable[[Tensor], Tensor]
    """Adds up sums over all of the batch, in place."""


class GameError(ValueError):
    """A game that cannot be named or made. One line; it starts with the key under ``game.`` that is at fault."""


@dataclass(frozen=True, slots=True)
class HeadInfo:
    """What the action space says of one head."""

    kind: str
    choices: int | list[int] | None = None
    """Number of choices of a categorical head, of every part of a multidiscrete one."""
    dims: int = 1

    def known(self) -> dict[str, Any]:
        """Returns the entries for :func:`headctl.entropy.spec.parse_head`."""
        if self.choices is None:
            return {"kind": self.kind, "dims": self.dims}
        return {"kind": self.kind, "choices": self.choices}


@dataclass(frozen=True, slots=True)
class GameInfo:
    """What a configuration must agree with."""

    heads: Mapping[str, HeadInfo]
    pilots: tuple[str, ...]
    """Names of the scripted opponents."""


def describe(name: str, options: Mapping[str, Any]) -> GameInfo:
    """Returns heads and pilots of a game. Loads no torch for the games that ship with headctl.

    Args:
        name: ``dogfight``, ``matrix`` or ``package.module:function``.
        options: The game's own options.

    Raises:
        GameError: An unknown game, an option that the game does not take, or a value that it refuses.
    """
    if name == "dogfight":
        dogfight = importlib.import_module("headctl_envs.dogfight.config")
        heads = dogfight.heads(_dogfight_config(options))
        return GameInfo({head: _head_info(*entry) for head, entry in heads.items()}, tuple(dogfight.PILOTS))
    if name == "matrix":
        matrix = importlib.import_module("headctl_envs.matrix.options")
        heads = matrix.heads(_matrix_options(matrix.MatrixOptions, options))
        return GameInfo({head: _head_info(*entry) for head, entry in heads.items()}, tuple(matrix.PILOTS))
    adapter = importlib.import_module("headctl.selfplay.parallel_env")
    heads = adapter.describe_parallel_env(_factory(name), dict(options))
    pilots = () if one_sided(name) else ("random",)
    return GameInfo({head: HeadInfo(**known) for head, known in heads.items()}, pilots)


def one_sided(name: str) -> bool:
    """Tells whether a game is known to have one side only, by its name."""
    return name.startswith(GYMNASIUM)


def make(
    name: str,
    options: Mapping[str, Any],
    *,
    num_games: int,
    seed: int,
    device: str = "cpu",
    gamma: float | None = None,
    workers: int = 0,
    batched: bool = True,
    share: GameShare | None = None,
) -> VectorGame:
    """Makes a batch of games.

    Args:
        name: ``dogfight``, ``matrix``, ``package.module:function`` or ``gymnasium:Id``.
        options: The game's own options.
        num_games: How many games run side by side, N.
        seed: Seed of every random stream of the games.
        device: Where the tensors live.
        gamma: The learner's discount; a game that shapes its reward by potentials needs the same.
        workers: Processes beside this one that step the environments of a PettingZoo game.
        batched: Whether a PettingZoo game is played as the batch that it offers, where it offers one.
        share: Which of all processes' games these are; ``None``: all.

    Raises:
        GameError: As :func:`describe`, or a game that cannot be played in shares.
    """
    if share is not None and name not in SHARED:
        raise GameError(f"name: {name!r} is played by one process; several can share {', '.join(SHARED)}")
    if name == "dogfight":
        if gamma is not None:
            options = {"gamma": gamma, **options}
        config = _dogfight_config(options)
        engine = importlib.import_module("headctl_envs.dogfight.engine")
        shared = {} if share is None else {"game_offset": share.first, "total": share.total}
        return engine.DogfightEngine(config, num_games=num_games, seed=seed, device=device, **shared)
    if name == "matrix":
        engine = importlib.import_module("headctl_envs.matrix.engine")
        config = importlib.import_module("headctl_envs.matrix.config").MatrixConfig
        return engine.MatrixEngine(_matrix_options(config, options), num_games=num_games, seed=seed, device=device)
    adapter = importlib.import_module("headctl.selfplay.parallel_env")
    factory = _factory(name)
    game = adapter.offered_batch(factory, options, num_games=num_games, seed=seed, device=device) if batched else None
    return game or adapter.ParallelEnvGame(
        factory, dict(options), num_games=num_games, seed=seed, device=device, workers=workers
    )


def _head_info(kind: str, size: int) -> HeadInfo:
    return HeadInfo(kind, choices=size) if kind == "categorical" else HeadInfo(kind, dims=size)


def _matrix_options(kind: Any, options: Mapping[str, Any]) -> Any:
    try:
        return kind.from_mapping(options)
    except ValueError as error:
        raise GameError(f"options.{error}") from None


def _dogfight_config(options: Mapping[str, Any]) -> Any:
    config = importlib.import_module("headctl_envs.dogfight.config").DogfightConfig
    try:
        return config.from_mapping(options)
    except ValueError as error:
        raise GameError(f"options.{error}") from None


def _factory(name: str) -> Any:
    """Returns the function that makes a PettingZoo environment."""
    if name.startswith(GYMNASIUM):
        return _gymnasium_factory(name.removeprefix(GYMNASIUM))
    module_name, colon, attribute = name.partition(":")
    if not colon:
        raise GameError(
            f"name: {unknown_name('game', name, BUILT_IN)}, package.module:function of a PettingZoo ParallelEnv, or "
            f"{GYMNASIUM}Id"
        )
    problem = origin_problem(module_name)
    if problem:
        raise GameError(f"name: {problem}")
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError, TypeError) as error:  # the latter two: a name that no module can have
        raise GameError(f"name: cannot import {module_name!r} of {name!r}: {error}") from None
    factory = getattr(module, attribute, None)
    if not callable(factory):
        public = [key for key, entry in inspect.getmembers(module, callable) if not key.startswith("_")]
        raise GameError(f"name: {unknown_name(f'function of module {module_name}', attribute, public)}")
    problem = factory_problem(factory)
    if problem:
        raise GameError(f"name: {attribute!r} of {module_name!r}: {problem}")
    return factory


def _gymnasium_factory(env_id: str) -> Any:
    gymnasium = importlib.import_module("gymnasium")
    try:
        gymnasium.spec(env_id)
    except (gymnasium.error.Error, ImportError) as error:
        raise GameError(f"name: {GYMNASIUM}{env_id}: {' '.join(str(error).split())}") from None
    return importlib.import_module("headctl.selfplay.gymnasium_env").GymnasiumFactory(env_id)
