"""The runs in a folder, and how each of them is doing. Loads no torch."""

import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from headctl.run.folder import RunFolderError, check_run_folder, is_run_folder
from headctl.run.lines import METRICS_FILE, Record, as_record
from headctl.run.lock import is_held
from headctl.run.report import RunReader
from headctl.selfplay.results import MatchResult

FRESH_S = 120.0
"""Where the file system has no locks, a run whose metrics were written this recently counts as running."""
_TAIL_BYTES = 1 << 18
_DEPTH = 3


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run in a line.

    Attributes:
        run: Its folder.
        state: ``running`` (a process holds the run's lock), ``finished``, ``stopped``, ``empty`` (nothing measured yet)
            or ``unreadable``.
        game: Name of the game; empty where the run is unreadable.
        seed: Seed of the training.
        agent_steps: Agent-steps done.
        total_steps: Agent-steps planned.
        win_rate: Win rate of the decided games of the newest matches against the scripted pilots, all together.
        games: Games of those matches.
        statuses: Head -> status.
        modified: Time of the last record, seconds since 1970.
        problem: Why it is unreadable.
    """

    run: str
    state: str
    game: str = ""
    seed: int = 0
    agent_steps: int = 0
    total_steps: int = 0
    win_rate: float = math.nan
    games: int = 0
    statuses: dict[str, str] = field(default_factory=dict)
    modified: float = math.nan
    problem: str = ""

    @property
    def progress(self) -> float:
        """Share of the training that is done, in [0, 1]."""
        return min(self.agent_steps / self.total_steps, 1.0) if self.total_steps else 0.0

    def to_json(self) -> dict[str, Any]:
        """Returns plain data; NaN becomes ``None``."""
        plain = asdict(self) | {"progress": self.progress}
        return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in plain.items()}


def find_runs(folder: Path) -> Iterator[Path]:
    """Yields the run folders below a folder, also those of sweeps, in the order of their names.

    Raises:
        RunFolderError: The folder does not exist, or cannot be read.
    """
    if not folder.is_dir():
        raise RunFolderError(f"{folder}: {'is a file, not a folder of runs' if folder.exists() else 'no such folder'}")
    yield from _search(folder, _DEPTH)


def _search(folder: Path, depth: int) -> Iterator[Path]:
    if is_run_folder(folder):
        yield folder
        return
    if depth == 0:
        return
    try:
        below = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise RunFolderError(f"{folder}: cannot be read ({error.strerror})") from error
    for entry in below:
        yield from _search(entry, depth - 1)


def summarise_run(run_dir: Path, now: float | None = None) -> RunSummary:
    """Returns a run in a line; one that cannot be read says why. Reads the end of its metrics only.

    Args:
        run_dir: The folder.
        now: Present time in seconds since 1970; that of the clock by default.
    """
    try:
        check_run_folder(run_dir)
        config = RunReader.config_of(run_dir)
    except RunFolderError as error:
        return RunSummary(str(run_dir), "unreadable", problem=str(error))
    known = {"game": config.game.name, "seed": config.seed, "total_steps": config.total_steps}
    record, modified = last_record(run_dir)
    held = is_held(run_dir)
    if record is None:
        return RunSummary(str(run_dir), "running" if held else "empty", **known)
    steps = int(record["agent_steps"])
    finished = steps >= config.total_steps
    if held is None:  # no locks here: the age of the records says it as well as it can
        held = not finished and (time.time() if now is None else now) - modified < FRESH_S
    state = "running" if held else "finished" if finished else "stopped"
    result = _matches(run_dir)
    statuses = {
        key.removeprefix("heads/").removesuffix("/status"): value
        for key, value in record.items()
        if key.endswith("/status") and isinstance(value, str)
    }
    return RunSummary(
        str(run_dir),
        state,
        **known,
        agent_steps=steps,
        win_rate=result.win_rate,
        games=result.games,
        statuses=statuses,
        modified=modified,
    )


def last_record(run_dir: Path) -> tuple[Record | None, float]:
    """Returns the last complete record of a run and the time of the file; ``None`` where there is none."""
    path = run_dir / METRICS_FILE
    try:
        modified = path.stat().st_mtime
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(file.tell() - _TAIL_BYTES, 0))
            lines = file.read().split(b"\n")
    except OSError:
        return None, math.nan
    for line in reversed(lines):
        try:
            record = as_record(json.loads(line))
        except (ValueError, RecursionError):
            continue  # still being written, cut by the window, or damaged: the one before will do
        if record is not None:
            return record, modified
    return None, math.nan


def _matches(run_dir: Path) -> MatchResult:
    """Returns the closing matches against the scripted pilots, all together."""
    total = MatchResult(0, 0, 0)
    try:
        content = json.loads((run_dir / "eval" / "final.json").read_text(encoding="utf-8"))
        for match in content["opponents"].values():
            total += MatchResult.from_plain(match)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return MatchResult(0, 0, 0)
    return total
