"""One action head each: how its outputs of the network become actions, log-probabilities and entropies.

Shapes: B samples (any leading shape), K choices, D dims, P outputs of the network for the head. Entropies and
capacities are in nats. Everything is computed in float32, whatever the dtype of the network's outputs.
"""

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from headctl.entropy.spec import HeadSpec
from headctl.entropy.targets import GAUSSIAN_ENTROPY

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
_GAUSSIAN_LOG_STD_INIT = -0.5


class HeadEvaluation(NamedTuple):
    """What a head says of actions, each ``[B]`` float32."""

    log_prob: Tensor
    """Log-probability (density) of the action, in nats; differentiable."""
    entropy: Tensor
    """Entropy of the distribution, in nats; differentiable."""
    capacity: Tensor
    """The entropy that the head could reach in this state."""
    choice: Tensor
    """1 where the head had more than one legal action, else 0."""


class Head(ABC):
    """A named part of the action.

    Attributes:
        name: Key of the action space.
        num_params: Outputs of the network that the head needs, P.
        action_shape: Shape of one action.
        action_dtype: dtype of actions.
    """

    name: str
    num_params: int
    action_shape: tuple[int, ...]
    action_dtype: torch.dtype

    @abstractmethod
    def sample(self, params: Tensor, mask: Tensor | None, generator: torch.Generator | None) -> Tensor:
        """Draws actions.

        Args:
            params: Outputs of the network ``[B, P]``.
            mask: bool ``[B, K]``, true where legal; ``None`` where everything is.
            generator: Random stream; ``None`` is torch's global one.

        Returns:
            Actions ``[B, *action_shape]``.
        """

    @abstractmethod
    def mode(self, params: Tensor, mask: Tensor | None) -> Tensor:
        """Returns the most likely actions; arguments and result as in :meth:`sample`."""

    @abstractmethod
    def evaluate(self, params: Tensor, action: Tensor, mask: Tensor | None) -> HeadEvaluation:
        """Returns log-probabilities of ``action`` and the entropies of the distributions.

        Args:
            params: Outputs of the network ``[B, P]``.
            action: Actions ``[B, *action_shape]``.
            mask: bool ``[B, K]``, true where legal; ``None`` where everything is.
        """

    def initial_bias(self) -> Tensor:
        """Returns the bias ``[P]`` of the head's output layer at the start of training."""
        return torch.zeros(self.num_params)


class CategoricalHead(Head):
    """A discrete choice among K, of which a mask may leave any number legal.

    Illegal choices get probability exactly 0 and no gradient. In a row without any legal choice the draw is uniform;
    since nothing that the head does there can matter (a seat that waits for its turn), the row has no choice and no
    gradient.
    """

    def __init__(self, name: str, choices: int) -> None:
        """Creates the head.

        Args:
            name: Key of the action space.
            choices: Number of choices K.
        """
        self.name = name
        self.num_params = choices
        self.action_shape = ()
        self.action_dtype = torch.int64

    def _log_probs(self, params: Tensor, mask: Tensor | None) -> Tensor:
        logits = params.float()
        if mask is not None:
            # A finite stand-in for minus infinity: 0 * log 0 stays 0, also in the gradient.
            logits = torch.where(mask, logits, torch.finfo(logits.dtype).min)
        return torch.log_softmax(logits, dim=-1)

    def sample(self, params: Tensor, mask: Tensor | None, generator: torch.Generator | None) -> Tensor:
        """Draws by the exponential race: the choice with the smallest Exp(1) / p wins with probability p."""
        probs = self._log_probs(params, mask).exp()
        race = torch.empty_like(probs).exponential_(generator=generator)
        return (probs / race).argmax(dim=-1)

    def mode(self, params: Tensor, mask: Tensor | None) -> Tensor:
        """Returns the most likely legal choice; the first one where nothing is legal."""
        return self._log_probs(params, mask).argmax(dim=-1)

    def evaluate(self, params: Tensor, action: Tensor, mask: Tensor | None) -> HeadEvaluation:
        """Returns ``log p(a)``, ``-sum p log p`` over the legal choices, and ``log n`` with n legal choices.

        Where nothing is legal: ``-log K``, ``log K`` and ``log K``, and no choice.
        """
        log_probs = self._log_probs(params, mask)
        log_prob = log_probs.gather(-1, action.unsqueeze(-1)).squeeze(-1)
        terms = log_probs.exp() * log_probs
        legal = torch.full_like(log_prob, self.num_params) if mask is None else mask.sum(-1).to(log_prob.dtype)
        capacity = torch.where(legal > 0, legal, self.num_params).log()
        return HeadEvaluation(log_prob, -terms.sum(-1), capacity, (legal > 1).to(log_prob.dtype))


class GaussianHead(Head):
    """D independent Gaussians in normalised action units, their scales a bounded function of the state.

    ``log_std = min + (max - min) * sigmoid(raw)``: a smooth map, because outside a hard clamp the gradient is zero and
    no temperature would bring the head back.
    """

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
        self.action_dtype = torch.float32
        self.log_std_min = log_std_min
        self.log_std_max = log_std_max
        self._capacity = dims * (GAUSSIAN_ENTROPY + min(0.0, log_std_max))

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
        scaled = (action - mean) * torch.exp(-log_std)
        log_prob = (-0.5 * scaled.square() - log_std - _LOG_SQRT_2PI).sum(-1)
        entropy = (log_std + GAUSSIAN_ENTROPY).sum(-1)
        one = torch.ones_like(log_prob)
        return HeadEvaluation(log_prob, entropy, self._capacity * one, one)

    def initial_bias(self) -> Tensor:
        """Returns a bias that starts the scales at exp(-0.5), or in the middle of bounds that exclude it."""
        low, high = self.log_std_min, self.log_std_max
        share = (_GAUSSIAN_LOG_STD_INIT - low) / (high - low)
        if not 0.05 <= share <= 0.95:
            share = 0.5
        dims = self.num_params // 2
        return torch.cat((torch.zeros(dims), torch.full((dims,), math.log(share / (1.0 - share)))))


def make_head(spec: HeadSpec) -> Head:
    """Returns the head that a complete description asks for.

    Raises:
        ValueError: A categorical head without its number of choices.
    """
    if spec.kind == "gaussian":
        return GaussianHead(spec.name, spec.dims, spec.log_std_min, spec.log_std_max)
    if spec.choices is None:
        raise ValueError(f"heads.{spec.name}.choices: needed to build the head, and not given")
    return CategoricalHead(spec.name, spec.choices)
