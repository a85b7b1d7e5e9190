"""What the soak calls a slowdown: ours, not that of a neighbour on the machine or of another game."""

import pytest

from tests.faults.outcome import Outcome
from tests.faults.pace import FixedIteration, Pace
from tests.faults.runs import config_of
from tests.faults.soak import Sample, judge


def problems(course):
    """Judges forty samples, given as memory, agent-steps per second, and seconds here and in the twin."""
    outcome = Outcome("soak")
    counted = [Sample(120.0 + 3 * number, *course(number / 40)) for number in range(40)]
    judge(outcome, counted, 0.01, 0.05)
    return outcome.problems


def sample(memory=500.0, speed=20_000.0, here=0.075, twin=0.075):
    return memory, speed, Pace(here, twin)


@pytest.mark.parametrize(
    ("course", "named"),
    [
        (lambda _: sample(), None),
        # A neighbour comes in the second half: everything takes half as long again, here and in the twin.
        (lambda done: sample(speed=13_000, here=0.1125, twin=0.1125) if done >= 0.5 else sample(), None),
        # The agent has learned a game that takes longer; the same work takes as long as before.
        (lambda done: sample(speed=20_000 * (1 - 0.3 * done)), None),
        # The same work takes 8 % longer by and by, and only here.
        (lambda done: sample(here=0.075 * (1 + 0.16 * done)), "speed changed by -7"),
        # The same, and a neighbour goes away meanwhile, which hides it from plain figures.
        (lambda done: sample(here=(0.1 - 0.02 * done) * (1 + 0.16 * done), twin=0.1 - 0.02 * done), "changed by -7"),
        (lambda done: sample(memory=500 + 10 * done), "memory grew by 1."),
    ],
)
def test_only_what_is_ours_is_a_problem(course, named):
    found = problems(course)
    if named is None:
        assert found == []
    else:
        assert len(found) == 1
        assert named in found[0]


def test_the_fixed_iteration_is_the_same_each_time(tmp_path):
    fixed = FixedIteration(config_of("total_steps=1_000_000", "selfplay.snapshot_every=900_000"), tmp_path)
    kept = []
    for _ in range(3):
        fixed.play(kept.append)
    for record in kept:
        same = {key: repr(value) for key, value in record.items() if not key.startswith("perf/")}
        assert same == {key: repr(fixed.record[key]) for key in same}
    assert len(kept) == 3
