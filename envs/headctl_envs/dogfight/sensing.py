"""What a pilot observes, and which choices are legal: the kernels' part. Names and meanings are in ``features``."""

from typing import Any

import warp as wp

from headctl_envs.dogfight.blocks import AllyBlock, MissileBlock, Seen, StoreBlock
from headctl_envs.dogfight.config import FRAMES
from headctl_envs.dogfight.features import ENEMY_FEATURES, OWN_FEATURES, WORLD_ENEMY, WORLD_OWN
from headctl_envs.dogfight.flight import Airframe, Motion, down_of, forward_of
from headctl_envs.dogfight.geometry import glance
from headctl_envs.dogfight.lanes import OTHER, SELF, put_motion
from headctl_envs.dogfight.missiles import time_to_go
from headctl_envs.dogfight.numerics import exp_of
from headctl_envs.dogfight.perception import (
    ASPECT,
    ATA,
    ENEMY,
    ENEMY_SIZE,
    OWN,
    OWN_SIZE,
    REACH,
    WORTH,
    Axes,
    along,
    axes_of,
    perception_of,
    range_log,
)
from headctl_envs.dogfight.threats import arrival_after, missile_view
from headctl_envs.dogfight.weapons import (
    WEAPON_FLARE,
    WEAPON_GUN,
    WEAPON_MISSILE,
    any_gun_legal,
    flare_legal,
    missile_legal,
)
from headctl_envs.dogfight.world import GUIDED, Arena, Rules, first_ally, first_enemy

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.
# ruff: noqa: PLR0917  - that language has neither keyword arguments nor ``in``
wp.set_module_options({"enable_backward": False})

BODY = wp.constant(FRAMES.index("body"))
WORLD_OWN_SIZE = wp.constant(len(WORLD_OWN))
WORLD_ENEMY_SIZE = wp.constant(len(WORLD_ENEMY))
HEALTH = wp.constant([*OWN_FEATURES].index("health"))
ROUNDS = wp.constant([*OWN_FEATURES].index("rounds"))
TIME_LEFT = wp.constant([*OWN_FEATURES].index("time_left"))
LEGAL_GUN = wp.constant([*OWN_FEATURES].index("legal_gun"))
LEGAL_DIVE = wp.constant([*OWN_FEATURES].index("legal_dive"))
ENEMY_HEALTH = wp.constant([*ENEMY_FEATURES].index("enemy_health"))


@wp.func
def put(row: wp.array[wp.float32], at: int, vector: wp.vec3) -> None:
    """Writes the three components of a vector."""
    row[at + 0] = vector[0]
    row[at + 1] = vector[1]
    row[at + 2] = vector[2]


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
def observe_own(arena: Arena, rules: Rules, n: int, s: int, row: wp.array[wp.float32]) -> None:
    """Adds what motion alone does not tell to the features about the observer, and writes its masks."""
    may_fire = any_gun_legal(arena, rules, n, s)
    write_masks(arena, rules, n, s, may_fire, row[LEGAL_DIVE] > 0.0)
    row[HEALTH] = arena.seats[n, s].health
    row[ROUNDS] = arena.seats[n, s].rounds * rules.per_rounds
    row[TIME_LEFT] = 1.0 - float(arena.games[n].clock) * rules.per_decisions
    row[LEGAL_GUN] = wp.where(may_fire, 1.0, 0.0)


@wp.func
def observe_stores(arena: Arena, rules: Rules, flying: int, n: int, s: int, rows: wp.array2d[StoreBlock]) -> None:
    """Writes the features about missiles and flares on board, and their masks."""
    envelope = wp.float32(2.0)
    may_launch = wp.bool(False)
    may_drop = flare_legal(arena, n, s)
    if rules.missiles > 0.0:
        reach = arena.seats[n, s].reach
        may_launch = missile_legal(arena, rules, reach, n, s)
        envelope = wp.min(arena.seats[n, s].view.range / wp.max(reach, 1.0), 2.0)
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
        present = rules.at_enemies + k * (ENEMY_SIZE + 1)
        if arena.seats[n, arena.rank[n, s, k]].health > 0.0:
            row[present] = 1.0
        else:
            clear(row, present, ENEMY_SIZE + 1)
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
def gather_pair(arena: Arena, n: int, s: int, k: int, rows: wp.array2d[wp.float32], lane: int) -> None:
    """Tells a lane the motions of seat ``s`` and of the enemy that it observes in place ``k``."""
    put_motion(rows, SELF, lane, arena.seats[n, s].motion)
    put_motion(rows, OTHER, lane, arena.seats[n, arena.rank[n, s, k]].motion)


@wp.func(inline=True)
def note(
    arena: Arena, rules: Rules, rows: wp.array2d[wp.float32], lane: int, n: int, s: int, k: int, seen: Seen
) -> None:
    """Takes over what a lane has told: the features, and in the first place all else about the target."""
    row = seen.rows[n, s]
    if k == 0:
        arena.seats[n, s].view.ata = rows[ATA, lane]
        arena.seats[n, s].view.aa = rows[ASPECT, lane]
        arena.seats[n, s].reach = rows[REACH, lane]
        arena.seats[n, s].worth = rows[WORTH, lane]
        for i in range(OWN_SIZE):
            row[i] = rows[OWN + i, lane]
    at = rules.at_enemies + wp.where(rules.team > 1, k * (ENEMY_SIZE + 1) + 1, 0)
    for i in range(ENEMY_SIZE):
        row[at + i] = rows[ENEMY + i, lane]
    row[at + ENEMY_HEALTH] = arena.seats[n, arena.rank[n, s, k]].health


def sensing_of(lanes: int) -> Any:
    """Returns the Warp function that brings up to date what the living of so many games perceive of enemies."""
    perceive_lanes = perception_of(lanes)

    @wp.func(inline=True)
    def sense(
        arena: Arena,
        rules: Rules,
        airframes: wp.array[Airframe],
        seen: Seen,
        rows: wp.array2d[wp.float32],
        first: int,
        games: int,
    ) -> None:
        for s in range(rules.seats):
            airframe = airframes[s]
            for k in range(rules.enemies_seen):
                for lane in range(games):
                    if rules.team == 1 or arena.seats[first + lane, s].health > 0.0:
                        gather_pair(arena, first + lane, s, k, rows, lane)
                perceive_lanes(rows, rules, airframe)
                for lane in range(games):
                    if rules.team == 1 or arena.seats[first + lane, s].health > 0.0:
                        note(arena, rules, rows, lane, first + lane, s, k, seen)

    return sense


@wp.func(inline=True)
def observe(arena: Arena, rules: Rules, flying: int, n: int, s: int, seen: Seen) -> None:
    """Adds all that is not perceived of enemies to the observation of seat ``s`` in game ``n``, and writes its masks.

    ``flying`` missiles are in the air. Who was dead before the decision has been buried already: see ``Seat.lived``.
    """
    if rules.team > 1 and arena.seats[n, s].health <= 0.0:
        if arena.seats[n, s].lived != 0:
            bury(arena, rules, n, s, seen.rows[n, s])
        return
    own = arena.seats[n, s].motion
    observe_own(arena, rules, n, s, seen.rows[n, s])
    if rules.armed != 0:
        observe_stores(arena, rules, flying, n, s, seen.stores)
    if rules.team > 1:
        observe_team(arena, rules, n, s, own, axes_of(own, rules), seen, seen.rows[n, s])
    if rules.missiles_seen > 0:
        observe_missiles(arena, rules, flying, n, s, own, axes_of(own, rules), seen.missiles)
    if rules.frame != BODY:
        observe_world(arena, rules, n, s, own, seen.rows[n, s])
