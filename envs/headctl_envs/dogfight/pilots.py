"""Scripted pilots: kernels that write an action for every seat from the current state.

They use the same three heads as any agent and obey the same masks. What they do depends on the state and on the
counters (seed, game, episode, time) alone, so a pilot plays the same game whatever batch it is in.

``straight`` flies straight and level and never fires. ``random`` flies a random legal maneuver with random residuals,
changed about every 3 s, and now and then fires. ``pursuit`` flies the pursuit law, fires when the enemy is in the cone,
keeps off the floor and passes an oncoming enemy on the right.
"""

import warp as wp

from headctl_envs.dogfight.config import PILOTS
from headctl_envs.dogfight.flight import Airframe, G, Motion, air_at, down_of, forward_of, load_factor_available
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
    TURN_RIGHT,
    Frame,
    basic_plan,
    chase_lever,
    frame_of,
    hold_lever,
    pursuit_lift,
)
from headctl_envs.dogfight.sensing import WEAPON_GUN
from headctl_envs.dogfight.weapons import gun_damage_rate
from headctl_envs.dogfight.world import Rules, World, random_stream

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.
# ruff: noqa: PLR0917  - that language has neither keyword arguments nor ``in``
wp.set_module_options({"enable_backward": False})

STRAIGHT = wp.constant(PILOTS.index("straight"))
RANDOM = wp.constant(PILOTS.index("random"))
PURSUIT = wp.constant(PILOTS.index("pursuit"))

PURPOSE_PILOT = wp.constant(1000)
RANDOM_PERIOD_S = wp.constant(3.0)
RANDOM_FIRE_SHARE = wp.constant(0.3)
FIRE_SHARE = wp.constant(0.25)
"""The pursuit pilot saves its rounds until a hit does this share of the largest damage."""


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
def fly_random(world: World, rules: Rules, actions: Actions, seed: int, n: int, s: int) -> None:
    """A random legal maneuver per slot of 3 s; the slots' phase differs from seat to seat."""
    game = rules.game_offset + n
    seat_rng = random_stream(seed, game, world.episode[n], PURPOSE_PILOT + s)
    phase = wp.randf(seat_rng) * RANDOM_PERIOD_S
    slot = int((float(world.clock[n]) * rules.decision_s + phase) / RANDOM_PERIOD_S)
    rng = random_stream(int(seat_rng), game, slot, PURPOSE_PILOT + s)
    choice = wp.randi(rng, 0, world.kinds.shape[0])
    params = wp.vec3(2.0 * wp.randf(rng) - 1.0, 2.0 * wp.randf(rng) - 1.0, 2.0 * wp.randf(rng) - 1.0)
    if not world.mask_maneuver[n, s, choice]:
        choice = 0
        params = wp.vec3(0.0, 0.0, 0.0)
    decision_rng = random_stream(int(seat_rng), game, world.clock[n], PURPOSE_PILOT + rules.seats + s)
    weapon = wp.int32(0)
    if world.mask_weapon[n, s, WEAPON_GUN] and wp.randf(decision_rng) < RANDOM_FIRE_SHARE:
        weapon = WEAPON_GUN
    write(actions, n, s, choice, weapon, params)


@wp.func
def nearest_basic(
    world: World,
    n: int,
    s: int,
    wanted: wp.vec3,
    lever: float,
    own: Motion,
    frame: Frame,
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
            nominal = wp.max(wp.length(basic_plan(kind, 0.0, own, frame, available, hold).lift), 0.02)
            reach = RESIDUAL_LOAD * wp.where(kind < TURN_LEFT, nominal, available)
            load = wp.clamp((size - nominal) / reach, -1.0, 1.0)
            plan = basic_plan(kind, load, own, frame, available, hold)
            pulled = wp.max(wp.length(plan.lift), 0.02)
            side = wp.dot(wp.cross(plan.lift, wanted), frame.forward)
            tilt = arc_tangent(side, wp.dot(plan.lift, wanted))
            turn = wp.clamp(tilt / RESIDUAL_TILT, -1.0, 1.0)
            throttle = wp.clamp((lever - plan.lever) / RESIDUAL_LEVER, -1.0, 1.0)
            left = (
                wp.abs(tilt - turn * RESIDUAL_TILT) * size
                + wp.abs(size - pulled)
                + 0.2 * wp.abs(lever - plan.lever - throttle * RESIDUAL_LEVER)
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
def fly_pursuit(world: World, rules: Rules, actions: Actions, airframe: Airframe, n: int, s: int) -> None:
    """Pursuit, with the few rules that keep its pilot alive."""
    own = world.motion[n, s]
    foe = world.motion[n, 1 - s]
    view = world.view[n, s]
    back = world.view[n, 1 - s]
    frame = frame_of(own, view)
    air = air_at(-own.position[2])
    available = load_factor_available(airframe, air, own.speed)
    weapon = wp.int32(0)
    if gun_damage_rate(view, rules) >= FIRE_SHARE * rules.gun_damage and world.mask_weapon[n, s, WEAPON_GUN]:
        weapon = WEAPON_GUN
    choice = index_of(world, PURE)
    params = wp.vec3(0.0, 0.0, 0.0)
    if sinking(own, rules, available):
        choice = index_of(world, PULL_UP)
        params = wp.vec3(1.0, 0.0, 0.0)
        if frame.forward[2] < 0.1:
            choice = index_of(world, HOLD)
            params = wp.vec3(0.0, 1.0, 0.0)
    elif meeting(view, back):
        choice = index_of(world, TURN_RIGHT)
    elif view.range < view.closure and view.ata < 0.5:
        choice = index_of(world, PULL_UP)
    elif choice < 0:
        wanted = pursuit_lift(own, foe, frame, view, 0.0, 0.0)
        size = wp.length(wanted)
        if size > available:
            wanted = wanted * (available / size)
        hold = hold_lever(own, frame, airframe, air)
        lever = chase_lever(view, hold)[0]
        answer = nearest_basic(world, n, s, wanted, lever, own, frame, available, hold)
        choice = int(answer[0])
        params = wp.vec3(answer[1], answer[2], answer[3])
    write(actions, n, s, choice, weapon, params)


@wp.func
def meeting(view: Sight, back: Sight) -> bool:
    """Two aircraft about to meet head-on: both turn right, as the rules of the air have it."""
    return view.ata < 0.6 and back.ata < 0.6 and view.range < 1.6 * view.closure


@wp.kernel
def pilot(
    world: World, rules: Rules, airframes: wp.array[Airframe], actions: Actions, seed: wp.array[wp.int32], which: int
) -> None:
    """Writes the actions of pilot ``which`` (its position in ``PILOTS``) for every seat of every game."""
    n = wp.tid()
    for s in range(rules.seats):
        if which == STRAIGHT:
            write(actions, n, s, 0, 0, wp.vec3(0.0, 0.0, 0.0))
        elif which == RANDOM:
            fly_random(world, rules, actions, seed[0], n, s)
        else:
            fly_pursuit(world, rules, actions, airframes[s], n, s)
