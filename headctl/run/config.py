"""Every YAML key of a run: type, unit, default, bounds and meaning, in one place.

Loads neither torch nor Warp nor matplotlib, so that ``headctl config --check`` answers at once. The tables of
``docs/configuration.md`` are made from the models below (:mod:`headctl.run.reference`), and a test keeps the two equal.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from headctl.entropy.dependence import dependence_problems
from headctl.entropy.spec import HeadSpec, HeadSpecError, parse_head
from headctl.messages import unknown_name
from headctl.run.yaml_io import Document, YamlError, dump_yaml, parse_yaml, read_yaml
from headctl.selfplay.catalog import GameError, GameInfo, describe


class ConfigError(ValueError):
    """A configuration that cannot be used: every problem found, one line each."""


_WHOLE_MAX = 2**53
"""Up to here every whole number is exact as a float, and no count of a run comes near."""


def _whole(value: object) -> int:
    """Reads a whole number; ``1e6`` and ``"200_000"`` are as good as ``1000000`` and ``200000``."""
    if isinstance(value, str):
        value = _plain_number(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise PydanticCustomError("whole_number", "expected a whole number")
    if abs(value) > _WHOLE_MAX:
        raise PydanticCustomError("whole_number", "is too large")
    return value


def _real(value: object) -> float:
    """Reads a number; other YAML readers hand ``3e-4`` over as text."""
    if isinstance(value, str):
        value = _plain_number(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticCustomError("number", "expected a number")
    if isinstance(value, int) and abs(value) > _WHOLE_MAX:
        raise PydanticCustomError("number", "is too large")
    return float(value)


def _plain_number(text: str) -> int | float | str:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


Whole = Annotated[int, BeforeValidator(_whole)]
Real = Annotated[float, BeforeValidator(_real)]
_SEED_MAX = 2**31 - 1
_ROWS_MAX = 100_000_000
"""Rows of a rollout: beyond it no machine has the memory."""


def _key(default: Any, description: str, unit: str = "", **bounds: Any) -> Any:
    """Declares one key: default, meaning, unit and bounds."""
    return Field(default, description=description, json_schema_extra={"unit": unit}, **bounds)


class _Section(BaseModel):
    """One mapping of the file: unknown keys are refused, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)


class GameSection(_Section):
    """The game that is played."""

    name: str = _key("dogfight", "the game: `dogfight`, or `package.module:function` of a PettingZoo ParallelEnv")
    num_games: Whole = _key(256, "games played side by side", "games", ge=1, le=1_000_000)
    options: dict[str, Any] = _key({}, "options of the game itself; the dogfight's are in docs/dogfight.md")


class PolicySection(_Section):
    """The network: a trunk shared by all heads and the critic."""

    hidden: list[Annotated[Whole, Field(ge=1, le=65_536)]] = _key(
        [128, 128], "width of every hidden layer of the trunk", "neurons", min_length=1, max_length=64
    )
    activation: Literal["tanh", "relu", "elu", "silu"] = _key("tanh", "activation of the hidden layers")


class PPOSection(_Section):
    """The PPO update (Schulman et al. 2017)."""

    rollout_steps: Whole = _key(64, "decisions of every game between two updates", "decisions", ge=1, le=1_000_000)
    epochs: Whole = _key(4, "passes over the rollout in one update", "passes", ge=1, le=10_000)
    minibatch_size: Whole = _key(4096, "rows of a minibatch", "rows", ge=2)
    gamma: Real = _key(0.995, "discount per decision", ge=0.0, le=1.0)
    gae_lambda: Real = _key(0.95, "lambda of generalised advantage estimation", ge=0.0, le=1.0)
    clip_coef: Real = _key(0.2, "clip range of the probability ratio", gt=0.0)
    value_coef: Real = _key(0.5, "weight of the value loss", ge=0.0)
    learning_rate: Real = _key(3e-4, "step size of Adam", gt=0.0)
    learning_rate_schedule: Literal["constant", "linear"] = _key(
        "linear", "course of the learning rate: constant, or falling linearly to a tenth at the end of training"
    )
    max_grad_norm: Real = _key(0.5, "gradients are scaled down to this norm", gt=0.0)
    rescue_coef: Real = _key(
        0.1, "pull towards the uniform choice on heads with `rescue: true` that have collapsed", ge=0.0
    )
    target_kl: Real | None = _key(
        0.03, "an update stops early once the policy has moved this far; null: never", "nats", gt=0.0
    )


class SelfPlaySection(_Section):
    """Who plays whom during training."""

    latest_share: Real = _key(
        0.5, "share of the games against the latest policy itself, where both seats learn", ge=0.0, le=1.0
    )
    pool_size: Whole = _key(16, "frozen snapshots that are kept as opponents", "policies", ge=1, le=100_000)
    snapshot_every: Whole = _key(500_000, "distance between two snapshots", "agent-steps", ge=1)
    slots: Whole = _key(4, "opponents in play at once", "policies", ge=1, le=100_000)
    slot_iterations: Whole = _key(8, "iterations before an opponent is drawn anew", "iterations", ge=1)


class EvaluationSection(_Section):
    """Matches against every scripted pilot of the game, half of the games from each seat."""

    games: Whole = _key(200, "games of a match", "games", ge=2, le=1_000_000)
    every: Whole = _key(0, "distance between two evaluations; 0: at the end only", "agent-steps", ge=0)
    options: dict[str, Any] = _key({}, "options of the game that differ in evaluation from those in training")
    seed: Whole = _key(1_000_003, "seed of the evaluation games, apart from training's", ge=0, le=_SEED_MAX)


class CheckpointSection(_Section):
    """Saved states from which a run continues exactly."""

    every: Whole = _key(1_000_000, "distance between two checkpoints; one more is made at the end", "agent-steps", ge=1)
    keep: Whole = _key(3, "newest checkpoints that are kept", "checkpoints", ge=1)
    milestones: Whole = _key(
        1_000_000,
        "of the older ones, the first at or after this many agent-steps is kept too, and after every doubling; 0: none",
        "agent-steps",
        ge=0,
    )


class FaultsSection(_Section):
    """What happens when numbers stop being finite. Explained in docs/robustness.md."""

    max_skipped: Whole = _key(
        5, "updates in a row that may be left out before the last good checkpoint is restored", "updates", ge=1
    )
    max_restores: Whole = _key(
        3, "restores without a new checkpoint in between, before the training ends with exit code 1", "restores", ge=0
    )


class RunSection(_Section):
    """Where and on what the run works."""

    dir: str = _key("runs", "folder in which the run's own folder is made", min_length=1)
    threads: Whole = _key(1, "CPU threads that torch uses", "threads", ge=1, le=1024)
    device: str = _key("cpu", "torch device: `cpu`, `cuda` or `cuda:N`", pattern=r"^(cpu|cuda(:\d+)?)$")
    tensorboard: bool = _key(True, "write TensorBoard files beside metrics.jsonl")


class RunConfig(_Section):
    """A whole run. Made by :func:`load_config`, which also checks it against the game."""

    seed: Whole = _key(1, "seed of every random stream of the training", ge=0, le=_SEED_MAX)
    total_steps: Whole = _key(10_000_000, "length of the training", "agent-steps", ge=1)
    game: GameSection = Field(default_factory=GameSection, description="the game that is played")
    heads: dict[str, Any] = _key({}, "entropy control of every head, by name; a number is a constant target")
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
        return int(self.game.num_games * self.ppo.rollout_steps * (1.0 + self.selfplay.latest_share))


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
        raise ConfigError(f"expected a mapping of keys at the top, got {_shown(document.tree)}")
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
        problems += [_problem(details) for details in error.errors()]
    if config is not None:
        problems += _contradictions(config)
        problems += _evaluation_problems(config)
    game = _game_section(tree)
    heads: dict[str, Any] = {}
    if game is not None:
        heads, head_problems = _check_heads(game, tree.get("heads"))
        problems += head_problems
    if problems or config is None:
        raise ConfigError("\n".join(_with_line(problem, document, overridden) for problem in problems))
    return config.model_copy(update={"heads": heads})


def _with_line(problem: str, document: Document, overridden: set[str]) -> str:
    """Adds the line of the file in which the key at fault stands, unless it came from the command line."""
    key = problem.partition(": ")[0]
    from_command_line = any(key.startswith(name) or name.startswith(f"{key}.") for name in overridden)
    line = None if from_command_line else document.line_of(key.partition("[")[0])
    return " ".join(f"{problem} (line {line})".split("\n")) if line else " ".join(problem.split("\n"))


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
        if parts[0] == "heads" and depth == 2 and below is not None and not isinstance(below, dict):
            below = {"target": below}  # a bare number is short for a constant target
        if below is not None and not isinstance(below, dict):
            raise ConfigError(f"{key.strip()}: {'.'.join(parts[:depth])} is {_shown(below)}, it has no keys")
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
    rows = config.rollout_rows
    if config.ppo.minibatch_size > rows:
        problems.append(
            f"ppo.minibatch_size: {config.ppo.minibatch_size} is more than the {rows} rows of a rollout "
            f"(game.num_games {config.game.num_games} * ppo.rollout_steps {config.ppo.rollout_steps} * "
            f"(1 + selfplay.latest_share {config.selfplay.latest_share:g})); lower it or play more"
        )
    if rows > _ROWS_MAX:
        problems.append(
            f"ppo.rollout_steps: a rollout of {rows:_} rows (game.num_games {config.game.num_games} * "
            f"ppo.rollout_steps {config.ppo.rollout_steps} * (1 + selfplay.latest_share "
            f"{config.selfplay.latest_share:g})) is more than "
            f"{_ROWS_MAX:_}; lower one of them"
        )
    return problems


def _problem(details: ErrorDetails) -> str:
    """Says in one line what pydantic found: key, value as written, what is allowed."""
    location = [str(part) for part in details["loc"]]
    if isinstance(details["loc"][-1], int):  # an entry of a list
        location[-2:] = [f"{location[-2]}[{location[-1]}]"]
    key, value, context = ".".join(location), _shown(details["input"]), details.get("ctx", {})
    kind = details["type"]
    if kind == "extra_forbidden":
        section = _section_at(location[:-1])
        where = f"key in {'.'.join(location[:-1])}" if location[1:] else "key"
        return f"{key}: {unknown_name(where, location[-1], section.model_fields)}"
    if kind == "literal_error":
        choices = get_args(_section_at(location[:-1]).model_fields[location[-1]].annotation)
        return f"{key}: {unknown_name('value', details['input'], choices)}"
    if kind in {"model_type", "model_attributes_type", "dict_type"}:
        section = _section_at(location)
        keys = f": {', '.join(section.model_fields)}" if section is not RunConfig else ""
        return f"{key}: expected a mapping of keys{keys}; got {value}"
    texts = {
        "bool_type": "expected true or false",
        "string_type": "expected text",
        "list_type": "expected a list such as [128, 128]",
        "greater_than": f"must be greater than {context.get('gt')}",
        "greater_than_equal": f"must be at least {context.get('ge')}",
        "less_than": f"must be less than {context.get('lt')}",
        "less_than_equal": f"must be at most {context.get('le')}",
        "finite_number": "must be a finite number",
        "too_short": "must not be empty",
        "too_long": f"must have at most {context.get('max_length')} entries",
        "string_too_short": "must not be empty",
        "string_pattern_mismatch": "must be `cpu`, `cuda` or `cuda:N`",
    }
    text = texts.get(kind, details["msg"])
    if kind == "string_type" and isinstance(details["input"], bool | int | float):
        text += " (put it in quotes)"
    return f"{key}: {text}, got {value}"


def _section_at(location: Sequence[str]) -> type[BaseModel]:
    """Returns the section at a path, or the whole configuration where the path is none."""
    model: type[BaseModel] = RunConfig
    for part in location:
        field = model.model_fields.get(part)
        kind = field.annotation if field else None
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return RunConfig
        model = kind
    return model


def _shown(value: object) -> str:
    """Returns a value as the user wrote it, cut to a readable length."""
    text = {None: "null", True: "true", False: "false"}.get(value) if isinstance(value, bool | None) else None
    text = text or repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
