"""Rewards and endings: outcome, damage, losses, costs and potential-based shaping, zero-sum by construction.

The reward of every living aircraft of red is ``outcome + damage_weight (dealt - taken) + loss_weight (killed - lost) +
costs + w F``; that of blue's is the exact negative. ``F = gamma Phi(s') - Phi(s)`` with ``Phi = 0`` at the end of an
episode keeps every optimal policy and equilibrium (Ng, Harada and Russell 1999; Devlin and Kudenko 2011); a truncated
episode has not ended, so there ``Phi(s')`` counts. In teams, damage, losses, costs and potential are means over the
seats of a side.
"""

import warp as wp

from headctl_envs.dogfight.flight import G, Motion, forward_of, tanh_of
from headctl_envs.dogfight.geometry import Sight
from headctl_envs.dogfight.missiles import time_to_go
from headctl_envs.dogfight.names import CAUSES, OUTCOMES
from headctl_envs.dogfight.world import GUIDED, Rules, World, first_enemy

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


@wp.func
def advantage(own: Motion, other: Motion, view: Sight, rules: Rules) -> float:
    """Half of the potential of one pair: how good the position of ``own`` is, about -0.6 to 2.

    Angles (behind him, nose on him) count more the closer the aircraft are; an aim term sharpens towards the gun zone;
    specific energy is what future angles are bought with; the last term is the danger of the floor.
    """
    angles = 1.0 - 0.5 * (view.ata + view.aa) / wp.pi
    near = 0.3 + 0.7 * wp.exp(-wp.abs(view.range - 500.0) / 2000.0)
    aim = wp.exp(-view.ata / 0.15) * wp.exp(-wp.max(view.range - rules.gun_range_max, 0.0) / 600.0)
    energy = -own.position[2] + 0.5 * own.speed * own.speed / G
    other_energy = -other.position[2] + 0.5 * other.speed * other.speed / G
    height = wp.max(-own.position[2] - rules.floor_m, 0.0)
    return angles * near + 0.5 * aim + 0.1 * tanh_of((energy - other_energy) / 1500.0) - 0.5 * wp.exp(-height / 300.0)


@wp.func
def threat(world: World, rules: Rules, n: int, s: int) -> float:
    """Danger from missiles that track seat ``s``: ``exp(-t_go / 5 s)`` of the one that arrives first, 0 without any."""
    soonest = wp.float32(1.0e9)
    own = world.motion[n, s]
    velocity = forward_of(own.attitude) * own.speed
    first = first_enemy(rules, s)
    for i in range(rules.team):
        for m in range(rules.slots):
            missile = world.missiles[n, first + i, m]
            if missile.phase == GUIDED and int(missile.target) == s:
                soonest = wp.min(soonest, time_to_go(missile, own.position, velocity))
    danger = wp.float32(0.0)
    if soonest < 1.0e9:
        danger = wp.exp(-soonest / 5.0)
    return danger


@wp.func
def standing(world: World, rules: Rules, n: int, s: int) -> float:
    """What one seat adds to its side's potential: its advantage over its target, less the danger from missiles."""
    worth = wp.float32(0.0)
    if world.health[n, s] > 0.0:
        worth = advantage(world.motion[n, s], world.motion[n, world.target[n, s]], world.view[n, s], rules)
        if rules.armed != 0:
            worth = worth - threat(world, rules, n, s)
    return worth


@wp.func
def potential_of(world: World, rules: Rules, n: int) -> float:
    """Potential of game ``n`` for red; that of blue is its exact negative."""
    red = wp.float32(0.0)
    blue = wp.float32(0.0)
    for i in range(rules.team):
        red = red + standing(world, rules, n, i)
        blue = blue + standing(world, rules, n, rules.team + i)
    return (red - blue) / float(rules.team)


@wp.func
def dies(world: World, n: int, s: int, cause: int) -> None:
    """Seat ``s`` is dead; the first cause counts."""
    world.health[n, s] = 0.0
    if world.cause[n, s] == 0:
        world.cause[n, s] = cause


@wp.func
def collide(world: World, rules: Rules, n: int) -> None:
    """Buries every two aircraft that have come too close."""
    nearest = rules.collision_m * rules.collision_m
    for s in range(rules.seats):
        # Who died of something else in this very substep was still there to be hit.
        for other in range(s):
            between = world.motion[n, s].position - world.motion[n, other].position
            both = world.present[n, s] != 0 and world.present[n, other] != 0
            if both and wp.dot(between, between) < nearest:
                dies(world, n, s, COLLISION)
                dies(world, n, other, COLLISION)


@wp.func
def check_ending(world: World, rules: Rules, n: int) -> None:
    """Buries the dead of a substep (health 0, cause set) and marks the game where a team is gone."""
    for s in range(rules.seats):
        if world.cause[n, s] == 0:
            if world.health[n, s] <= 0.0:
                dies(world, n, s, wp.where(world.blast[n, s] > 0.0, MISSILE_KILL, GUN_KILL))
            elif -world.motion[n, s].position[2] < rules.floor_m:
                dies(world, n, s, CRASH)
        world.blast[n, s] = 0.0
    collide(world, rules, n)
    red = wp.int32(0)
    blue = wp.int32(0)
    for i in range(rules.team):
        if world.cause[n, i] == 0:
            red = red + 1
        if world.cause[n, rules.team + i] == 0:
            blue = blue + 1
    for s in range(rules.seats):
        world.present[n, s] = wp.where(world.cause[n, s] == 0, 1, 0)
    if red == 0 or blue == 0:
        world.over[n] = 1


@wp.func
def outcome_of(world: World, rules: Rules, n: int) -> int:
    """Outcome code of game ``n`` once it has ended; the survivors of a time limit have drawn."""
    red = wp.bool(False)
    blue = wp.bool(False)
    for i in range(rules.team):
        red = red or world.cause[n, i] == 0
        blue = blue or world.cause[n, rules.team + i] == 0
    outcome = wp.int32(DRAW)
    if red and not blue:
        outcome = RED
    elif blue and not red:
        outcome = BLUE
    return outcome
