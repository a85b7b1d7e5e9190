"""The schedule ``performance``: a target that falls as the agent gets better, and may rise again when it does not.

What people do by hand in league training (lower the entropy once the win rate stops improving), as a rule with a state.
The state is a *competence* in [0, 1]: 0 is the target's ``start``, 1 its ``end``. Free of torch.
"""

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from headctl.entropy.schedules import Clock, ScheduleError
from headctl.messages import unknown_name

RULES = ("level", "plateau")


@dataclass(frozen=True, slots=True)
class Competence:
    """Where a head stands between the start and the end of its performance schedule.

    Attributes:
        share: Competence in [0, 1].
        best: Best report since the last rise or re-heat.
        stale: Reports since ``best``.
    """

    share: float = 0.0
    best: float = -math.inf
    stale: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """A target between ``start`` and ``end``, moved by reports of a metric.

    Rule ``level``: competence follows the metric between ``low`` and ``high``, a share ``rate`` of the way per report.
    Rule ``plateau``: competence rises by ``rate`` whenever ``patience`` reports in a row brought no improvement by
    ``threshold``. Without ``reheat`` competence never falls; with it, it follows the metric down again (``level``),
    falls by ``rate`` when the metric drops by ``drop`` below its best (``plateau``), and falls to a share ``keep`` of
    itself whenever the pool of opponents changes.
    """

    start: float
    end: float
    metric: str = "win_rate"
    rule: str = "level"
    low: float = 0.5
    high: float = 0.9
    rate: float = 0.2
    patience: int = 10
    threshold: float = 0.01
    reheat: bool = False
    drop: float = 0.1
    keep: float = 0.5

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ScheduleError(f"rule: {unknown_name('rule of a performance schedule', self.rule, RULES)}")
        if self.low >= self.high:
            raise ScheduleError(f"high: must be above low, got low {self.low:g} and high {self.high:g}")
        for key in ("rate", "keep"):
            if not 0.0 <= getattr(self, key) <= 1.0:
                raise ScheduleError(f"{key}: must be in [0, 1], got {getattr(self, key):g}")
        for key in ("threshold", "drop"):
            if getattr(self, key) < 0.0:
                raise ScheduleError(f"{key}: must be at least 0, got {getattr(self, key):g}")
        if self.patience < 1 or self.patience != int(self.patience):
            raise ScheduleError(f"patience: must be a whole number of at least 1, got {self.patience:g}")

    def value(self, clock: Clock) -> float:
        """Returns the value at the competence of ``clock``."""
        return self.start + (self.end - self.start) * clock.competence

    def range(self) -> tuple[float, float]:
        """Returns the smaller and the larger of the two ends."""
        return min(self.start, self.end), max(self.start, self.end)

    def to_value(self) -> dict[str, Any]:
        """Returns the mapping that describes this schedule."""
        return {"schedule": "performance"} | asdict(self)

    def reported(self, state: Competence, metric: float) -> Competence:
        """Returns the competence after a report; a report that is not finite says nothing."""
        if not math.isfinite(metric):
            return state
        return self._level(state, metric) if self.rule == "level" else self._plateau(state, metric)

    def _level(self, state: Competence, metric: float) -> Competence:
        wanted = min(max((metric - self.low) / (self.high - self.low), 0.0), 1.0)
        moved = state.share + self.rate * (wanted - state.share)
        return replace(state, share=moved if self.reheat else max(state.share, moved))

    def _plateau(self, state: Competence, metric: float) -> Competence:
        if self.reheat and metric < state.best - self.drop:
            return Competence(share=max(state.share - self.rate, 0.0), best=metric)
        if metric > state.best + self.threshold:
            return replace(state, best=metric, stale=0)
        if state.stale + 1 < self.patience:
            return replace(state, stale=state.stale + 1)
        return Competence(share=min(state.share + self.rate, 1.0), best=state.best)

    def opponents_changed(self, state: Competence) -> Competence:
        """Returns the competence after the pool of opponents has changed: what was best says nothing any more."""
        return Competence(share=state.share * self.keep) if self.reheat else replace(state, best=-math.inf, stale=0)


PERFORMANCE_OPTIONS = tuple(field.name for field in fields(Performance) if field.name not in {"start", "end"})
