"""Schedules: a value (mostly a target) as a function of an explicit clock.

Written in YAML or as a Python mapping, for example ``{schedule: linear, start: 0.8, end: 0.3, until: 0.7}``, which
:mod:`headctl.entropy.schedule_parser` reads; a plain number is a constant. Free of torch: a schedule is evaluated on
the host, once per change of the clock.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, ClassVar, Protocol, runtime_checkable

from headctl.messages import unknown_name


class ScheduleError(ValueError):
    """A schedule that cannot be understood. The message starts with the key at fault, if there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Where a training stands. A reading that the caller does not give stays as it was."""

    progress: float = 0.0
    """Share of the training that is done, in [0, 1]."""
    agent_steps: float = 0.0
    """Decisions taken so far by agents that the learner controls."""
    iterations: float = 0.0
    """Rounds of rollout and update completed so far."""
    stage: str | None = None
    """Stage of a curriculum that was entered by hand; ``None``: the first."""
    competence: float = 0.0
    """How far performance has let a target fall, in [0, 1]; kept per head by :mod:`headctl.entropy.performance`."""


CLOCKS = ("progress", "agent_steps", "iterations")


@runtime_checkable
class Schedule(Protocol):
    """A value over time."""

    def value(self, clock: Clock) -> float:
        """Returns the value at ``clock``."""
        ...

    def range(self) -> tuple[float, float]:
        """Returns the smallest and the largest value that the schedule ever takes."""
        ...

    def to_value(self) -> float | dict[str, Any]:
        """Returns the plain form that :func:`parse_schedule` reads back."""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """The same value at all times."""

    constant: float

    def value(self, clock: Clock) -> float:  # noqa: ARG002 - every schedule is asked with a clock
        """Returns the constant."""
        return self.constant

    def range(self) -> tuple[float, float]:
        """Returns the constant twice."""
        return self.constant, self.constant

    def to_value(self) -> float:
        """Returns the constant."""
        return self.constant


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """From ``start`` to ``end`` between the clock readings ``after`` and ``until``; constant before and behind."""

    name: ClassVar[str]

    start: float
    end: float
    after: float = 0.0
    until: float = 1.0
    clock: str = "progress"

    def __post_init__(self) -> None:
        if self.clock not in CLOCKS:
            raise ScheduleError(f"clock: {unknown_name('clock', self.clock, CLOCKS)}")
        if self.until <= self.after:
            raise ScheduleError(f"until: must lie after `after`, got until {self.until:g} and after {self.after:g}")
        if self.clock == "progress" and (self.after < 0.0 or self.until > 1.0):
            raise ScheduleError(
                f"until: clock progress is the share of training in [0, 1], got after {self.after:g} and until "
                f"{self.until:g}; for other units name another clock (agent_steps, iterations)"
            )

    def value(self, clock: Clock) -> float:
        """Returns the value at ``clock``."""
        reading = getattr(clock, self.clock)
        share = min(max((reading - self.after) / (self.until - self.after), 0.0), 1.0)
        # The ends are returned as they were written, not as a rounded interpolation.
        if share == 0.0:
            return self.start
        return self.end if share == 1.0 else self._between(share)

    def _between(self, share: float) -> float:
        raise NotImplementedError

    def range(self) -> tuple[float, float]:
        """Returns the smaller and the larger of the two ends."""
        return min(self.start, self.end), max(self.start, self.end)

    def to_value(self) -> dict[str, Any]:
        """Returns the mapping that describes this ramp."""
        return {"schedule": self.name} | {field.name: getattr(self, field.name) for field in fields(self)}


class Linear(Ramp):
    """Straight line from start to end."""

    name = "linear"

    def _between(self, share: float) -> float:
        return self.start + (self.end - self.start) * share


class Cosine(Ramp):
    """Half a cosine wave from start to end: slow at both ends (Loshchilov & Hutter 2017, eq. 5, without restarts)."""

    name = "cosine"

    def _between(self, share: float) -> float:
        return self.end + (self.start - self.end) * 0.5 * (1.0 + math.cos(math.pi * share))


class Exponential(Ramp):
    """The same factor per unit of time, from start to end; both must be positive."""

    name = "exponential"

    def __post_init__(self) -> None:
        Ramp.__post_init__(self)
        for key in ("start", "end"):
            if getattr(self, key) <= 0.0:
                raise ScheduleError(f"{key}: an exponential schedule needs positive values, got {getattr(self, key):g}")

    def _between(self, share: float) -> float:
        return self.start * (self.end / self.start) ** share


@dataclass(frozen=True, slots=True, kw_only=True)
class Piecewise:
    """Straight lines through points (clock, value); constant before the first and behind the last.

    With ``jump`` the value stays that of the point before until the next point is reached.
    """

    points: tuple[tuple[float, float], ...]
    clock: str = "progress"
    jump: bool = False

    def __post_init__(self) -> None:
        if self.clock not in CLOCKS:
            raise ScheduleError(f"clock: {unknown_name('clock', self.clock, CLOCKS)}")
        times = [time for time, _ in self.points]
        if not times or any(late <= early for early, late in pairwise(times)):
            raise ScheduleError(f"points: need one or more with rising times, got {[list(p) for p in self.points]}")
        if self.clock == "progress" and not (times[0] >= 0.0 and times[-1] <= 1.0):
            raise ScheduleError(f"points: clock progress is the share of training in [0, 1], got times {times}")

    def value(self, clock: Clock) -> float:
        """Returns the value at ``clock``."""
        reading = getattr(clock, self.clock)
        following = bisect_right([time for time, _ in self.points], reading)
        if following == 0:
            return self.points[0][1]
        time, value = self.points[following - 1]
        if self.jump or following == len(self.points):
            return value
        next_time, next_value = self.points[following]
        return value + (next_value - value) * (reading - time) / (next_time - time)

    def range(self) -> tuple[float, float]:
        """Returns the smallest and the largest value of the points."""
        values = [value for _, value in self.points]
        return min(values), max(values)

    def to_value(self) -> dict[str, Any]:
        """Returns the mapping that describes these points."""
        if not self.jump:
            return {"schedule": "piecewise", "points": [list(point) for point in self.points], "clock": self.clock}
        times, values = zip(*self.points, strict=True)
        return {"schedule": "steps", "values": list(values), "at": list(times[1:]), "clock": self.clock}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """One value per named stage of a curriculum, moved by hand (``enter_stage``) or by progress.

    Attributes:
        stages: Value of each stage, in the order of the curriculum.
        at: Progress at which every stage after the first begins; empty where stages are only entered by hand.
    """

    stages: tuple[tuple[str, float], ...]
    at: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.stages:
            raise ScheduleError("stages: at least one stage is needed, got none")
        if self.at and len(self.at) != len(self.stages) - 1:
            raise ScheduleError(
                f"at: each stage after the first needs its beginning, {len(self.stages) - 1} in all; got {len(self.at)}"
            )
        if any(late <= early for early, late in pairwise((0.0, *self.at))) or any(time > 1.0 for time in self.at):
            raise ScheduleError(f"at: beginnings rise and lie in (0, 1], got {list(self.at)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the stages."""
        return tuple(name for name, _ in self.stages)

    def value(self, clock: Clock) -> float:
        """Returns the value of the stage that was entered last; without one, of the stage that progress is in."""
        named = dict(self.stages)
        if clock.stage in named:
            return named[clock.stage]
        return self.stages[bisect_right(self.at, clock.progress)][1]

    def range(self) -> tuple[float, float]:
        """Returns the smallest and the largest value of the stages."""
        values = [value for _, value in self.stages]
        return min(values), max(values)

    def to_value(self) -> dict[str, Any]:
        """Returns the mapping that describes these stages."""
        mapping: dict[str, Any] = {"schedule": "stages", "stages": dict(self.stages)}
        return mapping | ({"at": list(self.at)} if self.at else {})
