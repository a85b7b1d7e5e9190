"""Tiny league runs for the drills, and what has to be equal between two of them."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from headctl.run.checkpoint import list_checkpoints, load_checkpoint
from headctl.run.config import RunConfig, parse_config
from headctl.run.folder import create_run_folder
from headctl.run.session import train

LEAGUE = (
    "seed=11",
    "game={name: 'tests.helpers.games:Skirmish', num_games: 4}",
    "policy.hidden=[16]",
    "ppo={rollout_steps: 8, minibatch_size: 32, epochs: 2, learning_rate: 3e-3}",
    "selfplay={slots: 2, slot_iterations: 2, pool_size: 4, snapshot_every: 150}",
    "selfplay.opponents={latest: 1, pfsp: 1, nash: 1, pilots: 1}",
    "selfplay.payoff={every: 3, pairs: 2, games: 2, half_life: 500}",
    "selfplay.roles.main_exploiter={share: 0.5, num_games: 2, timeout: 200, heads: {act: 0.9}}",
    "selfplay.roles.league_exploiter={share: 0.25, num_games: 2, games: 4, win_rate: 0.5, start: scratch}",
    "selfplay.reheat={by: 0.1, steps: 300}",
    "checkpoint={every: 120, keep: 2, milestones: 400}",
    "evaluation.games=4",
    "run.tensorboard=false",
)


def config_of(*overrides: str) -> RunConfig:
    """Returns the configuration of a small league run: two against two, masks, a Box head, frozen opponents."""
    return parse_config("", (*LEAGUE, *overrides))


def quiet_console() -> Console:
    """Returns a console that nobody sees."""
    return Console(file=io.StringIO(), width=200)


def begin_and_train(config: RunConfig, run_dir: Path, *, resume: bool = False) -> tuple[int, str]:
    """Trains a new run or one that is there; returns the exit code and what was said."""
    console = quiet_console()
    if not resume:
        create_run_folder(run_dir, config)
    code = train(config, run_dir, console, resume=resume)
    assert isinstance(console.file, io.StringIO)
    return code, console.file.getvalue()


def records_of(run_dir: Path) -> list[dict[str, Any]]:
    """Returns the records without what depends on the clock."""
    lines = (run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{key: value for key, value in json.loads(line).items() if not key.startswith("perf/")} for line in lines]


def final_state(run_dir: Path) -> dict[str, Any]:
    """Returns everything in the newest checkpoint but the clock."""
    state = load_checkpoint(list_checkpoints(run_dir)[-1])
    del state["elapsed_s"]
    return state


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Returns where two states differ, bit for bit; NaN equals itself."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        same = one.dtype == other.dtype and one.shape == other.shape and _bits(one) == _bits(other)
        return [] if same else [path]
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        if one.keys() != other.keys():
            return [f"{path}: keys {sorted(map(str, one.keys() ^ other.keys()))}"]
        return [found for key in one for found in differences(one[key], other[key], f"{path}.{key}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [found for number, (a, b) in pairs for found in differences(a, b, f"{path}[{number}]")]
    return [] if repr(one) == repr(other) else [path]


def _bits(tensor: Tensor) -> bytes:
    return tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def differing_runs(one: Path, other: Path) -> list[str]:
    """Returns in what two runs differ: parameters and every other state, records, opponents, closing matches."""
    found = [f"state{place}" for place in differences(final_state(one), final_state(other))]
    if records_of(one) != records_of(other):
        found.append(f"metrics.jsonl: {len(records_of(one))} and {len(records_of(other))} records")
    leagues = [{path.name: path.read_bytes() for path in (run / "league").glob("*.pt")} for run in (one, other)]
    if leagues[0] != leagues[1]:
        found.append("league/")
    if (one / "eval" / "final.json").read_text() != (other / "eval" / "final.json").read_text():
        found.append("eval/final.json")
    return found
