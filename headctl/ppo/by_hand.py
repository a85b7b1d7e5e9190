"""Loss and gradient of a minibatch without a graph: products into memory that is kept, activations in place.

autograd allocates every intermediate result anew, and takes each operation over all rows before the next one, so that
hardly anything is still in the cache when it is needed again. Here a piece of some thousand rows goes through the whole
network, the loss, and back; several lanes do so at once with different pieces.

For policies of fully connected layers with fused heads, on the CPU. Everybody else goes through autograd, which is the
reference: a test holds both to the same terms and gradients.

Shapes: B rows of a minibatch, S rows of the rollout, F features, W widths, H heads, P outputs for the heads. Outputs and
what belongs to the heads lie with the rows side by side, ``[P + 1, B]`` and ``[H, B]``: the kernels take them block by
block, and MKL's product with so few outputs is a fifth faster that way round.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
import warp as wp
from torch import Tensor, nn

from headctl.policy.blocks import ROWS
from headctl.policy.fused import Recorded
from headctl.policy.network import Policy
from headctl.ppo.activation_kernels import KINDS, activate_rows, slope_of_rows
from headctl.ppo.fused_loss import FusedTerms, fused_terms, means_and_bonus
from headctl.ppo.gradients import FlatGradients
from headctl.ppo.lanes import Lanes
from headctl.ppo.rollout import Drawn, Table
from headctl.ppo.row_kernels import SUMS, Stored, Work, gradient_of_rows, loss_of_rows

_GROUP = 64
"""Rows per thread of the kernel: sums of floats stay exact enough, and come out the same in whatever order."""
_PIECE = 1024
"""Rows that go through the network at once; a multiple of the above."""


class _Layer(NamedTuple):
    """One layer and the memory of its gradient in every lane."""

    weight: Tensor
    bias: Tensor
    kind: int
    """Of its activation, one of ``activation_kernels.KINDS``; -1: it has none."""
    gradients: list[tuple[Tensor, Tensor]]
    turned: list[Tensor]
    """Per lane the gradient of the weights ``[F, W]``, for a layer of fewer inputs than outputs: MKL takes two thirds of
    the time for the product that way round. Empty for others."""


@dataclass(slots=True)
class _Memory:
    """What a minibatch of up to so many rows is worked on in."""

    size: int
    layers: list[Tensor]
    """Input ``[B, F]`` and results of the hidden layers ``[B, W]``."""
    back: list[list[Tensor]]
    """Per lane, room for the gradients of a piece at each of them, but the input."""
    activate: list[list[Recorded]]
    """Per lane and hidden layer, the call of ``activate_rows``."""
    slope_of: list[list[Recorded]]
    """Likewise of ``slope_of_rows``."""
    factor: Tensor
    outputs: Tensor
    weight: Tensor
    log_prob: Tensor
    slope: Tensor
    sums: Tensor
    index: Tensor
    index_view: Any
    work: Any
    owned: list[Tensor]


class _Calls(NamedTuple):
    """The calls of the kernels that read a table, one of each per lane, and what they were made for."""

    made_for: tuple[Any, ...]
    loss: list[Recorded]
    gradient: list[Recorded]


class ByHand:
    """The network, the loss and the way back, for one policy."""

    def __init__(self, policy: Policy, flat: Tensor, gradients: FlatGradients, lanes: Lanes) -> None:
        """Finds the layers.

        Args:
            policy: One that :meth:`knows`.
            flat: Its parameters in one piece of memory, in the order of :func:`headctl.ppo.flat.flat_order`.
            gradients: Their gradients, in the same order.
            lanes: Who shares the rows.
        """
        self._lanes = lanes
        heads = policy.action_heads.fused
        assert heads is not None  # noqa: S101 - ``knows`` has been asked
        self._heads = heads
        self._columns = policy.action_heads.num_params
        self._head_count = len(policy.action_heads.names)
        # The first lane adds to the gradients themselves, every other one to memory of its own.
        self._own = [torch.zeros_like(flat) for _ in range(lanes.count - 1)]
        self._gradient = gradients.flat
        linear = [layer for layer in policy.trunk if isinstance(layer, nn.Linear)]
        shapes = [(layer.weight.shape, KINDS[type(policy.trunk[2 * place + 1])]) for place, layer in enumerate(linear)]
        shapes.append((torch.Size((self._columns + 1, linear[-1].out_features)), -1))
        spaces = [_cut(space, [shape for shape, _ in shapes]) for space in (flat, self._gradient, *self._own)]
        self._layers = [
            _Layer(
                weight,
                bias,
                kind,
                [space[place] for space in spaces[1:]],
                [torch.zeros(shape[1], shape[0]) for _ in range(lanes.count)] if shape[1] < shape[0] else [],
            )
            for place, ((shape, kind), (weight, bias)) in enumerate(zip(shapes, spaces[0], strict=True))
        ]
        self._memory: _Memory | None = None
        self._table: tuple[Table, Any] | None = None
        self._calls: _Calls | None = None

    @staticmethod
    def knows(policy: Policy) -> bool:
        """Returns whether the policy is made of what is known here."""
        return (
            type(policy) is Policy
            and type(policy.critic) is nn.Linear
            and getattr(policy, "memory", None) is None
            and policy.action_heads.fused is not None
            and policy.actor.weight.device.type == "cpu"
            and all(parameter.requires_grad for parameter in policy.parameters())
            and all(
                isinstance(layer, nn.Linear) if place % 2 == 0 else type(layer) in KINDS
                for place, layer in enumerate(policy.trunk)
            )
        )

    def forward(self, table: Table, index: Tensor, *, clip: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Takes rows through the network and the loss.

        Args:
            table: The rollout.
            index: Which of its rows ``[B]``.
            clip: Half width of the interval of the ratio.

        Returns:
            Sums ``[6 + 4 H]``; weights and log-probabilities ``[B, H]`` and outputs for the heads ``[B, P]``, these in
            memory that is used again.
        """
        rows = len(index)
        memory = self._room(rows, table.observation.shape[1])
        loss = self._recorded(table, clip).loss
        memory.index[:rows].copy_(index)
        memory.index[rows : _whole(rows)] = 0  # what fills up the last group

        def work(lane: int) -> None:
            for start, stop in self._pieces(lane, rows):
                seen = memory.layers[0][start:stop]
                torch.index_select(table.observation, 0, memory.index[start:stop], out=seen)
                hidden = zip(self._layers[:-1], memory.layers[1:], memory.activate[lane], strict=True)
                for layer, result, activate in hidden:
                    seen = torch.mm(seen, layer.weight.t(), out=result[start:stop])
                    activate(start, stop)
                ends = self._layers[-1]
                torch.addmm(ends.bias.unsqueeze(1), ends.weight, seen.t(), out=memory.outputs[:, start:stop])
                count = stop - start
                loss[lane](start, count, threads=-(-count // _GROUP))

        self._lanes.run(work)
        sums = memory.sums[: -(-rows // _GROUP)].sum(0)
        return sums, memory.weight[:, :rows].t(), memory.log_prob[:, :rows].t(), memory.outputs[:-1, :rows].t()

    def backward(self, rows: int, factor: Tensor, more: Tensor | None = None) -> None:
        """Adds the gradient of the last rows that went forward to that of the parameters.

        Args:
            rows: How many they were.
            factor: What the slopes of surrogate, value loss and entropies are multiplied by ``[2 + H]``.
            more: Another gradient of the outputs for the heads ``[B, P]``.
        """
        memory = self._memory
        assert memory is not None  # noqa: S101 - there is no way back without one there
        assert self._calls is not None  # noqa: S101 - likewise
        gradient = self._calls.gradient
        memory.factor.copy_(factor)

        def work(lane: int) -> None:
            for start, stop in self._pieces(lane, rows):
                gradient[lane](start, threads=-(-(stop - start) // ROWS))
                slope = memory.outputs[:, start:stop].t()
                if more is not None:
                    slope[:, :-1].add_(more[start:stop])
                self._layers[-1].gradients[lane][1].add_(slope.sum(0))
                for place in reversed(range(len(self._layers))):
                    layer, seen = self._layers[place], memory.layers[place][start:stop]
                    if layer.turned:
                        layer.turned[lane].addmm_(seen.t(), slope)
                    else:
                        layer.gradients[lane][0].addmm_(slope.t(), seen)
                    if place:
                        before = memory.back[lane][place - 1][: stop - start]
                        slope = torch.mm(slope, layer.weight, out=before)
                        memory.slope_of[lane][place - 1](start, stop)

        turned = [(layer.gradients[0][0], each) for layer in self._layers for each in layer.turned]
        for own in (*self._own, *(each for _, each in turned)):
            own.zero_()
        self._lanes.run(work)
        for own in self._own:
            self._gradient.add_(own)
        for weight, each in turned:
            weight.add_(each.t())

    def pulls(self, drawn: Drawn, factor: Callable[[Tensor, float], Tensor]) -> list[Tensor]:
        """Returns the gradients of policy loss and of bonus by the outputs for the heads, ``[B, P]`` each.

        Of the rows that went forward last, before they go back.
        """
        memory = self._memory
        assert memory is not None  # noqa: S101 - as there
        size = len(drawn.chosen)
        rows = HandRows(self, drawn, 0.0, factor)
        sums = memory.sums[: -(-size // _GROUP), : -self._head_count].sum(0)
        _, factors, _, count = means_and_bonus(sums, size, rows)
        one, none = count.new_ones(()), count.new_zeros(())
        found = []
        for of_policy, of_bonus in ((one, none), (none, one)):
            slopes = _slopes(of_policy, none, of_bonus, count, factors)
            outputs, work = torch.empty_like(memory.outputs), Work()
            for name in Work.vars:
                setattr(work, name, getattr(memory.work, name))
            work.outputs = wp.from_torch(outputs, requires_grad=False)
            arguments = [0, wp.from_torch(slopes), self._heads.parts(drawn.table.masks.names, outputs.device)]
            arguments += [memory.index_view, self._stored(drawn.table), work]
            wp.launch(gradient_of_rows, dim=-(-size // ROWS), inputs=arguments, device="cpu")
            found.append(outputs[:-1, :size].t())
        return found

    def _pieces(self, lane: int, rows: int) -> list[tuple[int, int]]:
        """Returns the rows of a lane, from and to, in pieces that begin with a group."""
        groups = -(-rows // _GROUP)
        first, last = (groups * each // self._lanes.count for each in (lane, lane + 1))
        count = max(1, -(-(last - first) * _GROUP // _PIECE))
        edges = [(first + (last - first) * each // count) * _GROUP for each in range(count + 1)]
        pieces = [(start, min(stop, rows)) for start, stop in pairwise(edges)]
        return [piece for piece in pieces if piece[0] < piece[1]]

    def _room(self, rows: int, features: int) -> _Memory:
        """Returns memory for so many rows, as before if it is large enough."""
        if self._memory is None or self._memory.size < rows:
            self._memory = self._make_room(rows, features)
        return self._memory

    def _make_room(self, rows: int, features: int) -> _Memory:
        widths = [len(layer.bias) for layer in self._layers[:-1]]
        piece = min(rows, _PIECE + _GROUP)
        heads, columns = self._head_count, self._columns
        # A few columns more: were their number a power of two, the same rows of all outputs would fight for one place
        # in the cache.
        width = _whole(rows) + ROWS
        first, second = torch.empty(2, columns, width).unbind()
        entropy, capacity = torch.empty(2, heads, width).unbind()
        index = torch.zeros(width, dtype=torch.int64)
        layers = [torch.empty(rows, width) for width in (features, *widths)]
        back = [[torch.empty(piece, width) for width in widths] for _ in range(self._lanes.count)]
        hidden = list(zip(self._layers[:-1], layers[1:], strict=True))
        memory = _Memory(
            size=rows,
            layers=layers,
            back=back,
            activate=[
                [Recorded(activate_rows, [0, 0, layer.kind, layer.bias, result]) for layer, result in hidden]
                for _ in back
            ],
            slope_of=[
                [
                    Recorded(slope_of_rows, [0, 0, layer.kind, result, room, layer.gradients[lane][1]])
                    for (layer, result), room in zip(hidden, rooms, strict=True)
                ]
                for lane, rooms in enumerate(back)
            ],
            factor=torch.empty(2 + heads),
            outputs=torch.empty(columns + 1, width),
            weight=torch.empty(heads, width),
            log_prob=torch.empty(heads, width),
            slope=torch.empty(2, width),
            sums=torch.empty(-(-rows // _GROUP), len(SUMS) + 4 * heads),
            index=index,
            index_view=wp.from_torch(index, requires_grad=False),
            work=Work(),
            owned=[first, second, entropy, capacity],
        )
        named = {"first": first, "second": second, "entropy": entropy, "capacity": capacity}
        named |= {name: getattr(memory, name) for name in ("outputs", "weight", "log_prob", "slope", "sums")}
        for name, entry in named.items():
            setattr(memory.work, name, wp.from_torch(entry, requires_grad=False))
        return memory

    def _recorded(self, table: Table, clip: float) -> _Calls:
        """Returns the calls of the kernels for a table; made anew for another one."""
        memory = self._memory
        assert memory is not None  # noqa: S101 - as there
        made_for = (table, memory, clip)
        if self._calls is None or any(mine is not theirs for mine, theirs in zip(self._calls.made_for, made_for, strict=True)):
            parts, stored = self._heads.parts(table.masks.names, memory.index.device), self._stored(table)
            lanes, rest = range(self._lanes.count), [parts, memory.index_view, stored, memory.work]
            self._calls = _Calls(
                made_for,
                [Recorded(loss_of_rows, [0, 0, _GROUP, clip, *rest]) for _ in lanes],
                [Recorded(gradient_of_rows, [0, memory.factor, *rest]) for _ in lanes],
            )
        return self._calls

    def _stored(self, table: Table) -> Any:
        """Returns the kernels' view of a table; made anew for another one."""
        if self._table is None or self._table[0] is not table:
            stored = Stored()
            named = {"masks": table.masks.legal, "numbers": table.actions.numbers, "reals": table.actions.reals}
            named |= {name: getattr(table, name) for name in ("log_prob", "choice", "rest")}
            for name, entry in named.items():
                setattr(stored, name, wp.from_torch(entry, requires_grad=False))
            self._table = table, stored
        return self._table[1]


def _whole(rows: int) -> int:
    """Returns how many rows the groups of so many rows have."""
    return -(-rows // _GROUP) * _GROUP


def _cut(flat: Tensor, shapes: list[torch.Size]) -> list[tuple[Tensor, Tensor]]:
    """Returns weight and bias of every layer as views of memory in which they follow each other."""
    sizes = [size for shape in shapes for size in (shape.numel(), shape[0])]
    parts = flat.split(sizes)
    return [(weight.view(shape), bias) for shape, weight, bias in zip(shapes, parts[::2], parts[1::2], strict=True)]


class HandRows(NamedTuple):
    """What the loss reads beside the parameters, a minibatch of it."""

    hand: ByHand
    drawn: Drawn
    clip: float
    factor: Callable[[Tensor, float], Tensor]
    """As in :class:`headctl.ppo.fused_loss.LossRows`."""

    @property
    def shares(self) -> Tensor | None:
        """As there."""
        return self.drawn.shares


class LossByHand(torch.autograd.Function):
    """Policy loss, value loss and bonus of a minibatch, whose way back adds to the gradients of the parameters."""

    @staticmethod
    def forward(ctx: Any, anchor: Tensor, rows: HandRows) -> tuple[Tensor, ...]:  # noqa: ARG004
        """Returns three scalars, the outputs for the heads ``[B, P]``, sums, weights and log-probabilities.

        ``anchor`` is any parameter: it makes the results differentiable.
        """
        size = len(rows.drawn.chosen)
        sums, weight, log_prob, params = rows.hand.forward(rows.drawn.table, rows.drawn.chosen, clip=rows.clip)
        sums = sums[: -weight.shape[1]]
        means, factor, bonus, count = means_and_bonus(sums, size, rows)
        ctx.rows, ctx.size, ctx.count, ctx.factor = rows, size, count, factor
        ctx.mark_non_differentiable(sums, weight, log_prob)
        ctx.set_materialize_grads(False)
        return -means[0], 0.5 * means[1], bonus, params, sums, weight, log_prob

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[None, None]:
        """Adds to the gradients of the parameters; hands nothing on."""
        of_policy, of_value, of_bonus = (ctx.count.new_zeros(()) if each is None else each for each in gradients[:3])
        slopes = _slopes(of_policy, of_value, of_bonus, ctx.count, ctx.factor)
        ctx.rows.hand.backward(ctx.size, slopes, gradients[3])
        return None, None


def _slopes(of_policy: Tensor, of_value: Tensor, of_bonus: Tensor, count: Tensor, factor: Tensor) -> Tensor:
    """Returns what the slopes of surrogate, value loss and entropies are multiplied by ``[2 + H]``."""
    return torch.cat((torch.stack((-of_policy, of_value)) / count, of_bonus * factor))


def loss_by_hand(anchor: Tensor, rows: HandRows) -> tuple[FusedTerms, Tensor]:
    """Returns the terms of the loss of a minibatch, and the outputs for the heads ``[B, P]``.

    Terms are differentiable: their way back adds to ``parameter.grad`` in place. The tensors of the rows are memory
    that the next minibatch uses again.

    Args:
        anchor: Any parameter of the policy.
        rows: The rest.
    """
    told = LossByHand.apply(anchor, rows)
    policy, value, bonus, params, sums, weight, log_prob = told  # pyright: ignore[reportGeneralTypeIssues] - tensors
    return fused_terms(policy, value, bonus, sums, weight, log_prob, rows.shares), params
