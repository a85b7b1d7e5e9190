"""A tournament: everybody against everybody, and what follows from it."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from headctl.run import durable
from headctl.run.folder import RunFolderError
from headctl.selfplay.league import Pilot
from headctl.selfplay.nash import cycles, effective_strategies, exploitability, nash_mixture, non_transitivity
from headctl.selfplay.payoff import PayoffMatrix
from headctl.selfplay.rating import Rating, bradley_terry
from headctl.selfplay.results import MatchResult
from headctl.selfplay.round_robin import Entrant, play_round_robin

JSON_FILE, PICTURE_FILE = "tournament.json", "tournament.png"


@dataclass(frozen=True, slots=True)
class Standing:
    """A player's place.

    Attributes:
        rating: Bradley-Terry rating with its interval.
        nash: Probability in the Nash mixture of the players.
        result: All his games.
    """

    rating: Rating
    nash: float
    result: MatchResult


@dataclass(frozen=True, slots=True)
class Table:
    """What a payoff matrix says.

    Attributes:
        payoff: The games.
        standings: Everybody, the strongest first.
        anchor: Who is rated 1000; ``None``: the mean of all.
        pool_exploitability: What the best of the players gets from the Nash mixture.
        effective: Effective number of players in the Nash mixture.
        cyclic: Share of the matrix that no ratings can explain, beyond chance.
        circles: Triples who beat each other in a circle.
    """

    payoff: PayoffMatrix
    standings: list[Standing]
    anchor: str | None
    pool_exploitability: float
    effective: float
    cyclic: float
    circles: list[tuple[str, str, str]]

    def to_json(self) -> dict[str, Any]:
        """Returns everything as plain data; what is not known is null."""
        names = [standing.rating.name for standing in self.standings]
        return {
            "anchor": self.anchor,
            "players": [_standing_to_json(standing) for standing in self.standings],
            "pairs": [_pair_to_json(self.payoff, *pair) for pair in combinations(names, 2)],
            "nash_exploitability": self.pool_exploitability,
            "effective_strategies": self.effective,
            "non_transitivity": self.cyclic,
            "cycles": [list(circle) for circle in self.circles],
        }


def _standing_to_json(standing: Standing) -> dict[str, Any]:
    rating, result = standing.rating, standing.result
    return {
        "name": rating.name,
        "rating": rating.rating,
        "rating_low": rating.low,
        "rating_high": rating.high,
        "wins": result.wins,
        "losses": result.losses,
        "draws": result.draws,
        "games": result.games,
        "score": _known(rating.score),
        "draw_rate": _known(rating.draw_rate),
        "nash": standing.nash,
    }


def _pair_to_json(payoff: PayoffMatrix, first: str, second: str) -> dict[str, Any]:
    result, (low, high) = payoff.result(first, second), payoff.interval(first, second)
    return {
        "first": first,
        "second": second,
        "wins": result.wins,
        "losses": result.losses,
        "draws": result.draws,
        "score": (result.wins + 0.5 * result.draws) / result.games if result.games else None,
        "score_low": low,
        "score_high": high,
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def table_of(payoff: PayoffMatrix, anchor: str | None) -> Table:
    """Returns what a payoff matrix says.

    Args:
        payoff: The games; at least one player.
        anchor: Who is rated 1000; ``None``: the mean of all.
    """
    payoffs = payoff.payoffs()
    mixture = nash_mixture(payoffs)
    standings = [
        Standing(rating, float(share), payoff.total(rating.name))
        for rating, share in zip(bradley_terry(payoff, anchor=anchor), mixture, strict=True)
    ]
    return Table(
        payoff,
        sorted(standings, key=lambda standing: (-standing.rating.rating, standing.rating.name)),
        anchor,
        exploitability(payoffs, mixture),
        effective_strategies(mixture),
        non_transitivity(payoff.rates(), payoff.games),
        cycles(payoff),
    )


def play_tournament(
    make_game: Any, entrants: Mapping[str, Entrant], *, games: int, seed: int, anchor: str | None = None
) -> Table:
    """Has everybody play everybody.

    Args:
        make_game: ``(num_games, seed)`` to a batch of games.
        entrants: The players, by label.
        games: Games of every pair, half of them from each seat.
        seed: Seed of games and players.
        anchor: Who is rated 1000; ``None``: the first pilot, without one the mean of all.

    Raises:
        RunFolderError: Fewer than two players, or an anchor that is none of them.
    """
    names = list(entrants)
    if len(names) < 2:
        raise RunFolderError(f"a tournament needs two players, got {len(names)}: {', '.join(names) or 'nobody'}")
    if anchor is not None and anchor not in entrants:
        raise RunFolderError(f"--anchor {anchor}: is none of the players: {', '.join(names)}")
    payoff = payoff_between(make_game, entrants, games=games, seed=seed)
    pilots = [name for name, entrant in entrants.items() if isinstance(entrant, Pilot)]
    return table_of(payoff, anchor or next(iter(pilots), None))


def payoff_between(make_game: Any, entrants: Mapping[str, Entrant], *, games: int, seed: int) -> PayoffMatrix:
    """Plays every pair and returns the games; arguments as in :func:`play_tournament`."""
    names = list(entrants)
    pairs = list(combinations(range(len(names)), 2))
    payoff = PayoffMatrix(names)
    for (first, second), played in zip(
        pairs, play_round_robin(make_game, list(entrants.values()), pairs, games=games, seed=seed), strict=True
    ):
        payoff.record(names[first], names[second], played.result)
    return payoff


def write_tournament(table: Table, folder: Path, settings: Mapping[str, Any]) -> Sequence[Path]:
    """Writes ``tournament.json`` and ``tournament.png`` and returns both.

    Args:
        table: The result.
        folder: Where to; it is made where it is missing.
        settings: What belongs to the file besides: games, seed, game.
    """
    from headctl.run.heat_map import write_heat_map  # noqa: PLC0415 - matplotlib takes a second to load

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / JSON_FILE
    durable.write_text(path, json.dumps({**settings, **table.to_json()}, indent=2, allow_nan=False) + "\n")
    return [path, write_heat_map(table, folder / PICTURE_FILE)]
