"""The gradients of a policy in one piece of memory: cleared, clipped and added up in one operation each."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, distributed, nn


class FlatGradients:
    """Gradients of some parameters, side by side.

    Attributes:
        flat: All of them, float32 ``[N]``; ``parameter.grad`` is a view of it.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        """Gives every parameter a gradient of zeros.

        Args:
            parameters: Those that are trained, of one dtype and device.
        """
        self._parameters = list(parameters)
        sizes = [parameter.numel() for parameter in self._parameters]
        first = self._parameters[0]
        self.flat = torch.zeros(sum(sizes), dtype=first.dtype, device=first.device)
        parts = self.flat.split(sizes)
        self._views = [part.view_as(each) for part, each in zip(parts, self._parameters, strict=True)]
        self._attach()

    def _attach(self) -> None:
        for parameter, view in zip(self._parameters, self._views, strict=True):
            parameter.grad = view

    def clear(self) -> None:
        """Sets all gradients to zero, and takes them back where something else has put others in their place."""
        self._attach()
        self.flat.zero_()

    def add_up(self, others: Sequence[Tensor], group: distributed.ProcessGroup) -> list[Tensor]:
        """Adds up the gradients over the processes of a group, and other tensors with them, in one message.

        Returns:
            The sums of the other tensors.
        """
        message = torch.cat([self.flat, *(other.detach().flatten() for other in others)])
        distributed.all_reduce(message, group=group)
        gradients, *parts = message.split([self.flat.numel(), *(other.numel() for other in others)])
        self.flat.copy_(gradients)
        return [part.view_as(other) for part, other in zip(parts, others, strict=True)]

    def clip(self, max_norm: float) -> Tensor:
        """Scales all gradients down to a joint norm of at most ``max_norm``; returns the norm before, a scalar.

        No question to the device: the factor is 1 where the norm is small enough.
        """
        norm = torch.linalg.vector_norm(self.flat)
        self.flat.mul_((max_norm / (norm + 1e-6)).clamp_(max=1.0))
        return norm

    def clip_by_host(self, max_norm: float) -> float:
        """Does what :meth:`clip` does where the host has to know the norm at once."""
        norm = float(torch.linalg.vector_norm(self.flat))
        factor = max_norm / (norm + 1e-6)
        if not factor >= 1.0:  # with NaN too, as there
            self.flat.mul_(factor)
        return norm
