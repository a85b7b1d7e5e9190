"""How the temperature of a head moves. Every law is a function of vectors over the heads.

Shapes: H heads. All tensors are float32 ``[H]`` on one device; nothing here reads a value back to the host.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from headctl.entropy.spec import HeadSpec

T = TypeVar("T")


class Bounds(NamedTuple, Generic[T]):
    """Limits of the temperatures: of one head as numbers, of all heads as ``[H]`` tensors."""

    alpha_min: T
    alpha_max: T
    log_alpha_min: T
    log_alpha_max: T
    zero: T
    """Where an error changes sign. As a tensor: torch takes more than twice as long to compare with a number."""


class LawStep(NamedTuple):
    """What one update of a law gives, each ``[H]``."""

    log_alpha: Tensor
    """The learned temperature after the update."""
    alpha: Tensor
    """The coefficient of the entropy bonus until the next update."""
    at_upper: Tensor
    """bool: alpha stands at its upper bound and the error asks for more."""
    at_lower: Tensor
    """bool: alpha stands at its lower bound and the error asks for less."""


class Laws(NamedTuple):
    """The constants of the laws of all heads, each ``[H]``."""

    gain_proportional: Tensor
    gain_integral: Tensor
    """What ``log_alpha`` rises by per unit of error, but for heads under Adam."""
    bounds: Bounds[Tensor]
    adam: "Adam | None"
    """``None`` where no head is under Adam."""


def laws_of(specs: Sequence[HeadSpec], device: torch.device) -> Laws:
    """Returns the constants of these heads. A head whose alpha is prescribed has neither gains nor limits."""

    def vector(values: Iterable[float]) -> Tensor:
        return torch.tensor(list(values), dtype=torch.float32, device=device)

    unbounded = Bounds(0.0, math.inf, -math.inf, math.inf, 0.0)
    bounds = [
        unbounded
        if spec.target is None
        else Bounds(spec.alpha_min, spec.alpha_max, spec.log_alpha_min, math.log(spec.alpha_max), 0.0)
        for spec in specs
    ]
    rates = {spec.name: spec.learning_rate for spec in specs if spec.law == "dual"}
    adam = [rates.get(spec.name, 0.0) * (spec.optimizer == "adam") for spec in specs]
    sgd = [rates.get(spec.name, 0.0) * (spec.optimizer == "sgd") for spec in specs]
    return Laws(
        gain_proportional=vector(spec.gain_proportional * (spec.law == "pi") for spec in specs),
        gain_integral=vector(
            spec.gain_integral if spec.law == "pi" else rate for spec, rate in zip(specs, sgd, strict=True)
        ),
        bounds=Bounds(*(vector(column) for column in zip(*bounds, strict=True))),
        adam=Adam(vector(adam)) if any(adam) else None,
    )


def proportional_integral(
    log_alpha: Tensor, risen: Tensor, error: Tensor, gain_proportional: Tensor, bounds: Bounds[Tensor]
) -> LawStep:
    """Dual ascent on ``log_alpha`` with a proportional term that damps it, bounded, with anti-windup.

    ``log_alpha`` is the multiplier of the constraint ``H >= target`` in log space; raising it by the error is dual
    ascent (Boyd & Vandenberghe 2004, section 5.2; Haarnoja et al. 2018b, eq. 18, without Adam). The proportional term
    is the penalty of the augmented Lagrangian: it acts at once, damps the swing of an integrator in a loop with an
    integrator (a Gaussian head is one), and vanishes where the error does, so that at rest ``alpha = exp(log_alpha)``.
    Integration stops while alpha stands at a bound and the error presses it further (conditional anti-windup).

    Args:
        log_alpha: The learned temperatures ``[H]``.
        risen: What they become where nothing holds them, ``log_alpha + K_I * error`` ``[H]``.
        error: ``target - fraction``, positive where a head shall become more random ``[H]``. Zero leaves a head alone.
        gain_proportional: K_P, alpha per unit of error ``[H]``.
        bounds: Limits of alpha and of log_alpha.

    Returns:
        The next temperatures, and where they stand at a bound.
    """
    wanted = torch.addcmul(log_alpha.exp(), gain_proportional, error)
    # Of truths ``a < b`` is "b and not a". Kinds of operations are what costs time here, not their number: the first of
    # a kind after a matrix product takes five times as long as the next.
    at_upper = (wanted < bounds.alpha_max) < (bounds.zero < error)
    at_lower = (bounds.alpha_min < wanted) < (error < bounds.zero)
    bounded = torch.clamp(risen, bounds.log_alpha_min, bounds.log_alpha_max)
    following = torch.where(at_upper, log_alpha, torch.where(at_lower, log_alpha, bounded))
    damped = torch.addcmul(following.exp(), gain_proportional, error)
    return LawStep(following, torch.clamp(damped, bounds.alpha_min, bounds.alpha_max), at_upper, at_lower)


class Adam:
    """Adam on ``log_alpha`` (Kingma & Ba 2015, algorithm 1): the rule that SAC made popular, for all heads at once.

    The gradient is that of the dual loss ``log_alpha * (H - target)`` (Haarnoja et al. 2018b, eq. 18) in fractions of
    each head's range. Adam divides it by its own size, so a step is about the learning rate whatever the error is. A
    head that was not measured keeps its moments and its count.
    """

    BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8

    def __init__(self, learning_rate: Tensor) -> None:
        """Creates moments of zero.

        Args:
            learning_rate: Step sizes ``[H]``; 0 for heads of other laws.
        """
        self._learning_rate = learning_rate
        self._zero = torch.zeros_like(learning_rate)
        self._log_betas = torch.tensor([[self.BETA1], [self.BETA2]], device=learning_rate.device).log()
        self.mean, self.square, self.count = (torch.zeros_like(learning_rate) for _ in range(3))

    def step(self, error: Tensor, measured: Tensor) -> Tensor:
        """Returns what to add to ``log_alpha`` ``[H]``.

        Args:
            error: ``target - fraction`` ``[H]``; the gradient is its negative, and the step goes along it.
            measured: bool ``[H]``.
        """
        self.mean = torch.where(measured, torch.lerp(error, self.mean, self.BETA1), self.mean)
        self.square = torch.where(measured, torch.lerp(error * error, self.square, self.BETA2), self.square)
        self.count = self.count + measured
        # 1 - beta^count, the bias of moments that began at zero.
        mean_bias, square_bias = torch.expm1(self.count * self._log_betas).neg()
        step = self._learning_rate * self.mean / mean_bias / ((self.square / square_bias).sqrt() + self.EPSILON)
        return torch.where(measured, step, self._zero)

    def state_dict(self) -> dict[str, Tensor]:
        """Returns copies of moments and counts."""
        return {name: getattr(self, name).clone() for name in ("mean", "square", "count")}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Takes over moments and counts of the same heads."""
        for name in ("mean", "square", "count"):
            setattr(self, name, state[name].to(self._learning_rate.device).clone())
