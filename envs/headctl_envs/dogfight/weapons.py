"""The gun: a cone ahead of the nose, ammunition, damage, and the interlock that makes it legal.

The cone and its damage law are those of the AlphaDogfight trials: 2 degrees aperture, 500 to 3000 ft, damage per second
``(3000 - range_ft) / 2500``. Fire of one substep is resolved from one state for all seats before anything is applied.
"""

import warp as wp

from headctl_envs.dogfight.geometry import Sight
from headctl_envs.dogfight.world import Rules, World

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.

wp.set_module_options({"enable_backward": False})


@wp.func
def gun_damage_rate(view: Sight, rules: Rules) -> float:
    """Health per second that a firing gun takes from the aircraft in view; 0 outside the zone (edges included)."""
    rate = wp.float32(0.0)
    if view.ata <= rules.gun_half_angle and view.range >= rules.gun_range_min and view.range <= rules.gun_range_max:
        rate = rules.gun_damage * (rules.gun_range_max - view.range) / (rules.gun_range_max - rules.gun_range_min)
    return rate


@wp.func
def in_gun_zone(view: Sight, rules: Rules) -> float:
    """1 if the aircraft in view is in the gun's cone and range, else 0."""
    inside = (
        view.ata <= rules.gun_half_angle and view.range >= rules.gun_range_min and view.range <= rules.gun_range_max
    )
    return wp.where(inside, 1.0, 0.0)


@wp.func
def gun_legal(view: Sight, rounds: float, enemy_health: float, rules: Rules) -> bool:
    """Whether the fire control lets the gun fire: rounds left, and a live enemy near the nose and near enough."""
    return (
        rounds > 0.0
        and enemy_health > 0.0
        and view.ata <= rules.interlock_angle
        and view.range <= rules.interlock_range
    )


@wp.func
def fire_guns(world: World, rules: Rules, n: int) -> None:
    """Resolves one substep of fire in game ``n``: all damage from the same state, then applied."""
    for s in range(rules.seats):
        foe = 1 - s
        view = world.view[n, s]
        world.zone_s[n] = world.zone_s[n] + in_gun_zone(view, rules) * rules.substep_s
        harm = wp.float32(0.0)
        if world.trigger[n, s] != 0:
            wanted = rules.gun_rate * rules.substep_s
            fired = wp.min(wanted, world.rounds[n, s])
            world.rounds[n, s] = world.rounds[n, s] - fired
            harm = gun_damage_rate(view, rules) * rules.substep_s * fired / wanted
        world.damage[n, foe] = wp.min(harm, world.health[n, foe])
    for s in range(rules.seats):
        world.health[n, s] = world.health[n, s] - world.damage[n, s]
        world.dealt[n, 1 - s] = world.dealt[n, 1 - s] + world.damage[n, s]
