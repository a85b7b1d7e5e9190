"""Start geometries. Each is drawn from the counters (seed, game, episode) alone."""

import warp as wp

from headctl_envs.dogfight.config import STARTS
from headctl_envs.dogfight.flight import Motion
from headctl_envs.dogfight.world import Rules, World, look, random_stream

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
def place(world: World, rules: Rules, n: int, s: int, position: wp.vec3, heading: float, speed: float):
    """Puts seat ``s`` in level flight at 1 g with full magazines."""
    motion = Motion()
    motion.position = position
    motion.attitude = wp.quat(0.0, 0.0, wp.sin(0.5 * heading), wp.cos(0.5 * heading))
    motion.speed = speed
    motion.load_factor = 1.0
    motion.lever = START_LEVER
    world.motion[n, s] = motion
    world.health[n, s] = 1.0
    world.rounds[n, s] = rules.gun_rounds
    world.dealt[n, s] = 0.0


@wp.func
def start_game(world: World, rules: Rules, seed: int, n: int):
    """Begins the next episode of game ``n``.

    One aircraft, the attacker, sees the other at ``bearing`` off its nose at distance ``gap``; the other's heading
    differs from its own by ``turn``. The pair is centred on the origin and on the drawn altitude.
    """
    world.episode[n] = world.episode[n] + 1
    world.clock[n] = 0
    world.cause[n] = 0
    world.zone_s[n] = 0.0
    rng = random_stream(seed, rules.game_offset + n, world.episode[n], PURPOSE_START)
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
    kind = int(0)
    for i in range(wp.static(len(STARTS) - 1)):
        if pick >= rules.start_until[i]:
            kind = i + 1
    attacker = int(0)
    gap = rules.range_min + (rules.range_max - rules.range_min) * near
    bearing = wp.pi * a
    turn = wp.pi * b
    rise = 500.0 * c
    if kind == NEUTRAL:
        gap = 1000.0 + 1500.0 * near
        bearing = wp.where(a > 0.0, 0.5 * wp.pi, -0.5 * wp.pi)
        turn = wp.pi
        rise = 0.0
        other_speed = speed
    elif kind == OFFENSIVE or kind == DEFENSIVE:
        attacker = wp.where(kind == OFFENSIVE, 0, 1)
        gap = 600.0 + 900.0 * near
        bearing = 20.0 * DEGREE * a
        turn = 35.0 * DEGREE * b
        rise = 150.0 * c
    elif kind == HEAD_ON:
        gap = 2500.0 + 2500.0 * near
        bearing = 5.0 * DEGREE * a
        turn = wp.pi
        rise = 0.0
        other_speed = speed
    elif kind == IN_ZONE:
        attacker = wp.where(coin < 0.5, 0, 1)
        gap = rules.gun_range_min + (rules.gun_range_max - rules.gun_range_min) * (0.15 + 0.5 * near)
        bearing = 2.0 * DEGREE * a
        turn = 15.0 * DEGREE * b
        rise = 0.0
        other_speed = speed
    half = wp.vec3(
        0.5 * gap * wp.cos(heading + bearing),
        0.5 * gap * wp.sin(heading + bearing),
        -0.5 * wp.clamp(rise, -0.9 * gap, 0.9 * gap),
    )
    centre = wp.vec3(0.0, 0.0, -altitude)
    place(world, rules, n, attacker, centre - half, heading, speed)
    place(world, rules, n, 1 - attacker, centre + half, heading + turn, other_speed)
    look(world, rules, n)
