"""What a PettingZoo ``ParallelEnv`` says of itself, and the way of its observations and actions to and from arrays.

Conventions: all agents share one observation space and one action space (a Dict of Discrete, MultiDiscrete, MultiBinary
and Box, or one of them). An observation is a Box, a Discrete, or a Dict whose entries ``mask_<head>`` (or
``action_mask`` where there is one head) are masks: an entry per choice, the parts of a MultiDiscrete one after the
other, an entry per bit of a MultiBinary (0: it stays 0). A single agent plays a game of one side. With two agents each
is a side of its own; with more, the part of the name before the last underscore is the side.

Shapes: N games, A seats, F features, K choices.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from headctl.entropy.spec import DISCRETE_KINDS
from headctl.messages import unknown_name
from headctl.policy.actions import SINGLE_HEAD, describe_space

Column = list[Any] | NDArray[Any]
"""Actions of one head, ``[N, A, ...]``, as environments want them: nested lists of Python integers, or an array."""


def describe_parallel_env(factory: Callable[..., ParallelEnv], options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns what the environment's action space says of each head.

    Raises:
        ValueError: An action space that heads cannot fill.
    """
    env = factory(**options)
    try:
        return describe_space(env.action_space(env.possible_agents[0]))
    finally:
        env.close()


def sides_of(agents: list[str]) -> tuple[int, ...]:
    """Returns the side of every agent.

    Raises:
        ValueError: More than two agents that do not form two sides.
    """
    if len(agents) <= 2:
        return tuple(range(len(agents)))
    teams = list(dict.fromkeys(agent.rpartition("_")[0] for agent in agents))
    if len(teams) != 2:
        raise ValueError(f"a game has two sides; the agents {agents} form {len(teams)}: {teams}")
    return tuple(teams.index(agent.rpartition("_")[0]) for agent in agents)


class EnvForm:
    """Agents, sides, heads, masks and features of an environment.

    Attributes:
        agents: Their names, one per seat.
        seat_sides: Side of every seat.
        action_space: Named heads.
        parts: Per discrete head, how many entries of its mask belong to each of its parts.
        choices: Per discrete head, the length K of its mask.
        masked: Per masked head, the key of the observation that holds its mask.
        features: F.
    """

    def __init__(self, env: ParallelEnv) -> None:
        """Reads an environment.

        Raises:
            ValueError: Spaces that differ between agents or that no head can fill, masks of the wrong size, or agents
                that are not one or two sides.
        """
        self.agents = list(env.possible_agents)
        self.seat_sides = sides_of(self.agents)
        action_space, observation_space = (
            _shared(kind, {agent: getattr(env, kind)(agent) for agent in self.agents})
            for kind in ("action_space", "observation_space")
        )
        self._bare = not isinstance(action_space, spaces.Dict)
        self.action_space: spaces.Dict = (
            action_space if isinstance(action_space, spaces.Dict) else spaces.Dict({SINGLE_HEAD: action_space})
        )
        self.parts = _parts(self.action_space)
        self.choices = {name: sum(parts) for name, parts in self.parts.items()}
        self.masked = _mask_keys(observation_space, self.choices)
        self._seen_space = _without_masks(observation_space, self.masked)
        self.features = spaces.flatdim(self._seen_space)
        self._boxes = _boxes(self._seen_space)

    def write(self, observation: Any, features: NDArray[np.float32], masks: Mapping[str, NDArray[np.bool_]]) -> None:
        """Copies what one agent sees.

        Args:
            observation: As the environment gives it.
            features: Where the features go ``[F]``.
            masks: Where the masks go, ``[K]`` each.
        """
        for name, key in self.masked.items():
            masks[name][:] = observation[key]
        if self._boxes is None:
            # Anything but Boxes is rare enough for the way that serves every space.
            if self.masked:
                hidden = self.masked.values()
                observation = {key: entry for key, entry in observation.items() if key not in hidden}
            flat: Any = spaces.flatten(self._seen_space, observation)
            features[:] = flat
            return
        for key, start, stop in self._boxes:
            entry = observation if key is None else observation[key]
            features[start:stop] = entry if np.ndim(entry) == 1 else np.ravel(entry)

    def columns(self, actions: Mapping[str, NDArray[Any]]) -> dict[str, Column]:
        """Returns actions as environments take them; nothing of it shares memory with ``actions``.

        Args:
            actions: Per head, int64 ``[N, A]`` or ``[N, A, parts]``, or float32 ``[N, A, D]``.
        """
        columns: dict[str, Column] = {}
        for name, space in self.action_space.spaces.items():
            action = actions[name]
            if isinstance(space, spaces.Discrete):
                columns[name] = action.tolist()
            elif isinstance(space, spaces.Box):
                # The nearest float32 may lie outside of a float64 bound.
                columns[name] = action.astype(space.dtype).clip(space.low, space.high)
            else:
                columns[name] = action.astype(space.dtype)
        return columns

    def action(self, columns: Mapping[str, Column], game: int, seat: int) -> Any:
        """Returns one agent's action out of :meth:`columns`."""
        if self._bare:
            return columns[SINGLE_HEAD][game][seat]
        return {name: column[game][seat] for name, column in columns.items()}


def _boxes(space: spaces.Space) -> list[tuple[str | None, int, int]] | None:
    """Returns where each Box of an observation goes; ``None`` where something else than Boxes is seen."""
    if isinstance(space, spaces.Box):
        return [(None, 0, spaces.flatdim(space))]
    if not isinstance(space, spaces.Dict) or not all(isinstance(part, spaces.Box) for part in space.spaces.values()):
        return None
    places: list[tuple[str | None, int, int]] = []
    start = 0
    for key, part in space.spaces.items():  # the order in which gymnasium flattens
        stop = start + spaces.flatdim(part)
        places.append((key, start, stop))
        start = stop
    return places


def _shared(kind: str, per_agent: Mapping[str, spaces.Space]) -> spaces.Space:
    """Returns the space that all agents have in common."""
    first = next(iter(per_agent.values()))
    for agent, space in per_agent.items():
        if space != first:
            raise ValueError(
                f"{kind}: both sides share one policy, but {agent!r} has {space} and another agent {first}"
            )
    return first


def _parts(space: spaces.Dict) -> dict[str, list[int]]:
    """Returns, per discrete head, how many entries of its mask belong to each of its parts."""
    parts = {}
    for name, head in describe_space(space).items():
        if head["kind"] in DISCRETE_KINDS:
            size = head.get("choices", head.get("dims"))
            parts[name] = size if isinstance(size, list) else [size]
    return parts


def _mask_keys(space: spaces.Space, choices: Mapping[str, int]) -> dict[str, str]:
    """Returns, per masked head, the key of the observation that holds its mask."""
    if not isinstance(space, spaces.Dict):
        return {}
    for key in space.spaces:
        if key.startswith("mask_") and key.removeprefix("mask_") not in choices:
            # Taken for a feature it would leave its head unmasked without a word.
            unknown = unknown_name("discrete head", key.removeprefix("mask_"), choices)
            raise ValueError(f"observation_space[{key!r}]: a mask of an {unknown}")
    keys = {name: f"mask_{name}" for name in choices if f"mask_{name}" in space.spaces}
    if not keys and len(choices) == 1 and "action_mask" in space.spaces:
        keys = {next(iter(choices)): "action_mask"}
    for name, key in keys.items():
        if space.spaces[key].shape != (choices[name],):
            raise ValueError(
                f"observation_space[{key!r}]: the mask of head {name!r} needs the shape ({choices[name]},), one entry "
                f"per choice; got {space.spaces[key]}"
            )
    return keys


def _without_masks(space: spaces.Space, masked: Mapping[str, str]) -> spaces.Space:
    if not masked or not isinstance(space, spaces.Dict):
        return space
    return spaces.Dict({key: part for key, part in space.spaces.items() if key not in masked.values()})
