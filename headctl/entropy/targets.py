"""Units of targets, and the range that a head's entropy can span.

Every target is held as a *fraction* in [0, 1] of the head's range. The range runs from ``floor`` to the capacity:

* discrete head: from 0 (deterministic) to ``log n`` with ``n`` the number of legal actions of the state;
* Gaussian head with ``D`` dims, in normalised action units: from all scales at their lower bound to all scales at 1 (or
  at their upper bound, where that is lower). The entropy of one dim is ``0.5 log(2 pi e) + log sigma``.

Free of torch.
"""

import math

GAUSSIAN_ENTROPY = 0.5 * math.log(2.0 * math.pi * math.e)
"""Differential entropy in nats of a Gaussian of standard deviation 1 (Cover & Thomas 2006, eq. 8.9): 1.4189."""

FRACTION_MAX = 0.98
"""The highest fraction that a control loop can hold: at 1 the logits would have to be exactly equal."""


def gaussian_range(dims: int, log_std_min: float, log_std_max: float) -> tuple[float, float]:
    """Returns floor and capacity in nats of a diagonal Gaussian whose log standard deviations are bounded."""
    return dims * (GAUSSIAN_ENTROPY + log_std_min), dims * (GAUSSIAN_ENTROPY + min(0.0, log_std_max))


def fraction_to_nats(fraction: float, floor: float, capacity: float) -> float:
    """Returns the entropy in nats that ``fraction`` of the range [floor, capacity] amounts to."""
    return floor + fraction * (capacity - floor)
