"""The PettingZoo face of the dogfight: one game as a ``ParallelEnv``. Documentation: ``headctl_envs.dogfight_v0``."""

import copy
from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium
import numpy as np
import torch
from gymnasium.utils import EzPickle
from numpy.typing import NDArray
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils import wrappers
from pettingzoo.utils.conversions import parallel_to_aec

from headctl_envs.dogfight.config import FALLING, PARAMS, REWARD_TERMS, TALLY, WEAPONS, DogfightConfig
from headctl_envs.dogfight.engine import DogfightEngine

Observation = dict[str, NDArray[Any]]
Action = dict[str, Any] | None

INFO_KEYS = ("outcome", "cause", *(f"reward_{term}" for term in REWARD_TERMS), *TALLY)
"""Keys of every ``infos[agent]``, constant from reset on, all numbers."""

NOMINAL: dict[str, Any] = {"maneuver": 0, "weapon": 0, "params": np.zeros(len(PARAMS), np.float32)}
"""The action of an agent that gives none."""

OBSERVATION_LIMIT = 10.0
"""Bound of the observation space; features are of order one and are clipped here only to keep this promise."""


class parallel_env(ParallelEnv[str, Observation, Action], EzPickle):  # noqa: N801  - PettingZoo's name for it
    """The dogfight, one against one to four against four.

    Args:
        max_cycles: Episode length limit in decisions; ``None`` takes it from ``time_limit_s``.
        render_mode: ``None`` or ``"ansi"``.
        **options: Options of :class:`~headctl_envs.dogfight.config.DogfightConfig`.

    Raises:
        OptionError: If an option is unknown or its value is not allowed.
        ValueError: If ``render_mode`` is unknown or ``max_cycles`` smaller than 1.
    """

    metadata: ClassVar[dict[str, Any]] = {  # pyright: ignore[reportIncompatibleVariableOverride]  - never reassigned
        "name": "dogfight_v0",
        "render_modes": ["ansi"],
        "is_parallelizable": True,
        "render_fps": 5,
    }

    def __init__(self, *, max_cycles: int | None = None, render_mode: str | None = None, **options: Any) -> None:
        EzPickle.__init__(self, max_cycles=max_cycles, render_mode=render_mode, **options)
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"unknown render_mode: {render_mode!r}. Allowed: None, 'ansi'")
        self.render_mode = render_mode
        self.engine = DogfightEngine(DogfightConfig.from_mapping(options), num_games=1, max_decisions=max_cycles)
        self.possible_agents = list(self.engine.agents)
        self.agents: list[str] = []
        names = self.engine.feature_names
        self._places = {name: place for place, name in enumerate(names)}
        self._max_decisions = max_cycles or self.engine.config.max_decisions
        self._seeded = False
        self._fresh = False
        self._action_spaces = {agent: copy.deepcopy(self.engine.action_space) for agent in self.possible_agents}
        limit, choices = OBSERVATION_LIMIT, len(self.engine.config.library)
        self._observation_spaces = {
            agent: gymnasium.spaces.Dict(
                {
                    "observation": gymnasium.spaces.Box(-limit, limit, (len(names),), np.float32),
                    "mask_maneuver": gymnasium.spaces.Box(0, 1, (choices,), np.int8),
                    "mask_weapon": gymnasium.spaces.Box(0, 1, (len(WEAPONS),), np.int8),
                }
            )
            for agent in self.possible_agents
        }
        self.state_space = gymnasium.spaces.Box(-limit, limit, (len(self.possible_agents) * len(names),), np.float32)
        self._falling = np.array([name in FALLING for name in self.engine.config.library])
        seats = len(self.possible_agents)
        self._actions = {
            "maneuver": torch.zeros((1, seats), dtype=torch.int64),
            "weapon": torch.zeros((1, seats), dtype=torch.int64),
            "params": torch.zeros((1, seats, len(PARAMS))),
        }
        self._features = np.zeros((seats, len(names)), np.float32)

    def observation_space(self, agent: str) -> gymnasium.Space[Any]:
        """The same object at every call."""
        return self._observation_spaces[agent]

    def action_space(self, agent: str) -> gymnasium.Space[Any]:
        """The same object at every call."""
        return self._action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Observation], dict[str, dict[str, Any]]]:
        """Begins an episode.

        Args:
            seed: Starts the numbering of episodes over. ``None`` goes on with the next episode of the current seed, or
                of a seed from the operating system if there was none.
            options: Not used.

        Returns:
            Observations and infos by agent.
        """
        del options
        if seed is None and not self._seeded:
            seed = int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
        if seed is not None or not self._fresh:
            self.engine.reset(seed)
        self._seeded = True
        self._fresh = False
        self.agents = list(self.possible_agents)
        self._features[:] = self.engine.current().observation[0].numpy()
        full = (self.engine.config.gun_rounds, self.engine.config.missiles, self.engine.config.flares)
        tally = [[1.0, *map(float, full), 0.0, 0.0, 0.0, 0.0]] * len(self.agents)
        infos = {
            agent: self._info(seat, (0, [0] * len(self.agents), [0.0] * len(REWARD_TERMS), tally))
            for seat, agent in enumerate(self.agents)
        }
        return self._observations(self.agents), infos

    def step(
        self, actions: Mapping[str, Mapping[str, Any] | None]
    ) -> tuple[dict[str, Observation], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Flies one decision of all aircraft.

        Args:
            actions: Action by agent. An agent without one flies the nominal maneuver 0 and holds fire; names that are
                not playing are ignored. Masked choices count as maneuver 0 and weapon hold, residuals are clipped.

        Returns:
            Observations, rewards, terminations, truncations and infos by agent; all empty once the episode is over.

        Raises:
            ValueError: If an action lacks a head or a head has the wrong shape or type.
        """
        if not self.agents:
            return {}, {}, {}, {}, {}
        for seat, agent in enumerate(self.possible_agents):
            self._write_action(seat, agent, actions.get(agent))
        result = self.engine.step(self._actions)
        terminated, truncated = result.terminated[0].tolist(), result.truncated[0].tolist()
        self._features[:] = result.final_observation[0].numpy()
        reward = result.reward[0].tolist()
        playing = self.agents
        outcome = int(result.outcome[0])
        scores = (
            outcome,
            self.engine.cause[0].tolist(),
            self.engine.reward_terms[0].tolist(),
            self.engine.tally[0].tolist(),
        )
        seats = {agent: seat for seat, agent in enumerate(self.possible_agents) if agent in playing}
        observations = self._observations(playing)
        infos = {agent: self._info(seat, scores) for agent, seat in seats.items()}
        self.agents = [agent for agent, seat in seats.items() if not (terminated[seat] or truncated[seat])]
        if outcome:
            self._fresh = True  # the engine has begun the next episode already
        return (
            observations,
            {agent: reward[seat] for agent, seat in seats.items()},
            {agent: terminated[seat] for agent, seat in seats.items()},
            {agent: truncated[seat] for agent, seat in seats.items()},
            infos,
        )

    def state(self) -> NDArray[np.float32]:
        """float32 [A * D]: the observations of all seats behind one another."""
        return np.clip(self._features, -OBSERVATION_LIMIT, OBSERVATION_LIMIT).reshape(-1)

    def render(self) -> str | None:
        """One line of text about the game if ``render_mode`` is ``"ansi"``."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() without a render_mode; pass render_mode='ansi' to the constructor")
            return None
        names = self.engine.feature_names
        rows = [dict(zip(names, row.tolist(), strict=True)) for row in self._features]
        sides = (
            f"{agent}: {10.0 * f['altitude']:5.2f} km {340.0 * f['speed']:4.0f} m/s {9.0 * f['load_factor']:+4.1f} g "
            f"health {f['health']:4.2f}"
            for agent, f in zip(self.possible_agents, rows, strict=True)
        )
        left = max(f["time_left"] for f in rows)
        clock = (1.0 - left) * self._max_decisions * self.engine.config.decision_period_s
        line = f"t {clock:5.1f} s | " + " | ".join(sides)
        if "range_log" in names:
            line += f" | range {10.0 ** (1.5 * rows[0]['range_log'] + 3.0):6.0f} m"
        return line

    def close(self) -> None:
        """Nothing to release; may be called more than once."""

    def _write_action(self, seat: int, agent: str, action: Mapping[str, Any] | None) -> None:
        """Copies one agent's action into the engine's tensors."""
        if action is None:
            action = NOMINAL
        for head, buffer in self._actions.items():
            if head not in action:
                raise ValueError(f"the action of {agent} lacks the head {head!r}; needed: {', '.join(self._actions)}")
            try:
                value = np.asarray(action[head])
                buffer[0, seat] = torch.from_numpy(
                    value.astype(np.float32).reshape(len(PARAMS)) if head == "params" else _integer(value)
                )
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"the action of {agent} has {head} = {action[head]!r}, needed {self._action_spaces[agent][head]}"
                ) from error

    def _observations(self, agents: list[str]) -> dict[str, Observation]:
        """Observations and masks; the masks follow from the ``legal_`` features."""
        found: dict[str, Observation] = {}
        for seat, agent in enumerate(self.possible_agents):
            if agent not in agents:
                continue
            features = np.clip(self._features[seat], -OBSERVATION_LIMIT, OBSERVATION_LIMIT)
            weapon = np.zeros(len(WEAPONS), np.int8)
            weapon[WEAPONS.index("hold")] = 1
            for name in WEAPONS[1:]:
                place = self._places.get(f"legal_{name}")
                weapon[WEAPONS.index(name)] = place is not None and features[place] > 0.5
            dive = features[self._places["legal_dive"]] > 0.5
            maneuver = np.where(self._falling, dive, True).astype(np.int8)
            found[agent] = {"observation": features, "mask_maneuver": maneuver, "mask_weapon": weapon}
        return found

    def _info(self, seat: int, scores: tuple[int, list[int], list[float], list[list[float]]]) -> dict[str, float]:
        """Numbers about the last decision from one seat's side; the keys never change."""
        outcome, causes, terms, tally = scores
        sign = 1.0 if self.engine.seat_sides[seat] == 0 else -1.0
        values = (outcome, causes[seat], *(sign * term + 0.0 for term in terms), *tally[seat])
        return dict(zip(INFO_KEYS, values, strict=True))


def _integer(value: NDArray[Any]) -> NDArray[np.int64]:
    """A single whole number as int64, or ``TypeError``."""
    if value.size != 1 or value.dtype.kind not in "iu":
        raise TypeError("not a whole number")
    return value.reshape(()).astype(np.int64)


def raw_env(**kwargs: Any) -> AECEnv[str, Observation, Action]:
    """The dogfight as an AEC environment without wrappers; arguments as for :class:`parallel_env`."""
    return parallel_to_aec(parallel_env(**kwargs))


def env(**kwargs: Any) -> AECEnv[str, Observation, Action]:
    """The dogfight as an AEC environment that asserts that actions are in bounds and calls come in order."""
    return wrappers.OrderEnforcingWrapper(wrappers.AssertOutOfBoundsWrapper(raw_env(**kwargs)))
