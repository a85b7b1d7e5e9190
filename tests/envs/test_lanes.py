"""Many games side by side in one thread: the same fights for any number of lanes, and vector instructions."""

import platform
import subprocess
import sys

import pytest
import torch
from headctl_envs.dogfight import engine as engine_module
from headctl_envs.dogfight.config import DogfightConfig
from headctl_envs.dogfight.engine import DogfightEngine
from headctl_envs.dogfight.lanes import ON_CPU
from torch import Tensor


def courses(config: DogfightConfig, games: int, steps: int) -> list[dict[str, Tensor]]:
    """What random play brings in every step."""
    engine = DogfightEngine(config, games, seed=5)
    engine.reset(5)
    seen = []
    for _ in range(steps):
        played = engine.step(engine.pilot_actions("random"))
        seen.append({"observation": played.observation.clone(), "reward": played.reward.clone()})
    return seen


@pytest.mark.parametrize("team_size", [1, 2])
def test_a_game_does_not_depend_on_the_lane_that_it_flies_in(team_size: int) -> None:
    """A batch that fills no thread, one that fills one, one that leaves most lanes of the second empty."""
    config = DogfightConfig(team_size=team_size)
    largest = courses(config, ON_CPU + 3, 60)
    for games in (1, ON_CPU - 1, ON_CPU):
        for alone, beside in zip(courses(config, games, 60), largest, strict=True):
            for name, value in alone.items():
                assert torch.equal(value, beside[name][:games]), (games, name)


@pytest.mark.slow
def test_one_lane_plays_what_sixteen_play(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels as a GPU runs them, one game per thread; rounding differs where the compiler chose other forms."""
    config = DogfightConfig()
    many = courses(config, 20, 40)
    monkeypatch.setattr(engine_module, "lanes_on", lambda device: 1)
    for alone, side_by_side in zip(courses(config, 20, 40), many, strict=True):
        torch.testing.assert_close(alone["observation"], side_by_side["observation"], atol=2e-3, rtol=0)
        torch.testing.assert_close(alone["reward"], side_by_side["reward"], atol=2e-3, rtol=0)


_COMPILE = """
import sys
import warp as wp
wp.config.kernel_cache_dir = sys.argv[1]
wp.config.cpu_compiler_flags = "-march=native -Rpass=loop-vectorize"
from headctl_envs.dogfight.engine import DogfightEngine
engine = DogfightEngine()
engine.reset(1)
engine.pilot_actions("ace")
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64", "aarch64", "arm64"}, reason="has no such vectors")
def test_the_compiler_flies_perceives_and_looks_ahead_with_vectors(tmp_path: object) -> None:
    """The flight, perception in both kernels, the rows of the ace's matrix. Each falls back in silence otherwise."""
    done = subprocess.run([sys.executable, "-c", _COMPILE, str(tmp_path)], capture_output=True, text=True, check=True)
    told = {line for line in done.stderr.splitlines() if "remark: vectorized loop" in line}
    assert sum("dogfight.kernels" in line for line in told) == 3, done.stderr[-2000:]
    assert sum("dogfight.hunters" in line for line in told) >= 1, done.stderr[-2000:]
