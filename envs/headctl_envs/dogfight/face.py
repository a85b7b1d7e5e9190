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

from headctl_envs.dogfight.config import AGENTS, FALLING, PARAMS, WEAPONS, DogfightConfig
from headctl_envs.dogfight.engine import DogfightEngine
from headctl_envs.dogfight.sensing import FEATURES

Observation = dict[str, NDArray[Any]]
Action = dict[str, Any] | None

INFO_KEYS = ("outcome", "cause", "reward_outcome", "reward_damage", "reward_shaping", "health", "rounds")
"""Keys of every ``infos[agent]``, constant from reset on, all numbers."""

LEGAL_GUN = FEATURES.index("legal_gun")
LEGAL_DIVE = FEATURES.index("legal_dive")
HEALTH = FEATURES.index("health")
ROUNDS = FEATURES.index("rounds")

NOMINAL: dict[str, Any] = {"maneuver": 0, "weapon": 0, "params": np.zeros(len(PARAMS), np.float32)}
"""The action of an agent that gives none."""

OBSERVATION_LIMIT = 10.0
"""Bound of the observation space; features are of order one and are clipped here only to keep this promise."""


class parallel_env(ParallelEnv[str, Observation, Action], EzPickle):  # noqa: N801  - PettingZoo's name for it
    """One-against-one dogfight.

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
        self.possible_agents = list(AGENTS)
        self.agents: list[str] = []
        self.engine = DogfightEngine(DogfightConfig.from_mapping(options), num_games=1, max_decisions=max_cycles)
        self._max_decisions = max_cycles or self.engine.config.max_decisions
        self._seeded = False
        self._fresh = False
        self._action_spaces = {agent: copy.deepcopy(self.engine.action_space) for agent in AGENTS}
        limit, choices = OBSERVATION_LIMIT, len(self.engine.config.library)
        self._observation_spaces = {
            agent: gymnasium.spaces.Dict(
                {
                    "observation": gymnasium.spaces.Box(-limit, limit, (len(FEATURES),), np.float32),
                    "mask_maneuver": gymnasium.spaces.Box(0, 1, (choices,), np.int8),
                    "mask_weapon": gymnasium.spaces.Box(0, 1, (len(WEAPONS),), np.int8),
                }
            )
            for agent in AGENTS
        }
        self.state_space = gymnasium.spaces.Box(-limit, limit, (len(AGENTS) * len(FEATURES),), np.float32)
        self._falling = np.array([name in FALLING for name in self.engine.config.library])
        seats = len(AGENTS)
        self._actions = {
            "maneuver": torch.zeros((1, seats), dtype=torch.int64),
            "weapon": torch.zeros((1, seats), dtype=torch.int64),
            "params": torch.zeros((1, seats, len(PARAMS))),
        }
        self._features = np.zeros((seats, len(FEATURES)), np.float32)

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
        self.agents = list(AGENTS)
        self._features[:] = self.engine.current().observation[0].numpy()
        return self._observations(), {agent: self._info(seat, None) for seat, agent in enumerate(AGENTS)}

    def step(
        self, actions: Mapping[str, Mapping[str, Any] | None]
    ) -> tuple[dict[str, Observation], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Flies one decision of both aircraft.

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
        for seat, agent in enumerate(AGENTS):
            self._write_action(seat, agent, actions.get(agent))
        result = self.engine.step(self._actions)
        terminated, truncated = bool(result.terminated[0, 0]), bool(result.truncated[0, 0])
        self._features[:] = result.final_observation[0].numpy()
        reward = result.reward[0].tolist()
        outcome, cause = int(result.outcome[0]), int(self.engine.cause[0])
        agents = self.agents
        scores = (outcome, cause, *self.engine.reward_terms[0].tolist())
        observations = self._observations()
        infos = {agent: self._info(seat, scores) for seat, agent in enumerate(AGENTS)}
        if terminated or truncated:
            self.agents = []
            self._fresh = True  # the engine has begun the next episode already
        return (
            observations,
            dict(zip(AGENTS, reward, strict=True)),
            dict.fromkeys(agents, terminated),
            dict.fromkeys(agents, truncated),
            infos,
        )

    def state(self) -> NDArray[np.float32]:
        """float32 [A * D]: the observations of ``red_0`` and ``blue_0`` behind one another."""
        return np.clip(self._features, -OBSERVATION_LIMIT, OBSERVATION_LIMIT).reshape(-1)

    def render(self) -> str | None:
        """One line of text about the game if ``render_mode`` is ``"ansi"``."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() without a render_mode; pass render_mode='ansi' to the constructor")
            return None
        own = dict(zip(FEATURES, self._features[0].tolist(), strict=True))
        other = dict(zip(FEATURES, self._features[1].tolist(), strict=True))
        distance = 10.0 ** (1.5 * own["range_log"] + 3.0)
        sides = (
            f"{agent}: {10.0 * f['altitude']:5.2f} km {340.0 * f['speed']:4.0f} m/s {9.0 * f['load_factor']:+4.1f} g "
            f"health {f['health']:4.2f}"
            for agent, f in zip(AGENTS, (own, other), strict=True)
        )
        clock = (1.0 - own["time_left"]) * self._max_decisions * self.engine.config.decision_period_s
        return f"t {clock:5.1f} s | " + " | ".join(sides) + f" | range {distance:6.0f} m"

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

    def _observations(self) -> dict[str, Observation]:
        """Observation and masks of both agents; the masks follow from the two ``legal_`` features."""
        found: dict[str, Observation] = {}
        for seat, agent in enumerate(AGENTS):
            features = np.clip(self._features[seat], -OBSERVATION_LIMIT, OBSERVATION_LIMIT)
            weapon = np.zeros(len(WEAPONS), np.int8)
            weapon[WEAPONS.index("hold")] = 1
            weapon[WEAPONS.index("gun")] = features[LEGAL_GUN] > 0.5
            maneuver = np.where(self._falling, features[LEGAL_DIVE] > 0.5, True).astype(np.int8)
            found[agent] = {"observation": features, "mask_maneuver": maneuver, "mask_weapon": weapon}
        return found

    def _info(self, seat: int, scores: tuple[float, ...] | None) -> dict[str, float]:
        """Numbers about the last decision from one seat's side; the keys never change."""
        outcome, cause, *terms = scores or (0, 0, 0.0, 0.0, 0.0)
        sign = 1.0 if seat == 0 else -1.0
        stores = self._features[seat, [HEALTH, ROUNDS]].tolist()
        values = (outcome, cause, *(sign * term + 0.0 for term in terms), *stores)
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
