"""The PPO update: one clipped surrogate for the joint action, one entropy bonus per head.

Shapes: T steps, R rows, B samples, H heads, P outputs of the network for all heads.
"""

import math
from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor, distributed

from headctl.entropy.controller import MultiHeadEntropyController
from headctl.entropy.packing import weighted_sum
from headctl.policy.actions import joint_entropy
from headctl.policy.network import Policy
from headctl.policy.scaled_critic import ScaledCritic
from headctl.ppo.by_hand import ByHand, HandRows, loss_by_hand
from headctl.ppo.diagnostics import explained_variance, gradient_shares
from headctl.ppo.faults import TERMS, NonFiniteError, broken_parts, first_broken, terms_broken
from headctl.ppo.flat import FlatAdam, flat_order, flatten
from headctl.ppo.fused_loss import LossRows, fused_loss
from headctl.ppo.gradients import FlatGradients
from headctl.ppo.hand_step import HandStep
from headctl.ppo.lanes import Lanes
from headctl.ppo.losses import TOLD, Losses, weighted_sums
from headctl.ppo.options import PPOOptions
from headctl.ppo.rollout import Drawn, Minibatch, PackedRows, Rollout, generalized_advantages

_FINAL_LEARNING_RATE = 0.1  # share of the learning rate that a linear schedule ends at: the control loop stays closed


_RARE_SHARE = 0.02  # as in the controller's bonus: a head with fewer active rows is pulled less


class PPOLearner:
    """Improves a policy from rollouts, and moves the controller after every minibatch.

    Attributes:
        policy: The policy.
        controller: Its temperatures.
        options: The knobs.
        generator: Random stream of the order of the rows.
        optimizer: Adam over the policy's parameters.
        gradients: Their gradients, side by side.
        skipped: Of the last update, how many minibatches were left out, by the term that was not finite.
    """

    def __init__(
        self,
        policy: Policy,
        controller: MultiHeadEntropyController,
        options: PPOOptions,
        generator: torch.Generator,
        *,
        process_group: distributed.ProcessGroup | None = None,
        threads: int = 1,
    ) -> None:
        """Creates the learner.

        Args:
            policy: The policy to improve, in place.
            controller: Its heads in the order of the policy's.
            options: The knobs.
            generator: Random stream of the order of the rows.
            process_group: The processes that share the work, each with a rollout of its own of the same size. Counts
                and sums are those of all of them, so together they take the steps of one process with all rows; there
                is one message per minibatch, and every process ends with the same policy and the same temperatures.
                The policy of the first one is sent to the others now.
            threads: Threads that share the rows of a minibatch, where the policy is of a kind that allows it.

        Raises:
            ValueError: A controller of other heads, or one that adds up over processes by itself.
        """
        if controller.heads != policy.action_heads.names:
            raise ValueError(
                f"controller: has the heads {list(controller.heads)}, the policy has {list(policy.action_heads.names)}"
            )
        if controller.process_group is not None:
            raise ValueError(
                "controller: with a process group of its own it would add up what the learner has added up"
            )
        self._group = process_group
        if process_group is not None:
            first = distributed.get_global_rank(process_group, 0)
            for entry in policy.state_dict().values():
                distributed.broadcast(entry, first, group=process_group)
        self.policy = policy
        self.controller = controller
        self.options = options
        self.generator = generator
        rescued = [controller.specs[name].rescue for name in controller.heads]
        self._rescued = torch.tensor(rescued, device=controller.device) if any(rescued) else None
        self.skipped: Counter[str] = Counter()
        order = flat_order(policy)
        flat = flatten(order)
        self.gradients = FlatGradients(order)
        self.optimizer = FlatAdam(policy.parameters(), flat, self.gradients.flat, order, lr=options.learning_rate)
        by_hand = self._rescued is None and ByHand.knows(policy)
        self._hand = ByHand(policy, flat, self.gradients, Lanes(threads)) if by_hand else None
        self._hand_step = None
        if self._hand is not None and process_group is None:
            self._hand_step = HandStep(self._hand, self.gradients, self.optimizer, controller, options)

    @property
    def by_hand(self) -> bool:
        """Whether the update needs no graph, by the kind of policy, and since no part is frozen: lanes do it."""
        return self._hand is not None and all(parameter.requires_grad for parameter in self.policy.parameters())

    def losses(self, batch: Minibatch | Drawn) -> Losses:
        """Returns the terms of the loss on a minibatch.

        Policy: Schulman et al. 2017, eq. 7, with the ratio of the joint action, the product over the heads. Value:
        half the squared error. Both are means over the rows of living agents. KL divergence: the estimator ``k3`` of
        Schulman (2020), ``(r - 1) - log r``.
        """
        if isinstance(batch, Drawn):
            assert self._hand is not None  # noqa: S101 - rows are drawn for those who read them where they are
            rows = HandRows(self._hand, batch, self.options.clip_coef, self.controller.bonus_factor)
            terms, params = loss_by_hand(self.policy.critic.bias, rows)
            return Losses(params=params, rescue=params.new_zeros(()), **terms._asdict())
        params, value = (self.policy.outputs if batch.normalized else self.policy)(*batch.seen)
        heads = self.policy.action_heads.fused
        if heads is None:
            return self.losses_apart(params, value, batch)
        options = self.options
        rows = LossRows(
            heads=heads,
            packed=batch.packed or self._pack(params, batch),
            log_prob=batch.log_prob,
            alive=batch.alive,
            advantage=batch.advantage,
            value_target=batch.value_target,
            clip=options.clip_coef,
            factor=self.controller.bonus_factor,
            shares=batch.shares,
        )
        terms = fused_loss(params, value, rows)
        return Losses(params=params, rescue=self._rescue(params, batch, terms.weight), **terms._asdict())

    def _pack(self, params: Tensor, batch: Minibatch) -> PackedRows:
        """Returns the rows of a minibatch that does not come out of a rollout, as the fused loss reads them."""
        heads, size = self.policy.action_heads, (len(batch.alive),)
        choice = heads.evaluate(params.detach(), batch.actions, batch.masks).choice
        return PackedRows(
            heads.packing.pack_actions(batch.actions, size),
            heads.packing.pack_masks(batch.masks, size, params.device),
            choice,
        )

    def losses_apart(self, params: Tensor, value: Tensor, batch: Minibatch) -> Losses:
        """Returns the terms of the loss by operations of torch, for heads that are not fused; the reference."""
        options = self.options
        evaluation = self.policy.action_heads.evaluate_apart(params, batch.actions, batch.masks)
        # Rows of the dead count nothing; an overflow in one of them must not become 0 * inf.
        log_ratio = torch.where(batch.alive > 0, (evaluation.log_prob - batch.log_prob).sum(-1), 0.0)
        ratio = log_ratio.exp()
        clipped = ratio.clamp(1.0 - options.clip_coef, 1.0 + options.clip_coef)
        surrogate = torch.minimum(batch.advantage * ratio, batch.advantage * clipped)
        count = (batch.alive.sum() if batch.shares is None else batch.shares[0]).clamp(min=1.0)
        weight = evaluation.choice * batch.alive.unsqueeze(-1)
        with torch.no_grad():
            approx_kl = ((ratio - 1.0 - log_ratio) * batch.alive).sum() / count
            clip_fraction = (((ratio - 1.0).abs() > options.clip_coef) * batch.alive).sum() / count
            joint = (joint_entropy(evaluation) * batch.alive).sum() / count
        return Losses(
            policy=-(surrogate * batch.alive).sum() / count,
            value=0.5 * ((value - batch.value_target).square() * batch.alive).sum() / count,
            bonus=self._bonus(evaluation.entropy, weight, batch.shares),
            rescue=self._rescue(params, batch, weight),
            joint_entropy=joint,
            approx_kl=approx_kl,
            clip_fraction=clip_fraction,
            params=params,
            sums=weighted_sums(evaluation.entropy, evaluation.capacity, weight),
            weight=weight,
            log_prob=evaluation.log_prob.detach(),
        )

    def _bonus(self, entropy: Tensor, weight: Tensor, shares: Tensor | None) -> Tensor:
        if shares is None:
            return self.controller.bonus(entropy, weight=weight)
        return weighted_sum(entropy, weight, self.controller.bonus_factor(shares[2:], shares[1]))

    def _rescue(self, params: Tensor, batch: Minibatch, weight: Tensor) -> Tensor:
        """Returns ``sum_h mean_w KL(U || pi_h)`` over the collapsed heads that shall be rescued.

        The softmax of such a head passes hardly any gradient of its entropy; that of this divergence is ``p - U``.
        """
        if self._rescued is None:
            return params.new_zeros(())
        divergence = self.policy.action_heads.divergence_from_uniform(params, batch.masks)
        counts, rows = weight.sum(0), torch.full_like(weight[0], len(weight))
        if batch.shares is not None:
            counts, rows = batch.shares[2:], batch.shares[1]
        active = torch.maximum(counts, _RARE_SHARE * rows)
        on = self._rescued & self.controller.collapsed
        return torch.where(on, (divergence * weight).sum(0) / active, 0.0).sum()

    def update(self, rollout: Rollout, last_value: Tensor, progress: float) -> dict[str, float]:
        """Improves the policy by one rollout.

        A minibatch in which a number is not finite is left out, counted in ``ppo/skipped`` and in :attr:`skipped`.

        Args:
            rollout: What happened.
            last_value: Value of the state after the last step ``[R]``.
            progress: Share of the training that is done, in [0, 1].

        Returns:
            Metrics ``ppo/...``, ``policy/...`` and ``heads/<head>/...``, means over the minibatches.

        Raises:
            NonFiniteError: The rollout held a number that is not finite, or no minibatch could be used. What the policy
                does, optimiser and controller are as they were.
        """
        self.skipped.clear()
        parts = broken_parts(rollout, last_value)
        if self._group is not None and not parts and float(self._total(last_value.new_zeros(()))) > 0.0:
            parts = {"of another process": 1}
        elif self._group is not None and parts:
            self._total(last_value.new_ones(()))
        if parts:
            raise NonFiniteError(parts, "in the rollout")
        options, total = self.options, None if self._group is None else self._total
        learning_rate = self._set_learning_rate(progress)
        advantage = generalized_advantages(
            rollout.reward,
            rollout.value,
            rollout.done,
            rollout.bootstrap,
            last_value,
            gamma=options.gamma,
            gae_lambda=options.gae_lambda,
        )
        critic = self.policy.critic
        if isinstance(critic, ScaledCritic):
            critic.rescale(rollout.value + advantage, rollout.alive, total)
        if self._hand_step is not None:
            self.controller.advance(progress=progress)
        shares: dict[str, float] = {}
        told: list[list[float]] = []
        # The statistics of the normaliser rest during an update: once for all passes.
        with torch.no_grad():
            normal = self.policy.normalizer(rollout.observation)
        deal = partial(rollout.minibatches, cut=options.cut) if not self.by_hand else rollout.drawn
        epochs = deal(advantage, options.minibatch_size, options.epochs, self.generator, normal=normal, total=total)
        for batches in epochs:
            before = len(told)
            told += self._kept([self._take(batch, progress, shares) for batch in batches])
            if options.target_kl is not None and len(told) > before:
                divergences = [row[TOLD.index("ppo/approx_kl")] for row in told[before:]]
                if math.fsum(divergences) / len(divergences) > options.target_kl:
                    break
        if not told:
            raise NonFiniteError(self.skipped, "in every minibatch, while the rollout was finite")
        means = [math.fsum(column) / len(told) for column in zip(*told, strict=True)]
        metrics = dict(zip(TOLD, means, strict=True))
        if isinstance(critic, ScaledCritic):
            metrics["ppo/return_std"], metrics["ppo/return_mean"] = critic.scale.tolist()
        metrics["ppo/explained_variance"] = float(explained_variance(rollout.value, advantage, rollout.alive, total))
        metrics["ppo/learning_rate"] = learning_rate
        metrics["ppo/updates"] = float(len(told))
        metrics["ppo/skipped"] = float(self.skipped.total())
        return metrics | self.controller.metrics() | shares

    def metrics_without_update(self, progress: float) -> dict[str, float]:
        """Returns what :meth:`update` would, for an iteration whose update was left out: NaN for what is not known."""
        unknown = dict.fromkeys((*TOLD, "ppo/explained_variance"), math.nan)
        heads = self.controller.heads
        controller = self.controller.metrics() or {f"heads/{name}/alpha": math.nan for name in heads}
        shares = {f"heads/{name}/bonus_to_policy_grad": math.nan for name in heads}
        known = {
            "ppo/learning_rate": self._set_learning_rate(progress),
            "ppo/updates": 0.0,
            "ppo/skipped": float(max(1, self.skipped.total())),
        }
        return unknown | known | controller | shares

    def _take(self, batch: Minibatch | Drawn, progress: float, shares: dict[str, float]) -> Tensor | list[float]:
        """Takes one gradient step.

        Args:
            batch: The minibatch.
            progress: Share of the training that is done.
            shares: Gets how strongly the bonus pulls at every head, unless that is there already.

        Returns:
            What :meth:`_descend` does.
        """
        pulls: list[Tensor] = []
        if self._hand_step is not None and isinstance(batch, Drawn):
            told = self._hand_step.take(batch, None if shares else pulls)
        else:
            losses = self.losses(batch)
            pulls = [] if shares else self._pulls(losses, batch)
            told = self._descend(losses, progress)
        if pulls:
            total = None if self._group is None else self._total
            of_policy, of_bonus = pulls
            shares |= gradient_shares(self.policy.action_heads.heads, of_policy, of_bonus, total)
        return told

    def _descend(self, losses: Losses, progress: float) -> Tensor:
        """Takes one step of the optimiser and one of the controller, unless a term is not finite.

        The host does not wait for the answer: the device itself takes the step or leaves it.

        Returns:
            What it tells, and then 1 for every one of ``TERMS`` that is not finite.
        """
        options = self.options
        critic = self.policy.critic
        value = losses.value * critic.loss_factor if isinstance(critic, ScaledCritic) else losses.value
        loss = losses.policy + options.value_coef * value - losses.bonus
        if self._rescued is not None:
            loss = loss + options.rescue_coef * losses.rescue
        self.gradients.clear()
        loss.backward()
        terms = torch.stack(
            (
                losses.policy,
                losses.value,
                losses.bonus,
                losses.rescue,
                losses.approx_kl,
                losses.clip_fraction,
                losses.joint_entropy,
                torch.where(losses.weight > 0, losses.log_prob, 0.0).sum(),
            )
        ).detach()
        if self._group is not None:
            sums, terms = self.gradients.add_up((losses.sums, terms), self._group)
            losses = losses._replace(sums=sums)
        grad_norm = self.gradients.clip(options.max_grad_norm)
        broken = terms_broken(terms, losses.sums, grad_norm)
        left_out = broken[1:].any()
        self.optimizer.found_inf = left_out.float()  # pyright: ignore[reportAttributeAccessIssue] - how GradScaler tells it
        self.optimizer.step()
        self.controller.observe_sums(losses.sums)
        # Entropies that are broken the controller finds by itself, and counts them in heads/<head>/skipped.
        self.controller.step(progress=progress, hold=left_out & ~broken[TERMS.index("entropy")])
        return torch.cat((terms[:-1], grad_norm.unsqueeze(0), broken.float()))

    def _kept(self, taken: list[Tensor | list[float]]) -> list[list[float]]:
        """Returns what the minibatches of an epoch tell, and counts those that were left out; one transfer."""
        kept: list[list[float]] = []
        tensors = [row for row in taken if isinstance(row, Tensor)]
        numbers = torch.stack(tensors).tolist() if tensors else []
        for row in numbers + [row for row in taken if not isinstance(row, Tensor)]:
            told, term = row[: len(TOLD)], first_broken(row[len(TOLD) :])
            if term is None:
                kept.append(told)
            else:
                self.skipped[term] += 1
        return kept

    def _total(self, sums: Tensor) -> Tensor:
        """Adds up sums over the processes, in place."""
        distributed.all_reduce(sums, group=self._group)
        return sums

    def _pulls(self, losses: Losses, batch: Minibatch | Drawn) -> list[Tensor]:
        """Returns the gradients of the policy loss and of the bonus by the outputs for the heads, ``[B, P]`` each."""
        if self._hand is not None and isinstance(batch, Drawn):
            return self._hand.pulls(batch, self.controller.bonus_factor)
        terms = (losses.policy, losses.bonus)
        return [torch.autograd.grad(term, losses.params, retain_graph=True)[0] for term in terms]

    def _set_learning_rate(self, progress: float) -> float:
        rate = self.options.learning_rate
        if self.options.learning_rate_schedule == "linear":
            rate *= 1.0 - (1.0 - _FINAL_LEARNING_RATE) * progress
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def state_dict(self) -> dict[str, Any]:
        """Returns copies of policy, optimiser and controller as plain data."""
        return {
            # torch's own state dicts are views of what the next update changes.
            "policy": {name: entry.clone() for name, entry in self.policy.state_dict().items()},
            "optimizer": deepcopy(self.optimizer.state_dict()),
            "controller": self.controller.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over a state of the same policy and heads."""
        self.policy.load_state_dict(state["policy"])
        self.optimizer.load_state_dict(deepcopy(state["optimizer"]))  # torch would go on working in the given tensors
        self.controller.load_state_dict(state["controller"])
