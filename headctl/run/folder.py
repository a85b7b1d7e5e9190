"""The folder of a run: what lies in it, how it comes to be, and how to tell it from any other folder.

``config.yaml`` (resolved), ``command.txt``, ``version.txt``, ``sittings.jsonl``, ``metrics.jsonl``, ``tensorboard/``,
``checkpoints/``, ``manifests/``, ``league/``, ``league.json``, ``eval/`` and ``report/``; after trouble
``faults.jsonl`` and ``diagnosis.json``; while somebody works in it ``.lock``.
"""

import contextlib
import json
import platform
import shlex
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from headctl import __version__
from headctl.run import durable
from headctl.run.config import RunConfig, to_yaml
from headctl.run.diagnosis import DIAGNOSIS_FILE, FAULTS_FILE
from headctl.run.lines import METRICS_FILE
from headctl.run.lock import LOCK_FILE, RunLock
from headctl.run.manifest import MANIFESTS
from headctl.run.records import TENSORBOARD_DIR
from headctl.run.yaml_io import YamlError, dump_yaml, read_yaml

RUN_FORMAT = 1
"""Counts up when a folder written before can no longer be read."""

CONFIG_FILE = "config.yaml"
VERSION_FILE = "version.txt"
COMMAND_FILE = "command.txt"
SITTINGS_FILE = "sittings.jsonl"
_FOLDERS = (TENSORBOARD_DIR, "checkpoints", MANIFESTS, "league", "eval", "report")
_WRITTEN_BY_NAME = (TENSORBOARD_DIR, "eval", "report")
LEAGUE_FILE = "league.json"
_DIARIES = (METRICS_FILE, SITTINGS_FILE, FAULTS_FILE, DIAGNOSIS_FILE, LEAGUE_FILE)
_FILES = (CONFIG_FILE, VERSION_FILE, COMMAND_FILE, *_DIARIES)


class RunFolderError(ValueError):
    """A folder that is not, or not yet, or no longer the run folder that is asked for. One clear message."""


def check_free(run_dir: Path, *, force: bool = False) -> None:
    """Makes sure that a new run may have this folder: it does not exist, is empty, or ``force`` meets a run.

    Raises:
        RunFolderError: Something else is there.
    """
    try:
        if run_dir.exists() and not run_dir.is_dir():
            raise RunFolderError(f"{run_dir} is a file; a run needs a folder of its own. Choose another --name")
        taken = run_dir.is_dir() and not _is_unborn(run_dir)
    except (OSError, ValueError) as error:  # a name that is too long, or that no file system takes
        raise RunFolderError(f"{str(run_dir)!r} cannot be a folder: {_reason(error)}. Choose another --name") from error
    if not taken:
        return
    if not force:
        raise RunFolderError(
            f"{run_dir} exists already and nothing was changed. Three ways out: "
            f"--name OTHER starts beside it, --resume continues it, --force deletes it and starts anew"
        )
    if not (run_dir / CONFIG_FILE).is_file() or not (run_dir / VERSION_FILE).is_file():
        raise RunFolderError(f"{run_dir} is no run folder, so --force does not delete it. Choose another --name")


def _is_unborn(run_dir: Path) -> bool:
    """Tells whether a folder is empty, or holds only what a start that was killed has left: no configuration yet."""
    for entry in run_dir.iterdir():
        if entry.name in _FOLDERS and not entry.is_symlink() and entry.is_dir() and not any(entry.iterdir()):
            continue
        if entry.name in (VERSION_FILE, COMMAND_FILE, LOCK_FILE) or entry.name.startswith(durable.UNFINISHED):
            continue
        return False
    return True


def create_run_folder(run_dir: Path, config: RunConfig, command: Sequence[str] = (), *, force: bool = False) -> None:
    """Makes the folder of a new run and writes what is known before the training, the configuration last.

    Args:
        run_dir: The folder; must not exist, or be empty, unless ``force`` is given.
        config: Resolved configuration.
        command: The command line that started the run.
        force: Deletes the run that is there. Only what a run writes is deleted, and only where a run is.

    Raises:
        RunFolderError: The folder exists, or ``force`` meets a folder that is no run.
        RunLockError: Somebody works in the folder.
    """
    check_free(run_dir, force=force)
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        with RunLock(run_dir):
            check_free(run_dir, force=force)
            durable.sweep(run_dir)
            _delete_run(run_dir)
            rebuild(run_dir, config, command)
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) and type(error).__module__.startswith("headctl"):
            raise
        raise RunFolderError(f"{str(run_dir)!r} cannot be made: {_reason(error)}") from error


def rebuild(run_dir: Path, config: RunConfig, command: Sequence[str] = ()) -> None:
    """Writes what makes a folder a run folder, in a new one or in one that was removed under a training.

    Raises:
        OSError: It cannot be written.
    """
    for folder in _FOLDERS:
        (run_dir / folder).mkdir(parents=True, exist_ok=True)
    durable.write_text(run_dir / VERSION_FILE, dump_yaml(_versions()))
    durable.write_text(run_dir / COMMAND_FILE, shlex.join(command) + "\n")
    write_config(run_dir, config)


def write_config(run_dir: Path, config: RunConfig) -> None:
    """Writes the resolved configuration, whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    durable.write_text(run_dir / CONFIG_FILE, to_yaml(config))


def note_sitting(run_dir: Path, agent_steps: int, changed: Mapping[str, tuple[Any, Any]]) -> None:
    """Adds a sitting to the diary ``sittings.jsonl``: when, by which version, from where, with which changes."""
    sitting = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "headctl": __version__,
        "agent_steps": agent_steps,
        "changed": {key: {"from": before, "to": after} for key, (before, after) in changed.items()},
    }
    with contextlib.suppress(OSError):  # a diary is no reason to stop
        durable.append_line(run_dir / SITTINGS_FILE, json.dumps(sitting, default=str))


def enter_run_folder(run_dir: Path) -> None:
    """Prepares a folder for the one process that holds its lock: no link leads out, no leftover of a kill stays.

    Raises:
        RunFolderError: Something that a run writes to is a link to somewhere else.
    """
    _refuse_links(run_dir)
    for folder in (run_dir, *(run_dir / name for name in _FOLDERS)):
        durable.sweep(folder)


def _refuse_links(run_dir: Path) -> None:
    """Makes sure that nothing that is read or written by its name is a link to somewhere else.

    Checkpoints, manifests and snapshots are looked at one by one when they are read.
    """
    named = [run_dir / name for name in (*_FOLDERS, *_FILES)]
    written = [entry for name in _WRITTEN_BY_NAME if (run_dir / name).is_dir() for entry in (run_dir / name).iterdir()]
    for path in (*named, *written):
        if path.is_symlink() and durable.leaves(path, run_dir):
            raise RunFolderError(
                f"{path} is a link that leads out of the run folder; a run reads and writes inside its own folder "
                "only. Put the files themselves there"
            )


def _delete_run(run_dir: Path) -> None:
    """Deletes what a run wrote, except for what makes the folder a run folder: that is overwritten."""
    for folder in _FOLDERS:
        if (run_dir / folder).is_symlink():
            (run_dir / folder).unlink()
        shutil.rmtree(run_dir / folder, ignore_errors=True)
    for file in _DIARIES:
        (run_dir / file).unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


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
    _refuse_links(path)
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
