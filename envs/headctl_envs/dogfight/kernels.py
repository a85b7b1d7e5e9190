"""One decision of every game: the kernels that the engine launches, one thread per game."""

import functools
from typing import Any

import warp as wp

from headctl_envs.dogfight.blocks import Seen
from headctl_envs.dogfight.flight import Airframe
from headctl_envs.dogfight.judgement import Results, score, write_tally
from headctl_envs.dogfight.lanes import (
    COURSE,
    FLIGHT_ROWS,
    GOAL,
    GOAL_SPEED,
    KIND,
    ON_CPU,
    SELF,
    TRIM,
    flight_of,
    motion_at,
    put,
    put_motion,
)
from headctl_envs.dogfight.maneuvers import NOTCH
from headctl_envs.dogfight.perception import PERCEPTION_ROWS
from headctl_envs.dogfight.scoring import check_ending, potential_of
from headctl_envs.dogfight.sensing import observe, sensing_of
from headctl_envs.dogfight.starts import start_game
from headctl_envs.dogfight.threats import arrival_after
from headctl_envs.dogfight.warp_struct import fast_arithmetic, struct
from headctl_envs.dogfight.weapons import (
    WEAPON_FLARE,
    WEAPON_GUN,
    WEAPON_MISSILE,
    apply_damage,
    drop_flare,
    fire_guns,
    fly_missiles,
    launch_missile,
    missiles_flying,
    track_targets,
)
from headctl_envs.dogfight.world import Arena, Rules, assign, look, move_on

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.
# ruff: noqa: PLR0917  - that language has neither keyword arguments nor ``in``
_OPTIONS = {
    "enable_backward": False,
    "max_unroll": 0,  # loops over lanes stay loops
    "cpu_compiler_flags": fast_arithmetic(wp.config.cpu_compiler_flags),
}
wp.set_module_options(_OPTIONS)

NONE = wp.constant(0)
ENDED = wp.constant(1)
ALL = wp.constant(2)
ROWS = max(FLIGHT_ROWS, PERCEPTION_ROWS)
"""Rows of numbers that a thread works with, one number per lane."""


@struct
class Actions:
    """Views of the action buffers: ``maneuver`` and ``weapon`` ``[N, A]``, ``params`` ``[N, A, 3]``."""

    maneuver: wp.array2d[wp.int64]
    weapon: wp.array2d[wp.int64]
    params: wp.array2d[wp.vec3]


@wp.func
def residual(value: float) -> float:
    """A residual in [-1, 1]; anything that is not a number counts as nominal. By its bits: see ``fast_arithmetic``."""
    size = wp.cast(value, wp.int32) & 0x7FFFFFFF
    safe = wp.float32(value)
    if size > 0x7F800000:
        safe = 0.0
    elif size > 0x3F800000:
        safe = wp.where(wp.cast(value, wp.int32) < 0, -1.0, 1.0)
    return safe


@wp.func
def accept(arena: Arena, actions: Actions, n: int, s: int) -> int:
    """Takes over the actions of one seat; what is masked or impossible becomes the nominal choice and is counted.

    Returns the weapon in force.
    """
    arena.seats[n, s].dealt = 0.0
    arena.seats[n, s].spent = 0.0
    arena.seats[n, s].damage = 0.0
    arena.seats[n, s].trigger = 0
    if arena.seats[n, s].health <= 0.0:
        arena.seats[n, s].lived = 0
        arena.seats[n, s].present = 0
        return 0
    arena.seats[n, s].lived = 1
    arena.seats[n, s].present = 1
    arena.seats[n, s].cause = 0
    choice = actions.maneuver[n, s]
    index = wp.int32(0)
    illegal = wp.float32(0.0)
    if choice >= wp.int64(0) and choice < wp.int64(arena.kinds.shape[0]):
        index = int(choice)
        if not arena.mask_maneuver[n, s, index]:
            index = 0
            illegal = 1.0
    else:
        illegal = 1.0
    weapon = actions.weapon[n, s]
    trigger = wp.int32(0)
    if weapon > wp.int64(0) and weapon < wp.int64(arena.mask_weapon.shape[2]):
        if arena.mask_weapon[n, s, int(weapon)]:
            trigger = int(weapon)
        else:
            illegal = 1.0
    elif weapon != wp.int64(0):
        illegal = 1.0
    params = actions.params[n, s]
    arena.seats[n, s].choice = arena.kinds[index]
    arena.seats[n, s].trigger = trigger
    arena.seats[n, s].trim = wp.vec3(residual(params[0]), residual(params[1]), residual(params[2]))
    arena.counts[n].illegal = arena.counts[n].illegal + illegal
    arena.counts[n].decisions = arena.counts[n].decisions + 1.0
    if trigger == WEAPON_GUN:
        arena.counts[n].fired = arena.counts[n].fired + 1.0
    return trigger


@wp.func
def release(arena: Arena, rules: Rules, seed: int, n: int) -> None:
    """Drops the flares of this decision, then fires its missiles: no flare decoys what leaves the rail with it."""
    for s in range(rules.seats):
        if arena.seats[n, s].trigger == WEAPON_FLARE:
            fallen = drop_flare(arena, rules, seed, n, s)
            arena.counts[n].missile_decoys = arena.counts[n].missile_decoys + fallen
            arena.seats[n, s].spent = rules.flare_cost
    for s in range(rules.seats):
        if arena.seats[n, s].trigger == WEAPON_MISSILE:
            launch_missile(arena, rules, n, s)
            arena.seats[n, s].spent = rules.missile_cost


@wp.func(inline=True)
def gather(arena: Arena, rules: Rules, flying: int, n: int, s: int, rows: wp.array2d[wp.float32], lane: int) -> None:
    """Tells a lane what the flight of the living seat ``s`` depends on."""
    own = arena.seats[n, s].motion
    put_motion(rows, SELF, lane, own)
    kind = arena.seats[n, s].choice
    foe = arena.seats[n, s].target
    goal = arena.seats[n, foe].motion.position
    course = arena.seats[n, s].view.other_forward
    speed = arena.seats[n, foe].motion.speed
    if kind == NOTCH and flying > 0:
        which = arrival_after(arena.missiles, rules, own, n, s, -1.0, -1)
        if which[0] >= 0:
            goal = arena.missiles[n, which[0], which[1]].position
            velocity = arena.missiles[n, which[0], which[1]].velocity
            speed = wp.length(velocity)
            course = velocity / speed
    put(rows, GOAL, lane, goal)
    put(rows, COURSE, lane, course)
    rows[GOAL_SPEED, lane] = speed
    rows[KIND, lane] = float(kind)
    put(rows, TRIM, lane, arena.seats[n, s].trim)


@wp.func(inline=True)
def begin(arena: Arena, rules: Rules, actions: Actions, seed: int, n: int) -> int:
    """Takes over the actions of game ``n``. Returns how many missiles it has in the air."""
    triggers = wp.int32(0)
    for s in range(rules.seats):
        triggers = wp.max(triggers, accept(arena, actions, n, s))
    flying = wp.int32(0)
    if rules.armed != 0:
        if triggers > WEAPON_GUN:
            release(arena, rules, seed, n)
        flying = missiles_flying(arena, rules, n)
    return flying


@wp.func(inline=True)
def settle(arena: Arena, rules: Rules, flying: int, n: int) -> None:
    """What else happens in the substep that has just taken the aircraft of game ``n`` on."""
    hits = wp.int32(0)
    if flying > 0:
        hits = fly_missiles(arena, rules, n)
    move_on(arena, rules, n)
    hits = hits + fire_guns(arena, rules, n)
    if hits > 0:
        apply_damage(arena, rules, n)
    check_ending(arena, rules, n)


@wp.func(inline=True)
def conclude(arena: Arena, rules: Rules, n: int) -> None:
    """Ends a decision of game ``n``: the clock, and whom its aircraft fight."""
    arena.games[n].clock = arena.games[n].clock + 1
    if rules.team > 1 and arena.games[n].over == 0:
        assign(arena, rules, n)
        look(arena, rules, n)


@wp.func(inline=True)
def judge(arena: Arena, rules: Rules, results: Results, seen: Seen, weight: float, flying: int, n: int) -> None:
    """Reward and observation of game ``n`` after a decision."""
    if rules.armed != 0:
        track_targets(arena, rules, n)
    score(arena, rules, results, weight, flying, n)
    for s in range(rules.seats):
        observe(arena, rules, flying, n, s, seen)


def _kernel(lanes: int) -> Any:
    """Returns the decorator for kernels of so many lanes: only those for the CPU belong to this module."""
    return wp.kernel if lanes == ON_CPU else wp.kernel(module="unique", module_options=_OPTIONS)


def _flying(lanes: int) -> Any:
    """Returns the function that takes the living of a thread's games through one substep, all from the same state."""
    fly_lanes = flight_of(lanes)

    @wp.func(inline=True)
    def fly(
        arena: Arena,
        rules: Rules,
        airframes: wp.array[Airframe],
        flying: wp.array[wp.int32],
        rows: wp.array2d[wp.float32],
        first: int,
        games: int,
    ) -> None:
        for s in range(rules.seats):
            for lane in range(games):
                if arena.seats[first + lane, s].cause == 0:
                    gather(arena, rules, flying[lane], first + lane, s, rows, lane)
            airframe = airframes[s]
            fly_lanes(rows, airframe)
            for lane in range(games):
                if arena.seats[first + lane, s].cause == 0:
                    arena.seats[first + lane, s].moved = motion_at(rows, SELF, lane)
                else:
                    arena.seats[first + lane, s].moved = arena.seats[first + lane, s].motion

    return fly


def step_kernel(lanes: int) -> Any:
    """Returns the kernel of one decision, whose threads play so many games each."""
    fly = _flying(lanes)
    sense = sensing_of(lanes)

    @_kernel(lanes)
    def advance(
        arena: Arena,
        rules: Rules,
        airframes: wp.array[Airframe],
        actions: Actions,
        results: Results,
        seen: Seen,
        shaping_weight: wp.array[wp.float32],
        seed: wp.array[wp.int32],
    ) -> None:
        memory = wp.zeros(shape=wp.static(ROWS * lanes), dtype=wp.float32)
        # A view of its own, whose strides no write into the memory can change, for all that a compiler knows.
        rows = wp.array(ptr=memory.ptr, shape=(ROWS, lanes), dtype=wp.float32)
        flying = wp.zeros(shape=lanes, dtype=wp.int32)
        first = wp.tid() * lanes
        games = wp.min(lanes, arena.games.shape[0] - first)
        for lane in range(games):
            flying[lane] = begin(arena, rules, actions, seed[0], first + lane)
        for _ in range(rules.substeps):
            fly(arena, rules, airframes, flying, rows, first, games)
            for lane in range(games):
                if arena.games[first + lane].over == 0:
                    settle(arena, rules, flying[lane], first + lane)
        for lane in range(games):
            conclude(arena, rules, first + lane)
        sense(arena, rules, airframes, seen, rows, first, games)
        for lane in range(games):
            judge(arena, rules, results, seen, shaping_weight[0], flying[lane], first + lane)

    return advance


def renewal_kernel(lanes: int) -> Any:
    """Returns the kernel that begins episodes, whose threads look after so many games each.

    It begins the next episode where one has just ended (``which`` = ENDED) or everywhere (ALL), or nowhere (NONE).
    Wherever it does, and everywhere with NONE, observations, masks and potentials are computed anew: of one game at a
    time, by the instructions that tell them of many. The structs come in arrays of one, so that the many games in which
    nothing ends do not read them.
    """
    sense = sensing_of(lanes)

    @_kernel(lanes)
    def renew(
        arenas: wp.array[Arena],
        books: wp.array[Rules],
        airframes: wp.array[Airframe],
        returned: wp.array[Results],
        seens: wp.array[Seen],
        outcome: wp.array[wp.int32],
        seed: wp.array[wp.int32],
        which: int,
    ) -> None:
        memory = wp.zeros(shape=wp.static(ROWS * lanes), dtype=wp.float32)
        rows = wp.array(ptr=memory.ptr, shape=(ROWS, lanes), dtype=wp.float32)
        first = wp.tid() * lanes
        for n in range(first, wp.min(first + lanes, outcome.shape[0])):
            if which != ENDED or outcome[n] != 0:
                arena = arenas[0]
                rules = books[0]
                results = returned[0]
                seen = seens[0]
                if which == NONE:
                    assign(arena, rules, n)
                else:
                    start_game(arena, rules, seed[0], n)
                look(arena, rules, n)
                sense(arena, rules, airframes, seen, rows, n, 1)
                flying = missiles_flying(arena, rules, n)
                arena.games[n].potential = potential_of(arena, rules, flying, n)
                for s in range(rules.seats):
                    arena.seats[n, s].lived = 1
                    observe(arena, rules, flying, n, s, seen)
                    if which == NONE:
                        write_tally(arena, rules, results, n, s)

    return renew


_FOR_CPU = (step_kernel(ON_CPU), renewal_kernel(ON_CPU))


@functools.cache
def kernels_of(lanes: int) -> tuple[Any, Any]:
    """Returns the kernels of a decision and of beginnings for so many lanes."""
    return _FOR_CPU if lanes == ON_CPU else (step_kernel(lanes), renewal_kernel(lanes))
