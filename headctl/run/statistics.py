"""Means over the seeds of an experiment, and how far to trust them. Free of torch and numpy."""

import math
from collections.abc import Sequence
from typing import NamedTuple

_T_975 = (
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281,
    2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860,
    2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423,
)  # fmt: skip
"""97.5 % quantiles of Student's t distribution for 1 to 30 degrees of freedom (Student 1908)."""
_Z_975 = 1.959963984540054


class Estimate(NamedTuple):
    """A mean over seeds with its 95 % interval; the interval is NaN where there are fewer than two values."""

    mean: float
    low: float
    high: float
    seeds: int

    def to_json(self) -> dict[str, float | int | None]:
        """Returns plain data; ``None`` where there is nothing to say."""
        return {key: None if math.isnan(value) else value for key, value in self._asdict().items()}


def t_quantile(degrees: int) -> float:
    """Returns the 97.5 % quantile of Student's t distribution.

    Beyond 30 degrees of freedom it is the expansion of Abramowitz & Stegun 26.7.5 to second order, right to 1e-4.
    """
    if degrees <= len(_T_975):
        return _T_975[degrees - 1]
    z = _Z_975
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)


def estimate(values: Sequence[float], low: float = -math.inf, high: float = math.inf) -> Estimate:
    """Returns the mean of independent runs and its 95 % interval, ``mean +- t s / sqrt(n)``.

    Args:
        values: One per run; NaN is left out.
        low: The quantity cannot be smaller; the interval is cut there.
        high: The quantity cannot be larger.
    """
    known = [value for value in values if not math.isnan(value)]
    count = len(known)
    if not count:
        return Estimate(math.nan, math.nan, math.nan, 0)
    mean = math.fsum(known) / count
    if count == 1:
        return Estimate(mean, math.nan, math.nan, 1)
    variance = math.fsum((value - mean) ** 2 for value in known) / (count - 1)
    half = t_quantile(count - 1) * math.sqrt(variance / count)
    return Estimate(mean, max(mean - half, low), min(mean + half, high), count)
