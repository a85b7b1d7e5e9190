"""Loss and gradient of a minibatch without a graph: products into memory that is kept, activations in place.

autograd allocates every intermediate result anew, and takes each operation over all rows before the next one, so that
hardly anything is still in the cache when it is needed again. Here a piece of a thousand rows goes through the whole
network, the loss, and back; several lanes do so at once with different pieces. Every piece leaves a gradient of its
own, and these are added up in their order: the result is the same for any number of lanes.

For policies of fully connected layers with fused heads, on the CPU. Everybody else goes through autograd, which is the
reference: a test holds both to the same terms and gradients.

Shapes: B rows of a minibatch, S rows of the rollout, F features, W widths, H heads, P outputs for the heads. Outputs
and what belongs to the heads lie with the rows side by side, ``[P + 1, B]`` and ``[H, B]``: the kernels take them block
by block, and MKL's product with so few outputs is a fifth faster that way round.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import torch
import warp as wp
from torch import Tensor, nn

from headctl.policy.blocks import ROWS
from headctl.policy.fused import Recorded
from headctl.policy.network import Policy
from headctl.ppo.activation_kernels import KINDS
from headctl.ppo.fused_loss import FusedTerms, fused_terms, means_and_bonus
from headctl.ppo.gradients import FlatGradients
from headctl.ppo.hand_memory import GROUP, Layer, Memory, Piece, cut, make_memory, whole
from headctl.ppo.lanes import Lanes
from headctl.ppo.rollout import Drawn, Table
from headctl.ppo.row_kernels import Stored, Work, gradient_of_rows, loss_of_rows

_PIECE = 2048
"""Rows that go through the network at once, at most: whole groups. Fewer fit the cache better and pay more for the
calls, which is worse."""
_SHARED = 512
"""Rows from which on there is a second piece for a second lane, though one would do."""


class _Calls(NamedTuple):
    """The calls of the kernels that read a table, one of each per lane, and what they were made for."""

    table: Table
    memory: Memory
    clip: float
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
            lanes: Who shares the pieces.
        """
        self._lanes = lanes
        heads = policy.action_heads.fused
        assert heads is not None  # noqa: S101 - ``knows`` has been asked
        self._heads = heads
        self._head_count = len(policy.action_heads.names)
        linear = [layer for layer in policy.trunk if isinstance(layer, nn.Linear)]
        kinds = [*(KINDS[type(layer)] for layer in policy.trunk if not isinstance(layer, nn.Linear)), -1]
        shapes = [layer.weight.shape for layer in linear]
        shapes.append(torch.Size((policy.action_heads.num_params + 1, linear[-1].out_features)))
        self._layers = [Layer(*both, kind) for both, kind in zip(cut(flat, shapes), kinds, strict=True)]
        self._gradient = gradients.flat
        self._across = [layer.weight.t() for layer in self._layers]
        self._memory: Memory | None = None
        self._cut: dict[int, list[Piece]] = {}
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
        memory, pieces = self._pieces(rows)
        loss = self._recorded(table, clip).loss
        self._lanes.choose()
        memory.index[:rows].copy_(index)
        memory.index[rows : whole(rows)] = 0  # what fills up the last group
        ends = self._layers[-1]
        bias = ends.bias.unsqueeze(1)

        def work(lane: int, number: int) -> None:
            piece = pieces[number]
            start, stop = piece.start, piece.stop
            torch.index_select(table.observation, 0, piece.chosen, out=piece.layers[0])
            for place, activate in enumerate(memory.activate[lane]):
                torch.mm(piece.layers[place], self._across[place], out=piece.layers[place + 1])
                activate(start, stop)
            torch.addmm(bias, ends.weight, piece.turned[-1], out=piece.outputs)
            loss[lane](start, stop - start, threads=whole(stop - start) // GROUP)

        self._lanes.run(work, len(pieces))
        sums = memory.sums[: whole(rows) // GROUP].sum(0)
        return sums, memory.weight[:, :rows].t(), memory.log_prob[:, :rows].t(), memory.outputs[:-1, :rows].t()

    def backward(self, rows: int, factor: Tensor, more: Tensor | None = None) -> None:
        """Adds the gradient of the last rows that went forward to that of the parameters.

        Args:
            rows: How many they were.
            factor: What the slopes of surrogate, value loss and entropies are multiplied by ``[2 + H]``.
            more: Another gradient of the outputs for the heads ``[B, P]``.
        """
        (memory, pieces), calls = self._pieces(rows), self._calls
        assert calls is not None  # noqa: S101 - there is no way back without one there
        memory.factor.copy_(factor)

        def work(lane: int, number: int) -> None:
            piece = pieces[number]
            start, stop, slope = piece.start, piece.stop, piece.slopes
            calls.gradient[lane](start, threads=-(-(stop - start) // ROWS))
            if more is not None:
                slope[:, :-1].add_(more[start:stop])
            torch.sum(slope, 0, out=piece.ends)
            for place in reversed(range(len(self._layers))):
                layer = self._layers[place]
                if layer.turned:
                    torch.mm(piece.turned[place], slope, out=piece.weights[place])
                else:
                    torch.mm(slope.t(), piece.layers[place], out=piece.weights[place])
                if place:
                    slope = torch.mm(slope, layer.weight, out=piece.back[lane][place - 1])
                    memory.slope_of[lane][place - 1](start, stop, number)

        self._lanes.run(work, len(pieces))
        torch.sum(memory.gradients[: len(pieces)], 0, out=memory.summed)
        for layer, weight in zip(self._layers, memory.summed_weights, strict=True):
            if layer.turned:
                weight.view(layer.weight.shape).copy_(weight.t().contiguous())
        self._gradient.add_(memory.summed)
        self._lanes.chosen_did(rows)

    def pulls(self, drawn: Drawn, factor: Callable[[Tensor, float], Tensor]) -> list[Tensor]:
        """Returns the gradients of policy loss and of bonus by the outputs for the heads, ``[B, P]`` each.

        Of the rows that went forward last, before they go back.
        """
        memory = self._memory
        assert memory is not None  # noqa: S101 - as there
        size = len(drawn.chosen)
        rows = HandRows(self, drawn, 0.0, factor)
        sums = memory.sums[: whole(size) // GROUP, : -self._head_count].sum(0)
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

    def _pieces(self, rows: int) -> tuple[Memory, list[Piece]]:
        """Returns memory for so many rows, as before if it is large enough, and its pieces."""
        edges = _edges(rows)
        memory = self._memory
        if memory is None or memory.rows < rows or memory.pieces < len(edges):
            self._cut.clear()
            memory = self._memory = make_memory(
                self._layers,
                self._head_count,
                rows=rows,
                longest=min(rows, _PIECE),
                pieces=len(edges),
                lanes=self._lanes.count,
            )
        if rows not in self._cut:
            if len(self._cut) > 8:  # the sizes of a rollout's minibatches differ by one
                self._cut.clear()
            self._cut[rows] = [memory.piece(number, *edge) for number, edge in enumerate(edges)]
        return memory, self._cut[rows]

    def _recorded(self, table: Table, clip: float) -> _Calls:
        """Returns the calls of the kernels for a table; made anew for another one."""
        memory = self._memory
        assert memory is not None  # noqa: S101 - as there
        calls = self._calls
        if calls is None or calls.table is not table or calls.memory is not memory or calls.clip != clip:
            parts, stored = self._heads.parts(table.masks.names, memory.index.device), self._stored(table)
            lanes, rest = range(self._lanes.count), [parts, memory.index_view, stored, memory.work]
            calls = self._calls = _Calls(
                table,
                memory,
                clip,
                [Recorded(loss_of_rows, [0, 0, GROUP, clip, *rest]) for _ in lanes],
                [Recorded(gradient_of_rows, [0, memory.factor, *rest]) for _ in lanes],
            )
        return calls

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


def _edges(rows: int) -> list[tuple[int, int]]:
    """Returns the rows of every piece, from and to; each begins with a group, and all are nearly as long."""
    groups = whole(rows) // GROUP
    count = max(-(-groups // max(1, _PIECE // GROUP)), 1 if rows < _SHARED else 2)
    edges = [groups * each // count * GROUP for each in range(count + 1)]
    return [(start, min(stop, rows)) for start, stop in pairwise(edges)]


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
