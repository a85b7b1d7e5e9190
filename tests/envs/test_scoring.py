"""Endings, outcomes, zero-sum rewards and the potential."""

import numpy as np
import pytest
import torch
from headctl_envs.dogfight.config import CAUSES, REWARD_TERMS, DogfightConfig
from headctl_envs.dogfight.engine import DogfightEngine

from tests.helpers.dogfights import actions, copied, engine_with, random_actions
from tests.helpers.flight_probe import aircraft

RED, BLUE, DRAW = 1, 2, 3
SHAPING = REWARD_TERMS.index("shaping")


def ended(pair, health=(1.0, 1.0), weapon=0, **options):
    engine = engine_with([pair], shaping_weight=0.0, **options)
    engine.state["health"].copy_(torch.tensor([health]))
    engine.observe()
    step = copied(engine.step(actions(engine, weapon=weapon)))
    return step, [CAUSES[code] for code in engine.cause[0].tolist()]


def test_a_kill_wins():
    pair = [aircraft(), aircraft(north=300.0)]
    step, cause = ended(pair, health=(1.0, 0.05), weapon=[1, 0])
    assert cause == ["running", "gun"]
    assert int(step.outcome[0]) == RED
    assert step.reward[0].tolist() == pytest.approx([1 + 0.5 * 0.05, -1 - 0.5 * 0.05])
    step, _ = ended(pair[::-1], health=(0.05, 1.0), weapon=[0, 1])
    assert int(step.outcome[0]) == BLUE
    assert step.reward[0].tolist() == pytest.approx([-1.025, 1.025])


def test_a_crash_loses_and_two_are_a_draw():
    low = aircraft(altitude=310.0, climb=-40.0)
    high = aircraft(north=3000.0)
    step, cause = ended([low, high])
    assert (cause, int(step.outcome[0]), step.reward[0].tolist()) == (["crash", "running"], BLUE, [-1.0, 1.0])
    step, cause = ended([high, low])
    assert (cause, int(step.outcome[0]), step.reward[0].tolist()) == (["running", "crash"], RED, [1.0, -1.0])
    both = aircraft(north=3000.0, altitude=310.0, climb=-40.0)
    step, cause = ended([low, both])
    assert (cause, int(step.outcome[0]), step.reward[0].tolist()) == (["crash", "crash"], DRAW, [0.0, 0.0])


def test_a_collision_kills_both():
    step, cause = ended([aircraft(), aircraft(north=110.0, heading=180.0)], collision_m=20.0)
    assert (cause, int(step.outcome[0])) == (["collision", "collision"], DRAW)
    assert step.terminated.all()
    assert not step.truncated.any()


def test_the_time_limit_truncates_and_is_a_draw():
    engine = DogfightEngine(DogfightConfig(time_limit_s=1.0, start="random"), num_games=3)
    engine.reset(seed=1)
    for decision in range(5):
        step = engine.step(actions(engine))
        assert step.truncated.all() == (decision == 4)
        assert not step.terminated.any()
    assert step.outcome.tolist() == [DRAW] * 3
    assert (step.reward[:, 0] + step.reward[:, 1]).abs().max() == 0
    # The final observation belongs to the old episode, the observation to the new one.
    time_left = engine.feature_names.index("time_left")
    assert step.final_observation[..., time_left].abs().max() < 1e-6
    assert (step.observation[..., time_left] == 1).all()
    assert [CAUSES[c] for c in engine.cause.flatten().tolist()] == ["time"] * 6


def test_rewards_are_zero_sum_exactly_and_terms_add_up():
    engine = DogfightEngine(num_games=256)
    engine.reset(seed=4)
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros(len(REWARD_TERMS))
    for t in range(200):
        pilot = engine.pilot_actions("pursuit")
        step = engine.step(pilot if t % 2 else random_actions(engine, generator))
        assert torch.equal(step.reward[:, 0], -step.reward[:, 1])
        assert torch.allclose(engine.reward_terms.sum(-1), step.reward[:, 0], atol=1e-6)
        assert not (step.terminated & step.truncated).any()
        assert ((step.outcome > 0) == (step.terminated | step.truncated).any(-1)).all()
        total += engine.reward_terms.abs().sum(0)
    taking_part = total > 0
    taking_part[REWARD_TERMS.index("losses")] = True  # teams only
    assert taking_part.all()


@pytest.mark.parametrize("gamma", [1.0, 0.97])
def test_shaping_telescopes_to_the_first_potential(gamma):
    options = {"gamma": gamma, "shaping_weight": 1.0, "time_limit_s": 20.0}
    engine = DogfightEngine(DogfightConfig(**options), num_games=200)
    engine.reset(seed=8)
    first = engine.state["potential"].double().clone()
    summed, discount = torch.zeros(200).double(), 1.0
    running = torch.ones(200, dtype=torch.bool)
    ends = {"terminated": 0, "truncated": 0}
    while running.any():
        chosen = {k: v.clone() for k, v in engine.pilot_actions("pursuit").items()}
        step = engine.step(chosen)
        summed += running * discount * engine.reward_terms[:, SHAPING].double()
        discount *= gamma
        over = running & (step.outcome > 0)
        dead = over & step.terminated[:, 0]
        # At the end of an episode the potential counts as zero: what is left is minus the first one.
        assert torch.allclose(summed[dead], -first[dead], atol=2e-4)
        ends["terminated"] += int(dead.sum())
        ends["truncated"] += int((over & ~dead).sum())
        running &= ~over
    assert min(ends.values()) > 10


def test_a_truncated_episode_keeps_its_last_potential():
    options = {"gamma": 0.97, "shaping_weight": 1.0, "start": "random"}
    short = DogfightEngine(DogfightConfig(time_limit_s=2.0, **options), num_games=50)
    long = DogfightEngine(DogfightConfig(time_limit_s=200.0, **options), num_games=50)
    for engine in (short, long):
        engine.reset(seed=3)
    for _ in range(10):
        one, two = short.step(actions(short, "turn_left")), long.step(actions(long, "turn_left"))
    assert one.truncated.all()
    assert not two.truncated.any()
    assert torch.equal(one.reward, two.reward)  # the cut itself pays nothing


def test_the_potential_prefers_the_better_position():
    behind = [aircraft(), aircraft(north=700.0)]
    neutral = [aircraft(), aircraft(east=1500.0, heading=180.0)]
    pairs = [behind, behind[::-1], neutral, [aircraft(altitude=6000.0), aircraft(east=1500.0, heading=180.0)]]
    potential = engine_with(pairs).state["potential"].tolist()
    assert potential[0] > 1.0
    assert potential[1] == -potential[0]
    assert potential[2] == pytest.approx(0.0, abs=1e-6)
    assert potential[3] > 0.05
    nearer = engine_with([[aircraft(), aircraft(north=n)] for n in (600, 1200, 2400, 4800)]).state["potential"]
    assert (np.diff(nearer.tolist()) < 0).all()


def test_shaping_weight_decays_with_progress():
    def shaping(progress, **options):
        engine = engine_with([[aircraft(), aircraft(north=700.0, heading=90.0)]], **options)
        engine.set_progress(progress)
        engine.step(actions(engine))
        return float(engine.reward_terms[0, SHAPING])

    full = shaping(0.0, shaping_decay_until=0.5)
    assert abs(full) > 1e-4
    assert shaping(0.25, shaping_decay_until=0.5) == pytest.approx(0.5 * full, rel=1e-5)
    assert shaping(0.5, shaping_decay_until=0.5) == 0.0
    assert shaping(0.9, shaping_decay_until=0.5) == 0.0
    assert shaping(0.9, shaping_decay_until=0.0) == full
