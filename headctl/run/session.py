"""One sitting of a training: the loop, its view, what it writes, and the summary at the end.

Loads torch; the command line imports it only when a training or a match is wanted.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from headctl.ppo.ranks import ALONE, SAID, TIMEOUT, Ranks, RanksError, is_lost_connection, joined
from headctl.run.callbacks import Callback
from headctl.run.checkpoint import list_checkpoints
from headctl.run.config import ConfigError, RunConfig
from headctl.run.console import training_view
from headctl.run.diagnosis import RunFailedError
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
    config: RunConfig,
    run_dir: Path,
    console: Console,
    *,
    resume: bool,
    callbacks: Sequence[Callback] = (),
    ranks: Ranks = ALONE,
) -> int:
    """Trains a run to its end, or until it is interrupted.

    Args:
        config: The resolved configuration.
        run_dir: The run's folder, made before.
        console: Where the live view and the summary go.
        resume: Continue from the newest checkpoint that is whole; a run that was killed before its first one begins.
        callbacks: Told of iterations, evaluations and changes in the league.
        ranks: The processes that share the run, each of which calls this; the first one writes, shows and tells.

    Returns:
        The exit code: 0 when the training is complete, 130 after Ctrl-C or SIGTERM.

    Raises:
        CheckpointError: Nothing to resume from.
        RunLockError: Somebody else works in the folder.
        RunFolderError: Parts of the folder are links to elsewhere.
        RunFailedError: The training cannot go on: the numbers or the game have broken, the disk is full, or another
            process is lost.
    """
    lock = RunLock(run_dir)
    with _together(ranks, run_dir):
        with ExitStack() as opened:

            def enter() -> None:
                opened.enter_context(lock)
                enter_run_folder(run_dir)

            ranks.first_does(enter)
            shown = console if ranks.first else Console(quiet=True, force_terminal=False)
            with stop_on_signal() as stop, training_view(shown, str(run_dir), config.total_steps) as view:
                told = callbacks if ranks.first else ()
                exit_code = Sitting(config, lock, view, stop, callbacks=told, ranks=ranks).run(resume=resume)
        if ranks.first and not exit_code:
            try:
                summarise(run_dir, console)
            except OSError as error:
                console.print(f"the training is complete; its pictures cannot be written: {error.strerror or error}")
        ranks.any(flag=False)  # torchrun ends the others as soon as one has left with 130
        return exit_code


def train_together(begin: Callable[..., tuple[RunConfig, Path]], console: Console, *, resume: bool) -> int:
    """Trains a run in each of the processes that ``torchrun`` has started.

    Args:
        begin: Returns configuration and folder of the run, for a number of ``processes``; only the first one asks.
        console: Where the live view and the summary go.
        resume: As in :func:`train`.

    Returns:
        The exit code; 2 in the others where the first one has refused.

    Raises:
        RanksError: The processes cannot find each other.
        Exception: As ``begin`` and :func:`train`.
    """
    with joined() as ranks:
        try:
            config, run_dir = ranks.first_does(partial(begin, processes=ranks.size))
            return train(config, run_dir, console, resume=resume, ranks=ranks)
        except Exception as error:
            if ranks.first or SAID not in getattr(error, "__notes__", ()):
                raise
            return 2


@contextmanager
def _together(ranks: Ranks, run_dir: Path) -> Iterator[None]:
    """Says which of several processes has failed, and that a lost one is the reason where it is.

    Raises:
        RunFailedError: The others cannot go on without the one that is lost.
    """
    who = f"process {ranks.rank} of {ranks.size}"
    try:
        yield
    except RunFailedError as error:
        if ranks.first:
            raise
        raise RunFailedError(f"{who}: {error}") from error
    except RanksError as error:
        raise RunFailedError(f"{who}: {error}") from error
    except RuntimeError as error:
        if ranks.size == 1 or not is_lost_connection(error):
            raise
        raise RunFailedError(
            f"{who} has lost another one, which has died or has not answered for {TIMEOUT.seconds // 60} minutes, and "
            f"ends too. The run is whole up to its last checkpoint; continue with: train {run_dir} --resume"
        ) from error


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
