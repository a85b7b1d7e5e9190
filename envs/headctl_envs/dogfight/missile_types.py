"""Constants of the missiles, in SI units.

Sizes, masses and motor are of the class of a short-range infrared missile (127 mm body, 85 kg); ``docs/dogfight.md``
has the hit rates that result.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class MissileParams:
    """One missile type: a point mass with a motor, a seeker and proportional navigation.

    Attributes:
        mass_kg: Mass at launch.
        propellant_kg: Mass that the motor burns, evenly.
        burn_s: Burning time.
        thrust_n: Thrust while it burns.
        area_m2: Reference area of the body.
        drag_zero_lift: CD at zero lift well below the speed of sound; 0.3 more above Mach 1.2.
        drag_induced: Factor of ``CL^1.5``, the price of manoeuvring; see ``missiles``.
        load_factor_max: Structural limit of the commanded lateral acceleration, g.
        pressure_full_pa: Dynamic pressure at which the fins reach that limit; below, the limit falls in proportion.
        navigation: Constant N of proportional navigation.
        gimbal_deg: Largest angle between the missile's velocity and its seeker.
        view_half_angle_deg: Half angle of the seeker's field of view.
        seeker_rate_deg_s: Largest rate at which the seeker turns.
        launch_deg: Largest angle off the nose at which a lock and a launch are possible.
        aspect_max_deg: Largest aspect angle at which the seeker sees the target: 180 all aspects.
        lock_s: Time that the seeker needs to lock on before a launch.
        arm_s: The fuse is safe before this time of flight.
        lethal_radius_m: The fuse kills a target that it passes closer than this.
        speed_min_m_s: A missile slower than this after burn-out is spent.
        time_max_s: Life of its battery.
        range_min_m: Shortest range at which a launch is legal.
        decoy_probability: Probability that one flare decoys it, in the flare's best case.
    """

    mass_kg: float = 85.0
    propellant_kg: float = 18.0
    burn_s: float = 2.0
    thrust_n: float = 22000.0
    area_m2: float = 0.01267
    drag_zero_lift: float = 1.2
    drag_induced: float = 0.25
    load_factor_max: float = 30.0
    pressure_full_pa: float = 60000.0
    navigation: float = 3.0
    gimbal_deg: float = 60.0
    view_half_angle_deg: float = 2.5
    seeker_rate_deg_s: float = 45.0
    launch_deg: float = 40.0
    aspect_max_deg: float = 180.0
    lock_s: float = 0.5
    arm_s: float = 0.6
    lethal_radius_m: float = 10.0
    speed_min_m_s: float = 320.0
    time_max_s: float = 30.0
    range_min_m: float = 500.0
    decoy_probability: float = 0.7


MISSILES: dict[str, MissileParams] = {
    "all_aspect": MissileParams(),
    "rear_aspect": MissileParams(aspect_max_deg=70.0, seeker_rate_deg_s=35.0, decoy_probability=0.85),
}
"""Missile types by name."""
