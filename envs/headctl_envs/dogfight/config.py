"""Options, heads and names of the dogfight. Imports neither torch nor Warp nor gymnasium.

Every option stands once, as a field of :class:`DogfightConfig`, with its unit, its bounds and its meaning in the
field's metadata; validation, error messages and documentation all read it from there.
"""

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from difflib import get_close_matches
from typing import Any

from headctl_envs.dogfight.airframes import AIRFRAMES

BASIC7 = ("hold", "accelerate", "decelerate", "turn_left", "turn_right", "pull_up", "push_over")
BASIC9 = (*BASIC7, "climb_left", "climb_right")
BASIC11 = (*BASIC9, "dive_left", "dive_right")
TACTICAL14 = (*BASIC7, "pure_pursuit", "lead_pursuit", "lag_pursuit", "break_turn", "notch", "extend", "high_yo_yo")

LIBRARIES: dict[str, tuple[str, ...]] = {
    "basic7": BASIC7,
    "basic9": BASIC9,
    "basic11": BASIC11,
    "tactical14": TACTICAL14,
}
"""Maneuver names of each library, in the order of the ``maneuver`` head's choices."""

FALLING = ("push_over", "dive_left", "dive_right")
"""Pull-down maneuvers: masked where a pull-out might not fit above the floor."""

WEAPONS = ("hold", "gun", "missile", "flare")
"""Choices of the ``weapon`` head. Aircraft carry neither missiles nor flares: both choices are always masked."""

PARAMS = ("load_factor", "throttle", "lift_vector")
"""Dimensions of the ``params`` head: residuals in [-1, 1] around the maneuver; zero is the nominal maneuver."""

STARTS = ("random", "neutral", "offensive", "defensive", "head_on", "in_zone")
"""Names of the start geometries. ``offensive`` and ``defensive`` are meant from the side of ``red_0``."""

PILOTS = ("straight", "random", "pursuit")
"""Names of the scripted pilots, weakest first."""

AGENTS = ("red_0", "blue_0")
"""Agent names; the position is the seat."""

OUTCOMES = ("running", "red", "blue", "draw")
"""Meaning of the outcome codes 0 to 3."""

CAUSES = ("running", "kill", "crash", "collision", "time")
"""Meaning of the codes that say how an episode ended."""

STATISTICS: dict[str, str] = {
    "episode_length": "mean length of the episodes that ended, in decisions",
    "ended_kill": "share of ended episodes that ended with a kill by the gun",
    "ended_crash": "share of ended episodes that ended with an aircraft below the floor",
    "ended_collision": "share of ended episodes that ended with a collision",
    "ended_time": "share of ended episodes that the time limit cut",
    "rounds_fired": "mean number of rounds that one aircraft fired in an ended episode",
    "hit_share": "share of decisions with a firing gun that did damage",
    "gun_zone_s": "mean time that one aircraft had its enemy in its gun zone in an ended episode, seconds",
    "illegal_actions": "share of decisions in which a masked or an impossible discrete choice was replaced",
}
"""Keys and meanings of ``DogfightEngine.pop_statistics``. Keys about ended episodes are NaN if none ended."""

DEFAULT_STARTS: dict[str, float] = {
    "random": 0.35,
    "neutral": 0.15,
    "offensive": 0.15,
    "defensive": 0.15,
    "head_on": 0.1,
    "in_zone": 0.1,
}
"""Mixture behind ``start: mixed``: no side has an advantage on average."""


class OptionError(ValueError):
    """An option of the dogfight is unknown or has a value that is not allowed. One line, names the option."""


def _unknown(what: str, name: object, known: Mapping[str, Any] | tuple[str, ...]) -> OptionError:
    close = get_close_matches(str(name), list(known), n=1)
    meant = f" Did you mean {close[0]!r}?" if close else ""
    return OptionError(f"unknown {what}: {name!r}.{meant} Allowed: {', '.join(known)}")


def _number(default: float, unit: str, doc: str, low: float, high: float) -> Any:
    return field(default=default, metadata={"unit": unit, "doc": doc, "low": low, "high": high})


def _choice(default: str, doc: str, choices: tuple[str, ...]) -> Any:
    return field(default=default, metadata={"unit": "name", "doc": doc, "choices": choices})


@dataclass(frozen=True)
class DogfightConfig:
    """Every option of the dogfight, validated.

    Raises:
        OptionError: If a value has the wrong type, is out of its bounds or contradicts another one.
    """

    maneuvers: str = _choice("tactical14", "maneuver library of the `maneuver` head", tuple(LIBRARIES))
    airframe: str = _choice("f16_like", "aircraft type that both sides fly", tuple(AIRFRAMES))
    decision_period_s: float = _number(0.2, "s", "time between two decisions", 0.02, 2.0)
    substeps: int = _number(2, "1", "RK4 steps per decision; guidance and guns work once per substep", 1, 50)
    time_limit_s: float = _number(120.0, "s", "episodes are truncated after this time", 0.02, 3600.0)
    floor_m: float = _number(300.0, "m", "hard deck: an aircraft below this altitude has crashed", 0.0, 5000.0)
    collision_m: float = _number(15.0, "m", "two aircraft closer than this have collided, both die", 0.0, 200.0)
    gun_half_angle_deg: float = _number(1.0, "deg", "half angle of the gun's cone", 0.05, 90.0)
    gun_range_min_m: float = _number(152.0, "m", "no damage closer than this", 0.0, 5000.0)
    gun_range_max_m: float = _number(914.0, "m", "no damage farther than this", 1.0, 5000.0)
    gun_damage_per_s: float = _number(
        1.0, "1/s", "health lost per second at the minimum range; falls linearly to zero at the maximum", 0.001, 100.0
    )
    gun_rounds: int = _number(510, "1", "rounds on board", 0, 100000)
    gun_rate_per_s: float = _number(100.0, "1/s", "rounds fired per second", 1.0, 1000.0)
    gun_interlock_deg: float = _number(
        10.0,
        "deg",
        "fire-control interlock: the gun is legal only with a live enemy this close to the nose",
        0.05,
        180.0,
    )
    gun_interlock_range_m: float = _number(
        1200.0, "m", "fire-control interlock: the gun is legal only with a live enemy closer than this", 1.0, 1e6
    )
    start: Mapping[str, float] | str = field(
        default="mixed",
        metadata={
            "unit": "name or name -> probability",
            "doc": "start geometry: one name, `mixed`, or a mapping from names to weights",
        },
    )
    start_altitude_min_m: float = _number(
        3000.0, "m", "lowest altitude of the fight's centre at the start", 500.0, 12000.0
    )
    start_altitude_max_m: float = _number(
        7000.0, "m", "highest altitude of the fight's centre at the start", 500.0, 12000.0
    )
    start_speed_min_m_s: float = _number(190.0, "m/s", "lowest true airspeed at the start", 100.0, 400.0)
    start_speed_max_m_s: float = _number(290.0, "m/s", "highest true airspeed at the start", 100.0, 400.0)
    start_range_min_m: float = _number(1000.0, "m", "shortest distance of the start `random`", 100.0, 50000.0)
    start_range_max_m: float = _number(4000.0, "m", "longest distance of the start `random`", 100.0, 50000.0)
    gamma: float = _number(0.995, "1", "discount per decision in the shaping; the same as the learner's", 0.0, 1.0)
    damage_weight: float = _number(
        0.5, "1", "reward per health taken from the enemy, minus the same for one's own", 0.0, 100.0
    )
    shaping_weight: float = _number(
        1.0, "1", "weight of the potential-based shaping at the start of training", 0.0, 100.0
    )
    shaping_decay_until: float = _number(
        1.0,
        "share of training",
        "the shaping weight falls linearly to zero at this progress; 0 keeps it constant",
        0.0,
        1.0,
    )

    def __post_init__(self) -> None:
        """Converts what YAML and command lines deliver and checks every value."""
        for item in fields(self):
            value = getattr(self, item.name)
            converted = _start(value) if item.name == "start" else _converted(item, value)
            object.__setattr__(self, item.name, converted)
        for low, high in (
            ("gun_range_min_m", "gun_range_max_m"),
            ("start_altitude_min_m", "start_altitude_max_m"),
            ("start_speed_min_m_s", "start_speed_max_m_s"),
            ("start_range_min_m", "start_range_max_m"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise OptionError(f"{low} = {getattr(self, low)} must not exceed {high} = {getattr(self, high)}")
        if self.gun_range_min_m == self.gun_range_max_m:
            raise OptionError(f"gun_range_min_m and gun_range_max_m must differ, both are {self.gun_range_max_m}")
        if self.start_altitude_min_m < self.floor_m + 500.0:
            raise OptionError(
                f"start_altitude_min_m = {self.start_altitude_min_m} must be 500 m above floor_m = {self.floor_m}"
            )

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any]) -> "DogfightConfig":
        """Builds the configuration from plain options, for example a section of a YAML file.

        Args:
            options: Option name to value. Numbers may be strings such as ``"3e-4"``; integral floats are
                accepted for whole numbers.

        Returns:
            The validated configuration; options that are not named keep their defaults.

        Raises:
            OptionError: If an option is unknown (the message names the likely one) or a value is not allowed.
        """
        known = tuple(item.name for item in fields(cls))
        for name in options:
            if name not in known:
                raise _unknown("option of the dogfight", name, known)
        return cls(**options)

    @property
    def library(self) -> tuple[str, ...]:
        """Maneuver names in the order of the head's choices."""
        return LIBRARIES[self.maneuvers]

    @property
    def max_decisions(self) -> int:
        """Number of decisions after which an episode is truncated, at least 1."""
        return max(1, round(self.time_limit_s / self.decision_period_s))

    @property
    def start_probabilities(self) -> tuple[float, ...]:
        """Probability of each geometry of :data:`STARTS`, in that order; sums to one."""
        start = {self.start: 1.0} if isinstance(self.start, str) and self.start != "mixed" else self.start
        weights = DEFAULT_STARTS if isinstance(start, str) else start
        total = sum(weights.values())
        return tuple(weights.get(name, 0.0) / total for name in STARTS)

    def shaping_weight_at(self, progress: float) -> float:
        """Weight of the shaping when the share ``progress`` of training is done."""
        if self.shaping_decay_until <= 0.0:
            return self.shaping_weight
        return self.shaping_weight * max(0.0, 1.0 - max(0.0, progress) / self.shaping_decay_until)


def _converted(item: Field[Any], value: Any) -> Any:
    """Returns ``value`` in the type of the option's default, checked against the option's bounds."""
    choices = item.metadata.get("choices")
    if choices is not None:
        if value not in choices:
            raise _unknown(f"value of {item.name}", value, choices)
        return value
    return _checked_number(item, value)


def _checked_number(item: Field[Any], value: Any) -> float | int:
    whole = isinstance(item.default, int)
    kind = "a whole number" if whole else "a number"
    low, high = item.metadata["low"], item.metadata["high"]
    allowed = f"allowed: {kind} from {low:g} to {high:g} ({item.metadata['unit']})"
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        raise OptionError(f"{item.name} = {value!r} is not {kind}; {allowed}") from None
    if not math.isfinite(number) or (whole and number != int(number)):
        raise OptionError(f"{item.name} = {value!r} is not {kind}; {allowed}")
    if not low <= number <= high:
        raise OptionError(f"{item.name} = {value!r} is out of range; {allowed}")
    return int(number) if whole else number


def _start(value: Any) -> dict[str, float] | str:
    """Returns the start option in its plain form: a name, or a mapping from names to positive weights."""
    if isinstance(value, str):
        if value != "mixed" and value not in STARTS:
            raise _unknown("value of start", value, ("mixed", *STARTS))
        return value
    if not isinstance(value, Mapping):
        raise OptionError(
            f"start = {value!r} must be a name or a mapping from names to weights; names: {', '.join(STARTS)}"
        )
    weights: dict[str, float] = {}
    for name, weight in value.items():
        if name not in STARTS:
            raise _unknown("name in start", name, STARTS)
        try:
            number = float(weight)
        except (TypeError, ValueError):
            raise OptionError(f"start.{name} = {weight!r} is not a number; allowed: a weight >= 0") from None
        if not (math.isfinite(number) and number >= 0.0):
            raise OptionError(f"start.{name} = {weight!r} is out of range; allowed: a weight >= 0")
        weights[str(name)] = number
    if sum(weights.values()) <= 0.0:
        raise OptionError(f"start = {dict(value)!r} has no positive weight")
    return weights


def heads(config: DogfightConfig) -> dict[str, tuple[str, int]]:
    """Names the action heads without importing torch or gymnasium.

    Returns:
        Head name to ``("categorical", number of choices)`` or ``("gaussian", number of dimensions)``.
    """
    return {
        "maneuver": ("categorical", len(config.library)),
        "weapon": ("categorical", len(WEAPONS)),
        "params": ("gaussian", len(PARAMS)),
    }
