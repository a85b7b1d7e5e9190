"""What every picture of a run shows, as arrays: the same for the PNG and for the page. Loads no matplotlib.

Shape legend: T records.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headctl.run.report import RunReader, describe_target

STATUS_COLOURS: dict[str, str] = {
    "TRACKING": "#2a9d8f",
    "SLACK": "#8ecae6",
    "SATURATED": "#e63946",
    "COLLAPSED": "#7b2cbf",
    "INACTIVE": "#e9c46a",
    "FIXED": "#adb5bd",
}
"""Colour of every status in pictures."""

Floats = NDArray[np.float64]


class HeadCurves(NamedTuple):
    """One head over the whole run; all arrays have one entry per record, NaN where there is nothing to say."""

    name: str
    law: str
    mode: str
    target_text: str
    alpha_bounds: tuple[float, float]
    steps: Floats
    fraction: Floats
    target: Floats
    alpha: Floats
    entropy: Floats
    """In nats, as :attr:`target_entropy`."""
    target_entropy: Floats
    statuses: Sequence[str]


def head_curves(reader: RunReader, head: str) -> HeadCurves:
    """Collects what the picture of one head shows."""

    def column(key: str) -> Floats:
        return np.array([reader.number(key, record) for record in reader.records])

    written = reader.config.heads.get(head)
    options: dict[str, Any] = written if isinstance(written, dict) else {"target": written}
    free = "target" not in options  # laws fixed and decay hold no target
    bounds = (math.nan, math.nan) if free else (options.get("alpha_min", math.nan), options.get("alpha_max", math.nan))
    return HeadCurves(
        name=head,
        law=str(options.get("law", "pi")),
        mode="" if free else str(options.get("mode", "floor")),
        target_text="" if free else describe_target(options.get("target"), str(options.get("unit", "fraction"))),
        alpha_bounds=(float(bounds[0]), float(bounds[1])),
        steps=column("agent_steps"),
        fraction=column(f"heads/{head}/fraction"),
        target=column(f"heads/{head}/target_fraction"),
        alpha=column(f"heads/{head}/alpha"),
        entropy=column(f"heads/{head}/entropy"),
        target_entropy=column(f"heads/{head}/target_entropy"),
        statuses=reader.statuses(head),
    )


def stretches(curves: HeadCurves) -> Iterator[tuple[str, float, float]]:
    """Yields (status, first agent-step, last agent-step) of every stretch of equal status, ``""`` for unknown."""
    starts = np.concatenate([[0.0], curves.steps[:-1]])
    index = 0
    for status, stretch in groupby(curves.statuses):
        count = len(list(stretch))
        yield status, float(starts[index]), float(curves.steps[index + count - 1])
        index += count


def running_mean(values: Sequence[float], window: int) -> Floats:
    """Returns the mean of every value and the ``window - 1`` before it (of fewer at the start)."""
    sums = np.concatenate([[0.0], np.cumsum(np.asarray(values, dtype=np.float64))])
    ends = np.arange(1, len(values) + 1)
    begins = np.maximum(ends - window, 0)
    return (sums[ends] - sums[begins]) / (ends - begins)
