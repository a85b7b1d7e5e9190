"""Optimal play in a zero-sum matrix game, by linear programming. numpy alone.

Shapes: M choices of the row player, N of the column player.
"""

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
_PIVOTS_PER_CHOICE = 20  # two are what it takes as a rule
_ENOUGH = 1e-9
_TINY = 1e-10


def solve_zero_sum(payoff: Matrix) -> tuple[Matrix, Matrix, float] | None:
    """Solves the game as a linear program (Dantzig 1951) by the simplex method on a condensed table.

    With all payoffs shifted to be positive, ``maximise sum(y) where A y <= 1, y >= 0`` is bounded and the origin is a
    corner to begin from; ``y / sum(y)`` is optimal for the columns, the prices of the rows for the rows, and
    ``1 / sum(y)`` is the value. Should the largest gain lead in circles, Bland's rule (1977), which cannot, begins
    anew.

    Args:
        payoff: ``[M, N]``: what the row player gets from the column player.

    Returns:
        Mixture of the rows ``[M]``, of the columns ``[N]``, and the value for the row player; ``None`` where rounding
        has led astray, which takes hundreds of choices.
    """
    low, high = float(payoff.min()), float(payoff.max())
    scale = max(high - low, 1e-300)
    shifted = (payoff - low) / scale + 1.0  # in [1, 2]
    for bland in (False, True):
        found = _simplex(shifted, bland=bland)
        if found is not None:
            rows, columns = found
            value = (1.0 / columns.sum() - 1.0) * scale + low
            return rows / rows.sum(), columns / columns.sum(), float(value)
    return None


def _simplex(payoff: Matrix, *, bland: bool) -> tuple[Matrix, Matrix] | None:
    """Returns prices of the rows and amounts of the columns at the optimum, or ``None`` if it is not reached."""
    rows, columns = payoff.shape
    # Columns of the table: the variables at 0, and the right-hand side. Rows: those in the basis, and the gains.
    table = np.ones((rows + 1, columns + 1))
    table[:-1, :-1] = payoff
    table[-1, -1] = 0.0
    outside, basis = np.arange(columns), np.arange(columns, columns + rows)
    change = np.empty_like(table)
    for _ in range(_PIVOTS_PER_CHOICE * (rows + columns)):
        gains = table[-1, :-1]
        if gains.max() <= _ENOUGH:
            break
        rising = np.flatnonzero(gains > _ENOUGH)
        entering = int(rising[outside[rising].argmin()]) if bland else int(gains.argmax())
        column = table[:, entering].copy()
        ratios = np.full(rows, np.inf)
        np.divide(table[:-1, -1], column[:-1], out=ratios, where=column[:-1] > _TINY)
        tied = np.flatnonzero(ratios <= ratios.min() + _TINY)
        leaving = int(tied[basis[tied].argmin()]) if bland else int(ratios.argmin())
        if not np.isfinite(ratios[leaving]):
            return None
        table[:, entering] = 0.0
        table[leaving, entering] = 1.0
        row = table[leaving] / column[leaving]
        np.multiply(column[:, None], row, out=change)
        table -= change
        table[leaving] = row
        outside[entering], basis[leaving] = basis[leaving], outside[entering]
    else:
        return None
    amounts, prices = np.zeros(columns + rows), np.zeros(columns + rows)
    amounts[basis] = np.maximum(table[:-1, -1], 0.0)
    prices[outside] = np.maximum(-table[-1, :-1], 0.0)
    if not (amounts[:columns].sum() > 0.0 and prices[columns:].sum() > 0.0):
        return None
    return prices[columns:], amounts[:columns]
