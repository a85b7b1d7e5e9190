"""Trains the runs of a sweep, each in a process of its own."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from headctl.run.report_view import duration_text
from headctl.run.signals import answering
from headctl.run.sweep import LOGS_DIR, PlannedRun, write_configs

_POLL_S = 0.1


class Outcome(NamedTuple):
    """How the sitting of a sweep ended."""

    failed: dict[str, Path]
    """Label of a run that ended with an error -> its log."""
    interrupted: bool


class _Job(NamedTuple):
    run: PlannedRun
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    started: float


def train_all(runs: Sequence[PlannedRun], say: Callable[[str], None], jobs: int = 1) -> Outcome:
    """Trains what is not finished, in the order of the plan.

    A run that fails is told and the others go on. Ctrl-C (or SIGTERM) lets every run in progress save itself and end.

    Args:
        runs: The plan.
        say: Takes a line of progress.
        jobs: Runs at a time.

    Returns:
        What failed, and whether it was interrupted.
    """
    waiting = [run for run in runs if run.state != "finished"]
    if len(waiting) < len(runs):
        say(f"{len(runs) - len(waiting)} of {len(runs)} runs are finished already")
    files = write_configs(waiting)
    place = {run.label: number for number, run in enumerate(runs, start=1)}
    running: list[_Job] = []
    failed: dict[str, Path] = {}
    with _forwarded(running) as interrupted:
        while running or (waiting and not interrupted):
            while waiting and len(running) < jobs and not interrupted:
                run = waiting.pop(0)
                verb = "going on" if run.state == "unfinished" else "training"
                say(f"[{place[run.label]}/{len(runs)}] {run.label}: {verb}")
                running.append(_start(run, files[run.label]))
            time.sleep(_POLL_S)
            for job in [job for job in running if job.process.poll() is not None]:
                running.remove(job)
                job.log.close()
                if interrupted and job.process.returncode:
                    continue
                took = duration_text(time.monotonic() - job.started)
                head = f"[{place[job.run.label]}/{len(runs)}] {job.run.label}:"
                if job.process.returncode:
                    failed[job.run.label] = Path(job.log.name)
                    say(f"{head} failed with exit code {job.process.returncode} after {took}; see {job.log.name}")
                else:
                    say(f"{head} done in {took}")
    return Outcome(failed, bool(interrupted))


def _start(run: PlannedRun, file: Path) -> _Job:
    command = [sys.executable, "-m", "headctl.cli", "train"]
    if run.state == "unfinished":
        command += [str(run.run_dir), "--resume"]
    else:
        command += [str(file), "--name", run.label, *(["--force"] if run.state == "broken off" else [])]
    path = run.run_dir.parent / LOGS_DIR / f"{run.label}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    log = path.open("ab")
    # In a session of its own, so that Ctrl-C in the terminal reaches it once, through this process.
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)  # noqa: S603 - headctl itself
    return _Job(run, process, log, time.monotonic())


@contextmanager
def _forwarded(running: list[_Job]) -> Iterator[list[int]]:
    """Hands Ctrl-C and SIGTERM on to the runs in progress; yields a list that is no longer empty then."""
    asked: list[int] = []

    def ask(number: int) -> None:
        asked.append(number)
        for job in running:
            job.process.send_signal(number)

    with answering(ask):
        yield asked
