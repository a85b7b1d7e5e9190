"""Two against two with the dogfight's own engine: what the learner gets to see of the dead, and how matches count."""

import torch
from headctl_envs.dogfight.config import DogfightConfig
from headctl_envs.dogfight.engine import DogfightEngine

from headctl.ppo.rollout import generalized_advantages, normalize
from headctl.selfplay.match import PilotPlayer, play_match
from tests.selfplay.test_collector import make_collector

DEADLY = {"team_size": 2, "start": "in_zone", "gun_half_angle_deg": 20.0, "time_limit_s": 8.0}


def make_game(num_games, seed):
    return DogfightEngine(DogfightConfig(**DEADLY), num_games=num_games, seed=seed)


def test_dead_rows_bring_no_reward_and_no_agent_steps_and_leave_the_rows_of_the_living_alone():
    game = make_game(16, 3)
    collector = make_collector(game, steps=120, latest_share=1.0)
    rollout, last_value, _ = collector.collect()
    alive = rollout.alive > 0
    dead = ~alive
    assert 0 < int(dead.sum()) < dead.numel() / 2
    assert collector.agent_steps == int(alive.sum())
    assert (rollout.reward[dead] == 0).all()
    # Whoever is dead in the next step has ended in this one: nothing of what comes later reaches the living.
    assert (rollout.done[:-1][alive[:-1] & dead[1:]] == 1).all()

    def advantage():
        parts = (rollout.reward, rollout.value, rollout.done, rollout.bootstrap, last_value)
        return generalized_advantages(*parts, gamma=0.99, gae_lambda=0.95)

    before, scaled = advantage(), normalize(advantage(), rollout.alive)
    rollout.value[dead] = 1e4
    rollout.reward[dead] = -1e4
    after, scaled_after = advantage(), normalize(advantage(), rollout.alive)
    torch.testing.assert_close(after[alive], before[alive])
    torch.testing.assert_close(scaled_after[alive], scaled[alive])
    assert (scaled_after[dead] == 0).all()


def test_a_match_of_teams_counts_the_games_of_each_team():
    result = play_match(make_game, PilotPlayer("pursuit"), PilotPlayer("straight"), games=24, seed=2)
    assert result.games == 24
    assert result.wins > result.losses
    mirrored = play_match(make_game, PilotPlayer("straight"), PilotPlayer("pursuit"), games=24, seed=2)
    assert mirrored.losses > mirrored.wins
