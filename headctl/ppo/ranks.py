"""The processes that share one training, as ``torchrun`` starts them: who is who, and how they agree.

Every process runs the same program. What comes from its own share of the games is added up or put together, what only
one may do the first one does, and everything else follows from the same seeds. A process without others is the trivial
case: it sends no messages.
"""

import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, distributed

T = TypeVar("T")

TIMEOUT = timedelta(minutes=10)
"""How long a process waits for the others before it gives up. A process that has died is noticed at once."""
SAID = "the first process has met this, and tells of it"
_NEEDED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


class RanksError(ValueError):
    """Processes that cannot share a training: badly started, or out of step. One message."""


class Ranks:
    """One of the processes that share a training.

    Attributes:
        rank: Its number.
        size: How many there are.
        group: What their messages go through; ``None``: it is alone.
    """

    def __init__(self, rank: int = 0, size: int = 1, group: distributed.ProcessGroup | None = None) -> None:
        """Creates the view that one process has of all."""
        self.rank, self.size, self.group = rank, size, group

    @property
    def first(self) -> bool:
        """Whether it is the one that writes files and talks to people."""
        return self.rank == 0

    @property
    def total(self) -> Callable[[Tensor], Tensor] | None:
        """Adds up sums over the processes, in place; ``None`` where there is one."""
        return None if self.group is None else self._total

    def _total(self, sums: Tensor) -> Tensor:
        distributed.all_reduce(sums, group=self.group)
        return sums

    def any(self, flag: bool) -> bool:  # noqa: FBT001 - the one thing that it is asked
        """Returns whether the flag is up in any process. Everybody waits for everybody."""
        return flag if self.group is None else bool(self._total(torch.tensor([int(flag)])).item())

    def agreed(self, value: T) -> T:
        """Returns what the first process has here."""
        return self.first_does(lambda: value)

    def first_does(self, action: Callable[[], T]) -> T:
        """Has the first process do something; all return what it returned, or raise what it raised.

        Args:
            action: Its result is plain data.

        Raises:
            Exception: As ``action``. In the other processes a copy, with the note :data:`SAID`.
        """
        if self.group is None:
            return action()
        outcome: list[Any] = [None]
        problem: Exception | None = None
        if self.first:
            try:
                outcome = [(action(), None)]
            except Exception as error:  # noqa: BLE001 - raised again below, in all processes
                problem, outcome = error, [(None, _portable(error))]
        distributed.broadcast_object_list(outcome, 0, group=self.group)
        result, copy = outcome[0]
        if problem is not None:
            raise problem
        if copy is not None:
            copy.add_note(SAID)
            raise copy
        return result

    def games(self, total: int) -> range:
        """Returns the games of this process, out of ``total`` that divide among all."""
        share = total // self.size
        return range(self.rank * share, (self.rank + 1) * share)

    def whole(self, own: T) -> T:
        """Returns nested plain data in which every tensor has the rows of all processes, one after the other.

        Args:
            own: The same with the rows of this process; of what is no tensor, the first process's counts.
        """
        if self.group is None:
            return own
        parts: list[Any] = [None] * self.size
        distributed.all_gather_object(parts, _mapped(own, Tensor.cpu), group=self.group)
        return cast("T", _put_together(parts))

    def own(self, whole: T) -> T:
        """Returns the rows of this process of what :meth:`whole` returned."""
        if self.group is None:
            return whole

        def rows(entry: Tensor) -> Tensor:
            games = self.games(len(entry))
            return entry[games.start : games.stop]

        return _mapped(whole, rows)

    def check_in_step(self, state: Tensor) -> None:
        """Makes sure that a tensor, float64, is the same to the last bit in all processes.

        Raises:
            RanksError: It is not; the training would fall apart without anybody noticing.
        """
        if self.group is None:
            return
        found = [torch.empty_like(state) for _ in range(self.size)]
        distributed.all_gather(found, state, group=self.group)
        bits = found[0].view(torch.int64)
        strays = [rank for rank, other in enumerate(found) if not torch.equal(other.view(torch.int64), bits)]
        if strays:
            raise RanksError(
                f"the processes {strays} of {self.size} have come to other weights, temperatures or counts than the "
                "first one; are they of the same machine type and software?"
            )

    def device(self, name: str) -> str:
        """Returns the torch device of this process where ``run.device`` has a name: with ``cuda`` each has its own."""
        return name if self.group is None or name == "cpu" else f"cuda:{os.environ['LOCAL_RANK']}"


ALONE = Ranks()
"""The only process of a training."""


def processes_here(size: int) -> int:
    """Returns how many of ``size`` processes run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", size))


@contextmanager
def joined() -> Iterator[Ranks]:
    """Joins the processes that ``torchrun`` has started this one with; alone where it has not.

    Raises:
        RanksError: ``WORLD_SIZE`` says that there are others, and nothing says how to find them.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    missing = [name for name in _NEEDED if name not in os.environ]
    if missing:
        raise RanksError(
            f"WORLD_SIZE is {size}, but {', '.join(missing)} is not set: start several processes with torchrun, or "
            "unset WORLD_SIZE to train with one"
        )
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, timeout=TIMEOUT)
    try:
        yield Ranks(distributed.get_rank(), size, distributed.group.WORLD)
    finally:
        distributed.destroy_process_group()


def is_lost_connection(error: RuntimeError) -> bool:
    """Tells whether an error means that another process has gone, or has kept this one waiting for too long."""
    return isinstance(error, distributed.DistError) or "gloo" in str(error).lower()


def _portable(error: Exception) -> Exception:
    """Returns an exception that other processes can read."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - one's own
    except Exception:  # noqa: BLE001 - an exception may refuse in any way
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _mapped(tree: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(tree, Tensor):
        return change(tree)
    return {key: _mapped(entry, change) for key, entry in tree.items()} if isinstance(tree, Mapping) else tree


def _put_together(parts: list[Any]) -> Any:
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(parts)
    if isinstance(first, Mapping):
        return {key: _put_together([part[key] for part in parts]) for key in first}
    return first
