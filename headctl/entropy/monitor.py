"""The books of the controller: means for the log, and the status of every head.

Shapes: H heads. The books live on the device of the controller and are read once, by :meth:`HeadMonitor.read`.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from headctl.entropy.status import HeadStatus

ERROR_TOLERANCE = 0.02
"""A fraction error below this is measurement noise, not a missed target."""
COLLAPSED_FRACTION = 0.02
"""Below this fraction a head counts as deterministic."""
PATIENCE = 32
"""Consecutive updates in one condition before the status says so."""

_CONDITIONS = (HeadStatus.SLACK, HeadStatus.SATURATED, HeadStatus.COLLAPSED)
_BOOKS = ("window", "streaks", "status", "status_updates")


class Update(NamedTuple):
    """What one control update knew and did. Vectors are ``[H]``."""

    sums: Tensor
    """``[4, H]``: weighted entropies, weighted capacities, weights, rows."""
    fraction: Tensor
    error: Tensor
    inactive: Tensor
    """bool: no row in which the head had a choice."""
    broken: Tensor
    """bool: a statistic was not finite, the update was skipped."""
    beyond: Tensor
    """bool: the target was more than the head could reach in these states."""
    alpha: Tensor
    at_upper: Tensor
    at_lower: Tensor


class Reading(NamedTuple):
    """Means over the updates since the last reading, one number per head; NaN where there is nothing to say."""

    entropy: list[float]
    capacity: list[float]
    weight: list[float]
    alpha: list[float]
    log_alpha: list[float]
    skipped: list[float]
    status: list[float]
    beyond: list[float]
    """Share of updates with a target that the head could not reach."""


class HeadMonitor:
    """Accumulates updates into means and statuses, without reading anything back."""

    def __init__(self, alpha_min: Tensor, has_target: Tensor) -> None:
        """Creates empty books.

        Args:
            alpha_min: Lower bounds of alpha ``[H]``; where negative, the head also presses down.
            has_target: bool ``[H]``.
        """
        heads, device = alpha_min.shape[0], alpha_min.device
        self._signed = alpha_min < 0
        self._codes = torch.tensor([[float(code)] for code in _CONDITIONS], device=device)
        self._usual = torch.where(has_target, float(HeadStatus.TRACKING), float(HeadStatus.FIXED))
        self.window = torch.zeros(8, heads, device=device)
        self.streaks = torch.zeros(len(_CONDITIONS), heads, device=device)
        self.status = self._usual.clone()
        self.status_updates = torch.zeros(len(HeadStatus), heads, device=device)

    def record(self, update: Update) -> None:
        """Enters one control update."""
        one = torch.ones_like(update.error)
        self.window[:4] += torch.where(update.broken, 0.0, update.sums)
        self.window[4:] += torch.stack((update.alpha, update.broken, update.beyond, one))
        self._settle(update)
        self.status_updates.scatter_add_(0, self.status.long().unsqueeze(0), one.unsqueeze(0))

    def _settle(self, update: Update) -> None:
        """Derives the status: the gravest condition that has lasted, else the usual one."""
        missed = update.error.abs() > ERROR_TOLERANCE
        resting = update.at_lower & missed
        conditions = torch.stack(
            (
                resting & ~self._signed,
                (update.at_upper & missed) | (resting & self._signed),
                (update.fraction < COLLAPSED_FRACTION) & (update.error > ERROR_TOLERANCE),
            )
        )
        self.streaks = (self.streaks + 1.0) * conditions
        gravest = ((self.streaks >= PATIENCE) * self._codes).amax(0)
        active = torch.where(gravest > 0, gravest, self._usual)
        self.status = torch.where(update.inactive, float(HeadStatus.INACTIVE), active)

    def read(self, log_alpha: Tensor) -> Reading | None:
        """Returns the means since the last reading and begins a new window; ``None`` if nothing was entered since."""
        entropy, capacity, weight, rows, alpha, skipped, beyond, updates = self.window
        means = (entropy / weight, capacity / weight, weight / rows, alpha / updates)
        *columns, counted = torch.stack((*means, log_alpha, skipped, self.status, beyond / updates, updates)).tolist()
        if counted[0] == 0:
            return None
        self.window.zero_()
        return Reading(*columns)

    def state_dict(self) -> dict[str, Tensor]:
        """Returns copies of the books."""
        return {name: getattr(self, name).clone() for name in _BOOKS}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Takes over books of the same heads."""
        for name in _BOOKS:
            setattr(self, name, state[name].to(self.window.device).clone())
