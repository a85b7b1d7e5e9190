"""The folder of a run: what lies in it, how it comes to be, and how to tell it from any other folder.

``config.yaml`` (resolved), ``command.txt``, ``version.txt``, ``metrics.jsonl``, ``tensorboard/``, ``checkpoints/``,
``league/``, ``eval/`` and ``report/``.
"""

import platform
import shlex
import shutil
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from headctl import __version__
from headctl.run.config import RunConfig, to_yaml
from headctl.run.records import METRICS_FILE, TENSORBOARD_DIR
from headctl.run.yaml_io import YamlError, dump_yaml, read_yaml

RUN_FORMAT = 1
"""Counts up when a folder written before can no longer be read."""

CONFIG_FILE = "config.yaml"
VERSION_FILE = "version.txt"
COMMAND_FILE = "command.txt"
_FOLDERS = (TENSORBOARD_DIR, "checkpoints", "league", "eval", "report")
_FILES = (CONFIG_FILE, VERSION_FILE, COMMAND_FILE, METRICS_FILE)


class RunFolderError(ValueError):
    """A folder that is not, or not yet, or no longer the run folder that is asked for. One clear message."""


def check_free(run_dir: Path, *, force: bool = False) -> None:
    """Makes sure that a new run may have this folder: it does not exist, is empty, or ``force`` meets a run.

    Raises:
        RunFolderError: Something else is there.
    """
    if run_dir.exists() and not run_dir.is_dir():
        raise RunFolderError(f"{run_dir} is a file; a run needs a folder of its own. Choose another --name")
    if run_dir.is_dir() and any(run_dir.iterdir()):
        if not force:
            raise RunFolderError(
                f"{run_dir} exists already and nothing was changed. Three ways out: "
                f"--name OTHER starts beside it, --resume continues it, --force deletes it and starts anew"
            )
        if not (run_dir / CONFIG_FILE).is_file() or not (run_dir / VERSION_FILE).is_file():
            raise RunFolderError(f"{run_dir} is no run folder, so --force does not delete it. Choose another --name")


def create_run_folder(run_dir: Path, config: RunConfig, command: Sequence[str] = (), *, force: bool = False) -> None:
    """Makes the folder of a new run and writes what is known before the training.

    Args:
        run_dir: The folder; must not exist, or be empty, unless ``force`` is given.
        config: Resolved configuration.
        command: The command line that started the run.
        force: Deletes the run that is there. Only what a run writes is deleted, and only where a run is.

    Raises:
        RunFolderError: The folder exists, or ``force`` meets a folder that is no run.
    """
    check_free(run_dir, force=force)
    _delete_run(run_dir)
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        for folder in _FOLDERS:
            (run_dir / folder).mkdir(exist_ok=True)
        write_config(run_dir, config)
        (run_dir / COMMAND_FILE).write_text(shlex.join(command) + "\n", encoding="utf-8")
        (run_dir / VERSION_FILE).write_text(dump_yaml(_versions()), encoding="utf-8")
    except OSError as error:
        raise RunFolderError(f"{run_dir} cannot be made: {error.strerror or error}") from error


def write_config(run_dir: Path, config: RunConfig) -> None:
    """Writes the resolved configuration, whole or not at all."""
    scratch = run_dir / f".{CONFIG_FILE}"
    scratch.write_text(to_yaml(config), encoding="utf-8")
    scratch.replace(run_dir / CONFIG_FILE)


def _delete_run(run_dir: Path) -> None:
    for folder in _FOLDERS:
        shutil.rmtree(run_dir / folder, ignore_errors=True)
    for file in _FILES:
        (run_dir / file).unlink(missing_ok=True)


def _versions() -> dict[str, str | int]:
    versions: dict[str, str | int] = {"headctl": __version__, "run_format": RUN_FORMAT}
    for package in ("torch", "numpy", "warp-lang", "pettingzoo"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions | {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}


def is_run_folder(path: Path) -> bool:
    """Tells whether ``path`` looks like a run (and not like a configuration file)."""
    return path.is_dir() and (path / CONFIG_FILE).is_file()


def check_run_folder(path: Path) -> None:
    """Makes sure that ``path`` is a run folder which this version reads.

    Raises:
        RunFolderError: Not there, no run, incomplete, or written by a version with another format.
    """
    if not path.exists():
        raise RunFolderError(f"{path}: no such run folder{_others(path)}")
    if not path.is_dir():
        raise RunFolderError(f"{path} is a file; a run is a folder such as runs/dogfight_1v1")
    missing = [name for name in (CONFIG_FILE, VERSION_FILE) if not (path / name).is_file()]
    if len(missing) == 2:
        raise RunFolderError(f"{path} is no run folder: it has neither {CONFIG_FILE} nor {VERSION_FILE}{_others(path)}")
    if missing:
        raise RunFolderError(f"{path} is incomplete: it has no {missing[0]}")
    try:
        versions = read_yaml(path / VERSION_FILE).tree
    except YamlError as error:
        raise RunFolderError(f"{path / VERSION_FILE}: {error}") from error
    written = versions.get("run_format") if isinstance(versions, dict) else None
    if written != RUN_FORMAT:
        writer = versions.get("headctl", "an unknown version") if isinstance(versions, dict) else "an unknown version"
        raise RunFolderError(
            f"{path} was written by headctl {writer} in run format {written}; headctl {__version__} reads format "
            f"{RUN_FORMAT}. Use that version to read it"
        )


def _others(path: Path) -> str:
    """Names runs that the user may have meant: inside the folder, or beside the missing one."""
    place = path if path.is_dir() else path.parent
    try:
        runs = sorted(str(entry) for entry in place.iterdir() if is_run_folder(entry))
    except OSError:
        return ""
    return f". Runs there: {', '.join(runs[:8])}{' ...' if len(runs) > 8 else ''}" if runs else ""
