"""The laboratory's tables on the terminal."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from headctl.run.lab.contestants import DISCRETE, HEADS
from headctl.run.lab.measures import SETTLED_FOR, TOLERANCE
from headctl.run.lab.study import ALL_COURSES, RECOVERED, RecoveryRow, ScaleRow, TrackingRow
from headctl.run.report_view import number_text


def _table(title: str, caption: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        caption=caption,
        caption_justify="left",
        header_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        show_edge=False,
    )


def short_number(value: float, digits: int = 3) -> str:
    """Returns a number for a narrow column: no digit before the point where that is 0, ``-`` for ``nan``."""
    text = number_text(value, digits)
    return text[1:] if text.startswith("0.") else text


def tracking_table(rows: Sequence[TrackingRow], course: str = ALL_COURSES) -> Table:
    """Returns the table of one course, or of the means over all: a group of rows per contestant, one line per head."""
    near = f"within {TOLERANCE:g} for {SETTLED_FOR} on end"
    lines = (
        "short, RMSE: of the fraction against its target, after the first tenth; below target only, and both ways.",
        f"up, down: iterations after a jump of the target until {near} (floor laws: not more below than that).",
        "over: overshoot of a jump up, as a share of it. jitter: mean change of alpha per iteration. return: of the",
        "most likely actions, last tenth; and its difference to the first law, seed by seed, with the standard error",
    )
    title = "Holding targets" if course == ALL_COURSES else f"Holding targets: {course}"
    table = _table(title, "\n".join(lines))
    table.add_column("law", style="bold", no_wrap=True)
    table.add_column("head", no_wrap=True)
    for column in ("short", "RMSE", "up", "down", "over", "jitter", "alpha", "return", "against first"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        if row.course != course:
            continue
        mean, error = row.return_difference
        for line, head in enumerate(HEADS):
            cells = [
                row.contestant if line == 0 else "",
                head,
                *(short_number(values[head]) for values in (row.shortfall, row.rmse)),
                *(short_number(values[head], 0) for values in (row.settle_up, row.settle_down)),
                short_number(row.overshoot[head], 2),
                *(short_number(values[head]) for values in (row.jitter, row.alpha)),
            ]
            if line == 0:
                cells += [number_text(row.greedy_return), f"{mean:+.3f} ± {short_number(error)}"]
            table.add_row(*cells)
    return table


def recovery_table(rows: Sequence[RecoveryRow]) -> Table:
    """Returns the table of recoveries: one row per contestant."""
    caption = (
        "mean, slowest seed: iterations from when the target can be reached again\n"
        f"until the fraction is within {RECOVERED:g} of it"
    )
    table = _table("Recovery from a target out of reach", caption)
    table.add_column("law", style="bold", no_wrap=True)
    table.add_column("head", no_wrap=True)
    for column in ("mean", "slowest seed", "highest alpha"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        for line, head in enumerate(DISCRETE):
            numbers = (row.iterations[head], row.worst[head], row.alpha_max[head])
            law = row.contestant if line == 0 else ""
            table.add_row(law, head, *(number_text(n, d) for n, d in zip(numbers, (1, 0, 3), strict=True)))
    return table


def scale_table(rows: Sequence[ScaleRow]) -> Table:
    """Returns the table of reward scales."""
    caption = f"Change of mean alpha against rewards as they are: {' / '.join(HEADS)}"
    table = _table("Rewards multiplied", caption)
    table.add_column("law", style="bold", no_wrap=True)
    for column in ("rewards times", "normalised", "alpha"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        change = " / ".join(f"{100.0 * row.change[head]:+.1f} %" for head in HEADS)
        table.add_row(row.contestant, f"{row.scale:g}", "yes" if row.normalized else "no", change)
    return table
