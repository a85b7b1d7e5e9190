"""The same iteration of a training over and over: how fast is this process now, and how fast is the machine?

Neither agent-steps per second nor per second of processor time answers that. A neighbour on the machine shares caches
and execution units, so the same instructions take up to half as long again; and a policy that learns plays other
fights. Here one fixed iteration (the same policy, games, opponents and random numbers each time) is timed in the
process that trains and, in turns with it, in a *twin*: a process that was started at the same time, has the same
objects, and has done nothing since. What slows down both is the machine; what slows down only the one that trains is
our own doing.
"""

import multiprocessing
import time
import warnings
from collections.abc import Callable
from copy import deepcopy
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple, Self

import torch

from headctl.run.config import RunConfig
from headctl.run.folder import create_run_folder
from headctl.run.records import MetricsWriter
from headctl.run.trainer import Trainer

_ITERATIONS_BEFORE = 5
"""The fixed iteration is taken from games that are under way."""
_IN_TURNS = 5

Record = dict[str, float]
Keep = Callable[[Record], None]


class Pace(NamedTuple):
    """Processor seconds of the fixed iteration, each the least of some tries."""

    here: float
    twin: float


class FixedIteration:
    """One iteration that can be played again and again, bit for bit the same.

    Args:
        config: What to train; nothing may be due within the first few iterations.
        folder: Folder of a run that is never looked at.

    Attributes:
        trainer: Plays it.
        record: What it tells.
    """

    def __init__(self, config: RunConfig, folder: Path) -> None:
        create_run_folder(folder, config)
        self.trainer = Trainer(config, folder)
        records = self.trainer.iterations()
        for _ in range(_ITERATIONS_BEFORE):
            next(records)
        self._state = deepcopy(self.trainer.state_dict())
        self._snapshots = list(self.trainer.pool.snapshots)
        self.record = self.play(lambda _: None)[1]

    def play(self, keep: Keep) -> tuple[float, Record]:
        """Plays it and keeps its record; returns the processor seconds that both took, and the record."""
        self.trainer.load_state_dict(deepcopy(self._state), self._snapshots)
        records = self.trainer.iterations()
        started = time.process_time()
        record = next(records)
        keep(record)
        return time.process_time() - started, record


class PaceMaker:
    """Times the fixed iteration here and in the twin, which ends with the ``with`` block.

    Args:
        config: What to train.
        folder: An empty folder for both.
    """

    def __init__(self, config: RunConfig, folder: Path) -> None:
        self._fixed = FixedIteration(config, folder / "here")
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._twin = context.Process(target=_serve, args=(theirs, config, folder / "twin"), daemon=True)
        self._twin.start()
        theirs.close()
        self.is_fixed = self._connection.recv() == _what_counts(self._fixed.record)

    def measure(self, keep: Keep) -> Pace:
        """Plays the fixed iteration some times here and in the twin, in turns.

        Args:
            keep: Does with the record what the training does, a checkpoint included; its time counts. The twin does it
                with a run of its own.
        """
        here, twin = [], []
        for _ in range(_IN_TURNS):
            seconds, record = self._fixed.play(keep)
            self.is_fixed = self.is_fixed and _what_counts(record) == _what_counts(self._fixed.record)
            here.append(seconds)
            self._connection.send(True)
            twin.append(self._connection.recv())
        return Pace(min(here), min(twin))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.send(False)
        self._twin.join(timeout=10.0)
        if self._twin.is_alive():
            self._twin.kill()


def _what_counts(record: Record) -> str:
    """Returns what has to be the same each time: everything but the clock. As text, where NaN equals itself."""
    return repr({key: value for key, value in record.items() if not key.startswith("perf/")})


def _serve(connection: Connection, config: RunConfig, folder: Path) -> None:
    """Is the twin: plays the fixed iteration when asked."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    fixed = FixedIteration(config, folder)
    connection.send(_what_counts(fixed.record))
    with MetricsWriter(folder, list(fixed.trainer.controller.heads)) as writer:
        keep = keeping(fixed.trainer, writer)
        while connection.recv():
            connection.send(fixed.play(keep)[0])


def keeping(trainer: Trainer, writer: MetricsWriter) -> Keep:
    """Returns what keeps a record as a training does: a line, TensorBoard, and a checkpoint."""

    def keep(record: Record) -> None:
        writer.write(record)
        writer.write_choices(trainer.choices(), trainer.agent_steps)
        trainer.save()

    return keep
