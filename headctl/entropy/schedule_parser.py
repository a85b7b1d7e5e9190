"""Reads schedules from the form in which YAML and Python callers write them. Free of torch."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headctl.entropy.performance import PERFORMANCE_OPTIONS, Performance
from headctl.entropy.schedules import (
    Constant,
    Cosine,
    Exponential,
    Linear,
    Piecewise,
    Ramp,
    Schedule,
    ScheduleError,
    Stages,
)
from headctl.messages import unknown_name


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


def _ramp_parser(kind: type[Ramp]) -> Callable[[Mapping[str, Any]], Ramp]:
    def parse(options: Mapping[str, Any]) -> Ramp:
        numbers = {key: _number(key, value) for key, value in options.items() if key != "clock"}
        words = {"clock": str(options["clock"])} if "clock" in options else {}
        return kind(**numbers, **words)  # pyright: ignore[reportArgumentType] - the keys were checked by parse_schedule

    return parse


def _numbers(key: str, value: object) -> tuple[float, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ScheduleError(f"{key}: expected a list of numbers, got {value!r}")
    return tuple(_number(f"{key}[{index}]", entry) for index, entry in enumerate(value))


def _parse_steps(options: Mapping[str, Any]) -> Piecewise:
    values, at = _numbers("values", options["values"]), _numbers("at", options["at"])
    if len(values) != len(at) + 1:
        raise ScheduleError(f"values: needs one more than `at`, got {len(values)} and {len(at)}")
    if at and at[0] <= 0.0:
        raise ScheduleError(f"at: the first value holds from the start, the next begins later; got {at[0]:g}")
    points = tuple(zip((0.0, *at), values, strict=True))
    return Piecewise(points=points, clock=str(options.get("clock", "progress")), jump=True)


def _parse_piecewise(options: Mapping[str, Any]) -> Piecewise:
    written = options["points"]
    if not isinstance(written, Sequence) or isinstance(written, str):
        raise ScheduleError(f"points: expected a list of [time, value], got {written!r}")
    points = []
    for index, entry in enumerate(written):
        point = _numbers(f"points[{index}]", entry)
        if len(point) != 2:
            raise ScheduleError(f"points[{index}]: expected [time, value], got {entry!r}")
        points.append(point)
    return Piecewise(points=tuple(points), clock=str(options.get("clock", "progress")))


def _parse_stages(options: Mapping[str, Any]) -> Stages:
    stages = options["stages"]
    if not isinstance(stages, Mapping):
        raise ScheduleError(f"stages: expected a mapping from stage to value, got {stages!r}")
    named = tuple((str(name), _number(f"stages.{name}", value)) for name, value in stages.items())
    return Stages(stages=named, at=_numbers("at", options.get("at", ())))


def _parse_performance(options: Mapping[str, Any]) -> Performance:
    words = {key: str(value) for key, value in options.items() if key in {"metric", "rule"}}
    reheat = options.get("reheat", False)
    if not isinstance(reheat, bool):
        raise ScheduleError(f"reheat: expected true or false, got {reheat!r}")
    numbers = {key: _number(key, value) for key, value in options.items() if key not in {"metric", "rule", "reheat"}}
    return Performance(reheat=reheat, **numbers, **words)  # pyright: ignore[reportArgumentType] - keys were checked


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
    "exponential": _Form(("start", "end"), _RAMP_OPTIONS, _ramp_parser(Exponential)),
    "steps": _Form(("values", "at"), ("clock",), _parse_steps),
    "piecewise": _Form(("points",), ("clock",), _parse_piecewise),
    "stages": _Form(("stages",), ("at",), _parse_stages),
    "performance": _Form(("start", "end"), PERFORMANCE_OPTIONS, _parse_performance),
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
