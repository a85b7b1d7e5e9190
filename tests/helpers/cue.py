"""A game for learners: say what is shown. Everybody is paid for the own right answer, at once."""

from typing import ClassVar

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from pettingzoo import ParallelEnv

CUES = 4
AGENTS = ("red_0", "blue_0")


class CueGame(ParallelEnv):
    """``answer`` one of four, and a ``dial`` that does not matter; an episode is eight decisions, for both at once."""

    metadata: ClassVar = {"name": "cue"}
    render_mode = None

    def __init__(self, *, layout="dict", limit=8):
        self.possible_agents = list(AGENTS)
        self.agents = []
        self.limit = limit
        answer, dial = spaces.Discrete(CUES), spaces.Box(-1.0, 1.0, (1,), np.float32)
        heads = spaces.Dict({"answer": answer, "dial": dial})
        self._dict = layout == "dict"
        self._actions = heads if self._dict else spaces.MultiDiscrete([CUES, 3])
        self._observations = spaces.Box(0.0, 1.0, (CUES,), np.float32)
        self._random, _ = seeding.np_random(0)

    def observation_space(self, agent):
        return self._observations

    def action_space(self, agent):
        return self._actions

    def _see(self):
        self._shown = self._random.integers(CUES, size=2)
        return {agent: np.eye(CUES, dtype=np.float32)[cue] for agent, cue in zip(AGENTS, self._shown, strict=True)}

    def reset(self, seed=None, options=None):
        if seed is not None:
            self._random, _ = seeding.np_random(seed)
        self.agents = list(AGENTS)
        self._time = 0
        return self._see(), {agent: {} for agent in AGENTS}

    def step(self, actions):
        answers = [actions[agent]["answer" if self._dict else 0] for agent in AGENTS]
        rewards = [float(answer == cue) for answer, cue in zip(answers, self._shown, strict=True)]
        self._time += 1
        over = self._time >= self.limit
        seen = self._see()
        if over:
            self.agents = []
        return (
            seen,
            dict(zip(AGENTS, rewards, strict=True)),
            dict.fromkeys(AGENTS, over),
            dict.fromkeys(AGENTS, False),
            {agent: {} for agent in AGENTS},
        )


def parallel_env(**options):
    return CueGame(**options)
