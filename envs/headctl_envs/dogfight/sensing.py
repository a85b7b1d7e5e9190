"""What a pilot observes, and which choices are legal: the kernels' part. Names and meanings are in ``features``."""

import math

import warp as wp

from headctl_envs.dogfight.blocks import AllyBlock, EnemyBlock, MissileBlock, OwnBlock, Seen, StoreBlock
from headctl_envs.dogfight.config import FRAMES
from headctl_envs.dogfight.features import (
    ENEMY_FEATURES,
    WORLD_ENEMY,
    WORLD_OWN,
)
from headctl_envs.dogfight.flight import (
    Air,
    Airframe,
    G,
    Motion,
    air_after,
    down_of,
    drag_to_weight,
    forward_of,
    lift_per_weight,
    load_factor_available,
    right_of,
    thrust_at_lever,
    thrust_to_weight,
)
from headctl_envs.dogfight.geometry import Sight, glance, sight
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
def along(vector: wp.vec3, axes: Axes) -> wp.vec3:
    """The components of a vector along the observer's axes."""
    return wp.vec3(wp.dot(vector, axes.x), wp.dot(vector, axes.y), wp.dot(vector, axes.z))


@wp.func
def put(row: wp.array[wp.float32], at: int, vector: wp.vec3) -> None:
    """Writes the three components of a vector."""
    row[at + 0] = vector[0]
    row[at + 1] = vector[1]
    row[at + 2] = vector[2]


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
def clear(row: wp.array[wp.float32], at: int, size: int) -> None:
    """Writes a block of zeros."""
    for i in range(size):
        row[at + i] = 0.0


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
    arena: Arena, rules: Rules, airframe: Airframe, air: Air, n: int, s: int, own: Motion, rows: wp.array2d[OwnBlock]
) -> None:
    """Writes the features about the observer and the masks; ``air`` is the air around it."""
    altitude = -own.position[2]
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
    block = OwnBlock()
    block.altitude = altitude / 10000.0
    block.floor_margin = wp.min(height / 2000.0, 1.0)
    block.speed = own.speed / 340.0
    block.mach = mach
    block.gravity_forward = forward[2]
    block.gravity_right = right_of(own.attitude)[2]
    block.gravity_down = down_of(own.attitude)[2]
    block.load_factor = own.load_factor / 9.0
    block.load_factor_available = available / 9.0
    block.roll_rate = own.roll_rate / 4.0
    block.lever = own.lever
    block.energy = energy / 10000.0 - 1.0
    block.specific_power = own.speed * (thrust - drag_to_weight(airframe, mach, slope, lift, 0.0)) / 250.0
    block.health = arena.seats[n, s].health
    block.rounds = arena.seats[n, s].rounds * rules.per_rounds
    block.time_left = 1.0 - float(arena.games[n].clock) * rules.per_decisions
    block.legal_gun = wp.where(may_fire, 1.0, 0.0)
    block.legal_dive = wp.where(may_dive, 1.0, 0.0)
    rows[n, s] = block


@wp.func
def observe_stores(
    arena: Arena, rules: Rules, air: Air, flying: int, n: int, s: int, own: Motion, rows: wp.array2d[StoreBlock]
) -> None:
    """Writes the features about missiles and flares on board, and their masks."""
    target = arena.seats[n, s].target
    view = arena.seats[n, s].view
    envelope = wp.float32(2.0)
    may_launch = wp.bool(False)
    may_drop = flare_legal(arena, n, s)
    if rules.missiles > 0.0:
        reach = missile_reach(own, arena.seats[n, target].motion.speed, view, rules, air.density)
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
    block = StoreBlock()
    block.missiles = arena.seats[n, s].missiles_left * rules.per_missiles
    block.flares = arena.seats[n, s].flares * rules.per_flares
    block.lock = wp.min(arena.seats[n, s].lock_s * rules.per_lock, 1.0)
    block.envelope = envelope
    block.missile_wait = wp.min(arena.seats[n, s].missile_wait / 2.0, 4.0)
    block.flare_wait = wp.min(arena.seats[n, s].flare_wait / 2.0, 4.0)
    block.legal_missile = wp.where(may_launch, 1.0, 0.0)
    block.legal_flare = wp.where(may_drop, 1.0, 0.0)
    block.own_missile = tracking
    block.own_missile_time = soonest
    rows[n, s] = block


@wp.func
def enemy_block(
    rules: Rules, own: Motion, foe: Motion, foe_health: float, view: Sight, back: Sight, axes: Axes
) -> EnemyBlock:
    """The features about one enemy; ``back`` is what he sees of the observer."""
    energy = -own.position[2] + 0.5 * own.speed * own.speed / G
    foe_energy = -foe.position[2] + 0.5 * foe.speed * foe.speed / G
    rate = along(view.los_rate, axes) / 0.5
    heading = along(view.other_forward, axes)
    block = EnemyBlock()
    block.los = along(view.los, axes)
    block.range_log = range_log(view.range)
    block.range_near = exp_of(-view.range / 1000.0)
    block.closure = view.closure / 600.0
    block.cos_aspect = wp.dot(view.los, view.other_forward)
    block.cos_crossing = wp.dot(view.own_forward, view.other_forward)
    block.aim = exp_of(-view.ata * rules.per_aim)
    block.aim_coarse = 1.0 - 2.0 * view.ata / wp.pi
    block.enemy_aim = exp_of(-back.ata * rules.per_aim)
    block.los_rate = wp.vec3(wp.clamp(rate[0], -2.0, 2.0), wp.clamp(rate[1], -2.0, 2.0), wp.clamp(rate[2], -2.0, 2.0))
    block.enemy_right = heading[1]
    block.enemy_down = heading[2]
    block.enemy_lift = along(-down_of(foe.attitude), axes)
    block.enemy_load_factor = foe.load_factor / 9.0
    block.speed_difference = (own.speed - foe.speed) / 200.0
    block.height_difference = wp.clamp((foe.position[2] - own.position[2]) / 2000.0, -2.0, 2.0)
    block.energy_difference = tanh_of((energy - foe_energy) / 2000.0)
    block.enemy_health = foe_health
    block.enemy_in_zone = in_gun_zone(view, rules)
    block.in_enemy_zone = in_gun_zone(back, rules)
    return block


@wp.func
def observe_team(
    arena: Arena, rules: Rules, n: int, s: int, own: Motion, axes: Axes, seen: Seen, row: wp.array[wp.float32]
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
        present = rules.at_enemies + k * (ENEMY_SIZE + 1)
        if arena.seats[n, other].health > 0.0:
            foe = arena.seats[n, other].motion
            row[present] = 1.0
            seen.enemies[n, s, k] = enemy_block(
                rules, own, foe, arena.seats[n, other].health, sight(own, foe), sight(foe, own), axes
            )
        else:
            row[present] = 0.0
            seen.enemies[n, s, k] = EnemyBlock()
    for k in range(rules.allies_seen):
        other = arena.mates[n, s, k]
        block = AllyBlock()
        if arena.seats[n, other].health > 0.0:
            mate = arena.seats[n, other].motion
            view = glance(own, mate)
            block.present = 1.0
            block.los = along(view.los, axes)
            block.range_log = range_log(view.range)
            block.closure = view.closure / 600.0
            block.heading = along(view.other_forward, axes)
            block.speed_difference = (own.speed - mate.speed) / 200.0
            block.ally_health = arena.seats[n, other].health
        seen.allies[n, s, k] = block


@wp.func
def observe_missiles(
    arena: Arena, rules: Rules, flying: int, n: int, s: int, own: Motion, axes: Axes, blocks: wp.array3d[MissileBlock]
) -> None:
    """Writes the features about inbound missiles, the one that arrives first in front."""
    after = wp.float32(-1.0)
    tie = wp.int32(-1)
    more = wp.bool(flying > 0)
    velocity = forward_of(own.attitude) * own.speed
    for k in range(rules.missiles_seen):
        block = MissileBlock()
        if more:
            which = arrival_after(arena.missiles, rules, own, n, s, after, tie)
            more = which[0] >= 0
            if more:
                missile = arena.missiles[n, which[0], which[1]]
                view = missile_view(missile, own)
                after = time_to_go(missile, own.position, velocity)
                tie = which[2]
                block.present = 1.0
                block.los = along(view.los, axes)
                block.range_log = range_log(view.range)
                block.closure = view.closure / 600.0
                block.time = exp_of(-0.2 * after)
        blocks[n, s, k] = block


@wp.func
def observe_world(arena: Arena, rules: Rules, n: int, s: int, own: Motion, row: wp.array[wp.float32]) -> None:
    """Writes directions along north, east and down."""
    put(row, rules.at_world, forward_of(own.attitude))
    put(row, rules.at_world + 3, -down_of(own.attitude))
    for k in range(rules.enemies_seen):
        other = arena.rank[n, s, k]
        at = rules.at_world + WORLD_OWN_SIZE + k * WORLD_ENEMY_SIZE
        if arena.seats[n, other].health > 0.0 or rules.team == 1:
            view = glance(own, arena.seats[n, other].motion)
            put(row, at, view.los)
            put(row, at + 3, view.other_forward)
        else:
            clear(row, at, WORLD_ENEMY_SIZE)


@wp.func(inline=True)
def observe(arena: Arena, rules: Rules, airframes: wp.array[Airframe], flying: int, n: int, s: int, seen: Seen) -> None:
    """Writes the observation of seat ``s`` in game ``n`` and its masks; ``flying`` missiles are in the air.

    Who was dead before the decision has been buried already: see ``Seat.lived``.
    """
    if rules.team > 1 and arena.seats[n, s].health <= 0.0:
        if arena.seats[n, s].lived != 0:
            bury(arena, rules, n, s, seen.rows[n, s])
        return
    own = arena.seats[n, s].motion
    axes = axes_of(own, rules)
    air = air_after(arena.seats[n, s].air, -own.position[2])
    observe_own(arena, rules, airframes[s], air, n, s, own, seen.own)
    if rules.armed != 0:
        observe_stores(arena, rules, air, flying, n, s, own, seen.stores)
    if rules.team == 1:
        foe = arena.seats[n, s].target
        seen.enemies[n, s, 0] = enemy_block(
            rules,
            own,
            arena.seats[n, foe].motion,
            arena.seats[n, foe].health,
            arena.seats[n, s].view,
            arena.seats[n, foe].view,
            axes,
        )
    else:
        observe_team(arena, rules, n, s, own, axes, seen, seen.rows[n, s])
    if rules.missiles_seen > 0:
        observe_missiles(arena, rules, flying, n, s, own, axes, seen.missiles)
    if rules.frame != BODY:
        observe_world(arena, rules, n, s, own, seen.rows[n, s])
