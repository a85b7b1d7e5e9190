"""Tables of runs and of games with rich."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from headctl.run.findings import steps_text
from headctl.run.listing import RunSummary
from headctl.run.report_view import STATUS_STYLES, make_table
from headctl.selfplay.catalog import GameInfo

_STATE_STYLES = {"finished": "green", "running": "bold cyan", "stopped": "yellow", "empty": "dim", "unreadable": "red"}


def runs_table(runs: Sequence[RunSummary], folder: Path, *, wide: bool = True) -> RenderableType:
    """Returns the table with one row per run, and below it why some cannot be read.

    A narrow one leaves out what can be missed first.
    """
    caption = "win rate: decided games of the closing matches against all scripted pilots. running: a process trains it"
    table = make_table(f"Runs in {folder}", caption)
    table.add_column("run", style="bold", overflow="fold")
    table.add_column("state", no_wrap=True)
    for column in ("progress", "agent-steps", "win rate"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("heads", overflow="fold")
    if wide:
        table.add_column("games", justify="right", no_wrap=True)
        table.add_column("last record", justify="right", no_wrap=True)
    for run in runs:
        path = Path(run.run)
        name = str(path.relative_to(folder)) if path.is_relative_to(folder) and path != folder else run.run
        readable = run.state != "unreadable"
        when = (
            "-" if math.isnan(run.modified) else f"{datetime.fromtimestamp(run.modified).astimezone():%Y-%m-%d %H:%M}"
        )
        cells: list[RenderableType] = [
            name,
            Text(run.state, _STATE_STYLES[run.state]),
            f"{run.progress:.0%}" if readable else "-",
            f"{steps_text(run.agent_steps)} of {steps_text(run.total_steps)}" if readable else "-",
            "-" if math.isnan(run.win_rate) else f"{run.win_rate:.0%}",
            _statuses(run.statuses),
        ]
        table.add_row(*cells, *([str(run.games or "-"), when] if wide else []))
    problems = [Text(run.problem, "red") for run in runs if run.problem]
    return Group(table, *problems)


def _statuses(statuses: Mapping[str, str]) -> Text:
    counts = Counter(statuses.values()).most_common()
    words = [Text.assemble(f"{count} ", (status.lower(), STATUS_STYLES.get(status, ""))) for status, count in counts]
    return Text(", ").join(words)


def games_table(games: Mapping[str, GameInfo]) -> Table:
    """Returns the table with one row per head of every game."""
    table = make_table("Games", "pilots: scripted opponents, for headctl eval and replay")
    for column in ("game", "head", "kind", "size", "pilots"):
        table.add_column(column, style="bold" if column == "game" else None)
    for name, game in games.items():
        for index, (head, each) in enumerate(game.heads.items()):
            size = f"{each.dims} dims" if each.choices is None else f"{each.choices} choices"
            first = index == 0
            table.add_row(name if first else "", head, each.kind, size, ", ".join(game.pilots) if first else "")
    return table
