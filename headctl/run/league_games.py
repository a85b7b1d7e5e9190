"""Who beat whom in the league of a run, in a file that is read without torch: ``league.json``.

The checkpoint has the same and is what a resume goes by. The file is written beside it for those who look on: tables,
pictures, pages.
"""

import contextlib
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from headctl.run import durable
from headctl.run.curves import Floats
from headctl.run.folder import LEAGUE_FILE
from headctl.selfplay.payoff import PayoffError, PayoffMatrix
from headctl.selfplay.rating import Rating, bradley_terry

_MAX_BYTES = 16 << 20
_SNAPSHOT = re.compile(r"(\d{12})(_.+)?")


class LeagueGames(NamedTuple):
    """All games of a league.

    Attributes:
        agent_steps: Age of the agent when the file was written.
        payoff: Wins, draws and losses between everybody.
        anchor: Whose rating is 1000; ``None``: the mean of all.
    """

    agent_steps: int
    payoff: PayoffMatrix
    anchor: str | None = None

    @property
    def ratings(self) -> list[Rating]:
        """Bradley-Terry ratings of those who have played, the strongest first."""
        played = [rating for rating in bradley_terry(self.payoff, anchor=self.anchor) if rating.games > 0]
        return sorted(played, key=lambda rating: -rating.rating)


def write_league_games(run_dir: Path, games: LeagueGames) -> None:
    """Writes the games of a league, if there were any; a disk that cannot take them gets them next time."""
    if not games.payoff.has_games:
        return
    content = {"agent_steps": games.agent_steps, "anchor": games.anchor, "payoff": games.payoff.state_dict()}
    with contextlib.suppress(OSError):
        durable.write_text(run_dir / LEAGUE_FILE, json.dumps(content, allow_nan=False) + "\n")


def read_league_games(run_dir: Path) -> LeagueGames | None:
    """Returns the games of a run's league; ``None`` where there are none, or a file that is none of ours."""
    path = run_dir / LEAGUE_FILE
    try:
        if path.stat().st_size > _MAX_BYTES:
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
        payoff = PayoffMatrix()
        payoff.load_state_dict(content["payoff"])
        anchor = content["anchor"]
        if anchor is not None:
            payoff.index(anchor)
        agent_steps = content["agent_steps"]
        if not isinstance(agent_steps, int) or not 0 <= agent_steps < 2**63:
            return None
        games = LeagueGames(agent_steps, payoff, anchor)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, PayoffError):
        return None
    return games if payoff.has_games else None


def scores(payoff: PayoffMatrix, names: Sequence[str]) -> Floats:
    """Returns the share of the points that the row got from the column ``[P, P]``; NaN where they have not met."""
    rows = [payoff.index(name) for name in names]
    points, games = (matrix[np.ix_(rows, rows)] for matrix in (payoff.points, payoff.games))
    return np.divide(points, games, out=np.full(points.shape, math.nan), where=games > 0)


def shown_name(name: str) -> str:
    """Returns the name of a player for people.

    Snapshots are called by their age in twelve digits, so that files sort; people read ``@6029312``, which after the
    name of a run is also how commands address the snapshot.
    """
    match = _SNAPSHOT.fullmatch(name)
    return f"@{int(match[1])}{match[2] or ''}" if match else name
