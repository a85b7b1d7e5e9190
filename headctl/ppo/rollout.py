"""What a rollout stores, and the advantages that follow from it.

Shapes: T steps, R rows (one per agent that the learner controls), F features, K choices, H heads, B samples.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from headctl.policy.actions import ActionHeads, Actions
from headctl.policy.network import PolicyStep


def generalized_advantages(
    reward: Tensor,
    value: Tensor,
    done: Tensor,
    bootstrap: Tensor,
    last_value: Tensor,
    *,
    gamma: float,
    gae_lambda: float,
) -> Tensor:
    """Returns generalised advantage estimates (Schulman et al. 2016, eq. 16), cut at the end of every episode.

    Where an episode was truncated, the value of the state in which it was cut stands for the rest of it; where it
    terminated, nothing does.

    Args:
        reward: Reward of each step ``[T, R]``.
        value: Value estimate of the state in which each step was taken ``[T, R]``.
        done: 1 where the episode ended at this step, by termination or truncation ``[T, R]``.
        bootstrap: Value of the final state where the episode was truncated, else 0 ``[T, R]``.
        last_value: Value of the state after the last step ``[R]``; ignored where the last step ended an episode.
        gamma: Discount per step.
        gae_lambda: Weight of longer estimates.

    Returns:
        Advantages ``[T, R]``.
    """
    advantages = torch.empty_like(reward)
    running = torch.zeros_like(last_value)
    following = last_value
    for step in range(reward.shape[0] - 1, -1, -1):
        goes_on = 1.0 - done[step]
        delta = reward[step] + gamma * (following * goes_on + bootstrap[step]) - value[step]
        running = delta + gamma * gae_lambda * goes_on * running
        advantages[step] = running
        following = value[step]
    return advantages


class Minibatch(NamedTuple):
    """Rows drawn from a rollout."""

    observation: Tensor
    """float32 ``[B, F]``."""
    masks: dict[str, Tensor]
    """bool ``[B, K]`` per masked head."""
    actions: Actions
    log_prob: Tensor
    """Log-probabilities per head when the action was drawn, float32 ``[B, H]``."""
    alive: Tensor
    """1 where the agent was alive, else 0, float32 ``[B]``."""
    advantage: Tensor
    """Normalised, float32 ``[B]``."""
    value_target: Tensor
    """Advantage plus value estimate, float32 ``[B]``."""


class Rollout:
    """Preallocated storage for T steps of R agents; filled in place, read as minibatches.

    Attributes:
        observation: float32 ``[T, R, F]``.
        masks: bool ``[T, R, K]`` per masked head.
        actions: Per head ``[T, R, ...]``.
        log_prob: float32 ``[T, R, H]``.
        value: float32 ``[T, R]``.
        reward: float32 ``[T, R]``.
        done: float32 ``[T, R]``.
        bootstrap: float32 ``[T, R]``.
        alive: float32 ``[T, R]``.
    """

    def __init__(
        self,
        steps: int,
        rows: int,
        observation_dim: int,
        action_heads: ActionHeads,
        *,
        mask_sizes: Mapping[str, int],
        device: torch.device,
    ) -> None:
        """Allocates the storage.

        Args:
            steps: T.
            rows: R.
            observation_dim: F.
            action_heads: The heads whose actions are stored.
            mask_sizes: Number of choices K of every masked head.
            device: Where the storage lives.
        """
        self.steps, self.rows = steps, rows
        self.observation = torch.zeros(steps, rows, observation_dim, device=device)
        self.masks = {
            name: torch.ones(steps, rows, size, dtype=torch.bool, device=device) for name, size in mask_sizes.items()
        }
        self.actions = action_heads.empty(steps, rows, device=device)
        self.log_prob = torch.zeros(steps, rows, len(action_heads.names), device=device)
        self.value, self.reward, self.done, self.bootstrap, self.alive = (
            torch.zeros(steps, rows, device=device) for _ in range(5)
        )

    def store_decision(self, step: int, observation: Tensor, masks: Mapping[str, Tensor], decision: PolicyStep) -> None:
        """Copies in what the agents saw and did at ``step``."""
        self.observation[step] = observation
        for name, mask in masks.items():
            self.masks[name][step] = mask
        for name, action in decision.actions.items():
            self.actions[name][step] = action
        self.log_prob[step] = decision.evaluation.log_prob
        self.value[step] = decision.value

    def store_outcome(self, step: int, reward: Tensor, done: Tensor, bootstrap: Tensor, alive: Tensor) -> None:
        """Copies in what became of it; each ``[R]``."""
        self.reward[step] = reward
        self.done[step] = done
        self.bootstrap[step] = bootstrap
        self.alive[step] = alive

    def minibatches(
        self, advantage: Tensor, size: int, epochs: int, generator: torch.Generator
    ) -> Iterator[list[Minibatch]]:
        """Yields, per epoch, the whole rollout once in a new random order, in minibatches of nearly equal size.

        Args:
            advantage: Advantages ``[T, R]``, not yet normalised.
            size: Largest number of rows in a minibatch.
            epochs: How many passes.
            generator: Random stream of the order.
        """
        total = self.steps * self.rows
        flat = Minibatch(
            observation=self.observation.flatten(0, 1),
            masks={name: mask.flatten(0, 1) for name, mask in self.masks.items()},
            actions={name: action.flatten(0, 1) for name, action in self.actions.items()},
            log_prob=self.log_prob.flatten(0, 1),
            alive=self.alive.flatten(),
            advantage=normalize(advantage, self.alive).flatten(),
            value_target=(advantage + self.value).flatten(),
        )
        pieces = -(-total // size)
        for _ in range(epochs):
            order = torch.randperm(total, generator=generator, device=generator.device)
            yield [_select(flat, index) for index in order.to(advantage.device).tensor_split(pieces)]


def normalize(advantage: Tensor, alive: Tensor) -> Tensor:
    """Returns advantages of mean 0 and standard deviation 1 over the rows of living agents; 0 for the others.

    Over the whole rollout, not per minibatch: otherwise the meaning of a temperature would jitter with the minibatch.
    """
    count = alive.sum().clamp(min=1.0)
    mean = (advantage * alive).sum() / count
    centred = (advantage - mean) * alive
    return centred / ((centred.square().sum() / count).sqrt() + 1e-8)


def _select(flat: Minibatch, index: Tensor) -> Minibatch:
    return Minibatch(
        observation=flat.observation.index_select(0, index),
        masks={name: mask.index_select(0, index) for name, mask in flat.masks.items()},
        actions={name: action.index_select(0, index) for name, action in flat.actions.items()},
        log_prob=flat.log_prob.index_select(0, index),
        alive=flat.alive.index_select(0, index),
        advantage=flat.advantage.index_select(0, index),
        value_target=flat.value_target.index_select(0, index),
    )
