"""Flight model: three degrees of freedom and roll, in wind axes, as Warp functions in float32.

Frames: NED (x north, y east, z down) for positions; the wind frame has x along the velocity, y to the right wing and
z down, so lift points along -z. The attitude is the unit quaternion that turns wind-frame vectors into NED ones. Unlike
the path angles of the textbook form (``V' = g (nx - sin gamma)``, ``gamma' = g/V (nz cos mu - cos gamma)``,
``chi' = g nz sin(mu) / (V cos gamma)``) it has no singularity in vertical flight; away from it both forms agree.
"""

import math

import warp as wp

from headctl_envs.dogfight.airframes import GRAVITY, AirframeParams
from headctl_envs.dogfight.numerics import exp_of, log_of, sine_cosine
from headctl_envs.dogfight.warp_struct import struct

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# ruff: noqa: PLR0917  - that language has no keyword arguments
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.

wp.set_module_options({"enable_backward": False})

G = wp.constant(GRAVITY)
PER_SEA_LEVEL_DENSITY = wp.constant(1.0 / 1.225)
PER_SEA_LEVEL_TEMPERATURE = wp.constant(1.0 / 288.15)
PER_SOUND_SQUARED = wp.constant(1.0 / 401.874)
TROPOPAUSE_M = wp.constant(11000.0)
LOG_TROPOPAUSE = wp.constant(math.log(0.36392 / 1.225))
SPEED_MIN = wp.constant(25.0)
"""Lowest speed in m/s that the model admits: below it g/V would turn a falling aircraft without bound."""


@struct
class Airframe:
    """An :class:`AirframeParams` as the kernels read it: same units, divisors as reciprocals.

    ``lift_factor`` times density times speed squared is the load factor per unit of CL; ``thrust_factor`` turns kN into
    multiples of the weight; ``per_...`` are reciprocals; ``..._decay`` are the shares of a gap to the command that are
    left after one substep, or half of one.
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
    roll_rate_max_rad_s: wp.float32
    per_roll_full_speed: wp.float32
    roll_lag_s: wp.float32
    lever_lag_s: wp.float32
    per_lever_lag: wp.float32
    lever_rate_per_s: wp.float32
    lever_military: wp.float32
    per_lever_dry: wp.float32
    per_lever_wet: wp.float32
    substep_s: wp.float32
    load_decay_half: wp.float32
    load_decay: wp.float32
    roll_decay_half: wp.float32
    roll_decay: wp.float32
    lever_decay_half: wp.float32


@struct
class Motion:
    """State of one aircraft: position in m (NED), attitude, speed in m/s, load factor in g, roll rate rad/s, lever."""

    position: wp.vec3
    attitude: wp.quat
    speed: wp.float32
    load_factor: wp.float32
    roll_rate: wp.float32
    lever: wp.float32


@struct
class Path:
    """The part of the state that the Runge-Kutta step integrates, or its time derivative."""

    position: wp.vec3
    attitude: wp.quat
    speed: wp.float32


@struct
class Command:
    """What the guidance asks of the aircraft during one substep: g, rad/s, lever 0..1, speed brake 0..1."""

    load_factor: wp.float32
    roll_rate: wp.float32
    lever: wp.float32
    brake: wp.float32


@struct
class Air:
    """The air around an altitude: values there and what is needed to carry them to altitudes nearby.

    ``lapse`` is -d ln(density)/dh in 1/m, ``cooling`` is -d ln(temperature)/dh in 1/m; the thrust ratios are
    ``s^1.12`` and ``s^1.18`` with ``s`` the density relative to sea level.
    """

    altitude: wp.float32
    density: wp.float32
    inverse_sound: wp.float32
    ratio_max: wp.float32
    ratio_mil: wp.float32
    lapse: wp.float32
    cooling: wp.float32


def airframe_struct(params: AirframeParams, substep_s: float) -> Airframe:
    """Brings the constants of an aircraft type into the kernels' form, for substeps of ``substep_s`` seconds."""
    airframe = Airframe()
    weight = params.mass_kg * GRAVITY
    airframe.lift_factor = 0.5 * params.wing_area_m2 / weight
    airframe.thrust_factor = 1000.0 * params.thrust_scale / weight
    airframe.per_roll_full_speed = 1.0 / params.roll_full_speed_m_s
    airframe.per_lever_lag = 1.0 / params.lever_lag_s
    airframe.per_lever_dry = 1.0 / params.lever_military
    airframe.per_lever_wet = 1.0 / (1.0 - params.lever_military)
    airframe.substep_s = substep_s
    airframe.load_decay_half = math.exp(-0.5 * substep_s / params.load_factor_lag_s)
    airframe.load_decay = math.exp(-substep_s / params.load_factor_lag_s)
    airframe.roll_decay_half = math.exp(-0.5 * substep_s / params.roll_lag_s)
    airframe.roll_decay = math.exp(-substep_s / params.roll_lag_s)
    airframe.lever_decay_half = math.exp(-0.5 * substep_s / params.lever_lag_s)
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
        "roll_lag_s",
        "lever_lag_s",
        "lever_rate_per_s",
        "lever_military",
    ):
        setattr(airframe, name, getattr(params, name))
    return airframe


@wp.func(inline=True)
def forward_of(q: wp.quat) -> wp.vec3:
    """Direction of the velocity in NED: the first column of R(q)."""
    return wp.vec3(
        1.0 - 2.0 * (q[1] * q[1] + q[2] * q[2]), 2.0 * (q[0] * q[1] + q[3] * q[2]), 2.0 * (q[0] * q[2] - q[3] * q[1])
    )


@wp.func(inline=True)
def right_of(q: wp.quat) -> wp.vec3:
    """Direction of the right wing in NED: the second column of R(q)."""
    return wp.vec3(
        2.0 * (q[0] * q[1] - q[3] * q[2]), 1.0 - 2.0 * (q[0] * q[0] + q[2] * q[2]), 2.0 * (q[1] * q[2] + q[3] * q[0])
    )


@wp.func(inline=True)
def down_of(q: wp.quat) -> wp.vec3:
    """Direction opposite to the lift in NED: the third column of R(q)."""
    return wp.vec3(
        2.0 * (q[0] * q[2] + q[3] * q[1]), 2.0 * (q[1] * q[2] - q[3] * q[0]), 1.0 - 2.0 * (q[0] * q[0] + q[1] * q[1])
    )


@wp.func(inline=True)
def air_at(altitude: float) -> Air:
    """International standard atmosphere up to 25 km (held constant above and below the ground)."""
    air = Air()
    air.altitude = altitude
    h = wp.clamp(altitude, -500.0, 25000.0)
    temperature = wp.max(288.15 - 0.0065 * h, 216.65)
    per_temperature = 1.0 / temperature
    log_ratio = wp.float32(0.0)
    if h < TROPOPAUSE_M:
        log_ratio = 4.25588 * log_of(temperature * PER_SEA_LEVEL_TEMPERATURE)
        air.cooling = 0.0065 * per_temperature
        air.lapse = 4.25588 * air.cooling
    else:
        log_ratio = LOG_TROPOPAUSE + (TROPOPAUSE_M - h) / 6341.62
        air.lapse = 1.0 / 6341.62
        air.cooling = 0.0
    air.inverse_sound = wp.sqrt(per_temperature * PER_SOUND_SQUARED)
    ratio = exp_of(log_ratio)
    air.density = 1.225 * ratio
    # exp(0.06 ln s), a short series as ln s lies in [-3.5, 0.05]: relative error below 2e-7.
    x = 0.06 * log_ratio
    root = ((((0.0083333333 * x + 0.041666667) * x + 0.16666667) * x + 0.5) * x + 1.0) * x + 1.0
    air.ratio_max = ratio * root * root
    air.ratio_mil = air.ratio_max * root
    return air


@wp.func(inline=True)
def air_near(air: Air, altitude: float) -> Air:
    """Carries ``air`` to an altitude nearby, in the same layer.

    Within 150 m it is exact to rounding: relative errors stay below 8e-7, as of the air computed anew. With
    ``u = cooling * rise`` the temperature falls by the factor ``1 - u`` and the logarithm of the density by
    ``lapse * rise * (1 + u / 2 + u^2 / 3 + ...)``.
    """
    rise = altitude - air.altitude
    u = air.cooling * rise
    x = -air.lapse * rise * (1.0 + u * (0.5 + 0.33333333 * u))
    near = Air()
    near.altitude = altitude
    near.density = air.density * (1.0 + x * (1.0 + x * (0.5 + 0.16666667 * x)))
    near.inverse_sound = air.inverse_sound * (1.0 + u * (0.5 + 0.375 * u))
    near.ratio_max = air.ratio_max * (1.0 + x * (1.12 + x * (0.6272 + 0.23415467 * x)))
    near.ratio_mil = air.ratio_mil * (1.0 + x * (1.18 + x * (0.6962 + 0.27383867 * x)))
    near.lapse = air.lapse
    near.cooling = air.cooling
    return near


@wp.func(inline=True)
def thrust_to_weight(airframe: Airframe, air: Air, mach: float) -> wp.vec3:
    """Idle, military and afterburner thrust over weight at this Mach number and altitude."""
    m = wp.min(mach, 1.2)
    thin = 1.0 - air.density * PER_SEA_LEVEL_DENSITY
    unit = airframe.thrust_factor
    full = unit * air.ratio_max * (92.68 + m * (17.65 + m * (16.24 + 81.95 * thin)))
    military = unit * air.ratio_mil * (56.92 + m * (6.08 + m * (52.49 * thin - 11.45)))
    return wp.vec3(airframe.thrust_idle_share * military, military, full)


@wp.func(inline=True)
def thrust_at_lever(airframe: Airframe, limits: wp.vec3, lever: float) -> float:
    """Thrust over weight at a lever position: linear from idle to military and from there to full afterburner."""
    gate = airframe.lever_military
    dry = limits[0] + (limits[1] - limits[0]) * lever * airframe.per_lever_dry
    wet = limits[1] + (limits[2] - limits[1]) * (lever - gate) * airframe.per_lever_wet
    return wp.where(lever < gate, dry, wet)


@wp.func(inline=True)
def lever_for_thrust(airframe: Airframe, limits: wp.vec3, thrust: float) -> float:
    """Inverse of :func:`thrust_at_lever`, clipped to [0, 1]."""
    gate = airframe.lever_military
    dry = gate * (thrust - limits[0]) / (limits[1] - limits[0])
    wet = gate + (1.0 - gate) * (thrust - limits[1]) / (limits[2] - limits[1])
    return wp.clamp(wp.where(thrust < limits[1], dry, wet), 0.0, 1.0)


@wp.func(inline=True)
def lift_per_weight(airframe: Airframe, air: Air, speed: float) -> float:
    """Load factor per unit of CL: dynamic pressure times S over W."""
    return airframe.lift_factor * air.density * speed * speed


@wp.func(inline=True)
def load_factor_available(airframe: Airframe, air: Air, speed: float) -> float:
    """Largest load factor in g: the stall or the structure, whichever comes first."""
    return wp.min(airframe.load_factor_max, airframe.lift_max * lift_per_weight(airframe, air, speed))


@wp.func(inline=True)
def wave_drag(mach: float) -> float:
    """Drag rise: 0 up to Mach 0.85, linear to 0.023 at 1.1, linear to 0.015 at 1.8, constant beyond."""
    rise = 0.092 * (mach - 0.85)
    fall = 0.023 - 0.0114285714 * (wp.min(mach, 1.8) - 1.1)
    return wp.max(wp.where(mach < 1.1, rise, fall), 0.0)


@wp.func(inline=True)
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


@wp.func(inline=True)
def path_rate(
    path: Path, load: float, lever: float, lean: wp.vec2, brake: float, airframe: Airframe, start: Air
) -> Path:
    """Time derivative of the path; ``start`` is the air at the beginning of the substep.

    ``lean`` holds sine and cosine of the angle by which the aircraft has rolled since then. With y and z the axes of
    the frame that does not roll, lift and weight turn it at ``(g/V) (n cos - z_down)`` about y and
    ``(g/V) (n sin + y_down)`` about z.
    """
    air = air_near(start, -path.position[2])
    speed = wp.max(path.speed, SPEED_MIN)
    mach = speed * air.inverse_sound
    slope = lift_per_weight(airframe, air, speed)
    lift = wp.clamp(load, airframe.lift_min * slope, airframe.lift_max * slope)
    thrust = thrust_at_lever(airframe, thrust_to_weight(airframe, air, mach), lever)
    drag = drag_to_weight(airframe, mach, slope, lift, brake)
    q = path.attitude
    x = q[0]
    y = q[1]
    z = q[2]
    w = q[3]
    forward = wp.vec3(1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + w * z), 2.0 * (x * z - w * y))
    half_turn = 0.5 * G / speed
    pitch = half_turn * (lift * lean[1] - (1.0 - 2.0 * (x * x + y * y)))
    yaw = half_turn * (lift * lean[0] + 2.0 * (y * z + w * x))
    rate = Path()
    rate.position = forward * speed
    rate.attitude = wp.quat(y * yaw - z * pitch, w * pitch - x * yaw, w * yaw + x * pitch, -y * pitch - z * yaw)
    rate.speed = G * (thrust - drag + forward[2])
    return rate


@wp.func(inline=True)
def path_after(path: Path, rate: Path, dt: float) -> Path:
    """``path + dt * rate``, component by component."""
    moved = Path()
    moved.position = path.position + rate.position * dt
    moved.attitude = path.attitude + rate.attitude * dt
    moved.speed = path.speed + rate.speed * dt
    return moved


@wp.func(inline=True)
def lever_after_half(lever: float, wanted: float, airframe: Airframe) -> float:
    """Lever after half a substep: a first-order lag whose rate is limited, solved exactly."""
    dt = 0.5 * airframe.substep_s
    gap = wanted - lever
    linear = airframe.lever_rate_per_s * airframe.lever_lag_s  # beyond this gap the limit holds
    excess = wp.abs(gap) - linear
    left = wp.max(excess - airframe.lever_rate_per_s * dt, 0.0)
    if excess <= 0.0:
        left = wp.abs(gap) * airframe.lever_decay_half
    elif left > 0.0:
        left = left + linear
    else:
        left = linear * exp_of((excess / airframe.lever_rate_per_s - dt) * airframe.per_lever_lag)
    return wanted - wp.where(gap < 0.0, -left, left)


@wp.func(inline=True)
def roll_after(state: Motion, command: Command, airframe: Airframe, dt: float, decay: float) -> float:
    """Angle in rad rolled through in ``dt``, exactly: the roll rate approaches its command exponentially."""
    return command.roll_rate * dt + (state.roll_rate - command.roll_rate) * airframe.roll_lag_s * (1.0 - decay)


@wp.func(inline=True)
def integrate(state: Motion, command: Command, airframe: Airframe, air: Air) -> Motion:
    """One substep with a constant command; ``air`` is the air around ``state``.

    Load factor, roll rate and lever follow their commands by first-order lags, which are solved exactly. That leaves
    position, speed and direction of flight, slow compared with the roll, to one classical Runge-Kutta step of fourth
    order in a frame that does not roll; the roll is put back in at the end.
    """
    dt = airframe.substep_s
    half = 0.5 * dt
    load_gap = state.load_factor - command.load_factor
    load_half = command.load_factor + load_gap * airframe.load_decay_half
    load_full = command.load_factor + load_gap * airframe.load_decay
    lever_half = lever_after_half(state.lever, command.lever, airframe)
    lever_full = lever_after_half(lever_half, command.lever, airframe)
    turned_half = roll_after(state, command, airframe, half, airframe.roll_decay_half)
    turned = sine_cosine(0.5 * roll_after(state, command, airframe, dt, airframe.roll_decay))
    sine = turned[0]
    cosine = turned[1]
    lean_half = sine_cosine(turned_half)
    lean_full = wp.vec2(2.0 * sine * cosine, 1.0 - 2.0 * sine * sine)

    path = Path()
    path.position = state.position
    path.attitude = state.attitude
    path.speed = state.speed
    k1 = path_rate(path, state.load_factor, state.lever, wp.vec2(0.0, 1.0), command.brake, airframe, air)
    k2 = path_rate(path_after(path, k1, half), load_half, lever_half, lean_half, command.brake, airframe, air)
    k3 = path_rate(path_after(path, k2, half), load_half, lever_half, lean_half, command.brake, airframe, air)
    k4 = path_rate(path_after(path, k3, dt), load_full, lever_full, lean_full, command.brake, airframe, air)
    mean = path_after(path_after(path_after(k1, k2, 2.0), k3, 2.0), k4, 1.0)
    path = path_after(path, mean, dt * 0.16666667)

    q = path.attitude
    rolled = wp.quat(
        q[3] * sine + q[0] * cosine,
        q[1] * cosine + q[2] * sine,
        q[2] * cosine - q[1] * sine,
        q[3] * cosine - q[0] * sine,
    )
    new = Motion()
    new.position = path.position
    new.attitude = rolled * (1.0 / wp.sqrt(wp.dot(rolled, rolled)))
    new.speed = wp.max(path.speed, SPEED_MIN)
    new.load_factor = load_full
    new.roll_rate = command.roll_rate + (state.roll_rate - command.roll_rate) * airframe.roll_decay
    new.lever = wp.clamp(lever_full, 0.0, 1.0)
    return new
