"""How fast a training could be if it were nothing but matrix multiplications.

Shapes: B samples, F features, W widths of the trunk, P outputs for the action.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch.nn import functional

from headctl.run.peers.work import Contestant, Work

_REPETITIONS = 5
_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Product:
    """One kind of matrix product of a training: ``[m, k] x [k, n]``.

    Attributes:
        m: Rows of the result.
        k: Length of the sums.
        n: Columns of the result.
        per_step: How often it happens per agent-step, as a share of one product.
    """

    m: int
    k: int
    n: int
    per_step: float

    @property
    def operations(self) -> float:
        """Floating-point operations per agent-step: a multiplication and an addition per term."""
        return 2.0 * self.m * self.k * self.n * self.per_step


def products(work: Work, *, features: int, outputs: int, rows: int) -> list[Product]:
    """Returns the matrix products that an iteration cannot do without.

    Per layer one in the rollout; per epoch one forwards, one for the gradient of the weights, and, but for the first
    layer, one for the gradient of its input. The value is one more output.
    """
    widths = [features, *work.hidden, outputs + 1]
    found = []
    epochs = work.epochs / work.minibatch
    for layer, (k, n) in enumerate(pairwise(widths)):
        found.append(Product(rows, k, n, 1.0 / rows))
        found.append(Product(work.minibatch, k, n, epochs))
        found.append(Product(n, work.minibatch, k, epochs))
        if layer:
            found.append(Product(work.minibatch, n, k, epochs))
    return found


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What the matrix products of a training allow on this machine.

    Attributes:
        flop_per_step: Floating-point operations per agent-step.
        gflops: Speed of these products, each measured alone, weighted by its share of the operations.
        agent_steps_per_s: What a training could do at that speed.
    """

    flop_per_step: float
    gflops: float
    agent_steps_per_s: float


def ceiling(work: Work, contestant: Contestant, cores: int = 1) -> Ceiling:
    """Measures the ceiling for one trainer: that of one thread, times the cores that it uses.

    With several threads the measurement itself would depend on who else uses the cores.

    Args:
        work: The work.
        contestant: The trainer.
        cores: Cores that it uses.
    """
    parts = products(work, features=contestant.features, outputs=contestant.outputs, rows=contestant.rows)
    one = _ceiling(parts)
    return Ceiling(one.flop_per_step, cores * one.gflops, cores * one.agent_steps_per_s)


def _ceiling(parts: Sequence[Product]) -> Ceiling:
    operations = sum(part.operations for part in parts)
    seconds = sum(part.per_step * _seconds(part) for part in parts)
    return Ceiling(operations, operations / seconds / 1e9, 1.0 / seconds)


def _seconds(part: Product) -> float:
    """Returns how long one product takes: the best median that ``F.linear`` gives at its shape."""
    left, right = torch.randn(part.m, part.k), torch.randn(part.n, part.k)
    with torch.no_grad():
        started = time.perf_counter()
        calls = 0
        while time.perf_counter() - started < _SECONDS:
            functional.linear(left, right)
            calls += 1
        times = []
        for _ in range(_REPETITIONS):
            started = time.perf_counter()
            for _ in range(calls):
                functional.linear(left, right)
            times.append((time.perf_counter() - started) / calls)
    return statistics.median(times)
