"""The loss of PPO with all heads in one pass over the rows, forwards and backwards.

For a row with log-ratio ``x = sum_h (log pi_h - log pi_old_h)``, ratio ``r = exp(x)``, advantage ``A`` and clip range
``eps`` the surrogate is ``min(A r, A clip(r, 1 - eps, 1 + eps))`` (Schulman et al. 2017, eq. 7). Its derivative with
respect to every head's log-probability is ``A r`` where the plain term counts and 0 where the clipped one does. The
value loss is half the squared error, with the derivative ``v - target``; the bonus is linear in the entropies. What
becomes of these derivatives on their way to the outputs of the network: :mod:`headctl.policy.kernels`.

Rows of the dead count nothing, whatever stands in them, and heads without a choice add nothing.

Shapes: B rows, H heads, P outputs of the network, G groups of rows.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import warp as wp
from torch import Tensor

from headctl.policy.fused import FusedHeads, Memory, launch, shared

# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.
# pyright: reportInvalidTypeForm=false, reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false
# pyright: reportOperatorIssue=false
# ruff: noqa: PLR0917, UP018  - that language has no keyword arguments, and loops change ``float()``s
wp.set_module_options({"enable_backward": False})

_SURROGATE, _SQUARES, _KL, _CLIPPED, _JOINT, _ALIVE, _FIRST_HEAD = range(7)
_COLUMN_SURROGATE, _COLUMN_SQUARES, _COLUMN_KL = wp.constant(0), wp.constant(1), wp.constant(2)
_COLUMN_CLIPPED, _COLUMN_JOINT, _COLUMN_ALIVE = wp.constant(3), wp.constant(4), wp.constant(5)
_COLUMN_FIRST_HEAD = wp.constant(6)
_GROUP = 64
"""Rows per thread: sums of floats stay exact enough, and come out the same in whatever order threads run."""
ENTROPY_LIMIT = 1e15
"""As in the controller's bonus: a sum of entropies beyond this has a number in it that is none."""


@wp.kernel
def loss_rows(
    group: int,
    clip: wp.float32,
    log_prob: wp.array2d(dtype=wp.float32),
    old_log_prob: wp.array2d(dtype=wp.float32),
    entropy: wp.array2d(dtype=wp.float32),
    capacity: wp.array2d(dtype=wp.float32),
    choice: wp.array2d(dtype=wp.float32),
    alive: wp.array(dtype=wp.float32),
    advantage: wp.array(dtype=wp.float32),
    value: wp.array(dtype=wp.float32),
    value_target: wp.array(dtype=wp.float32),
    slope: wp.array(dtype=wp.float32),
    error: wp.array(dtype=wp.float32),
    weight: wp.array2d(dtype=wp.float32),
    sums: wp.array2d(dtype=wp.float32),
) -> None:
    """Writes the derivatives of each row and the sums of each group of rows.

    Args:
        group: Rows per thread.
        clip: Half width of the interval of the ratio.
        log_prob: New log-probabilities ``[B, H]``.
        old_log_prob: Those of the rollout ``[B, H]``.
        entropy: ``[B, H]``.
        capacity: ``[B, H]``.
        choice: 1 where the head counts ``[B, H]``.
        alive: 1 where the row counts ``[B]``.
        advantage: ``[B]``.
        value: ``[B]``.
        value_target: ``[B]``.
        slope: Written: derivative of the surrogate with respect to the log-ratio ``[B]``.
        error: Written: ``value - value_target`` of the living ``[B]``.
        weight: Written: ``choice`` of the living ``[B, H]``.
        sums: Written: surrogate, squared error, KL divergence, clipped rows, joint entropy, living rows; then weighted
            entropies, weighted capacities and weights per head ``[G, 6 + 3 H]``.
    """
    thread = wp.tid()
    heads = log_prob.shape[1]
    for column in range(_COLUMN_FIRST_HEAD + 3 * heads):
        sums[thread, column] = 0.0
    for row in range(thread * group, wp.min((thread + 1) * group, alive.shape[0])):
        if alive[row] > 0.0:
            log_ratio = float(0.0)
            for head in range(heads):
                counts = choice[row, head]
                weight[row, head] = counts
                if counts > 0.0:
                    log_ratio += log_prob[row, head] - old_log_prob[row, head]
                    sums[thread, _COLUMN_JOINT] += entropy[row, head]
                    sums[thread, _COLUMN_FIRST_HEAD + head] += entropy[row, head]
                    sums[thread, _COLUMN_FIRST_HEAD + heads + head] += capacity[row, head]
                    sums[thread, _COLUMN_FIRST_HEAD + 2 * heads + head] += 1.0
            ratio = wp.exp(log_ratio)
            plain = advantage[row] * ratio
            clipped = advantage[row] * wp.clamp(ratio, 1.0 - clip, 1.0 + clip)
            slope[row] = plain
            if clipped < plain:
                slope[row] = 0.0
                plain = clipped
            difference = value[row] - value_target[row]
            error[row] = difference
            sums[thread, _COLUMN_SURROGATE] += plain
            sums[thread, _COLUMN_SQUARES] += difference * difference
            sums[thread, _COLUMN_KL] += ratio - 1.0 - log_ratio
            if wp.abs(ratio - 1.0) > clip:
                sums[thread, _COLUMN_CLIPPED] += 1.0
            sums[thread, _COLUMN_ALIVE] += 1.0
        else:
            slope[row] = 0.0
            error[row] = 0.0
            for head in range(heads):
                weight[row, head] = 0.0


class LossRows(NamedTuple):
    """What the loss reads beside the outputs of the network, a minibatch of it."""

    heads: FusedHeads
    packed: Any
    """Actions, masks and choice: :class:`headctl.ppo.rollout.PackedRows`."""
    log_prob: Tensor
    alive: Tensor
    advantage: Tensor
    value_target: Tensor
    clip: float
    factor: Callable[[Tensor, float], Tensor]
    """Weights per head and number of rows to what the sums of the entropies are multiplied by ``[H]``."""
    shares: Tensor | None = None
    """Living rows, rows, and weights per head, of all processes together ``[2 + H]``; ``None``: there is one."""


class FusedLoss(torch.autograd.Function):
    """Policy loss, value loss and bonus, with their gradients; and the sums that they are made of."""

    @staticmethod
    def forward(ctx: Any, params: Tensor, value: Tensor, rows: LossRows) -> tuple[Tensor, ...]:
        """Returns three scalars, the sums ``[6 + 3 H]``, weights and log-probabilities, each ``[B, H]``."""
        size, heads = rows.log_prob.shape
        device = params.device
        told = rows.heads.tell(params, rows.packed.actions, rows.packed.masks)
        slope, error = torch.empty(2, size, device=device).unbind()
        weight = torch.empty(size, heads, device=device)
        groups = torch.empty(-(-size // _GROUP), _FIRST_HEAD + 3 * heads, device=device)
        given = (told.log_prob, rows.log_prob, told.entropy, told.capacity, rows.packed.choice)
        given = (*given, rows.alive, rows.advantage, value, rows.value_target)
        launch(
            loss_rows,
            groups.shape[0],
            [_GROUP, rows.clip, *shared(*given, slope, error, weight, groups)],
            device,
        )
        sums = groups.sum(0)
        means, factor, bonus, count = means_and_bonus(sums, size, rows)
        ctx.heads, ctx.slope, ctx.error, ctx.weight, ctx.count, ctx.factor = (
            rows.heads,
            slope,
            error,
            weight,
            count,
            factor,
        )
        ctx.memory = Memory(rows.packed.masks, rows.packed.actions.numbers, weight, told.first, told.second)
        ctx.mark_non_differentiable(sums, weight, told.log_prob)
        return -means[_SURROGATE], 0.5 * means[_SQUARES], bonus, sums, weight, told.log_prob

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        """Returns the gradients of the outputs of the network ``[B, P]`` and of the value ``[B]``."""
        of_policy, of_value, of_bonus = gradients[:3]
        of_log_prob = (ctx.slope * (-of_policy / ctx.count)).unsqueeze(-1).expand_as(ctx.weight)
        of_entropy = ctx.weight * (of_bonus * ctx.factor)
        return ctx.heads.gradient(ctx.memory, of_log_prob, of_entropy), ctx.error * (of_value / ctx.count), None


def fused_loss(params: Tensor, value: Tensor, rows: LossRows) -> "FusedTerms":
    """Returns the terms of the loss of a minibatch.

    Args:
        params: Joint output of the network, float32 ``[B, P]``.
        value: Value estimates ``[B]``.
        rows: The rest.
    """
    told = FusedLoss.apply(params, value, rows)
    policy, value_loss, bonus, sums, weight, log_prob = told  # pyright: ignore[reportGeneralTypeIssues] - six tensors
    return fused_terms(policy, value_loss, bonus, sums, weight, log_prob, rows.shares)


def fused_terms(
    policy: Tensor,
    value: Tensor,
    bonus: Tensor,
    sums: Tensor,
    weight: Tensor,
    log_prob: Tensor,
    shares: Tensor | None,
) -> "FusedTerms":
    """Returns the terms with what follows from the sums ``[6 + 3 H]``."""
    count = (sums[_ALIVE] if shares is None else shares[0]).clamp(min=1.0)
    means = sums[:_ALIVE] / count
    size, heads = weight.shape
    per_head = sums[_FIRST_HEAD:].view(3, heads)
    return FusedTerms(
        policy=policy,
        value=value,
        bonus=bonus,
        approx_kl=means[_KL],
        clip_fraction=means[_CLIPPED],
        joint_entropy=means[_JOINT],
        sums=torch.cat((per_head, per_head.new_full((1, heads), float(size)))),
        weight=weight,
        log_prob=log_prob,
    )


def means_and_bonus(sums: Tensor, size: int, rows: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns what follows from the sums of a minibatch.

    Args:
        sums: ``[6 + 3 H]``.
        size: Number of rows.
        rows: Has ``factor`` and ``shares`` as :class:`LossRows` does.

    Returns:
        Means over the living of what is summed up before the heads; what the sums of the entropies are multiplied by
        ``[H]``; the bonus; and the number of the living.
    """
    heads = (len(sums) - _FIRST_HEAD) // 3
    entropies, weights = sums[_FIRST_HEAD : _FIRST_HEAD + heads], sums[_FIRST_HEAD + 2 * heads :]
    if rows.shares is None:
        count, factor = sums[_ALIVE].clamp(min=1.0), rows.factor(weights, float(size))
    else:
        count, factor = rows.shares[0].clamp(min=1.0), rows.factor(rows.shares[2:], rows.shares[1])
    factor = torch.where(entropies.abs() < ENTROPY_LIMIT, factor, torch.zeros_like(factor))
    bonus = torch.dot(torch.nan_to_num(entropies, 0.0, 0.0, 0.0), factor)
    return sums[:_ALIVE] / count, factor, bonus, count


class FusedTerms(NamedTuple):
    """The terms of the loss and what is told of them, scalars; and what the controller wants to see."""

    policy: Tensor
    value: Tensor
    bonus: Tensor
    approx_kl: Tensor
    clip_fraction: Tensor
    joint_entropy: Tensor
    sums: Tensor
    """Weighted entropies and capacities, weights and rows, per head ``[4, H]``."""
    weight: Tensor
    """``[B, H]``."""
    log_prob: Tensor
    """``[B, H]``."""
