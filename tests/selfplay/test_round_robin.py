"""Many pairs in one batch: the results are those of matches one by one, whoever else is playing."""

import numpy as np
import pytest
import torch

from headctl.policy.actions import ActionHeads, describe_space, resolve_heads
from headctl.policy.network import Policy
from headctl.selfplay import round_robin
from headctl.selfplay.league import Pilot
from headctl.selfplay.match import PolicyPlayer, play_match
from headctl.selfplay.parallel_env import ParallelEnvGame
from headctl.selfplay.results import MatchResult
from headctl.selfplay.round_robin import Contestant, play_round_robin
from tests.helpers.games import BIASED_RPS, Counter, MatrixGame, Skirmish, first_mover
from tests.helpers.players import set_preference


def maker(factory, **options):
    return lambda num_games, seed: ParallelEnvGame(factory, options, num_games=num_games, seed=seed)


RPS = maker(MatrixGame, payoff=BIASED_RPS)
SKIRMISH = maker(Skirmish)


def policy_for(make, seed=0, hidden=(8,)):
    game = make(1, 0)
    heads = ActionHeads(resolve_heads(describe_space(game.action_space), {}), game.action_space)
    return Policy(game.observation_dim, heads, hidden=hidden, generator=torch.Generator().manual_seed(seed))


def always(make, head, choice, *, kind="small", hidden=(8,)):
    policy = policy_for(make, hidden=hidden)
    set_preference(policy, head, choice)
    return Contestant(policy, kind)


def test_everybody_beats_whom_he_must_from_both_seats_in_one_call():
    # Players of two networks, a pilot, and pairs of which one has more games than others.
    rock = always(RPS, "hand", 0)
    paper = always(RPS, "hand", 1, kind="large", hidden=(16, 16))
    scissors = always(RPS, "hand", 2)
    entrants = [rock, paper, scissors, Pilot("random")]
    played = play_round_robin(RPS, entrants, [(0, 1), (1, 2), (2, 0), (0, 3), (3, 0)], games=40, seed=1)
    assert [each.result for each in played[:3]] == [MatchResult(0, 40, 0)] * 3
    assert [each.mean_return for each in played[:3]] == pytest.approx([-1 / 3, -1 / 3, -1.0])
    assert [each.return_error for each in played[:3]] == pytest.approx([0.0] * 3)
    against, reverse = played[3].result, played[4].result
    assert against.games == reverse.games == 40
    assert min(against.wins, against.losses, against.draws) > 3  # rock against chance
    assert played[3].return_error > 0.0


def test_the_games_of_a_pair_are_those_of_a_match():
    mixed, other = policy_for(SKIRMISH, 1), policy_for(SKIRMISH, 2, hidden=(12,))
    entrants = [Contestant(mixed, "a"), Contestant(other, "b")]
    (both,) = play_round_robin(SKIRMISH, entrants, [(0, 1)], games=600, seed=3)
    alone = play_match(SKIRMISH, PolicyPlayer(mixed), PolicyPlayer(other), games=600, seed=3)
    # Draws come in another order, so that the games differ; their frequencies do not.
    for ours, theirs in ((both.result.wins, alone.wins), (both.result.draws, alone.draws)):
        assert ours == pytest.approx(theirs, abs=4 * np.sqrt(600 * 0.25))
    (swapped,) = play_round_robin(SKIRMISH, entrants[::-1], [(0, 1)], games=600, seed=3)
    assert swapped.result.wins == pytest.approx(both.result.losses, abs=4 * np.sqrt(600 * 0.25))


def test_an_unfair_seat_is_nobodys_advantage():
    make = maker(first_mover)
    entrants = [always(make, "hand", 0) for _ in range(3)]
    played = play_round_robin(make, entrants, [(0, 1), (0, 2), (1, 2)], games=11, seed=0)
    assert [each.result for each in played] == [MatchResult(6, 6, 0)] * 3
    assert [each.mean_return for each in played] == [0.0] * 3


def test_only_the_first_episode_counts_for_outcome_and_return():
    def entrant(stop):
        return always(maker(Counter), "stop", stop)

    # Whoever sits in the first seat may stop at once; waiting is paid by the other side until the end.
    make = maker(Counter, limit=5, paid=1.0)
    waits, stops = entrant(0), entrant(1)
    (played,) = play_round_robin(make, [waits, stops], [(0, 1)], games=8, seed=0)
    # In the first seat it collects 5 (nobody stops there), in the second it pays 1 before the other stops.
    assert played.mean_return == pytest.approx((5 - 1) / 2)


def test_a_call_is_a_function_of_its_seed_and_touches_nobody_elses():
    entrants = [Contestant(policy_for(SKIRMISH, seed), "a") for seed in (1, 2, 3)]
    before = {name: tensor.clone() for name, tensor in entrants[0].policy.state_dict().items()}
    state = torch.get_rng_state()
    pairs = [(0, 1), (0, 2), (1, 2)]
    first = play_round_robin(SKIRMISH, entrants, pairs, games=30, seed=5)
    assert play_round_robin(SKIRMISH, entrants, pairs, games=30, seed=5) == first
    assert any(play_round_robin(SKIRMISH, entrants, pairs, games=30, seed=seed) != first for seed in (6, 7, 8))
    assert torch.equal(state, torch.get_rng_state())
    for name, tensor in entrants[0].policy.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_large_tournaments_are_played_in_pieces(monkeypatch):
    monkeypatch.setattr(round_robin, "GAMES_AT_ONCE", 16)
    rock, paper = always(RPS, "hand", 0), always(RPS, "hand", 1)
    pairs = [(0, 1), (1, 0)] * 3
    played = play_round_robin(RPS, [rock, paper], pairs, games=10, seed=0)  # three pairs at once
    assert [each.result for each in played] == [MatchResult(0, 10, 0), MatchResult(10, 0, 0)] * 3


def test_a_greedy_player_takes_the_most_likely_action():
    policy = policy_for(RPS)
    with torch.no_grad():
        policy.actor.bias.copy_(torch.tensor([0.0, 0.4, 0.0]))
    rock = always(RPS, "hand", 0)
    entrants = [Contestant(policy, "small", greedy=True), Contestant(policy, "small"), rock]
    greedy, drawn = play_round_robin(RPS, entrants, [(0, 2), (1, 2)], games=60, seed=0)
    assert greedy.result == MatchResult(60, 0, 0)
    assert 10 < drawn.result.wins < 45


def test_what_cannot_be_is_refused():
    rock = always(RPS, "hand", 0)
    with pytest.raises(ValueError, match="games: must be at least 1, got 0"):
        play_round_robin(RPS, [rock, rock], [(0, 1)], games=0, seed=0)
    with pytest.raises(ValueError, match="nobody plays himself"):
        play_round_robin(RPS, [rock, rock], [(1, 1)], games=2, seed=0)
    assert play_round_robin(RPS, [rock], [], games=2, seed=0) == []


def test_a_game_that_never_ends_is_named(monkeypatch):
    monkeypatch.setattr(round_robin, "_MAX_STEPS", 20)
    make = maker(Counter, limit=10**9)
    with pytest.raises(RuntimeError, match="2 games have not ended after 20 decisions"):
        play_round_robin(make, [always(make, "stop", 0)] * 2, [(0, 1)], games=4, seed=0)
