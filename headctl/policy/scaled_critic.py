"""A value output that learns in units of its own returns (PopArt).

Returns of a new game may be of the order of 0.01 or of 1000. The critic shares its network and its gradient norm with
the policy, so it should see numbers of order 1. It predicts ``(return - mean) / deviation`` of a running mean and
deviation, and hands out ``deviation * prediction + mean``: everybody else sees returns as they are. When the
statistics move, weights and bias move against them, so that what is handed out stays the same (van Hasselt et al. 2016,
eqs. 6 to 9; Hessel et al. 2019). Only the first returns change it: they tell the size of values for the first time.

Shapes: B samples, D features of the trunk, T steps, R rows.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

CRITIC_UNITS = ("critic.moments", "critic.scale")
"""What a policy with such a layer has in its state beside that of one without."""
_RATE = 0.05
"""Weight of the newest rollout in the running moments; the first twenty count alike."""
_DEVIATION_MIN, _DEVIATION_MAX = 1e-4, 1e6  # bounds of Hessel et al. 2019, table 3


class ScaledCritic(nn.Linear):
    """The value layer ``[B, D]`` to ``[B, 1]``, in the units of the returns on the outside.

    Attributes:
        moments: Running mean of the returns and of their squares, and the number of rollouts, float64 ``[3]``.
        scale: Deviation and mean in force, float32 ``[2]``.
    """

    moments: Tensor
    scale: Tensor

    def __init__(self, features: int, *, device: torch.device | str | None = None) -> None:
        """Creates the layer with mean 0 and deviation 1; its weights are the caller's to fill.

        Args:
            features: D.
            device: Where it lives.
        """
        super().__init__(features, 1, device=device)
        self.register_buffer("moments", torch.zeros(3, dtype=torch.float64, device=device))
        self.register_buffer("scale", torch.tensor([1.0, 0.0], device="cpu" if device == "meta" else device))

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - nn.Linear calls it that
        """Returns values in the units of the returns."""
        deviation, mean = self.scale
        return super().forward(input) * deviation + mean

    @property
    def loss_factor(self) -> Tensor:
        """What a squared error of returns is multiplied by to be one of predictions, ``1 / deviation^2``, a scalar."""
        return self.scale[0].square().reciprocal()

    @torch.no_grad()
    def rescale(self, returns: Tensor, alive: Tensor, total: Callable[[Tensor], Tensor] | None = None) -> None:
        """Takes the returns of a rollout into the moments; but for the first one, what is handed out stays as it was.

        Args:
            returns: ``[T, R]``.
            alive: 1 where the row counts ``[T, R]``; with nobody alive nothing changes.
            total: Adds up sums over the processes that share the work, in place; ``None``: there is one.
        """
        counted = returns.double() * alive
        sums = torch.stack((counted.sum(), counted.square().sum(), alive.sum(dtype=torch.float64)))
        sums = sums if total is None else total(sums)
        some = sums[2] > 0.0
        seen = self.moments[2] + some
        rate = torch.where(some, (1.0 / seen.clamp(min=1.0)).clamp(min=_RATE), 0.0)
        self.moments[:2].lerp_(sums[:2] / sums[2].clamp(min=1.0), rate)
        self.moments[2] = seen
        mean, square = self.moments[:2]
        deviation = (square - mean.square()).clamp(min=0.0).sqrt().clamp(_DEVIATION_MIN, _DEVIATION_MAX)
        old_deviation, old_mean = self.scale.double()
        deviation, mean = torch.where(seen > 0.0, torch.stack((deviation, mean)), self.scale.double())
        # The first units replace none: a critic that begins at 0 then begins at the mean.
        first = seen <= 1.0
        weight, bias = (
            self.weight * (old_deviation / deviation),
            (old_deviation * self.bias + old_mean - mean) / deviation,
        )
        self.weight.copy_(torch.where(first, self.weight, weight))
        self.bias.copy_(torch.where(first, self.bias, bias))
        self.scale.copy_(torch.stack((deviation, mean)))
