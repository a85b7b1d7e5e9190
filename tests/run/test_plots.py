import math

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from headctl.entropy.status import HeadStatus
from headctl.run.plots import STATUS_COLOURS, draw_heads, draw_learning, running_mean, write_plots
from headctl.run.report import RunReader
from tests.helpers.synthetic_run import DEFAULT_COURSES, course, make_run


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return RunReader(make_run(tmp_path_factory.mktemp("plots") / "run"))


def share_of(colour, image):
    return float((np.abs(image[..., :3] - np.array(to_rgb(colour))).max(-1) < 0.02).mean())


def test_both_pictures_are_written_and_show_something(reader, tmp_path):
    heads, learning = write_plots(reader, tmp_path / "out")
    assert (heads.name, learning.name) == ("heads.png", "learning.png")
    image = imread(heads)
    assert image.shape[0] > 900
    assert image.shape[1] > 1500
    assert imread(learning).std() > 0.05
    # The weapon head was saturated half of the time, and no head was ever inactive.
    assert share_of(STATUS_COLOURS["SATURATED"], image) > 0.002
    assert share_of(STATUS_COLOURS["TRACKING"], image) > share_of(STATUS_COLOURS["SATURATED"], image)
    assert share_of(STATUS_COLOURS["INACTIVE"], image) == 0.0
    assert not list((tmp_path / "out").glob(".*"))


def test_the_report_folder_is_the_default(reader):
    assert all(path.parent == reader.run_dir / "report" and path.is_file() for path in write_plots(reader))


def axes_titled(figure, start):
    (axes,) = [axes for axes in figure.axes if axes.get_title(loc="left").startswith(start)]
    return axes


def test_fraction_target_and_shortfall_are_the_records(reader):
    figure = draw_heads(reader)
    axes = axes_titled(figure, "weapon")
    assert axes.get_title(loc="left") == "weapon  (pi floor, target 0.6)"
    lines = {line.get_label(): line for line in axes.lines}
    steps, fraction = reader.series("heads/weapon/fraction")
    assert np.array_equal(lines["entropy fraction"].get_xdata(), steps)
    assert np.array_equal(lines["entropy fraction"].get_ydata(), fraction)
    assert set(lines["target"].get_ydata()) == {0.6}
    (shade,) = axes.collections
    shaded = shade.get_datalim(axes.transData)
    assert shaded.y0 == pytest.approx(min(fraction))
    assert shaded.y1 == pytest.approx(0.6)


def test_a_head_above_its_target_has_no_shaded_shortfall(reader):
    (shade,) = axes_titled(draw_heads(reader), "maneuver").collections
    assert all(len(path.vertices) == 0 for path in shade.get_paths())


def test_alpha_is_on_a_log_scale_and_signed_where_it_may_be_negative(tmp_path):
    courses = {"weapon": DEFAULT_COURSES["weapon"], "params": course(0.6, 0.5, -0.03)}
    figure = draw_heads(RunReader(make_run(tmp_path / "run", courses)))
    scales = [axes.get_yscale() for axes in figure.axes if axes.get_title(loc="left") == "alpha"]
    assert scales == ["log", "symlog"]


def test_the_strip_changes_where_the_status_does(reader):
    figure = draw_heads(reader)
    (weapon,) = [
        axes
        for axes in figure.axes
        if not axes.get_yticks().size and {t.get_text() for t in axes.texts} == {"TRACKING", "SATURATED"}
    ][:1]
    edges = sorted({round(x) for patch in weapon.patches for x in (patch.get_x(), patch.get_x() + patch.get_width())})
    assert edges == [0, 500_000, 1_000_000]


def test_runs_with_gaps_and_with_one_record_can_be_drawn(tmp_path):
    gaps = course(
        lambda p: math.nan if 0.3 < p < 0.6 else 0.5,
        0.5,
        lambda p: math.nan if p < 0.1 else 0.02,
        lambda p: HeadStatus.INACTIVE if 0.3 < p < 0.6 else HeadStatus.TRACKING,
    )
    never = course(math.nan, math.nan, math.nan, HeadStatus.INACTIVE)
    for name, done in (("gaps", 40), ("one", 1)):
        run = make_run(tmp_path / name, {"weapon": gaps, "params": never}, done=done)
        assert all(path.stat().st_size > 10_000 for path in write_plots(RunReader(run)))


def test_the_learning_picture_has_a_panel_per_statistic(reader):
    figure = draw_learning(reader)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [
        "games against the pool",
        "matches, win rate with 95 % interval",
        "critic and step size",
        "episode length",
        "kill share",
    ]
    texts = " ".join(text.get_text() for text in figure.axes[1].texts)
    assert "straight   196 won, 1 lost, 3 drawn" in texts


def test_running_mean():
    assert running_mean([1.0, 3.0, 5.0, 7.0], 2).tolist() == [1.0, 2.0, 4.0, 6.0]
    assert running_mean([1.0, 3.0], 1).tolist() == [1.0, 3.0]
