"""The benchmarks: what they measure, not how fast it is."""

import time

import pytest

from headctl.run.bench import Stopwatch, bench_controller, bench_opponents, bench_train
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


def test_opponents_are_measured_by_their_number_and_by_that_of_the_games():
    config = parse_config("", ["game.name=matrix", "policy.hidden=[4]"])
    figures = bench_opponents(config, (1, 2), games=(4, 8), calls=4)
    assert [figure.name for figure in figures] == [
        "1 opponents, 4 games: one batched call",
        "1 opponents, 4 games: one after the other",
        "2 opponents, 4 games: one batched call",
        "2 opponents, 4 games: one after the other",
        "1 opponents, 8 games: one batched call",
        "2 opponents, 8 games: one batched call",
    ]
    assert all(value > 0.0 for figure in figures for value in figure.values)


def test_the_controller_and_the_bonus_have_their_shares_of_the_training():
    small = ["game.num_games=8", "ppo.rollout_steps=16", "ppo.minibatch_size=128", "policy.hidden=[4]"]
    config = parse_config("", ["game.name=matrix", *small])
    figures = {figure.name: figure for figure in bench_train(config, iterations=1)}
    control, bonus = (figures[f"share of time in {part}"] for part in ("observe and step", "the weights of the bonus"))
    assert all(0.0 < share < 100.0 for share in (*control.values, *bonus.values))
    assert control.median > bonus.median
