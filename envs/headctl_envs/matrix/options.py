"""Options of a matrix game and their checks. Imports the standard library only: a configuration is checked at once.

Shapes: M choices of the first seat, N of the second, K = max(M, N).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Self

Rows = tuple[tuple[float, ...], ...]

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
class MatrixOptions:
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
    def from_mapping(cls, options: Mapping[str, Any]) -> Self:
        """Builds the configuration from plain options, for example a section of a YAML file.

        Raises:
            MatrixOptionError: An option that is unknown, or a value that is not allowed.
        """
        for name in options:
            if name not in _OPTIONS:
                raise MatrixOptionError(_unknown("option of the matrix game", name, _OPTIONS))
        return cls(**options)

    @property
    def rows(self) -> Rows:
        """What the first seat gets ``[M][N]``."""
        return GAMES[self.game] if self.payoff is None else _checked_payoff(self.payoff)

    @property
    def choices(self) -> int:
        """Choices K of the action space, which both seats share."""
        return max(len(self.rows), len(self.rows[0]))

    @property
    def masked(self) -> bool:
        """Whether one seat has fewer choices than the other."""
        return len(self.rows) != len(self.rows[0])


def heads(config: MatrixOptions) -> dict[str, tuple[str, int]]:
    """Returns head name to ``("categorical", number of choices)``."""
    return {HEAD: ("categorical", config.choices)}


def _checked_payoff(payoff: object) -> Rows:
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
    return tuple(tuple(row) for row in rows)


def _unknown(what: str, name: object, known: Mapping[str, Any] | Sequence[str]) -> str:
    close = get_close_matches(str(name), list(known), n=1)
    meant = f" Did you mean {close[0]!r}?" if close else ""
    return f"unknown {what}: {name!r}.{meant} Allowed: {', '.join(known)}"
