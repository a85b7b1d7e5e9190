import io
import math
import warnings

import pytest
from rich.console import Console

from headctl.entropy.status import HeadStatus
from headctl.run.console import Averages, LiveView, PlainView, entropy_bar, league_line, training_view
from tests.helpers.synthetic_run import DEFAULT_COURSES, course, record


def screen(*, terminal, width=120, encoding="utf-8"):
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    return Console(file=file, force_terminal=terminal, width=width, color_system=None, legacy_windows=False)


def shown(console):
    return console.file.buffer.getvalue().decode(console.file.encoding)


def test_speed_is_steps_over_time():
    averages = Averages(1_000_000)
    assert math.isnan(averages.speed)
    assert math.isnan(averages.seconds_left)
    # Two iterations of 25,000 steps, one in 1 s and one in 0.25 s: 50,000 steps in 1.25 s.
    averages.add({"agent_steps": 25_000, "perf/agent_steps_per_s": 25_000.0})
    averages.add({"agent_steps": 50_000, "perf/agent_steps_per_s": 100_000.0})
    assert averages.speed == pytest.approx(40_000)
    assert averages.seconds_left == pytest.approx(950_000 / 40_000)


def test_the_pool_win_rate_weighs_games_not_iterations():
    averages = Averages(100)
    averages.add({"selfplay/games": 10, "selfplay/win_rate": 1.0, "selfplay/draw_rate": 0.0})
    averages.add({"selfplay/games": 100, "selfplay/win_rate": 0.5, "selfplay/draw_rate": 0.8})
    averages.add({"selfplay/games": 0, "selfplay/win_rate": math.nan, "selfplay/draw_rate": math.nan})
    wins, draws, games = averages.pool()
    assert wins == pytest.approx((10 + 10) / (10 + 20))
    assert draws == pytest.approx(80 / 110)
    assert games == 110


def test_time_shares():
    averages = Averages(100)
    averages.add({"perf/rollout_s": 0.6, "perf/game_s": 0.1, "perf/policy_s": 0.5, "perf/update_s": 0.4})
    averages.add({"perf/rollout_s": 0.5, "perf/game_s": 0.3, "perf/policy_s": 0.2, "perf/update_s": 0.5})
    assert averages.time_shares() == pytest.approx({"game": 0.2, "policy": 0.35, "update": 0.45})
    assert Averages(100).time_shares() == {}


def test_time_left_counts_what_is_no_training():
    """Iterations of one second, and an evaluation of 38 s between the second and the third."""
    averages = Averages(100_000)
    parts = {"perf/rollout_s": 0.4, "perf/game_s": 0.1, "perf/policy_s": 0.3, "perf/update_s": 0.6}
    for iteration, elapsed in enumerate([1.0, 2.0, 41.0], start=1):
        steps = {"agent_steps": 1000 * iteration, "perf/agent_steps_per_s": 1000.0, "perf/elapsed_s": elapsed}
        averages.add(parts | steps)
    assert averages.speed == pytest.approx(1000.0)
    assert averages.seconds_left == pytest.approx(97 * (1 + 38 / 2))
    assert averages.time_shares() == pytest.approx({"game": 0.005, "policy": 0.015, "update": 0.03, "other": 0.95})


@pytest.mark.parametrize(
    ("fraction", "target", "bar"),
    [
        (0.5, 0.5, "#####|----"),
        (0.2, 0.8, "##------|-"),
        (1.0, 0.0, "|#########"),
        (0.0, 1.0, "---------|"),
        (0.3, math.nan, "###-------"),
        (math.nan, 0.5, "----------"),
    ],
)
def test_the_bar_is_filled_to_the_fraction_and_marked_at_the_target(fraction, target, bar):
    assert entropy_bar(fraction, target, 10, ascii_only=True).plain == bar


def test_the_bar_is_red_only_below_target():
    assert "red" in str(entropy_bar(0.2, 0.8).spans)
    assert "red" not in str(entropy_bar(0.8, 0.2).spans)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_panel_shows_what_a_person_asks_for(encoding):
    console = screen(terminal=True, encoding=encoding)
    view = LiveView(console, "runs/x", 1_000_000)
    for iteration in range(1, 31):
        view.update(record(iteration, 40, DEFAULT_COURSES))
    view.message("UserWarning: look")
    console.print(view.render())
    page = shown(console)
    for part in (
        "runs/x",
        "75%",
        "750 k of 1 M agent-steps",
        "50,000 agent-steps/s",
        "5 s left",
        "SATURATED",
        "0.375",
        "0.600",
        "draws in the last 900 games",
        "UserWarning: look",
        "game 20%",
        "policy 40%",
        "update 40%",
    ):
        assert part in page


def test_the_panel_shows_a_rating_where_there_is_one():
    pages = []
    for more in ({}, {"selfplay/rating": 1234.4, "selfplay/rating_low": 1200.0, "selfplay/rating_high": 1270.0}):
        console = screen(terminal=True)
        view = LiveView(console, "runs/x", 1_000_000)
        view.update(record(3, 40, DEFAULT_COURSES) | more)
        console.print(view.render())
        pages.append(shown(console))
    assert ["rating 1234 (1200 to 1270)" in page for page in pages] == [False, True]


def test_the_panel_before_the_first_record():
    console = screen(terminal=True)
    console.print(LiveView(console, "runs/x", 100).render())
    assert "first iteration" in shown(console)


def test_plain_lines_come_every_few_seconds_and_never_get_lost():
    now = [0.0]
    console = screen(terminal=False, width=40)
    view = PlainView(console, 1_000_000, every_s=5.0, clock=lambda: now[0])
    for iteration in range(1, 13):
        view.update(record(iteration, 40, DEFAULT_COURSES))
        now[0] += 1.0
    view.flush()
    view.flush()
    lines = shown(console).splitlines()
    assert [line.split()[1] for line in lines] == ["25", "150", "275", "300"]
    assert "weapon alpha" in lines[0]
    assert "TRACKING" in lines[0]
    assert "\x1b" not in shown(console)


def test_a_head_without_anything_to_say_does_not_break_the_views():
    silent = {"weapon": course(math.nan, math.nan, math.nan, HeadStatus.INACTIVE)}
    values = record(1, 40, silent) | {"selfplay/win_rate": math.nan, "heads/weapon/status": math.nan}
    console = screen(terminal=True)
    view = LiveView(console, "x", 100)
    view.update(values)
    console.print(view.render())
    plain = PlainView(console, 100)
    plain.update(values)
    assert "weapon alpha - fraction -/-" in shown(console)


@pytest.mark.parametrize("terminal", [True, False])
def test_warnings_are_shown_inside_the_view(terminal):
    console = screen(terminal=terminal)
    before = warnings.showwarning
    with training_view(console, "runs/x", 1_000_000) as view:
        view.update(record(1, 40, DEFAULT_COURSES))
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("alpha is odd", RuntimeWarning, stacklevel=1)
    assert warnings.showwarning is before
    assert "RuntimeWarning: alpha is odd" in shown(console)
    assert "25 k" in shown(console)


def test_the_league_is_one_line():
    record = {"selfplay/elo": 1104.4, "selfplay/rating": 1210.0, "selfplay/rating_low": 1150.0}
    record |= {"selfplay/rating_high": 1270.2, "roles/main_exploiter/score": 0.62, "roles/main_exploiter/games": 5}
    assert league_line(record) == ", Elo 1104, rating 1210 (1150 to 1270), main exploiter 62%"
    assert league_line({"selfplay/elo": 1000.0, "selfplay/rating": math.nan}) == ", Elo 1000"
    assert league_line({}) == ""
