"""Whatever is handed to ``step``: one clear message, or the documented tolerant behaviour; never a broken state."""

import math

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
