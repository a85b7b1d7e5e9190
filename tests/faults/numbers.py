"""NaN in each of observation, reward, log-probability, entropy, loss and gradient: detected, named, survived."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from headctl.ppo.learner import Losses, PPOLearner
from tests.faults.broken_games import Broken
from tests.faults.outcome import Outcome, drill
from tests.faults.runs import begin_and_train, config_of, final_state

TERMS = ("observation", "reward", "log_prob", "entropy", "policy_loss", "value_loss", "gradient")
_ITERATION_CALLS = 3  # minibatches before the first broken one


@contextmanager
def nan_in(term: str, calls: range) -> Iterator[None]:
    """Makes one term of the loss NaN in some of the minibatches to come, counted over the process."""
    losses_of, count = PPOLearner.losses, 0

    def broken(self: PPOLearner, batch: Any) -> Losses:
        nonlocal count
        count += 1
        if count not in calls:
            return losses_of(self, batch)
        found = losses_of(self, batch)
        if term == "gradient":
            weight = next(self.policy.parameters())
            # Finite itself, with a gradient that is not: the slope of a root at 0.
            return found._replace(value=found.value + (weight * 0.0).sum().abs().sqrt())
        if term == "log_prob":
            return found._replace(log_prob=found.log_prob * math.nan, policy=found.policy * math.nan)
        if term == "entropy":
            return found._replace(sums=found.sums * math.nan, bonus=found.bonus * math.nan)
        name = term.removesuffix("_loss")
        return found._replace(**{name: getattr(found, name) * math.nan})

    PPOLearner.losses = broken  # type: ignore[method-assign]
    try:
        yield
    finally:
        PPOLearner.losses = losses_of  # type: ignore[method-assign]


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
