"""The batched engine: batches, seeds, masks, hostile actions, statistics, exact resume."""

import math
import subprocess
import sys

import pytest
import torch
from headctl_envs.dogfight.config import STATISTICS, DogfightConfig
from headctl_envs.dogfight.engine import DogfightEngine
from headctl_envs.dogfight.features import FEATURES

from tests.helpers.dogfights import GUNS, actions, copied, engine_with, random_actions
from tests.helpers.flight_probe import aircraft


def mixed_actions(engine):
    """Seat 0 flies pursuit, seat 1 random: both pilots and all heads take part."""
    one, two = engine.pilot_actions("pursuit"), engine.pilot_actions("random")
    chosen = {head: tensor.clone() for head, tensor in one.items()}
    for head, tensor in chosen.items():
        tensor[:, 1] = two[head][:, 1]
    return chosen


def equal(one, two):
    return all(
        torch.equal(a, b) if isinstance(a, torch.Tensor) else all(torch.equal(a[k], b[k]) for k in a)
        for a, b in zip(one, two, strict=True)
    )


def test_shapes_and_types_are_those_of_the_protocol():
    engine = DogfightEngine(DogfightConfig(maneuvers="basic9", **GUNS), num_games=5)
    assert (engine.num_games, engine.num_seats, engine.seat_sides) == (5, 2, (0, 1))
    assert engine.observation_dim == len(FEATURES)
    assert engine.action_space["maneuver"].n == 9
    assert engine.action_space["weapon"].n == 4
    assert engine.action_space["params"].shape == (3,)
    first = engine.reset(seed=1)
    step = engine.step(mixed_actions(engine))
    for found in (first, step):
        assert found.observation.shape == (5, 2, len(FEATURES))
        assert found.observation.dtype == torch.float32
        assert {head: (tuple(m.shape), m.dtype) for head, m in found.masks.items()} == {
            "maneuver": ((5, 2, 9), torch.bool),
            "weapon": ((5, 2, 4), torch.bool),
        }
    assert (step.reward.shape, step.reward.dtype) == ((5, 2), torch.float32)
    assert (step.outcome.shape, step.outcome.dtype) == ((5,), torch.int32)
    for flag in (step.terminated, step.truncated, step.alive):
        assert (flag.shape, flag.dtype) == ((5, 2), torch.bool)
    assert step.alive.all()
    assert torch.equal(step.final_observation, step.observation)  # nothing ended
    assert engine.step(mixed_actions(engine)).observation.data_ptr() == step.observation.data_ptr()


def test_a_game_does_not_depend_on_its_batch():
    config = DogfightConfig(time_limit_s=15.0)
    batch = DogfightEngine(config, num_games=6)
    alone = [DogfightEngine(config, num_games=1, game_offset=i) for i in range(6)]
    batch.reset(seed=5)
    for engine in alone:
        engine.reset(seed=5)
    ended = 0
    for _ in range(200):
        step = copied(batch.step(mixed_actions(batch)))
        ended += int((step.outcome > 0).sum())
        for i, engine in enumerate(alone):
            single = engine.step(mixed_actions(engine))
            for name in ("observation", "final_observation", "reward", "outcome"):
                assert torch.equal(getattr(single, name)[0], getattr(step, name)[i]), (name, i)
    assert ended > 12  # over several episodes each


def test_seeds_decide_everything():
    def course(engine, seed):
        engine.reset(seed=seed)
        steps = [copied(engine.step(mixed_actions(engine))) for _ in range(120)]
        return torch.stack([s.observation for s in steps]), torch.stack([s.reward for s in steps])

    config = DogfightConfig(time_limit_s=10.0)
    engine = DogfightEngine(config, num_games=16)
    first = course(engine, 7)
    again = course(engine, 7)
    other = course(DogfightEngine(config, num_games=16, seed=99), 7)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert not torch.equal(course(engine, 8)[0], first[0])
    assert not torch.equal(course(engine, 7 + (1 << 40))[0], first[0])
    assert torch.equal(course(engine, -3)[0], course(engine, -3)[0])


def test_reset_without_a_seed_goes_on_to_the_next_episode():
    engine = DogfightEngine(num_games=4, seed=3)
    first = engine.reset().observation.clone()
    second = engine.reset().observation.clone()
    assert not torch.equal(first, second)
    assert engine.state["episode"].tolist() == [1] * 4
    assert torch.equal(engine.reset(seed=3).observation, first)
    assert torch.equal(engine.reset().observation, second)


def test_masks_follow_the_state_and_are_never_empty():
    engine = engine_with(
        [[aircraft(), aircraft(north=700.0)], [aircraft(altitude=500.0), aircraft(north=5000.0, altitude=9000.0)]],
        maneuvers="basic11",
    )
    maneuver, weapon = engine.current().masks["maneuver"], engine.current().masks["weapon"]
    falling = [engine.config.library.index(name) for name in ("push_over", "dive_left", "dive_right")]
    assert maneuver[0].all()
    assert maneuver[1, 1].all()
    assert [k for k in range(11) if not maneuver[1, 0, k]] == falling
    assert weapon[0].tolist() == [[True, True, False, False], [True, False, False, False]]
    generator = torch.Generator().manual_seed(0)
    engine = DogfightEngine(num_games=200)
    engine.reset(seed=0)
    legal_gun, legal_dive = FEATURES.index("legal_gun"), FEATURES.index("legal_dive")
    push = engine.config.library.index("push_over")
    for _ in range(50):
        step = engine.step(random_actions(engine, generator))
        assert all(mask.any(-1).all() for mask in step.masks.values())
        assert torch.equal(step.masks["weapon"][..., 1], step.observation[..., legal_gun] == 1)
        assert torch.equal(step.masks["maneuver"][..., push], step.observation[..., legal_dive] == 1)
    assert engine.pop_statistics()["illegal_actions"] == 0.0


@pytest.mark.parametrize("wrong", ["push_over", -1, 14, 1 << 40])
def test_masked_or_impossible_maneuver_is_hold(wrong):
    pair = [aircraft(altitude=500.0, speed=300.0), aircraft(north=5000.0)]
    engine, other = engine_with([pair]), engine_with([pair])
    one, two = engine.step(actions(engine, (wrong, "hold"))), other.step(actions(other, "hold"))
    assert torch.equal(one.observation, two.observation)
    assert engine.pop_statistics()["illegal_actions"] == 0.5


def test_params_that_are_no_numbers_are_nominal_and_large_ones_are_clipped():
    pair = [aircraft(), aircraft(north=5000.0)]

    def after(params):
        engine = engine_with([pair])
        return engine.step(actions(engine, "turn_left", params=params)).observation.clone()

    assert torch.equal(after((math.nan, math.nan, math.nan)), after((0.0, 0.0, 0.0)))
    assert torch.equal(after((math.inf, -math.inf, 7.0)), after((1.0, -1.0, 1.0)))
    assert not torch.equal(after((1.0, -1.0, 1.0)), after((0.0, 0.0, 0.0)))


@pytest.mark.parametrize("library", ["basic11", "tactical14"])
def test_hostile_play_never_breaks_the_state(library):
    # 2 libraries x 1024 games x 120 decisions x 2 aircraft: vertical flight, stall, the stratosphere, NaN, garbage.
    games = 1024
    engine = DogfightEngine(DogfightConfig(maneuvers=library), num_games=games)
    engine.reset(seed=2)
    generator = torch.Generator().manual_seed(3)

    def uniform(low, high, *shape):
        return torch.rand((games, 2, *shape), generator=generator) * (high - low) + low

    def disturb():
        motion = engine.state["motion"]
        motion[..., 2] = -uniform(0, 1, 1)[..., 0] * 16000
        motion[..., 3:7] = torch.nn.functional.normalize(uniform(-1, 1, 4), dim=-1)
        motion[: games // 4, :, 3:7] = torch.tensor([0.0, 0.5**0.5, 0.0, 0.5**0.5])  # straight up
        motion[games // 4 : games // 2, :, 3:7] = torch.tensor([0.0, -(0.5**0.5), 0.0, 0.5**0.5])  # straight down
        motion[..., 7] = uniform(0, 700)
        motion[..., 8] = uniform(-3, 9)
        motion[..., 9] = uniform(-4, 4)
        engine.observe()

    for t in range(120):
        if t % 30 == 0:
            disturb()
        chosen = random_actions(engine, generator, legal=t % 2 == 0)
        chosen["maneuver"] += (torch.rand((games, 2), generator=generator) < 0.01) * 1000
        chosen["params"] *= 2.0
        chosen["params"][torch.rand((games, 2, 3), generator=generator) < 0.02] = math.nan
        step = engine.step(chosen)
        assert torch.isfinite(step.observation).all()
        assert torch.isfinite(step.final_observation).all()
        assert torch.isfinite(step.reward).all()
        assert torch.isfinite(engine.state["motion"]).all()
        assert step.observation.abs().max() < 10
    assert engine.pop_statistics()["illegal_actions"] > 0


def test_resume_is_exact(tmp_path):
    config = DogfightConfig(time_limit_s=12.0)
    engine = DogfightEngine(config, num_games=32)
    engine.reset(seed=6)
    engine.set_progress(0.4)
    for _ in range(40):
        engine.step(mixed_actions(engine))
    torch.save(engine.state_dict(), tmp_path / "state.pt")
    ahead = [copied(engine.step(mixed_actions(engine))) for _ in range(80)]
    statistics = engine.pop_statistics()
    fresh = DogfightEngine(config, num_games=32, seed=1234)
    fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for expected in ahead:
        assert equal(fresh.step(mixed_actions(fresh)), expected)
    found = fresh.pop_statistics()
    assert all(
        found[key] == value or (math.isnan(value) and math.isnan(found[key])) for key, value in statistics.items()
    )


def test_foreign_states_are_refused():
    engine, other = DogfightEngine(num_games=2), DogfightEngine(num_games=3)
    engine.reset(seed=0)
    with pytest.raises(ValueError, match=r"motion.*\(2, 2, 11\).*needs \(3, 2, 11\)"):
        other.load_state_dict(engine.state_dict())
    with pytest.raises(ValueError, match=r"version 99.*reads 3: use the version of headctl that wrote it"):
        engine.load_state_dict({**engine.state_dict(), "version": 99})
    with pytest.raises(ValueError, match=r"version 1 .*use the headctl that wrote it"):
        engine.load_state_dict({**engine.state_dict(), "version": 1})


def test_statistics_have_the_documented_keys_and_hand_made_values():
    engine = engine_with([[aircraft(), aircraft(north=533.0)]], gun_damage_per_s=1.0)
    assert all(math.isnan(v) for k, v in engine.pop_statistics().items() if k != "illegal_actions")
    for _ in range(12):
        engine.step(actions(engine, weapon=[1, 0]))  # 0.1 of health each: about the tenth kills
        if engine.cause[0, 1] != 0:
            break
    found = engine.pop_statistics()
    assert list(found) == list(STATISTICS)
    assert found["ended_kill"] == 1.0
    assert found["ended_time"] == found["ended_crash"] == found["ended_collision"] == 0.0
    assert (found["killed_by_gun"], found["killed_by_missile"], found["missiles_fired"]) == (0.5, 0.0, 0.0)
    length = found["episode_length"]
    assert 9 <= length <= 11
    assert found["rounds_fired"] == pytest.approx(20 * length / 2, abs=5)
    assert found["gun_zone_s"] == pytest.approx(0.2 * length / 2, abs=0.06)
    assert found["hit_share"] == 1.0
    assert math.isnan(engine.pop_statistics()["episode_length"])


def test_misuse_is_told_in_one_line():
    engine = DogfightEngine(num_games=2)
    with pytest.raises(RuntimeError, match="reset"):
        engine.step(actions(engine))
    engine.reset()
    good = actions(engine)
    with pytest.raises(ValueError, match="lack the head 'weapon'"):
        engine.step({k: v for k, v in good.items() if k != "weapon"})
    with pytest.raises(ValueError, match=r"shape \(2, 1\), needed \(2, 2\)"):
        engine.step({**good, "maneuver": good["maneuver"][:, :1]})
    with pytest.raises(ValueError, match="needed an integer type"):
        engine.step({**good, "weapon": good["weapon"].float()})
    with pytest.raises(ValueError, match=r"unknown pilot: 'acee'. Did you mean 'ace'.*pursuit"):
        engine.pilot_actions("acee")
    with pytest.raises(ValueError, match="num_games"):
        DogfightEngine(num_games=0)


def test_engine_is_silent_on_stdout():
    code = "from headctl_envs.dogfight.engine import DogfightEngine; DogfightEngine(num_games=1).reset()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_configuration_needs_no_heavy_library():
    code = (
        "import sys; from headctl_envs.dogfight import config; config.heads(config.DogfightConfig()); "
        "print([m for m in ('torch', 'warp', 'gymnasium', 'pettingzoo', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_auto_reset_the_end_stays_to_be_seen():
    engine = DogfightEngine(DogfightConfig(time_limit_s=0.4))
    twin = DogfightEngine(DogfightConfig(time_limit_s=0.4))
    engine.auto_reset = False
    engine.reset(1)
    twin.reset(1)
    for _ in range(2):
        step, other = engine.step(engine.pilot_actions("straight")), twin.step(twin.pilot_actions("straight"))
    assert torch.equal(step.observation, other.final_observation)
    assert not torch.equal(step.observation, other.observation)
    assert int(engine.outcome[0]) == 3
    with pytest.raises(RuntimeError, match="after the end of an episode"):
        engine.step(engine.pilot_actions("straight"))
    assert torch.equal(engine.reset().observation, other.observation)
    assert int(engine.outcome[0]) == 0
    assert int(engine.step(engine.pilot_actions("straight")).outcome[0]) == 0
