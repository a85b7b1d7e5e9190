"""A gymnasium action space and the named heads that fill it.

Gymnasium sorts the keys of a Dict space: everything here goes by name, never by position.

Shapes: B samples (any leading shape), H heads, P outputs of the network for all heads.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeGuard

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from headctl.entropy.dependence import dependence_problems, parents_first
from headctl.entropy.spec import HeadSpec, HeadSpecError, parse_head
from headctl.messages import unknown_name
from headctl.policy.draws import Draws, whole
from headctl.policy.fused import FusedEvaluation, FusedHeads, Masks, PackedActions, PackedMasks
from headctl.policy.heads import DiscreteHead, Head, make_head

SINGLE_HEAD = "action"
"""Name of the head of an action space that is not a Dict."""

Actions = dict[str, Tensor]


class Evaluation(NamedTuple):
    """What a policy says of actions: one column per head, ``[B, H]`` float32."""

    log_prob: Tensor
    """0 where the head is not active."""
    entropy: Tensor
    """Of the head's distribution, active or not."""
    capacity: Tensor
    """Of the state, active or not."""
    choice: Tensor
    """1 where the head is active and has more than one legal action, else 0."""


def joint_entropy(evaluation: Evaluation) -> Tensor:
    """Returns an unbiased sample of the entropy of the whole action, in nats ``[B]``.

    The chain rule (Cover & Thomas 2006, theorem 2.5.1): the entropies of the heads that are active after the choices
    that were drawn, added up. To report, not to control: a bonus on it would pay a parent for switching on children
    that are more random.
    """
    return (evaluation.entropy * evaluation.choice).sum(-1)


def describe_space(space: spaces.Space) -> dict[str, dict[str, Any]]:
    """Returns what an action space says of each head, in the form that ``parse_head(known=...)`` takes.

    Args:
        space: A Dict of Discrete, MultiDiscrete, MultiBinary and Box spaces, or a single one (one head named
            ``action``). A Box is gaussian as long as nobody says otherwise.

    Raises:
        ValueError: A space that no head can fill.
    """
    parts = dict(space.spaces) if isinstance(space, spaces.Dict) else {SINGLE_HEAD: space}
    described: dict[str, dict[str, Any]] = {}
    for name, part in parts.items():
        if isinstance(part, spaces.Discrete | spaces.MultiDiscrete) and np.any(part.start):
            raise ValueError(f"action space {name!r}: a space that starts at 0 is needed, got start {part.start}")
        if isinstance(part, spaces.Discrete):
            described[name] = {"kind": "categorical", "choices": int(part.n)}
        elif isinstance(part, spaces.MultiDiscrete) and len(part.shape) == 1:
            described[name] = {"kind": "multidiscrete", "choices": [int(size) for size in part.nvec]}
        elif isinstance(part, spaces.MultiBinary) and len(part.shape) == 1:
            described[name] = {"kind": "bernoulli", "dims": int(part.shape[0])}
        elif _is_continuous(part):
            described[name] = {"kind": "gaussian", "dims": int(part.shape[0])}
        else:
            raise ValueError(
                f"action space {name!r}: a head is a Discrete, a MultiDiscrete or MultiBinary of one axis, or a "
                f"floating-point Box of one axis with finite bounds; got {' '.join(str(part).split())}"
            )
    if not described:
        raise ValueError("action space: a Dict without entries has no heads")
    return described


def _is_continuous(space: spaces.Space) -> TypeGuard[spaces.Box]:
    return (
        isinstance(space, spaces.Box)
        and np.issubdtype(space.dtype, np.floating)
        and len(space.shape) == 1
        and space.shape[0] > 0
        and bool(np.isfinite([space.low, space.high]).all())
    )


def resolve_heads(known: Mapping[str, Mapping[str, Any]], heads: Mapping[str, Any]) -> dict[str, HeadSpec]:
    """Joins what the user says of the heads with what the action space says.

    Args:
        known: Per head of the game, ``kind`` and ``choices`` or ``dims``.
        heads: Per head of the user's choosing, a target or a mapping. Heads that are not named get the defaults.

    Returns:
        A complete description for every head of the game, in the game's order.

    Raises:
        HeadSpecError: A head that the game lacks, a description that cannot be used, or heads that depend on each other
            in a way that cannot be.
    """
    for name in heads:
        if name not in known:
            raise HeadSpecError(f"heads.{name}: {unknown_name('head of this game', name, known)}")
    specs = {name: parse_head(name, heads.get(name), known[name]) for name in known}
    problems = dependence_problems(specs, what="head of this game")
    if problems:
        raise HeadSpecError(problems[0])
    return specs


class ActionHeads:
    """All heads of a policy over the joint output vector of its network.

    Attributes:
        heads: The heads, in the order of the columns of :class:`Evaluation`.
        names: Their names.
        num_params: Length P of the joint output vector.
        packing: How actions and masks of all heads lie side by side.
        fused: All heads as one table; ``None`` where a head is of a kind that goes by itself.
        conditional: Whether a head counts only after certain choices of others.
    """

    def __init__(self, specs: Mapping[str, HeadSpec], space: spaces.Space | None = None) -> None:
        """Creates the heads.

        Args:
            specs: A complete description per head.
            space: The game's action space, for the scaling of continuous actions; ``None``: all Boxes are [-1, 1].

        Raises:
            HeadSpecError: Heads that depend on each other in a way that cannot be.
            ValueError: A categorical head of unknown size.
        """
        problems = dependence_problems(specs)
        if problems:
            raise HeadSpecError(problems[0])
        self.heads: tuple[Head, ...] = tuple(make_head(spec) for spec in specs.values())
        self.names: tuple[str, ...] = tuple(head.name for head in self.heads)
        self._sizes = [head.num_params for head in self.heads]
        self.num_params = sum(self._sizes)
        self.packing = FusedHeads(self.heads)
        self.fused = self.packing if FusedHeads.know(self.heads) else None
        # Children after their parents, with what they wait for.
        self._conditions = [(name, specs[name].active_when) for name in parents_first(specs) if specs[name].active_when]
        self.conditional = bool(self._conditions)
        self._scales = {} if space is None else _box_scales(space)
        self._scales_on: dict[torch.device, dict[str, tuple[Tensor, Tensor]]] = {}

    def sample(self, params: Tensor, masks: Mapping[str, Tensor], generator: Draws | None) -> Actions:
        """Draws an action per head.

        Args:
            params: Joint output of the network ``[B, P]``.
            masks: bool ``[B, K]`` for heads that are masked.
            generator: Random stream.
        """
        if self._goes_fused(params):
            return self.act(params, masks, generator)[0]
        alone = whole(generator)
        return {
            head.name: head.sample(part, masks.get(head.name), alone)
            for head, part in zip(self.heads, params.split(self._sizes, dim=-1), strict=True)
        }

    @torch.no_grad()
    def act(
        self,
        params: Tensor,
        masks: Masks,
        generator: Draws | None,
        *,
        into: PackedActions | None = None,
    ) -> tuple[Actions, Evaluation]:
        """Draws actions and evaluates them, in one pass where all heads are of kinds that allow it.

        Args:
            params: Joint output of the network ``[B, P]``.
            masks: bool ``[B, K]`` for heads that are masked, or side by side.
            generator: Random stream.
            into: Where the actions go, ``[B, ...]``; ``None``: new tensors.
        """
        batch = params.shape[:-1]
        packed = self.packing.empty_actions(batch, params.device) if into is None else into
        actions = self.packing.views(packed)
        if not self._goes_fused(params):
            apart = self._apart(masks)
            for name, action in self.sample(params, apart, generator).items():
                actions[name].copy_(action)
            return actions, self.evaluate(params, actions, apart)
        legal = self.packing.pack_masks(masks, batch, params.device)
        told = self.packing.tell(
            _rows(params).float(),
            PackedActions(*(_rows(side) for side in packed)),
            legal._replace(legal=_rows(legal.legal)),
            generator=generator,
            draw=True,
        )
        evaluation = Evaluation(*(column.view(*batch, column.shape[-1]) for column in told[:4]))
        return actions, self._gated(evaluation, actions)

    def _apart(self, masks: Masks) -> Mapping[str, Tensor]:
        """Returns one mask per head."""
        if not isinstance(masks, PackedMasks):
            return masks
        sizes = {head.name: head.mask_size for head in self.heads if isinstance(head, DiscreteHead)}
        return self.packing.mask_views(masks, sizes)

    def _goes_fused(self, params: Tensor) -> bool:
        """Returns whether the kernels can work on these outputs: not inside of a graph of torch's own."""
        return self.fused is not None and not torch.compiler.is_compiling() and params.device.type in ("cpu", "cuda")

    def mode(self, params: Tensor, masks: Mapping[str, Tensor]) -> Actions:
        """Returns the most likely action per head; arguments as in :meth:`sample`."""
        return {
            head.name: head.mode(part, masks.get(head.name))
            for head, part in zip(self.heads, params.split(self._sizes, dim=-1), strict=True)
        }

    def evaluate(self, params: Tensor, actions: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Evaluation:
        """Returns log-probabilities, entropies, capacities and choices of all heads.

        A head with ``active_when`` counts only where the actions of its parents say so: elsewhere its log-probability
        and its choice are 0. No gradient goes through that gate, because it is made of actions that were taken.
        The same function serves the rollout and the update, so the ratio of the two is exactly 1 before the first step.

        Args:
            params: Joint output of the network ``[B, P]``.
            actions: Per head, the actions ``[B, ...]``.
            masks: bool ``[B, K]`` for heads that are masked.
        """
        if not self._goes_fused(params):
            return self.evaluate_apart(params, actions, masks)
        batch = params.shape[:-1]
        legal = self.packing.pack_masks(masks, batch, params.device)
        packed = PackedActions(*(_rows(side) for side in self.packing.pack_actions(actions, batch)))
        rows = legal._replace(legal=_rows(legal.legal))
        told = FusedEvaluation.apply(_rows(params).float(), self.packing, packed, rows)
        return self._gated(Evaluation(*(column.view(*batch, column.shape[-1]) for column in told)), actions)  # pyright: ignore[reportGeneralTypeIssues, reportOptionalIterable] - a tuple of tensors

    def evaluate_apart(self, params: Tensor, actions: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Evaluation:
        """Returns what :meth:`evaluate` does, head by head in operations of torch: for kinds that are not fused.

        It is also the reference that the fused pass is tested against.
        """
        parts = [
            head.evaluate(part, actions[head.name], masks.get(head.name))
            for head, part in zip(self.heads, params.split(self._sizes, dim=-1), strict=True)
        ]
        columns = zip(*parts, strict=True)
        return self._gated(Evaluation(*(torch.stack(column, dim=-1) for column in columns)), actions)

    def _gated(self, evaluation: Evaluation, actions: Mapping[str, Tensor]) -> Evaluation:
        """Sets log-probability and choice to 0 where a head is not active."""
        if not self._conditions:
            return evaluation
        gates = self.active(actions)
        always = torch.ones_like(next(iter(gates.values())))
        active = torch.stack([gates.get(name, always) for name in self.names], dim=-1)
        return evaluation._replace(
            log_prob=torch.where(active, evaluation.log_prob, 0.0), choice=torch.where(active, evaluation.choice, 0.0)
        )

    def active(self, actions: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns, per head that depends on others, where the taken actions make it count: bool ``[B]``.

        All of its parents must hold, and must be active themselves.
        """
        active: dict[str, Tensor] = {}
        for name, conditions in self._conditions:
            gates = [active[parent] for parent, _ in conditions if parent in active]
            for parent, choices in conditions:
                taken = [actions[parent] == choice for choice in choices]
                gates.append(torch.stack(taken).any(0))
            active[name] = torch.stack(gates).all(0)
        return active

    def divergence_from_uniform(self, params: Tensor, masks: Mapping[str, Tensor]) -> Tensor:
        """Returns ``KL(U || pi)`` of every discrete head ``[B, H]``, 0 for continuous ones; arguments as in ``sample``.

        U is uniform over the legal actions. A loss with this term pulls a head back whose softmax has collapsed: its
        gradient does not vanish there, while that of the entropy does.
        """
        columns = [
            head.divergence_from_uniform(part, masks.get(head.name))
            if isinstance(head, DiscreteHead)
            else part.new_zeros(part.shape[:-1], dtype=torch.float32)
            for head, part in zip(self.heads, params.split(self._sizes, dim=-1), strict=True)
        ]
        return torch.stack(columns, dim=-1)

    def initial_bias(self) -> Tensor:
        """Returns the joint bias ``[P]`` of the output layer at the start of training."""
        return torch.cat([head.initial_bias() for head in self.heads])

    def _scales_of(self, device: torch.device) -> Mapping[str, tuple[Tensor, Tensor]]:
        """Returns the bounds of the Boxes on a device; brought there once, or the host would wait at every step."""
        if device not in self._scales_on:
            self._scales_on[device] = {
                name: (low.to(device), high.to(device)) for name, (low, high) in self._scales.items()
            }
        return self._scales_on[device]

    def to_game(self, actions: Mapping[str, Tensor]) -> Actions:
        """Returns actions in the game's units: continuous ones clipped to [-1, 1] and scaled to the Box.

        NaN, which only a broken policy draws, becomes the middle: the game is not to blame for it.
        """
        scaled: Actions = {}
        for head in self.heads:
            action = actions[head.name]
            if head.continuous:
                action = action.nan_to_num(0.0).clamp_(-1.0, 1.0)
                if head.name in self._scales:
                    low, high = self._scales_of(action.device)[head.name]
                    # Halves of each bound: the width of the largest Boxes is not a float. Rounding must not leave the
                    # Box, games check that.
                    centre, half = low / 2.0 + high / 2.0, high / 2.0 - low / 2.0
                    action = torch.addcmul(centre, half, action).clamp(low, high)
            scaled[head.name] = action
        return scaled

    def empty(self, *shape: int, device: torch.device) -> Actions:
        """Returns storage for actions with the given leading shape."""
        return self.packing.views(self.packing.empty_actions(shape, device))


def _rows(entry: Tensor) -> Tensor:
    """Returns ``[B, C]`` of whatever leading shape."""
    return entry.reshape(-1, entry.shape[-1])


def _box_scales(space: spaces.Space) -> dict[str, tuple[Tensor, Tensor]]:
    """Returns the bounds of every Box that is not [-1, 1]."""
    parts = dict(space.spaces) if isinstance(space, spaces.Dict) else {SINGLE_HEAD: space}
    scales: dict[str, tuple[Tensor, Tensor]] = {}
    for name, part in parts.items():
        if isinstance(part, spaces.Box) and not ((part.low == -1).all() and (part.high == 1).all()):
            scales[name] = (torch.as_tensor(part.low).float(), torch.as_tensor(part.high).float())
    return scales
