"""Teams with all weapons: no batch, no seed elsewhere and no interruption changes a game's course; nothing breaks."""

import math

import pytest
import torch
from headctl_envs.dogfight.config import DogfightConfig
from headctl_envs.dogfight.engine import DogfightEngine
from headctl_envs.dogfight.lanes import ON_CPU

from tests.helpers.dogfights import copied, random_actions, seats_of

FULL = {"missiles": 2, "flares": 8, "time_limit_s": 25.0}
COMPARED = ("observation", "final_observation", "reward", "terminated", "truncated", "alive", "outcome")


def fight(engine):
    """Red pursues, blue flies at random, both with everything that they carry."""
    return seats_of(engine, engine.pilot_actions("pursuit"), engine.pilot_actions("random"))


def same(one, two):
    assert all(torch.equal(getattr(one, name), getattr(two, name)) for name in COMPARED)
    assert all(torch.equal(one.masks[head], two.masks[head]) for head in one.masks)


@pytest.mark.parametrize("team", [1, 2, 4])
def test_a_game_of_teams_does_not_depend_on_its_batch(team):
    config = DogfightConfig(team_size=team, **FULL)
    batch = DogfightEngine(config, num_games=5)
    alone = [DogfightEngine(config, num_games=1, game_offset=i) for i in range(5)]
    for engine in (batch, *alone):
        engine.reset(seed=11)
    launched = ended = 0
    for _ in range(260):
        step = copied(batch.step(fight(batch)))
        ended += int((step.outcome > 0).sum())
        launched += int((batch.state["missiles"][..., 11] > 0).sum())
        for i, engine in enumerate(alone):
            single = engine.step(fight(engine))
            for name in COMPARED:
                assert torch.equal(getattr(single, name)[0], getattr(step, name)[i]), (name, i)
            assert torch.equal(engine.state["missiles"][0], batch.state["missiles"][i])
    assert ended >= 5
    assert launched > 20


@pytest.mark.parametrize("team", [1, 2, 4])
def test_a_large_batch_plays_the_games_of_its_parts(team):
    """Of any size: threads take their games in shares of ``ON_CPU``, and the last share is not full."""
    sizes = (ON_CPU - 1, ON_CPU + 1, 1, 7)
    config = DogfightConfig(team_size=team, **FULL)
    batch = DogfightEngine(config, num_games=sum(sizes))
    parts = [DogfightEngine(config, num_games=size, game_offset=sum(sizes[:place])) for place, size in enumerate(sizes)]
    for engine in (batch, *parts):
        engine.reset(seed=3)
    ended = 0
    for _ in range(140):
        step = copied(batch.step(fight(batch)))
        ended += int((step.outcome > 0).sum())
        pieces = [copied(engine.step(fight(engine))) for engine in parts]
        for name in COMPARED:
            assert torch.equal(torch.cat([getattr(piece, name) for piece in pieces]), getattr(step, name)), name
    assert ended > len(sizes)


@pytest.mark.parametrize("team", [1, 2, 4])
def test_a_fight_of_teams_goes_on_exactly_where_it_was_saved(team, tmp_path):
    config = DogfightConfig(team_size=team, **FULL)
    engine = DogfightEngine(config, num_games=12)
    engine.reset(seed=2)
    engine.set_progress(0.3)
    while not bool((engine.state["missiles"][..., 11] > 0).any()):  # save with missiles in the air
        engine.step(fight(engine))
    for _ in range(3):
        engine.step(fight(engine))
    torch.save(engine.state_dict(), tmp_path / "state.pt")
    ahead = [copied(engine.step(fight(engine))) for _ in range(150)]
    fresh = DogfightEngine(config, num_games=12, seed=99)
    fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for expected in ahead:
        same(fresh.step(fight(fresh)), expected)
    assert sum(int((step.outcome > 0).sum()) for step in ahead) >= 3


@pytest.mark.parametrize(("team", "games", "decisions"), [(1, 1024, 250), (2, 512, 250), (4, 256, 250)])
def test_half_a_million_random_decisions_of_each_team_size_stay_finite(team, games, decisions):
    # 512 thousand aircraft decisions each, 1.5 million together, over random episodes with all weapons: vertical
    # flight, stall, the stratosphere, illegal choices, residuals that are no numbers.
    engine = DogfightEngine(DogfightConfig(team_size=team, maneuvers="basic11", **FULL), num_games=games)
    engine.reset(seed=4)
    generator = torch.Generator().manual_seed(5)
    motion, seats = engine.state["motion"], 2 * team
    vertical = stalled = 0

    def uniform(low, high, *shape):
        return torch.rand((games, seats, *shape), generator=generator) * (high - low) + low

    for t in range(decisions):
        if t % 50 == 0:
            motion[..., 2] = -uniform(400, 15000)
            motion[..., 3:7] = torch.nn.functional.normalize(uniform(-1, 1, 4), dim=-1)
            motion[: games // 4, :, 3:7] = torch.tensor([0.0, 0.5**0.5, 0.0, 0.5**0.5])  # straight up
            motion[games // 4 : games // 2, :, 3:7] = torch.tensor([0.0, -(0.5**0.5), 0.0, 0.5**0.5])  # straight down
            motion[..., 7] = uniform(25, 600)
            motion[..., 8] = uniform(-3, 9)
            engine.observe()
        chosen = random_actions(engine, generator, legal=t % 3 > 0)
        chosen["params"][torch.rand((games, seats, 3), generator=generator) < 0.01] = math.nan
        step = engine.step(chosen)
        sums = (step.observation.sum(), step.final_observation.sum(), step.reward.sum(), motion.sum())
        assert math.isfinite(sum(float(value) for value in sums))
        assert torch.isfinite(engine.state["missiles"]).all()
        assert float(step.observation.abs().max()) < 10.0
        assert all(bool(mask.any(-1).all()) for mask in step.masks.values())
        sink = 2 * (motion[..., 3] * motion[..., 5] - motion[..., 4] * motion[..., 6])
        vertical += int((sink.abs() > 0.98).sum())
        stalled += int((motion[..., 7] < 60.0).sum())
    assert vertical > 1000
    assert stalled > 1000
    assert engine.pop_statistics()["missiles_fired"] > 0
