"""``python -m tests.faults``: every drill once, with its figures; exit code 1 if anything did not hold.

Without names, the drills run in three processes side by side, and the soak alone at the end.
"""

import argparse
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from tests.faults.configurations import configuration_drill
from tests.faults.damage import damage_drill
from tests.faults.kills import kill_drill
from tests.faults.numbers import number_drill
from tests.faults.outcome import Outcome
from tests.faults.soak import soak_drill
from tests.faults.writes import write_drill

_SIDE_BY_SIDE = (("kills", "numbers", "writes"), ("damage",), ("configurations",))
_LIMIT_S = 600.0
"""Time for each of the two that can stop early; with the soak of four minutes the whole stays below fifteen."""


def main() -> int:
    """Runs the drills that are named, all of them by default."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "drills", nargs="*", metavar="DRILL", help="kills, numbers, writes, damage, configurations, soak"
    )
    parser.add_argument("--quick", action="store_true", help="the short form that the tests run")
    parser.add_argument("--soak-minutes", type=float, default=4.0, help="length of the soak (default 4)")
    chosen = parser.parse_args()
    drills = _drills(quick=chosen.quick, soak_minutes=chosen.soak_minutes)
    unknown = set(chosen.drills) - drills.keys()
    if unknown:
        parser.error(f"unknown drill: {', '.join(sorted(unknown))}. Allowed: {', '.join(drills)}")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    started = time.perf_counter()
    failed = 0
    if not chosen.drills:
        failed += _side_by_side(quick=chosen.quick)
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen.drills or ["soak"]:
            outcome = drills[name](Path(folder) / name)
            failed += bool(outcome.problems)
            sys.stdout.write(outcome.text() + "\n")
            sys.stdout.flush()
    if not chosen.drills:
        verdict = "every drill held" if not failed else "something did not hold"
        sys.stdout.write(f"{verdict}; {(time.perf_counter() - started) / 60:.1f} minutes\n")
    return 1 if failed else 0


def _drills(*, quick: bool, soak_minutes: float) -> dict[str, Callable[[Path], Outcome]]:
    if quick:
        return {
            "kills": lambda work: kill_drill(work, kills=8, total_steps=4_000),
            "numbers": number_drill,
            "writes": lambda work: write_drill(work, reasons=1),
            "damage": lambda work: damage_drill(work, cases=110),
            "configurations": lambda work: configuration_drill(work, cases=500, runs=10),
            # In a few seconds neither memory nor speed has settled.
            "soak": lambda work: soak_drill(work, minutes=0.3, growth=0.05, slowdown=0.5),
        }
    return {
        "kills": lambda work: kill_drill(work, kills=60, total_steps=20_000),
        "numbers": number_drill,
        "writes": write_drill,
        "damage": lambda work: damage_drill(work, cases=2_000, seconds=_LIMIT_S),
        "configurations": lambda work: configuration_drill(work, cases=10_000, runs=200, seconds=_LIMIT_S),
        "soak": lambda work: soak_drill(work, minutes=soak_minutes),
    }


def _side_by_side(*, quick: bool) -> int:
    """Runs the groups of drills at once, each in a process of its own; returns how many processes failed."""
    flags = ["--quick"] if quick else []
    command = [sys.executable, "-m", "tests.faults", *flags]
    processes = [subprocess.Popen([*command, *names]) for names in _SIDE_BY_SIDE]
    return sum(process.wait() != 0 for process in processes)


if __name__ == "__main__":
    sys.exit(main())
