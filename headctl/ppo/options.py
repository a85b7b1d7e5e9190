"""The knobs of the update."""

from dataclasses import dataclass

from headctl.ppo.rollout import DEFAULT_CUT, Cut


@dataclass(frozen=True, slots=True, kw_only=True)
class PPOOptions:
    """The knobs of the update (Schulman et al. 2017).

    Attributes:
        epochs: Passes over a rollout.
        minibatch_size: Largest number of rows per gradient step.
        gamma: Discount per step.
        gae_lambda: Weight of longer advantage estimates.
        clip_coef: Half width of the interval around 1 in which the ratio earns.
        value_coef: Weight of the value loss.
        learning_rate: Adam's step size at the start.
        learning_rate_schedule: ``constant``, or ``linear``: falls to a tenth at the end of training.
        max_grad_norm: The gradient of all parameters together is scaled down to this norm.
        rescue_coef: Weight of the pull towards the uniform choice on heads with ``rescue: true`` that have collapsed.
        target_kl: The update ends after the epoch whose mean KL divergence exceeds this; ``None``: never.
        cut: How rollouts of a policy with memory are cut into sequences.
    """

    epochs: int = 4
    minibatch_size: int = 4096
    gamma: float = 0.995
    gae_lambda: float = 0.95
    clip_coef: float = 0.2
    value_coef: float = 0.5
    learning_rate: float = 3e-4
    learning_rate_schedule: str = "linear"
    max_grad_norm: float = 0.5
    rescue_coef: float = 0.1
    target_kl: float | None = 0.03
    cut: Cut = DEFAULT_CUT
