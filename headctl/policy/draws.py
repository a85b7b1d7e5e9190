"""Random numbers for some rows of a batch whose other rows are drawn for elsewhere.

A generator gives row after row. Where several processes share a batch, each draws the numbers of all rows and takes
those of its own: what a row gets then does not depend on who else is there, and all streams stay in step.

Shapes: B rows of one's own, W rows in all, C numbers per row.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class SharedDraws(NamedTuple):
    """A stream that is drawn from for more rows than one's own."""

    generator: torch.Generator
    rows: Tensor
    """int64 ``[B]``: which of all rows are one's own."""
    total: int
    """W."""


Draws = torch.Generator | SharedDraws
"""A random stream: for all rows of a batch, or for some of them."""


def fill_uniform(numbers: Tensor, draws: Draws | None, steps: int = 1) -> Tensor:
    """Fills ``[steps * B, C]`` with numbers uniform in [0, 1), step after step, and returns it."""
    if not isinstance(draws, SharedDraws):
        return numbers.uniform_(generator=draws)
    return _taken(numbers, _room(numbers, draws, steps).uniform_(generator=draws.generator), draws)


def fill_normal(numbers: Tensor, draws: Draws | None, steps: int = 1) -> Tensor:
    """Fills ``[steps * B, C]`` with standard normal numbers, step after step, and returns it."""
    if not isinstance(draws, SharedDraws):
        return numbers.normal_(generator=draws)
    return _taken(numbers, _room(numbers, draws, steps).normal_(generator=draws.generator), draws)


def whole(draws: Draws | None) -> torch.Generator | None:
    """Returns the generator where it is for all rows.

    Raises:
        TypeError: It is for some of them, and somebody asks who does not know how many numbers a row takes.
    """
    if isinstance(draws, SharedDraws):
        raise TypeError("heads: of these kinds not all are fused, and rows of such policies cannot be drawn in shares")
    return draws


def _room(numbers: Tensor, draws: SharedDraws, steps: int) -> Tensor:
    return numbers.new_empty(steps, draws.total, numbers.shape[-1])


def _taken(numbers: Tensor, drawn: Tensor, draws: SharedDraws) -> Tensor:
    return numbers.copy_(drawn.index_select(1, draws.rows).flatten(0, 1))
