"""Any two-sided PettingZoo ``ParallelEnv`` as a batch of games.

The environments are stepped one after another in Python: convenient for a game of one's own, and slow beside a batched
engine. Shapes: N games, A seats, F features.

An episode follows from its seed and the decisions in it, as PettingZoo's seed tests demand: that is what a checkpoint
keeps of it.

Conventions: all agents share one observation space and one action space (a Dict of Discrete, MultiDiscrete, MultiBinary
and Box, or one of them). An observation is a Box, a Discrete, or a Dict whose entries ``mask_<head>`` (or
``action_mask`` where there is one head) are masks: an entry per choice, the parts of a MultiDiscrete one after the
other, an entry per bit of a MultiBinary (0: it stays 0). With two agents each is a side of its own; with more, the part
of the name before the last underscore is the side. The outcome of an episode is ``infos[agent]["outcome"]`` (1: the
first side won, 2: the second, 3: draw) where the game gives it; a game that does not is won by the side with the higher
return.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from pettingzoo import ParallelEnv
from torch import Tensor

from headctl.entropy.spec import DISCRETE_KINDS
from headctl.messages import unknown_name
from headctl.policy.actions import SINGLE_HEAD, describe_space
from headctl.selfplay.faults import GameFaultError, raised
from headctl.selfplay.games import DRAW, FIRST_WON, RUNNING, SECOND_WON, GameStep, Observations

_RANDOM = "random"


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
        ValueError: Agents that do not form two sides.
    """
    if len(agents) == 2:
        return 0, 1
    teams = list(dict.fromkeys(agent.rpartition("_")[0] for agent in agents))
    if len(teams) != 2:
        raise ValueError(f"a game has two sides; the agents {agents} form {len(teams)}: {teams}")
    return tuple(teams.index(agent.rpartition("_")[0]) for agent in agents)


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
    ) -> None:
        """Makes the copies.

        Args:
            factory: Returns an environment.
            options: Keyword arguments of the factory.
            num_games: N.
            seed: Seed of every random stream.
            device: Where the tensors live.

        Raises:
            ValueError: Spaces that differ between agents or that no head can fill, masks of the wrong size, or agents
                that are not two sides.
        """
        self._made_by = f"{getattr(factory, '__module__', '?')}:{getattr(factory, '__qualname__', factory)}"
        self._options = dict(options)
        self._envs = [factory(**options) for _ in range(num_games)]
        env = self._envs[0]
        self.agents = list(env.possible_agents)
        self.seat_sides = sides_of(self.agents)
        self.num_games, self.num_seats = num_games, len(self.agents)
        self.device = torch.device(device)
        self.pilot_names = (_RANDOM,)
        action_space, observation_space = (
            _shared(kind, {agent: getattr(env, kind)(agent) for agent in self.agents})
            for kind in ("action_space", "observation_space")
        )
        self._bare = not isinstance(action_space, spaces.Dict)
        self.action_space: spaces.Dict = (
            action_space if isinstance(action_space, spaces.Dict) else spaces.Dict({SINGLE_HEAD: action_space})
        )
        self._parts = _parts(self.action_space)
        self._choices = {name: sum(parts) for name, parts in self._parts.items()}
        self._masked = _mask_keys(observation_space, self._choices)
        self._seen_space = _without_masks(observation_space, self._masked)
        self.observation_dim = spaces.flatdim(self._seen_space)
        self._seed = seed
        self._progress = 0.0
        self._allocate()
        self.reset(seed)

    def _allocate(self) -> None:
        shape = (self.num_games, self.num_seats)
        self._observation, self._final = (np.zeros((*shape, self.observation_dim), np.float32) for _ in range(2))
        self._masks = {name: np.ones((*shape, self._choices[name]), np.bool_) for name in self._masked}
        self._reward = np.zeros(shape, np.float32)
        self._terminated, self._truncated, self._alive = (np.zeros(shape, np.bool_) for _ in range(3))
        self._outcome = np.zeros(self.num_games, np.int32)
        self._returns = np.zeros(shape, np.float64)
        self._episodes = np.zeros(self.num_games, np.int64)
        self._lengths = np.zeros(self.num_games, np.int64)
        self._history: dict[str, np.ndarray] = {}
        self._ended: list[int] = []

    # Playing --------------------------------------------------------------------------------------------------------

    def reset(self, seed: int | None = None) -> Observations:
        """Begins every game anew; with a seed, every random stream too."""
        if seed is not None:
            self._seed = seed
            self._episodes[:] = 0
            self._random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 1])))
        for game in range(self.num_games):
            self._begin(game)
        return self._observations()

    def step(self, actions: Mapping[str, Tensor]) -> GameStep:
        """Plays one decision of every seat; decisions of seats that are out are ignored.

        Raises:
            GameFaultError: An environment has raised; says with which seed and actions.
        """
        plain = {name: actions[name].cpu().numpy() for name in self.action_space.spaces}
        self._remember(plain)
        for game in range(self.num_games):
            try:
                infos = self._advance(game, {name: action[game] for name, action in plain.items()})
            except Exception as error:  # somebody else's environment may fail in any way
                raise self._fault(game, error, decisions=int(self._lengths[game]) + 1) from error
            self._outcome[game] = RUNNING if infos is None else self._result(game, infos)
            if infos is not None:
                self._ended.append(int(self._lengths[game]))
                try:
                    self._begin(game)
                except Exception as error:  # as above
                    raise self._fault(game, error, decisions=0) from error
        return GameStep(
            *self._observations(),
            self._tensor(self._reward),
            self._tensor(self._terminated),
            self._tensor(self._truncated),
            self._tensor(self._final),
            self._tensor(self._alive),
            self._tensor(self._outcome),
        )

    def _advance(self, game: int, actions: Mapping[str, np.ndarray]) -> Mapping[str, Any] | None:
        """Plays one decision ``[A, ...]`` of one game; returns the infos if that ended the episode."""
        env = self._envs[game]
        alive = [agent in env.agents for agent in self.agents]
        chosen = {agent: self._action(actions, seat) for seat, agent in enumerate(self.agents) if alive[seat]}
        observations, rewards, terminations, truncations, infos = env.step(chosen)
        over = True
        for seat, agent in enumerate(self.agents):
            stays = agent in env.agents
            ended, cut = bool(terminations.get(agent, False)), bool(truncations.get(agent, False))
            self._reward[game, seat] = rewards.get(agent, 0.0)
            # An agent that leaves without a word has terminated: nothing that comes later is hers.
            self._terminated[game, seat] = ended or (alive[seat] and not stays and not cut)
            self._truncated[game, seat] = cut and not ended
            over = over and (not stays or ended or cut)
            if agent in observations:
                self._see(game, seat, observations[agent])
        self._alive[game] = alive
        self._returns[game] += self._reward[game]
        self._lengths[game] += 1
        self._final[game] = self._observation[game]
        return infos if over else None

    def _fault(self, game: int, error: Exception, *, decisions: int) -> GameFaultError:
        """Says how to see an error of one environment again: its seed and every decision since."""
        taken = []
        for step in range(decisions):
            actions = {name: kept[step, game] for name, kept in self._history.items()}
            taken.append({agent: _plain(self._action(actions, seat)) for seat, agent in enumerate(self.agents)})
        seed = self._episode_seed(game, int(self._episodes[game]) - 1)
        reproduction = {
            "game": self._made_by,
            "options": self._options,
            "index": game,
            "episode": int(self._episodes[game]) - 1,
            "seed": seed,
            "step": decisions,
            "actions": taken,
            "how": "env = game(**options); env.reset(seed=seed); for chosen in actions: env.step({agent: chosen[agent] "
            "for agent in env.agents}); the last of these calls raises",
        }
        where = f"game {game}, episode {reproduction['episode']}, seed {seed}, step {decisions}"
        return GameFaultError(f"{self._made_by} has raised in {where}: {raised(error)}", reproduction)

    def _remember(self, plain: Mapping[str, np.ndarray]) -> None:
        """Keeps the decisions of the running episodes: with their seeds, all that their states follow from."""
        longest = int(self._lengths.max())
        for name, action in plain.items():
            kept = self._history.get(name)
            if kept is None or longest >= len(kept):
                grown = np.zeros((max(64, 2 * longest), *action.shape), action.dtype)
                if kept is not None:
                    grown[: len(kept)] = kept
                self._history[name] = kept = grown
            kept[self._lengths, np.arange(self.num_games)] = action

    def _begin(self, game: int) -> None:
        # Every episode has a seed of its own, so that a resumed run meets the episodes it would have met.
        seed = self._episode_seed(game, int(self._episodes[game]))
        self._episodes[game] += 1
        self._returns[game] = 0.0
        self._lengths[game] = 0
        observations, _ = self._envs[game].reset(seed=seed)
        for seat, agent in enumerate(self.agents):
            self._see(game, seat, observations[agent])

    def _episode_seed(self, game: int, episode: int) -> int:
        return int(np.random.SeedSequence([self._seed, 0, game, episode]).generate_state(1)[0]) % 2**31

    def _see(self, game: int, seat: int, observation: Any) -> None:
        for name, key in self._masked.items():
            self._masks[name][game, seat] = np.asarray(observation[key], np.bool_)
        if self._masked:
            observation = {key: entry for key, entry in observation.items() if key not in self._masked.values()}
        flat: Any = spaces.flatten(self._seen_space, observation)
        self._observation[game, seat] = flat

    def _action(self, actions: Mapping[str, np.ndarray], seat: int) -> Any:
        parts: dict[str, Any] = {}
        for name, space in self.action_space.spaces.items():
            action = actions[name][seat]
            if isinstance(space, spaces.Box):
                # The nearest float32 may lie outside of a float64 bound.
                parts[name] = action.astype(space.dtype).clip(space.low, space.high)
            else:
                parts[name] = int(action) if isinstance(space, spaces.Discrete) else action.astype(space.dtype)
        return parts[SINGLE_HEAD] if self._bare else parts

    def _result(self, game: int, infos: Mapping[str, Any]) -> int:
        for info in infos.values():
            code = info.get("outcome")
            if code is not None:
                if code not in (FIRST_WON, SECOND_WON, DRAW):
                    raise ValueError(
                        f"infos[agent]['outcome']: expected 1, 2 or 3 at the end of an episode, got {code!r}"
                    )
                return int(code)
        sides = np.array(self.seat_sides)
        first, second = (self._returns[game, sides == side].sum() for side in (0, 1))
        if not np.isfinite(first - second):
            return DRAW  # rewards that are no numbers decide nothing
        return DRAW if first == second else (FIRST_WON if first > second else SECOND_WON)

    def _observations(self) -> Observations:
        return Observations(
            self._tensor(self._observation), {name: self._tensor(mask) for name, mask in self._masks.items()}
        )

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    # The rest of the protocol ---------------------------------------------------------------------------------------

    def pilot_actions(self, name: str) -> dict[str, Tensor]:
        """Returns uniformly random legal actions: the only scripted opponent that every game has.

        Raises:
            ValueError: Another name.
        """
        if name != _RANDOM:
            raise ValueError(f"unknown pilot: {name!r}. Allowed: {_RANDOM}")
        shape = (self.num_games, self.num_seats)
        actions: dict[str, Tensor] = {}
        for head, space in self.action_space.spaces.items():
            if head in self._choices:
                legal = self._masks.get(head, np.ones((*shape, self._choices[head]), np.bool_))
                actions[head] = self._tensor(self._draw(space, legal, self._parts[head]))
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
        for env in self._envs:
            receive = getattr(env.unwrapped, "set_progress", None)
            if receive is not None:
                receive(progress)

    def pop_statistics(self) -> dict[str, float]:
        """Returns the mean length of the episodes that ended since the last call."""
        ended, self._ended = self._ended, []
        return {"episode_length": float(np.mean(ended)) if ended else float("nan")}

    def state_dict(self) -> dict[str, Any]:
        """Returns seeds, and the decisions of the running episodes: what the states of the environments follow from."""
        longest = int(self._lengths.max())
        return {
            "seed": self._seed,
            "progress": self._progress,
            "episodes": self._episodes.tolist(),
            "lengths": self._lengths.tolist(),
            "returns": self._returns.tolist(),
            "history": {name: torch.from_numpy(kept[:longest].copy()) for name, kept in self._history.items()},
            "observation": torch.from_numpy(self._observation.copy()),
            "random": self._random.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> Observations:
        """Takes over a state by playing the running episodes again, from their seeds with the same decisions.

        Exact for environments whose course follows from seed and actions. Of others it warns, and goes on from where
        the replay led.

        Returns:
            What the seats see now.

        Raises:
            ValueError: A state of another number of games.
        """
        if len(state["episodes"]) != self.num_games:
            raise ValueError(f"num_games: the state is of {len(state['episodes'])} games, here are {self.num_games}")
        self._seed = int(state["seed"])
        self._random.bit_generator.state = state["random"]
        self.set_progress(float(state["progress"]))
        history = {name: kept.numpy() for name, kept in state["history"].items()}
        self._history = {name: kept.copy() for name, kept in history.items()}
        self._episodes[:] = np.asarray(state["episodes"]) - 1
        repeated = sum(self._replay(game, history, steps) for game, steps in enumerate(state["lengths"]))
        same = np.array_equal(self._observation, state["observation"].numpy(), equal_nan=True)
        if repeated < self.num_games or not same:
            warnings.warn(
                "the environment did not repeat its episodes from the same seeds and actions: training continues, but "
                "not exactly as it would have; make the environment draw from the seed that reset() is given",
                RuntimeWarning,
                stacklevel=2,
            )
        else:
            # Rewards may have depended on the progress that training had made when they were given.
            self._returns[:] = state["returns"]
        self._ended = []
        return self._observations()

    def _replay(self, game: int, history: Mapping[str, np.ndarray], steps: int) -> bool:
        """Plays an episode again; tells whether it went on as long as before."""
        self._begin(game)
        for step in range(steps):
            if self._advance(game, {name: kept[step, game] for name, kept in history.items()}) is not None:
                self._begin(game)
                return False
        return True


def _plain(action: Any) -> Any:
    """Returns an action as numbers, lists and dicts."""
    if isinstance(action, Mapping):
        return {name: _plain(part) for name, part in action.items()}
    return action.tolist() if isinstance(action, np.ndarray | np.generic) else action


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
