"""Rollouts of policies with memory: what was remembered is stored, and minibatches are made of whole sequences.

A rollout of T steps is cut into T / L sequences of every agent; gradients go back through the L steps of a sequence and
no further. The memory before a sequence's first step is the one that the decision was made with. After some minibatches
it is stale, because another network has filled it: a burn-in runs the steps before the sequence again, with the network
as it is, without gradient and without a loss (Kapturowski et al. 2019, section 3). The first sequence of a rollout has
no steps before it and starts from what is stored. Where an episode began within a sequence, nothing is remembered from
before, so there is no padding: every row is a decision that was taken.

Shapes: T steps, R rows (one per agent that the learner controls), D size of the memory, L steps of a sequence, S
sequences of a minibatch, U steps of a burn-in.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from headctl.policy.network import Policy
from headctl.policy.recurrent import BurnIn, Sequences
from headctl.ppo.rollout import Cut, Minibatch, Rollout


def make_rollout(
    policy: Policy, steps: int, rows: int, observation_dim: int, *, mask_sizes: Mapping[str, int], device: torch.device
) -> Rollout:
    """Returns the storage that a policy's decisions fit into.

    Args:
        policy: Who decides.
        steps: T.
        rows: R.
        observation_dim: F.
        mask_sizes: Number of choices K of every masked head.
        device: Where the storage lives.
    """
    if policy.memory is None:
        return Rollout(steps, rows, observation_dim, policy.action_heads, mask_sizes=mask_sizes, device=device)
    return SequenceRollout(policy, steps, rows, observation_dim, mask_sizes=mask_sizes, device=device)


class SequenceRollout(Rollout):
    """A rollout of a policy with memory.

    Attributes:
        state: What was remembered before each decision, float32 ``[T, R, D]``.
        fresh: 1 where an episode began with this decision, so that ``state`` is empty, float32 ``[T, R]``; 0 in the
            first step, before which nothing is played again.
    """

    def __init__(
        self,
        policy: Policy,
        steps: int,
        rows: int,
        observation_dim: int,
        *,
        mask_sizes: Mapping[str, int],
        device: torch.device,
    ) -> None:
        """Allocates the storage; arguments as in :func:`make_rollout`.

        Raises:
            ValueError: A policy without memory.
        """
        if policy.memory is None:
            raise ValueError("policy: has no memory, its rollouts are no sequences")
        super().__init__(steps, rows, observation_dim, policy.action_heads, mask_sizes=mask_sizes, device=device)
        self.state = self._remembered = policy.memory.empty(steps, rows, device=device)
        self.fresh = torch.zeros(steps, rows, device=device)

    def store_state(self, step: int, state: Tensor, fresh: Tensor) -> None:
        """Copies in what is remembered before the decision of ``step`` ``[R, D]``, and where an episode begins."""
        self._remembered[step] = state
        self.fresh[step] = fresh if step else 0.0

    def _pieces(self, size: int, cut: Cut, generator: torch.Generator) -> Sequence[Tensor]:
        """Returns the rows of every minibatch: whole sequences in a new random order, step by step.

        Raises:
            ValueError: A length that does not divide the rollout, or a longer burn-in.
        """
        length = cut.length
        if length < 1 or self.steps % length or not 0 <= cut.burn_in <= length:
            raise ValueError(
                f"sequences of {length} steps with a burn-in of {cut.burn_in}: the length must divide the {self.steps} "
                "steps of the rollout, and the burn-in must not be longer"
            )
        count = self.steps // length * self.rows
        order = torch.randperm(count, generator=generator, device=generator.device).to(self.observation.device)
        first = order // self.rows * (length * self.rows) + order % self.rows
        later = self.rows * torch.arange(length, device=first.device).unsqueeze(1)
        return [(piece + later).flatten() for piece in first.tensor_split(-(-count // max(size // length, 1)))]

    def _epoch(
        self, pieces: Sequence[Tensor], normal: Tensor | None, shares: Tensor | None, cut: Cut
    ) -> Iterator[Minibatch]:
        for index, batch in zip(pieces, super()._epoch(pieces, normal, shares, cut), strict=True):
            yield batch._replace(sequences=self._sequences(index, normal, cut))

    def _sequences(self, index: Tensor, normal: Tensor | None, cut: Cut) -> Sequences:
        """Returns how the rows ``[L S]`` of a minibatch follow each other."""
        steps = index.view(cut.length, -1)
        state, fresh = self._remembered.flatten(0, 1), self.fresh.flatten()
        burn_in = None
        if cut.burn_in:
            if normal is None:
                raise ValueError("normal: a burn-in needs the observations after the normaliser")
            warm = (steps[0] >= self.rows).nonzero().squeeze(-1)
            back = self.rows * torch.arange(-cut.burn_in, 0, device=index.device).unsqueeze(1)
            before = steps[0].index_select(0, warm) + back
            burn_in = BurnIn(
                state=state.index_select(0, before[0]),
                normal=normal.flatten(0, 1).index_select(0, before.flatten()).unflatten(0, before.shape),
                keep=(1.0 - fresh.index_select(0, before.flatten())).view(before.shape),
                sequences=warm,
            )
        keep = (1.0 - fresh.index_select(0, index)).view(steps.shape)
        return Sequences(state.index_select(0, steps[0]), keep, burn_in)
