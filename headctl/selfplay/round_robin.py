"""Matches between many players of any network in one batch of games.

Shapes: Q pairs, N games, A seats, P players of one network, M rows of the busiest of them, F features, K choices.

Players may come from runs with other networks. Each acts once per step for all his games, and those of one network act
in one batched call.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor

from headctl.policy.actions import Actions
from headctl.policy.network import Policy
from headctl.selfplay.games import DRAW, FIRST_WON, RUNNING, SECOND_WON, Observations, VectorGame, seats_of_rows
from headctl.selfplay.league import Opponent, OpponentStack, Pilot, Snapshot, check_same_scheme
from headctl.selfplay.results import MatchResult

_MAX_STEPS = 1_000_000
GAMES_AT_ONCE = 8192
"""Games of a batch: more of them are no faster, and need memory."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A frozen policy that plays.

    Attributes:
        policy: Who plays; it is neither kept nor changed.
        kind: Equal for policies that differ in their weights only.
        greedy: Take the most likely action instead of drawing one.
    """

    policy: Policy
    kind: str
    greedy: bool = False


Entrant = Contestant | Pilot


@dataclass(frozen=True, slots=True)
class PairResult:
    """Games of a pair, from the first one's side.

    Attributes:
        result: By outcome.
        mean_return: Reward of an episode, mean over games and over the seats of the first one's side.
        return_error: Standard error of the mean.
    """

    result: MatchResult
    mean_return: float
    return_error: float


def play_round_robin(
    make_game: Callable[[int, int], VectorGame],
    entrants: Sequence[Entrant],
    pairs: Sequence[tuple[int, int]],
    *,
    games: int,
    seed: int,
) -> list[PairResult]:
    """Plays a match of every pair, half of its games from each seat, the second half from the starts of the first.

    The games and every random stream belong to the call: it touches nobody else's. The first episode of every game
    counts and no other, so that short episodes get no more weight than long ones.

    Args:
        make_game: ``(num_games, seed)`` to a new batch of games.
        entrants: The players.
        pairs: Who plays whom, by their numbers.
        games: Games of every pair; an odd number is rounded up to the next even one.
        seed: Seed of games and players.

    Returns:
        One result per pair.

    Raises:
        ValueError: Fewer than one game, or somebody against himself.
        RuntimeError: A game that does not end.
    """
    if games < 1:
        raise ValueError(f"games: must be at least 1, got {games}")
    if any(first == second for first, second in pairs):
        raise ValueError("pairs: nobody plays himself")
    half = (games + 1) // 2
    at_once = max(GAMES_AT_ONCE // half, 1)
    played: list[PairResult] = []
    for number, begin in enumerate(range(0, len(pairs), at_once)):
        some = pairs[begin : begin + at_once]
        game = make_game(half * len(some), seed + number)
        both = [_play_half(game, entrants, some, side, seed + number) for side in (0, 1)]
        outcome, returns = (torch.cat(parts, 1) for parts in zip(*both, strict=True))
        played += [_result(*row) for row in zip(outcome, returns, strict=True)]
    return played


def play_pairs(
    make_game: Callable[[int, int], VectorGame],
    policy: Policy,
    pairs: Sequence[tuple[Opponent, Opponent]],
    *,
    games: int,
    seed: int,
) -> list[MatchResult]:
    """Plays a match of every pair of a league, all of whose policies have one network.

    Args:
        make_game: As in :func:`play_round_robin`.
        policy: Gives the architecture of the frozen policies; it is neither kept nor changed.
        pairs: Who plays whom; both may be the same one.
        games: Games of every pair; an odd number is rounded up to the next even one.
        seed: Seed of games and players.

    Returns:
        One result per pair, from the first one's side.

    Raises:
        ValueError: Fewer than one game, or a frozen policy of another scheme.
        RuntimeError: A game that does not end.
    """
    entrants: list[Entrant] = []
    numbers: dict[tuple[str, int], int] = {}
    for pair in pairs:
        for place, player in enumerate(pair):
            # Who meets himself is two players.
            key = player.name, place if pair[0].name == pair[1].name else 0
            if key not in numbers:
                numbers[key] = len(entrants)
                entrants.append(player if isinstance(player, Pilot) else Contestant(thawed(policy, player), ""))
    chosen = [(numbers[a.name, 0], numbers[b.name, int(a.name == b.name)]) for a, b in pairs]
    return [played.result for played in play_round_robin(make_game, entrants, chosen, games=games, seed=seed)]


def thawed(policy: Policy, snapshot: Snapshot) -> Policy:
    """Returns a policy with the weights of a snapshot.

    Args:
        policy: Gives the architecture; it is not changed.
        snapshot: The weights.

    Raises:
        ValueError: A snapshot of another scheme.
    """
    check_same_scheme(snapshot, policy)
    frozen = deepcopy(policy)
    frozen.load_state_dict({**policy.state_dict(), **snapshot.state})
    return frozen


def _result(outcome: Tensor, returns: Tensor) -> PairResult:
    wins, losses, draws = ((outcome == code).sum() for code in (FIRST_WON, SECOND_WON, DRAW))
    error = float(returns.std()) / math.sqrt(len(returns)) if len(returns) > 1 else math.nan
    return PairResult(MatchResult(int(wins), int(losses), int(draws)), float(returns.mean()), error)


@torch.no_grad()
def _play_half(
    game: VectorGame, entrants: Sequence[Entrant], pairs: Sequence[tuple[int, int]], side: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Plays the first episode of every game with the first of each pair on ``side``.

    Returns:
        Outcome from the first one's side, as if he sat on side 0, int64 ``[Q, N / Q]``, and his returns, float64.
    """
    sides = torch.tensor(game.seat_sides)
    rows = torch.arange(game.num_games * game.num_seats).view(len(pairs), -1, game.num_seats)
    seats: dict[int, list[Tensor]] = {}
    for rows_of_pair, pair in zip(rows, pairs, strict=True):
        for place, player in enumerate(pair):
            seats.setdefault(player, []).append(rows_of_pair[:, sides == (side + place) % 2].flatten())
    taken = {player: torch.cat(parts).to(game.device) for player, parts in seats.items()}
    actors = _actors(entrants, taken, torch.Generator(device=game.device).manual_seed(2 * seed + side))
    outcome = torch.zeros(game.num_games, dtype=torch.int64, device=game.device)
    total = torch.zeros(game.num_games, dtype=torch.float64, device=game.device)
    own = (sides == side).to(game.device)
    shape = (game.num_games, game.num_seats)
    seen = game.reset(seed)
    for _ in range(_MAX_STEPS):
        actions: Actions = {}
        for actor in actors:
            actor(game, seen, actions)
        step = game.step({name: action.unflatten(0, shape) for name, action in actions.items()})
        running = outcome == RUNNING
        total += torch.where(running, step.reward[:, own].double().mean(1), 0.0)
        outcome = torch.where(running, step.outcome.to(torch.int64), outcome)
        if bool((outcome != RUNNING).all()):
            mine = outcome
            if side == 1:
                swapped = torch.where(outcome == FIRST_WON, SECOND_WON, FIRST_WON)
                mine = torch.where(outcome == DRAW, DRAW, swapped)
            return mine.view(len(pairs), -1).cpu(), total.view(len(pairs), -1).cpu()
        seen = Observations(step.observation, step.masks)
    raise RuntimeError(f"{int((outcome == RUNNING).sum())} games have not ended after {_MAX_STEPS} decisions")


Actor = Callable[[VectorGame, Observations, Actions], None]


def _actors(entrants: Sequence[Entrant], rows: Mapping[int, Tensor], generator: torch.Generator) -> list[Actor]:
    """Returns what fills in the actions of everybody, given the rows of the flattened seats that each has."""
    actors: list[Actor] = []
    alike: dict[tuple[str, bool], list[int]] = {}
    scripted: dict[str, list[int]] = {}
    for player in rows:
        entrant = entrants[player]
        if isinstance(entrant, Pilot):
            scripted.setdefault(entrant.name, []).append(player)
        else:
            alike.setdefault((entrant.kind, entrant.greedy), []).append(player)
    for players in alike.values():
        contestants = [entrant for entrant in map(entrants.__getitem__, players) if isinstance(entrant, Contestant)]
        actors.append(_Group(contestants, [rows[player] for player in players], generator))
    actors += [_Script(name, torch.cat([rows[player] for player in players])) for name, players in scripted.items()]
    return actors


class _Group:
    """Policies of one network, acting in one batched call."""

    def __init__(self, contestants: Sequence[Contestant], rows: Sequence[Tensor], generator: torch.Generator) -> None:
        self._heads, self._greedy = contestants[0].policy.action_heads, contestants[0].greedy
        self._generator = generator
        longest = max(len(own) for own in rows)
        self._stack = OpponentStack(contestants[0].policy, len(contestants), longest)
        for slot, contestant in enumerate(contestants):
            self._stack.load(slot, Snapshot.of(contestant.policy, 0))
        # Not all have equally many games: the rows of the others are filled up with their first, whose draws are lost.
        self._rows = torch.stack([torch.cat([own, own[:1].expand(longest - len(own))]) for own in rows])
        places = torch.arange(longest, device=rows[0].device)
        self._real = torch.stack([places < len(own) for own in rows])

    def __call__(self, game: VectorGame, seen: Observations, actions: Actions) -> None:
        masks = {name: mask.flatten(0, 1)[self._rows] for name, mask in seen.masks.items()}
        observation = seen.observation.flatten(0, 1)[self._rows]
        drawn = self._stack.act(observation, masks, None if self._greedy else self._generator)
        for name, action in self._heads.to_game(drawn).items():
            _storage(actions, name, action, 2, game)[self._rows[self._real]] = action[self._real]


class _Script:
    """A scripted opponent."""

    def __init__(self, name: str, rows: Tensor) -> None:
        self._name, self._rows = name, rows

    def __call__(self, game: VectorGame, seen: Observations, actions: Actions) -> None:  # noqa: ARG002 - as all actors
        for name, action in game.pilot_actions(self._name, seats_of_rows(game, self._rows)).items():
            stored = _storage(actions, name, action, 2, game)
            stored[self._rows] = action.flatten(0, 1)[self._rows].to(stored.dtype)


def _storage(actions: Actions, name: str, like: Tensor, leading: int, game: VectorGame) -> Tensor:
    """Returns the actions of all seats for one head, made where there are none yet."""
    if name not in actions:
        rows = game.num_games * game.num_seats
        actions[name] = torch.zeros(rows, *like.shape[leading:], dtype=like.dtype, device=game.device)
    return actions[name]
