"""Small adversarial PettingZoo games whose right answers are known."""

from typing import ClassVar

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from pettingzoo import ParallelEnv

RED_AND_BLUE = ("red_0", "blue_0")

# Rock, paper, scissors with unequal stakes: its only equilibrium is (1, 3, 1) / 5, with an entropy of 0.950 nats.
BIASED_RPS = np.array([[0, -1, 3], [1, 0, -1], [-3, 1, 0]]) / 3.0
BIASED_RPS_NASH = np.array([1, 3, 1]) / 5.0
PENNIES = np.array([[1.0, -1.0], [-1.0, 1.0]])
FIRST_MOVER = np.array([[1.0]])
"""Whoever sits in the first seat wins."""


class MatrixGame(ParallelEnv):
    """Both choose at once, the first seat gets the payoff, the second its negative. One decision per episode."""

    metadata: ClassVar = {"name": "matrix_game"}

    def __init__(self, payoff, *, head="hand"):
        self.payoff = np.asarray(payoff)
        self.possible_agents = list(RED_AND_BLUE)
        self.agents = []
        self._observations = spaces.Box(0.0, 1.0, (1,), np.float32)
        choice = spaces.Discrete(len(self.payoff))
        self._actions = spaces.Dict({head: choice}) if head else choice
        self._head = head

    def observation_space(self, agent):
        return self._observations

    def action_space(self, agent):
        return self._actions

    def _see(self):
        return {agent: np.ones(1, np.float32) for agent in RED_AND_BLUE}

    def reset(self, seed=None, options=None):
        self.agents = list(RED_AND_BLUE)
        return self._see(), {agent: {} for agent in RED_AND_BLUE}

    def step(self, actions):
        assert set(actions) == set(self.agents)
        for action in actions.values():
            assert self._actions.contains(action), action
        first, second = (actions[agent][self._head] if self._head else actions[agent] for agent in RED_AND_BLUE)
        payoff = float(self.payoff[first, second])
        self.agents = []
        return (
            self._see(),
            dict(zip(RED_AND_BLUE, (payoff, -payoff), strict=True)),
            dict.fromkeys(RED_AND_BLUE, True),
            dict.fromkeys(RED_AND_BLUE, False),
            {agent: {} for agent in RED_AND_BLUE},
        )


def biased_rps():
    return MatrixGame(BIASED_RPS)


def pennies():
    """Matching pennies with a bare Discrete action space."""
    return MatrixGame(PENNIES, head=None)


def first_mover():
    return MatrixGame(FIRST_MOVER)


class Skirmish(ParallelEnv):
    """Two against two, with masks, deaths, a Box that is not [-1, 1], chance, and a time limit.

    ``act``: 0 wait, 1 duck, 2 shoot; shooting is legal in every second decision only. A shot kills the opposite agent
    of the same number, unless it ducks, with the probability of ``aim`` in [0, 10], a tenth each. A side without agents
    loses; at the time limit the rest is cut. Asserts that every action is legal.
    """

    metadata: ClassVar = {"name": "skirmish"}
    names = ("red_0", "red_1", "blue_0", "blue_1")

    def __init__(self, *, limit=8, outcome=True, shared_seed=True):
        self.possible_agents = list(self.names)
        self.agents = []
        self.limit, self.outcome, self.shared_seed = limit, outcome, shared_seed
        self.progress = None
        self._observations = spaces.Dict(
            {
                "observation": spaces.Box(-1.0, 100.0, (4,), np.float32),
                "mask_act": spaces.Box(0, 1, (3,), np.int8),
            }
        )
        self._actions = spaces.Dict({"act": spaces.Discrete(3), "aim": spaces.Box(0.0, 10.0, (1,), np.float64)})
        self._random, _ = seeding.np_random(0)

    def set_progress(self, progress):
        self.progress = progress

    def observation_space(self, agent):
        return self._observations

    def action_space(self, agent):
        return self._actions

    def _see(self, agents):
        ready = self._time % 2 == 0
        alive = [name in self.agents for name in self.names]
        return {
            agent: {
                "observation": np.array(
                    [self._time, self._luck, sum(alive[:2]), sum(alive[2:])],
                    np.float32,
                ),
                "mask_act": np.array([1, 1, ready], np.int8),
            }
            for agent in agents
        }

    def reset(self, seed=None, options=None):
        if seed is not None and self.shared_seed:
            self._random, _ = seeding.np_random(seed)
        self.agents = list(self.names)
        self._time = 0
        self._luck = self._random.random()
        return self._see(self.agents), {agent: {} for agent in self.agents}

    def step(self, actions):
        assert set(actions) == set(self.agents)
        acting = list(self.agents)
        ready = self._time % 2 == 0
        for action in actions.values():
            assert self._actions.contains(action), action
            assert ready or action["act"] != 2
        dead = set()
        for agent in acting:
            target = ("blue_" if agent.startswith("red") else "red_") + agent[-1]
            hit = self._random.random() < actions[agent]["aim"][0] / 10.0
            if actions[agent]["act"] == 2 and target in actions and actions[target]["act"] != 1 and hit:
                dead.add(target)
        self._time += 1
        self._luck = self._random.random()
        self.agents = [agent for agent in acting if agent not in dead]
        sides = [sum(agent.startswith(side) for agent in self.agents) for side in ("red", "blue")]
        decided = 0 in sides
        cut = self._time >= self.limit and not decided
        observations = self._see(acting)
        rewards = {agent: -1.0 if agent in dead else 0.5 * len(dead) for agent in acting}
        terminations = {agent: decided or agent in dead for agent in acting}
        truncations = {agent: cut and agent not in dead for agent in acting}
        winner = 0 if not (decided or cut) else 3 if sides[0] == sides[1] else 1 if sides[0] > sides[1] else 2
        infos = {agent: {"outcome": winner} if self.outcome and winner else {} for agent in acting}
        if decided or cut:
            self.agents = []
        return observations, rewards, terminations, truncations, infos


class Counter(ParallelEnv):
    """Counts decisions; pays ``paid`` to red and takes it from blue; cut after ``limit`` decisions.

    The action 1 of red ends the game for good.
    """

    metadata: ClassVar = {"name": "counter"}

    def __init__(self, *, limit=3, paid=1.0, forget_agents=False):
        self.possible_agents = list(RED_AND_BLUE)
        self.agents = []
        self.limit, self.paid, self.forget_agents = limit, paid, forget_agents
        self._observations = spaces.Box(0.0, 1000.0, (1,), np.float32)
        self._actions = spaces.Dict({"stop": spaces.Discrete(2)})

    def observation_space(self, agent):
        return self._observations

    def action_space(self, agent):
        return self._actions

    def _see(self):
        return {agent: np.array([self.count], np.float32) for agent in RED_AND_BLUE}

    def reset(self, seed=None, options=None):
        self.agents = list(RED_AND_BLUE)
        self.count = 0
        return self._see(), {agent: {} for agent in RED_AND_BLUE}

    def step(self, actions):
        self.count += 1
        stopped = actions["red_0"]["stop"] == 1
        cut = self.count >= self.limit and not stopped
        if (stopped or cut) and not self.forget_agents:
            self.agents = []
        return (
            self._see(),
            {"red_0": self.paid, "blue_0": -self.paid},
            dict.fromkeys(RED_AND_BLUE, stopped),
            dict.fromkeys(RED_AND_BLUE, cut),
            {agent: {} for agent in RED_AND_BLUE},
        )
