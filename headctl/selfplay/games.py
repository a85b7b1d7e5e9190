"""The game as the learner sees it: a batch of two-sided games on tensors, and the protocol that such a batch keeps.

Shapes: N games, A seats per game, F features of an observation, K choices, D dims. Tensors that a game returns are
buffers of the game: the next step overwrites them, and callers copy what they keep.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import torch
from gymnasium import spaces
from torch import Tensor

RUNNING, FIRST_WON, SECOND_WON, DRAW = range(4)
"""Codes of :attr:`GameStep.outcome`; ``first`` and ``second`` are sides 0 and 1."""


class Observations(NamedTuple):
    """What the seats see."""

    observation: Tensor
    """float32 ``[N, A, F]``."""
    masks: dict[str, Tensor]
    """bool ``[N, A, K]``, true where legal; heads that are never masked are absent."""


class GameStep(NamedTuple):
    """What one decision of every seat led to. Games that ended have already begun anew."""

    observation: Tensor
    """float32 ``[N, A, F]``, after the reset of games that ended."""
    masks: dict[str, Tensor]
    """bool ``[N, A, K]``; belong to ``observation``."""
    reward: Tensor
    """float32 ``[N, A]``."""
    terminated: Tensor
    """bool ``[N, A]``: the episode ended for good at this step."""
    truncated: Tensor
    """bool ``[N, A]``: the episode was cut, its rest has the value of ``final_observation``. Never both."""
    final_observation: Tensor
    """float32 ``[N, A, F]``: what was seen at the end of this step, before any reset."""
    alive: Tensor
    """bool ``[N, A]``: the seat was alive when it made this decision."""
    outcome: Tensor
    """int ``[N]``: :data:`RUNNING`, :data:`FIRST_WON`, :data:`SECOND_WON` or :data:`DRAW`. Never inferred from rewards
    where the game says it."""


class VectorGame(Protocol):
    """A batch of N independent two-sided games with A seats each.

    Attributes:
        num_games: N.
        num_seats: A.
        seat_sides: Side, 0 or 1, of every seat.
        observation_dim: F.
        action_space: Named heads.
        device: Where the tensors live.
        pilot_names: Scripted opponents that the game brings along.
    """

    num_games: int
    num_seats: int
    seat_sides: tuple[int, ...]
    observation_dim: int
    action_space: spaces.Dict
    device: torch.device
    pilot_names: tuple[str, ...]

    def reset(self, seed: int | None = None) -> Observations:
        """Begins every game anew; with a seed, every random stream too."""
        ...

    def step(self, actions: Mapping[str, Tensor]) -> GameStep:
        """Plays one decision of every seat: int64 ``[N, A]`` per discrete head, float32 ``[N, A, D]`` per Box."""
        ...

    def pilot_actions(self, name: str, seats: Tensor | None = None) -> dict[str, Tensor]:
        """Returns what a scripted opponent would do now, for every seat, in the form that :meth:`step` takes.

        Args:
            name: One of ``pilot_names``.
            seats: bool ``[N, A]``: whose actions are wanted, all if ``None``. Those of others may be anything.
        """
        ...

    def set_progress(self, progress: float) -> None:
        """Tells the game the share of training that is done, for rewards that decay."""
        ...

    def pop_statistics(self) -> dict[str, float]:
        """Returns the game's own means since the last call."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Returns the state as plain data."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> Observations | None:
        """Takes over a state of a game of the same options and size.

        Returns:
            What the seats see now; ``None`` where it is what they saw when the state was taken.
        """
        ...


def mask_sizes(observations: Observations) -> dict[str, int]:
    """Returns the number of choices K of every masked head."""
    return {name: mask.shape[-1] for name, mask in observations.masks.items()}


def seats_of_rows(game: VectorGame, rows: Tensor) -> Tensor:
    """Returns bool ``[N, A]``, true for the seats whose flat numbers ``n * A + a`` are ``rows``."""
    seats = torch.zeros(game.num_games * game.num_seats, dtype=torch.bool, device=game.device)
    seats[rows.flatten()] = True
    return seats.unflatten(0, (game.num_games, game.num_seats))
