"""Constants of the aircraft, in SI units: types that ship as YAML files, and types of one's own.

The aerodynamic and thrust constants of ``f16_like`` are fits to the public F-16 tables of NASA TP-1538 as printed
in Stevens and Lewis, *Aircraft Control and Simulation*. ``docs/dogfight.md`` compares the result with the JSBSim F-16.
``light_fighter`` and ``heavy_fighter`` are plausible values of their class, not fits to an aircraft.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

GRAVITY = 9.80665
"""Standard gravity in m/s^2."""

BASE = "base"
"""Key of an airframe mapping that names the type whose constants hold where the mapping says nothing."""


class AirframeError(ValueError):
    """An airframe that is unknown, or a constant of one that is not allowed. One line."""


@dataclass(frozen=True)
class AirframeParams:
    """One aircraft type for the three-degree-of-freedom model with roll.

    Drag coefficient: ``CD = drag_zero_lift + wave(M) + drag_induced CL^2
    + drag_separated max(|CL| - lift_separation, 0)^2 + brake drag_brake``.
    Thrust: ``T_max`` and ``T_mil`` of ``f16_like`` times ``thrust_scale``; idle is ``thrust_idle_share`` of ``T_mil``.

    Attributes:
        mass_kg: Mass, kept constant.
        wing_area_m2: Reference area S.
        drag_zero_lift: CD at zero lift below the drag rise.
        drag_induced: Factor K of ``CL^2``.
        lift_separation: ``|CL|`` above which separation adds drag.
        drag_separated: Factor of the squared excess of ``|CL|`` over ``lift_separation``.
        drag_brake: CD of the fully open speed brake.
        lift_max: Largest CL (the stall).
        lift_min: Smallest CL (pushing).
        load_factor_max: Structural limit, g.
        load_factor_min: Structural limit when pushing, g.
        load_factor_lag_s: Time constant of the load factor.
        roll_rate_max_rad_s: Roll rate at and above ``roll_full_speed_m_s`` without lift.
        roll_full_speed_m_s: Below this speed the roll rate falls in proportion to it.
        roll_lag_s: Time constant of the roll rate.
        lever_lag_s: Time constant of the engine's answer to the lever.
        lever_rate_per_s: Largest change of the lever per second.
        lever_military: Lever position of military thrust; above it the afterburner burns.
        thrust_scale: Thrust relative to ``f16_like``.
        thrust_idle_share: Idle thrust as a share of military thrust.
    """

    mass_kg: float = 9298.6
    wing_area_m2: float = 27.87
    drag_zero_lift: float = 0.0196
    drag_induced: float = 0.139
    lift_separation: float = 0.90
    drag_separated: float = 0.529
    drag_brake: float = 0.05
    lift_max: float = 1.50
    lift_min: float = -0.80
    load_factor_max: float = 9.0
    load_factor_min: float = -3.0
    load_factor_lag_s: float = 0.30
    roll_rate_max_rad_s: float = 4.0
    roll_full_speed_m_s: float = 230.0
    roll_lag_s: float = 0.25
    lever_lag_s: float = 1.0
    lever_rate_per_s: float = 0.5
    lever_military: float = 0.77
    thrust_scale: float = 1.0
    thrust_idle_share: float = 0.05

    def __post_init__(self) -> None:
        """Checks every constant and their order."""
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise AirframeError(f"{item.name} = {value!r} is not a number")
            if item.name not in MAY_BE_NEGATIVE and not value >= 0.0:
                raise AirframeError(f"{item.name} = {value!r} must not be negative")
            if item.name in MUST_BE_POSITIVE and not value > 0.0:
                raise AirframeError(f"{item.name} = {value!r} must be greater than 0")
        if not (self.lift_min < 0.0 < self.lift_max):
            raise AirframeError(f"lift_min = {self.lift_min} must be below 0 and lift_max = {self.lift_max} above")
        if self.load_factor_min > 0.0 or self.load_factor_max <= 1.0:
            raise AirframeError(
                f"load_factor_min = {self.load_factor_min} must not exceed 0 g, "
                f"load_factor_max = {self.load_factor_max} must exceed 1 g"
            )
        if not self.lever_military < 1.0:
            raise AirframeError(f"lever_military = {self.lever_military} must be below 1, where the burner is full")
        if not self.thrust_idle_share < 1.0:
            raise AirframeError(f"thrust_idle_share = {self.thrust_idle_share} must be below 1")


MAY_BE_NEGATIVE = ("lift_min", "load_factor_min")
MUST_BE_POSITIVE = (
    "mass_kg",
    "wing_area_m2",
    "load_factor_lag_s",
    "roll_rate_max_rad_s",
    "roll_full_speed_m_s",
    "roll_lag_s",
    "lever_lag_s",
    "lever_rate_per_s",
    "lever_military",
    "thrust_scale",
)


def airframe_from(value: Any) -> AirframeParams:
    """Returns the aircraft type that an option names.

    Args:
        value: A name of :data:`AIRFRAMES`, the path of a YAML file (it ends with ``.yaml`` or ``.yml``), or a mapping
            from constants to numbers. A file holds such a mapping. ``base`` in it names the type that fills the rest,
            ``f16_like`` where it is absent.

    Raises:
        AirframeError: An unknown name or constant, a value that is not allowed, or a file that cannot be read.
    """
    if isinstance(value, AirframeParams):
        return value
    if isinstance(value, Mapping):
        return _from_mapping(value)
    if isinstance(value, str) and value.lower().endswith((".yaml", ".yml")):
        return _from_file(Path(value))
    if not isinstance(value, str) or value not in AIRFRAMES:
        raise AirframeError(f"{_unknown('airframe', value, tuple(AIRFRAMES))}, a path of a YAML file, or a mapping")
    return AIRFRAMES[value]


def _from_file(path: Path) -> AirframeParams:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AirframeError(f"cannot read the airframe {path}: {error.strerror or error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        place = str(error).splitlines()[0]
        raise AirframeError(f"the airframe {path} is not YAML: {place}") from None
    if not isinstance(content, Mapping):
        raise AirframeError(f"the airframe {path} must be a mapping from constants to numbers")
    try:
        return _from_mapping(content)
    except AirframeError as error:
        raise AirframeError(f"the airframe {path}: {error}") from None


def _from_mapping(content: Mapping[Any, Any]) -> AirframeParams:
    known = tuple(item.name for item in fields(AirframeParams))
    base = content.get(BASE)
    if base is not None and base not in AIRFRAMES:
        raise AirframeError(_unknown(BASE, base, tuple(AIRFRAMES)))
    values = {name: getattr(AIRFRAMES[base], name) for name in known} if base is not None else {}
    for name, value in content.items():
        if name == BASE:
            continue
        if name not in known:
            raise AirframeError(_unknown("constant", name, known))
        try:
            values[name] = value if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            raise AirframeError(f"{name} = {value!r} is not a number") from None
    return AirframeParams(**values)


def _unknown(what: str, name: object, known: tuple[str, ...]) -> str:
    close = get_close_matches(str(name), known, n=1)
    meant = f" Did you mean {close[0]!r}?" if close else ""
    return f"unknown {what}: {name!r}.{meant} Allowed: {', '.join(known)}"


AIRFRAMES: dict[str, AirframeParams] = {}
"""Aircraft types by name, read from the files that ship with the package."""

for _path in sorted((Path(__file__).parent / "airframe_files").glob("*.yaml")):
    AIRFRAMES[_path.stem] = _from_file(_path)
