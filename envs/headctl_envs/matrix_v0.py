"""# Matrix games

| Import               | `from headctl_envs import matrix_v0`                      |
|----------------------|-----------------------------------------------------------|
| Actions              | Discrete (`Dict`)                                         |
| Parallel API         | Yes                                                       |
| Manual Control       | No                                                        |
| Agents               | `agents= ['row_0', 'column_0']`                           |
| Agents               | 2                                                         |
| Action Shape         | `Dict(choice: ())`                                        |
| Action Values        | `Discrete(3)`                                             |
| Observation Shape    | (2,)                                                      |
| Observation Values   | `[-1, 1]`                                                 |

Both agents choose at once; `row_0` gets the payoff of the two choices and `column_0` pays it. With `rounds` above 1 the
game is repeated, the agents see both last choices, and whoever has more in the end has won (`infos[agent]["outcome"]`:
1 row, 2 column, 3 draw). Where the agents have different numbers of choices, `mask_choice` says which are legal.

These games are small enough that every answer is known: `headctl_envs.matrix.config.MatrixConfig` computes the
equilibrium and the exact exploitability of any policy.

### Arguments

```python
matrix_v0.parallel_env(game="biased_rps", payoff=None, rounds=1)
```

`game`: `"biased_rps"` (rock takes three times as much of scissors; equilibrium (1, 3, 1) / 5), `"rps"` or
`"matching_pennies"`

`payoff`: a game of your own, one row of numbers per choice of `row_0`

`rounds`: rounds of an episode
"""  # noqa: D415  - PettingZoo makes a page out of this docstring, its first line is the heading

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from gymnasium.utils import EzPickle
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils import parallel_to_aec, wrappers

from headctl_envs.matrix.config import AGENTS, HEAD, MatrixConfig

__all__ = ["env", "parallel_env", "raw_env"]


class parallel_env(ParallelEnv[str, Any, Any], EzPickle):  # noqa: N801  - PettingZoo's name for it
    """A matrix game; see the module.

    Raises:
        MatrixOptionError: An option that is unknown, or a value that is not allowed.
    """

    metadata: ClassVar[dict[str, Any]] = {  # pyright: ignore[reportIncompatibleVariableOverride] - as PettingZoo does
        "name": "matrix_v0",
        "render_modes": ["ansi"],
        "is_parallelizable": True,
    }

    def __init__(self, render_mode: str | None = None, **options: Any) -> None:
        EzPickle.__init__(self, render_mode=render_mode, **options)
        if render_mode not in (None, "ansi"):
            raise ValueError(f"render_mode = {render_mode!r} must be None or 'ansi'")
        self.render_mode = render_mode
        self.config = MatrixConfig.from_mapping(options)
        self.possible_agents = list(AGENTS)
        self.agents: list[str] = []
        size = self.config.features.shape[-1]
        seen: spaces.Space[Any] = spaces.Box(-1.0, 1.0, (size,), np.float32)
        if self.config.masked:
            mask = spaces.Box(0, 1, (self.config.choices,), np.int8)
            seen = spaces.Dict({"observation": seen, f"mask_{HEAD}": mask})
        self.observation_spaces = {agent: seen for agent in AGENTS}  # noqa: C420  - fromkeys has another type
        choice: spaces.Space[Any] = spaces.Dict({HEAD: spaces.Discrete(self.config.choices)})
        self.action_spaces = {agent: choice for agent in AGENTS}  # noqa: C420  - with it
        self._round, self._total = 0, 0.0
        self._last = (-1, -1)

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """Returns what an agent sees."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """Returns what an agent may do."""
        return self.action_spaces[agent]

    def reset(
        self,
        seed: int | None = None,  # noqa: ARG002  - there is no chance in the game
        options: dict[str, Any] | None = None,  # noqa: ARG002  - PettingZoo's signature
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Begins an episode."""
        self.agents = list(AGENTS)
        self._round, self._total, self._last = 0, 0.0, (-1, -1)
        return self._see(), {agent: {"outcome": 0} for agent in AGENTS}

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Plays a round; a choice that is not legal counts as 0.

        Raises:
            RuntimeError: There is no episode.
        """
        if not self.agents:
            if actions:
                raise RuntimeError("the episode is over: call reset() before step()")
            return {}, {}, {}, {}, {}
        chosen = [int(actions[agent][HEAD]) for agent in AGENTS]
        first, second = (
            choice if 0 <= choice < size else 0 for choice, size in zip(chosen, self.config.matrix.shape, strict=True)
        )
        gain = float(self.config.matrix[first, second])
        self._round, self._total, self._last = self._round + 1, self._total + gain, (first, second)
        over = self._round >= self.config.rounds
        outcome = 0 if not over else 3 if abs(self._total) <= 1e-9 else 1 if self._total > 0 else 2
        if over:
            self.agents = []
        return (
            self._see(),
            dict(zip(AGENTS, (gain, -gain), strict=True)),
            dict.fromkeys(AGENTS, over),
            dict.fromkeys(AGENTS, False),
            {agent: {"outcome": outcome} for agent in AGENTS},
        )

    def _see(self) -> dict[str, Any]:
        now = min(self._round, self.config.rounds - 1)
        seen = {}
        for seat, agent in enumerate(AGENTS):
            own, theirs = self._last[seat] + 1, self._last[1 - seat] + 1
            last = (own, theirs) if self.config.rounds > 1 else (0, 0)
            features = self.config.features[seat, now, last[0], last[1]].copy()
            legal = self.config.legal[seat].astype(np.int8)
            seen[agent] = {"observation": features, f"mask_{HEAD}": legal} if self.config.masked else features
        return seen

    def render(self) -> str | None:
        """Returns a line of text in the mode ``"ansi"``."""
        if self.render_mode is None:
            return None
        choices = ", ".join("-" if choice < 0 else str(choice) for choice in self._last)
        return f"round {self._round} of {self.config.rounds}: {choices}; row_0 has {self._total:+g}"

    def close(self) -> None:
        """Nothing to close."""


def raw_env(**options: Any) -> AECEnv[str, Any, Any]:
    """Returns the game in the turn-based form of PettingZoo, without wrappers."""
    return parallel_to_aec(parallel_env(**options))


def env(**options: Any) -> AECEnv[str, Any, Any]:
    """Returns the game in the turn-based form of PettingZoo, with its usual wrappers."""
    return wrappers.OrderEnforcingWrapper(raw_env(**options))
