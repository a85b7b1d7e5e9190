"""The three studies: holding targets, recovering from one out of reach, indifference to the unit of reward.

Experiments run side by side in batches, and batches in processes; the numbers do not depend on how many of either.
Seeds for choosing a setting and seeds for reporting are apart.
"""

import math
import multiprocessing
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, NamedTuple

import numpy as np
import torch

from headctl.run.lab import measures
from headctl.run.lab.contestants import CONTESTANTS, COURSES, HEADS, heads_of, unreachable_for_a_while
from headctl.run.lab.loop import Experiment, Trace, run
from headctl.run.lab.measures import Course, Jump

TUNING_SEEDS = tuple(range(5))
"""Seeds on which a setting may be chosen."""
REPORTED_SEEDS = tuple(range(100, 120))
"""Seeds of the tables that are quoted."""
RECOVERED = 0.1
"""A head has recovered where its fraction is within this of the target that it can reach again."""
REWARD_SCALES = (0.01, 1.0, 100.0)
ALL_COURSES = "all"
"""Label of the means over all courses."""
_BATCH = 30

Told = Callable[[int, int], None]
PerHead = dict[str, float]


class Plan(NamedTuple):
    """What to run.

    Attributes:
        contestants: Names of :data:`~headctl.run.lab.contestants.CONTESTANTS`.
        seeds: One run of everything per seed.
        iterations: Length of every run.
        processes: How many run at a time.
        told: Called with the number of finished experiments and of all.
    """

    contestants: Sequence[str]
    seeds: Sequence[int]
    iterations: int = 400
    processes: int = 2
    told: Told | None = None


class TrackingRow(NamedTuple):
    """How one contestant held its targets: means over courses and seeds, per head; NaN where it has no target."""

    contestant: str
    course: str
    """Name of a course, or :data:`ALL_COURSES`."""
    shortfall: PerHead
    rmse: PerHead
    settle_up: PerHead
    """Iterations after a jump upwards."""
    settle_down: PerHead
    """Iterations after a jump downwards."""
    overshoot: PerHead
    """After a jump upwards, as a share of it."""
    jitter: PerHead
    alpha: PerHead
    """Mean after the first tenth."""
    greedy_return: float
    return_difference: tuple[float, float]
    """Against the first contestant of the plan, seed by seed and course by course: mean and standard error."""


class RecoveryRow(NamedTuple):
    """How one contestant came back from a target out of reach: means over seeds, per discrete head."""

    contestant: str
    iterations: PerHead
    worst: PerHead
    """Of the slowest seed."""
    alpha_max: PerHead
    """The highest alpha that it came to, of all seeds."""


class ScaleRow(NamedTuple):
    """How much alpha moved when all rewards were multiplied: relative change of its mean, per head."""

    contestant: str
    scale: float
    normalized: bool
    """Whether the rewards were divided by their running root mean square before the learner saw them."""
    change: PerHead


def courses_of(trace: Trace) -> dict[str, Course]:
    """Returns the courses of a trace by head."""
    return {
        name: Course(trace.fraction[:, column], trace.target[:, column], trace.alpha[:, column])
        for column, name in enumerate(trace.heads)
    }


def track(plan: Plan, courses: Sequence[str] = tuple(COURSES)) -> list[TrackingRow]:
    """Lets every contestant hold every course; returns a row per contestant and course, and one over all courses."""
    keys = [(name, course, seed) for name in plan.contestants for course in courses for seed in plan.seeds]
    experiments = [Experiment(heads_of(CONTESTANTS[name], COURSES[course]), seed) for name, course, seed in keys]
    traces = dict(zip(keys, run_all(experiments, plan), strict=True))
    rows = []
    for name in plan.contestants:
        for label, chosen in (*((course, (course,)) for course in courses), (ALL_COURSES, tuple(courses))):
            own = [traces[name, course, seed] for course in chosen for seed in plan.seeds]
            first = [traces[plan.contestants[0], course, seed] for course in chosen for seed in plan.seeds]
            rows.append(_tracking_row(name, label, own, first))
    return rows


def _tracking_row(contestant: str, course: str, traces: Sequence[Trace], first: Sequence[Trace]) -> TrackingRow:
    per_head = {head: [courses_of(trace)[head] for trace in traces] for head in HEADS}
    one_sided = CONTESTANTS[contestant].options.get("mode") != "track"

    def each(measure: Callable[[Course], float]) -> PerHead:
        return {head: _mean(measure(course) for course in own) for head, own in per_head.items()}

    def at_jumps(measure: Callable[[Course, Jump], float], sign: int) -> PerHead:
        return {
            head: _mean(measure(c, jump) for c in own for jump in measures.jumps(c.target) if jump.size * sign > 0)
            for head, own in per_head.items()
        }

    def settle(course: Course, jump: Jump) -> float:
        return measures.settle_iterations(course, jump, one_sided=one_sided)

    differences = np.array([own.greedy_return - other.greedy_return for own, other in zip(traces, first, strict=True)])
    error = float(differences.std(ddof=1)) / math.sqrt(len(differences)) if len(differences) > 1 else math.nan
    return TrackingRow(
        contestant=contestant,
        course=course,
        shortfall=each(measures.mean_shortfall),
        rmse=each(measures.rmse),
        settle_up=at_jumps(settle, 1),
        settle_down=at_jumps(settle, -1),
        overshoot=at_jumps(measures.overshoot, 1),
        jitter=each(measures.alpha_jitter),
        alpha=each(lambda course: float(measures.after_start(course.alpha).mean())),
        greedy_return=_mean(trace.greedy_return for trace in traces),
        return_difference=(float(differences.mean()), error),
    )


def recover(plan: Plan) -> list[RecoveryRow]:
    """Asks the discrete heads for more than they can reach, for a while; returns how long they took to come back."""
    learned = [name for name in plan.contestants if CONTESTANTS[name].learns]
    keys = [(name, seed) for name in learned for seed in plan.seeds]
    experiments = [Experiment(unreachable_for_a_while(CONTESTANTS[name]), seed) for name, seed in keys]
    traces = dict(zip(keys, run_all(experiments, plan), strict=True))
    rows = []
    for name in learned:
        courses = [courses_of(traces[name, seed]) for seed in plan.seeds]
        times = {head: [_recovery(course[head]) for course in courses] for head in ("maneuver", "weapon")}
        highest = {head: max(float(course[head].alpha.max()) for course in courses) for head in times}
        rows.append(
            RecoveryRow(
                name,
                {head: _mean(of) for head, of in times.items()},
                {head: max(of) for head, of in times.items()},
                highest,
            )
        )
    return rows


def _recovery(course: Course) -> float:
    back = [jump for jump in measures.jumps(course.target) if jump.size < 0]
    return measures.recovery_iterations(course, back[-1], RECOVERED)


def scale(plan: Plan, contestant: str = "pi floor") -> list[ScaleRow]:
    """Multiplies all rewards; returns what became of alpha on a constant target, with rewards normalised and as is."""
    keys = [(norm, factor, seed) for norm in (True, False) for factor in REWARD_SCALES for seed in plan.seeds]
    heads = heads_of(CONTESTANTS[contestant], COURSES["const"])
    experiments = [Experiment(heads, seed, factor, norm) for norm, factor, seed in keys]
    traces = dict(zip(keys, run_all(experiments, plan), strict=True))

    def alpha(norm: bool, factor: float, head: str) -> float:  # noqa: FBT001 - a key of the table
        return _mean(
            float(measures.after_start(courses_of(traces[norm, factor, seed])[head].alpha).mean())
            for seed in plan.seeds
        )

    return [
        ScaleRow(
            contestant, factor, norm, {head: alpha(norm, factor, head) / alpha(norm, 1.0, head) - 1.0 for head in HEADS}
        )
        for norm in (True, False)
        for factor in REWARD_SCALES
    ]


def as_json(rows: Sequence[TrackingRow | RecoveryRow | ScaleRow]) -> list[dict[str, Any]]:
    """Returns rows as plain data, ``None`` for NaN."""
    return [_plain(row._asdict()) for row in rows]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _mean(values: Iterable[float]) -> float:
    """Returns the mean, NaN of nothing."""
    numbers = list(values)
    return float(np.mean(numbers)) if numbers else math.nan


def run_all(experiments: Sequence[Experiment], plan: Plan) -> list[Trace]:
    """Runs experiments in batches, the batches in processes; returns their traces in order."""
    pieces = max(1, math.ceil(len(experiments) / _BATCH))
    batches = [piece.tolist() for piece in np.array_split(np.arange(len(experiments)), pieces)]
    traces: list[Trace | None] = [None] * len(experiments)
    finished = 0

    def enter(batch: Sequence[int], found: Sequence[Trace]) -> None:
        nonlocal finished
        for place, trace in zip(batch, found, strict=True):
            traces[place] = trace
        finished += len(batch)
        if plan.told is not None:
            plan.told(finished, len(experiments))

    if plan.processes == 1:
        for batch in batches:
            enter(batch, run([experiments[place] for place in batch], plan.iterations))
    else:
        # Not a fork: torch's threads do not survive one.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(plan.processes, context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            futures = {
                pool.submit(run, [experiments[place] for place in batch], plan.iterations): batch for batch in batches
            }
            for future in as_completed(futures):
                enter(futures[future], future.result())
    return [trace for trace in traces if trace is not None]
