"""The league of a run in pictures: read from a file of the run, and nothing where there is none."""

import json

import numpy as np
import plotly.graph_objects as go
import pytest

from headctl.run.folder import LEAGUE_FILE
from headctl.run.html_report import page
from headctl.run.league_charts import course_chart, payoff_chart, ratings_chart
from headctl.run.league_games import LeagueGames, read_league_games, scores, write_league_games
from headctl.run.league_plots import draw_league
from headctl.run.plots import write_plots
from headctl.run.report import RunReader
from headctl.selfplay.payoff import PayoffMatrix
from headctl.selfplay.results import MatchResult
from tests.faults.runs import begin_and_train, config_of, final_state
from tests.helpers.synthetic_run import make_run


def games():
    """Learner beats pilot beats old; learner and old have never met; nobody has met new."""
    payoff = PayoffMatrix(["old", "learner", "pilot", "new"])
    payoff.record("learner", "pilot", MatchResult(6, 2, 2))
    payoff.record("pilot", "old", MatchResult(8, 1, 1))
    return LeagueGames(500_000, payoff, "pilot")


@pytest.fixture
def run(tmp_path):
    run = make_run(tmp_path / "run")
    path = run / "metrics.jsonl"
    records = [json.loads(row) for row in path.read_text().splitlines()]
    for number, record in enumerate(records):
        record |= {"selfplay/rating": 900 + 5 * number, "selfplay/rating_low": 850 + 5 * number}
        record |= {"selfplay/rating_high": 950 + 5 * number, "selfplay/elo": 1000 + number}
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return run


def test_what_is_written_is_read_again(run):
    write_league_games(run, games())
    found = read_league_games(run)
    assert (found.agent_steps, found.anchor, found.payoff.names) == (500_000, "pilot", games().payoff.names)
    assert np.array_equal(found.payoff.wins, games().payoff.wins)
    assert [rating.name for rating in found.ratings] == ["learner", "pilot", "old"]
    assert {rating.name: rating.rating for rating in found.ratings}["pilot"] == pytest.approx(1000.0)


def test_a_training_writes_the_games_of_its_league_with_every_checkpoint(tmp_path):
    code, said = begin_and_train(config_of("total_steps=1200"), tmp_path / "run")
    assert code == 0, said
    found = read_league_games(tmp_path / "run")
    state = final_state(tmp_path / "run")
    assert found.agent_steps == state["collector"]["agent_steps"]
    assert found.payoff.state_dict() == state["league"]["payoff"]
    assert "league.png" in said


def test_a_league_without_games_is_no_file(run):
    write_league_games(run, LeagueGames(5, PayoffMatrix(["a", "b"])))
    assert not (run / LEAGUE_FILE).exists()
    assert read_league_games(run) is None


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", '{"payoff": 3}', "[" * 100_000, "\x00\xff",
        json.dumps(
            {"agent_steps": 1, "anchor": None, "payoff": {"format": 1, "names": ["a"], "wins": [[-1]], "draws": [[0]]}}
        ),
        json.dumps({"agent_steps": 1, "anchor": "x", "payoff": games().payoff.state_dict()}),
        json.dumps({"agent_steps": None, "anchor": None, "payoff": games().payoff.state_dict()}),
        json.dumps({"agent_steps": 1, "anchor": None, "payoff": games().payoff.state_dict() | {"wins": [[1e999]]}}),
        json.dumps({"agent_steps": 10**400, "anchor": None, "payoff": games().payoff.state_dict()}),
        json.dumps(
            {
                "agent_steps": 1, "anchor": None,
                "payoff": {"format": 1, "names": ["a", "b"], "wins": [[0, 1e300], [1, 0]], "draws": [[0, 0], [0, 0]]},
            }
        ),
    ],
    ids=range(12),
)  # fmt: skip
def test_a_file_that_is_none_of_ours_is_no_league(run, text):
    (run / LEAGUE_FILE).write_text(text, encoding="latin-1")
    assert read_league_games(run) is None
    assert "Payoff matrix" not in page(RunReader(run))


def test_a_disk_that_cannot_take_it_is_no_error(run):
    (run / LEAGUE_FILE).mkdir()
    write_league_games(run, games())
    assert read_league_games(run) is None


def test_scores_are_points_per_game():
    shown = scores(games().payoff, ["learner", "pilot", "old"])
    assert shown[0, 1] == pytest.approx(0.7)
    assert shown[1, 0] == pytest.approx(0.3)
    assert shown[1, 2] == pytest.approx(0.85)
    assert np.isnan(shown[0, 2])
    assert np.isnan(shown[0, 0])


def test_pictures_appear_where_there_is_a_league(run, tmp_path):
    assert [path.name for path in write_plots(RunReader(run), tmp_path / "none")] == ["heads.png", "learning.png"]
    assert "League" not in page(RunReader(run))
    write_league_games(run, games())
    assert [path.name for path in write_plots(RunReader(run), tmp_path / "out")][-1] == "league.png"
    figure = draw_league(RunReader(run), games())
    matrix, ratings, course = figure.axes
    assert [label.get_text() for label in matrix.get_yticklabels()] == ["learner", "pilot", "old"]
    assert sorted(text.get_text() for text in matrix.texts) == ["15%", "30%", "70%", "85%"]
    assert len(ratings.lines) == 6
    assert [line.get_label() for line in course.lines] == ["Bradley-Terry", "live Elo"]


def test_a_run_without_ratings_in_its_records_has_the_other_two_charts(tmp_path):
    run = make_run(tmp_path / "run")
    write_league_games(run, games())
    assert course_chart(RunReader(run))["data"] == []
    assert "not in the records" in [text.get_text() for text in draw_league(RunReader(run), games()).axes[2].texts]
    assert "rating-course" not in page(RunReader(run))


def test_the_page_has_charts_that_plotly_accepts(run):
    write_league_games(run, games())
    reader = RunReader(run)
    for chart in (payoff_chart(games()), ratings_chart(games()), course_chart(reader)):
        go.Figure(chart)  # refuses what plotly does not know
        json.dumps(chart, allow_nan=False)
    heat = payoff_chart(games())["data"][0]
    assert heat["z"][0] == [None, 0.7, None]
    assert heat["text"][0][1] == "learner against pilot: 6 won, 2 lost, 2 drawn"
    assert heat["text"][0][2] == "learner and old have never met"
    text = page(reader)
    for part in ('id="payoff"', 'id="ratings"', 'id="rating-course"', "pilot is 1000"):
        assert part in text
