"""Who sits where, and what the learner gets to see of it."""

import math

import pytest
import torch

from headctl.policy.actions import ActionHeads, describe_space, resolve_heads
from headctl.policy.network import Policy
from headctl.selfplay.collector import SelfPlayCollector
from headctl.selfplay.league import OpponentPool, Snapshot
from headctl.selfplay.parallel_env import ParallelEnvGame
from tests.helpers.games import Counter, MatrixGame, Skirmish
from tests.helpers.players import numpy_stream, set_preference


def make_policy(game, seed=0):
    specs = resolve_heads(describe_space(game.action_space), {})
    heads = ActionHeads(specs, game.action_space)
    return Policy(game.observation_dim, heads, hidden=(8,), generator=torch.Generator().manual_seed(seed))


def make_collector(game, *, policy=None, steps=4, latest_share=0.5, slots=2, slot_iterations=1, seed=0, pool=None):
    policy = policy or make_policy(game)
    if pool is None:
        pool = OpponentPool(4, numpy_stream(0))
        pool.add(Snapshot.of(policy, 0))
    return SelfPlayCollector(
        game,
        policy,
        pool,
        steps=steps,
        latest_share=latest_share,
        slots=slots,
        slot_iterations=slot_iterations,
        generator=torch.Generator().manual_seed(seed),
        seed=seed,
    )


def counting(limit, *, num_games=4):
    return ParallelEnvGame(Counter, {"limit": limit}, num_games=num_games, seed=0)


def never_stop(game):
    policy = make_policy(game)
    set_preference(policy, "stop", 0)
    return policy


# Of 4 games and 2 opponents: a quarter is rounded up to two games, so that each opponent gets one.
@pytest.mark.parametrize(("latest_share", "rows"), [(0.0, 4), (0.25, 6), (0.5, 6), (1.0, 8)])
def test_rewards_and_observations_reach_the_rows_they_belong_to(latest_share, rows):
    game = counting(1000)
    collector = make_collector(game, policy=never_stop(game), latest_share=latest_share)
    rollout, _, result = collector.collect()
    sides = [row % 2 for row in collector._seating.learner.tolist()]
    assert rollout.reward.tolist() == [[1.0 if side == 0 else -1.0 for side in sides]] * 4
    assert rollout.observation[:, :, 0].tolist() == [[float(step)] * len(sides) for step in range(4)]
    assert collector.rows == len(sides) == rows
    assert collector.agent_steps == 4 * len(sides)
    assert result.games == 0


def test_a_truncation_is_bootstrapped_with_the_value_of_the_final_state():
    game = counting(3)
    policy = never_stop(game)
    collector = make_collector(game, policy=policy, steps=7)
    rollout, last_value, _ = collector.collect()
    rows = collector.rows

    def value(count):
        return policy(torch.tensor([[float(count)]]))[1].item()

    assert rollout.done[:, 0].tolist() == [0, 0, 1, 0, 0, 1, 0]
    assert rollout.bootstrap[:, 0].tolist() == pytest.approx([0, 0, value(3), 0, 0, value(3), 0], abs=1e-6)
    assert rollout.observation[:, 0, 0].tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert rollout.value[:, 0].tolist() == pytest.approx([value(n) for n in (0, 1, 2, 0, 1, 2, 0)], abs=1e-6)
    assert last_value.tolist() == pytest.approx([value(1)] * rows, abs=1e-6)
    assert abs(value(3) - value(0)) > 1e-3


def test_a_termination_is_not():
    game = counting(1000)
    policy = make_policy(game)
    set_preference(policy, "stop", 1)
    rollout, _, _ = make_collector(game, policy=policy).collect()
    assert (rollout.done == 1).all()
    assert (rollout.bootstrap == 0).all()


def test_the_next_rollout_begins_where_the_last_one_ended():
    game = counting(1000)
    collector = make_collector(game, policy=never_stop(game), steps=3)
    firsts = [collector.collect()[0].observation[0, 0, 0].item() for _ in range(3)]
    assert firsts == [0.0, 3.0, 6.0]
    assert collector.agent_steps == 9 * collector.rows


def test_agent_steps_count_the_living():
    game = ParallelEnvGame(Skirmish, {"limit": 6}, num_games=6, seed=0)
    collector = make_collector(game, steps=12)
    living = 0
    for _ in range(3):
        rollout, _, _ = collector.collect()
        assert set(rollout.alive.unique().tolist()) == {0.0, 1.0}
        living += int(rollout.alive.sum())
        assert collector.agent_steps == living
        # Whoever dies is done at that step, and what she is shown afterwards is not her experience.
        died = (rollout.alive[:-1] == 1) & (rollout.alive[1:] == 0)
        assert (rollout.done[:-1][died] == 1).all()


def test_stored_log_probs_and_masks_are_those_of_the_decisions():
    game = ParallelEnvGame(Skirmish, {}, num_games=4, seed=0)
    policy = make_policy(game)
    rollout, _, _ = make_collector(game, policy=policy, steps=6).collect()
    flat = {name: action.flatten(0, 1) for name, action in rollout.actions.items()}
    masks = {name: mask.flatten(0, 1) for name, mask in rollout.masks.items()}
    said, value = policy.evaluate(rollout.observation.flatten(0, 1), flat, masks)
    torch.testing.assert_close(said.log_prob, rollout.log_prob.flatten(0, 1), atol=2e-6, rtol=0)
    torch.testing.assert_close(value, rollout.value.flatten(), atol=1e-6, rtol=1e-6)
    assert masks["act"].gather(-1, flat["act"].unsqueeze(-1)).all()


# Results --------------------------------------------------------------------------------------------------------------


def preferring(game, head, choice, steps=0):
    policy = make_policy(game)
    set_preference(policy, head, choice)
    return policy, Snapshot.of(policy, steps)


def rock_always_wins(num_games):
    return ParallelEnvGame(MatrixGame, {"payoff": [[0, 1], [-1, 0]]}, num_games=num_games, seed=0)


def test_results_are_the_learners_against_frozen_opponents_only():
    game = rock_always_wins(8)
    winner, _ = preferring(game, "hand", 0)
    _, loser = preferring(game, "hand", 1)
    pool = OpponentPool(4, numpy_stream(0))
    pool.add(loser)
    collector = make_collector(game, policy=winner, pool=pool, steps=5, latest_share=0.5, slots=2)
    _, _, result = collector.collect()
    # 4 games against the pool, won from both sides; the first episode of each began before anybody was counting.
    assert (result.wins, result.losses, result.draws) == (4 * 4, 0, 0)
    rewards = collector._rollout.reward
    in_pool = collector._seating.learner >= 2 * collector._seating.latest_games
    assert (rewards[:, in_pool] == 1).all()
    assert (rewards[:, ~in_pool] == 0).all()


def test_only_games_that_began_under_the_present_opponent_count():
    game = counting(3, num_games=2)
    collector = make_collector(game, policy=never_stop(game), steps=4, latest_share=0.0, slots=1, slot_iterations=2)
    # Episodes end after decisions 3, 6, 9, 12, 15, ...; opponents are drawn before decisions 1, 9, 17.
    games = [collector.collect()[2].games for _ in range(4)]
    #  1-4: 3 ends uncounted; 5-8: 6 counts; 9-12: 9 began under the old opponent, 12 counts; 13-16: 15 counts
    assert games == [0, 2, 2, 2]


def test_opponents_are_drawn_anew_after_slot_iterations():
    game = rock_always_wins(8)
    learner, _ = preferring(game, "hand", 0)
    drawn = []

    class Pool(OpponentPool):
        def draw(self, count):
            drawn.append(count)
            return super().draw(count)

    pool = Pool(4, numpy_stream(0))
    pool.add(Snapshot.of(learner, 0))
    collector = make_collector(game, policy=learner, pool=pool, slots=3, slot_iterations=3)
    seen = []
    for _ in range(7):
        collector.collect()
        seen.append(len(drawn))
    assert seen == [1, 1, 1, 2, 2, 2, 3]
    assert drawn == [3, 3, 3]


def test_every_opponent_plays_its_own_games():
    game = rock_always_wins(6)
    learner, _ = preferring(game, "hand", 0)
    pool = OpponentPool(4, numpy_stream(1))
    for steps, choice in ((1, 0), (2, 1)):  # one draws with the learner, one loses to it
        pool.add(preferring(game, "hand", choice, steps)[1])
    collector = make_collector(game, policy=learner, pool=pool, latest_share=0.0, slots=2)
    _, _, result = collector.collect()
    assert (result.wins, result.losses, result.draws) == (9, 0, 9)  # 3 games of 3 counted episodes each
    assert collector._rollout.reward.sum(0).tolist().count(4.0) == 3


@pytest.mark.parametrize("latest_share", [0.0, 0.5, 1.0])
def test_a_collector_goes_on_from_its_state_bit_for_bit(latest_share):
    def fresh(seed):
        game = ParallelEnvGame(Skirmish, {}, num_games=5, seed=seed)
        return make_collector(game, latest_share=latest_share, slots=2, slot_iterations=3, steps=5, seed=seed)

    one = fresh(0)
    for _ in range(4):
        one.collect()
    state = one.state_dict()
    random = one._draws.get_state()
    pool = one._pool.state_dict()
    other = fresh(7)
    other._policy.load_state_dict(one._policy.state_dict())
    other.load_state_dict(state)
    other._draws.set_state(random)
    other._pool.load_state_dict(pool, one._pool.snapshots)
    for _ in range(4):
        (mine, last, result), (theirs, their_last, their_result) = one.collect(), other.collect()
        for name in ("observation", "log_prob", "value", "reward", "done", "bootstrap", "alive"):
            assert torch.equal(getattr(mine, name), getattr(theirs, name)), name
        assert torch.equal(last, their_last)
        assert result == their_result
    assert one.agent_steps == other.agent_steps


def test_collecting_leaves_the_global_random_stream_alone():
    game = ParallelEnvGame(Skirmish, {}, num_games=4, seed=0)
    before = torch.get_rng_state()
    make_collector(game).collect()
    assert torch.equal(before, torch.get_rng_state())


def test_no_pool_is_needed_where_every_game_is_against_the_latest_policy():
    game = rock_always_wins(3)
    collector = make_collector(game, latest_share=1.0, pool=OpponentPool(1, numpy_stream(0)))
    rollout, _, result = collector.collect()
    assert rollout.reward.shape == (4, 6)
    assert result.games == 0
    assert math.isnan(result.win_rate)


def test_an_empty_pool_is_named():
    game = rock_always_wins(3)
    with pytest.raises(ValueError, match="the pool of opponents is empty"):
        make_collector(game, latest_share=0.0, pool=OpponentPool(1, numpy_stream(0))).collect()
