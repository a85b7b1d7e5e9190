"""The laboratory's tables as Markdown, for the documentation: one line per law, the three heads side by side."""

import math
from collections.abc import Iterable, Mapping, Sequence

from headctl.run.lab.contestants import DISCRETE, HEADS
from headctl.run.lab.study import ALL_COURSES, RecoveryRow, ScaleRow, TrackingRow


def markdown_tables(
    tracking: Sequence[TrackingRow], recovery: Sequence[RecoveryRow], scales: Sequence[ScaleRow], *, course: str = ""
) -> str:
    """Returns the tables one after the other; those without rows are left out.

    Args:
        tracking: How the targets were held.
        recovery: How the laws came back from a target out of reach.
        scales: What became of alpha when rewards were multiplied.
        course: Which course of the targets; empty: the means over all.
    """
    tables = [
        _table(
            ("law", "shortfall", "RMSE", "up", "down", "overshoot", "jitter", "return", "against the first"),
            [_tracking(row) for row in tracking if row.course == (course or ALL_COURSES)],
        ),
        _table(("law", "mean", "slowest seed", "highest alpha"), [_recovery(row) for row in recovery]),
        _table(("law", "rewards times", *(f"alpha of {head}" for head in HEADS)), [_scale(row) for row in scales]),
    ]
    return "\n".join(table for table in tables if table)


def _tracking(row: TrackingRow) -> list[str]:
    mean, error = row.return_difference
    return [
        f"`{row.contestant}`",
        *(_heads(values, 3) for values in (row.shortfall, row.rmse)),
        *(_heads(values, 0) for values in (row.settle_up, row.settle_down)),
        _heads(row.overshoot, 2),
        _heads(row.jitter, 3),
        f"{row.greedy_return:.3f}",
        f"{mean:+.3f}" + ("" if math.isnan(error) else f" ± {error:.3f}"),
    ]


def _recovery(row: RecoveryRow) -> list[str]:
    return [
        f"`{row.contestant}`",
        *(
            _heads(values, digits, DISCRETE)
            for values, digits in ((row.iterations, 1), (row.worst, 0), (row.alpha_max, 2))
        ),
    ]


def _scale(row: ScaleRow) -> list[str]:
    return [f"`{row.contestant}`", f"{row.scale:g}", *(f"{100.0 * row.change[head]:+.1f} %" for head in HEADS)]


def _heads(values: Mapping[str, float], digits: int, heads: Iterable[str] = HEADS) -> str:
    return " / ".join(_number(values[head], digits) for head in heads)


def _number(value: float, digits: int) -> str:
    """Returns a number for a narrow column: no digit before the point where that is 0, ``-`` for NaN."""
    text = "-" if math.isnan(value) else f"{value:.{digits}f}"
    return text[1:] if digits > 1 and text.startswith("0.") else text


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
