"""Numbers that are not finite: where they are, and the error that names them.

Shapes: T steps, R rows, B samples, H heads, F features.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from headctl.ppo.rollout import Rollout

if TYPE_CHECKING:
    from headctl.ppo.learner import Losses

_PARTS = ("observation", "reward", "log_prob", "value", "bootstrap")
"""Parts of a rollout, causes before their effects."""


class NonFiniteError(FloatingPointError):
    """An update that was left out because a number was NaN or infinite.

    Attributes:
        terms: The terms at fault and how many numbers (or minibatches) of each were not finite.
    """

    def __init__(self, terms: Mapping[str, int], place: str) -> None:
        """Creates the error.

        Args:
            terms: Name of the term to count.
            place: Where they were found, for the message.
        """
        self.terms = dict(terms)
        names = " and ".join(self.terms)
        counts = ", ".join(f"{count} of {name}" for name, count in self.terms.items())
        found = (
            f"the rollout's {names} were not finite" if place == "in the rollout" else f"{names} was not finite {place}"
        )
        super().__init__(
            f"ppo/policy_loss would have become NaN or infinite: {found} ({counts}). The update was left out and the "
            "policy is as it was; if this goes on, go back to the last checkpoint, with a lower ppo.learning_rate if "
            "the game's observations and rewards are in order"
        )


def broken_parts(rollout: Rollout, last_value: Tensor) -> dict[str, int]:
    """Returns how many numbers of each part of a rollout are not finite, parts without any left out.

    Args:
        rollout: What happened.
        last_value: Value of the state after the last step ``[R]``.
    """
    named = {name: getattr(rollout, name) for name in _PARTS} | {"last value": last_value}
    # The sum of a finite tensor is finite, short of an overflow: one pass, and one question for all of them.
    if bool(torch.isfinite(torch.stack([entry.sum() for entry in named.values()])).all()):
        return {}
    counts = {name: int((~torch.isfinite(entry)).sum()) for name, entry in named.items()}
    return {name: count for name, count in counts.items() if count}


def broken_term(losses: "Losses", grad_norm: Tensor) -> str | None:
    """Returns the first term of a minibatch that is not finite, causes before their effects; ``None``: no such term.

    Args:
        losses: The terms.
        grad_norm: Norm of the gradient, a scalar.
    """
    named = {
        "log_prob": torch.where(losses.weight > 0, losses.log_prob, 0.0),
        "entropy": losses.sums,
        "policy_loss": losses.policy,
        "value_loss": losses.value,
        "entropy_bonus": losses.bonus,
        "rescue_loss": losses.rescue,
        "gradient": grad_norm,
    }
    return next((name for name, entry in named.items() if not bool(torch.isfinite(entry).all())), None)
