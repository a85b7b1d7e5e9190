"""The batched dogfight: N games as tensors in, tensors out, on CPU or CUDA from the same kernels.

Shape legend: N games, A seats (2 to 8, red first), M missiles in the air per seat, K choices, D features. Torch owns
every buffer and Warp works on views of them, so a step copies nothing but the actions. What a call returns are the
engine's buffers: the next step overwrites them.
"""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

import gymnasium
import numpy as np
import torch
import warp as wp
from torch import Tensor

from headctl_envs.dogfight import kernels, pilots
from headctl_envs.dogfight.arguments import (
    LARGEST,
    check_action,
    device_of,
    options_of,
    share,
    stored_tensors,
    whole_number,
)
from headctl_envs.dogfight.blocks import Seen
from headctl_envs.dogfight.buffers import Buffers, view_of
from headctl_envs.dogfight.config import PARAMS, PILOTS, WEAPONS, DogfightConfig
from headctl_envs.dogfight.features import feature_names, layout_of
from headctl_envs.dogfight.flight import Airframe, airframe_struct
from headctl_envs.dogfight.judgement import Results
from headctl_envs.dogfight.kernels import ALL, ENDED, NONE, kernels_of
from headctl_envs.dogfight.lanes import lanes_on
from headctl_envs.dogfight.pilots import pilot
from headctl_envs.dogfight.results import GameStep, Observations, statistics_of
from headctl_envs.dogfight.rules import Rules, rules_struct
from headctl_envs.dogfight.world import Arena

STATE_VERSION = 3
OTHER_VERSIONS: dict[Any, str] = {
    1: "its games have guns only, use the headctl that wrote it, 0.1 before the missiles",
    2: "use the headctl that wrote it, 0.1 before seats were kept in one record",
}
"""Who can read the states that this engine cannot."""
LOOKING_AHEAD = ("fighter", "ace")
"""Pilots whose kernel is compiled when one of them is first asked for."""


class DogfightEngine:
    """N simultaneous dogfights with auto-reset, one against one to four against four.

    A game's course depends on the seed, its index (plus ``game_offset``), its episode number and the actions, and on
    nothing else: neither on the number of games beside it nor on global random generators.

    Args:
        config: The options; the defaults if ``None``.
        num_games: N, at least 1.
        seed: Any integer; its lowest 64 bits count.
        device: ``"cpu"`` or a CUDA device that Warp supports.
        game_offset: Index of the first game, so that several engines can share one numbering.
        max_decisions: Length limit of an episode in decisions; ``None`` takes it from ``config.time_limit_s``.
        total: Adds up the sums behind the statistics over all engines that share one numbering, in place; ``None``:
            the statistics are this one's own.

    Attributes:
        auto_reset: Whether a game that ends begins anew in the same step; if false, ``reset`` must follow any end.

    Raises:
        ValueError: If a number is not whole or out of its range, or there is no such device.
        TypeError: If ``config`` is no :class:`DogfightConfig`.
    """

    def __init__(
        self,
        config: DogfightConfig | None = None,
        num_games: int = 1,
        *,
        seed: int = 0,
        device: str | torch.device = "cpu",
        game_offset: int = 0,
        max_decisions: int | None = None,
        total: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.config = options_of(config)
        self.num_games = num_games = whole_number("num_games", num_games, low=1, high=LARGEST)
        if max_decisions is not None:
            max_decisions = whole_number("max_decisions", max_decisions, low=1, high=LARGEST)
        game_offset = whole_number("game_offset", game_offset, low=0, high=LARGEST - num_games)
        self.agents = self.config.agents
        self.num_seats = self.config.num_seats
        self.seat_sides = tuple(seat // self.config.team_size for seat in range(self.num_seats))
        self.feature_names = feature_names(self.config)
        self.observation_dim = len(self.feature_names)
        self.pilot_names = PILOTS
        self.device = device_of(device)
        self.action_space = gymnasium.spaces.Dict(
            {
                "maneuver": gymnasium.spaces.Discrete(len(self.config.library)),
                "weapon": gymnasium.spaces.Discrete(len(WEAPONS)),
                "params": gymnasium.spaces.Box(-1.0, 1.0, (len(PARAMS),), np.float32),
            }
        )
        self.auto_reset = True
        self._seed = whole_number("seed", seed)
        self._total = total
        self._progress = 0.0
        self._started = False
        with wp.ScopedLogLevel(wp.LOG_ERROR):  # Warp greets on stdout, which belongs to the host program
            wp.init()
            self._buffers = Buffers(self.config, num_games, self.device, self.observation_dim)
            self.state = self._buffers.state
            self._masks, self._results, self._actions = (
                self._buffers.masks,
                self._buffers.results,
                self._buffers.actions,
            )
            self._bind(max_decisions or self.config.max_decisions, game_offset)
            wp.load_module(kernels.__name__, device=self._warp_device)
            wp.load_module(pilots.__name__, device=self._warp_device)

    def _bind(self, max_decisions: int, game_offset: int) -> None:
        """Makes the Warp views and records the launches, so that a step builds no argument lists."""
        self._warp_device = str(self.device) if self.device.type == "cpu" else f"cuda:{self.device.index or 0}"
        arena, world, results = self._buffers.arena(), self._buffers.world(), self._buffers.result_views()
        weight, seed = view_of(self._buffers.weight), view_of(self._buffers.seed)
        actions = self._buffers.action_views()
        layout = layout_of(self.config)
        seen = self._buffers.seen(layout)
        rules = rules_struct(self.config, max_decisions=max_decisions, game_offset=game_offset, layout=layout)

        def airframes_for(step_s: float) -> Any:
            types = [airframe_struct(self.config.airframes[side], step_s) for side in self.seat_sides]
            return wp.array(types, dtype=Airframe, device=self._warp_device)

        airframes = airframes_for(self.config.decision_period_s / self.config.substeps)
        self._views = (
            arena,
            world,
            results,
            seen,
            airframes,
            actions,
            weight,
            seed,
        )  # A recorded launch does not own its arrays

        def record(kernel: Any, inputs: list[Any], threads: int = self.num_games) -> Any:
            return wp.launch(kernel, dim=threads, inputs=inputs, device=self._warp_device, record_cmd=True)

        lanes = lanes_on(self.device)
        advance, renew = kernels_of(lanes)
        threads = -(-self.num_games // lanes)
        step = [arena, rules, airframes, actions["step"], results, seen, weight, seed]
        self._launch_step = record(advance, step, threads)
        arenas, books, returned, rows = (
            wp.array([struct], dtype=type_, device=self._warp_device)
            for struct, type_ in ((arena, Arena), (rules, Rules), (results, Results), (seen, Seen))
        )
        begin = [arenas, books, airframes, returned, rows, results.outcome, seed]
        self._launch_observe, self._launch_renew, self._launch_reset = (
            record(renew, [*begin, which], threads) for which in (NONE, ENDED, ALL)
        )
        common = [world, rules, airframes]
        self._launch_pilot = {
            name: record(pilot, [*common, actions[name], seed, index])
            for index, name in enumerate(PILOTS)
            if name not in LOOKING_AHEAD
        }
        self._common, self._action_views, self._airframes_for = common, actions, airframes_for

    def _record_hunter(self, name: str) -> Any:
        """Records the launch of a pilot that looks ahead when it is first asked for: only then its module compiles."""
        from headctl_envs.dogfight.hunters import hunter  # noqa: PLC0415 - a large kernel that most runs do not need
        from headctl_envs.dogfight.lookahead import LOOK_STEP_S  # noqa: PLC0415 - with it

        ahead = self._airframes_for(LOOK_STEP_S)
        self._views = (*self._views, ahead)
        inputs = [*self._common, self._action_views[name], ahead, view_of(self._buffers.wanted), PILOTS.index(name)]
        seats = self.num_games * self.num_seats
        with wp.ScopedLogLevel(wp.LOG_ERROR):
            return wp.launch(hunter, dim=seats, inputs=inputs, device=self._warp_device, record_cmd=True)

    def reset(self, seed: int | None = None) -> Observations:
        """Begins a new episode in every game.

        Args:
            seed: If given, the engine starts over: this seed, episode number 0 everywhere. ``None`` goes on to the next
                episode of the current seed.

        Returns:
            Observations and masks of the first decisions.

        Raises:
            ValueError: If the seed is not a whole number.
        """
        if seed is not None or not self._started:
            self._seed = self._seed if seed is None else whole_number("seed", seed)
            self.state["episode"].fill_(-1)
            self.state["counts"].zero_()
        self._write_scalars()
        self._results["outcome"].zero_()
        self._launch_reset.launch()
        self._started = True
        return Observations(self._results["observation"], self._masks)

    def current(self) -> Observations:
        """Observations and masks of the next decisions, as the last reset or step left them."""
        return Observations(self._results["observation"], self._masks)

    def observe(self) -> Observations:
        """Computes observations, masks and potentials anew, after ``state`` was written by hand."""
        self._launch_observe.launch()
        return Observations(self._results["observation"], self._masks)

    def step(self, actions: Mapping[str, Tensor]) -> GameStep:
        """Flies one decision of every aircraft.

        Args:
            actions: ``maneuver`` and ``weapon`` as integers [N, A], ``params`` as floats [N, A, 3]. Masked or
                impossible choices count as maneuver 0 and weapon ``hold``; residuals are clipped to [-1, 1]; NaN is 0.

        Returns:
            The engine's buffers, valid until the next call.

        Raises:
            RuntimeError: If ``reset`` was never called, or not since a game ended where ``auto_reset`` is false.
            ValueError: If a head is missing, or is no tensor of the right shape and kind of number.
            TypeError: If ``actions`` is no mapping.
        """
        if not isinstance(actions, Mapping):
            raise TypeError(f"actions = {actions!r} is no mapping from heads to tensors")
        if not self._started:
            raise RuntimeError("step() before reset(): call reset() once first")
        out = self._results
        if not self.auto_reset and bool(out["outcome"].any()):
            raise RuntimeError("step() after the end of an episode: call reset() first, or leave auto_reset true")
        for head, buffer in self._actions["step"].items():
            given = actions.get(head)
            if given is None:
                raise ValueError(f"actions lack the head {head!r}; needed: {', '.join(self._actions['step'])}")
            check_action(head, given, buffer)
            buffer.copy_(given)
        self._launch_step.launch()
        out["final_observation"].copy_(out["observation"])
        if self.auto_reset:
            self._launch_renew.launch()
        return GameStep(
            out["observation"],
            self._masks,
            out["reward"],
            out["terminated"],
            out["truncated"],
            out["final_observation"],
            out["alive"],
            out["outcome"],
        )

    @property
    def reward_terms(self) -> Tensor:
        """float32 [N, 5]: parts of red's last reward, in the order of ``REWARD_TERMS``; blue's are the negatives."""
        return self._results["terms"]

    @property
    def tally(self) -> Tensor:
        """float32 [N, A, 8]: stores and use of weapons after the last step, before auto-reset; see ``config.TALLY``."""
        return self._results["tally"]

    @property
    def outcome(self) -> Tensor:
        """int32 [N]: outcome of the last step, an index into ``OUTCOMES``; 0 after a reset."""
        return self._results["outcome"]

    @property
    def alive(self) -> Tensor:
        """Whether the seat was alive when it chose the action of the last step, bool [N, A]."""
        return self._results["alive"]

    @property
    def cause(self) -> Tensor:
        """int32 [N, A]: how the seat's episode ended, an index into ``CAUSES``; 0 while it lives, and for survivors."""
        return self._results["ended_by"]

    @property
    def bytes_per_game(self) -> float:
        """Memory that one game takes, in bytes: state, scratch, masks, results and every pilot's actions."""
        return self._buffers.nbytes / self.num_games

    def pilot_actions(self, name: str, seats: Tensor | None = None) -> dict[str, Tensor]:
        """Actions of a scripted pilot for every seat, from the current state.

        Args:
            name: One of ``pilot_names``.
            seats: bool [N, A]: whose actions are wanted, all if ``None``. Those of others may be anything: the pilots
                that look ahead leave there what they wrote before.

        Returns:
            Tensors as ``step`` takes them; each pilot has buffers of its own, overwritten by its next call.

        Raises:
            ValueError: If there is no such pilot, or ``seats`` has another shape or kind.
        """
        if name in LOOKING_AHEAD and name not in self._launch_pilot:
            self._launch_pilot[name] = self._record_hunter(name)
        launch = self._launch_pilot.get(name)
        if launch is None:
            close = get_close_matches(str(name), PILOTS, n=1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"unknown pilot: {name!r}.{meant} Allowed: {', '.join(PILOTS)}")
        wanted = self._buffers.wanted
        if seats is None:
            wanted.fill_(True)
        elif seats.shape != wanted.shape or seats.dtype != torch.bool:
            raise ValueError(f"seats: needed bool {list(wanted.shape)}, got {seats.dtype} {list(seats.shape)}")
        else:
            wanted.copy_(seats)
        launch.launch()
        return self._actions[name]

    def set_progress(self, progress: float) -> None:
        """Tells the engine which share of the training is done; the shaping weight follows.

        Raises:
            ValueError: If it is not a finite number.
        """
        self._progress = share("progress", progress)
        self._write_scalars()

    def pop_statistics(self) -> dict[str, float]:
        """Means since the last call; keys and meanings in ``config.STATISTICS``. One transfer from the device."""
        sums = self.state["counts"].sum(dim=0, dtype=torch.float64)
        self.state["counts"].zero_()
        counts = sums if self._total is None else self._total(sums)
        return statistics_of(counts.tolist(), self.num_seats)

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides how the games go on, as plain tensors on the CPU and numbers."""
        tensors = {**self.state, **{f"mask_{head}": mask for head, mask in self._masks.items()}}
        return {
            "version": STATE_VERSION,
            "seed": self._seed,
            "progress": self._progress,
            "started": self._started,
            "observation": self._results["observation"].detach().cpu().clone(),
            "tensors": {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what :meth:`state_dict` returned; the games go on exactly as they would have.

        Raises:
            ValueError: If the state is of another version, or of another number of games or choices.
        """
        if state.get("version") != STATE_VERSION:
            raise ValueError(
                f"state of version {state.get('version')!r} of the dogfight, this engine reads {STATE_VERSION}: "
                f"{OTHER_VERSIONS.get(state.get('version'), 'use the version of headctl that wrote it')}"
            )
        tensors = {**self.state, **{f"mask_{head}": mask for head, mask in self._masks.items()}}
        stored = stored_tensors(state, tensors)
        for name, tensor in tensors.items():
            tensor.copy_(stored[name])
        self._results["observation"].copy_(state["observation"])
        self._seed = int(state["seed"])
        self._progress = float(state["progress"])
        self._started = bool(state["started"])
        self._write_scalars()

    def _write_scalars(self) -> None:
        """Hands the seed and the shaping weight to the kernels."""
        folded = (self._seed ^ (self._seed >> 32)) & 0xFFFFFFFF
        self._buffers.seed.fill_(folded - (1 << 32) if folded >= 1 << 31 else folded)
        self._buffers.weight.fill_(self.config.shaping_weight_at(self._progress))
