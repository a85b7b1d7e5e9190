"""What a rollout stores, and the advantages that follow from it.

Shapes: T steps, R rows (one per agent that the learner controls), F features, K choices, H heads, B samples.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from headctl.policy.actions import ActionHeads, Actions
from headctl.policy.fused import PackedActions, PackedMasks
from headctl.policy.network import PolicyStep
from headctl.policy.recurrent import Sequences


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
    goes_on = 1.0 - done
    following = torch.cat((value[1:], last_value.unsqueeze(0)))
    advantages = reward + gamma * (following * goes_on + bootstrap) - value
    decay = (gamma * gae_lambda) * goes_on
    for step in range(reward.shape[0] - 2, -1, -1):
        advantages[step].addcmul_(decay[step], advantages[step + 1])
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
    packed: "PackedRows | None" = None
    """The same rows as the kernels of the fused loss read them; ``None``: the loss goes term by term."""
    normalized: bool = False
    """Whether the observations have been through the policy's normaliser."""
    shares: Tensor | None = None
    """Living rows, rows and rows in which each head counts, of all processes ``[2 + H]``; ``None``: there is one."""
    sequences: Sequences | None = None
    """How the rows follow each other, for a policy with memory; ``None``: it has none."""

    @property
    def seen(self) -> tuple[Any, ...]:
        """What the policy is asked about: the observations, and their order in time where it matters."""
        return (self.observation,) if self.sequences is None else (self.observation, self.sequences)


class Cut(NamedTuple):
    """How the rollout of a policy with memory is cut into sequences."""

    length: int = 16
    """Steps of a sequence L, a divisor of T: gradients go no further back."""
    burn_in: int = 0
    """Steps before a sequence that bring its first memory up to date, at most L."""


DEFAULT_CUT = Cut()


class PackedRows(NamedTuple):
    """What all heads did, side by side."""

    actions: PackedActions
    masks: PackedMasks
    choice: Tensor
    """1 where the head was active and had more than one legal action, else 0, float32 ``[B, H]``."""


class RowShare(NamedTuple):
    """Which rows of all processes' rollouts side by side are those of one's own."""

    first: int
    total: int


class Table(NamedTuple):
    """A rollout row by row, S = T R of them."""

    observation: Tensor
    """Through the policy's normaliser if :attr:`normalized` ``[S, F]``."""
    normalized: bool
    masks: PackedMasks
    actions: PackedActions
    log_prob: Tensor
    """``[S, H]``; this and the next two are views with strides."""
    choice: Tensor
    """``[S, H]``."""
    rest: Tensor
    """1 for the living, normalised advantage, value target ``[S, 3]``."""


class Drawn(NamedTuple):
    """A minibatch before anything is copied: rows of a table."""

    table: Table
    chosen: Tensor
    """int64 ``[B]``."""
    shares: Tensor | None
    """As in :class:`Minibatch`."""


class Step(NamedTuple):
    """Where one step of a rollout is stored: views, made once, because to make one takes as long as to fill it."""

    observation: Tensor
    masks: dict[str, Tensor]
    actions: Actions
    reward: Tensor
    done: Tensor
    alive: Tensor


class Rollout:
    """Preallocated storage for T steps of R agents; filled in place, read as minibatches.

    Attributes:
        observation: float32 ``[T, R, F]``.
        masks: bool ``[T, R, K]`` per masked head.
        actions: Per head ``[T, R, ...]``.
        log_prob: float32 ``[T, R, H]``.
        choice: float32 ``[T, R, H]``; 1 where the head was active and had more than one legal action, else 0.
        entropy: Entropies in nats when the action was drawn, float32 ``[T, R, H]``.
        value: float32 ``[T, R]``.
        reward: float32 ``[T, R]``.
        done: float32 ``[T, R]``.
        bootstrap: float32 ``[T, R]``.
        alive: float32 ``[T, R]``.
        state: What was remembered before each decision, float32 ``[T, R, D]``; ``None``: the policy has no memory.
        share: Where its rows stand among those of all processes; ``None``: they are all, or every process deals out
            its own by itself.
    """

    state: Tensor | None = None
    share: RowShare | None = None

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
        heads, packing, shape = len(action_heads.names), action_heads.packing, (steps, rows)
        self.observation = torch.zeros(steps, rows, observation_dim, device=device)
        self._packing = packing
        self._legal = packing.empty_masks(mask_sizes, shape, device)
        self.masks = packing.mask_views(self._legal, mask_sizes)
        self._actions = packing.empty_actions(shape, device)
        self.actions = packing.views(self._actions)
        # What a minibatch reads of a row lies side by side: one gather fetches it.
        self._table = torch.zeros(steps, rows, 2 * heads + 3, device=device)
        self.log_prob, self.choice, rest = self._table.split([heads, heads, 3], dim=-1)
        self.alive, self._advantage, self._value_target = rest.unbind(-1)
        self.entropy = torch.zeros(steps, rows, heads, device=device)
        self.value, self.reward, self.done, self.bootstrap = (torch.zeros(steps, rows, device=device) for _ in range(4))
        self._steps: dict[int, Step] = {}

    def at(self, step: int) -> Step:
        """Returns where ``step`` is stored."""
        found = self._steps.get(step)
        if found is None:
            found = self._steps[step] = Step(
                self.observation[step],
                {name: mask[step] for name, mask in self.masks.items()},
                {name: action[step] for name, action in self.actions.items()},
                self.reward[step],
                self.done[step],
                self.alive[step],
            )
        return found

    def slots(self, step: int) -> tuple[PackedActions, PackedMasks]:
        """Returns where the actions and the masks of ``step`` belong, to be filled in place."""
        return (
            PackedActions(*(side[step] for side in self._actions)),
            PackedMasks(self._legal.names, self._legal.legal[step]),
        )

    def store_decision(
        self, step: int, observation: Tensor, masks: Mapping[str, Tensor] | None, decision: PolicyStep
    ) -> None:
        """Copies in what the agents saw and did at ``step``; ``masks`` is ``None`` where both slots were filled."""
        self.observation[step] = observation
        if masks is not None:
            for name, mask in masks.items():
                self.masks[name][step] = mask
            for name, action in decision.actions.items():
                self.actions[name][step] = action
        self.log_prob[step] = decision.evaluation.log_prob
        self.choice[step] = decision.evaluation.choice
        self.entropy[step] = decision.evaluation.entropy
        self.value[step] = decision.value

    def store_outcome(self, step: int, reward: Tensor, done: Tensor, bootstrap: Tensor | None, alive: Tensor) -> None:
        """Copies in what became of it; each ``[R]``. ``bootstrap`` is ``None`` where it is filled in later."""
        at = self.at(step)
        at.reward.copy_(reward)
        at.done.copy_(done)
        if bootstrap is not None:
            self.bootstrap[step] = bootstrap
        at.alive.copy_(alive)

    def minibatches(
        self,
        advantage: Tensor,
        size: int,
        epochs: int,
        generator: torch.Generator,
        *,
        normal: Tensor | None = None,
        total: Callable[[Tensor], Tensor] | None = None,
        cut: Cut = DEFAULT_CUT,
    ) -> Iterator[Iterator[Minibatch]]:
        """Yields, per epoch, the whole rollout once, in minibatches of nearly equal size drawn at random.

        Args:
            advantage: Advantages ``[T, R]``, not yet normalised.
            size: Largest number of rows in a minibatch.
            epochs: How many passes.
            generator: Random stream of the draw.
            normal: Observations after the policy's normaliser ``[T, R, F]``; ``None``: minibatches have them as they
                were seen.
            total: Adds up sums over the processes that share the work, as :func:`normalize` takes it.
            cut: How it is cut into sequences where the policy has a memory.
        """
        self._advantage.copy_(normalize(advantage, self.alive, total))
        torch.add(advantage, self.value, out=self._value_target)
        for _ in range(epochs):
            pieces = self._pieces(size, cut, generator)
            yield self._epoch(pieces, normal, None if total is None else total(self._shares(pieces)), cut)

    def _pieces(self, size: int, cut: Cut, generator: torch.Generator) -> Sequence[Tensor]:  # noqa: ARG002 - no memory, no sequences
        """Returns the rows of every minibatch, drawn at random; of those that are shared, one's own."""
        share = self.share or RowShare(0, self.rows)
        rows = self.steps * share.total
        order = torch.randperm(rows, generator=generator, device=generator.device).to(self.observation.device)
        pieces = order.tensor_split(-(-rows // size))
        if order.device.type == "cpu":
            # A minibatch is a set: read in the order in which they lie, its rows come out of memory a good deal faster.
            pieces = [in_order(piece, rows) for piece in pieces]
        return pieces if self.share is None else [self._own(piece, share) for piece in pieces]

    def _own(self, piece: Tensor, share: RowShare) -> Tensor:
        """Returns the numbers here of those rows of all processes that are stored here."""
        row = piece % share.total - share.first
        mine = (row >= 0) & (row < self.rows)
        return (piece // share.total * self.rows + row)[mine]

    def flat(self, observation: Tensor, *, normalized: bool) -> Table:
        """Returns views of everything row by row, with the given observations ``[T, R, F]``."""
        heads = self.choice.shape[-1]
        return Table(
            observation.flatten(0, 1),
            normalized,
            self._legal._replace(legal=self._legal.legal.flatten(0, 1)),
            PackedActions(*(side.flatten(0, 1) for side in self._actions)),
            *self._table.flatten(0, 1).split([heads, heads, 3], dim=-1),
        )

    def drawn(
        self,
        advantage: Tensor,
        size: int,
        epochs: int,
        generator: torch.Generator,
        *,
        normal: Tensor | None = None,
        total: Callable[[Tensor], Tensor] | None = None,
    ) -> Iterator[Iterator[Drawn]]:
        """Yields the rows of what :meth:`minibatches` yields, same arguments, without copying any of them."""
        self._advantage.copy_(normalize(advantage, self.alive, total))
        torch.add(advantage, self.value, out=self._value_target)
        table = self.flat(self.observation if normal is None else normal, normalized=normal is not None)
        for _ in range(epochs):
            pieces = self._pieces(size, DEFAULT_CUT, generator)
            shares = [None] * len(pieces) if total is None else total(self._shares(pieces)).unbind()
            yield (Drawn(table, index, of_all) for index, of_all in zip(pieces, shares, strict=True))

    def _shares(self, pieces: Sequence[Tensor]) -> Tensor:
        """Returns what every minibatch counts: living rows, rows, and rows per head ``[pieces, 2 + H]``."""
        alive = self.alive.flatten().unsqueeze(-1)
        counted = torch.cat((alive, torch.ones_like(alive), self.choice.flatten(0, 1) * alive), dim=-1)
        return torch.stack([counted.index_select(0, index).sum(0) for index in pieces])

    def _epoch(
        self,
        pieces: Sequence[Tensor],
        normal: Tensor | None,
        shares: Tensor | None,
        cut: Cut,  # noqa: ARG002 - no memory, no sequences
    ) -> Iterator[Minibatch]:
        """Gathers the minibatches of an epoch, each when it is asked for."""
        observation = (self.observation if normal is None else normal).flatten(0, 1)
        table, legal = self._table.flatten(0, 1), self._legal.legal.flatten(0, 1)
        numbers, reals = (side.flatten(0, 1) for side in self._actions)
        sizes = {name: mask.shape[-1] for name, mask in self.masks.items()}
        heads = self.choice.shape[-1]
        for number, index in enumerate(pieces):
            log_prob, choice, rest = table.index_select(0, index).split([heads, heads, 3], dim=-1)
            alive, advantage, value_target = rest.unbind(-1)
            actions = PackedActions(numbers.index_select(0, index), reals.index_select(0, index))
            masks = PackedMasks(self._legal.names, legal.index_select(0, index))
            yield Minibatch(
                observation=observation.index_select(0, index),
                masks=self._packing.mask_views(masks, sizes),
                actions=self._packing.views(actions),
                log_prob=log_prob,
                alive=alive,
                advantage=advantage,
                value_target=value_target,
                packed=PackedRows(actions, masks, choice),
                normalized=normal is not None,
                shares=None if shares is None else shares[number],
            )


def in_order(numbers: Tensor, below: int) -> Tensor:
    """Returns different numbers from 0 to ``below``, sorted; where they are many, faster than sorting."""
    if 8 * len(numbers) < below:
        return numbers.sort().values
    return torch.zeros(below, dtype=torch.bool, device=numbers.device).index_fill_(0, numbers, 1).nonzero().squeeze(1)


def normalize(advantage: Tensor, alive: Tensor, total: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Returns advantages of mean 0 and standard deviation 1 over the rows of living agents; 0 for the others.

    Over the whole rollout, not per minibatch: otherwise the meaning of a temperature would jitter with the minibatch.

    Args:
        advantage: ``[T, R]``.
        alive: 1 where the row counts ``[T, R]``.
        total: Adds up sums over the processes that share the work, in place; ``None``: there is one.
    """
    sums = torch.stack((alive.sum(), (advantage * alive).sum()))
    count, summed = sums if total is None else total(sums)
    count = count.clamp(min=1.0)
    centred = (advantage - summed / count) * alive
    squares = centred.square().sum()
    return centred / (((squares if total is None else total(squares)) / count).sqrt() + 1e-8)
