"""Checkpoints: complete, plain data, written atomically, read without executing anything.

A checkpoint is one ``torch.save`` file of tensors, numbers, strings, lists and dicts, so that
``torch.load(weights_only=True)`` reads it back; snapshots of opponents lie beside it, each written once. A checkpoint
counts when its manifest is there: a small JSON file, written last, with the sizes and hashes of everything that a
resume reads (:mod:`headctl.run.manifest`).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from headctl import __version__
from headctl.run import archive, durable
from headctl.run.manifest import (
    FileMark,
    ManifestError,
    manifest_path,
    manifests,
    read_manifest,
    remove_manifest,
    write_manifest,
)
from headctl.selfplay.league import Snapshot

FORMAT = 3
"""1: no manifest, no configuration inside (headctl 0.1.0). 2: both. 3: a league with names, payoffs and exploiters."""
OLDEST_FORMAT = 1
MAX_BYTES = 16 << 30
CHECKPOINTS = "checkpoints"
LEAGUE = "league"
_PREFIX, _SUFFIX = "step_", ".pt"
_NAME = re.compile(rf"{_PREFIX}(\d{{12,18}})\{_SUFFIX}")
T = TypeVar("T")


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged or of another format. One line that names the file."""


class OtherFormatError(CheckpointError):
    """A checkpoint that another version of headctl wrote: older ones of this run are not what the user wants."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that was read and found whole.

    Attributes:
        path: Its file.
        agent_steps: When it was taken.
        format: The format in which it was written.
        writer: The version of headctl that wrote it.
        state: What was saved.
        marks: Size and hash of every file that belongs to it, by its path in the run folder; empty in format 1.
    """

    path: Path
    agent_steps: int
    format: int
    writer: str
    state: dict[str, Any]
    marks: Mapping[str, FileMark]


def checkpoint_path(run_dir: Path, agent_steps: int) -> Path:
    """Returns where the checkpoint taken at ``agent_steps`` lies."""
    return run_dir / CHECKPOINTS / f"{_PREFIX}{agent_steps:012d}{_SUFFIX}"


def list_checkpoints(run_dir: Path) -> list[Path]:
    """Returns the files of all checkpoints of a run, oldest first; whether they are whole is not asked."""
    found = (path for path in (run_dir / CHECKPOINTS).glob(f"{_PREFIX}*{_SUFFIX}") if _NAME.fullmatch(path.name))
    return sorted(found, key=steps_of)


def steps_of(path: Path) -> int:
    """Returns the agent-steps that the name of a checkpoint says.

    Raises:
        CheckpointError: Another name.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise CheckpointError(f"{path}: is not named like a checkpoint, {_PREFIX}000000001000{_SUFFIX}")
    return int(match[1])


def save_checkpoint(
    run_dir: Path,
    agent_steps: int,
    state: Mapping[str, Any],
    *,
    keep: int,
    milestones: int = 0,
    snapshots: Mapping[str, FileMark] | None = None,
) -> Path:
    """Writes a checkpoint and its manifest, and removes the older ones that nobody needs.

    Args:
        run_dir: The run's folder.
        agent_steps: When it is taken.
        state: Plain data.
        keep: How many of the newest checkpoints stay.
        milestones: Of the others, the first at or after this many agent-steps stays, and the first after every
            doubling; 0: none.
        snapshots: Marks of the opponents that the state names, as :func:`save_snapshot` returned them.

    Returns:
        The file.

    Raises:
        OSError: The disk is full, the folder cannot be written to ...; what was there before is still there then.
    """
    path = checkpoint_path(run_dir, agent_steps)
    content = {"format": FORMAT, "headctl": __version__, "agent_steps": agent_steps, "state": dict(state)}
    mark = write_atomically(path, content)
    write_manifest(run_dir, path, {f"{CHECKPOINTS}/{path.name}": mark, **(snapshots or {})})
    _prune(run_dir, keep, milestones)
    return path


def _prune(run_dir: Path, keep: int, milestones: int) -> None:
    """Removes what is neither among the newest nor a milestone, and the one at 0 as soon as there is another."""
    paths = list_checkpoints(run_dir)
    kept = set(paths[-keep:])
    reached = -1
    for path in paths:
        stage = (steps_of(path) // milestones).bit_length() if milestones else 0
        if stage > max(reached, 0):
            kept.add(path)
            reached = stage
    for path in paths:
        if path not in kept or (steps_of(path) == 0 and len(paths) > 1):
            # The manifest first: a checkpoint without one does not count, a manifest without one would be an error.
            remove_manifest(run_dir, path)
            path.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint and makes sure that it is the one that was written.

    Raises:
        CheckpointError: A file that is missing, damaged, not finished, or not the one that its name says.
        OtherFormatError: A format that this version does not read.
    """
    run_dir = path.parent.parent
    data, content = _read(path, run_dir)
    steps = content.get("agent_steps")
    if type(steps) is not int or steps < 0:
        raise CheckpointError(f"{path}: does not say when it was taken")
    if content["format"] > 1 and _NAME.fullmatch(path.name):
        if steps != steps_of(path):
            raise CheckpointError(f"{path}: was taken at {steps!r} agent-steps; it was renamed, or another run's")
        try:
            marks = read_manifest(run_dir, path)
        except ManifestError as error:
            raise CheckpointError(str(error)) from error
        mark = marks.get(f"{CHECKPOINTS}/{path.name}")
        if mark != FileMark.of(data):
            raise CheckpointError(f"{path}: is not what its manifest describes: it was damaged or exchanged")
    else:
        marks = {}
    return Checkpoint(path, steps, content["format"], str(content.get("headctl", "0.1.0")), content["state"], marks)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Returns the state that :func:`save_checkpoint` wrote.

    Raises:
        CheckpointError: A file that is missing, damaged or of another format.
    """
    return read_checkpoint(path).state


def newest_usable(run_dir: Path, use: Callable[[Checkpoint], T], tell: Callable[[str], None]) -> T:
    """Uses the newest checkpoint that can be used.

    Args:
        run_dir: The run's folder.
        use: Takes a whole checkpoint; raises :class:`CheckpointError` if something about it is wrong after all.
        tell: Gets one line per checkpoint that was passed over.

    Returns:
        What ``use`` returned.

    Raises:
        CheckpointError: There is none; for a single one, its own error.
        OtherFormatError: The newest one is of a format that this version does not read.
    """
    paths = _known(run_dir)
    if not list_checkpoints(run_dir):
        raise CheckpointError(f"{run_dir}: no checkpoint yet")
    problems: list[CheckpointError] = []
    for path in reversed(paths):
        try:
            used = use(read_checkpoint(path))
        except OtherFormatError:
            raise
        except CheckpointError as error:
            problems.append(error)
            continue
        for problem in problems:
            tell(f"{problem}. The checkpoint before it is used: {path.name}")
        return used
    if len(problems) == 1:
        raise problems[0]
    raise CheckpointError(f"{run_dir}: none of its {len(paths)} checkpoints can be used. The newest: {problems[0]}")


def _known(run_dir: Path) -> list[Path]:
    """Returns the places of all checkpoints, oldest first, also of those of which only the manifest is left."""
    named = (checkpoint_path(run_dir, 0).with_name(f"{path.stem}{_SUFFIX}") for path in manifests(run_dir))
    places = {path for path in named if _NAME.fullmatch(path.name)} | set(list_checkpoints(run_dir))
    return sorted(places, key=steps_of)


def set_aside(run_dir: Path, newer_than: int) -> None:
    """Puts checkpoints out of the way that a resume has passed over, so that they are neither counted nor met again.

    Those that were never finished are deleted, damaged ones are renamed.

    Args:
        run_dir: The run's folder.
        newer_than: Agent-steps of the checkpoint that was used.
    """
    for path in _known(run_dir):
        if steps_of(path) > newer_than:
            if path.exists() and manifest_path(run_dir, path).exists():
                path.replace(path.with_name(f"{path.name}.damaged"))
            path.unlink(missing_ok=True)
            remove_manifest(run_dir, path)


def save_snapshot(run_dir: Path, snapshot: Snapshot) -> FileMark:
    """Writes a frozen opponent and returns the mark of its file.

    Raises:
        OSError: It cannot be written.
    """
    content = {
        "format": FORMAT,
        "headctl": __version__,
        "agent_steps": snapshot.agent_steps,
        "label": snapshot.label,
        "scheme": dict(snapshot.scheme),
        "state": dict(snapshot.state),
    }
    return write_atomically(snapshot_path(run_dir, snapshot.name), content)


def snapshot_path(run_dir: Path, name: int | str) -> Path:
    """Returns where a frozen opponent lies, given by its name or its agent-steps."""
    return run_dir / snapshot_key(name)


def snapshot_key(name: int | str) -> str:
    """Returns the name of a snapshot's file in manifests, given by its own name or its agent-steps."""
    return f"{LEAGUE}/{f'{name:012d}' if isinstance(name, int) else name}{_SUFFIX}"


def load_snapshot(run_dir: Path, name: int | str, mark: FileMark | None = None) -> Snapshot:
    """Returns a frozen opponent.

    Args:
        run_dir: The run's folder.
        name: Its name, or its agent-steps.
        mark: What the manifest says of its file; ``None`` where nobody said anything.

    Raises:
        CheckpointError: A file that is missing, damaged, exchanged or of another format.
    """
    path = snapshot_path(run_dir, name)
    data, content = _read(path, run_dir)
    steps, label, scheme = content.get("agent_steps"), content.get("label", ""), content.get("scheme", {})
    if type(steps) is not int or steps < 0 or not isinstance(label, str):
        raise CheckpointError(f"{path}: does not say when it was taken")
    if (label or f"{steps:012d}") != path.stem:
        taken = f"{steps} agent-steps{f' as {label}' if label else ''}"
        raise CheckpointError(f"{path}: was taken at {taken}, not at {path.stem.lstrip('0') or 0}")
    if mark is not None and mark != FileMark.of(data):
        raise CheckpointError(f"{path}: is not what the checkpoint's manifest describes: it was damaged or exchanged")
    weights = content["state"].values()
    if not all(isinstance(entry, torch.Tensor) for entry in weights) or not isinstance(scheme, dict):
        raise CheckpointError(f"{path}: holds something else than the weights of a policy")
    return Snapshot(steps, content["state"], label, scheme)


def write_atomically(path: Path, content: Mapping[str, Any]) -> FileMark:
    """Saves plain data so that the file is either the old one or the new one, whole, whatever happens in between.

    Raises:
        OSError: It cannot be written.
    """
    data = archive.dump(content)
    durable.write_bytes(path, data)
    return FileMark.of(data)


def _read(path: Path, run_dir: Path) -> tuple[bytes, dict[str, Any]]:
    """Reads one file of plain data; executes nothing of it, and takes no more memory than the file has bytes."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    if durable.leaves(path, run_dir):
        raise CheckpointError(f"{path}: is a link that leads out of the run folder; it is not followed")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CheckpointError(f"{path}: is larger than {MAX_BYTES >> 30} GiB; that is no checkpoint")
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        content = archive.load(data)
    except Exception as error:  # a damaged file can fail in any way inside the unpickler
        raise CheckpointError(f"{path}: cannot be read as a checkpoint: {_first_line(error)}") from error
    if not isinstance(content, dict) or "format" not in content:
        raise CheckpointError(f"{path}: not a checkpoint of headctl")
    written = content["format"]
    if type(written) is not int or not OLDEST_FORMAT <= written <= FORMAT:
        writer = f", written by headctl {content['headctl']}" if isinstance(content.get("headctl"), str) else ""
        raise OtherFormatError(
            f"{path}: format {written!r}{writer}; this version of headctl reads format {OLDEST_FORMAT} to {FORMAT}. "
            "Use the version that wrote it"
        )
    if not isinstance(content.get("state"), dict):
        raise CheckpointError(f"{path}: not a checkpoint of headctl, it holds no state")
    return data, content


def _first_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) <= 120 else text[:117] + '...'}"
