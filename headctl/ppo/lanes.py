"""Threads that share the pieces of a minibatch.

torch's own threads split every single operation, wait for each other in between by spinning, and come to a stop where
another program has the second core. A lane takes a piece through everything, and then the next one that nobody has
taken: a lane whose core is busy elsewhere does fewer of them, and nobody waits for one that has none. Where the other
cores are busy for long, one lane is faster than several, which would take turns on the same core; the lanes find out.
"""

import contextlib
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch

Work = Callable[[int, int], None]
"""Does a piece: gets the number of the lane, which no two threads have at the same time, and that of the piece."""


_LOOK_AGAIN = 64
"""Pieces of work from one look at the slower number of lanes to the next."""
_WEIGHT = 0.3
"""Of the newest measurement in the mean."""


class Lanes:
    """Lanes for the same work on different pieces, one thread each; the first is the caller's own.

    Attributes:
        count: Number of lanes.
        active: How many of them take part: all of them or one.
    """

    def __init__(self, count: int) -> None:
        """Creates the lanes; threads start with the first work.

        Args:
            count: At least 1.
        """
        self.count = self.active = count
        self._workers: list[queue.SimpleQueue[_Job | None]] = []
        self._took: dict[int, float] = {}
        self._chosen = self._last = 0
        self._started = 0.0

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_workers": []}  # threads stay where they are

    def choose(self) -> None:
        """Begins some work: by as many lanes as have been faster of late, and now and then by the others, to see."""
        if self.count == 1:
            return
        untried = [lanes for lanes in (self.count, 1) if lanes not in self._took]
        self._chosen += 1
        self.active = untried[0] if untried else min(self._took, key=self._took.__getitem__)
        if not untried and self._chosen % _LOOK_AGAIN == 0:
            self.active = 1 if self.active == self.count else self.count
        self._started = time.perf_counter()

    def chosen_did(self, rows: int) -> None:
        """Ends what :meth:`choose` began: it went over so many rows."""
        if self.count == 1 or not rows:
            return
        took = (time.perf_counter() - self._started) / rows
        # What was measured some time ago says nothing any more.
        before = self._took[self.active] if self.active == self._last else took
        self._took[self.active] = before + _WEIGHT * (took - before)
        self._last = self.active

    def run(self, work: Work, pieces: int) -> None:
        """Calls ``work`` once for every piece, in lanes at once, and returns when all have ended.

        Inside, torch computes with one thread and keeps no graph.

        Raises:
            Exception: The first that a piece has raised, when all that were begun have ended; no other is begun then.
        """
        job = _Job(work, pieces)
        if self.active > 1 and pieces > 1:
            if not self._workers:
                self._start()
            for tasks in self._workers:
                tasks.put(job)
        with one_thread(), torch.inference_mode():
            job.help(0)
        job.finish()

    def _start(self) -> None:
        for lane in range(1, self.count):
            tasks: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
            threading.Thread(target=_work, args=(tasks, lane), daemon=True, name=f"headctl-lane-{lane}").start()
            weakref.finalize(self, tasks.put, None)
            self._workers.append(tasks)


class _Job:
    """Pieces that are taken one after the other by whoever comes."""

    def __init__(self, work: Work, pieces: int) -> None:
        self._work: Work | None = work
        self._pieces, self._next, self._open = pieces, 0, 0
        self._change = threading.Condition()
        self._problem: BaseException | None = None

    def help(self, lane: int) -> None:
        """Does pieces until there is none left to take."""
        while True:
            with self._change:
                work, piece = self._work, self._next
                if work is None or piece >= self._pieces:
                    return
                self._next += 1
                self._open += 1
            try:
                work(lane, piece)
            except BaseException as error:  # noqa: BLE001 - for the caller
                with self._change:
                    self._problem = self._problem or error
                    self._next = self._pieces
            finally:
                del work
                with self._change:
                    self._open -= 1
                    if not self._open:
                        self._change.notify()

    def finish(self) -> None:
        """Waits for the pieces that others have taken; whoever comes later finds nothing.

        Raises:
            Exception: What a piece has raised.
        """
        with self._change:
            while self._open:
                self._change.wait()
            self._work = None
        if self._problem is not None:
            raise self._problem


def _work(tasks: "queue.SimpleQueue[_Job | None]", lane: int) -> None:
    """What a thread does until it gets no more work."""
    torch.set_num_threads(1)
    with torch.inference_mode():
        while (job := tasks.get()) is not None:
            job.help(lane)
            del job


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Lets torch compute with one thread inside, and with as many as before afterwards."""
    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
