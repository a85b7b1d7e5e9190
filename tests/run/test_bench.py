"""The benchmarks: what they measure, not how fast it is."""

import time

import pytest

from headctl.run.bench import Stopwatch, bench_controller
from headctl.run.config import parse_config


class Worker:
    def work(self, seconds: float, *, fail: bool = False) -> float:
        time.sleep(seconds)
        if fail:
            raise ValueError("failed")
        return seconds

    def idle(self) -> None:
        time.sleep(0.05)


def test_a_stopwatch_counts_the_named_methods_and_nothing_else():
    worker, other = Worker(), Worker()
    watch = Stopwatch(worker, ("work",))
    assert worker.work(0.02) == 0.02
    with pytest.raises(ValueError, match="failed"):
        worker.work(0.02, fail=True)
    counted = watch.elapsed_s
    assert counted >= 0.04
    worker.idle()
    other.work(0.02)
    assert watch.elapsed_s == counted


def test_the_controller_is_measured_by_its_three_calls():
    figures = bench_controller(parse_config("", []), heads=2, rows=16)
    assert [figure.name for figure in figures] == [
        "controller.bonus, [16, 2]",
        "controller.observe, [16, 2]",
        "controller.step, 2",
    ]
    assert all(value > 0.0 and figure.unit == "us" for figure in figures for value in figure.values)
