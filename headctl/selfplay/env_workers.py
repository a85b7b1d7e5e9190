"""Blocks of environments in several processes, on tensors in shared memory.

The trainer's process plays the first block itself while the others play theirs: it would only wait.

What goes through the pipes is a word per step; observations, actions and rewards stay where they are.
"""

import contextlib
import pickle
import signal
import weakref
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from pettingzoo import ParallelEnv
from torch import Tensor, multiprocessing

from headctl.selfplay.env_block import BlockPlan, EnvBlock, EnvFailedError

_JOIN_S = 2.0


def plans(
    factory: Callable[..., ParallelEnv],
    options: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    num_games: int,
    blocks: int,
) -> list[BlockPlan]:
    """Returns plans of blocks of nearly equal size, in the order of their games."""
    edges = [num_games * block // blocks for block in range(blocks + 1)]
    return [BlockPlan(factory, options, tensors, first, stop) for first, stop in pairwise(edges)]


class WorkerError(RuntimeError):
    """A worker process that cannot be started, or has ended without a word."""


class EnvWorkers:
    """One process per block, the first of them this one. Every call goes to all of them and waits for all."""

    def __init__(self, blocks: Sequence[BlockPlan]) -> None:
        """Starts the processes; their environments are made at the same time.

        Args:
            blocks: At least one. Their tensors must be in shared memory.

        Raises:
            ValueError: A game that cannot be handed to another process.
            Exception: What an environment raised when it was made.
        """
        try:
            pickle.dumps((blocks[0].factory, blocks[0].options))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ValueError(
                f"game.workers: the game cannot be handed to another process, use 0 workers or a function at the top "
                f"of a module: {error}"
            ) from error
        context = multiprocessing.get_context("spawn")
        self._pipes, self._processes = [], []
        for block in blocks[1:]:
            mine, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, block), daemon=True, name="headctl-games")
            process.start()
            theirs.close()
            self._pipes.append(mine)
            self._processes.append(process)
        self._end = weakref.finalize(self, _end, self._pipes, self._processes)
        self._blocks = blocks
        self._own = EnvBlock(blocks[0])
        self._gather()

    def reset(self, seed: int) -> None:
        """As :meth:`EnvBlock.reset`."""
        self._all("reset", *[(seed,)] * len(self._blocks))

    def step(self) -> None:
        """As :meth:`EnvBlock.step`."""
        self._all("step", *[()] * len(self._blocks))

    def set_progress(self, progress: float) -> None:
        """As :meth:`EnvBlock.set_progress`."""
        self._all("set_progress", *[(progress,)] * len(self._blocks))

    def replay(self, seed: int, history: Mapping[str, Any], lengths: Sequence[int]) -> int:
        """As :meth:`EnvBlock.replay`, for the whole batch."""
        shares = []
        for block in self._blocks:
            games = slice(block.first, block.stop)
            shares.append((seed, {name: kept[:, games].copy() for name, kept in history.items()}, lengths[games]))
        return sum(self._all("replay", *shares))

    def close(self) -> None:
        """Ends the processes and closes the environments."""
        self._end()
        self._own.close()

    def _all(self, name: str, *shares: tuple[Any, ...]) -> list[Any]:
        """Calls a method of every block with its arguments; returns what each returns."""
        for pipe, share in zip(self._pipes, shares[1:], strict=True):
            self._send(pipe, name, *share)
        try:
            own = getattr(self._own, name)(*shares[0])
        except Exception:
            with contextlib.suppress(Exception):
                self._gather()  # their answers must not be taken for those to the next call
            raise
        return [own, *self._gather()]

    def _send(self, pipe: Any, name: str, *args: Any) -> None:
        try:
            pipe.send((name, args))
        except (BrokenPipeError, OSError) as error:
            raise WorkerError(self._gone()) from error

    def _gather(self) -> list[Any]:
        """Waits for every process; the first error among the answers is raised when all have been read."""
        answers = []
        for pipe in self._pipes:
            try:
                answers.append(pipe.recv())
            except (EOFError, OSError) as error:
                raise WorkerError(self._gone()) from error
        for fine, answer in answers:
            if not fine:
                raise answer
        return [answer for _, answer in answers]

    def _gone(self) -> str:
        codes = [process.exitcode for process in self._processes if process.exitcode is not None]
        return f"a worker process of the game has ended{f' with exit code {codes[0]}' if codes else ''}"


def _work(pipe: Any, plan: BlockPlan) -> None:
    """What a process does until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the trainer, which ends this process
    torch.set_num_threads(1)
    try:
        block = EnvBlock(plan)
        pipe.send((True, None))
    except Exception as error:  # noqa: BLE001 - somebody else's environment; the trainer gets to know
        pipe.send((False, _portable(error)))
        return
    with contextlib.suppress(EOFError, OSError, BrokenPipeError):
        while True:
            name, args = pipe.recv()
            try:
                answer = (True, getattr(block, name)(*args))
            except Exception as error:  # noqa: BLE001 - as above
                answer = (False, _portable(error))
            pipe.send(answer)
    with contextlib.suppress(Exception):
        block.close()


def _portable(error: Exception) -> Exception:
    """Returns an error that survives the way to the other process, without its traceback."""
    if isinstance(error, EnvFailedError):
        return EnvFailedError(error.game, error.decisions, error.what)
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - what was dumped a moment ago
    except Exception:  # noqa: BLE001 - whatever it has in it
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _end(pipes: Sequence[Any], processes: Sequence[Any]) -> None:
    """Closes the pipes, upon which the processes end; those that do not are ended."""
    for pipe in pipes:
        pipe.close()
    for process in processes:
        process.join(_JOIN_S)
        if process.is_alive():
            process.terminate()
            process.join(_JOIN_S)
