"""The drills of ``make faults`` in their short form, each in a process of its own: some of them fork."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kills", "numbers", "writes", "damage", "configurations", "soak"])
def test_the_drill_holds(name):
    command = [sys.executable, "-m", "tests.faults", "--quick", name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok (" in done.stdout
