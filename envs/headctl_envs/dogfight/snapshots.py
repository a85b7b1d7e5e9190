"""One game of an engine as plain numbers: what the PettingZoo face, the pictures and the replays read.

How the engine keeps its state is known here and nowhere above. Shape legend: N games, A seats, K choices, D features.
Positions and directions are NED (north, east, down), angles in rad, everything else in SI units.
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from headctl_envs.dogfight.config import CAUSES, OUTCOMES
from headctl_envs.dogfight.engine import DogfightEngine, GameStep
from headctl_envs.dogfight.world import MISSILE_FIELDS, MOTION_FIELDS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Vector = tuple[float, float, float]

ENEMY_IN_ZONE = "enemy_in_zone"
"""End of the names of the features that say whether an enemy is in the own gun zone."""

ENDINGS = ("time", "gun", "missile", "crash", "collision")
"""Causes in the order in which they name the end of a game: what shot down the last one, before accidents."""


def agent_names(engine: DogfightEngine) -> tuple[str, ...]:
    """Agent names by seat, side 0 first."""
    return engine.config.agents


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
    missiles: float = 0.0
    flares: float = 0.0
    cause: str = CAUSES[0]
    """What it died of, a word of ``CAUSES``."""

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
    health, causes = state["health"][game].tolist(), state["cause"][game].tolist()
    rounds, missiles, flares = (state[name][game].tolist() for name in ("rounds", "missiles_left", "flares"))
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
            missiles=missiles[seat],
            flares=flares[seat],
            cause=CAUSES[causes[seat]],
        )
        for seat, agent in enumerate(agent_names(engine))
    )
    time_s = int(state["clock"][game]) * engine.config.decision_period_s
    ended = not engine.auto_reset
    outcome = int(engine.outcome[game]) if ended else 0
    cause = _cause_of(engine, game, outcome) if ended and outcome else CAUSES[0]
    bodies = tuple(_missiles(engine, game))
    return Snapshot(int(state["episode"][game]), time_s, craft, bodies, OUTCOMES[outcome], cause)


def _cause_of(engine: DogfightEngine, game: int, outcome: int) -> str:
    """What ended a game: the time limit, or what the last of the side that lost died of."""
    causes = [CAUSES[code] for code in engine.cause[game].tolist()]
    lived = engine.alive[game].tolist()
    last = {
        cause
        for cause, alive, side in zip(causes, lived, engine.seat_sides, strict=True)
        if alive and OUTCOMES[side + 1] != OUTCOMES[outcome]
    }
    return next((cause for cause in ENDINGS if cause in last), CAUSES[0])


def _missiles(engine: DogfightEngine, game: int) -> Iterator[Body]:
    """The missiles in the air; a slot that is used again gets a new key by the time of the launch."""
    if not engine.config.missiles:
        return
    where = {name: (part.start, part.stop) for name, part in MISSILE_FIELDS.items()}
    period, clock = engine.config.decision_period_s, int(engine.state["clock"][game])
    agents = agent_names(engine)
    for seat, slots in enumerate(engine.state["missiles"][game].tolist()):
        for slot, record in enumerate(slots):
            field = {name: record[start:stop] for name, (start, stop) in where.items()}
            if field["phase"][0] == 0.0:
                continue
            launched = clock - round(field["age"][0] / period)
            north, east, down = field["position"]
            yield Body(
                key=f"{agents[seat]} missile {slot} {launched}",
                kind="missile",
                side=engine.seat_sides[seat],
                parent=agents[seat],
                position=(north, east, down),
                attitude=_along(*field["velocity"]),
            )


def _along(north: float, east: float, down: float) -> tuple[float, float, float, float]:
    """Attitude (x, y, z, w) of something without bank that flies along this vector."""
    yaw, pitch = math.atan2(east, north), math.atan2(-down, math.hypot(north, east))
    sy, cy, sp, cp = math.sin(yaw / 2), math.cos(yaw / 2), math.sin(pitch / 2), math.cos(pitch / 2)
    return -sy * sp, cy * sp, sy * cp, cy * cp


class FlareTrails:
    """Flares for the eye. The game decides what a flare does when it is dropped, and keeps none of them.

    A flare leaves the aircraft with its velocity, loses it within seconds to drag and sinks.
    """

    BURN_S = 3.0
    DRAG_TIME_S = 0.7
    SINK_M_S = 12.0

    def __init__(self) -> None:
        self._dropped: list[tuple[float, Body, Vector]] = []
        self._last: Snapshot | None = None

    def add(self, now: Snapshot) -> Snapshot:
        """Goes on to the next moment; returns it with the flares that burn."""
        last, self._last = self._last, now
        if last is None or last.episode != now.episode or now.time_s < last.time_s:
            self._dropped = []
        else:
            for before, after in zip(last.craft, now.craft, strict=True):
                for number in range(round(after.flares), round(before.flares)):
                    forward = rotated(before.attitude, (before.speed, 0.0, 0.0))
                    key = f"{after.agent} flare {number}"
                    body = Body(key, "flare", after.side, after.agent, before.position, None)
                    self._dropped.append((last.time_s, body, forward))
        self._dropped = [one for one in self._dropped if now.time_s - one[0] < self.BURN_S]
        return now._replace(bodies=(*now.bodies, *(self._moved(*one, now.time_s) for one in self._dropped)))

    def _moved(self, since_s: float, body: Body, velocity: Vector, now_s: float) -> Body:
        age = now_s - since_s
        glide = self.DRAG_TIME_S * (1.0 - math.exp(-age / self.DRAG_TIME_S))
        north, east, down = (start + v * glide for start, v in zip(body.position, velocity, strict=True))
        return body._replace(position=(north, east, down + self.SINK_M_S * age))


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
        rounds: float32 [A], rounds left; ``missiles`` and ``flares`` likewise.
    """

    def __init__(self, engine: DogfightEngine) -> None:
        seen = engine.current()
        self.features: NDArray[np.float32] = seen.observation[0].numpy()
        self.mask_maneuver: NDArray[np.bool_] = seen.masks["maneuver"][0].numpy()
        self.mask_weapon: NDArray[np.bool_] = seen.masks["weapon"][0].numpy()
        self.health: NDArray[np.float32] = engine.state["health"][0].numpy()
        self.rounds: NDArray[np.float32] = engine.state["rounds"][0].numpy()
        self.missiles: NDArray[np.float32] = engine.state["missiles_left"][0].numpy()
        self.flares: NDArray[np.float32] = engine.state["flares"][0].numpy()
        self._terms: NDArray[np.float32] = engine.reward_terms[0].numpy()
        self._cause: NDArray[np.int32] = engine.cause[0].numpy()
        self._zones = [at for at, name in enumerate(engine.feature_names) if name.endswith(ENEMY_IN_ZONE)]
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
        """Code of the cause of every seat's end, 0 while it goes on and for the survivors of a victory."""
        return self._cause.tolist()

    def stores(self) -> list[tuple[float, float, float]]:
        """Rounds, missiles and flares that every seat has left."""
        return list(zip(self.rounds.tolist(), self.missiles.tolist(), self.flares.tolist(), strict=True))

    def reward_terms(self) -> list[tuple[float, ...]]:
        """Parts of every seat's last reward, in the order of ``REWARD_TERMS``."""
        terms = self._terms.tolist()
        # Adding 0 turns -0 into 0.
        return [tuple(sign * term + 0.0 for term in terms) for sign in self._signs]

    def in_zone(self) -> list[float]:
        """Per seat, 1 where an observed enemy is in its gun zone now, else 0."""
        return self.features[:, self._zones].max(axis=1).tolist()
