"""The gun's cone, its damage, its ammunition, the interlock, and the definition of the angles."""

import math

import numpy as np
import pytest
import torch
from headctl_envs.dogfight.config import CAUSES

from tests.helpers.dogfights import actions, engine_with
from tests.helpers.flight_probe import aircraft, gun

HOLD, GUN, MISSILE, FLARE = range(4)


def at(distance, ata_deg=0.0, heading=0.0, **own):
    """A pair: the enemy at ``distance`` and ``ata_deg`` to the right of the nose, with a heading of its own."""
    angle = math.radians(ata_deg)
    foe = aircraft(north=distance * math.cos(angle), east=distance * math.sin(angle), heading=heading)
    return [aircraft(**own), foe]


def test_angles_mean_what_the_convention_says():
    #                 dead astern   head-on        abeam on his right, he flies away to the left
    found = gun([at(800), at(800, heading=180), at(800, heading=90), at(800, ata_deg=90), at(800, ata_deg=180)])
    assert np.degrees(found[:, 3]) == pytest.approx([0, 0, 0, 90, 180], abs=1e-3)  # ATA
    assert np.degrees(found[:, 4]) == pytest.approx([0, 180, 90, 90, 180], abs=1e-3)  # AA
    assert found[:, 5] == pytest.approx([800] * 5, rel=1e-5)
    assert found[:, 6] == pytest.approx([0, 500, 250, 0, 0], abs=1e-2)  # closure


@pytest.mark.parametrize(
    ("distance", "ata_deg", "inside", "rate"),
    [
        (152.5, 0, 1, 1 - 0.5 / 762),
        (151.5, 0, 0, 0),
        (533, 0, 1, 0.5),
        (533, 0.99, 1, 0.5),
        (533, -0.99, 1, 0.5),
        (533, 1.01, 0, 0),
        (533, -1.01, 0, 0),
        (913.5, 0.99, 1, 0.5 / 762),
        (914.5, 0, 0, 0),
        (533, 180, 0, 0),
    ],
)
def test_cone_has_its_corners_and_damage_falls_linearly(distance, ata_deg, inside, rate):
    found = gun([at(distance, ata_deg)])[0]
    assert found[1] == inside
    assert found[0] == pytest.approx(rate, abs=1e-5)


def test_damage_law_is_that_of_the_alphadogfight_trials_in_feet():
    feet = np.array([600.0, 1500.0, 2500.0, 2900.0])
    found = gun([at(f * 0.3048) for f in feet], gun_range_min_m=500 * 0.3048, gun_range_max_m=3000 * 0.3048)
    assert found[:, 0] == pytest.approx((3000 - feet) / 2500, rel=1e-5)


@pytest.mark.parametrize(
    ("distance", "ata_deg", "legal"),
    [(500, 9.9, 1), (500, 10.1, 0), (1199, 0, 1), (1201, 0, 0), (100, 0, 1), (500, 99, 0)],
)
def test_interlock_makes_the_gun_legal_only_near_an_enemy_ahead(distance, ata_deg, legal):
    assert gun([at(distance, ata_deg)])[0, 2] == legal
    engine = engine_with([at(distance, ata_deg)])
    assert engine.current().masks["weapon"][0, 0].tolist() == [True, bool(legal), False, False]


def test_firing_takes_rounds_and_health_and_pays_the_damage():
    engine = engine_with([at(533)], shaping_weight=0.0)
    step = engine.step(actions(engine, weapon=[GUN, HOLD]))
    # 0.2 s at 100 rounds per second and half of the largest damage rate; both fly on at the same distance.
    assert engine.state["rounds"][0].tolist() == [490, 510]
    assert engine.state["health"][0].tolist() == pytest.approx([1.0, 0.9], abs=1e-4)
    assert step.reward[0].tolist() == pytest.approx([0.05, -0.05], abs=1e-4)
    assert int(step.outcome[0]) == 0


def test_last_rounds_do_their_share_and_then_the_gun_is_illegal():
    engine = engine_with([at(533)])
    engine.state["rounds"].fill_(5.0)
    engine.observe()
    engine.step(actions(engine, weapon=[GUN, HOLD]))
    assert engine.state["rounds"][0].tolist() == [0, 5]
    assert engine.state["health"][0, 1] == pytest.approx(1 - 0.5 * 0.05, abs=1e-4)
    assert engine.current().masks["weapon"][0, 0].tolist() == [True, False, False, False]
    before = engine.state["health"].clone()
    engine.step(actions(engine, weapon=[GUN, HOLD]))
    assert torch.equal(engine.state["health"], before)


@pytest.mark.parametrize("weapon", [MISSILE, FLARE, -1, 4, 10**12])
def test_illegal_or_impossible_weapon_is_hold_and_is_counted(weapon):
    engine, other = engine_with([at(533)]), engine_with([at(533)])
    one = engine.step(actions(engine, weapon=[weapon, HOLD]))
    two = other.step(actions(other, weapon=[HOLD, HOLD]))
    assert torch.equal(one.observation, two.observation)
    assert torch.equal(one.reward, two.reward)
    assert engine.pop_statistics()["illegal_actions"] == 0.5
    assert other.pop_statistics()["illegal_actions"] == 0.0


def test_gun_outside_its_interlock_is_hold():
    engine, other = engine_with([at(3000)]), engine_with([at(3000)])
    one, two = engine.step(actions(engine, weapon=GUN)), other.step(actions(other, weapon=HOLD))
    assert torch.equal(one.observation, two.observation)
    assert engine.state["rounds"][0].tolist() == [510, 510]


def test_fire_is_resolved_at_once_for_both():
    # Nose to nose both die of the same volley: no seat shoots first.
    engine = engine_with([at(700, heading=180)], gun_damage_per_s=100.0, gun_half_angle_deg=5.0, collision_m=0.0)
    step = engine.step(actions(engine, weapon=GUN))
    assert int(step.outcome[0]) == 3
    assert step.terminated.all()
    assert step.reward[0].tolist() == [0.0, 0.0] or float(step.reward.sum()) == 0.0
    assert [CAUSES[code] for code in engine.cause[0].tolist()] == ["gun", "gun"]
