"""The work that every trainer of a comparison gets, and what it says of having done it.

Shapes: N games, A seats, T steps, R = N * A rows (agents that learn), P outputs of the network for the action.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

BATCHED = "batched"
PETTINGZOO = "pettingzoo"
ROUTES = (BATCHED, PETTINGZOO)
"""The two ways to the game: a whole batch in one call, or environment by environment through PettingZoo."""


class PeerMissingError(Exception):
    """A trainer that cannot run here; says why."""


class UnequalWorkError(ValueError):
    """Sizes with which the trainers could not do the same work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is trained, and how much of it; the same for all.

    Attributes:
        game: Name of the game for the batched route, as ``game.name`` of a configuration takes it.
        face: ``package.module:function`` that makes the same game as a PettingZoo ``ParallelEnv``.
        options: Options of the game, both routes.
        discrete: More options of the face, for the trainers that have no policy for a Dict of heads: the same game with
            one MultiDiscrete action and a Box observation.
        bins: Values that every dimension of a Box takes when those trainers play the batched game.
        games: N.
        steps: T.
        epochs: Passes over a rollout.
        minibatch: Rows per gradient step.
        hidden: Widths of the trunk that policy and value share, tanh.
        gamma: Discount.
        gae_lambda: Lambda of generalised advantage estimation.
        clip: Half width of the ratio's interval.
        learning_rate: Adam's step size, constant.
        value_coef: Weight of the value loss.
        entropy_coef: Weight of the entropy bonus, for those who have only one.
        max_grad_norm: Largest norm of the gradient.
        workers: Processes beside the trainer's own that step headctl's PettingZoo environments.
        threads: Threads that headctl shares the rows of a minibatch among, and that torch may use for the others.
        seed: Seed of everybody's random streams.
    """

    game: str = "dogfight"
    face: str = "headctl_envs.dogfight_v0:parallel_env"
    options: Mapping[str, Any] = field(default_factory=lambda: {"missiles": 0, "flares": 0})
    discrete: Mapping[str, Any] = field(
        default_factory=lambda: {"action_layout": "multidiscrete", "params_bins": 3, "observe_masks": False}
    )
    bins: int = 3
    games: int = 64
    steps: int = 128
    epochs: int = 4
    minibatch: int = 4096
    hidden: tuple[int, ...] = (128, 128)
    gamma: float = 0.995
    gae_lambda: float = 0.95
    clip: float = 0.2
    learning_rate: float = 3e-4
    value_coef: float = 0.5
    entropy_coef: float = 0.01
    max_grad_norm: float = 0.5
    workers: int = 0
    threads: int = 1
    seed: int = 1

    def gradient_steps(self, rows: int) -> int:
        """Returns the gradient steps of one iteration with R ``rows``.

        Raises:
            UnequalWorkError: Rows that minibatches do not divide, or steps that a minibatch of whole sequences does
                not: somebody would drop samples or take smaller steps than the others.
        """
        batch = rows * self.steps
        if batch % self.minibatch or self.minibatch % self.steps:
            raise UnequalWorkError(
                f"ppo.minibatch_size: {self.minibatch} must divide the {batch} rows of a rollout and be a multiple of "
                f"its {self.steps} steps, so that every trainer takes the same gradient steps"
            )
        return self.epochs * batch // self.minibatch


@dataclass(frozen=True, slots=True)
class Account:
    """What a trainer has done since it was made, counted where it does it.

    Attributes:
        agent_steps: Decisions of learning agents that went into rollouts.
        gradient_steps: Steps of the optimiser.
        samples: Rows that went through those steps.
    """

    agent_steps: int
    gradient_steps: int
    samples: int

    def since(self, earlier: "Account") -> "Account":
        """Returns what was done since an earlier account."""
        return Account(
            self.agent_steps - earlier.agent_steps,
            self.gradient_steps - earlier.gradient_steps,
            self.samples - earlier.samples,
        )


class Contestant(Protocol):
    """A trainer at work.

    Attributes:
        outputs: Outputs P of its network for the action, for the count of floating-point operations.
        features: Inputs F of its network.
        rows: R.
    """

    outputs: int
    features: int
    rows: int

    def iterate(self) -> None:
        """Plays one rollout and learns from it."""
        ...

    def account(self) -> Account:
        """Returns what it has done so far."""
        ...

    def mean_reward(self) -> float:
        """Returns the mean reward per decision of the last rollout."""
        ...

    def close(self) -> None:
        """Ends its processes, if it has any."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """A trainer on one route.

    Attributes:
        name: For tables.
        route: One of :data:`ROUTES`.
        note: How it plays, in a few words.
        make: Makes it; raises :class:`PeerMissingError` where its library is missing.
        own: Whether it is headctl.
    """

    name: str
    route: str
    note: str
    make: Callable[[Work], Contestant]
    own: bool = False


class Tally:
    """Counts calls of an optimiser's ``step``, and the rows that a rollout took, for :class:`Account`."""

    def __init__(self, optimizer: Any, minibatch: int) -> None:
        """Begins to count.

        Args:
            optimizer: Its ``step`` is replaced on this one object.
            minibatch: Rows of every step.
        """
        self._minibatch = minibatch
        self.gradient_steps = 0
        self.agent_steps = 0
        step = optimizer.step

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.gradient_steps += 1
            return step(*args, **kwargs)

        optimizer.step = counted

    def account(self) -> Account:
        """Returns the counts."""
        return Account(self.agent_steps, self.gradient_steps, self.gradient_steps * self._minibatch)
