"""Matches between two players: seeded, both seats, with a confidence interval.

Shapes: N games, A seats, F features. A match has games and random streams of its own and touches nobody else's.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor

from headctl.policy.actions import Actions
from headctl.policy.network import Policy
from headctl.selfplay.games import DRAW, FIRST_WON, SECOND_WON, Observations, VectorGame
from headctl.selfplay.results import MatchResult

_MAX_STEPS = 1_000_000


class Player(Protocol):
    """Somebody who can play any seat."""

    def act(self, game: VectorGame, seen: Observations) -> Actions:
        """Returns actions for every seat, in the game's units, ``[N, A, ...]``; the match takes the seats it needs."""
        ...

    def begin(self, seed: int) -> None:
        """Begins a match: every random stream of the player starts from ``seed``."""
        ...


class PolicyPlayer:
    """A frozen policy."""

    def __init__(self, policy: Policy, *, greedy: bool = False) -> None:
        """Creates the player.

        Args:
            policy: Who plays.
            greedy: Take the most likely action instead of drawing one.
        """
        self._policy = policy
        self._greedy = greedy
        self._generator = torch.Generator(device=next(policy.parameters()).device)
        self._state: Tensor | None = None

    def begin(self, seed: int) -> None:
        """Starts the stream of the policy's draws, and empties its memory."""
        self._generator.manual_seed(seed)
        self._state = None

    @torch.no_grad()
    def act(self, game: VectorGame, seen: Observations) -> Actions:  # noqa: ARG002 - a policy sees only what a seat sees
        """Draws an action for every seat; a policy with memory remembers the episode since :meth:`begin`."""
        heads = self._policy.action_heads
        params, _, self._state = self._policy.step(seen.observation, self._state)
        if self._greedy:
            return heads.to_game(heads.mode(params, seen.masks))
        return heads.to_game(heads.sample(params, seen.masks, self._generator))


class PilotPlayer:
    """A scripted opponent of the game."""

    def __init__(self, name: str) -> None:
        """Creates the player; ``name`` is one of the game's ``pilot_names``."""
        self.name = name

    def begin(self, seed: int) -> None:
        """Nothing: a pilot's randomness belongs to the game's streams."""

    def act(self, game: VectorGame, seen: Observations) -> Actions:  # noqa: ARG002 - pilots read the state of the game
        """Returns what the pilot does at every seat."""
        return game.pilot_actions(self.name)


def play_match(
    make_game: Callable[[int, int], VectorGame], first: Player, second: Player, *, games: int, seed: int
) -> MatchResult:
    """Plays ``games`` games, half of them from each seat, the second half from the same starts as the first.

    The first episode of every game counts and no other: short episodes get no more weight than long ones.

    Args:
        make_game: ``(num_games, seed)`` to a new batch of games.
        first: Whose side the result takes.
        second: Her opponent.
        games: How many; an odd number is rounded up to the next even one.
        seed: Seed of games and players.

    Returns:
        The result of the first player.

    Raises:
        ValueError: Fewer than one game.
        RuntimeError: A game that does not end.
    """
    if games < 1:
        raise ValueError(f"games: must be at least 1, got {games}")
    game = make_game((games + 1) // 2, seed)
    forward = _play_half(game, first, second, seed)
    backward = _play_half(game, second, first, seed)
    return forward + backward.swapped()


def _play_half(game: VectorGame, first: Player, second: Player, seed: int) -> MatchResult:
    """Plays the first episode of every game with ``first`` on side 0."""
    seen = game.reset(seed)
    first.begin(2 * seed)
    second.begin(2 * seed + 1)
    is_first = torch.tensor([side == 0 for side in game.seat_sides], device=game.device)
    result = torch.zeros(game.num_games, dtype=torch.int64, device=game.device)
    for _ in range(_MAX_STEPS):
        played = (result == 0).unsqueeze(1)
        mine, theirs = _act(first, game, seen, played & is_first), _act(second, game, seen, played & ~is_first)
        step = game.step({head: _by_seat(is_first, mine[head], theirs[head]) for head in mine})
        result = torch.where(result == 0, step.outcome.to(result.dtype), result)
        if bool((result != 0).all()):
            counts = {code: int((result == code).sum()) for code in (FIRST_WON, SECOND_WON, DRAW)}
            return MatchResult(wins=counts[FIRST_WON], losses=counts[SECOND_WON], draws=counts[DRAW])
        seen = Observations(step.observation, step.masks)
    raise RuntimeError(f"{int((result == 0).sum())} games of a match have not ended after {_MAX_STEPS} decisions")


def _act(player: Player, game: VectorGame, seen: Observations, seats: Tensor) -> Actions:
    """Asks a player; a scripted one only for the seats ``[N, A]`` that count, because some of them take their time."""
    return game.pilot_actions(player.name, seats) if isinstance(player, PilotPlayer) else player.act(game, seen)


def _by_seat(is_first: Tensor, mine: Tensor, theirs: Tensor) -> Tensor:
    """Takes ``mine`` where the seat is on side 0; actions are ``[N, A]`` or ``[N, A, D]``."""
    seats = is_first.view(1, -1, *[1] * (mine.ndim - 2))
    return torch.where(seats, mine, theirs)


def evaluate_against_pilots(
    make_game: Callable[[int, int], VectorGame], player: Player, pilots: tuple[str, ...], *, games: int, seed: int
) -> Mapping[str, MatchResult]:
    """Returns the player's result against every scripted opponent, over the same starts."""
    return {name: play_match(make_game, player, PilotPlayer(name), games=games, seed=seed) for name in pilots}
