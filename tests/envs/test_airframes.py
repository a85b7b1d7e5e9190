"""The three airframes: what their files say is what flies, and mistakes are told."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from headctl_envs.dogfight import airframes
from headctl_envs.dogfight.airframes import AIRFRAMES, AirframeError, AirframeParams, airframe_from
from headctl_envs.dogfight.config import DogfightConfig, OptionError
from headctl_envs.dogfight.engine import DogfightEngine

from tests.helpers.dogfights import actions, engine_with
from tests.helpers.flight_probe import aircraft

NAMES = ("f16_like", "light_fighter", "heavy_fighter")
GRAVITY = 9.80665


def flown(name, maneuver, seconds, *, altitude=3000.0, speed=240.0, params=(0.0, 0.0, 0.0)):
    """Flies one aircraft of a type with another far away; returns its motion records [steps, 11]."""
    pair = [aircraft(altitude=altitude, speed=speed), aircraft(north=80000.0)]
    engine = engine_with([pair], airframe=name, time_limit_s=600.0)
    course = [engine.state["motion"][0, 0].numpy().copy()]
    for _ in range(round(seconds / 0.2)):
        engine.step(actions(engine, (maneuver, "hold"), params=params))
        course.append(engine.state["motion"][0, 0].numpy().copy())
    return np.array(course)


def turn_rate(name, speed):
    """Mean turn rate in deg/s over the second after the turn has been established."""
    course = flown(name, "turn_left", 3.0, speed=speed, params=(1.0, 0.0, 0.0))
    way = np.diff(course[9:15, :2], axis=0)
    heading = np.unwrap(np.arctan2(way[:, 1], way[:, 0]))
    return float(np.degrees(abs(heading[-1] - heading[0])) / (0.2 * (len(heading) - 1)))


def test_there_are_three_and_their_files_say_all():
    assert set(AIRFRAMES) == set(NAMES)
    folder = Path(airframes.__file__).parent / "airframe_files"
    for name in NAMES:
        content = yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))
        assert AIRFRAMES[name] == AirframeParams(**content)
    assert len({AIRFRAMES[name].mass_kg for name in NAMES}) == 3


def test_the_light_one_turns_tighter_when_slow_and_the_heavy_one_accelerates_better():
    assert turn_rate("light_fighter", 170.0) > 1.02 * turn_rate("f16_like", 170.0)
    gained = {name: flown(name, "accelerate", 8.0, speed=200.0)[-1, 7] - 200.0 for name in NAMES}
    assert gained["heavy_fighter"] > gained["light_fighter"]
    assert gained["f16_like"] > gained["light_fighter"]
    assert all(20.0 < value < 130.0 for value in gained.values())
    # The heavy one is the slowest to roll and to pull.
    early = {name: flown(name, "turn_left", 0.6, speed=260.0, params=(1.0, 0.0, 0.0)) for name in NAMES}
    fastest = {name: abs(course[:, 9]).max() for name, course in early.items()}
    assert fastest["heavy_fighter"] < 0.95 * fastest["f16_like"] < fastest["light_fighter"]
    assert early["heavy_fighter"][-1, 8] < early["light_fighter"][-1, 8]


@pytest.mark.parametrize("name", NAMES)
def test_the_envelope_of_every_airframe_is_sane(name):
    params = AIRFRAMES[name]
    density = 1.225 * ((288.15 - 0.0065 * 3000) / 288.15) ** 4.25588
    # The stall at 1 g by hand: half rho V^2 S CL_max = weight.
    stall = (2 * params.mass_kg * GRAVITY / (density * params.wing_area_m2 * params.lift_max)) ** 0.5
    assert 50.0 < stall < 110.0
    assert params.thrust_scale > 0.4
    # The hardest turn is that of the lift below the corner, that of the structure above it.
    for speed in (150.0, 300.0):
        pressure = 0.5 * density * speed**2
        lift = pressure * params.wing_area_m2 * params.lift_max / (params.mass_kg * GRAVITY)
        course = flown(name, "turn_left", 2.0, speed=speed, params=(1.0, 0.0, 0.0))
        peak = course[:, 8].max()
        assert peak <= min(lift, params.load_factor_max) * 1.02
        assert peak >= 0.7 * min(lift, params.load_factor_max)
    # At full power in level flight every one settles between 300 m/s and Mach 2.
    settled = flown(name, "accelerate", 120.0, speed=280.0)[-1, 7]
    assert 290.0 < settled < 660.0


def test_sides_may_fly_different_types():
    pair = [aircraft(speed=200.0), aircraft(north=80000.0, speed=200.0)]
    engine = engine_with([pair], airframe_red="light_fighter", airframe_blue="heavy_fighter", time_limit_s=60.0)
    alone = [
        flown(name, "accelerate", 4.0, speed=200.0, altitude=5000.0) for name in ("light_fighter", "heavy_fighter")
    ]
    engine.state["motion"][..., 2] = -5000.0
    engine.observe()
    for _ in range(20):
        engine.step(actions(engine, "accelerate"))
    speeds = engine.state["motion"][0, :, 7].tolist()
    assert speeds == pytest.approx([course[-1, 7] for course in alone], abs=1e-3)
    assert speeds[0] != speeds[1]


def test_misspelt_names_and_constants_get_the_likely_one():
    with pytest.raises(AirframeError, match="f16_like"):
        airframe_from("f16")
    with pytest.raises(AirframeError, match=r"Did you mean 'light_fighter'"):
        airframe_from("light_figter")
    with pytest.raises(AirframeError, match=r"Did you mean 'mass_kg'"):
        airframe_from({"base": "f16_like", "mas_kg": 9000.0})
    with pytest.raises(OptionError, match=r"airframe_blue.*Did you mean 'heavy_fighter'"):
        DogfightConfig(airframe_blue="heavy_figther")
    with pytest.raises(AirframeError, match="mass_kg"):
        airframe_from({"base": "f16_like", "mass_kg": float("nan")})
    with pytest.raises(AirframeError, match="mass_kg"):
        airframe_from({"base": "f16_like", "mass_kg": 0})


def test_teams_of_every_type_stay_finite():
    for name in NAMES:
        engine = DogfightEngine(DogfightConfig(team_size=2, airframe=name), num_games=16)
        engine.reset(seed=1)
        for _ in range(50):
            step = engine.step(engine.pilot_actions("random"))
            assert torch.isfinite(step.observation).all()
