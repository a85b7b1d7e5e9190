"""Exact symmetries: the seats are equal, and left is the mirror image of right."""

import numpy as np
import torch
from headctl_envs.dogfight.config import DogfightConfig
from headctl_envs.dogfight.engine import DogfightEngine
from headctl_envs.dogfight.features import FEATURES

from tests.helpers.dogfights import actions, engine_with, random_actions
from tests.helpers.flight_probe import aircraft

GAMES = 128


def random_motions(seed=0):
    engine = DogfightEngine(DogfightConfig(start="mixed"), num_games=GAMES)
    engine.reset(seed=seed)
    motion = engine.state["motion"].clone()
    # Off the horizon, rolled, at different speeds: everything that has a sign is not zero.
    rng = np.random.default_rng(seed)
    for pair in motion:
        for seat in range(2):
            record = aircraft(heading=rng.uniform(-180, 180), climb=rng.uniform(-50, 50), bank=rng.uniform(-180, 180))
            pair[seat, 3:7] = torch.from_numpy(record[3:7]).float()
            pair[seat, 9] = rng.uniform(-2, 2)
    return motion.numpy()


def test_exchanged_seats_play_the_same_game_exactly():
    motion = random_motions(1)
    engine, swapped = engine_with(motion), engine_with(motion[:, ::-1])
    assert torch.equal(engine.current().observation, swapped.current().observation.flip(1))
    generator = torch.Generator().manual_seed(1)
    going = torch.ones(GAMES, dtype=torch.bool)
    for _ in range(150):
        chosen = random_actions(engine, generator)
        one = engine.step(chosen)
        two = swapped.step({head: tensor.flip(1) for head, tensor in chosen.items()})
        assert torch.equal(one.final_observation[going], two.final_observation.flip(1)[going])
        assert torch.equal(one.reward[going], two.reward.flip(1)[going])
        exchanged = torch.tensor([0, 2, 1, 3], dtype=torch.int32)[two.outcome.long()]
        assert torch.equal(one.outcome[going], exchanged[going])
        going &= one.outcome == 0  # the next start has a side of its own
        assert torch.equal(one.masks["weapon"][going], two.masks["weapon"].flip(1)[going])
    assert going.sum() > GAMES / 2


def test_mirrored_game_is_the_mirror_image_exactly():
    motion = random_motions(2)
    mirrored = motion.copy()
    mirrored[..., [1, 3, 5, 9]] *= -1  # east, two quaternion components, roll rate
    options = {"maneuvers": "tactical14"}
    engine, image = engine_with(motion, **options), engine_with(mirrored, **options)
    library = engine.config.library
    other_hand = [
        library.index(name.replace("left", "@").replace("right", "left").replace("@", "right")) for name in library
    ]
    flips = [name.endswith("_right") or name in ("roll_rate", "los_rate_forward", "los_rate_down") for name in FEATURES]
    # The angular velocity of the line of sight is an axial vector: its right component keeps its sign.
    flips[FEATURES.index("los_rate_right")] = False
    sign = torch.where(torch.tensor(flips), -1.0, 1.0)
    assert (sign < 0).sum() == 7
    generator = torch.Generator().manual_seed(2)
    going = torch.ones(GAMES, dtype=torch.bool)
    for _ in range(150):
        assert torch.equal(engine.current().observation[going], (image.current().observation * sign)[going])
        chosen = random_actions(engine, generator)
        one = engine.step(chosen)
        two = image.step(
            {
                "maneuver": torch.tensor(other_hand)[chosen["maneuver"]],
                "weapon": chosen["weapon"],
                "params": chosen["params"] * torch.tensor([1.0, 1.0, -1.0]),
            }
        )
        assert torch.equal(one.final_observation[going], (two.final_observation * sign)[going])
        assert torch.equal(one.reward[going], two.reward[going])
        going &= one.outcome == 0
    assert going.sum() > GAMES / 2


def test_pursuit_against_itself_from_a_symmetric_start_is_a_symmetric_game():
    # Both fly the same law from a start with a two-fold axis: positions stay opposite, and nobody gets an advantage.
    pair = [aircraft(east=-800.0, heading=0.0), aircraft(east=800.0, heading=180.0)]
    engine = engine_with([pair])
    for _ in range(20):
        engine.step(actions(engine, "pure_pursuit"))
    position = engine.state["motion"][0, :, :3].double()
    assert (position[0, :2] + position[1, :2]).abs().max() < 0.05
    assert (position[0, 2] - position[1, 2]).abs() < 0.05
    assert abs(float(engine.state["potential"][0])) < 1e-3
