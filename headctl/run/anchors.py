"""Anchors: frozen policies of other runs that are asked to play in this one."""

import re
from pathlib import Path

from headctl.policy.network import Policy
from headctl.run.agent import warn
from headctl.run.checkpoint import (
    CHECKPOINTS,
    LEAGUE,
    Checkpoint,
    CheckpointError,
    load_snapshot,
    newest_usable,
    read_checkpoint,
)
from headctl.run.folder import is_run_folder
from headctl.run.formats import migrated
from headctl.selfplay.league import Snapshot, acting_state, check_same_scheme

_UNUSUAL = re.compile(r"[^\w.+-]+")


def load_anchors(paths: list[str], policy: Policy) -> list[Snapshot]:
    """Reads the anchors that ``selfplay.opponents.anchors.paths`` names.

    Args:
        paths: Run folders, or files of checkpoints or snapshots.
        policy: The policy of this run: an anchor sees and does the same.

    Returns:
        One frozen policy per path, labelled ``<run>@<agent-steps>``.

    Raises:
        CheckpointError: A file that is missing, damaged or of another scheme, or the same policy twice.
    """
    anchors: list[Snapshot] = []
    for text in paths:
        anchor = load_anchor(Path(text))
        try:
            check_same_scheme(anchor, policy)
        except ValueError as error:
            raise CheckpointError(f"selfplay.opponents.anchors.paths: {text}: {error}") from error
        if anchor.name in {other.name for other in anchors}:
            raise CheckpointError(f"selfplay.opponents.anchors.paths: {text}: {anchor.name} is named twice")
        anchors.append(anchor)
    return anchors


def load_anchor(path: Path) -> Snapshot:
    """Returns the policy in a run folder, a checkpoint or a snapshot, under the name of its run.

    Raises:
        CheckpointError: It is missing or damaged, or it is none of the three.
    """
    if is_run_folder(path) or (path / CHECKPOINTS).is_dir():
        return newest_usable(path, lambda checkpoint: _of(checkpoint, path), warn)
    run_dir = path.parent.parent
    if path.parent.name == LEAGUE:
        found = load_snapshot(run_dir, path.stem)
        return Snapshot(found.agent_steps, found.state, _label(run_dir, found.name), found.scheme)
    if path.parent.name != CHECKPOINTS:
        raise CheckpointError(
            f"{path}: is neither a run folder, nor a file in its checkpoints/ or league/"
            + ("" if path.exists() else "; there is nothing of that name")
        )
    return _of(read_checkpoint(path), run_dir)


def _of(checkpoint: Checkpoint, run_dir: Path) -> Snapshot:
    state = migrated(checkpoint)
    try:
        weights = acting_state(state["learner"]["policy"])
    except (AttributeError, KeyError, TypeError) as error:
        raise CheckpointError(f"{checkpoint.path}: holds no policy") from error
    label = _label(run_dir, f"{checkpoint.agent_steps:012d}")
    return Snapshot(checkpoint.agent_steps, weights, label, dict(state.get("scheme") or {}))


def _label(run_dir: Path, name: str) -> str:
    return f"{_UNUSUAL.sub('_', run_dir.resolve().name)}@{name}"
