"""Rewards and endings: outcome, damage, losses, costs and potential-based shaping, zero-sum by construction.

The reward of every living aircraft of red is ``outcome + damage_weight (dealt - taken) + loss_weight (killed - lost) +
costs + w F``; that of blue's is the exact negative. ``F = gamma Phi(s') - Phi(s)`` with ``Phi = 0`` at the end of an
episode keeps every optimal policy and equilibrium (Ng, Harada and Russell 1999; Devlin and Kudenko 2011); a truncated
episode has not ended, so there ``Phi(s')`` counts. In teams, damage, losses, costs and potential are means over the
seats of a side.
"""

import warp as wp

from headctl_envs.dogfight.flight import G, Motion, forward_of
from headctl_envs.dogfight.geometry import Sight
from headctl_envs.dogfight.missiles import time_to_go
from headctl_envs.dogfight.names import CAUSES, OUTCOMES
from headctl_envs.dogfight.numerics import exp_of, tanh_of
from headctl_envs.dogfight.threats import arrival_after
from headctl_envs.dogfight.world import Arena, Rules

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.

wp.set_module_options({"enable_backward": False})

GUN_KILL = wp.constant(CAUSES.index("gun"))
MISSILE_KILL = wp.constant(CAUSES.index("missile"))
CRASH = wp.constant(CAUSES.index("crash"))
COLLISION = wp.constant(CAUSES.index("collision"))
TIME = wp.constant(CAUSES.index("time"))

RED = wp.constant(OUTCOMES.index("red"))
BLUE = wp.constant(OUTCOMES.index("blue"))
DRAW = wp.constant(OUTCOMES.index("draw"))


@wp.func(inline=True)
def advantage(own: Motion, other: Motion, view: Sight, rules: Rules) -> float:
    """Half of the potential of one pair: how good the position of ``own`` is, about -0.6 to 2.

    Angles (behind him, nose on him) count more the closer the aircraft are; an aim term sharpens towards the gun zone;
    specific energy is what future angles are bought with; the last term is the danger of the floor.
    """
    angles = 1.0 - 0.5 * (view.ata + view.aa) / wp.pi
    near = 0.3 + 0.7 * exp_of(-wp.abs(view.range - 500.0) / 2000.0)
    aim = exp_of(-view.ata / 0.15 - wp.max(view.range - rules.gun_range_max, 0.0) / 600.0)
    energy = -own.position[2] + 0.5 * own.speed * own.speed / G
    other_energy = -other.position[2] + 0.5 * other.speed * other.speed / G
    height = wp.max(-own.position[2] - rules.floor_m, 0.0)
    return angles * near + 0.5 * aim + 0.1 * tanh_of((energy - other_energy) / 1500.0) - 0.5 * exp_of(-height / 300.0)


@wp.func
def threat(arena: Arena, rules: Rules, n: int, s: int) -> float:
    """Danger from missiles that track seat ``s``: ``exp(-t_go / 5 s)`` of the one that arrives first, 0 without any."""
    danger = wp.float32(0.0)
    own = arena.seats[n, s].motion
    which = arrival_after(arena.missiles, rules, own, n, s, -1.0, -1)
    if which[0] >= 0:
        missile = arena.missiles[n, which[0], which[1]]
        danger = exp_of(-0.2 * time_to_go(missile, own.position, forward_of(own.attitude) * own.speed))
    return danger


@wp.func
def standing(arena: Arena, rules: Rules, flying: int, n: int, s: int) -> float:
    """What one seat adds to its side's potential: its advantage over its target, less the danger from missiles."""
    worth = wp.float32(0.0)
    if arena.seats[n, s].health > 0.0:
        worth = arena.seats[n, s].worth
        if flying > 0:
            worth = worth - threat(arena, rules, n, s)
    return worth


@wp.func
def potential_of(arena: Arena, rules: Rules, flying: int, n: int) -> float:
    """Potential of game ``n`` with ``flying`` missiles for red; that of blue is its exact negative."""
    red = wp.float32(0.0)
    blue = wp.float32(0.0)
    for s in range(rules.seats):  # one loop: the same instructions for both sides
        worth = standing(arena, rules, flying, n, s)
        if s < rules.team:
            red = red + worth
        else:
            blue = blue + worth
    return (red - blue) / float(rules.team)


@wp.func
def dies(arena: Arena, n: int, s: int, cause: int) -> None:
    """Seat ``s`` is dead; the first cause counts."""
    arena.seats[n, s].health = 0.0
    if arena.seats[n, s].cause == 0:
        arena.seats[n, s].cause = cause


@wp.func
def collide(arena: Arena, rules: Rules, n: int) -> int:
    """Buries every two aircraft that have come too close. Returns how many pairs."""
    pairs = wp.int32(0)
    nearest = rules.collision_m * rules.collision_m
    for s in range(1, rules.seats):
        # Who died of something else in this very substep was still there to be hit.
        if arena.seats[n, s].present != 0:
            position = arena.seats[n, s].motion.position
            for other in range(s):
                between = position - arena.seats[n, other].motion.position
                if wp.dot(between, between) < nearest and arena.seats[n, other].present != 0:
                    dies(arena, n, s, COLLISION)
                    dies(arena, n, other, COLLISION)
                    pairs = pairs + 1
    return pairs


@wp.func
def check_ending(arena: Arena, rules: Rules, n: int) -> None:
    """Buries the dead of a substep (health 0, cause set) and marks the game where a team is gone."""
    dead = wp.int32(0)
    for s in range(rules.seats):
        if arena.seats[n, s].cause == 0:
            if arena.seats[n, s].health <= 0.0:
                dies(arena, n, s, wp.where(arena.seats[n, s].blast > 0.0, MISSILE_KILL, GUN_KILL))
                dead = dead + 1
            elif -arena.seats[n, s].motion.position[2] < rules.floor_m:
                dies(arena, n, s, CRASH)
                dead = dead + 1
        arena.seats[n, s].blast = 0.0
    dead = dead + collide(arena, rules, n)
    if dead > 0:
        red = wp.int32(0)
        blue = wp.int32(0)
        for s in range(rules.seats):
            lives = wp.where(arena.seats[n, s].cause == 0, 1, 0)
            arena.seats[n, s].present = lives
            if s < rules.team:
                red = red + lives
            else:
                blue = blue + lives
        if red == 0 or blue == 0:
            arena.games[n].over = 1


@wp.func
def outcome_of(arena: Arena, rules: Rules, n: int) -> int:
    """Outcome code of game ``n`` once it has ended; the survivors of a time limit have drawn."""
    red = wp.bool(False)
    blue = wp.bool(False)
    for i in range(rules.team):
        red = red or arena.seats[n, i].cause == 0
        blue = blue or arena.seats[n, rules.team + i].cause == 0
    outcome = wp.int32(DRAW)
    if red and not blue:
        outcome = RED
    elif blue and not red:
        outcome = BLUE
    return outcome
