"""Per-head values of a call, checked and packed into one tensor with a column per head.

Shapes: B samples, H heads.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from headctl.messages import unknown_name

HeadValues = Mapping[str, Tensor] | Tensor
"""Per-head values: a mapping from head to ``[B]``, or all heads packed as ``[B, H]``."""


def pack(heads: tuple[str, ...], argument: str, values: HeadValues, like: Tensor | None = None) -> Tensor:
    """Returns per-head values as float32 ``[B, H]``.

    Args:
        heads: Names of the heads, in the order of the columns.
        argument: The caller's argument, for messages.
        values: A mapping from head to ``[B]``, or ``[B, H]``.
        like: The packed entropies; the result must have their shape.

    Raises:
        ValueError: Heads missing or unknown, or shapes that do not fit.
    """
    if isinstance(values, Tensor):
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


def _stacked(heads: tuple[str, ...], argument: str, values: Mapping[str, Tensor]) -> Tensor:
    for name in values:
        if name not in heads:
            raise ValueError(f"{argument}: {unknown_name('head', name, heads)}")
    missing = [name for name in heads if name not in values]
    if missing:
        raise ValueError(f"{argument}: no values for head {missing[0]!r}; every call needs all of {list(heads)}")
    columns = [values[name] for name in heads]
    shape = columns[0].shape
    for name, column in zip(heads, columns, strict=True):
        if column.ndim != 1 or column.shape != shape:
            raise ValueError(
                f"{argument}: expected one value per sample, shape [B], for every head; "
                f"head {name!r} has {list(column.shape)}, head {heads[0]!r} has {list(shape)}"
            )
    return torch.stack([column.float() for column in columns], dim=1)
