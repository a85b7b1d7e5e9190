"""The actor-critic network: normalised observation, shared trunk, one output layer for all heads, one for the value.

Between the trunk and the output layers there may be a memory (:mod:`headctl.policy.recurrent`).

Shapes: B samples (any leading shape), F features of the observation, P outputs for the heads, H heads, D size of the
memory, L steps of S sequences.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from headctl.messages import unknown_name
from headctl.policy.actions import ActionHeads, Actions, Evaluation
from headctl.policy.activations import ACTIVATIONS
from headctl.policy.draws import Draws
from headctl.policy.fused import Masks, PackedActions
from headctl.policy.recurrent import GatedMemory, Sequences
from headctl.policy.scaled_critic import ScaledCritic

OBSERVATION_CLIP = 10.0
"""Normalised observations are clipped to this on both sides."""
_VARIANCE_FLOOR = 1e-8
_CONSTANT = 1e-6  # standard deviation relative to the mean below which float32 cannot tell a feature from a constant


class PolicyStep(NamedTuple):
    """What a policy did in a batch of states."""

    actions: Actions
    evaluation: Evaluation
    value: Tensor
    """float32 ``[B]``."""
    state: Tensor | None = None
    """What is remembered afterwards, float32 ``[B, D]``; ``None``: the policy has no memory."""


class ObservationNormalizer(nn.Module):
    """Subtracts the running mean and divides by the running standard deviation of every feature.

    The statistics move only in :meth:`update`; between two calls the map is fixed, so that rollout and update see the
    same inputs. They are merged by the parallel algorithm of Chan, Golub & LeVeque (1979, eqs. 2.1).
    """

    mean: Tensor
    variance: Tensor
    count: Tensor

    def __init__(self, features: int) -> None:
        """Creates statistics of mean 0 and variance 1, with no sample in them."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("variance", torch.ones(features))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    def forward(self, observation: Tensor) -> Tensor:
        """Returns the observation ``[B, F]`` with mean 0 and variance 1, clipped to [-10, 10].

        A feature that has been constant so far is centred and not scaled: what it varies by is not known yet. NaN
        counts as the mean, so that a broken sensor reading does not make every action NaN.
        """
        return self.normal(observation, self.mean, self.variance)

    @staticmethod
    def normal(observation: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """Returns what :meth:`forward` does with given statistics, which broadcast over the rows."""
        # In place: over a whole rollout every further block of memory costs as much as the arithmetic.
        scale = ObservationNormalizer.scale_of(mean, variance)
        return (observation - mean).mul_(scale).clamp_(-OBSERVATION_CLIP, OBSERVATION_CLIP).nan_to_num_(nan=0.0)

    @staticmethod
    def scale_of(mean: Tensor, variance: Tensor) -> Tensor:
        """Returns what differences from the mean are multiplied by."""
        constant = variance <= (_CONSTANT * mean).square()
        return torch.rsqrt(variance + _VARIANCE_FLOOR).masked_fill(constant, 1.0)

    @torch.no_grad()
    def update(self, observation: Tensor, total: Callable[[Tensor], Tensor] | None = None) -> None:
        """Merges a batch ``[..., F]`` into the statistics; an empty one changes nothing, nor do rows with NaN.

        Args:
            observation: The batch.
            total: Adds up sums over the processes that share the batch, in place; ``None``: there is one.
        """
        batch = observation.reshape(-1, observation.shape[-1])
        if not bool(torch.isfinite(batch.sum())):
            batch = batch[torch.isfinite(batch).all(-1)]
        # In two passes, which are as exact as torch.var_mean and on the CPU several times as fast across rows.
        if total is None:
            size = batch.shape[0]
            if size == 0:
                return
            mean = batch.mean(0)
            variance = (batch - mean).square_().mean(0)
        else:
            sums = total(torch.cat((self.count.new_tensor([batch.shape[0]]), batch.sum(0, dtype=torch.float64))))
            size = int(sums[0])
            mean = (sums[1:] / max(size, 1)).to(batch.dtype)
            squares = total((batch - mean).square_().sum(0, dtype=torch.float64))
            if size == 0:
                return
            variance = (squares / size).to(batch.dtype)
        share = (size / (self.count + size)).to(mean.dtype)
        difference = mean - self.mean
        self.variance.lerp_(variance, share).add_(difference.square() * (share * (1.0 - share)))
        self.mean.add_(difference * share)
        self.count.add_(size)


class Policy(nn.Module):
    """A policy with a value estimate: what acts in a game, and what PPO improves.

    What a policy with memory decides depends on the observation and on what it remembers of the episode: a state that
    the caller keeps for every agent, gives to each decision, and empties where an episode begins.

    Attributes:
        action_heads: The heads that turn outputs into actions.
        memory: What it remembers with; ``None``: it decides by the observation alone.
    """

    def __init__(
        self,
        observation_dim: int,
        action_heads: ActionHeads,
        *,
        hidden: Sequence[int] = (128, 128),
        activation: str = "tanh",
        memory: int = 0,
        normalize_values: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        """Creates a network with orthogonal weights (gain sqrt 2 in the trunk, 0.01 for the heads, 1 for the value).

        Args:
            observation_dim: Number of features F.
            action_heads: The heads to fill.
            hidden: Widths of the shared layers.
            activation: ``tanh``, ``relu``, ``elu`` or ``silu``.
            memory: Size D of a gated recurrent unit between trunk and output layers; 0: there is none.
            normalize_values: Whether the value output learns in units of its own returns.
            generator: Random stream of the initial weights.

        Raises:
            ValueError: An unknown activation.
        """
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"policy.activation: {unknown_name('activation', activation, ACTIVATIONS)}")
        self.action_heads = action_heads
        self.normalizer = ObservationNormalizer(observation_dim)
        layers: list[nn.Module] = []
        width = observation_dim
        for size in hidden:
            layers += [_linear(width, size, math.sqrt(2.0), generator), ACTIVATIONS[activation]()]
            width = size
        self.trunk = nn.Sequential(*layers)
        self.memory = GatedMemory(width, memory, generator) if memory else None
        width = memory or width
        self.actor = _linear(width, action_heads.num_params, 0.01, generator)
        # Of the size of the returns nothing is known: a critic that learns in their units begins at 0.
        self.critic = (
            _filled(ScaledCritic(width), 0.0, generator) if normalize_values else _linear(width, 1, 1.0, generator)
        )
        with torch.no_grad():
            self.actor.bias.copy_(action_heads.initial_bias())

    def forward(self, observation: Tensor, sequences: Sequences | None = None) -> tuple[Tensor, Tensor]:
        """Returns the joint output of the heads ``[B, P]`` and the value ``[B]``, both float32.

        Args:
            observation: ``[B, F]``.
            sequences: As in :meth:`outputs`. For single decisions of a policy with memory: :meth:`step`.
        """
        return self.outputs(self.normalizer(observation), sequences)

    def outputs(self, normal: Tensor, sequences: Sequences | None = None) -> tuple[Tensor, Tensor]:
        """Returns what :meth:`forward` does, from observations that have been through :attr:`normalizer`.

        Args:
            normal: ``[B, F]``.
            sequences: How the rows follow each other, for a policy with memory; ``None``: each is the first of an
                episode.
        """
        features = self.trunk(normal)
        if self.memory is not None:
            if sequences is None:
                features = self.memory(features, self.memory.empty(*features.shape[:-1], device=features.device))
            else:
                steps = features.unflatten(0, sequences.keep.shape)
                features = self.memory.unroll(steps, self._refreshed(sequences), sequences.keep).flatten(0, 1)
        return self.actor(features), self.critic(features).squeeze(-1)

    @torch.no_grad()
    def _refreshed(self, sequences: Sequences) -> Tensor:
        """Returns what is remembered before the first step of every sequence ``[S, D]``, after their burn-in."""
        before = sequences.burn_in
        if before is None or self.memory is None:
            return sequences.state
        remembered = self.memory.unroll(self.trunk(before.normal), before.state, before.keep)
        return sequences.state.index_copy(0, before.sequences, remembered[-1])

    def initial_state(self, *shape: int) -> Tensor | None:
        """Returns what is remembered at the beginning of an episode ``[*shape, D]``; ``None``: there is no memory."""
        return None if self.memory is None else self.memory.empty(*shape, device=self.normalizer.mean.device)

    def step(self, observation: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Returns the joint output of the heads ``[B, P]``, the value ``[B]``, and what is remembered afterwards.

        Args:
            observation: ``[B, F]``.
            state: What is remembered ``[B, D]``; ``None``: nothing, as at the beginning of an episode. A policy without
                memory passes it over.
        """
        features = self.trunk(self.normalizer(observation))
        after = None
        if self.memory is not None:
            before = self.initial_state(*observation.shape[:-1]) if state is None else state
            features = after = self.memory(features, before)
        return self.actor(features), self.critic(features).squeeze(-1), after

    @torch.no_grad()
    def act(
        self,
        observation: Tensor,
        masks: Masks,
        generator: Draws | None = None,
        *,
        state: Tensor | None = None,
        into: PackedActions | None = None,
    ) -> PolicyStep:
        """Draws actions and says what it thinks of them.

        Args:
            observation: ``[B, F]``.
            masks: bool ``[B, K]`` for heads that are masked, or side by side.
            generator: Random stream.
            state: What is remembered, as in :meth:`step`.
            into: Where the actions go; ``None``: new tensors.
        """
        params, value, after = self.step(observation, state)
        return PolicyStep(*self.action_heads.act(params, masks, generator, into=into), value, after)

    def evaluate(
        self,
        observation: Tensor,
        actions: Mapping[str, Tensor],
        masks: Mapping[str, Tensor],
        state: Tensor | None = None,
    ) -> tuple[Evaluation, Tensor]:
        """Returns what the policy says of given actions, and the value ``[B]``; differentiable.

        Args:
            observation: ``[B, F]``.
            actions: Per head ``[B, ...]``.
            masks: bool ``[B, K]`` for heads that are masked.
            state: What was remembered when they were taken, as in :meth:`step`.
        """
        params, value, _ = self.step(observation, state)
        return self.action_heads.evaluate(params, actions, masks), value


def _linear(inputs: int, outputs: int, gain: float, generator: torch.Generator | None) -> nn.Linear:
    # Made without memory first: the layer's own initialisation would draw from the global random stream.
    return _filled(nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu"), gain, generator)


def _filled(layer: nn.Linear, gain: float, generator: torch.Generator | None) -> nn.Linear:
    nn.init.orthogonal_(layer.weight, gain, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer
