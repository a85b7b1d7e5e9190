"""What a memory costs: training with and without one, in turn, so that a busy machine is as busy for all of them."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import torch

from headctl.run.bench import Figure
from headctl.run.config import RunConfig
from headctl.run.sections import RecurrentSection
from headctl.run.trainer import Trainer

_SIZES = (64, 128)
_LONGEST = 16
_ROUNDS = 5
_NEVER = 2**50


def bench_memory(config: RunConfig, *, iterations: int = 3) -> list[Figure]:
    """Returns agent-steps/s of the whole training loop without memory and with several, and the ratios to none.

    All do the same work otherwise: the divergence ends no update, and nobody is evaluated, saved or frozen.

    Args:
        config: The run to measure; it leaves nothing behind.
        iterations: Iterations per round, after two that are not counted.
    """
    torch.set_num_threads(config.run.threads)
    variants = {label: _quiet(config, memory) for label, memory in _memories(config).items()}
    rates: dict[str, list[float]] = {label: [] for label in variants}
    with ExitStack() as folders:
        trainers = {
            label: Trainer(variant, Path(folders.enter_context(tempfile.TemporaryDirectory())))
            for label, variant in variants.items()
        }
        loops = {label: trainer.iterations() for label, trainer in trainers.items()}
        for loop in loops.values():
            _turn(loop, 2)
        for _ in range(_ROUNDS):
            for label, trainer in trainers.items():
                before, started = trainer.agent_steps, time.perf_counter()
                _turn(loops[label], iterations)
                rates[label].append((trainer.agent_steps - before) / (time.perf_counter() - started))
        for trainer in trainers.values():
            trainer.close()
    without = next(iter(rates.values()))
    figures = [Figure(f"training, {label}", "agent-steps/s", tuple(values)) for label, values in rates.items()]
    for label, values in list(rates.items())[1:]:
        shares = tuple(value / base for value, base in zip(values, without, strict=True))
        figures.append(Figure(f"{label}, relative to no memory", "ratio", shares))
    return figures


def _memories(config: RunConfig) -> dict[str, RecurrentSection]:
    """Returns what is compared, by label; none first."""
    steps, own = config.ppo.rollout_steps, config.policy.recurrent
    length = own.sequence_length
    if steps % length:
        length = max(size for size in range(1, _LONGEST + 1) if steps % size == 0)
    memories = {"no memory": RecurrentSection()}
    sizes = {*_SIZES, own.size} - {0}
    for size in sorted(sizes):
        section = RecurrentSection(cell="gru", hidden_size=size, sequence_length=length)
        memories[f"gru of {size}, sequences of {length}"] = section
    with_burn_in = RecurrentSection(cell="gru", hidden_size=_SIZES[0], sequence_length=length, burn_in=length // 2)
    return memories | {f"gru of {_SIZES[0]}, sequences of {length}, burn-in of {length // 2}": with_burn_in}


def _quiet(config: RunConfig, memory: RecurrentSection) -> RunConfig:
    """Returns the configuration with a memory, and without all that happens now and then."""
    never = {"every": _NEVER}
    return config.model_copy(
        update={
            "total_steps": _NEVER,
            "policy": config.policy.model_copy(update={"recurrent": memory}),
            "ppo": config.ppo.model_copy(update={"target_kl": None}),
            "selfplay": config.selfplay.model_copy(update={"snapshot_every": _NEVER}),
            "evaluation": config.evaluation.model_copy(update=never),
            "checkpoint": config.checkpoint.model_copy(update=never),
            "run": config.run.model_copy(update={"tensorboard": False}),
        }
    )


def _turn(loop: Iterator[object], iterations: int) -> None:
    for _ in range(iterations):
        next(loop)
