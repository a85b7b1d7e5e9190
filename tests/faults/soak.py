"""A long training of the dogfight: memory stays flat and the speed stays what it was."""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from headctl.run.config import RunConfig, parse_config
from headctl.run.folder import create_run_folder
from headctl.run.memory import resident_mb
from headctl.run.records import MetricsWriter
from headctl.run.trainer import Trainer
from tests.faults.outcome import Outcome, drill
from tests.faults.pace import Pace, PaceMaker, keeping

_WARM_UP_S = 120.0
_EVERY_S = 3.0
"""Wall time between two samples, at least."""
_TRAINING_SHARE = 4.0
"""However slow the machine is, training gets so many times the time of measuring."""


class Sample(NamedTuple):
    """What a training looked like over a few seconds."""

    time_s: float
    """Since the beginning."""
    memory_mb: float
    steps_per_s: float
    """Agent-steps per second of processor time, with everything that the training does."""
    pace: Pace

    @property
    def slowness(self) -> float:
        """Time of the fixed iteration here, as a multiple of what it takes in the twin at this moment."""
        return self.pace.here / self.pace.twin

    @property
    def steps_per_iteration(self) -> float:
        """Agent-steps of the training in the time that the twin takes for the fixed iteration."""
        return self.steps_per_s * self.pace.twin


def soak_config() -> RunConfig:
    """Returns a training in which everything that a long run does happens every few seconds."""
    return parse_config(
        "",
        (
            "total_steps=1_000_000_000_000",
            "game={name: dogfight, num_games: 64, options: {time_limit_s: 20}}",
            "ppo={rollout_steps: 16, minibatch_size: 512, epochs: 2}",
            "selfplay={pool_size: 8, snapshot_every: 20_000}",
            "checkpoint={every: 50_000, keep: 3}",
            "evaluation={games: 8, every: 200_000}",
        ),
    )


def soak_drill(work: Path, *, minutes: float, growth: float = 0.01, slowdown: float = 0.05) -> Outcome:
    """Trains with checkpoints, snapshots, evaluations, metrics and TensorBoard for some minutes.

    The first two minutes (a third of a shorter soak) do not count. Memory: the mean of the last tenth of the time
    against that of the first tenth that counts. Speed: the processor time of one fixed iteration in this process, its
    record and a checkpoint included, as a multiple of that in a twin process without a history (see
    :mod:`tests.faults.pace`); its median in the second half against the first.

    Args:
        work: An empty folder.
        minutes: How long.
        growth: Largest growth of the memory, as a share.
        slowdown: Largest change of the speed, as a share.
    """
    with drill(f"{minutes:g} minutes of soak") as outcome:
        config, seconds = soak_config(), 60.0 * minutes
        warm_up = min(_WARM_UP_S, seconds / 3)
        with PaceMaker(config, work / "pace") as pace:
            trainer, samples = _train(config, work / "run", seconds, warm_up, pace)
            outcome.expect(pace.is_fixed, "the fixed iteration was not the same each time")
        judge(outcome, [sample for sample in samples if sample.time_s >= warm_up], growth, slowdown)
        outcome.figures.append(f"{trainer.agent_steps} agent-steps, {trainer.iteration} iterations")
    return outcome


def _train(
    config: RunConfig, run_dir: Path, seconds: float, warm_up: float, pace: PaceMaker
) -> tuple[Trainer, list[Sample]]:
    """Trains for so many seconds; longer where others keep the machine from it, until there is something to compare."""
    create_run_folder(run_dir, config)
    trainer = Trainer(config, run_dir)
    samples: list[Sample] = []
    started = time.perf_counter()
    with MetricsWriter(run_dir, list(trainer.controller.heads)) as writer:
        trainer.before_save = writer.sync
        keep = keeping(trainer, writer)
        steps, processor, due = 0, time.process_time(), _EVERY_S
        for record in trainer.iterations():
            writer.write(record)
            writer.write_choices(trainer.choices(), trainer.agent_steps)
            now = time.perf_counter() - started
            if now >= due:
                speed = (trainer.agent_steps - steps) / (time.process_time() - processor)
                samples.append(Sample(now, resident_mb(), speed, pace.measure(keep)))
                measured = time.perf_counter() - started
                due = measured + max(_EVERY_S, _TRAINING_SHARE * (measured - now))
                steps, processor = trainer.agent_steps, time.process_time()
            if now >= seconds and sum(sample.time_s >= warm_up for sample in samples) > 1:
                break
    return trainer, samples


def judge(outcome: Outcome, counted: Sequence[Sample], growth: float, slowdown: float) -> None:
    """Compares the beginning of the samples with their end; arguments as in :func:`soak_drill`."""
    tenth, half = max(1, len(counted) // 10), len(counted) // 2
    before, after = (statistics.fmean(each.memory_mb for each in part) for part in (counted[:tenth], counted[-tenth:]))
    grown = after / before - 1.0
    halves = counted[:half], counted[half:]
    slowness = [statistics.median(each.slowness for each in part) for part in halves]
    change = slowness[0] / slowness[1] - 1.0
    outcome.expect(grown < growth, f"memory grew by {grown:.2%}")
    outcome.expect(abs(change) < slowdown, f"the speed changed by {change:+.1%}")
    outcome.figures.append(
        f"memory: {before:.1f} MB after {counted[0].time_s:.0f} s, {after:.1f} MB at the end: {grown:+.2%}"
    )
    outcome.figures.append(
        f"speed: the fixed iteration takes {slowness[0]:.3f} times as long as in a process without a history in the "
        f"first half, {slowness[1]:.3f} times in the second: speed {change:+.1%}"
    )
    paced = [statistics.median(each.steps_per_iteration for each in part) for part in halves]
    plain = [statistics.median(each.steps_per_s for each in part) for part in halves]
    twin = [statistics.median(each.pace.twin for each in part) for part in halves]
    outcome.figures.append(
        f"for comparison, agent-steps per processor second of the training: {plain[0]:,.0f} and {plain[1]:,.0f} "
        f"({plain[1] / plain[0] - 1.0:+.1%}); the machine meanwhile {twin[0] / twin[1] - 1.0:+.1%}; "
        f"with the machine taken out {paced[1] / paced[0] - 1.0:+.1%}"
    )
