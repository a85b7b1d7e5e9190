"""Two and four a side through the PettingZoo face, with the engine itself: spaces, stories, pictures and replays."""

import math
import pickle
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from headctl_envs import dogfight_v0
from headctl_envs.dogfight.acmi import FlightRecorder
from headctl_envs.dogfight.config import CAUSES, OUTCOMES, DogfightConfig
from headctl_envs.dogfight.engine import DogfightEngine
from headctl_envs.dogfight.face import INFO_KEYS
from headctl_envs.dogfight.snapshots import FlareTrails, rotated, snapshot
from pettingzoo.test import api_test, max_cycles_test, parallel_api_test, render_test, seed_test

from tests.helpers.acmi_reader import read_acmi
from tests.helpers.dogfights import actions, engine_with, legal_action
from tests.helpers.flight_probe import aircraft

STYLE = "ignore:(Observation space|Action space|Observation is not)"
LAYOUTS = [{}, {"action_layout": "multidiscrete"}, {"action_layout": "flat", "observe_masks": True}]
CLOSE = {"start": "in_zone", "gun_half_angle_deg": 5.0, "time_limit_s": 60.0}


def flown(env, pilot="pursuit"):
    """The pilot's actions for everybody who plays."""
    chosen = env.engine.pilot_actions(pilot)
    seats = {agent: seat for seat, agent in enumerate(env.possible_agents)}
    return {agent: {head: chosen[head][0, seats[agent]].numpy() for head in chosen} for agent in env.agents}


@pytest.mark.filterwarnings(STYLE)
@pytest.mark.parametrize("team_size", [2, 4])
@pytest.mark.parametrize("options", LAYOUTS, ids=lambda options: options.get("action_layout", "dict"))
def test_pettingzoo_accepts_teams_in_every_layout(options, team_size):
    settings = {"team_size": team_size, "time_limit_s": 8.0, **options}
    parallel_api_test(dogfight_v0.parallel_env(**settings), num_cycles=100)
    api_test(dogfight_v0.env(**settings), num_cycles=20)
    seed_test(lambda: dogfight_v0.env(**settings), num_cycles=10)


def course(env, seed, episodes=2):
    """Everything that whole episodes tell, with random actions among the legal ones."""
    rng = np.random.default_rng(0)
    told = []
    for episode in range(episodes):
        told.append((*env.reset(seed=seed if episode == 0 else None), env.state()))
        while env.agents:
            told.append((*env.step({agent: legal_action(env, agent, rng) for agent in env.agents}), env.state()))
    return told


@pytest.mark.parametrize("team_size", [1, 2, 4])
@pytest.mark.parametrize("options", LAYOUTS, ids=lambda options: options.get("action_layout", "dict"))
def test_length_limits_pictures_and_copies_in_every_layout(options, team_size, monkeypatch):
    pytest.importorskip("pygame", reason="pygame is not installed")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    settings = {"team_size": team_size, "start": "in_zone", **options}
    max_cycles_test(
        SimpleNamespace(
            parallel_env=partial(dogfight_v0.parallel_env, **settings), env=partial(dogfight_v0.env, **settings)
        )
    )
    render_test(lambda render_mode: dogfight_v0.env(render_mode=render_mode, decision_period_s=0.02, **settings))
    env = dogfight_v0.parallel_env(max_cycles=15, **settings)
    env.reset(seed=5)
    env.step({})
    copy = pickle.loads(pickle.dumps(env))  # noqa: S301  - one's own bytes
    assert copy.possible_agents == env.possible_agents
    assert copy.agents == []
    np.testing.assert_equal(course(copy, 3), course(env, 3))


@pytest.mark.parametrize("team_size", [2, 4])
@pytest.mark.parametrize("options", LAYOUTS, ids=lambda options: options.get("action_layout", "dict"))
def test_whole_fights_repeat_in_two_instances_and_in_one_that_is_seeded_again(options, team_size):
    deadly = {"gun_half_angle_deg": 45.0, "gun_interlock_deg": 45.0, "gun_damage_per_s": 5.0, "time_limit_s": 10.0}
    settings = {"team_size": team_size, **CLOSE, **deadly, **options}
    one, two = dogfight_v0.parallel_env(**settings), dogfight_v0.parallel_env(**settings)
    first = course(one, 7)
    np.testing.assert_equal(course(two, 7), first)
    np.testing.assert_equal(course(one, 7), first)
    other = course(one, 8)
    assert len(other) != len(first) or not np.array_equal(other[0][2], first[0][2])
    assert any(len(step) == 6 and any(step[2].values()) for step in first), "somebody dies"


@pytest.mark.parametrize("team_size", [2, 4])
def test_a_whole_fight_of_teams(team_size):
    env = dogfight_v0.parallel_env(team_size=team_size, **CLOSE)
    _, infos = env.reset(seed=4)
    names = env.engine.feature_names
    assert env.possible_agents == [f"{side}_{k}" for side in ("red", "blue") for k in range(team_size)]
    gone = {}
    while env.agents:
        playing = list(env.agents)
        observations, rewards, terminations, _, infos = env.step(flown(env))
        assert list(observations) == list(rewards) == list(infos) == playing
        for agent in playing:
            assert tuple(infos[agent]) == INFO_KEYS
            assert observations[agent]["observation"].shape == (len(names),)
            assert infos[agent]["alive"] == (infos[agent]["health"] > 0)
            assert sum(infos[agent][key] for key in INFO_KEYS if key.startswith("reward_")) == pytest.approx(
                rewards[agent], abs=1e-6
            )
            if terminations[agent] and not infos[agent]["alive"]:
                gone[agent] = CAUSES[infos[agent]["cause"]]
        by_side = {side: {round(rewards[a], 6) for a in playing if a.startswith(side)} for side in ("red", "blue")}
        assert all(len(values) <= 1 for values in by_side.values())
        assert not any(agent in gone for agent in env.agents)
    assert gone
    assert set(gone.values()) <= {"gun", "missile", "crash", "collision"}
    outcome = OUTCOMES[next(iter(infos.values()))["outcome"]]
    if outcome in ("red", "blue"):
        loser = "blue" if outcome == "red" else "red"
        assert sum(agent.startswith(loser) for agent in gone) == team_size
    else:
        assert outcome == "draw"


def test_infos_count_missiles_and_flares():
    env = dogfight_v0.parallel_env(team_size=2, missiles=2, flares=4)
    env.reset(seed=0)
    nominal = {"maneuver": 0, "weapon": 3, "params": np.zeros(3, np.float32)}
    *_, infos = env.step({"red_1": nominal})
    assert (infos["red_1"]["flares"], infos["red_1"]["flares_dropped"]) == (0.75, 1.0)
    assert infos["red_1"]["reward_cost"] == infos["red_0"]["reward_cost"] == -infos["blue_0"]["reward_cost"] < 0
    assert (infos["red_0"]["flares"], infos["red_0"]["flares_dropped"]) == (1.0, 0.0)
    assert all(info["missiles"] == 1.0 and info["missiles_fired"] == 0.0 for info in infos.values())


def missile_fight():
    """One aircraft right behind another: its pilot locks on and fires."""
    engine = engine_with([[aircraft(), aircraft(north=2000.0)]], missiles=2, flares=4)
    engine.auto_reset = False
    return engine


def test_missiles_and_flares_are_seen_and_replayed(tmp_path):
    engine = missile_fight()
    taken, trails, seen = [], FlareTrails(), []
    with FlightRecorder(tmp_path / "f.acmi", engine) as recorder:
        for _ in range(40):
            now = snapshot(engine)
            taken.append(now)
            seen.append(trails.add(now))
            recorder.record()
            red = int(engine.current().masks["weapon"][0, 0, 2]) * 2
            blue = 3 * int(engine.current().masks["weapon"][0, 1, 3])
            if int(engine.step(actions(engine, weapon=[red, blue])).outcome[0]):
                break
        recorder.record()
    missiles = [body for now in taken for body in now.bodies]
    assert {body.kind for body in missiles} == {"missile"}
    assert {(body.side, body.parent) for body in missiles} == {(0, "red_0")}
    launches = {body.key for body in missiles}
    assert len(launches) == round(taken[0].craft[0].missiles - taken[-1].craft[0].missiles) >= 1
    first = missiles[0]
    ahead = rotated(first.attitude, (1.0, 0.0, 0.0))
    assert ahead[0] == pytest.approx(1.0, abs=0.05)  # it flies north, after its target
    flares = [body for now in seen for body in now.bodies if body.kind == "flare"]
    assert {body.parent for body in flares} == {"blue_0"}
    assert len({body.key for body in flares}) == round(4 - taken[-1].craft[1].flares) >= 1
    _, frames, _ = read_acmi(tmp_path / "f.acmi")
    types = {known["Type"] for _, objects in frames for known in objects.values()}
    assert types == {"Air+FixedWing", "Weapon+Missile", "Misc+Decoy+Flare"}


def test_flares_fall_behind_and_burn_out():
    engine = missile_fight()
    trails = FlareTrails()
    trails.add(snapshot(engine))
    engine.step(actions(engine, weapon=[0, 3]))
    now = snapshot(engine)
    (flare,) = trails.add(now).bodies
    assert flare.position[0] < now.craft[1].position[0]
    assert math.isfinite(flare.position[2])
    for _ in range(16):
        engine.step(actions(engine))
        left = trails.add(snapshot(engine)).bodies
    assert left == ()


def test_a_picture_of_four_a_side():
    env = dogfight_v0.parallel_env(team_size=4, render_mode="rgb_array", **CLOSE)
    env.reset(seed=1)
    for _ in range(10):
        env.step(flown(env))
    picture = env.render()
    assert (picture.shape, picture.dtype) == ((720, 1000, 3), np.uint8)


def test_the_end_of_a_team_fight_has_one_cause():
    engine = DogfightEngine(DogfightConfig(team_size=2, **CLOSE))
    engine.auto_reset = False
    engine.reset(3)
    while not int(engine.step(engine.pilot_actions("pursuit")).outcome[0]):
        assert snapshot(engine).cause == "running"
    end = snapshot(engine)
    assert end.cause in ("gun", "missile", "crash", "collision", "time")
    assert all((craft.cause == "running") == craft.alive for craft in end.craft)
