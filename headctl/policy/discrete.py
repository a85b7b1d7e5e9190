"""Discrete heads: one choice, several choices at once, and bits.

Shapes: B samples (any leading shape), K choices, M parts, D bits, P outputs of the network for the head.

Every discrete head may have a *probability floor* eps: it then plays ``pi' = (1 - eps) pi + eps U`` with U uniform over
the legal choices, in draws, log-probabilities, entropies and modes alike, so that what is learned from is what was
played. ``KL(U || pi)``, which pulls a collapsed head back, is that of ``pi`` itself: its gradient ``p - U`` never
vanishes, while that of ``pi'`` does.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from headctl.policy.base import Head, HeadEvaluation

_LOG_ZERO = torch.finfo(torch.float32).min
"""A finite stand-in for the logarithm of 0: 0 * log 0 stays 0, also in the gradient."""
_LOG_NEGLIGIBLE = -1e4
"""The logarithm of a probability that float32 takes for 0."""


class DiscreteHead(Head):
    """A head with numbered choices.

    Attributes:
        mask_size: Entries of the head's mask.
        floor: Share of the uniform choice that is mixed in.
    """

    mask_size: int
    floor: float
    continuous = False
    action_dtype = torch.int64

    def divergence_from_uniform(self, params: Tensor, mask: Tensor | None) -> Tensor:
        """Returns ``KL(U || pi)``, U uniform over the legal choices, as a function of the head without its floor.

        ``-log n`` minus the mean of ``log pi`` over the n legal choices, summed over parts; 0 where there is no choice.

        Args:
            params: Outputs of the network ``[B, P]``.
            mask: bool ``[B, mask_size]``, true where legal; ``None`` where everything is.
        """
        raise NotImplementedError


class CategoricalHead(DiscreteHead):
    """A discrete choice among K, of which a mask may leave any number legal.

    Illegal choices get probability exactly 0 and no gradient. In a row without any legal choice the draw is uniform;
    since nothing that the head does there can matter (a seat that waits for its turn), the row has no choice and no
    gradient.
    """

    def __init__(self, name: str, choices: int, probability_floor: float = 0.0) -> None:
        """Creates the head.

        Args:
            name: Key of the action space.
            choices: Number of choices K.
            probability_floor: Share of the uniform choice, in [0, 1).
        """
        self.name = name
        self.num_params = self.mask_size = choices
        self.sizes = [choices]
        self.action_shape = ()
        self.floor = probability_floor

    def sample(self, params: Tensor, mask: Tensor | None, generator: torch.Generator | None) -> Tensor:
        """Draws by the exponential race: the choice with the smallest Exp(1) / p wins with probability p."""
        return _race(_log_probs(params, mask, self.floor), generator)

    def mode(self, params: Tensor, mask: Tensor | None) -> Tensor:
        """Returns the most likely legal choice; the first one where nothing is legal."""
        return _log_probs(params, mask, self.floor).argmax(dim=-1)

    def evaluate(self, params: Tensor, action: Tensor, mask: Tensor | None) -> HeadEvaluation:
        """Returns ``log p(a)``, ``-sum p log p`` over the legal choices, and ``log n`` with n legal choices.

        Where nothing is legal: ``-log K``, ``log K`` and ``log K``, and no choice.
        """
        return _evaluate(_log_probs(params, mask, self.floor), action, mask)

    def kl(self, params_p: Tensor, params_q: Tensor, mask: Tensor | None) -> Tensor:
        """Returns ``sum p log(p / q)`` over the legal choices."""
        return _kl(*(_log_probs(params, mask, self.floor) for params in (params_p, params_q)))

    def divergence_from_uniform(self, params: Tensor, mask: Tensor | None) -> Tensor:
        """Returns ``-log n - mean log pi`` over the n legal choices."""
        return _from_uniform(_log_probs(params, mask, 0.0), mask)


class MultiDiscreteHead(DiscreteHead):
    """Several independent choices as one head: the entropies add up, and one temperature holds their sum.

    Action: one number per part ``[B, M]``. Mask: the masks of the parts one after the other. A part without a legal
    choice counts neither in the entropy nor in the capacity.

    Attributes:
        sizes: Number of choices of every part, M numbers.
    """

    def __init__(self, name: str, sizes: Sequence[int], probability_floor: float = 0.0) -> None:
        """Creates the head.

        Args:
            name: Key of the action space.
            sizes: Number of choices of every part, M numbers.
            probability_floor: Share of the uniform choice in every part, in [0, 1).
        """
        self.name = name
        self.num_params = self.mask_size = sum(sizes)
        self.action_shape = (len(sizes),)
        self.sizes = list(sizes)
        self.floor = probability_floor

    def _split(self, mask: Tensor | None) -> Sequence[Tensor | None]:
        return [None] * len(self.sizes) if mask is None else mask.split(self.sizes, dim=-1)

    def _parts(self, params: Tensor, mask: Tensor | None, floor: float) -> list[Tensor]:
        """Returns the log-probabilities of every part."""
        pairs = zip(params.split(self.sizes, dim=-1), self._split(mask), strict=True)
        return [_log_probs(logits, legal, floor) for logits, legal in pairs]

    def sample(self, params: Tensor, mask: Tensor | None, generator: torch.Generator | None) -> Tensor:
        """Draws every part by itself."""
        return torch.stack([_race(part, generator) for part in self._parts(params, mask, self.floor)], dim=-1)

    def mode(self, params: Tensor, mask: Tensor | None) -> Tensor:
        """Returns the most likely legal choice of every part."""
        return torch.stack([part.argmax(dim=-1) for part in self._parts(params, mask, self.floor)], dim=-1)

    def evaluate(self, params: Tensor, action: Tensor, mask: Tensor | None) -> HeadEvaluation:
        """Returns the sums over the parts; a choice is where any part has one."""
        triples = zip(self._parts(params, mask, self.floor), action.unbind(dim=-1), self._split(mask), strict=True)
        parts = [_evaluate(*triple) for triple in triples]
        log_prob, entropy, capacity, choice = (torch.stack(column, dim=-1) for column in zip(*parts, strict=True))
        return HeadEvaluation(
            log_prob.sum(-1), (entropy * choice).sum(-1), (capacity * choice).sum(-1), choice.amax(-1)
        )

    def kl(self, params_p: Tensor, params_q: Tensor, mask: Tensor | None) -> Tensor:
        """Returns the sum of the divergences of the parts."""
        both = (self._parts(params, mask, self.floor) for params in (params_p, params_q))
        return torch.stack([_kl(p, q) for p, q in zip(*both, strict=True)], dim=-1).sum(-1)

    def divergence_from_uniform(self, params: Tensor, mask: Tensor | None) -> Tensor:
        """Returns the sum of the divergences of the parts."""
        pairs = zip(self._parts(params, mask, 0.0), self._split(mask), strict=True)
        return torch.stack([_from_uniform(part, legal) for part, legal in pairs], dim=-1).sum(-1)


class BernoulliHead(DiscreteHead):
    """D independent bits as one head: the entropies add up, and one temperature holds their sum.

    Action: 0 or 1 per bit ``[B, D]``. Mask ``[B, D]``: true where the bit may be set; elsewhere it is 0 for certain.
    """

    def __init__(self, name: str, dims: int, probability_floor: float = 0.0) -> None:
        """Creates the head.

        Args:
            name: Key of the action space.
            dims: Number of bits D.
            probability_floor: Share of the fair coin in every bit, in [0, 1).
        """
        self.name = name
        self.num_params = self.mask_size = dims
        self.action_shape = (dims,)
        self.floor = probability_floor

    def _log_probs(self, params: Tensor, mask: Tensor | None, floor: float) -> Tensor:
        """Returns the log-probabilities of 0 and 1 ``[B, D, 2]``."""
        logits = torch.stack((torch.zeros_like(params), params), dim=-1)
        return _log_probs(logits, self._both(mask), floor)

    @staticmethod
    def _both(mask: Tensor | None) -> Tensor | None:
        """Returns the mask of 0 and 1 ``[B, D, 2]``."""
        return None if mask is None else torch.stack((torch.ones_like(mask), mask), dim=-1)

    def sample(self, params: Tensor, mask: Tensor | None, generator: torch.Generator | None) -> Tensor:
        """Draws every bit by itself."""
        return _race(self._log_probs(params, mask, self.floor), generator)

    def mode(self, params: Tensor, mask: Tensor | None) -> Tensor:
        """Returns the more likely value of every bit, 0 where both are equal."""
        return self._log_probs(params, mask, self.floor).argmax(dim=-1)

    def evaluate(self, params: Tensor, action: Tensor, mask: Tensor | None) -> HeadEvaluation:
        """Returns the sums over the bits; a choice is where any bit may be set."""
        bits = _evaluate(self._log_probs(params, mask, self.floor), action, self._both(mask))
        return HeadEvaluation(bits.log_prob.sum(-1), bits.entropy.sum(-1), bits.capacity.sum(-1), bits.choice.amax(-1))

    def kl(self, params_p: Tensor, params_q: Tensor, mask: Tensor | None) -> Tensor:
        """Returns the sum of the divergences of the bits."""
        return _kl(*(self._log_probs(params, mask, self.floor) for params in (params_p, params_q))).sum(-1)

    def divergence_from_uniform(self, params: Tensor, mask: Tensor | None) -> Tensor:
        """Returns the sum of the divergences of the bits."""
        return _from_uniform(self._log_probs(params, mask, 0.0), self._both(mask)).sum(-1)


def _log_probs(params: Tensor, mask: Tensor | None, floor: float) -> Tensor:
    """Returns log-probabilities ``[..., K]``, mixed with the uniform choice; about -3.4e38 where illegal."""
    logits = params.float()
    if mask is not None:
        logits = torch.where(mask, logits, _LOG_ZERO)
    # Logits near the largest floats differ by more than a float can hold: the logarithm would be -inf, and 0 * inf.
    log_probs = torch.log_softmax(logits, dim=-1).clamp(min=_LOG_ZERO)
    if floor == 0.0:
        return log_probs
    if mask is None:
        uniform = torch.full_like(log_probs, 1.0 / log_probs.shape[-1])
        return torch.lerp(log_probs.exp(), uniform, floor).log()
    legal = mask | ~mask.any(dim=-1, keepdim=True)
    uniform = legal / legal.sum(dim=-1, keepdim=True)
    probs = torch.lerp(log_probs.exp(), uniform, floor)
    # Selected before and after the logarithm: the gradient of log 0 must not meet a 0.
    return torch.where(legal, torch.where(legal, probs, 1.0).log(), _LOG_ZERO)


def _race(log_probs: Tensor, generator: torch.Generator | None) -> Tensor:
    probs = log_probs.exp()
    race = torch.empty_like(probs).exponential_(generator=generator)
    return (probs / race).argmax(dim=-1)


def _evaluate(log_probs: Tensor, action: Tensor, mask: Tensor | None) -> HeadEvaluation:
    log_prob = log_probs.gather(-1, action.unsqueeze(-1)).squeeze(-1)
    # The stand-in for log 0 times a gradient above 1 would be infinite, and 0 * inf.
    terms = log_probs.exp() * log_probs.clamp(min=_LOG_NEGLIGIBLE)
    choices = log_probs.shape[-1]
    legal = torch.full_like(log_prob, choices) if mask is None else mask.sum(-1).to(log_prob.dtype)
    capacity = torch.where(legal > 0, legal, choices).log()
    return HeadEvaluation(log_prob, -terms.sum(-1), capacity, (legal > 1).to(log_prob.dtype))


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def _from_uniform(log_probs: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return -log_probs.mean(-1) - torch.full_like(log_probs[..., 0], log_probs.shape[-1]).log()
    count = mask.sum(-1).clamp(min=1)
    return -torch.where(mask, log_probs, 0.0).sum(-1) / count - count.log()
