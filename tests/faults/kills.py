"""SIGKILL at random moments of a league run, each followed by a resume; the end must be that of the run never killed.

The processes are forked from one that has imported everything and trained nothing, so that an attempt costs its
training and not the start of an interpreter. Half of the kills come from outside after a random time, the other half
strike at a random file operation: in the middle of a write, before a flush, between a checkpoint and its manifest.
"""

import contextlib
import importlib
import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headctl.run.checkpoint import CheckpointError, newest_usable
from headctl.run.config import RunConfig
from tests.faults.outcome import Outcome, drill
from tests.faults.runs import begin_and_train, config_of, differing_runs

_SCHEDULING = (
    0.6  # share of the length of the whole run that the timed attempts have together, so that it outlives them
)


# What a training would import in every child anew: torch's compiler comes with its optimisers, the rest with the game.
_IMPORTED_ONCE = ("torch._dynamo", "headctl.selfplay.parallel_env", "tests.helpers.games", "matplotlib.pyplot")


def in_child(work: Callable[[], int]) -> int:
    """Forks a process that works and ends with the code that the work returns; returns its id."""
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        code = work()
    except KeyboardInterrupt:
        code = 130
    except BaseException as error:  # noqa: BLE001 - a child must never go on as a second parent
        sys.stderr.write("".join(traceback.format_exception_only(error)))
    finally:
        os._exit(code)


def wait_for(child: int) -> int:
    """Returns the exit code of a child; negative where a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def newest_steps(run_dir: Path) -> int | None:
    """Returns the agent-steps of the newest checkpoint that is whole."""
    try:
        return newest_usable(run_dir, lambda checkpoint: checkpoint.agent_steps, lambda _: None)
    except CheckpointError:
        return None


def _die_at_operation(number: int) -> None:
    """Lets this process kill itself, for real, at its nth file operation; a write gets half of its data out first."""
    left = number

    def counted(function: Callable[..., Any], *, write: bool = False) -> Callable[..., Any]:
        def operation(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                if write:
                    function(args[0], args[1][: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return operation

    os.fsync, os.write = counted(os.fsync), counted(os.write, write=True)
    Path.replace, Path.unlink = counted(Path.replace), counted(Path.unlink)  # type: ignore[method-assign]


def kill_drill(work: Path, *, kills: int, total_steps: int, seed: int = 1) -> Outcome:
    """Runs the drill.

    Args:
        work: An empty folder.
        kills: How many.
        total_steps: Length of the run in agent-steps.
        seed: Of the moments.
    """
    for module in _IMPORTED_ONCE:
        importlib.import_module(module)
    config = config_of(f"total_steps={total_steps}")
    with drill(f"{kills} SIGKILLs over a league run") as outcome:
        whole, killed = work / "whole", work / "killed"
        started = time.perf_counter()
        code = wait_for(in_child(lambda: begin_and_train(config, whole)[0]))
        length_s = time.perf_counter() - started
        outcome.expect(code == 0, f"the run that was never killed ended with {code}")
        lost = _attempts(config, killed, outcome, kills=kills, longest_s=2 * _SCHEDULING * length_s / kills, seed=seed)
        code = wait_for(in_child(lambda: begin_and_train(config, killed, resume=(killed / "config.yaml").exists())[0]))
        outcome.expect(code == 0, f"the last resume ended with {code}")
        if code == 0:
            differing = differing_runs(whole, killed)
            outcome.expect(not differing, f"the end differs from that of the run never killed: {differing[:8]}")
            outcome.figures.append("end result: parameters, states, records, opponents and matches bit-equal")
        outcome.figures.append(f"most agent-steps repeated after a kill: {max(lost, default=0)}, checkpoints every 120")
        outcome.figures.append(f"the run never killed took {length_s:.1f} s, {total_steps} agent-steps")
    return outcome


def _attempts(
    config: RunConfig, run_dir: Path, outcome: Outcome, *, kills: int, longest_s: float, seed: int
) -> list[int]:
    """Kills one attempt after the other; returns how many agent-steps each of them lost."""
    moments = random.Random(seed)  # noqa: S311 - a drill, no secret
    lost, at_operation, without_folder, resumed = [], 0, 0, 0
    for number in range(kills):
        precise = number % 2 == 1
        operation = moments.randint(1, 90)
        before, sittings = newest_steps(run_dir), len(_sittings(run_dir))

        def work(precise: bool = precise, operation: int = operation) -> int:
            if precise:
                _die_at_operation(operation)
            return begin_and_train(config, run_dir, resume=(run_dir / "config.yaml").exists())[0]

        child = in_child(work)
        if not precise:
            if number % 6:  # a third of these strikes at any moment since the start, the others while it trains
                _wait_until(lambda before=sittings: len(_sittings(run_dir)) > before)
            time.sleep(moments.uniform(0.0, longest_s))
            os.kill(child, signal.SIGKILL)
        code = wait_for(child)
        outcome.expect(code == -signal.SIGKILL, f"attempt {number + 1} ended with {code} instead of being killed")
        at_operation += precise
        if not (run_dir / "config.yaml").exists():
            without_folder += 1
            continue
        for resumed_at in _sittings(run_dir)[sittings:]:
            resumed += 1
            outcome.expect(
                resumed_at == (before or 0),
                f"attempt {number + 1} went on from {resumed_at}, there was a checkpoint of {before}",
            )
        now, reached = newest_steps(run_dir) or 0, _last_record(run_dir)
        outcome.expect(now >= (before or 0), f"attempt {number + 1}: from checkpoint {before} back to {now}")
        lost.append(max(0, reached - now))
    outcome.figures.append(
        f"kills: {kills - at_operation} at random times, {at_operation} at random file operations; {without_folder} "
        f"before there was a run folder, {resumed} after the training had begun or gone on"
    )
    return lost


def _wait_until(holds: Callable[[], bool], timeout_s: float = 60.0) -> None:
    ends = time.monotonic() + timeout_s
    while not holds() and time.monotonic() < ends:
        time.sleep(0.005)


def _sittings(run_dir: Path) -> list[int]:
    """Returns from where every sitting went on."""
    diary = run_dir / "sittings.jsonl"
    lines = diary.read_bytes().split(b"\n") if diary.exists() else []
    found = []
    for line in lines:
        with contextlib.suppress(ValueError):  # a partial line, cut off by a kill
            found.append(int(json.loads(line)["agent_steps"]))
    return found


def _last_record(run_dir: Path) -> int:
    metrics = run_dir / "metrics.jsonl"
    lines = metrics.read_bytes().split(b"\n")[:-1] if metrics.exists() else []
    return int(json.loads(lines[-1])["agent_steps"]) if lines else 0
