"""The flight model against the textbook form, the JSBSim F-16, conservation of energy, and a finer step."""

import numpy as np
import pytest

from tests.helpers import textbook_flight as textbook
from tests.helpers.flight_probe import aircraft, arc_tangents, carried_air, directions, fly, forces

SOUND_3KM, SOUND_6KM = textbook.atmosphere(3000)[1], textbook.atmosphere(6000)[1]

# Ten seconds of 7, 8, 5 and 6 g with reversals, one command per 0.2 s: load factor, roll rate, lever, brake.
HARD = np.array(
    [[7, 1.5, 1, 0]] * 5
    + [[8, -0.4, 1, 0]] * 10
    + [[2, -3.0, 1, 0]] * 6
    + [[5, 0.6, 0.2, 1]] * 12
    + [[6, 2.0, 1, 0]] * 5
    + [[7, -1.0, 0.77, 0]] * 12,
    float,
)


def test_thrust_drag_and_air_are_those_of_the_textbook_form():
    altitude, speed = (grid.ravel() for grid in np.meshgrid([0, 3000, 6000, 10000, 11500, 14000], [90, 150, 250, 340]))
    found = forces(altitude, speed, 1.0, 0.9)
    for row, h, v in zip(found, altitude, speed, strict=True):
        rho, sound = textbook.atmosphere(h)
        pressure = 0.5 * rho * v * v * textbook.AREA
        weight = textbook.MASS * textbook.G
        assert row[4] == pytest.approx(rho, rel=1e-5)
        assert row[3] == pytest.approx(v / sound, rel=1e-5)
        assert row[0] == pytest.approx(1000 * textbook.thrust_kn(h, v / sound, 0.9) / weight, rel=1e-4)
        assert row[1] == pytest.approx(
            pressure * textbook.drag_coefficient(v / sound, weight / pressure) / weight, rel=1e-4
        )


def carried_error(before, rise):
    """Largest relative error of density, 1 / sound and thrust ratios of air carried from ``before`` by ``rise`` m."""
    altitude = (before + np.float32(rise)).clip(0)
    found = carried_air(before, altitude)
    density, sound = np.transpose([textbook.atmosphere(h) for h in altitude.astype(float)])
    ratio = density / 1.225
    assert (found[:, 0] == altitude).all()
    exact = np.stack([density, 1 / sound, ratio**1.12, ratio**1.18], -1)
    return np.abs(found[:, 1:] / exact - 1).max()


@pytest.mark.parametrize("rise", [0.0, 3.0, -34.0, 80.0, 149.0, -149.0])
def test_air_carried_within_its_layer_is_the_air_there(rise):
    before = np.linspace(0, 16000, 4001).astype(np.float32)
    same = (before < 11000) == (before + rise < 11000)
    assert carried_error(before[same], rise) < 8e-7  # what the air computed anew has, too


@pytest.mark.parametrize("rise", [34.0, -34.0])
def test_air_carried_through_the_tropopause_within_a_substep_errs_by_the_difference_of_the_lapses(rise):
    before = np.linspace(10960, 11040, 401).astype(np.float32)
    assert carried_error(before, rise) < abs(rise) * (1 / 6341.62 - 4.25588 * 0.0065 / 216.65) * 1.25


@pytest.mark.parametrize(
    ("altitude", "mach", "load"), [(3000, 0.8, 8.0), (3000, 0.9, 8.05), (6000, 0.8, 6.05), (6000, 0.9, 6.1)]
)
def test_sustained_turn_is_within_a_tenth_of_the_jsbsim_f16(altitude, mach, load):
    speed = mach * textbook.atmosphere(altitude)[1]
    loads = np.linspace(1, 9, 1601)
    found = forces(altitude, speed, loads)
    balance = found[:, 0] - found[:, 1]
    sustained = loads[balance > 0].max()
    assert sustained == pytest.approx(load, rel=0.10)


@pytest.mark.parametrize(
    ("altitude", "mach", "power"), [(3000, 0.8, 244), (3000, 0.9, 240), (6000, 0.8, 195), (6000, 0.9, 202)]
)
def test_specific_excess_power_at_1_g_is_within_a_fifth_of_the_jsbsim_f16(altitude, mach, power):
    speed = mach * textbook.atmosphere(altitude)[1]
    thrust, drag = forces(altitude, speed)[0, :2]
    assert speed * (thrust - drag) == pytest.approx(power, rel=0.20)


@pytest.mark.parametrize(("altitude", "seconds"), [(3000, 11.1), (6000, 13.5)])
def test_level_acceleration_is_within_a_quarter_of_the_jsbsim_f16(altitude, seconds):
    speeds = np.linspace(200, 300, 401)
    found = forces(altitude, speeds)
    acceleration = textbook.G * (found[:, 0] - found[:, 1])
    assert np.trapezoid(1 / acceleration, speeds) == pytest.approx(seconds, rel=0.25)


def test_corner_speed_is_where_stall_and_structure_meet():
    speeds = np.linspace(150, 260, 1101)
    available = forces(3000, speeds)[:, 2]
    corner = speeds[available >= 9.0 - 1e-4].min()
    assert corner == pytest.approx(208, abs=2)
    assert available.max() == pytest.approx(9.0)
    # Below it the stall rules: the load factor goes with the square of the speed.
    assert available[0] == pytest.approx(9.0 * (150 / corner) ** 2, rel=1e-3)


def reference(starts, commands=HARD, dt=0.01, rates=textbook.wind_axis_rates):
    return np.array([textbook.fly(start, commands, 0.2, dt, rates=rates) for start in starts])


def test_wind_axes_and_path_angles_are_the_same_motion():
    commands = HARD.copy()
    commands[:, 1] *= 0.6
    start = aircraft(climb=5.0, heading=30.0, speed=280.0, lever=1.0, altitude=4000.0)
    ours = fly(start, commands, 0.1, repeat=2)[0]
    x, y, h, v, gamma, _, mu = textbook.fly(
        [0, 0, 4000, 280, np.radians(5), np.radians(30), 0, 1, 0, 1.0], commands, hold_s=0.2, dt=0.01
    )[:7]
    assert abs(np.sin(gamma)) < 0.95  # the textbook form is only a reference away from the vertical
    assert np.linalg.norm(ours[:3] - [x, y, -h]) < 0.01
    assert ours[7] == pytest.approx(v, abs=1e-2)
    forward, right, down = directions(ours)
    assert np.arcsin(-forward[2]) == pytest.approx(gamma, abs=2e-5)
    assert np.cos(np.arctan2(right[2], down[2]) - mu) == pytest.approx(1.0, abs=1e-8)


@pytest.mark.parametrize("climb", [0.0, 40.0, 88.0, -60.0])
def test_ten_seconds_of_hard_manoeuvring_are_within_a_centimetre_of_a_step_ten_times_finer(climb):
    starts = [aircraft(climb=climb, bank=b, speed=v, lever=1.0, altitude=4000.0) for b, v in ((120, 300), (-60, 320))]
    coarse, fine = fly(starts, HARD, 0.1, repeat=2), reference(starts)
    assert np.linalg.norm(coarse[:, :3] - fine[:, :3], axis=1).max() < 0.01
    assert np.linalg.norm(fine[:, :3] - np.array(starts)[:, :3], axis=1).min() > 500  # it did fly


def test_through_the_stall_the_step_stays_within_a_few_decimetres():
    # The lift's bound is a kink, which costs any fixed step its order; it must not cost more than that.
    starts = [aircraft(altitude=6000.0, climb=c, speed=180) for c in (0, 88)]
    coarse, fine = fly(starts, HARD, 0.1, repeat=2), reference(starts)
    assert 0.01 < np.linalg.norm(coarse[:, :3] - fine[:, :3], axis=1).max() < 0.4


def test_energy_changes_at_the_rate_of_thrust_minus_drag():
    # d(h + V^2 / 2g)/dt = V (T - D) / W, whatever the attitude: over one short step, by the trapezoid of both ends.
    rng = np.random.default_rng(3)
    for _ in range(20):
        v, load, lever = rng.uniform(220, 330), rng.uniform(-0.5, 4), rng.uniform(0, 1)
        start = aircraft(
            climb=rng.uniform(-90, 90), bank=rng.uniform(-180, 180), speed=v, load=load, lever=lever, altitude=4000.0
        )
        end = fly(start, [[load, 0, lever, 0]], 0.05)[0]
        before, after = forces([4000.0, -end[2]], [v, end[7]], [load, end[8]], [lever, end[10]])
        power = 0.5 * (v * (before[0] - before[1]) + end[7] * (after[0] - after[1]))
        gain = (-end[2] + end[7] ** 2 / (2 * textbook.G)) - (4000 + v**2 / (2 * textbook.G))
        assert gain == pytest.approx(0.05 * power, abs=0.002)  # of about 10 m; float32 counts in steps of 0.0005 m


def test_vertical_flight_and_stall_stay_finite_and_fall():
    starts = [aircraft(climb=c, bank=b, speed=s) for c in (90, 89.99, -90, 0) for b in (0, 77) for s in (25, 60, 300)]
    end = fly(starts, [[9, 3, 0, 1]] * 100, 0.1, repeat=2)
    assert np.isfinite(end).all()
    assert np.abs(np.linalg.norm(end[:, 3:7], axis=1) - 1).max() < 1e-5
    assert end[:, 7].min() >= 25.0
    slow = fly(aircraft(climb=85, speed=60, lever=0.0), [[0, 0, 0, 0]] * 100, 0.1, repeat=2)[0]
    assert slow[7] > 60.0  # thrown up without thrust, it comes down and gains speed
    assert -slow[2] < 5000.0


def test_thrust_lever_moves_at_its_rate_and_the_load_factor_with_its_lag():
    end = fly(aircraft(lever=0.0, load=1.0), [[5, 0, 1, 0]] * 1, 0.01, repeat=30)[0]
    assert end[10] == pytest.approx(0.15, abs=1e-4)  # 0.3 s at 0.5 per second
    assert end[8] == pytest.approx(1 + 4 * (1 - np.exp(-1)), rel=1e-4)  # one time constant


def test_arc_tangent_agrees_with_the_library_in_every_quadrant_and_is_odd():
    rng = np.random.default_rng(0)
    y, x = (rng.normal(size=20000) * 10.0 ** rng.uniform(-6, 3, 20000) for _ in range(2))
    y[:8], x[:8] = [0, 0, 1, -1, 1, -1, 1, 1e-7], [1, -1, 0, 0, 1, -1, -1, -1]
    found = arc_tangents(y, x)
    assert np.abs(found - np.arctan2(y.astype(np.float32), x.astype(np.float32))).max() < 6e-7
    nonzero = y != 0
    assert (arc_tangents(-y, x)[nonzero] == -found[nonzero]).all()
