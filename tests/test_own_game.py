"""The game of docs/your-own-game.md is trained as the page says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "your-own-game.md").read_text(encoding="utf-8")


def block(language):
    return re.search(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[1]


@pytest.mark.slow
def test_the_commands_of_the_page_train_its_game(tmp_path):
    (tmp_path / "bidding.py").write_text(block("python"), encoding="utf-8")
    (tmp_path / "bidding.yaml").write_text(block("yaml"), encoding="utf-8")
    commands = [line.partition("#")[0].split() for line in re.findall(r"^headctl .*", PAGE, re.MULTILINE)]
    assert [command[1] for command in commands] == ["envs", "config", "train", "inspect"]
    pages = []
    for command in commands:
        shorter = ["total_steps=3000", "evaluation.games=10"] if command[1] == "train" else []
        done = subprocess.run(
            [sys.executable, "-m", "headctl.cli", *command[1:], *shorter],
            cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        pages.append(done.stdout)
    assert "4 choices" in pages[0]
    assert "bluff" in pages[3]
    assert (tmp_path / "runs" / "bidding" / "report" / "heads.png").stat().st_size > 10_000


def test_the_game_passes_the_test_of_pettingzoo():
    from pettingzoo.test import parallel_api_test

    room = {"__name__": "bidding"}
    exec(compile(block("python"), "bidding", "exec"), room)  # noqa: S102 - the example is the project's own
    parallel_api_test(room["Bidding"](), num_cycles=50)
