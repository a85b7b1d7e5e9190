"""Flight model: three degrees of freedom and roll, in wind axes, as Warp functions in float32.

Frames: NED (x north, y east, z down) for positions; the wind frame has x along the velocity, y to the right wing and
z down, so lift points along -z. The attitude is the unit quaternion that turns wind-frame vectors into NED ones. Unlike
the path angles of the textbook form (``V' = g (nx - sin gamma)``, ``gamma' = g/V (nz cos mu - cos gamma)``,
``chi' = g nz sin(mu) / (V cos gamma)``) it has no singularity in vertical flight; away from it both forms agree.
"""

import math

import warp as wp

from headctl_envs.dogfight.airframes import GRAVITY, AirframeParams
from headctl_envs.dogfight.warp_struct import struct

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.

wp.set_module_options({"enable_backward": False})

G = wp.constant(GRAVITY)
PER_SEA_LEVEL_DENSITY = wp.constant(1.0 / 1.225)
LOG_TROPOPAUSE = wp.constant(math.log(0.36392 / 1.225))
SPEED_MIN = wp.constant(25.0)
"""Lowest speed in m/s that the model admits: below it g/V would turn a falling aircraft without bound."""


@struct
class Airframe:
    """An :class:`AirframeParams` as the kernels read it: same units, divisors as reciprocals.

    ``lift_factor`` times density times speed squared is the load factor per unit of CL; ``thrust_factor`` turns kN into
    multiples of the weight; ``per_...`` are reciprocals.
    """

    lift_factor: wp.float32
    thrust_factor: wp.float32
    thrust_idle_share: wp.float32
    drag_zero_lift: wp.float32
    drag_induced: wp.float32
    lift_separation: wp.float32
    drag_separated: wp.float32
    drag_brake: wp.float32
    lift_max: wp.float32
    lift_min: wp.float32
    load_factor_max: wp.float32
    load_factor_min: wp.float32
    per_load_factor_lag: wp.float32
    roll_rate_max_rad_s: wp.float32
    per_roll_full_speed: wp.float32
    per_roll_lag: wp.float32
    per_lever_lag: wp.float32
    lever_rate_per_s: wp.float32
    lever_military: wp.float32
    per_lever_dry: wp.float32
    per_lever_wet: wp.float32


@struct
class Motion:
    """State of one aircraft, or its time derivative: position m (NED), attitude, speed m/s, g, rad/s, lever 0..1."""

    position: wp.vec3
    attitude: wp.quat
    speed: wp.float32
    load_factor: wp.float32
    roll_rate: wp.float32
    lever: wp.float32


@struct
class Command:
    """What the guidance asks of the aircraft during one substep: g, rad/s, lever 0..1, speed brake 0..1."""

    load_factor: wp.float32
    roll_rate: wp.float32
    lever: wp.float32
    brake: wp.float32


@struct
class Air:
    """The air around an altitude: values there and what is needed to extrapolate them over one substep.

    ``lapse`` is -d ln(density)/dh in 1/m, ``sound_lapse`` is d ln(1/a)/dh in 1/m; the thrust ratios are
    ``s^1.12`` and ``s^1.18`` with ``s`` the density relative to sea level.
    """

    altitude: wp.float32
    density: wp.float32
    inverse_sound: wp.float32
    ratio_max: wp.float32
    ratio_mil: wp.float32
    lapse: wp.float32
    sound_lapse: wp.float32


def airframe_struct(params: AirframeParams) -> Airframe:
    """Brings the constants of an aircraft type into the kernels' form."""
    airframe = Airframe()
    weight = params.mass_kg * GRAVITY
    airframe.lift_factor = 0.5 * params.wing_area_m2 / weight
    airframe.thrust_factor = 1000.0 * params.thrust_scale / weight
    airframe.per_load_factor_lag = 1.0 / params.load_factor_lag_s
    airframe.per_roll_full_speed = 1.0 / params.roll_full_speed_m_s
    airframe.per_roll_lag = 1.0 / params.roll_lag_s
    airframe.per_lever_lag = 1.0 / params.lever_lag_s
    airframe.per_lever_dry = 1.0 / params.lever_military
    airframe.per_lever_wet = 1.0 / (1.0 - params.lever_military)
    for name in (
        "thrust_idle_share",
        "drag_zero_lift",
        "drag_induced",
        "lift_separation",
        "drag_separated",
        "drag_brake",
        "lift_max",
        "lift_min",
        "load_factor_max",
        "load_factor_min",
        "roll_rate_max_rad_s",
        "lever_rate_per_s",
        "lever_military",
    ):
        setattr(airframe, name, getattr(params, name))
    return airframe


@wp.func
def tanh_of(x: float) -> float:
    """Hyperbolic tangent from one exponential: the C library's is several times slower. Odd in ``x`` exactly."""
    e = wp.exp(-2.0 * wp.abs(x))
    size = (1.0 - e) / (1.0 + e)
    return wp.where(x < 0.0, -size, size)


@wp.func
def forward_of(q: wp.quat) -> wp.vec3:
    """Direction of the velocity in NED: the first column of R(q)."""
    return wp.vec3(
        1.0 - 2.0 * (q[1] * q[1] + q[2] * q[2]), 2.0 * (q[0] * q[1] + q[3] * q[2]), 2.0 * (q[0] * q[2] - q[3] * q[1])
    )


@wp.func
def right_of(q: wp.quat) -> wp.vec3:
    """Direction of the right wing in NED: the second column of R(q)."""
    return wp.vec3(
        2.0 * (q[0] * q[1] - q[3] * q[2]), 1.0 - 2.0 * (q[0] * q[0] + q[2] * q[2]), 2.0 * (q[1] * q[2] + q[3] * q[0])
    )


@wp.func
def down_of(q: wp.quat) -> wp.vec3:
    """Direction opposite to the lift in NED: the third column of R(q)."""
    return wp.vec3(
        2.0 * (q[0] * q[2] + q[3] * q[1]), 2.0 * (q[1] * q[2] - q[3] * q[0]), 1.0 - 2.0 * (q[0] * q[0] + q[1] * q[1])
    )


@wp.func
def air_at(altitude: float) -> Air:
    """International standard atmosphere up to 25 km (held constant above and below the ground)."""
    air = Air()
    air.altitude = altitude
    h = wp.clamp(altitude, -500.0, 25000.0)
    temperature = wp.max(288.15 - 0.0065 * h, 216.65)
    log_ratio = wp.float32(0.0)
    if h < 11000.0:
        log_ratio = 4.25588 * wp.log(temperature / 288.15)
        air.lapse = 4.25588 * 0.0065 / temperature
        air.sound_lapse = 0.00325 / temperature
    else:
        log_ratio = LOG_TROPOPAUSE + (11000.0 - h) / 6341.62
        air.lapse = 1.0 / 6341.62
        air.sound_lapse = 0.0
    air.density = 1.225 * wp.exp(log_ratio)
    air.inverse_sound = 1.0 / wp.sqrt(401.874 * temperature)
    air.ratio_max = wp.exp(1.12 * log_ratio)
    air.ratio_mil = wp.exp(1.18 * log_ratio)
    return air


@wp.func
def air_near(air: Air, altitude: float) -> Air:
    """Extrapolates ``air`` to a nearby altitude (second order; within 30 m the error is below 1e-8 of the density)."""
    rise = altitude - air.altitude
    x = -air.lapse * rise
    near = Air()
    near.altitude = altitude
    near.density = air.density * (1.0 + x + 0.5 * x * x)
    near.inverse_sound = air.inverse_sound * (1.0 + air.sound_lapse * rise)
    near.ratio_max = air.ratio_max * (1.0 + 1.12 * x + 0.6272 * x * x)
    near.ratio_mil = air.ratio_mil * (1.0 + 1.18 * x + 0.6962 * x * x)
    near.lapse = air.lapse
    near.sound_lapse = air.sound_lapse
    return near


@wp.func
def thrust_to_weight(airframe: Airframe, air: Air, mach: float) -> wp.vec3:
    """Idle, military and afterburner thrust over weight at this Mach number and altitude."""
    m = wp.min(mach, 1.2)
    thin = 1.0 - air.density * PER_SEA_LEVEL_DENSITY
    unit = airframe.thrust_factor
    full = unit * air.ratio_max * (92.68 + m * (17.65 + m * (16.24 + 81.95 * thin)))
    military = unit * air.ratio_mil * (56.92 + m * (6.08 + m * (52.49 * thin - 11.45)))
    return wp.vec3(airframe.thrust_idle_share * military, military, full)


@wp.func
def thrust_at_lever(airframe: Airframe, limits: wp.vec3, lever: float) -> float:
    """Thrust over weight at a lever position: linear from idle to military and from there to full afterburner."""
    gate = airframe.lever_military
    dry = limits[0] + (limits[1] - limits[0]) * lever * airframe.per_lever_dry
    wet = limits[1] + (limits[2] - limits[1]) * (lever - gate) * airframe.per_lever_wet
    return wp.where(lever < gate, dry, wet)


@wp.func
def lever_for_thrust(airframe: Airframe, limits: wp.vec3, thrust: float) -> float:
    """Inverse of :func:`thrust_at_lever`, clipped to [0, 1]."""
    gate = airframe.lever_military
    dry = gate * (thrust - limits[0]) / (limits[1] - limits[0])
    wet = gate + (1.0 - gate) * (thrust - limits[1]) / (limits[2] - limits[1])
    return wp.clamp(wp.where(thrust < limits[1], dry, wet), 0.0, 1.0)


@wp.func
def lift_per_weight(airframe: Airframe, air: Air, speed: float) -> float:
    """Load factor per unit of CL: dynamic pressure times S over W."""
    return airframe.lift_factor * air.density * speed * speed


@wp.func
def load_factor_available(airframe: Airframe, air: Air, speed: float) -> float:
    """Largest load factor in g: the stall or the structure, whichever comes first."""
    return wp.min(airframe.load_factor_max, airframe.lift_max * lift_per_weight(airframe, air, speed))


@wp.func
def wave_drag(mach: float) -> float:
    """Drag rise: 0 up to Mach 0.85, linear to 0.023 at 1.1, linear to 0.015 at 1.8, constant beyond."""
    rise = 0.092 * (mach - 0.85)
    fall = 0.023 - 0.0114285714 * (wp.min(mach, 1.8) - 1.1)
    return wp.max(wp.where(mach < 1.1, rise, fall), 0.0)


@wp.func
def drag_to_weight(airframe: Airframe, mach: float, lift_slope: float, load_factor: float, brake: float) -> float:
    """Drag over weight; ``lift_slope`` is :func:`lift_per_weight`, ``load_factor`` within the stall limits."""
    cl = load_factor / lift_slope
    excess = wp.max(wp.abs(cl) - airframe.lift_separation, 0.0)
    return lift_slope * (
        airframe.drag_zero_lift
        + wave_drag(mach)
        + airframe.drag_induced * cl * cl
        + airframe.drag_separated * excess * excess
        + airframe.drag_brake * brake
    )


@wp.func
def derivative(state: Motion, command: Command, airframe: Airframe, start: Air) -> Motion:
    """Time derivative of the state; ``start`` is the air at the beginning of the substep."""
    air = air_near(start, -state.position[2])
    speed = wp.max(state.speed, SPEED_MIN)
    mach = speed * air.inverse_sound
    slope = lift_per_weight(airframe, air, speed)
    lift = wp.clamp(state.load_factor, airframe.lift_min * slope, airframe.lift_max * slope)
    thrust = thrust_at_lever(airframe, thrust_to_weight(airframe, air, mach), state.lever)
    drag = drag_to_weight(airframe, mach, slope, lift, command.brake)
    forward = forward_of(state.attitude)
    q = state.attitude
    # Rows of R(q) that hold the down components of the wing and of the lift axis: all that gravity needs.
    right_down = 2.0 * (q[1] * q[2] + q[3] * q[0])
    down_down = 1.0 - 2.0 * (q[0] * q[0] + q[1] * q[1])
    turn = G / speed
    pitch = turn * (lift - down_down)
    yaw = turn * right_down
    rate = Motion()
    rate.position = forward * speed
    rate.attitude = (q * wp.quat(state.roll_rate, pitch, yaw, 0.0)) * 0.5
    rate.speed = G * (thrust - drag + forward[2])
    rate.load_factor = (command.load_factor - state.load_factor) * airframe.per_load_factor_lag
    rate.roll_rate = (command.roll_rate - state.roll_rate) * airframe.per_roll_lag
    rate.lever = wp.clamp(
        (command.lever - state.lever) * airframe.per_lever_lag, -airframe.lever_rate_per_s, airframe.lever_rate_per_s
    )
    return rate


@wp.func
def advanced(state: Motion, rate: Motion, dt: float) -> Motion:
    """``state + dt * rate``, component by component."""
    moved = Motion()
    moved.position = state.position + rate.position * dt
    moved.attitude = state.attitude + rate.attitude * dt
    moved.speed = state.speed + rate.speed * dt
    moved.load_factor = state.load_factor + rate.load_factor * dt
    moved.roll_rate = state.roll_rate + rate.roll_rate * dt
    moved.lever = state.lever + rate.lever * dt
    return moved


@wp.func
def integrate(state: Motion, command: Command, airframe: Airframe, air: Air, dt: float) -> Motion:
    """One classical fourth-order Runge-Kutta step of ``dt`` s with a constant command; ``air`` is that of ``state``."""
    k1 = derivative(state, command, airframe, air)
    k2 = derivative(advanced(state, k1, 0.5 * dt), command, airframe, air)
    k3 = derivative(advanced(state, k2, 0.5 * dt), command, airframe, air)
    k4 = derivative(advanced(state, k3, dt), command, airframe, air)
    mean = advanced(advanced(advanced(k1, k2, 2.0), k3, 2.0), k4, 1.0)
    new = advanced(state, mean, dt * 0.16666667)
    new.attitude = wp.normalize(new.attitude)
    new.speed = wp.max(new.speed, SPEED_MIN)
    new.lever = wp.clamp(new.lever, 0.0, 1.0)
    return new
