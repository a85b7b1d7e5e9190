"""Ctrl-C and SIGTERM, answered in one's own way for a while."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STOPPING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def answering(answer: Callable[[int], None]) -> Iterator[None]:
    """Has Ctrl-C and SIGTERM call ``answer`` with the signal's number; what was there before comes back at the end.

    Args:
        answer: May raise: the exception then comes up wherever the program is.
    """
    before = {number: signal.getsignal(number) for number in STOPPING}
    for number in before:
        signal.signal(number, lambda received, _: answer(received))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
