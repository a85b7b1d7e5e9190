"""Results of matches and their confidence intervals. Free of torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_Z_95 = 1.959963984540054
MOST_GAMES = 10**12
"""More games than anybody plays; files that say so are wrong."""


@dataclass(frozen=True, slots=True)
class MatchResult:
    """Games of one player against another, from the first player's side."""

    wins: int
    losses: int
    draws: int

    @classmethod
    def from_plain(cls, counts: Mapping[str, Any]) -> "MatchResult":
        """Returns a result that a file has as plain data: ``wins``, ``losses``, ``draws``, whole numbers.

        Raises:
            ValueError: One of them is missing, or is no count of games.
        """
        found = [counts.get(key) for key in ("wins", "losses", "draws")]
        whole = [
            int(each) for each in found if isinstance(each, int | float) and 0 <= each <= MOST_GAMES and each % 1 == 0
        ]
        if len(whole) != len(found):
            raise ValueError(f"{found} are no counts of wins, losses and draws")
        return cls(*whole)

    @property
    def games(self) -> int:
        """Number of games."""
        return self.wins + self.losses + self.draws

    @property
    def win_rate(self) -> float:
        """Share of wins among decided games; NaN where none was decided."""
        decided = self.wins + self.losses
        return self.wins / decided if decided else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson score interval of the win rate (Wilson 1927); (0, 1) where no game was decided."""
        return wilson_interval(self.wins, self.wins + self.losses)

    def __add__(self, other: "MatchResult") -> "MatchResult":
        """Returns both results together."""
        return MatchResult(self.wins + other.wins, self.losses + other.losses, self.draws + other.draws)

    def swapped(self) -> "MatchResult":
        """Returns the same games from the other player's side."""
        return MatchResult(self.losses, self.wins, self.draws)

    def metrics(self, prefix: str) -> dict[str, float]:
        """Returns the result under ``<prefix>/...``."""
        low, high = self.interval
        return {
            f"{prefix}/win_rate": self.win_rate,
            f"{prefix}/win_rate_low": low,
            f"{prefix}/win_rate_high": high,
            f"{prefix}/wins": self.wins,
            f"{prefix}/losses": self.losses,
            f"{prefix}/draws": self.draws,
            f"{prefix}/games": self.games,
        }


def wilson_interval(successes: float, trials: float, z: float = _Z_95) -> tuple[float, float]:
    """Returns the Wilson score interval of a share (Wilson 1927, eq. 2 of Brown, Cai & DasGupta 2001)."""
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    spread = z * z / trials
    centre = (share + spread / 2.0) / (1.0 + spread)
    half = z / (1.0 + spread) * math.sqrt(share * (1.0 - share) / trials + spread / (4.0 * trials))
    # At 0 and at all successes the bound is exactly 0 or 1; rounding must not push it off.
    low = 0.0 if successes == 0 else max(centre - half, 0.0)
    return low, 1.0 if successes == trials else min(centre + half, 1.0)
