"""Matches: both seats, first episodes only, seeds; and the interval of their results."""

import math

import numpy as np
import pytest
import torch

from headctl.policy.actions import ActionHeads, describe_space, resolve_heads
from headctl.policy.network import Policy
from headctl.selfplay import match
from headctl.selfplay.games import Observations
from headctl.selfplay.match import PilotPlayer, PolicyPlayer, evaluate_against_pilots, play_match
from headctl.selfplay.parallel_env import ParallelEnvGame
from headctl.selfplay.results import MatchResult, wilson_interval
from tests.helpers.games import BIASED_RPS, Counter, MatrixGame, Skirmish, first_mover
from tests.helpers.players import set_preference


def maker(factory, **options):
    return lambda num_games, seed: ParallelEnvGame(factory, options, num_games=num_games, seed=seed)


def policy_for(make, seed=0):
    game = make(1, 0)
    heads = ActionHeads(resolve_heads(describe_space(game.action_space), {}), game.action_space)
    return Policy(game.observation_dim, heads, hidden=(8,), generator=torch.Generator().manual_seed(seed))


def always(make, head, choice):
    policy = policy_for(make)
    set_preference(policy, head, choice)
    return PolicyPlayer(policy)


RPS = maker(MatrixGame, payoff=BIASED_RPS)


def test_paper_beats_rock_from_both_seats():
    rock, paper = always(RPS, "hand", 0), always(RPS, "hand", 1)
    assert play_match(RPS, paper, rock, games=10, seed=1) == MatchResult(10, 0, 0)
    assert play_match(RPS, rock, paper, games=10, seed=1) == MatchResult(0, 10, 0)
    assert play_match(RPS, rock, rock, games=10, seed=1) == MatchResult(0, 0, 10)


@pytest.mark.parametrize(("games", "played"), [(1, 2), (7, 8), (8, 8)])
def test_the_advantage_of_a_seat_cancels_out(games, played):
    make = maker(first_mover)
    result = play_match(make, always(make, "hand", 0), always(make, "hand", 0), games=games, seed=0)
    assert result == MatchResult(played // 2, played // 2, 0)
    assert result.win_rate == 0.5


def test_a_match_is_a_function_of_its_seed():
    make = maker(Skirmish)
    one, other = PolicyPlayer(policy_for(make, 1)), PolicyPlayer(policy_for(make, 2))
    first = play_match(make, one, other, games=30, seed=5)
    assert first.games == 30
    assert min(first.wins, first.losses) > 0
    before = torch.get_rng_state()
    play_match(make, other, one, games=10, seed=6)
    assert play_match(make, one, other, games=30, seed=5) == first
    assert torch.equal(before, torch.get_rng_state())
    assert any(play_match(make, one, other, games=30, seed=seed) != first for seed in (7, 8, 9))


class Recorder:
    """Waits, and writes down what it saw."""

    def __init__(self, stop_at=None):
        self.begun, self.seen, self.stop_at = [], [], stop_at

    def begin(self, seed):
        self.begun.append(seed)

    def act(self, game, seen: Observations):
        self.seen.append(seen.observation.clone())
        return {"stop": torch.zeros(game.num_games, game.num_seats, dtype=torch.int64)}


def test_both_halves_begin_from_the_same_starts():
    recorder, other = Recorder(), Recorder()
    play_match(maker(Counter, limit=3), recorder, other, games=4, seed=11)
    assert len(recorder.seen) == 6  # three decisions from either seat
    for forward, backward in zip(recorder.seen[:3], recorder.seen[3:], strict=True):
        assert torch.equal(forward, backward)
    # The one on side 0 draws from another stream than the one on side 1, in both halves.
    assert recorder.begun == [22, 23]
    assert other.begun == [23, 22]


class Uneven(Counter):
    """By the seed: red wins at once, blue wins after two decisions, or a draw after nine."""

    def reset(self, seed=None, options=None):
        self.kind = seed % 3
        self.limit, self.paid = ((1, 1.0), (2, -1.0), (9, 0.0))[self.kind]
        return super().reset(seed, options)


@pytest.mark.parametrize("seed", [3, 4, 5, 6])
def test_only_the_first_episode_of_every_game_counts(seed):
    game = ParallelEnvGame(Uneven, {}, num_games=40, seed=seed)
    game.reset(seed)
    kinds = np.bincount([env.kind for env in game._block.envs], minlength=3).tolist()
    assert min(kinds) > 5
    # One half by itself, over both the seats cancel out. By the time the long games end, the short ones have gone on to
    # other episodes with other winners.
    assert match._play_half(game, Recorder(), Recorder(), seed) == MatchResult(*kinds)
    won, lost, drawn = kinds
    expected = MatchResult(won + lost, won + lost, 2 * drawn)
    assert play_match(maker(Uneven), Recorder(), Recorder(), games=80, seed=seed) == expected


def test_the_greedy_player_takes_the_most_likely_action():
    policy = policy_for(RPS)
    with torch.no_grad():
        policy.actor.bias.copy_(torch.tensor([0.0, 0.4, 0.0]))
    greedy, drawing = PolicyPlayer(policy, greedy=True), PolicyPlayer(policy)
    game = RPS(200, 0)
    for player in (greedy, drawing):
        player.begin(0)
    seen = game.reset(0)
    assert (greedy.act(game, seen)["hand"] == 1).all()
    assert set(drawing.act(game, seen)["hand"].unique().tolist()) == {0, 1, 2}


def test_pilots_are_met_over_the_same_starts():
    make = maker(Skirmish)
    results = evaluate_against_pilots(make, PilotPlayer("random"), ("random",), games=60, seed=2)
    assert list(results) == ["random"]
    assert results["random"].games == 60
    assert 0.2 < results["random"].win_rate < 0.8


def test_fewer_than_one_game_is_refused():
    with pytest.raises(ValueError, match="games: must be at least 1, got 0"):
        play_match(RPS, PilotPlayer("random"), PilotPlayer("random"), games=0, seed=0)


def test_a_game_that_never_ends_is_named(monkeypatch):
    monkeypatch.setattr("headctl.selfplay.match._MAX_STEPS", 20)
    with pytest.raises(RuntimeError, match="2 games of a match have not ended after 20 decisions"):
        play_match(maker(Counter, limit=10**9), Recorder(), Recorder(), games=4, seed=0)


# Results ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17, table I, method 3 (score, without continuity correction).
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_against_published_numbers(successes, trials, low, high):
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_wilson_interval_is_symmetric_and_solves_its_equation():
    for successes, trials in ((3, 10), (7, 9), (190, 200)):
        low, high = wilson_interval(successes, trials)
        mirrored = wilson_interval(trials - successes, trials)
        assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high))
        for bound in (low, high):  # the shares that lie 1.96 of their own standard errors off
            error = math.sqrt(bound * (1 - bound) / trials)
            assert abs(successes / trials - bound) / error == pytest.approx(1.959964, rel=1e-5)


def test_wilson_interval_at_the_ends():
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert wilson_interval(0, 7)[0] == 0.0
    assert wilson_interval(7, 7)[1] == 1.0


def test_results_add_up_and_swap():
    result = MatchResult(6, 2, 3)
    assert (result.games, result.win_rate) == (11, 0.75)
    assert result.swapped() == MatchResult(2, 6, 3)
    assert result + result.swapped() == MatchResult(8, 8, 6)
    assert result.interval == wilson_interval(6, 8)
    assert np.isnan(MatchResult(0, 0, 5).win_rate)
    assert MatchResult(0, 0, 5).interval == (0.0, 1.0)
    assert result.metrics("eval/ace") == {
        "eval/ace/win_rate": 0.75,
        "eval/ace/win_rate_low": result.interval[0],
        "eval/ace/win_rate_high": result.interval[1],
        "eval/ace/wins": 6,
        "eval/ace/losses": 2,
        "eval/ace/draws": 3,
        "eval/ace/games": 11,
    }
