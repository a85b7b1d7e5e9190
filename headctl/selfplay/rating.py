"""Ratings on the Elo scale: Bradley-Terry by maximum likelihood, and live Elo for the log. Free of torch.

Shapes: P players.

Bradley-Terry fits all games at once: it does not depend on their order and knows how sure it is. Elo walks from game to
game: shuffling the same games moves it by some 40 points. So Bradley-Terry is what tables show, and Elo a live line.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headctl.selfplay.payoff import Matrix, PayoffError, PayoffMatrix
from headctl.selfplay.results import MatchResult

ANCHOR_RATING = 1000.0
"""Rating of the anchor; of the mean of all players where there is no anchor."""
PRIOR_DRAWS = 1.0
"""Imaginary draws of every player, spread over those whom he met: they keep all wins finite. Two players are rated by
the rule of Laplace, ``(w + 1) / (n + 2)``."""
_PRIOR_DEVIATION = 4000.0
"""Standard deviation in Elo of a prior around 0 that decides only what no game connects. A tighter one would draw a
long ladder together: of 60 rungs of 200 points each, 400 leaves half."""
_PER_ELO = math.log(10.0) / 400.0  # nats of log-odds per Elo point
_Z_95 = 1.959963984540054


def expected_score(difference: float) -> float:
    """Returns the score that a lead of so many Elo points promises, ``1 / (1 + 10^(-difference / 400))``."""
    return 0.5 * (1.0 + math.tanh(0.5 * _PER_ELO * difference))


@dataclass(frozen=True, slots=True)
class Rating:
    """How strong a player is, and how sure that is.

    Attributes:
        name: The player.
        rating: On the Elo scale: 400 points more are odds of 10 to 1.
        low: Lower end of the 95 % interval of the lead over the anchor.
        high: Upper end.
        games: Games that he played.
        score: His share of the points, a draw being half of one; NaN without games.
        draw_rate: Share of draws among his games; NaN without games. Draws count as half a win on both sides, which
            draws the scale together: with many draws a lead in rating is worth more than it says.
    """

    name: str
    rating: float
    low: float
    high: float
    games: int
    score: float
    draw_rate: float

    @classmethod
    def from_plain(cls, state: Mapping[str, Any]) -> "Rating":
        """Returns what ``dataclasses.asdict`` made plain data of.

        Raises:
            TypeError: Something that is no name in the place of the name, or no whole number in that of the games.
            ValueError: Something else that is no rating, such as a name for a number.
        """
        name, games = state["name"], state["games"]
        if not isinstance(name, str) or not isinstance(games, int):
            raise TypeError(f"a rating needs a name and a whole number of games, got {name!r} and {games!r}")
        numbers = {key: float(value) for key, value in state.items() if key not in ("name", "games")}
        return cls(name=name, games=games, **numbers)


def bradley_terry(payoff: PayoffMatrix, *, anchor: str | None = None, prior_draws: float = PRIOR_DRAWS) -> list[Rating]:
    """Rates all players by all their games (Bradley & Terry 1952), draws as half a win.

    Args:
        payoff: The games.
        anchor: Player whose rating is 1000; his interval is a point, and the others' are those of their lead over him.
            ``None``: the mean of all players is 1000.
        prior_draws: See :data:`PRIOR_DRAWS`.

    Returns:
        One rating per player, in the order of the matrix. A player without games, or one with nothing but wins, has a
        finite rating and an interval that says how little is known.

    Raises:
        PayoffError: An anchor that is no player, or a prior below 0.
    """
    if len(payoff) == 0:
        return []
    ratings, covariance = fit_bradley_terry(payoff.points, prior_draws=prior_draws)
    size = len(payoff)
    weights = np.full(size, 1.0 / size)
    if anchor is not None:
        weights = np.zeros(size)
        weights[payoff.index(anchor)] = 1.0
    lead = np.eye(size) - weights  # rows: one player minus the anchor, or minus the mean
    leads = lead @ ratings
    deviation = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", lead, covariance, lead), 0.0))
    centres = ANCHOR_RATING + leads
    points, games, draws = payoff.points.sum(1), payoff.games.sum(1), payoff.draws.sum(1)
    return [
        Rating(
            name,
            float(centres[row]),
            float(centres[row] - _Z_95 * deviation[row]),
            float(centres[row] + _Z_95 * deviation[row]),
            round(float(games[row])),
            float(points[row] / games[row]) if games[row] else math.nan,
            float(draws[row] / games[row]) if games[row] else math.nan,
        )
        for row, name in enumerate(payoff.names)
    ]


def fit_bradley_terry(points: Matrix, *, prior_draws: float = PRIOR_DRAWS) -> tuple[Matrix, Matrix]:
    """Maximises ``sum_ij points_ij log sigmoid(r_i - r_j)``, imaginary draws included, by Newton's method.

    The objective is strictly concave, so there is one answer; steps are halved while they do not raise it.

    Args:
        points: ``[P, P]``: what the row got from its games against the column.
        prior_draws: See :data:`PRIOR_DRAWS`; a player without games has them against everybody.

    Returns:
        Ratings ``[P]`` in Elo with mean 0 (up to rounding), and their covariance ``[P, P]``: the inverse of the
        negative Hessian (Laplace's approximation).

    Raises:
        PayoffError: A prior below 0, or not finite.
    """
    if not (math.isfinite(prior_draws) and prior_draws >= 0.0):
        raise PayoffError(f"prior_draws: must be a number of games, at least 0, got {prior_draws!r}")
    precision = 1.0 / (_PRIOR_DEVIATION * _PER_ELO) ** 2
    points = points + _imaginary(points + points.T, prior_draws)
    games = points + points.T
    ratings: Matrix = np.zeros(len(points))
    hessian = _negative_hessian(ratings, games, precision)
    value = _objective(ratings, points, precision)
    for _ in range(100):
        scores = _sigmoid(ratings[:, None] - ratings[None, :])
        gradient = (points - games * scores).sum(1) - precision * ratings
        step: Matrix = np.linalg.solve(hessian, gradient).astype(np.float64, copy=False)
        while True:
            candidate = ratings + step
            reached = _objective(candidate, points, precision)
            if reached >= value or np.abs(step).max(initial=0.0) < 1e-12:
                break
            step = 0.5 * step
        ratings, value = candidate, reached
        hessian = _negative_hessian(ratings, games, precision)
        if np.abs(step).max(initial=0.0) < 1e-10:
            break
    covariance: Matrix = np.linalg.inv(hessian).astype(np.float64, copy=False)
    return ratings / _PER_ELO, covariance / _PER_ELO**2


def _imaginary(games: Matrix, draws: float) -> Matrix:
    """Returns the points ``[P, P]`` of the imaginary draws."""
    size = len(games)
    if size < 2:
        return np.zeros_like(games)
    played = games.sum(1, keepdims=True)
    anybody = (1.0 - np.eye(size)) / (size - 1)
    share = np.where(played > 0.0, games / np.where(played > 0.0, played, 1.0), anybody)
    return 0.5 * draws * (share + share.T)


def _objective(ratings: Matrix, points: Matrix, precision: float) -> float:
    leads = ratings[:, None] - ratings[None, :]
    return float(-(points * np.logaddexp(0.0, -leads)).sum() - 0.5 * precision * (ratings @ ratings))


def _negative_hessian(ratings: Matrix, games: Matrix, precision: float) -> Matrix:
    scores = _sigmoid(ratings[:, None] - ratings[None, :])
    information = games * scores * scores.T
    return np.diag(information.sum(1) + precision) - information


def _sigmoid(values: Matrix) -> Matrix:
    return 0.5 * (1.0 + np.tanh(0.5 * values))


class Elo:
    """Live ratings, moved by every result as it comes (Elo 1978, section 1.6).

    For a line in the log. What it says depends on the order of the games; :func:`bradley_terry` does not.
    """

    def __init__(self, *, step: float = 16.0, start: float = ANCHOR_RATING) -> None:
        """Creates ratings without players.

        Args:
            step: ``K``: points that one lost or won game between equals moves, times two.
            start: Rating of a player who has not played.

        Raises:
            ValueError: A step that is not a positive number.
        """
        if not (math.isfinite(step) and step > 0.0):
            raise ValueError(f"step: must be a positive number of Elo points, got {step!r}")
        self._step, self._start = step, start
        self._ratings: dict[str, float] = {}

    def rating(self, name: str) -> float:
        """Returns a player's rating; that of a newcomer where he has not played."""
        return self._ratings.get(name, self._start)

    def set_rating(self, name: str, rating: float) -> None:
        """Gives a player a rating: a snapshot begins with that of the learner it is a copy of."""
        self._ratings[name] = float(rating)

    def update(self, first: str, second: str, result: MatchResult, *, frozen: bool = False) -> float:
        """Moves both ratings by the games of a match.

        All games of a match count as having ended with its mean score, one after the other: how the engine happened to
        order them has no influence, and many games at once do not overshoot.

        Args:
            first: Whose side the result takes.
            second: Her opponent.
            result: Their games; none moves nothing.
            frozen: Leave the second player's rating as it is.

        Returns:
            The first player's rating.
        """
        ours, theirs = self.rating(first), self.rating(second)
        if result.games:
            score = (result.wins + 0.5 * result.draws) / result.games
            for _ in range(result.games):
                gain = self._step * (score - expected_score(ours - theirs))
                ours += gain
                theirs -= 0.0 if frozen else gain
        self._ratings[first], self._ratings[second] = ours, theirs
        return ours

    def state_dict(self) -> dict[str, Any]:
        """Returns the ratings as plain data."""
        return {"ratings": dict(self._ratings)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over the ratings of a state.

        Raises:
            ValueError: Ratings that are not finite numbers.
        """
        ratings = {str(name): float(rating) for name, rating in state["ratings"].items()}
        for name, rating in ratings.items():
            if not math.isfinite(rating):
                raise ValueError(f"elo.ratings.{name}: must be a finite number, got {rating!r}")
        self._ratings = ratings
