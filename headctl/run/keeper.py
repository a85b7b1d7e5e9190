"""The league of a run: freezes the learner, keeps the opponents on disk, and has them play each other."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headctl.policy.network import Policy
from headctl.ppo.ranks import ALONE, Ranks
from headctl.run.anchors import load_anchors
from headctl.run.checkpoint import load_snapshot, save_snapshot, snapshot_key, snapshot_path
from headctl.run.config import RunConfig
from headctl.run.exploiters import make_exploiters
from headctl.run.manifest import FileMark
from headctl.selfplay.games import VectorGame
from headctl.selfplay.league import OpponentPool, Snapshot
from headctl.selfplay.opponents import League, LeagueOptions
from headctl.selfplay.round_robin import play_pairs
from headctl.selfplay.samplers import Mixture

MakeGame = Callable[[int, int], VectorGame]
_PAIRS = 3
"""Beside the evaluation's seed: the games between frozen players draw from streams that nobody else has."""


def league_of(config: RunConfig, pool: OpponentPool, pilots: Sequence[str], anchors: Sequence[Snapshot] = ()) -> League:
    """Returns the league that a configuration asks for, without games.

    Args:
        config: The resolved configuration.
        pool: Snapshots of the run.
        pilots: Scripted opponents of the game.
        anchors: Policies of other runs.
    """
    settings = config.selfplay
    scripted = settings.opponents.pilots
    # Those who are neither played nor rated are nobody's opponents.
    wanted = (scripted.names or pilots) if scripted.weight > 0.0 or settings.payoff.every or scripted.names else ()
    return League(
        pool,
        Mixture.from_options(settings.opponents.model_dump(), floor=settings.floor),
        LeagueOptions(
            entry=settings.entry.by,
            snapshot_every=settings.snapshot_every,
            entry_win_rate=settings.entry.win_rate,
            entry_games=settings.entry.games,
            half_life=settings.payoff.half_life,
            anchors=tuple(settings.opponents.anchors.snapshots),
        ),
        pilots=list(dict.fromkeys(wanted)),
        anchors=anchors,
    )


class LeagueKeeper:
    """Keeps a league and its files.

    Attributes:
        league: Who is in it and what is known of them.
        exploiters: Agents that train beside the main one, by role.
        marks: What the files of its policies are known by, by name.
    """

    def __init__(
        self,
        config: RunConfig,
        run_dir: Path,
        policy: Policy,
        *,
        game: VectorGame,
        make_game: MakeGame,
        random: np.random.Generator,
        tell: Callable[[str], None],
        resume: bool,
        ranks: Ranks = ALONE,
    ) -> None:
        """Makes the league, empty but for anchors and pilots.

        Args:
            config: The resolved configuration.
            run_dir: The run's folder.
            policy: The learner's policy.
            game: The games that are trained in; brings the pilots.
            make_game: ``(num_games, seed)`` to a batch of such games, for matches and for exploiters.
            random: Random stream of the draws.
            tell: Gets one line about a file that cannot be written.
            resume: A state is about to be loaded: anchors come from there, and not from where they came from once.
            ranks: The processes that share the run; the first one writes.

        Raises:
            CheckpointError: An anchor that cannot be read or is of another scheme.
        """
        self._config, self._run_dir, self._policy, self._tell = config, run_dir, policy, tell
        self._make_game, self._ranks = make_game, ranks
        anchors = [] if resume else load_anchors(config.selfplay.opponents.anchors.paths, policy)
        self.league = league_of(config, OpponentPool(config.selfplay.pool_size, random), game.pilot_names, anchors)
        self.exploiters = make_exploiters(config, policy, self.league, make_game)
        self.marks: dict[str, FileMark] = {}

    def freeze(self, policy: Policy, agent_steps: int, label: str = "") -> Snapshot:
        """Puts a copy of a policy into the league and on disk.

        Args:
            policy: Who is copied, as it is at this moment.
            agent_steps: Age of the main learner.
            label: Name of an exploiter; ``""`` for the main learner.
        """
        snapshot = Snapshot.of(policy, agent_steps, label)
        self.league.admit(snapshot, of_learner=not label)
        try:
            self.marks[snapshot.name] = self._ranks.first_does(lambda: save_snapshot(self._run_dir, snapshot))
        except OSError as error:
            self._tell(f"the snapshot {snapshot.name} cannot be written yet: {reason(error)}")
        return snapshot

    def save_missing(self) -> dict[str, FileMark]:
        """Writes the policies whose files are not there, and returns all of the league's files with their marks.

        They are missing where the disk was full or somebody tidied up: the league in memory still has them.

        Raises:
            OSError: One of them cannot be written.
        """
        for snapshot in self.league.policies:
            if snapshot.name not in self.marks or not snapshot_path(self._run_dir, snapshot.name).exists():
                self.marks[snapshot.name] = save_snapshot(self._run_dir, snapshot)
        self.marks = {snapshot.name: self.marks[snapshot.name] for snapshot in self.league.policies}
        return {snapshot_key(name): mark for name, mark in self.marks.items()}

    def turn(self, iteration: int, steps: tuple[int, int], *, spoilt: bool) -> tuple[dict[str, float], bool]:
        """Has frozen players meet, exploiters take their turns, and whoever is due enter the league.

        Args:
            iteration: Of the run.
            steps: Agent-steps of the main learner before and after it.
            spoilt: The update was left out: nothing of the policy enters.

        Returns:
            Metrics of the exploiters, and whether somebody has entered.
        """
        before, now = steps
        self._play_pairs(iteration)
        told: dict[str, float] = {}
        changed = False
        progress = min(now / self._config.total_steps, 1.0)
        for exploiter in self.exploiters.values():
            metrics, entered = exploiter.turn(self.freeze, now, progress)
            told |= metrics
            changed |= bool(entered)
        if not spoilt and self.league.is_due(before, now):
            self.freeze(self._policy, now)
            changed = True
        return told, changed

    def _play_pairs(self, iteration: int) -> None:
        """Has the pairs about which least is known play each other, if a round is due.

        The games and all draws in them have streams of their own, by the iteration.
        """
        settings = self._config.selfplay.payoff
        if not settings.every or iteration % settings.every:
            return
        pairs = self.league.uncertain_pairs(settings.pairs)
        seeds = np.random.SeedSequence([self._config.evaluation.seed, _PAIRS, iteration])
        seed = int(seeds.generate_state(1)[0]) % 2**30
        results = play_pairs(self._make_game, self._policy, pairs, games=settings.games, seed=seed)
        for (first, second), result in zip(pairs, self._ranks.agreed(results), strict=True):
            self.league.record_pair(first.name, second.name, result)

    def state_dict(self) -> dict[str, Any]:
        """Returns the league as plain data; its policies lie beside the checkpoint."""
        return {
            "pool": self.league.pool.state_dict(),
            "league": self.league.state_dict(),
            "exploiters": {role: exploiter.state_dict() for role, exploiter in self.exploiters.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any], policies: Sequence[Snapshot] | None = None) -> None:
        """Takes over a state of the same configuration.

        Args:
            state: The run's state, with ``pool``, ``league`` and ``exploiters``.
            policies: The frozen policies that it names; ``None``: they are read from the run's folder.
        """
        names = list(state["pool"]["snapshots"])
        anchors = list(state["league"].get("anchors", []))
        if policies is None:
            policies = [load_snapshot(self._run_dir, name) for name in (*names, *anchors)]
        self.league.pool.load_state_dict(state["pool"], policies[: len(names)])
        self.league.anchors = list(policies[len(names) :])
        self.league.load_state_dict(state["league"])
        for role, exploiter in self.exploiters.items():
            exploiter.load_state_dict(state["exploiters"][role])


def reason(error: OSError) -> str:
    """Returns in a few words why a file could not be written."""
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or type(error).__name__}"
