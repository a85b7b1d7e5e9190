"""What a sweep found: one row per setting, means over its seeds with 95 % intervals. Loads no torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from headctl.run.folder import RunFolderError
from headctl.run.report import Report, RunReader, build_report
from headctl.run.report_view import make_table, number_text
from headctl.run.statistics import Estimate, estimate
from headctl.run.sweep import PlannedRun
from headctl.selfplay.results import MatchResult

_SEED = "seed"


@dataclass(frozen=True, slots=True)
class Setting:
    """One combination of the swept keys other than the seed.

    Attributes:
        values: Key -> value as written.
        runs: How many runs it has that are finished.
        planned: How many it shall have.
        score: Mean over the seeds of a run's mean score against the scripted pilots: win 1, draw 1/2, loss 0.
        win_rates: Pilot -> win rate of the decided games.
        shortfalls: Head -> mean shortfall below its target over the last half of the training.
        alphas: Head -> alpha at the end.
    """

    values: dict[str, str]
    runs: int
    planned: int
    score: Estimate
    win_rates: dict[str, Estimate]
    shortfalls: dict[str, Estimate]
    alphas: dict[str, Estimate]

    def to_json(self) -> dict[str, Any]:
        """Returns plain data."""
        groups = {
            key: {name: value.to_json() for name, value in getattr(self, key).items()}
            for key in ("win_rates", "shortfalls", "alphas")
        }
        return {
            "values": self.values,
            "runs": self.runs,
            "planned": self.planned,
            "score": self.score.to_json(),
        } | groups


def score_of(result: MatchResult) -> float:
    """Returns the share of points: win 1, draw 1/2, loss 0; NaN without games."""
    return (result.wins + result.draws / 2) / result.games if result.games else math.nan


def settings_of(runs: Sequence[PlannedRun]) -> list[Setting]:
    """Reads the finished runs of a plan and puts the seeds of every setting together."""
    groups: dict[tuple[tuple[str, str], ...], list[Report | None]] = {}
    for run in runs:
        key = tuple((name, value) for name, value in run.values.items() if name != _SEED)
        groups.setdefault(key, []).append(_report(run))
    return [_setting(dict(key), reports) for key, reports in groups.items()]


def _report(run: PlannedRun) -> Report | None:
    try:
        report = build_report(RunReader(run.run_dir))
    except RunFolderError:
        return None
    return report if report.finished else None


def _setting(values: dict[str, str], reports: Sequence[Report | None]) -> Setting:
    done = [report for report in reports if report is not None]
    pilots = dict.fromkeys(who for report in done for who in report.evaluations)
    heads = dict.fromkeys(head.name for report in done for head in report.heads)

    def of_pilot(who: str) -> Estimate:
        results = [report.evaluations[who][1] for report in done if who in report.evaluations]
        found = estimate([result.win_rate for result in results], 0.0, 1.0)
        low, high = sum(results, MatchResult(0, 0, 0)).interval
        if found.seeds == 0:
            return found
        # Seeds that happen to agree know no more than their games do; with one seed there is nothing but its games.
        return Estimate(found.mean, min(low, found.low), max(high, found.high), found.seeds)

    def of_head(name: str, key: str) -> Estimate:
        return estimate([getattr(head, key) for report in done for head in report.heads if head.name == name])

    scores = [estimate([score_of(result) for _, result in report.evaluations.values()]).mean for report in done]
    return Setting(
        values=values,
        runs=len(done),
        planned=len(reports),
        score=estimate(scores, 0.0, 1.0),
        win_rates={who: of_pilot(who) for who in pilots},
        shortfalls={name: of_head(name, "shortfall") for name in heads},
        alphas={name: of_head(name, "alpha") for name in heads},
    )


def sweep_table(settings: Sequence[Setting]) -> Table:
    """Returns the table: one row per setting, the best score in bold."""
    caption = (
        "score: mean over the pilots of (wins + draws / 2) / games. win rate: wins / (wins + losses). Intervals: 95 %, "
        "Student's t over the seeds; that of a win rate is at least as wide as its games allow (Wilson). short: mean "
        "shortfall below target over the last half"
    )
    table = make_table("Sweep", caption)
    for key in settings[0].values:
        table.add_column(key, style="bold", overflow="fold")
    pilots = dict.fromkeys(who for setting in settings for who in setting.win_rates)
    heads = dict.fromkeys(head for setting in settings for head in setting.shortfalls)
    table.add_column("runs", justify="right")
    for column in ("score", *(f"win rate\n{who}" for who in pilots)):
        table.add_column(column, justify="right", no_wrap=True)
    for head in heads:
        table.add_column(f"short\n{head}", justify="right")
    known = [setting.score.mean for setting in settings if not math.isnan(setting.score.mean)]
    for setting in settings:
        cells = [f"{setting.runs}/{setting.planned}", percent_text(setting.score)]
        cells += [percent_text(setting.win_rates[who]) if who in setting.win_rates else "-" for who in pilots]
        cells += [number_text(setting.shortfalls[head].mean) if head in setting.shortfalls else "-" for head in heads]
        best = len(known) > 1 and setting.score.mean == max(known)
        table.add_row(*setting.values.values(), *cells, style="bold green" if best else None)
    return table


def percent_text(value: Estimate) -> str:
    """Returns an estimate in percent, with its interval where there is one: ``53 % (46 to 60)``."""
    if math.isnan(value.mean):
        return "-"
    if math.isnan(value.low):
        return f"{value.mean:.0%}".replace("%", " %")
    return f"{100 * value.mean:.0f} % ({100 * value.low:.0f} to {100 * value.high:.0f})"
