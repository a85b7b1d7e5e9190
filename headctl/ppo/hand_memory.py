"""What a minibatch is worked on in, for :mod:`headctl.ppo.by_hand`: all of its memory, and the kernels' view of it.

Shapes: B rows of a minibatch, F features, W widths, H heads, P outputs for the heads, N parameters, I pieces.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, NamedTuple

import torch
import warp as wp
from torch import Tensor

from headctl.policy.blocks import ROWS
from headctl.policy.fused import Recorded
from headctl.ppo.activation_kernels import activate_rows, slope_of_rows
from headctl.ppo.row_kernels import SUMS, Work

GROUP = 64
"""Rows per thread of the kernel: sums of floats stay exact enough, and come out the same in whatever order."""


class Layer(NamedTuple):
    """One layer of the network."""

    weight: Tensor
    """``[W, F]``."""
    bias: Tensor
    kind: int
    """Of its activation, one of ``activation_kernels.KINDS``; -1: it has none."""

    @property
    def turned(self) -> bool:
        """Whether the gradient of the weights is made as ``[F, W]``.

        With fewer inputs than outputs, though not with one, MKL takes two thirds of the time for the product that way
        round.
        """
        return 1 < self.weight.shape[1] < self.weight.shape[0]


class Slot(NamedTuple):
    """Where the pieces leave the gradient of a layer."""

    weight: Tensor
    """``[I, W, F]``, or turned ``[I, F, W]``."""
    bias: Tensor
    """``[I, W]``."""


class Piece(NamedTuple):
    """Some rows of a minibatch, M of them, as views of its memory: to make one anew takes as long as to read it."""

    start: int
    stop: int
    chosen: Tensor
    """Which rows of the rollout ``[M]``."""
    layers: list[Tensor]
    """Input and results of the hidden layers, ``[M, F]`` and ``[M, W]``."""
    turned: list[Tensor]
    """The same as columns, ``[F, M]`` and ``[W, M]``."""
    outputs: Tensor
    """``[P + 1, M]``."""
    slopes: Tensor
    """The same as rows ``[M, P + 1]``: what the outputs become on the way back."""
    weights: list[Tensor]
    """Per layer, where its gradient goes."""
    ends: Tensor
    """Likewise that of the bias of the last one."""
    back: list[list[Tensor]]
    """Per lane and hidden layer, room for the gradients ``[M, W]``."""


@dataclass(slots=True)
class Memory:
    """Memory for up to so many rows, in up to so many pieces."""

    rows: int
    pieces: int
    layers: list[Tensor]
    """Input ``[B, F]`` and results of the hidden layers ``[B, W]``."""
    back: list[list[Tensor]]
    """Per lane, room for the gradients of a piece at each of them, but the input."""
    gradients: Tensor
    """One per piece, with the parameters as :func:`cut` wants them ``[I, N]``."""
    slots: list[Slot]
    """Per layer, views of them."""
    summed: Tensor
    """Room for their sum ``[N]``."""
    summed_weights: list[Tensor]
    """Per layer, the weights' part of it."""
    activate: list[list[Recorded]]
    """Per lane and hidden layer, the call of ``activate_rows``."""
    slope_of: list[list[Recorded]]
    """Likewise of ``slope_of_rows``."""
    factor: Tensor
    """Of the slopes ``[2 + H]``."""
    outputs: Tensor
    """This and the next three are as in :class:`headctl.ppo.row_kernels.Work`."""
    weight: Tensor
    log_prob: Tensor
    slope: Tensor
    sums: Tensor
    index: Tensor
    index_view: Any
    work: Any
    """The kernels' view of all that."""
    owned: tuple[Tensor, ...]
    """What only they see."""

    def piece(self, number: int, start: int, stop: int) -> Piece:
        """Returns rows ``start`` to ``stop`` as piece ``number``."""
        layers = [each[start:stop] for each in self.layers]
        outputs = self.outputs[:, start:stop]
        return Piece(
            start=start,
            stop=stop,
            chosen=self.index[start:stop],
            layers=layers,
            turned=[each.t() for each in layers],
            outputs=outputs,
            slopes=outputs.t(),
            weights=[slot.weight[number] for slot in self.slots],
            ends=self.slots[-1].bias[number],
            back=[[room[: stop - start] for room in rooms] for rooms in self.back],
        )


def whole(rows: int) -> int:
    """Returns how many rows the groups of so many rows have."""
    return -(-rows // GROUP) * GROUP


def cut(flat: Tensor, shapes: Sequence[torch.Size], turned: Sequence[bool] = ()) -> list[tuple[Tensor, Tensor]]:
    """Returns weight and bias of every layer as views of memory ``[..., N]`` in which they follow each other.

    Args:
        flat: The memory.
        shapes: Of the weights, ``[W, F]``.
        turned: Whose weights lie there as ``[F, W]``; empty: nobody's.
    """
    sizes = [size for shape in shapes for size in (shape.numel(), shape[0])]
    parts = flat.split(sizes, dim=-1)
    lying = [tuple(shape)[::-1] if turn else tuple(shape) for shape, turn in zip_longest(shapes, turned)]
    return [
        (weight.unflatten(-1, shape), bias) for shape, weight, bias in zip(lying, parts[::2], parts[1::2], strict=True)
    ]


def make_memory(layers: Sequence[Layer], heads: int, *, rows: int, longest: int, pieces: int, lanes: int) -> Memory:
    """Returns memory.

    Args:
        layers: The layers; the last one gives the outputs and the value.
        heads: Number of heads H.
        rows: Of a minibatch.
        longest: Rows of a piece.
        pieces: How many there are.
        lanes: How many are worked on at once.
    """
    widths = [len(layer.bias) for layer in layers[:-1]]
    columns = len(layers[-1].bias) - 1
    # A few columns more: were their number a power of two, the same rows of all outputs would fight for one place in
    # the cache.
    width = whole(rows) + ROWS
    results = [torch.empty(rows, size) for size in (layers[0].weight.shape[1], *widths)]
    back = [[torch.empty(longest, size) for size in widths] for _ in range(lanes)]
    shapes, turned = [layer.weight.shape for layer in layers], [layer.turned for layer in layers]
    summed = torch.empty(sum(layer.weight.numel() + len(layer.bias) for layer in layers))
    gradients = torch.empty(pieces, len(summed))
    slots = [Slot(*both) for both in cut(gradients, shapes, turned)]
    hidden = list(zip(layers[:-1], results[1:], slots[:-1], strict=True))
    named = {name: torch.empty(columns, width) for name in ("first", "second")}
    named |= {name: torch.empty(heads, width) for name in ("entropy", "capacity", "weight", "log_prob")}
    named |= {"outputs": torch.empty(columns + 1, width), "slope": torch.empty(2, width)}
    named["sums"] = torch.empty(whole(rows) // GROUP, len(SUMS) + 4 * heads)
    work, index = Work(), torch.zeros(width, dtype=torch.int64)
    for name, entry in named.items():
        setattr(work, name, wp.from_torch(entry, requires_grad=False))
    return Memory(
        rows=rows,
        pieces=pieces,
        layers=results,
        back=back,
        gradients=gradients,
        slots=slots,
        summed=summed,
        summed_weights=[weight for weight, _ in cut(summed, shapes, turned)],
        activate=[
            [Recorded(activate_rows, [0, 0, layer.kind, layer.bias, made]) for layer, made, _ in hidden] for _ in back
        ],
        slope_of=[
            [
                Recorded(slope_of_rows, [0, 0, 0, layer.kind, made, room, slot.bias])
                for (layer, made, slot), room in zip(hidden, rooms, strict=True)
            ]
            for rooms in back
        ],
        factor=torch.empty(2 + heads),
        index=index,
        index_view=wp.from_torch(index, requires_grad=False),
        work=work,
        owned=tuple(named.pop(name) for name in ("first", "second", "entropy", "capacity")),
        **named,
    )
