"""Who sits where in a batch of games, and against whom.

Shapes: N games, A seats, R rows of the learner, P opponents in play at once, M rows per opponent.

The first games are played by the latest policy on both sides, and both sides are training data. In the others the
learner has one side, the seats alternate from game to game, and the other side belongs to one of P opponents, an equal
share of games each: frozen policies, or scripted pilots of the game.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Part(NamedTuple):
    """The seating of some of the games; the first four as in :class:`Seating`, of these games."""

    learner: Tensor
    opponents: Tensor
    learner_side: Tensor
    slot_of_game: Tensor
    learner_rows: Tensor
    """Which rows of the learner in all games are the ones here ``[R]``; they follow each other."""
    opponent_rows: Tensor
    """Likewise of the opponents' rows, flattened ``[P * M]``."""


class Seating:
    """Which rows of the flattened ``[N * A]`` seats the learner has, and which each opponent has.

    Attributes:
        latest_games: Number of games in which the learner has both sides; they come first.
        slots: Opponents in play at once P; 0 where there are none.
        learner: int64 ``[R]``, ascending.
        opponents: int64 ``[P, M]``.
        learner_side: Side of the learner in every game ``[N]``; in games against itself, 0.
        slot_of_game: Slot of the opponent in every game ``[N]``; in games against itself, -1.
    """

    def __init__(self, num_games: int, seat_sides: tuple[int, ...], *, latest_share: float, slots: int) -> None:
        """Seats everybody.

        Args:
            num_games: N.
            seat_sides: Side, 0 or 1, of every seat. In a game of side 0 alone all seats learn, whatever the share.
            latest_share: Share of games in which the learner plays itself, in [0, 1]; rounded so that the rest can be
                divided among the opponents equally.
            slots: Largest number of opponents in play at once; never more than there are games against them.

        Raises:
            ValueError: A share outside [0, 1], no slot, no game, or sides that are not 0 and 1 with equally many seats.
        """
        if seat_sides and not any(seat_sides):
            latest_share = 1.0  # nobody sits opposite
        sides = torch.tensor(seat_sides)
        if num_games < 1:
            raise ValueError(f"num_games must be at least 1, got {num_games}")
        if not 0.0 <= latest_share <= 1.0 or slots < 1:
            raise ValueError(f"latest_share must be in [0, 1] and slots at least 1, got {latest_share:g} and {slots}")
        per_side = len(seat_sides) // 2
        if not seat_sides or (any(seat_sides) and sorted(seat_sides) != [0] * per_side + [1] * per_side):
            raise ValueError(f"sides 0 and 1 need the same number of seats, got the sides {tuple(seat_sides)}")
        against_pool = num_games - round(num_games * latest_share)
        self.slots = min(slots, against_pool)
        if self.slots:
            against_pool -= against_pool % self.slots
        self.latest_games = num_games - against_pool
        games = torch.arange(num_games)
        self.learner_side = torch.where(games < self.latest_games, 0, games % 2)
        own = (sides.unsqueeze(0) == self.learner_side.unsqueeze(1)) | (games < self.latest_games).unsqueeze(1)
        rows = torch.arange(num_games * len(seat_sides)).view(num_games, -1)
        self.learner = rows[own]
        # Neighbouring games go to different opponents by twos, so that each opponent meets the learner on both sides.
        theirs = rows[~own].view(against_pool, per_side)
        order = torch.argsort((torch.arange(against_pool) // 2) % max(self.slots, 1), stable=True)
        share = against_pool // max(self.slots, 1)
        self.opponents = theirs[order].reshape(self.slots, share * per_side)
        # From the order, not from the twos: these leave some opponent without his last game where the share is odd.
        slot_of_game = torch.empty_like(order)
        slot_of_game[order] = torch.arange(self.slots).repeat_interleave(share)
        self.slot_of_game = torch.cat([torch.full((self.latest_games,), -1), slot_of_game])
        self._seats = len(seat_sides)

    def part(self, games: range) -> Part:
        """Returns the seating of some consecutive games, numbered from 0.

        Raises:
            ValueError: Games in which the opponents would not have equally many of them each.
        """
        first, last = games.start * self._seats, games.stop * self._seats
        learner = ((self.learner >= first) & (self.learner < last)).nonzero().squeeze(-1)
        there = (self.opponents >= first) & (self.opponents < last)
        counts = there.sum(-1).tolist()
        if len(set(counts)) > 1:
            raise ValueError(f"the opponents of the games {games.start} to {games.stop - 1} have {counts} seats there")
        here = slice(games.start, games.stop)
        return Part(
            learner=self.learner[learner] - first,
            opponents=self.opponents[there].view(self.slots, -1) - first if self.slots else self.opponents,
            learner_side=self.learner_side[here],
            slot_of_game=self.slot_of_game[here],
            learner_rows=learner,
            opponent_rows=there.flatten().nonzero().squeeze(-1),
        )
