"""Activations in place: to the bit what torch makes of them, and the gradients of autograd."""

import pytest
import torch
from torch import nn

from headctl.policy.activations import Tanh
from headctl.policy.fused import Recorded
from headctl.ppo.activation_kernels import KINDS, activate_rows, slope_of_rows


def numbers(*shape, seed=0):
    values = 3.0 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    values.view(-1)[:4] = torch.tensor([0.0, -0.0, 40.0, -400.0])
    return values


@pytest.mark.parametrize("module", [Tanh(), nn.ReLU()], ids=lambda module: type(module).__name__)
@pytest.mark.parametrize("width", [1, 7, 8, 128])
def test_rows_between_start_and_stop_get_bias_and_activation(module, width):
    values, bias = numbers(11, width), numbers(width, seed=1) if width > 4 else torch.full((width,), 0.3)
    before = values.clone()
    Recorded(activate_rows, [0, 0, KINDS[type(module)], bias, values])(2, 9)
    assert torch.equal(values[2:9], module(before[2:9] + bias))
    assert torch.equal(values[:2], before[:2])
    assert torch.equal(values[9:], before[9:])


@pytest.mark.parametrize("kind", KINDS.values())
def test_a_broken_number_stays_one(kind):
    values = torch.full((3, 9), torch.nan)
    Recorded(activate_rows, [0, 0, kind, torch.zeros(9), values])(0, 3)
    assert values.isnan().all()


@pytest.mark.parametrize("module", [Tanh(), nn.ReLU()], ids=lambda module: type(module).__name__)
def test_the_way_back_is_that_of_autograd_and_the_bias_gets_its_sum(module):
    sums, came = numbers(20, 7).requires_grad_(), torch.randn(5, 7, generator=torch.Generator().manual_seed(2))
    results = module(sums)
    (expected,) = torch.autograd.grad(results[10:15], sums, came)
    slopes, of_bias = came.clone(), torch.full((3, 7), torch.nan)
    Recorded(slope_of_rows, [0, 0, 0, KINDS[type(module)], results.detach(), slopes, of_bias])(10, 15, 1)
    torch.testing.assert_close(slopes, expected[10:15], rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(of_bias[1], expected.sum(0), rtol=1e-5, atol=1e-6)
    assert of_bias[[0, 2]].isnan().all()
