"""Continuous heads: D independent numbers in normalised action units, where [-1, 1] is the whole Box.

Shapes: B samples (any leading shape), D dims, Q nodes of the quadrature, P outputs of the network for the head.

* Gaussian: unbounded, the game clips; its entropy counts what is clipped away.
* tanh-Gaussian (Haarnoja et al. 2018a, appendix C): inside of the Box; most random at a standard deviation of 0.874.
* Beta (Chou, Maturana & Scherer 2017): inside of the Box, uniform where both concentrations are 1.

Scales and concentrations are smooth, bounded functions of the outputs: outside of a hard clamp the gradient is zero,
and no temperature would bring the head back.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import softplus

from headctl.entropy.targets import GAUSS_HERMITE, GAUSSIAN_ENTROPY, beta_range, gaussian_range, tanh_gaussian_range
from headctl.policy.base import Head, HeadEvaluation

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
_LOG_2 = math.log(2.0)
_LOG_STD_INIT = -0.5
_CONCENTRATION_INIT = 2.0
# Means before tanh stay within this: tanh(4) = 0.9993, and a draw of that head is still told apart from 1 in float32.
_TANH_MEAN_MAX = 4.0
# Actions stay this far from the edges, where a density has no finite logarithm.
_EDGE = 1e-6


class GaussianHead(Head):
    """D independent Gaussians, their scales a bounded function of the state.

    ``log_std = min + (max - min) * sigmoid(raw)``.
    """

    continuous = True
    action_dtype = torch.float32

    def __init__(self, name: str, dims: int, log_std_min: float, log_std_max: float) -> None:
        """Creates the head.

        Args:
            name: Key of the action space.
            dims: Number of dims D.
            log_std_min: Lower bound of the log standard deviations.
            log_std_max: Upper bound of the log standard deviations.
        """
        self.name = name
        self.num_params = 2 * dims
        self.action_shape = (dims,)
        self.log_std_min = log_std_min
        self.log_std_max = log_std_max
        self.capacity = self._range(dims)[1]

    def _range(self, dims: int) -> tuple[float, float]:
        return gaussian_range(dims, self.log_std_min, self.log_std_max)

    def distribution(self, params: Tensor) -> tuple[Tensor, Tensor]:
        """Returns means and log standard deviations, each ``[B, D]``."""
        mean, raw = params.float().chunk(2, dim=-1)
        return mean, self.log_std_min + (self.log_std_max - self.log_std_min) * torch.sigmoid(raw)

    def sample(self, params: Tensor, mask: Tensor | None, generator: torch.Generator | None) -> Tensor:  # noqa: ARG002 - nothing is masked
        """Draws ``mean + std * noise``; the game clips, the log-probability is that of the draw."""
        mean, log_std = self.distribution(params)
        noise = torch.empty_like(mean).normal_(generator=generator)
        return mean + log_std.exp() * noise

    def mode(self, params: Tensor, mask: Tensor | None) -> Tensor:  # noqa: ARG002 - nothing is masked
        """Returns the means."""
        return self.distribution(params)[0]

    def evaluate(self, params: Tensor, action: Tensor, mask: Tensor | None) -> HeadEvaluation:  # noqa: ARG002 - nothing is masked
        """Returns the log-density, and the differential entropy ``sum (0.5 log(2 pi e) + log_std)``."""
        mean, log_std = self.distribution(params)
        return self._told(_log_density(action, mean, log_std), log_std + GAUSSIAN_ENTROPY)

    def _told(self, log_density: Tensor, entropy: Tensor) -> HeadEvaluation:
        """Sums over the dims."""
        log_prob = log_density.sum(-1)
        one = torch.ones_like(log_prob)
        return HeadEvaluation(log_prob, entropy.sum(-1), self.capacity * one, one)

    def kl(self, params_p: Tensor, params_q: Tensor, mask: Tensor | None) -> Tensor:  # noqa: ARG002 - nothing is masked
        """Returns ``sum log(s_q / s_p) + (s_p^2 + (m_p - m_q)^2) / (2 s_q^2) - 1/2``."""
        (mean_p, log_p), (mean_q, log_q) = self.distribution(params_p), self.distribution(params_q)
        ratio = (2.0 * (log_p - log_q)).exp()
        distance = ((mean_p - mean_q) * torch.exp(-log_q)).square()
        return (log_q - log_p + 0.5 * (ratio + distance - 1.0)).sum(-1)

    def initial_bias(self) -> Tensor:
        """Returns a bias that starts the scales at exp(-0.5), or in the middle of bounds that exclude it."""
        dims = self.num_params // 2
        share = (_LOG_STD_INIT - self.log_std_min) / (self.log_std_max - self.log_std_min)
        return torch.cat((torch.zeros(dims), torch.full((dims,), _raw(share))))


class TanhGaussianHead(GaussianHead):
    """tanh of D independent Gaussians: actions inside of (-1, 1).

    The means before tanh are bounded smoothly by +-4. The entropy is that of the Gaussian plus the mean of
    ``log(1 - tanh(u)^2)``, by Gauss-Hermite quadrature with 16 nodes: deterministic and differentiable, with an error
    below 2e-5 nats per dim for log_std in [-5, 0]. It depends on the mean too, and is smaller near the edges.

    The log-density takes the action back through atanh, clamped to ``1 - 1e-6``; draws respect the same bound, so that
    what is drawn and what is evaluated are the same number. The divergence of two heads is that of their Gaussians: a
    one-to-one map leaves it alone.
    """

    def _range(self, dims: int) -> tuple[float, float]:
        return tanh_gaussian_range(dims, self.log_std_min, self.log_std_max)

    def distribution(self, params: Tensor) -> tuple[Tensor, Tensor]:
        """Returns means and log standard deviations before tanh, each ``[B, D]``."""
        raw, log_std = super().distribution(params)
        return _TANH_MEAN_MAX * torch.tanh(raw / _TANH_MEAN_MAX), log_std

    def sample(self, params: Tensor, mask: Tensor | None, generator: torch.Generator | None) -> Tensor:
        """Draws ``tanh(mean + std * noise)``."""
        return torch.tanh(super().sample(params, mask, generator)).clamp(_EDGE - 1.0, 1.0 - _EDGE)

    def mode(self, params: Tensor, mask: Tensor | None) -> Tensor:
        """Returns ``tanh(mean)``, the median of every dim; the density has its peak a little further out."""
        return torch.tanh(super().mode(params, mask))

    def evaluate(self, params: Tensor, action: Tensor, mask: Tensor | None) -> HeadEvaluation:  # noqa: ARG002 - nothing is masked
        """Returns the log-density and the differential entropy, both of the actions after tanh."""
        mean, log_std = self.distribution(params)
        before = torch.atanh(action.float().clamp(_EDGE - 1.0, 1.0 - _EDGE))
        nodes, weights = _quadrature(mean.device)
        spread = mean.unsqueeze(-1) + log_std.exp().unsqueeze(-1) * nodes
        shrinkage = (_log_tanh_slope(spread) * weights).sum(-1)
        log_density = _log_density(before, mean, log_std) - _log_tanh_slope(before)
        return self._told(log_density, log_std + GAUSSIAN_ENTROPY + shrinkage)


class BetaHead(Head):
    """D independent Beta distributions, stretched to [-1, 1].

    Concentrations ``max ** sigmoid(raw)`` lie between 1 and a bound: below 1 the density has two peaks at the edges and
    the entropy falls again. The logarithm of a concentration is what the network moves, because it is what the entropy
    follows. Densities are computed in float64: log-Gamma functions of large concentrations cancel each other.
    """

    continuous = True
    action_dtype = torch.float32

    def __init__(self, name: str, dims: int, concentration_max: float) -> None:
        """Creates the head.

        Args:
            name: Key of the action space.
            dims: Number of dims D.
            concentration_max: Upper bound of both concentrations, above 1.
        """
        self.name = name
        self.num_params = 2 * dims
        self.action_shape = (dims,)
        self._log_max = math.log(concentration_max)
        self.capacity = beta_range(dims, concentration_max)[1]

    def distribution(self, params: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the concentrations towards 1 and towards -1, each float64 ``[B, D]``."""
        upper, lower = torch.exp(self._log_max * torch.sigmoid(params.double())).chunk(2, dim=-1)
        return upper, lower

    def sample(self, params: Tensor, mask: Tensor | None, generator: torch.Generator | None) -> Tensor:  # noqa: ARG002 - nothing is masked
        """Draws ``x / (x + y)`` of two Gamma variables, stretched."""
        # torch.distributions draws from the global stream only; this is the sampler that it calls.
        draw = torch._standard_gamma  # noqa: SLF001  # pyright: ignore[reportPrivateImportUsage] - as above
        x, y = (draw(concentration, generator=generator) for concentration in self.distribution(params))
        return (2.0 * (x / (x + y)) - 1.0).clamp(_EDGE - 1.0, 1.0 - _EDGE).float()

    def mode(self, params: Tensor, mask: Tensor | None) -> Tensor:  # noqa: ARG002 - nothing is masked
        """Returns ``(a - 1) / (a + b - 2)``, stretched; the centre where the distribution is uniform."""
        upper, lower = self.distribution(params)
        total = upper + lower - 2.0
        return torch.where(total > 1e-9, (upper - lower) / total.clamp(min=1e-9), 0.0).float()

    def evaluate(self, params: Tensor, action: Tensor, mask: Tensor | None) -> HeadEvaluation:  # noqa: ARG002 - nothing is masked
        """Returns the log-density and the differential entropy, both on [-1, 1]."""
        upper, lower = self.distribution(params)
        share = (0.5 * (action.double() + 1.0)).clamp(0.5 * _EDGE, 1.0 - 0.5 * _EDGE)
        log_beta = _log_beta(upper, lower) + _LOG_2
        log_density = (upper - 1.0) * share.log() + (lower - 1.0) * torch.log1p(-share) - log_beta
        total = upper + lower
        pull = (upper - 1.0) * torch.digamma(upper) + (lower - 1.0) * torch.digamma(lower)
        entropy = log_beta - pull + (total - 2.0) * torch.digamma(total)
        log_prob = log_density.sum(-1).float()
        one = torch.ones_like(log_prob)
        return HeadEvaluation(log_prob, entropy.sum(-1).float(), self.capacity * one, one)

    def kl(self, params_p: Tensor, params_q: Tensor, mask: Tensor | None) -> Tensor:  # noqa: ARG002 - nothing is masked
        """Returns the closed form with log-Beta and digamma functions, summed over the dims."""
        (a, b), (c, d) = self.distribution(params_p), self.distribution(params_q)
        pull = (a - c) * torch.digamma(a) + (b - d) * torch.digamma(b) + (c - a + d - b) * torch.digamma(a + b)
        return (_log_beta(c, d) - _log_beta(a, b) + pull).sum(-1).float()

    def initial_bias(self) -> Tensor:
        """Returns a bias that starts the concentrations at 2, or in the middle of a range that is narrow or wide."""
        return torch.full((self.num_params,), _raw(math.log(_CONCENTRATION_INIT) / self._log_max))


def _raw(share: float) -> float:
    """Returns where the sigmoid has this value; 0 where the gradient there would be small."""
    return math.log(share / (1.0 - share)) if 0.05 <= share <= 0.95 else 0.0


def _log_density(value: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    scaled = (value - mean) * torch.exp(-log_std)
    return -0.5 * scaled.square() - log_std - _LOG_SQRT_2PI


def _log_tanh_slope(u: Tensor) -> Tensor:
    """Returns ``log(1 - tanh(u)^2)`` without overflow and cancellation."""
    return 2.0 * (_LOG_2 - u - softplus(-2.0 * u))


def _log_beta(a: Tensor, b: Tensor) -> Tensor:
    return torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)


@lru_cache(maxsize=8)
def _quadrature(device: torch.device) -> tuple[Tensor, Tensor]:
    """Returns nodes and weights of the mean over a standard Gaussian, each float32 ``[Q]``."""
    half = torch.tensor(GAUSS_HERMITE, dtype=torch.float64)
    nodes, weights = torch.cat((-half[:, 0], half[:, 0])), torch.cat((half[:, 1], half[:, 1]))
    return nodes.float().to(device), weights.float().to(device)
