"""Many matches in one batch of games: the same results as one by one, from both seats, and nobody else's randomness."""

import numpy as np
import pytest
import torch

from headctl.policy.actions import ActionHeads, describe_space, resolve_heads
from headctl.policy.network import Policy
from headctl.selfplay.league import Pilot, Snapshot
from headctl.selfplay.parallel_env import ParallelEnvGame
from headctl.selfplay.results import MatchResult
from headctl.selfplay.round_robin import play_pairs
from tests.helpers.games import BIASED_RPS, MatrixGame, Skirmish, first_mover
from tests.helpers.players import set_preference


def maker(factory, **options):
    return lambda num_games, seed: ParallelEnvGame(factory, options, num_games=num_games, seed=seed)


RPS = maker(MatrixGame, payoff=BIASED_RPS)


def policy_for(make, seed=0, hidden=(8,)):
    game = make(1, 0)
    heads = ActionHeads(resolve_heads(describe_space(game.action_space), {}), game.action_space)
    return Policy(game.observation_dim, heads, hidden=hidden, generator=torch.Generator().manual_seed(seed))


def always(make, head, choice, age):
    policy = policy_for(make)
    set_preference(policy, head, choice)
    return Snapshot.of(policy, age)


def test_rock_paper_and_scissors_meet_in_one_batch():
    rock, paper, scissors = (always(RPS, "hand", choice, choice) for choice in range(3))
    made = []

    def make(num_games, seed):
        made.append(num_games)
        return RPS(num_games, seed)

    pairs = [(paper, rock), (rock, paper), (rock, rock), (scissors, paper), (rock, scissors)]
    results = play_pairs(make, policy_for(RPS), pairs, games=6, seed=3)
    won, lost, drawn = MatchResult(6, 0, 0), MatchResult(0, 6, 0), MatchResult(0, 0, 6)
    assert results == [won, lost, drawn, won, won]
    assert made == [15], "one batch, whose games are played once from each seat"


@pytest.mark.parametrize(("games", "played"), [(1, 2), (7, 8), (8, 8)])
def test_the_advantage_of_a_seat_cancels_out(games, played):
    make = maker(first_mover)
    player = always(make, "hand", 0, 0)
    assert (
        play_pairs(make, policy_for(make), [(player, player)] * 2, games=games, seed=0)
        == [MatchResult(played // 2, played // 2, 0)] * 2
    )


def test_swapping_a_pair_swaps_its_result_for_players_without_chance():
    rock, paper = always(RPS, "hand", 0, 0), always(RPS, "hand", 1, 1)
    one, other = play_pairs(RPS, policy_for(RPS), [(rock, paper), (paper, rock)], games=4, seed=0)
    assert one == other.swapped()


def test_pilots_and_policies_meet_and_the_result_is_a_function_of_the_seed():
    make = maker(Skirmish)
    shooter = Snapshot.of(policy_for(make, 1), 5)
    pairs = [(shooter, Pilot("random")), (Pilot("random"), shooter)]
    before = torch.get_rng_state()
    policy = policy_for(make)
    kept = {name: weight.clone() for name, weight in policy.state_dict().items()}
    results = play_pairs(make, policy, pairs, games=40, seed=5)
    assert all(result.games == 40 for result in results)
    assert play_pairs(make, policy, pairs, games=40, seed=5) == results
    assert play_pairs(make, policy, pairs, games=40, seed=6) != results
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(kept[name], weight) for name, weight in policy.state_dict().items())


def test_a_pilot_acts_by_itself_and_not_by_the_weights_of_its_slot():
    # Against somebody who always plays paper a random pilot loses about a third of the games; the stack's own weights
    # in its slot would play rock always, and lose all of them.
    policy = policy_for(RPS)
    set_preference(policy, "hand", 0)
    (result,) = play_pairs(RPS, policy, [(Pilot("random"), always(RPS, "hand", 1, 1))], games=300, seed=2)
    np.testing.assert_allclose([result.wins, result.losses, result.draws], [100, 100, 100], atol=40)


def test_a_policy_of_another_scheme_is_refused():
    other = Snapshot.of(policy_for(RPS, hidden=(4,)), 0)
    with pytest.raises(
        ValueError, match=r"opponent 000000000000: trunk\.0\.weight has the shape \[4, 1\], here \[8, 1\]"
    ):
        play_pairs(RPS, policy_for(RPS), [(other, Pilot("random"))], games=2, seed=0)
    renamed = Snapshot(0, other.state, "", {"heads": [["foot", "Categorical", 3]]})
    with pytest.raises(ValueError, match="its heads are"):
        play_pairs(RPS, policy_for(RPS), [(renamed, Pilot("random"))], games=2, seed=0)
    with pytest.raises(ValueError, match="games: must be at least 1"):
        play_pairs(RPS, policy_for(RPS), [], games=0, seed=0)
    assert play_pairs(RPS, policy_for(RPS), [], games=2, seed=0) == []
