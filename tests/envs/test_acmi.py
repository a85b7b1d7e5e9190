"""Replays are read back by a reader that shares no code with the writer."""

import math

import numpy as np
import pytest
from headctl_envs import dogfight_v0
from headctl_envs.dogfight import acmi, snapshots
from headctl_envs.dogfight.acmi import AcmiWriter, FlightRecorder
from headctl_envs.dogfight.config import DogfightConfig
from headctl_envs.dogfight.engine import DogfightEngine
from headctl_envs.dogfight.snapshots import Body, euler_angles, rotated, snapshot

from tests.helpers.acmi_reader import read_acmi

EASY = {"start": "in_zone", "gun_half_angle_deg": 5.0, "missiles": 0, "flares": 0}
FULL = {"start": {"neutral": 1, "head_on": 1}, "missiles": 2, "flares": 8}


def engine_for(**options):
    engine = DogfightEngine(DogfightConfig(**options))
    engine.auto_reset = False
    return engine


def recorded(path, engine, *, seed=3, episodes=1, telemetry=None, pilot="pursuit"):
    """Records whole episodes; returns every snapshot that was taken."""
    taken = []
    engine.reset(seed)
    with FlightRecorder(path, engine, pilots={"red_0": "Anna, ace"}) as recorder:
        for episode in range(episodes):
            if episode:
                engine.reset()
            while True:
                taken.append(snapshot(engine))
                recorder.record(telemetry)
                if int(engine.step(engine.pilot_actions(pilot)).outcome[0]):
                    break
            taken.append(snapshot(engine))
            recorder.record()
    return taken


def by_call_sign(frame):
    """The aircraft of a frame; missiles and flares have no call sign."""
    return {known["CallSign"]: known for known in frame.values() if "CallSign" in known}


@pytest.mark.parametrize("name", ["fight.acmi", "fight.txt.acmi", "fight.zip.acmi"])
def test_round_trip(tmp_path, name):
    engine = engine_for(**EASY)
    taken = recorded(tmp_path / name, engine)
    header, frames, events = read_acmi(tmp_path / name)
    assert header["ReferenceTime"] == "2020-06-21T12:00:00Z"
    assert [time for time, _ in frames] == pytest.approx([now.time_s for now in taken])
    scale = math.cos(math.radians(float(header["ReferenceLatitude"])))
    for (_, objects), now in zip(frames[:-1], taken, strict=False):
        seen = by_call_sign(objects)
        for craft in now.craft:
            found = seen[craft.agent]
            longitude, latitude, altitude, roll, pitch, yaw, east, north, heading = found["T"]
            position = (math.radians(latitude) * 6378137.0, math.radians(longitude) * 6378137.0 * scale, -altitude)
            assert position == pytest.approx(craft.position, abs=0.02)
            assert (north, east) == pytest.approx(craft.position[:2], abs=0.006)
            angles = [math.degrees(angle) for angle in euler_angles(craft.attitude)]
            assert (roll, pitch) == pytest.approx(angles[:2], abs=0.006)
            assert yaw == heading == pytest.approx(angles[2], abs=0.006)
            assert float(found["Health"]) == pytest.approx(craft.health, abs=0.001)
            assert float(found["TAS"]) == pytest.approx(craft.speed, abs=0.06)
            assert float(found["Rounds"]) == pytest.approx(craft.rounds, abs=0.6)
            assert (found["Coalition"], found["Color"]) == (("Red", "Red"), ("Blue", "Blue"))[craft.side]
            assert found["Type"] == "Air+FixedWing"
    last = by_call_sign(frames[0][1])
    assert last["red_0"]["Pilot"] == "Anna, ace"
    assert int(last["red_0"]["FocusedTarget"], 16) in frames[0][1]
    assert len(events) >= 4


def test_a_kill_is_an_event_and_the_end_is_told(tmp_path):
    engine = engine_for(**EASY)
    taken = recorded(tmp_path / "f.acmi", engine)
    _, frames, events = read_acmi(tmp_path / "f.acmi")
    numbers = {known["CallSign"]: number for number, known in frames[0][1].items()}
    winner = taken[-1].outcome
    loser = f"{'blue' if winner == 'red' else 'red'}_0"
    end = taken[-1].time_s
    kinds = [event for time, event in events if time == pytest.approx(end)]
    assert ["Destroyed", f"{numbers[loser]:x}"] in kinds
    assert ["removed", numbers[loser]] in kinds
    assert ["Bookmark", f"{winner} wins: gun"] in kinds
    assert ["LeftArea", f"{numbers[f'{winner}_0']:x}"] in kinds
    assert ["Message", f"{numbers[loser]:x}", f"{loser} is hit"] in [event for _, event in events]
    assert frames[-1][1] == {}
    fires = [by_call_sign(objects)[f"{winner}_0"]["TriggerPressed"] for _, objects in frames[:-1]]
    assert fires[0] == "0"
    assert "1" in fires


def test_a_time_limit_destroys_nobody(tmp_path):
    recorded(tmp_path / "f.acmi", engine_for(start="random", time_limit_s=1.0), pilot="straight")
    _, _, events = read_acmi(tmp_path / "f.acmi")
    assert [event[0] for _, event in events] == ["Bookmark", "LeftArea", "removed", "LeftArea", "removed"]
    assert events[0][1][1] == "draw: time"


def test_episodes_follow_one_another_with_objects_of_their_own(tmp_path):
    taken = recorded(tmp_path / "f.acmi", engine_for(**EASY), episodes=3)
    _, frames, _ = read_acmi(tmp_path / "f.acmi")
    assert len(frames) == len(taken)
    ever = {number for _, objects in frames for number in objects}
    assert len(ever) == 6


def test_the_same_game_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        recorded(tmp_path / f"{name}.txt.acmi", engine_for(**EASY))
    assert (tmp_path / "a.txt.acmi").read_bytes() == (tmp_path / "b.txt.acmi").read_bytes()
    for folder in ("c", "d"):
        (tmp_path / folder).mkdir()
        recorded(tmp_path / folder / "f.zip.acmi", engine_for(**EASY))
    assert (tmp_path / "c" / "f.zip.acmi").read_bytes() == (tmp_path / "d" / "f.zip.acmi").read_bytes()


@pytest.mark.parametrize("team", [1, 2, 4])
def test_whole_fights_with_all_weapons_are_read_back(tmp_path, team):
    paths = [tmp_path / f"{name}.txt.acmi" for name in "ab"]
    for path in paths:
        taken = recorded(path, engine_for(team_size=team, **FULL), seed=5, episodes=3)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    _, frames, events = read_acmi(paths[0])
    assert len(frames) == len(taken)
    weapons = 0
    for (_, objects), now in zip(frames, taken, strict=True):
        seen = by_call_sign(objects)
        if now.outcome == "running":
            assert set(seen) == {craft.agent for craft in now.craft if craft.alive}
            missiles = [known for known in objects.values() if known["Type"] == "Weapon+Missile"]
            assert len(missiles) == len(now.bodies)
            weapons += len(missiles)
        for craft in now.craft:
            if craft.agent in seen:
                assert float(seen[craft.agent]["Rounds"]) == pytest.approx(craft.rounds, abs=0.6)
    assert weapons > 10
    assert sum(event[0] == "Bookmark" for _, event in events) == 3


def test_telemetry_stays_on_the_aircraft_until_it_changes(tmp_path):
    telemetry = {
        "red_0": {"Maneuver": "lead_pursuit", "ManeuverEntropy": 1.5, "ManeuverAlpha": math.nan, "Label": "a,b"}
    }
    recorded(tmp_path / "f.acmi", engine_for(start="neutral", time_limit_s=1.0), telemetry=telemetry)
    _, frames, _ = read_acmi(tmp_path / "f.acmi")
    for _, objects in frames[:-1]:
        red, blue = by_call_sign(objects)["red_0"], by_call_sign(objects)["blue_0"]
        assert (red["Maneuver"], red["ManeuverEntropy"], red["Label"]) == ("lead_pursuit", "1.5", "a,b")
        assert "ManeuverAlpha" not in red
        assert "Maneuver" not in blue
    text = (tmp_path / "f.acmi").read_text(encoding="utf-8")
    assert text.count("lead_pursuit") == 1, "only changes are written"


def test_bad_input_is_told(tmp_path):
    engine = engine_for()
    engine.reset(0)
    with pytest.raises(ValueError, match=r"must end in \.acmi"):
        FlightRecorder(tmp_path / "f.txt", engine)
    with pytest.raises(ValueError, match="game = 1 is not in this engine"):
        FlightRecorder(tmp_path / "f.acmi", engine, game=1)
    with pytest.raises(ValueError, match="unknown agent: 'green_0'"):
        FlightRecorder(tmp_path / "f.acmi", engine, pilots={"green_0": "x"})
    with pytest.raises(ValueError, match="auto_reset"):
        FlightRecorder(tmp_path / "f.acmi", DogfightEngine())
    recorder = FlightRecorder(tmp_path / "f.acmi", engine)
    with pytest.raises(ValueError, match="unknown agent: 'red'"):
        recorder.record({"red": {}})
    with pytest.raises(ValueError, match="'a b' is no name"):
        recorder.record({"red_0": {"a b": 1}})
    with pytest.raises(ValueError, match=r"'Health'.*writes this property itself"):
        recorder.record({"red_0": {"Health": 1}})
    recorder.close()
    recorder.close()
    with pytest.raises(RuntimeError, match="after close"):
        recorder.record()


def test_missiles_and_flares_are_objects_with_lives_of_their_own(tmp_path, monkeypatch):
    engine = engine_for(start="neutral", time_limit_s=2.0)
    engine.reset(0)
    level = (0.0, 0.0, 0.0, 1.0)
    missile = Body("m0", "missile", 0, "red_0", (10.0, 20.0, -3000.0), level)
    flare = Body("f0", "flare", 1, "blue_0", (0.0, 0.0, -1.0), None)
    flying = {1: (missile,), 2: (missile._replace(position=(90.0, 20.0, -3000.0)), flare), 3: (flare,)}
    count = iter(range(100))
    monkeypatch.setattr(
        acmi, "snapshot", lambda e, g: snapshots.snapshot(e, g)._replace(bodies=flying.get(next(count), ()))
    )
    with FlightRecorder(tmp_path / "f.acmi", engine) as recorder:
        for _ in range(5):
            recorder.record()
            engine.step(engine.pilot_actions("straight"))
    _, frames, events = read_acmi(tmp_path / "f.acmi")
    kinds = [sorted(known["Type"] for known in objects.values() if "CallSign" not in known) for _, objects in frames]
    assert kinds == [[], ["Weapon+Missile"], ["Misc+Decoy+Flare", "Weapon+Missile"], ["Misc+Decoy+Flare"], []]
    (shot,) = (known for known in frames[1][1].values() if known["Type"] == "Weapon+Missile")
    assert int(shot["Parent"], 16) in frames[1][1]
    assert shot["T"][2] == 3000.0
    assert len(shot["T"]) == 9
    assert sum(event[0] == "removed" for _, event in events) == 4


def test_four_aircraft_leave_one_by_one(tmp_path, monkeypatch):
    engine = engine_for(start="neutral", time_limit_s=2.0)
    engine.reset(0)
    names = ("red_0", "red_1", "blue_0", "blue_1")
    dead = [set(), {"blue_0"}, {"blue_0"}, {"blue_0", "blue_1"}]
    moments = iter(dead)

    def told(*_):
        two = snapshots.snapshot(engine)
        gone = next(moments)
        craft = tuple(
            two.craft[0]._replace(agent=name, side=k // 2, alive=name not in gone, health=float(name not in gone))
            for k, name in enumerate(names)
        )
        return two._replace(craft=craft)

    monkeypatch.setattr(acmi, "snapshot", told)
    monkeypatch.setattr(acmi, "agent_names", lambda engine: names)
    with FlightRecorder(tmp_path / "f.acmi", engine) as recorder:
        for _ in dead:
            recorder.record({"blue_0": {"Label": "x"}})
            engine.step(engine.pilot_actions("straight"))
    _, frames, events = read_acmi(tmp_path / "f.acmi")
    flying = [{known["CallSign"] for known in objects.values()} for _, objects in frames]
    assert flying == [set(names), set(names) - {"blue_0"}, set(names) - {"blue_0"}, set()]
    kinds = [(round(time, 1), event[0]) for time, event in events if event[0] in {"Destroyed", "LeftArea"}]
    assert kinds == [(0.2, "Destroyed"), (0.6, "Destroyed"), (0.6, "LeftArea"), (0.6, "LeftArea")]
    targets = {
        known["CallSign"]: known["FocusedTarget"] for known in frames[2][1].values() if "red" in known["CallSign"]
    }
    (alive,) = (number for number, known in frames[2][1].items() if known["CallSign"] == "blue_1")
    assert set(targets.values()) == {f"{alive:x}"}


def test_the_face_can_be_recorded(tmp_path):
    env = dogfight_v0.parallel_env(time_limit_s=1.0)
    env.reset(seed=0)
    with FlightRecorder(tmp_path / "f.acmi", env.unwrapped.engine) as recorder:
        while env.agents:
            recorder.record()
            env.step({})
        recorder.record()
    assert len(read_acmi(tmp_path / "f.acmi")[1]) == 6


def test_writer_escapes_and_writes_only_changes(tmp_path):
    writer = AcmiWriter(tmp_path / "f.acmi", {"Title": "a, b\nc"})
    writer.frame(0.0)
    number = writer.create()
    writer.update(number, ["1.0", "2.0", "3.0"], {"Note": "x=y, z"})
    writer.update(number, ["1.0", "2.5", "3.0"], {"Note": "x=y, z"})
    writer.update(number, ["1.0", "2.5", "3.0"], {})
    writer.close()
    lines = (tmp_path / "f.acmi").read_text(encoding="utf-8").splitlines()
    assert lines[2:] == [r"0,Title=a\, b c", "#0.00", rf"{number:x},T=1.0|2.0|3.0,Note=x=y\, z", f"{number:x},T=|2.5|"]


@pytest.mark.parametrize(
    ("roll", "pitch", "heading"), [(0, 0, 0), (30, 0, 90), (-120, 40, 200), (170, -60, 359), (5, 89, 45)]
)
def test_attitude_angles(roll, pitch, heading):
    """The textbook order: heading about down, then pitch about the right wing, then roll about the nose."""

    def turn(axis, degrees):
        half = math.radians(degrees) / 2
        return np.array([*(math.sin(half) * np.array(axis)), math.cos(half)])

    def times(p, q):
        vector = p[3] * q[:3] + q[3] * p[:3] + np.cross(p[:3], q[:3])
        return np.array([*vector, p[3] * q[3] - p[:3] @ q[:3]])

    q = times(times(turn((0, 0, 1), heading), turn((0, 1, 0), pitch)), turn((1, 0, 0), roll))
    found = [math.degrees(angle) for angle in euler_angles(tuple(q))]
    assert found == pytest.approx([roll, pitch, heading % 360], abs=1e-6)
    assert np.hypot(*rotated(tuple(q), (3.0, 4.0, 0.0))[:2]) <= 5.0 + 1e-9
