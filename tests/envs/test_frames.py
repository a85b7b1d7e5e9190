"""Observations in the frames ``world`` and ``both``: values by hand, and the same sight as in ``body``."""

import numpy as np
import pytest
import torch
from headctl_envs.dogfight.config import DogfightConfig
from headctl_envs.dogfight.engine import DogfightEngine

from tests.helpers.dogfights import engine_with, random_actions
from tests.helpers.flight_probe import aircraft, directions


def seen(pair, seat=0, **options):
    engine = engine_with([pair], **options)
    return dict(zip(engine.feature_names, engine.current().observation[0, seat].tolist(), strict=True))


def test_world_vectors_have_the_values_of_the_map():
    # Flying east, the enemy 3 km north and 4 km above; he flies west.
    pair = [aircraft(altitude=3000.0, heading=90.0), aircraft(north=3000.0, altitude=7000.0, heading=-90.0)]
    for frame in ("world", "both"):
        found = seen(pair, frame=frame)
        assert [found[f"velocity_{axis}"] for axis in ("north", "east", "sink")] == pytest.approx([0, 1, 0], abs=1e-6)
        assert [found[f"lift_{axis}"] for axis in ("north", "east", "sink")] == pytest.approx([0, 0, -1], abs=1e-6)
        assert [found[f"bearing_{axis}"] for axis in ("north", "east", "sink")] == pytest.approx([0.6, 0, -0.8])
        assert [found[f"course_{axis}"] for axis in ("north", "east", "sink")] == pytest.approx([0, -1, 0], abs=1e-6)
    # In the body the same enemy is abeam to the left (flying east, north is to the left) and above.
    both = seen(pair, frame="both")
    body = [both[name] for name in ("los_forward", "los_right", "los_down")]
    assert body == pytest.approx([0, -0.6, -0.8], abs=1e-6)
    world = seen(pair, frame="world")
    assert [world[name] for name in ("los_north", "los_east", "los_down")] == pytest.approx([0.6, 0, -0.8], abs=1e-6)


def test_a_banked_aircraft_sees_its_lift_in_the_world():
    # 90 degrees to the right while flying north: the lift points east.
    found = seen([aircraft(bank=90.0), aircraft(north=5000.0)], frame="world")
    assert [found[f"lift_{axis}"] for axis in ("north", "east", "sink")] == pytest.approx([0, 1, 0], abs=1e-6)
    # The other seat sees the world in the same axes: the bearing is the exact opposite.
    pair = [aircraft(bank=90.0), aircraft(north=3000.0, east=4000.0, climb=30.0)]
    one, two = (seen(pair, seat=seat, frame="both") for seat in (0, 1))
    for axis in ("north", "east", "sink"):
        assert one[f"bearing_{axis}"] == pytest.approx(-two[f"bearing_{axis}"], abs=1e-6)
        assert one[f"course_{axis}"] == pytest.approx(two[f"velocity_{axis}"], abs=1e-6)


@pytest.mark.parametrize("team", [1, 2, 4])
def test_both_is_the_body_frame_with_the_world_behind_it_in_teams_too(team):
    options = {"team_size": team, "missiles": 2, "flares": 4}
    engines = {
        frame: DogfightEngine(DogfightConfig(frame=frame, **options), num_games=8)
        for frame in ("body", "world", "both")
    }
    for engine in engines.values():
        engine.reset(seed=3)
    generator = torch.Generator().manual_seed(1)
    for _ in range(40):
        chosen = random_actions(engines["body"], generator)
        body, world, both = (engine.step(chosen).observation for engine in engines.values())
        assert torch.equal(both[..., : body.shape[-1]], body)
        assert torch.isfinite(world).all()
        assert torch.equal(world[..., body.shape[-1] :], both[..., body.shape[-1] :])


def test_turning_the_body_vector_by_the_attitude_gives_the_world_vector():
    pair = [aircraft(heading=37.0, climb=25.0, bank=-70.0), aircraft(north=-2000.0, east=700.0, altitude=6100.0)]
    both = seen(pair, frame="both")
    forward, right, down = directions(np.array(pair[0], float))
    body = [both[f"los_{axis}"] for axis in ("forward", "right", "down")]
    world = body[0] * forward + body[1] * right + body[2] * down
    assert world == pytest.approx([both[f"bearing_{axis}"] for axis in ("north", "east", "sink")], abs=1e-5)
