"""``python -m tests.faults``: every drill once, with its figures; exit code 1 if anything did not hold."""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from tests.faults.kills import kill_drill
from tests.faults.outcome import Outcome


def main() -> int:
    """Runs the drills that are named, all of them by default."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("drills", nargs="*", metavar="DRILL")
    parser.add_argument("--quick", action="store_true", help="the short form that the tests run")
    parser.add_argument("--soak-minutes", type=float, default=4.0, help="length of the soak (default 4)")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    quick = chosen.quick
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        # The kills first: their processes are forked, which must happen before torch has trained in this one.
        drills: dict[str, Callable[[], Outcome]] = {
            "kills": lambda: kill_drill(work / "kills", kills=6 if quick else 60, total_steps=3_000 if quick else 40_000),
        }
        unknown = set(chosen.drills) - drills.keys()
        if unknown:
            parser.error(f"unknown drill: {', '.join(sorted(unknown))}. Allowed: {', '.join(drills)}")
        failed = 0
        for name, run in drills.items():
            if chosen.drills and name not in chosen.drills:
                continue
            outcome = run()
            failed += bool(outcome.problems)
            sys.stdout.write(outcome.text() + "\n")
            sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
