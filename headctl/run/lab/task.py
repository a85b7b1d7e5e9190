"""The laboratory's task: one decision per state, three heads whose rewards depend on what the agent sees.

Shapes: E experiments, R rows (decisions of one iteration), S situations, F features, K choices, D dims.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

SITUATIONS = 16
FEATURES = 16
MANEUVERS, WEAPONS, PARAMS = 9, 4, 3
MISSILE = 2
"""The weapon action after which alone ``params`` matter."""
SPACE = spaces.Dict(
    {
        "maneuver": spaces.Discrete(MANEUVERS),
        "weapon": spaces.Discrete(WEAPONS),
        "params": spaces.Box(-1.0, 1.0, (PARAMS,), np.float32),
    }
)

_MANEUVER_LEGAL = 0.75  # chance of each maneuver but the first, which is always legal
_WEAPON_CHOICE = 0.45  # share of states in which the weapon is more than `hold`
_WEAPON_LEGAL = 0.8  # chance there of each weapon action but `hold`
_HIT = 1.5  # what a missile pays that meets its aim
_MISS_SCALE = 0.5  # squared distance from the aim at which it pays 1/e of that
_AIM_SPREAD = 0.5
_LUCK = 2.0  # standard deviation of the noise in every reward; a best action pays some 1 to 2 more than the average


class States(NamedTuple):
    """What the agents see, and what luck the rewards will have."""

    situation: Tensor
    """int64 ``[E, R]``."""
    masks: dict[str, Tensor]
    """bool ``[E, R, K]``."""
    luck: Tensor
    """float32 ``[E, R]``."""


class Task:
    """E contextual bandits, one per experiment, that differ by their seeds.

    The agent meets one of 16 situations, which it knows by 16 random features. Each pays every maneuver and every
    weapon action an amount of its own, standard normal, and a missile up to 1.5 more, the closer its params come to
    the situation's aim. A quarter of the maneuvers is forbidden, others in every row; in most rows ``hold`` is the only
    legal weapon action. The best action is a single one nearly everywhere: a policy that learns wants to become
    certain, and does so as fast as the luck in the rewards lets it.
    """

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        """Draws what pays in each experiment.

        Args:
            generators: Random stream per experiment; equal streams give equal tasks.
        """
        self._generators = generators

        def drawn(columns: int) -> Tensor:
            return torch.stack([torch.randn(SITUATIONS, columns, generator=g) for g in generators])

        self._look = drawn(FEATURES)
        self._maneuver = drawn(MANEUVERS)
        self._weapon = drawn(WEAPONS)
        self._aim = drawn(PARAMS).mul(_AIM_SPREAD).tanh()
        self._each = torch.arange(len(generators)).unsqueeze(1)

    def states(self, rows: int) -> States:
        """Draws the states of one iteration, each experiment from its own stream."""
        drawn = [_draw_states(rows, generator) for generator in self._generators]
        situation, maneuver, weapon, luck = (torch.stack(column) for column in zip(*drawn, strict=True))
        return States(situation, {"maneuver": maneuver, "weapon": weapon}, _LUCK * luck)

    def observation(self, situation: Tensor) -> Tensor:
        """Returns what the agents see of their situations, float32 ``[E, R, F]``."""
        return self._look[self._each, situation]

    def reward(self, situation: Tensor, actions: Mapping[str, Tensor]) -> Tensor:
        """Returns what the actions pay on average, without luck ``[E, R]``.

        Args:
            situation: ``[E, R]``.
            actions: ``maneuver`` and ``weapon`` int64 ``[E, R]``, ``params`` float32 ``[E, R, 3]``.
        """
        maneuver = self._maneuver[self._each, situation, actions["maneuver"]]
        weapon = self._weapon[self._each, situation, actions["weapon"]]
        miss = (actions["params"].clamp(-1.0, 1.0) - self._aim[self._each, situation]).square().sum(-1)
        hit = _HIT * torch.exp(-miss / _MISS_SCALE)
        return maneuver + weapon + hit * (actions["weapon"] == MISSILE)


def mean_capacity(head: str) -> float:
    """Returns the mean of ``log n`` over the rows where a discrete head has a choice, n the number of legal actions.

    The first action is always legal, each of the others with a chance of its own: n - 1 is binomial.
    """
    others, chance = {"maneuver": (MANEUVERS - 1, _MANEUVER_LEGAL), "weapon": (WEAPONS - 1, _WEAPON_LEGAL)}[head]
    weights = [math.comb(others, n) * chance**n * (1.0 - chance) ** (others - n) for n in range(1, others + 1)]
    return sum(weight * math.log(n + 1) for n, weight in enumerate(weights, start=1)) / sum(weights)


def _draw_states(rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    situation = torch.randint(SITUATIONS, (rows,), generator=generator)
    maneuver = torch.rand(rows, MANEUVERS, generator=generator) < _MANEUVER_LEGAL
    weapon = torch.rand(rows, WEAPONS, generator=generator) < _WEAPON_LEGAL
    weapon &= torch.rand(rows, 1, generator=generator) < _WEAPON_CHOICE
    maneuver[:, 0] = True
    weapon[:, 0] = True
    return situation, maneuver, weapon, torch.randn(rows, generator=generator)
