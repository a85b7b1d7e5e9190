"""Schedules: a value (mostly a target) as a function of an explicit clock.

Written in YAML or as a Python mapping, for example ``{schedule: linear, start: 0.8, end: 0.3, until: 0.7}``; a plain
number is a constant. Free of torch: a schedule is evaluated on the host, once per change of the clock.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
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


CLOCKS = tuple(field.name for field in fields(Clock))


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
class _Ramp:
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


class Linear(_Ramp):
    """Straight line from start to end."""

    name = "linear"

    def _between(self, share: float) -> float:
        return self.start + (self.end - self.start) * share


class Cosine(_Ramp):
    """Half a cosine wave from start to end: slow at both ends (Loshchilov & Hutter 2017, eq. 5, without restarts)."""

    name = "cosine"

    def _between(self, share: float) -> float:
        return self.end + (self.start - self.end) * 0.5 * (1.0 + math.cos(math.pi * share))


def _number(key: str, value: object) -> float:
    """Reads a finite number; PyYAML hands ``3e-4`` over as a string."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ScheduleError(f"{key}: expected a number, got {value!r}")
    try:
        number = float(value)
    except ValueError:
        raise ScheduleError(f"{key}: expected a number, got {value!r}") from None
    if not math.isfinite(number):
        raise ScheduleError(f"{key}: expected a finite number, got {value!r}")
    return number


def _parse_constant(options: Mapping[str, Any]) -> Constant:
    return Constant(_number("value", options["value"]))


def _ramp_parser(kind: type[_Ramp]) -> Callable[[Mapping[str, Any]], _Ramp]:
    def parse(options: Mapping[str, Any]) -> _Ramp:
        numbers = {key: _number(key, value) for key, value in options.items() if key != "clock"}
        words = {"clock": str(options["clock"])} if "clock" in options else {}
        return kind(**numbers, **words)  # pyright: ignore[reportArgumentType] - the keys were checked by parse_schedule

    return parse


@dataclass(frozen=True, slots=True)
class _Form:
    """How a named schedule is written: its required keys, its optional keys, and who reads them."""

    required: Sequence[str]
    optional: Sequence[str]
    parse: Callable[[Mapping[str, Any]], Schedule]


_RAMP_OPTIONS = ("after", "until", "clock")
_FORMS: dict[str, _Form] = {
    "constant": _Form(("value",), (), _parse_constant),
    "linear": _Form(("start", "end"), _RAMP_OPTIONS, _ramp_parser(Linear)),
    "cosine": _Form(("start", "end"), _RAMP_OPTIONS, _ramp_parser(Cosine)),
}
SCHEDULES = tuple(_FORMS)


def parse_schedule(value: object) -> Schedule:
    """Reads a schedule from its plain form.

    Args:
        value: A number (a constant), a mapping with the key ``schedule``, or a schedule, which is returned as it is.

    Returns:
        The schedule.

    Raises:
        ScheduleError: With one line that names the key, the value, what is allowed and the likely intent.
    """
    if isinstance(value, Schedule):
        return value
    if not isinstance(value, Mapping):
        return Constant(_number("target", value))
    options = {str(key): entry for key, entry in value.items()}
    name = options.pop("schedule", None)
    if name is None:
        raise ScheduleError(f"schedule: missing; name one of {', '.join(SCHEDULES)}")
    if not isinstance(name, str) or name not in _FORMS:
        raise ScheduleError(f"schedule: {unknown_name('schedule', name, SCHEDULES)}")
    form = _FORMS[name]
    allowed = (*form.required, *form.optional)
    for key in options:
        if key not in allowed:
            raise ScheduleError(f"{key}: {unknown_name(f'key of a {name} schedule', key, allowed)}")
    missing = [key for key in form.required if key not in options]
    if missing:
        raise ScheduleError(f"{missing[0]}: a {name} schedule needs {' and '.join(missing)}")
    return form.parse(options)
