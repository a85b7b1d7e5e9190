"""Matches of many pairs in one batch of games: every step of the engine plays one decision of all of them.

Shapes: Q pairs, N games (N / Q per pair), A seats, S = 2 Q slots of players, M rows per slot, F features, K choices.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from headctl.policy.network import Policy
from headctl.selfplay.games import DRAW, FIRST_WON, RUNNING, SECOND_WON, Observations, VectorGame
from headctl.selfplay.league import Opponent, OpponentStack, Pilot, check_same_scheme
from headctl.selfplay.results import MatchResult

_MAX_STEPS = 1_000_000


def play_pairs(
    make_game: Callable[[int, int], VectorGame],
    policy: Policy,
    pairs: Sequence[tuple[Opponent, Opponent]],
    *,
    games: int,
    seed: int,
) -> list[MatchResult]:
    """Plays a match of every pair, half of its games from each seat, the second half from the starts of the first.

    The games, and every random stream, belong to the call: it touches nobody else's. The first episode of every game
    counts and no other, so that short episodes get no more weight than long ones.

    Args:
        make_game: ``(num_games, seed)`` to a new batch of games.
        policy: Gives the architecture of the frozen policies; it is neither kept nor changed.
        pairs: Who plays whom.
        games: Games of every pair; an odd number is rounded up to the next even one.
        seed: Seed of games and players.

    Returns:
        One result per pair, from the first one's side.

    Raises:
        ValueError: Fewer than one game, or a frozen policy of another scheme.
        RuntimeError: A game that does not end.
    """
    if games < 1:
        raise ValueError(f"games: must be at least 1, got {games}")
    if not pairs:
        return []
    half = (games + 1) // 2
    game = make_game(half * len(pairs), seed)
    stack = OpponentStack(policy, 2 * len(pairs))
    players = [player for pair in pairs for player in pair]
    for slot, player in enumerate(players):
        if not isinstance(player, Pilot):
            check_same_scheme(player, policy)
            stack.load(slot, player)
    forward = _play_half(game, policy, stack, players, first_side=0, seed=seed)
    backward = _play_half(game, policy, stack, players, first_side=1, seed=seed)
    return [mine + theirs for mine, theirs in zip(forward, backward, strict=True)]


def _rows(game: VectorGame, pairs: int, first_side: int) -> Tensor:
    """Returns the rows of the flattened ``[N * A]`` seats that every slot has ``[S, M]``."""
    sides = torch.tensor(game.seat_sides)
    rows = torch.arange(game.num_games * game.num_seats).view(pairs, -1, game.num_seats)
    halves = [rows[:, :, sides == side].flatten(1) for side in (first_side, 1 - first_side)]
    return torch.stack(halves, 1).flatten(0, 1)


@torch.no_grad()
def _play_half(
    game: VectorGame,
    policy: Policy,
    stack: OpponentStack,
    players: Sequence[Opponent],
    *,
    first_side: int,
    seed: int,
) -> list[MatchResult]:
    """Plays the first episode of every game with the first of each pair on ``first_side``."""
    heads, pairs = policy.action_heads, len(players) // 2
    generator = torch.Generator(device=game.device).manual_seed(2 * seed + first_side)
    rows = _rows(game, pairs, first_side).to(game.device)
    everybody = rows.flatten()
    pilots: dict[str, Tensor] = {}
    for slot, player in enumerate(players):
        if isinstance(player, Pilot):
            earlier = pilots.get(player.name, rows[:0].flatten())
            pilots[player.name] = torch.cat([earlier, rows[slot]])
    actions = heads.empty(game.num_games * game.num_seats, device=game.device)
    outcome = torch.zeros(game.num_games, dtype=torch.int64, device=game.device)
    seen = game.reset(seed)
    for _ in range(_MAX_STEPS):
        masks = {name: mask.flatten(0, 1)[rows] for name, mask in seen.masks.items()}
        drawn = stack.act(seen.observation.flatten(0, 1)[rows], masks, generator)
        for name, action in drawn.items():
            actions[name].index_copy_(0, everybody, action.flatten(0, 1))
        chosen = heads.to_game(actions)
        for pilot, theirs in pilots.items():
            for name, action in game.pilot_actions(pilot).items():
                chosen[name][theirs] = action.flatten(0, 1)[theirs].to(chosen[name].dtype)
        shape = (game.num_games, game.num_seats)
        step = game.step({name: action.unflatten(0, shape) for name, action in chosen.items()})
        outcome = torch.where(outcome == RUNNING, step.outcome.to(torch.int64), outcome)
        if bool((outcome != RUNNING).all()):
            return _results(outcome.view(pairs, -1), first_side)
        seen = Observations(step.observation, step.masks)
    raise RuntimeError(
        f"{int((outcome == RUNNING).sum())} games of a match have not ended after {_MAX_STEPS} decisions"
    )


def _results(outcome: Tensor, first_side: int) -> list[MatchResult]:
    mine, theirs = (FIRST_WON, SECOND_WON) if first_side == 0 else (SECOND_WON, FIRST_WON)
    counts = torch.stack([(outcome == code).sum(1) for code in (mine, theirs, DRAW)], 1)
    return [MatchResult(*row) for row in counts.tolist()]
