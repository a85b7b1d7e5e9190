"""The league: whom the learner meets, what is known of everybody, who enters and who leaves. Free of torch itself.

Shapes: P opponents: the pool's snapshots from the oldest to the newest, anchors of other runs, scripted pilots.

One matrix holds all games (:class:`~headctl.selfplay.payoff.PayoffMatrix`). The learner's row comes from training
games and fades, because the learner changes; the games between frozen players come from matches and stay.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from headctl.selfplay.league import Opponent, OpponentPool, Pilot, Snapshot
from headctl.selfplay.nash import effective_strategies, nash_mixture
from headctl.selfplay.payoff import PayoffMatrix
from headctl.selfplay.rating import Elo, Rating, bradley_terry
from headctl.selfplay.results import MatchResult
from headctl.selfplay.samplers import Mixture, OpponentKind, Standings, Vector, draw

LEARNER = "latest"
"""Name of the learner as it is now, in the payoff matrix."""
_IN_SUPPORT = 0.01
"""Probability in the Nash mixture from which a snapshot is held in the league."""


@dataclass(frozen=True, slots=True)
class LeagueOptions:
    """The rules of a league.

    Attributes:
        entry: ``steps``, ``win_rate`` or ``both``.
        snapshot_every: Agent-steps between two entries; for ``both`` the longest time between them.
        entry_win_rate: Score against the pool that opens the gate.
        entry_games: Games since the last entry before it may open.
        half_life: Agent-steps after which a training game counts half.
        anchors: Agent-steps; the first snapshot taken at or after each never leaves.
    """

    entry: str = "steps"
    snapshot_every: int = 500_000
    entry_win_rate: float = 0.7
    entry_games: int = 200
    half_life: int = 1_000_000
    anchors: tuple[int, ...] = ()


@dataclass(slots=True)
class _Gate:
    """What has happened since the last entry."""

    entered_at: int = 0
    games: int = 0
    points: float = 0.0
    counted: float = 0.0


class League:
    """Opponents, the rule that picks among them, the payoff matrix and the ratings.

    Attributes:
        pool: The frozen policies of this run.
        payoff: Games between everybody, the learner as :data:`LEARNER` among them.
        elo: Live ratings.
        ratings: Bradley-Terry ratings as of the last :meth:`refresh`, by name.
        nash: Nash mixture over the frozen policies as of the last :meth:`refresh`, by name.
        pilots: Scripted opponents that belong to the league.
        anchors: Frozen policies of other runs.
        next_opponents: The opponents that were drawn last.
    """

    def __init__(
        self,
        pool: OpponentPool,
        mixture: Mixture,
        options: LeagueOptions,
        *,
        pilots: Sequence[str] = (),
        anchors: Sequence[Snapshot] = (),
    ) -> None:
        """Creates a league without games.

        Args:
            pool: Frozen policies of this run; its random stream draws the opponents.
            mixture: Who is picked.
            options: The rules.
            pilots: Scripted opponents.
            anchors: Frozen policies of other runs, with labels.
        """
        self.pool, self.options, self.anchors = pool, options, list(anchors)
        self.pilots = [Pilot(name) for name in pilots]
        self._mixture = mixture
        self.payoff = PayoffMatrix([LEARNER, *(entry.name for entry in self.opponents)])
        self.elo = Elo()
        self.ratings: dict[str, Rating] = {}
        self.nash: dict[str, float] = {}
        self.next_opponents: list[str] = []
        self._gate = _Gate()

    # Who is there ---------------------------------------------------------------------------------------------------

    @property
    def opponents(self) -> list[Opponent]:
        """Everybody whom the learner may meet, in the order of ``P``."""
        return [*self.pool.snapshots, *self.anchors, *self.pilots]

    @property
    def policies(self) -> list[Snapshot]:
        """The frozen policies, without the pilots."""
        return [*self.pool.snapshots, *self.anchors]

    @property
    def own_anchors(self) -> frozenset[str]:
        """Names of the snapshots that never leave."""
        own = [snapshot for snapshot in self.pool.snapshots if not snapshot.label]
        found = set()
        for wanted in self.options.anchors:
            found |= set([each.name for each in own if each.agent_steps >= wanted][:1])
        return frozenset(found)

    @property
    def protected(self) -> frozenset[str]:
        """Names of the snapshots that stay when the pool is full: anchors, and the support of the Nash mixture."""
        return self.own_anchors | {name for name, share in self.nash.items() if share >= _IN_SUPPORT}

    def standings(self) -> Standings:
        """Returns what the samplers look at."""
        opponents = self.opponents
        names = tuple(opponent.name for opponent in opponents)
        kinds: tuple[OpponentKind, ...] = (
            *("snapshot" for _ in self.pool.snapshots),
            *("anchor" for _ in self.anchors),
            *("pilot" for _ in self.pilots),
        )
        nash = np.array([self.nash.get(name, 0.0) for name in names])
        return Standings(names, kinds, self.payoff.rates_against(LEARNER, names), nash, self.own_anchors)

    def probabilities(self) -> Vector:
        """Returns how probable every opponent is in the next draw ``[P]``.

        Raises:
            ValueError: The league is empty.
        """
        return self._mixture.probabilities(self.standings())

    def draw(self, count: int) -> list[Opponent]:
        """Returns ``count`` opponents, in proportion to their probabilities.

        Raises:
            ValueError: The league is empty.
        """
        self.refresh()
        opponents = self.opponents
        if not opponents:
            raise ValueError("the league is empty: add a snapshot before drawing from it")
        drawn = [opponents[index] for index in draw(self.probabilities(), count, self.pool.random)]
        self.next_opponents = [opponent.name for opponent in drawn]
        return drawn

    # What is known --------------------------------------------------------------------------------------------------

    def record(self, results: Mapping[str, MatchResult], agent_steps: int) -> None:
        """Takes in games of the learner, and lets the earlier ones fade.

        Args:
            results: Opponent -> games that ended, from the learner's side. Opponents who have left are passed over.
            agent_steps: Decisions that the learner took meanwhile.
        """
        self.payoff.decay(LEARNER, 0.5 ** (agent_steps / self.options.half_life))
        pool = set(self.pool.names)
        for name, result in results.items():
            if name not in self.payoff:
                continue
            self.payoff.record(LEARNER, name, result)
            self.elo.update(LEARNER, name, result, frozen=True)
            if name in pool:
                self._count(result)

    def _count(self, result: MatchResult) -> None:
        """Adds to what the gate looks at: about the last ``2 entry_games`` games since the last entry."""
        gate = self._gate
        gate.games += result.games
        gate.points += result.wins + 0.5 * result.draws
        gate.counted += result.games
        longest = 2.0 * self.options.entry_games
        if gate.counted > longest:
            gate.points *= longest / gate.counted
            gate.counted = longest

    def record_pair(self, first: str, second: str, result: MatchResult) -> None:
        """Takes in games between two frozen players; somebody who has left is passed over."""
        if first in self.payoff and second in self.payoff:
            self.payoff.record(first, second, result)

    def uncertain_pairs(self, count: int) -> list[tuple[Opponent, Opponent]]:
        """Returns the pairs of frozen players about whom least is known; two pilots are never one."""
        opponents = {opponent.name: opponent for opponent in self.opponents}
        wanted = self.payoff.most_uncertain(len(opponents) ** 2, among=list(opponents))
        pairs = ((opponents[first], opponents[second]) for first, second in wanted)
        return [pair for pair in pairs if not all(isinstance(each, Pilot) for each in pair)][:count]

    def refresh(self) -> None:
        """Computes ratings and Nash mixture anew from the payoff matrix."""
        names = [snapshot.name for snapshot in self.policies]
        self.nash = {}
        if names:
            rows = [self.payoff.index(name) for name in names]
            mixture = nash_mixture(self.payoff.payoffs()[np.ix_(rows, rows)])
            self.nash = dict(zip(names, mixture.tolist(), strict=True))
        anchor = self.rating_anchor
        self.ratings = {}
        if anchor is not None:
            self.ratings = {rating.name: rating for rating in bradley_terry(self.payoff, anchor=anchor)}

    @property
    def rating_anchor(self) -> str | None:
        """Whose rating is 1000: the first pilot, without one the oldest snapshot."""
        first = [*(pilot.name for pilot in self.pilots), *(snapshot.name for snapshot in self.policies)]
        return first[0] if first else None

    # Who enters and who leaves --------------------------------------------------------------------------------------

    @property
    def gate_score(self) -> float:
        """The learner's score against the pool since the last entry; NaN without games."""
        return self._gate.points / self._gate.counted if self._gate.counted > 0.0 else math.nan

    def is_due(self, before: int, now: int) -> bool:
        """Tells whether the learner shall be frozen.

        Args:
            before: Its agent-steps at the last question.
            now: Its agent-steps.
        """
        options, gate = self.options, self._gate
        if options.entry == "steps":
            return before // options.snapshot_every != now // options.snapshot_every
        if options.entry == "both" and now - gate.entered_at >= options.snapshot_every:
            return True
        return gate.games >= options.entry_games and self.gate_score >= options.entry_win_rate

    def admit(self, snapshot: Snapshot, *, of_learner: bool = True) -> Snapshot | None:
        """Takes in a snapshot.

        Args:
            snapshot: The new one.
            of_learner: It is a copy of the learner, whose gate closes; not an exploiter.

        Returns:
            The snapshot that had to leave.
        """
        left = self.pool.add(snapshot, keep=self.protected)
        self.payoff.add(snapshot.name)
        if left is not None:
            self.payoff.remove(left.name)
        if of_learner:
            self.elo.set_rating(snapshot.name, self.elo.rating(LEARNER))
            self._gate = _Gate(entered_at=snapshot.agent_steps)
        return left

    # What people and checkpoints read -------------------------------------------------------------------------------

    def metrics(self, in_play: Sequence[str], results: Mapping[str, MatchResult], agent_steps: int) -> dict[str, float]:
        """Returns the metrics ``selfplay/...`` of the league and of every opponent.

        Args:
            in_play: Opponents of the last rollout, one per slot.
            results: Their games that ended in it.
            agent_steps: Age of the learner.
        """
        steps = {snapshot.name: snapshot.agent_steps for snapshot in self.pool.snapshots}
        ages = [agent_steps - steps[name] for name in in_play if name in steps]
        standings = self.standings()
        policies = [name for name, kind in zip(standings.names, standings.kinds, strict=True) if kind != "pilot"]
        rates = dict(zip(standings.names, standings.win_rates.tolist(), strict=True))
        nash = np.array([self.nash.get(name, 0.0) for name in policies])
        mine = self.ratings.get(LEARNER)
        told = {
            "selfplay/pool_size": len(self.pool),
            "selfplay/nash_support": effective_strategies(nash) if nash.sum() > 0.0 else math.nan,
            "selfplay/league_win_rate": float(np.mean([rates[name] for name in policies])) if policies else math.nan,
            "selfplay/exploitability": max((1.0 - 2.0 * rates[name] for name in policies), default=math.nan),
            "selfplay/opponent_age": float(np.mean(ages)) if ages else math.nan,
            "selfplay/gate_score": self.gate_score,
            "selfplay/elo": self.elo.rating(LEARNER),
            "selfplay/rating": math.nan if mine is None else mine.rating,
            "selfplay/rating_low": math.nan if mine is None else mine.low,
            "selfplay/rating_high": math.nan if mine is None else mine.high,
        }
        told["selfplay/exploitability"] = max(told["selfplay/exploitability"], 0.0)
        chances = self.probabilities().tolist() if standings.names else []
        for name, chance in zip(standings.names, chances, strict=True):
            result, rating = results.get(name), self.ratings.get(name)
            told |= {
                f"selfplay/opponent/{name}/games": 0 if result is None else result.games,
                f"selfplay/opponent/{name}/win_rate": rates[name],
                f"selfplay/opponent/{name}/probability": chance,
                f"selfplay/opponent/{name}/rating": math.nan if rating is None else rating.rating,
            }
        return told

    def state_dict(self) -> dict[str, Any]:
        """Returns everything but the pool as plain data; the snapshots are stored once each, by the run."""
        return {
            "payoff": self.payoff.state_dict(),
            "elo": self.elo.state_dict(),
            "gate": asdict(self._gate),
            "nash": dict(self.nash),
            "ratings": {name: asdict(rating) for name, rating in self.ratings.items()},
            "next_opponents": list(self.next_opponents),
            "anchors": [anchor.name for anchor in self.anchors],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over a state. The pool's own state has been loaded before. An empty state is a league without games.

        Raises:
            ValueError: A state of other players than there are in the pool, or one that is none; nothing changes then.
        """
        payoff, elo = PayoffMatrix([LEARNER, *(entry.name for entry in self.opponents)]), Elo()
        if not state:
            self.payoff, self.elo, self._gate = payoff, elo, _Gate()
            self.nash, self.ratings, self.next_opponents = {}, {}, []
            return
        expected = sorted(payoff.names)
        payoff.load_state_dict(state["payoff"])
        if sorted(payoff.names) != expected:
            raise ValueError(f"league.payoff.names: are {sorted(payoff.names)}, the league has {expected}")
        elo.load_state_dict(state["elo"])
        gate = _Gate(**state["gate"])
        for key, count in asdict(gate).items():
            if not 0 <= count < math.inf:
                raise ValueError(f"league.gate.{key}: is {count!r}")
        nash = {str(name): float(share) for name, share in state["nash"].items()}
        if not all(0.0 <= share <= 1.0 + 1e-9 for share in nash.values()):
            raise ValueError(f"league.nash: {nash} is no mixture")
        ratings = {str(name): Rating.from_plain(rating) for name, rating in state["ratings"].items()}
        for name, rating in ratings.items():
            if rating.name != name:
                raise ValueError(f"league.ratings.{name}: is the rating of {rating.name!r}")
        drawn = state["next_opponents"]
        if not isinstance(drawn, list) or not all(isinstance(name, str) for name in drawn):
            raise ValueError(f"league.next_opponents: expected a list of names, got {drawn!r}")
        self.payoff, self.elo, self._gate, self.nash, self.ratings = payoff, elo, gate, nash, ratings
        self.next_opponents = list(drawn)
