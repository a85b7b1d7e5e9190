"""Against whom a head is how random: the entropy of every head, by opponent.

Shapes: T steps, R rows of the learner, H heads, P opponents in play.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from headctl.policy.network import Policy
from headctl.ppo.rollout import Rollout

SELF = "latest"
"""Name under which games against the latest policy itself are told."""


@torch.no_grad()
def entropies_by_opponent(
    policy: Policy,
    rollout: Rollout,
    slot_of_row: Tensor,
    in_play: Sequence[str],
    total: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, dict[str, float]]:
    """Returns the mean entropy of every head against every opponent, in nats, over the rows where the head mattered.

    Args:
        policy: The policy that played.
        rollout: What happened.
        slot_of_row: Slot of every row's opponent ``[R]``, -1 in games against itself.
        in_play: The opponent in every slot ``[P]``; the same one may sit in several.
        total: Adds up sums over the processes that share the games, in place; ``None``: there is one.

    Returns:
        Opponent -> head -> entropy, NaN where the head never mattered; opponents without a row are left out.
    """
    strangers = (slot_of_row >= len(in_play)).sum()
    if bool(strangers if total is None else total(strangers)):
        return {}  # a state of an earlier version does not say who sits where
    weight = rollout.choice * rollout.alive.unsqueeze(-1)
    names = list(dict.fromkeys([SELF, *in_play]))
    place = torch.tensor([0, *(names.index(name) for name in in_play)], device=slot_of_row.device)
    group = place[slot_of_row + 1]
    heads = policy.action_heads.names
    sums = torch.zeros(2, len(names), len(heads), dtype=torch.float64, device=slot_of_row.device)
    sums[0].index_add_(0, group, (rollout.entropy * weight).sum(0, dtype=torch.float64))
    sums[1].index_add_(0, group, weight.sum(0, dtype=torch.float64))
    entropy, count = (sums if total is None else total(sums)).tolist()
    return {
        name: {
            head: entropy[row][column] / count[row][column] if count[row][column] > 0.0 else math.nan
            for column, head in enumerate(heads)
        }
        for row, name in enumerate(names)
        if any(count[row])
    }


def entropy_metrics(entropies: dict[str, dict[str, float]]) -> dict[str, float | str]:
    """Returns the entropies as metrics, and per head the opponent against whom it differs most from the others.

    Args:
        entropies: As :func:`entropies_by_opponent` returns them.

    Returns:
        ``selfplay/opponent/<opponent>/entropy/<head>``, ``selfplay/entropy_shift/<head>`` (nats: that opponent's mean
        minus the mean of the others) and ``selfplay/entropy_shift_by/<head>`` (her name). Neither of the latter where
        there are fewer than two opponents to compare.
    """
    told: dict[str, float | str] = {}
    for opponent, heads in entropies.items():
        told |= {f"selfplay/opponent/{opponent}/entropy/{head}": value for head, value in heads.items()}
    for head in next(iter(entropies.values()), {}):
        known = {name: heads[head] for name, heads in entropies.items() if not math.isnan(heads[head])}
        if len(known) < 2:
            continue
        total = math.fsum(known.values())
        shifts = {name: value - (total - value) / (len(known) - 1) for name, value in known.items()}
        most = max(shifts, key=lambda name: abs(shifts[name]))
        told[f"selfplay/entropy_shift/{head}"] = shifts[most]
        told[f"selfplay/entropy_shift_by/{head}"] = most
    return told
