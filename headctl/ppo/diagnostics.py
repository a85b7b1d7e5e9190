"""What an update tells of itself beside its losses.

Shapes: T steps, R rows, B samples, H heads, P outputs of the network for all heads.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from headctl.policy.base import Head

Total = Callable[[Tensor], Tensor]
"""Adds up sums over the processes that share the work, in place."""


def explained_variance(value: Tensor, advantage: Tensor, alive: Tensor, total: Total | None = None) -> Tensor:
    """Returns the share of the variance of the returns that the value estimates explain; 1 is perfect, 0 is a constant.

    Args:
        value: Value estimates ``[T, R]``.
        advantage: Advantages ``[T, R]``; value plus advantage is the return.
        alive: 1 where the row counts ``[T, R]``.
        total: Adds up sums over the processes that share the work; ``None``: there is one.
    """
    both = torch.stack((advantage, value + advantage))
    sums = torch.cat((alive.sum().unsqueeze(0), (both * alive).sum((-2, -1))))
    sums = sums if total is None else total(sums)
    count = sums[0].clamp(min=1.0)
    squares = ((both - (sums[1:] / count).view(2, 1, 1)).square() * alive).sum((-2, -1))
    unexplained, variance = (squares if total is None else total(squares)) / count
    return 1.0 - unexplained / (variance + 1e-8)


def gradient_shares(
    heads: Sequence[Head], of_policy: Tensor, of_bonus: Tensor, total: Total | None = None
) -> dict[str, float]:
    """Returns, per head, how strongly the bonus pulls at the head's outputs relative to the surrogate.

    Args:
        heads: The heads, in the order of the outputs.
        of_policy: Gradient of the surrogate's loss by the joint output of the heads ``[B, P]``.
        of_bonus: That of the entropy bonus, likewise.
        total: Adds up sums over the processes that share the work; ``None``: there is one.
    """
    sizes = [head.num_params for head in heads]
    parts = [part for gradient in (of_bonus, of_policy) for part in gradient.split(sizes, -1)]
    squares = torch.stack([part.square().sum() for part in parts])
    norms = (squares if total is None else total(squares)).sqrt()
    ratios = (norms[: len(heads)] / norms[len(heads) :]).tolist()
    return {f"heads/{head.name}/bonus_to_policy_grad": ratio for head, ratio in zip(heads, ratios, strict=True)}
