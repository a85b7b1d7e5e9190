"""Policies with memory in games: each seat of each game remembers its own episode, whoever plays it."""

import pytest
import torch

from headctl.policy.actions import ActionHeads, describe_space, resolve_heads
from headctl.policy.network import Policy
from headctl.selfplay.collector import SelfPlayCollector
from headctl.selfplay.entropies import entropies_by_opponent
from headctl.selfplay.league import OpponentPool, OpponentStack, Pilot, Snapshot, check_same_scheme, scheme_of
from headctl.selfplay.match import PilotPlayer, PolicyPlayer, play_match
from headctl.selfplay.parallel_env import ParallelEnvGame
from headctl.selfplay.round_robin import Contestant, play_pairs, play_round_robin
from tests.helpers.games import Counter, Skirmish
from tests.helpers.players import numpy_stream, set_preference
from tests.helpers.recall import RecallGame, player_who_remembers

SIZE = 6


def recall(num_games=8, seed=0, **options):
    return ParallelEnvGame(RecallGame, options, num_games=num_games, seed=seed)


def make_policy(game, seed=0, memory=SIZE):
    heads = ActionHeads(resolve_heads(describe_space(game.action_space), {}), game.action_space)
    generator = torch.Generator().manual_seed(seed)
    policy = Policy(game.observation_dim, heads, hidden=(8,), memory=memory, generator=generator)
    with torch.no_grad():
        policy.actor.weight.mul_(50.0)
    return policy


class Line:
    """Opponents as they are told, one list per draw."""

    def __init__(self, *draws):
        self._draws = list(draws)

    def draw(self, count):
        return self._draws.pop(0) if len(self._draws) > 1 else self._draws[0]


def make_collector(game, policy, *, pool=None, steps=7, latest_share=0.5, slots=2, slot_iterations=1):
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
        generator=torch.Generator().manual_seed(0),
        seed=0,
    )


# The learner's rows ---------------------------------------------------------------------------------------------------


def remembered_by_hand(policy, rollout, begins):
    """What every row remembers before every decision, one decision after the other; the first as it is stored."""
    state, states = rollout.state[0], []
    for step in range(rollout.steps):
        state = state.masked_fill(begins[step].unsqueeze(-1), 0.0)
        states.append(state)
        state = policy.step(rollout.observation[step], state)[2].detach()
    return torch.stack(states), state


def test_memory_lasts_an_episode_and_no_longer():
    # Agents die before their games end, games end by termination and by truncation, and rollouts end within them.
    game = ParallelEnvGame(Skirmish, {"limit": 6}, num_games=6, seed=0)
    policy = make_policy(game)
    collector = make_collector(game, policy, steps=10)
    last = None
    died = 0
    for _ in range(3):
        before = policy.normalizer.mean.clone()
        rollout, _, _ = collector.collect()
        assert torch.equal(before, policy.normalizer.mean)
        begins = rollout.observation[..., 0] == 0.0  # the game's own clock
        # Nobody decides without knowing what was seen before, unless the game has just begun.
        dead = rollout.alive == 0.0
        died += int(dead.sum())
        empty = (rollout.state == 0.0).all(-1)
        assert torch.equal(empty & ~dead, begins & ~dead)
        states, after = remembered_by_hand(policy, rollout, begins)
        living = ~dead
        torch.testing.assert_close(rollout.state[living], states[living], atol=1e-5, rtol=1e-5)
        if last is not None:  # carried over from one rollout to the next
            goes_on = living[0] & ~begins[0]
            assert goes_on.any()
            torch.testing.assert_close(rollout.state[0][goes_on], last[goes_on], atol=1e-5, rtol=1e-5)
        last = after
    assert died > 0


def test_the_value_after_a_truncation_and_after_the_rollout_knows_the_episode():
    game = ParallelEnvGame(Counter, {"limit": 3}, num_games=4, seed=0)
    policy = make_policy(game)
    set_preference(policy, "stop", 0)
    collector = make_collector(game, policy)
    rollout, last_value, _ = collector.collect()

    def value(counts):
        state = None
        for count in counts:
            _, told, state = policy.step(torch.tensor([[float(count)]]), state)
        return told.item()

    whole = value([0, 1, 2, 3])
    assert rollout.bootstrap[:, 0].tolist() == pytest.approx([0, 0, whole, 0, 0, whole, 0], abs=1e-6)
    assert rollout.value[:3, 0].tolist() == pytest.approx([value(range(n + 1)) for n in range(3)], abs=1e-6)
    assert last_value.tolist() == pytest.approx([value([0, 1])] * collector.rows, abs=1e-6)
    assert abs(whole - value([3])) > 1e-3


def test_what_was_decided_is_what_the_rollout_says_of_it():
    game = ParallelEnvGame(Skirmish, {}, num_games=4, seed=0)
    policy = make_policy(game)
    collector = make_collector(game, policy, steps=16)
    rollout, _, _ = collector.collect()
    said, value = policy.evaluate(rollout.observation, rollout.actions, rollout.masks, rollout.state)
    torch.testing.assert_close(said.log_prob, rollout.log_prob, atol=5e-6, rtol=0)
    torch.testing.assert_close(value, rollout.value, atol=1e-6, rtol=1e-6)
    # The entropies against each opponent are those of the decisions, memory and all.
    told = entropies_by_opponent(policy, rollout, collector.slot_of_row, collector.in_play)
    rows = collector.slot_of_row >= 0
    weight = (said.choice * rollout.alive.unsqueeze(-1))[:, rows, 0]
    expected = (said.entropy[:, rows, 0] * weight).sum() / weight.sum()
    head = policy.action_heads.names[0]
    assert told[collector.in_play[0]][head] == pytest.approx(expected.item(), rel=1e-5)


def test_a_collector_goes_on_from_its_state_with_what_everybody_remembers():
    def fresh():
        game = ParallelEnvGame(Skirmish, {}, num_games=6, seed=0)
        policy = make_policy(game)
        pool = Line([Snapshot.of(make_policy(game, seed), seed) for seed in (1, 2)])
        return make_collector(game, policy, pool=pool, steps=5, slot_iterations=4)

    one, other = fresh(), fresh()
    one.collect()
    state, stream = one.state_dict(), one._draws.get_state()
    expected, last, _ = one.collect()
    other.load_state_dict(state)
    other._draws.set_state(stream)
    found, other_last, _ = other.collect()
    for name in ("observation", "state", "fresh", "log_prob", "value", "reward"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
    assert torch.equal(last, other_last)
    assert torch.equal(one._stack.state, other._stack.state)
    assert one._stack.state.abs().sum() > 0.0


def test_memory_can_be_emptied_when_another_policy_goes_on():
    game = recall()
    collector = make_collector(game, make_policy(game), steps=2)
    collector.collect()
    assert collector._state.any()
    collector.forget()
    assert not collector._state.any()


@pytest.mark.parametrize("latest_share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("cut", [False, True])
def test_each_seat_of_each_game_remembers_its_own_cue(latest_share, cut):
    # Opponents who remember too: if one memory served two seats, or outlived a game, somebody would be wrong.
    game = recall(num_games=12, delay=2, cut=cut)
    policy = player_who_remembers()
    collector = make_collector(game, policy, latest_share=latest_share, steps=10)
    for _ in range(4):
        rollout, _, result = collector.collect()
        asked = rollout.observation[..., 1] > 0.5
        assert asked.any()
        assert (rollout.reward[asked] == 1.0).all()
        assert result.losses == result.wins == 0  # both are always right


# Frozen opponents -----------------------------------------------------------------------------------------------------


class Outputs:
    """Heads that note what they are given."""

    def __init__(self, heads):
        self._heads, self.given = heads, []

    def sample(self, params, masks, generator):
        self.given.append(params)
        return self._heads.sample(params, masks, generator)


def test_stacked_opponents_remember_as_each_would_alone():
    game = ParallelEnvGame(Skirmish, {}, num_games=2, seed=0)
    policies = [make_policy(game, seed) for seed in (1, 2, 3)]
    stack = OpponentStack(policies[0], 3, 5)
    for slot, policy in enumerate(policies):
        stack.load(slot, Snapshot.of(policy, slot))
    stack._heads = spy = Outputs(policies[0].action_heads)
    generator = torch.Generator().manual_seed(0)
    states = [policy.initial_state(5) for policy in policies]
    for _ in range(4):
        observation = torch.randn(3, 5, game.observation_dim, generator=generator)
        stack.act(observation, {}, generator)
        for slot, policy in enumerate(policies):
            params, _, states[slot] = policy.step(observation[slot], states[slot])
            torch.testing.assert_close(spy.given[-1][slot], params.detach(), atol=1e-4, rtol=1e-5)
        over = torch.rand(3, 5, generator=generator) < 0.3
        stack.forget(over)
        states = [state.masked_fill(over[slot].unsqueeze(-1), 0.0) for slot, state in enumerate(states)]
    torch.testing.assert_close(stack.state, torch.stack(states).detach(), atol=1e-5, rtol=1e-5)


def test_another_opponent_begins_with_nothing_and_the_same_one_goes_on():
    game = recall(num_games=8, delay=1000)
    policy = make_policy(game)
    one, two, three = (Snapshot.of(make_policy(game, seed), seed) for seed in (1, 2, 3))
    pool = Line([one, two], [one, three], [Pilot("random"), three])
    collector = make_collector(game, policy, pool=pool, latest_share=0.0, steps=3)
    collector.collect()
    states = [collector._stack.state.clone()]
    emptied = []
    forget = collector._stack.forget
    collector._stack.forget = lambda rows: (emptied.append(rows), forget(rows))
    for _ in range(2):
        emptied.clear()
        collector.collect()
        states.append(emptied[0].flatten().tolist())
    assert states[1:] == [[False, True], [True, False]]
    assert states[0].any()


def test_opponents_who_remember_beat_those_who_do_not():
    # The learner has the same answers without memory: it is right half of the time, its opponent always.
    game = recall(num_games=40, delay=2)
    policy = player_who_remembers()
    pool = Line([Snapshot.of(policy, 0)])
    learner = player_who_remembers()
    with torch.no_grad():
        learner.memory.of_state.weight.zero_()  # nothing lasts
    collector = make_collector(game, learner, pool=pool, latest_share=0.0, slots=1, steps=30)
    collector.collect()
    _, _, result = collector.collect()
    assert result.wins == 0
    assert result.losses / result.games == pytest.approx(0.5, abs=0.1)


# Matches --------------------------------------------------------------------------------------------------------------


def make_game(num_games, seed):
    return recall(num_games, seed, delay=3)


def test_a_player_remembers_a_match_and_begins_the_next_one_with_nothing():
    player = PolicyPlayer(player_who_remembers())
    for seed in range(3):
        result = play_match(make_game, player, PilotPlayer("random"), games=40, seed=seed)
        assert result.losses == 0
        assert result.wins == pytest.approx(20, abs=12)
    both = play_match(make_game, player, PolicyPlayer(player_who_remembers(-1.0)), games=20, seed=9)
    assert both.wins == both.games == 20


def test_players_with_and_without_memory_meet_in_one_tournament():
    forgetful = make_policy(make_game(1, 0), memory=0)
    entrants = [
        Contestant(player_who_remembers(), "remembers"),
        Contestant(player_who_remembers(-1.0), "remembers"),
        Contestant(forgetful, "forgets"),
        Pilot("random"),
    ]
    right_wrong, right_forgetful, random_wrong = play_round_robin(
        make_game, entrants, [(0, 1), (0, 2), (3, 1)], games=60, seed=1
    )
    assert (right_wrong.result.wins, right_wrong.mean_return) == (60, 1.0)
    assert (right_forgetful.result.losses, right_forgetful.mean_return) == (0, 1.0)
    assert random_wrong.result.losses == 0


def test_the_league_plays_its_pairs_with_memory():
    policy = player_who_remembers()
    right, wrong = Snapshot.of(policy, 0), Snapshot.of(player_who_remembers(-1.0), 1)
    results = play_pairs(make_game, policy, [(right, wrong), (wrong, right), (right, right)], games=20, seed=0)
    assert [(each.wins, each.losses, each.draws) for each in results] == [(20, 0, 0), (0, 20, 0), (0, 0, 20)]


# Who may meet whom ----------------------------------------------------------------------------------------------------


def test_a_scheme_says_what_is_remembered_with():
    game = recall()
    with_memory, without, larger = make_policy(game), make_policy(game, memory=0), make_policy(game, memory=9)
    assert scheme_of(with_memory)["memory"] == ["gru", SIZE]
    assert "memory" not in scheme_of(without)
    check_same_scheme(Snapshot.of(with_memory, 0), with_memory)
    with pytest.raises(ValueError, match=r"opponent 000000000007: it has a memory \(gru of 6\), .* have no memory"):
        check_same_scheme(Snapshot.of(with_memory, 7), without)
    with pytest.raises(ValueError, match=r"it has no memory, the policies of this run have a memory \(gru of 6\)"):
        check_same_scheme(Snapshot.of(without, 0), with_memory)
    with pytest.raises(ValueError, match=r"it has a memory \(gru of 9\), .* a memory \(gru of 6\)"):
        check_same_scheme(Snapshot.of(larger, 0), with_memory)
