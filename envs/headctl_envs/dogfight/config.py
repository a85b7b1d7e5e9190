"""Options, heads and names of the dogfight. Imports neither torch nor Warp nor gymnasium.

Every option stands once, as a field of :class:`DogfightConfig`, with its unit, its bounds and its meaning in the
field's metadata; validation, error messages and documentation all read it from there.
"""

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from difflib import get_close_matches
from typing import Any

from headctl_envs.dogfight.airframes import AirframeError, AirframeParams, airframe_from
from headctl_envs.dogfight.missile_types import MISSILES, MissileParams
from headctl_envs.dogfight.names import (
    BASIC7,
    BASIC9,
    BASIC11,
    CAUSES,
    DEFAULT_STARTS,
    FALLING,
    LIBRARIES,
    MAX_TEAM_SIZE,
    OUTCOMES,
    PARAMS,
    PILOTS,
    REWARD_TERMS,
    SIDES,
    STARTS,
    STATISTICS,
    TACTICAL14,
    TALLY,
    WEAPONS,
    agents_of,
)

__all__ = [
    "BASIC7",
    "BASIC9",
    "BASIC11",
    "CAUSES",
    "DEFAULT_STARTS",
    "FALLING",
    "LIBRARIES",
    "MAX_TEAM_SIZE",
    "OUTCOMES",
    "PARAMS",
    "PILOTS",
    "REWARD_TERMS",
    "SIDES",
    "STARTS",
    "STATISTICS",
    "TACTICAL14",
    "TALLY",
    "WEAPONS",
    "DogfightConfig",
    "OptionError",
    "agents_of",
    "heads",
]

FRAMES = ("body", "world", "both")
"""Frames in which the vectors of an observation may stand."""


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
    team_size: int = _number(1, "1", "aircraft per side", 1, MAX_TEAM_SIZE)
    airframe: Mapping[str, Any] | str = field(
        default="f16_like",
        metadata={"unit": "name, path or constants", "doc": "aircraft type that both sides fly"},
    )
    airframe_red: Mapping[str, Any] | str = field(
        default="",
        metadata={"unit": "name, path or constants", "doc": "aircraft type of red, where it differs"},
    )
    airframe_blue: Mapping[str, Any] | str = field(
        default="",
        metadata={"unit": "name, path or constants", "doc": "aircraft type of blue, where it differs"},
    )
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
    missiles: int = _number(2, "1", "missiles on board; 0 leaves the gun alone", 0, 8)
    missile: str = _choice("all_aspect", "missile type", tuple(MISSILES))
    missiles_in_flight: int = _number(2, "1", "missiles that one aircraft may have in the air at once", 1, 4)
    missile_cooldown_s: float = _number(2.0, "s", "shortest time between two launches of an aircraft", 0.0, 60.0)
    missile_damage: float = _number(1.0, "1", "health that a missile takes when its fuse fires", 0.05, 1.0)
    flares: int = _number(8, "1", "flares on board", 0, 100)
    flare_cooldown_s: float = _number(0.6, "s", "shortest time between two flares of an aircraft", 0.0, 60.0)
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
    team_spacing_m: float = _number(400.0, "m", "distance between wingmen at the start", 50.0, 5000.0)
    observed_enemies: int = _number(
        4, "1", "enemies in an observation, nearest first; never more than there are", 1, MAX_TEAM_SIZE
    )
    observed_allies: int = _number(
        3, "1", "wingmen in an observation, nearest first; never more than there are", 0, MAX_TEAM_SIZE - 1
    )
    observed_missiles: int = _number(2, "1", "inbound missiles in an observation, soonest first", 0, 8)
    frame: str = _choice("body", "frame of the vectors in an observation", FRAMES)
    gamma: float = _number(0.995, "1", "discount per decision in the shaping; the same as the learner's", 0.0, 1.0)
    damage_weight: float = _number(
        0.5, "1", "reward per health taken from the enemy, minus the same for one's own", 0.0, 100.0
    )
    loss_weight: float = _number(
        0.5,
        "1",
        "reward per share of the enemy team that died, minus the same for one's own; only in teams",
        0.0,
        100.0,
    )
    missile_cost: float = _number(
        0.02, "1", "reward that a launch costs and gives to the enemy: a missile is worth that much", 0.0, 10.0
    )
    flare_cost: float = _number(
        0.005, "1", "reward that a flare costs and gives to the enemy: a flare is worth that much", 0.0, 10.0
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
            if item.name == "start":
                converted = _start(value)
            elif item.name in _AIRFRAME_OPTIONS:
                converted = _airframe(item.name, value)
            else:
                converted = _converted(item, value)
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
        if not isinstance(options, Mapping):
            raise OptionError(f"options = {options!r} must be a mapping from names to values")
        known = tuple(item.name for item in fields(cls))
        for name in options:
            if name not in known:
                raise _unknown("option of the dogfight", name, known)
        return cls(**options)

    @property
    def agents(self) -> tuple[str, ...]:
        """Agent names in the order of the seats: red first."""
        return agents_of(self.team_size)

    @property
    def num_seats(self) -> int:
        """Number of seats A, two teams together."""
        return len(SIDES) * self.team_size

    @property
    def armed(self) -> bool:
        """Whether there is anything besides the gun: missiles or flares."""
        return self.missiles > 0 or self.flares > 0

    @property
    def airframes(self) -> tuple[AirframeParams, AirframeParams]:
        """Aircraft types of red and blue."""
        common = airframe_from(self.airframe)
        red, blue = (airframe_from(value) if value else common for value in (self.airframe_red, self.airframe_blue))
        return red, blue

    @property
    def missile_type(self) -> MissileParams:
        """Constants of the missile."""
        return MISSILES[self.missile]

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


_AIRFRAME_OPTIONS = ("airframe", "airframe_red", "airframe_blue")


def _airframe(name: str, value: Any) -> dict[str, Any] | str:
    """Returns an airframe option in its plain form, checked."""
    if value is None or (value == "" and name != "airframe"):
        return ""
    try:
        airframe_from(value)
    except AirframeError as error:
        raise OptionError(f"{name} = {value!r}: {error}") from None
    return dict(value) if isinstance(value, Mapping) else value


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
    except OverflowError:
        raise OptionError(f"{item.name} is out of range; {allowed}") from None
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
        except (TypeError, ValueError, OverflowError):
            raise OptionError(f"start.{name} = {weight!r} is not a number; allowed: a weight >= 0") from None
        if not (math.isfinite(number) and number >= 0.0):
            raise OptionError(f"start.{name} = {weight!r} is out of range; allowed: a weight >= 0")
        weights[str(name)] = number
    if sum(weights.values()) <= 0.0:
        raise OptionError(f"start = {dict(value)!r} has no positive weight")
    if not math.isfinite(sum(weights.values())):
        raise OptionError(f"start = {dict(value)!r} has weights too large to add up")
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
