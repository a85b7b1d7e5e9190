"""The books of the controller: means for the log, and the status of every head.

Shapes: H heads. Sums live on the device of the controller; :meth:`HeadMonitor.read` transfers them once and draws the
conclusions on the host.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import torch
from torch import Tensor

from headctl.entropy.laws import LawStep
from headctl.entropy.status import HeadStatus

ERROR_TOLERANCE = 0.02
"""A fraction error below this is measurement noise, not a missed target."""
COLLAPSED_FRACTION = 0.02
"""Below this fraction a head counts as deterministic."""
PATIENCE = 32
"""Consecutive updates in one condition before the status says so."""
_AT_ONCE = 64
"""Updates that are kept before they are added up."""


@dataclass(slots=True)
class Window:
    """What one head did since the last reading: sums over rows and updates."""

    entropy: float
    """Weighted entropies, nats."""
    capacity: float
    """Weighted capacities, nats."""
    weight: float
    rows: float
    alpha: float
    low: float
    """Updates with alpha held at its lower bound."""
    high: float
    """Updates with alpha held at its upper bound."""
    skipped: float
    """Updates that met a statistic that is not finite."""
    beyond: float
    """Updates with a target that the head could not reach."""
    updates: float

    def fraction(self, floor: float) -> float:
        """Returns the share of the head's range that was in use; NaN where there was no range."""
        span = self.capacity - floor * self.weight
        return (self.entropy - floor * self.weight) / span if span > 0.0 else math.nan

    def per_row(self, total: float) -> float:
        """Returns a mean over active rows; NaN without any."""
        return total / self.weight if self.weight > 0.0 else math.nan


class StatusKeeper:
    """Derives a head's status from its windows: the gravest condition that has lasted, else the usual one.

    Attributes:
        collapsed: With hysteresis: true from the status COLLAPSED on until the head has more than half of its target.
    """

    def __init__(self, *, signed: bool, learned: bool) -> None:
        """Begins without a past.

        Args:
            signed: Whether alpha may become negative.
            learned: Whether alpha is learned.
        """
        self._signed, self._learned = signed, learned
        self.streaks: dict[HeadStatus, float] = dict.fromkeys(
            (HeadStatus.SLACK, HeadStatus.SATURATED, HeadStatus.COLLAPSED), 0.0
        )
        self.updates: dict[HeadStatus, float] = dict.fromkeys(HeadStatus, 0.0)
        self.status = HeadStatus.TRACKING if learned else HeadStatus.FIXED
        self.collapsed = False

    def settle(self, window: Window, fraction: float, error: float) -> HeadStatus:
        """Enters a window and returns the status after it.

        Args:
            window: The sums.
            fraction: The fraction in the window; NaN for a head without active rows.
            error: ``target - fraction``; NaN for a head without a target.
        """
        missed = abs(error) > ERROR_TOLERANCE
        low, high = 2.0 * window.low >= window.updates, 2.0 * window.high >= window.updates
        conditions = {
            HeadStatus.SLACK: low and missed and not self._signed,
            HeadStatus.SATURATED: missed and (high or (low and self._signed)),
            HeadStatus.COLLAPSED: fraction < COLLAPSED_FRACTION and error > ERROR_TOLERANCE,
        }
        for status, holds in conditions.items():
            self.streaks[status] = self.streaks[status] + window.updates if holds else 0.0
        lasting = [status for status, updates in self.streaks.items() if updates >= PATIENCE]
        if math.isnan(fraction):
            self.status = HeadStatus.INACTIVE
        elif not self._learned:
            self.status = HeadStatus.FIXED
        else:
            self.status = max(lasting, default=HeadStatus.TRACKING)
        if self.status is HeadStatus.COLLAPSED:
            self.collapsed = True
        elif fraction > error:  # more than half of the target, which is their sum
            self.collapsed = False
        self.updates[self.status] += window.updates
        return self.status

    def can_have(self, status: HeadStatus) -> bool:
        """Returns whether a head of this law and mode can ever be told to have a status."""
        if not self._learned:
            return status in (HeadStatus.INACTIVE, HeadStatus.FIXED)
        return status is not HeadStatus.FIXED and not (self._signed and status is HeadStatus.SLACK)

    def shares(self) -> dict[HeadStatus, float]:
        """Returns the share of all updates so far spent in each status; 0 everywhere before the first."""
        total = sum(self.updates.values()) or 1.0
        return {status: updates / total for status, updates in self.updates.items()}

    def state_dict(self) -> dict[str, Any]:
        """Returns the past as plain data."""
        return {
            "status": int(self.status),
            "collapsed": self.collapsed,
            "streaks": {int(status): updates for status, updates in self.streaks.items()},
            "updates": {int(status): updates for status, updates in self.updates.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over a past."""
        self.status = HeadStatus(state["status"])
        self.collapsed = bool(state["collapsed"])
        self.streaks = {HeadStatus(code): updates for code, updates in state["streaks"].items()}
        self.updates = {HeadStatus(code): updates for code, updates in state["updates"].items()}


class _Update(NamedTuple):
    """What one control update leaves, each ``[H]`` but for the sums; in the order of :class:`Window`."""

    sums: Tensor
    """Weighted entropies, weighted capacities, weights, rows: ``[4, H]``."""
    alpha: Tensor
    low: Tensor
    high: Tensor
    skipped: Tensor
    beyond: Tensor
    counted: Tensor


class HeadMonitor:
    """Keeps updates on the device, and hands over their sums when asked.

    Attributes:
        keepers: The status of every head.
    """

    def __init__(self, *, signed: Sequence[bool], learned: Sequence[bool], device: torch.device) -> None:
        """Creates empty books.

        Args:
            signed: Per head, whether alpha may become negative.
            learned: Per head, whether alpha is learned.
            device: Where the sums live.
        """
        self._zero, self._one = torch.zeros(len(signed), device=device), torch.ones(len(signed), device=device)
        self._never = torch.zeros(len(signed), dtype=torch.bool, device=device)
        self._window = torch.zeros(len(fields(Window)), len(signed), device=device)
        self._kept: list[_Update] = []
        self.keepers = [StatusKeeper(signed=s, learned=k) for s, k in zip(signed, learned, strict=True)]

    def record(
        self,
        sums: Tensor,
        moved: LawStep,
        alpha: Tensor,
        *,
        skipped: Tensor,
        beyond: Tensor | None,
        hold: Tensor | None = None,
    ) -> None:
        """Enters one control update; stays on the device. The tensors are kept, not copied.

        Args:
            sums: Weighted entropies, weighted capacities, weights, rows: ``[4, H]``.
            moved: What the law did.
            alpha: The coefficients in force ``[H]``.
            skipped: bool ``[H]``, the update met a statistic that is not finite.
            beyond: bool ``[H]``, the target was more than the head could reach; ``None``: of no head.
            hold: Where true there was no update, and sums are 0; a bool scalar. ``None``: there was.
        """
        counted = self._one
        if hold is not None:
            counted, alpha = (torch.where(hold, self._zero, entry) for entry in (self._one, alpha))
        beyond = self._never if beyond is None else beyond
        self._kept.append(_Update(sums, alpha, moved.at_lower, moved.at_upper, skipped, beyond, counted))
        if len(self._kept) >= _AT_ONCE or torch.compiler.is_compiling():
            self._add_up()

    def _add_up(self) -> None:
        """Adds the updates kept so far to the window, in their order: few operations for all of them."""
        if not self._kept:
            return
        sums, *rest = (torch.stack(column) for column in zip(*self._kept, strict=True))
        self._kept.clear()
        skipped = rest[_Update._fields.index("skipped") - 1]
        counts = torch.stack([column.to(self._window.dtype) for column in rest], 1)
        for update in torch.cat((torch.where(skipped.unsqueeze(1), self._zero, sums), counts), 1):
            self._window += update

    def read(self) -> list[Window] | None:
        """Returns what every head did since the last reading, and begins anew; ``None`` without an update since."""
        self._add_up()
        windows = [Window(*column) for column in self._window.T.tolist()]
        if windows[0].updates == 0.0:
            return None
        self._window.zero_()
        return windows

    def collapsed(self) -> Tensor:
        """Returns which heads have collapsed and not recovered, bool ``[H]`` on the device."""
        return torch.tensor([keeper.collapsed for keeper in self.keepers], device=self._window.device)

    def state_dict(self) -> dict[str, Any]:
        """Returns the books as plain data."""
        self._add_up()
        return {"sums": self._window.clone(), "keepers": [keeper.state_dict() for keeper in self.keepers]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over books of the same heads."""
        self._kept.clear()
        self._window.copy_(state["sums"])
        for keeper, kept in zip(self.keepers, state["keepers"], strict=True):
            keeper.load_state_dict(kept)
