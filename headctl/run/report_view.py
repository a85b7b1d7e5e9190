"""Reports on the terminal: tables and findings with rich."""

import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from headctl.entropy.explain import Explanation
from headctl.run.findings import SHORTFALL_MAX, Finding, HeadReport, steps_text
from headctl.run.report import Report
from headctl.selfplay.results import MatchResult

STATUS_STYLES: dict[str, str] = {
    "TRACKING": "green",
    "SLACK": "cyan",
    "SATURATED": "bold red",
    "COLLAPSED": "bold magenta",
    "INACTIVE": "yellow",
    "FIXED": "dim",
}
"""Colour of every status, the same in the live view and in the report."""

_LEVELS = {"ok": ("ok", "green"), "note": ("note", "cyan"), "warning": ("WARNING", "bold yellow")}
_WIDTH_WITHOUT_TERMINAL = 120
WIDE = 112
"""Columns from which on tables show everything."""


def make_console(stream: TextIO | None = None, *, stderr: bool = False) -> Console:
    """Returns a console; where there is no terminal, lines are wide enough for the tables and have no colours."""
    target = stream or (sys.stderr if stderr else sys.stdout)
    terminal = target.isatty()
    width = None if terminal or "COLUMNS" in os.environ else _WIDTH_WITHOUT_TERMINAL
    return Console(file=target, width=width, highlight=False, soft_wrap=False)


def number_text(value: float, digits: int = 3) -> str:
    """Returns a number for a table, ``-`` for ``nan``."""
    if math.isnan(value):
        return "-"
    if value != 0.0 and abs(value) < 10.0**-digits:
        return f"{value:.0e}".replace("e-0", "e-")
    return f"{value:.{digits}f}"


def duration_text(seconds: float) -> str:
    """Returns a duration as people say it: ``42 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if math.isnan(seconds) or math.isinf(seconds):
        return "-"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def share_text(shares: dict[str, float]) -> Text:
    """Returns shares of time, one a line and the largest first; less than half a percent is left out."""
    lines = [
        Text.assemble(f"{share:4.0%} ", (status.lower(), STATUS_STYLES.get(status, "")))
        for status, share in shares.items()
        if share >= 0.005
    ]
    return Text("\n").join(lines)


def make_table(title: str, caption: str) -> Table:
    """Returns an empty table in the style of all of them."""
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        caption=caption,
        caption_justify="left",
        header_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )


def head_table(heads: Sequence[HeadReport], *, wide: bool = True) -> Table:
    """Returns the table with one row per head; a narrow one leaves out what can be missed first."""
    legend = "target, fraction: share of the head's range. short: mean shortfall below target over the last half"
    table = make_table("Heads", f"{legend}. active: rows with a choice" if wide else legend)
    table.add_column("head", style="bold", no_wrap=True)
    if wide:
        table.add_column("law", no_wrap=True)
    for column in ("target", "fraction", "short"):
        table.add_column(column, justify="right", no_wrap=True)
    if wide:
        table.add_column("nats / max", justify="right", no_wrap=True)
    table.add_column("alpha", justify="right", no_wrap=True)
    if wide:
        table.add_column("bounds", justify="right", style="dim", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("time in status", no_wrap=True)
    if wide:
        table.add_column("active", justify="right", no_wrap=True)
    for head in heads:
        short = Text(number_text(head.shortfall), "red" if head.shortfall > SHORTFALL_MAX else "green")
        cells: list[RenderableType] = [head.name]
        cells += [f"{head.law} {head.mode}".strip()] if wide else []
        cells += [number_text(head.target_fraction), number_text(head.fraction), short]
        cells += [f"{number_text(head.entropy, 2)} / {number_text(head.capacity, 2)}"] if wide else []
        cells.append(number_text(head.alpha, 4))
        cells += (
            ["-" if head.alpha_min == head.alpha_max else f"{head.alpha_min:g} .. {head.alpha_max:g}"] if wide else []
        )
        cells += [Text(head.status or "-", STATUS_STYLES.get(head.status, "")), share_text(head.status_shares)]
        cells += ["-" if math.isnan(head.active_share) else f"{head.active_share:.0%}"] if wide else []
        table.add_row(*cells)
    return table


def evaluation_table(matches: Mapping[str, tuple[int, MatchResult]]) -> Table:
    """Returns the table with one row per opponent: name -> (agent-steps of the agent, result)."""
    table = make_table("Matches", "win rate = wins / (wins + losses); half of the games from each seat")
    table.add_column("opponent", style="bold")
    for column in ("win rate", "95 % interval", "wins", "losses", "draws", "games", "agent at step"):
        table.add_column(column, justify="right")
    for who, (steps, score) in matches.items():
        low, high = score.interval
        rate = "-" if math.isnan(score.win_rate) else f"{score.win_rate:.1%}"
        interval = f"{low:.1%} .. {high:.1%}"
        counts = (str(score.wins), str(score.losses), str(score.draws), str(score.games))
        table.add_row(who, rate, interval, *counts, steps_text(steps))
    return table


def figure_table(machine: Mapping[str, str], rows: Iterable[tuple[str, str, float, Sequence[float]]]) -> Table:
    """Returns measured figures: (name, unit, median, values of all repetitions), and the machine they are of."""
    table = make_table("Speed", "\n".join(f"{key}: {value}" for key, value in machine.items()))
    table.add_column("figure", style="bold")
    for column in ("median", "smallest", "largest"):
        table.add_column(column, justify="right")
    table.add_column("unit")
    for name, unit, median, values in rows:
        digits = 0 if median >= 100 else 2
        numbers = (f"{value:,.{digits}f}" for value in (median, min(values), max(values)))
        table.add_row(name, *numbers, unit)
    return table


def explanation_table(explanations: Iterable[Explanation]) -> Table:
    """Returns what every target amounts to, with the warnings in a last column."""
    table = make_table("Targets", "effective, epsilon, favourite: a choice with this entropy, read in three ways")
    table.add_column("head", style="bold")
    for column in ("target", "legal", "fraction", "nats", "nats/dim", "effective", "epsilon", "favourite", "std"):
        table.add_column(column, justify="left" if column == "target" else "right")
    table.add_column("warning", ratio=1)
    for each in explanations:
        discrete = (each.effective_actions, each.epsilon, each.favourite)
        numbers = (each.fraction, each.nats, each.nats_per_dim, *discrete, each.std)
        shown = ("" if number is None or math.isnan(number) else f"{number:.3f}" for number in numbers)
        actions = "" if each.actions is None else str(each.actions)
        warning = Text("; ".join(each.warnings), "yellow")
        table.add_row(each.head, each.moment, actions, *shown, warning)
    return table


def finding_lines(findings: Iterable[Finding]) -> Table:
    """Returns the findings, one each: level, head, sentence."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column(ratio=1)
    for finding in findings:
        word, style = _LEVELS[finding.level]
        grid.add_row(Text(word, style), Text(finding.head or "run"), Text(finding.text))
    return grid


def render_report(report: Report, files: Sequence[Path] = (), *, width: int = 120) -> RenderableType:
    """Returns everything that ``headctl inspect`` and the end of ``headctl train`` show, for so many columns."""
    state = "finished" if report.finished else "not finished"
    head = Text.assemble(
        (report.run, "bold"),
        f"  {steps_text(report.agent_steps)} of {steps_text(report.total_steps)} agent-steps ({state})",
    )
    if not math.isnan(report.agent_steps_per_s):
        head.append(f", {duration_text(report.elapsed_s)}, {report.agent_steps_per_s:,.0f} agent-steps/s")
    parts: list[RenderableType] = [head, Text(), head_table(report.heads, wide=width >= WIDE), Text()]
    if report.evaluations:
        parts += [evaluation_table(report.evaluations), Text()]
    parts += [Text("Findings", "bold"), Padding(finding_lines(report.findings), (0, 0, 0, 1))]
    if files:
        parts += [Text(), Text("Files", "bold")]
        parts += [Text(f" {path}", overflow="fold") for path in files]
    return Group(*parts)
