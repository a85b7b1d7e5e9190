"""Start geometries: each one is what its name says, and the mixture mixes as it is told."""

import numpy as np
import pytest
from headctl_envs.dogfight.config import DogfightConfig
from headctl_envs.dogfight.engine import DogfightEngine

from tests.helpers.flight_probe import gun


def started(start, games=300, **options):
    engine = DogfightEngine(DogfightConfig(start=start, **options), num_games=games)
    engine.reset(seed=1)
    motion = engine.state["motion"].numpy()
    red, blue = gun(motion), gun(motion[:, ::-1])  # damage rate, in zone, legal, ATA, AA, range, closure
    for found in (red, blue):
        found[:, 3:5] = np.degrees(found[:, 3:5])
    return motion, red, blue


def test_everyone_starts_level_full_and_in_bounds():
    motion, red, _ = started("mixed", start_altitude_min_m=4000, start_altitude_max_m=6000, start_range_max_m=3000)
    centre = -motion[..., 2].mean(1)
    assert centre.min() >= 4000 - 1
    assert centre.max() <= 6000 + 1
    assert centre.std() > 400
    assert motion[..., 7].min() >= 190
    assert motion[..., 7].max() <= 290
    assert (motion[..., 8] == 1).all()
    assert np.abs(motion[..., :2].mean(1)).max() < 1e-3
    assert red[:, 5].max() <= 5000 + 510


def test_random_covers_all_angles():
    _, red, _ = started("random")
    assert red[:, 3].min() < 15
    assert red[:, 3].max() > 165
    assert red[:, 4].min() < 15
    assert red[:, 4].max() > 165
    assert 990 < red[:, 5].min() < red[:, 5].max() < 4040


def test_neutral_and_head_on_are_fair():
    for name, ata in (("neutral", 90), ("head_on", 0)):
        motion, red, blue = started(name)
        assert red[:, 3] == pytest.approx(blue[:, 3], abs=0.1)
        assert np.abs(red[:, 3] - ata).max() <= 5.1
        assert (motion[:, 0, 7] == motion[:, 1, 7]).all()
        assert (motion[:, 0, 2] == motion[:, 1, 2]).all()


@pytest.mark.parametrize(("name", "seat"), [("offensive", 0), ("defensive", 1)])
def test_the_attacker_is_behind(name, seat):
    found = started(name)[1 + seat]
    assert found[:, 3].max() < 36  # the nose is roughly on him, from behind
    assert found[:, 4].max() < 66
    assert 590 < found[:, 5].min() < found[:, 5].max() < 1510


def test_in_zone_gives_either_side_a_shot():
    _, red, blue = started("in_zone")
    red_attacks = red[:, 3] < 2.1
    assert (red_attacks ^ (blue[:, 3] < 2.1)).all()
    assert 0.4 < red_attacks.mean() < 0.6
    assert (red[:, 5] > 152).all()
    assert (red[:, 5] < 914).all()


def test_mixture_has_its_shares():
    _, red, blue = started({"offensive": 3.0, "defensive": 1.0}, games=2000)
    assert (red[:, 3] < blue[:, 3]).mean() == pytest.approx(0.75, abs=0.04)
