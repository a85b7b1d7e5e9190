"""The dogfight beside other libraries, and the missile's table, as figures."""

import importlib.util

import pytest

from headctl.run import bench_others
from headctl.run.bench_missiles import bench_missiles
from headctl.run.bench_others import bench_others as measure
from headctl.run.bench_others import missing_others
from headctl.run.config import parse_config

CONFIG = parse_config("", [])


def test_our_own_face_is_measured_in_steps_and_in_simulated_time(monkeypatch):
    monkeypatch.setattr(bench_others, "_PLAYERS", bench_others._PLAYERS[:1])
    steps, simulated = measure(CONFIG, seconds=0.02)
    assert (steps.unit, simulated.unit) == ("environment-steps/s", "simulated s/s")
    assert len(steps.values) == bench_others.REPETITIONS
    assert simulated.values == pytest.approx([0.2 * value for value in steps.values])
    assert min(steps.values) > 0.0


@pytest.mark.parametrize("library", ["PyFlyt", "jsbsim"])
def test_another_library_is_measured_where_it_is_installed(library, monkeypatch, capfd):
    if importlib.util.find_spec(library) is None:
        assert library in missing_others()
        pytest.skip(f"{library} is not installed")
    players = tuple(player for player in bench_others._PLAYERS if player[1] == library)
    monkeypatch.setattr(bench_others, "_PLAYERS", players)
    figures = measure(CONFIG, seconds=0.05)
    assert len(figures) == 2
    assert min(figures[0].values) > 0.0
    assert capfd.readouterr().out == ""


def test_what_is_not_installed_is_left_out(monkeypatch):
    own, *_ = bench_others._PLAYERS
    monkeypatch.setattr(bench_others, "_PLAYERS", (own, ("nobody", "no_such_library_at_all", None)))
    assert missing_others() == ("no_such_library_at_all",)
    assert len(measure(CONFIG, seconds=0.01)) == 2


def test_the_missile_table_has_a_figure_per_target_aspect_and_range():
    figures = bench_missiles(CONFIG, shots=4)
    assert len(figures) == 4 * 5 * 7
    assert len({figure.name for figure in figures}) == len(figures)
    assert all(0.0 <= figure.median <= 1.0 for figure in figures)
    near = [f.median for f in figures if f.name.startswith("straight") and "25% of the reach" in f.name]
    assert sum(near) / len(near) >= 0.9
