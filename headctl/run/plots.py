"""Pictures of a run: what every head did, and how the agent learned.

Drawn with matplotlib's object interface on an Agg canvas: no pyplot, no global state, no display.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from headctl.run.curves import STATUS_COLOURS, Floats, HeadCurves, head_curves, running_mean, stretches
from headctl.run.findings import steps_text
from headctl.run.league_games import read_league_games
from headctl.run.league_plots import draw_league
from headctl.run.report import RunReader

REPORT_DIR = "report"
HEADS_PICTURE = "heads.png"
LEARNING_PICTURE = "learning.png"
LEAGUE_PICTURE = "league.png"

_INK, _MUTED, _TARGET, _GRID = "#1d3557", "#6c757d", "#d1495b", "#dee2e6"
_PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
_DPI = 130
_COLUMNS = 3


def write_plots(reader: RunReader, folder: Path | None = None) -> list[Path]:
    """Draws the pictures of a run.

    Args:
        reader: The run.
        folder: Where to; ``report/`` of the run by default.

    Returns:
        The files, ``heads.png`` first; ``league.png`` last, where the run has a league that has played.
    """
    place = reader.run_dir / REPORT_DIR if folder is None else folder
    place.mkdir(parents=True, exist_ok=True)
    pictures = {HEADS_PICTURE: draw_heads(reader), LEARNING_PICTURE: draw_learning(reader)}
    league = read_league_games(reader.run_dir)
    if league is not None:
        pictures[LEAGUE_PICTURE] = draw_league(reader, league)
    for name, figure in pictures.items():
        scratch = place / f".{name}"
        FigureCanvasAgg(figure).print_png(str(scratch))
        scratch.replace(place / name)
    return [place / name for name in pictures]


def draw_heads(reader: RunReader) -> Figure:
    """Returns the picture of all heads: fraction against target, alpha on a log scale, and the status below."""
    heads = [head_curves(reader, head) for head in reader.heads]
    figure = Figure(figsize=(13.0, 1.0 + 2.9 * len(heads)), dpi=_DPI, layout="constrained")
    figure.suptitle(_title(reader, "what every head did"), fontsize=13, color=_INK, x=0.01, ha="left")
    grid = figure.add_gridspec(2 * len(heads), 2, height_ratios=[11, 1] * len(heads), width_ratios=[3, 2])
    for row, head in enumerate(heads):
        fraction = figure.add_subplot(grid[2 * row, 0])
        alpha = figure.add_subplot(grid[2 * row, 1])
        strips = [figure.add_subplot(grid[2 * row + 1, column]) for column in (0, 1)]
        _draw_fraction(fraction, head)
        _draw_alpha(alpha, head)
        last = row == len(heads) - 1
        for upper, strip in zip((fraction, alpha), strips, strict=True):
            _draw_status(strip, head)
            _style(upper, head.steps)
            upper.tick_params(labelbottom=False)
            _style(strip, head.steps)
            strip.grid(visible=False)
            strip.tick_params(labelbottom=last)
            if last:
                strip.set_xlabel("agent-steps", color=_MUTED)
    used = [status for status in STATUS_COLOURS if any(status in head.statuses for head in heads)]
    patches = [Patch(color=STATUS_COLOURS[status], label=status) for status in used]
    figure.legend(handles=patches, loc="outside upper right", ncols=max(len(used), 1), frameon=False, fontsize=9)
    return figure


def _draw_fraction(axes: Axes, head: HeadCurves) -> None:
    heading = " ".join(part for part in (head.law, head.mode) if part)
    target = f", target {head.target_text}" if head.target_text else ""
    axes.set_title(f"{head.name}  ({heading}{target})", loc="left", fontsize=11, fontweight="bold", color=_INK)
    axes.plot(head.steps, head.fraction, color=_INK, linewidth=1.3, label="entropy fraction")
    if np.isfinite(head.target).any():
        axes.plot(head.steps, head.target, color=_TARGET, linewidth=1.3, linestyle=(0, (5, 2)), label="target")
        short = head.fraction < head.target
        axes.fill_between(
            head.steps, head.fraction, head.target, where=short.tolist(), color=_TARGET, alpha=0.25, linewidth=0,
            interpolate=True, label="shortfall",
        )  # fmt: skip
    finite = np.concatenate([head.fraction, head.target])
    top = max(1.0, float(np.nanmax(finite)) if np.isfinite(finite).any() else 1.0)
    bottom = min(0.0, float(np.nanmin(finite)) if np.isfinite(finite).any() else 0.0)
    axes.set_ylim(bottom - 0.03, top + 0.03)
    axes.set_ylabel("fraction of range", color=_MUTED)
    axes.legend(loc="best", fontsize=8, framealpha=0.85, edgecolor="none", ncols=3)


def _draw_alpha(axes: Axes, head: HeadCurves) -> None:
    axes.set_title("alpha", loc="left", fontsize=11, color=_INK)
    axes.plot(head.steps, head.alpha, color="#e76f51", linewidth=1.3)
    known = head.alpha[np.isfinite(head.alpha)]
    signed = bool((known <= 0).any()) or head.alpha_bounds[0] < 0
    if signed:
        axes.set_yscale("symlog", linthresh=1e-3, linscale=0.6)
        axes.axhline(0.0, color=_MUTED, linewidth=0.7)
    else:
        axes.set_yscale("log")
    axes.yaxis.set_minor_formatter(NullFormatter())
    _alpha_limits(axes, known, head.alpha_bounds, signed=signed)
    low, high = axes.get_ylim()
    for bound, name, below in ((head.alpha_bounds[0], "alpha_min", False), (head.alpha_bounds[1], "alpha_max", True)):
        if low <= bound <= high:
            axes.axhline(bound, color=_MUTED, linewidth=0.9, linestyle=":")
            axes.annotate(
                f"{name} {bound:g}", (0.995, bound), xycoords=("axes fraction", "data"), ha="right",
                xytext=(0, -2 if below else 2), textcoords="offset points", va="top" if below else "bottom",
                fontsize=7.5, color=_MUTED,
            )  # fmt: skip


def _alpha_limits(axes: Axes, known: Floats, bounds: tuple[float, float], *, signed: bool) -> None:
    """Shows at least two decades, and a bound only where alpha comes near it."""
    if signed:
        reach = max(float(np.abs(known).max()) if known.size else 0.0, 1e-2) * 1.6
        low = min(-reach / 10, 1.6 * bounds[0] if bounds[0] < 0 else 0.0, float(known.min(initial=0.0)) * 1.6)
        axes.set_ylim(low, reach)
        return
    if not known.size:
        return
    low, high = float(known.min()), float(known.max())
    middle = math.sqrt(low * high)
    axes.set_ylim(min(low / 1.8, middle / 10), max(high * 1.8, middle * 10))


def _draw_status(axes: Axes, head: HeadCurves) -> None:
    """Draws one coloured block per stretch of equal status, with its name where there is room."""
    whole = max(float(head.steps[-1]), 1.0)
    for status, left, right in stretches(head):
        if not status:
            continue
        axes.axvspan(left, right, color=STATUS_COLOURS.get(status, _MUTED), linewidth=0)
        if (right - left) / whole > 0.16:
            dark = status in {"TRACKING", "SATURATED", "COLLAPSED"}
            axes.text(
                (left + right) / 2, 0.47, status, ha="center", va="center", fontsize=7, color="white" if dark else _INK
            )
    axes.set_ylim(0, 1)
    axes.set_yticks([])


def draw_learning(reader: RunReader) -> Figure:
    """Returns the picture of the learning: win rates, matches, the critic, and what the game reports."""
    statistics = [key for key in reader.records[-1] if key.startswith("env/")]
    panels = 3 + len(statistics)
    rows = math.ceil(panels / _COLUMNS)
    figure = Figure(figsize=(13.0, 0.7 + 2.7 * rows), dpi=_DPI, layout="constrained")
    figure.suptitle(_title(reader, "how the agent learned"), fontsize=13, color=_INK, x=0.01, ha="left")
    axes = [figure.add_subplot(rows, _COLUMNS, index + 1) for index in range(panels)]
    _draw_pool(axes[0], reader)
    _draw_matches(axes[1], reader)
    _draw_critic(axes[2], reader)
    for panel, key in zip(axes[3:], statistics, strict=True):
        _draw_statistic(panel, reader, key)
    return figure


def _draw_pool(axes: Axes, reader: RunReader) -> None:
    axes.set_title("games against the pool", loc="left", fontsize=11, fontweight="bold", color=_INK)
    for key, label, colour in (
        ("selfplay/win_rate", "win rate", _INK),
        ("selfplay/draw_rate", "draw rate", "#e9a13b"),
    ):
        _curve(axes, *reader.series(key), colour=colour, label=label)
    axes.axhline(0.5, color=_MUTED, linewidth=0.7, linestyle=":")
    _style(axes, np.array(reader.series("agent_steps")[1]))
    axes.set_ylim(-0.03, 1.03)
    _legend(axes)


def _draw_matches(axes: Axes, reader: RunReader) -> None:
    axes.set_title("matches, win rate with 95 % interval", loc="left", fontsize=11, fontweight="bold", color=_INK)
    matches = reader.evaluations()
    if not matches:
        axes.text(0.5, 0.5, "no match played yet", ha="center", va="center", color=_MUTED)
        axes.set_axis_off()
        axes.title.set_visible(True)
        return
    for place, (who, (_, score)) in enumerate(matches.items()):
        low, high = score.interval
        rate = score.win_rate
        axes.plot([low, high], [place, place], color=_INK, linewidth=6, alpha=0.25, solid_capstyle="round")
        if not math.isnan(rate):
            axes.plot([rate], [place], "o", color=_INK, markersize=7)
        counts = f"{score.wins} won, {score.losses} lost, {score.draws} drawn"
        axes.text(0.0, place - 0.22, f"{who}   {counts}", fontsize=8, color=_INK, va="bottom", bbox=_PAPER)
    axes.axvline(0.5, color=_MUTED, linewidth=0.7, linestyle=":")
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(len(matches) - 0.4, -0.7)
    axes.set_yticks([])
    _plain(axes)


def _draw_critic(axes: Axes, reader: RunReader) -> None:
    axes.set_title("critic and step size", loc="left", fontsize=11, fontweight="bold", color=_INK)
    _curve(axes, *reader.series("ppo/explained_variance"), colour=_INK, label="explained variance")
    _curve(axes, *reader.series("ppo/clip_fraction"), colour="#e9a13b", label="clip fraction")
    _style(axes, np.array(reader.series("agent_steps")[1]))
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -1.0), max(min(high, 1.03), 0.1))
    _legend(axes)


def _draw_statistic(axes: Axes, reader: RunReader, key: str) -> None:
    axes.set_title(key.removeprefix("env/").replace("_", " "), loc="left", fontsize=11, color=_INK)
    steps, values = reader.series(key)
    _curve(axes, steps, values, colour=_INK, label="")
    if values and min(values) == max(values):
        axes.set_ylim(min(0.0, 2 * values[0]), max(0.0, 2 * values[0]) or 1.0)
    _style(axes, np.array(reader.series("agent_steps")[1]))


def _curve(axes: Axes, steps: Sequence[float], values: Sequence[float], *, colour: str, label: str) -> None:
    """Draws the raw values faintly and their running mean over a fortieth of the run on top."""
    if not steps:
        return
    window = max(1, len(values) // 40)
    if window > 1:
        axes.plot(steps, values, color=colour, linewidth=0.8, alpha=0.3)
    marker = "o" if len(steps) <= 3 else ""
    axes.plot(steps, running_mean(values, window), color=colour, linewidth=1.6, label=label, marker=marker)


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best", fontsize=8, framealpha=0.85, edgecolor="none")


def _style(axes: Axes, steps: Floats) -> None:
    axes.set_xlim(0, max(float(steps[-1]), 1.0))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: steps_text(value)))
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.grid(color=_GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=_MUTED, labelsize=8.5)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(_GRID)


def _title(reader: RunReader, what: str) -> str:
    return f"{reader.run_dir.resolve().name}: {what}, {steps_text(reader.agent_steps)} agent-steps"
