"""Stages and performance: targets that have a state."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headctl import MultiHeadEntropyController
from headctl.entropy.performance import Competence, Performance
from headctl.entropy.schedule_parser import parse_schedule
from headctl.entropy.schedules import Clock, ScheduleError


def test_steps_and_pieces():
    steps = parse_schedule({"schedule": "steps", "values": [0.8, 0.5, 0.2], "at": [0.3, 0.6]})
    assert [steps.value(Clock(progress=p)) for p in (0.0, 0.29, 0.3, 0.59, 0.6, 1.0)] == [0.8, 0.8, 0.5, 0.5, 0.2, 0.2]
    pieces = parse_schedule({"schedule": "piecewise", "points": [[0.2, 0.8], [0.4, 0.4], [0.8, 0.6]]})
    assert [pieces.value(Clock(progress=p)) for p in (0.0, 0.2, 0.3, 0.4, 0.6, 1.0)] == pytest.approx(
        [0.8, 0.8, 0.6, 0.4, 0.5, 0.6]
    )
    by_steps = parse_schedule({"schedule": "steps", "values": [0.8, 0.2], "at": [1000], "clock": "agent_steps"})
    assert by_steps.value(Clock(agent_steps=999.0)) == 0.8
    assert by_steps.value(Clock(agent_steps=1000.0)) == 0.2


def test_exponential():
    schedule = parse_schedule({"schedule": "exponential", "start": 0.8, "end": 0.2})
    assert schedule.value(Clock(progress=0.5)) == pytest.approx(0.4)


@pytest.mark.parametrize(
    "value",
    [
        {"schedule": "steps", "values": [0.8, 0.5], "at": [0.3, 0.6]},
        {"schedule": "steps", "values": [0.8, 0.5], "at": [0.0]},
        {"schedule": "steps", "values": 0.8, "at": [0.3]},
        {"schedule": "piecewise", "points": [[0.5, 0.8], [0.2, 0.4]]},
        {"schedule": "piecewise", "points": [[0.5, 0.8, 3]]},
        {"schedule": "piecewise", "points": []},
        {"schedule": "exponential", "start": 0.8, "end": 0.0},
        {"schedule": "stages", "stages": {}},
        {"schedule": "stages", "stages": {"a": 0.5, "b": 0.2}, "at": [0.3, 0.6]},
        {"schedule": "stages", "stages": [0.5]},
        {"schedule": "performance", "start": 0.8, "end": 0.2, "rule": "levle"},
        {"schedule": "performance", "start": 0.8, "end": 0.2, "low": 0.9, "high": 0.5},
        {"schedule": "performance", "start": 0.8, "end": 0.2, "patience": 0},
        {"schedule": "performance", "start": 0.8, "end": 0.2, "reheat": "maybe"},
    ],
)
def test_what_is_no_schedule_is_refused(value):
    with pytest.raises(ScheduleError):
        parse_schedule(value)


STAGED = {
    "a": {"target": {"schedule": "stages", "stages": {"merge": 0.8, "fight": 0.5, "finish": 0.2}}, "choices": 4},
    "b": {"target": {"schedule": "stages", "stages": {"merge": 0.6, "fight": 0.1}, "at": [0.5]}, "choices": 4},
}


def test_stages_are_entered_by_hand():
    controller = MultiHeadEntropyController(STAGED)
    assert controller.targets() == {"a": 0.8, "b": 0.6}
    controller.enter_stage("fight")
    assert controller.targets() == {"a": 0.5, "b": 0.1}
    controller.enter_stage("finish")  # b does not know it and goes by progress again
    assert controller.targets() == {"a": 0.2, "b": 0.6}
    controller.step(torch.ones(2, 2), progress=0.7)
    assert controller.targets() == {"a": 0.2, "b": 0.1}
    with pytest.raises(ValueError, match="Did you mean 'merge'"):
        controller.enter_stage("merg")
    with pytest.raises(ValueError, match="unknown stage"):
        MultiHeadEntropyController({"a": 0.5}).enter_stage("merge")


def test_level_follows_the_metric_by_hand():
    schedule = Performance(start=0.8, end=0.2, low=0.5, high=0.9, rate=0.5)
    state = Competence()
    for report, share in ((0.7, 0.25), (0.9, 0.625), (0.2, 0.625), (math.nan, 0.625)):
        state = schedule.reported(state, report)
        assert state.share == pytest.approx(share)
    assert schedule.value(Clock(competence=state.share)) == pytest.approx(0.8 - 0.6 * 0.625)
    warm = Performance(start=0.8, end=0.2, low=0.5, high=0.9, rate=0.5, reheat=True, keep=0.4)
    assert warm.reported(state, 0.5).share == pytest.approx(0.3125)
    assert warm.opponents_changed(state).share == pytest.approx(0.25)
    assert schedule.opponents_changed(state).share == state.share


def test_plateau_lowers_the_target_when_nothing_improves_by_hand():
    schedule = Performance(start=0.8, end=0.2, rule="plateau", patience=3, rate=0.25, threshold=0.01, reheat=True)
    state = Competence()
    shares = []
    for report in (0.5, 0.6, 0.6, 0.605, 0.6, 0.6, 0.6, 0.6, 0.4):
        state = schedule.reported(state, report)
        shares.append(state.share)
    assert shares == [0, 0, 0, 0, 0.25, 0.25, 0.25, 0.5, 0.25]


@given(st.lists(st.floats(0, 1), max_size=60), st.sampled_from(["level", "plateau"]), st.booleans())
def test_competence_stays_in_its_range_and_only_reheating_lowers_it(reports, rule, reheat):
    schedule = Performance(start=0.8, end=0.2, rule=rule, patience=2, reheat=reheat)
    state, before = Competence(), 0.0
    for report in reports:
        state = schedule.reported(state, report)
        assert 0.0 <= state.share <= 1.0
        assert reheat or state.share >= before
        before = state.share


def test_reports_move_the_target_and_survive_a_resume():
    heads = {
        "a": {"target": {"schedule": "performance", "start": 0.8, "end": 0.2, "rate": 1.0}, "choices": 4},
        "b": {"target": 0.5, "choices": 4},
    }
    controller = MultiHeadEntropyController(heads)
    controller.report(win_rate=0.7, other=3.0)
    assert controller.targets() == pytest.approx({"a": 0.5, "b": 0.5})
    controller.step(torch.full((2, 2), 0.5 * math.log(4)))
    assert controller.metrics()["heads/a/target_fraction"] == pytest.approx(0.5)
    resumed = MultiHeadEntropyController(heads)
    resumed.load_state_dict(controller.state_dict())
    assert resumed.targets() == controller.targets()
    controller.opponents_changed()
    assert controller.targets()["a"] == pytest.approx(0.5)
