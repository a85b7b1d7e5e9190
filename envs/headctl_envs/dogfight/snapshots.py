"""One game of an engine as plain numbers: what the PettingZoo face, the pictures and the replays read.

How the engine keeps its state is known here and nowhere above. Shape legend: N games, A seats, K choices, D features.
Positions and directions are NED (north, east, down), angles in rad, everything else in SI units.
"""

import math
from typing import TYPE_CHECKING, NamedTuple

from headctl_envs.dogfight.config import AGENTS, CAUSES, OUTCOMES
from headctl_envs.dogfight.engine import DogfightEngine, GameStep
from headctl_envs.dogfight.sensing import FEATURES
from headctl_envs.dogfight.world import MOTION_FIELDS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Vector = tuple[float, float, float]

ENEMY_IN_ZONE = FEATURES.index("enemy_in_zone")


def agent_names(engine: DogfightEngine) -> tuple[str, ...]:
    """Agent names by seat, side 0 first."""
    return AGENTS[: engine.num_seats]


class Craft(NamedTuple):
    """One aircraft. ``attitude`` is the quaternion (x, y, z, w) from its wind frame to NED."""

    agent: str
    side: int
    alive: bool
    position: Vector
    attitude: tuple[float, float, float, float]
    speed: float
    load_factor: float
    lever: float
    health: float
    rounds: float

    @property
    def altitude(self) -> float:
        """Altitude in m."""
        return -self.position[2]

    @property
    def mach(self) -> float:
        """Mach number in the international standard atmosphere."""
        temperature = max(288.15 - 0.0065 * self.altitude, 216.65)
        return self.speed / math.sqrt(401.874 * temperature)


class Body(NamedTuple):
    """Anything else that flies: a missile or a flare.

    ``key`` tells it from every other body of the episode; ``attitude`` is ``None`` where it has none.
    """

    key: str
    kind: str
    side: int
    parent: str
    position: Vector
    attitude: tuple[float, float, float, float] | None


class Snapshot(NamedTuple):
    """One game at one moment. ``outcome`` and ``cause`` are words of ``OUTCOMES`` and ``CAUSES``."""

    episode: int
    time_s: float
    craft: tuple[Craft, ...]
    bodies: tuple[Body, ...] = ()
    outcome: str = OUTCOMES[0]
    cause: str = CAUSES[0]


def snapshot(engine: DogfightEngine, game: int = 0) -> Snapshot:
    """Copies what is to be seen of one game.

    The state at the end of an episode is seen only where ``engine.auto_reset`` is false: otherwise the next one has
    begun already.
    """
    state = engine.state
    motion = state["motion"][game].tolist()
    health, rounds = state["health"][game].tolist(), state["rounds"][game].tolist()
    where = {name: (part.start, part.stop) for name, part in MOTION_FIELDS.items()}

    def field(seat: int, name: str) -> tuple[float, ...]:
        start, stop = where[name]
        return tuple(motion[seat][start:stop])

    craft = tuple(
        Craft(
            agent=agent,
            side=engine.seat_sides[seat],
            alive=health[seat] > 0.0,
            position=field(seat, "position"),  # pyright: ignore[reportArgumentType]  - three numbers by MOTION_FIELDS
            attitude=field(seat, "attitude"),  # pyright: ignore[reportArgumentType]  - four numbers by MOTION_FIELDS
            speed=field(seat, "speed")[0],
            load_factor=field(seat, "load_factor")[0],
            lever=field(seat, "lever")[0],
            health=max(health[seat], 0.0),
            rounds=rounds[seat],
        )
        for seat, agent in enumerate(agent_names(engine))
    )
    time_s = int(state["clock"][game]) * engine.config.decision_period_s
    ended = not engine.auto_reset
    outcome = int(engine.outcome[game]) if ended else 0
    cause = int(engine.cause[game]) if ended and outcome else 0
    return Snapshot(int(state["episode"][game]), time_s, craft, (), OUTCOMES[outcome], CAUSES[cause])


def rotated(attitude: tuple[float, float, float, float], vector: Vector) -> Vector:
    """Turns a vector of the wind frame into NED."""
    x, y, z, w = attitude
    a, b, c = vector
    # v + 2 q x (q x v + w v) for a unit quaternion with vector part q.
    s, t, u = y * c - z * b + w * a, z * a - x * c + w * b, x * b - y * a + w * c
    return a + 2.0 * (y * u - z * t), b + 2.0 * (z * s - x * u), c + 2.0 * (x * t - y * s)


def euler_angles(attitude: tuple[float, float, float, float]) -> tuple[float, float, float]:
    """Returns (roll, pitch, heading) in rad: roll positive to the right, pitch up, heading from north in [0, 2 pi)."""
    forward, right, down = (rotated(attitude, axis) for axis in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
    pitch = math.asin(min(max(-forward[2], -1.0), 1.0))
    return math.atan2(right[2], down[2]), pitch, math.atan2(forward[1], forward[0]) % math.tau


class GameArrays:
    """Game 0 of an engine on the CPU as arrays over the engine's own memory: always current, never copied.

    Attributes:
        features: float32 [A, D].
        mask_maneuver: bool [A, K].
        mask_weapon: bool [A, K].
        health: float32 [A].
        rounds: float32 [A], rounds left.
    """

    def __init__(self, engine: DogfightEngine) -> None:
        seen = engine.current()
        self.features: NDArray[np.float32] = seen.observation[0].numpy()
        self.mask_maneuver: NDArray[np.bool_] = seen.masks["maneuver"][0].numpy()
        self.mask_weapon: NDArray[np.bool_] = seen.masks["weapon"][0].numpy()
        self.health: NDArray[np.float32] = engine.state["health"][0].numpy()
        self.rounds: NDArray[np.float32] = engine.state["rounds"][0].numpy()
        self._terms: NDArray[np.float32] = engine.reward_terms[0].numpy()
        self._cause: NDArray[np.int32] = engine.cause.numpy()
        self._seats = engine.num_seats
        self._signs = [1.0 if side == 0 else -1.0 for side in engine.seat_sides]
        self._step: GameStep | None = None

    def bind(self, step: GameStep) -> None:
        """Takes the buffers that a step returned; the engine returns the same ones every time."""
        if self._step is None or step.reward is not self._step.reward:
            self.reward: NDArray[np.float32] = step.reward[0].numpy()
            self.terminated: NDArray[np.bool_] = step.terminated[0].numpy()
            self.truncated: NDArray[np.bool_] = step.truncated[0].numpy()
            self.outcome: NDArray[np.int32] = step.outcome.numpy()
        self._step = step

    def causes(self) -> list[int]:
        """Code of the cause of every seat's end, 0 while it goes on."""
        return self._cause.tolist() * self._seats

    def reward_terms(self) -> list[tuple[float, float, float]]:
        """Outcome, damage and shaping part of every seat's last reward."""
        outcome, damage, shaping = self._terms.tolist()
        # Adding 0 turns -0 into 0.
        return [(sign * outcome + 0.0, sign * damage + 0.0, sign * shaping + 0.0) for sign in self._signs]

    def in_zone(self) -> list[float]:
        """Per seat, 1 where the enemy is in its gun zone now, else 0."""
        return self.features[:, ENEMY_IN_ZONE].tolist()
