"""What a user may say of a head, read and checked in one place. Free of torch.

The same keys serve the Python constructor and the ``heads:`` section of a YAML file.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from headctl.entropy.schedules import Constant, Schedule, ScheduleError, parse_schedule
from headctl.entropy.targets import FRACTION_MAX, gaussian_range
from headctl.messages import unknown_name

KINDS = ("categorical", "gaussian")
LAWS = ("pi", "fixed")
MODES = ("floor", "track")
UNITS = ("fraction",)

HEAD_KEYS: dict[str, str] = {
    "target": "entropy that the head shall have: a number, or a schedule of training progress",
    "unit": "unit of the target: fraction (share of the head's range that is in use)",
    "law": "how alpha moves: pi (dual ascent with a damping proportional term) or fixed",
    "mode": "floor (keep the head at least this random) or track (also press it down to the target)",
    "alpha": "the constant coefficient of law fixed",
    "alpha_init": "alpha before the first update",
    "alpha_min": "lower bound of alpha; negative in mode track",
    "alpha_max": "upper bound of alpha",
    "gain_proportional": "K_P: alpha per unit of fraction error, acts at once and dies with the error",
    "gain_integral": "K_I: log alpha per unit of fraction error and update, what the head remembers",
    "kind": "distribution of the head: categorical or gaussian; filled in from the action space when training",
    "choices": "number of choices of a categorical head, legal or not; filled in from the action space",
    "dims": "number of dims of a continuous head; filled in from the action space",
    "log_std_min": "lower bound of a Gaussian head's log standard deviation, in normalised action units",
    "log_std_max": "upper bound of a Gaussian head's log standard deviation, in normalised action units",
}
"""Every key of a head with its meaning; the documentation is checked against it."""

_NUMBERS = (
    "alpha",
    "alpha_init",
    "alpha_min",
    "alpha_max",
    "gain_proportional",
    "gain_integral",
    "log_std_min",
    "log_std_max",
)
_DEFAULT_TARGET = 0.5
_LOG_ALPHA_FLOOR = 1e-4


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
    alpha_init: float = 0.01
    alpha_min: float = _LOG_ALPHA_FLOOR
    alpha_max: float = 1.0
    gain_proportional: float = 2.0
    gain_integral: float = 0.125

    @property
    def entropy_floor(self) -> float:
        """Entropy in nats at fraction 0."""
        if self.kind == "gaussian":
            return gaussian_range(self.dims, self.log_std_min, self.log_std_max)[0]
        return 0.0

    @property
    def entropy_capacity(self) -> float | None:
        """Entropy in nats at fraction 1 where no state restricts it; ``None`` for a head of unknown size."""
        if self.kind == "gaussian":
            return gaussian_range(self.dims, self.log_std_min, self.log_std_max)[1]
        return None if self.choices is None else math.log(self.choices)

    @property
    def log_alpha_min(self) -> float:
        """Lower bound of the learned ``log_alpha``; positive temperatures only, also in mode ``track``."""
        return math.log(max(self.alpha_min, _LOG_ALPHA_FLOOR))

    def to_mapping(self) -> dict[str, Any]:
        """Returns the plain form that :func:`parse_head` reads back to an equal spec."""
        mapping: dict[str, Any] = {"law": self.law}
        if self.law == "fixed":
            mapping["alpha"] = self.alpha_init
        else:
            assert self.target is not None  # noqa: S101 - parse_head gives every other law a target
            mapping |= {
                "target": self.target.to_value(),
                "unit": self.unit,
                "mode": self.mode,
                "alpha_init": self.alpha_init,
                "alpha_min": self.alpha_min,
                "alpha_max": self.alpha_max,
                "gain_proportional": self.gain_proportional,
                "gain_integral": self.gain_integral,
            }
        if self.kind == "gaussian":
            mapping |= {"log_std_min": self.log_std_min, "log_std_max": self.log_std_max, "dims": self.dims}
        elif self.choices is not None:
            mapping["choices"] = self.choices
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
    """Checks words, numbers and the schedule, each by itself."""
    typed: dict[str, Any] = {"name": name}
    for key, allowed in (("kind", KINDS), ("law", LAWS), ("mode", MODES), ("unit", UNITS)):
        if key in options:
            if options[key] not in allowed:
                raise HeadSpecError(f"heads.{name}.{key}: {unknown_name(key, options[key], allowed)}")
            typed[key] = options[key]
    for key in _NUMBERS:
        if key in options:
            typed[key] = _number(name, key, options[key])
    for key, smallest in (("choices", 1), ("dims", 1)):
        if key in options:
            number = _number(name, key, options[key])
            if number != int(number) or number < smallest:
                raise _error(name, key, f"expected a whole number of at least {smallest}, got {options[key]!r}")
            typed[key] = int(number)
    if "target" in options:
        try:
            typed["target"] = parse_schedule(options["target"])
        except ScheduleError as error:
            message = str(error)
            prefix = f"heads.{name}." if message.startswith("target: ") else f"heads.{name}.target."
            raise HeadSpecError(prefix + message) from None
    return typed


def _refuse_keys_of_other_kinds(name: str, typed: Mapping[str, Any]) -> None:
    kind = typed.get("kind", "categorical")
    foreign = ("choices",) if kind == "gaussian" else ("dims", "log_std_min", "log_std_max")
    for key in foreign:
        if key in typed:
            raise _error(name, key, f"a {kind} head has no {key}, got {typed[key]!r}; say kind if it is another")


def _with_law(name: str, typed: dict[str, Any]) -> HeadSpec:
    """Settles what the law needs and refuses what contradicts it."""
    law = typed.setdefault("law", "fixed" if "alpha" in typed else "pi")
    alpha = typed.pop("alpha", None)
    if law == "fixed":
        if alpha is None:
            raise _error(name, "alpha", "law fixed needs the constant coefficient `alpha`")
        for key in (
            "target",
            "unit",
            "mode",
            "alpha_init",
            "alpha_min",
            "alpha_max",
            "gain_proportional",
            "gain_integral",
        ):
            if key in typed:
                raise _error(name, key, f"law fixed keeps alpha at {alpha:g} and has no {key}; remove one of the two")
        if alpha < 0.0:
            raise _error(name, "alpha", f"must be at least 0, got {alpha:g}")
        return HeadSpec(**typed, alpha_init=alpha, alpha_min=0.0, alpha_max=max(alpha, 1.0))
    if alpha is not None:
        raise _error(
            name,
            "alpha",
            f"is the coefficient of law fixed, but the law is {law}; to start there say alpha_init",
        )
    typed.setdefault("target", Constant(_DEFAULT_TARGET))
    typed.setdefault("alpha_min", -0.05 if typed.get("mode") == "track" else _LOG_ALPHA_FLOOR)
    return HeadSpec(**typed)


def _check_ranges(spec: HeadSpec) -> None:
    """Checks the numbers against each other and the target against what the head can reach."""
    if spec.kind == "gaussian" and spec.log_std_min >= min(0.0, spec.log_std_max):
        pair = f"log_std_min {spec.log_std_min:g} and log_std_max {spec.log_std_max:g}"
        raise _error(spec.name, "log_std_min", f"must be below 0 and below log_std_max, got {pair}")
    if spec.target is None:
        return
    _check_loop(spec)
    for extreme in spec.target.range():
        if not 0.0 <= extreme <= FRACTION_MAX:
            why = f"a fraction lies between 0 and {FRACTION_MAX} (1 is the uniform choice, which no loop can hold)"
            raise _error(spec.name, "target", f"out of reach: {why}, got {extreme:g}")


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
    for key in ("gain_proportional", "gain_integral"):
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
