"""The laboratory's two pictures: holding targets, and recovering from one out of reach.

Drawn with matplotlib's object interface on an Agg canvas: no pyplot, no global state, no display.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from headctl.run.lab.contestants import CONTESTANTS, COURSES, DISCRETE, HEADS, heads_of, unreachable_for_a_while
from headctl.run.lab.loop import Experiment, Trace
from headctl.run.lab.measures import Course
from headctl.run.lab.study import Plan, courses_of, run_all

TRACKING_PICTURE = "controller-tracking.png"
RECOVERY_PICTURE = "controller-recovery.png"

_COLOURS = {"pi floor": "#1d3557", "dual adam 0.01 unbounded": "#e76f51"}
_LABELS = {"pi floor": "pi, defaults", "dual adam 0.01 unbounded": "SAC rule, Adam 1e-2"}
_TARGET, _MUTED, _GRID = "#d1495b", "#6c757d", "#dee2e6"
_DPI = 110
_COURSE = "mix"


def write_pictures(folder: Path, plan: Plan) -> list[Path]:
    """Runs what the pictures show, on the first seed of the plan, and draws it.

    Args:
        folder: Where to; made if it is not there.
        plan: Seeds, iterations and processes; the contestants are the pictures' own.

    Returns:
        The files.
    """
    names = tuple(_COLOURS)
    seed = plan.seeds[0]
    held = [Experiment(heads_of(CONTESTANTS[name], COURSES[_COURSE]), seed) for name in names]
    asked = [Experiment(unreachable_for_a_while(CONTESTANTS[name]), seed) for name in names]
    traces = run_all([*held, *asked], plan)
    figures = {
        TRACKING_PICTURE: draw(traces[: len(names)], names, HEADS, f"three heads, a target each (seed {seed})"),
        RECOVERY_PICTURE: draw(
            traces[len(names) :], names, DISCRETE, f"a target out of reach for a quarter of the training (seed {seed})"
        ),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        FigureCanvasAgg(figure).print_png(str(folder / name))
    return [folder / name for name in figures]


def draw(traces: Sequence[Trace], contestants: Sequence[str], heads: Sequence[str], title: str) -> Figure:
    """Returns a picture with a row per head: fraction against target on the left, alpha on the right.

    Args:
        traces: One per contestant, on the same targets.
        contestants: Their names.
        heads: Which heads to show.
        title: Of the whole picture.
    """
    figure = Figure(figsize=(10.0, 0.8 + 2.1 * len(heads)), dpi=_DPI, layout="constrained")
    figure.suptitle(title, fontsize=12, x=0.01, ha="left")
    grid = figure.subplots(len(heads), 2, squeeze=False, sharex=True, width_ratios=[3, 2])
    for (left, right), head in zip(grid, heads, strict=True):
        courses = [courses_of(trace)[head] for trace in traces]
        _draw_fractions(left, head, courses, contestants)
        _draw_alphas(right, courses, contestants)
    for axes in grid[-1]:
        axes.set_xlabel("iteration", color=_MUTED)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), frameon=False, fontsize=9)
    return figure


def _draw_fractions(axes: Axes, head: str, courses: Sequence[Course], contestants: Sequence[str]) -> None:
    for course, name in zip(courses, contestants, strict=True):
        axes.plot(course.fraction, color=_COLOURS[name], linewidth=1.1, label=_LABELS[name])
    axes.plot(courses[0].target, color=_TARGET, linewidth=1.3, linestyle=(0, (5, 2)), label="target")
    highest = max(float(np.nanmax(course.fraction)) for course in courses)
    axes.set_ylim(0.0, max(1.02, highest, float(np.nanmax(courses[0].target)) + 0.03))
    axes.set_ylabel(f"{head}\nfraction", color=_MUTED)
    _style(axes)


def _draw_alphas(axes: Axes, courses: Sequence[Course], contestants: Sequence[str]) -> None:
    for course, name in zip(courses, contestants, strict=True):
        axes.plot(course.alpha, color=_COLOURS[name], linewidth=1.1)
    axes.set_yscale("log")
    axes.set_ylabel("alpha", color=_MUTED)
    _style(axes)


def _style(axes: Axes) -> None:
    axes.grid(color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_MUTED, labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.margins(x=0.01)
