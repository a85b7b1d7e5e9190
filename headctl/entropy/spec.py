"""What a user may say of a head, read and checked in one place. Free of torch.

The same keys serve the Python constructor and the ``heads:`` section of a YAML file.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from headctl.entropy.head_values import (
    HeadSpecError,
    head_error,
    read_choices,
    read_conditions,
    read_count,
    read_flag,
    read_number,
    read_schedule,
)
from headctl.entropy.schedules import Clock, Constant, Schedule
from headctl.entropy.targets import (
    TANH_GAUSSIAN_LOG_STD_MAX,
    UNITS,
    Coefficients,
    TargetError,
    beta_range,
    floored_entropy,
    gaussian_range,
    nats_coefficients,
    tanh_gaussian_range,
    target_fraction,
)
from headctl.messages import unknown_name

DISCRETE_KINDS = ("categorical", "multidiscrete", "bernoulli")
CONTINUOUS_KINDS = ("gaussian", "tanh_gaussian", "beta")
KINDS = (*DISCRETE_KINDS, *CONTINUOUS_KINDS)
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
    "kind": "distribution of the head: "
    + ", ".join(KINDS)
    + "; filled in from the action space when training, where a "
    "Box is gaussian unless this says tanh_gaussian or beta",
    "choices": "number of choices of a categorical head, legal or not, or the list of them of a multidiscrete one; "
    "filled in from the action space",
    "dims": "number of dims of a continuous head, or of bits of a bernoulli one; filled in from the action space",
    "log_std_min": "lower bound of a Gaussian head's log standard deviation, in normalised action units",
    "log_std_max": "upper bound of a Gaussian head's log standard deviation, in normalised action units; "
    f"{TANH_GAUSSIAN_LOG_STD_MAX:.3f} at most for tanh_gaussian, beyond it wider is less random",
    "concentration_max": "upper bound of both concentrations of a beta head, which are 1 at least",
    "probability_floor": "share of uniform choice among the legal actions that is mixed into a discrete head, below 1",
    "rescue": "true: pull a discrete head that has COLLAPSED towards the uniform choice until it has half its target",
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
    "concentration_max",
    "probability_floor",
)
# Keys that only some laws have; `alpha` is settled apart.
_LOOP = ("target", "unit", "mode", "alpha_init", "alpha_min", "alpha_max")
_KEYS_OF_LAW = {
    "pi": (*_LOOP, "gain_proportional", "gain_integral"),
    "dual": (*_LOOP, "optimizer", "learning_rate"),
    "fixed": (),
    "decay": (),
}
_DISCRETE = ("probability_floor", "rescue")
_GAUSSIAN = ("dims", "log_std_min", "log_std_max")
_KEYS_OF_KIND = {
    "categorical": ("choices", *_DISCRETE),
    "multidiscrete": ("choices", *_DISCRETE),
    "bernoulli": ("dims", *_DISCRETE),
    "gaussian": _GAUSSIAN,
    "tanh_gaussian": _GAUSSIAN,
    "beta": ("dims", "concentration_max"),
}
_DEFAULT_TARGET = 0.5
_LOG_ALPHA_FLOOR = 1e-4
# At -0.1 a Gaussian head lags a falling target by 0.05, and a head driven to uniform takes 15 iterations to come back;
# below -0.5 nothing is gained.
TRACK_ALPHA_MIN = -0.5
_LEARNING_RATES = {"adam": 3e-2, "sgd": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSpec:
    """One head as the controller needs it, complete and checked. Made by :func:`parse_head`."""

    name: str
    kind: str = "categorical"
    choices: int | tuple[int, ...] | None = None
    dims: int = 1
    log_std_min: float = -3.0
    log_std_max: float = 0.5
    concentration_max: float = 100.0
    probability_floor: float = 0.0
    rescue: bool = False
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
        return self.kind in DISCRETE_KINDS

    @property
    def sizes(self) -> tuple[int, ...] | None:
        """Number of choices of every part of a discrete head; ``None`` where it is not known, or continuous."""
        if self.kind == "bernoulli":
            return (2,) * self.dims
        return (self.choices,) if isinstance(self.choices, int) else self.choices

    @property
    def _range(self) -> tuple[float, float]:
        """Floor and capacity in nats of a continuous head."""
        if self.kind == "beta":
            return beta_range(self.dims, self.concentration_max)
        bounded = tanh_gaussian_range if self.kind == "tanh_gaussian" else gaussian_range
        return bounded(self.dims, self.log_std_min, self.log_std_max)

    @property
    def entropy_floor(self) -> float:
        """Entropy in nats at fraction 0."""
        return 0.0 if self.discrete else self._range[0]

    @property
    def entropy_capacity(self) -> float | None:
        """Entropy in nats at fraction 1 where no state restricts it; ``None`` for a head of unknown size."""
        if not self.discrete:
            return self._range[1]
        return None if self.sizes is None else math.log(math.prod(self.sizes))

    @property
    def log_alpha_min(self) -> float:
        """Lower bound of the learned ``log_alpha``; positive temperatures only, also in mode ``track``."""
        return math.log(max(self.alpha_min, _LOG_ALPHA_FLOOR))

    def coefficients(self, target: float) -> Coefficients:
        """Returns what ``target``, in this head's unit, amounts to in nats.

        Raises:
            TargetError: A value outside the unit's range.
        """
        return nats_coefficients(
            self.unit, target, discrete=self.discrete, dims=self.dims, floor=self.entropy_floor, kind=self.kind
        )

    def to_mapping(self) -> dict[str, Any]:
        """Returns the plain form that :func:`parse_head` reads back to an equal spec."""
        mapping: dict[str, Any] = {"law": self.law}
        if self.alpha is not None:
            mapping["alpha"] = self.alpha.to_value()
        for key in (*_KEYS_OF_LAW[self.law], *_KEYS_OF_KIND[self.kind]):
            value = getattr(self, key)
            if value is not None and (value or key not in _DISCRETE):  # what is not in use is not mentioned
                mapping[key] = list(value) if isinstance(value, tuple) else value
        if self.target is not None:
            mapping["target"] = self.target.to_value()
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
        said = options.setdefault(key, entry)
        # A Box does not say how it is filled.
        either = key == "kind" and said in CONTINUOUS_KINDS and entry in CONTINUOUS_KINDS
        if said != entry and not either:
            raise head_error(name, key, f"the action space says {entry!r}, the configuration says {said!r}")
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
        raise head_error(name, "schedule", "a schedule stands under `target`: {target: {schedule: ...}}")
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
            typed[key] = read_number(name, key, options[key])
    if "dims" in options:
        typed["dims"] = read_count(name, "dims", options["dims"])
    if "choices" in options:
        typed["choices"] = read_choices(name, options["choices"], typed.get("kind", "categorical"))
    if "rescue" in options:
        typed["rescue"] = read_flag(name, "rescue", options["rescue"])
    for key in ("target", "alpha"):
        if key in options:
            typed[key] = read_schedule(name, key, options[key])
    if "active_when" in options:
        typed["active_when"] = read_conditions(name, options["active_when"])
    return typed


def _refuse_keys_of_other_kinds(name: str, typed: Mapping[str, Any]) -> None:
    kind = typed.get("kind", "categorical")
    for keys in _KEYS_OF_KIND.values():
        for key in keys:
            if key in typed and key not in _KEYS_OF_KIND[kind]:
                raise head_error(
                    name, key, f"a {kind} head has no {key}, got {typed[key]!r}; say kind if it is another"
                )


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
                raise head_error(name, key, f"{what} has no {key}, which belongs to law {other}; remove one of the two")
    if typed.get("kind") == "tanh_gaussian":
        typed.setdefault("log_std_max", TANH_GAUSSIAN_LOG_STD_MAX)
    if law in ("fixed", "decay"):
        return _prescribed(name, typed, alpha)
    if alpha is not None:
        raise head_error(
            name,
            "alpha",
            f"is the coefficient of laws fixed and decay, the law is {law}; to start there say alpha_init",
        )
    if law == "dual" and typed.get("mode") == "track":
        raise head_error(
            name, "mode", "law dual has positive temperatures only and cannot track; use law pi or mode floor"
        )
    if "target" not in typed:
        if typed.get("unit", "fraction") != "fraction":
            raise head_error(
                name, "target", f"needed with unit {typed['unit']}; the default {_DEFAULT_TARGET} is a fraction"
            )
        typed["target"] = Constant(_DEFAULT_TARGET)
    typed.setdefault("alpha_min", TRACK_ALPHA_MIN if typed.get("mode") == "track" else _LOG_ALPHA_FLOOR)
    typed.setdefault("learning_rate", _LEARNING_RATES[typed.get("optimizer", "adam")])
    return HeadSpec(**typed)


def _prescribed(name: str, typed: Mapping[str, Any], alpha: Schedule | None) -> HeadSpec:
    """Returns a head whose alpha is given and not learned."""
    law = typed["law"]
    if typed.get("rescue"):
        raise head_error(name, "rescue", f"a head is rescued until it has half its target, and law {law} has no target")
    if alpha is None:
        raise head_error(name, "alpha", f"law {law} needs the coefficient `alpha`")
    if law == "fixed" and not isinstance(alpha, Constant):
        raise head_error(name, "alpha", f"law fixed needs a number, got the schedule {alpha.to_value()}; say law decay")
    low, high = alpha.range()
    if low < 0.0:
        raise head_error(name, "alpha", f"must be at least 0, got {low:g}")
    return HeadSpec(**typed, alpha_init=alpha.value(Clock()), alpha_min=0.0, alpha_max=max(high, 1.0))


def _check_ranges(spec: HeadSpec) -> None:
    """Checks the numbers against each other and the target against what the head can reach."""
    _check_shape(spec)
    if spec.target is None:
        return
    _check_loop(spec)
    for extreme in spec.target.range():
        try:
            coefficients = spec.coefficients(extreme)
        except TargetError as error:
            raise head_error(spec.name, "target", str(error)) from None
        capacity = spec.entropy_capacity
        if capacity is not None and spec.unit != "fraction":
            highest = math.nextafter(capacity, math.inf)
            if coefficients.constant > highest:
                text = (
                    f"{extreme:g} {spec.unit} are {coefficients.constant:.4g} nats, the head's most are {capacity:.4g}"
                )
                raise head_error(spec.name, "target", f"out of reach: {text}")
        _check_against_floor(spec, coefficients, extreme)


def _check_shape(spec: HeadSpec) -> None:
    """Checks what bounds the distribution."""
    highest = min(0.0, spec.log_std_max)
    if not spec.discrete and spec.kind != "beta" and spec.log_std_min >= highest:
        pair = f"log_std_min {spec.log_std_min:g} and log_std_max {spec.log_std_max:g}"
        raise head_error(spec.name, "log_std_min", f"must be below 0 and below log_std_max, got {pair}")
    if spec.kind == "tanh_gaussian" and spec.log_std_max > TANH_GAUSSIAN_LOG_STD_MAX:
        text = f"at most {TANH_GAUSSIAN_LOG_STD_MAX:g}, beyond it a wider Gaussian is less random after tanh"
        raise head_error(spec.name, "log_std_max", f"{text}; got {spec.log_std_max:g}")
    if spec.concentration_max <= 1.0:
        raise head_error(spec.name, "concentration_max", f"must be above 1, got {spec.concentration_max:g}")
    if not 0.0 <= spec.probability_floor < 1.0:
        raise head_error(spec.name, "probability_floor", f"must lie in [0, 1), got {spec.probability_floor:g}")


def _check_against_floor(spec: HeadSpec, coefficients: Coefficients, target: float) -> None:
    """Refuses to press a head down further than its probability floor lets it go."""
    if spec.mode != "track" or spec.sizes is None or not spec.probability_floor:
        return
    capacity = math.log(math.prod(spec.sizes))
    least = floored_entropy(spec.sizes, spec.probability_floor)
    if target_fraction(coefficients, 0.0, capacity) * capacity < least:
        share = f"probability_floor {spec.probability_floor:g} keeps the head at {least:.4g} nats or more"
        text = f"{share}, a fraction of {least / capacity:.3g}; the target {target:g} {spec.unit} is less"
        raise head_error(spec.name, "target", f"out of reach in mode track: {text}")


def _check_loop(spec: HeadSpec) -> None:
    """Checks bounds and gains of a law that moves alpha."""
    bounds = f"alpha_min {spec.alpha_min:g} and alpha_max {spec.alpha_max:g}"
    if spec.alpha_max <= 0.0 or spec.alpha_min >= spec.alpha_max:
        raise head_error(spec.name, "alpha_max", f"must be positive and above alpha_min, got {bounds}")
    if spec.mode == "floor" and spec.alpha_min < 0.0:
        text = f"mode floor never presses a head down; a negative bound needs mode track, got {spec.alpha_min:g}"
        raise head_error(spec.name, "alpha_min", text)
    if spec.alpha_init <= 0.0 or not spec.alpha_min <= spec.alpha_init <= spec.alpha_max:
        text = f"must be positive and lie between {bounds}, got {spec.alpha_init:g}"
        raise head_error(spec.name, "alpha_init", text)
    for key in ("gain_proportional", "gain_integral", "learning_rate"):
        if getattr(spec, key) < 0.0:
            raise head_error(spec.name, key, f"must be at least 0, got {getattr(spec, key):g}")
