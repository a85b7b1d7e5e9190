"""The picture of a run's league: who beats whom, how strong everybody is, and how the agent's rating rose."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from headctl.run.findings import steps_text
from headctl.run.league_games import LeagueGames, scores, shown_name
from headctl.run.report import RunReader
from headctl.selfplay.payoff import PayoffMatrix
from headctl.selfplay.rating import Rating

INK, MUTED, GRID, AMBER = "#1d3557", "#6c757d", "#dee2e6", "#e9a13b"
LOST, EVEN, WON = "#c1403d", "#f4f1ec", "#1f6f8b"
"""Colours of a score of 0, one half and 1."""
_WORDS_MAX = 14
"""Up to so many players the score stands in every cell."""


def draw_league(reader: RunReader, games: LeagueGames) -> Figure:
    """Returns the picture of a league.

    Args:
        reader: The run.
        games: Of its league.
    """
    ratings = games.ratings
    size = len(ratings)
    side = 2.2 + 0.36 * size
    figure = Figure(figsize=(max(13.0, 2 * side), max(4.6, side)), dpi=130, layout="constrained")
    name = reader.run_dir.resolve().name
    figure.suptitle(
        f"{name}: the league, {steps_text(games.agent_steps)} agent-steps", fontsize=13, color=INK, x=0.01, ha="left"
    )
    grid = figure.add_gridspec(2, 2, width_ratios=[1.15, 1])
    _draw_matrix(figure.add_subplot(grid[:, 0]), games.payoff, [rating.name for rating in ratings])
    _draw_ratings(figure.add_subplot(grid[0, 1]), ratings)
    _draw_course(figure.add_subplot(grid[1, 1]), reader)
    return figure


def _draw_matrix(axes: Axes, payoff: PayoffMatrix, names: Sequence[str]) -> None:
    shown = scores(payoff, names)
    colours = LinearSegmentedColormap.from_list("score", [LOST, EVEN, WON])
    axes.imshow(np.ma.masked_invalid(shown), cmap=colours, vmin=0.0, vmax=1.0)
    axes.set_title("score of the row against the column, a draw is half a win", loc="left", fontsize=11, color=INK)
    labels = [shown_name(name) for name in names]
    axes.set_xticks(range(len(names)), labels, rotation=90)
    axes.set_yticks(range(len(names)), labels)
    axes.tick_params(colors=MUTED, labelsize=8, length=0)
    for spine in axes.spines.values():
        spine.set_color(GRID)
    if len(names) > _WORDS_MAX:
        return
    for row, column in np.argwhere(np.isfinite(shown)).tolist():
        score = shown[row, column]
        ink = "white" if abs(score - 0.5) > 0.3 else INK
        axes.text(column, row, f"{score:.0%}", ha="center", va="center", fontsize=7.5, color=ink)


def _draw_ratings(axes: Axes, ratings: Sequence[Rating]) -> None:
    axes.set_title("Bradley-Terry rating with 95 % interval", loc="left", fontsize=11, color=INK)
    for place, rating in enumerate(ratings):
        axes.plot([rating.low, rating.high], [place, place], color=INK, linewidth=4, alpha=0.25, solid_capstyle="round")
        axes.plot([rating.rating], [place], "o", color=INK, markersize=5)
    axes.set_yticks(range(len(ratings)), [shown_name(rating.name) for rating in ratings])
    axes.set_ylim(len(ratings) - 0.5, -0.5)
    _plain(axes)


def _draw_course(axes: Axes, reader: RunReader) -> None:
    axes.set_title("rating of the agent", loc="left", fontsize=11, color=INK)
    drawn = False
    for key, label, colour in (("rating", "Bradley-Terry", INK), ("elo", "live Elo", AMBER)):
        steps, values = reader.series(f"selfplay/{key}")
        if steps:
            axes.plot(steps, values, color=colour, linewidth=1.5, label=label)
            drawn = True
    lows, highs = (dict(zip(*reader.series(f"selfplay/rating_{end}"), strict=True)) for end in ("low", "high"))
    both = sorted(lows.keys() & highs.keys())
    if both:
        axes.fill_between(both, [lows[step] for step in both], [highs[step] for step in both], color=INK, alpha=0.15)
    if not drawn:
        axes.text(0.5, 0.5, "not in the records", ha="center", va="center", color=MUTED, transform=axes.transAxes)
        axes.set_axis_off()
        axes.title.set_visible(True)
        return
    axes.set_xlim(0, max(reader.agent_steps, 1))
    axes.xaxis.set_major_formatter(lambda value, _: steps_text(value))
    axes.set_xlabel("agent-steps", color=MUTED)
    axes.legend(loc="best", fontsize=8, framealpha=0.85, edgecolor="none")
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=8)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(GRID)
