"""What a pilot observes, and which choices are legal.

All vectors are in the observer's own wind frame (x along its velocity, y right wing, z down), so that a left/right
mirrored fight differs only in the sign of the features whose names end in ``_right`` and of ``roll_rate``,
``los_rate_forward`` and ``los_rate_down`` (angular velocities). All features are of order one.
"""

import math

import warp as wp

from headctl_envs.dogfight.config import WEAPONS
from headctl_envs.dogfight.flight import (
    Airframe,
    G,
    air_at,
    down_of,
    drag_to_weight,
    lift_per_weight,
    load_factor_available,
    right_of,
    tanh_of,
    thrust_at_lever,
    thrust_to_weight,
)
from headctl_envs.dogfight.weapons import gun_legal, in_gun_zone
from headctl_envs.dogfight.world import Rules, World

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.
# ruff: noqa: PLR0917  - that language has neither keyword arguments nor ``in``
wp.set_module_options({"enable_backward": False})

OWN_FEATURES: dict[str, str] = {
    "altitude": "altitude / 10 km",
    "floor_margin": "height above the floor / 2 km, at most 1",
    "speed": "true airspeed / 340 m/s",
    "mach": "Mach number",
    "gravity_forward": "down direction along the own velocity: -sin(gamma)",
    "gravity_right": "down direction along the right wing: cos(gamma) sin(mu)",
    "gravity_down": "down direction along the own down axis: cos(gamma) cos(mu)",
    "load_factor": "load factor / 9 g",
    "load_factor_available": "largest load factor that stall and structure allow now / 9 g",
    "roll_rate": "roll rate / 4 rad/s, positive to the right",
    "lever": "thrust lever, 0 idle, 0.77 military, 1 full afterburner",
    "energy": "specific energy (altitude + V^2 / 2g) / 10 km, minus 1",
    "specific_power": "specific excess power V (T - D) / W, / 250 m/s",
    "health": "own health, 1 at the start, dead at 0",
    "rounds": "share of the rounds left",
    "time_left": "share of the time limit left",
    "legal_gun": "1 if the mask of `weapon` lets the gun fire",
    "legal_dive": "1 if the mask of `maneuver` lets pull-down maneuvers be flown",
}
"""Features about the observer, in order, with their meaning."""

ENEMY_FEATURES: dict[str, str] = {
    "los_forward": "unit line of sight to the enemy, along the own velocity: cos(ATA)",
    "los_right": "unit line of sight, along the right wing",
    "los_down": "unit line of sight, along the down axis",
    "range_log": "(log10(range / m) - 3) / 1.5",
    "range_near": "exp(-range / 1 km)",
    "closure": "closing speed / 600 m/s, positive when the range shrinks",
    "cos_aspect": "cos(AA): 1 dead astern of the enemy, -1 in front of him",
    "cos_crossing": "cosine of the angle between both velocities",
    "aim": "exp(-ATA / 3 gun half angles): 1 with the nose on him",
    "aim_coarse": "1 - ATA / pi * 2: 1 ahead, 0 abeam, -1 behind",
    "enemy_aim": "the enemy's `aim` on the observer",
    "los_rate_forward": "angular velocity of the line of sight / 0.5 rad/s, along the own velocity",
    "los_rate_right": "the same, along the right wing",
    "los_rate_down": "the same, along the down axis",
    "enemy_right": "direction of the enemy's velocity, along the right wing (`cos_crossing` is its forward part)",
    "enemy_down": "direction of the enemy's velocity, along the down axis",
    "enemy_lift_forward": "direction of the enemy's lift, along the own velocity",
    "enemy_lift_right": "direction of the enemy's lift, along the right wing",
    "enemy_lift_down": "direction of the enemy's lift, along the down axis",
    "enemy_load_factor": "load factor of the enemy / 9 g",
    "speed_difference": "own speed minus the enemy's, / 200 m/s",
    "height_difference": "own altitude minus the enemy's, / 2 km, clipped to [-2, 2]",
    "energy_difference": "tanh of the difference of specific energies / 2 km",
    "enemy_health": "health of the enemy",
    "enemy_in_zone": "1 if the enemy is in the own gun zone",
    "in_enemy_zone": "1 if the observer is in the enemy's gun zone",
}
"""Features about the enemy, in order, with their meaning."""

FEATURES: tuple[str, ...] = (*OWN_FEATURES, *ENEMY_FEATURES)
"""Names of the observation's components, in order."""

OWN = wp.constant(len(OWN_FEATURES))
LOG10_E = wp.constant(math.log10(math.e))
WEAPON_GUN = wp.constant(WEAPONS.index("gun"))


@wp.func
def dive_legal(height: float, speed: float, sink: float, available: float) -> bool:
    """Whether pull-down maneuvers are legal: a pull-out from a steep dive must still fit above the floor.

    ``height`` above the floor in m, ``sink`` the sine of the dive angle (negative in a climb). The height needed is
    ``V^2 (1 + sink) / (g (n - 1))`` with a moderate n, plus the fall of one second.
    """
    pull = wp.clamp(0.7 * available, 1.5, 5.0) - 1.0
    return height > speed * speed * (1.0 + sink) / (G * pull) + wp.max(speed * sink, 0.0)


@wp.func
def write_masks(world: World, n: int, s: int, may_fire: wp.bool, may_dive: wp.bool) -> None:
    """Writes the masks of seat ``s`` in game ``n``: those that may change, the others stand from the start."""
    mask_maneuver = world.mask_maneuver[n, s]
    for i in range(world.falling.shape[0]):
        mask_maneuver[world.falling[i]] = may_dive
    world.mask_weapon[n, s, WEAPON_GUN] = may_fire


@wp.func
def observe_enemy(world: World, rules: Rules, n: int, s: int, row: wp.array[wp.float32]) -> None:
    """Writes the features about the enemy of seat ``s`` into ``row``, from position ``OWN`` on."""
    foe_seat = 1 - s
    own = world.motion[n, s]
    foe = world.motion[n, foe_seat]
    view = world.view[n, s]
    back = world.view[n, foe_seat]
    forward = view.own_forward
    right = right_of(own.attitude)
    down = down_of(own.attitude)
    foe_lift = -down_of(foe.attitude)
    energy = -own.position[2] + 0.5 * own.speed * own.speed / G
    foe_energy = -foe.position[2] + 0.5 * foe.speed * foe.speed / G
    row[OWN + 0] = wp.dot(view.los, forward)
    row[OWN + 1] = wp.dot(view.los, right)
    row[OWN + 2] = wp.dot(view.los, down)
    row[OWN + 3] = (LOG10_E * wp.log(view.range) - 3.0) / 1.5
    row[OWN + 4] = wp.exp(-view.range / 1000.0)
    row[OWN + 5] = view.closure / 600.0
    row[OWN + 6] = wp.dot(view.los, view.other_forward)
    row[OWN + 7] = wp.dot(forward, view.other_forward)
    row[OWN + 8] = wp.exp(-view.ata / (3.0 * rules.gun_half_angle))
    row[OWN + 9] = 1.0 - 2.0 * view.ata / wp.pi
    row[OWN + 10] = wp.exp(-back.ata / (3.0 * rules.gun_half_angle))
    row[OWN + 11] = wp.clamp(wp.dot(view.los_rate, forward) / 0.5, -2.0, 2.0)
    row[OWN + 12] = wp.clamp(wp.dot(view.los_rate, right) / 0.5, -2.0, 2.0)
    row[OWN + 13] = wp.clamp(wp.dot(view.los_rate, down) / 0.5, -2.0, 2.0)
    row[OWN + 14] = wp.dot(view.other_forward, right)
    row[OWN + 15] = wp.dot(view.other_forward, down)
    row[OWN + 16] = wp.dot(foe_lift, forward)
    row[OWN + 17] = wp.dot(foe_lift, right)
    row[OWN + 18] = wp.dot(foe_lift, down)
    row[OWN + 19] = foe.load_factor / 9.0
    row[OWN + 20] = (own.speed - foe.speed) / 200.0
    row[OWN + 21] = wp.clamp((foe.position[2] - own.position[2]) / 2000.0, -2.0, 2.0)
    row[OWN + 22] = tanh_of((energy - foe_energy) / 2000.0)
    row[OWN + 23] = world.health[n, foe_seat]
    row[OWN + 24] = in_gun_zone(view, rules)
    row[OWN + 25] = in_gun_zone(back, rules)


@wp.func
def observe(
    world: World, rules: Rules, airframes: wp.array[Airframe], n: int, s: int, rows: wp.array3d[wp.float32]
) -> None:
    """Writes the observation of seat ``s`` in game ``n`` into ``rows[n, s]`` and its masks into the world."""
    row = rows[n, s]
    own = world.motion[n, s]
    airframe = airframes[s]
    view = world.view[n, s]
    altitude = -own.position[2]
    air = air_at(altitude)
    mach = own.speed * air.inverse_sound
    slope = lift_per_weight(airframe, air, own.speed)
    lift = wp.clamp(own.load_factor, airframe.lift_min * slope, airframe.lift_max * slope)
    thrust = thrust_at_lever(airframe, thrust_to_weight(airframe, air, mach), own.lever)
    available = load_factor_available(airframe, air, own.speed)
    energy = altitude + 0.5 * own.speed * own.speed / G
    height = altitude - rules.floor_m
    forward = view.own_forward

    may_fire = gun_legal(view, world.rounds[n, s], world.health[n, 1 - s], rules)
    may_dive = dive_legal(height, own.speed, forward[2], available)
    write_masks(world, n, s, may_fire, may_dive)

    row[0] = altitude / 10000.0
    row[1] = wp.min(height / 2000.0, 1.0)
    row[2] = own.speed / 340.0
    row[3] = mach
    row[4] = forward[2]
    row[5] = right_of(own.attitude)[2]
    row[6] = down_of(own.attitude)[2]
    row[7] = own.load_factor / 9.0
    row[8] = available / 9.0
    row[9] = own.roll_rate / 4.0
    row[10] = own.lever
    row[11] = energy / 10000.0 - 1.0
    row[12] = own.speed * (thrust - drag_to_weight(airframe, mach, slope, lift, 0.0)) / 250.0
    row[13] = world.health[n, s]
    row[14] = world.rounds[n, s] / wp.max(rules.gun_rounds, 1.0)
    row[15] = 1.0 - float(world.clock[n]) / float(rules.max_decisions)
    row[16] = wp.where(may_fire, 1.0, 0.0)
    row[17] = wp.where(may_dive, 1.0, 0.0)
    observe_enemy(world, rules, n, s, row)
