"""Many of the fights that the PettingZoo face plays, in one engine.

Shapes: N games, A seats, F features.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from headctl_envs.dogfight.engine import DogfightEngine
from headctl_envs.dogfight.layouts import OBSERVATION_LIMIT
from headctl_envs.dogfight.results import GameStep, Observations


class FaceBatch(DogfightEngine):
    """The engine with observations as the face shows them: clipped to the bounds of its space.

    Game 0 with seed S is, bit for bit, what the face plays after ``reset(seed=S)`` and one ``reset()`` per further
    episode. The scripted opponent is the only one that every PettingZoo environment has.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pilot_names = ("random",)

    def _clip(self, *seen: Tensor) -> None:
        for each in seen:
            each.clamp_(-OBSERVATION_LIMIT, OBSERVATION_LIMIT)

    def reset(self, seed: int | None = None) -> Observations:
        """As the engine's."""
        seen = super().reset(seed)
        self._clip(seen.observation)
        return seen

    def observe(self) -> Observations:
        """As the engine's."""
        seen = super().observe()
        self._clip(seen.observation)
        return seen

    def step(self, actions: Mapping[str, Tensor]) -> GameStep:
        """As the engine's."""
        played = super().step(actions)
        self._clip(played.observation, played.final_observation)
        return played
