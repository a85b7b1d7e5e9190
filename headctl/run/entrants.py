"""Who plays in a tournament: runs, their checkpoints and snapshots, and scripted pilots, by name."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from headctl.messages import unknown_name
from headctl.policy.network import Policy
from headctl.run.agent import build_agent, check_config, check_same_game, fitting, load_agent
from headctl.run.checkpoint import (
    CHECKPOINTS,
    LEAGUE,
    Checkpoint,
    CheckpointError,
    checkpoint_path,
    list_checkpoints,
    load_snapshot,
    read_checkpoint,
    snapshot_path,
    steps_of,
)
from headctl.run.config import RunConfig, load_config
from headctl.run.folder import CONFIG_FILE, RunFolderError, check_run_folder, is_run_folder
from headctl.run.formats import migrated
from headctl.run.matches import GameMaker
from headctl.run.report import RunReader
from headctl.run.scheme import check_scheme
from headctl.selfplay.catalog import make
from headctl.selfplay.games import VectorGame
from headctl.selfplay.league import Pilot, Snapshot
from headctl.selfplay.round_robin import Contestant, Entrant


@dataclass(frozen=True, slots=True)
class Loaded:
    """A policy from disk.

    Attributes:
        label: Short name for tables.
        config: The configuration of its run.
        policy: The policy.
        agent_steps: Its age.
    """

    label: str
    config: RunConfig
    policy: Policy
    agent_steps: int

    def contestant(self, *, greedy: bool = False) -> Contestant:
        """Returns the player; those of one network have the same kind.

        Args:
            greedy: It takes its most likely actions instead of drawing them.
        """
        return Contestant(self.policy, kind_of(self.config), greedy)


class Lobby:
    """The game that a tournament is played in, and everybody who can play it.

    Attributes:
        config: The configuration that the game is from.
        game: One of these games.
        pilots: Names of the game's scripted opponents.
    """

    def __init__(self, config: RunConfig, source: str) -> None:
        """Opens the lobby of a configuration's game, as it is evaluated.

        Args:
            config: The configuration.
            source: What the user called it, for messages.
        """
        self.config, self._source = config, source
        self.game = self.make_game(1, 0)
        self.pilots = tuple(self.game.pilot_names)

    @classmethod
    def of(cls, names: list[str], config: Path | None) -> "Lobby":
        """Opens the lobby of a configuration file, or else of the first of ``names`` that has a configuration.

        Raises:
            RunFolderError: There is none.
            ConfigError: A configuration that cannot be used.
        """
        if config is not None:
            return cls(load_config(config), str(config))
        for name in names:
            found = place_of(name)
            if found is not None:
                return cls(RunReader.config_of(found[0]), name)
        raise RunFolderError(
            f"{', '.join(names)}: none of them is a run, a checkpoint of one, RUN@STEPS, or a file in its league/; "
            "matches of pilots alone need the game: --config CONFIG"
        )

    def make_game(self, num_games: int, seed: int) -> VectorGame:
        """Makes a batch of games as they are evaluated."""
        return GameMaker(self.config, torch.device("cpu")).evaluated(num_games, seed)

    def entrants(self, names: list[str], *, greedy: bool | None = None) -> dict[str, Entrant]:
        """Returns the players of these names, by label.

        Args:
            names: Pilots, runs, checkpoints and snapshots.
            greedy: Whether agents take their most likely actions instead of drawing them; ``None``: as
                ``evaluation.greedy`` of the lobby's configuration says.

        Raises:
            RunFolderError: A name that is nobody's, a player of another game, or two of the same label.
            CheckpointError: A checkpoint or snapshot that is missing, damaged or of another scheme.
        """
        most_likely = self.config.evaluation.greedy if greedy is None else greedy
        found: dict[str, Entrant] = {}
        for name in names:
            if name in self.pilots and not is_run_folder(Path(name)):
                label, entrant = name, Pilot(name)
            else:
                loaded = self.load(name)
                label, entrant = loaded.label, loaded.contestant(greedy=most_likely)
            if label in found:
                raise RunFolderError(f"{name}: there is a player {label!r} already; name everybody once")
            found[label] = entrant
        return found

    def load(self, name: str) -> Loaded:
        """Returns the policy that a name stands for.

        Raises:
            RunFolderError: A name that is nobody's, or a player of another game.
            CheckpointError: A checkpoint or snapshot that is missing, damaged or of another scheme.
        """
        place = place_of(name)
        if place is None:
            raise RunFolderError(
                f"{unknown_name('player', name, self.pilots)}, the folder of a run, RUN@STEPS, or a file in a run's "
                f"{CHECKPOINTS}/ or {LEAGUE}/"
            )
        check_run_folder(place[0])
        check_same_game(name, RunReader.config_of(place[0]), self._source, self.config, self.game)
        return load_player(name)


def kind_of(config: RunConfig) -> str:
    """Returns a text that is equal for policies that differ in their weights only."""
    return json.dumps([config.game.name, config.heads, config.policy.model_dump()], sort_keys=True, default=str)


def place_of(name: str) -> tuple[Path, str | Path | None] | None:
    """Returns the run that a name means and what of it: steps, a file, or ``None`` for its newest checkpoint.

    Returns:
        ``None`` where the name is no run's.
    """
    path = Path(name)
    if path.is_dir() and is_run_folder(path):
        return path, None
    if path.parent.name in (CHECKPOINTS, LEAGUE) and (path.parent.parent / CONFIG_FILE).is_file():
        return path.parent.parent, path
    run, at, what = name.rpartition("@")
    if at and is_run_folder(Path(run)):
        return Path(run), what
    return None


def load_player(name: str) -> Loaded:
    """Returns the policy in a run, a checkpoint or a snapshot; see :func:`place_of`.

    Raises:
        RunFolderError: The name is no run's.
        CheckpointError: It is missing, damaged or of another scheme.
    """
    place = place_of(name)
    if place is None:
        raise RunFolderError(f"{name} is neither a run, nor RUN@STEPS, nor a checkpoint or snapshot of one")
    run_dir, what = place
    check_run_folder(run_dir)
    config = RunReader.config_of(run_dir)
    label = run_dir.resolve().name
    if what is None:
        policy, steps = load_agent(config, run_dir)
        return Loaded(label, config, policy, steps)
    found = _at(run_dir, what)
    game = make(config.game.name, config.game.options, num_games=1, seed=0)
    policy, _ = build_agent(config, game, torch.Generator())
    weights = found.state
    if isinstance(found, Checkpoint):
        state = migrated(found)
        with fitting(found):
            check_config(found.path, state.get("config"), config)
            weights = state["learner"]["policy"]
    try:
        check_scheme(weights, policy.state_dict(), "learner.policy")
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{name}: {error}") from error
    policy.load_state_dict(weights)
    shown = found.name if isinstance(found, Snapshot) and found.label else str(found.agent_steps)
    return Loaded(f"{label}@{shown}", config, policy, found.agent_steps)


def _at(run_dir: Path, what: str | Path) -> Checkpoint | Snapshot:
    """Returns a run's checkpoint or snapshot by steps, by name or by file."""
    if isinstance(what, Path):
        return load_snapshot(run_dir, what.stem) if what.parent.name == LEAGUE else read_checkpoint(what)
    name = what
    if what.replace("_", "").isdigit():
        steps = int(what)
        if checkpoint_path(run_dir, steps).exists():
            return read_checkpoint(checkpoint_path(run_dir, steps))
        name = f"{steps:012d}"
    if snapshot_path(run_dir, name).exists():
        return load_snapshot(run_dir, name)
    there = sorted({*(str(steps_of(path)) for path in list_checkpoints(run_dir)), *snapshot_names(run_dir)}, key=_order)
    raise CheckpointError(
        f"{run_dir}@{what}: no checkpoint or snapshot of that age. There are: {', '.join(there) or 'none'}"
    )


def snapshot_names(run_dir: Path) -> list[str]:
    """Returns what the snapshots of a run are called after an ``@``, oldest first."""
    names = [path.stem for path in (run_dir / LEAGUE).glob("*.pt")]
    return sorted((str(int(name)) if name.isdigit() else name for name in names), key=_order)


def _order(name: str) -> tuple[bool, int, str]:
    return (not name.isdigit(), int(name) if name.isdigit() else 0, name)
