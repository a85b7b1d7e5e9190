"""Tournaments and leagues as tables with rich."""

import math
from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from headctl.run.league_games import shown_name
from headctl.run.report_view import make_table
from headctl.run.tournament import Standing, Table
from headctl.selfplay.payoff import PayoffMatrix

_CROSS_MAX = 12
"""Players up to whom the cross table fits a terminal; beyond, the picture shows it."""

_NAME_MAX = 16
"""Letters of a name that every terminal shows in one line."""


def tournament_tables(table: Table) -> RenderableType:
    """Returns standings, cross table and what ratings do not say."""
    parts: list[RenderableType] = [standings_table(table)]
    if len(table.standings) <= _CROSS_MAX:
        parts += [Text(), cross_table(table)]
    return Group(*parts, Text(), *remarks(table))


def standings_table(table: Table) -> RenderableType:
    """Returns one row per player, the strongest first."""
    anchor = f"{table.anchor} is 1000" if table.anchor else "the mean is 1000"
    view = make_table(
        "Standings",
        f"rating: Bradley-Terry with 95 % interval, {anchor}, draws are half a win; nash: share in the mixture",
    )
    view.add_column("#", justify="right")
    _add_names(view, table)
    for column in ("rating", "95 %", "score", "wins", "losses", "draws", "games", "nash"):
        view.add_column(column, justify="right", no_wrap=True)
    for place, standing in enumerate(table.standings, start=1):
        view.add_row(str(place), *_cells(standing))
    return view


def _add_names(view: RichTable, table: Table) -> None:
    """Adds the column of names, which no narrow terminal may squeeze to a few letters a line."""
    longest = max((len(shown_name(standing.rating.name)) for standing in table.standings), default=0)
    view.add_column("player", style="bold", overflow="fold", min_width=min(longest, _NAME_MAX))


def _cells(standing: Standing) -> list[str]:
    rating, result = standing.rating, standing.result
    counts = [str(count) for count in (result.wins, result.losses, result.draws, result.games)]
    interval = f"{rating.low:.0f}..{rating.high:.0f}"
    return [
        shown_name(rating.name),
        f"{rating.rating:.0f}",
        interval,
        percent(rating.score),
        *counts,
        percent(standing.nash),
    ]


def cross_table(table: Table) -> RenderableType:
    """Returns the score of every row against every column in percent."""
    names = [standing.rating.name for standing in table.standings]
    view = make_table(
        "Score of the row against the column, %", "a draw is half a win; half of the games from each seat"
    )
    view.add_column("", style="bold", overflow="fold", min_width=_NAME_MAX)
    for place, _ in enumerate(names, start=1):
        view.add_column(f"#{place}", justify="right", no_wrap=True)
    for place, name in enumerate(names, start=1):
        view.add_row(f"{place} {shown_name(name)}", *(_score(table.payoff, name, other) for other in names))
    return view


def _score(payoff: PayoffMatrix, name: str, other: str) -> Text:
    result = payoff.result(name, other)
    if name == other or not result.games:
        return Text("·", "dim")
    low, high = payoff.interval(name, other)
    style = "green" if low > 0.5 else "red" if high < 0.5 else ""
    return Text(f"{100 * (result.wins + 0.5 * result.draws) / result.games:.0f}", style)


def remarks(table: Table) -> list[Text]:
    """Returns, in sentences, what a list of ratings does not say."""
    lines = [
        Text(
            f"Nash mixture: {table.effective:.1f} effective strategies, exploitability within the players "
            f"{table.pool_exploitability:.1g}.",
        ),
        Text(f"Non-transitivity: {table.cyclic:.0%} of the matrix is not explained by ratings."),
    ]
    lines += [Text(f"Circle: {' beats '.join((*circle, circle[0]))}.") for circle in table.circles]
    return lines


def league_table(table: Table, probabilities: Mapping[str, float], kinds: Mapping[str, str]) -> RenderableType:
    """Returns one row per member of a league, the strongest first.

    Args:
        table: What its payoff matrix says.
        probabilities: How probable everybody is in the next draw.
        kinds: What everybody is: learner, snapshot, anchor, pilot.
    """
    anchor = f"{table.anchor} is 1000" if table.anchor else "the mean is 1000"
    caption = (
        f"rating: Bradley-Terry with 95 % interval, {anchor}, draws are half a win; "
        "decided: share won of the decided games; drawn: probability to be the next opponent"
    )
    view = make_table("League", caption)
    _add_names(view, table)
    view.add_column("kind", no_wrap=True)
    for column in ("rating", "95 %", "games", "score", "decided", "nash", "drawn"):
        view.add_column(column, justify="right", no_wrap=True)
    for standing in table.standings:
        rating, result = standing.rating, standing.result
        view.add_row(
            shown_name(rating.name),
            kinds.get(rating.name, ""),
            f"{rating.rating:.0f}",
            f"{rating.low:.0f}..{rating.high:.0f}",
            str(result.games),
            percent(rating.score),
            percent(result.win_rate),
            percent(standing.nash),
            percent(probabilities.get(rating.name, math.nan)),
        )
    return Group(view, Text(), *remarks(table))


def percent(share: float) -> str:
    """Returns a share in percent, ``-`` for NaN."""
    return "-" if math.isnan(share) else f"{100 * share:.1f}%"
