"""All heads of a policy at once: drawn, evaluated and differentiated by :mod:`headctl.policy.kernels`.

Choices (masked or not, with or without a probability floor), several choices, bits and Gaussian dims are known here;
a policy with another kind of head goes head by head, as :mod:`headctl.policy.actions` says.

Shapes: B rows (any leading shape), P outputs of the network, H heads, M entries of all masks.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
import warp as wp
from torch import Tensor

from headctl.policy import kernels, parts
from headctl.policy.base import Head
from headctl.policy.continuous import GaussianHead
from headctl.policy.discrete import BernoulliHead, CategoricalHead, MultiDiscreteHead
from headctl.policy.draws import Draws, fill_normal, fill_uniform

_KNOWN = (CategoricalHead, MultiDiscreteHead, BernoulliHead, GaussianHead)


class PackedActions(NamedTuple):
    """Actions of all heads side by side, head after head; at least one column each."""

    numbers: Tensor
    """Numbered actions, int64 ``[B, ...]``."""
    reals: Tensor
    """Real actions, float32 ``[B, ...]``."""


class PackedMasks(NamedTuple):
    """Masks of some heads side by side, in the order of the heads."""

    names: tuple[str, ...]
    legal: Tensor
    """bool ``[B, M]``, true where legal; at least one column."""


Masks = Mapping[str, Tensor] | PackedMasks
"""Masks of the heads that are masked: bool ``[B, K]`` each, or side by side."""


class PackedTold(NamedTuple):
    """What the heads say of actions; the first four are those of :class:`headctl.policy.actions.Evaluation`."""

    log_prob: Tensor
    entropy: Tensor
    capacity: Tensor
    choice: Tensor
    first: Tensor
    """What the gradient needs, ``[B, P]``."""
    second: Tensor
    """What the gradient needs, ``[B, P]``."""


class Memory(NamedTuple):
    """What the gradient of an evaluation needs; no output that has a gradient itself, which would be a cycle."""

    masks: PackedMasks
    numbers: Tensor
    choice: Tensor
    """0 where a head counts for nothing ``[B, H]``."""
    first: Tensor
    second: Tensor


class FusedHeads:
    """The heads of a policy as a table of parts that the kernels walk through.

    Attributes:
        num_numbers: Columns of numbered actions.
        num_reals: Columns of real actions.
    """

    def __init__(self, heads: Sequence[Head]) -> None:
        """Makes the table.

        Args:
            heads: The heads, in the order of the network's outputs.
        """
        self._heads = tuple(heads)
        self.num_params = sum(head.num_params for head in heads)
        self.num_numbers = sum(_columns(head) for head in heads if not head.continuous)
        self.num_reals = sum(_columns(head) for head in heads if head.continuous)
        self._tables: dict[tuple[tuple[str, ...], torch.device], Any] = {}
        self._owned: list[Tensor] = []

    def __getstate__(self) -> dict[str, Any]:
        # Tables point into memory of this process.
        return self.__dict__ | {"_tables": {}, "_owned": []}

    @staticmethod
    def know(heads: Sequence[Head]) -> bool:
        """Returns whether the kernels can work for all of these heads."""
        return all(type(head) in _KNOWN for head in heads)

    def parts(self, masked: tuple[str, ...], device: torch.device) -> Any:
        """Returns the table where these heads are masked, in this order."""
        table = self._tables.get((masked, device))
        if table is None:
            table = self._tables[masked, device] = self._table(masked, device)
        return table

    def _table(self, masked: tuple[str, ...], device: torch.device) -> Any:
        start_warp()
        sizes = {head.name: getattr(head, "mask_size", 0) for head in self._heads}
        starts = {name: sum(sizes[other] for other in masked[:place]) for place, name in enumerate(masked)}
        rows: list[tuple[int | float, ...]] = []
        param = number = real = 0
        for column, head in enumerate(self._heads):
            mask = starts.get(head.name, -1)
            if isinstance(head, GaussianHead):
                dims, low, span = head.num_params // 2, head.log_std_min, head.log_std_max - head.log_std_min
                for dim in range(dims):
                    capacity = head.capacity if dim == 0 else 0.0
                    row = (param + dim, param + dims + dim, 0, -1, real + dim, low, span, capacity)
                    rows.append((parts.GAUSSIAN, column, *row))
                real += dims
            elif isinstance(head, BernoulliHead):
                for bit in range(head.num_params):
                    legal = mask if mask < 0 else mask + bit
                    rows.append((parts.BIT, column, param + bit, 0, 2, legal, number + bit, head.floor, 0.0, 0.0))
                number += head.num_params
            elif isinstance(head, CategoricalHead | MultiDiscreteHead):
                several = isinstance(head, MultiDiscreteHead)
                start = 0
                for size in head.sizes:
                    legal = mask if mask < 0 else mask + start
                    kind = parts.PART if several else parts.CHOICE
                    rows.append((kind, column, param + start, 0, size, legal, number, head.floor, 0.0, 0.0))
                    start += size
                    number += 1
            param += head.num_params
        table = parts.Parts()
        names = ("kind", "head", "param", "second", "size", "mask", "action", "low", "span", "capacity")
        for place, (name, values) in enumerate(zip(names, zip(*rows, strict=True), strict=True)):
            dtype = torch.int32 if place < 7 else torch.float32
            entry = torch.tensor(values, dtype=dtype, device=device)
            self._owned.append(entry)  # the table does not keep it alive
            setattr(table, name, wp.from_torch(entry))
        return table

    def pack_actions(self, actions: Mapping[str, Tensor], batch: Sequence[int]) -> PackedActions:
        """Returns actions given per head ``[B, ...]`` as one row of numbers and one of reals per sample."""
        numbers, reals = [], []
        for head in self._heads:
            side = reals if head.continuous else numbers
            action = actions[head.name].to(head.action_dtype)
            side.append(action if head.action_shape else action.unsqueeze(-1))
        example = next(iter(actions.values()))
        return PackedActions(
            _side_by_side(numbers, batch, torch.int64, example.device),
            _side_by_side(reals, batch, torch.float32, example.device),
        )

    def empty_actions(self, batch: Sequence[int], device: torch.device) -> PackedActions:
        """Returns zeros to be filled, with the given leading shape."""
        return PackedActions(
            torch.zeros(*batch, max(self.num_numbers, 1), dtype=torch.int64, device=device),
            torch.zeros(*batch, max(self.num_reals, 1), device=device),
        )

    def views(self, packed: PackedActions) -> dict[str, Tensor]:
        """Returns the actions of each head, as views."""
        views: dict[str, Tensor] = {}
        number = real = 0
        for head in self._heads:
            width = _columns(head)
            if head.continuous:
                views[head.name] = packed.reals[..., real : real + width]
                real += width
            elif head.action_shape:
                views[head.name] = packed.numbers[..., number : number + width]
                number += width
            else:
                views[head.name] = packed.numbers[..., number]
                number += 1
        return views

    def masked(self, names: Iterable[str]) -> tuple[str, ...]:
        """Returns names of heads in the order in which their masks lie side by side."""
        wanted = set(names)
        return tuple(head.name for head in self._heads if head.name in wanted)

    def pack_masks(self, masks: Masks, batch: Sequence[int], device: torch.device) -> PackedMasks:
        """Returns masks side by side, with the given leading shape."""
        if isinstance(masks, PackedMasks):
            return masks
        names = self.masked(masks)
        columns = [masks[name].expand(*batch, masks[name].shape[-1]) for name in names]
        return PackedMasks(names, _side_by_side(columns, batch, torch.bool, device))

    def empty_masks(self, sizes: Mapping[str, int], batch: Sequence[int], device: torch.device) -> PackedMasks:
        """Returns masks in which everything is legal, to be filled."""
        width = max(sum(sizes.values()), 1)
        return PackedMasks(self.masked(sizes), torch.ones(*batch, width, dtype=torch.bool, device=device))

    def mask_views(self, packed: PackedMasks, sizes: Mapping[str, int]) -> dict[str, Tensor]:
        """Returns the mask of each head, as views."""
        columns = packed.legal.split([sizes[name] for name in packed.names], dim=-1) if packed.names else ()
        return dict(zip(packed.names, columns, strict=True))

    def tell(
        self,
        params: Tensor,
        actions: PackedActions,
        masks: PackedMasks,
        *,
        generator: Draws | None = None,
        draw: bool = False,
    ) -> PackedTold:
        """Evaluates actions, drawing them first where asked to; without a gradient.

        Args:
            params: Joint output of the network, float32 ``[B, P]``.
            actions: Given, or filled in place, ``[B, ...]``.
            masks: Masks of the heads that are masked ``[B, M]``.
            generator: Random stream of the draw.
            draw: Whether to draw.
        """
        rows, device = params.shape[0], params.device
        columns = torch.empty(4, rows, len(self._heads), device=device).unbind()
        memory = torch.empty(2, rows, self.num_params, device=device).unbind()
        uniform = normal = columns[0]  # not read
        if draw and self.num_numbers:
            uniform = fill_uniform(torch.empty(rows, self.num_numbers, device=device), generator)
        if draw and self.num_reals:
            normal = fill_normal(torch.empty(rows, self.num_reals, device=device), generator)
        told = PackedTold(*columns, *memory)
        launch(
            kernels.tell_rows,
            rows,
            [self.parts(masks.names, device), draw, *shared(params, masks.legal, uniform, normal, *actions, *told)],
            device,
        )
        return told

    def gradient(
        self,
        memory: Memory,
        of_log_prob: Tensor,
        of_entropy: Tensor,
    ) -> Tensor:
        """Returns the gradient of the outputs ``[B, P]`` that belongs to those of log-probability and entropy.

        Args:
            memory: What was evaluated.
            of_log_prob: Gradient of the log-probabilities ``[B, H]``; strides may be 0.
            of_entropy: Gradient of the entropies ``[B, H]``.
        """
        device = memory.first.device
        gradient = torch.empty_like(memory.first)
        tensors = (
            memory.masks.legal,
            memory.numbers,
            memory.choice,
            of_log_prob,
            of_entropy,
            memory.first,
            memory.second,
        )
        arguments = [self.parts(memory.masks.names, device), *shared(*tensors, gradient)]
        launch(kernels.gradient_rows, gradient.shape[0], arguments, device)
        return gradient


class FusedEvaluation(torch.autograd.Function):
    """Log-probabilities, entropies, capacities and choices ``[B, H]``, with the gradient of the first two."""

    @staticmethod
    def forward(
        ctx: Any, params: Tensor, heads: FusedHeads, actions: PackedActions, masks: PackedMasks
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Evaluates; see :meth:`FusedHeads.tell`."""
        told = heads.tell(params, actions, masks)
        ctx.heads = heads
        ctx.memory = Memory(masks, actions.numbers, told.choice, told.first, told.second)
        ctx.mark_non_differentiable(told.capacity, told.choice)
        return told.log_prob, told.entropy, told.capacity, told.choice

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        """Returns the gradient of the outputs."""
        return ctx.heads.gradient(ctx.memory, gradients[0], gradients[1]), None, None, None


_starting = threading.Lock()


@lru_cache(maxsize=1)
def start_warp() -> None:
    """Starts Warp without its greeting: stdout belongs to the host program."""
    with _starting, wp.ScopedLogLevel(wp.LOG_ERROR):
        wp.init()


def prepare(kernel: Any, device: str) -> None:
    """Starts Warp, loads the module of a kernel, and compiles it if need be, without a word."""
    start_warp()
    _load(kernel.module.name, device)


@lru_cache(maxsize=16)
def _load(module: str, device: str) -> None:
    with wp.ScopedLogLevel(wp.LOG_ERROR):
        wp.load_module(module, device=device)


def shared(*tensors: Tensor) -> list[Any]:
    """Returns Warp's views of tensors."""
    return [wp.from_torch(tensor, requires_grad=False, return_ctype=True) for tensor in tensors]


def launch(kernel: Any, rows: int, arguments: list[Any], device: torch.device) -> None:
    """Runs a kernel for ``rows`` threads, in the order of torch's current stream."""
    name = str(wp.device_from_torch(device))
    prepare(kernel, name)
    if device.type == "cuda":
        stream = wp.stream_from_torch(torch.cuda.current_stream(device))
        wp.launch(kernel, dim=rows, inputs=arguments, stream=stream)
    else:
        wp.launch(kernel, dim=rows, inputs=arguments, device=name)


class Recorded:
    """A kernel of the CPU, to be called again and again with the same arguments but for the first ones: numbers.

    Packing all arguments anew takes several times as long as the call.
    """

    def __init__(self, kernel: Any, arguments: Sequence[Any]) -> None:
        """Prepares the call.

        Args:
            kernel: The kernel.
            arguments: Its arguments. Tensors are taken as they lie in memory, now and at every call.
        """
        prepare(kernel, "cpu")
        self._arguments = [  # a recorded launch does not keep them alive
            wp.from_torch(each, requires_grad=False) if isinstance(each, Tensor) else each for each in arguments
        ]
        self._threads = 1
        self._launch: Any = wp.launch(kernel, dim=1, inputs=self._arguments, device="cpu", record_cmd=True)

    def __call__(self, *first: int, threads: int = 1) -> None:
        """Calls it for so many threads with these as the first arguments."""
        for place, value in enumerate(first):
            self._launch.set_param_at_index_from_ctype(place, value)
        if threads != self._threads:
            self._threads = threads
            self._launch.set_dim(threads)
        self._launch.launch()


def _columns(head: Head) -> int:
    return head.action_shape[0] if head.action_shape else 1


def _side_by_side(columns: Sequence[Tensor], batch: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    if not columns:
        return torch.zeros(*batch, 1, dtype=dtype, device=device)
    return columns[0] if len(columns) == 1 else torch.cat(list(columns), dim=-1)
