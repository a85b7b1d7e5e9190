"""The pictures of the concepts page: ``python docs/pictures.py`` draws them into ``docs/images``.

They are computed, not painted: distributions from their temperatures, and the statuses by the controller itself, on
heads that learn. Drawn with matplotlib's object interface: no pyplot, no global state, no display.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch
from numpy.typing import NDArray

from headctl import MultiHeadEntropyController
from headctl.entropy.status import HeadStatus
from headctl.run.curves import STATUS_COLOURS

INK, MUTED, GREY, TARGET, ALPHA = "#1d3557", "#6c757d", "#dee2e6", "#d1495b", "#e76f51"
Floats = NDArray[np.float64]


def main(folder: Path) -> list[Path]:
    """Draws all pictures into a folder and returns the files."""
    figures = {
        "concept-fraction.svg": draw_fractions(),
        "concept-capacity.svg": draw_capacity(),
        "concept-loop.svg": draw_loop(),
        "concept-status.svg": draw_statuses(),
        "concept-league.svg": draw_league(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    # Neither the date nor random names: the same code draws the same file.
    with rc_context({"svg.hashsalt": "headctl", "svg.fonttype": "none"}):
        for name, figure in figures.items():
            FigureCanvasSVG(figure).print_svg(str(folder / name), metadata={"Date": None, "Creator": None})
    return [folder / name for name in figures]


# Entropy, fraction, effective actions --------------------------------------------------------------------------------


def entropy(probabilities: Floats) -> float:
    """Returns ``-sum p log p`` in nats."""
    known = probabilities[probabilities > 0]
    return float(-(known * np.log(known)).sum())


def with_fraction(preferences: Floats, fraction: float) -> Floats:
    """Returns ``softmax(preferences / temperature)`` with the temperature that gives it this fraction."""
    low, high = -7.0, 7.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (
            (middle, high)
            if entropy(softmax(preferences / math.exp(middle))) < fraction * math.log(len(preferences))
            else (low, middle)
        )
    return softmax(preferences / math.exp(low))


def softmax(logits: Floats) -> Floats:
    """Returns the probabilities of logits."""
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def draw_fractions() -> Figure:
    """The same head, sure of itself to different degrees."""
    preferences = np.array([0.9, 0.2, 1.0, 0.55, 0.3, 0.75, 0.1, 0.45])
    fractions = (1.0, 0.8, 0.5, 0.3, 0.05)
    figure = Figure(figsize=(10.5, 2.3), layout="constrained")
    for place, fraction in enumerate(fractions):
        axes = figure.add_subplot(1, len(fractions), place + 1)
        shown = np.full(8, 1 / 8) if fraction == 1.0 else with_fraction(preferences, fraction)
        axes.bar(range(8), shown, color=INK, width=0.75)
        axes.set_ylim(0, 1)
        nats = entropy(shown)
        axes.set_title(f"fraction {fraction:g}", fontsize=11, fontweight="bold", color=INK)
        axes.set_xlabel(f"{nats:.2f} nats\n{math.exp(nats):.1f} effective actions", fontsize=9, color=MUTED)
        _plain(axes)
        axes.set_xticks([])
        if place:
            axes.set_yticklabels([])
        else:
            axes.set_ylabel("probability", fontsize=9, color=MUTED)
    return figure


def draw_capacity() -> Figure:
    """Masks change what a head can reach; rows without a choice do not count."""
    figure = Figure(figsize=(10.5, 2.5), layout="constrained")
    cases: tuple[tuple[str, Sequence[float]], ...] = (
        ("four legal actions", (0.4, 0.3, 0.2, 0.1)),
        ("two legal actions", (0.7, 0.3, 0.0, 0.0)),
        ("one legal action", (1.0, 0.0, 0.0, 0.0)),
        ("dead", (0.0, 0.0, 0.0, 0.0)),
    )
    legal = (4, 2, 1, 0)
    names = ("hold", "gun", "missile", "flare")
    for place, ((title, probabilities), count) in enumerate(zip(cases, legal, strict=True)):
        axes = figure.add_subplot(1, len(cases), place + 1)
        axes.bar(range(count), probabilities[:count], color=INK, width=0.75)
        axes.bar(range(count, 4), [1.0] * (4 - count), color=GREY, width=0.75, hatch="//", edgecolor="white")
        axes.set_ylim(0, 1)
        axes.set_xticks(range(4), names, fontsize=8)
        axes.set_title(title, fontsize=11, fontweight="bold", color=INK)
        if count > 1:
            nats, most = entropy(np.array(probabilities)), math.log(count)
            text = f"weight 1\nentropy {nats:.2f}, capacity log {count} = {most:.2f}"
        else:
            text = "weight 0\nneither measured nor paid for"
        axes.set_xlabel(text, fontsize=9, color=MUTED)
        _plain(axes)
        axes.set_yticklabels([])
    return figure


# The loop -------------------------------------------------------------------------------------------------------------


def draw_loop() -> Figure:
    """What moves what, for one head."""
    figure = Figure(figsize=(10.5, 2.6), layout="constrained")
    axes = _canvas(figure, (0, 10.5), (0, 2.6))
    boxes = {
        "policy": (0.2, 1.25, 1.9, "policy\nhead weapon"),
        "measure": (3.1, 1.25, 2.1, "measure\nfraction = ΣwH / ΣwC"),
        "control": (6.2, 1.25, 1.9, "controller\nerror = target - fraction"),
        "bonus": (8.9, 1.25, 1.4, "loss\n- alpha · H"),
    }
    for name, (x, y, width, text) in boxes.items():
        _box(axes, (x, y, width, 0.9), text, "#e9f1f7" if name != "control" else "#fde8e0")
    for (x0, x1), text in (
        ((2.1, 3.1), "H, C, w\nof every row"),
        ((5.2, 6.2), "fraction"),
        ((8.1, 8.9), "alpha"),
    ):
        _arrow(axes, (x0, 1.7), (x1, 1.7))
        axes.text((x0 + x1) / 2, 1.83, text, ha="center", va="bottom", fontsize=9, color=MUTED)
    axes.text(7.15, 2.55, "target: a number or a schedule", ha="center", va="top", fontsize=9, color=TARGET)
    _arrow(axes, (7.15, 2.36), (7.15, 2.15), TARGET)
    _arrow(axes, (9.6, 1.25), (1.15, 1.25), INK, "arc3,rad=-0.16")
    axes.text(
        5.3, 0.28, "gradient, beside that of the surrogate: alpha up, the head becomes more random; alpha down, surer",
        ha="center", va="center", fontsize=9, color=MUTED,
    )  # fmt: skip
    return figure


# Statuses -------------------------------------------------------------------------------------------------------------

LEARNERS: Mapping[str, tuple[Mapping[str, Any], int, float, str]] = {
    "tracking": (
        {"target": {"schedule": "linear", "start": 0.8, "end": 0.3, "until": 0.8}, "alpha_max": 2.0},
        1,
        1.0,
        "reward pulls, alpha holds against it",
    ),
    "slack": ({"target": 0.3}, 3, 1.0, "three choices are equally good"),
    "saturated": ({"target": 0.7, "alpha_max": 0.15}, 1, 1.0, "alpha_max is too low for the target"),
    "collapsed": (
        {"target": 0.4, "alpha_init": 0.0005, "alpha_max": 0.001},
        1,
        3.0,
        "next to no alpha, and a strong reward",
    ),
}
"""Head -> its controller, how many choices earn something and how much, and what that shows."""
CHOICES, UPDATES = 9, 900


def learn() -> dict[str, dict[str, Floats]]:
    """Lets heads learn a choice each by exact policy gradients, under the controller."""
    controller = MultiHeadEntropyController(
        {name: {**spec, "choices": CHOICES} for name, (spec, *_) in LEARNERS.items()}
    )
    reward = torch.zeros(len(LEARNERS), CHOICES)
    for row, (_, good, earns, _) in enumerate(LEARNERS.values()):
        reward[row, :good] = earns
    logits = torch.zeros(len(LEARNERS), CHOICES, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.03)
    told: dict[str, dict[str, list[float]]] = {
        name: {key: [] for key in ("fraction", "target", "alpha", "status")} for name in LEARNERS
    }
    for update in range(UPDATES):
        log_probs = torch.log_softmax(logits, -1)
        entropies = -(log_probs.exp() * log_probs).sum(-1)
        packed = entropies.unsqueeze(0)
        loss = -(log_probs.exp() * reward).sum() - controller.bonus(packed)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        controller.observe(packed.detach())
        controller.step(progress=update / UPDATES)
        if update % 3 == 0:
            metrics = controller.metrics()
            for name, course in told.items():
                known = {key: metrics[f"heads/{name}/{key}"] for key in ("fraction", "alpha", "status")}
                for key, value in (known | {"target": metrics[f"heads/{name}/target_fraction"]}).items():
                    course[key].append(float(value))
    return {name: {key: np.array(values) for key, values in course.items()} for name, course in told.items()}


def draw_statuses() -> Figure:
    """Every status as it comes about: fraction against target, the status as shade, alpha below."""
    figure = Figure(figsize=(10.5, 3.9), layout="constrained")
    grid = figure.add_gridspec(2, len(LEARNERS), height_ratios=[2, 1])
    used: dict[str, None] = {}
    for column, (name, course) in enumerate(learn().items()):
        upper, lower = (figure.add_subplot(grid[row, column]) for row in (0, 1))
        updates = np.arange(len(course["alpha"])) * UPDATES / len(course["alpha"])
        upper.plot(updates, course["fraction"], color=INK, linewidth=1.6, label="entropy fraction")
        upper.plot(updates, course["target"], color=TARGET, linewidth=1.4, linestyle=(0, (5, 2)), label="target")
        upper.set_ylim(-0.03, 1.03)
        upper.set_title(f"{name}\n", fontsize=11, fontweight="bold", color=INK)
        upper.text(0.5, 1.04, LEARNERS[name][3], transform=upper.transAxes, ha="center", fontsize=8.5, color=MUTED)
        changes = [0, *(np.flatnonzero(np.diff(course["status"])) + 1).tolist(), len(updates)]
        for start, end in pairwise(changes):
            status = HeadStatus(int(course["status"][start])).name
            used[status] = None
            last = updates[end - 1] if end < len(updates) else UPDATES
            upper.axvspan(updates[start], last, color=STATUS_COLOURS[status], alpha=0.28, linewidth=0)
        lower.plot(updates, course["alpha"], color=ALPHA, linewidth=1.6)
        lower.set_yscale("log")
        lower.set_ylim(2e-5, 3)
        lower.set_xlabel("updates", fontsize=9, color=MUTED)
        for axes in (upper, lower):
            _plain(axes)
            axes.set_xlim(0, UPDATES)
            if column:
                axes.set_yticklabels([])
        upper.set_xticklabels([])
        if not column:
            upper.legend(fontsize=8, loc="lower left", framealpha=0.85, edgecolor="none")
            lower.set_ylabel("alpha", fontsize=9, color=MUTED)
    patches = [Patch(color=STATUS_COLOURS[status], alpha=0.5, label=status) for status in used]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(used), frameon=False, fontsize=9)
    return figure


# The league -----------------------------------------------------------------------------------------------------------


def draw_league() -> Figure:
    """Who plays whom."""
    figure = Figure(figsize=(10.5, 2.7), layout="constrained")
    axes = _canvas(figure, (0, 10.5), (0, 2.7))
    _box(axes, (0.3, 1.55, 2.2, 0.8), "learner\nboth sides learn", "#fde8e0")
    _box(axes, (4.1, 1.55, 2.3, 0.8), "games\nin one batch", "#e9f1f7")
    _box(axes, (8.0, 1.55, 2.2, 0.8), "pool of snapshots\nfrozen", "#e9f1f7")
    _arrow(axes, (2.5, 2.1), (4.1, 2.1))
    axes.text(3.3, 2.17, "itself:\nlatest_share", ha="center", va="bottom", fontsize=9, color=MUTED)
    _arrow(axes, (8.0, 1.95), (6.4, 1.95))
    axes.text(7.2, 2.03, "opponents:\nthe rest, both seats", ha="center", va="bottom", fontsize=9, color=MUTED)
    _arrow(axes, (4.1, 1.75), (2.5, 1.75))
    axes.text(3.3, 1.66, "rollout", ha="center", va="top", fontsize=9, color=MUTED)
    _arrow(axes, (1.4, 1.55), (9.1, 1.55), INK, "arc3,rad=0.14")
    axes.text(5.25, 0.62, "a copy every snapshot_every agent-steps", ha="center", va="center", fontsize=9, color=MUTED)
    return figure


# Drawing --------------------------------------------------------------------------------------------------------------


def _plain(axes: Axes) -> None:
    axes.tick_params(colors=MUTED, labelsize=8)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(GREY)


def _canvas(figure: Figure, width: tuple[float, float], height: tuple[float, float]) -> Axes:
    axes = figure.add_subplot()
    axes.set_xlim(*width)
    axes.set_ylim(*height)
    axes.set_axis_off()
    return axes


def _box(axes: Axes, place: tuple[float, float, float, float], text: str, colour: str) -> None:
    x, y, width, height = place
    style = "round,pad=0,rounding_size=0.08"
    axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=style, facecolor=colour, edgecolor=INK, linewidth=1))
    first, _, rest = text.partition("\n")
    middle = x + width / 2
    axes.text(middle, y + height * 0.66, first, ha="center", va="center", fontsize=10.5, fontweight="bold", color=INK)
    axes.text(middle, y + height * 0.3, rest, ha="center", va="center", fontsize=9, color=MUTED)


def _arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = INK, bend: str = "arc3"
) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=12, color=colour, connectionstyle=bend, linewidth=1.2
        )
    )


if __name__ == "__main__":
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images"
    for path in main(place):
        sys.stdout.write(f"{path}\n")
