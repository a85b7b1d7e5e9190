import numpy as np
import pytest
from matplotlib.image import imread

from headctl.run.compare import band, draw_comparison, group_runs, write_comparison
from headctl.run.folder import write_config
from headctl.run.report import RunReader
from tests.helpers.synthetic_run import DEFAULT_COURSES, HEADS, course, make_run


def made(folder, seed, fraction, heads=HEADS):
    run = make_run(folder, DEFAULT_COURSES | {"params": course(fraction, 0.5)}, heads=heads)
    write_config(run, RunReader(run).config.model_copy(update={"seed": seed}))
    return RunReader(run)


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    other = HEADS | {"weapon": HEADS["weapon"] | {"target": 0.3}}
    return [made(folder / "a", 1, 0.4), made(folder / "b", 2, 0.6), made(folder / "c", 1, 0.9, other)]


def test_runs_that_differ_in_their_seeds_are_one_group(readers):
    groups = group_runs(readers)
    assert [(group.name, len(group.readers)) for group in groups] == [
        ("weapon.target 0.6", 2),
        ("weapon.target 0.3", 1),
    ]
    assert [group.name for group in group_runs(readers[:2])] == ["2 seeds"]


def test_a_band_is_mean_and_range_over_the_seeds(readers):
    found = band(readers[:2], "heads/params/fraction")
    assert found.mean == pytest.approx(np.full(200, 0.5))
    assert (found.low[0], found.high[0]) == pytest.approx((0.4, 0.6))
    assert (found.steps[0], found.steps[-1]) == (25_000, 1_000_000)
    assert band(readers, "no/such") is None


def test_the_picture_has_a_band_where_there_are_seeds(readers, tmp_path):
    axes = draw_comparison(group_runs(readers)).axes
    assert [len(panel.collections) for panel in axes] == [1] * len(axes)
    assert {line.get_label() for line in axes[0].lines if not line.get_label().startswith("_")} == {
        "weapon.target 0.6 (2 seeds)",
        "weapon.target 0.3",
    }
    assert imread(write_comparison(readers, tmp_path / "out")).std() > 0.05
