"""The configuration of a run: read, checked against the game, written.

Its keys stand in :mod:`headctl.run.sections` and :mod:`headctl.run.selfplay_section`; the tables of
``docs/configuration.md`` are made from them (:mod:`headctl.run.reference`), and a test keeps the two equal. Loads
neither torch nor Warp nor matplotlib, so that ``headctl config --check`` answers at once.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from headctl.entropy.dependence import dependence_problems
from headctl.entropy.spec import HeadSpec, HeadSpecError, parse_head
from headctl.messages import unknown_name
from headctl.run.config_errors import ConfigError, describe_problem, shown
from headctl.run.fields import SEED_MAX, Section, Whole, key
from headctl.run.sections import (
    CheckpointSection,
    EvaluationSection,
    FaultsSection,
    GameSection,
    PolicySection,
    PPOSection,
    RecurrentSection,
    RunSection,
)
from headctl.run.selfplay_section import RolesSection, SelfPlaySection, league_problems, merged_heads
from headctl.run.yaml_io import Document, YamlError, dump_yaml, parse_yaml, read_yaml
from headctl.selfplay.catalog import BUILT_IN, GameError, GameInfo, describe, one_sided

__all__ = ["ConfigError", "RunConfig", "head_specs", "load_config", "parse_config", "to_yaml"]

_ROWS_MAX = 100_000_000
"""Rows of a rollout: beyond it no machine has the memory."""


class RunConfig(Section):
    """A whole run. Made by :func:`load_config`, which also checks it against the game."""

    seed: Whole = key(1, "seed of every random stream of the training", ge=0, le=SEED_MAX)
    total_steps: Whole = key(10_000_000, "length of the training", "agent-steps", ge=1)
    game: GameSection = Field(default_factory=GameSection, description="the game that is played")
    heads: dict[str, Any] = key({}, "entropy control of every head, by name; a number is a constant target")
    policy: PolicySection = Field(default_factory=PolicySection, description="the network")
    ppo: PPOSection = Field(default_factory=PPOSection, description="the PPO update")
    selfplay: SelfPlaySection = Field(default_factory=SelfPlaySection, description="who plays whom during training")
    evaluation: EvaluationSection = Field(
        default_factory=EvaluationSection, description="matches against the scripted pilots"
    )
    checkpoint: CheckpointSection = Field(default_factory=CheckpointSection, description="saved states")
    faults: FaultsSection = Field(default_factory=FaultsSection, description="numbers that are not finite")
    run: RunSection = Field(default_factory=RunSection, description="where and on what the run works")

    @property
    def evaluation_options(self) -> dict[str, Any]:
        """Options of the game as it is evaluated."""
        return {**self.game.options, **self.evaluation.options}

    @property
    def rollout_rows(self) -> int:
        """Rows that one rollout gives to the learner: one per decision, and two per game against the latest policy."""
        share = self.selfplay.opponents.latest_share
        seats = 1.0 if one_sided(self.game.name) else 1.0 + share
        return int(self.game.num_games * self.ppo.rollout_steps * seats)

    def with_heads_of(self, role: str) -> "RunConfig":
        """Returns the configuration with the heads of an exploiter: those of the main agent, with its own keys.

        Args:
            role: ``main_exploiter`` or ``league_exploiter``.
        """
        own = getattr(self.selfplay.roles, role).heads
        return self.model_copy(update={"heads": merged_heads(self.heads, own)})


def load_config(path: Path | str, overrides: Sequence[str] = ()) -> RunConfig:
    """Reads a YAML file, applies overrides and checks everything, the game's heads and options included.

    Args:
        path: The file.
        overrides: ``dotted.key=value`` with the value in YAML; it replaces whatever the key held.

    Returns:
        The resolved configuration: ``heads`` holds every head of the game with all its keys.

    Raises:
        ConfigError: All problems of the file, one line each, with the full key, what is allowed and the likely intent.
    """
    try:
        document = read_yaml(Path(path))
    except YamlError as error:
        raise ConfigError(f"{path}: {error}") from error
    try:
        return _resolve(document, overrides)
    except ConfigError as error:
        lines = str(error).splitlines()
        raise ConfigError(f"{path}: {lines[0]}" if len(lines) == 1 else "\n  ".join([f"{path}:", *lines])) from error


def parse_config(text: str, overrides: Sequence[str] = ()) -> RunConfig:
    """Does for a text what :func:`load_config` does for a file.

    Raises:
        ConfigError: As there.
    """
    try:
        document = parse_yaml(text)
    except YamlError as error:
        raise ConfigError(str(error)) from error
    return _resolve(document, overrides)


def to_yaml(config: RunConfig) -> str:
    """Returns the configuration as YAML text; loading it gives an equal configuration."""
    return dump_yaml(config.model_dump(mode="python"))


def _resolve(document: Document, overrides: Sequence[str]) -> RunConfig:
    if document.tree is not None and not isinstance(document.tree, dict):
        raise ConfigError(f"expected a mapping of keys at the top, got {shown(document.tree)}")
    tree: dict[str, Any] = document.tree or {}
    overridden: set[str] = set()
    for override in overrides:
        tree = _with_override(tree, override)
        overridden.add(override.partition("=")[0].strip())
    problems = []
    config = None
    try:
        config = RunConfig.model_validate(tree)
    except ValidationError as error:
        problems += [describe_problem(details, RunConfig) for details in error.errors()]
    if config is not None:
        problems += _contradictions(config) + _memory_problems(config)
        problems += _evaluation_problems(config)
        problems += league_problems(config.selfplay)
    game = _game_section(tree)
    heads: dict[str, Any] = {}
    if game is not None:
        heads, head_problems = _check_heads(game, tree.get("heads"))
        problems += head_problems
        if config is not None and not head_problems:
            problems += _role_problems(config, heads) + _pilot_problems(config)
    if problems or config is None:
        raise ConfigError("\n".join(_with_line(problem, document, overridden) for problem in problems))
    return config.model_copy(update={"heads": heads})


def _with_line(problem: str, document: Document, overridden: set[str]) -> str:
    """Adds the line of the file in which the key at fault stands, unless it came from the command line."""
    key = problem.partition(": ")[0]
    from_command_line = any(key.startswith(name) or name.startswith(f"{key}.") for name in overridden)
    line = None if from_command_line else document.line_of(key.partition("[")[0])
    return " ".join(f"{problem} (line {line})".split("\n")) if line else " ".join(problem.split("\n"))


_SHORT_FOR = {
    ("policy", "recurrent"): "cell",
    ("heads", "*"): "target",
    ("selfplay", "opponents", "*"): "weight",
    ("selfplay", "roles", "main_exploiter", "heads", "*"): "target",
    ("selfplay", "roles", "league_exploiter", "heads", "*"): "target",
}
"""Where a bare number stands for a mapping: the key that it is the value of."""


def _with_override(tree: dict[str, Any], override: str) -> dict[str, Any]:
    """Returns a copy of the tree in which one key has another value."""
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f"{override!r} is no override: write dotted.key=value, for example ppo.epochs=3")
    try:
        value = parse_yaml(text).tree
    except YamlError as error:
        raise ConfigError(f"{key.strip()}: the value {text!r} is no YAML: {error}") from error
    top = dict(tree)
    branch = top
    for depth, part in enumerate(parts[:-1], start=1):
        below = branch.get(part)
        short = _SHORT_FOR.get(tuple(parts[:depth])) or _SHORT_FOR.get((*parts[: depth - 1], "*"))
        if short and below is not None and not isinstance(below, dict):
            below = {short: below}
        if below is not None and not isinstance(below, dict):
            raise ConfigError(f"{key.strip()}: {'.'.join(parts[:depth])} is {shown(below)}, it has no keys")
        branch[part] = dict(below or {})
        branch = branch[part]
    branch[parts[-1]] = value
    return top


def _game_section(tree: Mapping[str, Any]) -> GameSection | None:
    """Returns the game if it is well formed; its heads can then be checked although other sections are wrong."""
    try:
        return GameSection.model_validate(tree.get("game", {}))
    except ValidationError:
        return None


def _check_heads(game: GameSection, written: object) -> tuple[dict[str, Any], list[str]]:
    """Checks the heads as written against the game; heads that are not mentioned get the default target."""
    try:
        info = _describe(game)
    except ConfigError as error:
        return {}, [str(error)]
    if written is not None and not isinstance(written, dict):
        return {}, []  # said already: heads is no mapping
    heads: dict[str, Any] = {}
    problems = [
        f"heads.{name}: {unknown_name(f'head of the game {game.name}', name, info.heads)}"
        for name in written or {}
        if name not in info.heads
    ]
    specs: dict[str, HeadSpec] = {}
    for name, head in info.heads.items():
        try:
            spec = parse_head(name, (written or {}).get(name), head.known())
        except HeadSpecError as error:
            problems.append(str(error))
            continue
        specs[name] = spec
        # What the game says belongs to the game, not to the configuration; a Box leaves the kind open.
        known = head.known()
        heads[name] = {key: value for key, value in spec.to_mapping().items() if known.get(key) != value}
    return heads, problems + dependence_problems(specs, info.heads, what="head of the game")


def _role_problems(config: RunConfig, heads: Mapping[str, Any]) -> list[str]:
    """Checks the heads of the exploiters: those of the main agent, with keys of their own."""
    problems = []
    for role in RolesSection.model_fields:
        own = getattr(config.selfplay.roles, role).heads
        if own:
            _, found = _check_heads(config.game, merged_heads(heads, own))
            problems += [f"selfplay.roles.{role}.{problem}" for problem in found]
    return problems


def _pilot_problems(config: RunConfig) -> list[str]:
    named = {
        "selfplay.opponents.pilots.names": config.selfplay.opponents.pilots.names,
        "evaluation.pilots": config.evaluation.pilots,
    }
    known = _describe(config.game).pilots
    return [
        f"{key}: {unknown_name(f'pilot of the game {config.game.name}', name, known)}"
        for key, names in named.items()
        for name in names
        if name not in known
    ]


def head_specs(config: RunConfig) -> list[HeadSpec]:
    """Returns the complete description of every head of a resolved configuration. Loads no torch for built-in games."""
    info = _describe(config.game)
    return [parse_head(name, config.heads.get(name), head.known()) for name, head in info.heads.items()]


_KEY_FIRST = re.compile(r"[\w.]+: ")


def _describe(game: GameSection) -> GameInfo:
    try:
        return describe(game.name, game.options)
    except GameError as error:
        message = str(error)
        if message.startswith("options.") and not _KEY_FIRST.match(message):
            message = message.replace("options.", "options: ", 1)  # the game names the option further on
        raise ConfigError(f"game.{message}") from error
    except Exception as error:  # a user's own environment may fail in any way while it is made
        raise ConfigError(f"game.name: {game.name!r} cannot be made: {type(error).__name__}: {error}") from error


def _evaluation_problems(config: RunConfig) -> list[str]:
    """Checks that the game can be evaluated with its other options, and that its heads are the same then."""
    if not config.evaluation.options:
        return []
    try:
        trained = _describe(config.game)
    except ConfigError:
        return []  # said already
    try:
        evaluated = _describe(config.game.model_copy(update={"options": config.evaluation_options}))
    except ConfigError as error:
        return [str(error).replace("game.options", "evaluation.options", 1)]
    if evaluated.heads != trained.heads:
        return [f"evaluation.options: the heads would be {dict(evaluated.heads)}, in training {dict(trained.heads)}"]
    return []


def _contradictions(config: RunConfig) -> list[str]:
    """Returns what is wrong between keys that are each right by themselves."""
    problems = []
    if config.game.workers and config.game.name in BUILT_IN:
        problems.append(
            f"game.workers: {config.game.workers} processes have nothing to do, {config.game.name!r} is played as one "
            f"batch; leave it 0"
        )
    rows, share = config.rollout_rows, config.selfplay.opponents.latest_share
    if config.ppo.minibatch_size > rows:
        problems.append(
            f"ppo.minibatch_size: {config.ppo.minibatch_size} is more than the {rows} rows of a rollout "
            f"(game.num_games {config.game.num_games} * ppo.rollout_steps {config.ppo.rollout_steps} * "
            f"(1 + share of selfplay.opponents.latest {share:g})); lower it or play more"
        )
    if rows > _ROWS_MAX:
        problems.append(
            f"ppo.rollout_steps: a rollout of {rows:_} rows (game.num_games {config.game.num_games} * "
            f"ppo.rollout_steps {config.ppo.rollout_steps} * (1 + share of selfplay.opponents.latest {share:g})) "
            f"is more than {_ROWS_MAX:_}; lower one of them"
        )
    return problems


def _memory_problems(config: RunConfig) -> list[str]:
    """Returns what is wrong between the keys of a memory and those of the update."""
    memory, ppo = config.policy.recurrent, config.ppo
    if memory.cell == "none":
        return [
            f"policy.recurrent.{name}: {getattr(memory, name)} has nothing to act on without a cell; set "
            "policy.recurrent.cell to gru, or leave it out"
            for name, field in RecurrentSection.model_fields.items()
            if getattr(memory, name) != field.default
        ]
    problems = []
    length, steps = memory.sequence_length, ppo.rollout_steps
    if steps % length:
        smaller, larger = (
            next((size for size in sizes if steps % size == 0), None)
            for sizes in (range(length, 0, -1), range(length, steps + 1))
        )
        would_do = " or ".join(str(size) for size in (smaller, larger) if size)
        problems.append(
            f"policy.recurrent.sequence_length: {length} does not divide ppo.rollout_steps {steps}, and a rollout is "
            f"cut into whole sequences; {would_do} would do"
        )
    if memory.burn_in > length:
        problems.append(
            f"policy.recurrent.burn_in: {memory.burn_in} is more than policy.recurrent.sequence_length {length}; "
            "lower it or make the sequences longer"
        )
    if ppo.minibatch_size < length:
        problems.append(
            f"ppo.minibatch_size: {ppo.minibatch_size} is less than one sequence (policy.recurrent.sequence_length "
            f"{length}); raise it or make the sequences shorter"
        )
    return problems
