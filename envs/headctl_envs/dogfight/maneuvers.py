"""Maneuvers: one mapping from a maneuver and its residuals to load factor, roll rate, lever and brake.

Every maneuver produces a desired lift vector (in g, perpendicular to the velocity, gravity already carried) and a lever
position. The aircraft rolls its lift axis towards that vector and pulls as much of it as the roll error allows.

Residuals (zero is nominal): ``load_factor`` +1 pulls harder, -1 softer; ``throttle`` +-1 moves the lever by +-0.3;
``lift_vector`` +1 turns the lift vector by 30 degrees clockwise as the pilot sees it. In the maneuvers that track the
enemy, the first and the last act with a third of that strength, so that exploring does not rule out aiming.
"""

import warp as wp

from headctl_envs.dogfight.flight import (
    Air,
    Airframe,
    Command,
    G,
    Motion,
    down_of,
    drag_to_weight,
    lever_for_thrust,
    lift_per_weight,
    load_factor_available,
    right_of,
    thrust_to_weight,
)
from headctl_envs.dogfight.geometry import Sight
from headctl_envs.dogfight.names import LIBRARIES
from headctl_envs.dogfight.numerics import arc_tangent
from headctl_envs.dogfight.warp_struct import struct

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.
# ruff: noqa: PLR0917, PLR1714, SIM109  - that language has neither keyword arguments nor ``in``
wp.set_module_options({"enable_backward": False})

KINDS = tuple(dict.fromkeys(name for library in LIBRARIES.values() for name in library))
"""Every maneuver name once; the position is the code the kernels use, whatever the library."""

HOLD = wp.constant(KINDS.index("hold"))
ACCELERATE = wp.constant(KINDS.index("accelerate"))
DECELERATE = wp.constant(KINDS.index("decelerate"))
TURN_LEFT = wp.constant(KINDS.index("turn_left"))
TURN_RIGHT = wp.constant(KINDS.index("turn_right"))
PULL_UP = wp.constant(KINDS.index("pull_up"))
PUSH_OVER = wp.constant(KINDS.index("push_over"))
CLIMB_LEFT = wp.constant(KINDS.index("climb_left"))
CLIMB_RIGHT = wp.constant(KINDS.index("climb_right"))
DIVE_LEFT = wp.constant(KINDS.index("dive_left"))
DIVE_RIGHT = wp.constant(KINDS.index("dive_right"))
PURE = wp.constant(KINDS.index("pure_pursuit"))
LEAD = wp.constant(KINDS.index("lead_pursuit"))
LAG = wp.constant(KINDS.index("lag_pursuit"))
BREAK = wp.constant(KINDS.index("break_turn"))
NOTCH = wp.constant(KINDS.index("notch"))
EXTEND = wp.constant(KINDS.index("extend"))
HIGH_YO_YO = wp.constant(KINDS.index("high_yo_yo"))

LOAD_NOMINAL = wp.constant(0.65)
"""Share of the available load factor that turns and pulls use with a zero residual; +-1 changes it by 0.35."""
BREAK_NOMINAL = wp.constant(0.90)
RESIDUAL_LOAD = wp.constant(0.35)
RESIDUAL_LEVER = wp.constant(0.3)
RESIDUAL_TILT = wp.constant(0.5235988)  # 30 degrees
TRACKING = wp.constant(1.0 / 3.0)
PATH_GAIN = wp.constant(0.5)  # 1/s, how fast level maneuvers bring the path angle to zero
POINTING_GAIN = wp.constant(1.5)  # 1/s, how fast pursuits bring the nose to the aim point
ROLL_GAIN = wp.constant(3.0)  # 1/s, damping ratio 0.58 with a roll lag of 0.25 s
TILT45 = wp.constant(0.70710678)


@struct
class Frame:
    """Directions a maneuver is built from, NED: velocity, right wing, down axis, upward and horizontal normals."""

    forward: wp.vec3
    right: wp.vec3
    down: wp.vec3
    support: wp.vec3
    up: wp.vec3
    side: wp.vec3


@struct
class Plan:
    """A maneuver before the aircraft's limits: lift vector in g, its sign (-1 pushes), lever, brake, tracking flag."""

    lift: wp.vec3
    sign: wp.float32
    lever: wp.float32
    brake: wp.float32
    tracking: wp.float32


@wp.func
def frame_of(own: Motion, view: Sight) -> Frame:
    """Directions around the velocity; in vertical flight the aircraft's own axes stand in for the horizon's.

    ``support`` is the lift in g that carries the weight, its length is cos(gamma).
    """
    frame = Frame()
    frame.forward = view.own_forward
    frame.right = right_of(own.attitude)
    frame.down = down_of(own.attitude)
    frame.support = frame.forward * frame.forward[2] - wp.vec3(0.0, 0.0, 1.0)
    level = wp.length(frame.support)
    if level > 0.05:
        frame.up = frame.support / level
    else:
        frame.up = -frame.down
    frame.side = wp.cross(frame.forward, frame.up)
    return frame


@wp.func
def levelling(own: Motion, frame: Frame) -> float:
    """Vertical lift in g that carries the weight and brings the path angle to zero."""
    return wp.length(frame.support) + PATH_GAIN * own.speed * frame.forward[2] / G


@wp.func
def pointing(own: Motion, frame: Frame, aim: wp.vec3) -> wp.vec3:
    """Lift in g that turns the velocity towards the unit vector ``aim``, at a rate in proportion to the angle."""
    along = wp.dot(aim, frame.forward)
    across = aim - frame.forward * along
    size = wp.length(across)
    turn = wp.vec3(0.0, 0.0, 0.0)
    if size > 1.0e-6:
        turn = across * (arc_tangent(size, along) * POINTING_GAIN * own.speed / (G * size))
    return turn


@wp.func
def pursuit_lift(own: Motion, foe: Motion, frame: Frame, view: Sight, lead_s: float, rise: float) -> wp.vec3:
    """Pursuit law in g: point at an aim point ahead of (or behind) the enemy and turn with the line of sight.

    The line of sight's own rotation is fed forward, omega x v: without it the nose lags a turning target by the
    ratio of its turn rate and the gain. ``lead_s`` is negative for lag; ``rise`` lifts the aim point, in m.
    """
    aim = view.los * view.range + view.other_forward * (foe.speed * lead_s) - wp.vec3(0.0, 0.0, rise)
    lift = pointing(own, frame, wp.normalize(aim))
    feed = wp.cross(view.los_rate, frame.forward) * (own.speed / G)
    return lift + feed + frame.support


@wp.func
def chase_lever(view: Sight, hold: float) -> wp.vec2:
    """Lever and brake that close on the enemy and arrive behind him with his speed."""
    wanted = wp.clamp((view.range - 450.0) * 0.25, -40.0, 250.0)
    lack = wanted - view.closure
    return wp.vec2(wp.clamp(hold + 0.025 * lack, 0.0, 1.0), wp.clamp(-(lack + 25.0) * 0.02, 0.0, 1.0))


@wp.func
def basic_plan(kind: int, g: float, own: Motion, frame: Frame, available: float, hold: float) -> Plan:
    """Maneuvers that need no enemy."""
    plan = Plan()
    plan.sign = 1.0
    plan.lever = 1.0
    share = (LOAD_NOMINAL + RESIDUAL_LOAD * g) * available
    level = levelling(own, frame)
    hand = 1.0
    if kind == TURN_LEFT or kind == CLIMB_LEFT or kind == DIVE_LEFT:
        hand = -1.0
    steer = wp.clamp(level * (1.0 + RESIDUAL_LOAD * g), -1.0, 4.0)
    plan.lift = frame.up * wp.abs(steer)
    if steer < 0.0 and (kind == HOLD or kind == ACCELERATE or kind == DECELERATE):
        plan.sign = -1.0  # nose high: push, wings level, rather than roll inverted
    if kind == HOLD:
        plan.lever = hold
    elif kind == DECELERATE:
        plan.lever = 0.0
        plan.brake = 1.0
    elif kind == TURN_LEFT or kind == TURN_RIGHT:
        vertical = wp.clamp(level, -0.8 * share, 0.8 * share)
        plan.lift = frame.up * vertical + frame.side * (hand * wp.sqrt(share * share - vertical * vertical))
    elif kind == PULL_UP:
        # Past the vertical the near side of the loop is "down" in the horizon's sense: keep pulling towards one's own
        # lift while the nose is more than 30 degrees up, then roll upright (an Immelmann turn).
        over = frame.forward[2] < -0.5 and wp.dot(frame.up, frame.down) > 0.0
        plan.lift = frame.up * wp.where(over, -share, share)
    elif kind == PUSH_OVER:
        plan.sign = -1.0
        plan.lever = 0.77
        plan.lift = frame.up * (0.5 - 0.5 * g)
    elif kind == CLIMB_LEFT or kind == CLIMB_RIGHT:
        plan.lift = frame.support + (frame.up + frame.side * hand) * (share * TILT45)
    elif kind == DIVE_LEFT or kind == DIVE_RIGHT:
        plan.lift = frame.support + (frame.side * hand - frame.up) * (share * TILT45)
    return plan


@wp.func
def chases(kind: int) -> bool:
    """Whether a maneuver tracks the enemy."""
    return kind == PURE or kind == LEAD or kind == LAG or kind == HIGH_YO_YO


@wp.func
def tracking_plan(
    kind: int, g: float, own: Motion, foe: Motion, frame: Frame, view: Sight, available: float, hold: float
) -> Plan:
    """Maneuvers relative to the enemy."""
    plan = Plan()
    plan.sign = 1.0
    plan.lever = 1.0
    time_to_reach = view.range / wp.max(own.speed, 50.0)
    if kind == BREAK:
        # The hardest turn towards him, whatever it takes to point there: it spoils his aim and costs energy.
        across = view.los - frame.forward * wp.dot(view.los, frame.forward)
        size = wp.length(across)
        share = wp.min(BREAK_NOMINAL + RESIDUAL_LOAD * g, 1.0) * available
        if size > 1.0e-3:
            plan.lift = across * (share / size)
        else:
            plan.lift = frame.up * share
    elif kind == NOTCH:
        across = frame.forward - view.los * wp.dot(frame.forward, view.los)
        flat = wp.vec3(across[0], across[1], 0.0)
        size = wp.length(flat)
        aim = frame.up
        if size > 1.0e-3:
            aim = flat / size
        plan.lift = pointing(own, frame, aim) * (2.0 * (1.0 + RESIDUAL_LOAD * g)) + frame.support
    elif kind == EXTEND:
        flat = wp.vec3(-view.los[0], -view.los[1], 0.0)
        size = wp.length(flat)
        aim = frame.forward
        if size > 1.0e-3:
            aim = flat / size
        plan.lift = pointing(own, frame, aim) * (1.0 + RESIDUAL_LOAD * g) + frame.support
    else:
        lead = wp.float32(0.0)
        rise = wp.float32(0.0)
        if kind == LEAD:
            lead = wp.min(0.5 * time_to_reach, 3.0)
        elif kind == LAG:
            lead = -wp.min(0.5 * time_to_reach, 2.0)
        elif kind == HIGH_YO_YO:
            lead = -wp.min(0.25 * time_to_reach, 1.0)
            rise = 0.35 * view.range
        plan.tracking = 1.0
        plan.lift = pursuit_lift(own, foe, frame, view, lead, rise) * (1.0 + TRACKING * RESIDUAL_LOAD * g)
        chase = chase_lever(view, hold)
        plan.lever = chase[0]
        plan.brake = chase[1]
    return plan


@wp.func
def tilt_of(angle: float) -> wp.vec2:
    """Sine and cosine of an angle up to 0.6 rad, absolute error below 1e-7; sine odd and cosine even exactly."""
    z = angle * angle
    sine = angle * (1.0 - z * (0.16666667 - z * (8.3333333e-3 - z * 1.9841270e-4)))
    return wp.vec2(sine, 1.0 - z * (0.5 - z * (4.1666667e-2 - z * (1.3888889e-3 - z * 2.4801587e-5))))


@wp.func
def fulfil(
    plan: Plan, trim: float, lever_trim: float, own: Motion, frame: Frame, airframe: Airframe, air: Air
) -> Command:
    """Turns a plan into what the aircraft can do: roll towards the lift vector, pull what the roll error allows."""
    command = Command()
    turn = tilt_of(RESIDUAL_TILT * trim * (1.0 - plan.tracking * (1.0 - TRACKING)))
    lift = plan.lift
    size = wp.length(lift)
    # The lift axis is -down; the angle to the wanted vector is counted clockwise, towards the right wing.
    pull = wp.float32(size)
    error = wp.float32(0.0)
    if size > 0.02:
        right = wp.dot(lift, frame.right)
        up = -wp.dot(lift, frame.down)
        along = up * turn[1] - right * turn[0]
        error = arc_tangent(right * turn[1] + up * turn[0], along)
        pull = wp.max(along, 0.0)
    slope = lift_per_weight(airframe, air, wp.max(own.speed, 1.0))
    available = load_factor_available(airframe, air, own.speed)
    least = wp.max(airframe.load_factor_min, airframe.lift_min * slope)
    command.load_factor = wp.clamp(plan.sign * pull, least, available)
    cl = wp.clamp(own.load_factor / slope, airframe.lift_min, airframe.lift_max)
    roll_max = (
        airframe.roll_rate_max_rad_s
        * wp.min(own.speed * airframe.per_roll_full_speed, 1.0)
        * (1.0 - 0.5 * wp.abs(cl) / airframe.lift_max)
    )
    command.roll_rate = wp.clamp(ROLL_GAIN * error, -roll_max, roll_max)
    command.lever = wp.clamp(plan.lever + RESIDUAL_LEVER * lever_trim, 0.0, 1.0)
    command.brake = plan.brake
    return command


@wp.func
def hold_lever(own: Motion, frame: Frame, airframe: Airframe, air: Air) -> float:
    """Lever position that keeps the present speed on the present path."""
    slope = lift_per_weight(airframe, air, own.speed)
    mach = own.speed * air.inverse_sound
    lift = wp.clamp(own.load_factor, airframe.lift_min * slope, airframe.lift_max * slope)
    drag = drag_to_weight(airframe, mach, slope, lift, 0.0)
    return lever_for_thrust(airframe, thrust_to_weight(airframe, air, mach), drag - frame.forward[2])


@wp.func
def guide(kind: int, params: wp.vec3, own: Motion, foe: Motion, view: Sight, airframe: Airframe, air: Air) -> Command:
    """The command of maneuver ``kind`` with residuals ``params`` (load factor, throttle, lift vector) in [-1, 1]."""
    frame = frame_of(own, view)
    available = load_factor_available(airframe, air, own.speed)
    hold = wp.float32(0.0)
    if kind == HOLD or chases(kind):
        hold = hold_lever(own, frame, airframe, air)
    plan = Plan()
    if kind >= PURE:
        plan = tracking_plan(kind, params[0], own, foe, frame, view, available, hold)
    else:
        plan = basic_plan(kind, params[0], own, frame, available, hold)
    return fulfil(plan, params[2], params[1], own, frame, airframe, air)
