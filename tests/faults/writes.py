"""Every file operation of a checkpoint fails: the disk is full, or nobody may write. The previous one stays valid."""

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from headctl.run.checkpoint import newest_usable
from headctl.run.trainer import Trainer
from tests.faults.outcome import Outcome, drill
from tests.faults.runs import begin_and_train, config_of, differences

_REASONS = (errno.ENOSPC, errno.EACCES, errno.EIO, errno.EROFS)


class Operations:
    """Counts file operations, and fails the nth and, if it lasts, all after it."""

    def __init__(self, fail_at: int = 0, reason: int = errno.ENOSPC, *, lasts: bool = False) -> None:
        """Prepares; ``fail_at`` 0 only counts."""
        self.count, self.fail_at, self.reason, self.lasts = 0, fail_at, reason, lasts
        self.names: list[str] = []

    def _strike(self, name: str, path: object) -> None:
        self.count += 1
        self.names.append(name)
        if self.fail_at and (self.count == self.fail_at or (self.lasts and self.count > self.fail_at)):
            raise OSError(self.reason, os.strerror(self.reason), str(path))

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Puts itself between the project and the system."""
        open_path, replace, unlink, fsync = Path.open, Path.replace, Path.unlink, os.fsync
        operations = self

        class Writing:
            """A file whose writes are operations; a failing one gets half of its data out."""

            def __init__(self, file: Any, path: Path) -> None:
                self.file, self.path = file, path

            def write(self, data: bytes) -> int:
                try:
                    operations._strike("write", self.path)
                except OSError:
                    self.file.write(data[: len(data) // 2])
                    self.file.flush()
                    raise
                return self.file.write(data)

            def __enter__(self) -> Self:
                return self

            def __exit__(self, *_: object) -> None:
                self.file.close()

            def __getattr__(self, name: str) -> Any:
                return getattr(self.file, name)

        def opened(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if mode != "wb":
                return open_path(path, mode, *args, **kwargs)
            operations._strike("open", path)
            return Writing(open_path(path, mode, *args, **kwargs), path)

        def before(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
            def operation(*args: Any, **kwargs: Any) -> Any:
                operations._strike(name, args[0])
                return function(*args, **kwargs)

            return operation

        Path.open, Path.replace, Path.unlink = opened, before("rename", replace), before("delete", unlink)  # type: ignore[method-assign, assignment]
        os.fsync = before("flush", fsync)
        try:
            yield
        finally:
            Path.open, Path.replace, Path.unlink, os.fsync = open_path, replace, unlink, fsync  # type: ignore[method-assign]


def write_drill(work: Path, *, reasons: int = len(_REASONS)) -> Outcome:
    """Fails every operation of a save in turn, for each of the first reasons, once and for good."""
    with drill("write failures at every operation of a checkpoint") as outcome:
        config = config_of("total_steps=600", "checkpoint={every: 1000000, keep: 1, milestones: 0}")
        run_dir = work / "run"
        begin_and_train(config, run_dir)
        trainer = Trainer(config_of("total_steps=100000", *_KEEP_ONE), run_dir, resume=True)
        games = trainer.iterations()
        operations, failures, names = 0, 0, []
        for reason in _REASONS[:reasons]:
            for lasts in (False, True):
                fail_at = 1
                while True:
                    next(games)
                    # A snapshot too: as after an iteration in which one was due.
                    (run_dir / "league" / f"{trainer.pool.snapshots[-1].name}.pt").unlink()
                    allowed = dict([newest_state(run_dir), (trainer.agent_steps, trainer.state_dict())])
                    struck = Operations(fail_at, reason, lasts=lasts)
                    failed = _save(trainer, struck, outcome)
                    names = struck.names
                    _judge(outcome, run_dir, allowed, f"operation {fail_at}, {names[-1]}")
                    failures += failed
                    trainer.save()
                    if not failed and struck.count < fail_at:
                        break
                    fail_at += 1
                operations = struck.count
        outcome.figures.append(f"{operations} file operations in one checkpoint: {_summary(names)}")
        outcome.figures.append(f"{failures} saves failed, by {reasons} reasons, once and for good")
        outcome.figures.append(
            "after every failure the newest whole checkpoint was the one before, or the new one, whole"
        )
    return outcome


_KEEP_ONE = ("checkpoint={every: 1000000, keep: 1, milestones: 0}",)


def _save(trainer: Trainer, operations: Operations, outcome: Outcome) -> bool:
    try:
        with operations.counted():
            trainer.save()
    except OSError:
        return True
    except Exception as error:  # noqa: BLE001 - anything else would be a traceback for the user
        outcome.problems.append(f"a failing {operations.names[-1]} became {type(error).__name__}: {error}")
        return True
    return False


def newest_state(run_dir: Path) -> tuple[int, dict[str, Any]]:
    """Returns the newest checkpoint that is whole: its agent-steps and its state."""
    return newest_usable(run_dir, lambda checkpoint: (checkpoint.agent_steps, checkpoint.state), lambda _: None)


def _judge(outcome: Outcome, run_dir: Path, allowed: Mapping[int, dict[str, Any]], place: str) -> None:
    """Expects the newest whole checkpoint to be one of those that may be, bit for bit."""
    steps, state = newest_state(run_dir)
    outcome.expect(steps in allowed, f"{place}: the newest whole checkpoint is of {steps}")
    differing = [found for found in differences(allowed.get(steps), state) if "elapsed_s" not in found]
    outcome.expect(not differing, f"{place}: the newest whole checkpoint differs: {differing[:3]}")


def _summary(names: list[str]) -> str:
    return ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))
