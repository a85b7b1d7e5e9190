"""PettingZoo's own tests in every layout, and whole episodes that must repeat."""

import copy
import importlib
import pickle
import subprocess
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pettingzoo
import pytest
from headctl_envs import dogfight_v0
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, render_test, seed_test
from pettingzoo.test.performance_benchmark import performance_benchmark
from pettingzoo.test.state_test import state_test

from tests.helpers.dogfights import legal_action

STYLE = "ignore:(Observation space|Action space|Observation is not)"  # PettingZoo would like no Dict spaces
LAYOUTS = [
    {},
    {"observe_masks": False},
    {"action_layout": "multidiscrete"},
    {"action_layout": "multidiscrete", "params_bins": 2, "observe_masks": False},
    {"action_layout": "flat"},
    {"action_layout": "flat", "observe_masks": True, "params_bins": 3},
]


def ident(options):
    return " ".join(map(str, options.values())) or "dict"


every_layout = pytest.mark.parametrize("options", LAYOUTS, ids=ident)


@every_layout
def test_parallel_api(options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parallel_api_test(dogfight_v0.parallel_env(time_limit_s=20.0, **options), num_cycles=1000)


@pytest.mark.filterwarnings(STYLE)
@every_layout
def test_aec_api(options):
    api_test(dogfight_v0.env(time_limit_s=20.0, **options), num_cycles=300)
    api_test(dogfight_v0.raw_env(**options), num_cycles=100)


@every_layout
def test_seeds(options):
    seed_test(lambda: dogfight_v0.env(**options), num_cycles=300)
    parallel_seed_test(lambda: dogfight_v0.parallel_env(**options), num_cycles=300)


@every_layout
def test_state(options):
    state_test(dogfight_v0.env(**options), dogfight_v0.parallel_env(**options), num_cycles=50)


def test_a_benchmark_of_pettingzoo_runs(monkeypatch, capsys):
    clock = iter([0.0, *[1.0] * 3, *[10.0] * 2])
    module = importlib.import_module("pettingzoo.test.performance_benchmark")
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: next(clock)))
    performance_benchmark(dogfight_v0.env(action_layout="flat", observe_masks=True))
    assert "cycles per second" in capsys.readouterr().out


def test_rendering(monkeypatch):
    pytest.importorskip("pygame", reason="pygame is not installed")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    render_test(lambda render_mode: dogfight_v0.env(render_mode=render_mode, decision_period_s=0.02))


# Registry -------------------------------------------------------------------------------------------------------------


def test_the_registry_makes_both_forms():
    made = pettingzoo.make("parallel", "headctl/dogfight-v0", max_cycles=7, action_layout="flat")
    assert isinstance(made, dogfight_v0.parallel_env)
    assert made.max_cycles == 7
    assert made.layout.__class__.__name__ == "FlatLayout"
    turns = pettingzoo.make("aec", "headctl/dogfight_v0", start="head_on")
    assert isinstance(turns, pettingzoo.AECEnv)
    assert turns.unwrapped.metadata["name"] == "dogfight_v0"


def test_only_the_import_of_the_game_registers_it_and_a_second_one_does_not_warn():
    code = """if True:
        import importlib, warnings, pettingzoo, headctl_envs, headctl_envs.dogfight.config
        assert "headctl/dogfight-v0" not in pettingzoo.parallel_registry
        warnings.simplefilter("error", UserWarning)
        from headctl_envs import dogfight_v0
        assert "headctl/dogfight-v0" in pettingzoo.parallel_registry
        importlib.reload(dogfight_v0)
    """
    subprocess.run([sys.executable, "-c", code], check=True)


# Copies ---------------------------------------------------------------------------------------------------------------


def pickled(env):
    return pickle.loads(pickle.dumps(env))  # noqa: S301  - one's own bytes


@pytest.mark.parametrize("clone", [copy.deepcopy, pickled])
@every_layout
def test_copies_keep_the_arguments_and_not_the_episode(options, clone):
    env = dogfight_v0.parallel_env(max_cycles=40, start="head_on", render_mode="ansi", **options)
    env.reset(seed=5)
    env.step({})
    other = clone(env)
    assert other.agents == []
    assert (other.max_cycles, other.render_mode) == (40, "ansi")
    assert other.action_space("red_0") == env.action_space("red_0")
    with pytest.raises(RuntimeError, match="before reset"):
        other.step({"red_0": None})
    env.step({})  # the original goes on
    assert env.agents
    np.testing.assert_equal(course(other, 3), course(env, 3))


# Determinism ----------------------------------------------------------------------------------------------------------


def course(env, seed, episodes=2):
    """Everything that comes of whole episodes with random legal actions, drawn with masks."""
    rng = np.random.default_rng(0)
    told = []
    for episode in range(episodes):
        observations, infos = env.reset(seed=seed if episode == 0 else None)
        told.append((observations, infos, env.state()))
        while env.agents:
            actions = {agent: legal_action(env, agent, rng) for agent in env.agents}
            told.append((*env.step(actions), env.state()))
    return told


@pytest.mark.parametrize(
    "weapons",
    [{"missiles": 0, "flares": 0, "gun_half_angle_deg": 10.0}, {"gun_half_angle_deg": 45.0, "gun_interlock_deg": 45.0}],
    ids=["guns", "full"],
)
@every_layout
def test_whole_episodes_repeat_in_two_instances_and_in_one_that_is_seeded_again(options, weapons):
    settings = {"start": "in_zone", "time_limit_s": 40.0, **weapons, **options}
    one, two = dogfight_v0.parallel_env(**settings), dogfight_v0.parallel_env(**settings)
    first = course(one, 7, episodes=4)
    second = course(two, 7, episodes=4)
    again = course(one, 7, episodes=4)
    other = course(one, 8, episodes=4)
    np.testing.assert_equal(second, first)
    np.testing.assert_equal(again, first)
    assert len(other) != len(first) or not np.array_equal(other[0][2], first[0][2])
    ends = [step for step in first if len(step) == 6 and any(step[2].values())]
    assert ends, "somebody dies"


def test_what_a_step_returned_is_never_changed_by_a_later_one():
    env = dogfight_v0.parallel_env()
    env.reset(seed=0)
    told = env.step({})
    kept = copy.deepcopy(told)
    for _ in range(5):
        env.step({})
    env.reset()
    np.testing.assert_equal(told, kept)


def test_global_random_streams_are_left_alone():
    import torch

    before = (np.random.get_state()[1].copy(), torch.random.get_rng_state())  # noqa: NPY002  - it is what is tested
    course(dogfight_v0.parallel_env(time_limit_s=2.0), 1)
    assert np.array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002  - it is what is tested
    assert torch.equal(torch.random.get_rng_state(), before[1])
