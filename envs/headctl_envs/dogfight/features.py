"""Names, meanings and places of the numbers that a pilot observes; no imports of any weight.

All vectors are in the observer's own wind frame (x along its velocity, y right wing, z down), so that a left/right
mirrored fight differs only in the sign of the features whose names end in ``_right`` and of ``roll_rate``,
``los_rate_forward`` and ``los_rate_down`` (angular velocities). All features are of order one. With ``frame: world``
they are along north, east and down instead.
"""

from headctl_envs.dogfight.config import FRAMES, DogfightConfig

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

STORE_FEATURES: dict[str, str] = {
    "missiles": "share of the missiles left",
    "flares": "share of the flares left",
    "lock": "share of the lock time that the seeker has seen the target",
    "envelope": "range of the target over the largest range at which a missile would reach it, at most 2",
    "missile_wait": "seconds until the next launch is possible / 2 s",
    "flare_wait": "seconds until the next flare is possible / 2 s",
    "legal_missile": "1 if the mask of `weapon` lets a missile be fired",
    "legal_flare": "1 if the mask of `weapon` lets a flare be dropped",
    "own_missile": "1 if a missile of one's own tracks its target",
    "own_missile_time": "exp(-time to go / 5 s) of the own missile that arrives first, 0 without one",
}
"""Features about what is on board; only where aircraft carry missiles or flares."""

TEAM_FEATURES: dict[str, str] = {
    "allies_alive": "share of the own team that is alive",
    "enemies_alive": "share of the enemy team that is alive",
}
"""Only in teams."""

PRESENT: dict[str, str] = {"present": "1 if there is such an aircraft or missile; else the whole block is 0"}

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

ALLY_FEATURES: dict[str, str] = {
    **PRESENT,
    "los_forward": "unit line of sight to the wingman, along the own velocity",
    "los_right": "unit line of sight, along the right wing",
    "los_down": "unit line of sight, along the down axis",
    "range_log": "(log10(range / m) - 3) / 1.5",
    "closure": "closing speed / 600 m/s, positive when the range shrinks",
    "ally_forward": "direction of the wingman's velocity, along the own velocity",
    "ally_right": "direction of the wingman's velocity, along the right wing",
    "ally_down": "direction of the wingman's velocity, along the down axis",
    "speed_difference": "own speed minus the wingman's, / 200 m/s",
    "ally_health": "health of the wingman",
}
"""Features about each wingman; only in teams."""

MISSILE_FEATURES: dict[str, str] = {
    **PRESENT,
    "los_forward": "unit line of sight to the missile, along the own velocity",
    "los_right": "unit line of sight, along the right wing",
    "los_down": "unit line of sight, along the down axis",
    "range_log": "(log10(range / m) - 3) / 1.5",
    "closure": "closing speed / 600 m/s, positive when the range shrinks",
    "time": "exp(-time to go / 5 s)",
}
"""Features about each inbound missile that tracks the observer; only where there are missiles."""

WORLD_OWN: dict[str, str] = {
    "velocity_north": "direction of the own velocity, along north",
    "velocity_east": "direction of the own velocity, along east",
    "velocity_sink": "direction of the own velocity, along down",
    "lift_north": "direction of the own lift, along north",
    "lift_east": "direction of the own lift, along east",
    "lift_sink": "direction of the own lift, along down",
}
"""Own directions in the world; only with ``frame`` ``world`` or ``both``."""

WORLD_ENEMY: dict[str, str] = {
    "bearing_north": "unit line of sight to the enemy, along north",
    "bearing_east": "unit line of sight to the enemy, along east",
    "bearing_sink": "unit line of sight to the enemy, along down",
    "course_north": "direction of the enemy's velocity, along north",
    "course_east": "direction of the enemy's velocity, along east",
    "course_sink": "direction of the enemy's velocity, along down",
}
"""Directions of each enemy in the world; only with ``frame`` ``world`` or ``both``."""

FEATURES: tuple[str, ...] = (*OWN_FEATURES, *ENEMY_FEATURES)
"""Names of the observation's components in a gun fight of one against one, in order."""

_IN_WORLD = {"forward": "north", "right": "east"}


def enemies_seen(config: DogfightConfig) -> int:
    """Enemies in an observation."""
    return min(config.observed_enemies, config.team_size)


def allies_seen(config: DogfightConfig) -> int:
    """Wingmen in an observation."""
    return min(config.observed_allies, config.team_size - 1)


def missiles_seen(config: DogfightConfig) -> int:
    """Inbound missiles in an observation."""
    return min(config.observed_missiles, config.team_size * config.missiles_in_flight) if config.missiles else 0


def feature_names(config: DogfightConfig) -> tuple[str, ...]:
    """Names of the observation's components, in order; blocks that repeat have a prefix such as ``enemy_0.``."""
    names = [*OWN_FEATURES]
    if config.armed:
        names += STORE_FEATURES
    if config.team_size == 1:
        names += ENEMY_FEATURES
    else:
        names += TEAM_FEATURES
        names += _blocks("enemy", enemies_seen(config), {**PRESENT, **ENEMY_FEATURES})
        names += _blocks("ally", allies_seen(config), ALLY_FEATURES)
    names += _blocks("missile", missiles_seen(config), MISSILE_FEATURES)
    if config.frame == "world":
        names = [_in_world(name) for name in names]
    if config.frame != "body":
        names += WORLD_OWN
        names += list(WORLD_ENEMY) if config.team_size == 1 else _blocks("enemy", enemies_seen(config), WORLD_ENEMY)
    return tuple(names)


def layout_of(config: DogfightConfig) -> dict[str, int]:
    """Fields of the kernels' ``Rules`` about the observation: how many blocks, and where each kind begins."""
    enemies, allies, missiles = enemies_seen(config), allies_seen(config), missiles_seen(config)
    layout = {
        "frame": FRAMES.index(config.frame),
        "enemies_seen": enemies,
        "allies_seen": allies,
        "missiles_seen": missiles,
    }
    teams = config.team_size > 1
    place = len(OWN_FEATURES)
    for name, size in (
        ("at_stores", len(STORE_FEATURES) * config.armed),
        ("at_team", len(TEAM_FEATURES) * teams),
        ("at_enemies", enemies * (len(ENEMY_FEATURES) + teams)),
        ("at_allies", allies * len(ALLY_FEATURES)),
        ("at_missiles", missiles * len(MISSILE_FEATURES)),
        ("at_world", 0 if config.frame == "body" else len(WORLD_OWN) + enemies * len(WORLD_ENEMY)),
    ):
        layout[name] = place
        place += size
    layout["features"] = place
    return layout


def _blocks(what: str, number: int, block: dict[str, str]) -> list[str]:
    return [f"{what}_{index}.{name}" for index in range(number) for name in block]


def _in_world(name: str) -> str:
    """Name of a vector's component once it is taken along north, east and down."""
    stem, _, direction = name.rpartition("_")
    if stem.endswith("gravity"):
        return f"{stem}_{direction}"
    return f"{stem}_{_IN_WORLD[direction]}" if direction in _IN_WORLD and stem else name
