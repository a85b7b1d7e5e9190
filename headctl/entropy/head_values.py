"""Single entries of a head's description: read, checked, and refused in one line. Free of torch."""

import math
from collections.abc import Mapping
from typing import Any

from headctl.entropy.schedule_parser import parse_schedule
from headctl.entropy.schedules import Schedule, ScheduleError


class HeadSpecError(ValueError):
    """A head description that cannot be used. One line: the full key, the value, what is allowed."""


def head_error(name: str, key: str, text: str) -> HeadSpecError:
    """Returns the error for one key of one head."""
    return HeadSpecError(f"heads.{name}.{key}: {text}")


def read_number(name: str, key: str, value: object) -> float:
    """Reads a finite number; other YAML readers hand ``1e-4`` over as text.

    Raises:
        HeadSpecError: Anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise head_error(name, key, f"expected a number, got {value!r}")
    try:
        number = float(value)
    except ValueError:
        raise head_error(name, key, f"expected a number, got {value!r}") from None
    if not math.isfinite(number):
        raise head_error(name, key, f"expected a finite number, got {value!r}")
    return number


def read_count(name: str, key: str, value: object) -> int:
    """Reads a whole number of at least 1.

    Raises:
        HeadSpecError: Anything else.
    """
    number = read_number(name, key, value)
    if number != int(number) or number < 1:
        raise head_error(name, key, f"expected a whole number of at least 1, got {value!r}")
    return int(number)


def read_flag(name: str, key: str, value: object) -> bool:
    """Reads true or false.

    Raises:
        HeadSpecError: Anything else.
    """
    if not isinstance(value, bool):
        raise head_error(name, key, f"expected true or false, got {value!r}")
    return value


def read_choices(name: str, value: object, kind: str) -> int | tuple[int, ...]:
    """Reads a number of choices, or the list of them that a multidiscrete head has.

    Raises:
        HeadSpecError: Anything else, or a list for a head of another kind.
    """
    several = isinstance(value, list | tuple)
    if kind == "multidiscrete":
        if not several or not value:
            raise head_error(name, "choices", f"expected a list with the number of every part's choices, got {value!r}")
        return tuple(read_count(name, "choices", size) for size in value)
    if several:
        text = f"a {kind} head has one number of choices, several are kind multidiscrete; got {value!r}"
        raise head_error(name, "choices", text)
    return read_count(name, "choices", value)


def read_schedule(name: str, key: str, value: object) -> Schedule:
    """Reads a number or a schedule.

    Raises:
        HeadSpecError: Anything else.
    """
    try:
        return parse_schedule(value)
    except ScheduleError as error:
        # A message about a bare number already carries the word `target` for a key.
        message = str(error)
        inner = message.removeprefix("target: ")
        raise HeadSpecError(f"heads.{name}.{key}{': ' if inner != message else '.'}{inner}") from None


def read_conditions(name: str, value: object) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Reads which choices of which other heads a head depends on, as in ``{weapon: [2]}``.

    Raises:
        HeadSpecError: Anything else.
    """
    if not isinstance(value, Mapping) or not value:
        raise head_error(name, "active_when", f"expected a mapping from head to a list of choices, got {value!r}")
    conditions = []
    for head, choices in value.items():
        numbers: tuple[Any, ...] = tuple(choices) if isinstance(choices, list | tuple) else (choices,)
        if not numbers or not all(type(number) is int and number >= 0 for number in numbers):
            raise head_error(name, f"active_when.{head}", f"expected numbers of choices such as [2], got {choices!r}")
        if head == name:
            raise head_error(name, f"active_when.{head}", "a head cannot depend on itself")
        conditions.append((str(head), numbers))
    return tuple(conditions)
