"""Flares: how often they decoy, whom, when they act, what they cost; a decoyed missile is lost for good."""

import numpy as np
import pytest
import torch
from headctl_envs.dogfight.config import CAUSES
from headctl_envs.dogfight.missile_types import MISSILES
from headctl_envs.dogfight.world import MISSILE_FIELDS

from tests.helpers.dogfights import actions, engine_with
from tests.helpers.flight_probe import aircraft
from tests.helpers.shots import geometry, put_missile

HOLD, GUN, MISSILE, FLARE = range(4)
GUIDED, COASTING = 1.0, 2.0
TYPE = MISSILES["all_aspect"]
PHASE = MISSILE_FIELDS["phase"].start


def decoyed(games, target, missile_place, **options):
    """Share of missiles that one flare of seat 1 decoys."""
    engine = engine_with([[aircraft(altitude=9000.0), target]] * games, missiles=1, flares=4, **options)
    velocity = -np.array(missile_place) / np.linalg.norm(missile_place) * 600.0
    for game in range(games):
        at = np.array(target[:3]) + missile_place
        put_missile(engine, game, position=at, velocity=velocity, age=3.0, seeker=velocity / 600.0)
    engine.step(actions(engine, weapon=[HOLD, FLARE]))
    assert (engine.state["flares"][:, 1] == 3).all()
    return float((engine.state["missiles"][:, 0, 0, MISSILE_FIELDS["phase"]] != 1.0).float().mean()), engine


def test_flares_decoy_with_the_documented_probability():
    cold = aircraft(lever=0.5)
    ahead, _ = decoyed(2000, cold, (2500.0, 0.0, 0.0))
    assert ahead == pytest.approx(TYPE.decoy_probability, abs=0.035)
    astern, _ = decoyed(2000, cold, (-2500.0, 0.0, 0.0))
    assert astern == pytest.approx(0.7 * TYPE.decoy_probability, abs=0.035)
    burning, _ = decoyed(2000, aircraft(lever=1.0), (-2500.0, 0.0, 0.0))
    assert burning == pytest.approx(0.49 * TYPE.decoy_probability, abs=0.035)
    late, _ = decoyed(500, cold, (190.0, 0.0, 0.0))
    assert late == 0.0


def test_a_flare_costs_its_price_and_the_dispenser_needs_its_time():
    _, engine = decoyed(1, aircraft(), (2500.0, 0.0, 0.0), shaping_weight=0.0)
    assert engine.reward_terms[0].tolist() == pytest.approx([0, 0, 0, 0.005, 0], abs=1e-7)
    found = []
    for _ in range(3):
        found.append(bool(engine.current().masks["weapon"][0, 1, FLARE]))
        engine.step(actions(engine))
    assert found == [False, False, True]


@pytest.mark.parametrize("name", list(MISSILES))
def test_types_differ_in_their_resistance(name):
    cold = aircraft(lever=0.5)
    found, _ = decoyed(2000, cold, (2500.0, 0.0, 0.0), missile=name)
    # A rear-aspect seeker does not see a target that comes at it: it has lost it without a flare.
    if name == "rear_aspect":
        assert found == 1.0
        found, _ = decoyed(2000, cold, (-2500.0, 0.0, 0.0), missile=name)
        assert found == pytest.approx(0.7 * MISSILES[name].decoy_probability, abs=0.035)
    else:
        assert found == pytest.approx(MISSILES[name].decoy_probability, abs=0.035)


@pytest.mark.parametrize(("distance", "share"), [(500.0, 0.5), (350.0, 0.25), (795.0, 1.0), (205.0, 0.0)])
def test_the_nearer_the_missile_the_less_a_flare_helps(distance, share):
    found, _ = decoyed(2000, aircraft(lever=0.5), (distance, 0.0, 0.0))
    assert found == pytest.approx(share * TYPE.decoy_probability, abs=0.035)


@pytest.mark.parametrize(("lever", "heat"), [(0.769, 1.0), (0.771, 0.7)])
def test_the_afterburner_begins_at_its_gate(lever, heat):
    found, _ = decoyed(2000, aircraft(lever=lever), (2500.0, 0.0, 0.0))
    assert found == pytest.approx(heat * TYPE.decoy_probability, abs=0.035)


def two_a_side(games=200, **options):
    """Both reds have a missile in the air at blue 0, blue 0 has one at red 0; all in good sight."""
    line = [aircraft(), aircraft(east=300.0), aircraft(north=3000.0, heading=180.0), aircraft(east=40000.0)]
    engine = engine_with([line] * games, missiles=1, flares=2, **options)
    for game in range(games):
        put_missile(engine, game, seat=0, target=2)
        put_missile(engine, game, seat=1, target=2)
        put_missile(engine, game, seat=2, target=0)
    return engine


def phases(engine):
    return engine.state["missiles"][:, :, 0, PHASE]


def test_a_flare_acts_on_the_missiles_that_track_its_aircraft_and_on_no_other():
    engine = two_a_side()
    engine.step(actions(engine, weapon=[HOLD, HOLD, HOLD, FLARE]))  # dropped by a wingman far away
    assert (phases(engine)[:, :3] == GUIDED).all()
    engine.step(actions(engine, weapon=[HOLD, HOLD, FLARE, HOLD]))
    found = phases(engine)
    assert (found[:, 2] == GUIDED).all()  # his own missile flies on
    one, two = (found[:, seat] == COASTING for seat in (0, 1))
    # Each missile has a draw of its own, with the probability of its own place: both, one or none of them fall.
    assert {tuple(pair) for pair in torch.stack([one, two], 1).tolist()} == {
        (a, b) for a in (False, True) for b in (False, True)
    }
    assert one.float().mean() == pytest.approx(TYPE.decoy_probability, abs=0.1)


def test_a_decoyed_missile_coasts_past_and_never_finds_its_target_again():
    engine = engine_with([geometry(1500.0, 0.0)] * 50, missiles=1, flares=1, collision_m=0.0)
    for game in range(50):
        put_missile(engine, game, age=3.0, velocity=(600.0, 0.0, 0.0))
    engine.step(actions(engine, weapon=[HOLD, FLARE]))
    fallen = engine.state["missiles"][:, 0, 0, PHASE] == COASTING
    assert 5 < fallen.sum() < 45
    hit = torch.zeros(50, dtype=torch.bool)
    for _ in range(100):
        engine.step(actions(engine))
        hit |= engine.cause[:, 1] == CAUSES.index("missile")
        flying = engine.state["missiles"][:, 0, 0, PHASE]
        assert (flying[fallen] != GUIDED).all()
        if not flying.any():
            break
    assert not flying.any()  # all spent, or home
    assert torch.equal(hit, ~fallen)


def test_flares_act_before_the_launches_of_the_same_decision():
    engine = engine_with([geometry(2500.0, 0.0)] * 400, missiles=1, flares=1)
    engine.state["lock_s"].fill_(1.0)
    engine.observe()
    engine.step(actions(engine, weapon=[MISSILE, FLARE]))
    assert (engine.state["missiles"][:, 0, 0, PHASE] == GUIDED).all()


def test_the_last_flare_leaves_the_mask_empty_and_a_masked_one_does_nothing():
    engine = engine_with([geometry(3000.0, 0.0)], missiles=1, flares=1, flare_cooldown_s=0.0)
    assert bool(engine.current().masks["weapon"][0, 1, FLARE])
    engine.step(actions(engine, weapon=[HOLD, FLARE]))
    assert not bool(engine.current().masks["weapon"][0, 1, FLARE])
    put_missile(engine, 0)
    engine.step(actions(engine, weapon=[HOLD, FLARE]))
    assert engine.state["flares"][0].tolist() == [1, 0]
    assert float(engine.state["missiles"][0, 0, 0, PHASE]) == GUIDED


def test_the_draws_depend_on_seed_game_and_time_alone():
    def fallen(seed, wait=0):
        engine = engine_with([geometry(6000.0, 180.0)] * 64, missiles=1, flares=2)
        engine.reset(seed=seed)
        engine.state["motion"].copy_(torch.tensor(np.array([geometry(6000.0, 180.0)] * 64, np.float32)))
        engine.observe()
        for _ in range(wait):
            engine.step(actions(engine))
        for game in range(64):
            put_missile(engine, game)
        engine.step(actions(engine, weapon=[HOLD, FLARE]))
        return (engine.state["missiles"][:, 0, 0, PHASE] == COASTING).tolist()

    first = fallen(3)
    torch.rand(7)  # a global stream that has moved on
    assert fallen(3) == first
    assert fallen(4) != first
    assert fallen(3, wait=1) != first
    assert 0 < sum(first) < 64
