"""What every action head can do.

Shapes: B samples (any leading shape), K choices, D dims, P outputs of the network for the head. Entropies, capacities
and divergences are in nats. Results are float32, whatever the dtype of the network's outputs.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor


class HeadEvaluation(NamedTuple):
    """What a head says of actions, each ``[B]`` float32."""

    log_prob: Tensor
    """Log-probability (density) of the action, in nats; differentiable."""
    entropy: Tensor
    """Entropy of the distribution, in nats; differentiable."""
    capacity: Tensor
    """The entropy that the head could reach in this state."""
    choice: Tensor
    """1 where the head had more than one legal action, else 0."""


class Head(ABC):
    """A named part of the action.

    Attributes:
        name: Key of the action space.
        num_params: Outputs of the network that the head needs, P.
        action_shape: Shape of one action.
        action_dtype: dtype of actions.
        continuous: Whether actions are real numbers, in normalised units: [-1, 1] is the whole Box.
    """

    name: str
    num_params: int
    action_shape: tuple[int, ...]
    action_dtype: torch.dtype
    continuous: bool

    @abstractmethod
    def sample(self, params: Tensor, mask: Tensor | None, generator: torch.Generator | None) -> Tensor:
        """Draws actions.

        Args:
            params: Outputs of the network ``[B, P]``.
            mask: bool ``[B, K]``, true where legal; ``None`` where everything is.
            generator: Random stream; ``None`` is torch's global one.

        Returns:
            Actions ``[B, *action_shape]``.
        """

    @abstractmethod
    def mode(self, params: Tensor, mask: Tensor | None) -> Tensor:
        """Returns the most likely actions; arguments and result as in :meth:`sample`."""

    @abstractmethod
    def evaluate(self, params: Tensor, action: Tensor, mask: Tensor | None) -> HeadEvaluation:
        """Returns log-probabilities of ``action`` and the entropies of the distributions.

        Args:
            params: Outputs of the network ``[B, P]``.
            action: Actions ``[B, *action_shape]``.
            mask: bool ``[B, K]``, true where legal; ``None`` where everything is.
        """

    @abstractmethod
    def kl(self, params_p: Tensor, params_q: Tensor, mask: Tensor | None) -> Tensor:
        """Returns the divergence ``KL(p || q)`` of two distributions of this head in the same state ``[B]``.

        Args:
            params_p: Outputs of the network ``[B, P]``.
            params_q: Outputs of another one ``[B, P]``.
            mask: bool ``[B, K]``, true where legal; ``None`` where everything is.
        """

    def initial_bias(self) -> Tensor:
        """Returns the bias ``[P]`` of the head's output layer at the start of training."""
        return torch.zeros(self.num_params)
