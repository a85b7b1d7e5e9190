"""What a minibatch says: the terms of the loss, what is told of them, and what the controller wants to see.

Shapes: B samples, H heads, P outputs of the network for all heads.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Losses(NamedTuple):
    """The terms of the loss and what is told of them, scalars; and what they were made of."""

    policy: Tensor
    value: Tensor
    bonus: Tensor
    rescue: Tensor
    """What pulls collapsed heads towards the uniform choice, before its coefficient."""
    joint_entropy: Tensor
    approx_kl: Tensor
    clip_fraction: Tensor
    params: Tensor
    """Joint output of the heads ``[B, P]``, for gradient diagnostics."""
    sums: Tensor
    """What the controller wants to see: weighted entropies and capacities, weights and rows, per head ``[4, H]``."""
    weight: Tensor
    """1 where the head had a choice and its agent lived ``[B, H]``."""
    log_prob: Tensor
    """Log-probabilities ``[B, H]``; to find out what broke."""


TOLD: tuple[str, ...] = (
    "ppo/policy_loss",
    "ppo/value_loss",
    "ppo/entropy_bonus",
    "ppo/rescue_loss",
    "ppo/approx_kl",
    "ppo/clip_fraction",
    "policy/joint_entropy",
    "ppo/grad_norm",
)
"""What every minibatch tells, in this order."""


@torch.no_grad()
def weighted_sums(entropy: Tensor, capacity: Tensor, weight: Tensor) -> Tensor:
    """Returns what the controller wants to see of a minibatch: ``sum w H``, ``sum w C``, ``sum w``, rows; ``[4, H]``.

    Entropies in rows without weight are left out, whatever they are.

    Args:
        entropy: ``[B, H]``.
        capacity: ``[B, H]``.
        weight: ``[B, H]``.
    """
    counted = [torch.where(weight > 0, entry * weight, 0.0).sum(0) for entry in (entropy, capacity)]
    return torch.stack((*counted, weight.sum(0), torch.full_like(counted[0], len(weight))))
