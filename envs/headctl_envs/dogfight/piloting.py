"""What the scripted pilots share: how to fly a wanted maneuver in any library, fire discipline, keeping alive."""

import warp as wp

from headctl_envs.dogfight.flight import Air, Airframe, G, Motion, down_of, forward_of
from headctl_envs.dogfight.geometry import Sight, arc_tangent
from headctl_envs.dogfight.kernels import Actions
from headctl_envs.dogfight.maneuvers import (
    HOLD,
    PULL_UP,
    PURE,
    PUSH_OVER,
    RESIDUAL_LEVER,
    RESIDUAL_LOAD,
    RESIDUAL_TILT,
    TURN_LEFT,
    Frame,
    hold_lever,
    lever_of,
    lift_of,
    plan_of,
)
from headctl_envs.dogfight.missiles import missile_reach, thin_air_at, time_to_go
from headctl_envs.dogfight.threats import incoming
from headctl_envs.dogfight.weapons import WEAPON_FLARE, WEAPON_GUN, WEAPON_MISSILE, gun_damage_rate
from headctl_envs.dogfight.world import GUIDED, Rules, World

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.
# ruff: noqa: PLR0917  - that language has neither keyword arguments nor ``in``
wp.set_module_options({"enable_backward": False})

FIRE_SHARE = wp.constant(0.25)
"""The simple pilots save their rounds until a hit does this share of the largest damage."""


@wp.func
def index_of(world: World, kind: int) -> int:
    """Position of a maneuver in the library, or -1."""
    found = wp.int32(-1)
    for k in range(world.kinds.shape[0]):
        if world.kinds[k] == kind:
            found = k
    return found


@wp.func
def write(actions: Actions, n: int, s: int, choice: int, weapon: int, params: wp.vec3) -> None:
    """Writes one seat's action."""
    actions.maneuver[n, s] = wp.int64(choice)
    actions.weapon[n, s] = wp.int64(weapon)
    actions.params[n, s] = params


@wp.func
def nearest_basic(
    world: World,
    n: int,
    s: int,
    wanted: wp.vec3,
    lever: float,
    own: Motion,
    frame: Frame,
    view: Sight,
    available: float,
    hold: float,
) -> wp.vec4:
    """The maneuver without an enemy whose lift vector comes closest to the wanted one, with its residuals.

    For libraries without a pursuit: (choice, load factor residual, throttle residual, lift vector residual).
    """
    best = wp.float32(1.0e9)
    answer = wp.vec4(0.0, 0.0, 0.0, 0.0)
    size = wp.max(wp.length(wanted), 0.02)
    for k in range(world.kinds.shape[0]):
        kind = world.kinds[k]
        if kind < PURE and kind != PUSH_OVER and world.mask_maneuver[n, s, k]:
            # First the residual that gives the size, then the tilt that is left to be made up for.
            plain = plan_of(kind, 0.0, own, 0.0, frame, view, available)
            nominal = wp.max(wp.length(lift_of(plain, own, frame, view)), 0.02)
            reach = RESIDUAL_LOAD * wp.where(kind < TURN_LEFT, nominal, available)
            load = wp.clamp((size - nominal) / reach, -1.0, 1.0)
            plan = plan_of(kind, load, own, 0.0, frame, view, available)
            lift = lift_of(plan, own, frame, view)
            gap = lever - lever_of(plan, hold)
            pulled = wp.max(wp.length(lift), 0.02)
            side = wp.dot(wp.cross(lift, wanted), frame.forward)
            tilt = arc_tangent(side, wp.dot(lift, wanted))
            turn = wp.clamp(tilt / RESIDUAL_TILT, -1.0, 1.0)
            throttle = wp.clamp(gap / RESIDUAL_LEVER, -1.0, 1.0)
            left = (
                wp.abs(tilt - turn * RESIDUAL_TILT) * size
                + wp.abs(size - pulled)
                + 0.2 * wp.abs(gap - throttle * RESIDUAL_LEVER)
            )
            if left < best:
                best = left
                answer = wp.vec4(float(k), load, throttle, turn)
    return answer


@wp.func
def sinking(own: Motion, rules: Rules, available: float) -> bool:
    """Whether the pull-out must begin now: the height it takes, with the roll to get there, is nearly what is left."""
    sink = wp.max(forward_of(own.attitude)[2], 0.0)
    upright = 0.5 * (1.0 - down_of(own.attitude)[2])
    pull = wp.max(0.65 * available, 1.6) - 1.0
    # A pull-out from dive angle d on a circle of radius r = V^2 / (g (n - 1)) takes the height r (1 - cos d).
    arc = own.speed * own.speed / (G * pull) * (1.0 - wp.sqrt(wp.max(1.0 - sink * sink, 0.0)))
    lag = own.speed * sink * (1.0 + 1.5 * upright)
    return -own.position[2] - rules.floor_m < 150.0 + 1.3 * arc + lag


@wp.func
def meeting(view: Sight, back: Sight) -> bool:
    """Two aircraft about to meet head-on: both turn right, as the rules of the air have it."""
    return view.ata < 0.6 and back.ata < 0.6 and view.range < 1.6 * view.closure


@wp.func
def manoeuvre(
    world: World,
    kind: int,
    n: int,
    s: int,
    own: Motion,
    foe: Motion,
    frame: Frame,
    view: Sight,
    available: float,
    airframe: Airframe,
    air: Air,
) -> wp.vec4:
    """A maneuver relative to the enemy in any library: (choice, three residuals)."""
    choice = index_of(world, kind)
    answer = wp.vec4(float(choice), 0.0, 0.0, 0.0)
    if choice < 0:
        hold = hold_lever(own, frame, airframe, air)
        plan = plan_of(kind, 0.0, own, foe.speed, frame, view, available)
        wanted = lift_of(plan, own, frame, view)
        size = wp.length(wanted)
        if size > available:
            wanted = wanted * (available / size)
        answer = nearest_basic(world, n, s, wanted, lever_of(plan, hold), own, frame, view, available, hold)
    return answer


@wp.func
def soonest_threat(world: World, rules: Rules, n: int, s: int) -> float:
    """Time until the first missile arrives, in s; 1e9 without one."""
    time = wp.float32(1.0e9)
    if rules.armed != 0:
        which = incoming(world, rules, n, s)
        if which[0] >= 0:
            own = world.motion[n, s]
            time = time_to_go(world.missiles[n, which[0], which[1]], own.position, forward_of(own.attitude) * own.speed)
    return time


@wp.func
def guides_missile(world: World, rules: Rules, n: int, s: int) -> bool:
    """Whether a missile of seat ``s`` is on its way to the target that it has now."""
    found = wp.bool(False)
    for m in range(rules.slots):
        missile = world.missiles[n, s, m]
        found = found or (missile.phase == GUIDED and int(missile.target) == world.target[n, s])
    return found


@wp.func
def weapon_choice(
    world: World,
    rules: Rules,
    n: int,
    s: int,
    threat: float,
    flare_at: float,
    envelope: float,
    share: float,
    salvo: int,
) -> int:
    """The weapon of a disciplined pilot.

    A flare when a missile is less than ``flare_at`` seconds away, else the gun when a hit does ``share`` of the largest
    damage, else a missile inside the share ``envelope`` of its reach; with ``salvo`` 0 one at a time.
    """
    weapon = wp.int32(0)
    if threat < flare_at and world.mask_weapon[n, s, WEAPON_FLARE]:
        weapon = WEAPON_FLARE
    elif gun_damage_rate(world.view[n, s], rules) >= share * rules.gun_damage and world.mask_weapon[n, s, WEAPON_GUN]:
        weapon = WEAPON_GUN
    elif world.mask_weapon[n, s, WEAPON_MISSILE] and (salvo != 0 or not guides_missile(world, rules, n, s)):
        target = world.motion[n, world.target[n, s]]
        density = thin_air_at(-world.motion[n, s].position[2]).density
        reach = missile_reach(world.motion[n, s], target.speed, world.view[n, s], rules, density)
        if world.view[n, s].range < envelope * reach:
            weapon = WEAPON_MISSILE
    return weapon


@wp.func
def pull_out(world: World, frame: Frame) -> wp.vec4:
    """The way out of a dive: pull until the nose is up, then level off with power."""
    answer = wp.vec4(float(index_of(world, PULL_UP)), 1.0, 0.0, 0.0)
    if frame.forward[2] < 0.1:
        answer = wp.vec4(float(index_of(world, HOLD)), 0.0, 1.0, 0.0)
    return answer
