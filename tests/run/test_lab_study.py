"""The laboratory's studies: what is chosen, what is averaged, and the bounds that the default law keeps."""

import json
import math

import numpy as np
import pytest

from headctl.run.lab import measures, study
from headctl.run.lab.command import STRONGEST_BOUNDED_DUALS, LabError, chosen
from headctl.run.lab.contestants import CONTESTANTS, HEADS, heads_of
from headctl.run.lab.loop import Experiment, Trace, run
from headctl.run.lab.study import Plan, RecoveryRow, courses_of


def test_the_reported_table_shows_the_strongest_duals_and_the_sweep_all_of_them():
    reported, sweep = chosen([], tuning=False), chosen(["dual"], tuning=True)
    assert set(STRONGEST_BOUNDED_DUALS) < set(reported) < set(CONTESTANTS)
    assert {name for name, one in CONTESTANTS.items() if one.swept} < set(sweep)
    assert chosen(["fixed", "dual sgd 10 bounded"], tuning=False) == ["dual sgd 10 bounded", "fixed 0.01"]
    with pytest.raises(LabError, match="Did you mean 'decay'"):
        chosen(["decy"], tuning=False)


def test_tuning_and_reported_seeds_are_apart():
    assert not set(study.TUNING_SEEDS) & set(study.REPORTED_SEEDS)


def test_every_contestant_has_one_setting_for_all_heads():
    for contestant in CONTESTANTS.values():
        heads = heads_of(contestant, dict.fromkeys(HEADS, 0.5))
        settings = [{key: value for key, value in heads[name].items() if key != "active_when"} for name in HEADS]
        assert settings[0] == settings[1] == settings[2]


def fake(fractions, greedy_return=1.0):
    """A trace of ten iterations with these constant fractions against 0.5."""
    columns = np.tile(np.array(fractions), (10, 1))
    half = np.full_like(columns, 0.5)
    return Trace(("maneuver", "params", "weapon"), columns, half, 0.1 * half, half, greedy_return)


def test_rows_are_means_over_courses_and_seeds(monkeypatch):
    given = {
        ("pi floor", 0): fake([0.4, 0.5, 0.5], 1.0),
        ("pi floor", 1): fake([0.5, 0.5, 0.5], 2.0),
        ("fixed 0.01", 0): fake([0.3, 0.5, 0.2], 0.5),
        ("fixed 0.01", 1): fake([0.3, 0.5, 0.4], 1.9),
    }
    monkeypatch.setattr(study, "run_all", lambda experiments, plan: list(given.values()))
    rows = study.track(Plan(["pi floor", "fixed 0.01"], [0, 1]), ["const"])
    assert [(row.contestant, row.course) for row in rows] == [
        ("pi floor", "const"),
        ("pi floor", "all"),
        ("fixed 0.01", "const"),
        ("fixed 0.01", "all"),
    ]
    assert rows[1].shortfall == pytest.approx({"maneuver": 0.05, "weapon": 0.0, "params": 0.0})
    assert rows[3].shortfall == pytest.approx({"maneuver": 0.2, "weapon": 0.2, "params": 0.0})
    assert rows[1].return_difference == (0.0, 0.0)
    # Differences -0.5 and -0.1: mean -0.3, deviation 0.2 sqrt 2, standard error 0.2.
    assert rows[3].return_difference == pytest.approx((-0.3, 0.2))
    assert math.isnan(rows[1].settle_up["maneuver"])  # a constant target never jumps


def test_rows_become_json():
    row = RecoveryRow("pi floor", {"maneuver": 4.0}, {"maneuver": math.nan}, {"maneuver": math.inf})
    (plain,) = json.loads(json.dumps(study.as_json([row]), allow_nan=False))
    assert plain["contestant"] == "pi floor"
    assert plain["iterations"] == {"maneuver": 4.0}
    assert plain["worst"] == plain["alpha_max"] == {"maneuver": None}


@pytest.mark.slow
def test_processes_change_nothing():
    told = []
    experiments = [Experiment(heads_of(CONTESTANTS["pi floor"], dict.fromkeys(HEADS, 0.5)), seed) for seed in (1, 2)]
    alone = study.run_all(experiments, Plan(["pi floor"], [1, 2], 2, 1, lambda *count: told.append(count)))
    together = study.run_all(experiments, Plan(["pi floor"], [1, 2], 2, 2))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.fraction, other.fraction)
    assert told == [(2, 2)]


@pytest.mark.slow
def test_the_default_law_holds_three_heads_on_their_targets():
    targets = {
        "maneuver": {"schedule": "linear", "start": 0.9, "end": 0.5},
        "weapon": 0.6,
        "params": {"schedule": "linear", "start": 0.8, "end": 0.6},
    }
    names = ("pi floor", "pi track")
    floor, track = run([Experiment(heads_of(CONTESTANTS[name], targets), 100) for name in names], 90)
    late = slice(45, None)  # the networks begin uniform, above their targets
    for name, course in courses_of(floor).items():
        assert measures.mean_shortfall(course) < 0.03, name
        assert (course.alpha >= 1e-4 - 1e-9).all(), name
    for name, course in courses_of(track).items():
        error = (course.target - course.fraction)[late]
        assert np.sqrt(np.mean(error**2)) < 0.06, name
    # And the targets bind: with a negligible bonus the discrete heads end far below them.
    free = run([Experiment(heads_of(CONTESTANTS["fixed 0.01"], targets), 100)], 90)[0]
    for name in ("maneuver", "weapon"):
        assert courses_of(free)[name].fraction[-1] < courses_of(floor)[name].target[-1] - 0.08
