"""A long training of the dogfight: memory stays flat and the speed stays what it was."""

import statistics
import time
from pathlib import Path

from headctl.run.config import RunConfig, parse_config
from headctl.run.folder import create_run_folder
from headctl.run.memory import resident_mb
from headctl.run.records import MetricsWriter
from headctl.run.trainer import Trainer
from tests.faults.outcome import Outcome, drill

_WARM_UP_S = 120.0


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
    against that of the first tenth that counts. Speed: agent-steps per second of processor time of this process, which
    neighbours on the machine disturb less than the wall clock; its median in the second half against the first.

    Args:
        work: An empty folder.
        minutes: How long.
        growth: Largest growth of the memory, as a share.
        slowdown: Largest change of the speed, as a share.
    """
    with drill(f"{minutes:g} minutes of soak") as outcome:
        config, seconds = soak_config(), 60.0 * minutes
        create_run_folder(work, config)
        trainer = Trainer(config, work)
        samples: list[tuple[float, float, float]] = []  # time, memory, speed
        started = time.perf_counter()
        with MetricsWriter(work, list(trainer.controller.heads)) as writer:
            trainer.before_save = writer.sync
            steps, processor = 0, time.process_time()
            for record in trainer.iterations():
                writer.write(record)
                now = time.perf_counter() - started
                used = time.process_time() - processor
                if used >= 1.0:
                    samples.append((now, resident_mb(), (trainer.agent_steps - steps) / used))
                    steps, processor = trainer.agent_steps, time.process_time()
                if now >= seconds:
                    break
        warm_up = min(_WARM_UP_S, seconds / 3)
        _judge(outcome, [sample for sample in samples if sample[0] >= warm_up], growth, slowdown)
        outcome.figures.append(f"{trainer.agent_steps} agent-steps, {trainer.iteration} iterations")
    return outcome


def _judge(outcome: Outcome, counted: list[tuple[float, float, float]], growth: float, slowdown: float) -> None:
    tenth, half = max(1, len(counted) // 10), len(counted) // 2
    before, after = (statistics.fmean(memory for _, memory, _ in part) for part in (counted[:tenth], counted[-tenth:]))
    grown = after / before - 1.0
    speeds = [statistics.median(speed for _, _, speed in part) for part in (counted[:half], counted[half:])]
    change = speeds[1] / speeds[0] - 1.0
    outcome.expect(grown < growth, f"memory grew by {grown:.2%}")
    outcome.expect(abs(change) < slowdown, f"the speed changed by {change:+.1%}")
    outcome.figures.append(
        f"memory: {before:.1f} MB after {counted[0][0]:.0f} s, {after:.1f} MB at the end: {grown:+.2%}"
    )
    outcome.figures.append(
        f"speed: {speeds[0]:,.0f} agent-steps per processor second in the first half, {speeds[1]:,.0f} in the second: "
        f"{change:+.1%}"
    )
