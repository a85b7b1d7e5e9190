"""Action spaces to named heads and back."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from headctl.entropy.spec import HeadSpecError
from headctl.policy.actions import ActionHeads, describe_space, resolve_heads


def box(low=-1.0, high=1.0, dims=3, dtype=np.float32):
    return spaces.Box(low, high, (dims,), dtype)


DOGFIGHT = spaces.Dict({"weapon": spaces.Discrete(4), "maneuver": spaces.Discrete(9), "params": box()})


def heads_of(space, **heads):
    return ActionHeads(resolve_heads(describe_space(space), heads), space)


def test_heads_go_by_name_whatever_order_the_space_has():
    # Gymnasium sorts the keys of a Dict space that was made from a plain dict.
    heads = heads_of(DOGFIGHT, weapon=0.2)
    sizes = {head.name: head.num_params for head in heads.heads}
    assert heads.names == tuple(DOGFIGHT.spaces)
    assert sizes == {"maneuver": 9, "weapon": 4, "params": 6}
    assert heads.num_params == 19
    # All probability on one choice of each head, put at the head's own columns.
    params = torch.full((2, 19), -100.0)
    start = 0
    for name in heads.names:
        if name == "params":
            params[:, start : start + 3] = 0.25
        else:
            params[:, start + {"maneuver": 7, "weapon": 2}[name]] = 100.0
        start += sizes[name]
    drawn = heads.sample(params, {}, torch.Generator().manual_seed(0))
    assert drawn["maneuver"].tolist() == [7, 7]
    assert drawn["weapon"].tolist() == [2, 2]
    assert heads.mode(params, {})["params"].tolist() == [[0.25] * 3] * 2


def test_masks_and_columns_of_the_evaluation_go_by_name():
    heads = heads_of(DOGFIGHT)
    column = {name: index for index, name in enumerate(heads.names)}
    actions = {
        "params": torch.zeros(1, 3),
        "weapon": torch.tensor([0]),
        "maneuver": torch.tensor([3]),
    }
    masks = {"weapon": torch.tensor([[True, False, False, True]])}
    said = heads.evaluate(torch.zeros(1, 19), actions, masks)
    assert said.log_prob.shape == (1, 3)
    assert said.log_prob[0, column["weapon"]].item() == pytest.approx(-np.log(2))
    assert said.log_prob[0, column["maneuver"]].item() == pytest.approx(-np.log(9))
    assert said.capacity[0, column["weapon"]].item() == pytest.approx(np.log(2))
    assert said.capacity[0, column["maneuver"]].item() == pytest.approx(np.log(9))


def test_a_space_that_is_no_dict_is_one_head():
    assert describe_space(spaces.Discrete(5)) == {"action": {"kind": "categorical", "choices": 5}}
    assert describe_space(box(dims=2)) == {"action": {"kind": "gaussian", "dims": 2}}
    assert describe_space(spaces.MultiDiscrete([3, 2])) == {"action": {"kind": "multidiscrete", "choices": [3, 2]}}
    assert describe_space(spaces.MultiBinary(4)) == {"action": {"kind": "bernoulli", "dims": 4}}


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (spaces.Discrete(3, start=1), ["'action'", "starts at 0", "start 1"]),
        (spaces.Dict({"aim": spaces.Box(-np.inf, np.inf, (2,))}), ["'aim'", "finite bounds"]),
        (spaces.Dict({"aim": spaces.Box(-1, 1, (2, 2))}), ["'aim'", "one axis"]),
        (spaces.Dict({"aim": spaces.Box(0, 9, (2,), np.int32)}), ["'aim'", "floating-point"]),
        (spaces.Dict({"aim": spaces.Box(-1, 1, (0,))}), ["'aim'", "one axis"]),
        (spaces.MultiDiscrete([[3, 4], [2, 2]]), ["'action'", "MultiDiscrete", "one axis"]),
        (spaces.MultiDiscrete([3, 4], start=[0, 1]), ["'action'", "starts at 0", "start [0 1]"]),
        (spaces.Dict({"bits": spaces.MultiBinary((2, 3))}), ["'bits'", "MultiBinary", "one axis"]),
        (spaces.Tuple([spaces.Discrete(3)]), ["'action'", "Tuple"]),
        (spaces.Dict({"deep": spaces.Dict({"a": spaces.Discrete(2)})}), ["'deep'", "Dict"]),
        (spaces.Dict({}), ["no heads"]),
    ],
)
def test_spaces_that_no_head_can_fill_are_refused_by_name(space, words):
    with pytest.raises(ValueError, match="action space") as error:
        describe_space(space)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_heads_that_the_game_lacks_are_refused_with_the_likely_intent():
    with pytest.raises(HeadSpecError, match=r"heads\.weapn: unknown head of this game: 'weapn'.*Did you mean 'weapon'"):
        resolve_heads(describe_space(DOGFIGHT), {"weapn": 0.3})
    with pytest.raises(HeadSpecError, match=r"heads\.weapon\.choices: the action space says 4.*says 5"):
        resolve_heads(describe_space(DOGFIGHT), {"weapon": {"target": 0.3, "choices": 5}})


def test_heads_that_are_not_named_get_the_defaults_in_the_games_order():
    specs = resolve_heads(describe_space(DOGFIGHT), {"weapon": 0.3})
    assert list(specs) == list(DOGFIGHT.spaces)
    assert specs["weapon"].target is not None
    assert specs["weapon"].target.range() == (0.3, 0.3)
    assert specs["maneuver"].choices == 9
    assert specs["params"].dims == 3


def test_continuous_actions_are_clipped_and_scaled_to_the_box():
    space = spaces.Dict({"aim": spaces.Box(np.array([0.0, -10.0], np.float32), np.array([1.0, 30.0], np.float32))})
    heads = heads_of(space)
    scaled = heads.to_game({"aim": torch.tensor([[-1.0, -1.0], [0.0, 0.5], [7.0, -7.0]])})["aim"]
    assert scaled.tolist() == [[0.0, -10.0], [0.5, 20.0], [1.0, -10.0]]
    assert heads_of(DOGFIGHT).to_game(
        {"params": torch.tensor([[2.0, -3.0, 0.5]]), "weapon": torch.tensor([1]), "maneuver": torch.tensor([2])}
    )["params"].tolist() == [[1.0, -1.0, 0.5]]


FLOATS = st.floats(-(2.0**127), 2.0**127, width=32)


@given(pair=st.tuples(FLOATS, FLOATS).filter(lambda pair: pair[0] != pair[1]), share=st.floats(-1.5, 1.5, width=32))
@settings(deadline=None, max_examples=200)
def test_scaled_actions_never_leave_the_box(pair, share):
    space = spaces.Dict({"aim": spaces.Box(min(pair), max(pair), (1,), np.float32)})
    heads = heads_of(space)
    for action in (share, -1.0, 1.0):
        scaled = heads.to_game({"aim": torch.tensor([action])})["aim"].numpy()
        assert space["aim"].contains(scaled)


def test_to_game_leaves_what_was_drawn_alone():
    space = spaces.Dict({"aim": box(0.0, 2.0, 1), "weapon": spaces.Discrete(3)})
    drawn = {"aim": torch.tensor([[1.5]]), "weapon": torch.tensor([2])}
    heads_of(space).to_game(drawn)
    assert drawn["aim"].tolist() == [[1.5]]


def test_storage_for_actions_has_shape_and_dtype_of_every_head():
    empty = heads_of(DOGFIGHT).empty(5, 2, device=torch.device("cpu"))
    assert {name: (tuple(t.shape), t.dtype) for name, t in empty.items()} == {
        "maneuver": ((5, 2), torch.int64),
        "weapon": ((5, 2), torch.int64),
        "params": ((5, 2, 3), torch.float32),
    }
