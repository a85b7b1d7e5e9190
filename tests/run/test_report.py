import json
import math
from pathlib import Path

import pytest

from headctl.entropy.status import HeadStatus
from headctl.run.findings import explain_run, steps_text
from headctl.run.folder import RunFolderError
from headctl.run.report import RunReader, build_report, describe_target, match_to_json, write_evaluation
from headctl.run.report_view import duration_text, make_console, number_text, render_report
from headctl.selfplay.results import MatchResult
from tests.helpers.synthetic_run import DEFAULT_COURSES, HEADS, course, make_run


def report_of(tmp_path, courses=DEFAULT_COURSES, **options):
    return build_report(RunReader(make_run(tmp_path / "run", courses, **options)))


def texts(report, head, level=None):
    return [f.text for f in report.findings if f.head == head and level in (None, f.level)]


def test_numbers_of_a_head(tmp_path):
    report = report_of(tmp_path)
    maneuver, weapon, params = report.heads
    assert [head.name for head in report.heads] == ["maneuver", "weapon", "params"]
    assert maneuver.target == "0.8 to 0.4, linear"
    assert maneuver.fraction == pytest.approx(0.41)
    assert maneuver.error == pytest.approx(-0.01)
    assert maneuver.shortfall == 0.0
    # fraction 0.6 - 0.3 p, target 0.6: over the records with p = 21/40 ... 40/40 the mean shortfall is 0.3 * mean(p)
    assert weapon.shortfall == pytest.approx(0.3 * sum(range(21, 41)) / 20 / 40)
    assert weapon.status == "SATURATED"
    assert weapon.status_since == 21 * 25_000
    assert weapon.status_shares == {"TRACKING": 0.5, "SATURATED": 0.5}
    assert weapon.active_share == pytest.approx(0.04)
    assert (weapon.alpha_min, weapon.alpha_max) == (1e-4, 1.0)
    assert params.mode == "track"
    assert report.finished
    assert report.agent_steps_per_s == pytest.approx(50_000)


def test_the_shortfall_counts_misses_only(tmp_path):
    # Half of the late records lie 0.2 above, half 0.1 below: overshoot must not make up for shortfall.
    wobble = course(lambda p: 0.7 if round(p * 40) % 2 else 0.4, 0.5)
    report = report_of(tmp_path, {"weapon": wobble})
    assert report.heads[0].shortfall == pytest.approx(0.05)


def test_a_saturated_head_is_explained(tmp_path):
    warnings = texts(report_of(tmp_path), "weapon", "warning")
    assert len(warnings) == 2
    assert warnings[0].startswith("SATURATED since step 525 k")
    assert "upper bound 1 " in warnings[0]
    assert "Only 4.0% of the rows" in warnings[0]
    assert "Lower heads.weapon.target to about 0.30" in warnings[0]
    assert "0.229 below its target" in warnings[1]
    assert "100% of that time" in warnings[1]


def test_a_track_head_at_its_lower_bound_is_told_the_other_way_round(tmp_path):
    pressed = course(0.8, 0.5, -0.05, HeadStatus.SATURATED)
    (text,) = texts(report_of(tmp_path, {"params": pressed}), "params")
    assert "lower bound -0.05" in text
    assert "Lower heads.params.alpha_min" in text


@pytest.mark.parametrize(
    ("status", "numbers", "level", "part"),
    [
        (HeadStatus.SLACK, (0.7, 0.3, 1e-4), "ok", "mode: track"),
        (HeadStatus.INACTIVE, (math.nan, 0.3, 0.02), "warning", "no state gave it a choice"),
        (HeadStatus.COLLAPSED, (0.005, 0.3, 0.3), "warning", "all but deterministic"),
        (HeadStatus.TRACKING, (0.31, 0.3, 0.02), "ok", "fraction 0.31 at target 0.30"),
        (HeadStatus.TRACKING, (0.2, 0.3, 0.02), "note", "0.10 below its target"),
    ],
)
def test_every_status_has_its_words(tmp_path, status, numbers, level, part):
    report = report_of(tmp_path, {"weapon": course(*numbers, status)})
    assert any(part in text for text in texts(report, "weapon", level))
    assert report.heads[0].status == status.name


def test_a_fixed_head_has_no_target(tmp_path):
    fixed = course(0.4, math.nan, 0.02, HeadStatus.FIXED)
    report = report_of(tmp_path, {"weapon": fixed}, heads=HEADS | {"weapon": {"law": "fixed", "alpha": 0.02}})
    (head,) = report.heads
    assert head.law == "fixed"
    assert math.isnan(head.shortfall)
    assert [f.level for f in report.findings if f.head == "weapon"] == ["note"]


def test_a_slow_head_that_never_saturates_is_told_apart(tmp_path):
    report = report_of(tmp_path, {"weapon": course(0.4, 0.5)})
    assert any("follows too slowly" in text for text in texts(report, "weapon", "warning"))


def test_skipped_updates_and_loud_bonuses_are_reported(tmp_path):
    def loud(progress):
        return course(0.5, 0.5)(progress) | {"skipped": 2.0, "bonus_to_policy_grad": 3.0}

    warnings = texts(report_of(tmp_path, {"weapon": loud}), "weapon", "warning")
    assert any(text.startswith("80 updates") for text in warnings)
    assert any("3.0 times as hard" in text for text in warnings)


def test_a_target_beyond_reach_is_named_as_the_cause(tmp_path):
    def beyond(status):
        return lambda progress: course(0.3, 0.6, 1.0, status)(progress) | {"beyond_reach": 0.75}

    saturated = report_of(tmp_path / "a", {"weapon": beyond(HeadStatus.SATURATED)})
    assert any("In 75% of the updates it asked for more" in text for text in texts(saturated, "weapon", "warning"))
    tracking = report_of(tmp_path / "b", {"weapon": beyond(HeadStatus.TRACKING)})
    assert any("in 75% of the updates its target" in text for text in texts(tracking, "weapon", "note"))


def test_an_unfinished_run_says_how_to_continue(tmp_path):
    report = report_of(tmp_path, done=10)
    assert not report.finished
    (text,) = texts(report, "", "note")
    assert "250 k of 1 M" in text
    assert text.endswith(f"headctl train {tmp_path / 'run'} --resume")


def test_findings_of_the_learning():
    healthy = {
        "ppo/explained_variance": 0.6,
        "ppo/clip_fraction": 0.1,
        "selfplay/draw_rate": 0.2,
        "selfplay/win_rate": 0.6,
    }
    assert explain_run(healthy) == []
    assert explain_run({}) == []
    for key, bad in {
        "ppo/explained_variance": -0.2,
        "ppo/clip_fraction": 0.5,
        "selfplay/draw_rate": 0.95,
        "selfplay/win_rate": 0.3,
    }.items():
        (finding,) = explain_run(healthy | {key: bad})
        assert key.rpartition("/")[2] in finding.text or "draw" in finding.text
        assert finding.level == "warning"


def test_the_newest_match_counts(tmp_path):
    run = make_run(tmp_path / "run")
    assert RunReader(run).evaluations()["pursuit"] == (1_000_000, MatchResult(90, 100, 10))
    write_evaluation(run, "older", {"pursuit": MatchResult(1, 2, 3)}, 500)
    write_evaluation(run, "newer", {"pursuit": MatchResult(4, 5, 6), "t2": MatchResult(0, 0, 8)}, 1_000_000)
    (run / "eval" / "foreign.json").write_text("[]", encoding="utf-8")
    (run / "eval" / "half.json").write_text('{"agent_', encoding="utf-8")
    found = RunReader(run).evaluations()
    assert found["pursuit"] == (1_000_000, MatchResult(4, 5, 6))
    assert found["straight"] == (1_000_000, MatchResult(196, 1, 3))
    assert match_to_json(found["t2"][1])["win_rate"] is None


def test_json_is_strict_and_complete(tmp_path):
    report = report_of(tmp_path, DEFAULT_COURSES | {"weapon": course(math.nan, 0.3, status=HeadStatus.INACTIVE)})
    text = json.dumps(report.to_json(), allow_nan=False)
    read = json.loads(text)
    assert read["heads"][1]["fraction"] is None
    assert read["evaluations"]["straight"]["wins"] == 196
    assert read["evaluations"]["straight"]["win_rate_low"] == pytest.approx(0.972, abs=1e-3)
    assert {finding["level"] for finding in read["findings"]} >= {"ok", "warning"}


@pytest.mark.parametrize("width", [80, 120])
def test_the_report_on_a_page(tmp_path, width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.chdir(tmp_path)
    console = make_console()
    console.print(render_report(report_of(Path()), [Path("run/report/heads.png")], width=console.width))
    page = capsys.readouterr().out
    assert max(len(line) for line in page.splitlines()) <= width
    assert "…" not in page
    for part in ("maneuver", "SATURATED", "50% saturated", "straight", "99.5%", "97.2% .. 99.9%", "heads.png"):
        assert part in page


def test_folders_that_are_no_runs(tmp_path):
    with pytest.raises(RunFolderError, match="no such run folder"):
        RunReader(tmp_path / "none")
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(RunFolderError, match="is a file"):
        RunReader(tmp_path / "file")
    make_run(tmp_path / "runs" / "real")
    with pytest.raises(RunFolderError, match=r"is no run folder.*Runs there: .*real"):
        RunReader(tmp_path / "runs")
    with pytest.raises(RunFolderError, match=r"no such run folder.*Runs there: .*real"):
        RunReader(tmp_path / "runs" / "reel")


def test_runs_that_cannot_be_read(tmp_path):
    run = make_run(tmp_path / "run", done=0)
    with pytest.raises(RunFolderError, match="no metrics yet"):
        RunReader(run)
    (run / "config.yaml").write_text("ppo: {epochs: many}", encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"config\.yaml .*ppo\.epochs"):
        RunReader(run)
    version = (run / "version.txt").read_text(encoding="utf-8")
    (run / "version.txt").write_text(version.replace("run_format: 1", "run_format: 99"), encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"run format 99.*reads format 1"):
        RunReader(run)
    (run / "version.txt").unlink()
    with pytest.raises(RunFolderError, match=r"incomplete: it has no version\.txt"):
        RunReader(run)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (850, "850"), (999, "999"), (12_500, "12.5 k"), (999_999, "1 M"), (1.2e6, "1.2 M"), (3e9, "3 G")],
)
def test_steps_as_people_say_them(value, text):
    assert steps_text(value) == text


def test_small_words():
    assert number_text(math.nan) == "-"
    assert number_text(1e-4, 3) == "1e-4"
    assert number_text(0.0) == "0.000"
    assert duration_text(59.4) == "59 s"
    assert duration_text(200) == "3 min 20 s"
    assert duration_text(7500) == "2 h 05 min"
    assert duration_text(math.nan) == "-"
    assert describe_target(0.3) == "0.3"
    assert describe_target(None) == ""
    assert describe_target(0.1, "epsilon") == "0.1 epsilon"
    assert describe_target({"schedule": "steps", "values": [0.8, 0.3]}) == "steps"
