"""PPO for many experiments at once: E small networks side by side, one controller for the heads of all of them.

An experiment of this size spends its time on the overhead of small tensors; side by side, thirty take little longer
than one. Each has its own random stream, network, advantages, gradient norm and heads, so that its course does not
depend on its neighbours. Loss and update are those of :class:`headctl.ppo.learner.PPOLearner` (a test holds them
together), the controller is the product's.

Shapes: E experiments, R rows of one iteration, B rows of a minibatch, H heads, F features, P outputs of a network.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headctl.entropy.controller import MultiHeadEntropyController
from headctl.entropy.spec import HeadSpec
from headctl.policy.actions import ActionHeads, Actions, Evaluation, describe_space, resolve_heads
from headctl.policy.network import Policy
from headctl.run.lab.task import FEATURES, SPACE, Task

Floats = NDArray[np.float64]
_RETURN_SHARE = 0.1  # share of the iterations, at the end, whose greedy returns are averaged


@dataclass(frozen=True, slots=True)
class Experiment:
    """One closed loop: what the heads are asked for, and where chance begins.

    Attributes:
        heads: Head name to its options, as in a configuration.
        seed: Of the task, the network and every draw.
        reward_scale: What all rewards are multiplied by.
        normalize_rewards: Whether the learner sees rewards divided by their running root mean square, as wrappers of
            the field do it, so that the critic, which shares the network and its gradient norm, has numbers of order 1.
    """

    heads: Mapping[str, Any]
    seed: int
    reward_scale: float = 1.0
    normalize_rewards: bool = False


class Trace(NamedTuple):
    """What an experiment did, per iteration and head."""

    heads: tuple[str, ...]
    fraction: Floats
    """Fraction of the acting policy after each update, measured on fresh states ``[iterations, H]``."""
    target: Floats
    """Target fraction of each update; NaN without a target ``[iterations, H]``."""
    alpha: Floats
    """Mean over the minibatches of each update ``[iterations, H]``."""
    active: Floats
    """Share of the rows in which the head mattered ``[iterations, H]``."""
    greedy_return: float
    """Mean reward without luck of the most likely actions, over the last tenth."""


class Batch(NamedTuple):
    """A minibatch of every experiment."""

    observation: Tensor
    """``[E, B, F]``."""
    masks: dict[str, Tensor]
    """bool ``[E, B, K]``."""
    actions: Actions
    """``[E, B, ...]``."""
    log_prob: Tensor
    """Of the joint action when it was drawn ``[E, B]``."""
    advantage: Tensor
    """Of mean 0 and deviation 1 over the iteration ``[E, B]``."""
    reward: Tensor
    """``[E, B]``."""


class Losses(NamedTuple):
    """Sums over the experiments of each term, and what the controller wants to see, ``[B, E H]``."""

    policy: Tensor
    value: Tensor
    bonus: Tensor
    entropy: Tensor
    capacity: Tensor
    weight: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopOptions:
    """The knobs of the updates; Schulman et al. 2017."""

    rows: int = 512
    epochs: int = 4
    minibatches: int = 4
    clip_coef: float = 0.2
    value_coef: float = 0.5
    learning_rate: float = 3e-4
    max_grad_norm: float = 0.5
    hidden: tuple[int, ...] = (128, 128)


class Loop:
    """Plays and learns E experiments in step."""

    def __init__(self, experiments: Sequence[Experiment], options: LoopOptions) -> None:
        """Creates tasks, networks and the controller.

        Args:
            experiments: What to run; all have the same heads.
            options: The knobs of the updates.
        """
        self.options = options
        self.generators = [torch.Generator().manual_seed(experiment.seed) for experiment in experiments]
        self.task = Task(self.generators)
        known = describe_space(SPACE)
        specs = [resolve_heads(known, experiment.heads) for experiment in experiments]
        self.action_heads = ActionHeads(specs[0], SPACE)
        self.controller = MultiHeadEntropyController(_renamed(specs))
        policies = [
            Policy(FEATURES, self.action_heads, hidden=options.hidden, generator=generator)
            for generator in self.generators
        ]
        self._parameters, self._buffers = torch.func.stack_module_state(policies)
        self._network = policies[0]
        self._optimizer = torch.optim.Adam(
            list(self._parameters.values()), lr=options.learning_rate, eps=1e-5, fused=True
        )
        self._scale = torch.tensor([[experiment.reward_scale] for experiment in experiments])
        self._normalized = torch.tensor([[experiment.normalize_rewards] for experiment in experiments])
        self._squares, self._seen = torch.zeros_like(self._scale), 0
        self._floor = torch.tensor([spec.entropy_floor for spec in specs[0].values()])

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the joint outputs ``[E, R, P]`` and the values ``[E, R]`` of all networks."""

        def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], seen: Tensor) -> tuple[Tensor, Tensor]:
            return torch.func.functional_call(self._network, (parameters, buffers), (seen,))

        return torch.vmap(one)(self._parameters, self._buffers, observation)

    def losses(self, batch: Batch) -> Losses:
        """Returns the terms of the loss, as :meth:`headctl.ppo.learner.PPOLearner.losses` for each experiment."""
        params, value = self.forward(batch.observation)
        evaluation = self.action_heads.evaluate(params, batch.actions, batch.masks)
        ratio = (evaluation.log_prob.sum(-1) - batch.log_prob).exp()
        clip = self.options.clip_coef
        surrogate = torch.minimum(batch.advantage * ratio, batch.advantage * ratio.clamp(1.0 - clip, 1.0 + clip))
        weight = _side_by_side(evaluation.choice)
        entropy = _side_by_side(evaluation.entropy)
        return Losses(
            policy=-surrogate.mean(-1).sum(),
            value=0.5 * (value - batch.reward).square().mean(-1).sum(),
            bonus=self.controller.bonus(entropy, weight=weight),
            entropy=entropy.detach(),
            capacity=_side_by_side(evaluation.capacity),
            weight=weight,
        )

    @torch.no_grad()
    def play(self) -> tuple[Batch, Evaluation, Tensor]:
        """Draws an iteration; returns it, what the policies thought of it, and the greedy returns ``[E]``."""
        states = self.task.states(self.options.rows)
        observation = self.task.observation(states.situation)
        params, value = self.forward(observation)
        drawn = [
            self.action_heads.sample(params[e], {name: mask[e] for name, mask in states.masks.items()}, generator)
            for e, generator in enumerate(self.generators)
        ]
        actions = {name: torch.stack([action[name] for action in drawn]) for name in self.action_heads.names}
        evaluation = self.action_heads.evaluate(params, actions, states.masks)
        greedy = self.task.reward(states.situation, self.action_heads.mode(params, states.masks)).mean(-1)
        reward = self._as_learned(self._scale * (self.task.reward(states.situation, actions) + states.luck))
        advantage = reward - value
        centred = advantage - advantage.mean(-1, keepdim=True)
        normalized = centred / (centred.square().mean(-1, keepdim=True).sqrt() + 1e-8)
        batch = Batch(observation, states.masks, actions, evaluation.log_prob.sum(-1), normalized, reward)
        return batch, evaluation, greedy

    def _as_learned(self, reward: Tensor) -> Tensor:
        """Returns the rewards as the learner sees them ``[E, R]``; this iteration counts in the running mean."""
        self._squares += reward.square().sum(-1, keepdim=True)
        self._seen += reward.shape[-1]
        return torch.where(self._normalized, reward / (self._squares / self._seen).sqrt(), reward)

    def learn(self, batch: Batch, progress: float) -> None:
        """Improves every policy by one iteration and moves the controller after every minibatch."""
        size = self.options.rows // self.options.minibatches
        for _ in range(self.options.epochs):
            order = torch.stack([torch.randperm(self.options.rows, generator=g) for g in self.generators])
            for index in order.split(size, dim=1):
                self._descend(_select(batch, index), progress)

    def _descend(self, batch: Batch, progress: float) -> None:
        losses = self.losses(batch)
        self._optimizer.zero_grad()
        (losses.policy + self.options.value_coef * losses.value - losses.bonus).backward()
        clip_grad_norms(list(self._parameters.values()), self.options.max_grad_norm)
        self._optimizer.step()
        self.controller.observe(losses.entropy, capacity=losses.capacity, weight=losses.weight)
        self.controller.step(progress=progress)

    def fractions(self, evaluation: Evaluation) -> Tensor:
        """Returns the fraction of every head over the rows in which it mattered ``[E, H]``."""
        weight = evaluation.choice
        reached = (weight * (evaluation.entropy - self._floor)).sum(-2)
        return reached / (weight * (evaluation.capacity - self._floor)).sum(-2)


def run(experiments: Sequence[Experiment], iterations: int, options: LoopOptions | None = None) -> list[Trace]:
    """Runs experiments side by side, single-threaded.

    Args:
        experiments: What to run.
        iterations: Rounds of play and update.
        options: The knobs of the updates.

    Returns:
        One trace per experiment.
    """
    loop = Loop(experiments, options or LoopOptions())
    heads = loop.action_heads.names
    shape = (iterations, len(experiments), len(heads))
    fraction, target, alpha, active = (np.full(shape, math.nan) for _ in range(4))
    returns = np.zeros((iterations, len(experiments)))
    batch, _, _ = loop.play()
    for iteration in range(iterations):
        loop.learn(batch, progress=iteration / iterations)
        metrics = loop.controller.metrics()
        batch, evaluation, greedy = loop.play()
        fraction[iteration] = loop.fractions(evaluation).numpy()
        active[iteration] = evaluation.choice.mean(-2).numpy()
        returns[iteration] = greedy.numpy()
        for name, column in (("target_fraction", target), ("alpha", alpha)):
            values = [metrics[f"heads/{head}/{name}"] for head in loop.controller.heads]
            column[iteration] = np.reshape(values, shape[1:])
    last = max(1, round(_RETURN_SHARE * iterations))
    return [
        Trace(heads, fraction[:, e], target[:, e], alpha[:, e], active[:, e], float(returns[-last:, e].mean()))
        for e in range(len(experiments))
    ]


def clip_grad_norms(parameters: Sequence[Tensor], max_norm: float) -> None:
    """Scales the gradients of each experiment down to a joint norm; the first axis of every parameter is E."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients]).norm(dim=0)
    factor = (max_norm / (norm + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor.view(-1, *(1,) * (gradient.dim() - 1)))


def _renamed(specs: Sequence[Mapping[str, HeadSpec]]) -> dict[str, HeadSpec]:
    """Returns the heads of all experiments under names of their own."""

    def own(number: int, spec: HeadSpec) -> HeadSpec:
        conditions = tuple((f"{number}/{parent}", choices) for parent, choices in spec.active_when)
        return replace(spec, name=f"{number}/{spec.name}", active_when=conditions)

    return {f"{number}/{name}": own(number, spec) for number, heads in enumerate(specs) for name, spec in heads.items()}


def _side_by_side(columns: Tensor) -> Tensor:
    """Turns ``[E, B, H]`` into ``[B, E H]``."""
    return columns.transpose(0, 1).flatten(1)


def _select(batch: Batch, index: Tensor) -> Batch:
    """Returns the rows ``index [E, B]`` of every experiment."""
    each = torch.arange(index.shape[0]).unsqueeze(1)
    return Batch(
        observation=batch.observation[each, index],
        masks={name: mask[each, index] for name, mask in batch.masks.items()},
        actions={name: action[each, index] for name, action in batch.actions.items()},
        log_prob=batch.log_prob[each, index],
        advantage=batch.advantage[each, index],
        reward=batch.reward[each, index],
    )
