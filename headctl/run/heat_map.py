"""The cross table of a tournament as a picture: who scores how much against whom, and the ratings beside it.

Drawn with matplotlib's object interface on an Agg canvas: no pyplot, no global state, no display.
"""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from headctl.run.tournament import Table

_INK, _MUTED = "#1d3557", "#6c757d"
_NUMBERS_MAX = 24
"""Players up to whom every cell has its number."""


def draw_heat_map(table: Table) -> Figure:
    """Returns the picture; rows and columns are in the order of the ratings."""
    ratings = [standing.rating for standing in table.standings]
    names = [rating.name for rating in ratings]
    order = [table.payoff.index(name) for name in names]
    size = len(names)
    games = table.payoff.games[np.ix_(order, order)]
    points = table.payoff.points[np.ix_(order, order)]
    scores = np.full((size, size), np.nan)
    np.divide(points, games, out=scores, where=games > 0)
    cell = 0.62 if size <= _NUMBERS_MAX else 0.25
    figure = Figure(figsize=(5.5 + cell * size, 2.2 + cell * size), dpi=130, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[max(cell * size, 1.5), 3.0], sharey=True)
    image = left.imshow(scores, cmap="RdBu", vmin=0.0, vmax=1.0, aspect="auto")
    left.set_xticks(range(size), names, rotation=45, ha="left", fontsize=8, color=_INK)
    left.set_yticks(range(size), names, fontsize=8, color=_INK)
    left.xaxis.tick_top()
    left.tick_params(length=0)
    if size <= _NUMBERS_MAX:
        for row, column in zip(*np.nonzero(games > 0), strict=True):
            share = float(scores[row, column])
            left.text(
                column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=8,
                color="white" if abs(share - 0.5) > 0.35 else _INK,
            )  # fmt: skip
    figure.colorbar(image, ax=left, location="bottom", shrink=0.8, label="score of the row, a draw is half a win")
    centres = np.array([rating.rating for rating in ratings])
    spread = np.array([[rating.rating - rating.low, rating.high - rating.rating] for rating in ratings]).T
    right.errorbar(centres, range(size), xerr=spread, fmt="o", color=_INK, ecolor=_MUTED, capsize=3)
    right.set_xlabel("Bradley-Terry rating, 95 %", fontsize=9, color=_INK)
    right.grid(visible=True, axis="x", color="#dee2e6")
    for side in ("top", "right", "left"):
        right.spines[side].set_visible(False)
    right.tick_params(axis="y", length=0)
    return figure


def write_heat_map(table: Table, path: Path) -> Path:
    """Draws the picture into a PNG file and returns it."""
    scratch = path.with_name(f".{path.name}")
    FigureCanvasAgg(draw_heat_map(table)).print_png(str(scratch))
    scratch.replace(path)
    return path
