"""How often a missile hits: over range, aspect and what the target does. A table of physics, not of speed."""

import importlib

import torch

from headctl.run.bench import Figure
from headctl.run.config import RunConfig


def bench_missiles(config: RunConfig, *, shots: int = 100) -> list[Figure]:
    """Returns the share of hits of single missiles without flares, one figure per target, aspect and range.

    Args:
        config: Names the game and its options, the missile type among them; there are no figures of other games.
        shots: Shots per figure.
    """
    if config.game.name != "dogfight":
        return []
    torch.set_num_threads(config.run.threads)
    table = importlib.import_module("headctl_envs.dogfight.missile_table")
    options = {name: value for name, value in config.game.options.items() if name in ("missile", "airframe")}
    figures = []
    for target in table.TARGETS:
        for aspect in table.ASPECTS_DEG:
            rates = [table.hit_rate(target, aspect, share, shots=shots, **options) for share in table.SHARES]
            figures += [
                Figure(f"{target}, aspect {aspect:g} deg, {share:.0%} of the reach", "share of hits", (rate,))
                for share, rate in zip(table.SHARES, rates, strict=True)
            ]
    return figures
