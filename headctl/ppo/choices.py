"""What every head chose in a rollout, counted.

Shapes: T steps, R rows (one per agent that the learner controls), K choices, D dims.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from headctl.policy.actions import ActionHeads
from headctl.policy.heads import BernoulliHead, CategoricalHead, Head, MultiDiscreteHead
from headctl.ppo.rollout import Rollout

BINS = 40
"""Bins of a continuous action over [-1, 1]."""


class ChoiceCounts(NamedTuple):
    """How often what was chosen, as a histogram.

    Attributes:
        edges: Limits of the bins, one more than there are bins. Choice k lies in the bin from k - 0.5 to k + 0.5.
        counts: Rows in every bin.
        total: Sum of what was chosen.
        squares: Sum of its squares.
    """

    edges: list[float]
    counts: list[int]
    total: float
    squares: float


@torch.no_grad()
def count_choices(rollout: Rollout, heads: ActionHeads) -> dict[str, ChoiceCounts]:
    """Counts the choices of every head over the rows where it had one: agent alive, head active, two legal actions.

    A head of several parts (multidiscrete, bernoulli, continuous with more than one dim) is counted part by part, as
    ``<head>/<part>``. Continuous actions are in normalised units; what lies outside of [-1, 1] counts at its edge,
    where the game clips it.

    Args:
        rollout: What was played.
        heads: The heads that played it.

    Returns:
        One histogram per head or part; a part without a row is left out.
    """
    alive = rollout.alive > 0
    active = heads.active(rollout.actions)
    counted: dict[str, ChoiceCounts] = {}
    for head in heads.heads:
        rows = alive & active[head.name] if head.name in active else alive
        action, mask = rollout.actions[head.name], rollout.masks.get(head.name)
        if isinstance(head, CategoricalHead):
            parts = [(head.name, action, mask, head.mask_size)]
        else:
            masks, sizes = _of_parts(head, mask)
            columns = action.unbind(-1)
            names = [head.name] if len(columns) == 1 else [f"{head.name}/{part}" for part in range(len(columns))]
            parts = list(zip(names, columns, masks, sizes, strict=True))
        for name, chosen, legal, size in parts:
            usable = rows if legal is None else rows & (legal.sum(-1) > 1)
            found = chosen[usable]
            if len(found):
                counted[name] = _of_numbers(found, size) if size else _of_dim(found)
    return counted


def _of_parts(head: Head, mask: Tensor | None) -> tuple[list[Tensor | None], list[int]]:
    """Returns mask ``[T, R, K]`` and number of choices K of every part; 0 choices for a continuous one."""
    if isinstance(head, MultiDiscreteHead):
        sizes = head.sizes
        return [None] * len(sizes) if mask is None else list(mask.split(sizes, dim=-1)), sizes
    dims = head.action_shape[0]
    if isinstance(head, BernoulliHead):
        if mask is None:
            return [None] * dims, [2] * dims
        # A bit may always be 0.
        return [torch.stack((torch.ones_like(bit), bit), dim=-1) for bit in mask.unbind(-1)], [2] * dims
    return [None] * dims, [0] * dims


def _of_numbers(chosen: Tensor, size: int) -> ChoiceCounts:
    counts = torch.bincount(chosen, minlength=size).tolist()
    return ChoiceCounts(
        [number - 0.5 for number in range(len(counts) + 1)],
        counts,
        float(sum(number * count for number, count in enumerate(counts))),
        float(sum(number * number * count for number, count in enumerate(counts))),
    )


def _of_dim(chosen: Tensor) -> ChoiceCounts:
    values = chosen[chosen.isfinite()].clamp(-1.0, 1.0)
    counts = torch.histc(values, bins=BINS, min=-1.0, max=1.0)
    edges = [-1.0 + 2.0 * number / BINS for number in range(BINS + 1)]
    return ChoiceCounts(edges, counts.long().tolist(), float(values.sum()), float(values.square().sum()))
