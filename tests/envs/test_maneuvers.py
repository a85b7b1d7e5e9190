"""Signs and directions: every maneuver does what its name says, every residual what the documentation says."""

import numpy as np
import pytest
from headctl_envs.dogfight.config import LIBRARIES, TACTICAL14
from headctl_envs.dogfight.maneuvers import KINDS

from tests.helpers.dogfights import actions, engine_with
from tests.helpers.flight_probe import aircraft, directions


def flown(maneuver, seconds=3.0, *, params=(0.0, 0.0, 0.0), own=None, foe=None, library="basic11", track=False):
    """Motion of seat 0 after flying one maneuver; the enemy flies straight, 20 km away unless given."""
    own = aircraft() if own is None else own
    foe = aircraft(north=20000.0, heading=90.0) if foe is None else foe
    engine = engine_with([[own, foe]], maneuvers=library)
    history = []
    for _ in range(round(seconds / engine.config.decision_period_s)):
        engine.step(actions(engine, (maneuver, "hold"), params=params))
        history.append(engine.state["motion"][0].numpy().copy())
    return np.array(history) if track else history[-1][0]


def heading_deg(motion):
    forward = directions(motion)[0]
    return np.degrees(np.arctan2(forward[1], forward[0]))


def path_angle_deg(motion):
    return np.degrees(np.arcsin(-directions(motion)[0][2]))


def altitude(motion):
    return -motion[2]


def test_libraries_are_what_the_kernels_know():
    for library in LIBRARIES.values():
        assert library[0] == "hold"
        assert set(library) <= set(KINDS)
        assert len(set(library)) == len(library)
    assert [len(LIBRARIES[name]) for name in ("basic7", "basic9", "basic11", "tactical14")] == [7, 9, 11, 14]


def test_hold_keeps_altitude_speed_and_heading():
    end = flown("hold", seconds=20.0)
    assert altitude(end) == pytest.approx(5000, abs=2)
    assert end[7] == pytest.approx(250, abs=4)
    assert heading_deg(end) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(
    "start", [{"climb": -40.0}, {"climb": 60.0}, {"bank": 170.0}, {"climb": -30.0, "bank": -100.0}]
)
def test_hold_recovers_to_level_flight(start):
    end = flown("hold", seconds=15.0, own=aircraft(**start))
    assert path_angle_deg(end) == pytest.approx(0, abs=3)
    assert abs(directions(end)[1][2]) < 0.03  # wings level


def test_accelerate_gains_speed_and_decelerate_loses_it():
    assert flown("accelerate", 5.0)[7] > 270
    assert flown("decelerate", 5.0)[7] < 235


@pytest.mark.parametrize(("maneuver", "sign"), [("turn_left", -1), ("turn_right", 1)])
def test_turns_turn_to_their_side_in_level_flight(maneuver, sign):
    end = flown(maneuver, 4.0)
    assert 30 < sign * heading_deg(end) < 90
    assert altitude(end) == pytest.approx(5000, abs=60)
    assert sign * directions(end)[1][2] > 0.8  # the inner wing is down


@pytest.mark.parametrize(
    ("maneuver", "side", "up"),
    [("climb_left", -1, 1), ("climb_right", 1, 1), ("dive_left", -1, -1), ("dive_right", 1, -1)],
)
def test_oblique_turns_turn_and_climb_or_dive(maneuver, side, up):
    end = flown(maneuver, 2.5)
    assert side * heading_deg(end) > 10
    assert up * (altitude(end) - 5000) > 30


def test_pull_up_climbs_and_push_over_descends():
    assert altitude(flown("pull_up", 3.0)) > 5150
    assert path_angle_deg(flown("pull_up", 3.0)) > 25
    assert altitude(flown("push_over", 3.0)) < 4950
    assert flown("push_over", 1.0)[8] == pytest.approx(-0.5, abs=0.1)


def test_pull_up_goes_over_the_top_and_rolls_upright():
    history = flown("pull_up", 25.0, params=(0.6, 0.0, 0.0), own=aircraft(speed=320.0), track=True)[:, 0]
    angles = np.array([path_angle_deg(m) for m in history])
    upright = np.array([directions(m)[2][2] for m in history])
    assert angles.max() > 80
    over = np.argmax(upright < -0.5)
    assert over > 0  # inverted on the far side of the loop
    assert (upright[over:] > 0.5).any()  # and upright again


def test_load_factor_residual_pulls_harder_or_softer():
    soft, nominal, hard = (abs(heading_deg(flown("turn_right", 2.0, params=(x, 0.0, 0.0)))) for x in (-1.0, 0.0, 1.0))
    assert soft + 5 < nominal < hard - 5
    assert flown("turn_right", 3.0, params=(1.0, 0.0, 0.0))[8] > 8.0
    assert flown("push_over", 1.5, params=(-1.0, 0, 0))[8] < flown("push_over", 1.5, params=(1.0, 0, 0))[8] - 0.8


def test_throttle_residual_moves_the_lever_by_three_tenths():
    low, nominal, high = (flown("hold", 4.0, params=(0.0, x, 0.0))[10] for x in (-0.5, 0.0, 0.5))
    assert high - nominal == pytest.approx(0.15, abs=0.05)
    assert nominal - low == pytest.approx(0.15, abs=0.05)


def test_lift_vector_residual_turns_the_lift_to_the_right():
    right, left = (flown("pull_up", 2.0, params=(0.0, 0.0, x)) for x in (1.0, -1.0))
    assert heading_deg(right) > 5
    assert heading_deg(left) == pytest.approx(-heading_deg(right), abs=1e-3)
    assert directions(right)[1][2] > 0.3  # banked to the right, about 30 degrees


@pytest.mark.parametrize("maneuver", ["pure_pursuit", "lead_pursuit", "lag_pursuit"])
def test_pursuits_bring_the_nose_to_the_enemy(maneuver):
    foe = aircraft(north=1500.0, east=1500.0, altitude=5400.0, heading=45.0, speed=220.0)
    history = flown(maneuver, 8.0, foe=foe, library="tactical14", track=True)
    own, other = history[-1]
    line = other[:3] - own[:3]
    assert directions(own)[0] @ line / np.linalg.norm(line) > np.cos(np.radians(3.0))


def test_lead_points_ahead_of_a_crossing_enemy_and_lag_behind():
    # The enemy crosses from left to right: ahead of him is to the right of the line of sight.
    foe = aircraft(north=2500.0, east=-400.0, heading=90.0)
    offset = {}
    for maneuver in ("lag_pursuit", "pure_pursuit", "lead_pursuit"):
        own, other = flown(maneuver, 1.6, foe=foe, library="tactical14", track=True)[-1]
        line = other[:3] - own[:3]
        offset[maneuver] = heading_deg(own) - np.degrees(np.arctan2(line[1], line[0]))
    assert offset["lag_pursuit"] + 2 < offset["pure_pursuit"] < offset["lead_pursuit"] - 2


def test_pure_pursuit_holds_the_gun_cone_on_a_turning_enemy():
    own, foe = aircraft(), aircraft(north=700.0, speed=240.0)
    engine = engine_with([[own, foe]])
    inside = []
    for _ in range(100):
        mild = actions(engine, ("pure_pursuit", "turn_right"))
        mild["params"][:, 1, 0] = -0.9  # about 3 g
        engine.step(mild)
        inside.append(float(engine.state["view"][0, 0, 8]))
    assert np.degrees(np.median(inside[25:])) < 1.0


def test_break_turns_towards_the_enemy_and_extend_away():
    foe = aircraft(north=-800.0, east=300.0)
    assert heading_deg(flown("break_turn", 2.0, foe=foe, library="tactical14")) > 20
    away, other = flown("extend", 12.0, own=aircraft(heading=90.0), foe=foe, library="tactical14", track=True)[-1]
    line = other[:3] - away[:3]
    assert directions(away)[0] @ line / np.linalg.norm(line) < -0.98


def test_notch_puts_the_enemy_abeam():
    history = flown(
        "notch", 10.0, foe=aircraft(north=6000.0, east=500.0, heading=180.0), library="tactical14", track=True
    )
    own, other = history[-1]
    line = other[:3] - own[:3]
    assert abs(directions(own)[0] @ line) / np.linalg.norm(line) < 0.15


def test_high_yo_yo_climbs_above_the_chase():
    foe = aircraft(north=1200.0, speed=200.0)
    pure, yo_yo = (altitude(flown(m, 4.0, foe=foe, library="tactical14")) for m in ("pure_pursuit", "high_yo_yo"))
    assert yo_yo > pure + 50


@pytest.mark.parametrize("maneuver", TACTICAL14)
def test_every_maneuver_obeys_the_aircrafts_limits(maneuver):
    history = flown(maneuver, 12.0, foe=aircraft(north=900.0, east=300.0), library="tactical14", track=True)[:, 0]
    assert np.isfinite(history).all()
    assert history[:, 8].max() < 9.0 + 1e-3
    assert history[:, 8].min() > -3.0 - 1e-3
    assert np.abs(history[:, 9]).max() <= 4.0 + 1e-3
    assert history[:, 10].min() >= 0.0
    assert history[:, 10].max() <= 1.0
