"""Sweeps: one configuration, several values of some keys, every combination a run of its own. Loads no torch."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from headctl.run.config import ConfigError, RunConfig, load_config, to_yaml
from headctl.run.folder import RunFolderError, check_run_folder, is_run_folder
from headctl.run.listing import last_record
from headctl.run.report import EVALUATION_DIR, RunReader

RUNS_MAX = 10_000
CONFIGS_DIR = "configs"
LOGS_DIR = "logs"

_RANGE = re.compile(r"\s*(-?\d+)\.\.(-?\d+)\s*")
_OPEN, _CLOSE = "([{", ")]}"


@dataclass(frozen=True, slots=True)
class Axis:
    """One key of a sweep and the values that it takes, as they were written."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One combination.

    Attributes:
        values: Swept key -> value as written; keys with a single value are not among them.
        config: The resolved configuration.
        run_dir: Where the run is, or will be.
        state: ``finished``, ``unfinished`` (has a checkpoint to go on from), ``broken off`` (has none) or ``missing``.
    """

    values: Mapping[str, str]
    config: RunConfig
    run_dir: Path
    state: str

    @property
    def label(self) -> str:
        """Name of the run's folder."""
        return self.run_dir.name


def parse_axis(word: str) -> Axis:
    """Reads ``key=0.1,0.3,0.5``, ``seed=1..5`` or a mixture; commas inside brackets and quotes belong to a value.

    Raises:
        ConfigError: No ``key=value``, an empty value, the same value twice, or a range that runs backwards.
    """
    key, equals, text = word.partition("=")
    key = key.strip()
    if not equals or not key:
        raise ConfigError(f"{word!r} is no axis: write key=value,value or key=1..5, for example seed=1..5")
    values: list[str] = []
    for part in _split(key, text):
        found = _RANGE.fullmatch(part)
        if not found:
            values.append(part.strip())
            continue
        first, last = int(found[1]), int(found[2])
        if last < first:
            raise ConfigError(f"{key}: the range {part.strip()} runs backwards; write {last}..{first}")
        if last - first >= RUNS_MAX:
            raise ConfigError(f"{key}: the range {part.strip()} has more than {RUNS_MAX:_} values")
        values += [str(number) for number in range(first, last + 1)]
    if not all(values):
        raise ConfigError(f"{key}: one of the values in {text!r} is empty")
    twice = [value for value in dict.fromkeys(values) if values.count(value) > 1]
    if twice:
        raise ConfigError(f"{key}: the value {twice[0]} stands twice in {text!r}")
    return Axis(key, tuple(values))


def _split(key: str, text: str) -> list[str]:
    """Splits at the commas that are outside of brackets and quotes."""
    parts, depth, quote, start = [], 0, "", 0
    for index, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in _OPEN:
            depth += 1
        elif letter in _CLOSE:
            depth -= 1
        elif letter == "," and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    if depth or quote:
        raise ConfigError(f"{key}: a bracket or a quote in {text!r} is not closed")
    return [*parts, text[start:]]


def default_name(source: Path, axes: Sequence[Axis]) -> str:
    """Returns the name of a sweep: the same command gives the same name, and so goes on with the same sweep."""
    swept = list(_short_names([axis.key for axis in axes if len(axis.values) > 1]).values())
    return _folder_name("_".join([source.stem, *(swept or ["sweep"])]))


def plan(source: Path, words: Sequence[str], name: str | None = None) -> list[PlannedRun]:
    """Resolves every combination and looks at what is there already. Writes nothing.

    Args:
        source: The YAML file.
        words: ``key=value,value`` each; a single value is an override of every run.
        name: Name of the sweep, the folder under ``run.dir`` that its runs are in.

    Raises:
        ConfigError: A word that is no axis, or a combination that is no configuration; it names the combination.
        RunFolderError: A folder holds a run of other settings.
    """
    axes = [parse_axis(word) for word in words]
    keys = [axis.key for axis in axes]
    for key in dict.fromkeys(keys):
        if keys.count(key) > 1:
            raise ConfigError(f"{key} stands twice on the command line; give all its values in one word: {key}=A,B")
    count = 1
    for axis in axes:
        count *= len(axis.values)
    if count > RUNS_MAX:
        raise ConfigError(f"this sweep has {count:_} runs; the limit is {RUNS_MAX:_}")
    swept = [axis for axis in axes if len(axis.values) > 1]
    shorts = _short_names([axis.key for axis in swept])
    sweep_name = name or default_name(source, axes)
    runs: list[PlannedRun] = []
    taken: set[str] = set()
    for combination in product(*(axis.values for axis in axes)):
        overrides = dict(zip(keys, combination, strict=True))
        values = {axis.key: overrides[axis.key] for axis in swept}
        try:
            config = load_config(source, [f"{key}={value}" for key, value in overrides.items()])
        except ConfigError as error:
            which = " ".join(f"{key}={value}" for key, value in values.items())
            raise ConfigError(f"{error}\n  in the combination {which}" if which else str(error)) from error
        folder = Path(config.run.dir) / sweep_name
        config = config.model_copy(update={"run": config.run.model_copy(update={"dir": str(folder)})})
        label = _unique(
            _folder_name(",".join(f"{shorts[key]}={value}" for key, value in values.items()) or "run"), taken
        )
        runs.append(PlannedRun(values, config, folder / label, _state(folder / label, config)))
    return runs


def _short_names(keys: Sequence[str]) -> dict[str, str]:
    """Returns the shortest ends of dotted keys that still tell them apart; ``heads.`` is never needed."""
    names: dict[str, str] = {}
    for key in keys:
        parts = key.removeprefix("heads.").split(".")
        short = key
        for size in range(1, len(parts) + 1):
            short = ".".join(parts[-size:])
            clash = [other for other in keys if other != key and f".{other}".endswith(f".{short}")]
            if not clash and (size > 1 or len(parts) == 1 or not key.startswith("heads.")):
                break
        names[key] = short
    return names


def _folder_name(text: str) -> str:
    return re.sub(r"[^\w.,=+-]+", "-", text).strip("-.") or "sweep"


def _unique(label: str, taken: set[str]) -> str:
    label, number, first = label[:120], 1, label[:120]
    while label in taken:
        number += 1
        label = f"{first}~{number}"
    taken.add(label)
    return label


def _state(run_dir: Path, config: RunConfig) -> str:
    if not run_dir.exists():
        return "missing"
    if not is_run_folder(run_dir):
        if any(run_dir.iterdir()):
            raise RunFolderError(f"{run_dir} is in the way: it is no run. Choose another --name")
        return "missing"
    check_run_folder(run_dir)
    different = list(_differences(RunReader.config_of(run_dir).model_dump(), config.model_dump()))
    if different:
        raise RunFolderError(
            f"{run_dir} was trained with other settings: {'; '.join(different[:3])}. "
            f"Choose another --name, or delete that folder"
        )
    record, _ = last_record(run_dir)
    steps = record.get("agent_steps", 0) if record else 0
    done = isinstance(steps, int | float) and steps >= config.total_steps
    if done and (run_dir / EVALUATION_DIR / "final.json").is_file():
        return "finished"
    return "unfinished" if any((run_dir / "checkpoints").glob("step_*.pt")) else "broken off"


def _differences(there: Any, now: Any, key: str = "") -> Iterator[str]:
    if isinstance(there, Mapping) and isinstance(now, Mapping):
        for name in dict.fromkeys([*there, *now]):
            yield from _differences(there.get(name), now.get(name), f"{key}.{name}".lstrip("."))
    elif there != now:
        yield f"{key} {there!r} there, {now!r} now"


def write_configs(runs: Sequence[PlannedRun]) -> dict[str, Path]:
    """Writes the configuration of every run into ``configs/`` of the sweep, so that later edits of the file do no harm.

    Returns:
        Label -> file.
    """
    files: dict[str, Path] = {}
    for run in runs:
        path = run.run_dir.parent / CONFIGS_DIR / f"{run.label}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_yaml(run.config), encoding="utf-8")
        files[run.label] = path
    return files
