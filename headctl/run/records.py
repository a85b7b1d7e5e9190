"""Records of a run on disk: ``metrics.jsonl``, one JSON object per line, and TensorBoard."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from headctl.entropy.status import HeadStatus

Record = dict[str, float | str]
"""One iteration: metric name -> number (``nan`` where there is nothing to say) or, for ``status``, its name."""

METRICS_FILE = "metrics.jsonl"
TENSORBOARD_DIR = "tensorboard"


class MetricsError(ValueError):
    """A metrics file that cannot be read; the message names the file and the line."""


def status_name(value: float | str) -> str:
    """Returns the name of a status given as its code or its name; ``""`` for ``nan``."""
    if isinstance(value, str):
        return value
    return "" if math.isnan(value) else HeadStatus(int(value)).name


def to_json_line(record: Mapping[str, Any]) -> str:
    """Returns a record as one line of JSON without the line's end.

    Floats keep their shortest exact form, ``nan`` becomes ``null`` and infinities become ``1e999``, which every JSON
    reader takes back as infinity. A status is written by its name.
    """
    parts = []
    for key, value in record.items():
        if key.endswith("/status"):
            name = status_name(value)
            text = json.dumps(name) if name else "null"
        elif isinstance(value, str):
            text = json.dumps(value)
        else:
            text = _number(value)
        parts.append(f"{json.dumps(key)}: {text}")
    return "{" + ", ".join(parts) + "}"


def _number(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(int(value))
    number = float(value)
    if math.isnan(number):
        return "null"
    if math.isinf(number):
        return "1e999" if number > 0 else "-1e999"
    return repr(number)


def read_metrics(path: Path) -> list[Record]:
    """Reads ``metrics.jsonl``.

    A last line that is not complete (the run is being written to, or was killed) is left out; a broken line anywhere
    else is an error.

    Args:
        path: The file.

    Returns:
        One record per line, ``null`` read as ``nan``.

    Raises:
        MetricsError: The file does not exist, or a line other than the last is not a JSON object.
    """
    return [record for record, _ in _read_lines(path)]


def _read_lines(path: Path) -> list[tuple[Record, bytes]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MetricsError(f"{path}: cannot be read ({error.strerror})") from error
    lines = data.split(b"\n")
    records: list[tuple[Record, bytes]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            if number == len(lines):  # no newline after it: the line was still being written
                break
            raise MetricsError(f"{path}, line {number}: not a JSON object")
        records.append(({key: math.nan if value is None else value for key, value in values.items()}, line))
    return records


class MetricsWriter:
    """Writes records to ``metrics.jsonl`` and, if wanted, to TensorBoard.

    Every line is flushed when it is written, so a reader beside the run sees all finished iterations.

    Args:
        run_dir: Folder of the run; must exist.
        heads: Names of the heads; entropy and target of each share one TensorBoard chart.
        tensorboard: Whether to write TensorBoard files too.
        resume_from: ``None`` starts anew. A number of agent-steps continues a run from the checkpoint made at that
            moment: later records, and a half-written last line, are cut off first.
    """

    def __init__(
        self, run_dir: Path, heads: Sequence[str] = (), *, tensorboard: bool = True, resume_from: int | None = None
    ) -> None:
        self._path = Path(run_dir) / METRICS_FILE
        if resume_from is None:
            self._path.write_bytes(b"")
        elif self._path.exists():
            kept = [line for record, line in _read_lines(self._path) if _steps(record) <= resume_from]
            scratch = self._path.with_suffix(".tmp")
            scratch.write_bytes(b"".join(line + b"\n" for line in kept))
            scratch.replace(self._path)
        self._file = self._path.open("a", encoding="utf-8", newline="\n")
        self._board = None
        if tensorboard:
            # TensorBoard takes a second to import and reading a run needs none of it.
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  - see above

            purge = None if resume_from is None else resume_from + 1
            self._board = SummaryWriter(str(Path(run_dir) / TENSORBOARD_DIR), purge_step=purge)
            if heads:
                self._board.add_custom_scalars(tensorboard_layout(heads))

    def write(self, record: Mapping[str, Any]) -> None:
        """Appends one record; ``record["agent_steps"]`` is its place on the axis."""
        self._file.write(to_json_line(record) + "\n")
        self._file.flush()
        if self._board is None:
            return
        step = int(record["agent_steps"])
        for key, value in record.items():
            if "/" not in key:
                continue
            number = float(HeadStatus[value]) if isinstance(value, str) else float(value)
            if not math.isnan(number):
                self._board.add_scalar(key, number, step)

    def close(self) -> None:
        """Closes both files; nothing may be written afterwards."""
        self._file.close()
        if self._board is not None:
            self._board.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _steps(record: Record) -> float:
    steps = record.get("agent_steps", math.inf)
    return steps if isinstance(steps, int | float) else math.inf


def tensorboard_layout(heads: Sequence[str]) -> dict[str, dict[str, list[Any]]]:
    """Returns the layout of TensorBoard's custom scalars: entropy beside its target, and all alphas together."""
    charts: dict[str, list[Any]] = {}
    for head in heads:
        tag = re.escape(head)
        charts[f"{head}: fraction and target"] = [
            "Multiline",
            [f"^heads/{tag}/fraction$", f"^heads/{tag}/target_fraction$"],
        ]
        charts[f"{head}: entropy and target (nats)"] = [
            "Multiline",
            [f"^heads/{tag}/entropy$", f"^heads/{tag}/target_entropy$"],
        ]
    charts["alpha of every head"] = ["Multiline", [f"^heads/{re.escape(head)}/alpha$" for head in heads]]
    return {"heads": charts}
