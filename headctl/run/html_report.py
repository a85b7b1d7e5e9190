"""``headctl report``: a run as one page that opens offline, with interactive charts and fights to be watched.

The words stand in the page as they are; the charts are data for plotly.js, which is part of the page.
"""

import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from headctl import __version__
from headctl.run.charts import (
    Chart,
    caption,
    critic_chart,
    head_chart,
    matches_chart,
    rates_chart,
    statistic_chart,
)
from headctl.run.config import RunConfig, to_yaml
from headctl.run.curves import STATUS_COLOURS, head_curves
from headctl.run.findings import Finding, HeadReport, steps_text
from headctl.run.league_charts import course_chart, payoff_chart, ratings_chart
from headctl.run.league_games import LeagueGames, read_league_games
from headctl.run.report import Report, RunReader, build_report
from headctl.run.report_view import duration_text, number_text
from headctl.selfplay.results import MatchResult

PAGE = "report.html"
REPORT_DIR = "report"

_DARK = {"TRACKING", "SATURATED", "COLLAPSED"}
_SECTIONS = {
    "heads": "Heads",
    "findings": "Findings",
    "curves": "Curves",
    "learning": "Learning",
    "league": "League",
    "fights": "Fights",
    "configuration": "Configuration",
}

Story = Mapping[str, Any]
"""A fight as :meth:`headctl.run.replay.Story.to_json` tells it."""


def write_page(reader: RunReader, stories: Sequence[Story] = (), out: Path | None = None, why_none: str = "") -> Path:
    """Writes the page of a run.

    Args:
        reader: The run.
        stories: Fights to show.
        out: File to write; ``report/report.html`` of the run by default.
        why_none: What the page says in place of fights.

    Returns:
        The file.
    """
    path = reader.run_dir / REPORT_DIR / PAGE if out is None else out
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}")
    scratch.write_text(page(reader, stories, why_none), encoding="utf-8")
    scratch.replace(path)
    return path


def page(reader: RunReader, stories: Sequence[Story] = (), why_none: str = "") -> str:
    """Returns the page as text."""
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - five megabytes that no other command reads

    report = build_report(reader)
    league = read_league_games(reader.run_dir)
    charts = _charts(reader, report) | _league_charts(reader, league)
    sections = {
        "heads": _heads(report),
        "findings": _findings(report.findings),
        "curves": _curves(reader),
        "learning": _learning(reader, report, charts),
        **({} if league is None else {"league": _league(league, charts)}),
        "fights": _fights(stories, why_none),
        "configuration": _configuration(reader.config),
    }
    shown = [f'<section id="{key}"><h2>{_SECTIONS[key]}</h2>\n{body}\n</section>' for key, body in sections.items()]
    links = "".join(f'<a href="#{key}">{_SECTIONS[key]}</a>' for key in sections)
    name = reader.run_dir.resolve().name
    return Template(_resource("page.html")).substitute(
        title=escape(f"{name}: what every head did"),
        css=_resource("page.css"),
        facts=_facts(reader, report),
        links=links,
        sections="\n".join(shown),
        footer=f"Made by headctl {__version__} from {escape(str(reader.run_dir))}. "
        "Entropies are in nats; positive means more random.",
        plotly=get_plotlyjs(),
        charts=_json(charts),
        fights=_json({f"fight-{index}": story for index, story in enumerate(stories)}),
        script=_resource("page.js"),
    )


def _resource(name: str) -> str:
    return (files("headctl.run") / "page" / name).read_text(encoding="utf-8")


def _json(content: object) -> str:
    """Returns JSON that may stand inside of a script element."""
    return json.dumps(_finite(content), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _finite(content: object) -> object:
    """Returns plain data in which nothing stands for NaN and infinity: a gap in a curve."""
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _charts(reader: RunReader, report: Report) -> dict[str, Chart]:
    charts = {f"head-{index}": head_chart(head_curves(reader, head)) for index, head in enumerate(reader.heads)}
    charts["rates"] = rates_chart(reader)
    charts["critic"] = critic_chart(reader)
    if report.evaluations:
        charts["matches"] = matches_chart(report.evaluations)
    return charts | {
        f"statistic-{index}": statistic_chart(reader, key) for index, key in enumerate(_statistics(reader))
    }


def _statistics(reader: RunReader) -> list[str]:
    """Returns the metrics with a small chart each: the game's own, and those of the update that people ask for."""
    own = [key for key in reader.records[-1] if key.startswith("env/")]
    return [*own, "ppo/approx_kl", "ppo/value_loss", "perf/agent_steps_per_s"]


def _facts(reader: RunReader, report: Report) -> str:
    state = "finished" if report.finished else "not finished"
    config = reader.config
    facts = [
        f"<b>{steps_text(report.agent_steps)}</b> of {steps_text(report.total_steps)} agent-steps, {state}",
        f"game <b>{escape(config.game.name)}</b>",
        f"seed <b>{config.seed}</b>",
    ]
    if not math.isnan(report.agent_steps_per_s):
        facts.append(f"{duration_text(report.elapsed_s)}, {report.agent_steps_per_s:,.0f} agent-steps/s")
    return " &nbsp;&middot;&nbsp; ".join(facts)


def _status_style(status: str) -> str:
    ink = "white" if status in _DARK else "#1d3557"
    return f"--status:{STATUS_COLOURS.get(status, '#adb5bd')};--on-status:{ink}"


def _heads(report: Report) -> str:
    return f'<div class="grid">{"".join(_head_card(head) for head in report.heads)}</div>'


def _head_card(head: HeadReport) -> str:
    def percent(value: float) -> float:
        return 0.0 if math.isnan(value) else 100.0 * min(max(value, 0.0), 1.0)

    mark = "" if math.isnan(head.target_fraction) else f'<b style="left:{percent(head.target_fraction):.1f}%"></b>'
    law = " ".join(part for part in (head.law, head.mode) if part)
    shares = ", ".join(
        f"{status.lower()} {share:.0%}" for status, share in head.status_shares.items() if share >= 0.005
    )
    bounds = "" if head.alpha_min == head.alpha_max else f" in {head.alpha_min:g} .. {head.alpha_max:g}"
    rows = {
        "fraction / target": f"{number_text(head.fraction)} / {number_text(head.target_fraction)}",
        "entropy / most": f"{number_text(head.entropy, 2)} / {number_text(head.capacity, 2)} nats",
        "alpha": f"<b>{number_text(head.alpha, 4)}</b>{escape(bounds)}",
        "short of target": number_text(head.shortfall),
        "rows with a choice": "-" if math.isnan(head.active_share) else f"{head.active_share:.0%}",
        "time": escape(shares) or "-",
    }
    listed = "".join(f"<dt>{key}</dt><dd>{value}</dd>" for key, value in rows.items())
    target = f", target {escape(head.target)}" if head.target else ""
    return (
        f'<div class="card head-card" style="{_status_style(head.status)}">'
        f'<div class="row"><h3>{escape(head.name)}</h3><span class="chip">{head.status or "-"}</span></div>'
        f'<div class="sub">{escape(law)}{target}</div>'
        f'<div class="bar" title="entropy as a fraction of the head\'s range, and its target">'
        f'<i style="width:{percent(head.fraction):.1f}%"></i>{mark}</div><dl>{listed}</dl></div>'
    )


def _findings(findings: Sequence[Finding]) -> str:
    rows = "".join(
        f'<li><span class="level {finding.level}">{finding.level}</span><b>{escape(finding.head or "run")}</b>'
        f"<p>{escape(finding.text)}</p></li>"
        for finding in findings
    )
    return f'<div class="card"><ul class="findings">{rows or "<li>Nothing stands out.</li>"}</ul></div>'


def _curves(reader: RunReader) -> str:
    seen = {status for head in reader.heads for status in reader.statuses(head)}
    legend = "".join(
        f'<span><i style="background:{colour}"></i>{status.lower()}</span>'
        for status, colour in STATUS_COLOURS.items()
        if status in seen
    )
    cards = "".join(
        f'<div class="card"><h3>{escape(head)}</h3><div class="sub">{escape(caption(head_curves(reader, head)))}</div>'
        f'<div id="head-{index}" class="chart"></div></div>'
        for index, head in enumerate(reader.heads)
    )
    return f'<p class="legend">{legend}</p>{cards}'


def _learning(reader: RunReader, report: Report, charts: Mapping[str, Chart]) -> str:
    def card(key: str, title: str) -> str:
        return f'<div class="card"><h3>{escape(title)}</h3><div id="{key}" class="chart"></div></div>'

    large = [card("rates", "Win rates"), card("critic", "Critic and step size")]
    if "matches" in charts:
        large.append(
            f'<div class="card all"><h3>Newest match against everybody</h3><div class="sub">Win rate of the decided '
            f'games, with its 95 % interval.</div><div class="beside"><div id="matches" class="chart"></div>'
            f"<div>{_match_table(report.evaluations)}</div></div></div>"
        )
    small = [
        card(f"statistic-{index}", key.partition("/")[2].replace("_", " "))
        for index, key in enumerate(_statistics(reader))
    ]
    return f'<div class="pair">{"".join(large)}</div><br><div class="grid">{"".join(small)}</div>'


def _league_charts(reader: RunReader, league: LeagueGames | None) -> dict[str, Chart]:
    if league is None:
        return {}
    charts = {"payoff": payoff_chart(league), "ratings": ratings_chart(league)}
    course = course_chart(reader)
    return charts | ({"rating-course": course} if course["data"] else {})


def _league(league: LeagueGames, charts: Mapping[str, Chart]) -> str:
    def card(key: str, title: str, words: str) -> str:
        return (
            f'<div class="card"><h3>{title}</h3><div class="sub">{words}</div>'
            f'<div id="{key}" class="chart"></div></div>'
        )

    anchor = f"; {escape(league.anchor)} is 1000" if league.anchor else "; the mean is 1000"
    cards = [
        card("payoff", "Payoff matrix", "Score of the row against the column; a draw is half a win. Blank: never met."),
        card("ratings", "Ratings", f"Bradley-Terry, by all games, with 95 % intervals{anchor}."),
    ]
    if "rating-course" in charts:
        cards.append(card("rating-course", "Rating of the agent", "Over the training."))
    when = f'<p class="sub">As of {steps_text(league.agent_steps)} agent-steps.</p>'
    return f'{when}<div class="pair">{"".join(cards)}</div>'


def _match_table(matches: Mapping[str, tuple[int, MatchResult]]) -> str:
    heading = "".join(
        f'<th class="n">{name}</th>' for name in ("win rate", "95 % interval", "won", "lost", "drawn", "at step")
    )
    rows = []
    for who, (steps, score) in matches.items():
        low, high = score.interval
        rate = "-" if math.isnan(score.win_rate) else f"{score.win_rate:.1%}"
        cells = (rate, f"{low:.1%} .. {high:.1%}", score.wins, score.losses, score.draws, steps_text(steps))
        rows.append(f"<tr><td>{escape(who)}</td>" + "".join(f'<td class="n">{cell}</td>' for cell in cells) + "</tr>")
    return f"<table><thead><tr><th>opponent</th>{heading}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _fights(stories: Sequence[Story], why_none: str) -> str:
    if not stories:
        return f'<div class="card sub">{escape(why_none or "No fight was asked for.")}</div>'
    return "".join(_fight(index, story) for index, story in enumerate(stories))


def _fight(index: int, story: Story) -> str:
    pilots, outcome = story["pilots"], story["outcome"]
    result = f"{outcome} wins" if outcome in pilots else str(outcome)
    title = f"{pilots['red']} (red) against {pilots['blue']} (blue)"
    return (
        f'<div class="card" id="fight-{index}"><h3>{escape(title)}</h3>'
        f'<div class="sub">{escape(result)} ({escape(story["cause"])}) after {story["time_s"][-1]:.1f} s, seed '
        f"{story['seed']}. Diamonds: the gun fires. Drag to turn, scroll to zoom; a click on a decision below moves "
        f"the clock there.</div>"
        f'<div class="controls"><button type="button">Play</button><input type="range" min="0" value="0" '
        f'aria-label="time"><output></output><label>colour by <select></select></label></div>'
        f'<div class="fight"><div class="scene chart"></div><div class="pilots"></div></div>'
        f'<div class="lanes"></div></div>'
    )


def _configuration(config: RunConfig) -> str:
    """Shows the resolved configuration; what differs from the defaults stands out."""
    usual = set(_paths(to_yaml(RunConfig())))
    lines = [
        line if path in usual else f'<span class="changed">{line}</span>'
        for path, line in ((path, escape(path[-1])) for path in _paths(to_yaml(config)))
    ]
    return (
        '<div class="card"><p class="sub">As it was resolved, every default included. '
        "<b>Bold</b>: other than the default.</p><pre>" + "\n".join(lines) + "</pre></div>"
    )


def _paths(text: str) -> list[tuple[str, ...]]:
    """Returns every line of a YAML text below the lines of the mappings that it stands in."""
    above: list[tuple[int, str]] = []
    found = []
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        while above and above[-1][0] >= indent:
            above.pop()
        found.append((*(parent for _, parent in above), line))
        above.append((indent, line))
    return found
