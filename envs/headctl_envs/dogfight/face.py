"""The PettingZoo face of the dogfight: one game as a ``ParallelEnv``. Documentation: ``headctl_envs.dogfight_v0``."""

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar

import gymnasium
import numpy as np
import torch
from gymnasium.utils import EzPickle
from numpy.typing import NDArray
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils import wrappers
from pettingzoo.utils.conversions import parallel_to_aec

from headctl_envs.dogfight.arguments import LARGEST, whole_number
from headctl_envs.dogfight.config import PARAMS, REWARD_TERMS, WEAPONS, DogfightConfig, OptionError
from headctl_envs.dogfight.engine import DogfightEngine
from headctl_envs.dogfight.layouts import OBSERVATION_LIMIT, DictLayout, Observation, make_layout, unknown_name
from headctl_envs.dogfight.snapshots import GameArrays, agent_names, snapshot
from headctl_envs.dogfight.window import Window, one_line

if TYPE_CHECKING:
    from headctl_envs.dogfight.batch import FaceBatch

Action = Any

RENDER_MODES = ("human", "rgb_array", "ansi")

INFO_KEYS = (
    "outcome",
    "cause",
    "alive",
    *(f"reward_{term}" for term in REWARD_TERMS),
    "health",
    "rounds",
    "missiles",
    "flares",
    "rounds_fired",
    "missiles_fired",
    "flares_dropped",
    "gun_zone_s",
    "illegal_actions",
)
"""Keys of every ``infos[agent]``, constant from reset on, all numbers."""

FACE_OPTIONS = ("max_cycles", "render_mode", "action_layout", "params_bins", "observe_masks", "strict_actions")
"""Arguments of :class:`parallel_env` that are not options of the game."""


class parallel_env(ParallelEnv[str, Observation, Action], EzPickle):  # noqa: N801  - PettingZoo's name for it
    """One dogfight, one against one to four against four.

    Pickling and ``copy.deepcopy`` follow ``EzPickle``: they keep the arguments, not the episode, so the copy has to be
    reset first.

    Args:
        max_cycles: Episode length limit in decisions; ``None`` takes it from ``time_limit_s``.
        render_mode: ``None``, ``"human"``, ``"rgb_array"`` or ``"ansi"``.
        action_layout: ``"dict"``, ``"multidiscrete"`` or ``"flat"``; see :mod:`headctl_envs.dogfight.layouts`.
        params_bins: Bins of every residual in the discrete layouts; ``None`` is 5 for ``multidiscrete`` and 1, the
            nominal maneuver, for ``flat``.
        observe_masks: Whether observations are Dicts with the masks in them; ``None``: yes, except for ``flat``.
        strict_actions: Raise where an action is out of range or NaN, instead of taking it for the nominal one.
        **options: Options of :class:`~headctl_envs.dogfight.config.DogfightConfig`.

    Raises:
        OptionError: If an option is unknown, its value is not allowed or contradicts another one.
        gymnasium.error.DependencyNotInstalled: If ``render_mode`` is ``"human"`` and pygame is not installed.
    """

    metadata: ClassVar[dict[str, Any]] = {  # pyright: ignore[reportIncompatibleVariableOverride]  - never reassigned
        "name": "dogfight_v0",
        "render_modes": list(RENDER_MODES),
        "is_parallelizable": True,
        "render_fps": 5,
    }

    def __init__(
        self,
        *,
        max_cycles: int | None = None,
        render_mode: str | None = None,
        action_layout: str = "dict",
        params_bins: int | None = None,
        observe_masks: bool | None = None,
        strict_actions: bool = False,
        **options: Any,
    ) -> None:
        EzPickle.__init__(
            self,
            max_cycles=max_cycles,
            render_mode=render_mode,
            action_layout=action_layout,
            params_bins=params_bins,
            observe_masks=observe_masks,
            strict_actions=strict_actions,
            **options,
        )
        _check_arguments(max_cycles, render_mode, strict_actions, options)
        self.render_mode = render_mode
        self.engine = DogfightEngine(DogfightConfig.from_mapping(options), num_games=1, max_decisions=max_cycles)
        self.engine.auto_reset = False
        config = self.engine.config
        self.max_cycles = max_cycles or config.max_decisions
        self.possible_agents = list(agent_names(self.engine))
        self.agents: list[str] = []
        self._seat = {agent: seat for seat, agent in enumerate(self.possible_agents)}
        self.layout = make_layout(
            action_layout,
            choices=(len(config.library), len(WEAPONS)),
            dims=len(PARAMS),
            features=self.engine.observation_dim,
            params_bins=params_bins,
            observe_masks=observe_masks,
        )
        self._strict = strict_actions
        self._action_spaces = {agent: self.layout.action_space() for agent in self.possible_agents}
        self._observation_spaces = {agent: self.layout.observation_space() for agent in self.possible_agents}
        seats, limit = len(self.possible_agents), OBSERVATION_LIMIT
        self.state_space = gymnasium.spaces.Box(-limit, limit, (seats * self.engine.observation_dim,), np.float32)
        self._actions = {
            "maneuver": torch.zeros((1, seats), dtype=torch.int64),
            "weapon": torch.zeros((1, seats), dtype=torch.int64),
            "params": torch.zeros((1, seats, len(PARAMS))),
        }
        self._maneuver, self._weapon, self._params = (tensor[0].numpy() for tensor in self._actions.values())
        self._game = GameArrays(self.engine)
        self._began = False
        self._full = self._game.stores()
        self._zone_s = [0.0] * seats
        self._illegal = [0] * seats
        self._window = Window(render_mode, 1.0 / config.decision_period_s) if _draws(render_mode) else None

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

        Raises:
            ValueError: If the seed is not a whole number.
        """
        del options
        if seed is None and not self._began:
            seed = int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
        self.engine.reset(seed)
        self._began = True
        self.agents = list(self.possible_agents)
        seats = len(self.agents)
        self._full = self._game.stores()
        self._zone_s = [0.0] * seats
        self._illegal = [0] * seats
        if self._window is not None:
            self._window.begin(self.engine)
        nothing = (0.0,) * len(REWARD_TERMS)
        return self._observations(self.agents), self._infos(self.agents, 0, [0] * seats, [nothing] * seats)

    def step(
        self, actions: Mapping[str, Action]
    ) -> tuple[dict[str, Observation], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Flies one decision of every aircraft.

        Args:
            actions: Action by agent, in the layout of the environment. An agent without one flies the nominal maneuver
                0 and holds fire; names that are not playing are ignored. Masked choices count as maneuver 0 and weapon
                hold. So do choices that do not exist, residuals are clipped and NaN is 0, unless ``strict_actions``.

        Returns:
            Observations, rewards, terminations, truncations and infos of the agents that were playing; all empty for
            a step without actions after the end of the episode.

        Raises:
            RuntimeError: Before the first reset, or with actions after the end of the episode.
            ValueError: If an action has the wrong shape or type; nothing has been flown then.
            TypeError: If ``actions`` is no mapping.
        """
        if not isinstance(actions, Mapping):
            raise TypeError(f"actions = {actions!r} is no mapping from agents to actions")
        playing = self.agents
        if not playing:
            return self._after_the_end(actions)
        for agent in playing:
            self._write_action(self._seat[agent], agent, actions.get(agent))
        game = self._game
        self._count_illegal(playing)
        game.bind(self.engine.step(self._actions))
        period = self.engine.config.decision_period_s
        for seat, inside in enumerate(game.in_zone()):
            self._zone_s[seat] += inside * period
        reward, truncated = game.reward.tolist(), game.truncated.tolist()
        terminated = game.terminated.tolist()
        # RLlib ends an episode where all agents are terminated or all are truncated: a time limit is for all of them.
        cut = any(truncated)
        seats = [(agent, self._seat[agent]) for agent in playing]
        observations = self._observations(playing)
        infos = self._infos(playing, int(game.outcome[0]), game.causes(), game.reward_terms())
        self.agents = [] if cut else [agent for agent, seat in seats if not terminated[seat]]
        for agent in set(playing).difference(self.agents):
            self._write_action(self._seat[agent], agent, None)  # the dead decide nothing more
        if self._window is not None:
            self._window.add(self.engine)
        return (
            observations,
            {agent: reward[seat] for agent, seat in seats},
            {agent: terminated[seat] for agent, seat in seats},
            dict.fromkeys(playing, cut),
            infos,
        )

    def vector_game(self, num_games: int, *, seed: int = 0, device: str = "cpu") -> "FaceBatch | None":
        """Returns many of these fights as one batch, for trainers that step tensors instead of environments.

        Args:
            num_games: N.
            seed: Of all of them; see :class:`~headctl_envs.dogfight.batch.FaceBatch`.
            device: Where their tensors live.

        Returns:
            The batch; ``None`` with another layout than ``dict`` with its masks, with strict actions, or where
            something is drawn: there every environment has to be stepped by itself.
        """
        if not (isinstance(self.layout, DictLayout) and self.layout.observe_masks):
            return None
        if self._strict or self.render_mode is not None:
            return None
        from headctl_envs.dogfight.batch import FaceBatch  # noqa: PLC0415 - most faces never need it

        return FaceBatch(
            self.engine.config, num_games=num_games, seed=seed, device=device, max_decisions=self.max_cycles
        )

    def state(self) -> NDArray[np.float32]:
        """float32 [A * D]: what the agents observe, in the order of ``possible_agents``."""
        return np.clip(self._game.features, -OBSERVATION_LIMIT, OBSERVATION_LIMIT).reshape(-1)

    def render(self, *_: Any) -> NDArray[np.uint8] | str | None:
        """Shows the fight in the way of ``render_mode``.

        Returns:
            uint8 [H, W, 3] for ``rgb_array``, a line of text for ``ansi``, and nothing for ``human``, where every
            step shows itself. Arguments, as RLlib passes them, are ignored.

        Raises:
            RuntimeError: Before the first reset.
        """
        if self.render_mode is None:
            gymnasium.logger.warn(
                f"render() without a render_mode; pass one of {', '.join(RENDER_MODES)} to the constructor"
            )
            return None
        if not self._began:
            raise RuntimeError("render() before reset(): call reset() once first")
        if self._window is None:
            return one_line(snapshot(self.engine))
        return self._window.picture() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Closes the window, if there is one; may be called more than once."""
        if self._window is not None:
            self._window.close()

    def set_progress(self, progress: float) -> None:
        """Tells the game which share of the training is done; the shaping weight follows."""
        self.engine.set_progress(progress)

    def action_mask(self, agent: str) -> dict[str, NDArray[np.int8]]:
        """Masks of an agent's next decision by the key that they have, or would have, in its observation."""
        seat = self._seat[agent]
        return self.layout.masks(
            self._game.mask_maneuver[seat].astype(np.int8), self._game.mask_weapon[seat].astype(np.int8)
        )

    def _after_the_end(
        self, actions: Mapping[str, Action]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        if not self._began:
            raise RuntimeError("step() before reset(): call reset() once first")
        if any(actions.get(agent) is not None for agent in self.possible_agents):
            raise RuntimeError("step() after the end of the episode: call reset() first")
        return {}, {}, {}, {}, {}

    def _write_action(self, seat: int, agent: str, action: Action | None) -> None:
        """Copies one agent's action into the engine's tensors."""
        if action is None:
            self._maneuver[seat] = self._weapon[seat] = 0
            self._params[seat] = 0.0
            return
        try:
            self._maneuver[seat], self._weapon[seat], self._params[seat] = self.layout.decode(action)
            if self._strict:
                self.layout.check(action)
        except ValueError as error:
            raise ValueError(f"the action of {agent} {error}") from error

    def _count_illegal(self, playing: list[str]) -> None:
        """Counts, per seat, decisions with a choice that is masked or does not exist."""
        maneuvers, weapons = self._maneuver.tolist(), self._weapon.tolist()
        for agent in playing:
            seat = self._seat[agent]
            legal = _allows(self._game.mask_maneuver[seat], maneuvers[seat])
            if not (legal and _allows(self._game.mask_weapon[seat], weapons[seat])):
                self._illegal[seat] += 1

    def _observations(self, agents: list[str]) -> dict[str, Observation]:
        """Observations as copies; those of one step share their memory with each other only."""
        game = self._game
        features = np.minimum(game.features, OBSERVATION_LIMIT)
        np.maximum(features, -OBSERVATION_LIMIT, out=features)
        maneuver, weapon = game.mask_maneuver.astype(np.int8), game.mask_weapon.astype(np.int8)
        observe, seats = self.layout.observation, self._seat
        return {a: observe(features[seats[a]], maneuver[seats[a]], weapon[seats[a]]) for a in agents}

    def _infos(
        self, agents: list[str], outcome: int, causes: list[int], terms: list[tuple[float, ...]]
    ) -> dict[str, dict[str, Any]]:
        """Numbers about the last decision from every agent's side; the keys never change."""
        health, stores = self._game.health.tolist(), self._game.stores()
        found: dict[str, dict[str, Any]] = {}
        for agent in agents:
            seat = self._seat[agent]
            full, left = self._full[seat], stores[seat]
            values = (
                outcome,
                causes[seat],
                int(health[seat] > 0.0),
                *terms[seat],
                max(health[seat], 0.0),
                *(rest / whole if whole else 0.0 for rest, whole in zip(left, full, strict=True)),
                *(whole - rest for rest, whole in zip(left, full, strict=True)),
                self._zone_s[seat],
                self._illegal[seat],
            )
            found[agent] = dict(zip(INFO_KEYS, values, strict=True))
        return found


def _allows(mask: NDArray[np.bool_], choice: int) -> bool:
    return 0 <= choice < len(mask) and bool(mask[choice])


def _draws(render_mode: str | None) -> bool:
    return render_mode in ("human", "rgb_array")


def _check_arguments(max_cycles: Any, render_mode: Any, strict_actions: Any, options: Mapping[str, Any]) -> None:
    """Refuses arguments that are unknown or of the wrong kind."""
    known = (*FACE_OPTIONS, *(item.name for item in fields(DogfightConfig)))
    for name in options:
        if name not in known:
            raise unknown_name("option of the dogfight", name, known)
    if render_mode is not None and render_mode not in RENDER_MODES:
        raise unknown_name("render_mode", render_mode, RENDER_MODES)
    if max_cycles is not None:
        try:
            whole_number("max_cycles", max_cycles, low=1, high=LARGEST)
        except ValueError as error:
            raise OptionError(str(error).replace("allowed:", "allowed: None, or")) from None
    if not isinstance(strict_actions, bool):
        raise OptionError(f"strict_actions = {strict_actions!r} is neither true nor false")


def raw_env(**kwargs: Any) -> AECEnv[str, Observation, Action]:
    """The dogfight as an AEC environment without wrappers; arguments as for :class:`parallel_env`."""
    return parallel_to_aec(parallel_env(**kwargs))


def env(**kwargs: Any) -> AECEnv[str, Observation, Action]:
    """The dogfight as an AEC environment that asserts that actions are in bounds and calls come in order."""
    return wrappers.OrderEnforcingWrapper(wrappers.AssertOutOfBoundsWrapper(raw_env(**kwargs)))
