"""What aircraft see and how they stand, for many games side by side: see :mod:`headctl_envs.dogfight.lanes`.

All that is arithmetic on two motions is told here, in rows of one number per game: the features about the observer and
about one enemy, the angles, a missile's reach, the advantage. What depends on stores, masks or missiles in the air is
added game by game, in :mod:`headctl_envs.dogfight.sensing`.

Shape legend: L lanes, R rows of numbers.
"""

import math
from typing import Any

import warp as wp

from headctl_envs.dogfight.config import FRAMES
from headctl_envs.dogfight.features import ENEMY_FEATURES, OWN_FEATURES
from headctl_envs.dogfight.flight import (
    Air,
    Airframe,
    G,
    Motion,
    air_at,
    down_of,
    drag_to_weight,
    forward_of,
    lift_per_weight,
    load_factor_available,
    right_of,
    thrust_at_lever,
    thrust_to_weight,
)
from headctl_envs.dogfight.geometry import Sight, angle_between, sight_of
from headctl_envs.dogfight.lanes import MOTION_ROWS, OTHER, SELF, motion_at
from headctl_envs.dogfight.missiles import missile_reach
from headctl_envs.dogfight.numerics import exp_of, log_of, tanh_of
from headctl_envs.dogfight.rules import Rules
from headctl_envs.dogfight.scoring import advantage
from headctl_envs.dogfight.warp_struct import struct

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.
# ruff: noqa: PLR0917  - that language has no keyword arguments
wp.set_module_options({"enable_backward": False})

LOG10_E = wp.constant(math.log10(math.e))
WORLD = wp.constant(FRAMES.index("world"))

OWN = wp.constant(2 * int(MOTION_ROWS))
"""First row of the features about the observer, behind the motions of both."""
OWN_SIZE = wp.constant(len(OWN_FEATURES))
ENEMY = wp.constant(int(OWN) + len(OWN_FEATURES))
"""First row of those about the enemy."""
ENEMY_SIZE = wp.constant(len(ENEMY_FEATURES))
ATA = wp.constant(int(ENEMY) + len(ENEMY_FEATURES))
ASPECT = wp.constant(int(ATA) + 1)
REACH = wp.constant(int(ATA) + 2)
WORTH = wp.constant(int(ATA) + 3)
PERCEPTION_ROWS = int(ATA) + 4
"""R: two motions, all features of one enemy and the observer, both angles, a missile's reach, the advantage."""

_OWN_ROW = {name: int(OWN) + place for place, name in enumerate(OWN_FEATURES)}
_ENEMY_ROW = {name: int(ENEMY) + place for place, name in enumerate(ENEMY_FEATURES)}


@struct
class Axes:
    """Directions along which an observer's vectors are told, NED."""

    x: wp.vec3
    y: wp.vec3
    z: wp.vec3


@wp.func(inline=True)
def chosen(first: wp.bool, one: wp.vec3, other: wp.vec3) -> wp.vec3:
    """One of two vectors, number by number: a branch between vectors would keep loops from being vectorised."""
    return wp.vec3(
        wp.where(first, one[0], other[0]), wp.where(first, one[1], other[1]), wp.where(first, one[2], other[2])
    )


@wp.func(inline=True)
def axes_of(own: Motion, rules: Rules) -> Axes:
    """The observer's wind frame, or north, east and down."""
    world = rules.frame == WORLD
    axes = Axes()
    axes.x = chosen(world, wp.vec3(1.0, 0.0, 0.0), forward_of(own.attitude))
    axes.y = chosen(world, wp.vec3(0.0, 1.0, 0.0), right_of(own.attitude))
    axes.z = chosen(world, wp.vec3(0.0, 0.0, 1.0), down_of(own.attitude))
    return axes


@wp.func(inline=True)
def along(vector: wp.vec3, axes: Axes) -> wp.vec3:
    """The components of a vector along the observer's axes."""
    return wp.vec3(wp.dot(vector, axes.x), wp.dot(vector, axes.y), wp.dot(vector, axes.z))


@wp.func(inline=True)
def range_log(distance: float) -> float:
    """The feature of a range."""
    return (LOG10_E * log_of(distance) - 3.0) / 1.5


@wp.func(inline=True)
def dive_legal(height: float, speed: float, sink: float, available: float) -> bool:
    """Whether pull-down maneuvers are legal: a pull-out from a steep dive must still fit above the floor.

    ``height`` above the floor in m, ``sink`` the sine of the dive angle (negative in a climb). The height needed is
    ``V^2 (1 + sink) / (g (n - 1))`` with a moderate n, plus the fall of one second.
    """
    pull = wp.clamp(0.7 * available, 1.5, 5.0) - 1.0
    return height > speed * speed * (1.0 + sink) / (G * pull) + wp.max(speed * sink, 0.0)


@wp.func(inline=True)
def zone_of(distance: float, angle: float, rules: Rules) -> float:
    """1 if what is at this range and angle off the nose is in the gun's cone and range, else 0."""
    inside = distance >= rules.gun_range_min and distance <= rules.gun_range_max and angle <= rules.gun_half_angle
    return wp.where(inside, 1.0, 0.0)


@wp.func(inline=True)
def tell_own(
    rows: wp.array2d[wp.float32], lane: int, rules: Rules, own: Motion, view: Sight, airframe: Airframe, air: Air
) -> None:
    """Writes the features about the observer; stores, health, clock and the gun's mask are not known here."""
    altitude = -own.position[2]
    height = altitude - rules.floor_m
    mach = own.speed * air.inverse_sound
    slope = lift_per_weight(airframe, air, own.speed)
    lift = wp.clamp(own.load_factor, airframe.lift_min * slope, airframe.lift_max * slope)
    thrust = thrust_at_lever(airframe, thrust_to_weight(airframe, air, mach), own.lever)
    available = load_factor_available(airframe, air, own.speed)
    power = own.speed * (thrust - drag_to_weight(airframe, mach, slope, lift, 0.0))
    may_dive = dive_legal(height, own.speed, view.own_forward[2], available)
    rows[wp.static(_OWN_ROW["altitude"]), lane] = altitude / 10000.0
    rows[wp.static(_OWN_ROW["floor_margin"]), lane] = wp.min(height / 2000.0, 1.0)
    rows[wp.static(_OWN_ROW["speed"]), lane] = own.speed / 340.0
    rows[wp.static(_OWN_ROW["mach"]), lane] = mach
    rows[wp.static(_OWN_ROW["gravity_forward"]), lane] = view.own_forward[2]
    rows[wp.static(_OWN_ROW["gravity_right"]), lane] = right_of(own.attitude)[2]
    rows[wp.static(_OWN_ROW["gravity_down"]), lane] = down_of(own.attitude)[2]
    rows[wp.static(_OWN_ROW["load_factor"]), lane] = own.load_factor / 9.0
    rows[wp.static(_OWN_ROW["load_factor_available"]), lane] = available / 9.0
    rows[wp.static(_OWN_ROW["roll_rate"]), lane] = own.roll_rate / 4.0
    rows[wp.static(_OWN_ROW["lever"]), lane] = own.lever
    rows[wp.static(_OWN_ROW["energy"]), lane] = (altitude + 0.5 * own.speed * own.speed / G) / 10000.0 - 1.0
    rows[wp.static(_OWN_ROW["specific_power"]), lane] = power / 250.0
    rows[wp.static(_OWN_ROW["legal_dive"]), lane] = wp.where(may_dive, 1.0, 0.0)


@wp.func(inline=True)
def tell_enemy(
    rows: wp.array2d[wp.float32], lane: int, rules: Rules, own: Motion, foe: Motion, view: Sight, back: float
) -> None:
    """Writes the features about the enemy but his health; ``back`` is the angle of the observer off his nose."""
    axes = axes_of(own, rules)
    los = along(view.los, axes)
    rate = along(view.los_rate, axes) / 0.5
    heading = along(view.other_forward, axes)
    lift = along(-down_of(foe.attitude), axes)
    energy = -own.position[2] + 0.5 * own.speed * own.speed / G
    foe_energy = -foe.position[2] + 0.5 * foe.speed * foe.speed / G
    rows[wp.static(_ENEMY_ROW["los_forward"]), lane] = los[0]
    rows[wp.static(_ENEMY_ROW["los_right"]), lane] = los[1]
    rows[wp.static(_ENEMY_ROW["los_down"]), lane] = los[2]
    rows[wp.static(_ENEMY_ROW["range_log"]), lane] = range_log(view.range)
    rows[wp.static(_ENEMY_ROW["range_near"]), lane] = exp_of(-view.range / 1000.0)
    rows[wp.static(_ENEMY_ROW["closure"]), lane] = view.closure / 600.0
    rows[wp.static(_ENEMY_ROW["cos_aspect"]), lane] = wp.dot(view.los, view.other_forward)
    rows[wp.static(_ENEMY_ROW["cos_crossing"]), lane] = wp.dot(view.own_forward, view.other_forward)
    rows[wp.static(_ENEMY_ROW["aim"]), lane] = exp_of(-view.ata * rules.per_aim)
    rows[wp.static(_ENEMY_ROW["aim_coarse"]), lane] = 1.0 - 2.0 * view.ata / wp.pi
    rows[wp.static(_ENEMY_ROW["enemy_aim"]), lane] = exp_of(-back * rules.per_aim)
    rows[wp.static(_ENEMY_ROW["los_rate_forward"]), lane] = wp.clamp(rate[0], -2.0, 2.0)
    rows[wp.static(_ENEMY_ROW["los_rate_right"]), lane] = wp.clamp(rate[1], -2.0, 2.0)
    rows[wp.static(_ENEMY_ROW["los_rate_down"]), lane] = wp.clamp(rate[2], -2.0, 2.0)
    rows[wp.static(_ENEMY_ROW["enemy_right"]), lane] = heading[1]
    rows[wp.static(_ENEMY_ROW["enemy_down"]), lane] = heading[2]
    rows[wp.static(_ENEMY_ROW["enemy_lift_forward"]), lane] = lift[0]
    rows[wp.static(_ENEMY_ROW["enemy_lift_right"]), lane] = lift[1]
    rows[wp.static(_ENEMY_ROW["enemy_lift_down"]), lane] = lift[2]
    rows[wp.static(_ENEMY_ROW["enemy_load_factor"]), lane] = foe.load_factor / 9.0
    rows[wp.static(_ENEMY_ROW["speed_difference"]), lane] = (own.speed - foe.speed) / 200.0
    rise = wp.clamp((foe.position[2] - own.position[2]) / 2000.0, -2.0, 2.0)
    rows[wp.static(_ENEMY_ROW["height_difference"]), lane] = rise
    rows[wp.static(_ENEMY_ROW["energy_difference"]), lane] = tanh_of((energy - foe_energy) / 2000.0)
    rows[wp.static(_ENEMY_ROW["enemy_in_zone"]), lane] = zone_of(view.range, view.ata, rules)
    rows[wp.static(_ENEMY_ROW["in_enemy_zone"]), lane] = zone_of(view.range, back, rules)


def perception_of(lanes: int) -> Any:
    """Returns the Warp function that tells what so many aircraft of one type see of one enemy each."""

    @wp.func(inline=True)
    def perceive_lanes(rows: wp.array2d[wp.float32], rules: Rules, airframe: Airframe) -> None:
        for lane in range(lanes):
            own = motion_at(rows, SELF, lane)
            foe = motion_at(rows, OTHER, lane)
            view = sight_of(own, foe.position, forward_of(foe.attitude), foe.speed)
            view.ata = angle_between(view.own_forward, view.los)
            back = angle_between(view.other_forward, -view.los)
            view.aa = wp.pi - back
            air = air_at(-own.position[2])
            tell_own(rows, lane, rules, own, view, airframe, air)
            tell_enemy(rows, lane, rules, own, foe, view, back)
            rows[ATA, lane] = view.ata
            rows[ASPECT, lane] = view.aa
            rows[REACH, lane] = missile_reach(own, foe.speed, view, rules, air.density)
            rows[WORTH, lane] = advantage(own, foe, view, rules)

    return perceive_lanes
