"""All heads in one pass: the same numbers, gradients and draws as head by head."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from headctl.policy.actions import ActionHeads, describe_space, resolve_heads

BOX = spaces.Box(-1, 1, (2,), np.float32)
KINDS = {
    "choice": spaces.Discrete(5),
    "dials": spaces.MultiDiscrete([3, 1, 4]),
    "switches": spaces.MultiBinary(3),
    "steer": BOX,
    "weapon": spaces.Discrete(3),
}
MASK_SIZES = {"choice": 5, "dials": 8, "switches": 3, "weapon": 3}


def heads_of(names, floors=(), waiting=()):
    space = spaces.Dict({name: KINDS[name] for name in names})
    wishes = {name: {} for name in names}
    for name in floors:
        wishes[name]["probability_floor"] = 0.1
    for name in waiting:
        wishes[name]["active_when"] = {"weapon": [1, 2]}
    return ActionHeads(resolve_heads(describe_space(space), wishes), space)


@st.composite
def situations(draw):
    """A mix of heads, masks that leave anything legal from nothing to all, outputs and actions."""
    names = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, unique=True))
    discrete = [name for name in names if name in MASK_SIZES]
    floors = draw(st.lists(st.sampled_from(discrete), unique=True)) if discrete else []
    others = [name for name in names if name != "weapon"]
    waiting = draw(st.lists(st.sampled_from(others), unique=True)) if "weapon" in names and others else []
    masked = draw(st.lists(st.sampled_from(discrete), unique=True)) if discrete else []
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    share = draw(st.sampled_from([0.0, 0.3, 0.7, 1.0]))
    scale = draw(st.sampled_from([0.01, 1.0, 5.0]))
    shape = draw(st.sampled_from([(1,), (17,), (2, 3)]))
    heads = heads_of(names, floors, waiting)
    params = scale * torch.randn(*shape, heads.num_params, generator=generator)
    masks = {name: torch.rand(*shape, MASK_SIZES[name], generator=generator) < share for name in masked}
    actions, _ = heads.act(params, masks, generator)
    return heads, params, masks, actions, generator


def outcome(evaluate, params, actions, masks, pulls):
    """Returns the evaluation, and the gradient of its log-probabilities and entropies pulled at by ``pulls``."""
    leaf = params.clone().requires_grad_()
    said = evaluate(leaf, actions, masks)
    (said.log_prob * pulls[0] + said.entropy * pulls[1]).sum().backward()
    return said, leaf.grad


@settings(max_examples=150, deadline=None)
@given(situations())
def test_values_and_gradients_are_those_of_autograd_head_by_head(situation):
    heads, params, masks, actions, generator = situation
    assert heads.fused is not None
    pulls = torch.randn(2, *params.shape[:-1], len(heads.names), generator=generator)
    fused, slope = outcome(heads.evaluate, params, actions, masks, pulls)
    apart, expected = outcome(heads.evaluate_apart, params, actions, masks, pulls)
    for ours, theirs in zip(fused, apart, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(slope, expected, rtol=1e-5, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(situations())
def test_what_was_drawn_is_evaluated_to_the_same_bits(situation):
    heads, params, masks, _, generator = situation
    actions, drawn = heads.act(params, masks, generator)
    for again in (
        heads.evaluate(params, actions, masks),
        heads.evaluate(params.clone().requires_grad_(), actions, masks),
    ):
        for ours, theirs in zip(drawn, again, strict=True):
            assert torch.equal(ours, theirs.detach())


def test_draws_have_the_probabilities_that_are_told():
    heads = heads_of(["choice", "dials", "switches"], floors=["dials"])
    rows = 40_000
    generator = torch.Generator().manual_seed(0)
    params = torch.randn(1, heads.num_params, generator=generator).expand(rows, -1)
    legal = torch.tensor([True, False, True, True, False])
    bits = torch.tensor([True, True, False])
    masks = {"choice": legal.expand(rows, -1), "switches": bits.expand(rows, -1)}
    actions, _ = heads.act(params, masks, generator)

    def expected(name, value):
        given = {key: torch.zeros_like(action[:1]) for key, action in actions.items()}
        given[name] = value
        said = heads.evaluate(params[:1], given, {key: mask[:1] for key, mask in masks.items()})
        return said.log_prob[0, heads.names.index(name)].exp().item()

    for k in range(5):
        share = (actions["choice"] == k).float().mean().item()
        chance = expected("choice", torch.tensor([k])) if legal[k] else 0.0
        assert share == pytest.approx(chance, abs=5 * math.sqrt(0.25 / rows)), k
    for value in ([0, 0, 0], [2, 0, 1], [1, 0, 3]):
        share = (actions["dials"] == torch.tensor(value)).all(-1).float().mean().item()
        assert share == pytest.approx(expected("dials", torch.tensor([value])), abs=0.012)
    for value in ([0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, 1]):
        share = (actions["switches"] == torch.tensor(value)).all(-1).float().mean().item()
        chance = expected("switches", torch.tensor([value])) if value[2] == 0 else 0.0
        assert share == pytest.approx(chance, abs=0.012)


def test_a_choice_without_probability_is_never_drawn_and_a_sure_one_always():
    heads = heads_of(["choice"])
    params = torch.tensor([[-3e38, 0.0, -200.0, 3e38, 3e38]]).expand(5000, -1)
    masks = {"choice": torch.tensor([[True, True, True, True, False]]).expand(5000, -1)}
    actions, told = heads.act(params, masks, torch.Generator().manual_seed(1))
    assert (actions["choice"] == 3).all()
    assert (told.log_prob == 0.0).all()


def test_broken_outputs_give_actions_that_exist_and_numbers_that_tell():
    heads = heads_of(sorted(KINDS))
    params = torch.full((4, heads.num_params), math.nan)
    actions, told = heads.act(params, {}, torch.Generator().manual_seed(1))
    assert told.log_prob.isnan().all()
    assert ((actions["choice"] >= 0) & (actions["choice"] < 5)).all()
    assert ((actions["switches"] == 0) | (actions["switches"] == 1)).all()


def test_draws_follow_the_given_stream_and_leave_the_global_one_alone():
    heads = heads_of(sorted(KINDS))
    params = torch.randn(64, heads.num_params)
    before = torch.get_rng_state()
    one, two = (heads.act(params, {}, torch.Generator().manual_seed(3))[0] for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_other_kinds_go_head_by_head():
    space = spaces.Dict({"aim": BOX, "weapon": spaces.Discrete(3)})
    heads = ActionHeads(resolve_heads(describe_space(space), {"aim": {"kind": "beta"}}), space)
    assert heads.fused is None
    params = torch.randn(8, heads.num_params)
    actions, told = heads.act(params, {}, torch.Generator().manual_seed(3))
    torch.testing.assert_close(told, heads.evaluate_apart(params, actions, {}))
