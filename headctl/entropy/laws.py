"""How the temperature of a head moves. Every law is a function of vectors over the heads.

Shapes: H heads. All tensors are float32 ``[H]`` on one device; nothing here reads a value back to the host.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Bounds(NamedTuple):
    """Limits of the temperatures, each ``[H]``."""

    alpha_min: Tensor
    alpha_max: Tensor
    log_alpha_min: Tensor
    log_alpha_max: Tensor


class LawStep(NamedTuple):
    """What one update of a law gives, each ``[H]``."""

    log_alpha: Tensor
    """The learned temperature after the update."""
    alpha: Tensor
    """The coefficient of the entropy bonus until the next update."""
    at_upper: Tensor
    """bool: alpha stands at its upper bound and the error asks for more."""
    at_lower: Tensor
    """bool: alpha stands at its lower bound and the error asks for less."""


def proportional_integral(
    log_alpha: Tensor, error: Tensor, gain_proportional: Tensor, gain_integral: Tensor, bounds: Bounds
) -> LawStep:
    """Dual ascent on ``log_alpha`` with a proportional term that damps it, bounded, with anti-windup.

    ``log_alpha`` is the multiplier of the constraint ``H >= target`` in log space; raising it by the error is dual
    ascent (Boyd & Vandenberghe 2004, section 5.2; Haarnoja et al. 2018b, eq. 18, without Adam). The proportional term
    is the penalty of the augmented Lagrangian: it acts at once, damps the swing of an integrator in a loop with an
    integrator (a Gaussian head is one), and vanishes where the error does, so that at rest ``alpha = exp(log_alpha)``.
    Integration stops while alpha stands at a bound and the error presses it further (conditional anti-windup).

    Args:
        log_alpha: The learned temperatures ``[H]``.
        error: ``target - fraction``, positive where a head shall become more random ``[H]``. Zero leaves a head alone.
        gain_proportional: K_P, alpha per unit of error ``[H]``.
        gain_integral: K_I, log alpha per unit of error ``[H]``.
        bounds: Limits of alpha and of log_alpha.

    Returns:
        The next temperatures, and where they stand at a bound.
    """
    damping = gain_proportional * error
    wanted = log_alpha.exp() + damping
    at_upper = (wanted >= bounds.alpha_max) & (error > 0)
    at_lower = (wanted <= bounds.alpha_min) & (error < 0)
    risen = torch.addcmul(log_alpha, gain_integral, error)
    risen = torch.clamp(risen, bounds.log_alpha_min, bounds.log_alpha_max)
    following = torch.where(at_upper | at_lower, log_alpha, risen)
    alpha = torch.clamp(following.exp() + damping, bounds.alpha_min, bounds.alpha_max)
    return LawStep(following, alpha, at_upper, at_lower)
