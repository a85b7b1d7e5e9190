"""The state of all games as Warp sees it: records in torch tensors, and the counter-based random numbers.

Shape legend: N games, A seats (the first half is red), E seats per side, M missiles in flight per seat, K choices,
D features.
"""

import warp as wp

from headctl_envs.dogfight.flight import Motion, forward_of
from headctl_envs.dogfight.geometry import Sight, glance
from headctl_envs.dogfight.rules import Rules
from headctl_envs.dogfight.warp_struct import field_slices, struct

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.
# ruff: noqa: PLR0917  - that language has no keyword arguments

wp.set_module_options({"enable_backward": False})


NEVER = wp.constant(1.0e30)
"""Key of who is not sorted."""
EMPTY = wp.constant(0.0)
GUIDED = wp.constant(1.0)
COASTING = wp.constant(2.0)


@struct
class Missile:
    """One missile: position (m, NED), velocity (m/s), direction of the seeker, age (s), target's seat, phase.

    ``phase`` is 0 where the slot is empty, 1 while the seeker tracks, 2 once it has lost the target.
    """

    position: wp.vec3
    velocity: wp.vec3
    seeker: wp.vec3
    age: wp.float32
    target: wp.float32
    phase: wp.float32


@struct
class Seat:
    """One aircraft of one game, all that a step reads and writes of it side by side in memory.

    ``target`` is the enemy that it fights, ``view`` what it sees of him, up to date with ``motion`` (its angles only
    between decisions). ``lock_s`` is the time that the seeker has seen the target, ``..._wait`` are cooldowns in s,
    ``zone_s`` the time with an enemy in the gun's zone. ``cause`` says how it died, 0 while it lives; ``present`` is 1
    until after the substep of a death, ``lived`` says whether it was alive when the decision began. ``choice``,
    ``trigger`` (the weapon in force) and ``trim`` are the actions; ``moved`` and ``blast`` (damage by missiles) are
    scratch of one substep; ``damage`` is what the decision did to it, ``dealt`` what it did to others, ``spent`` what
    its weapons were worth. ``reach`` is how far a missile would fly to the target, ``worth`` the advantage over him.
    """

    motion: Motion
    moved: Motion
    view: Sight
    trim: wp.vec3
    health: wp.float32
    rounds: wp.float32
    missiles_left: wp.float32
    flares: wp.float32
    lock_s: wp.float32
    missile_wait: wp.float32
    flare_wait: wp.float32
    zone_s: wp.float32
    damage: wp.float32
    blast: wp.float32
    dealt: wp.float32
    spent: wp.float32
    reach: wp.float32
    worth: wp.float32
    target: wp.int32
    cause: wp.int32
    choice: wp.int32
    trigger: wp.int32
    lived: wp.int32
    present: wp.int32


@struct
class Game:
    """One game: ``clock`` counts decisions, ``over`` says that a team is gone, ``potential`` is that of red."""

    potential: wp.float32
    clock: wp.int32
    episode: wp.int32
    over: wp.int32


@struct
class Counts:
    """Statistics of one game: sums since the last ``pop_statistics``."""

    episodes: wp.float32
    length: wp.float32
    kill: wp.float32
    crash: wp.float32
    collision: wp.float32
    time: wp.float32
    by_gun: wp.float32
    by_missile: wp.float32
    rounds: wp.float32
    missiles: wp.float32
    flares: wp.float32
    missile_ends: wp.float32
    missile_hits: wp.float32
    missile_decoys: wp.float32
    fired: wp.float32
    hits: wp.float32
    zone_s: wp.float32
    illegal: wp.float32
    decisions: wp.float32


SEAT_FIELDS, SEAT_SIZE = field_slices(Seat)
"""Where the fields of :class:`Seat` stand in the last dimension of the engine's buffer of seats, in 4-byte words."""
GAME_FIELDS, GAME_SIZE = field_slices(Game)
COUNTS = tuple(Counts.vars)
"""Columns of the engine's ``counts`` [N, S]."""
MISSILE_FIELDS, MISSILE_SIZE = field_slices(Missile)
"""Where the fields of :class:`Missile` stand in the last dimension of the engine's ``missiles`` [N, A, M, 12]."""
MOTION_FIELDS, MOTION_SIZE = field_slices(Motion)
"""Where the fields of :class:`Motion` stand in the last dimension of the engine's tensor ``motion`` [N, A, 11]."""


@struct
class Arena:
    """Views of the engine's buffers for the kernels of a step.

    Few and by record: Warp passes structs by value, and every index into another array costs its own arithmetic.
    ``rank`` ``[N, A, E]`` has the enemies' seats in the order of the observation, ``mates`` ``[N, A, E - 1]`` the
    wingmen's; ``claim`` ``[N, A, A]`` is the damage wanted in a substep, by shooter.
    ``kinds`` has the maneuver codes of the library, ``falling`` the positions of its pull-down maneuvers.
    """

    seats: wp.array2d[Seat]
    games: wp.array[Game]
    missiles: wp.array3d[Missile]
    rank: wp.array3d[wp.int32]
    mates: wp.array3d[wp.int32]
    claim: wp.array3d[wp.float32]
    counts: wp.array[Counts]
    mask_maneuver: wp.array3d[wp.bool]
    mask_weapon: wp.array3d[wp.bool]
    kinds: wp.array[wp.int32]
    falling: wp.array[wp.int32]


@struct
class World:
    """The same memory as pilots see it, one array per quantity; ``[N, A]`` unless said. See :class:`Seat`.

    ``missiles`` is ``[N, A, M]``, ``clock`` and ``episode`` are ``[N]``, the masks ``[N, A, K]``; ``kinds`` has the
    maneuver codes of the library.
    """

    motion: wp.array2d[Motion]
    view: wp.array2d[Sight]
    missiles: wp.array3d[Missile]
    target: wp.array2d[wp.int32]
    health: wp.array2d[wp.float32]
    clock: wp.array[wp.int32]
    episode: wp.array[wp.int32]
    mask_maneuver: wp.array3d[wp.bool]
    mask_weapon: wp.array3d[wp.bool]
    kinds: wp.array[wp.int32]


@wp.func
def first_enemy(rules: Rules, s: int) -> int:
    """Seat of the first enemy of seat ``s``; his team mates follow it."""
    return wp.where(s < rules.team, rules.team, 0)


@wp.func
def first_ally(rules: Rules, s: int) -> int:
    """Seat of the first aircraft of the own team of seat ``s``."""
    return wp.where(s < rules.team, 0, rules.team)


@wp.func
def priority(own: Motion, other: Motion, health: float, forward: wp.vec3, weight: float) -> float:
    """Key by which others are sorted: the urgency, or with ``weight`` 0 the distance; the dead come last."""
    offset = other.position - own.position
    key = wp.length(offset) * (1.0 + weight) - weight * wp.dot(offset, forward)
    return wp.where(health > 0.0, key, key + 1.0e7)


@wp.func
def sort_seats(
    arena: Arena, n: int, order: wp.array[wp.int32], own: Motion, first: int, size: int, skipped: int, weight: float
) -> None:
    """Writes the ``size`` (at most four) seats from ``first`` on, without ``skipped``, sorted by :func:`priority`.

    A seat's place in ``order`` is the number of those that come before it; equals keep the order of the seats.
    """
    forward = forward_of(own.attitude)
    keys = wp.vec4(NEVER, NEVER, NEVER, NEVER)
    for i in range(size):
        if first + i != skipped:
            keys[i] = priority(own, arena.seats[n, first + i].motion, arena.seats[n, first + i].health, forward, weight)
    for i in range(size):
        if first + i != skipped:
            place = wp.int32(0)
            for j in range(size):
                if keys[j] < keys[i] or (keys[j] == keys[i] and j < i):
                    place = place + 1
            order[place] = first + i


@wp.func
def assign(arena: Arena, rules: Rules, n: int) -> None:
    """Chooses every seat's target and the order in which it observes enemies and wingmen.

    The most urgent enemy is the target: distance weighed by the angle off the nose, times 1 ahead, 2 abeam, 3 behind.
    """
    for s in range(rules.seats):
        first = first_enemy(rules, s)
        if rules.team == 1:
            arena.seats[n, s].target = first
            arena.rank[n, s, 0] = first
        else:
            own = arena.seats[n, s].motion
            sort_seats(arena, n, arena.rank[n, s], own, first, rules.team, -1, 1.0)
            sort_seats(arena, n, arena.mates[n, s], own, first_ally(rules, s), rules.team, s, 0.0)
            chosen = arena.rank[n, s, 0]
            if chosen != arena.seats[n, s].target:
                arena.seats[n, s].lock_s = 0.0
            arena.seats[n, s].target = chosen


@wp.func
def look(arena: Arena, rules: Rules, n: int) -> None:
    """Brings the views of game ``n`` up to date with motions and targets, all but their angles."""
    for s in range(rules.seats):
        arena.seats[n, s].view = glance(arena.seats[n, s].motion, arena.seats[n, arena.seats[n, s].target].motion)


@wp.func
def move_on(arena: Arena, rules: Rules, n: int) -> None:
    """Puts the aircraft of game ``n`` where the substep took them, and lets them look."""
    for s in range(rules.seats):
        arena.seats[n, s].motion = arena.seats[n, s].moved
    look(arena, rules, n)


@wp.func
def random_stream(seed: int, game: int, episode: int, purpose: int) -> wp.uint32:
    """State of a random number generator that depends on these four counters and on nothing else."""
    by_game = wp.rand_init(seed, game)
    by_episode = wp.rand_init(int(by_game), episode)
    return wp.rand_init(int(by_episode), purpose)
