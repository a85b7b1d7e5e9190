"""Rewards and endings: outcome, damage and potential-based shaping, zero-sum by construction.

The reward of seat 0 is ``outcome + damage_weight (dealt - taken) + w F``; that of seat 1 is its exact negative.
``F = gamma Phi(s') - Phi(s)`` with ``Phi = 0`` at the end of an episode keeps every optimal policy and equilibrium
(Ng, Harada and Russell 1999; Devlin and Kudenko 2011); a truncated episode has not ended, so there ``Phi(s')`` counts.
"""

import warp as wp

from headctl_envs.dogfight.config import CAUSES, OUTCOMES
from headctl_envs.dogfight.flight import G, Motion, tanh_of
from headctl_envs.dogfight.geometry import Sight
from headctl_envs.dogfight.world import Rules, World

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.

wp.set_module_options({"enable_backward": False})

KILL = wp.constant(CAUSES.index("kill"))
CRASH = wp.constant(CAUSES.index("crash"))
COLLISION = wp.constant(CAUSES.index("collision"))
TIME = wp.constant(CAUSES.index("time"))

RED = wp.constant(OUTCOMES.index("red"))
BLUE = wp.constant(OUTCOMES.index("blue"))
DRAW = wp.constant(OUTCOMES.index("draw"))


@wp.func
def advantage(own: Motion, other: Motion, view: Sight, rules: Rules) -> float:
    """Half of the potential: how good the position of ``own`` is, about -0.6 to 2.

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
def potential_of(world: World, rules: Rules, n: int) -> float:
    """Potential of game ``n`` for seat 0; that of seat 1 is its exact negative."""
    red = world.motion[n, 0]
    blue = world.motion[n, 1]
    return advantage(red, blue, world.view[n, 0], rules) - advantage(blue, red, world.view[n, 1], rules)


@wp.func
def check_ending(world: World, rules: Rules, n: int) -> None:
    """Marks the end of game ``n`` after a substep; whoever is dead has health 0 afterwards."""
    distance = wp.length(world.motion[n, 0].position - world.motion[n, 1].position)
    cause = wp.int32(0)
    for s in range(rules.seats):
        if world.health[n, s] <= 0.0:
            cause = KILL
    for s in range(rules.seats):
        if -world.motion[n, s].position[2] < rules.floor_m:
            world.health[n, s] = 0.0
            cause = wp.where(cause == 0, CRASH, cause)
    if distance < rules.collision_m:
        for s in range(rules.seats):
            world.health[n, s] = 0.0
        cause = wp.where(cause == 0, COLLISION, cause)
    world.cause[n] = cause


@wp.func
def outcome_of(world: World, n: int) -> int:
    """Outcome code of game ``n``, to be asked once ``cause`` is set; survivors of a time limit have drawn."""
    outcome = wp.int32(DRAW)
    if world.health[n, 0] > 0.0 and world.health[n, 1] <= 0.0:
        outcome = RED
    elif world.health[n, 1] > 0.0 and world.health[n, 0] <= 0.0:
        outcome = BLUE
    return outcome
