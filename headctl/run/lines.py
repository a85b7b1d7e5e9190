"""Records of a run as lines of ``metrics.jsonl``, and lines as records. Loads no torch."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headctl.entropy.status import HeadStatus

Record = dict[str, float | str]
"""One iteration: metric name -> number (``nan`` where there is nothing to say) or, for ``status``, its name."""

METRICS_FILE = "metrics.jsonl"
_WHOLE_MAX, _LARGEST = 2**53, 1e300
_MAX_BYTES = 4 << 30  # of a metrics file: more than a million iterations


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

    A last line that is not complete (the run is being written to, or was killed) is left out; a line anywhere else that
    is no record is an error.

    Args:
        path: The file.

    Returns:
        One record per line, ``null`` read as ``nan``.

    Raises:
        MetricsError: The file does not exist, or a line other than the last is no record.
    """
    return [record for record, _ in _read_lines(path)]


def _read_lines(path: Path) -> list[tuple[Record, bytes]]:
    try:
        if path.exists() and not path.is_file():
            raise MetricsError(f"{path}: is no file")
        if path.stat().st_size > _MAX_BYTES:
            raise MetricsError(f"{path}: is larger than {_MAX_BYTES >> 30} GiB; it is not read")
        data = path.read_bytes()
    except OSError as error:
        raise MetricsError(f"{path}: cannot be read ({error.strerror})") from error
    lines, broken = parse_lines(data)
    if broken:
        raise MetricsError(
            f"{path}, line {broken[0]}: not a record: a JSON object of numbers and texts with agent_steps"
        )
    return lines


def parse_lines(data: bytes) -> tuple[list[tuple[Record, bytes]], list[int]]:
    """Returns the records with their lines, and the numbers of the lines that are none.

    A last line without its end was still being written, and counts as neither.
    """
    lines = data.split(b"\n")
    records: list[tuple[Record, bytes]] = []
    broken = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            values = None
        record = as_record(values)
        if record is not None:
            records.append((record, line))
        elif number < len(lines):
            broken.append(number)
    return records, broken


def as_record(values: object) -> Record | None:
    """Returns what a line of JSON says as a record, ``null`` as ``nan``.

    Args:
        values: What the line says.

    Returns:
        ``None`` where it is no object of numbers and texts, has no clock, or numbers that no float can be.
    """
    if not isinstance(values, dict):
        return None
    record: Record = {}
    for key, value in values.items():
        if not _may_stand(key) or not _may_stand(value):
            return None
        record[key] = math.nan if value is None else value
    return record if 0 <= steps_of(record) <= _WHOLE_MAX else None


def _may_stand(value: object) -> bool:
    """Tells whether a value may stand in a record: whatever reads it may print it, and add up millions of them."""
    if isinstance(value, str):
        return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)
    if isinstance(value, int):
        return abs(value) <= _WHOLE_MAX
    return value is None or (isinstance(value, float) and not _LARGEST < abs(value) < math.inf)


def steps_of(record: Record) -> float:
    """Returns the place of a record on the axis in agent-steps; infinity where it has none."""
    steps = record.get("agent_steps", math.inf)
    return steps if isinstance(steps, int | float) else math.inf
