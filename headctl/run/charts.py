"""Interactive charts of a run, as plain data for plotly.js: ``{"data": [...], "layout": {...}}``. Loads no plotly.

Shape legend: T records, P points that are drawn.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from headctl.run.curves import STATUS_COLOURS, Floats, HeadCurves, running_mean, stretches
from headctl.run.findings import steps_text
from headctl.run.metrics import find_metric, names_in
from headctl.run.report import RunReader
from headctl.selfplay.results import MatchResult

Chart = dict[str, Any]

INK, MUTED, TARGET, ALPHA, GRID, AMBER = "#1d3557", "#6c757d", "#d1495b", "#e76f51", "#e9ecef", "#e9a13b"
LINES = ("#1d3557", "#e76f51", "#2a9d8f", "#7b2cbf", "#e9a13b", "#457b9d", "#d1495b", "#588157")
POINTS_MAX = 1200
"""A longer curve is drawn by the means of equally long stretches."""
_STRETCHES_MAX = 240
_SIGNED_UNIT = 1e-3
"""Where a signed axis of alpha goes over from linear to logarithmic."""


def thinned(steps: Floats, *columns: Floats) -> tuple[Floats, ...]:
    """Returns curves of at most ``POINTS_MAX`` points: means of stretches of equal length, at their last agent-step.

    Args:
        steps: Agent-steps ``[T]``.
        columns: Values ``[T]``; NaN where there is none.

    Returns:
        Agent-steps and values ``[P]``; NaN where a stretch has no value at all.
    """
    size = math.ceil(len(steps) / POINTS_MAX)
    if size <= 1:
        return (steps, *columns)
    ends = np.append(np.arange(size, len(steps), size), len(steps)) - 1
    starts = np.arange(0, len(steps), size)
    out = [steps[ends]]
    for values in columns:
        known = np.isfinite(values)
        sums = np.add.reduceat(np.where(known, values, 0.0), starts)
        counts = np.add.reduceat(known.astype(np.float64), starts)
        out.append(np.divide(sums, counts, out=np.full(len(starts), math.nan), where=counts > 0))
    return tuple(out)


def plain(values: Floats | Sequence[float], digits: int = 6) -> list[float | None]:
    """Returns numbers as JSON takes them: rounded to significant digits, ``None`` where there is none."""
    return [float(f"{value:.{digits}g}") if math.isfinite(value) else None for value in np.asarray(values).tolist()]


def head_chart(head: HeadCurves) -> Chart:
    """Returns the chart of one head: fraction against target above alpha, the status as shade and as a strip."""
    steps, fraction, target, alpha, entropy, wanted = thinned(
        head.steps, head.fraction, head.target, head.alpha, head.entropy, head.target_entropy
    )
    x = plain(steps, 9)
    tips = [
        f"{_text(mean)} nats" + (f", target {_text(aim)} nats" if math.isfinite(aim) else "")
        for mean, aim in zip(entropy.tolist(), wanted.tolist(), strict=True)
    ]
    data: list[Chart] = [
        line(x, fraction, "entropy fraction", INK, text=tips, hovertemplate="%{y:.3f} (%{text})", mode=_mode(x)),
    ]
    if np.isfinite(target).any():
        data.append(line(x, target, "target", TARGET, dash="dash", hovertemplate="%{y:.3f}"))
    signed = bool((alpha[np.isfinite(alpha)] <= 0).any()) or head.alpha_bounds[0] < 0
    shown = np.arcsinh(alpha / _SIGNED_UNIT) if signed else alpha
    tips = [_text(value) for value in alpha.tolist()]
    alphas = line(x, shown, "alpha", ALPHA, text=tips, hovertemplate="%{text}", yaxis="y2", mode=_mode(x))
    data.append(alphas)
    layout = plain_layout(height=430)
    # One axis of agent-steps for both panels, below the lower one; the strip of the status lies between them.
    layout["xaxis"] |= {"anchor": "y2", "title": {"text": "agent-steps", "standoff": 8}, "range": [0, _end(head.steps)]}
    layout["yaxis"] |= {
        "domain": [0.49, 1.0],
        "range": _fraction_range(fraction, target),
        "title": {"text": "fraction of range"},
    }
    layout["yaxis2"] = {**layout["yaxis"], "domain": [0.0, 0.4], "title": {"text": "alpha"}}
    layout["yaxis2"] |= _signed_axis(alpha) if signed else _log_axis(alpha)
    shapes, notes = _status_shapes(head)
    shapes += [_bound(bound, signed=signed) for bound in head.alpha_bounds if _in_range(bound, alpha, signed=signed)]
    layout |= {"shapes": shapes, "annotations": notes}
    return {"data": data, "layout": layout}


def _fraction_range(fraction: Floats, target: Floats) -> list[float]:
    known = np.concatenate([fraction, target])
    known = known[np.isfinite(known)]
    return [min(0.0, float(known.min(initial=0.0))) - 0.03, max(1.0, float(known.max(initial=1.0))) + 0.03]


def _log_axis(alpha: Floats) -> Chart:
    """Shows at least two decades."""
    known = alpha[np.isfinite(alpha) & (alpha > 0)]
    axis: Chart = {"type": "log", "dtick": 1, "exponentformat": "power", "range": None}
    if known.size:
        low, high = math.log10(float(known.min())), math.log10(float(known.max()))
        middle = (low + high) / 2
        axis["range"] = [min(low - 0.2, middle - 1.0), max(high + 0.2, middle + 1.0)]
    return axis


def _signed_axis(alpha: Floats) -> Chart:
    """Labels an axis of ``arcsinh(alpha / unit)`` by alpha: logarithmic on either side of zero."""
    ticks = [sign * 10.0**power for sign in (-1, 1) for power in (-3, -2, -1, 0, 1, 2)]
    ticks = sorted([*ticks, 0.0])
    known = alpha[np.isfinite(alpha)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    reach = max(abs(low), abs(high), 1e-2)
    ends = np.arcsinh(np.array([min(1.6 * low, -reach / 10), max(1.6 * high, reach)]) / _SIGNED_UNIT)
    return {
        "type": "linear",
        "tickvals": plain(np.arcsinh(np.array(ticks) / _SIGNED_UNIT)),
        "ticktext": [f"{tick:g}" for tick in ticks],
        "range": plain(ends),
    }


def _in_range(bound: float, alpha: Floats, *, signed: bool) -> bool:
    if not math.isfinite(bound):
        return False
    axis = _signed_axis(alpha) if signed else _log_axis(alpha)
    place = math.asinh(bound / _SIGNED_UNIT) if signed else math.log10(bound) if bound > 0 else -math.inf
    return axis["range"] is not None and axis["range"][0] <= place <= axis["range"][1]


def _bound(bound: float, *, signed: bool) -> Chart:
    """Returns the line of a bound of alpha. A shape on a log axis stands at the value itself."""
    place = math.asinh(bound / _SIGNED_UNIT) if signed else bound
    return {
        "type": "line", "xref": "x domain", "x0": 0, "x1": 1, "yref": "y2", "y0": place, "y1": place,
        "line": {"color": MUTED, "width": 1, "dash": "dot"},
        "label": {"text": f"bound {bound:g}", "textposition": "end", "font": {"size": 10, "color": MUTED}},
    }  # fmt: skip


def _status_shapes(head: HeadCurves) -> tuple[list[Chart], list[Chart]]:
    """Returns the shade behind the entropy and the strip between the panels, with names where there is room."""
    whole = _end(head.steps)
    shapes: list[Chart] = []
    notes: list[Chart] = []
    for status, left, right in stretches(_coarse(head)):
        if not status:
            continue
        colour = STATUS_COLOURS.get(status, MUTED)
        block = {"type": "rect", "xref": "x", "x0": left, "x1": right, "line": {"width": 0}, "fillcolor": colour}
        shapes.append(block | {"yref": "y domain", "y0": 0, "y1": 1, "opacity": 0.13, "layer": "below"})
        shapes.append(block | {"yref": "paper", "y0": 0.425, "y1": 0.465, "layer": "above"})
        if (right - left) / whole > 0.14:
            ink = "white" if status in {"TRACKING", "SATURATED", "COLLAPSED"} else INK
            notes.append(
                {
                    "xref": "x", "x": (left + right) / 2, "yref": "paper", "y": 0.445, "text": status.lower(),
                    "showarrow": False, "font": {"size": 10, "color": ink}, "yanchor": "middle",
                }
            )  # fmt: skip
    return shapes, notes


def _coarse(head: HeadCurves) -> HeadCurves:
    """Lets the most frequent status of a stretch stand for all of it where the run is long."""
    size = math.ceil(len(head.statuses) / _STRETCHES_MAX)
    if size <= 1:
        return head
    parts = range(0, len(head.statuses), size)
    statuses = [Counter(head.statuses[start : start + size]).most_common(1)[0][0] for start in parts]
    ends = [min(start + size, len(head.statuses)) - 1 for start in parts]
    return head._replace(statuses=statuses, steps=head.steps[ends])


def rates_chart(reader: RunReader) -> Chart:
    """Returns win and draw rate against the pool, and the win rate against every opponent of an evaluation."""
    data = _smooth(reader, "selfplay/win_rate", "won against the pool", INK)
    data += _smooth(reader, "selfplay/draw_rate", "drawn against the pool", AMBER)
    pilots = dict.fromkeys(who for record in reader.records for who in names_in(record, "eval"))
    for who, colour in zip(pilots, LINES[1:] * len(pilots), strict=False):
        steps, rates = reader.series(f"eval/{who}/win_rate")
        if steps:
            data.append(line(steps, np.array(rates), f"won against {who}", colour, mode="lines+markers"))
    layout = learning_layout(reader, height=380)
    layout["yaxis"] |= {"range": [-0.03, 1.03], "tickformat": ".0%"}
    layout["shapes"] = [
        {
            "type": "line", "xref": "x domain", "x0": 0, "x1": 1, "y0": 0.5, "y1": 0.5,
            "line": {"color": MUTED, "width": 1, "dash": "dot"},
        }
    ]  # fmt: skip
    return {"data": data, "layout": layout}


def matches_chart(matches: dict[str, tuple[int, MatchResult]]) -> Chart:
    """Returns the newest match against every opponent: win rate of the decided games with its 95 % interval."""
    names = list(matches)
    scores = [score for _, score in matches.values()]
    rates = [score.win_rate for score in scores]
    middles = [sum(score.interval) / 2 if math.isnan(score.win_rate) else score.win_rate for score in scores]
    bars = {
        "type": "data",
        "symmetric": False,
        "array": plain([score.interval[1] - middle for score, middle in zip(scores, middles, strict=True)]),
        "arrayminus": plain([middle - score.interval[0] for score, middle in zip(scores, middles, strict=True)]),
        "color": INK,
        "thickness": 2,
    }
    tips = [f"{score.wins} won, {score.losses} lost, {score.draws} drawn" for score in scores]
    trace = {
        "type": "scatter", "mode": "markers", "x": plain(middles), "y": names, "error_x": bars, "text": tips,
        "hovertemplate": "%{y}: %{x:.1%}<br>%{text}<extra></extra>", "showlegend": False,
        "marker": {"size": 11, "color": ["#ffffff" if math.isnan(rate) else INK for rate in rates],
                   "line": {"color": INK, "width": 2}},
    }  # fmt: skip
    layout = plain_layout(height=110 + 46 * len(names))
    layout["xaxis"] |= {"range": [-0.03, 1.03], "tickformat": ".0%"}
    layout["yaxis"] |= {"autorange": "reversed", "showgrid": False, "automargin": True}
    layout["margin"] |= {"t": 10, "b": 30}
    layout["hovermode"] = "closest"
    return {"data": [trace], "layout": layout}


def critic_chart(reader: RunReader) -> Chart:
    """Returns how much of the returns the critic foresees, and how many rows an update clips."""
    data = _smooth(reader, "ppo/explained_variance", "explained variance", INK)
    data += _smooth(reader, "ppo/clip_fraction", "clip fraction", AMBER)
    layout = learning_layout(reader, height=380)
    values = np.array([*reader.series("ppo/explained_variance")[1], 0.0])
    layout["yaxis"] |= {"range": [max(float(values.min()), -1.0) - 0.03, 1.03]}
    return {"data": data, "layout": layout}


def statistic_chart(reader: RunReader, key: str, colour: str = INK) -> Chart:
    """Returns the course of any metric."""
    layout = learning_layout(reader, height=230)
    layout["showlegend"] = False
    metric = find_metric(key)
    if metric is not None and metric.unit not in {"1", "see game"}:
        layout["yaxis"]["title"] = {"text": metric.unit}
    return {"data": _smooth(reader, key, key.partition("/")[2], colour), "layout": layout}


def _smooth(reader: RunReader, key: str, name: str, colour: str) -> list[Chart]:
    """Draws the raw values faintly and their running mean over a fortieth of the run on top."""
    steps, values = reader.series(key)
    if not steps:
        return []
    window = max(1, len(values) // 40)
    x, raw, mean = thinned(np.array(steps), np.array(values), running_mean(values, window))
    mode = _mode(plain(x))
    lines = [line(plain(x, 9), mean, name, colour, legendgroup=key, mode=mode)]
    if window > 1:
        faint = line(plain(x, 9), raw, name, colour, width=1, legendgroup=key, showlegend=False, hoverinfo="skip")
        lines.insert(0, faint | {"opacity": 0.25})
    return lines


def line(
    x: Sequence[Any], y: Floats, name: str, colour: str, *, width: float = 2, dash: str = "solid", **more: Any
) -> Chart:
    """Returns a curve.

    Args:
        x: Places ``[P]``.
        y: Values ``[P]``; NaN leaves a gap.
        name: What the legend calls it.
        colour: Of the line.
        width: Of the line, in pixels; 0 for none.
        dash: ``solid``, ``dash`` or ``dot``.
        more: Anything else that a scatter trace takes.
    """
    look = {"color": colour, "width": width, "dash": dash}
    return {"type": "scatter", "mode": "lines", "x": list(x), "y": plain(y), "name": name, "line": look, **more}


def _mode(x: Sequence[Any]) -> str:
    return "lines+markers" if len(x) <= 3 else "lines"


def plain_layout(height: int) -> Chart:
    """Returns the look that all charts share, so many pixels high."""
    axis = {"gridcolor": GRID, "zeroline": False, "linecolor": "#ced4da", "tickcolor": "#ced4da", "ticks": "outside"}
    return {
        "height": height,
        "margin": {"l": 64, "r": 18, "t": 34, "b": 44},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 12, "color": "#495057"},
        "hovermode": "x unified",
        "hoverlabel": {"bgcolor": "white", "bordercolor": "#ced4da"},
        "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "xanchor": "left"},
        "xaxis": dict(axis),
        "yaxis": dict(axis),
    }


def learning_layout(reader: RunReader, height: int) -> Chart:
    """Returns the look of a chart over the whole training, so many pixels high."""
    layout = plain_layout(height)
    layout["xaxis"] |= {"range": [0, max(reader.agent_steps, 1)], "title": {"text": "agent-steps", "standoff": 8}}
    # Below the chart, where any number of names has room.
    layout["legend"] |= {"y": -0.22, "yanchor": "top"}
    layout["margin"] = {"l": 58, "r": 16, "t": 12, "b": 44}
    return layout


def _end(steps: Floats) -> float:
    return max(float(steps[-1]), 1.0)


def _text(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "-"


def caption(curves: HeadCurves) -> str:
    """Returns a head's law and target in a few words."""
    law = " ".join(part for part in (curves.law, curves.mode) if part)
    target = f", target {curves.target_text}" if curves.target_text else ""
    return f"{law}{target}, {steps_text(_end(curves.steps))} agent-steps"
