"""What a decision comes to: rewards, endings, outcomes, what is left of the stores, and the statistics."""

import warp as wp

from headctl_envs.dogfight.scoring import CRASH, GUN_KILL, MISSILE_KILL, TIME, outcome_of, potential_of
from headctl_envs.dogfight.warp_struct import struct
from headctl_envs.dogfight.weapons import WEAPON_GUN
from headctl_envs.dogfight.world import Arena, Rules

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.
# ruff: noqa: PLR0917, PLR1714, SIM109  - that language has neither keyword arguments nor ``in``
wp.set_module_options({"enable_backward": False})


@struct
class Results:
    """Views of what a step returns; see ``GameStep``. ``terms`` ``[N, 5]`` are red's, ``tally`` is ``[N, A, 8]``."""

    reward: wp.array2d[wp.float32]
    terms: wp.array2d[wp.float32]
    tally: wp.array3d[wp.float32]
    terminated: wp.array2d[wp.bool]
    truncated: wp.array2d[wp.bool]
    alive: wp.array2d[wp.bool]
    outcome: wp.array[wp.int32]
    ended_by: wp.array2d[wp.int32]


@wp.func
def count_episode(arena: Arena, rules: Rules, results: Results, n: int) -> None:
    """Adds an ended episode to the statistics."""
    counts = arena.counts[n]
    counts.episodes += 1.0
    counts.length += float(arena.games[n].clock)
    kills = wp.int32(0)
    crashes = wp.int32(0)
    cut = wp.bool(False)
    for s in range(rules.seats):
        cause = results.ended_by[n, s]
        if cause == GUN_KILL:
            counts.by_gun += 1.0
        elif cause == MISSILE_KILL:
            counts.by_missile += 1.0
        cut = cut or cause == TIME
        if arena.seats[n, s].lived != 0:  # what the last dead died of is what ended the episode
            if cause == GUN_KILL or cause == MISSILE_KILL:
                kills = kills + 1
            elif cause == CRASH:
                crashes = crashes + 1
        counts.rounds += results.tally[n, s, 4]
        counts.missiles += results.tally[n, s, 5]
        counts.flares += results.tally[n, s, 6]
        counts.zone_s += arena.seats[n, s].zone_s
    if cut:
        counts.time += 1.0
    elif kills > 0:
        counts.kill += 1.0
    elif crashes > 0:
        counts.crash += 1.0
    else:
        counts.collision += 1.0
    arena.counts[n] = counts


@wp.func
def write_tally(arena: Arena, rules: Rules, results: Results, n: int, s: int) -> None:
    """Writes what seat ``s`` has left and what it has used; the columns are those of ``config.TALLY``."""
    row = results.tally[n, s]
    row[0] = arena.seats[n, s].health
    row[1] = arena.seats[n, s].rounds
    row[2] = arena.seats[n, s].missiles_left
    row[3] = arena.seats[n, s].flares
    row[4] = rules.gun_rounds - arena.seats[n, s].rounds
    row[5] = rules.missiles - arena.seats[n, s].missiles_left
    row[6] = rules.flares - arena.seats[n, s].flares
    row[7] = arena.seats[n, s].zone_s


@wp.func
def write_reward(arena: Arena, rules: Rules, results: Results, weight: float, won: float, flying: int, n: int) -> None:
    """Adds up red's terms and writes the reward of every seat that was alive."""
    dealt = wp.float32(0.0)
    taken = wp.float32(0.0)
    lost = wp.float32(0.0)
    killed = wp.float32(0.0)
    own_cost = wp.float32(0.0)
    their_cost = wp.float32(0.0)
    for i in range(rules.team):
        foe = rules.team + i
        taken = taken + arena.seats[n, i].damage
        dealt = dealt + arena.seats[n, foe].damage
        own_cost = own_cost + arena.seats[n, i].spent
        their_cost = their_cost + arena.seats[n, foe].spent
        if rules.team > 1:
            lost = lost + float(arena.seats[n, i].lived - arena.seats[n, i].present)
            killed = killed + float(arena.seats[n, foe].lived - arena.seats[n, foe].present)
    share = 1.0 / float(rules.team)
    potential = wp.float32(0.0)
    if arena.games[n].over == 0:
        potential = potential_of(arena, rules, flying, n)
    damage = rules.damage_weight * share * (dealt - taken)
    losses = rules.loss_weight * share * (killed - lost)
    cost = share * (their_cost - own_cost)
    shaping = weight * (rules.gamma * potential - arena.games[n].potential)
    arena.games[n].potential = potential
    results.terms[n, 0] = won
    results.terms[n, 1] = damage
    results.terms[n, 2] = losses
    results.terms[n, 3] = cost
    results.terms[n, 4] = shaping
    reward = won + damage + losses + cost + shaping
    for s in range(rules.seats):
        sign = wp.where(s < rules.team, 1.0, -1.0)
        results.reward[n, s] = wp.where(arena.seats[n, s].lived != 0, sign * reward, 0.0)


@wp.func
def score(arena: Arena, rules: Rules, results: Results, weight: float, flying: int, n: int) -> None:
    """Writes reward, endings and outcome of the decision that game ``n`` has just flown."""
    over = arena.games[n].over != 0
    cut = not over and arena.games[n].clock >= rules.max_decisions
    outcome = wp.int32(0)
    if over or cut:
        outcome = outcome_of(arena, rules, n)
    won = wp.float32(0.0)
    if outcome == 1:
        won = 1.0
    elif outcome == 2:
        won = -1.0
    if cut:
        outcome = 3
        won = 0.0
    write_reward(arena, rules, results, weight, won, flying, n)
    results.outcome[n] = outcome
    for s in range(rules.seats):
        lived = arena.seats[n, s].lived != 0
        died = lived and arena.seats[n, s].cause != 0
        results.terminated[n, s] = died or (lived and over)
        results.truncated[n, s] = lived and cut and not died
        results.alive[n, s] = lived
        cause = arena.seats[n, s].cause
        if cut and cause == 0:
            cause = TIME
        results.ended_by[n, s] = cause
        write_tally(arena, rules, results, n, s)
        if arena.seats[n, s].trigger == WEAPON_GUN and arena.seats[n, s].dealt > 0.0:
            arena.counts[n].hits = arena.counts[n].hits + 1.0
    if over or cut:
        count_episode(arena, rules, results, n)
