"""What a policy remembers within an episode: a gated recurrent unit between the trunk and the heads.

The unit of Cho et al. (2014, section 2.3) in the form of ``torch.nn.GRUCell``, whose reset gate acts on the product::

    r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)
    z = sigmoid(W_iz x + b_iz + W_hz h + b_hz)
    n = tanh(W_in x + b_in + r (W_hn h + b_hn))
    h' = (1 - z) n + z h

Decisions, training sequences and stacked opponents share one function for it, :func:`gated`, so that what is learned
from is what was played.

Shapes: B rows (any leading shape), W outputs of the trunk, D size of the memory, F features of the observation, L steps
of a sequence, S sequences, U steps of a burn-in, V sequences with one.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class BurnIn(NamedTuple):
    """Steps before a sequence that bring its first memory up to date: run without gradient, and without a loss."""

    state: Tensor
    """What was remembered before the first of them, float32 ``[V, D]``."""
    normal: Tensor
    """Observations that have been through the normaliser, float32 ``[U, V, F]``."""
    keep: Tensor
    """As in :class:`Sequences`, float32 ``[U, V]``."""
    sequences: Tensor
    """Which of the sequences of the batch these are, int64 ``[V]``."""


class Sequences(NamedTuple):
    """How the rows of a batch follow each other: row ``l S + s`` is step l of sequence s."""

    state: Tensor
    """What was remembered before the first step, float32 ``[S, D]``."""
    keep: Tensor
    """0 where an episode began with this step: nothing is remembered from before; else 1; float32 ``[L, S]``."""
    burn_in: BurnIn | None = None
    """``None``: the stored memory is taken as it is."""


class GatedMemory(nn.Module):
    """A gated recurrent unit whose state is what the heads and the value see.

    Attributes:
        size: Size of the memory D.
    """

    def __init__(self, inputs: int, size: int, generator: torch.Generator | None = None) -> None:
        """Creates a unit with orthogonal weights, gate by gate, and no biases.

        Args:
            inputs: Outputs of the trunk W.
            size: Size of the memory D.
            generator: Random stream of the initial weights.
        """
        super().__init__()
        self.size = size
        self.of_input = _gates(inputs, size, generator)
        self.of_state = _gates(size, size, generator)

    def forward(self, features: Tensor, state: Tensor) -> Tensor:
        """Returns what is remembered after a decision ``[B, D]``.

        Args:
            features: Outputs of the trunk ``[B, W]``.
            state: What was remembered before ``[B, D]``; zeros at the beginning of an episode.
        """
        return gated(self.of_input(features), self.of_state(state), state)

    def empty(self, *shape: int, device: torch.device) -> Tensor:
        """Returns the memory of agents at the beginning of an episode: zeros ``[*shape, D]``."""
        return torch.zeros(*shape, self.size, device=device)

    def unroll(self, features: Tensor, state: Tensor, keep: Tensor) -> Tensor:
        """Returns what is remembered after every step of sequences ``[L, S, D]``; gradients go back through the steps.

        Args:
            features: Outputs of the trunk ``[L, S, W]``.
            state: What was remembered before the first step ``[S, D]``.
            keep: 0 where an episode began with this step, else 1 ``[L, S]``.
        """
        remembered = []
        # What the steps do not depend on each other for is one matrix product.
        for of_input, kept in zip(self.of_input(features).unbind(0), keep.unsqueeze(-1).unbind(0), strict=True):
            before = state * kept
            state = gated(of_input, self.of_state(before), before)
            remembered.append(state)
        return torch.stack(remembered)


def gated(of_input: Tensor, of_state: Tensor, state: Tensor) -> Tensor:
    """Returns the next state of gated recurrent units ``[B, D]``.

    Args:
        of_input: Products with the input, biases added, for reset gate, update gate and candidate ``[B, 3 D]``.
        of_state: Products with the state, likewise ``[B, 3 D]``.
        state: The state before ``[B, D]``.
    """
    input_reset, input_update, input_candidate = of_input.chunk(3, -1)
    state_reset, state_update, state_candidate = of_state.chunk(3, -1)
    reset = torch.sigmoid(input_reset + state_reset)
    update = torch.sigmoid(input_update + state_update)
    candidate = torch.tanh(torch.addcmul(input_candidate, reset, state_candidate))
    return torch.lerp(candidate, state, update)


def _gates(inputs: int, size: int, generator: torch.Generator | None) -> nn.Linear:
    # Made without memory first: the layer's own initialisation would draw from the global random stream.
    layer = nn.Linear(inputs, 3 * size, device="meta").to_empty(device="cpu")
    with torch.no_grad():
        for gate in layer.weight.chunk(3):
            nn.init.orthogonal_(gate, generator=generator)
        layer.bias.zero_()
    return layer
