"""The game as other trainers take it: rows of numpy arrays, the batch in one call or one PettingZoo object at a time.

Shapes: R rows (N games times A seats), F features, K choices, D dims, H parts of a MultiDiscrete action.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from headctl.run.peers.work import Work
from headctl.selfplay.catalog import make

Arrays = dict[str, NDArray[Any]]


class RowsSeen(NamedTuple):
    """What the rows see."""

    observation: NDArray[np.float32]
    """``[R, F]``."""
    masks: Arrays
    """bool ``[R, K]`` of the heads that are masked."""


class RowsStep(NamedTuple):
    """What one decision of every row led to; games that ended have begun anew."""

    seen: RowsSeen
    reward: NDArray[np.float32]
    """``[R]``."""
    terminated: NDArray[np.bool_]
    """``[R]``."""
    truncated: NDArray[np.bool_]
    """``[R]``."""
    final_observation: NDArray[np.float32]
    """``[R, F]``, before any reset; says nothing where no episode ended."""


class Rows(Protocol):
    """A batch of agents that act at once.

    Attributes:
        action_space: A Dict of heads.
        rows: R.
        features: F.
    """

    action_space: spaces.Dict
    rows: int
    features: int

    def reset(self, seed: int) -> RowsSeen:
        """Begins all games."""
        ...

    def step(self, actions: Arrays) -> RowsStep:
        """Plays one decision: int64 ``[R]`` per Discrete, ``[R, D]`` per Box or MultiDiscrete."""
        ...


class BatchedRows:
    """A batch of games as rows of numpy arrays, which share memory with its tensors."""

    def __init__(self, work: Work) -> None:
        """Makes the game of the batched route."""
        self._game = make(work.game, work.options, num_games=work.games, seed=work.seed, gamma=work.gamma)
        self.action_space = self._game.action_space
        self.rows = self._game.num_games * self._game.num_seats
        self.features = self._game.observation_dim
        self._shape = (self._game.num_games, self._game.num_seats)

    def reset(self, seed: int) -> RowsSeen:
        """Begins all games."""
        seen = self._game.reset(seed)
        return self._seen(seen.observation, seen.masks)

    def step(self, actions: Arrays) -> RowsStep:
        """Plays one decision of every row."""
        played = self._game.step(
            {name: torch.from_numpy(entry.reshape(*self._shape, *entry.shape[1:])) for name, entry in actions.items()}
        )
        return RowsStep(
            self._seen(played.observation, played.masks),
            played.reward.flatten().numpy(),
            played.terminated.flatten().numpy(),
            played.truncated.flatten().numpy(),
            played.final_observation.flatten(0, 1).numpy(),
        )

    @staticmethod
    def _seen(observation: torch.Tensor, masks: Mapping[str, torch.Tensor]) -> RowsSeen:
        return RowsSeen(
            observation.flatten(0, 1).numpy(), {name: mask.flatten(0, 1).numpy() for name, mask in masks.items()}
        )


class PettingZooRows:
    """N PettingZoo objects, stepped in a Python loop: what one writes around them by hand.

    For games whose episodes end for all agents at once.
    """

    def __init__(self, work: Work) -> None:
        """Makes the environments, with actions as a Dict of heads."""
        make_env = face(work)
        self._envs = [make_env() for _ in range(work.games)]
        self._agents = list(self._envs[0].possible_agents)
        self.action_space = self._envs[0].action_space(self._agents[0])
        space = self._envs[0].observation_space(self._agents[0])
        self._dict = isinstance(space, spaces.Dict)
        features = space["observation"] if isinstance(space, spaces.Dict) else space
        self.rows, self.features = work.games * len(self._agents), int(np.prod(features.shape or ()))
        self._observation = np.zeros((self.rows, self.features), np.float32)
        masked = [key for key in space.spaces if key != "observation"] if isinstance(space, spaces.Dict) else []
        self._masks = {
            key.removeprefix("mask_"): np.ones((self.rows, *(space[key].shape or ())), np.bool_) for key in masked
        }
        self._reward = np.zeros(self.rows, np.float32)
        self._terminated, self._truncated = (np.zeros(self.rows, np.bool_) for _ in range(2))
        self._final = np.zeros_like(self._observation)

    def reset(self, seed: int) -> RowsSeen:
        """Begins all games."""
        for index, env in enumerate(self._envs):
            self._see(index, env.reset(seed=seed + index)[0])
        return RowsSeen(self._observation, self._masks)

    def step(self, actions: Arrays) -> RowsStep:
        """Plays one decision of every row."""
        for index, env in enumerate(self._envs):
            first = index * len(self._agents)
            chosen = {
                agent: {name: entry[first + seat] for name, entry in actions.items()}
                for seat, agent in enumerate(self._agents)
            }
            observations, rewards, terminations, truncations, _ = env.step(chosen)
            for seat, agent in enumerate(self._agents):
                self._reward[first + seat] = rewards[agent]
                self._terminated[first + seat] = terminations[agent]
                self._truncated[first + seat] = truncations[agent]
            if not env.agents:
                self._see(index, observations)
                rows = slice(first, first + len(self._agents))
                self._final[rows] = self._observation[rows]
                observations, _ = env.reset()
            self._see(index, observations)
        seen = RowsSeen(self._observation, self._masks)
        return RowsStep(seen, self._reward, self._terminated, self._truncated, self._final)

    def _see(self, index: int, observations: Mapping[str, Any]) -> None:
        first = index * len(self._agents)
        for seat, agent in enumerate(self._agents):
            seen = observations[agent]
            if not self._dict:
                self._observation[first + seat] = seen
                continue
            self._observation[first + seat] = seen["observation"]
            for name, mask in self._masks.items():
                mask[first + seat] = seen[f"mask_{name}"]


class DiscreteRows:
    """Rows whose action is one MultiDiscrete: for trainers without a policy for a Dict of heads.

    Every dimension of a Box becomes a choice among ``bins`` values, evenly spaced over its range.

    Attributes:
        nvec: Choices of every part of the action.
    """

    def __init__(self, rows: Rows, bins: int) -> None:
        """Wraps ``rows``."""
        self._rows = rows
        self.rows, self.features = rows.rows, rows.features
        self._parts: list[tuple[str, int, NDArray[np.float32] | None]] = []
        nvec: list[int] = []
        for name, space in rows.action_space.spaces.items():
            if isinstance(space, spaces.Discrete):
                self._parts.append((name, 1, None))
                nvec.append(int(space.n))
            elif isinstance(space, spaces.Box):
                dims = int(space.shape[0])
                values = np.linspace(space.low, space.high, bins).astype(np.float32)
                self._parts.append((name, dims, values))
                nvec += [bins] * dims
            else:
                raise TypeError(f"action space {name!r}: a Discrete or a Box is needed here, got {space}")
        self.nvec = np.array(nvec, np.int64)

    def reset(self, seed: int) -> RowsSeen:
        """Begins all games."""
        return self._rows.reset(seed)

    def step(self, actions: NDArray[Any]) -> RowsStep:
        """Plays one decision: integers ``[R, H]``."""
        heads: Arrays = {}
        column = 0
        for name, width, values in self._parts:
            taken = actions[:, column : column + width].astype(np.int64)
            heads[name] = taken[:, 0] if values is None else values[taken, np.arange(width)]
            column += width
        return self._rows.step(heads)


def face(work: Work, *, discrete: bool = False) -> Callable[[], Any]:
    """Returns the maker of one PettingZoo environment.

    Args:
        work: Names it.
        discrete: With one MultiDiscrete action instead of a Dict of heads.
    """
    module, _, function = work.face.partition(":")
    factory = getattr(importlib.import_module(module), function)
    options = {**work.options, **(work.discrete if discrete else {})}
    if work.game == "dogfight":
        options = {"gamma": work.gamma, **options}
    return lambda: factory(**options)
