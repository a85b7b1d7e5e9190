"""Flight model: three degrees of freedom and roll, in wind axes, as Warp functions in float32.

Frames: NED (x north, y east, z down) for positions; the wind frame has x along the velocity, y to the right wing and
z down, so lift points along -z. The attitude is the unit quaternion that turns wind-frame vectors into NED ones. Unlike
the path angles of the textbook form (``V' = g (nx - sin gamma)``, ``gamma' = g/V (nz cos mu - cos gamma)``,
``chi' = g nz sin(mu) / (V cos gamma)``) it has no singularity in vertical flight; away from it both forms agree.
"""

import warp as wp

from headctl_envs.dogfight.airframes import GRAVITY, AirframeParams

wp.set_module_options({"enable_backward": False})

G = wp.constant(GRAVITY)
SPEED_MIN = wp.constant(25.0)
"""Lowest speed in m/s that the model admits: below it g/V would turn a falling aircraft without bound."""


@wp.struct
class Airframe:
    """The fields of :class:`AirframeParams` as the kernels read them, in the same units."""

    mass_kg: wp.float32
    wing_area_m2: wp.float32
    drag_zero_lift: wp.float32
    drag_induced: wp.float32
    lift_separation: wp.float32
    drag_separated: wp.float32
    drag_brake: wp.float32
    lift_max: wp.float32
    lift_min: wp.float32
    load_factor_max: wp.float32
    load_factor_min: wp.float32
    load_factor_lag_s: wp.float32
    roll_rate_max_rad_s: wp.float32
    roll_full_speed_m_s: wp.float32
    roll_lag_s: wp.float32
    lever_lag_s: wp.float32
    lever_rate_per_s: wp.float32
    lever_military: wp.float32
    thrust_scale: wp.float32
    thrust_idle_share: wp.float32


@wp.struct
class Motion:
    """State of one aircraft, or its time derivative: position m (NED), attitude, speed m/s, g, rad/s, lever 0..1."""

    position: wp.vec3
    attitude: wp.quat
    speed: wp.float32
    load_factor: wp.float32
    roll_rate: wp.float32
    lever: wp.float32


@wp.struct
class Command:
    """What the guidance asks of the aircraft during one substep: g, rad/s, lever 0..1, speed brake 0..1."""

    load_factor: wp.float32
    roll_rate: wp.float32
    lever: wp.float32
    brake: wp.float32


@wp.struct
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
    """Copies the constants of an aircraft type into the kernels' form."""
    airframe = Airframe()
    for name in vars(params):
        setattr(airframe, name, getattr(params, name))
    return airframe


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
    if h < 11000.0:
        air.density = 1.225 * wp.pow(temperature / 288.15, 4.25588)
        air.lapse = 4.25588 * 0.0065 / temperature
        air.sound_lapse = 0.00325 / temperature
    else:
        air.density = 0.36392 * wp.exp((11000.0 - h) / 6341.62)
        air.lapse = 1.0 / 6341.62
        air.sound_lapse = 0.0
    air.inverse_sound = 1.0 / wp.sqrt(401.874 * temperature)
    log_ratio = wp.log(air.density / 1.225)
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
    thin = 1.0 - air.density / 1.225
    unit = 1000.0 * airframe.thrust_scale / (airframe.mass_kg * G)
    full = unit * air.ratio_max * (92.68 + m * (17.65 + m * (16.24 + 81.95 * thin)))
    military = unit * air.ratio_mil * (56.92 + m * (6.08 + m * (52.49 * thin - 11.45)))
    return wp.vec3(airframe.thrust_idle_share * military, military, full)


@wp.func
def thrust_at_lever(airframe: Airframe, limits: wp.vec3, lever: float) -> float:
    """Thrust over weight at a lever position: linear from idle to military and from there to full afterburner."""
    gate = airframe.lever_military
    dry = limits[0] + (limits[1] - limits[0]) * lever / gate
    wet = limits[1] + (limits[2] - limits[1]) * (lever - gate) / (1.0 - gate)
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
    return 0.5 * air.density * speed * speed * airframe.wing_area_m2 / (airframe.mass_kg * G)


@wp.func
def load_factor_available(airframe: Airframe, air: Air, speed: float) -> float:
    """Largest load factor in g: the stall or the structure, whichever comes first."""
    return wp.min(airframe.load_factor_max, airframe.lift_max * lift_per_weight(airframe, air, speed))


@wp.func
def wave_drag(mach: float) -> float:
    """Drag rise: 0 up to Mach 0.85, linear to 0.023 at 1.1, linear to 0.015 at 1.8, constant beyond."""
    rise = 0.023 * (mach - 0.85) / 0.25
    fall = 0.023 - 0.008 * (wp.min(mach, 1.8) - 1.1) / 0.7
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
    rate.load_factor = (command.load_factor - state.load_factor) / airframe.load_factor_lag_s
    rate.roll_rate = (command.roll_rate - state.roll_rate) / airframe.roll_lag_s
    rate.lever = wp.clamp(
        (command.lever - state.lever) / airframe.lever_lag_s, -airframe.lever_rate_per_s, airframe.lever_rate_per_s
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
def integrate(state: Motion, command: Command, airframe: Airframe, dt: float) -> Motion:
    """One classical Runge-Kutta step of fourth order over ``dt`` seconds with a constant command."""
    air = air_at(-state.position[2])
    k1 = derivative(state, command, airframe, air)
    k2 = derivative(advanced(state, k1, 0.5 * dt), command, airframe, air)
    k3 = derivative(advanced(state, k2, 0.5 * dt), command, airframe, air)
    k4 = derivative(advanced(state, k3, dt), command, airframe, air)
    mean = advanced(advanced(advanced(k1, k2, 2.0), k3, 2.0), k4, 1.0)
    new = advanced(state, mean, dt / 6.0)
    new.attitude = wp.normalize(new.attitude)
    new.speed = wp.max(new.speed, SPEED_MIN)
    new.lever = wp.clamp(new.lever, 0.0, 1.0)
    return new
