"""The league: what it knows, whom it draws, who enters and who leaves."""

import json
import math

import numpy as np
import pytest

from headctl.selfplay.league import OpponentPool, Pilot, Snapshot
from headctl.selfplay.opponents import LEARNER, League, LeagueOptions
from headctl.selfplay.results import MatchResult
from headctl.selfplay.samplers import Mixture, PrioritizedFictitious, Uniform
from tests.helpers.players import numpy_stream


def name(age):
    return f"{age:012d}"


def league_of(ages=(0, 10, 20), *, capacity=8, pilots=(), mixture=None, **options):
    league = League(
        OpponentPool(capacity, numpy_stream(0)),
        mixture or Mixture(((1.0, PrioritizedFictitious("hard", 1.0, 0.0)),)),
        LeagueOptions(**options),
        pilots=pilots,
    )
    for age in ages:
        league.admit(Snapshot(age, {}))
    return league


def test_the_learners_scores_are_smoothed_and_draws_count_half():
    league = league_of()
    league.record({name(0): MatchResult(3, 0, 0), name(10): MatchResult(0, 1, 2)}, 0)
    # (3 + 1) / (3 + 2), (0 + 1 + 1) / (3 + 2), nothing known.
    np.testing.assert_allclose(league.standings().win_rates, [0.8, 0.4, 0.5])
    np.testing.assert_allclose(league.probabilities(), np.array([0.2, 0.6, 0.5]) / 1.3)


def test_games_of_the_learner_fade_and_those_of_the_frozen_do_not():
    league = league_of(half_life=100)
    league.record({name(0): MatchResult(8, 0, 0)}, 0)
    league.record_pair(name(0), name(10), MatchResult(1, 2, 3))
    league.record({}, 100)
    assert league.payoff.wins[0, 1] == pytest.approx(4.0)
    assert league.payoff.result(name(0), name(10)) == MatchResult(1, 2, 3)


def test_opponents_who_have_left_are_passed_over():
    league = league_of()
    league.record({"gone": MatchResult(1, 0, 0)}, 0)
    league.record_pair("gone", name(0), MatchResult(1, 0, 0))
    assert league.payoff.games.sum() == 0


@pytest.mark.parametrize("result", [MatchResult(9, 0, 0), MatchResult(0, 9, 0), MatchResult(0, 0, 9)])
def test_all_won_all_lost_and_all_drawn_leave_every_number_finite(result):
    league = league_of(pilots=("ace",))
    for opponent in league.opponents:
        league.record({opponent.name: result}, 10)
    league.record_pair(name(0), "ace", result)
    league.refresh()
    metrics = league.metrics([name(0)], {}, 30)
    unknown = {key for key, value in metrics.items() if math.isnan(value)}
    assert unknown == set()
    assert league.probabilities().sum() == pytest.approx(1.0)


def test_an_empty_league_says_so():
    with pytest.raises(ValueError, match="the league is empty"):
        league_of(ages=()).draw(1)


def test_a_single_policy_is_drawn_into_every_slot():
    assert [opponent.name for opponent in league_of(ages=(0,)).draw(3)] == [name(0)] * 3


def test_steps_by_win_rate_and_by_both():
    by_steps = league_of(snapshot_every=100)
    assert [by_steps.is_due(*span) for span in ((0, 99), (99, 100), (100, 101), (150, 320))] == [
        False,
        True,
        False,
        True,
    ]
    for entry, after_long in (("win_rate", False), ("both", True)):
        league = league_of(entry=entry, snapshot_every=1000, entry_win_rate=0.7, entry_games=10)
        assert not league.is_due(0, 900)
        assert league.is_due(0, 1020) is after_long  # the last entry was at 20
        league.record({name(0): MatchResult(9, 0, 0)}, 0)
        assert not league.is_due(0, 900), "nine games are too few"
        league.record({name(10): MatchResult(0, 1, 0)}, 0)
        assert league.gate_score == pytest.approx(0.9)
        assert league.is_due(0, 900)
        league.record({name(0): MatchResult(0, 4, 0)}, 0)
        assert not league.is_due(0, 900)  # 9 of 14
        league.record({name(0): MatchResult(30, 0, 0)}, 0)
        league.admit(Snapshot(900, {}))
        assert not league.is_due(900, 950), "the gate begins anew with every entry"


def test_games_against_pilots_do_not_open_the_gate():
    league = league_of(entry="win_rate", entry_games=5, pilots=("ace",))
    league.record({"ace": MatchResult(50, 0, 0)}, 0)
    assert not league.is_due(0, 100)
    assert math.isnan(league.gate_score)


def test_anchors_and_the_nash_support_stay():
    league = league_of(ages=(0, 10, 20, 30), capacity=4, anchors=(5,))
    assert league.own_anchors == {name(10)}
    # 20 beats everybody: the whole Nash mixture lies on it.
    for other in (0, 10, 30):
        league.record_pair(name(20), name(other), MatchResult(50, 0, 0))
    league.refresh()
    assert league.nash[name(20)] > 0.99
    left = [league.admit(Snapshot(age, {})).agent_steps for age in (40, 50, 60)]
    assert left == [30, 40, 50]
    assert league.pool.names == [name(age) for age in (0, 10, 20, 60)]
    assert name(30) not in league.payoff


def test_an_exploiter_enters_beside_the_learner_and_leaves_its_gate_alone():
    league = league_of(entry="win_rate", entry_games=2)
    league.record({name(0): MatchResult(2, 0, 0)}, 0)
    league.admit(Snapshot(30, {}, "000000000030_main_exploiter_1"), of_learner=False)
    assert league.is_due(0, 30)
    league.admit(Snapshot(30, {}))
    assert league.pool.names[-2:] == ["000000000030_main_exploiter_1", name(30)]


def test_the_pairs_about_which_least_is_known_come_first_and_two_pilots_never():
    league = league_of(ages=(0, 10), pilots=("ace", "pursuit"))
    league.record_pair(name(0), name(10), MatchResult(1, 1, 0))
    league.record_pair(name(0), "ace", MatchResult(30, 30, 0))
    pairs = [{first.name, second.name} for first, second in league.uncertain_pairs(9)]
    assert pairs[-1] == {name(0), "ace"}
    assert pairs[-2] == {name(0), name(10)}
    assert {"ace", "pursuit"} not in pairs
    assert len(pairs) == 5
    assert len(league.uncertain_pairs(2)) == 2


def test_the_rating_is_anchored_at_the_first_pilot():
    league = league_of(pilots=("pursuit",))
    league.record_pair(name(20), "pursuit", MatchResult(30, 10, 0))
    league.record({name(20): MatchResult(30, 10, 0)}, 0)
    league.refresh()
    assert league.ratings["pursuit"].rating == pytest.approx(1000.0)
    assert league.ratings[LEARNER].rating > league.ratings[name(20)].rating > 1050


def test_a_league_goes_on_from_its_state():
    one = league_of(ages=(0, 10, 20, 30), pilots=("ace",), mixture=Mixture(((1.0, Uniform()),)))
    one.record({name(0): MatchResult(3, 1, 1), "ace": MatchResult(0, 2, 0)}, 50)
    one.record_pair(name(0), name(30), MatchResult(1, 2, 3))
    one.draw(3)
    plain = json.loads(json.dumps(one.state_dict()))
    other = league_of(ages=(), pilots=("ace",), mixture=Mixture(((1.0, Uniform()),)))
    other.pool.load_state_dict(one.pool.state_dict(), one.pool.snapshots)
    other.load_state_dict(plain)
    assert repr(other.state_dict()) == repr(one.state_dict())  # NaN equals itself there
    assert other.next_opponents == one.next_opponents
    assert [each.name for each in one.draw(7)] == [each.name for each in other.draw(7)]
    assert one.metrics([], {}, 40).keys() == other.metrics([], {}, 40).keys()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"next_opponents": ["fighter", ["fighter"]]}, r"league\.next_opponents: expected a list of names"),
        ({"next_opponents": "fighter"}, r"league\.next_opponents: expected a list of names"),
        ({"nash": {"fighter": 1.5}}, r"league\.nash"),
    ],
)
def test_a_state_with_something_else_in_the_place_of_names_is_refused(change, told):
    league = league_of()
    before = repr(league.state_dict())
    with pytest.raises(ValueError, match=told):
        league.load_state_dict(league.state_dict() | change)
    assert repr(league.state_dict()) == before


@pytest.mark.parametrize("changed", ["somebody", ["pursuit"], 3])
def test_a_rating_under_another_name_is_refused(changed):
    league = league_of(ages=(0, 10))
    league.record({name(0): MatchResult(3, 1, 1)}, 50)
    league.refresh()
    state = league.state_dict()
    state["ratings"][name(0)]["name"] = changed
    with pytest.raises((ValueError, TypeError), match="rating"):
        league.load_state_dict(state)


def test_a_state_of_other_players_is_refused_and_an_empty_one_begins_anew():
    league = league_of()
    state = league_of(ages=(0, 10)).state_dict()
    with pytest.raises(ValueError, match=r"league\.payoff\.names"):
        league.load_state_dict(state)
    league.record({name(0): MatchResult(3, 0, 0)}, 0)
    league.load_state_dict({})
    assert league.payoff.games.sum() == 0
    assert len(league.draw(2)) == 2


def test_metrics_say_who_is_met_and_how_old_they_are():
    league = league_of(pilots=("ace",))
    league.record({name(0): MatchResult(1, 3, 0)}, 0)
    metrics = league.metrics([name(0), name(20), "ace"], {name(0): MatchResult(1, 3, 0)}, 100)
    assert metrics["selfplay/opponent_age"] == (100 + 80) / 2
    assert metrics[f"selfplay/opponent/{name(0)}/games"] == 4
    assert metrics[f"selfplay/opponent/{name(0)}/win_rate"] == pytest.approx(2 / 6)
    assert metrics["selfplay/exploitability"] == pytest.approx(1 - 2 * 2 / 6)
    assert metrics["selfplay/league_win_rate"] == pytest.approx((2 / 6 + 0.5 + 0.5) / 3)
    assert metrics["selfplay/elo"] < 1000
    assert isinstance(league.opponents[-1], Pilot)
