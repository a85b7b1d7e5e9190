"""Interactive charts of a run's league, as :mod:`headctl.run.charts` makes those of its heads. Loads no plotly."""

from typing import Any

import numpy as np

from headctl.run.charts import AMBER, INK, Chart, learning_layout, line, plain, plain_layout
from headctl.run.league_games import LeagueGames, scores, shown_name
from headctl.run.report import RunReader

_COLOURS = [[0.0, "#c1403d"], [0.5, "#f4f1ec"], [1.0, "#1f6f8b"]]


def payoff_chart(games: LeagueGames) -> Chart:
    """Returns the payoff matrix as a heat map, the strongest player first; blank where two have never met."""
    payoff, names = games.payoff, [rating.name for rating in games.ratings]
    labels = [shown_name(name) for name in names]
    shown = scores(payoff, names)
    tips = [[_tip(games, row, column) for column in names] for row in names]
    trace: Chart = {
        "type": "heatmap", "x": labels, "y": labels, "z": [plain(row, 4) for row in shown], "text": tips,
        "hovertemplate": "%{text}<extra></extra>", "zmin": 0, "zmax": 1, "colorscale": _COLOURS,
        "xgap": 1, "ygap": 1, "colorbar": {"tickformat": ".0%", "thickness": 12, "outlinewidth": 0},
    }  # fmt: skip
    layout = plain_layout(height=170 + 26 * len(names))
    layout["xaxis"] |= {"type": "category", "side": "bottom", "tickangle": -90, "automargin": True, "showgrid": False}
    layout["yaxis"] |= {"type": "category", "autorange": "reversed", "automargin": True, "showgrid": False}
    layout["margin"] |= {"t": 10}
    layout["hovermode"] = "closest"
    return {"data": [trace], "layout": layout}


def _tip(games: LeagueGames, row: str, column: str) -> str:
    first, second = shown_name(row), shown_name(column)
    if row == column:
        return first
    result = games.payoff.result(row, column)
    if not result.games:
        return f"{first} and {second} have never met"
    return f"{first} against {second}: {result.wins} won, {result.losses} lost, {result.draws} drawn"


def ratings_chart(games: LeagueGames) -> Chart:
    """Returns the rating of everybody with its 95 % interval, the strongest first."""
    ratings = games.ratings
    values = np.array([rating.rating for rating in ratings])
    bars = {
        "type": "data", "symmetric": False, "color": INK, "thickness": 2,
        "array": plain(np.array([rating.high for rating in ratings]) - values),
        "arrayminus": plain(values - np.array([rating.low for rating in ratings])),
    }  # fmt: skip
    tips = [
        f"{rating.games} games, {rating.score:.0%} of the points, {rating.draw_rate:.0%} draws" for rating in ratings
    ]
    trace: Chart = {
        "type": "scatter", "mode": "markers", "x": plain(values), "y": [shown_name(rating.name) for rating in ratings],
        "error_x": bars, "text": tips, "hovertemplate": "%{y}: %{x:.0f}<br>%{text}<extra></extra>",
        "marker": {"size": 9, "color": INK}, "showlegend": False,
    }  # fmt: skip
    layout = plain_layout(height=110 + 26 * len(ratings))
    layout["yaxis"] |= {"type": "category", "autorange": "reversed", "automargin": True, "showgrid": False}
    layout["margin"] |= {"t": 10, "b": 30}
    layout["hovermode"] = "closest"
    return {"data": [trace], "layout": layout}


def course_chart(reader: RunReader) -> Chart:
    """Returns the agent's rating over the training, with its interval where the records have one."""
    data: list[dict[str, Any]] = []
    edges = [reader.series(f"selfplay/rating_{end}") for end in ("low", "high")]
    if all(steps for steps, _ in edges):
        (low_steps, low), (high_steps, high) = edges
        data.append(line(low_steps, np.array(low), "low", INK, width=0.0, showlegend=False, hoverinfo="skip"))
        band = line(high_steps, np.array(high), "95 % interval", INK, width=0.0, hoverinfo="skip")
        data.append(band | {"fill": "tonexty", "fillcolor": "rgba(29,53,87,0.15)"})
    for key, name, colour in (("rating", "Bradley-Terry", INK), ("elo", "live Elo", AMBER)):
        steps, values = reader.series(f"selfplay/{key}")
        if steps:
            data.append(line(steps, np.array(values), name, colour))
    layout = learning_layout(reader, height=380)
    return {"data": [each for each in data if any(value is not None for value in each["y"])], "layout": layout}
