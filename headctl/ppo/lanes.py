"""Threads that share the pieces of a minibatch.

torch's own threads split every single operation, wait for each other in between by spinning, and come to a stop where
another program has the second core. A lane takes a piece through everything, and then the next one that nobody has
taken: a lane whose core is busy elsewhere does fewer of them, and nobody waits for one that has none.
"""

import contextlib
import queue
import threading
import weakref
from collections.abc import Callable, Iterator

import torch

Work = Callable[[int, int], None]
"""Does a piece: gets the number of the lane, which no two threads have at the same time, and that of the piece."""


class Lanes:
    """Lanes for the same work on different pieces, one thread each; the first is the caller's own.

    Attributes:
        count: Number of lanes.
    """

    def __init__(self, count: int) -> None:
        """Creates the lanes; threads start with the first work.

        Args:
            count: At least 1.
        """
        self.count = count
        self._workers: list[queue.SimpleQueue[_Job | None]] = []

    def __getstate__(self) -> dict[str, object]:
        return {"count": self.count, "_workers": []}  # threads stay where they are

    def run(self, work: Work, pieces: int) -> None:
        """Calls ``work`` once for every piece, in lanes at once, and returns when all have ended.

        Inside, torch computes with one thread and keeps no graph.

        Raises:
            Exception: The first that a piece has raised, when all that were begun have ended; no other is begun then.
        """
        job = _Job(work, pieces)
        if self.count > 1 and pieces > 1:
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
