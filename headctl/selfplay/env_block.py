"""PettingZoo environments, one after another: the part of a batch that one process steps.

Shapes: N games of the block, A seats, F features, K choices, D dims.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from pettingzoo import ParallelEnv
from torch import Tensor

from headctl.selfplay.env_form import EnvForm
from headctl.selfplay.faults import raised
from headctl.selfplay.games import DRAW, FIRST_WON, RUNNING, SECOND_WON

MASK, ACTION = "mask ", "action "
"""What the names of masks and actions begin with among the buffers."""


class EnvFailedError(Exception):
    """An environment has raised; its own error is the cause where both are in one process.

    Attributes:
        game: Number of the game in the whole batch.
        decisions: Decisions of the episode, the last of which raised; 0: its reset did.
        what: The error in one line.
    """

    def __init__(self, game: int, decisions: int, what: str) -> None:
        """Creates the error."""
        super().__init__(game, decisions, what)
        self.game, self.decisions, self.what = game, decisions, what


def allocate(form: EnvForm, num_games: int) -> dict[str, Tensor]:
    """Returns the tensors that a batch of environments is played in.

    ``observation`` and ``final`` float32 ``[N, A, F]``; ``mask <head>`` bool ``[N, A, K]``; ``action <head>``;
    ``reward`` float32 and ``returns`` float64 ``[N, A]``; ``terminated``, ``truncated``, ``alive`` bool ``[N, A]``;
    ``outcome`` int32, ``episodes``, ``lengths`` and ``ended`` int64 ``[N]``: the number of the next episode, the
    decisions of the running one, and those of the one that ended at this step, or 0.
    """
    shape = (num_games, len(form.agents))
    tensors = {
        "observation": torch.zeros(*shape, form.features),
        "final": torch.zeros(*shape, form.features),
        "reward": torch.zeros(shape),
        "returns": torch.zeros(shape, dtype=torch.float64),
        **{name: torch.zeros(shape, dtype=torch.bool) for name in ("terminated", "truncated", "alive")},
        "outcome": torch.zeros(num_games, dtype=torch.int32),
        **{name: torch.zeros(num_games, dtype=torch.int64) for name in ("episodes", "lengths", "ended")},
        **{MASK + name: torch.ones(*shape, form.choices[name], dtype=torch.bool) for name in form.masked},
    }
    for name, space in form.action_space.spaces.items():
        dtype = torch.float32 if isinstance(space, spaces.Box) else torch.int64
        tensors[ACTION + name] = torch.zeros(*shape, *(space.shape or ()), dtype=dtype)
    return tensors


def episode_seed(seed: int, game: int, episode: int) -> int:
    """Returns the seed of an episode: every one has its own, so that a resumed run meets those it would have met."""
    return int(np.random.SeedSequence([seed, 0, game, episode]).generate_state(1)[0]) % 2**31


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """What it takes to make a block, in whichever process.

    Attributes:
        factory: Makes one environment.
        options: Its keyword arguments.
        tensors: The whole batch, as :func:`allocate` returns it.
        first: Number of the block's first game.
        stop: Number of the game after its last.
    """

    factory: Callable[..., ParallelEnv]
    options: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    first: int
    stop: int


class EnvBlock:
    """Plays its environments in the buffers of the batch."""

    def __init__(self, plan: BlockPlan) -> None:
        """Makes the environments."""
        self.envs = [plan.factory(**plan.options) for _ in range(plan.first, plan.stop)]
        self._form = form = EnvForm(self.envs[0])
        self._agents = form.agents
        self._sides = np.array(form.seat_sides)
        self._first = plan.first
        self._seed = 0
        part = {name: tensor[plan.first : plan.stop].numpy() for name, tensor in plan.tensors.items()}
        self._actions = {name: part[ACTION + name] for name in form.action_space.spaces}
        masks = {name: part[MASK + name] for name in form.masked}
        self._observation, self._final, self._reward = part["observation"], part["final"], part["reward"]
        self._terminated, self._truncated, self._alive = part["terminated"], part["truncated"], part["alive"]
        self._outcome, self._returns = part["outcome"], part["returns"]
        self._episodes, self._lengths, self._ended = part["episodes"], part["lengths"], part["ended"]
        # Views of every seat's own part, made once: slicing costs more than what is copied.
        seats = range(len(self._agents))
        self._places = [
            [
                (agent, self._observation[game, seat], {name: mask[game, seat] for name, mask in masks.items()})
                for seat, agent in zip(seats, self._agents, strict=True)
            ]
            for game in range(len(self.envs))
        ]

    def reset(self, seed: int) -> None:
        """Begins every game anew, from the episode that ``episodes`` says.

        Raises:
            EnvFailedError: An environment has raised.
        """
        self._seed = seed
        for game in range(len(self.envs)):
            self._begin(game)

    def step(self) -> None:
        """Plays the decisions that stand in the buffers.

        Raises:
            EnvFailedError: As above.
        """
        columns = self._form.columns(self._actions)
        self._outcome[:] = RUNNING
        self._ended[:] = 0
        for game in range(len(self.envs)):
            self._play(game, columns, game)

    def _play(self, game: int, columns: Mapping[str, Any], row: int) -> bool:
        """Plays one decision of one game, out of one row of the columns; tells whether the episode goes on."""
        try:
            infos = self._advance(game, columns, row)
        except Exception as error:  # somebody else's environment may fail in any way
            raise EnvFailedError(self._first + game, int(self._lengths[game]) + 1, raised(error)) from error
        if infos is None:
            return True
        self._outcome[game] = self._result(game, infos)
        self._ended[game] = self._lengths[game]
        self._begin(game)
        return False

    def _advance(self, game: int, columns: Mapping[str, Any], row: int) -> Mapping[str, Any] | None:
        """Plays one decision of one game; returns the infos if that ended the episode."""
        env, agents, action = self.envs[game], self._agents, self._form.action
        before = env.agents
        alive = [agent in before for agent in agents]
        chosen = {agent: action(columns, row, seat) for seat, agent in enumerate(agents) if alive[seat]}
        observations, rewards, terminations, truncations, infos = env.step(chosen)
        staying = env.agents
        reward, terminated, truncated = [], [], []
        over = True
        write = self._form.write
        for seat, (agent, features, masks) in enumerate(self._places[game]):
            stays = agent in staying
            ended, cut = bool(terminations.get(agent, False)), bool(truncations.get(agent, False))
            reward.append(rewards.get(agent, 0.0))
            # An agent that leaves without a word has terminated: nothing that comes later is hers.
            terminated.append(ended or (alive[seat] and not stays and not cut))
            truncated.append(cut and not ended)
            over = over and (not stays or ended or cut)
            if agent in observations:
                write(observations[agent], features, masks)
        self._reward[game] = reward
        self._terminated[game], self._truncated[game], self._alive[game] = terminated, truncated, alive
        self._returns[game] += self._reward[game]
        self._lengths[game] += 1
        self._final[game] = self._observation[game]
        return infos if over else None

    def _begin(self, game: int) -> None:
        episode = int(self._episodes[game])
        self._episodes[game] = episode + 1
        self._returns[game] = 0.0
        self._lengths[game] = 0
        try:
            observations, _ = self.envs[game].reset(seed=episode_seed(self._seed, self._first + game, episode))
            for agent, features, masks in self._places[game]:
                self._form.write(observations[agent], features, masks)
        except Exception as error:  # as in step
            raise EnvFailedError(self._first + game, 0, raised(error)) from error

    def _result(self, game: int, infos: Mapping[str, Any]) -> int:
        for info in infos.values():
            code = info.get("outcome")
            if code is not None:
                if code not in (FIRST_WON, SECOND_WON, DRAW):
                    raise ValueError(
                        f"infos[agent]['outcome']: expected 1, 2 or 3 at the end of an episode, got {code!r}"
                    )
                return int(code)
        first, second = (self._returns[game, self._sides == side].sum() for side in (0, 1))
        if not np.isfinite(first - second) or self._sides.max() == 0:
            return DRAW  # rewards that are no numbers decide nothing, and nobody wins against nobody
        return DRAW if first == second else (FIRST_WON if first > second else SECOND_WON)

    def set_progress(self, progress: float) -> None:
        """Passes the share of training on to environments that have a method of that name."""
        for env in self.envs:
            receive = getattr(env.unwrapped, "set_progress", None)
            if receive is not None:
                receive(progress)

    def replay(self, seed: int, history: Mapping[str, NDArray[Any]], lengths: Sequence[int]) -> int:
        """Plays the running episodes again; returns how many went on as long as before.

        Args:
            seed: Of the batch.
            history: Actions of this block's games, ``[T, N, A, ...]`` per head.
            lengths: How many decisions of every game.

        Raises:
            EnvFailedError: As in :meth:`step`.
        """
        self._seed = seed
        return sum(self._repeat(game, history, steps) for game, steps in enumerate(lengths))

    def _repeat(self, game: int, history: Mapping[str, NDArray[Any]], steps: int) -> bool:
        self._begin(game)
        if not steps:
            return True  # before the first decision there is no history
        columns = self._form.columns({name: kept[:steps, game] for name, kept in history.items()})
        return all(self._play(game, columns, step) for step in range(steps))

    def close(self) -> None:
        """Closes the environments."""
        for env in self.envs:
            env.close()
