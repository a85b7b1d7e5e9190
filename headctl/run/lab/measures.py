"""What is measured of one head's course: numbers from a fraction, its target and its alpha, iteration by iteration.

Shapes: I iterations. Fractions and targets are shares of the head's range; times are counted in iterations.
"""

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

START_SHARE = 0.1
"""Share of the iterations, at the beginning, that shortfall and RMSE leave out: the network starts uniform."""
JUMP = 0.1
"""A change of the target by more than this in one iteration is a jump."""
TOLERANCE = 0.05
"""A head has settled where its error is at most this ..."""
SETTLED_FOR = 5
"""... for so many iterations on end."""


class Jump(NamedTuple):
    """A sudden change of a target.

    Attributes:
        first: The first iteration with the new target.
        last: The last one before the next jump or the end, plus 1.
        size: New target minus old, signed.
    """

    first: int
    last: int
    size: float


class Course(NamedTuple):
    """One head of one experiment."""

    fraction: Floats
    """``[I]``."""
    target: Floats
    """NaN where the law has none ``[I]``."""
    alpha: Floats
    """Mean over the updates of each iteration ``[I]``."""


def after_start(values: Floats) -> Floats:
    """Returns what counts of a course: all but the first tenth."""
    return values[math.ceil(START_SHARE * len(values)) :]


def mean_shortfall(course: Course) -> float:
    """Returns the mean of ``max(target - fraction, 0)`` after the first tenth."""
    return float(np.mean(np.maximum(after_start(course.target - course.fraction), 0.0)))


def rmse(course: Course) -> float:
    """Returns the root of the mean squared error after the first tenth."""
    return float(np.sqrt(np.mean(after_start(course.target - course.fraction) ** 2)))


def alpha_jitter(course: Course) -> float:
    """Returns the mean size of the change of alpha from one iteration to the next."""
    return float(np.mean(np.abs(np.diff(course.alpha))))


def jumps(target: Floats) -> list[Jump]:
    """Returns the jumps of a target, in order."""
    starts = [int(start) + 1 for start in np.flatnonzero(np.abs(np.diff(target)) > JUMP)]
    return [
        Jump(first, last, float(target[first] - target[first - 1])) for first, last in pairwise([*starts, len(target)])
    ]


def settle_iterations(course: Course, jump: Jump, *, one_sided: bool) -> float:
    """Returns how long after a jump the head settled on its new target.

    Args:
        course: The head.
        jump: One of its target's jumps.
        one_sided: Count only what lies below the target, which is all that a floor asks for.

    Returns:
        Iterations until the first of :data:`SETTLED_FOR` on end within :data:`TOLERANCE`; 0 where the update that met
        the new target first was already one of them; the length of the segment where the head never settled.
    """
    error = (course.target - course.fraction)[jump.first : jump.last]
    near = (error if one_sided else np.abs(error)) <= TOLERANCE
    for start in range(len(near)):
        window = near[start : start + SETTLED_FOR]
        if len(window) == min(SETTLED_FOR, len(near)) and window.all():
            return float(start)
    return float(len(near))


def overshoot(course: Course, jump: Jump) -> float:
    """Returns how far the head went beyond the new target, as a share of the jump; 0 where it did not."""
    beyond = (course.fraction - course.target)[jump.first : jump.last] * math.copysign(1.0, jump.size)
    return max(float(beyond.max()), 0.0) / abs(jump.size)


def recovery_iterations(course: Course, jump: Jump, within: float) -> float:
    """Returns how long after a jump the head first came within ``within`` of its new target, from where it was.

    The time that a wound-up temperature needs to unwind, and the policy to follow. The length of the segment where it
    never came.
    """
    beyond = (course.fraction - course.target)[jump.first : jump.last] * -math.copysign(1.0, jump.size)
    there = np.flatnonzero(beyond <= within)
    return float(there[0]) if len(there) else float(len(beyond))
