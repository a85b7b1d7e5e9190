import json
import math
import re

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image

from headctl.entropy.status import HeadStatus
from headctl.run import charts
from headctl.run.config import parse_config
from headctl.run.curves import STATUS_COLOURS, head_curves
from headctl.run.fights import fights_for, hardest_pilot
from headctl.run.folder import create_run_folder
from headctl.run.html_report import page, write_page
from headctl.run.report import RunReader, write_evaluation
from headctl.run.report_view import make_console
from headctl.run.session import train
from headctl.selfplay.results import MatchResult
from tests.helpers.browser import CHROMIUM, opened
from tests.helpers.synthetic_run import course, make_run

TINY = """
total_steps: 1200
game: {num_games: 16, options: {time_limit_s: 6, start: in_zone, gun_half_angle_deg: 5}}
policy: {hidden: [16]}
ppo: {rollout_steps: 16, epochs: 1, minibatch_size: 128}
evaluation: {games: 4}
run: {tensorboard: false}
"""


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return RunReader(make_run(tmp_path_factory.mktemp("page") / "run"))


@pytest.fixture(scope="module")
def flown(tmp_path_factory):
    """A run of the dogfight with its fights."""
    folder = tmp_path_factory.mktemp("page") / "tiny"
    config = parse_config(TINY)
    create_run_folder(folder, config)
    assert train(config, folder, make_console(), resume=False) == 0
    reader = RunReader(folder)
    return reader, fights_for(reader, ("pursuit", "straight"), seed=2)[0]


def data_of(html, name):
    return json.loads(
        re.search(rf'<script type="application/json" id="{name}-data">(.*?)</script>', html, re.DOTALL)[1]
    )


def test_the_charts_are_the_records(reader):
    chart = charts.head_chart(head_curves(reader, "weapon"))
    fraction, target, alpha = chart["data"]
    steps, values = reader.series("heads/weapon/fraction")
    assert fraction["x"] == steps
    assert fraction["y"] == pytest.approx(values, rel=1e-5)
    assert set(target["y"]) == {0.6}
    assert alpha["y"] == pytest.approx(reader.series("heads/weapon/alpha")[1], rel=1e-5)
    assert chart["layout"]["yaxis2"]["type"] == "log"
    assert fraction["text"][0] == f"{reader.series('heads/weapon/entropy')[1][0]:.4g} nats, target 0.8318 nats"


def test_the_status_is_shaded_where_it_was(reader):
    shapes = charts.head_chart(head_curves(reader, "weapon"))["layout"]["shapes"]
    shade = [(s["fillcolor"], s["x0"], s["x1"]) for s in shapes if s.get("yref") == "y domain"]
    assert shade == [
        (STATUS_COLOURS["TRACKING"], 0.0, 500_000.0),
        (STATUS_COLOURS["SATURATED"], 500_000.0, 1_000_000.0),
    ]


def test_a_signed_alpha_is_labelled_by_alpha(tmp_path):
    courses = {"params": course(0.6, 0.5, lambda p: 0.02 - 0.05 * p)}
    curves = head_curves(RunReader(make_run(tmp_path / "run", courses)), "params")
    chart = charts.head_chart(curves)
    axis = chart["layout"]["yaxis2"]
    places = dict(zip(axis["ticktext"], axis["tickvals"], strict=True))
    alpha = chart["data"][2]
    assert alpha["y"][-1] == pytest.approx(math.asinh(-0.03 / 1e-3), rel=1e-4)
    assert places["-0.1"] < alpha["y"][-1] < places["-0.01"] < places["0"] == 0.0
    assert alpha["text"][-1] == "-0.03"


def test_long_runs_are_drawn_by_the_means_of_stretches():
    steps = np.arange(1.0, 3001.0)
    values = np.where(steps <= 3, math.nan, steps)
    thin_steps, thin = charts.thinned(steps, values)
    assert thin_steps[:2].tolist() == [3.0, 6.0]
    assert math.isnan(thin[0])
    assert thin[1:3].tolist() == [5.0, 8.0]
    assert (len(thin), thin_steps[-1]) == (1000, 3000.0)
    assert charts.thinned(steps[:9], values[:9])[1] is not None
    uneven = charts.thinned(np.arange(2402.0), np.arange(2402.0))
    assert uneven[0][-1] == 2401.0
    assert len(uneven[1]) <= charts.POINTS_MAX


def test_a_status_that_flickers_for_long_does_not_flood_the_page(tmp_path):
    flicker = course(0.5, 0.5, status=lambda p: HeadStatus.SLACK if round(p * 3000) % 2 else HeadStatus.TRACKING)
    curves = head_curves(RunReader(make_run(tmp_path / "run", {"weapon": flicker}, iterations=3000)), "weapon")
    assert len(charts.head_chart(curves)["layout"]["shapes"]) < 600


def test_plotly_knows_every_property(reader):
    every = data_of(page(reader), "charts")
    assert {"head-0", "head-1", "head-2", "rates", "critic", "matches", "statistic-0"} <= set(every)
    for chart in every.values():
        go.Figure(data=chart["data"], layout=chart["layout"])
        assert chart["data"]


def test_runs_with_gaps_and_with_one_record_have_a_page(tmp_path):
    never = course(math.nan, math.nan, math.nan, HeadStatus.INACTIVE)
    for done in (1, 40):
        html = page(RunReader(make_run(tmp_path / str(done), {"weapon": never}, done=done)))
        for chart in data_of(html, "charts").values():
            go.Figure(data=chart["data"], layout=chart["layout"])
        assert "NaN" not in html.partition('id="charts-data">')[2].partition("</script>")[0]


def test_the_words_of_the_run_are_on_the_page(reader):
    html = page(reader, why_none="Nobody <can> fly.")
    assert "SATURATED since step 525 k" in html
    assert "Nobody &lt;can&gt; fly." in html
    assert '<span class="changed">total_steps: 1000000</span>' in html
    assert "<pre>seed: 1\n" in html
    assert "90.0%" not in html.partition('id="charts-data"')[0]
    assert "47.4%" in html  # 90 of 190 decided games against pursuit


def test_names_cannot_break_out_of_the_page(tmp_path):
    run = make_run(tmp_path / "a<b>&c")
    write_evaluation(run, "evil", {"</script><script>note('evil')</script>": MatchResult(1, 2, 3)}, 1_000_000)
    html = page(RunReader(run))
    assert "<script>note(" not in html
    assert "</script><script>note('evil')</script>" in data_of(html, "charts")["matches"]["data"][0]["y"]
    assert "a&lt;b&gt;&amp;c: what every head did" in html


def test_the_page_asks_for_nothing_from_outside(reader):
    html = page(reader)
    assert not re.search(r'<(?:script|link|img)[^>]+(?:src|href)="(?!data:)', html)
    assert "@import" not in html.partition("</style>")[0]


def test_the_hardest_pilot_is_the_one_that_wins_most(reader):
    assert hardest_pilot(reader) == "pursuit"


def test_a_run_nobody_can_fly_says_so(reader, tmp_path):
    assert fights_for(reader) == ([], "There is no checkpoint yet, so nobody can fly.")


def test_a_story_has_a_column_for_everything(flown):
    reader, (fight, _) = flown
    assert fight["pilots"] == {"red": reader.run_dir.name, "blue": "pursuit"}
    moments = len(fight["time_s"])
    red, blue = fight["aircraft"]
    for craft in (red, blue):
        for key in ("north_m", "east_m", "altitude_m", "speed_mps", "load_factor", "health", "rounds"):
            assert len(craft[key]) == moments
        assert set(craft["heads"]) == {"maneuver", "weapon", "params"}
        for head in craft["heads"].values():
            assert len(head["decision"]) == len(head["entropy"]) == moments
            assert head["decision"][-1] is None
            assert None not in head["decision"][:-1]
    assert all(head["alpha"] > 0 for head in red["heads"].values())
    assert {head["alpha"] for head in blue["heads"].values()} == {None}
    # Positions are those of the flight: the distance between two decisions is the speed times the time.
    step = np.hypot(np.hypot(np.diff(red["north_m"]), np.diff(red["east_m"])), np.diff(red["altitude_m"]))
    assert step == pytest.approx(np.array(red["speed_mps"][:-1]) * np.diff(fight["time_s"]), rel=0.1)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_draws_everything_without_an_error(flown, tmp_path):
    reader, stories = flown
    path = write_page(reader, stories, tmp_path / "r.html")
    play = """
      const told = document.querySelector("#fight-0 .pilots").textContent;
      const slider = document.querySelector("#fight-0 input");
      slider.value = 3; slider.dispatchEvent(new Event("input"));
      document.body.dataset.clock = document.querySelector("#fight-0 output").textContent;
      document.body.dataset.moved = told !== document.querySelector("#fight-0 .pilots").textContent;
      const select = document.querySelector("#fight-0 select");
      document.body.dataset.choices = [...select.options].map((option) => option.value).join(" ");
      for (const option of select.options) { select.value = option.value; select.dispatchEvent(new Event("change")); }
      await Plotly.relayout("head-0", {"xaxis.range[0]": 100, "xaxis.range[1]": 500});
      await new Promise((done) => setTimeout(done, 200));
      document.body.dataset.zoom = document.getElementById("head-2").layout.xaxis.range.join(" ");
      const drawn = [...document.querySelectorAll(".chart")].map((chart) =>
        chart.querySelectorAll("path.js-line, .point, .heatmaplayer image, .gl-container canvas").length > 0);
      document.body.dataset.charts = drawn.length; document.body.dataset.drawn = drawn.filter(Boolean).length;
      document.body.dataset.lanes = document.querySelectorAll("#fight-0 .lanes .point").length;
    """
    seen = opened(path, tmp_path, script=play)
    body = dict(re.findall(r'data-([a-z]+)="([^"]*)"', re.search(r"<body[^>]*>", seen.dom)[0]))
    assert seen.faults == []
    assert (body["state"], body["done"]) == ("drawn", "yes")
    charts_on_page = len(data_of(path.read_text(encoding="utf-8"), "charts")) + len(stories)
    assert int(body["charts"]) == int(body["drawn"]) == charts_on_page
    assert body["solid"] == "true"
    assert body["moved"] == "true"
    assert body["clock"] == f"{stories[0]['time_s'][3]:.1f} s"
    assert body["choices"].split() == [
        "side", "decision:maneuver", "entropy:maneuver", "entropy:params", "decision:weapon", "entropy:weapon",
    ]  # fmt: skip
    assert body["zoom"] == "100 500"
    assert int(body["lanes"]) >= 4


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_both_aircraft_are_in_the_picture(flown, tmp_path):
    reader, stories = flown
    html = (
        page(reader, stories[:1])
        .replace("<section id=", "<section hidden id=")
        .replace('<section hidden id="fights"', '<section id="fights"')
    )
    (tmp_path / "f.html").write_text(html, encoding="utf-8")
    opened(tmp_path / "f.html", tmp_path, picture=tmp_path / "f.png")
    with Image.open(tmp_path / "f.png") as picture:
        pixels = np.asarray(picture.convert("RGB"), dtype=np.int16)[330:780, 60:800]
    for colour in ((0xD1, 0x49, 0x5B), (0x2F, 0x66, 0x90)):
        assert (np.abs(pixels - np.array(colour)).max(-1) < 30).sum() > 60


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_watch_sees_errors(tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<html><head></head><body data-state='x'><script>console.error('oh'); nothing();</script></body></html>",
        encoding="utf-8",
    )
    faults = opened(bad, tmp_path).faults
    assert "oh" in faults
    assert any("nothing is not defined" in fault for fault in faults)
