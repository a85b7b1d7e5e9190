"""The three layouts play one game; masks tell the truth; wrong actions are told."""

import math
import re

import numpy as np
import pytest
from gymnasium import spaces
from headctl_envs import dogfight_v0
from headctl_envs.dogfight.config import OptionError
from headctl_envs.dogfight.layouts import make_layout
from hypothesis import given, settings
from hypothesis import strategies as st

K, W, P = 14, 4, 3


def layout(name, **options):
    settings = {"choices": (K, W), "dims": P, "features": 44, "params_bins": None, "observe_masks": None, **options}
    return make_layout(name, **settings)


choices = st.tuples(st.integers(0, K - 1), st.integers(0, W - 1), *[st.integers(0, 4)] * P)


@given(choices)
@settings(deadline=None)  # a busy machine is no reason to fail
def test_multidiscrete_and_flat_mean_the_same(parts):
    bins = [-1.0, -0.5, 0.0, 0.5, 1.0]
    expected = (*parts[:2], [bins[index] for index in parts[2:]])
    assert layout("multidiscrete").decode(np.array(parts)) == expected
    flat = layout("flat", params_bins=5)
    code = int(np.ravel_multi_index(parts, (K, W, 5, 5, 5)))
    assert flat.decode(code) == expected
    assert flat.decode(np.int64(code)) == expected


def test_spaces():
    assert layout("dict").action_space() == spaces.Dict(
        {"maneuver": spaces.Discrete(K), "weapon": spaces.Discrete(W), "params": spaces.Box(-1, 1, (P,), np.float32)}
    )
    assert layout("multidiscrete").action_space() == spaces.MultiDiscrete([K, W, 5, 5, 5])
    assert layout("multidiscrete", params_bins=2).action_space() == spaces.MultiDiscrete([K, W, 2, 2, 2])
    assert layout("flat").action_space() == spaces.Discrete(K * W)
    assert layout("flat", params_bins=3).action_space() == spaces.Discrete(K * W * 27)
    features = spaces.Box(-10.0, 10.0, (44,), np.float32)
    assert layout("flat").observation_space() == features
    assert layout("dict", observe_masks=False).observation_space() == features
    assert layout("flat", observe_masks=True).observation_space() == spaces.Dict(
        {"observation": features, "action_mask": spaces.Box(0, 1, (K * W,), np.int8)}
    )
    assert layout("multidiscrete").observation_space()["mask_action"].shape == (K + W + 15,)


@pytest.mark.parametrize("illegal_weapon", range(W))
def test_flat_masks_are_the_products_of_the_heads(illegal_weapon):
    flat = layout("flat", params_bins=2)
    decoded = [flat.decode(code) for code in range(K * W * 8)]
    for illegal_maneuver in range(K):
        maneuver, weapon = np.ones(K, np.int8), np.ones(W, np.int8)
        maneuver[illegal_maneuver] = weapon[illegal_weapon] = 0
        mask = flat.masks(maneuver, weapon)["action_mask"]
        assert mask.dtype == np.int8
        wanted = [part.maneuver != illegal_maneuver and part.weapon != illegal_weapon for part in decoded]
        assert mask.tolist() == wanted


# In the environment ---------------------------------------------------------------------------------------------------

SETTINGS = {"start": "in_zone", "gun_half_angle_deg": 10.0, "time_limit_s": 30.0}


def test_every_layout_plays_the_same_game():
    rng = np.random.default_rng(0)
    env = dogfight_v0.parallel_env(**SETTINGS)
    others = [
        dogfight_v0.parallel_env(action_layout="multidiscrete", params_bins=3, **SETTINGS),
        dogfight_v0.parallel_env(action_layout="flat", params_bins=3, observe_masks=True, **SETTINGS),
    ]
    for each in (env, *others):
        each.reset(seed=4)
    steps = 0
    while env.agents:
        parts = {agent: [rng.integers(K), rng.integers(W), *rng.integers(3, size=3)] for agent in env.agents}
        as_dict = {
            agent: {"maneuver": p[0], "weapon": p[1], "params": np.array([b - 1.0 for b in p[2:]], np.float32)}
            for agent, p in parts.items()
        }
        expected = env.step(as_dict)
        encoded = (
            {agent: np.array(p) for agent, p in parts.items()},
            {agent: np.ravel_multi_index(p, (K, W, 3, 3, 3)) for agent, p in parts.items()},
        )
        for other, actions in zip(others, encoded, strict=True):
            found = other.step(actions)
            assert found[1:] == expected[1:]
            for agent in parts:
                assert np.array_equal(found[0][agent]["observation"], expected[0][agent]["observation"])
        steps += 1
    assert steps > 10
    assert all(other.agents == [] for other in others)


@pytest.mark.parametrize("name", ["dict", "multidiscrete", "flat"])
def test_mask_contract(name):
    """int8, 0 or 1, never empty, as the spaces say; and the same as those of the engine."""
    env = dogfight_v0.parallel_env(action_layout=name, observe_masks=True, **SETTINGS)
    env.action_space("red_0").seed(0)
    kinds = set()
    for episode in range(4):
        observations, _ = env.reset(seed=episode)
        while env.agents:
            for agent, observation in observations.items():
                assert env.observation_space(agent).contains(observation)
                assert observation["observation"].dtype == np.float32
                told = env.action_mask(agent)
                for key, mask in told.items():
                    assert mask.dtype == observation[key].dtype == np.int8
                    assert np.array_equal(mask, observation[key])
                    assert set(np.unique(mask)) <= {0, 1}
                    assert mask[0] == 1
                    kinds.add(int(mask.sum()))
            observations, *_ = env.step({agent: env.action_space("red_0").sample() for agent in env.agents})
    assert len(kinds) > 1, "masks change"


def test_an_illegal_choice_is_maneuver_0_and_hold_and_is_counted():
    def after(action):
        env = dogfight_v0.parallel_env(start="head_on", start_altitude_min_m=800.0, start_altitude_max_m=800.0)
        observations, _ = env.reset(seed=0)
        assert observations["red_0"]["mask_weapon"].tolist() == [1, 0, 0, 1]
        observations, *_, infos = env.step({"red_0": {"params": np.zeros(3, np.float32), **action}})
        return observations, infos["red_0"].pop("illegal_actions"), infos

    held, illegal, infos = after({"maneuver": 0, "weapon": 0})
    assert illegal == 0
    for action in ({"maneuver": 0, "weapon": 1}, {"maneuver": 0, "weapon": 2}, {"maneuver": 99, "weapon": -7}):
        found, illegal, told = after(action)
        assert illegal == 1
        np.testing.assert_equal(found, held)
        assert told == infos


WRONG = [
    ("dict", 3, "has the value = 3, needed a mapping with the heads maneuver, params, weapon"),
    ("dict", {"manuever": 0, "weapon": 0, "params": [0, 0, 0]}, "lacks the head 'maneuver' (is it 'manuever'?)"),
    ("dict", {"maneuver": 0, "weapon": 0, "params": [0, 0, 0], "flare": 1}, "has the unknown heads ['flare']"),
    ("dict", {"maneuver": 1.5, "weapon": 0, "params": [0, 0, 0]}, "has maneuver = 1.5, needed Discrete(14)"),
    ("dict", {"maneuver": True, "weapon": 0, "params": [0, 0, 0]}, "has maneuver = True"),
    ("dict", {"maneuver": [1, 2], "weapon": 0, "params": [0, 0, 0]}, "has maneuver = [1, 2]"),
    ("dict", {"maneuver": 0, "weapon": None, "params": [0, 0, 0]}, "has weapon = None"),
    ("dict", {"maneuver": 0, "weapon": 0, "params": [[0, 0, 0]]}, "has params = [[0, 0, 0]], needed Box"),
    ("dict", {"maneuver": 0, "weapon": 0, "params": [0, [1], 0]}, "has params = "),
    ("dict", {"maneuver": 0, "weapon": 0, "params": "abc"}, "has params = 'abc'"),
    ("multidiscrete", [0, 0, 0, 0], "has the value = [0"),
    ("multidiscrete", [0.0, 0, 0, 0, 0], "has the value = [0"),
    ("multidiscrete", {"maneuver": 0}, "has the value = {'maneuver': 0}, needed MultiDiscrete([14"),
    ("flat", 1.0, "has the value = 1.0, needed Discrete(56)"),
    ("flat", [1, 2], "has the value = [1, 2], needed Discrete(56)"),
    ("flat", "7", "has the value = '7', needed Discrete(56)"),
]


@pytest.mark.parametrize(("name", "action", "message"), WRONG, ids=str)
def test_actions_of_the_wrong_shape_or_type_are_told_and_nothing_is_flown(name, action, message):
    env = dogfight_v0.parallel_env(action_layout=name)
    env.reset(seed=0)
    before = env.state()
    with pytest.raises(ValueError, match=re.escape(f"the action of blue_0 {message}")):
        env.step({"blue_0": action})
    assert np.array_equal(env.state(), before)
    env.step({})


OUT_OF_RANGE = [
    ("dict", {"maneuver": 14, "weapon": 0, "params": np.zeros(3)}, "has maneuver = 14"),
    ("dict", {"maneuver": 0, "weapon": -1, "params": np.zeros(3)}, "has weapon = -1"),
    ("dict", {"maneuver": 10**30, "weapon": 0, "params": np.zeros(3)}, "has maneuver"),
    ("dict", {"maneuver": 0, "weapon": 0, "params": np.array([0, 0, 1.01])}, "has params"),
    ("dict", {"maneuver": 0, "weapon": 0, "params": np.array([0, 0, math.nan])}, "has params"),
    ("dict", {"maneuver": 0, "weapon": 0, "params": np.array([0, 0, 1e300])}, "has params"),
    ("multidiscrete", [0, 4, 0, 0, 0], "has the value"),
    ("multidiscrete", [0, 0, 5, 0, 0], "has the value"),
    ("flat", 56, "has the value"),
    ("flat", -1, "has the value"),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("name", "action", "message"), OUT_OF_RANGE, ids=str)
def test_what_is_out_of_range_is_nominal_or_told_if_one_is_strict(name, action, message):
    tolerant, strict = (dogfight_v0.parallel_env(action_layout=name, strict_actions=flag) for flag in (False, True))
    tolerant.reset(seed=0)
    observations, *_ = tolerant.step({"red_0": action})
    assert all(
        np.isfinite(np.hstack(list(o.values()) if isinstance(o, dict) else o)).all() for o in observations.values()
    )
    strict.reset(seed=0)
    with pytest.raises(ValueError, match=f"the action of red_0 {message}"):
        strict.step({"red_0": action})
    strict.step({"red_0": strict.action_space("red_0").sample(), "blue_0": strict.action_space("blue_0").sample()})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"action_layout": "Dict"}, "unknown value of action_layout: 'Dict'. Did you mean 'dict'?"),
        ({"action_layout": "box"}, "Allowed: dict, multidiscrete, flat"),
        ({"action_layuot": "flat"}, "unknown option of the dogfight: 'action_layuot'. Did you mean 'action_layout'?"),
        ({"params_bins": 3}, "contradicts action_layout = 'dict'"),
        ({"action_layout": "flat", "params_bins": 0}, "params_bins = 0 is out of range"),
        ({"action_layout": "flat", "params_bins": 2.5}, "params_bins = 2.5 is not a whole number"),
        ({"observe_masks": "yes"}, "observe_masks = 'yes'"),
        ({"strict_actions": 1}, "strict_actions = 1"),
        ({"max_cycles": 2.5}, "max_cycles = 2.5 is not a whole number"),
        ({"render_mode": "rgb"}, "unknown render_mode: 'rgb'. Did you mean 'rgb_array'?"),
    ],
    ids=str,
)
def test_wrong_options_are_told(options, message):
    with pytest.raises(OptionError, match=re.escape(message)):
        dogfight_v0.parallel_env(**options)
