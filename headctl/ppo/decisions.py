"""The decisions of a rollout, from observation to stored action, in memory that is kept.

For the policies of :mod:`headctl.ppo.by_hand`; the arithmetic is the same, so the ratio is 1 before the first step.

Shapes: T steps, R rows, S = T R, F features, P outputs for the heads.
"""

import torch
import warp as wp
from torch import Tensor, nn

from headctl.policy.actions import Actions
from headctl.policy.blocks import ROWS
from headctl.policy.draws import Draws, fill_normal, fill_uniform
from headctl.policy.fused import Recorded
from headctl.policy.network import ObservationNormalizer, Policy
from headctl.ppo.activation_kernels import KINDS, activate_rows
from headctl.ppo.by_hand import ByHand
from headctl.ppo.rollout import Rollout
from headctl.ppo.row_kernels import Stored, Work, decide_rows, normalize_rows


class Decisions:
    """Decides for all rows of a rollout, step by step."""

    def __init__(self, policy: Policy, rollout: Rollout) -> None:
        """Allocates the memory.

        Args:
            policy: One that :meth:`knows`; it acts as it is at :meth:`begin`.
            rollout: Where its decisions are stored.
        """
        self._policy, self._rollout = policy, rollout
        heads = policy.action_heads
        widths = [layer.out_features for layer in policy.trunk if isinstance(layer, nn.Linear)]
        rows, self._rows = rollout.steps * rollout.rows, rollout.rows
        self._seen = torch.empty(rollout.rows, rollout.observation.shape[-1])
        self._hidden = [torch.empty(rollout.rows, width) for width in widths]
        width = -(-rollout.rows // ROWS) * ROWS + ROWS  # as in by_hand
        outputs = torch.empty(heads.num_params + 1, width)
        self._outputs = outputs[:, : rollout.rows]
        numbers, reals = max(heads.packing.num_numbers, 1), max(heads.packing.num_reals, 1)
        self._uniform, self._normal = torch.empty(rows, numbers), torch.empty(rows, reals)
        self._biases = [torch.empty(width) for width in widths]
        kinds = [KINDS[type(layer)] for layer in policy.trunk if not isinstance(layer, nn.Linear)]
        self._activate = [
            Recorded(activate_rows, [0, rollout.rows, kind, bias, room])
            for kind, bias, room in zip(kinds, self._biases, self._hidden, strict=True)
        ]
        self._weights: list[Tensor] = []
        self._ends = (torch.empty(0), torch.empty(0))
        self._mean, self._scale = torch.empty(2, self._seen.shape[1]).unbind()
        self._normalize = Recorded(
            normalize_rows, [0, rollout.observation.flatten(0, 1), self._mean, self._scale, self._seen]
        )
        of_outputs, of_heads = torch.empty(2, heads.num_params, width), torch.empty(4, len(heads.names), width)
        table = rollout.flat(rollout.observation, normalized=False)
        stored = Stored()
        named = {"masks": table.masks.legal, "numbers": table.actions.numbers, "reals": table.actions.reals}
        named |= {"log_prob": table.log_prob, "choice": table.choice, "rest": table.rest}
        for name, entry in named.items():
            setattr(stored, name, wp.from_torch(entry, requires_grad=False))
        work, index = Work(), torch.arange(width).clamp(max=rollout.rows - 1)
        names = ("outputs", "first", "second", "log_prob", "entropy", "capacity", "weight")
        for name, entry in zip(names, (outputs, *of_outputs, *of_heads), strict=True):
            setattr(work, name, wp.from_torch(entry, requires_grad=False))
        tensors = (index, self._uniform, self._normal, rollout.value.flatten(), rollout.entropy.flatten(0, 1))
        index_view, *draws, value, entropy = (wp.from_torch(entry, requires_grad=False) for entry in tensors)
        parts = heads.packing.parts(table.masks.names, self._seen.device)
        inputs = [0, rollout.rows, parts, index_view, *draws, stored, value, entropy, work]
        blocks = -(-rollout.rows // ROWS)
        self._decide = Recorded(decide_rows, inputs)
        self._blocks, self._owned = blocks, (tensors, outputs, of_outputs, of_heads)

    @staticmethod
    def knows(policy: Policy) -> bool:
        """Returns whether the policy is made of what is known here."""
        return ByHand.knows(policy) and not policy.action_heads.conditional

    def begin(self, generator: Draws) -> None:
        """Takes over the policy as it is, and draws the random numbers of all steps."""
        policy = self._policy
        normalizer = policy.normalizer
        self._mean.copy_(normalizer.mean)
        self._scale.copy_(ObservationNormalizer.scale_of(normalizer.mean, normalizer.variance))
        linears = [layer for layer in policy.trunk if isinstance(layer, nn.Linear)]
        self._weights = [linear.weight.detach().t() for linear in linears]
        for kept, linear in zip(self._biases, linears, strict=True):
            kept.copy_(linear.bias.detach())
        ends = (policy.actor, policy.critic)
        weight, bias = (torch.cat([getattr(end, name).detach() for end in ends]) for name in ("weight", "bias"))
        self._ends = weight, bias.unsqueeze(1)
        if policy.action_heads.packing.num_numbers:
            fill_uniform(self._uniform, generator, self._rollout.steps)
        if policy.action_heads.packing.num_reals:
            fill_normal(self._normal, generator, self._rollout.steps)

    def decide(self, step: int, observation: Tensor) -> Actions:
        """Decides at ``step``, whose masks stand in the rollout; stores all of it and returns the actions ``[R, ...]``.

        Args:
            step: Number of the step.
            observation: ``[R, F]``.
        """
        at = self._rollout.at(step)
        at.observation.copy_(observation)
        seen = self._seen
        self._normalize(step * self._rows)
        for weight, room, activate in zip(self._weights, self._hidden, self._activate, strict=True):
            seen = torch.mm(seen, weight, out=room)
            activate(0, self._rows)
        weight, bias = self._ends
        torch.addmm(bias, weight, seen.t(), out=self._outputs)
        self._decide(step * self._rows, threads=self._blocks)
        return dict(at.actions)
