"""Targets over time."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headctl.entropy.schedule_parser import parse_schedule
from headctl.entropy.schedules import Clock, Schedule, ScheduleError


def at(schedule: Schedule, progress: float) -> float:
    return schedule.value(Clock(progress=progress))


def test_linear():
    schedule = parse_schedule({"schedule": "linear", "start": 0.8, "end": 0.3, "until": 0.5})
    assert [at(schedule, p) for p in (0.0, 0.1, 0.25, 0.5, 1.0)] == pytest.approx([0.8, 0.7, 0.55, 0.3, 0.3])


def test_linear_waits_for_its_beginning():
    schedule = parse_schedule({"schedule": "linear", "start": 0.2, "end": 0.6, "after": 0.5, "until": 0.75})
    assert [at(schedule, p) for p in (0.0, 0.5, 0.625, 0.75, 0.9)] == pytest.approx([0.2, 0.2, 0.4, 0.6, 0.6])


def test_cosine():
    schedule = parse_schedule({"schedule": "cosine", "start": 0.9, "end": 0.1})
    quarter = 0.1 + 0.8 * 0.5 * (1 + math.cos(math.pi / 4))
    assert [at(schedule, p) for p in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([0.9, quarter, 0.5, 0.1])


def test_the_clock_is_explicit():
    schedule = parse_schedule({"schedule": "linear", "start": 1.0, "end": 0.0, "until": 2e6, "clock": "agent_steps"})
    assert schedule.value(Clock(progress=0.9, agent_steps=500_000)) == pytest.approx(0.75)
    schedule = parse_schedule({"schedule": "linear", "start": 1.0, "end": 0.0, "until": 10, "clock": "iterations"})
    assert schedule.value(Clock(progress=0.9, agent_steps=500_000, iterations=2)) == pytest.approx(0.8)


ramps = st.fixed_dictionaries(
    {
        "schedule": st.sampled_from(["linear", "cosine"]),
        "start": st.floats(0.0, 1.0),
        "end": st.floats(0.0, 1.0),
        "after": st.floats(0.0, 0.4),
        "until": st.floats(0.5, 1.0),
    }
)


@given(ramps, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_ramps_are_monotone_and_stay_in_their_range(value, one, two):
    schedule = parse_schedule(value)
    low, high = schedule.range()
    early, late = (at(schedule, p) for p in sorted((one, two)))
    assert low - 1e-12 <= early <= high + 1e-12
    assert (late - early) * (value["end"] - value["start"]) >= -1e-12
    assert at(schedule, 0.0) == value["start"]
    assert at(schedule, 1.0) == value["end"]


@given(ramps)
def test_the_plain_form_reads_back_to_the_same(value):
    schedule = parse_schedule(value)
    assert parse_schedule(schedule.to_value()) == schedule


@pytest.mark.parametrize("value", [{"schedule": "linear", "start": 1, "end": 0, "clock": "hours"}, [0.1], None, {}])
def test_what_is_no_schedule_is_refused(value):
    with pytest.raises(ScheduleError):
        parse_schedule(value)
