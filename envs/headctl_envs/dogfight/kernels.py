"""One decision of every game: the kernels that the engine launches, one thread per game."""

import warp as wp

from headctl_envs.dogfight.flight import Airframe, air_at, integrate
from headctl_envs.dogfight.maneuvers import NOTCH, guide
from headctl_envs.dogfight.scoring import (
    COLLISION,
    CRASH,
    GUN_KILL,
    MISSILE_KILL,
    TIME,
    check_ending,
    outcome_of,
    potential_of,
)
from headctl_envs.dogfight.sensing import observe
from headctl_envs.dogfight.starts import start_game
from headctl_envs.dogfight.threats import incoming, incoming_view
from headctl_envs.dogfight.warp_struct import struct
from headctl_envs.dogfight.weapons import (
    WEAPON_FLARE,
    WEAPON_GUN,
    WEAPON_MISSILE,
    apply_damage,
    drop_flare,
    fire_guns,
    fly_missiles,
    launch_missile,
    track_targets,
)
from headctl_envs.dogfight.world import Rules, World, assign, look

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.
# ruff: noqa: PLR0917, PLR1714, SIM109  - that language has neither keyword arguments nor ``in``
wp.set_module_options({"enable_backward": False})

COUNTS = (
    "episodes",
    "length",
    "kill",
    "crash",
    "collision",
    "time",
    "by_gun",
    "by_missile",
    "rounds",
    "missiles",
    "flares",
    "missile_ends",
    "missile_hits",
    "missile_decoys",
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
BY_GUN = wp.constant(COUNTS.index("by_gun"))
BY_MISSILE = wp.constant(COUNTS.index("by_missile"))
ROUNDS = wp.constant(COUNTS.index("rounds"))
MISSILES = wp.constant(COUNTS.index("missiles"))
FLARES = wp.constant(COUNTS.index("flares"))
MISSILE_ENDS = wp.constant(COUNTS.index("missile_ends"))
MISSILE_HITS = wp.constant(COUNTS.index("missile_hits"))
MISSILE_DECOYS = wp.constant(COUNTS.index("missile_decoys"))
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
    """Views of what a step returns; see ``GameStep``. ``terms`` ``[N, 5]`` are red's, ``tally`` is ``[N, A, 8]``."""

    observation: wp.array3d[wp.float32]
    final_observation: wp.array3d[wp.float32]
    reward: wp.array2d[wp.float32]
    terms: wp.array2d[wp.float32]
    tally: wp.array3d[wp.float32]
    terminated: wp.array2d[wp.bool]
    truncated: wp.array2d[wp.bool]
    alive: wp.array2d[wp.bool]
    outcome: wp.array[wp.int32]
    ended_by: wp.array2d[wp.int32]


@wp.func
def residual(value: float) -> float:
    """A residual in [-1, 1]; anything that is not a number counts as nominal."""
    safe = wp.float32(0.0)
    if not wp.isnan(value):
        safe = wp.clamp(value, -1.0, 1.0)
    return safe


@wp.func
def count(world: World, n: int, column: int, value: float) -> None:
    """Adds to a column of the statistics."""
    world.counts[n, column] = world.counts[n, column] + value


@wp.func
def accept(world: World, actions: Actions, n: int, s: int) -> None:
    """Takes over the actions of one seat; what is masked or impossible becomes the nominal choice and is counted."""
    world.dealt[n, s] = 0.0
    world.spent[n, s] = 0.0
    world.damage[n, s] = 0.0
    world.trigger[n, s] = 0
    if world.health[n, s] <= 0.0:
        world.lived[n, s] = 0
        world.present[n, s] = 0
        return
    world.lived[n, s] = 1
    world.present[n, s] = 1
    world.cause[n, s] = 0
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
    if weapon > wp.int64(0) and weapon < wp.int64(world.mask_weapon.shape[2]):
        if world.mask_weapon[n, s, int(weapon)]:
            trigger = int(weapon)
        else:
            illegal = 1.0
    elif weapon != wp.int64(0):
        illegal = 1.0
    params = actions.params[n, s]
    world.choice[n, s] = world.kinds[index]
    world.trigger[n, s] = trigger
    world.trim[n, s] = wp.vec3(residual(params[0]), residual(params[1]), residual(params[2]))
    count(world, n, ILLEGAL, illegal)
    count(world, n, DECISIONS, 1.0)
    if trigger == WEAPON_GUN:
        count(world, n, FIRED, 1.0)


@wp.func
def release(world: World, rules: Rules, seed: int, n: int) -> None:
    """Drops the flares of this decision, then fires its missiles: no flare decoys what leaves the rail with it."""
    for s in range(rules.seats):
        if world.trigger[n, s] == WEAPON_FLARE:
            fallen = drop_flare(world, rules, seed, n, s)
            count(world, n, MISSILE_DECOYS, fallen)
            world.spent[n, s] = rules.flare_cost
    for s in range(rules.seats):
        if world.trigger[n, s] == WEAPON_MISSILE:
            launch_missile(world, rules, n, s)
            world.spent[n, s] = rules.missile_cost


@wp.func(inline=True)
def fly(world: World, rules: Rules, airframes: wp.array[Airframe], n: int) -> None:
    """One substep of flight: all aircraft are guided and moved from the same state, then all missiles."""
    for s in range(rules.seats):
        own = world.motion[n, s]
        moved = own
        if world.cause[n, s] == 0:
            airframe = airframes[s]
            air = air_at(-own.position[2])
            kind = world.choice[n, s]
            view = world.view[n, s]
            foe = world.motion[n, world.target[n, s]]
            if kind == NOTCH and rules.armed != 0:
                missile = incoming(world, rules, n, s)
                if missile[0] >= 0:
                    view = incoming_view(world, n, own, missile)
            command = guide(kind, world.trim[n, s], own, foe, view, airframe, air)
            moved = integrate(own, command, airframe, air)
        world.moved[n, s] = moved
    if rules.armed != 0:
        ends = fly_missiles(world, rules, n)
        if ends[0] > 0.0:
            count(world, n, MISSILE_ENDS, ends[0])
            count(world, n, MISSILE_HITS, ends[1])
    for s in range(rules.seats):
        world.motion[n, s] = world.moved[n, s]
    look(world, rules, n)


@wp.func
def count_episode(world: World, rules: Rules, results: Results, n: int) -> None:
    """Adds an ended episode to the statistics."""
    count(world, n, EPISODES, 1.0)
    count(world, n, LENGTH, float(world.clock[n]))
    kills = wp.int32(0)
    crashes = wp.int32(0)
    collisions = wp.int32(0)
    cut = wp.bool(False)
    for s in range(rules.seats):
        cause = results.ended_by[n, s]
        if cause == GUN_KILL:
            count(world, n, BY_GUN, 1.0)
        elif cause == MISSILE_KILL:
            count(world, n, BY_MISSILE, 1.0)
        cut = cut or cause == TIME
        if world.lived[n, s] != 0:  # what the last dead died of is what ended the episode
            if cause == GUN_KILL or cause == MISSILE_KILL:
                kills = kills + 1
            elif cause == CRASH:
                crashes = crashes + 1
            elif cause == COLLISION:
                collisions = collisions + 1
        count(world, n, ROUNDS, results.tally[n, s, 4])
        count(world, n, MISSILES, results.tally[n, s, 5])
        count(world, n, FLARES, results.tally[n, s, 6])
        count(world, n, ZONE_S, world.zone_s[n, s])
    column = wp.int32(ENDED_COLLISION)
    if cut:
        column = ENDED_TIME
    elif kills > 0:
        column = ENDED_KILL
    elif crashes > 0:
        column = ENDED_CRASH
    count(world, n, column, 1.0)


@wp.func
def write_tally(world: World, rules: Rules, results: Results, n: int, s: int) -> None:
    """Writes what seat ``s`` has left and what it has used; the columns are those of ``config.TALLY``."""
    row = results.tally[n, s]
    row[0] = world.health[n, s]
    row[1] = world.rounds[n, s]
    row[2] = world.missiles_left[n, s]
    row[3] = world.flares[n, s]
    row[4] = rules.gun_rounds - world.rounds[n, s]
    row[5] = rules.missiles - world.missiles_left[n, s]
    row[6] = rules.flares - world.flares[n, s]
    row[7] = world.zone_s[n, s]


@wp.func
def write_reward(world: World, rules: Rules, results: Results, weight: float, won: float, n: int) -> None:
    """Adds up red's terms and writes the reward of every seat that was alive."""
    dealt = wp.float32(0.0)
    taken = wp.float32(0.0)
    lost = wp.float32(0.0)
    killed = wp.float32(0.0)
    own_cost = wp.float32(0.0)
    their_cost = wp.float32(0.0)
    for i in range(rules.team):
        foe = rules.team + i
        taken = taken + world.damage[n, i]
        dealt = dealt + world.damage[n, foe]
        own_cost = own_cost + world.spent[n, i]
        their_cost = their_cost + world.spent[n, foe]
        if rules.team > 1:
            lost = lost + float(world.lived[n, i] - world.present[n, i])
            killed = killed + float(world.lived[n, foe] - world.present[n, foe])
    share = 1.0 / float(rules.team)
    potential = wp.float32(0.0)
    if world.over[n] == 0:
        potential = potential_of(world, rules, n)
    damage = rules.damage_weight * share * (dealt - taken)
    losses = rules.loss_weight * share * (killed - lost)
    cost = share * (their_cost - own_cost)
    shaping = weight * (rules.gamma * potential - world.potential[n])
    world.potential[n] = potential
    results.terms[n, 0] = won
    results.terms[n, 1] = damage
    results.terms[n, 2] = losses
    results.terms[n, 3] = cost
    results.terms[n, 4] = shaping
    reward = won + damage + losses + cost + shaping
    for s in range(rules.seats):
        sign = wp.where(s < rules.team, 1.0, -1.0)
        results.reward[n, s] = wp.where(world.lived[n, s] != 0, sign * reward, 0.0)


@wp.func
def score(world: World, rules: Rules, results: Results, weight: float, n: int) -> None:
    """Writes reward, endings and outcome of the decision that game ``n`` has just flown."""
    over = world.over[n] != 0
    cut = not over and world.clock[n] >= rules.max_decisions
    outcome = wp.int32(0)
    if over or cut:
        outcome = outcome_of(world, rules, n)
    won = wp.float32(0.0)
    if outcome == 1:
        won = 1.0
    elif outcome == 2:
        won = -1.0
    if cut:
        outcome = 3
        won = 0.0
    write_reward(world, rules, results, weight, won, n)
    results.outcome[n] = outcome
    for s in range(rules.seats):
        lived = world.lived[n, s] != 0
        died = lived and world.cause[n, s] != 0
        results.terminated[n, s] = died or (lived and over)
        results.truncated[n, s] = lived and cut and not died
        results.alive[n, s] = lived
        cause = world.cause[n, s]
        if cut and cause == 0:
            cause = TIME
        results.ended_by[n, s] = cause
        write_tally(world, rules, results, n, s)
        if world.trigger[n, s] == WEAPON_GUN and world.dealt[n, s] > 0.0:
            count(world, n, HITS, 1.0)
    if over or cut:
        count_episode(world, rules, results, n)


@wp.kernel
def advance(
    world: World,
    rules: Rules,
    airframes: wp.array[Airframe],
    actions: Actions,
    results: Results,
    shaping_weight: wp.array[wp.float32],
    seed: wp.array[wp.int32],
) -> None:
    """One decision: actions, flight and fire in substeps, reward and observation."""
    n = wp.tid()
    for s in range(rules.seats):
        accept(world, actions, n, s)
    if rules.armed != 0:
        release(world, rules, seed[0], n)
    for _ in range(rules.substeps):
        if world.over[n] == 0:
            fly(world, rules, airframes, n)
            fire_guns(world, rules, n)
            apply_damage(world, rules, n)
            check_ending(world, rules, n)
    world.clock[n] = world.clock[n] + 1
    if rules.team > 1 and world.over[n] == 0:
        assign(world, rules, n)
        look(world, rules, n)
    if rules.armed != 0:
        track_targets(world, rules, n)
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
        assign(world, rules, n)
        look(world, rules, n)
    else:
        start_game(world, rules, seed[0], n)
    world.potential[n] = potential_of(world, rules, n)
    for s in range(rules.seats):
        observe(world, rules, airframes, n, s, results.observation)
        if which == NONE:
            write_tally(world, rules, results, n, s)
