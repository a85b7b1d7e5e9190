"""A game that needs memory: what is shown in the first decision has to be said in the last one."""

from typing import ClassVar

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.utils import seeding
from pettingzoo import ParallelEnv

from headctl.policy.actions import ActionHeads, describe_space, resolve_heads
from headctl.policy.network import Policy

AGENTS = ("red_0", "blue_0")


class RecallGame(ParallelEnv):
    """Two sides, each with a cue of its own: 0 or 1, shown in the first decision and never again.

    ``delay`` decisions later, the last one of the episode, ``answer`` is paid by 1 if it is the cue. What is seen there
    is the same for both cues, so without memory nobody is right more often than half of the time. With ``cut`` the
    episode ends by truncation.
    """

    metadata: ClassVar = {"name": "recall"}
    render_mode = None

    def __init__(self, *, delay=5, cut=False):
        self.possible_agents = list(AGENTS)
        self.agents = []
        self.delay, self.cut = delay, cut
        self._observations = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._actions = spaces.Dict({"answer": spaces.Discrete(2)})
        self._random, _ = seeding.np_random(0)

    def observation_space(self, agent):
        return self._observations

    def action_space(self, agent):
        return self._actions

    def _see(self):
        signs = 2 * self._cues - 1 if self._time == 0 else (0, 0)
        asked = float(self._time == self.delay)
        return {agent: np.array([sign, asked], np.float32) for agent, sign in zip(AGENTS, signs, strict=True)}

    def reset(self, seed=None, options=None):
        if seed is not None:
            self._random, _ = seeding.np_random(seed)
        self.agents = list(AGENTS)
        self._time, self._cues = 0, self._random.integers(2, size=2)
        return self._see(), {agent: {} for agent in AGENTS}

    def step(self, actions):
        over = self._time >= self.delay
        right = [float(actions[agent]["answer"] == cue) for agent, cue in zip(AGENTS, self._cues, strict=True)]
        rewards = right if over else [0.0, 0.0]
        self._time += 1
        if over:
            self.agents = []
        return (
            self._see(),
            dict(zip(AGENTS, rewards, strict=True)),
            dict.fromkeys(AGENTS, over and not self.cut),
            dict.fromkeys(AGENTS, over and self.cut),
            {agent: {} for agent in AGENTS},
        )


def parallel_env(**options):
    return RecallGame(**options)


@torch.no_grad()
def player_who_remembers(answer=1.0):
    """A policy of this game that is always right, or with ``answer=-1`` always wrong.

    Its one number is a latch, ``h' = tanh(5 sign + 5 h)``: it keeps the sign that was shown. What is left of an episode
    before spoils it: the opposite sign meets a full latch, and the answer is a coin.
    """
    space = RecallGame()._actions
    policy = Policy(2, ActionHeads(resolve_heads(describe_space(space), {}), space), hidden=(), memory=1)
    memory = policy.memory
    for weight in (*memory.parameters(), *policy.actor.parameters()):
        weight.zero_()
    memory.of_input.bias.copy_(torch.tensor([30.0, -30.0, 0.0]))  # the reset gate open, the update gate too
    memory.of_input.weight[2, 0] = 5.0
    memory.of_state.weight[2, 0] = 5.0
    policy.actor.weight.copy_(answer * torch.tensor([[-30.0], [30.0]]))
    return policy
