"""Start geometries. Each is drawn from the counters (seed, game, episode) alone."""

import warp as wp

from headctl_envs.dogfight.flight import Motion
from headctl_envs.dogfight.names import STARTS
from headctl_envs.dogfight.warp_struct import struct
from headctl_envs.dogfight.world import EMPTY, Arena, Rules, assign, random_stream

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.
# ruff: noqa: PLR0917, PLR1714, SIM109  - that language has neither keyword arguments nor ``in``
wp.set_module_options({"enable_backward": False})

RANDOM = wp.constant(STARTS.index("random"))
NEUTRAL = wp.constant(STARTS.index("neutral"))
OFFENSIVE = wp.constant(STARTS.index("offensive"))
DEFENSIVE = wp.constant(STARTS.index("defensive"))
HEAD_ON = wp.constant(STARTS.index("head_on"))
IN_ZONE = wp.constant(STARTS.index("in_zone"))

PURPOSE_START = wp.constant(1)
DEGREE = wp.constant(0.017453293)
START_LEVER = wp.constant(0.77)


@wp.func
def place(arena: Arena, rules: Rules, n: int, s: int, position: wp.vec3, heading: float, speed: float) -> None:
    """Puts seat ``s`` in level flight at 1 g with full magazines."""
    motion = Motion()
    motion.position = position
    motion.attitude = wp.quat(0.0, 0.0, wp.sin(0.5 * heading), wp.cos(0.5 * heading))
    motion.speed = speed
    motion.load_factor = 1.0
    motion.lever = START_LEVER
    arena.seats[n, s].motion = motion
    arena.seats[n, s].health = 1.0
    arena.seats[n, s].rounds = rules.gun_rounds
    arena.seats[n, s].missiles_left = rules.missiles
    arena.seats[n, s].flares = rules.flares
    arena.seats[n, s].lock_s = 0.0
    arena.seats[n, s].missile_wait = 0.0
    arena.seats[n, s].flare_wait = 0.0
    arena.seats[n, s].zone_s = 0.0
    arena.seats[n, s].cause = 0
    for m in range(rules.slots):
        arena.missiles[n, s, m].phase = EMPTY


@wp.func
def place_team(arena: Arena, rules: Rules, n: int, side: int, centre: wp.vec3, heading: float, speed: float) -> None:
    """Puts the aircraft of a side in line abreast, its first one in the middle.

    The wingmen stand alternately right and left of the first, and a little behind; the places are the same for both.
    """
    for i in range(rules.team):
        rank = float((i + 1) / 2)
        across = wp.where(i % 2 == 1, rank, -rank) * rules.spacing
        behind = 0.3 * rank * rules.spacing
        east = wp.sin(heading)
        north = wp.cos(heading)
        offset = wp.vec3(-behind * north - across * east, -behind * east + across * north, 0.0)
        place(arena, rules, n, side * rules.team + i, centre + offset, heading, speed)


@struct
class Geometry:
    """One start: side ``attacker`` sees the other side ``bearing`` off its nose, ``gap`` away and ``rise`` higher.

    The other's heading differs from the attacker's by ``turn``; ``same_speed`` is 1 where both start at one speed.
    Metres and radians.
    """

    attacker: wp.int32
    gap: wp.float32
    bearing: wp.float32
    turn: wp.float32
    rise: wp.float32
    same_speed: wp.int32


@wp.func
def arrange(kind: int, rules: Rules, near: float, side: wp.vec3, coin: float) -> Geometry:
    """The start geometry ``kind`` from random numbers: ``near`` and ``coin`` in [0, 1), ``side`` in [-1, 1)."""
    start = Geometry()
    start.gap = rules.range_min + (rules.range_max - rules.range_min) * near
    start.bearing = wp.pi * side[0]
    start.turn = wp.pi * side[1]
    start.rise = 500.0 * side[2]
    if kind == NEUTRAL:
        start.gap = 1000.0 + 1500.0 * near
        start.bearing = wp.where(side[0] > 0.0, 0.5 * wp.pi, -0.5 * wp.pi)
        start.turn = wp.pi
        start.rise = 0.0
        start.same_speed = 1
    elif kind == OFFENSIVE or kind == DEFENSIVE:
        start.attacker = wp.where(kind == OFFENSIVE, 0, 1)
        start.gap = 600.0 + 900.0 * near
        start.bearing = 20.0 * DEGREE * side[0]
        start.turn = 35.0 * DEGREE * side[1]
        start.rise = 150.0 * side[2]
    elif kind == HEAD_ON:
        start.gap = 2500.0 + 2500.0 * near
        start.bearing = 5.0 * DEGREE * side[0]
        start.turn = wp.pi
        start.rise = 0.0
        start.same_speed = 1
    elif kind == IN_ZONE:
        start.attacker = wp.where(coin < 0.5, 0, 1)
        start.gap = rules.gun_range_min + (rules.gun_range_max - rules.gun_range_min) * (0.15 + 0.5 * near)
        start.bearing = 2.0 * DEGREE * side[0]
        start.turn = 15.0 * DEGREE * side[1]
        start.rise = 0.0
        start.same_speed = 1
    return start


@wp.func
def start_game(arena: Arena, rules: Rules, seed: int, n: int) -> None:
    """Begins the next episode of game ``n``, centred on the origin and on the drawn altitude."""
    arena.games[n].episode = arena.games[n].episode + 1
    arena.games[n].clock = 0
    arena.games[n].over = 0
    rng = random_stream(seed, rules.game_offset + n, arena.games[n].episode, PURPOSE_START)
    pick = wp.randf(rng)
    altitude = rules.altitude_min + (rules.altitude_max - rules.altitude_min) * wp.randf(rng)
    speed = rules.speed_min + (rules.speed_max - rules.speed_min) * wp.randf(rng)
    other_speed = rules.speed_min + (rules.speed_max - rules.speed_min) * wp.randf(rng)
    heading = 2.0 * wp.pi * wp.randf(rng)
    near = wp.randf(rng)
    a = 2.0 * wp.randf(rng) - 1.0
    b = 2.0 * wp.randf(rng) - 1.0
    c = 2.0 * wp.randf(rng) - 1.0
    coin = wp.randf(rng)
    kind = wp.int32(0)
    for i in range(wp.static(len(STARTS) - 1)):
        if pick >= rules.start_until[i]:
            kind = i + 1
    start = arrange(kind, rules, near, wp.vec3(a, b, c), coin)
    if start.same_speed == 1:
        other_speed = speed
    rise = wp.clamp(start.rise, -0.9 * start.gap, 0.9 * start.gap)
    toward = heading + start.bearing
    half = wp.vec3(start.gap * wp.cos(toward), start.gap * wp.sin(toward), -rise) * 0.5
    centre = wp.vec3(0.0, 0.0, -altitude)
    place_team(arena, rules, n, start.attacker, centre - half, heading, speed)
    place_team(arena, rules, n, 1 - start.attacker, centre + half, heading + start.turn, other_speed)
    assign(arena, rules, n)
