"""Random streams and settings of the process, which other libraries take for their own: lent and put back."""

import random
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


class GlobalStream:
    """A trainer's own state of the global random streams of torch, numpy and Python."""

    def __init__(self, seed: int) -> None:
        """Begins all three at ``seed``."""
        self._torch = torch.Generator().manual_seed(seed).get_state()
        self._numpy = np.random.RandomState(seed).get_state()
        self._python = random.Random(seed).getstate()  # noqa: S311 - nothing here is secret

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Puts the streams in the place of the global ones, and those back afterwards."""
        outer = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002 - as above
        self._set(self._torch, self._numpy, self._python)
        try:
            yield
        finally:
            self._torch, self._numpy, self._python = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
            self._set(*outer)

    @staticmethod
    def _set(torch_state: torch.Tensor, numpy_state: object, python_state: tuple[object, ...]) -> None:
        torch.set_rng_state(torch_state)
        np.random.set_state(numpy_state)  # noqa: NPY002 # pyright: ignore[reportArgumentType] - its own state
        random.setstate(python_state)


@contextmanager
def kept_settings() -> Iterator[None]:
    """Puts the reaction to Ctrl-C and the filters of warnings back, which some libraries replace when imported."""
    on_main_thread = threading.current_thread() is threading.main_thread()
    on_interrupt = signal.getsignal(signal.SIGINT) if on_main_thread else None
    try:
        with warnings.catch_warnings():
            yield
    finally:
        if on_main_thread and on_interrupt is not None:
            signal.signal(signal.SIGINT, on_interrupt)
