r"""Replays of dogfights as Tacview ACMI 2.2 text.

Format: UTF-8 lines. ``#seconds`` begins a frame, ``id,Property=value,...`` creates or updates an object, ``-id``
removes it, ``0,Event=...`` says what happened. Commas in values are written ``\,``. Only what has changed is written.
Positions lie on a flat earth around a reference point at sea; longitude and latitude are degrees, altitude metres,
roll positive to the right, pitch up, yaw and heading clockwise from north, U and V metres to the east and the north.

The attitude is that of the wind frame, the one the game knows: the nose points where the aircraft flies, and the gun
with it. Nothing in a file depends on the clock or on the machine: the same game gives the same bytes.
"""

import io
import math
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from headctl_envs.dogfight.config import PARAMS, WEAPONS, DogfightConfig
from headctl_envs.dogfight.engine import DogfightEngine
from headctl_envs.dogfight.snapshots import Body, Craft, FlareTrails, Snapshot, agent_names, euler_angles, snapshot

EARTH_RADIUS_M = 6378137.0
REFERENCE_TIME = "2020-06-21T12:00:00Z"
REFERENCE_LONGITUDE, REFERENCE_LATITUDE = 3.0, 56.0
PAUSE_S = 3.0
"""Time between two episodes in one file."""

TYPES = {"missile": "Weapon+Missile", "flare": "Misc+Decoy+Flare"}
"""Tacview's types of what flies beside the aircraft."""

NAMES = {"f16_like": "F-16C", "missile": "AIM-9", "flare": "Flare"}
COALITIONS = ("Red", "Blue")
MILITARY_LEVER = 0.77

OWN_PROPERTIES = (
    "T", "Name", "Type", "Pilot", "CallSign", "Group", "Coalition", "Color", "Parent", "FocusedTarget", "Health", "TAS",
    "Mach", "VerticalGForce", "Throttle", "Afterburner", "TriggerPressed", "Rounds", "Event",
)  # fmt: skip
"""Properties that the recorder writes itself; callers may add any other."""

Telemetry = Mapping[str, float | int | str]
"""Property to value. ``Label`` is shown beside the aircraft; other names that Tacview does not know are kept as raw
telemetry."""


class AcmiWriter:
    """A file of frames, objects and events; knows the format and nothing of the game.

    Args:
        path: Ends in ``.acmi``; in ``.zip.acmi`` for a compressed file.
        properties: Properties of the recording as a whole, for example ``Title``.

    Raises:
        ValueError: If the name does not end in ``.acmi``: Tacview would not open it.
    """

    def __init__(self, path: str | Path, properties: Telemetry) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() != ".acmi":
            raise ValueError(f"the replay {self.path} must end in .acmi, or in .zip.acmi to be compressed")
        self._archive: zipfile.ZipFile | None = None
        if self.path.name.lower().endswith(".zip.acmi"):
            self._archive = zipfile.ZipFile(self.path, "w", zipfile.ZIP_DEFLATED)
            # The oldest date that the format knows, so that equal games give equal files.
            entry = zipfile.ZipInfo(self.path.name[: -len(".zip.acmi")] + ".txt.acmi")
            entry.compress_type = zipfile.ZIP_DEFLATED
            raw = self._archive.open(entry, "w", force_zip64=True)
        else:
            raw = self.path.open("wb")
        self._text = io.TextIOWrapper(raw, encoding="utf-8", newline="\n")
        self._line("FileType=text/acmi/tacview")
        self._line("FileVersion=2.2")
        for name, value in properties.items():
            self._line(f"0,{name}={_text(value)}")
        self._time = ""
        self._written: dict[int, dict[str, str]] = {}
        self._next = 0x101

    def frame(self, time_s: float) -> None:
        """Begins a frame at this time; times never fall."""
        time = f"#{time_s:.2f}"
        if time != self._time:
            self._line(time)
            self._time = time

    def create(self) -> int:
        """Returns the number of a new object, which no other object of the file has."""
        self._next += 1
        self._written[self._next] = {}
        return self._next

    def update(self, number: int, place: list[str], properties: Telemetry) -> None:
        """Writes what has changed of an object.

        Args:
            number: From :meth:`create`.
            place: Components of ``T``, as text.
            properties: Everything else; numbers that are not finite are left out.
        """
        known = self._written[number]
        parts = []
        before = known.get("T", "").split("|")
        if len(before) != len(place):
            before = [""] * len(place)
        changed = ["" if new == old else new for new, old in zip(place, before, strict=True)]
        if any(changed):
            parts.append("T=" + "|".join(changed))
            known["T"] = "|".join(place)
        for name, value in properties.items():
            if isinstance(value, float) and not math.isfinite(value):
                continue
            text = _text(value)
            if known.get(name) != text:
                known[name] = text
                parts.append(f"{name}={text}")
        if parts:
            self._line(f"{number:x}," + ",".join(parts))

    def event(self, kind: str, *parts: int | str) -> None:
        """Writes an event; whole numbers are objects."""
        words = [f"{p:x}" if isinstance(p, int) else _text(p).replace("|", "/") for p in parts]
        self._line("0,Event=" + "|".join([kind, *words]))

    def remove(self, number: int) -> None:
        """Removes an object for good."""
        del self._written[number]
        self._line(f"-{number:x}")

    def close(self) -> None:
        """Completes the file; may be called more than once."""
        self._text.close()
        if self._archive is not None:
            self._archive.close()

    def _line(self, line: str) -> None:
        self._text.write(line + "\n")


class FlightRecorder:
    """Records one game of an engine, one frame for every call of :meth:`record`.

    ```python
    with FlightRecorder("fight.acmi", engine) as recorder:
        recorder.record(telemetry)  # after reset, and then before every step: the state, and what is decided in it
        engine.step(actions)
        recorder.record()  # at last, the end
    ```

    Several episodes may follow one another in one file. Whoever is shot down or crashes gets a ``Destroyed`` event.

    Args:
        path: Ends in ``.acmi``; in ``.zip.acmi`` for a compressed file.
        engine: Its ``auto_reset`` must be false, as that of ``dogfight_v0.parallel_env().unwrapped.engine`` is:
            otherwise the end of an episode is overwritten before it can be recorded.
        game: Which of the engine's games.
        title: Title of the recording.
        pilots: Name of the pilot by agent; an agent's own name by default.

    Raises:
        ValueError: If the name of the file, the game or a pilot's agent is not allowed, or ``auto_reset`` is true.
    """

    def __init__(
        self,
        path: str | Path,
        engine: DogfightEngine,
        *,
        game: int = 0,
        title: str = "Dogfight",
        pilots: Mapping[str, str] | None = None,
    ) -> None:
        if engine.auto_reset:
            raise ValueError("the recorder needs engine.auto_reset = False, or it never sees the end of an episode")
        if not 0 <= game < engine.num_games:
            raise ValueError(f"game = {game} is not in this engine; allowed: 0 to {engine.num_games - 1}")
        self._engine, self._game = engine, game
        self._agents = agent_names(engine)
        self._check_agents(pilots or {})
        self._pilots = {agent: agent for agent in self._agents} | dict(pilots or {})
        self._writer = AcmiWriter(
            path,
            {
                "ReferenceTime": REFERENCE_TIME,
                "ReferenceLongitude": REFERENCE_LONGITUDE,
                "ReferenceLatitude": REFERENCE_LATITUDE,
                "Title": title,
                "Category": "Dogfight",
                "DataSource": "headctl_envs.dogfight",
                "DataRecorder": "headctl_envs.dogfight.acmi",
            },
        )
        self._numbers: dict[str, int] = {}
        self._under_fire: set[str] = set()
        self._last: Snapshot | None = None
        self._flares = FlareTrails()
        self._offset_s = 0.0
        self._closed = False

    def record(self, telemetry: Mapping[str, Telemetry] | None = None) -> None:
        """Writes the game as it is now.

        Args:
            telemetry: What to show on the aircraft besides, by agent: for example the decision of every head, its
                entropy and its temperature. Values stay until they are given anew. Aircraft that are down are skipped.

        Raises:
            ValueError: If an agent does not exist, or a property has no proper name or one that the recorder needs.
            RuntimeError: After :meth:`close`.
        """
        if self._closed:
            raise RuntimeError("record() after close(): open another recorder")
        telemetry = telemetry or {}
        self._check_agents(telemetry)
        for properties in telemetry.values():
            _check_names(properties)
        now = self._flares.add(snapshot(self._engine, self._game))
        last = self._last
        if last is not None and now.episode != last.episode:
            self._leave()
            self._offset_s += last.time_s + PAUSE_S
            last = None
        self._writer.frame(self._offset_s + now.time_s)
        before = dict(zip(self._agents, last.craft, strict=True)) if last is not None else {}
        for craft in now.craft:
            if craft.alive and craft.agent not in self._numbers and craft.agent not in before:
                self._introduce(craft)
        for craft in now.craft:
            if craft.agent in self._numbers:
                self._write_craft(craft, before.get(craft.agent), now, telemetry.get(craft.agent, {}))
        self._write_bodies(now)
        if now.outcome != "running" and (last is None or last.outcome == "running"):
            title = "draw" if now.outcome == "draw" else f"{now.outcome} wins"
            self._writer.event("Bookmark", f"{title}: {now.cause}")
        self._last = now

    def close(self) -> None:
        """Removes what still flies, and completes the file; may be called more than once."""
        if not self._closed:
            self._leave()
            self._writer.close()
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _introduce(self, craft: Craft) -> None:
        """Makes the object of an aircraft."""
        number = self._numbers[craft.agent] = self._writer.create()
        coalition = COALITIONS[craft.side]
        airframe = _airframe_name(self._engine.config, craft.side)
        self._writer.update(
            number,
            _place(craft),
            {
                "Name": NAMES.get(airframe, airframe),
                "Type": "Air+FixedWing",
                "CallSign": craft.agent,
                "Pilot": self._pilots[craft.agent],
                "Group": coalition,
                "Coalition": coalition,
                "Color": coalition,
            },
        )

    def _write_craft(self, craft: Craft, before: Craft | None, now: Snapshot, telemetry: Telemetry) -> None:
        number = self._numbers[craft.agent]
        fired = before is not None and craft.rounds < before.rounds
        properties: dict[str, float | int | str] = {
            "Health": f"{craft.health:.3f}",
            "TAS": f"{craft.speed:.1f}",
            "Mach": f"{craft.mach:.3f}",
            "VerticalGForce": f"{craft.load_factor:.2f}",
            "Throttle": f"{craft.lever:.2f}",
            "Afterburner": int(craft.lever > MILITARY_LEVER),
            "TriggerPressed": int(fired),
            "Rounds": f"{craft.rounds:.0f}",
        }
        enemies = [c for c in now.craft if c.side != craft.side and c.agent in self._numbers]
        if enemies:
            nearest = min(enemies, key=lambda enemy: math.dist(enemy.position, craft.position))
            properties["FocusedTarget"] = f"{self._numbers[nearest.agent]:x}"
        self._writer.update(number, _place(craft), properties | dict(telemetry) if craft.alive else properties)
        hit = before is not None and craft.health < before.health
        if hit and craft.alive and craft.agent not in self._under_fire:
            self._writer.event("Message", number, f"{craft.agent} is hit")
        (self._under_fire.add if hit else self._under_fire.discard)(craft.agent)
        if not craft.alive:
            self._writer.event("Destroyed", number)
            self._writer.remove(self._numbers.pop(craft.agent))

    def _write_bodies(self, now: Snapshot) -> None:
        """Missiles and flares: they come and go between two frames."""
        flying = {f"body {body.key}": body for body in now.bodies}
        for name in [name for name in self._numbers if name.startswith("body ") and name not in flying]:
            self._writer.remove(self._numbers.pop(name))
        for name, body in flying.items():
            properties: dict[str, float | int | str] = {}
            if name not in self._numbers:
                self._numbers[name] = self._writer.create()
                coalition = COALITIONS[body.side]
                properties = {
                    "Name": NAMES.get(body.kind, body.kind),
                    "Type": TYPES[body.kind],
                    "Coalition": coalition,
                    "Color": coalition,
                }
                if body.parent in self._numbers:
                    properties["Parent"] = f"{self._numbers[body.parent]:x}"
            self._writer.update(self._numbers[name], _place(body), properties)

    def _leave(self) -> None:
        """Lets everything that still flies leave, unharmed."""
        for number in self._numbers.values():
            self._writer.event("LeftArea", number)
            self._writer.remove(number)
        self._numbers.clear()

    def _check_agents(self, given: Mapping[str, object]) -> None:
        for agent in given:
            if agent not in self._agents:
                raise ValueError(f"unknown agent: {agent!r}. Allowed: {', '.join(self._agents)}")


def choice_names(engine: DogfightEngine) -> dict[str, tuple[str, ...]]:
    """Names of the choices of every discrete head, and of the dimensions of ``params``: words for telemetry."""
    return {"maneuver": engine.config.library, "weapon": WEAPONS, "params": PARAMS}


def _airframe_name(config: DogfightConfig, side: int) -> str:
    """Name of the aircraft that a side flies: the word, the name of the file, or that of the type it comes from."""
    given = (config.airframe_red, config.airframe_blue)[side] or config.airframe
    if isinstance(given, Mapping):
        given = str(given.get("base", "custom"))
    return Path(given).stem if given.endswith((".yaml", ".yml")) else given


def _place(thing: Craft | Body) -> list[str]:
    """Components of ``T``: longitude, latitude, altitude, roll, pitch, yaw, U, V and heading, or without the angles."""
    north, east, down = thing.position
    latitude = math.degrees(north / EARTH_RADIUS_M)
    longitude = math.degrees(east / (EARTH_RADIUS_M * math.cos(math.radians(REFERENCE_LATITUDE))))
    where = [_digits(longitude, 7), _digits(latitude, 7), _digits(-down, 2)]
    flat = [_digits(east, 2), _digits(north, 2)]
    if thing.attitude is None:
        return [*where, *flat]
    roll, pitch, heading = (_digits(math.degrees(angle), 2) for angle in euler_angles(thing.attitude))
    return [*where, roll, pitch, heading, *flat, heading]


def _digits(number: float, places: int) -> str:
    """A number with so many decimals; minus zero is zero."""
    return f"{round(number, places) + 0.0:.{places}f}"


def _text(value: float | str) -> str:
    """A value as the format has it."""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return " ".join(text.replace("\\", "/").split("\n")).replace("\r", "").replace(",", "\\,")


def _check_names(properties: Telemetry) -> None:
    for name in properties:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            raise ValueError(f"telemetry {name!r} is no name of a property: letters, digits and _ after a letter")
        if name in OWN_PROPERTIES:
            raise ValueError(f"telemetry {name!r}: the recorder writes this property itself; choose another name")
