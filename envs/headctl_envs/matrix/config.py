"""Options of a matrix game, what its seats see, and its answers. numpy alone: loads neither torch nor gymnasium.

Shapes: M choices of the first seat, N of the second, K = max(M, N), R rounds, F features.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headctl_envs.matrix.solution import Matrix, solve_zero_sum

HEAD = "choice"
AGENTS = ("row_0", "column_0")
PILOTS = ("random", "nash")
"""Scripted opponents: uniform over the legal choices, and the equilibrium of one round."""

GAMES: dict[str, tuple[tuple[float, ...], ...]] = {
    # The stakes differ: rock takes three times as much of scissors. Equilibrium (1, 3, 1) / 5, entropy 0.950 nats.
    "biased_rps": ((0.0, -1 / 3, 1.0), (1 / 3, 0.0, -1 / 3), (-1.0, 1 / 3, 0.0)),
    "rps": ((0.0, -1.0, 1.0), (1.0, 0.0, -1.0), (-1.0, 1.0, 0.0)),
    # The first seat wants both coins to show the same side, the second does not.
    "matching_pennies": ((1.0, -1.0), (-1.0, 1.0)),
}
_CHOICES_MAX = 32
_ROUNDS_MAX = 32
_OPTIONS = ("game", "payoff", "rounds")


class MatrixOptionError(ValueError):
    """An option of the matrix game is unknown or has a value that is not allowed. One line, names the option."""


@dataclass(frozen=True)
class MatrixConfig:
    """A zero-sum matrix game, played once or several times in a row.

    Attributes:
        game: ``biased_rps``, ``rps`` or ``matching_pennies``; without effect where ``payoff`` is given.
        payoff: What the first seat gets, and the second pays: one row per choice of the first seat ``[M][N]``.
        rounds: Rounds of an episode; whoever has more in the end wins. From the second round on the seats see what both
            chose in the round before.

    Raises:
        MatrixOptionError: A value that is not allowed.
    """

    game: str = "biased_rps"
    payoff: Sequence[Sequence[float]] | None = None
    rounds: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.game, str) or self.game not in GAMES:
            raise MatrixOptionError(_unknown("value of game", self.game, GAMES))
        rounds = self.rounds
        if isinstance(rounds, float) and rounds.is_integer():
            rounds = int(rounds)
        if isinstance(rounds, bool) or not isinstance(rounds, int) or not 1 <= rounds <= _ROUNDS_MAX:
            raise MatrixOptionError(f"rounds = {self.rounds!r} must be a whole number from 1 to {_ROUNDS_MAX}")
        object.__setattr__(self, "rounds", rounds)
        if self.payoff is not None:
            _checked_payoff(self.payoff)

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any]) -> "MatrixConfig":
        """Builds the configuration from plain options, for example a section of a YAML file.

        Raises:
            MatrixOptionError: An option that is unknown, or a value that is not allowed.
        """
        for name in options:
            if name not in _OPTIONS:
                raise MatrixOptionError(_unknown("option of the matrix game", name, _OPTIONS))
        return cls(**options)

    @cached_property
    def matrix(self) -> Matrix:
        """What the first seat gets ``[M, N]``."""
        return _checked_payoff(GAMES[self.game] if self.payoff is None else self.payoff)

    @property
    def choices(self) -> int:
        """Choices K of the action space, which both seats share."""
        return max(self.matrix.shape)

    @property
    def masked(self) -> bool:
        """Whether one seat has fewer choices than the other."""
        return self.matrix.shape[0] != self.matrix.shape[1]

    @property
    def symmetric(self) -> bool:
        """Whether both seats play the same game: ``A = -A^T``. They then see no difference between the seats."""
        return not self.masked and np.allclose(self.matrix, -self.matrix.T)

    @cached_property
    def legal(self) -> NDArray[np.bool_]:
        """Legal choices of both seats ``[2, K]``."""
        return np.arange(self.choices) < np.array(self.matrix.shape)[:, None]

    @cached_property
    def features(self) -> NDArray[np.float32]:
        """All that a seat can ever see ``[2, R, K + 1, K + 1, F]``, by seat, round, own and the other's last choice.

        Index 0 of a choice is "none yet". The features are the seat (0 in a symmetric game, else 1 and -1), the share
        of rounds that is left and, where there are several rounds, both last choices one-hot.
        """
        memory = self.choices + 1 if self.rounds > 1 else 1
        size = 2 + (2 * self.choices if self.rounds > 1 else 0)
        table = np.zeros((2, self.rounds, memory, memory, size), np.float32)
        if not self.symmetric:
            table[0, ..., 0], table[1, ..., 0] = 1.0, -1.0
        table[..., 1] = (1.0 - np.arange(self.rounds) / self.rounds)[:, None, None]
        if self.rounds > 1:
            last = np.eye(memory, dtype=np.float32)[:, 1:]
            table[..., 2 : 2 + self.choices] = last[:, None, :]
            table[..., 2 + self.choices :] = last[None, :, :]
        return table

    @cached_property
    def equilibrium(self) -> tuple[Matrix, Matrix, float]:
        """Optimal mixtures of both seats ``[M]`` and ``[N]`` in one round, and its value for the first seat."""
        solved = solve_zero_sum(self.matrix)
        if solved is None:
            raise MatrixOptionError("payoff: its equilibrium cannot be computed; scale the numbers to about 1")
        return solved

    def exploitability(self, probabilities: NDArray[np.floating[Any]]) -> float:
        """Returns what best answers gain against a policy on average over both seats, per episode: NashConv / 2.

        Exact, by dynamic programming from the last round to the first. 0 for an equilibrium, never less. In a symmetric
        game of one round it is ``max(A p)``.

        Args:
            probabilities: What the policy does wherever it may be ``[2, R, K + 1, K + 1, K]``, see :attr:`features`.
        """
        return max(0.5 * (self._best(0, probabilities[1]) + self._best(1, probabilities[0])), 0.0)

    def _best(self, seat: int, theirs: NDArray[np.floating[Any]]) -> float:
        """Returns the most that a seat can get from the policy ``theirs`` ``[R, K + 1, K + 1, K]`` of the other."""
        payoff = self.matrix if seat == 0 else -self.matrix.T
        mine, others = payoff.shape
        later: Matrix = np.zeros((mine, others))
        for now in reversed(range(self.rounds)):
            gains = payoff + later  # by this round's choices of both
            # theirs is by *their* last choice first; values are wanted by mine first.
            values = np.einsum("bak,ik->abi", theirs[now, ..., :others], gains).max(-1)
            if now == 0:
                return float(values[0, 0])
            later = values[1 : mine + 1, 1 : others + 1]
        raise AssertionError("a game has a first round")


def heads(config: MatrixConfig) -> dict[str, tuple[str, int]]:
    """Returns head name to ``("categorical", number of choices)``."""
    return {HEAD: ("categorical", config.choices)}


def _checked_payoff(payoff: object) -> Matrix:
    wanted = f"a list of rows of numbers, 1 to {_CHOICES_MAX} of each, such as [[1, -1], [-1, 1]]"
    try:
        rows = [[float(entry) for entry in row] for row in payoff]  # pyright: ignore[reportGeneralTypeIssues] - checked
    except (TypeError, ValueError):
        raise MatrixOptionError(f"payoff = {payoff!r} must be {wanted}") from None
    if not 1 <= len(rows) <= _CHOICES_MAX or not 1 <= len(rows[0]) <= _CHOICES_MAX:
        raise MatrixOptionError(f"payoff: has {len(rows)} rows and must be {wanted}")
    for number, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise MatrixOptionError(f"payoff[{number}]: has {len(row)} entries, the first row has {len(rows[0])}")
        if not all(math.isfinite(entry) and abs(entry) <= 1e6 for entry in row):
            raise MatrixOptionError(f"payoff[{number}] = {row!r}: entries must be finite, at most a million")
    return np.array(rows, np.float64)


def _unknown(what: str, name: object, known: Mapping[str, Any] | Sequence[str]) -> str:
    close = get_close_matches(str(name), list(known), n=1)
    meant = f" Did you mean {close[0]!r}?" if close else ""
    return f"unknown {what}: {name!r}.{meant} Allowed: {', '.join(known)}"
