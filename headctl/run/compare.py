"""Several runs in one picture: a line per setting, a band over its seeds. Drawn as :mod:`headctl.run.plots` draws."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from headctl.run.changes import changed_keys
from headctl.run.curves import Floats
from headctl.run.findings import steps_text
from headctl.run.report import RunReader

COMPARISON_PICTURE = "comparison.png"
POINTS = 200
_COLOURS = ("#1d3557", "#e76f51", "#2a9d8f", "#7b2cbf", "#e9a13b", "#457b9d", "#d1495b", "#588157")
_INK, _MUTED, _GRID = "#1d3557", "#6c757d", "#dee2e6"
_NOT_A_SETTING = ("seed", "run.", "checkpoint.")


class Group(NamedTuple):
    """Runs that differ in their seeds only."""

    name: str
    readers: list[RunReader]


class Band(NamedTuple):
    """A metric of a group: mean, smallest and largest over the seeds, on a common axis of agent-steps ``[P]``."""

    steps: Floats
    mean: Floats
    low: Floats
    high: Floats


def group_runs(readers: Sequence[RunReader]) -> list[Group]:
    """Puts runs together that differ in seed and place only, and names the groups by what tells them apart."""
    configs = [reader.config.model_dump(mode="python") for reader in readers]
    groups: list[tuple[dict[str, object], list[RunReader]]] = []
    for reader, config in zip(readers, configs, strict=True):
        for first, members in groups:
            if not _settings(changed_keys(first, config)):
                members.append(reader)
                break
        else:
            groups.append((config, [reader]))
    if len(groups) == 1:
        name = readers[0].run_dir.resolve().name if len(readers) == 1 else f"{len(readers)} seeds"
        return [Group(name, list(readers))]
    different = dict.fromkeys(key for config, _ in groups[1:] for key in _settings(changed_keys(groups[0][0], config)))
    return [Group(_name(config, list(different), members), members) for config, members in groups]


def _settings(changed: dict[str, tuple[object, object]]) -> list[str]:
    return [key for key in changed if not key.startswith(_NOT_A_SETTING)]


def _name(config: dict[str, object], keys: Sequence[str], members: Sequence[RunReader]) -> str:
    if len(keys) > 3:
        return members[0].run_dir.resolve().name
    parts = []
    for key in keys:
        value: object = config
        for part in key.split("."):
            value = value.get(part, "-") if isinstance(value, dict) else "-"
        parts.append(f"{key.removeprefix('heads.')} {value}")
    return ", ".join(parts)


def band(readers: Sequence[RunReader], key: str) -> Band | None:
    """Returns a metric over the seeds, as far as all of them have come; ``None`` where no run has it.

    Between two records the value is interpolated; outside of a run's own records there is none.
    """
    series = [(np.array(steps), np.array(values)) for steps, values in (reader.series(key) for reader in readers)]
    series = [(steps, values) for steps, values in series if len(steps)]
    if not series:
        return None
    axis = np.linspace(max(steps[0] for steps, _ in series), min(steps[-1] for steps, _ in series), POINTS)
    if axis[-1] < axis[0]:
        return None
    table = np.stack([np.interp(axis, steps, values) for steps, values in series])
    return Band(axis, table.mean(0), table.min(0), table.max(0))


def write_comparison(readers: Sequence[RunReader], folder: Path) -> Path:
    """Draws the comparison.

    Args:
        readers: Two runs or more.
        folder: Where to; made if it is not there.

    Returns:
        The file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / f".{COMPARISON_PICTURE}"
    FigureCanvasAgg(draw_comparison(group_runs(readers))).print_png(str(scratch))
    return scratch.replace(folder / COMPARISON_PICTURE)


def draw_comparison(groups: Sequence[Group]) -> Figure:
    """Returns the picture: entropy against target and alpha of every head, win rates and the critic."""
    heads = list(dict.fromkeys(head for group in groups for reader in group.readers for head in reader.heads))
    rows = len(heads) + 1
    figure = Figure(figsize=(13.0, 1.1 + 2.8 * rows), dpi=130, layout="constrained")
    title = f"{sum(len(group.readers) for group in groups)} runs: mean, and the range over the seeds"
    figure.suptitle(title, fontsize=13, color=_INK, x=0.01, ha="left")
    for row, head in enumerate(heads):
        fraction, alpha = (figure.add_subplot(rows, 2, 2 * row + column) for column in (1, 2))
        _panel(fraction, groups, f"heads/{head}/fraction", f"{head}: entropy fraction, target dashed")
        for group, colour in zip(groups, _COLOURS * len(groups), strict=False):
            target = band(group.readers, f"heads/{head}/target_fraction")
            if target is not None:
                fraction.plot(target.steps, target.mean, color=colour, linewidth=0.9, linestyle=(0, (5, 2)))
        fraction.set_ylim(-0.03, 1.03)
        _panel(alpha, groups, f"heads/{head}/alpha", f"{head}: alpha")
        lows = [
            found.low.min() for group in groups if (found := band(group.readers, f"heads/{head}/alpha")) is not None
        ]
        if lows and min(lows) > 0:
            alpha.set_yscale("log")
            alpha.yaxis.set_minor_formatter(NullFormatter())
    rates, critic = (figure.add_subplot(rows, 2, 2 * rows - 1 + column) for column in (0, 1))
    _panel(rates, groups, "selfplay/win_rate", "win rate against the pool")
    _panel(critic, groups, "ppo/explained_variance", "explained variance of the critic")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=min(len(labels), 3) or 1, frameon=False, fontsize=9
    )
    return figure


def _panel(axes: Axes, groups: Sequence[Group], key: str, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=11, color=_INK)
    end = 1.0
    for group, colour in zip(groups, _COLOURS * len(groups), strict=False):
        found = band(group.readers, key)
        if found is None:
            continue
        count = len(group.readers)
        label = f"{group.name} ({count} seeds)" if count > 1 else group.name
        axes.plot(found.steps, found.mean, color=colour, linewidth=1.5, label=label)
        if count > 1:
            axes.fill_between(found.steps, found.low, found.high, color=colour, alpha=0.18, linewidth=0)
        end = max(end, math.ceil(float(found.steps[-1])))
    axes.set_xlim(0, end)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: steps_text(value)))
    axes.grid(color=_GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=_MUTED, labelsize=8.5)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(_GRID)
