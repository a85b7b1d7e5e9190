"""``python -m tests.faults``: every drill once, with its figures; exit code 1 if anything did not hold."""

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tests.faults.configurations import configuration_drill
from tests.faults.damage import damage_drill
from tests.faults.kills import kill_drill
from tests.faults.numbers import number_drill
from tests.faults.soak import soak_drill
from tests.faults.writes import write_drill

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.outcome import Outcome


def main() -> int:
    """Runs the drills that are named, all of them by default."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("drills", nargs="*", metavar="DRILL")
    parser.add_argument("--quick", action="store_true", help="the short form that the tests run")
    parser.add_argument("--soak-minutes", type=float, default=4.0, help="length of the soak (default 4)")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    quick = chosen.quick
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        # The kills first: their processes are forked, which must happen before torch has trained in this one.
        drills: dict[str, Callable[[], Outcome]] = {
            "kills": lambda: kill_drill(
                work / "kills", kills=8 if quick else 60, total_steps=4_000 if quick else 30_000
            ),
            "numbers": lambda: number_drill(work / "numbers"),
            "writes": lambda: write_drill(work / "writes", reasons=1 if quick else 4),
            "damage": lambda: damage_drill(work / "damage", cases=110 if quick else 2_000),
            "configurations": lambda: configuration_drill(
                work / "configurations", cases=500 if quick else 10_000, runs=10 if quick else 200
            ),
            "soak": lambda: soak_drill(work / "soak", **_soak(chosen.soak_minutes, quick=quick)),
        }
        unknown = set(chosen.drills) - drills.keys()
        if unknown:
            parser.error(f"unknown drill: {', '.join(sorted(unknown))}. Allowed: {', '.join(drills)}")
        failed, started = 0, time.perf_counter()
        for name, run in drills.items():
            if chosen.drills and name not in chosen.drills:
                continue
            outcome = run()
            failed += bool(outcome.problems)
            sys.stdout.write(outcome.text() + "\n")
            sys.stdout.flush()
        sys.stdout.write(f"{failed} drills failed, {(time.perf_counter() - started) / 60:.1f} minutes\n")
    return 1 if failed else 0


def _soak(minutes: float, *, quick: bool) -> dict[str, float]:
    """Returns length and bounds: in a few seconds neither memory nor speed has settled."""
    return {"minutes": 0.3, "growth": 0.05, "slowdown": 0.5} if quick else {"minutes": minutes}


if __name__ == "__main__":
    sys.exit(main())
