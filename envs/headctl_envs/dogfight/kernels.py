"""One decision of every game: the kernels that the engine launches, one thread per game."""

import warp as wp

from headctl_envs.dogfight.flight import Airframe, air_at, integrate
from headctl_envs.dogfight.maneuvers import guide
from headctl_envs.dogfight.scoring import COLLISION, CRASH, KILL, TIME, check_ending, outcome_of, potential_of
from headctl_envs.dogfight.sensing import WEAPON_GUN, observe
from headctl_envs.dogfight.starts import start_game
from headctl_envs.dogfight.warp_struct import struct
from headctl_envs.dogfight.weapons import fire_guns
from headctl_envs.dogfight.world import Rules, World, look

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.
# ruff: noqa: PLR0917  - that language has neither keyword arguments nor ``in``
wp.set_module_options({"enable_backward": False})

COUNTS = (
    "episodes",
    "length",
    "kill",
    "crash",
    "collision",
    "time",
    "rounds",
    "fired",
    "hits",
    "zone_s",
    "illegal",
    "decisions",
)
"""Columns of ``World.counts``: sums since the last ``pop_statistics``."""

EPISODES = wp.constant(COUNTS.index("episodes"))
LENGTH = wp.constant(COUNTS.index("length"))
ENDED_KILL = wp.constant(COUNTS.index("kill"))
ENDED_CRASH = wp.constant(COUNTS.index("crash"))
ENDED_COLLISION = wp.constant(COUNTS.index("collision"))
ENDED_TIME = wp.constant(COUNTS.index("time"))
ROUNDS = wp.constant(COUNTS.index("rounds"))
FIRED = wp.constant(COUNTS.index("fired"))
HITS = wp.constant(COUNTS.index("hits"))
ZONE_S = wp.constant(COUNTS.index("zone_s"))
ILLEGAL = wp.constant(COUNTS.index("illegal"))
DECISIONS = wp.constant(COUNTS.index("decisions"))

NONE = wp.constant(0)
ENDED = wp.constant(1)
ALL = wp.constant(2)


@struct
class Actions:
    """Views of the action buffers: ``maneuver`` and ``weapon`` ``[N, A]``, ``params`` ``[N, A, 3]``."""

    maneuver: wp.array2d[wp.int64]
    weapon: wp.array2d[wp.int64]
    params: wp.array2d[wp.vec3]


@struct
class Results:
    """Views of what a step returns; see ``GameStep``. ``terms`` ``[N, 3]``: outcome, damage, shaping of seat 0."""

    observation: wp.array3d[wp.float32]
    final_observation: wp.array3d[wp.float32]
    reward: wp.array2d[wp.float32]
    terms: wp.array2d[wp.float32]
    terminated: wp.array2d[wp.bool]
    truncated: wp.array2d[wp.bool]
    alive: wp.array2d[wp.bool]
    outcome: wp.array[wp.int32]
    cause: wp.array[wp.int32]


@wp.func
def residual(value: float) -> float:
    """A residual in [-1, 1]; anything that is not a number counts as nominal."""
    safe = wp.float32(0.0)
    if not wp.isnan(value):
        safe = wp.clamp(value, -1.0, 1.0)
    return safe


@wp.func
def accept(world: World, actions: Actions, n: int, s: int) -> None:
    """Takes over the actions of one seat; what is masked or impossible becomes the nominal choice and is counted."""
    choice = actions.maneuver[n, s]
    index = wp.int32(0)
    illegal = wp.float32(0.0)
    if choice >= wp.int64(0) and choice < wp.int64(world.kinds.shape[0]):
        index = int(choice)
        if not world.mask_maneuver[n, s, index]:
            index = 0
            illegal = 1.0
    else:
        illegal = 1.0
    weapon = actions.weapon[n, s]
    trigger = wp.int32(0)
    if weapon == wp.int64(WEAPON_GUN) and world.mask_weapon[n, s, WEAPON_GUN]:
        trigger = 1
    elif weapon != wp.int64(0):
        illegal = 1.0
    params = actions.params[n, s]
    world.choice[n, s] = world.kinds[index]
    world.trigger[n, s] = trigger
    world.trim[n, s] = wp.vec3(residual(params[0]), residual(params[1]), residual(params[2]))
    world.dealt[n, s] = 0.0
    world.counts[n, ILLEGAL] = world.counts[n, ILLEGAL] + illegal
    world.counts[n, DECISIONS] = world.counts[n, DECISIONS] + 1.0
    world.counts[n, FIRED] = world.counts[n, FIRED] + float(trigger)


@wp.func
def fly(world: World, rules: Rules, airframes: wp.array[Airframe], n: int) -> None:
    """One substep of flight: all aircraft are guided and moved from the same state."""
    for s in range(rules.seats):
        own = world.motion[n, s]
        airframe = airframes[s]
        air = air_at(-own.position[2])
        command = guide(
            world.choice[n, s], world.trim[n, s], own, world.motion[n, 1 - s], world.view[n, s], airframe, air
        )
        world.moved[n, s] = integrate(own, command, airframe, air)
    for s in range(rules.seats):
        world.motion[n, s] = world.moved[n, s]
    look(world, rules, n)


@wp.func
def count_episode(world: World, rules: Rules, n: int, cause: int) -> None:
    """Adds an ended episode to the statistics."""
    world.counts[n, EPISODES] = world.counts[n, EPISODES] + 1.0
    world.counts[n, LENGTH] = world.counts[n, LENGTH] + float(world.clock[n])
    column = wp.int32(ENDED_TIME)
    if cause == KILL:
        column = ENDED_KILL
    elif cause == CRASH:
        column = ENDED_CRASH
    elif cause == COLLISION:
        column = ENDED_COLLISION
    world.counts[n, column] = world.counts[n, column] + 1.0
    for s in range(rules.seats):
        world.counts[n, ROUNDS] = world.counts[n, ROUNDS] + rules.gun_rounds - world.rounds[n, s]
    world.counts[n, ZONE_S] = world.counts[n, ZONE_S] + world.zone_s[n]


@wp.func
def score(world: World, rules: Rules, results: Results, weight: float, n: int) -> None:
    """Writes reward, endings and outcome of the decision that game ``n`` has just flown."""
    cause = world.cause[n]
    dead = cause != 0
    cut = not dead and world.clock[n] >= rules.max_decisions
    if cut:
        cause = TIME
    outcome = wp.int32(0)
    if dead or cut:
        outcome = outcome_of(world, n)
    won = wp.float32(0.0)
    if outcome == 1:
        won = 1.0
    elif outcome == 2:
        won = -1.0
    potential = wp.float32(0.0)
    if not dead:
        potential = potential_of(world, rules, n)
    damage = rules.damage_weight * (world.dealt[n, 0] - world.dealt[n, 1])
    shaping = weight * (rules.gamma * potential - world.potential[n])
    world.potential[n] = potential
    results.terms[n, 0] = won
    results.terms[n, 1] = damage
    results.terms[n, 2] = shaping
    reward = won + damage + shaping
    results.reward[n, 0] = reward
    results.reward[n, 1] = -reward
    results.outcome[n] = outcome
    results.cause[n] = cause
    for s in range(rules.seats):
        results.terminated[n, s] = dead
        results.truncated[n, s] = cut
        results.alive[n, s] = True
        if world.dealt[n, s] > 0.0:
            world.counts[n, HITS] = world.counts[n, HITS] + 1.0
    if dead or cut:
        count_episode(world, rules, n, cause)


@wp.kernel
def advance(
    world: World,
    rules: Rules,
    airframes: wp.array[Airframe],
    actions: Actions,
    results: Results,
    shaping_weight: wp.array[wp.float32],
) -> None:
    """One decision: actions, flight and fire in substeps, reward and observation."""
    n = wp.tid()
    for s in range(rules.seats):
        accept(world, actions, n, s)
    for _ in range(rules.substeps):
        if world.cause[n] == 0:
            fly(world, rules, airframes, n)
            fire_guns(world, rules, n)
            check_ending(world, rules, n)
    world.clock[n] = world.clock[n] + 1
    score(world, rules, results, shaping_weight[0], n)
    for s in range(rules.seats):
        observe(world, rules, airframes, n, s, results.observation)


@wp.kernel
def renew(
    world: World, rules: Rules, airframes: wp.array[Airframe], results: Results, seed: wp.array[wp.int32], which: int
) -> None:
    """Begins the next episode where one has just ended (``which`` = ENDED) or everywhere (ALL), or nowhere (NONE).

    Wherever it does, and everywhere with NONE, observations, masks and potentials are computed anew.
    """
    n = wp.tid()
    if which == ENDED and results.outcome[n] == 0:
        return
    if which == NONE:
        look(world, rules, n)
    else:
        start_game(world, rules, seed[0], n)
    world.potential[n] = potential_of(world, rules, n)
    for s in range(rules.seats):
        observe(world, rules, airframes, n, s, results.observation)
