"""Whatever is handed to ``step``: one clear message, or the documented tolerant behaviour; never a broken state."""

import math
import re

import numpy as np
import pytest
import torch
from headctl_envs import dogfight_v0
from headctl_envs.dogfight.config import DogfightConfig
from headctl_envs.dogfight.engine import DogfightEngine
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.dogfights import actions

ODD_NUMBERS = st.one_of(
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=True, allow_infinity=True, width=32),
    st.sampled_from([True, None, "gun", b"", [], [1, 2], {}, 1 + 2j]),
)
ODD_PARAMS = st.one_of(
    st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=5),
    st.sampled_from([None, "abc", 3.0, [[0.0, 0.0, 0.0]], ["a", "b", "c"], np.zeros((3, 3)), np.zeros(3, complex)]),
)
ENV = dogfight_v0.parallel_env(team_size=2, time_limit_s=20.0)
_FACES = {layout: dogfight_v0.parallel_env(action_layout=layout) for layout in ("dict", "multidiscrete", "flat")}
_ENGINE = DogfightEngine(DogfightConfig(), num_games=2)


@given(maneuver=ODD_NUMBERS, weapon=ODD_NUMBERS, params=ODD_PARAMS, missing=st.sampled_from([None, "weapon", "params"]))
@settings(max_examples=150, deadline=None)
def test_the_face_tells_or_tolerates_any_action_and_never_breaks(maneuver, weapon, params, missing):
    ENV.reset(seed=1)
    before = {name: tensor.clone() for name, tensor in ENV.engine.state.items()}
    action = {"maneuver": maneuver, "weapon": weapon, "params": params}
    action.pop(missing, None)
    message = None
    try:
        observations, rewards, *_ = ENV.step({"red_0": action})
    except ValueError as error:
        message = str(error)
    if message is not None:
        assert "red_0" in message
        assert "\n" not in message
        # A refused action is not half flown.
        assert all(torch.equal(tensor, before[name]) for name, tensor in ENV.engine.state.items())
        return
    for seen in observations.values():
        assert np.isfinite(seen["observation"]).all()
    assert all(math.isfinite(reward) for reward in rewards.values())


@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    head=st.sampled_from(["maneuver", "weapon", "params"]),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool]),
    fill=st.sampled_from([0, 1, -1, 255, 2**40, math.nan, math.inf, -math.inf]),
)
@settings(max_examples=150, deadline=None)
def test_the_engine_refuses_wrong_shapes_and_kinds_and_survives_all_values(shape, head, dtype, fill):
    engine = _ENGINE
    engine.reset(seed=1)
    chosen = actions(engine)
    right = tuple(chosen[head].shape)
    whole = not dtype.is_floating_point
    value = 0 if whole and not math.isfinite(fill) else fill
    low, high = (0, 1) if dtype == torch.bool else (torch.iinfo(dtype).min, torch.iinfo(dtype).max) if whole else (0, 0)
    chosen[head] = torch.full(tuple(shape), min(max(int(value), low), high) if whole else value, dtype=dtype)
    clock = engine.state["clock"].clone()
    if tuple(shape) != right or (head != "params" and dtype.is_floating_point):
        with pytest.raises(ValueError, match=head):
            engine.step(chosen)
        assert torch.equal(engine.state["clock"], clock)
        return
    step = engine.step(chosen)
    assert torch.isfinite(step.observation).all()
    assert torch.isfinite(step.reward).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_games": 0}, "num_games = 0 is out of range; allowed: a whole number from 1 to"),
        ({"num_games": 2.5}, "num_games = 2.5 is not a whole number; allowed: a whole number from 1 to"),
        ({"num_games": "3"}, "num_games = '3' is not a whole number"),
        ({"num_games": True}, "num_games = True is not a whole number"),
        ({"seed": "x"}, "seed = 'x' is not a whole number; allowed: any whole number"),
        ({"seed": None}, "seed = None is not a whole number"),
        ({"game_offset": -1}, "game_offset = -1 is out of range"),
        ({"game_offset": 2**31 - 1}, "game_offset = 2147483647 is out of range"),
        ({"max_decisions": 0}, "max_decisions = 0 is out of range"),
        ({"max_decisions": 1.0}, "max_decisions = 1.0 is not a whole number"),
        ({"device": "gpu"}, "device = 'gpu' is unknown; allowed: 'cpu', 'cuda'"),
        ({"device": "meta"}, "device = 'meta' cannot run the dogfight"),
        ({"device": 0}, "device = 0 is no device"),
        ({"device": "cuda:99"}, "device = 'cuda:99': torch sees"),
    ],
    ids=str,
)
def test_wrong_arguments_of_the_engine_get_one_clear_line(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        DogfightEngine(**arguments)
    assert "\n" not in str(caught.value)


def test_what_is_no_configuration_no_mapping_and_no_share_is_told():
    with pytest.raises(TypeError, match=r"config = \{'team_size': 2\} is no DogfightConfig; "):
        DogfightEngine({"team_size": 2})
    engine = DogfightEngine(num_games=2)
    engine.reset(seed=np.int64(1))
    good = actions(engine)
    for wrong in (None, [1], "maneuver", torch.zeros(2, 2)):
        with pytest.raises(TypeError, match="is no mapping from heads to tensors"):
            engine.step(wrong)
    for value, kind in (([[0, 0], [0, 0]], "list"), (np.zeros((2, 2), int), "ndarray"), (3, "int")):
        with pytest.raises(ValueError, match=rf"actions\['weapon'\] is of type {kind}, needed a torch tensor \[2, 2\]"):
            engine.step({**good, "weapon": value})
    with pytest.raises(ValueError, match=r"actions\['params'\] is torch.complex64, needed real numbers"):
        engine.step({**good, "params": torch.zeros(2, 2, 3, dtype=torch.complex64)})
    for progress in (math.nan, math.inf, "much", None):
        with pytest.raises(ValueError, match=f"progress = {progress!r} is not a number"):
            engine.set_progress(progress)
    with pytest.raises(ValueError, match=r"seed = 1\.5 is not a whole number"):
        engine.reset(seed=1.5)
    for name in (None, 3):
        with pytest.raises(ValueError, match=f"unknown pilot: {name}. Allowed: straight"):
            engine.pilot_actions(name)
    state = engine.state_dict()
    for wrong in ({}, {"version": 3}, {**state, "tensors": {}}):
        with pytest.raises(ValueError, match="state"):
            engine.load_state_dict(wrong)
    assert torch.isfinite(engine.step(good).reward).all()


ODD_ACTIONS = [
    *(math.nan, "x", b"1", [], {}, (1, 2), object(), np.float32(1), 1e30, True, np.bool_(1)),
    *(
        np.array([math.nan]),
        np.array([]),
        np.array("a"),
        np.array([1], object),
        np.zeros((5, 1), int),
        np.zeros(6, int),
    ),
    *([0, 0, 0, 0, math.nan], [0, 0, 0, 0, 2**70], torch.zeros(3, requires_grad=True)),
    *({"maneuver": 0}, {"Maneuver": 0, "weapon": 0, "params": [0, 0, 0]}),
]


@pytest.mark.parametrize(
    "action", ODD_ACTIONS, ids=[f"{index}-{type(each).__name__}" for index, each in enumerate(ODD_ACTIONS)]
)
@pytest.mark.parametrize("layout", list(_FACES))
def test_actions_of_no_layout_are_refused_in_all_of_them(layout, action):
    env = _FACES[layout]
    env.reset(seed=1)
    before = {name: tensor.clone() for name, tensor in env.engine.state.items()}
    with pytest.raises(ValueError, match="the action of blue_0") as caught:
        env.step({"red_0": env.action_space("red_0").sample(), "blue_0": action})
    assert "\n" not in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in env.engine.state.items())
    observations, *_ = env.step({"green_0": action, "red_9": action, 3: action})  # nobody's: ignored
    assert set(observations) == {"red_0", "blue_0"}


@given(calls=st.integers(1, 3), action=ODD_NUMBERS.filter(lambda value: value is not None))
@settings(max_examples=12, deadline=None)
def test_actions_after_the_end_are_told_until_the_next_reset_and_empty_steps_are_empty(calls, action):
    env = dogfight_v0.parallel_env(max_cycles=1)
    env.reset(seed=0)
    env.step({})
    assert env.agents == []
    for _ in range(calls):
        with pytest.raises(RuntimeError, match="reset"):
            env.step({"red_0": action})
        assert env.step({}) == ({}, {}, {}, {}, {})
        with pytest.raises(TypeError, match="no mapping"):
            env.step(None)
    observations, _ = env.reset(seed=0)
    assert all(np.isfinite(seen["observation"]).all() for seen in observations.values())
