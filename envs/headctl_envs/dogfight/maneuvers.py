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
# ruff: noqa: PLR0915, PLR0917, PLR1714, SIM109  - that language has neither keyword arguments nor ``in``, and a struct
# that comes out of several functions would not stay in registers
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
RIGHT_ANGLE = wp.constant(1.5707964)


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
    """A maneuver before the aircraft's limits, as shares of directions: numbers only, see :func:`lift_of`.

    The lift vector in g is ``up`` and ``side`` times these normals, ``support`` times what carries the weight, and what
    turns the velocity towards an aim: ``turn`` times as hard as :data:`POINTING_GAIN` asks, or with ``pull`` g however
    far that is, with ``feed`` times the rotation of the line of sight. The aim is ``to_los``, ``to_forward`` and
    ``to_other`` times line of sight, own and other velocity, lifted by ``rise`` m; ``level`` 1 takes its vertical part
    away, and where nothing is left ``up`` stands in for it by the share ``vague``. ``scale`` multiplies it all.

    ``sign`` is -1 where the aircraft pushes; ``lever`` comes on top of ``holds`` times the lever that keeps the speed;
    ``tracking`` is 1 for maneuvers that track the enemy.
    """

    up: wp.float32
    side: wp.float32
    support: wp.float32
    turn: wp.float32
    pull: wp.float32
    feed: wp.float32
    to_los: wp.float32
    to_forward: wp.float32
    to_other: wp.float32
    rise: wp.float32
    level: wp.float32
    vague: wp.float32
    scale: wp.float32
    sign: wp.float32
    lever: wp.float32
    holds: wp.float32
    brake: wp.float32
    tracking: wp.float32


@wp.func(inline=True)
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
    flat = level > 0.05
    frame.up = frame.support * wp.where(flat, 1.0 / wp.max(level, 0.05), 0.0) - frame.down * wp.where(flat, 0.0, 1.0)
    frame.side = wp.cross(frame.forward, frame.up)
    return frame


@wp.func(inline=True)
def levelling(own: Motion, frame: Frame) -> float:
    """Vertical lift in g that carries the weight and brings the path angle to zero."""
    return wp.length(frame.support) + PATH_GAIN * own.speed * frame.forward[2] / G


@wp.func(inline=True)
def lift_of(plan: Plan, own: Motion, frame: Frame, view: Sight) -> wp.vec3:
    """Lift vector in g that a plan wants.

    Towards the aim the velocity turns at a rate in proportion to the angle. ``feed`` adds omega x v, the rotation of
    the line of sight itself: without it the nose lags a turning target by the ratio of its turn rate and the gain.
    """
    aim = view.los * plan.to_los + frame.forward * plan.to_forward + view.other_forward * plan.to_other
    aim = wp.vec3(aim[0], aim[1], (aim[2] - plan.rise) * (1.0 - plan.level))
    reach = wp.length(aim)
    along = wp.dot(aim, frame.forward)
    across = aim - frame.forward * along
    size = wp.length(across)
    per_angle = plan.turn * POINTING_GAIN * own.speed / G
    vague = reach <= 1.0e-3
    turn = wp.where(vague or size <= 1.0e-6 * reach, 0.0, per_angle * arc_tangent(size, along) / wp.max(size, 1.0e-9))
    pull = wp.where(size > 1.0e-3, plan.pull / wp.max(size, 1.0e-3), 0.0)
    up = plan.up + wp.where(vague, plan.vague * per_angle * RIGHT_ANGLE, 0.0) + wp.where(size > 1.0e-3, 0.0, plan.pull)
    lift = across * (turn + pull) + frame.up * up + frame.side * plan.side + frame.support * plan.support
    feed = wp.cross(view.los_rate, frame.forward) * (plan.feed * own.speed / G)
    return (lift + feed) * plan.scale


@wp.func(inline=True)
def lever_of(plan: Plan, hold: float) -> float:
    """Lever position that a plan wants, without the residual; ``hold`` is that which keeps the speed."""
    return wp.clamp(plan.lever + plan.holds * hold, 0.0, 1.0)


@wp.func(inline=True)
def plan_of(kind: int, g: float, own: Motion, foe_speed: float, frame: Frame, view: Sight, available: float) -> Plan:
    """What maneuver ``kind`` with load factor residual ``g`` wants; those before ``PURE`` need no enemy."""
    plan = Plan()
    plan.scale = 1.0
    plan.sign = 1.0
    plan.lever = 1.0
    plan.to_los = 1.0
    share = (LOAD_NOMINAL + RESIDUAL_LOAD * g) * available
    harder = 1.0 + RESIDUAL_LOAD * g
    level = levelling(own, frame)
    steer = wp.clamp(level * harder, -1.0, 4.0)
    hand = wp.where(kind == TURN_LEFT or kind == CLIMB_LEFT or kind == DIVE_LEFT, -1.0, 1.0)
    time_to_reach = view.range / wp.max(own.speed, 50.0)
    if kind == HOLD or kind == ACCELERATE or kind == DECELERATE:
        plan.up = wp.abs(steer)
        plan.sign = wp.where(steer < 0.0, -1.0, 1.0)  # nose high: push, wings level, rather than roll inverted
        plan.lever = wp.where(kind == ACCELERATE, 1.0, 0.0)
        plan.holds = wp.where(kind == HOLD, 1.0, 0.0)
        plan.brake = wp.where(kind == DECELERATE, 1.0, 0.0)
    elif kind == TURN_LEFT or kind == TURN_RIGHT:
        vertical = wp.clamp(level, -0.8 * share, 0.8 * share)
        plan.up = vertical
        plan.side = hand * wp.sqrt(share * share - vertical * vertical)
    elif kind == PULL_UP:
        # Past the vertical the near side of the loop is "down" in the horizon's sense: keep pulling towards one's own
        # lift while the nose is more than 30 degrees up, then roll upright (an Immelmann turn).
        over = frame.forward[2] < -0.5 and wp.dot(frame.up, frame.down) > 0.0
        plan.up = wp.where(over, -share, share)
    elif kind == PUSH_OVER:
        plan.sign = -1.0
        plan.lever = 0.77
        plan.up = 0.5 - 0.5 * g
    elif kind < PURE:
        climbs = kind == CLIMB_LEFT or kind == CLIMB_RIGHT
        plan.support = 1.0
        plan.up = wp.where(climbs, share, -share) * TILT45
        plan.side = hand * share * TILT45
    elif kind == BREAK:
        # The hardest turn towards him, whatever it takes to point there: it spoils his aim and costs energy.
        plan.pull = wp.min(BREAK_NOMINAL + RESIDUAL_LOAD * g, 1.0) * available
    elif kind == NOTCH:
        plan.to_los = -wp.dot(frame.forward, view.los)
        plan.to_forward = 1.0
        plan.level = 1.0
        plan.vague = 1.0
        plan.turn = 2.0 * harder
        plan.support = 1.0
    elif kind == EXTEND:
        plan.to_los = -1.0
        plan.level = 1.0
        plan.turn = harder
        plan.support = 1.0
    else:
        # Aim ahead of the enemy or behind him, and close on him so as to arrive behind him with his speed.
        lead = wp.where(kind == LEAD, wp.min(0.5 * time_to_reach, 3.0), 0.0)
        lag = wp.where(kind == LAG, wp.min(0.5 * time_to_reach, 2.0), 0.0)
        high = wp.where(kind == HIGH_YO_YO, wp.min(0.25 * time_to_reach, 1.0), 0.0)
        plan.to_los = view.range
        plan.to_other = foe_speed * (lead - lag - high)
        plan.rise = wp.where(kind == HIGH_YO_YO, 0.35 * view.range, 0.0)
        plan.turn = 1.0
        plan.feed = 1.0
        plan.support = 1.0
        plan.scale = 1.0 + TRACKING * RESIDUAL_LOAD * g
        plan.tracking = 1.0
        lack = wp.clamp((view.range - 450.0) * 0.25, -40.0, 250.0) - view.closure
        plan.holds = 1.0
        plan.lever = 0.025 * lack
        plan.brake = wp.clamp(-(lack + 25.0) * 0.02, 0.0, 1.0)
    return plan


@wp.func(inline=True)
def tilt_of(angle: float) -> wp.vec2:
    """Sine and cosine of an angle up to 0.6 rad, absolute error below 1e-7; sine odd and cosine even exactly."""
    z = angle * angle
    sine = angle * (1.0 - z * (0.16666667 - z * (8.3333333e-3 - z * 1.9841270e-4)))
    return wp.vec2(sine, 1.0 - z * (0.5 - z * (4.1666667e-2 - z * (1.3888889e-3 - z * 2.4801587e-5))))


@wp.func(inline=True)
def fulfil(
    plan: Plan,
    lift: wp.vec3,
    hold: float,
    trim: float,
    lever_trim: float,
    own: Motion,
    frame: Frame,
    airframe: Airframe,
    air: Air,
) -> Command:
    """Turns a plan into what the aircraft can do: roll towards the lift vector, pull what the roll error allows."""
    command = Command()
    turn = tilt_of(RESIDUAL_TILT * trim * (1.0 - plan.tracking * (1.0 - TRACKING)))
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
    command.lever = wp.clamp(lever_of(plan, hold) + RESIDUAL_LEVER * lever_trim, 0.0, 1.0)
    command.brake = plan.brake
    return command


@wp.func(inline=True)
def hold_lever(own: Motion, frame: Frame, airframe: Airframe, air: Air) -> float:
    """Lever position that keeps the present speed on the present path."""
    slope = lift_per_weight(airframe, air, own.speed)
    mach = own.speed * air.inverse_sound
    lift = wp.clamp(own.load_factor, airframe.lift_min * slope, airframe.lift_max * slope)
    drag = drag_to_weight(airframe, mach, slope, lift, 0.0)
    return lever_for_thrust(airframe, thrust_to_weight(airframe, air, mach), drag - frame.forward[2])


@wp.func(inline=True)
def guide(
    kind: int, params: wp.vec3, own: Motion, foe_speed: float, view: Sight, airframe: Airframe, air: Air
) -> Command:
    """The command of maneuver ``kind`` with residuals ``params`` (load factor, throttle, lift vector) in [-1, 1]."""
    frame = frame_of(own, view)
    available = load_factor_available(airframe, air, own.speed)
    hold = hold_lever(own, frame, airframe, air)
    plan = plan_of(kind, params[0], own, foe_speed, frame, view, available)
    lift = lift_of(plan, own, frame, view)
    return fulfil(plan, lift, hold, params[2], params[1], own, frame, airframe, air)
