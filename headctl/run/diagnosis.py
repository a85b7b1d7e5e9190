"""What a run leaves behind when something goes wrong: a diary of faults, and a diagnosis when it has to stop."""

import contextlib
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headctl import __version__
from headctl.run import durable

DIAGNOSIS_FILE = "diagnosis.json"
FAULTS_FILE = "faults.jsonl"
_SHOWN_FAULTS = 50


class RunFailedError(RuntimeError):
    """A training that cannot go on. One message; the exit code is 1."""


class TooManyFaultsError(RunFailedError):
    """Several updates in a row could not be used: the policy is spoilt, or the game is.

    Attributes:
        terms: The terms that were not finite, in the newest update.
    """

    def __init__(self, message: str, terms: Mapping[str, int]) -> None:
        """Creates the error.

        Args:
            message: One line.
            terms: Term to how many numbers of it.
        """
        super().__init__(message)
        self.terms = dict(terms)


def note_fault(run_dir: Path, fault: Mapping[str, Any]) -> None:
    """Adds a fault to the diary ``faults.jsonl``; a disk that cannot take it is no second fault."""
    with contextlib.suppress(OSError):
        durable.append_line(run_dir / FAULTS_FILE, json.dumps(_plain(fault)))


def write_diagnosis(run_dir: Path, what: str, **facts: Any) -> Path | None:
    """Writes ``diagnosis.json``: what happened, and all that helps to find out why.

    Args:
        run_dir: The run's folder.
        what: One line.
        **facts: Plain data.

    Returns:
        The file, or ``None`` where the disk could not take it.
    """
    content = {
        "what": what,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "headctl": __version__,
        **facts,
        "faults_before": _newest_faults(run_dir),
    }
    path = run_dir / DIAGNOSIS_FILE
    try:
        durable.write_text(path, json.dumps(_plain(content), indent=2, allow_nan=False) + "\n")
    except OSError:
        return None
    return path


def _newest_faults(run_dir: Path) -> list[Any]:
    try:
        lines = (run_dir / FAULTS_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    faults = []
    for line in lines[-_SHOWN_FAULTS:]:
        with contextlib.suppress(ValueError):
            faults.append(json.loads(line))
    return faults


def _plain(value: Any) -> Any:
    """Returns what JSON can say: NaN and infinity by name, anything unknown as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)
