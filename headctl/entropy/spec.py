"""What a user may say of a head, read and checked in one place. Free of torch.

The same keys serve the Python constructor and the ``heads:`` section of a YAML file.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from headctl.entropy.schedule_parser import parse_schedule
from headctl.entropy.schedules import Clock, Constant, Schedule, ScheduleError
from headctl.entropy.targets import UNITS, Coefficients, TargetError, gaussian_range, nats_coefficients
from headctl.messages import unknown_name

KINDS = ("categorical", "gaussian")
LAWS = ("pi", "dual", "fixed", "decay")
MODES = ("floor", "track")
OPTIMIZERS = ("adam", "sgd")

HEAD_KEYS: dict[str, str] = {
    "target": "entropy that the head shall have: a number, or a schedule",
    "unit": "unit of the target: " + ", ".join(UNITS),
    "law": "how alpha moves: pi (dual ascent with a damping proportional term), dual (the SAC rule), "
    "fixed (a constant) or decay (a schedule of alpha itself)",
    "mode": "floor (keep the head at least this random) or track (also press it down to the target)",
    "alpha": "the coefficient of laws fixed (a number) and decay (a schedule)",
    "alpha_init": "alpha before the first update",
    "alpha_min": "lower bound of alpha; negative in mode track",
    "alpha_max": "upper bound of alpha",
    "gain_proportional": "K_P of law pi: alpha per unit of fraction error, acts at once and dies with the error",
    "gain_integral": "K_I of law pi: log alpha per unit of fraction error and update, what the head remembers",
    "optimizer": "optimiser of law dual: adam or sgd",
    "learning_rate": "step size of law dual, per update",
    "active_when": "the head counts only after these choices of another head, as in {weapon: [2]}",
    "kind": "distribution of the head: categorical or gaussian; filled in from the action space when training",
    "choices": "number of choices of a categorical head, legal or not; filled in from the action space",
    "dims": "number of dims of a continuous head; filled in from the action space",
    "log_std_min": "lower bound of a Gaussian head's log standard deviation, in normalised action units",
    "log_std_max": "upper bound of a Gaussian head's log standard deviation, in normalised action units",
}
"""Every key of a head with its meaning; the documentation is checked against it."""

_NUMBERS = (
    "alpha_init",
    "alpha_min",
    "alpha_max",
    "gain_proportional",
    "gain_integral",
    "learning_rate",
    "log_std_min",
    "log_std_max",
)
# Keys that only some laws have; `alpha` is settled apart.
_LOOP = ("target", "unit", "mode", "alpha_init", "alpha_min", "alpha_max")
_KEYS_OF_LAW = {
    "pi": (*_LOOP, "gain_proportional", "gain_integral"),
    "dual": (*_LOOP, "optimizer", "learning_rate"),
    "fixed": (),
    "decay": (),
}
_KEYS_OF_KIND = {"categorical": ("choices",), "gaussian": ("dims", "log_std_min", "log_std_max")}
_DEFAULT_TARGET = 0.5
_LOG_ALPHA_FLOOR = 1e-4
_LEARNING_RATES = {"adam": 3e-2, "sgd": 1.0}


class HeadSpecError(ValueError):
    """A head description that cannot be used. One line: the full key, the value, what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSpec:
    """One head as the controller needs it, complete and checked. Made by :func:`parse_head`."""

    name: str
    kind: str = "categorical"
    choices: int | None = None
    dims: int = 1
    log_std_min: float = -3.0
    log_std_max: float = 0.5
    law: str = "pi"
    mode: str = "floor"
    target: Schedule | None = None
    unit: str = "fraction"
    alpha: Schedule | None = None
    alpha_init: float = 0.01
    alpha_min: float = _LOG_ALPHA_FLOOR
    alpha_max: float = 1.0
    gain_proportional: float = 2.0
    gain_integral: float = 0.125
    optimizer: str = "adam"
    learning_rate: float = _LEARNING_RATES["adam"]
    active_when: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @property
    def discrete(self) -> bool:
        """Whether the head chooses among a number of actions."""
        return self.kind == "categorical"

    @property
    def entropy_floor(self) -> float:
        """Entropy in nats at fraction 0."""
        return 0.0 if self.discrete else gaussian_range(self.dims, self.log_std_min, self.log_std_max)[0]

    @property
    def entropy_capacity(self) -> float | None:
        """Entropy in nats at fraction 1 where no state restricts it; ``None`` for a head of unknown size."""
        if not self.discrete:
            return gaussian_range(self.dims, self.log_std_min, self.log_std_max)[1]
        return None if self.choices is None else math.log(self.choices)

    @property
    def log_alpha_min(self) -> float:
        """Lower bound of the learned ``log_alpha``; positive temperatures only, also in mode ``track``."""
        return math.log(max(self.alpha_min, _LOG_ALPHA_FLOOR))

    def coefficients(self, target: float) -> Coefficients:
        """Returns what ``target``, in this head's unit, amounts to in nats.

        Raises:
            TargetError: A value outside the unit's range.
        """
        return nats_coefficients(self.unit, target, discrete=self.discrete, dims=self.dims, floor=self.entropy_floor)

    def to_mapping(self) -> dict[str, Any]:
        """Returns the plain form that :func:`parse_head` reads back to an equal spec."""
        mapping: dict[str, Any] = {"law": self.law}
        if self.alpha is not None:
            mapping["alpha"] = self.alpha.to_value()
        for key in (*_KEYS_OF_LAW[self.law], *_KEYS_OF_KIND[self.kind]):
            value = getattr(self, key)
            if value is not None:
                mapping[key] = value.to_value() if key == "target" else value
        if self.active_when:
            mapping["active_when"] = {head: list(choices) for head, choices in self.active_when}
        return mapping | {"kind": self.kind}


def parse_head(name: str, value: object, known: Mapping[str, Any] | None = None) -> HeadSpec:
    """Reads one head from its plain form and checks it.

    Args:
        name: The head's name, a key of the action space.
        value: A number (a constant target), a mapping with keys of :data:`HEAD_KEYS`, a :class:`HeadSpec`, or
            ``None`` for all defaults.
        known: What the action space says of the head (``kind``, ``choices``, ``dims``); refused where ``value`` says
            otherwise.

    Returns:
        The complete head.

    Raises:
        HeadSpecError: One line that starts with the full key, ``heads.<name>.<key>``.
    """
    if isinstance(value, HeadSpec):
        return value if value.name == name else replace(value, name=name)
    options = _options(name, value)
    for key, entry in (known or {}).items():
        if options.setdefault(key, entry) != entry:
            raise _error(name, key, f"the action space says {entry!r}, the configuration says {options[key]!r}")
    typed = _typed(name, options)
    _refuse_keys_of_other_kinds(name, typed)
    spec = _with_law(name, typed)
    _check_ranges(spec)
    return spec


def _options(name: str, value: object) -> dict[str, Any]:
    """Returns the entries as a mapping of known keys; a bare number is a target."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        return {"target": value}
    options = {str(key): entry for key, entry in value.items()}
    if "schedule" in options:
        raise _error(name, "schedule", "a schedule stands under `target`: {target: {schedule: ...}}")
    for key in options:
        if key not in HEAD_KEYS:
            raise HeadSpecError(f"heads.{name}.{key}: {unknown_name('key of a head', key, HEAD_KEYS)}")
    return options


def _typed(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Checks words, numbers and schedules, each by itself."""
    typed: dict[str, Any] = {"name": name}
    words = (("kind", KINDS), ("law", LAWS), ("mode", MODES), ("unit", tuple(UNITS)), ("optimizer", OPTIMIZERS))
    for key, allowed in words:
        if key in options:
            if options[key] not in allowed:
                raise HeadSpecError(f"heads.{name}.{key}: {unknown_name(key, options[key], allowed)}")
            typed[key] = options[key]
    for key in _NUMBERS:
        if key in options:
            typed[key] = _number(name, key, options[key])
    for key in ("choices", "dims"):
        if key in options:
            number = _number(name, key, options[key])
            if number != int(number) or number < 1:
                raise _error(name, key, f"expected a whole number of at least 1, got {options[key]!r}")
            typed[key] = int(number)
    for key in ("target", "alpha"):
        if key in options:
            typed[key] = _schedule(name, key, options[key])
    if "active_when" in options:
        typed["active_when"] = _conditions(name, options["active_when"])
    return typed


def _schedule(name: str, key: str, value: object) -> Schedule:
    try:
        return parse_schedule(value)
    except ScheduleError as error:
        # A message about a bare number already carries the word `target` for a key.
        message = str(error)
        inner = message.removeprefix("target: ")
        raise HeadSpecError(f"heads.{name}.{key}{': ' if inner != message else '.'}{inner}") from None


def _conditions(name: str, value: object) -> tuple[tuple[str, tuple[int, ...]], ...]:
    if not isinstance(value, Mapping) or not value:
        raise _error(name, "active_when", f"expected a mapping from head to a list of choices, got {value!r}")
    conditions = []
    for head, choices in value.items():
        numbers: tuple[Any, ...] = tuple(choices) if isinstance(choices, list | tuple) else (choices,)
        if not numbers or not all(type(number) is int and number >= 0 for number in numbers):
            raise _error(name, f"active_when.{head}", f"expected numbers of choices such as [2], got {choices!r}")
        if head == name:
            raise _error(name, f"active_when.{head}", "a head cannot depend on itself")
        conditions.append((str(head), numbers))
    return tuple(conditions)


def _refuse_keys_of_other_kinds(name: str, typed: Mapping[str, Any]) -> None:
    kind = typed.get("kind", "categorical")
    for other, keys in _KEYS_OF_KIND.items():
        for key in keys:
            if key in typed and other != kind:
                raise _error(name, key, f"a {kind} head has no {key}, got {typed[key]!r}; say kind if it is another")


def _with_law(name: str, typed: dict[str, Any]) -> HeadSpec:
    """Settles what the law needs and refuses what contradicts it."""
    alpha = typed.get("alpha")
    usual = "pi" if alpha is None else "fixed" if isinstance(alpha, Constant) else "decay"
    law = typed.setdefault("law", usual)
    for other, keys in _KEYS_OF_LAW.items():
        for key in keys:
            if key in typed and key not in _KEYS_OF_LAW[law]:
                shown = alpha.to_value() if alpha is not None else "unset"
                what = (
                    f"law {law} takes its alpha ({shown}) from the configuration and" if not _KEYS_OF_LAW[law] else law
                )
                raise _error(name, key, f"{what} has no {key}, which belongs to law {other}; remove one of the two")
    if law in ("fixed", "decay"):
        return _prescribed(name, typed, alpha)
    if alpha is not None:
        raise _error(
            name,
            "alpha",
            f"is the coefficient of laws fixed and decay, the law is {law}; to start there say alpha_init",
        )
    if law == "dual" and typed.get("mode") == "track":
        raise _error(name, "mode", "law dual has positive temperatures only and cannot track; use law pi or mode floor")
    if "target" not in typed:
        if typed.get("unit", "fraction") != "fraction":
            raise _error(
                name, "target", f"needed with unit {typed['unit']}; the default {_DEFAULT_TARGET} is a fraction"
            )
        typed["target"] = Constant(_DEFAULT_TARGET)
    typed.setdefault("alpha_min", -0.05 if typed.get("mode") == "track" else _LOG_ALPHA_FLOOR)
    typed.setdefault("learning_rate", _LEARNING_RATES[typed.get("optimizer", "adam")])
    return HeadSpec(**typed)


def _prescribed(name: str, typed: Mapping[str, Any], alpha: Schedule | None) -> HeadSpec:
    """Returns a head whose alpha is given and not learned."""
    law = typed["law"]
    if alpha is None:
        raise _error(name, "alpha", f"law {law} needs the coefficient `alpha`")
    if law == "fixed" and not isinstance(alpha, Constant):
        raise _error(name, "alpha", f"law fixed needs a number, got the schedule {alpha.to_value()}; say law decay")
    low, high = alpha.range()
    if low < 0.0:
        raise _error(name, "alpha", f"must be at least 0, got {low:g}")
    return HeadSpec(**typed, alpha_init=alpha.value(Clock()), alpha_min=0.0, alpha_max=max(high, 1.0))


def _check_ranges(spec: HeadSpec) -> None:
    """Checks the numbers against each other and the target against what the head can reach."""
    if spec.kind == "gaussian" and spec.log_std_min >= min(0.0, spec.log_std_max):
        pair = f"log_std_min {spec.log_std_min:g} and log_std_max {spec.log_std_max:g}"
        raise _error(spec.name, "log_std_min", f"must be below 0 and below log_std_max, got {pair}")
    if spec.target is None:
        return
    _check_loop(spec)
    for extreme in spec.target.range():
        try:
            coefficients = spec.coefficients(extreme)
        except TargetError as error:
            raise _error(spec.name, "target", str(error)) from None
        capacity = spec.entropy_capacity
        if capacity is not None and spec.unit != "fraction":
            highest = math.nextafter(capacity, math.inf)
            if coefficients.constant > highest:
                text = (
                    f"{extreme:g} {spec.unit} are {coefficients.constant:.4g} nats, the head's most are {capacity:.4g}"
                )
                raise _error(spec.name, "target", f"out of reach: {text}")


def _check_loop(spec: HeadSpec) -> None:
    """Checks bounds and gains of a law that moves alpha."""
    bounds = f"alpha_min {spec.alpha_min:g} and alpha_max {spec.alpha_max:g}"
    if spec.alpha_max <= 0.0 or spec.alpha_min >= spec.alpha_max:
        raise _error(spec.name, "alpha_max", f"must be positive and above alpha_min, got {bounds}")
    if spec.mode == "floor" and spec.alpha_min < 0.0:
        text = f"mode floor never presses a head down; a negative bound needs mode track, got {spec.alpha_min:g}"
        raise _error(spec.name, "alpha_min", text)
    if spec.alpha_init <= 0.0 or not spec.alpha_min <= spec.alpha_init <= spec.alpha_max:
        text = f"must be positive and lie between {bounds}, got {spec.alpha_init:g}"
        raise _error(spec.name, "alpha_init", text)
    for key in ("gain_proportional", "gain_integral", "learning_rate"):
        if getattr(spec, key) < 0.0:
            raise _error(spec.name, key, f"must be at least 0, got {getattr(spec, key):g}")


def _number(name: str, key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _error(name, key, f"expected a number, got {value!r}")
    try:
        number = float(value)
    except ValueError:
        raise _error(name, key, f"expected a number, got {value!r}") from None
    if not math.isfinite(number):
        raise _error(name, key, f"expected a finite number, got {value!r}")
    return number


def _error(name: str, key: str, text: str) -> HeadSpecError:
    return HeadSpecError(f"heads.{name}.{key}: {text}")
