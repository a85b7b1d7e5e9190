"""NaN in each of observation, reward, log-probability, entropy, loss and gradient: detected, named, survived."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from headctl.ppo.by_hand import ByHand
from headctl.ppo.rollout import Table
from headctl.ppo.row_kernels import SUMS
from tests.faults.broken_games import Broken
from tests.faults.outcome import Outcome, drill
from tests.faults.runs import begin_and_train, config_of, final_state

TERMS = ("observation", "reward", "log_prob", "entropy", "policy_loss", "value_loss", "gradient")
_ITERATION_CALLS = 3  # minibatches before the first broken one


@contextmanager
def nan_in(term: str, calls: range) -> Iterator[None]:
    """Makes one term of the loss NaN in some of the minibatches to come, counted over the process."""
    forward_of, count = ByHand.forward, 0

    def broken(self: ByHand, table: Table, index: Tensor, *, clip: float) -> tuple[Tensor, ...]:
        nonlocal count
        count += 1
        found = forward_of(self, table, index, clip=clip)
        if count in calls:
            spoil(term, self, found)
        return found

    ByHand.forward = broken  # type: ignore[method-assign]
    try:
        yield
    finally:
        ByHand.forward = forward_of  # type: ignore[method-assign]


def spoil(term: str, hand: ByHand, found: tuple[Tensor, ...]) -> None:
    """Makes one term of what has gone forward NaN, in place."""
    sums, weight, log_prob, _ = found
    heads = weight.shape[1]
    if term == "gradient":
        assert hand._memory is not None
        hand._memory.slope[0] = math.nan  # the losses are finite
    elif term == "entropy":
        sums[len(SUMS) : len(SUMS) + heads] = math.nan
    else:
        sums[SUMS.index("squares" if term == "value_loss" else "surrogate")] = math.nan
    if term == "log_prob":
        log_prob[:] = math.nan


def number_drill(work: Path) -> Outcome:
    """Breaks one term for a while in a run each, and looks at what the run says and how it ends."""
    with drill("NaN in every term of the update") as outcome:
        for term in TERMS:
            run_dir = work / term
            if term in ("observation", "reward"):
                game = f"game={{name: 'tests.faults.broken_games:Broken', num_games: 4, options: {{fault: {term}, "
                Broken.decisions = 0
                config = config_of(game + "first: 100, last: 140}}", "total_steps=900")
                code, said = begin_and_train(config, run_dir)
            else:
                with nan_in(term, range(_ITERATION_CALLS, _ITERATION_CALLS + 9)):
                    code, said = begin_and_train(config_of("total_steps=900"), run_dir)
            _judge(outcome, term, run_dir, code, said)
    return outcome


def _judge(outcome: Outcome, term: str, run_dir: Path, code: int, said: str) -> None:
    faults = [json.loads(line) for line in (run_dir / "faults.jsonl").read_text(encoding="utf-8").splitlines()]
    named = {name for fault in faults for name in fault["terms"]}
    records = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    skipped = sum(record["ppo/skipped"] for record in records)
    outcome.expect(code == 0, f"{term}: the run ended with {code}")
    outcome.expect(named == {term}, f"{term}: the diary names {sorted(named)}")
    outcome.expect(f"not finite: {term}" in said, f"{term}: the user was not told")
    outcome.expect(skipped > 0, f"{term}: ppo/skipped counts nothing")
    weights = final_state(run_dir)["learner"]["policy"].values()
    outcome.expect(all(bool(torch.isfinite(entry).all()) for entry in weights), f"{term}: the policy is spoilt")
    outcome.figures.append(
        f"{term}: named in {len(faults)} iterations, {skipped:.0f} minibatches left out, exit {code}"
    )
