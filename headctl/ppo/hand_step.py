"""One gradient step of :mod:`headctl.ppo.by_hand`, its few numbers taken to the host instead of through a graph.

What stands between forward and back is arithmetic with some twenty numbers. On the CPU they are at hand, and Python is
done with them in a few microseconds, where torch takes some for each of forty operations. The reference is
:meth:`headctl.ppo.learner.PPOLearner.losses` with what follows it; a test holds both to the same step.

Shapes: B rows of a minibatch, H heads.
"""

import math

import torch

from headctl.entropy.controller import MultiHeadEntropyController
from headctl.ppo.by_hand import ByHand
from headctl.ppo.faults import TERMS
from headctl.ppo.flat import FlatAdam
from headctl.ppo.fused_loss import ENTROPY_LIMIT
from headctl.ppo.gradients import FlatGradients
from headctl.ppo.options import PPOOptions
from headctl.ppo.rollout import Drawn
from headctl.ppo.row_kernels import SUMS


class HandStep:
    """Forward, back, optimiser and controller for one minibatch of a single process."""

    def __init__(
        self,
        hand: ByHand,
        gradients: FlatGradients,
        optimizer: FlatAdam,
        controller: MultiHeadEntropyController,
        options: PPOOptions,
    ) -> None:
        """Takes the parts of a learner.

        Args:
            hand: Its network and loss.
            gradients: The gradients of its policy.
            optimizer: Takes the steps.
            controller: Its temperatures.
            options: The knobs.
        """
        self._hand, self._gradients, self._optimizer = hand, gradients, optimizer
        self._controller, self._options = controller, options

    def take(self, drawn: Drawn, pulls: list[torch.Tensor] | None = None) -> list[float]:
        """Takes one step of the optimiser and one of the controller, unless a term is not finite.

        The controller's clock is as the caller has set it.

        Args:
            drawn: The minibatch.
            pulls: Gets the gradients of policy loss and bonus by the outputs for the heads; ``None``: nobody asks.

        Returns:
            Policy loss, value loss, bonus, rescue loss (there is none), KL divergence, share of clipped rows, joint
            entropy and norm of the gradient, and then 1 for every one of ``TERMS`` that is not finite.
        """
        options, controller, size = self._options, self._controller, len(drawn.chosen)
        sums, weight, log_prob, _ = self._hand.forward(drawn.table, drawn.chosen, clip=options.clip_coef)
        if pulls is not None:
            pulls.extend(self._hand.pulls(drawn, controller.bonus_factor))
        seen = sums[len(SUMS) :].view(4, -1)
        surrogate, squares, divergence, clipped, joint, alive, *per_head = sums.tolist()
        living, heads = max(alive, 1.0), seen.shape[1]
        # A head with an entropy that is not finite adds nothing to the bonus.
        factors = [
            factor if abs(entropies) < ENTROPY_LIMIT else 0.0
            for factor, entropies in zip(controller.bonus_factor(seen[2], size).tolist(), per_head[:heads], strict=True)
        ]
        bonus = math.fsum(
            factor * entropies for factor, entropies in zip(factors, per_head[:heads], strict=True) if factor
        )
        policy, value = -surrogate / living, 0.5 * squares / living
        self._gradients.clear()
        slopes = (-1.0 / living, options.value_coef / living, *(-factor for factor in factors))
        self._hand.backward(size, torch.tensor(slopes))
        grad_norm = self._gradients.clip_by_host(options.max_grad_norm)
        broken = [
            not math.isfinite(term)
            for term in (0.0, math.fsum(per_head[: 3 * heads]), policy, value, bonus, 0.0, grad_norm)
        ]
        hold = None
        if any(broken):
            broken[0] = not math.isfinite(float(torch.where(weight > 0, log_prob, 0.0).sum()))
            # Entropies that are broken the controller finds by itself, and counts them in heads/<head>/skipped.
            if not broken[TERMS.index("entropy")]:
                hold = torch.ones((), dtype=torch.bool)
        else:
            self._optimizer.found_inf = None  # pyright: ignore[reportAttributeAccessIssue] - as the learner tells it
            self._optimizer.step()
        controller.observe_sums(seen)
        controller.step(hold=hold)
        means = (divergence / living, clipped / living, joint / living)
        return [policy, value, bonus, 0.0, *means, grad_norm, *map(float, broken)]
