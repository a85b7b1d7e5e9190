"""Games that break in one way each, at a decision that their options name."""

from typing import Any, ClassVar

import numpy as np

from tests.helpers.games import Skirmish


class Broken(Skirmish):
    """A skirmish in which something is no number, or that raises, from one decision of the process on.

    Decisions are counted over all copies of the game in the process, so that a restored run does not meet the same
    fault at the same place unless it lasts.
    """

    decisions: ClassVar[int] = 0

    def __init__(self, *, fault: str = "reward", first: int = 0, last: int = 0) -> None:
        super().__init__()
        self.fault, self.first, self.last = fault, first, last

    def step(self, actions: dict[str, Any]) -> Any:
        Broken.decisions += 1
        faulty = self.first <= Broken.decisions < self.last
        if faulty and self.fault == "raise":
            raise RuntimeError("the physics exploded")
        observations, rewards, terminations, truncations, infos = super().step(actions)
        if faulty and self.fault == "reward":
            rewards = dict.fromkeys(rewards, float("nan"))
        if faulty and self.fault == "infinite reward":
            rewards = dict.fromkeys(rewards, float("inf"))
        if faulty and self.fault == "observation":
            for seen in observations.values():
                seen["observation"][1] = np.nan
        return observations, rewards, terminations, truncations, infos


class Raises(Skirmish):
    """A skirmish that raises when somebody shoots in the third decision: it follows from seed and actions."""

    def step(self, actions: dict[str, Any]) -> Any:
        if self._time == 2 and any(action["act"] == 2 for action in actions.values()):
            raise ZeroDivisionError("division by zero in the damage model")
        return super().step(actions)
