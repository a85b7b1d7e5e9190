"""Units of targets, and the range that a head's entropy can span. Free of torch.

The loop works on *fractions* in [0, 1] of a head's range. The range runs from ``floor`` to the capacity:

* discrete head: from 0 (deterministic) to ``log n`` with ``n`` the number of legal actions of the state;
* continuous head with ``D`` dims, in normalised action units: from all scales at their lower bound to all scales at 1
  (or at their upper bound, where that is lower). One dim of a Gaussian has ``0.5 log(2 pi e) + log sigma``. The
  distributions on an interval (tanh-Gaussian, Beta) are measured with their centre in the middle of it; near an edge
  their entropy is smaller, and a fraction may be negative there.

The capacity C of a masked head is measured, so a target in another unit becomes a fraction only then. All units have
the form ``constant + share (C - floor) + epsilon log(exp(C) - 1)`` in nats, with coefficients from
:func:`nats_coefficients`; ``exp(C)`` is the geometric mean of the number of legal actions.
"""

import math
from functools import lru_cache
from typing import NamedTuple

GAUSSIAN_ENTROPY = 0.5 * math.log(2.0 * math.pi * math.e)
"""Differential entropy in nats of a Gaussian of standard deviation 1 (Cover & Thomas 2006, eq. 8.9): 1.4189."""

TANH_GAUSSIAN_LOG_STD_MAX = -0.134217
"""Log standard deviation at which a centred tanh-Gaussian is most random: sigma 0.8744, entropy 0.68364 nats per dim.
A wider Gaussian is less random, because tanh heaps its draws at the edges."""

# Gauss-Hermite quadrature with 16 nodes for the mean over a standard Gaussian (Abramowitz & Stegun 1972, 25.4.46, in
# the probabilists' form): the positive nodes, which have mirror images, and the weights of both together.
_NODES = (
    (0.3867606045005573, 2 * 0.2861774649345645),
    (1.1638291005549648, 2 * 0.15829147558658103),
    (1.9519803457163334, 2 * 0.04711143452357055),
    (2.760245047630703, 2 * 0.0072886034904480),
    (3.600873624171548, 2 * 0.00054),
    (4.492955302520011, 0.0),
    (5.472225705949343, 0.0),
    (6.630878198393129, 0.0),
)

FRACTION_MAX = 0.98
"""The highest fraction that a control loop can hold: at 1 the logits would have to be exactly equal."""

UNITS: dict[str, str] = {
    "fraction": "share of the head's range that is in use",
    "nats": "entropy in nats",
    "nats_per_dim": "entropy in nats per dim of a continuous head",
    "epsilon": "the entropy of an epsilon-greedy choice with this epsilon among the legal actions",
    "effective_actions": "number of equally likely actions with the same entropy",
    "std": "standard deviation of every dim, in normalised action units",
}
"""Every unit of a target with its meaning."""

_DISCRETE_ONLY = ("epsilon", "effective_actions")
_CONTINUOUS_ONLY = ("nats_per_dim", "std")


class TargetError(ValueError):
    """A target that its unit or its head cannot have. One line without the key."""


class Coefficients(NamedTuple):
    """``target = constant + share (C - floor) + epsilon log(exp(C) - 1)`` in nats."""

    constant: float
    share: float
    epsilon: float


def gaussian_range(dims: int, log_std_min: float, log_std_max: float) -> tuple[float, float]:
    """Returns floor and capacity in nats of a diagonal Gaussian whose log standard deviations are bounded."""
    return dims * (GAUSSIAN_ENTROPY + log_std_min), dims * (GAUSSIAN_ENTROPY + min(0.0, log_std_max))


def nats_coefficients(unit: str, value: float, *, discrete: bool, dims: int, floor: float) -> Coefficients:
    """Returns what a target amounts to in nats, as a function of the capacity.

    Args:
        unit: A key of :data:`UNITS`.
        value: The target.
        discrete: Whether the head is discrete.
        dims: Dims D of a continuous head.
        floor: Entropy at fraction 0.

    Raises:
        TargetError: A unit that this kind of head has not, or a value outside the unit's range.
    """
    kind = "discrete" if discrete else "continuous"
    if unit in (_CONTINUOUS_ONLY if discrete else _DISCRETE_ONLY):
        raise TargetError(f"a {kind} head has no targets in {unit}")
    if unit == "fraction":
        _check(
            0.0 <= value <= FRACTION_MAX,
            value,
            f"a fraction lies between 0 and {FRACTION_MAX} (1 is the uniform choice)",
        )
        return Coefficients(floor, value, 0.0)
    if unit == "nats":
        _check(value >= floor, value, f"this head's entropy is at least {floor:.4g} nats")
        return Coefficients(value, 0.0, 0.0)
    if unit == "nats_per_dim":
        _check(dims * value >= floor, value, f"this head's entropy is at least {floor / dims:.4g} nats per dim")
        return Coefficients(dims * value, 0.0, 0.0)
    if unit == "std":
        _check(value > 0.0, value, "a standard deviation is positive")
        nats = dims * (GAUSSIAN_ENTROPY + math.log(value))
        _check(nats >= floor, value, f"the head's smallest is {math.exp(floor / dims - GAUSSIAN_ENTROPY):.4g}")
        return Coefficients(nats, 0.0, 0.0)
    if unit == "effective_actions":
        _check(value >= 1.0, value, "one action is the least")
        return Coefficients(math.log(value), 0.0, 0.0)
    _check(0.0 < value < 1.0, value, "epsilon lies between 0 and 1")
    return Coefficients(-(1.0 - value) * math.log1p(-value) - value * math.log(value), 0.0, value)


def target_fraction(coefficients: Coefficients, floor: float, capacity: float) -> float:
    """Returns the fraction that a target amounts to where the head can reach ``capacity``; NaN where it has no range.

    The result is not bounded: above :data:`FRACTION_MAX` the target is out of reach.
    """
    span = capacity - floor
    if not span > 0.0:
        return math.nan
    spread = coefficients.epsilon * math.log(math.expm1(capacity)) if coefficients.epsilon else 0.0
    return (coefficients.constant + coefficients.share * span + spread - floor) / span


def favourite_probability(fraction: float, actions: float) -> float:
    """Returns the probability of the favourite among ``actions`` legal ones when the rest is uniform.

    Solved by bisection of ``H(p) = -p log p - (1 - p) log((1 - p) / (n - 1)) = fraction log n`` on [1/n, 1].
    """
    if actions <= 1.0:
        return 1.0
    wanted = fraction * math.log(actions)
    low, high = 1.0 / actions, 1.0
    for _ in range(60):
        p = 0.5 * (low + high)
        rest = (1.0 - p) * math.log((1.0 - p) / (actions - 1.0)) if p < 1.0 else 0.0
        if -p * math.log(p) - rest > wanted:
            low = p
        else:
            high = p
    return 0.5 * (low + high)


def _check(holds: bool, value: float, why: str) -> None:  # noqa: FBT001 - a condition, not an option
    if not holds:
        raise TargetError(f"out of reach: {why}, got {value:g}")
