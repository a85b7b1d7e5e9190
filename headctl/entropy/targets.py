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
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

GAUSSIAN_ENTROPY = 0.5 * math.log(2.0 * math.pi * math.e)
"""Differential entropy in nats of a Gaussian of standard deviation 1 (Cover & Thomas 2006, eq. 8.9): 1.4189."""

TANH_GAUSSIAN_LOG_STD_MAX = -0.134217
"""Log standard deviation at which a centred tanh-Gaussian is most random: sigma 0.8744, entropy 0.68364 nats per dim.
A wider Gaussian is less random, because tanh heaps its draws at the edges."""

GAUSS_HERMITE: tuple[tuple[float, float], ...] = (
    (0.3867606045005573, 0.286568521238012),
    (1.1638291005549648, 0.1583383727509497),
    (1.9519803457163334, 0.04728475235401406),
    (2.7602450476307014, 0.007266937601184749),
    (3.6008736241715487, 0.0005259849265739087),
    (4.492955302520011, 1.530003216248732e-05),
    (5.472225705949343, 1.309473216286817e-07),
    (6.630878198393129, 1.4978147231618412e-10),
)
"""Nodes and weights of the mean over a standard Gaussian, exact up to polynomials of degree 31: the positive half of
the 16-node Gauss-Hermite rule (Abramowitz & Stegun 1972, 25.4.46, table 25.10, rescaled); the other half mirrors it."""

GAUSSIAN_KINDS = ("gaussian", "tanh_gaussian")
"""Kinds of heads that have a standard deviation; that of a tanh-Gaussian is meant before the tanh."""

FRACTION_MAX = 0.98
"""The highest fraction that a control loop can hold: at 1 the logits would have to be exactly equal."""

UNITS: dict[str, str] = {
    "fraction": "share of the head's range that is in use",
    "nats": "entropy in nats",
    "nats_per_dim": "entropy in nats per dim of a continuous head",
    "epsilon": "the entropy of an epsilon-greedy choice with this epsilon among the legal actions",
    "effective_actions": "number of equally likely actions with the same entropy",
    "std": "standard deviation of every dim of a Gaussian, in normalised action units (before tanh where it has one)",
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


def tanh_gaussian_entropy(log_std: float) -> float:
    """Returns the entropy in nats of ``tanh(sigma z)``, z a standard Gaussian: of one dim, its centre in the middle.

    The Gaussian's own entropy plus the mean of ``log(1 - tanh(sigma z)^2)`` (change of variables), by quadrature; the
    error is below 2e-5 nats for log_std in [-5, 0]. It grows with sigma up to :data:`TANH_GAUSSIAN_LOG_STD_MAX`.
    """
    std = math.exp(log_std)
    shrinkage = sum(weight * _log_tanh_slope(std * node) for node, weight in GAUSS_HERMITE)
    return GAUSSIAN_ENTROPY + log_std + 2.0 * shrinkage


@lru_cache(maxsize=256)
def tanh_gaussian_range(dims: int, log_std_min: float, log_std_max: float) -> tuple[float, float]:
    """Returns floor and capacity in nats of a centred tanh-Gaussian whose log standard deviations are bounded."""
    return dims * tanh_gaussian_entropy(log_std_min), dims * tanh_gaussian_entropy(log_std_max)


@lru_cache(maxsize=256)
def beta_range(dims: int, concentration_max: float) -> tuple[float, float]:
    """Returns floor and capacity in nats of D Beta distributions on [-1, 1] with concentrations from 1 to a bound.

    The floor is that of the centred one, both concentrations at the bound; the capacity that of the uniform one, both
    at 1. Entropy: Johnson, Kotz & Balakrishnan 1995, ch. 25, with ``log 2`` for the width of the interval.
    """
    c = concentration_max
    log_beta = 2.0 * math.lgamma(c) - math.lgamma(2.0 * c)
    entropy = log_beta - 2.0 * (c - 1.0) * (_digamma(c) - _digamma(2.0 * c))
    return dims * (entropy + math.log(2.0)), dims * math.log(2.0)


def floored_entropy(sizes: Sequence[int], probability_floor: float) -> float:
    """Returns the least entropy in nats of independent choices that are mixed with a uniform draw.

    Args:
        sizes: Number of choices of every part.
        probability_floor: Share of the uniform draw in [0, 1).
    """
    least = 0.0
    for size in sizes:
        rest = probability_floor / size
        for p in (1.0 - probability_floor + rest, *[rest] * (size - 1)):
            least -= p * math.log(p) if p > 0.0 else 0.0
    return least


def std_entropy(kind: str, std: float) -> float:
    """Returns the entropy per dim in nats of a centred distribution with the Gaussian standard deviation ``std``.

    Raises:
        TargetError: A kind of head without a standard deviation, or one outside its range.
    """
    _check(std > 0.0, std, "a standard deviation is positive")
    if kind == "gaussian":
        return GAUSSIAN_ENTROPY + math.log(std)
    if kind != "tanh_gaussian":
        raise TargetError(f"a {kind} head has no targets in std")
    widest = math.exp(TANH_GAUSSIAN_LOG_STD_MAX)
    _check(std <= widest, std, f"beyond a standard deviation of {widest:.4g} a Gaussian is less random after tanh")
    return tanh_gaussian_entropy(math.log(std))


def entropy_std(kind: str, entropy: float) -> float:
    """Returns the standard deviation of a kind of Gaussian whose entropy per dim is ``entropy`` nats.

    The inverse of :func:`std_entropy`; for a tanh-Gaussian by bisection.
    """
    if kind == "gaussian":
        return math.exp(entropy - GAUSSIAN_ENTROPY)
    low, high = entropy - GAUSSIAN_ENTROPY, TANH_GAUSSIAN_LOG_STD_MAX  # tanh only takes away
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if tanh_gaussian_entropy(middle) < entropy else (low, middle)
    return math.exp(0.5 * (low + high))


def _log_tanh_slope(u: float) -> float:
    """Returns ``log(1 - tanh(u)^2)`` without overflow."""
    return 2.0 * (math.log(2.0) - abs(u) - math.log1p(math.exp(-2.0 * abs(u))))


def _digamma(x: float) -> float:
    """Returns the derivative of ``log Gamma`` for x > 0: recurrence, then Abramowitz & Stegun 1972, 6.3.18."""
    shift = 0.0
    while x < 10.0:
        shift -= 1.0 / x
        x += 1.0
    y = 1.0 / (x * x)
    series = y * (1.0 / 12.0 - y * (1.0 / 120.0 - y * (1.0 / 252.0 - y * (1.0 / 240.0 - y / 132.0))))
    return shift + math.log(x) - 0.5 / x - series


def nats_coefficients(
    unit: str, value: float, *, discrete: bool, dims: int, floor: float, kind: str = "gaussian"
) -> Coefficients:
    """Returns what a target amounts to in nats, as a function of the capacity.

    Args:
        unit: A key of :data:`UNITS`.
        value: The target.
        discrete: Whether the head is discrete.
        dims: Dims D of a continuous head.
        floor: Entropy at fraction 0.
        kind: Distribution of a continuous head; only the Gaussian ones have targets in ``std``.

    Raises:
        TargetError: A unit that this kind of head has not, or a value outside the unit's range.
    """
    if unit in (_CONTINUOUS_ONLY if discrete else _DISCRETE_ONLY):
        raise TargetError(f"a {'discrete' if discrete else 'continuous'} head has no targets in {unit}")
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
        nats = dims * std_entropy(kind, value)
        _check(nats >= floor, value, f"the head's smallest is {entropy_std(kind, floor / dims):.4g}")
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


def epsilon_of_entropy(nats: float, actions: int) -> float:
    """Returns the epsilon of the epsilon-greedy choice among ``actions`` with this entropy; at most ``1 - 1/actions``.

    The favourite of such a choice has probability ``1 - epsilon``: the inverse of :func:`favourite_probability`.
    """
    return 1.0 - favourite_probability(nats / math.log(actions), actions) if actions > 1 else 0.0
