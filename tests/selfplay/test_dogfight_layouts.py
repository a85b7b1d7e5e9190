"""headctl's own adapter plays the dogfight in every layout of its PettingZoo face."""

import pytest
import torch
from headctl_envs import dogfight_v0

from headctl.selfplay.parallel_env import ParallelEnvGame


@pytest.mark.parametrize(
    ("options", "heads"),
    [
        ({}, {"maneuver": 14, "weapon": 4}),
        ({"action_layout": "multidiscrete"}, {"action": 33}),
        ({"action_layout": "flat"}, {}),
        ({"action_layout": "flat", "observe_masks": True}, {"action": 56}),
    ],
    ids=str,
)
def test_masks_arrive_and_their_choices_are_legal(options, heads):
    game = ParallelEnvGame(
        dogfight_v0.parallel_env, {"time_limit_s": 4.0, "start": "in_zone", **options}, num_games=3, seed=1
    )
    seen = game.reset(1)
    assert {head: mask.shape[-1] for head, mask in seen.masks.items()} == heads
    assert seen.observation.shape == (3, 2, 68)
    outcomes = set()
    for _ in range(25):
        step = game.step(game.pilot_actions("random"))
        outcomes |= set(step.outcome.tolist())
        assert torch.isfinite(step.observation).all()
    assert len(outcomes) > 1
    assert all(env.unwrapped.engine.pop_statistics()["illegal_actions"] == 0.0 for env in game._block.envs if heads)
