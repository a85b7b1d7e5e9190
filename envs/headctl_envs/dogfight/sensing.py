"""What a pilot observes, and which choices are legal: the kernels' part. Names and meanings are in ``features``."""

import math

import warp as wp

from headctl_envs.dogfight.features import (
    ALLY_FEATURES,
    ENEMY_FEATURES,
    FRAMES,
    MISSILE_FEATURES,
    WORLD_ENEMY,
    WORLD_OWN,
)
from headctl_envs.dogfight.flight import (
    Airframe,
    G,
    Motion,
    air_at,
    down_of,
    drag_to_weight,
    forward_of,
    lift_per_weight,
    load_factor_available,
    right_of,
    thrust_at_lever,
    thrust_to_weight,
)
from headctl_envs.dogfight.geometry import Sight, sight
from headctl_envs.dogfight.missiles import missile_reach, time_to_go
from headctl_envs.dogfight.numerics import exp_of, log_of, tanh_of
from headctl_envs.dogfight.threats import arrival_after, missile_view
from headctl_envs.dogfight.warp_struct import struct
from headctl_envs.dogfight.weapons import (
    WEAPON_FLARE,
    WEAPON_GUN,
    WEAPON_MISSILE,
    any_gun_legal,
    flare_legal,
    in_gun_zone,
    missile_legal,
)
from headctl_envs.dogfight.world import GUIDED, Arena, Rules, first_ally, first_enemy

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.
# ruff: noqa: PLR0917  - that language has neither keyword arguments nor ``in``
wp.set_module_options({"enable_backward": False})

LOG10_E = wp.constant(math.log10(math.e))
ENEMY_SIZE = wp.constant(len(ENEMY_FEATURES))
ALLY_SIZE = wp.constant(len(ALLY_FEATURES))
MISSILE_SIZE = wp.constant(len(MISSILE_FEATURES))
WORLD_OWN_SIZE = wp.constant(len(WORLD_OWN))
WORLD_ENEMY_SIZE = wp.constant(len(WORLD_ENEMY))
BODY = wp.constant(FRAMES.index("body"))
WORLD = wp.constant(FRAMES.index("world"))


@struct
class Axes:
    """Directions along which an observer's vectors are told, NED."""

    x: wp.vec3
    y: wp.vec3
    z: wp.vec3


@wp.func
def axes_of(own: Motion, rules: Rules) -> Axes:
    """The observer's wind frame, or north, east and down."""
    axes = Axes()
    if rules.frame == WORLD:
        axes.x = wp.vec3(1.0, 0.0, 0.0)
        axes.y = wp.vec3(0.0, 1.0, 0.0)
        axes.z = wp.vec3(0.0, 0.0, 1.0)
    else:
        axes.x = forward_of(own.attitude)
        axes.y = right_of(own.attitude)
        axes.z = down_of(own.attitude)
    return axes


@wp.func
def put(row: wp.array[wp.float32], at: int, vector: wp.vec3, axes: Axes) -> None:
    """Writes the three components of a vector."""
    row[at + 0] = wp.dot(vector, axes.x)
    row[at + 1] = wp.dot(vector, axes.y)
    row[at + 2] = wp.dot(vector, axes.z)


@wp.func
def range_log(distance: float) -> float:
    """The feature of a range."""
    return (LOG10_E * log_of(distance) - 3.0) / 1.5


@wp.func
def dive_legal(height: float, speed: float, sink: float, available: float) -> bool:
    """Whether pull-down maneuvers are legal: a pull-out from a steep dive must still fit above the floor.

    ``height`` above the floor in m, ``sink`` the sine of the dive angle (negative in a climb). The height needed is
    ``V^2 (1 + sink) / (g (n - 1))`` with a moderate n, plus the fall of one second.
    """
    pull = wp.clamp(0.7 * available, 1.5, 5.0) - 1.0
    return height > speed * speed * (1.0 + sink) / (G * pull) + wp.max(speed * sink, 0.0)


@wp.func
def write_masks(arena: Arena, rules: Rules, n: int, s: int, may_fire: wp.bool, may_dive: wp.bool) -> None:
    """Writes the masks of a living seat: those that may change, the others stand from the start."""
    mask_maneuver = arena.mask_maneuver[n, s]
    if rules.team > 1:
        for k in range(arena.kinds.shape[0]):
            mask_maneuver[k] = True
    for i in range(arena.falling.shape[0]):
        mask_maneuver[arena.falling[i]] = may_dive
    arena.mask_weapon[n, s, WEAPON_GUN] = may_fire


@wp.func
def bury(arena: Arena, rules: Rules, n: int, s: int, row: wp.array[wp.float32]) -> None:
    """A dead seat observes nothing and has no choice."""
    for i in range(rules.features):
        row[i] = 0.0
    for k in range(arena.kinds.shape[0]):
        arena.mask_maneuver[n, s, k] = k == 0
    arena.mask_weapon[n, s, WEAPON_GUN] = False
    arena.mask_weapon[n, s, WEAPON_MISSILE] = False
    arena.mask_weapon[n, s, WEAPON_FLARE] = False


@wp.func
def observe_own(
    arena: Arena, rules: Rules, airframe: Airframe, n: int, s: int, own: Motion, row: wp.array[wp.float32]
) -> None:
    """Writes the features about the observer and the masks."""
    altitude = -own.position[2]
    air = air_at(altitude)
    mach = own.speed * air.inverse_sound
    slope = lift_per_weight(airframe, air, own.speed)
    lift = wp.clamp(own.load_factor, airframe.lift_min * slope, airframe.lift_max * slope)
    thrust = thrust_at_lever(airframe, thrust_to_weight(airframe, air, mach), own.lever)
    available = load_factor_available(airframe, air, own.speed)
    energy = altitude + 0.5 * own.speed * own.speed / G
    height = altitude - rules.floor_m
    forward = arena.seats[n, s].view.own_forward
    may_fire = any_gun_legal(arena, rules, n, s)
    may_dive = dive_legal(height, own.speed, forward[2], available)
    write_masks(arena, rules, n, s, may_fire, may_dive)
    row[0] = altitude / 10000.0
    row[1] = wp.min(height / 2000.0, 1.0)
    row[2] = own.speed / 340.0
    row[3] = mach
    row[4] = forward[2]
    row[5] = right_of(own.attitude)[2]
    row[6] = down_of(own.attitude)[2]
    row[7] = own.load_factor / 9.0
    row[8] = available / 9.0
    row[9] = own.roll_rate / 4.0
    row[10] = own.lever
    row[11] = energy / 10000.0 - 1.0
    row[12] = own.speed * (thrust - drag_to_weight(airframe, mach, slope, lift, 0.0)) / 250.0
    row[13] = arena.seats[n, s].health
    row[14] = arena.seats[n, s].rounds / wp.max(rules.gun_rounds, 1.0)
    row[15] = 1.0 - float(arena.games[n].clock) / float(rules.max_decisions)
    row[16] = wp.where(may_fire, 1.0, 0.0)
    row[17] = wp.where(may_dive, 1.0, 0.0)


@wp.func
def observe_stores(
    arena: Arena, rules: Rules, flying: int, n: int, s: int, own: Motion, view: Sight, row: wp.array[wp.float32]
) -> None:
    """Writes the features about missiles and flares on board, and their masks."""
    target = arena.seats[n, s].target
    envelope = wp.float32(2.0)
    may_launch = wp.bool(False)
    may_drop = flare_legal(arena, n, s)
    if rules.missiles > 0.0:
        reach = missile_reach(own, arena.seats[n, target].motion.speed, view, rules)
        may_launch = missile_legal(arena, rules, reach, n, s)
        envelope = wp.min(view.range / wp.max(reach, 1.0), 2.0)
    arena.mask_weapon[n, s, WEAPON_MISSILE] = may_launch
    arena.mask_weapon[n, s, WEAPON_FLARE] = may_drop
    tracking = wp.float32(0.0)
    soonest = wp.float32(0.0)
    for m in range(wp.where(flying > 0, rules.slots, 0)):
        if arena.missiles[n, s, m].phase == GUIDED:
            missile = arena.missiles[n, s, m]
            goal = arena.seats[n, int(missile.target)].motion
            time = time_to_go(missile, goal.position, forward_of(goal.attitude) * goal.speed)
            tracking = 1.0
            soonest = wp.max(soonest, exp_of(-time / 5.0))
    at = rules.at_stores
    row[at + 0] = arena.seats[n, s].missiles_left / wp.max(rules.missiles, 1.0)
    row[at + 1] = arena.seats[n, s].flares / wp.max(rules.flares, 1.0)
    row[at + 2] = wp.min(arena.seats[n, s].lock_s / wp.max(rules.missile_lock, 0.01), 1.0)
    row[at + 3] = envelope
    row[at + 4] = wp.min(arena.seats[n, s].missile_wait / 2.0, 4.0)
    row[at + 5] = wp.min(arena.seats[n, s].flare_wait / 2.0, 4.0)
    row[at + 6] = wp.where(may_launch, 1.0, 0.0)
    row[at + 7] = wp.where(may_drop, 1.0, 0.0)
    row[at + 8] = tracking
    row[at + 9] = soonest


@wp.func
def observe_enemy(
    rules: Rules,
    own: Motion,
    foe: Motion,
    foe_health: float,
    view: Sight,
    back: Sight,
    axes: Axes,
    at: int,
    row: wp.array[wp.float32],
) -> None:
    """Writes the features about one enemy from position ``at`` on; ``back`` is what he sees of the observer."""
    energy = -own.position[2] + 0.5 * own.speed * own.speed / G
    foe_energy = -foe.position[2] + 0.5 * foe.speed * foe.speed / G
    put(row, at, view.los, axes)
    row[at + 3] = range_log(view.range)
    row[at + 4] = exp_of(-view.range / 1000.0)
    row[at + 5] = view.closure / 600.0
    row[at + 6] = wp.dot(view.los, view.other_forward)
    row[at + 7] = wp.dot(view.own_forward, view.other_forward)
    row[at + 8] = exp_of(-view.ata / (3.0 * rules.gun_half_angle))
    row[at + 9] = 1.0 - 2.0 * view.ata / wp.pi
    row[at + 10] = exp_of(-back.ata / (3.0 * rules.gun_half_angle))
    row[at + 11] = wp.clamp(wp.dot(view.los_rate, axes.x) / 0.5, -2.0, 2.0)
    row[at + 12] = wp.clamp(wp.dot(view.los_rate, axes.y) / 0.5, -2.0, 2.0)
    row[at + 13] = wp.clamp(wp.dot(view.los_rate, axes.z) / 0.5, -2.0, 2.0)
    row[at + 14] = wp.dot(view.other_forward, axes.y)
    row[at + 15] = wp.dot(view.other_forward, axes.z)
    put(row, at + 16, -down_of(foe.attitude), axes)
    row[at + 19] = foe.load_factor / 9.0
    row[at + 20] = (own.speed - foe.speed) / 200.0
    row[at + 21] = wp.clamp((foe.position[2] - own.position[2]) / 2000.0, -2.0, 2.0)
    row[at + 22] = tanh_of((energy - foe_energy) / 2000.0)
    row[at + 23] = foe_health
    row[at + 24] = in_gun_zone(view, rules)
    row[at + 25] = in_gun_zone(back, rules)


@wp.func
def clear(row: wp.array[wp.float32], at: int, size: int) -> None:
    """Writes a block of zeros."""
    for i in range(size):
        row[at + i] = 0.0


@wp.func
def observe_team(
    arena: Arena, rules: Rules, n: int, s: int, own: Motion, axes: Axes, row: wp.array[wp.float32]
) -> None:
    """Writes the features about enemies and wingmen of a team."""
    mine = first_ally(rules, s)
    theirs = first_enemy(rules, s)
    allies = wp.float32(0.0)
    enemies = wp.float32(0.0)
    for i in range(rules.team):
        allies = allies + wp.where(arena.seats[n, mine + i].health > 0.0, 1.0, 0.0)
        enemies = enemies + wp.where(arena.seats[n, theirs + i].health > 0.0, 1.0, 0.0)
    row[rules.at_team] = allies / float(rules.team)
    row[rules.at_team + 1] = enemies / float(rules.team)
    for k in range(rules.enemies_seen):
        other = arena.rank[n, s, k]
        at = rules.at_enemies + k * (ENEMY_SIZE + 1)
        if arena.seats[n, other].health > 0.0:
            foe = arena.seats[n, other].motion
            row[at] = 1.0
            observe_enemy(
                rules, own, foe, arena.seats[n, other].health, sight(own, foe), sight(foe, own), axes, at + 1, row
            )
        else:
            clear(row, at, ENEMY_SIZE + 1)
    for k in range(rules.allies_seen):
        other = arena.mates[n, s, k]
        at = rules.at_allies + k * ALLY_SIZE
        if arena.seats[n, other].health > 0.0:
            mate = arena.seats[n, other].motion
            view = sight(own, mate)
            row[at] = 1.0
            put(row, at + 1, view.los, axes)
            row[at + 4] = range_log(view.range)
            row[at + 5] = view.closure / 600.0
            put(row, at + 6, view.other_forward, axes)
            row[at + 9] = (own.speed - mate.speed) / 200.0
            row[at + 10] = arena.seats[n, other].health
        else:
            clear(row, at, ALLY_SIZE)


@wp.func
def observe_missiles(
    arena: Arena, rules: Rules, flying: int, n: int, s: int, own: Motion, axes: Axes, row: wp.array[wp.float32]
) -> None:
    """Writes the features about inbound missiles, the one that arrives first in front."""
    after = wp.float32(-1.0)
    tie = wp.int32(-1)
    seen = wp.int32(0)
    if flying > 0:
        seen = wp.min(rules.missiles_seen, flying)
    velocity = forward_of(own.attitude) * own.speed
    for k in range(seen):
        which = arrival_after(arena.missiles, rules, own, n, s, after, tie)
        if which[0] < 0:
            seen = k
            break
        missile = arena.missiles[n, which[0], which[1]]
        view = missile_view(missile, own)
        after = time_to_go(missile, own.position, velocity)
        tie = which[2]
        at = rules.at_missiles + k * MISSILE_SIZE
        row[at] = 1.0
        put(row, at + 1, view.los, axes)
        row[at + 4] = range_log(view.range)
        row[at + 5] = view.closure / 600.0
        row[at + 6] = exp_of(-0.2 * after)
    clear(row, rules.at_missiles + seen * MISSILE_SIZE, (rules.missiles_seen - seen) * MISSILE_SIZE)


@wp.func
def observe_world(arena: Arena, rules: Rules, n: int, s: int, own: Motion, row: wp.array[wp.float32]) -> None:
    """Writes directions along north, east and down."""
    axes = Axes()
    axes.x = wp.vec3(1.0, 0.0, 0.0)
    axes.y = wp.vec3(0.0, 1.0, 0.0)
    axes.z = wp.vec3(0.0, 0.0, 1.0)
    put(row, rules.at_world, forward_of(own.attitude), axes)
    put(row, rules.at_world + 3, -down_of(own.attitude), axes)
    for k in range(rules.enemies_seen):
        other = arena.rank[n, s, k]
        at = rules.at_world + WORLD_OWN_SIZE + k * WORLD_ENEMY_SIZE
        if arena.seats[n, other].health > 0.0 or rules.team == 1:
            view = sight(own, arena.seats[n, other].motion)
            put(row, at, view.los, axes)
            put(row, at + 3, view.other_forward, axes)
        else:
            clear(row, at, WORLD_ENEMY_SIZE)


@wp.func(inline=True)
def observe(
    arena: Arena,
    rules: Rules,
    airframes: wp.array[Airframe],
    flying: int,
    n: int,
    s: int,
    rows: wp.array3d[wp.float32],
) -> None:
    """Writes the observation of seat ``s`` in game ``n`` into ``rows[n, s]`` and its masks into the arena."""
    row = rows[n, s]
    if rules.team > 1 and arena.seats[n, s].health <= 0.0:
        bury(arena, rules, n, s, row)
        return
    own = arena.seats[n, s].motion
    axes = axes_of(own, rules)
    observe_own(arena, rules, airframes[s], n, s, own, row)
    if rules.armed != 0:
        observe_stores(arena, rules, flying, n, s, own, arena.seats[n, s].view, row)
    if rules.team == 1:
        foe = arena.seats[n, s].target
        observe_enemy(
            rules,
            own,
            arena.seats[n, foe].motion,
            arena.seats[n, foe].health,
            arena.seats[n, s].view,
            arena.seats[n, foe].view,
            axes,
            rules.at_enemies,
            row,
        )
    else:
        observe_team(arena, rules, n, s, own, axes, row)
    if rules.missiles_seen > 0:
        observe_missiles(arena, rules, flying, n, s, own, axes, row)
    if rules.frame != BODY:
        observe_world(arena, rules, n, s, own, row)
