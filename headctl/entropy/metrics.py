"""What is told of one head: a window of sums turned into numbers that people read."""

import math

from headctl.entropy.monitor import StatusKeeper, Window
from headctl.entropy.spec import HeadSpec
from headctl.entropy.targets import FRACTION_MAX, GAUSSIAN_KINDS, entropy_std, target_fraction


def head_metrics(
    spec: HeadSpec, window: Window, keeper: StatusKeeper, *, log_alpha: float, target: float | None, heat: float = 0.0
) -> dict[str, float]:
    """Returns the metrics of a head by their names, and enters the window into its status.

    Args:
        spec: The head.
        window: Sums since the last reading.
        keeper: The head's status so far.
        log_alpha: The learned temperature now.
        target: The target in force in the head's unit; ``None`` for a head without one.
        heat: What is added to its fraction for a while.

    Returns:
        Numbers; NaN where there is nothing to say.
    """
    floor = spec.entropy_floor
    entropy, capacity = window.per_row(window.entropy), window.per_row(window.capacity)
    fraction = window.fraction(floor)
    wanted = math.nan if target is None else target_fraction(spec.coefficients(target), floor, capacity)
    if heat and not math.isnan(wanted):
        wanted = min(wanted + heat, FRACTION_MAX)
    error = wanted - fraction
    status = keeper.settle(window, fraction, error)
    return {
        "alpha": window.alpha / window.updates,
        "log_alpha": log_alpha,
        "entropy": entropy,
        "target_entropy": floor + wanted * (capacity - floor),
        "capacity": capacity,
        "fraction": fraction,
        "target_fraction": wanted,
        "error": error,
        "status": status,
        "weight": window.weight / window.rows if window.rows else math.nan,
        **_spread(spec, entropy, capacity),
        "skipped": window.skipped,
        "beyond_reach": window.beyond / window.updates,
        **_times(keeper),
    }


def _spread(spec: HeadSpec, entropy: float, capacity: float) -> dict[str, float]:
    """Returns entropy and capacity in units that people picture: numbers of actions, or a standard deviation."""
    if spec.discrete:
        return {"effective_actions": math.exp(entropy), "legal_actions": math.exp(capacity)}
    return {"std": entropy_std(spec.kind, entropy / spec.dims)} if spec.kind in GAUSSIAN_KINDS else {}


def _times(keeper: StatusKeeper) -> dict[str, float]:
    """Returns the share of all updates so far in every status that the head can have, by ``time_<status>``."""
    return {
        f"time_{status.name.lower()}": share for status, share in keeper.shares().items() if keeper.can_have(status)
    }
