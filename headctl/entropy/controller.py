"""The product's kernel: one object that holds every head's entropy on its target.

Shapes: B samples, H heads (in the order in which they were given to the constructor).
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from headctl.entropy.laws import Bounds, proportional_integral
from headctl.entropy.monitor import HeadMonitor, Update
from headctl.entropy.schedules import Clock, parse_schedule
from headctl.entropy.spec import HeadSpec, HeadSpecError, parse_head
from headctl.entropy.status import HeadStatus
from headctl.entropy.targets import fraction_to_nats
from headctl.messages import unknown_name

HeadValues = Mapping[str, Tensor] | Tensor
"""Per-head values: a mapping from head to ``[B]``, or all heads packed as ``[B, H]``."""

_STATE_VERSION = 1
# Below this share of active rows the bonus of a head fades, so that a few rows never carry a whole batch's weight.
_RARE_SHARE = 0.02


class MultiHeadEntropyController:
    """A learned temperature and a target entropy for every action head of a policy.

    Use, in any trainer::

        controller = MultiHeadEntropyController({"maneuver": 0.5, "weapon": {"target": 0.3}})
        loss = policy_loss + value_loss - controller.bonus(entropy, weight=weight)
        ...  # backward, optimiser step
        controller.observe(entropy, capacity=capacity, weight=weight)
        controller.step(progress=0.25)

    For a head with entropies ``H_i``, capacities ``C_i`` and weights ``w_i`` the measured value is a ratio of means,
    never a mean of ratios: ``fraction = (sum w H - floor sum w) / (sum w C - floor sum w)``, where ``floor`` is 0 for
    a discrete head and the entropy at the smallest scales for a continuous one. Alpha rises if and only if the fraction
    lies below the target.

    All heads live in one vector. :meth:`bonus`, :meth:`observe` and :meth:`step` read nothing back to the host;
    :meth:`metrics` does so once.

    Attributes:
        heads: Names of the heads, in the order of the columns of packed tensors.
        specs: The complete description of each head.
        log_alpha: The learned temperatures, float32 ``[H]``.
        alpha: The coefficients in force, float32 ``[H]``: ``exp(log_alpha)`` plus the damping term, bounded.
    """

    def __init__(
        self, heads: Mapping[str, float | Mapping[str, Any] | HeadSpec], *, device: torch.device | str = "cpu"
    ) -> None:
        """Creates a controller.

        Args:
            heads: Head name to target (a number) or to a mapping with the keys of
                :data:`headctl.entropy.spec.HEAD_KEYS`.
            device: Where the state lives; the device of the entropies.

        Raises:
            HeadSpecError: A key, value or combination that cannot be used, in one line that names it.
        """
        if not heads:
            raise HeadSpecError("heads: at least one head is needed, got none")
        self.specs: dict[str, HeadSpec] = {str(name): parse_head(str(name), value) for name, value in heads.items()}
        self.heads: tuple[str, ...] = tuple(self.specs)
        self._clock = Clock()
        self._reading: dict[str, float] = {}
        self._skipped = 0.0
        self._place(torch.device(device))

    def _place(self, device: torch.device) -> None:
        """Makes the vectors: constants from the specs, state at its beginning."""
        specs = list(self.specs.values())

        def vector(values: list[float]) -> Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device)

        # A fixed head is a loop without gains and without limits.
        moves = [spec.law != "fixed" for spec in specs]
        self._gain_proportional = vector([m * s.gain_proportional for m, s in zip(moves, specs, strict=True)])
        self._gain_integral = vector([m * s.gain_integral for m, s in zip(moves, specs, strict=True)])
        self._bounds = Bounds(
            alpha_min=vector([s.alpha_min for s in specs]),
            alpha_max=vector([s.alpha_max for s in specs]),
            log_alpha_min=vector([s.log_alpha_min if m else -math.inf for m, s in zip(moves, specs, strict=True)]),
            log_alpha_max=vector([math.log(s.alpha_max) if m else math.inf for m, s in zip(moves, specs, strict=True)]),
        )
        self._floor = vector([s.entropy_floor for s in specs])
        self._unsized = [s.name for s in specs if s.entropy_capacity is None]
        self._capacity = vector([math.nan if s.entropy_capacity is None else s.entropy_capacity for s in specs])
        self.alpha = vector([s.alpha_init for s in specs])
        self.log_alpha = self.alpha.log()
        self._sums = torch.zeros(4, len(specs), device=device)
        self._monitor = HeadMonitor(self._bounds.alpha_min, torch.tensor(moves, device=device))
        self._targets: list[float] = []
        self._target = self.alpha
        self._refresh_targets()

    @property
    def device(self) -> torch.device:
        """Where the state lives."""
        return self.alpha.device

    # The loss and the measurement -----------------------------------------------------------------------------------

    def bonus(self, entropy: HeadValues, *, weight: HeadValues | None = None) -> Tensor:
        """Returns the entropy bonus to subtract from a loss (or to add to an objective).

        ``sum_h alpha_h * sum_i(w H) / max(sum_i w, 0.02 B)``: the mean over the rows where the head is active, so that
        neither the batch size, nor padding, nor the rarity of a head changes the loop's gain. Alpha is in units of
        standardised advantage per nat: normalise the advantages.

        Args:
            entropy: Differentiable entropies in nats, ``[B]`` per head or packed ``[B, H]``.
            weight: 1 where the head had a real choice that mattered, else 0; same shapes. ``None``: 1 everywhere.

        Returns:
            A scalar tensor. The gradient reaches ``entropy`` only. A head whose mean is not finite adds nothing.

        Raises:
            ValueError: Heads missing or unknown, or shapes that do not fit.
        """
        entropies = self._packed("entropy", entropy)
        rows = entropies.shape[0]
        if weight is None:
            means = entropies.mean(0)
        else:
            weights = self._packed("weight", weight, like=entropies)
            sums = torch.where(weights > 0, entropies * weights, 0.0).sum(0)
            means = sums / weights.sum(0).clamp(min=_RARE_SHARE * rows)
        return (self.alpha * torch.where(torch.isfinite(means), means, 0.0)).sum()

    @torch.no_grad()
    def observe(
        self, entropy: HeadValues, *, capacity: HeadValues | None = None, weight: HeadValues | None = None
    ) -> None:
        """Adds a batch to what the next :meth:`step` will see. Stays on the device.

        Args:
            entropy: Entropies in nats, ``[B]`` per head or packed ``[B, H]``.
            capacity: The entropy that the head could reach in each row (``log`` of the number of legal actions); same
                shapes. ``None``: the constant that follows from ``choices`` or from the scale bounds.
            weight: 1 where the head had a real choice that mattered, else 0; same shapes. ``None``: 1 everywhere.

        Raises:
            ValueError: Heads missing or unknown, shapes that do not fit, or no capacity for a head of unknown size.
        """
        entropies = self._packed("entropy", entropy)
        rows = entropies.shape[0]
        if capacity is None:
            if self._unsized:
                raise ValueError(
                    f"capacity: missing, and head {self._unsized[0]!r} has no `choices` to derive it from; "
                    "pass log(number of legal actions) per row, or give the head its number of choices"
                )
            capacities = self._capacity.expand_as(entropies)
        else:
            capacities = self._packed("capacity", capacity, like=entropies)
        if weight is None:
            added = torch.stack((entropies.sum(0), capacities.sum(0), torch.full_like(self.alpha, rows)))
        else:
            weights = self._packed("weight", weight, like=entropies)
            active = weights > 0
            added = torch.stack(
                (
                    torch.where(active, entropies * weights, 0.0).sum(0),
                    torch.where(active, capacities * weights, 0.0).sum(0),
                    weights.sum(0),
                )
            )
        self._sums[:3] += added
        self._sums[3] += rows

    @torch.no_grad()
    def step(
        self,
        entropy: HeadValues | None = None,
        *,
        capacity: HeadValues | None = None,
        weight: HeadValues | None = None,
        progress: float | None = None,
        agent_steps: float | None = None,
        iterations: float | None = None,
    ) -> None:
        """Moves every temperature once by what was observed since the last call. Stays on the device.

        A head without an active row, or with a statistic that is not finite, keeps all of its state.

        Args:
            entropy: Observed first, where given: the short form of :meth:`observe` and :meth:`step`.
            capacity: As in :meth:`observe`.
            weight: As in :meth:`observe`.
            progress: Share of the training that is done, in [0, 1]: the clock of schedules. ``None`` leaves it.
            agent_steps: The clock in agent-steps. ``None`` leaves it.
            iterations: The clock in iterations. ``None`` leaves it.

        Raises:
            ValueError: As :meth:`observe`; or a progress outside [0, 1].
        """
        if entropy is not None:
            self.observe(entropy, capacity=capacity, weight=weight)
        self._set_clock(progress=progress, agent_steps=agent_steps, iterations=iterations)
        sums, self._sums = self._sums, torch.zeros_like(self._sums)
        entropy_sum, capacity_sum, weight_sum, _ = sums
        floor_sum = self._floor * weight_sum
        span = capacity_sum - floor_sum
        fraction = (entropy_sum - floor_sum) / span
        broken = ~torch.isfinite(sums).all(0)
        inactive = ~broken & (span <= 0)
        difference = self._target - fraction
        measured = torch.isfinite(difference) & ~inactive
        error = torch.where(measured, difference, 0.0)
        moved = proportional_integral(self.log_alpha, error, self._gain_proportional, self._gain_integral, self._bounds)
        self.log_alpha = moved.log_alpha
        self.alpha = torch.where(measured, moved.alpha, self.alpha)
        self._monitor.record(
            Update(sums, fraction, error, inactive, broken, self.alpha, moved.at_upper, moved.at_lower)
        )

    # Targets --------------------------------------------------------------------------------------------------------

    def set_target(self, head: str, target: float | Mapping[str, Any]) -> None:
        """Gives a head another target from now on, a number or a schedule.

        Raises:
            ValueError: An unknown head, a head of law ``fixed``, or a target that cannot be used.
        """
        if head not in self.specs:
            raise ValueError(unknown_name("head", head, self.heads))
        spec = self.specs[head]
        if spec.law == "fixed":
            raise ValueError(f"heads.{head}.target: law fixed keeps alpha at {spec.alpha_init:g} and has no target")
        self.specs[head] = parse_head(head, spec.to_mapping() | {"target": target})
        self._refresh_targets()

    def targets(self) -> dict[str, float]:
        """Returns the target fraction in force of every head that has one."""
        return {name: spec.target.value(self._clock) for name, spec in self.specs.items() if spec.target is not None}

    def _set_clock(self, **readings: float | None) -> None:
        given = {name: float(reading) for name, reading in readings.items() if reading is not None}
        if not 0.0 <= given.get("progress", 0.0) <= 1.0:
            raise ValueError(f"progress: the share of training that is done lies in [0, 1], got {given['progress']:g}")
        for name, reading in given.items():
            if not 0.0 <= reading < math.inf:
                raise ValueError(f"{name}: must be a finite number of at least 0, got {reading:g}")
        clock = replace(self._clock, **given)
        if clock != self._clock:
            self._clock = clock
            self._refresh_targets()

    def _refresh_targets(self) -> None:
        """Evaluates the schedules on the host and sends them over only where a value has changed."""
        now = self.targets()
        targets = [now.get(name, math.nan) for name in self.heads]
        if targets != self._targets:
            self._targets = targets
            self._target = torch.tensor(targets, dtype=torch.float32, device=self.device)

    # What people and checkpoints read -------------------------------------------------------------------------------

    def metrics(self) -> dict[str, float]:
        """Returns what every head did since the last call: means over the updates, in one transfer.

        Keys are ``heads/<head>/<name>`` with the names ``alpha`` (mean), ``log_alpha``, ``entropy`` (nats),
        ``target_entropy`` (nats), ``capacity`` (nats), ``fraction``, ``target_fraction``, ``error`` (target minus
        fraction), ``status`` (a :class:`~headctl.entropy.status.HeadStatus`), ``weight`` (share of active rows) and
        ``skipped`` (updates with a statistic that was not finite). NaN where there is nothing to say. A call without an
        update since the last one returns the same again.
        """
        reading = self._monitor.read(self.log_alpha)
        if reading is None:
            return dict(self._reading)
        skipped_before = self._skipped
        targets = self.targets()
        metrics: dict[str, float] = {}
        for column, (name, spec) in enumerate(self.specs.items()):
            entropy, capacity = reading.entropy[column], reading.capacity[column]
            floor, target = spec.entropy_floor, targets.get(name, math.nan)
            span = capacity - floor
            fraction = (entropy - floor) / span if span > 0 else math.nan
            values = {
                "alpha": reading.alpha[column],
                "log_alpha": reading.log_alpha[column],
                "entropy": entropy,
                "target_entropy": fraction_to_nats(target, floor, capacity),
                "capacity": capacity,
                "fraction": fraction,
                "target_fraction": target,
                "error": target - fraction,
                "status": HeadStatus(int(reading.status[column])),
                "weight": reading.weight[column],
                "skipped": reading.skipped[column],
            }
            metrics |= {f"heads/{name}/{key}": value for key, value in values.items()}
            self._skipped += reading.skipped[column]
        if self._skipped > 0 and skipped_before == 0:
            warnings.warn(
                "an entropy, capacity or weight was not finite: the controller skipped the update and held its state; "
                "metrics() counts these as heads/<head>/skipped",
                RuntimeWarning,
                stacklevel=2,
            )
        self._reading = metrics
        return dict(metrics)

    def status_shares(self) -> dict[str, dict[str, float]]:
        """Returns, per head, the share of all updates so far that it spent in each status (by name)."""
        counts = self._monitor.status_updates
        shares = (counts / counts.sum(0).clamp(min=1.0)).T.tolist()
        return {
            name: {status.name: share for status, share in zip(HeadStatus, row, strict=True)}
            for name, row in zip(self.heads, shares, strict=True)
        }

    def state_dict(self) -> dict[str, Any]:
        """Returns everything that a bit-exact resume needs, as plain data: tensors, numbers, strings, lists, dicts."""
        return {
            "version": _STATE_VERSION,
            "heads": list(self.heads),
            "log_alpha": self.log_alpha.clone(),
            "alpha": self.alpha.clone(),
            "sums": self._sums.clone(),
            "monitor": self._monitor.state_dict(),
            "clock": asdict(self._clock),
            "targets": {name: spec.target.to_value() for name, spec in self.specs.items() if spec.target is not None},
            "reading": {key: float(value) for key, value in self._reading.items()},
            "skipped": self._skipped,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over a state of the same heads.

        Targets and schedules are part of the state: what :meth:`set_target` changed is restored. Laws, gains and bounds
        are those of this controller.

        Raises:
            ValueError: A state of other heads, of another order, or of another version; nothing is changed then.
        """
        if state.get("version") != _STATE_VERSION:
            raise ValueError(f"version: expected a state of version {_STATE_VERSION}, got {state.get('version')!r}")
        if list(state["heads"]) != list(self.heads):
            raise ValueError(f"heads: the state is of {list(state['heads'])}, this controller has {list(self.heads)}")
        targets = {name: parse_schedule(value) for name, value in state["targets"].items()}
        if set(targets) != {name for name, spec in self.specs.items() if spec.target is not None}:
            raise ValueError(f"targets: the state has targets for {sorted(targets)}, this controller's laws differ")
        self.specs = {
            name: replace(spec, target=targets[name]) if name in targets else spec for name, spec in self.specs.items()
        }
        self._clock = Clock(**state["clock"])
        self.log_alpha = state["log_alpha"].to(self.device).clone()
        self.alpha = state["alpha"].to(self.device).clone()
        self._sums = state["sums"].to(self.device).clone()
        self._monitor.load_state_dict(state["monitor"])
        self._reading = {
            key: HeadStatus(int(value)) if key.endswith("/status") else value for key, value in state["reading"].items()
        }
        self._skipped = state["skipped"]
        self._refresh_targets()

    # Shapes ---------------------------------------------------------------------------------------------------------

    def _packed(self, argument: str, values: HeadValues, like: Tensor | None = None) -> Tensor:
        """Returns per-head values as float ``[B, H]``, checked.

        Args:
            argument: The caller's argument, for messages.
            values: A mapping from head to ``[B]``, or ``[B, H]``.
            like: The packed entropies; the result must have their shape.
        """
        if isinstance(values, Tensor):
            if values.ndim != 2 or values.shape[1] != len(self.heads):
                raise ValueError(
                    f"{argument}: expected [B, {len(self.heads)}] with a column per head {list(self.heads)}, "
                    f"got shape {list(values.shape)}"
                )
            packed = values
        else:
            packed = self._stacked(argument, values)
        if like is not None and packed.shape != like.shape:
            raise ValueError(
                f"{argument}: expected the shape of the entropies {list(like.shape)}, got {list(packed.shape)}"
            )
        return packed if packed.dtype == torch.float32 else packed.float()

    def _stacked(self, argument: str, values: Mapping[str, Tensor]) -> Tensor:
        for name in values:
            if name not in self.specs:
                raise ValueError(f"{argument}: {unknown_name('head', name, self.heads)}")
        missing = [name for name in self.heads if name not in values]
        if missing:
            raise ValueError(
                f"{argument}: no values for head {missing[0]!r}; every call needs all of {list(self.heads)}"
            )
        columns = [values[name] for name in self.heads]
        shape = columns[0].shape
        for name, column in zip(self.heads, columns, strict=True):
            if column.ndim != 1 or column.shape != shape:
                raise ValueError(
                    f"{argument}: expected one value per sample, shape [B], for every head; "
                    f"head {name!r} has {list(column.shape)}, head {self.heads[0]!r} has {list(shape)}"
                )
        return torch.stack([column.float() for column in columns], dim=1)
