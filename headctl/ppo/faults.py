"""Numbers that are not finite: where they are, and the error that names them.

Shapes: T steps, R rows, B samples, H heads, F features.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from headctl.ppo.rollout import Rollout

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


TERMS = ("log_prob", "entropy", "policy_loss", "value_loss", "entropy_bonus", "rescue_loss", "gradient")
"""Terms of a minibatch, causes before their effects. A log-probability alone is no reason to leave it out: it may be as
small as a float can be."""


def terms_broken(terms: Tensor, sums: Tensor, grad_norm: Tensor) -> Tensor:
    """Returns which of :data:`TERMS` are not finite, bool ``[7]`` on the device.

    Args:
        terms: The four losses first, the sum of the log-probabilities last.
        sums: What the controller sees ``[4, H]``.
        grad_norm: Norm of the gradient, a scalar.
    """
    asked = torch.cat((terms[-1:], sums.sum().unsqueeze(0), terms[:4], grad_norm.unsqueeze(0)))
    return ~torch.isfinite(asked)


def first_broken(flags: Sequence[float]) -> str | None:
    """Returns the first term of a minibatch that is not finite, ``None`` where it was used.

    Args:
        flags: As :func:`terms_broken` returned them.
    """
    if not any(flags[1:]):
        return None
    return next(name for name, flag in zip(TERMS, flags, strict=True) if flag)
