"""Any PettingZoo ``ParallelEnv`` as a batch of games.

The environments are stepped one after another in Python, in this process or shared out among several: convenient for a
game of one's own, and slow beside a batched engine. Shapes: N games, A seats, F features.

An episode follows from its seed and the decisions in it, as PettingZoo's seed tests demand: that is what a checkpoint
keeps of it.

What is expected of observations, actions and names of agents: :mod:`headctl.selfplay.env_form`. The outcome of an
episode is ``infos[agent]["outcome"]`` (1: the first side won, 2: the second, 3: draw) where the game gives it; a game
that does not is won by the side with the higher return. A game of one side always ends in a draw.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from pettingzoo import ParallelEnv
from torch import Tensor

from headctl.selfplay.env_block import ACTION, MASK, EnvBlock, EnvFailedError, allocate, episode_seed
from headctl.selfplay.env_form import EnvForm, describe_parallel_env, sides_of
from headctl.selfplay.env_workers import EnvWorkers, plans
from headctl.selfplay.faults import GameFaultError
from headctl.selfplay.games import GameStep, Observations, VectorGame

__all__ = ["ParallelEnvGame", "describe_parallel_env", "offered_batch", "sides_of"]

_RANDOM = "random"


def offered_batch(
    factory: Callable[..., ParallelEnv], options: Mapping[str, Any], *, num_games: int, seed: int, device: str
) -> VectorGame | None:
    """Returns the batch of games that an environment offers by itself; ``None`` where it offers none.

    An environment offers one by a method ``vector_game(num_games, *, seed, device)`` that returns a
    :class:`~headctl.selfplay.games.VectorGame` of the same game, or ``None`` where it cannot. Of an environment in a
    wrapper nobody knows whether the wrapper changes the game: it is stepped by itself.

    Args:
        factory: Returns an environment.
        options: Keyword arguments of the factory.
        num_games: N.
        seed: Seed of every random stream.
        device: Where the tensors live.

    Raises:
        ValueError: A batch of other seats, sides, features or actions than the environment has.
    """
    env = factory(**options)
    try:
        offer = getattr(env, "vector_game", None) if env.unwrapped is env else None
        game = None if offer is None else offer(num_games, seed=seed, device=device)
        if game is None:
            return None
        form = EnvForm(env)
    finally:
        env.close()
    for what, offered, own in (
        ("games", game.num_games, num_games),
        ("sides of the seats", tuple(game.seat_sides), form.seat_sides),
        ("features", game.observation_dim, form.features),
        ("actions", game.action_space, form.action_space),
    ):
        if offered != own:
            raise ValueError(f"vector_game: the batch has the {what} {offered}, the environment {own}")
    return game


class ParallelEnvGame:
    """Satisfies :class:`headctl.selfplay.games.VectorGame` over N copies of an environment."""

    def __init__(
        self,
        factory: Callable[..., ParallelEnv],
        options: Mapping[str, Any],
        *,
        num_games: int,
        seed: int,
        device: str = "cpu",
        workers: int = 0,
    ) -> None:
        """Makes the copies.

        Args:
            factory: Returns an environment.
            options: Keyword arguments of the factory.
            num_games: N.
            seed: Seed of every random stream.
            device: Where the tensors live.
            workers: Processes beside this one that step an equal share of the environments each. The games are the
                same.

        Raises:
            ValueError: Spaces that differ between agents or that no head can fill, masks of the wrong size, agents that
                are not one or two sides, or a factory that cannot be handed to another process.
        """
        self._made_by = f"{getattr(factory, '__module__', '?')}:{getattr(factory, '__qualname__', factory)}"
        self._options = dict(options)
        env = factory(**options)
        try:
            self._form = form = EnvForm(env)
        finally:
            env.close()
        self.agents, self.seat_sides, self.action_space = form.agents, form.seat_sides, form.action_space
        self.num_games, self.num_seats = num_games, len(self.agents)
        self.observation_dim = form.features
        self.device = torch.device(device)
        self.pilot_names: tuple[str, ...] = (_RANDOM,) if max(self.seat_sides) else ()
        self._seed = seed
        self._progress = 0.0
        blocks = min(workers + 1, num_games)
        self._tensors = allocate(form, num_games)
        if blocks > 1:
            for tensor in self._tensors.values():
                tensor.share_memory_()
        self._arrays = {name: tensor.numpy() for name, tensor in self._tensors.items()}
        self._masks = {name: self._arrays[MASK + name] for name in form.masked}
        self._lengths, self._episodes = self._arrays["lengths"], self._arrays["episodes"]
        shares = plans(factory, options, self._tensors, num_games, blocks)
        self._block: EnvBlock | EnvWorkers = EnvWorkers(shares) if blocks > 1 else EnvBlock(shares[0])
        self._history: dict[str, np.ndarray] = {}
        self._ended: list[int] = []
        self._earned: list[float] = []
        self.reset(seed)

    # Playing --------------------------------------------------------------------------------------------------------

    def reset(self, seed: int | None = None) -> Observations:
        """Begins every game anew; with a seed, every random stream too.

        Raises:
            GameFaultError: An environment has raised.
        """
        if seed is not None:
            self._seed = seed
            self._episodes[:] = 0
            self._random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 1])))
        self._try(lambda: self._block.reset(self._seed))
        return self._observations()

    def step(self, actions: Mapping[str, Tensor]) -> GameStep:
        """Plays one decision of every seat; decisions of seats that are out are ignored.

        Raises:
            GameFaultError: An environment has raised; says with which seed and actions.
        """
        for name in self.action_space.spaces:
            self._tensors[ACTION + name].copy_(actions[name])
        self._remember()
        returns = self._arrays["returns"].copy()
        self._try(self._block.step)
        self._note_ends(returns)
        return GameStep(
            *self._observations(),
            *(self._out(name) for name in ("reward", "terminated", "truncated", "final", "alive", "outcome")),
        )

    def _note_ends(self, returns: np.ndarray) -> None:
        """Keeps lengths and returns of the episodes that have ended; ``returns`` are those before the step."""
        ended = self._arrays["ended"]
        over = np.flatnonzero(ended)
        if len(over):
            self._ended += ended[over].tolist()
            seats = np.array(self.seat_sides) == 0
            self._earned += (returns[over] + self._arrays["reward"][over])[:, seats].mean(1).tolist()

    def _try(self, play: Callable[[], Any]) -> Any:
        """Plays; an error of an environment becomes one that says how to see it again."""
        try:
            return play()
        except EnvFailedError as error:
            raise self._fault(error) from (error.__cause__ or error)

    def _fault(self, error: EnvFailedError) -> GameFaultError:
        """Says how to see an error of one environment again: its seed and every decision since."""
        game, form = error.game, self._form
        kept = {name: kept[: error.decisions, game] for name, kept in self._history.items()}
        columns = form.columns(kept) if kept else {}
        taken = [
            {agent: _plain(form.action(columns, step, seat)) for seat, agent in enumerate(self.agents)}
            for step in range(error.decisions)
        ]
        episode = int(self._episodes[game]) - 1
        seed = self._episode_seed(game, episode)
        reproduction = {
            "game": self._made_by,
            "options": self._options,
            "index": game,
            "episode": episode,
            "seed": seed,
            "step": error.decisions,
            "actions": taken,
            "how": "env = game(**options); env.reset(seed=seed); for chosen in actions: env.step({agent: chosen[agent] "
            "for agent in env.agents}); the last of these calls raises",
        }
        where = f"game {game}, episode {episode}, seed {seed}, step {error.decisions}"
        return GameFaultError(f"{self._made_by} has raised in {where}: {error.what}", reproduction)

    def _remember(self) -> None:
        """Keeps the decisions of the running episodes: with their seeds, all that their states follow from."""
        longest = int(self._lengths.max())
        for name in self.action_space.spaces:
            action = self._arrays[ACTION + name]
            kept = self._history.get(name)
            if kept is None or longest >= len(kept):
                grown = np.zeros((max(64, 2 * longest), *action.shape), action.dtype)
                if kept is not None:
                    grown[: len(kept)] = kept
                self._history[name] = kept = grown
            kept[self._lengths, np.arange(self.num_games)] = action

    def _decisions(self, history: Mapping[str, torch.Tensor], longest: int) -> dict[str, np.ndarray]:
        """Returns the decisions of the running episodes that a state holds.

        Raises:
            ValueError: Other heads, shapes or kinds of number than this game's actions have, or numbers that are none.
        """
        if longest and set(history) != set(self.action_space.spaces):
            raise ValueError(f"history: the state is of the heads {sorted(history)}, here are {[*self.action_space]}")
        found = {name: kept.numpy() for name, kept in history.items()}
        for name, kept in found.items():
            action = self._arrays[ACTION + name]
            if kept.shape != (longest, *action.shape) or kept.dtype != action.dtype:
                raise ValueError(
                    f"history.{name}: expected {action.dtype} {[longest, *action.shape]}, got {kept.dtype} "
                    f"{list(kept.shape)}"
                )
            if not np.isfinite(kept).all():
                raise ValueError(f"history.{name}: some of its numbers are not finite")
        return found

    def _episode_seed(self, game: int, episode: int) -> int:
        return episode_seed(self._seed, game, episode)

    def _observations(self) -> Observations:
        return Observations(self._out("observation"), {name: self._out(MASK + name) for name in self._masks})

    def _out(self, name: str) -> Tensor:
        return self._tensors[name].to(self.device)

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def close(self) -> None:
        """Closes the environments, and ends the processes that step them."""
        self._block.close()

    # The rest of the protocol ---------------------------------------------------------------------------------------

    def pilot_actions(self, name: str, seats: Tensor | None = None) -> dict[str, Tensor]:  # noqa: ARG002 - draws for all
        """Returns uniformly random legal actions of every seat: the only scripted opponent that every game has.

        Raises:
            ValueError: Another name.
        """
        if name != _RANDOM:
            raise ValueError(f"unknown pilot: {name!r}. Allowed: {_RANDOM}")
        shape = (self.num_games, self.num_seats)
        actions: dict[str, Tensor] = {}
        for head, space in self.action_space.spaces.items():
            if head in self._form.choices:
                legal = self._masks.get(head, np.ones((*shape, self._form.choices[head]), np.bool_))
                actions[head] = self._tensor(self._draw(space, legal, self._form.parts[head]))
            else:
                assert isinstance(space, spaces.Box)  # noqa: S101 - describe_space admits nothing else
                share = self._random.random((*shape, *space.shape))
                actions[head] = self._tensor((space.low + share * (space.high - space.low)).astype(np.float32))
        return actions

    def _draw(self, space: spaces.Space, legal: np.ndarray, parts: Sequence[int]) -> np.ndarray:
        """Returns uniformly random legal choices of one discrete head."""
        draws = self._random.random(legal.shape)
        if isinstance(space, spaces.MultiBinary):
            return ((draws < 0.5) & legal).astype(np.int64)
        pieces = []
        edges = np.cumsum(parts)[:-1]
        for draw, allowed in zip(np.split(draws, edges, -1), np.split(legal, edges, -1), strict=True):
            pieces.append((draw * (allowed | ~allowed.any(-1, keepdims=True))).argmax(-1))
        return pieces[0] if isinstance(space, spaces.Discrete) else np.stack(pieces, -1)

    def set_progress(self, progress: float) -> None:
        """Passes the share of training on to environments that have a method of that name."""
        self._progress = progress
        self._block.set_progress(progress)

    def pop_statistics(self) -> dict[str, float]:
        """Returns the mean length of the episodes that ended since the last call.

        Of a game of one side the mean return per agent too: between two sides it says nothing of the policy.
        """
        ended, self._ended = self._ended, []
        earned, self._earned = self._earned, []
        told = {"episode_length": float(np.mean(ended)) if ended else float("nan")}
        if not max(self.seat_sides):
            told["episode_return"] = float(np.mean(earned)) if earned else float("nan")
        return told

    def state_dict(self) -> dict[str, Any]:
        """Returns seeds, and the decisions of the running episodes: what the states of the environments follow from."""
        longest = int(self._lengths.max())
        return {
            "seed": self._seed,
            "progress": self._progress,
            "episodes": self._episodes.tolist(),
            "lengths": self._lengths.tolist(),
            "returns": self._arrays["returns"].tolist(),
            "history": {name: torch.from_numpy(kept[:longest].copy()) for name, kept in self._history.items()},
            "observation": self._tensors["observation"].clone(),
            "random": self._random.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> Observations:
        """Takes over a state by playing the running episodes again, from their seeds with the same decisions.

        Exact for environments whose course follows from seed and actions. Of others it warns, and goes on from where
        the replay led.

        Returns:
            What the seats see now.

        Raises:
            ValueError: A state of another number of games, or decisions that are none of this game's.
            GameFaultError: An environment has raised.
        """
        if len(state["episodes"]) != self.num_games:
            raise ValueError(f"num_games: the state is of {len(state['episodes'])} games, here are {self.num_games}")
        lengths = [int(steps) for steps in state["lengths"]]
        history = self._decisions(state["history"], max(lengths))
        self._seed = int(state["seed"])
        self._random.bit_generator.state = state["random"]
        self.set_progress(float(state["progress"]))
        self._history = {name: kept.copy() for name, kept in history.items()}
        self._episodes[:] = np.asarray(state["episodes"]) - 1
        repeated = self._try(lambda: self._block.replay(self._seed, history, lengths))
        same = np.array_equal(self._arrays["observation"], state["observation"].numpy(), equal_nan=True)
        if repeated < self.num_games or not same:
            warnings.warn(
                "the environment did not repeat its episodes from the same seeds and actions: training continues, but "
                "not exactly as it would have; make the environment draw from the seed that reset() is given",
                RuntimeWarning,
                stacklevel=2,
            )
        else:
            # Rewards may have depended on the progress that training had made when they were given.
            self._arrays["returns"][:] = state["returns"]
        self._ended, self._earned = [], []
        return self._observations()


def _plain(action: Any) -> Any:
    """Returns an action as numbers, lists and dicts."""
    if isinstance(action, Mapping):
        return {name: _plain(part) for name, part in action.items()}
    return action.tolist() if isinstance(action, np.ndarray | np.generic) else action
