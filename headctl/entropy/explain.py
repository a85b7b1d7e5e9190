"""What a target amounts to: in every unit, as the probability of a favourite action, and whether it makes sense.

Free of torch; ``headctl explain`` prints it.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from headctl.entropy.spec import HeadSpec
from headctl.entropy.targets import (
    FRACTION_MAX,
    GAUSSIAN_KINDS,
    entropy_std,
    epsilon_of_entropy,
    favourite_probability,
    target_fraction,
)

_NEARLY_UNIFORM = 0.9
_NEARLY_DETERMINISTIC = 0.02
_WIDE = 0.7  # standard deviation; from here on 15 % and more of a centred Gaussian's draws lie outside [-1, 1]


@dataclass(frozen=True, slots=True)
class Explanation:
    """One target of one head, at one number of legal actions.

    Attributes:
        head: The head.
        moment: When: ``always``, ``lowest`` or ``highest`` of the schedule.
        actions: Number of legal actions that is assumed; ``None`` for a continuous head.
        fraction: Share of the head's range; above 0.98 the target is out of reach.
        nats: Entropy.
        nats_per_dim: Entropy per dim of a continuous head, else ``None``.
        effective_actions: Number of equally likely actions with this entropy; ``None`` for a continuous head.
        epsilon: Of the epsilon-greedy choice with this entropy; ``None`` for a continuous head.
        favourite: Probability of the favourite action when the rest is uniform; ``None`` for a continuous head.
        std: Standard deviation of every dim of a Gaussian head (before the tanh, if there is one), else ``None``.
        warnings: What is out of reach or meaningless, in plain words.
    """

    head: str
    moment: str
    actions: int | None
    fraction: float
    nats: float
    nats_per_dim: float | None
    effective_actions: float | None
    epsilon: float | None
    favourite: float | None
    std: float | None
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns the fields, with ``None`` for what is not a number."""
        values = asdict(self)
        return {key: None if isinstance(v, float) and math.isnan(v) else v for key, v in values.items()}


def explain(spec: HeadSpec, actions: Sequence[int] = ()) -> list[Explanation]:
    """Returns what the lowest and the highest target of a head amount to.

    Args:
        spec: The head.
        actions: Numbers of legal actions to assume for a discrete head; empty: all of its choices, and two of them.

    Returns:
        An explanation per target and number of legal actions; none for a head whose alpha is prescribed.

    Raises:
        ValueError: A discrete head of unknown size, and no number of actions to assume.
    """
    if spec.target is None:
        return []
    low, high = spec.target.range()
    moments = {"always": low} if low == high else {"lowest": low, "highest": high}
    if not spec.discrete:
        return [_continuous(spec, moment, target) for moment, target in moments.items()]
    capacity = spec.entropy_capacity
    if not actions:
        if capacity is None:
            raise ValueError(f"heads.{spec.name}.choices: needed to explain a target, and not given")
        size = round(math.exp(capacity))
        actions = sorted({min(2, size), size}, reverse=True)
    return [_discrete(spec, moment, target, n) for moment, target in moments.items() for n in actions]


def _discrete(spec: HeadSpec, moment: str, target: float, actions: int) -> Explanation:
    capacity = math.log(actions)
    fraction = target_fraction(spec.coefficients(target), 0.0, capacity)
    if math.isnan(fraction):
        warning = "with one legal action there is nothing to choose: such states are left out"
        return Explanation(spec.name, moment, actions, math.nan, 0.0, None, 1.0, 0.0, 1.0, None, (warning,))
    warnings = []
    held = min(max(fraction, 0.0), FRACTION_MAX)
    favourite = favourite_probability(held, actions)
    if fraction > FRACTION_MAX:
        warnings.append(
            f"out of reach with {actions} legal actions: {target:g} {spec.unit} are {fraction:.2f} of what they allow"
        )
    elif fraction > _NEARLY_UNIFORM:
        warnings.append(f"all but uniform: the favourite of {actions} actions has probability {favourite:.2f}")
    elif fraction < _NEARLY_DETERMINISTIC:
        warnings.append("all but deterministic: mode floor has nothing to hold here")
    nats = held * capacity
    return Explanation(
        spec.name,
        moment,
        actions,
        fraction,
        nats,
        None,
        math.exp(nats),
        epsilon_of_entropy(nats, actions),
        favourite,
        None,
        tuple(warnings),
    )


def _continuous(spec: HeadSpec, moment: str, target: float) -> Explanation:
    floor, capacity = spec.entropy_floor, spec.entropy_capacity
    assert capacity is not None  # noqa: S101 - a continuous head knows its size
    fraction = target_fraction(spec.coefficients(target), floor, capacity)
    nats = floor + fraction * (capacity - floor)
    std = entropy_std(spec.kind, nats / spec.dims) if spec.kind in GAUSSIAN_KINDS else None
    warnings = []
    if fraction > FRACTION_MAX:
        warnings.append(f"out of reach: {target:g} {spec.unit} are {fraction:.2f} of the head's range")
    elif std is not None and spec.kind == "gaussian" and std > _WIDE:
        warnings.append(f"standard deviation {std:.2f}: many draws lie outside [-1, 1] and are clipped")
    per_dim = nats / spec.dims
    return Explanation(spec.name, moment, None, fraction, nats, per_dim, None, None, None, std, tuple(warnings))
