"""What episodes that were cut would still have been worth: values of their last states.

Shapes: T steps, R rows of the learner, F features, S steps that are kept, D size of a memory.

To ask after every step which rows were cut makes the host wait for the device every time. So the last observations of
some steps are kept and asked for together: one question, and one call of the policy, for all of them.
"""

import torch
from torch import Tensor

from headctl.policy.network import Policy
from headctl.ppo.rollout import Rollout

_BYTES = 64 << 20  # of observations and memories that are kept; with large ones the question comes more often


class CutEpisodes:
    """Fills in ``bootstrap`` of a rollout."""

    def __init__(self, rollout: Rollout, policy: Policy) -> None:
        """Creates the storage.

        Args:
            rollout: Whose ``bootstrap`` is filled in.
            policy: Gives the values, as it is when they are asked for.
        """
        self._rollout, self._policy = rollout, policy
        steps, rows, features = rollout.observation.shape
        remembered = 0 if policy.memory is None else policy.memory.size
        kept = max(1, min(steps, _BYTES // (4 * max(rows * (features + remembered), 1))))
        self._final = rollout.observation.new_empty(kept, rows, features)
        self._state = rollout.observation.new_empty(kept, rows, remembered) if remembered else None
        self._truncated = torch.zeros(kept, rows, dtype=torch.bool, device=self._final.device)
        self._first = self._count = 0

    def note(
        self, step: int, truncated: Tensor, final: Tensor, rows: Tensor | None, state: Tensor | None = None
    ) -> None:
        """Keeps the end of a step.

        Args:
            step: Number of the step in the rollout; they come one after the other.
            truncated: Whose episode was cut, bool ``[R]``.
            final: What all seats saw before any reset ``[N A, F]``.
            rows: Seats of the learner ``[R]``; ``None``: all of them.
            state: What a policy with memory remembers of the episodes after this step ``[R, D]``.
        """
        if self._count == len(self._final):
            self.value()
        if not self._count:
            self._first = step
        if rows is None:
            self._final[self._count].copy_(final)
        else:
            torch.index_select(final, 0, rows, out=self._final[self._count])
        if self._state is not None and state is not None:
            self._state[self._count] = state
        self._truncated[self._count] = truncated
        self._count += 1

    @torch.no_grad()
    def value(self) -> None:
        """Asks for the values of what was kept, and forgets it."""
        if not self._count:
            return
        bootstrap = self._rollout.bootstrap[self._first : self._first + self._count].zero_().flatten()
        cut = self._truncated[: self._count].flatten().nonzero().squeeze(-1)
        if len(cut):
            state = None if self._state is None else self._state.flatten(0, 1).index_select(0, cut)
            _, value, _ = self._policy.step(self._final.flatten(0, 1).index_select(0, cut), state)
            bootstrap.index_copy_(0, cut, value)
        self._count = 0
