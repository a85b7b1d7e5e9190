"""Numbers for some rows are those that the rows get where all are drawn together."""

import pytest
import torch

from headctl.policy.actions import ActionHeads, resolve_heads
from headctl.policy.draws import SharedDraws, fill_normal, fill_uniform, whole

ROWS, COLUMNS, STEPS = 23, 3, 5


@pytest.mark.parametrize("fill", [fill_uniform, fill_normal])
def test_shares_are_parts_of_the_whole(fill):
    generator = torch.Generator().manual_seed(7)
    everything = fill(torch.empty(STEPS * ROWS, COLUMNS), generator, STEPS).view(STEPS, ROWS, COLUMNS)
    for rows in (torch.arange(9), torch.arange(9, ROWS), torch.tensor([3, 20]), torch.arange(0)):
        share = SharedDraws(torch.Generator().manual_seed(7), rows, ROWS)
        own = fill(torch.empty(STEPS * len(rows), COLUMNS), share, STEPS)
        assert torch.equal(own.view(STEPS, len(rows), COLUMNS), everything[:, rows])
        # The streams are in step afterwards, also where nobody had a row.
        assert torch.equal(share.generator.get_state(), generator.get_state())


@pytest.mark.parametrize("fill", [fill_uniform, fill_normal])
def test_a_generator_fills_as_torch_does(fill):
    numbers = fill(torch.empty(ROWS, COLUMNS), torch.Generator().manual_seed(7))
    plain = torch.empty(ROWS, COLUMNS)
    generator = torch.Generator().manual_seed(7)
    expected = plain.uniform_(generator=generator) if fill is fill_uniform else plain.normal_(generator=generator)
    assert torch.equal(numbers, expected)


def heads(params):
    known = {"maneuver": {"kind": "categorical", "choices": 5}, "params": {"kind": "gaussian", "dims": 2}}
    return ActionHeads(resolve_heads(known, {"params": params}))


def test_actions_of_a_share_are_those_of_the_whole():
    both = heads({})
    outputs = torch.randn(ROWS, both.num_params, generator=torch.Generator().manual_seed(1))
    everything = both.sample(outputs, {}, torch.Generator().manual_seed(2))
    for rows in (torch.arange(9), torch.arange(9, ROWS), torch.arange(0)):
        own = both.sample(outputs[rows], {}, SharedDraws(torch.Generator().manual_seed(2), rows, ROWS))
        assert torch.equal(own["maneuver"], everything["maneuver"][rows])
        assert torch.equal(own["params"], everything["params"][rows])


def test_heads_that_draw_as_many_numbers_as_they_like_are_refused():
    beta = heads({"kind": "beta"})
    share = SharedDraws(torch.Generator(), torch.arange(2), ROWS)
    with pytest.raises(TypeError, match="cannot be drawn in shares"):
        beta.sample(torch.zeros(2, beta.num_params), {}, share)
    assert whole(share.generator) is share.generator
