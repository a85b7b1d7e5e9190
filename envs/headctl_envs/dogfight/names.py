"""Names of the dogfight's maneuvers, weapons, starts, pilots, outcomes and statistics; no imports of any weight."""

BASIC7 = ("hold", "accelerate", "decelerate", "turn_left", "turn_right", "pull_up", "push_over")
BASIC9 = (*BASIC7, "climb_left", "climb_right")
BASIC11 = (*BASIC9, "dive_left", "dive_right")
TACTICAL14 = (*BASIC7, "pure_pursuit", "lead_pursuit", "lag_pursuit", "break_turn", "notch", "extend", "high_yo_yo")

LIBRARIES: dict[str, tuple[str, ...]] = {
    "basic7": BASIC7,
    "basic9": BASIC9,
    "basic11": BASIC11,
    "tactical14": TACTICAL14,
}
"""Maneuver names of each library, in the order of the ``maneuver`` head's choices."""

FALLING = ("push_over", "dive_left", "dive_right")
"""Pull-down maneuvers: masked where a pull-out might not fit above the floor."""

WEAPONS = ("hold", "gun", "missile", "flare")
"""Choices of the ``weapon`` head. What an aircraft does not carry is always masked."""

PARAMS = ("load_factor", "throttle", "lift_vector")
"""Dimensions of the ``params`` head: residuals in [-1, 1] around the maneuver; zero is the nominal maneuver."""

STARTS = ("random", "neutral", "offensive", "defensive", "head_on", "in_zone")
"""Names of the start geometries. ``offensive`` and ``defensive`` are meant from the side of red."""

PILOTS = ("straight", "random", "weave", "pursuit", "fighter", "ace")
"""Names of the scripted pilots, weakest first."""

MAX_TEAM_SIZE = 4

SIDES = ("red", "blue")

OUTCOMES = ("running", "red", "blue", "draw")
"""Meaning of the outcome codes 0 to 3."""

CAUSES = ("running", "gun", "missile", "crash", "collision", "time")
"""Meaning of the codes that say how a seat's episode ended; survivors of a victory keep ``running``."""

REWARD_TERMS = ("outcome", "damage", "losses", "cost", "shaping")
"""Parts of the reward, in the order of ``DogfightEngine.reward_terms``."""

TALLY = (
    "health",
    "rounds",
    "missiles",
    "flares",
    "rounds_fired",
    "missiles_fired",
    "flares_dropped",
    "zone_s",
)
"""Columns of ``DogfightEngine.tally``: what each seat has left, what it has used in the episode, and its time in gun
zones."""

STATISTICS: dict[str, str] = {
    "episode_length": "mean length of the episodes that ended, in decisions",
    "ended_kill": "share of ended episodes in which the losing team's last aircraft was shot down",
    "ended_crash": "share of ended episodes that ended with an aircraft below the floor",
    "ended_collision": "share of ended episodes that ended with a collision",
    "ended_time": "share of ended episodes that the time limit cut",
    "killed_by_gun": "share of aircraft that were shot down by a gun, in ended episodes",
    "killed_by_missile": "share of aircraft that were shot down by a missile, in ended episodes",
    "rounds_fired": "mean number of rounds that one aircraft fired in an ended episode",
    "missiles_fired": "mean number of missiles that one aircraft fired in an ended episode",
    "flares_dropped": "mean number of flares that one aircraft dropped in an ended episode",
    "missile_hits": "share of missiles that hit, of those whose flight ended",
    "missile_decoys": "share of missiles that a flare decoyed, of those whose flight ended",
    "hit_share": "share of decisions with a firing gun that did damage",
    "gun_zone_s": "mean time that one aircraft had an enemy in its gun zone in an ended episode, seconds",
    "illegal_actions": "share of decisions of living aircraft in which a masked or impossible choice was replaced",
}
"""Keys and meanings of ``DogfightEngine.pop_statistics``. Keys about ended episodes are NaN if none ended, keys about
missiles are NaN if none was in the air."""

DEFAULT_STARTS: dict[str, float] = {
    "random": 0.35,
    "neutral": 0.15,
    "offensive": 0.15,
    "defensive": 0.15,
    "head_on": 0.1,
    "in_zone": 0.1,
}
"""Mixture behind ``start: mixed``: no side has an advantage on average."""


def agents_of(team_size: int) -> tuple[str, ...]:
    """Returns the agents' names in the order of the seats: ``red_0 .. red_k-1, blue_0 .. blue_k-1``."""
    return tuple(f"{side}_{index}" for side in SIDES for index in range(team_size))
