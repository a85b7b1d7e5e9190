"""The critic in units of its returns: moments by hand, and outputs that stay while the units move."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from headctl.policy.actions import ActionHeads, describe_space, resolve_heads
from headctl.policy.network import Policy
from headctl.policy.scaled_critic import CRITIC_UNITS, ScaledCritic
from headctl.selfplay.league import OpponentStack, Snapshot, check_same_scheme

SPACE = spaces.Dict({"act": spaces.Discrete(3), "aim": spaces.Box(-1, 1, (2,), np.float32)})


def critic(features=4, seed=0):
    layer = ScaledCritic(features)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(1, features, generator=torch.Generator().manual_seed(seed)))
        layer.bias.fill_(0.3)
    return layer


def policy(*, normalize_values, seed=0):
    heads = ActionHeads(resolve_heads(describe_space(SPACE), {}), SPACE)
    generator = torch.Generator().manual_seed(seed)
    return Policy(5, heads, hidden=(6,), normalize_values=normalize_values, generator=generator)


def test_moments_and_units_by_hand():
    layer = critic()
    weight, bias = layer.weight.clone(), layer.bias.clone()
    # Three living rows: mean 4, mean square (1 + 9 + 64) / 3, the fourth row is dead.
    layer.rescale(torch.tensor([[1.0, 3.0], [8.0, 1e9]]), torch.tensor([[1.0, 1.0], [1.0, 0.0]]))
    deviation = (74 / 3 - 16) ** 0.5
    assert layer.moments.tolist() == pytest.approx([4.0, 74 / 3, 1.0])
    assert layer.scale.tolist() == pytest.approx([deviation, 4.0])
    # The first units replace none.
    assert torch.equal(layer.weight, weight)
    assert torch.equal(layer.bias, bias)
    # The second rollout counts as much as the first, the 101st a twentieth.
    layer.rescale(torch.full((1, 3), 10.0), torch.ones(1, 3))
    square = 0.5 * (74 / 3 + 100)
    assert layer.moments[:2].tolist() == pytest.approx([7.0, square])
    following = (square - 49) ** 0.5
    assert layer.scale.tolist() == pytest.approx([following, 7.0])
    torch.testing.assert_close(layer.weight, weight * deviation / following)
    torch.testing.assert_close(layer.bias, (deviation * bias + 4.0 - 7.0) / following)
    layer.moments[2] = 100.0
    layer.rescale(torch.full((1, 3), 0.0), torch.ones(1, 3))
    assert layer.moments[0].item() == pytest.approx(0.95 * 7.0)


def test_nobody_alive_changes_nothing():
    layer = critic()
    for moved in (False, True):
        before = {name: entry.clone() for name, entry in layer.state_dict().items()}
        layer.rescale(torch.full((2, 2), 7.0), torch.zeros(2, 2))
        for name, entry in layer.state_dict().items():
            torch.testing.assert_close(entry, before[name])
        if not moved:
            layer.rescale(torch.tensor([[1.0, 2.0]]), torch.ones(1, 2))


@given(
    scale=st.floats(1e-3, 1e5),
    shift=st.floats(-1e3, 1e3),
    seed=st.integers(0, 1000),
)
@settings(deadline=None, max_examples=40)
def test_what_it_hands_out_stays_while_the_units_move(scale, shift, seed):
    layer = critic(seed=seed)
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(16, 4, generator=generator)
    layer.rescale(torch.randn(8, 8, generator=generator), torch.ones(8, 8))
    for _ in range(3):
        before = layer(features)
        layer.rescale(scale * torch.randn(8, 8, generator=generator) + shift, torch.ones(8, 8))
        size = float(layer.scale.abs().max() + before.detach().abs().max())
        torch.testing.assert_close(layer(features), before, atol=1e-5 * size, rtol=1e-4)


def test_returns_that_are_all_the_same_are_divided_by_no_zero():
    layer = critic()
    layer.rescale(torch.full((4, 4), 5.0), torch.ones(4, 4))
    assert layer.scale.tolist() == pytest.approx([1e-4, 5.0])
    assert bool(torch.isfinite(layer(torch.ones(2, 4))).all())


def test_the_gradient_is_that_of_a_loss_in_the_units_of_the_critic():
    layer = critic()
    layer.rescale(100.0 * torch.randn(8, 8, generator=torch.Generator().manual_seed(1)) + 30.0, torch.ones(8, 8))
    features, target = torch.randn(6, 4), 100.0 * torch.randn(6)
    loss = 0.5 * (layer(features).squeeze(-1) - target).square().mean() * layer.loss_factor
    (mine,) = torch.autograd.grad(loss, layer.weight)
    deviation, mean = layer.scale
    plain = torch.nn.functional.linear(features, layer.weight, layer.bias).squeeze(-1)
    inside = 0.5 * (plain - (target - mean) / deviation).square().mean()
    (expected,) = torch.autograd.grad(inside, layer.weight)
    torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-5)


def test_snapshots_of_both_kinds_play_each_other():
    with_units, without = policy(normalize_values=True), policy(normalize_values=False)
    assert set(CRITIC_UNITS) == with_units.state_dict().keys() - without.state_dict().keys()
    assert not set(CRITIC_UNITS) & Snapshot.of(with_units, 0).state.keys()
    for mine, theirs in ((with_units, without), (without, with_units)):
        snapshot = Snapshot.of(theirs, 0)
        check_same_scheme(snapshot, mine)
        stack = OpponentStack(mine, 2)
        stack.load(1, snapshot)
        seen = torch.randn(2, 3, 5)
        params, _ = theirs(seen[1])
        torch.testing.assert_close(stack._outputs(seen)[1], params)
