"""The PettingZoo face: PettingZoo's own tests, and what they do not look at."""

import math
import pickle

import numpy as np
import pytest
from headctl_envs import dogfight_v0
from headctl_envs.dogfight.config import DogfightConfig, OptionError
from headctl_envs.dogfight.engine import DogfightEngine
from headctl_envs.dogfight.face import INFO_KEYS
from headctl_envs.dogfight.features import FEATURES
from pettingzoo.test import (
    api_test,
    max_cycles_test,
    parallel_api_test,
    parallel_seed_test,
    seed_test,
)

STYLE = "ignore:(Observation space|Action space|Observation is not)"  # PettingZoo would like no Dict spaces


def played(env, seed, episodes=2, choose=None):
    """Every observation, reward, flag and info of whole episodes with random legal actions."""
    rng = np.random.default_rng(0)
    course = []
    for episode in range(episodes):
        observations, infos = env.reset(seed=seed if episode == 0 else None)
        course.append((observations, infos))
        while env.agents:
            actions = {agent: (choose or legal)(rng, observations[agent]) for agent in env.agents}
            observations, rewards, terminations, truncations, infos = env.step(actions)
            course.append((observations, rewards, terminations, truncations, infos))
    return course


def legal(rng, observation):
    return {
        "maneuver": rng.choice(np.flatnonzero(observation["mask_maneuver"])),
        "weapon": rng.choice(np.flatnonzero(observation["mask_weapon"])),
        "params": rng.uniform(-1, 1, 3).astype(np.float32),
    }


@pytest.mark.parametrize("library", ["basic7", "tactical14"])
def test_parallel_api(library):
    parallel_api_test(dogfight_v0.parallel_env(maneuvers=library, time_limit_s=20.0), num_cycles=1000)


@pytest.mark.filterwarnings(STYLE)
def test_aec_api():
    api_test(dogfight_v0.env(time_limit_s=20.0), num_cycles=1000)
    api_test(dogfight_v0.raw_env(), num_cycles=100)


def test_seeds():
    seed_test(dogfight_v0.env, num_cycles=500)
    parallel_seed_test(dogfight_v0.parallel_env, num_cycles=500)


def test_max_cycles():
    max_cycles_test(dogfight_v0)


def test_whole_episodes_repeat_exactly_in_two_instances_and_in_one():
    one, two = (dogfight_v0.parallel_env(time_limit_s=12.0) for _ in range(2))
    first, second, third = played(one, 5), played(two, 5), played(one, 5)
    np.testing.assert_equal(first, second)
    np.testing.assert_equal(first, third)
    with pytest.raises(AssertionError):
        np.testing.assert_equal(first, played(one, 6))


def test_it_is_game_0_of_the_batched_engine():
    env = dogfight_v0.parallel_env(time_limit_s=4.0)
    engine = DogfightEngine(DogfightConfig(time_limit_s=4.0), num_games=3)
    observations, _ = env.reset(seed=9)
    batch = engine.reset(seed=9)
    for _ in range(3):  # episodes
        while env.agents:
            for seat, agent in enumerate(env.agents):
                assert (observations[agent]["observation"] == batch.observation[0, seat].numpy()).all()
                for head in ("maneuver", "weapon"):
                    assert (observations[agent][f"mask_{head}"] == batch.masks[head][0, seat].numpy()).all()
            pilot = engine.pilot_actions("random")
            observations, rewards, _, _, infos = env.step(
                {agent: {head: pilot[head][0, seat].numpy() for head in pilot} for seat, agent in enumerate(env.agents)}
            )
            batch = engine.step(pilot)
            assert [rewards[agent] for agent in env.possible_agents] == batch.reward[0].tolist()
            assert infos["red_0"]["outcome"] == int(batch.outcome[0])
        observations, _ = env.reset()


def test_observations_are_in_their_space_and_infos_have_constant_numeric_keys():
    env = dogfight_v0.parallel_env(time_limit_s=30.0)
    course = played(env, 1)
    for observations, *_, infos in course:
        for agent, observation in observations.items():
            assert env.observation_space(agent).contains(observation)
            assert observation["mask_maneuver"].dtype == observation["mask_weapon"].dtype == np.int8
            assert observation["mask_maneuver"][0] == observation["mask_weapon"][0] == 1
            assert tuple(infos[agent]) == INFO_KEYS
            assert all(isinstance(value, int | float) for value in infos[agent].values())
    assert env.state_space.contains(env.state())
    assert env.observation_space("red_0") is env.observation_space("red_0")
    assert env.action_space("red_0") is not env.action_space("blue_0")


def test_truncation_is_for_both_and_terms_have_both_signs():
    env = dogfight_v0.parallel_env(max_cycles=3, start="random")
    env.reset(seed=0)
    for cycle in range(3):
        _, rewards, terminations, truncations, infos = env.step({})
        assert set(truncations.values()) == {cycle == 2}
        assert set(terminations.values()) == {False}
        assert rewards["red_0"] == -rewards["blue_0"]
        assert infos["red_0"]["reward_shaping"] == -infos["blue_0"]["reward_shaping"] != 0
    assert env.agents == []
    assert env.step({}) == ({}, {}, {}, {}, {})


def test_actions_of_the_dead_and_of_strangers_are_ignored():
    env, other = dogfight_v0.parallel_env(), dogfight_v0.parallel_env()
    env.reset(seed=1)
    other.reset(seed=1)
    action = {"maneuver": np.int64(3), "weapon": 0, "params": np.zeros(3, np.float32)}
    np.testing.assert_equal(
        env.step({"red_0": action, "blue_0": None, "green_7": action}), other.step({"red_0": action})
    )


@pytest.mark.parametrize(
    ("head", "value"),
    [
        ("maneuver", 1.5),
        ("maneuver", "turn"),
        ("maneuver", [1, 2]),
        ("params", [0.0, 0.0]),
        ("params", "x"),
        ("weapon", None),
    ],
)
def test_actions_of_the_wrong_kind_are_told(head, value):
    env = dogfight_v0.parallel_env()
    env.reset(seed=0)
    action = {"maneuver": 0, "weapon": 0, "params": np.zeros(3, np.float32)}
    with pytest.raises(ValueError, match=f"red_0 has {head} = "):
        env.step({"red_0": {**action, head: value}})
    with pytest.raises(ValueError, match=f"lacks the head '{head}'"):
        env.step({"red_0": {k: v for k, v in action.items() if k != head}})


def test_hostile_numbers_are_tolerated():
    env = dogfight_v0.parallel_env()
    env.reset(seed=0)
    wild = {"maneuver": 99, "weapon": -5, "params": np.array([math.nan, math.inf, -9.0])}
    observations, *_ = env.step(dict.fromkeys(env.agents, wild))
    assert all(env.observation_space(agent).contains(o) for agent, o in observations.items())


def test_pickling_keeps_the_arguments():
    env = dogfight_v0.parallel_env(max_cycles=50, maneuvers="basic9", render_mode="ansi")
    copy = pickle.loads(pickle.dumps(env))  # noqa: S301  - one's own bytes
    assert copy.render_mode == "ansi"
    np.testing.assert_equal(played(env, 3), played(copy, 3))


def test_unseeded_environments_differ():
    one, two = dogfight_v0.parallel_env(), dogfight_v0.parallel_env()
    assert not np.array_equal(one.reset()[0]["red_0"]["observation"], two.reset()[0]["red_0"]["observation"])


def test_rendering_and_closing():
    env = dogfight_v0.parallel_env(render_mode="ansi")
    env.reset(seed=0)
    env.step({})
    text = env.render()
    assert text.startswith("t   0.2 s | red_0:")
    assert "\n" not in text
    env.close()
    env.close()


def test_wrong_options_are_told():
    with pytest.raises(OptionError, match="Did you mean 'gun_rounds'"):
        dogfight_v0.parallel_env(gun_round=3)
    with pytest.raises(ValueError, match=r"render_mode: 'humann'\. Did you mean 'human'"):
        dogfight_v0.parallel_env(render_mode="humann")
    for cycles in (0, -1, 2**31, 10**12):
        with pytest.raises(OptionError, match=f"max_cycles = {cycles} is out of range; allowed: None, or a"):
            dogfight_v0.parallel_env(max_cycles=cycles)


def test_calls_out_of_order_and_arguments_of_the_wrong_kind_are_told():
    env = dogfight_v0.parallel_env(max_cycles=1)
    action = {"red_0": {"maneuver": 0, "weapon": 0, "params": np.zeros(3, np.float32)}}
    with pytest.raises(RuntimeError, match="before reset"):
        env.step(action)
    with pytest.raises(ValueError, match="seed = 'x' is not a whole number"):
        env.reset(seed="x")
    env.reset(seed=np.int64(3))
    with pytest.raises(TypeError, match=r"actions = \[1\] is no mapping"):
        env.step([1])
    env.step(action)
    with pytest.raises(RuntimeError, match="after the end of the episode"):
        env.step(action)
    assert env.step({"red_0": None}) == env.step({}) == ({}, {}, {}, {}, {})
    env.reset()
    assert env.step(action)[0]


def test_infos_count_shots_and_time_in_the_zone():
    env = dogfight_v0.parallel_env(start="in_zone", gun_half_angle_deg=5.0, missiles=0, flares=0)
    _, infos = env.reset(seed=3)
    assert infos["red_0"]["rounds_fired"] == infos["red_0"]["gun_zone_s"] == 0.0
    assert infos["red_0"]["alive"] == infos["red_0"]["rounds"] == infos["red_0"]["health"] == 1.0
    inside = dict.fromkeys(env.agents, 0)
    fired = dict.fromkeys(env.agents, 0)
    while env.agents:
        pilot = env.engine.pilot_actions("pursuit")
        actions = {a: {head: pilot[head][0, seat].numpy() for head in pilot} for seat, a in enumerate(env.agents)}
        for agent, action in actions.items():
            fired[agent] += 20 * int(action["weapon"])  # 100 rounds per second
        observations, _, _, _, infos = env.step(actions)
        for agent, observation in observations.items():
            inside[agent] += observation["observation"][FEATURES.index("enemy_in_zone")]
            assert infos[agent]["gun_zone_s"] == pytest.approx(0.2 * inside[agent])
    winner, loser = ("red_0", "blue_0") if infos["red_0"]["outcome"] == 1 else ("blue_0", "red_0")
    assert (infos[winner]["cause"], infos[loser]["cause"]) == (0, 1)
    assert (infos[winner]["alive"], infos[loser]["alive"]) == (1, 0)
    assert infos[loser]["health"] == 0.0
    assert infos[winner]["reward_outcome"] == -infos[loser]["reward_outcome"] == 1.0
    assert 0 < infos[winner]["rounds_fired"] <= fired[winner]
    assert infos[winner]["rounds_fired"] > fired[winner] - 20  # the last burst may have been cut short
    assert infos[winner]["rounds"] == pytest.approx(1 - infos[winner]["rounds_fired"] / 510)


def test_the_progress_of_training_fades_the_shaping():
    rewards = []
    for progress in (0.0, 0.5, 1.0):
        env = dogfight_v0.parallel_env()
        env.set_progress(progress)
        env.reset(seed=0)
        rewards.append(env.step({})[4]["red_0"]["reward_shaping"])
    assert rewards[0] != 0.0
    assert rewards[1] == pytest.approx(rewards[0] / 2)
    assert rewards[2] == 0.0
