"""Run folders whose every number is known, for tests of what reads them."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from headctl.entropy.status import HeadStatus
from headctl.run.config import RunConfig
from headctl.run.folder import create_run_folder
from headctl.run.records import MetricsWriter

HEADS = {
    "maneuver": {"law": "pi", "mode": "floor", "target": {"schedule": "linear", "start": 0.8, "end": 0.4},
                 "alpha_min": 1e-4, "alpha_max": 1.0},
    "weapon": {"law": "pi", "mode": "floor", "target": 0.6, "alpha_min": 1e-4, "alpha_max": 1.0},
    "params": {"law": "pi", "mode": "track", "target": 0.5, "alpha_min": -0.05, "alpha_max": 1.0},
}  # fmt: skip
STEPS_PER_ITERATION = 25_000

HeadCourse = Callable[[float], Mapping[str, float]]
"""Progress -> the head's numbers: at least fraction, target_fraction, alpha and status."""


def course(
    fraction: Callable[[float], float] | float,
    target: Callable[[float], float] | float,
    alpha: Callable[[float], float] | float = 0.02,
    status: Callable[[float], HeadStatus] | HeadStatus = HeadStatus.TRACKING,
    *,
    capacity: float = math.log(4),
    weight: float = 0.5,
) -> HeadCourse:
    """Returns the course of a discrete head from plain numbers or functions of progress."""

    def at(value: Any, progress: float) -> Any:
        return value(progress) if callable(value) else value

    def numbers(progress: float) -> dict[str, float]:
        now, wanted, temperature = at(fraction, progress), at(target, progress), at(alpha, progress)
        return {
            "alpha": temperature,
            "log_alpha": math.log(temperature) if temperature > 0 else math.nan,
            "entropy": now * capacity,
            "target_entropy": wanted * capacity,
            "capacity": capacity,
            "fraction": now,
            "target_fraction": wanted,
            "error": wanted - now,
            "status": at(status, progress),
            "weight": weight,
            "skipped": 0.0,
            "beyond_reach": 0.0,
            "bonus_to_policy_grad": 0.1,
        }

    return numbers


DEFAULT_COURSES: dict[str, HeadCourse] = {
    "maneuver": course(lambda p: 0.8 - 0.4 * p + 0.01, lambda p: 0.8 - 0.4 * p, 0.03, capacity=math.log(14)),
    "weapon": course(
        lambda p: 0.6 - 0.3 * p,
        0.6,
        lambda p: min(1.0, 0.05 + 2 * p),
        lambda p: HeadStatus.SATURATED if p > 0.5 else HeadStatus.TRACKING,
        weight=0.04,
    ),
    "params": course(0.5, 0.5, 0.01, capacity=2.5),
}


def record(
    iteration: int, total: int, courses: Mapping[str, HeadCourse], *, agent_steps: int | None = None
) -> dict[str, Any]:
    """Returns one full record."""
    progress = iteration / total
    steps = iteration * STEPS_PER_ITERATION if agent_steps is None else agent_steps
    values: dict[str, Any] = {"agent_steps": steps, "iteration": iteration, "progress": progress}
    for head, numbers in courses.items():
        values |= {f"heads/{head}/{key}": value for key, value in numbers(progress).items()}
    values |= {
        "ppo/policy_loss": -0.01, "ppo/value_loss": 0.2, "ppo/entropy_bonus": 0.03, "ppo/approx_kl": 0.01,
        "ppo/clip_fraction": 0.1, "ppo/explained_variance": 0.7 * progress + 0.2, "ppo/grad_norm": 0.4,
        "ppo/learning_rate": 3e-4 * (1 - progress), "ppo/updates": 24,
        "selfplay/pool_size": min(16, iteration // 10), "selfplay/games": 30,
        "selfplay/win_rate": 0.5 + 0.2 * math.sin(3 * progress), "selfplay/draw_rate": 0.6 - 0.5 * progress,
        "env/episode_length": 400 - 200 * progress, "env/kill_share": 0.8 * progress,
        "perf/agent_steps_per_s": 50_000.0, "perf/elapsed_s": steps / 50_000, "perf/rollout_s": 0.3,
        "perf/game_s": 0.1, "perf/policy_s": 0.2,
        "perf/update_s": 0.2, "perf/rss_mb": 700.0, "perf/wall_time": 1.7e9 + iteration,
    }  # fmt: skip
    if iteration == total:
        for pilot, (wins, losses, draws) in {"straight": (196, 1, 3), "pursuit": (90, 100, 10)}.items():
            values |= {f"eval/{pilot}/wins": wins, f"eval/{pilot}/losses": losses, f"eval/{pilot}/draws": draws}
            values |= {f"eval/{pilot}/games": 200, f"eval/{pilot}/win_rate": wins / (wins + losses)}
    return values


def make_run(
    run_dir: Path,
    courses: Mapping[str, HeadCourse] = DEFAULT_COURSES,
    *,
    iterations: int = 40,
    done: int | None = None,
    heads: Mapping[str, Any] = HEADS,
) -> Path:
    """Writes a run folder of ``iterations`` iterations, of which ``done`` are in the records."""
    config = RunConfig.model_validate({"total_steps": iterations * STEPS_PER_ITERATION, "heads": dict(heads)})
    create_run_folder(run_dir, config, ["headctl", "train", "synthetic.yaml"])
    with MetricsWriter(run_dir, list(courses), tensorboard=False) as writer:
        for iteration in range(1, (iterations if done is None else done) + 1):
            writer.write(record(iteration, iterations, courses))
    return run_dir
