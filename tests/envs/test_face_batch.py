"""The batch that the face offers plays the same games, bit for bit."""

import numpy as np
import pytest
import torch
from headctl_envs import dogfight_v0

OPTIONS = {"missiles": 0, "flares": 0, "time_limit_s": 8.0}


@pytest.mark.parametrize("options", [OPTIONS, {"team_size": 2, "missiles": 2, "flares": 4, "time_limit_s": 6.0}])
def test_the_batch_plays_the_games_of_the_face_bit_for_bit(options):
    env = dogfight_v0.parallel_env(**options)
    batch = env.vector_game(3, seed=11)
    assert batch.num_games == 3
    agents = env.possible_agents
    seen, infos = env.reset(seed=11)
    shown = batch.reset(11)
    actions = {name: action.clone() for name, action in batch.pilot_actions("random").items()}
    random = np.random.default_rng(0)
    episodes = 0
    for _ in range(130):
        for seat, agent in enumerate(agents):
            if agent in seen:
                assert np.array_equal(seen[agent]["observation"], shown.observation[0, seat].numpy())
                for head, mask in shown.masks.items():
                    assert np.array_equal(seen[agent][f"mask_{head}"], mask[0, seat].numpy().astype(np.int8))
        actions["maneuver"] = torch.from_numpy(random.integers(0, 14, (3, len(agents))))
        actions["weapon"] = torch.from_numpy(random.integers(0, 4, (3, len(agents))))
        actions["params"] = torch.from_numpy(random.uniform(-1, 1, (3, len(agents), 3)).astype(np.float32))
        chosen = {
            agent: {name: action[0, seat].numpy() for name, action in actions.items()}
            for seat, agent in enumerate(agents)
        }
        living = list(env.agents)
        observations, rewards, terminated, truncated, infos = env.step({agent: chosen[agent] for agent in living})
        shown = played = batch.step(actions)
        for seat, agent in enumerate(agents):
            assert played.alive[0, seat].item() == (agent in living)
            if agent in living:
                assert rewards[agent] == played.reward[0, seat].item()
                assert terminated[agent] == played.terminated[0, seat].item()
                assert truncated[agent] == played.truncated[0, seat].item() or terminated[agent]
                assert np.array_equal(observations[agent]["observation"], played.final_observation[0, seat].numpy())
        assert infos[living[0]]["outcome"] == played.outcome[0].item()
        seen = observations
        if not env.agents:
            episodes += 1
            seen, _ = env.reset()
    assert episodes >= 3
    env.close()


def test_features_beyond_the_bounds_are_clipped_as_the_face_clips_them():
    batch = dogfight_v0.parallel_env(**OPTIONS).vector_game(2)
    batch.reset(1)
    batch.state["rounds"].fill_(1e9)
    assert batch.observe().observation.abs().max().item() == 10.0
    assert batch.step(batch.pilot_actions("random")).final_observation.abs().max().item() == 10.0


def test_length_limit_and_the_only_pilot_of_every_environment_come_along():
    batch = dogfight_v0.parallel_env(max_cycles=3, **OPTIONS).vector_game(2)
    batch.reset(1)
    ends = [batch.step(batch.pilot_actions("random")).truncated.all().item() for _ in range(3)]
    assert ends == [False, False, True]
    assert batch.pilot_names == ("random",)


@pytest.mark.parametrize(
    "arguments",
    [{"action_layout": "flat"}, {"observe_masks": False}, {"strict_actions": True}, {"render_mode": "ansi"}],
)
def test_other_spaces_and_habits_are_stepped_one_by_one(arguments):
    assert dogfight_v0.parallel_env(**OPTIONS, **arguments).vector_game(2) is None
