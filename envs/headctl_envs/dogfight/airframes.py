"""Constants of the aircraft, in SI units.

The aerodynamic and thrust constants of ``f16_like`` are fits to the public F-16 tables of NASA TP-1538 as printed
in Stevens and Lewis, *Aircraft Control and Simulation*. ``docs/dogfight.md`` compares the result with the JSBSim F-16.
"""

from dataclasses import dataclass

GRAVITY = 9.80665
"""Standard gravity in m/s^2."""


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


AIRFRAMES: dict[str, AirframeParams] = {"f16_like": AirframeParams()}
"""Aircraft types by name."""
