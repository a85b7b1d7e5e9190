"""Threads that share the rows of a minibatch.

torch's own threads split every single operation, wait for each other in between by spinning, and come to a stop where
another program has the second core. A lane takes its rows through everything, and waits once.
"""

import contextlib
import queue
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch


class Lanes:
    """Lanes for the same work on different rows, one thread each; the first is the caller's own.

    Attributes:
        count: Number of lanes.
    """

    def __init__(self, count: int) -> None:
        """Creates the lanes; threads start with the first work.

        Args:
            count: At least 1.
        """
        self.count = count
        self._workers: list[tuple[queue.SimpleQueue[Any], queue.SimpleQueue[Any]]] = []

    def __getstate__(self) -> dict[str, Any]:
        return {"count": self.count, "_workers": []}  # threads stay where they are

    def run(self, work: Callable[[int], None]) -> None:
        """Calls ``work`` with the number of every lane, all at once, and returns when all have ended.

        Inside, torch computes with one thread and keeps no graph.

        Raises:
            Exception: What a lane has raised, when all have ended.
        """
        if self.count == 1:
            with torch.inference_mode():
                work(0)
            return
        if not self._workers:
            self._start()
        for lane, (tasks, _) in enumerate(self._workers, start=1):
            tasks.put((work, lane))
        problem: BaseException | None = None
        with one_thread():
            try:
                with torch.inference_mode():
                    work(0)
            except BaseException as error:  # noqa: BLE001 - raised again below, when nobody works on the rows any more
                problem = error
            for _, answers in self._workers:
                problem = answers.get() or problem
        if problem is not None:
            raise problem

    def _start(self) -> None:
        for lane in range(1, self.count):
            tasks, answers = queue.SimpleQueue(), queue.SimpleQueue()
            threading.Thread(target=_work, args=(tasks, answers), daemon=True, name=f"headctl-lane-{lane}").start()
            weakref.finalize(self, tasks.put, None)
            self._workers.append((tasks, answers))


def _work(tasks: "queue.SimpleQueue[Any]", answers: "queue.SimpleQueue[Any]") -> None:
    """What a thread does until it gets no more work."""
    torch.set_num_threads(1)
    with torch.inference_mode():
        while (task := tasks.get()) is not None:
            work, lane = task
            try:
                work(lane)
                answers.put(None)
            except BaseException as error:  # noqa: BLE001 - for the caller
                answers.put(error)
            del work, task


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
