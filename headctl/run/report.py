"""What a run says about itself: per head, per opponent, and in plain words. Loads no torch.

:class:`RunReader` reads a folder, :func:`build_report` draws the conclusions, :mod:`headctl.run.report_view` shows
them.
"""

import contextlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from headctl.run import durable
from headctl.run.config import RunConfig
from headctl.run.findings import Finding, HeadReport, explain_head, explain_run, steps_text
from headctl.run.folder import CONFIG_FILE, RunFolderError, check_run_folder
from headctl.run.metrics import (
    METRICS_FILE,
    MetricsError,
    Record,
    names_in,
    read_metrics,
)
from headctl.run.yaml_io import YamlError, read_yaml
from headctl.selfplay.results import MatchResult

EVALUATION_DIR = "eval"
_STEPS_MAX, _LARGEST = 2**53, 1e100


def match_to_json(result: MatchResult) -> dict[str, Any]:
    """Returns the numbers by the names that the metrics ``eval/<pilot>/...`` have; ``nan`` becomes ``None``."""
    return _without_nan({key.removeprefix("/"): value for key, value in result.metrics("").items()})


def write_evaluation(run_dir: Path, name: str, scores: Mapping[str, MatchResult], agent_steps: int) -> Path:
    """Writes a match table to ``eval/<name>.json`` and returns the file."""
    path = run_dir / EVALUATION_DIR / f"{name}.json"
    content = {"agent_steps": agent_steps, "opponents": {who: match_to_json(score) for who, score in scores.items()}}
    durable.write_text(path, json.dumps(content, indent=2) + "\n")
    return path


class RunReader:
    """Reads a run folder, also while it is being written to.

    Args:
        run_dir: The folder.

    Raises:
        RunFolderError: No run folder, an incomplete one, or one of another version; nothing measured yet.
    """

    def __init__(self, run_dir: Path | str) -> None:
        self.run_dir = Path(run_dir)
        check_run_folder(self.run_dir)
        self.config = self.config_of(self.run_dir)
        metrics = self.run_dir / METRICS_FILE
        try:
            self.records: list[Record] = read_metrics(metrics) if metrics.exists() else []
        except MetricsError as error:
            raise RunFolderError(str(error)) from error
        if not self.records:
            raise RunFolderError(
                f"{self.run_dir} has no metrics yet: its first iteration is not done. "
                f"If no training is running, continue it with: headctl train {self.run_dir} --resume"
            )
        self.heads = names_in(self.records[-1], "heads")
        if not self.heads:
            raise RunFolderError(f"{metrics}: its last record has no heads/...: it is not of a training")

    @staticmethod
    def config_of(run_dir: Path) -> RunConfig:
        """Returns the resolved configuration of a run.

        Raises:
            RunFolderError: The file is missing or is not a configuration of this version.
        """
        path = run_dir / CONFIG_FILE
        try:
            return RunConfig.model_validate(read_yaml(path).tree or {})
        except YamlError as error:
            raise RunFolderError(f"{path}: {error}") from error
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise RunFolderError(
                f"{path} is not the configuration of a run of this version: {key}: {first['msg']}"
            ) from error

    @property
    def agent_steps(self) -> int:
        """Agent-steps done when the last record was written."""
        return int(self.number("agent_steps"))

    @property
    def finished(self) -> bool:
        """Whether the training reached its planned length."""
        return self.agent_steps >= self.config.total_steps

    def number(self, key: str, record: Record | None = None) -> float:
        """Returns a number of a record (the last one by default), ``nan`` where it has none that can be drawn."""
        value = (self.records[-1] if record is None else record).get(key, math.nan)
        return float(value) if not isinstance(value, str) and abs(value) <= _LARGEST else math.nan

    def series(self, key: str) -> tuple[list[float], list[float]]:
        """Returns agent-steps and values of a metric, over the records that have a number for it."""
        pairs = [(self.number("agent_steps", record), self.number(key, record)) for record in self.records]
        pairs = [(steps, value) for steps, value in pairs if not math.isnan(value)]
        return [steps for steps, _ in pairs], [value for _, value in pairs]

    def statuses(self, head: str) -> list[str]:
        """Returns the status of a head in every record; ``""`` where a record has none."""
        values = (record.get(f"heads/{head}/status", "") for record in self.records)
        return [value if isinstance(value, str) else "" for value in values]

    def last_half(self) -> list[Record]:
        """Returns the records of the second half of the training so far."""
        middle = self.agent_steps / 2
        return [record for record in self.records if self.number("agent_steps", record) > middle]

    def evaluations(self) -> dict[str, tuple[int, MatchResult]]:
        """Returns the newest match against every opponent: name -> (agent-steps of the agent, score)."""
        newest: dict[str, tuple[int, MatchResult]] = {}
        for steps, who, score in [*self._matches_in_records(), *self._matches_in_files()]:
            if who not in newest or steps >= newest[who][0]:
                newest[who] = (steps, score)
        return newest

    def _matches_in_records(self) -> Iterator[tuple[int, str, MatchResult]]:
        for record in self.records:
            for who in names_in(record, "eval"):
                counts = {key: self.number(f"eval/{who}/{key}", record) for key in ("wins", "losses", "draws")}
                with contextlib.suppress(ValueError):  # matches of another iteration: this record has no counts
                    yield int(self.number("agent_steps", record)), who, MatchResult.from_plain(counts)

    def _matches_in_files(self) -> Iterator[tuple[int, str, MatchResult]]:
        for path in sorted((self.run_dir / EVALUATION_DIR).glob("*.json")):
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
                for who, match in content["opponents"].items():
                    yield _whole(content["agent_steps"]), str(who), MatchResult.from_plain(match)
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue  # someone else's file, or one that is being written: the records have the numbers too


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that ``headctl inspect`` shows."""

    run: str
    agent_steps: int
    total_steps: int
    finished: bool
    elapsed_s: float
    agent_steps_per_s: float
    heads: list[HeadReport]
    evaluations: dict[str, tuple[int, MatchResult]]
    findings: list[Finding] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Returns plain data for ``json.dumps``; ``nan`` becomes ``None``."""
        plain = {key: value for key, value in asdict(self).items() if key != "evaluations"}
        matches = {
            who: {"agent_steps": steps, **match_to_json(score)} for who, (steps, score) in self.evaluations.items()
        }
        return _without_nan(plain | {"evaluations": matches})


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def build_report(reader: RunReader) -> Report:
    """Draws the conclusions from a run."""
    heads = [_head_report(reader, head) for head in reader.heads]
    findings = [finding for head in heads for finding in explain_head(head)]
    late = reader.last_half()
    means = {key: _mean(reader.number(key, record) for record in late) for key in reader.records[-1]}
    findings += explain_run(means)
    if not reader.finished:
        findings.append(_unfinished(reader))
    elapsed = reader.number("perf/elapsed_s")
    speed = reader.agent_steps / elapsed if elapsed > 0 else math.nan
    return Report(
        run=str(reader.run_dir),
        agent_steps=reader.agent_steps,
        total_steps=reader.config.total_steps,
        finished=reader.finished,
        elapsed_s=elapsed,
        agent_steps_per_s=speed,
        heads=heads,
        evaluations=reader.evaluations(),
        findings=findings,
    )


def _unfinished(reader: RunReader) -> Finding:
    done, planned = steps_text(reader.agent_steps), steps_text(reader.config.total_steps)
    text = f"{done} of {planned} agent-steps are done; if no training is running, continue with: "
    return Finding("note", "", f"{text}headctl train {reader.run_dir} --resume")


def _head_report(reader: RunReader, head: str) -> HeadReport:
    def last(key: str) -> float:
        values = reader.series(f"heads/{head}/{key}")[1]
        return values[-1] if values else math.nan

    written = reader.config.heads.get(head)
    options: Mapping[str, Any] = written if isinstance(written, Mapping) else {"target": written}
    free = "target" not in options  # laws fixed and decay hold no target
    statuses = reader.statuses(head)
    known = [status for status in statuses if status]
    counts = Counter(known)
    since = len(statuses)
    while since > 0 and statuses[since - 1] == statuses[-1]:
        since -= 1
    late = reader.last_half()
    misses = (
        reader.number(f"heads/{head}/target_fraction", record) - reader.number(f"heads/{head}/fraction", record)
        for record in late
    )
    late_statuses = statuses[len(statuses) - len(late) :]
    stuck = [status for status in late_statuses if status in {"SATURATED", "COLLAPSED", "INACTIVE"}]
    skipped = reader.series(f"heads/{head}/skipped")[1]
    alpha = last("alpha")
    return HeadReport(
        name=head,
        law=str(options.get("law", "pi")),
        mode="" if free else str(options.get("mode", "floor")),
        target="" if free else describe_target(options.get("target"), str(options.get("unit", "fraction"))),
        target_fraction=last("target_fraction"),
        target_entropy=last("target_entropy"),
        fraction=last("fraction"),
        entropy=last("entropy"),
        capacity=last("capacity"),
        error=last("target_fraction") - last("fraction"),
        alpha=alpha,
        alpha_min=alpha if free else float(options.get("alpha_min", math.nan)),
        alpha_max=alpha if free else float(options.get("alpha_max", math.nan)),
        status=statuses[-1],
        status_since=int(reader.number("agent_steps", reader.records[min(since, len(statuses) - 1)])),
        status_shares={status: count / len(known) for status, count in counts.most_common()},
        active_share=_mean(reader.series(f"heads/{head}/weight")[1]),
        shortfall=_mean(max(0.0, miss) if not math.isnan(miss) else math.nan for miss in misses),
        saturated_late=len(stuck) / len(late_statuses) if late_statuses else math.nan,
        bonus_to_policy_grad=_mean(reader.number(f"heads/{head}/bonus_to_policy_grad", record) for record in late),
        beyond_reach=_mean(reader.number(f"heads/{head}/beyond_reach", record) for record in late),
        skipped=int(sum(skipped)),
    )


def describe_target(target: object, unit: str = "fraction") -> str:
    """Returns a target in a few words: ``0.3``, ``0.8 to 0.3, linear``, ``0.1 epsilon``."""
    if target is None:
        return ""
    if not isinstance(target, Mapping):
        text = str(target)
    elif "start" in target and "end" in target:
        text = f"{target['start']} to {target['end']}, {target.get('schedule', '')}"
    else:
        text = str(target.get("value", target.get("schedule", "")))
    return text if unit == "fraction" else f"{text} {unit}"


def _whole(value: object) -> int:
    """Returns a count of steps that a file has.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(value, int) or not 0 <= value <= _STEPS_MAX:
        raise ValueError(f"{value!r} is no count of steps")
    return value


def _mean(values: Any) -> float:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan
