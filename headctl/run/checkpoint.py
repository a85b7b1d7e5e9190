"""Checkpoints: complete, plain data, written atomically, read without executing anything.

A checkpoint is one ``torch.save`` file of tensors, numbers, strings, lists and dicts, so that
``torch.load(weights_only=True)`` reads it back; snapshots of opponents lie beside it, each written once.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from headctl.selfplay.league import Snapshot

FORMAT = 1
CHECKPOINTS = "checkpoints"
LEAGUE = "league"
_PREFIX, _SUFFIX = "step_", ".pt"


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged or of another format. One line that names the file."""


def checkpoint_path(run_dir: Path, agent_steps: int) -> Path:
    """Returns where the checkpoint taken at ``agent_steps`` lies."""
    return run_dir / CHECKPOINTS / f"{_PREFIX}{agent_steps:012d}{_SUFFIX}"


def list_checkpoints(run_dir: Path) -> list[Path]:
    """Returns all checkpoints of a run, oldest first."""
    return sorted((run_dir / CHECKPOINTS).glob(f"{_PREFIX}*{_SUFFIX}"))


def save_checkpoint(run_dir: Path, agent_steps: int, state: Mapping[str, Any], *, keep: int) -> Path:
    """Writes a checkpoint and removes all but the newest ``keep``.

    Args:
        run_dir: The run's folder.
        agent_steps: When it is taken.
        state: Plain data.
        keep: How many checkpoints stay.

    Returns:
        The file.
    """
    path = checkpoint_path(run_dir, agent_steps)
    write_atomically(path, {"format": FORMAT, "agent_steps": agent_steps, "state": dict(state)})
    for old in list_checkpoints(run_dir)[:-keep]:
        old.unlink()
    return path


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Returns the state that :func:`save_checkpoint` wrote.

    Raises:
        CheckpointError: A file that is missing, damaged or of another format.
    """
    return _read(path)["state"]


def save_snapshot(run_dir: Path, snapshot: Snapshot) -> None:
    """Writes a frozen opponent."""
    write_atomically(
        run_dir / LEAGUE / f"{snapshot.name}{_SUFFIX}",
        {"format": FORMAT, "agent_steps": snapshot.agent_steps, "state": dict(snapshot.state)},
    )


def load_snapshot(run_dir: Path, agent_steps: int) -> Snapshot:
    """Returns the opponent that was frozen at ``agent_steps``.

    Raises:
        CheckpointError: A file that is missing, damaged or of another format.
    """
    path = run_dir / LEAGUE / f"{agent_steps:012d}{_SUFFIX}"
    content = _read(path)
    if content.get("agent_steps") != agent_steps:
        raise CheckpointError(f"{path}: was taken at {content.get('agent_steps')!r} agent-steps, not at {agent_steps}")
    return Snapshot(agent_steps, content["state"])


def write_atomically(path: Path, content: Mapping[str, Any]) -> None:
    """Saves plain data so that the file is either the old one or the new one, whole, whatever happens in between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # An ordinary open, not mkstemp: that makes files which only their owner may read.
    temporary = path.with_name(f".writing-{os.getpid()}-{path.name}")
    try:
        with temporary.open("wb") as file:
            torch.save(dict(content), file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can fail in any way inside the unpickler
        raise CheckpointError(f"{path}: cannot be read as a checkpoint: {type(error).__name__}") from error
    if not isinstance(content, dict) or "format" not in content:
        raise CheckpointError(f"{path}: not a checkpoint of headctl")
    if content["format"] != FORMAT:
        raise CheckpointError(f"{path}: format {content['format']!r}; this version of headctl reads format {FORMAT}")
    if not isinstance(content.get("state"), dict):
        raise CheckpointError(f"{path}: not a checkpoint of headctl, it holds no state")
    return content
