"""The league of a run as it stands in the newest checkpoint, or as it plays now."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headctl.run.agent import fitting, load_agent, warn
from headctl.run.checkpoint import Checkpoint, newest_usable
from headctl.run.entrants import Lobby, kind_of
from headctl.run.folder import RunFolderError, check_run_folder
from headctl.run.formats import migrated
from headctl.run.keeper import LeagueKeeper
from headctl.run.report import RunReader
from headctl.run.tournament import Table, payoff_between, table_of
from headctl.selfplay.league import Pilot
from headctl.selfplay.opponents import LEARNER, League
from headctl.selfplay.round_robin import Contestant, Entrant, thawed


@dataclass(frozen=True, slots=True)
class LeagueReport:
    """The league of a run.

    Attributes:
        agent_steps: Age of the checkpoint.
        table: Ratings, games and mixture of all its members.
        probabilities: How probable everybody is in the next draw.
        kinds: ``learner``, ``snapshot``, ``exploiter``, ``anchor`` or ``pilot``, by name.
        played: Whether the games were played for this report; else they are those of the checkpoint.
    """

    agent_steps: int
    table: Table
    probabilities: dict[str, float]
    kinds: dict[str, str]
    played: bool

    def to_json(self) -> dict[str, Any]:
        """Returns everything as plain data."""
        told = self.table.to_json()
        for player in told["players"]:
            player["kind"] = self.kinds.get(player["name"])
            player["probability"] = self.probabilities.get(player["name"])
        return {"agent_steps": self.agent_steps, "games_played_now": self.played, **told}


def report_league(run_dir: Path, games: int | None = None, seed: int | None = None) -> LeagueReport:
    """Reads the league of a run's newest checkpoint.

    Args:
        run_dir: The run's folder.
        games: Games of every pair that are played now, instead of those that the checkpoint has.
        seed: Of these games; ``None``: ``evaluation.seed`` of the run.

    Raises:
        RunFolderError: No run, or a league that is empty.
        CheckpointError: No checkpoint, or a member of the league that is missing, damaged or of another scheme.
    """
    check_run_folder(run_dir)
    config = RunReader.config_of(run_dir)
    policy, _ = load_agent(config, run_dir)
    lobby = Lobby(config, str(run_dir))

    def take(checkpoint: Checkpoint) -> tuple[League, int]:
        keeper = LeagueKeeper(
            config,
            run_dir,
            policy,
            game=lobby.game,
            make_game=lobby.make_game,
            random=np.random.Generator(np.random.PCG64(0)),
            tell=warn,
            resume=True,
        )
        with fitting(checkpoint):
            keeper.load_state_dict(migrated(checkpoint))
        return keeper.league, checkpoint.agent_steps

    league, agent_steps = newest_usable(run_dir, take, warn)
    opponents = league.opponents
    if not opponents:
        raise RunFolderError(f"{run_dir}: its league is empty: nobody but the learner itself")
    if games is None:
        payoff = league.payoff
    else:
        kind, greedy = kind_of(config), config.evaluation.greedy
        entrants: dict[str, Entrant] = {LEARNER: Contestant(policy, kind, greedy)}
        for opponent in opponents:
            entrants[opponent.name] = (
                opponent if isinstance(opponent, Pilot) else Contestant(thawed(policy, opponent), kind, greedy)
            )
        payoff = payoff_between(lobby.make_game, entrants, games=games, seed=seed or config.evaluation.seed)
    league.refresh()
    probabilities = dict(zip([each.name for each in opponents], league.probabilities().tolist(), strict=True))
    anchor = league.rating_anchor
    return LeagueReport(agent_steps, table_of(payoff, anchor), probabilities, _kinds(league), games is not None)


def _kinds(league: League) -> dict[str, str]:
    kinds = {LEARNER: "learner"}
    kinds |= {each.name: "exploiter" if each.label else "snapshot" for each in league.pool.snapshots}
    kinds |= {each.name: "anchor" for each in league.anchors}
    return kinds | {each.name: "pilot" for each in league.pilots}
