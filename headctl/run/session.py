"""One sitting of a training: the loop, its view, what it writes, and the summary at the end.

Loads torch; the command line imports it only when a training or a match is wanted.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from rich.console import Console

from headctl.run.callbacks import Callback
from headctl.run.checkpoint import list_checkpoints
from headctl.run.config import ConfigError, RunConfig
from headctl.run.console import training_view
from headctl.run.folder import CONFIG_FILE, enter_run_folder
from headctl.run.lines import METRICS_FILE
from headctl.run.lock import RunLock
from headctl.run.plots import write_plots
from headctl.run.records import TENSORBOARD_DIR, MetricsWriter
from headctl.run.report import RunReader, build_report
from headctl.run.report_view import render_report
from headctl.run.signals import answering
from headctl.run.sitting import FINAL_EVALUATION, INTERRUPTED, Sitting, StopRequest

__all__ = ["FINAL_EVALUATION", "MetricsWriter", "StopRequest", "check_device", "train"]


def check_device(config: RunConfig) -> None:
    """Makes sure that the device of a configuration is there, before anything is written.

    Raises:
        ConfigError: It is not.
    """
    device = torch.device(config.run.device)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        there = ", ".join(["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))])
        raise ConfigError(f"run.device: {config.run.device!r} is not on this machine. Allowed: {there}")


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Turns the first Ctrl-C (or SIGTERM) into a wish, granted after the iteration; the second one ends at once."""
    request = StopRequest()

    def ask(_: int) -> None:
        if request.exit_code:
            raise KeyboardInterrupt
        request.exit_code = INTERRUPTED

    with answering(ask):
        yield request


def train(
    config: RunConfig, run_dir: Path, console: Console, *, resume: bool, callbacks: Sequence[Callback] = ()
) -> int:
    """Trains a run to its end, or until it is interrupted.

    Args:
        config: The resolved configuration.
        run_dir: The run's folder, made before.
        console: Where the live view and the summary go.
        resume: Continue from the newest checkpoint that is whole; a run that was killed before its first one begins.
        callbacks: Told of iterations, evaluations and changes in the league.

    Returns:
        The exit code: 0 when the training is complete, 130 after Ctrl-C or SIGTERM.

    Raises:
        CheckpointError: Nothing to resume from.
        RunLockError: Somebody else works in the folder.
        RunFolderError: Parts of the folder are links to elsewhere.
        RunFailedError: The training cannot go on: the numbers or the game have broken, or the disk is full.
    """
    with (
        RunLock(run_dir) as lock,
        stop_on_signal() as stop,
        training_view(console, str(run_dir), config.total_steps) as view,
    ):
        enter_run_folder(run_dir)
        exit_code = Sitting(config, lock, view, stop, callbacks=callbacks).run(resume=resume)
        if exit_code:
            return exit_code
    try:
        summarise(run_dir, console)
    except OSError as error:
        console.print(f"the training is complete; its pictures cannot be written: {error.strerror or error}")
    return 0


def summarise(run_dir: Path, console: Console) -> None:
    """Draws the pictures of a run, and prints what every head did and who won."""
    reader = RunReader(run_dir)
    pictures = write_plots(reader)
    files = [*pictures, run_dir / METRICS_FILE, run_dir / CONFIG_FILE]
    if (run_dir / TENSORBOARD_DIR).is_dir() and any((run_dir / TENSORBOARD_DIR).iterdir()):
        files.append(run_dir / TENSORBOARD_DIR)
    files += list_checkpoints(run_dir)[-1:]
    console.print()
    console.print(render_report(build_report(reader), files, width=console.width))
