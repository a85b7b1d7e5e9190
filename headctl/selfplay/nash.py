"""The game of the players: whom to choose when the other side chooses too. Free of torch.

Shapes: P players. ``payoffs`` is antisymmetric ``[P, P]``: what the row gets from the column, such as
:meth:`headctl.selfplay.payoff.PayoffMatrix.payoffs`. A mixture is a probability per player.
"""

import math
from itertools import combinations

import numpy as np

from headctl.selfplay.payoff import Matrix, PayoffMatrix

_ROUNDS = 300
_BETWEEN_CHECKS = 100
_STEPS = 60  # a dozen is what it takes as a rule
_NEARLY = 0.995
"""Share of the way to the boundary that a step of the interior-point method takes."""


def nash_mixture(payoffs: Matrix, *, tolerance: float = 1e-9, rounds: int = _ROUNDS) -> Matrix:
    """Returns a Nash equilibrium of the symmetric zero-sum game.

    Predictive regret matching+ (Farina, Kroer & Sandholm 2021, algorithm 1) with quadratic averaging. Every 100 rounds
    the players who still have weight are taken for the support, and the equilibrium on it is solved for exactly (its
    members are indifferent: ``A_SS p = 0``, ``sum p = 1``): where the support is right, that is the answer. Large
    supports are not found that way; then an interior-point method finds a mixture from the beginning.

    Args:
        payoffs: Antisymmetric ``[P, P]``.
        tolerance: Exploitability at which it is good enough, as a share of the largest payoff.
        rounds: Largest number of rounds of regret matching.

    Returns:
        ``[P]``. All mass on the one player where there is one; where nobody is better than anybody, uniform.

    Raises:
        ValueError: No player, or a matrix that is not finite or not antisymmetric.
    """
    payoffs = _checked(payoffs)
    size = len(payoffs)
    best = np.full(size, 1.0 / size)
    scale = float(np.abs(payoffs).max())
    if scale == 0.0:
        return best
    game = payoffs / scale
    best_value = exploitability(game, best)
    regret, last = np.zeros(size), np.zeros(size)
    total, weights = np.zeros(size), 0.0
    for round_ in range(1, rounds + 1):
        played = _normalised(np.maximum(regret + last, 0.0))
        last = game @ played  # played @ game @ played is 0: the regret is the payoff itself
        regret = np.maximum(regret + last, 0.0)
        total += float(round_) ** 2 * played
        weights += float(round_) ** 2
        if round_ % _BETWEEN_CHECKS and round_ != rounds:
            continue
        average = total / weights
        for candidate in (average, *_on_support(game, average)):
            value = exploitability(game, candidate)
            if value < best_value:
                best, best_value = candidate, value
        if best_value <= tolerance:
            return best
    central = _interior_point(game, 0.5 * tolerance)
    candidates = (best, central, *_on_support(game, central))
    return min(candidates, key=lambda candidate: exploitability(game, candidate))


def _interior_point(game: Matrix, tolerance: float) -> Matrix:
    """Returns a mixture whose exploitability is at most ``tolerance``, or as little as rounding allows.

    An equilibrium is ``p >= 0``, ``sum p = 1`` with ``s = v - A p >= 0`` and ``p s = 0`` for every player. For an
    antisymmetric ``A`` the products add up to ``v``, and no answer gets more than ``v``. So Newton's method follows the
    path on which all products are equal and shrink (Mehrotra 1992, predictor and corrector), from the uniform mixture,
    whose ``s`` is positive for a ``v`` that is large enough. Every step is one linear system of the size of the game:
    how many players matter, or tie, makes no difference.

    Args:
        game: Antisymmetric ``[P, P]``, its largest payoff about 1.
        tolerance: When it is good enough.

    Returns:
        ``[P]``.
    """
    size = len(game)
    mixture = np.full(size, 1.0 / size)
    gains = game @ mixture
    value = float(gains.max()) + 1.0
    slack = value - gains
    for _ in range(_STEPS):
        if value <= tolerance:
            break
        mean = float(mixture @ slack) / size
        system = np.diag(slack / mixture) - game
        guess, guessed = _newton(system, -slack)
        reach = min(_reach(mixture, guess), _reach(slack, guessed - game @ guess))
        # As far as the straight way leads, so much is asked for at once; what it bends by is taken off.
        centre = (1.0 - reach) ** 3 * mean
        step, raised = _newton(system, -slack + (centre - guess * (guessed - game @ guess)) / mixture)
        change = raised - game @ step
        reach = _NEARLY * min(_reach(mixture, step), _reach(slack, change))
        moved = mixture + reach * step
        value += reach * raised
        if not (np.isfinite(moved).all() and moved.min() > 0.0):
            break
        mixture = moved / moved.sum()
        slack = np.maximum(value - game @ mixture, 1e-3 * slack)
    return mixture


def _newton(system: Matrix, right: Matrix) -> tuple[Matrix, float]:
    """Solves ``system @ step + raised = right`` with ``sum(step) = 0``."""
    solved = np.linalg.solve(system, np.stack((right, np.ones(len(right))), axis=1))
    raised = float(solved[:, 0].sum() / solved[:, 1].sum())
    return solved[:, 0] - raised * solved[:, 1], raised


def _reach(values: Matrix, step: Matrix) -> float:
    """Returns how much of a step keeps positive values positive, at most 1."""
    falling = step < 0.0
    return min(float((values[falling] / -step[falling]).min(initial=1.0)), 1.0)


def exploitability(payoffs: Matrix, mixture: Matrix) -> float:
    """Returns what the best answer gets from a mixture, ``max(A p)``; 0 for an equilibrium, never less.

    With the payoffs ``2 rate - 1`` an exploitability of 0.2 is a score of 60 % for the best answer *among the players*.
    """
    return max(float((payoffs @ mixture).max()), 0.0)


def effective_strategies(mixture: Matrix) -> float:
    """Returns the number of equally likely players with the same entropy, ``exp(H(p))``: from 1 to P."""
    positive = mixture[mixture > 0.0]
    return math.exp(-float((positive * np.log(positive)).sum()))


def non_transitivity(rates: Matrix, games: Matrix | None = None) -> float:
    """Returns the share of the matrix that no ratings can explain.

    The log-odds of the rates are split into differences of ratings (their least-squares fit, the row means) and a rest
    of pure cycles (the combinatorial Hodge decomposition: Jiang, Lim, Yao & Ye 2011; Balduzzi et al. 2018, section
    2.1). The share is that of the rest in the sum of squares: 0 for a ladder, 1 for rock-paper-scissors.

    Few games look cyclic by chance. With ``games``, pairs that have not met are left out, and what chance alone would
    put into both sums is taken off: ``1 / (n p (1 - p))`` per cell, of which the fit of the ratings leaves the share
    ``(E - (P - C)) / E``, with E pairs that have met and C groups without a game between them.

    Args:
        rates: Scores of rows against columns ``[P, P]``, strictly between 0 and 1.
        games: Games behind every rate ``[P, P]``; ``None``: the rates are exact.

    Returns:
        In [0, 1]. 0 for fewer than three players, and where nobody is better than anybody: there is nothing to explain.
    """
    size = len(rates)
    if size < 3:
        return 0.0
    odds = np.log(rates) - np.log(rates.T)
    met = _off_diagonal(np.ones_like(odds) if games is None else (games > 0).astype(np.float64))
    if not met.any():
        return 0.0
    # The least-squares ratings of a graph: its Laplacian is of rank P - C.
    laplacian = np.diag(met.sum(1)) - met
    ratings = np.linalg.pinv(laplacian, hermitian=True) @ (odds * met).sum(1)
    rest = odds - (ratings[:, None] - ratings[None, :])
    whole, cyclic = float((odds**2 * met).sum()), float((rest**2 * met).sum())
    if games is not None:
        # The prior of a smoothed cell counts like two games.
        noise = float((met / ((games + 2.0) * rates * rates.T)).sum())
        pairs = met.sum() / 2.0
        freedom = pairs - int(np.linalg.matrix_rank(laplacian, hermitian=True))
        whole, cyclic = whole - noise, cyclic - noise * freedom / pairs
    if whole <= 1e-12:
        return 0.0
    return min(max(cyclic / whole, 0.0), 1.0)


def cycles(payoff: PayoffMatrix, limit: int = 10) -> list[tuple[str, str, str]]:
    """Returns triples who beat each other in a circle, beyond what chance explains.

    Args:
        payoff: The games.
        limit: Largest number of triples.

    Returns:
        ``(a, b, c)``: a beats b, b beats c, c beats a, each with a 95 % interval of its score above one half. The
        clearest first (by the narrowest of the three leads).
    """
    size, rates = len(payoff), payoff.rates()
    names = payoff.names
    beats = np.zeros((size, size), np.bool_)
    for row, column in combinations(range(size), 2):
        low, high = payoff.interval(names[row], names[column])
        beats[row, column], beats[column, row] = low > 0.5, high < 0.5
    found: list[tuple[float, tuple[int, int, int]]] = []
    for first, second, third in combinations(range(size), 3):
        for one, two, three in ((first, second, third), (first, third, second)):
            if beats[one, two] and beats[two, three] and beats[three, one]:
                lead = min(rates[one, two], rates[two, three], rates[three, one])
                found.append((-float(lead), (one, two, three)))
    found.sort()
    return [(names[one], names[two], names[three]) for _, (one, two, three) in found[:limit]]


def _on_support(game: Matrix, mixture: Matrix) -> list[Matrix]:
    """Returns the mixtures that make their own support indifferent, for supports near that of ``mixture``."""
    found = []
    for share in (1e-2, 1e-3, 1e-4):
        support = np.flatnonzero(mixture > share * mixture.max())
        count = len(support)
        system = np.zeros((count + 1, count + 1))
        system[:count, :count] = game[np.ix_(support, support)]
        system[:count, count], system[count, :count] = -1.0, 1.0
        try:
            solved = np.linalg.solve(system, np.append(np.zeros(count), 1.0))[:count]
        except np.linalg.LinAlgError:
            continue  # many mixtures make it indifferent, or none
        if np.isfinite(solved).all() and (solved >= -1e-12).all() and solved.sum() > 0.5:
            exact = np.zeros(len(game))
            exact[support] = np.maximum(solved, 0.0)
            found.append(exact / exact.sum())
    return found


def _normalised(weights: Matrix) -> Matrix:
    total = weights.sum()
    return weights / total if total > 0.0 else np.full(len(weights), 1.0 / len(weights))


def _off_diagonal(matrix: Matrix) -> Matrix:
    matrix = matrix.copy()
    np.fill_diagonal(matrix, 0.0)
    return matrix


def _checked(payoffs: Matrix) -> Matrix:
    payoffs = np.asarray(payoffs, np.float64)
    if payoffs.ndim != 2 or payoffs.shape[0] != payoffs.shape[1] or not len(payoffs):
        raise ValueError(f"payoffs: expected a square matrix of at least one player, got the shape {payoffs.shape}")
    if not np.isfinite(payoffs).all() or not np.allclose(payoffs, -payoffs.T, atol=1e-9):
        raise ValueError("payoffs: must be finite and antisymmetric: what one side wins the other loses")
    return payoffs
