"""Who beat whom how often: counts of wins, draws and losses between named players. Free of torch.

Shapes: P players. Counts are float64, because the counts of a learner that changes may be decayed; those of frozen
players stay whole numbers.

A cell says how games *ended*. Rewards have no place here: shaping, penalties and bonuses would turn a lost game into a
won one.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headctl.messages import unknown_name
from headctl.selfplay.results import MOST_GAMES, MatchResult, wilson_interval

Matrix = NDArray[np.float64]
_FORMAT = 1


class PayoffError(ValueError):
    """Names, counts or a state that no payoff matrix can have."""


class PayoffMatrix:
    """Counts of wins and draws between P named players.

    The bookkeeping is antisymmetric by construction: a win of one side *is* the loss of the other, there is one number
    for both. Nobody plays himself: the diagonal is empty, and his rate against himself is one half.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        """Creates a matrix without games.

        Args:
            names: The players, in the order of rows and columns.

        Raises:
            PayoffError: A name twice, or an empty one.
        """
        self._names: list[str] = []
        self._wins: Matrix = np.zeros((0, 0))
        self._draws: Matrix = np.zeros((0, 0))
        for name in names:
            self.add(name)

    # Players --------------------------------------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """The players, in the order of rows and columns."""
        return tuple(self._names)

    def __len__(self) -> int:
        """Returns the number of players P."""
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        """Tells whether there is a player of that name."""
        return name in self._names

    def index(self, name: str) -> int:
        """Returns the row of a player.

        Raises:
            PayoffError: No such player.
        """
        try:
            return self._names.index(name)
        except ValueError:
            if not self._names:
                raise PayoffError(f"unknown player: {name!r}; the league is empty") from None
            raise PayoffError(unknown_name("player", name, self._names)) from None

    def add(self, name: str) -> None:
        """Adds a player without games, as the last one.

        Raises:
            PayoffError: A name that is there already, or an empty one.
        """
        if not name:
            raise PayoffError("a player needs a name")
        if name in self._names:
            raise PayoffError(f"there is a player {name!r} already: names must differ")
        self._names.append(name)
        self._wins = np.pad(self._wins, ((0, 1), (0, 1)))
        self._draws = np.pad(self._draws, ((0, 1), (0, 1)))

    def remove(self, name: str) -> None:
        """Removes a player and the games that he played.

        Raises:
            PayoffError: No such player.
        """
        index = self.index(name)
        del self._names[index]
        self._wins = np.delete(np.delete(self._wins, index, 0), index, 1)
        self._draws = np.delete(np.delete(self._draws, index, 0), index, 1)

    # Games ----------------------------------------------------------------------------------------------------------

    def record(self, first: str, second: str, result: MatchResult) -> None:
        """Adds games between two players.

        Args:
            first: Whose side the result takes.
            second: Her opponent.
            result: Wins, losses and draws by outcome.

        Raises:
            PayoffError: An unknown player, one against himself, or counts below 0.
        """
        row, column = self.index(first), self.index(second)
        if row == column:
            raise PayoffError(f"{first!r} cannot play himself: it would say nothing about who is better")
        if min(result.wins, result.losses, result.draws) < 0:
            raise PayoffError(f"counts of games must not be negative, got {result}")
        self._wins[row, column] += result.wins
        self._wins[column, row] += result.losses
        self._draws[row, column] += result.draws
        self._draws[column, row] += result.draws

    def decay(self, name: str, keep: float) -> None:
        """Makes all the games of one player count less: for a learner who is not who she was.

        Args:
            name: The player.
            keep: Share of the counts that is kept, in [0, 1].

        Raises:
            PayoffError: No such player, or a share outside [0, 1].
        """
        if not 0.0 <= keep <= 1.0:
            raise PayoffError(f"keep: must be in [0, 1], got {keep:g}")
        index = self.index(name)
        for counts in (self._wins, self._draws):
            counts[index, :] *= keep
            counts[:, index] *= keep

    def result(self, first: str, second: str) -> MatchResult:
        """Returns the games between two players from the first one's side; decayed counts are rounded."""
        row, column = self.index(first), self.index(second)
        counts = (self._wins[row, column], self._wins[column, row], self._draws[row, column])
        return MatchResult(*(round(float(count)) for count in counts))

    def total(self, name: str) -> MatchResult:
        """Returns all the games of a player from his side; decayed counts are rounded."""
        row = self.index(name)
        counts = (self._wins[row].sum(), self._wins[:, row].sum(), self._draws[row].sum())
        return MatchResult(*(round(float(count)) for count in counts))

    # Matrices -------------------------------------------------------------------------------------------------------

    @property
    def wins(self) -> Matrix:
        """Games that the row won against the column ``[P, P]``; the transpose are the losses. A copy."""
        return self._wins.copy()

    @property
    def draws(self) -> Matrix:
        """Games that ended in a draw ``[P, P]``, symmetric. A copy."""
        return self._draws.copy()

    @property
    def games(self) -> Matrix:
        """Games between row and column ``[P, P]``, symmetric."""
        return self._wins + self._wins.T + self._draws

    @property
    def has_games(self) -> bool:
        """Whether anybody has played."""
        return bool(self.games.any())

    @property
    def points(self) -> Matrix:
        """What the row got from its games against the column ``[P, P]``: a win is 1, a draw one half."""
        return self._wins + 0.5 * self._draws

    def rates(self, prior: float = 1.0) -> Matrix:
        """Returns the smoothed score of the row against the column.

        The mean of a Beta posterior, ``(points + prior) / (games + 2 prior)``: with the default Laplace's rule
        ``(w + 1) / (n + 2)`` where there are no draws. Always strictly between 0 and 1, one half without games, and
        ``rates + rates.T = 1``.

        Args:
            prior: Imaginary wins *and* losses in every cell, greater than 0.

        Returns:
            ``[P, P]``, one half on the diagonal.

        Raises:
            PayoffError: A prior that is not a positive number.
        """
        _check_prior(prior)
        rates = (self.points + prior) / (self.games + 2.0 * prior)
        np.fill_diagonal(rates, 0.5)
        return rates

    def payoffs(self, prior: float = 1.0) -> Matrix:
        """Returns the antisymmetric matrix ``2 rates - 1`` of a zero-sum game ``[P, P]``, in [-1, 1]."""
        rates = self.rates(prior)
        return rates - rates.T  # not 2 rates - 1, which rounding would leave not quite antisymmetric

    def rates_against(self, name: str, opponents: Sequence[str], prior: float = 1.0) -> Matrix:
        """Returns the smoothed score of one player against others ``[len(opponents)]``; see :meth:`rates`.

        Raises:
            PayoffError: An unknown player, or a prior that is not a positive number.
        """
        row = self.index(name)
        columns = [self.index(opponent) for opponent in opponents]
        return self.rates(prior)[row, columns]

    def interval(self, first: str, second: str) -> tuple[float, float]:
        """Returns the 95 % Wilson interval of the first player's score; a draw is half a win.

        With draws it is wider than it need be: half a point is less uncertain than a coin toss. (0, 1) without games.
        """
        row, column = self.index(first), self.index(second)
        if row == column:
            return 0.5, 0.5
        return wilson_interval(float(self.points[row, column]), float(self.games[row, column]))

    def uncertainty(self, prior: float = 1.0) -> Matrix:
        """Returns the standard deviation of the Beta posterior of every rate ``[P, P]``; 0 on the diagonal.

        ``sqrt(a b / ((a + b)^2 (a + b + 1)))`` with ``a = points + prior`` and ``b`` that of the other side: it falls
        with the number of games, and is larger where a pair is even than where it is decided.

        Raises:
            PayoffError: A prior that is not a positive number.
        """
        _check_prior(prior)
        ours = self.points + prior
        both = ours + ours.T
        deviation = np.sqrt(ours * ours.T / (both * both * (both + 1.0)))
        np.fill_diagonal(deviation, 0.0)
        return deviation

    def most_uncertain(
        self, count: int, *, among: Sequence[str] | None = None, prior: float = 1.0
    ) -> list[tuple[str, str]]:
        """Returns the pairs that a few more games would teach most about, the least known first.

        Args:
            count: Largest number of pairs.
            among: Players to look at; ``None``: all.
            prior: As in :meth:`rates`.

        Returns:
            Pairs of different players; each pair once. Ties go to the pair with fewer games, then to the older players.
        """
        rows = list(range(len(self))) if among is None else sorted({self.index(name) for name in among})
        deviation, games = self.uncertainty(prior), self.games
        pairs = [(row, column) for place, row in enumerate(rows) for column in rows[place + 1 :]]
        # Rounded: cells that mirror each other are equally uncertain up to the last digit, and then the order decides.
        pairs.sort(key=lambda pair: (-round(float(deviation[pair]), 12), float(games[pair]), pair))
        return [(self._names[row], self._names[column]) for row, column in pairs[: max(count, 0)]]

    # State ----------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Returns everything as plain data (JSON can hold it)."""
        return {
            "format": _FORMAT,
            "names": list(self._names),
            "wins": self._wins.tolist(),
            "draws": self._draws.tolist(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over a state; nothing changes if it is refused.

        Raises:
            PayoffError: Something that :meth:`state_dict` did not make: another format, counts below 0 or not finite,
                draws that are not symmetric, games of somebody against himself.
        """
        if state.get("format") != _FORMAT:
            raise PayoffError(f"payoff.format: expected {_FORMAT}, got {state.get('format')!r}")
        names = state.get("names")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise PayoffError("payoff.names: expected a list of names")
        fresh = PayoffMatrix(names)
        for key in ("wins", "draws"):
            counts = _counts(state.get(key), len(names), key)
            if key == "draws" and not np.array_equal(counts, counts.T):
                raise PayoffError("payoff.draws: a draw belongs to both players, the matrix must be symmetric")
            setattr(fresh, f"_{key}", counts)
        self._names, self._wins, self._draws = fresh._names, fresh._wins, fresh._draws


def _counts(value: object, size: int, key: str) -> Matrix:
    """Returns a matrix of counts from a state.

    Raises:
        PayoffError: It is none.
    """
    try:
        counts = np.asarray(value, np.float64).reshape(size, size)
    except (TypeError, ValueError):
        raise PayoffError(f"payoff.{key}: expected {size} rows of {size} numbers") from None
    if not ((counts >= 0) & (counts <= MOST_GAMES)).all() or np.diagonal(counts).any():
        raise PayoffError(
            f"payoff.{key}: counts must be finite, not negative, at most {MOST_GAMES:g}, and 0 on the diagonal"
        )
    return counts.copy()


def _check_prior(prior: float) -> None:
    if not (math.isfinite(prior) and prior > 0.0):
        raise PayoffError(f"prior: must be a positive number, or a rate may be 0/0; got {prior!r}")
