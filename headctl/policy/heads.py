"""Every kind of action head, and the head that a description asks for.

The kinds themselves are in :mod:`headctl.policy.discrete` and :mod:`headctl.policy.continuous`.
"""

from headctl.entropy.spec import HeadSpec
from headctl.policy.base import Head, HeadEvaluation
from headctl.policy.continuous import BetaHead, GaussianHead, TanhGaussianHead
from headctl.policy.discrete import BernoulliHead, CategoricalHead, DiscreteHead, MultiDiscreteHead

__all__ = [
    "BernoulliHead",
    "BetaHead",
    "CategoricalHead",
    "DiscreteHead",
    "GaussianHead",
    "Head",
    "HeadEvaluation",
    "MultiDiscreteHead",
    "TanhGaussianHead",
    "make_head",
]


def make_head(spec: HeadSpec) -> Head:
    """Returns the head that a complete description asks for.

    Raises:
        ValueError: A categorical or multidiscrete head without its number of choices.
    """
    match spec.kind:
        case "gaussian":
            return GaussianHead(spec.name, spec.dims, spec.log_std_min, spec.log_std_max)
        case "tanh_gaussian":
            return TanhGaussianHead(spec.name, spec.dims, spec.log_std_min, spec.log_std_max)
        case "beta":
            return BetaHead(spec.name, spec.dims, spec.concentration_max)
        case "bernoulli":
            return BernoulliHead(spec.name, spec.dims, spec.probability_floor)
    if spec.choices is None:
        raise ValueError(f"heads.{spec.name}.choices: needed to build the head, and not given")
    if isinstance(spec.choices, tuple):
        return MultiDiscreteHead(spec.name, spec.choices, spec.probability_floor)
    return CategoricalHead(spec.name, spec.choices, spec.probability_floor)
