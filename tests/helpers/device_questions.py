"""Counts where the host would have to wait for a GPU, without one.

On a CPU tensor `.item()`, `bool()`, `.tolist()` and an index of truth values cost nothing; on a GPU each of them stops
the host until everything that was handed over is done. The calls are the same on both.
"""

from collections import Counter
from contextlib import contextmanager

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

WAITING = {
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::masked_select",
    "aten::equal",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::bincount",
}


class _Questions(TorchDispatchMode):
    def __init__(self, found):
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name().partition(".")[0]
        if name in WAITING or (name.startswith("aten::index") and _by_truth(args)):
            self.found[name] += 1
        return func(*args, **(kwargs or {}))


def _by_truth(args):
    indices = args[1] if len(args) > 1 and isinstance(args[1], list | tuple) else ()
    return any(isinstance(index, torch.Tensor) and index.dtype == torch.bool for index in indices)


@contextmanager
def questions():
    """Yields a counter of the questions that are asked inside."""
    found = Counter()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("tolist", "numpy"):  # they read the memory of a CPU tensor without asking torch
            read = getattr(torch.Tensor, name)

            def counted(tensor, *args, _read=read, _name=name, **kwargs):
                found[_name] += 1
                return _read(tensor, *args, **kwargs)

            patch.setattr(torch.Tensor, name, counted)
        with _Questions(found):
            yield found
