"""What several processes cannot share, refused before anything is written."""

import torch

from headctl.ppo.ranks import processes_here
from headctl.run.config import ConfigError, RunConfig
from headctl.run.selfplay_section import RolesSection
from headctl.selfplay.catalog import SHARED
from headctl.selfplay.seating import Seating

_ALONE_KINDS = ("tanh_gaussian", "beta")
"""Kinds of heads that draw their actions head by head, each as many numbers as it likes."""


def check_together(config: RunConfig, size: int) -> None:
    """Makes sure that some processes can share a run.

    Args:
        config: The resolved configuration.
        size: Number of processes, ``WORLD_SIZE``.

    Raises:
        ConfigError: All that stands in the way, one line each.
    """
    problems = [] if size == 1 else _problems(config, size)
    if problems:
        raise ConfigError("\n".join(problems))


def _problems(config: RunConfig, size: int) -> list[str]:
    games, among = config.game.num_games, f"among the {size} processes of WORLD_SIZE"
    problems = []
    if config.game.name not in SHARED:
        problems.append(f"game.name: {config.game.name!r} cannot be divided {among}; allowed: {', '.join(SHARED)}")
    if games % size:
        nearest = (games - games % size) or size
        problems.append(f"game.num_games: {games} games do not divide {among}; {nearest} would")
    else:
        problems += _seating_problems(config, size)
    if config.policy.recurrent.cell != "none":
        problems.append(
            f"policy.recurrent.cell: the sequences of {config.policy.recurrent.cell!r} cannot be divided {among}"
        )
    problems += [
        f"heads.{name}.kind: the draws of {head['kind']!r} cannot be divided {among}"
        for name, head in config.heads.items()
        if head.get("kind") in _ALONE_KINDS
    ]
    problems += [
        f"selfplay.roles.{role}.share: exploiters cannot be trained {among}; set it to 0"
        for role in RolesSection.model_fields
        if getattr(config.selfplay.roles, role).share > 0.0
    ]
    if config.run.device not in ("cpu", "cuda"):
        problems.append(f"run.device: {config.run.device!r} is one device; write cuda, and each {among} gets its own")
    elif config.run.device == "cuda" and torch.cuda.device_count() < processes_here(size):
        problems.append(
            f"run.device: cuda: {torch.cuda.device_count()} devices are too few {among}; each here needs its own"
        )
    return problems


def _seating_problems(config: RunConfig, size: int) -> list[str]:
    """Returns what is wrong where the opponents would not have equally many games in every process."""
    games, slots = config.game.num_games, config.selfplay.slots
    seating = Seating(games, (0, 1), latest_share=config.selfplay.opponents.latest_share, slots=slots)
    for rank in range(size):
        try:
            seating.part(range(rank * games // size, (rank + 1) * games // size))
        except ValueError as error:
            problem = (
                f"selfplay.slots: {slots} opponents cannot have equally many games each in every one of the {size} "
                f"processes of WORLD_SIZE: {error}. A game.num_games that divides by {2 * slots * size}, or fewer "
                "slots, mostly will do"
            )
            return [problem]
    return []
