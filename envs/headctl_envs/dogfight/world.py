"""The state of all games as Warp sees it: views of torch tensors, the rules, and the counter-based random numbers.

Shape legend: N games, A seats (2: ``red_0``, ``blue_0``), K choices, D features.
"""

import math
from typing import Any

import warp as wp

from headctl_envs.dogfight.config import STARTS, DogfightConfig
from headctl_envs.dogfight.flight import Motion
from headctl_envs.dogfight.geometry import Sight, sight
from headctl_envs.dogfight.warp_struct import struct

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.

wp.set_module_options({"enable_backward": False})


MOTION_FIELDS: dict[str, slice] = {
    "position": slice(0, 3),
    "attitude": slice(3, 7),
    "speed": slice(7, 8),
    "load_factor": slice(8, 9),
    "roll_rate": slice(9, 10),
    "lever": slice(10, 11),
}
"""Where the fields of :class:`Motion` stand in the last dimension of the engine's tensor ``motion`` [N, A, 11]."""

MOTION_SIZE = 11
SIGHT_SIZE = 16

StartShares: Any = wp.types.vector(length=len(STARTS), dtype=wp.float32)
"""Cumulative probabilities of the start geometries."""


@struct
class World:
    """Views of the engine's buffers. ``[N, A]`` unless said.

    ``view`` is what each seat sees of its enemy, always up to date with ``motion``. ``choice``, ``trigger`` and
    ``trim`` are the actions in force; ``moved`` and ``damage`` are scratch of one substep; ``dealt`` is the damage of
    the decision; ``clock`` ``[N]`` counts decisions; ``cause`` ``[N]`` says how the episode ended (0: it goes on);
    ``zone_s`` ``[N]`` is the time in gun zones; ``potential`` ``[N]`` is that of seat 0; ``counts`` is ``[N, S]``.
    ``kinds`` has the maneuver codes of the library, ``falling`` the positions of its pull-down maneuvers.
    """

    motion: wp.array2d[Motion]
    moved: wp.array2d[Motion]
    view: wp.array2d[Sight]
    health: wp.array2d[wp.float32]
    rounds: wp.array2d[wp.float32]
    choice: wp.array2d[wp.int32]
    trigger: wp.array2d[wp.int32]
    trim: wp.array2d[wp.vec3]
    damage: wp.array2d[wp.float32]
    dealt: wp.array2d[wp.float32]
    clock: wp.array[wp.int32]
    episode: wp.array[wp.int32]
    cause: wp.array[wp.int32]
    zone_s: wp.array[wp.float32]
    potential: wp.array[wp.float32]
    counts: wp.array2d[wp.float32]
    mask_maneuver: wp.array3d[wp.bool]
    mask_weapon: wp.array3d[wp.bool]
    kinds: wp.array[wp.int32]
    falling: wp.array[wp.int32]


@struct
class Rules:
    """The options of :class:`DogfightConfig` that the kernels need, in SI units and radians."""

    decision_s: wp.float32
    substep_s: wp.float32
    substeps: wp.int32
    seats: wp.int32
    max_decisions: wp.int32
    floor_m: wp.float32
    collision_m: wp.float32
    gun_half_angle: wp.float32
    gun_range_min: wp.float32
    gun_range_max: wp.float32
    gun_damage: wp.float32
    gun_rounds: wp.float32
    gun_rate: wp.float32
    interlock_angle: wp.float32
    interlock_range: wp.float32
    altitude_min: wp.float32
    altitude_max: wp.float32
    speed_min: wp.float32
    speed_max: wp.float32
    range_min: wp.float32
    range_max: wp.float32
    gamma: wp.float32
    damage_weight: wp.float32
    game_offset: wp.int32
    start_until: StartShares  # pyright: ignore[reportInvalidTypeForm]  - Warp types are values


def rules_struct(config: DogfightConfig, *, num_seats: int, max_decisions: int, game_offset: int) -> Rules:
    """Copies the options into the kernels' form."""
    rules = Rules()
    rules.decision_s = config.decision_period_s
    rules.substep_s = config.decision_period_s / config.substeps
    rules.substeps = config.substeps
    rules.seats = num_seats
    rules.max_decisions = max_decisions
    rules.floor_m = config.floor_m
    rules.collision_m = config.collision_m
    rules.gun_half_angle = math.radians(config.gun_half_angle_deg)
    rules.gun_range_min = config.gun_range_min_m
    rules.gun_range_max = config.gun_range_max_m
    rules.gun_damage = config.gun_damage_per_s
    rules.gun_rounds = float(config.gun_rounds)
    rules.gun_rate = config.gun_rate_per_s
    rules.interlock_angle = math.radians(config.gun_interlock_deg)
    rules.interlock_range = config.gun_interlock_range_m
    rules.altitude_min = config.start_altitude_min_m
    rules.altitude_max = config.start_altitude_max_m
    rules.speed_min = config.start_speed_min_m_s
    rules.speed_max = config.start_speed_max_m_s
    rules.range_min = config.start_range_min_m
    rules.range_max = config.start_range_max_m
    rules.gamma = config.gamma
    rules.damage_weight = config.damage_weight
    rules.game_offset = game_offset
    probabilities = config.start_probabilities
    rules.start_until = StartShares(*(sum(probabilities[: i + 1]) for i in range(len(probabilities))))
    return rules


@wp.func
def look(world: World, rules: Rules, n: int) -> None:
    """Brings ``world.view`` of game ``n`` up to date with ``world.motion``."""
    for s in range(rules.seats):
        world.view[n, s] = sight(world.motion[n, s], world.motion[n, 1 - s])


@wp.func
def random_stream(seed: int, game: int, episode: int, purpose: int) -> wp.uint32:
    """State of a random number generator that depends on these four counters and on nothing else."""
    by_game = wp.rand_init(seed, game)
    by_episode = wp.rand_init(int(by_game), episode)
    return wp.rand_init(int(by_episode), purpose)
