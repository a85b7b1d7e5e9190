"""Per-head values of a call: checked, packed into one tensor with a column per head, and summed safely.

Shapes: B samples, H heads.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from headctl.messages import unknown_name

HeadValues = Mapping[str, Tensor] | Tensor
"""Per-head values: a mapping from head to ``[B]``, or all heads packed as ``[B, H]``; of a single head also ``[B]``."""

# Entropies that are not finite are summed as this number: it vanishes times a weight of 0, so that padding may hold
# anything, and lies far beyond whatever an entropy can be, so that with a weight the sum gives the fault away.
_GAP = 1e30
_LIMIT = 1e15


def without_gaps(values: Tensor) -> Tensor:
    """Returns values in which whatever is not finite is a huge number instead; times a weight of 0 it vanishes."""
    return torch.nan_to_num(values, nan=_GAP, posinf=_GAP, neginf=_GAP)


class WeightedSum(torch.autograd.Function):
    """``sum_h factor_h sum_i weight_ih entropy_ih``, with a gradient for the entropies only.

    A head with a value that is not finite in a row with a weight adds nothing, neither to the sum nor to the gradient.
    """

    @staticmethod
    def forward(ctx: Any, entropy: Tensor, weight: Tensor, factor: Tensor) -> Tensor:
        """Returns the sum, a scalar; entropy and weight are ``[B, H]``, factor is ``[H]``."""
        sums = without_gaps(entropy).mul_(weight).sum(0)
        counted = torch.where(sums.abs() < _LIMIT, factor, torch.zeros_like(factor))
        ctx.save_for_backward(weight, counted)
        return torch.dot(sums, counted)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Returns the gradient of the entropies."""
        weight, counted = ctx.saved_tensors
        return weight * (gradients[0] * counted), None, None


def weighted_sum(entropy: Tensor, weight: Tensor, factor: Tensor) -> Tensor:
    """Returns ``sum_h factor_h sum_i weight_ih entropy_ih`` by :class:`WeightedSum`."""
    return WeightedSum.apply(entropy, weight, factor)  # pyright: ignore[reportReturnType]


def pack(heads: tuple[str, ...], argument: str, values: HeadValues, like: Tensor | None = None) -> Tensor:
    """Returns per-head values as float32 ``[B, H]``.

    Args:
        heads: Names of the heads, in the order of the columns.
        argument: The caller's argument, for messages.
        values: A mapping from head to ``[B]``, or ``[B, H]``; of a single head also ``[B]``. A scalar is one sample.
        like: The packed entropies; the result must have their shape.

    Raises:
        ValueError: Heads missing or unknown, or shapes that do not fit.
    """
    if isinstance(values, Tensor):
        if len(heads) == 1 and values.ndim < 2:
            values = values.reshape(-1, 1)
        if values.ndim != 2 or values.shape[1] != len(heads):
            raise ValueError(
                f"{argument}: expected [B, {len(heads)}] with a column per head {list(heads)}, "
                f"got shape {list(values.shape)}"
            )
        packed = values
    else:
        packed = _stacked(heads, argument, values)
    if like is not None and packed.shape != like.shape:
        raise ValueError(
            f"{argument}: expected the shape of the entropies {list(like.shape)}, got {list(packed.shape)}"
        )
    return packed if packed.dtype == torch.float32 else packed.float()


def pack_weights(heads: tuple[str, ...], weight: HeadValues, like: Tensor) -> Tensor:
    """Returns weights as float32 ``[B, H]``.

    Raises:
        ValueError: As :func:`pack`; or a negative weight. That is asked on the CPU only: elsewhere the question would
            wait for the device.
    """
    weights = pack(heads, "weight", weight, like=like)
    if weights.device.type == "cpu" and not torch.compiler.is_compiling() and bool(weights.amin() < 0):
        raise ValueError(f"weight: must be at least 0 in every row, got {weights.amin().item():g}")
    return weights


def _stacked(heads: tuple[str, ...], argument: str, values: Mapping[str, Tensor]) -> Tensor:
    for name in values:
        if name not in heads:
            raise ValueError(f"{argument}: {unknown_name('head', name, heads)}")
    missing = [name for name in heads if name not in values]
    if missing:
        raise ValueError(f"{argument}: no values for head {missing[0]!r}; every call needs all of {list(heads)}")
    columns = [values[name] if values[name].ndim else values[name].reshape(1) for name in heads]
    shape = columns[0].shape
    for name, column in zip(heads, columns, strict=True):
        if column.ndim != 1 or column.shape != shape:
            raise ValueError(
                f"{argument}: expected one value per sample, shape [B], for every head; "
                f"head {name!r} has {list(column.shape)}, head {heads[0]!r} has {list(shape)}"
            )
    return torch.stack([column.float() for column in columns], dim=1)


def observed_sums(
    heads: tuple[str, ...],
    entropy: HeadValues,
    capacity: HeadValues | None,
    weight: HeadValues | None,
    *,
    constant: Tensor,
    one: Tensor,
) -> Tensor:
    """Returns ``sum w H``, ``sum w C``, ``sum w`` and the number of rows, each per head: ``[4, H]``.

    Args:
        heads: Names of the heads.
        entropy: Entropies in nats, ``[B]`` per head or packed ``[B, H]``.
        capacity: Likewise; ``None``: the constants.
        weight: Likewise; ``None``: 1 everywhere.
        constant: Capacity of every head ``[H]``.
        one: 1 per head ``[H]``: making a tensor takes as long as an addition.

    Raises:
        ValueError: Heads missing or unknown, shapes that do not fit, or (asked on the CPU only) a negative weight.
    """
    entropies = pack(heads, "entropy", entropy)
    rows = entropies.shape[0]
    if capacity is None:
        capacities = constant.expand_as(entropies)
    else:
        capacities = pack(heads, "capacity", capacity, like=entropies)
    if weight is None:
        weight_sum = one * rows
    else:
        weights = pack_weights(heads, weight, entropies)
        entropies, capacities = without_gaps(entropies).mul_(weights), without_gaps(capacities).mul_(weights)
        weight_sum = weights.sum(0)
    return torch.stack((entropies.sum(0), capacities.sum(0), weight_sum, one * rows))
