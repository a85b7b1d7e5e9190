"""The missile: a point mass with a motor, drag that grows with manoeuvring, a seeker, and proportional navigation.

Guidance is pure proportional navigation in vector form, ``a = N (omega x v)`` with ``omega = (r x v_rel) / |r|^2``,
plus the component of the weight across the path (Zarchan, *Tactical and Strategic Missile Guidance*). The fuse works on
the closest point of the straight relative path within each step, so that it cannot be stepped over.

Manoeuvring costs ``CD = k CL^1.5``: at the angles of attack of hard turns the lift of a slender body is mostly that of
the crossflow, which grows with their square (Allen and Perkins, NACA Report 1048, 1951), and the drag is the lift times
the angle. While the motor burns, its thrust is inclined by that angle with the body and helps to turn.
"""

from typing import Any

import warp as wp

from headctl_envs.dogfight.flight import PER_SEA_LEVEL_TEMPERATURE, G, Motion, forward_of
from headctl_envs.dogfight.geometry import Sight
from headctl_envs.dogfight.numerics import exp_of, log_of
from headctl_envs.dogfight.warp_struct import struct
from headctl_envs.dogfight.world import COASTING, GUIDED, Missile, Rules

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# ruff: noqa: PLR0917  - that language has no keyword arguments
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.

wp.set_module_options({"enable_backward": False})

Fit: Any = wp.types.vector(length=6, dtype=wp.float32)
REACH_FIT = wp.constant(Fit(0.823, 0.206, -0.679, 0.466, -0.326, 0.614))
"""Share of the reach of a flight without turns that is left after the turn onto the collision course.

With c the cosine of the aspect, l the sine of the lead angle (the target's way across the line of sight over the
missile's way) and r the density of the air in kg/m^3 it is ``a + b r + l (p + q c) + l^2 (s + t c)``. It was fitted to
the longest range at which each of 8,000 shots at straight fliers hits, at all aspects: half of them at 3 to 7 km and
220 to 290 m/s, where the error is 2 % rms, half at 2 to 9 km and 170 to 320 m/s, 4 % rms."""


CROSSING_S = wp.constant(6.0)
"""Time that a missile needs to outrun a crossing target's line of sight, in s."""


@struct
class ThinAir:
    """What a missile feels of the air: density in kg/m^3 and one over the speed of sound."""

    density: wp.float32
    inverse_sound: wp.float32


@wp.func
def thin_air_at(altitude: float) -> ThinAir:
    """International standard atmosphere up to 11 km, isothermal above."""
    air = ThinAir()
    h = wp.clamp(altitude, -500.0, 25000.0)
    temperature = wp.max(288.15 - 0.0065 * h, 216.65)
    log_ratio = 4.25588 * log_of(temperature * PER_SEA_LEVEL_TEMPERATURE) - wp.max(h - 11000.0, 0.0) / 6341.62
    air.density = 1.225 * exp_of(log_ratio)
    air.inverse_sound = 1.0 / wp.sqrt(401.874 * temperature)
    return air


@wp.func
def missile_drag(rules: Rules, mach: float) -> float:
    """CD at zero lift: a rise of 0.3 between Mach 0.85 and 1.2."""
    return rules.missile_drag + 0.3 * wp.clamp((mach - 0.85) / 0.35, 0.0, 1.0)


@wp.func
def missile_mass(rules: Rules, age: float) -> float:
    """Mass in kg after ``age`` seconds of flight."""
    return rules.missile_mass - rules.missile_burn_rate * wp.min(age, rules.missile_burn)


@wp.func
def tracked(missile: Missile, los: wp.vec3, goal_forward: wp.vec3, rules: Rules, dt: float) -> Missile:
    """The missile after its seeker has looked: it follows the line of sight at its rate, or has lost the target.

    Lost is what leaves the field of view, the gimbals, or the aspects that the seeker sees.
    """
    seen = missile
    axis = wp.normalize(missile.velocity)
    along = wp.dot(missile.seeker, los)
    sees = (
        along >= rules.missile_view_cos
        and wp.dot(axis, los) >= rules.missile_gimbal_cos
        and wp.dot(goal_forward, los) >= rules.missile_aspect_cos
    )
    if sees:
        across = los - missile.seeker * along
        size = wp.length(across)
        turn = wp.float32(1.0)
        if size > rules.missile_slew * dt:
            turn = rules.missile_slew * dt / size
        seen.seeker = wp.normalize(missile.seeker * (along + (1.0 - along) * turn) + across * turn)
    else:
        seen.phase = COASTING
    return seen


@wp.func
def steering(missile: Missile, offset: wp.vec3, goal_velocity: wp.vec3, rules: Rules, pressure: float) -> wp.vec3:
    """Acceleration across the path in m/s^2 that guidance commands and fins and structure allow."""
    relative = goal_velocity - missile.velocity
    rotation = wp.cross(offset, relative) / wp.max(wp.dot(offset, offset), 1.0)
    wanted = wp.cross(rotation, missile.velocity) * rules.missile_navigation - wp.vec3(0.0, 0.0, G)
    axis = wp.normalize(missile.velocity)
    wanted = wanted - axis * wp.dot(wanted, axis)
    size = wp.length(wanted)
    limit = G * rules.missile_load * wp.min(pressure / rules.missile_pressure, 1.0)
    if size > limit:
        wanted = wanted * (limit / size)
    return wanted


@wp.func
def root_in_boost(coefficient: float, push: float) -> float:
    """Square root of the CL of a body whose inclined thrust helps to turn, where ``coefficient`` is what turns it.

    At the tangent ``k CL^0.5`` of the angle of attack the force across the path, over pressure and area, is ``CL +
    2 push CL^0.5``; ``push`` is half of k times the thrust over the same.
    """
    return wp.sqrt(push * push + coefficient) - push


@wp.func
def flown(missile: Missile, goal: wp.vec3, goal_velocity: wp.vec3, rules: Rules, air: ThinAir, dt: float) -> Missile:
    """One step of a missile towards ``goal``: seeker, guidance, thrust, drag, weight."""
    offset = goal - missile.position
    new = missile
    if missile.phase == GUIDED:
        goal_speed = wp.max(wp.length(goal_velocity), 1.0)
        new = tracked(missile, wp.normalize(offset), goal_velocity / goal_speed, rules, dt)
    speed = wp.max(wp.length(missile.velocity), 1.0)
    pressure = 0.5 * air.density * speed * speed
    mass = missile_mass(rules, missile.age)
    lift = wp.vec3(0.0, 0.0, 0.0)
    if new.phase == GUIDED:
        lift = steering(missile, offset, goal_velocity, rules, pressure)
    force = pressure * rules.missile_area
    coefficient = mass * wp.length(lift) / force
    root = wp.sqrt(coefficient)
    thrust = wp.float32(0.0)
    if missile.age < rules.missile_burn:
        root = root_in_boost(coefficient, 0.5 * rules.missile_induced * rules.missile_thrust / force)
        slant = rules.missile_induced * root
        thrust = rules.missile_thrust * wp.max(1.0 - 0.5 * slant * slant, 0.0)
    drag = force * (missile_drag(rules, speed * air.inverse_sound) + rules.missile_induced * root * root * root)
    rate = missile.velocity * ((thrust - drag) / (mass * speed)) + lift + wp.vec3(0.0, 0.0, G)
    new.velocity = missile.velocity + rate * dt
    new.position = missile.position + (missile.velocity + new.velocity) * (0.5 * dt)
    new.age = missile.age + dt
    return new


@wp.func
def closest(before: wp.vec3, after: wp.vec3) -> float:
    """Shortest distance from the origin to the straight way from ``before`` to ``after``."""
    way = after - before
    share = wp.clamp(-wp.dot(before, way) / wp.max(wp.dot(way, way), 1.0e-9), 0.0, 1.0)
    return wp.length(before + way * share)


@wp.func
def is_spent(missile: Missile, offset: wp.vec3, goal_velocity: wp.vec3, rules: Rules) -> bool:
    """Whether a missile can do no more harm: too slow, too old, in the ground, or past a target that it has lost."""
    slow = (
        missile.age > rules.missile_burn
        and wp.dot(missile.velocity, missile.velocity) < rules.missile_speed_min * rules.missile_speed_min
    )
    opening = wp.dot(goal_velocity - missile.velocity, offset) > 0.0
    return (
        slow
        or missile.age > rules.missile_time_max
        or missile.position[2] > 0.0
        or (missile.phase == COASTING and opening and missile.age > rules.missile_arm)
    )


@wp.func
def launched(own: Motion, los: wp.vec3, target: int) -> Missile:
    """A missile that has just left its rail, locked on."""
    missile = Missile()
    missile.position = own.position
    missile.velocity = forward_of(own.attitude) * own.speed
    missile.seeker = los
    missile.target = float(target)
    missile.phase = GUIDED
    return missile


@wp.func(inline=True)
def missile_reach(own: Motion, goal_speed: float, view: Sight, rules: Rules, density: float) -> float:
    """Largest range in m at which a missile fired now reaches a target that flies on straight.

    After burn-out a missile slows as ``v' = -k v^2``, so it has flown ``S(t) = S_b + ln(1 + k v_b (t - t_b)) / k``. It
    reaches a target at range R, aspect A and speed V at time t if ``R <= sqrt(S^2 - (V t sin A)^2) - V t cos A``; the
    best t is where its speed has fallen to the target's speed along the line of sight, or the least it may have.
    What the turn onto the collision course costs is a fitted share, :data:`REACH_FIT`.
    ``density`` is that of the air around ``own``.
    """
    decay = rules.reach_decay * density
    # Drag during the burn, at the mean of the speeds of a burn without drag.
    middle = own.speed + 0.5 * rules.reach_gain
    end = own.speed + rules.reach_gain - rules.reach_burn_drag * density * middle * middle
    cos_aspect = wp.dot(view.los, view.other_forward)
    sin_aspect = wp.length(wp.cross(view.los, view.other_forward))
    burnt = 0.5 * (own.speed + end) * rules.missile_burn
    away = goal_speed * cos_aspect
    slowest = wp.max(rules.missile_speed_min, away)
    coast = wp.clamp((end - slowest) / (slowest * end * decay), 0.0, rules.reach_coast_max)
    time = rules.missile_burn + coast
    path = burnt + log_of(1.0 + decay * end * coast) / decay
    across = goal_speed * time * sin_aspect
    lead = across / path
    share = REACH_FIT[0] + REACH_FIT[1] * density + lead * (REACH_FIT[2] + REACH_FIT[3] * cos_aspect)
    share = wp.max(share + lead * lead * (REACH_FIT[4] + REACH_FIT[5] * cos_aspect), 0.0)
    return share * wp.max(wp.sqrt(wp.max(path * path - across * across, 0.0)) - away * time, 0.0)


@wp.func
def missile_nearest(goal_speed: float, view: Sight, rules: Rules) -> float:
    """Shortest range in m at which a launch makes sense: a target that crosses leaves the view too soon."""
    return rules.missile_range_min + CROSSING_S * goal_speed * wp.length(wp.cross(view.los, view.other_forward))


@wp.func
def time_to_go(missile: Missile, goal: wp.vec3, goal_velocity: wp.vec3) -> float:
    """Range over closing speed in s, at most 30."""
    offset = goal - missile.position
    distance = wp.max(wp.length(offset), 1.0)
    closing = -wp.dot(goal_velocity - missile.velocity, offset) / distance
    time = wp.float32(30.0)
    if closing > 1.0:
        time = wp.min(distance / closing, 30.0)
    return time
