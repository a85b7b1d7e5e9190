"""What the face makes of deaths one by one: a stand-in for an engine with two seats per side tells the story."""

import numpy as np
import pytest
import torch
from headctl_envs.dogfight import face
from headctl_envs.dogfight.config import REWARD_TERMS, DogfightConfig
from headctl_envs.dogfight.engine import GameStep, Observations
from headctl_envs.dogfight.features import FEATURES

NAMES = ("red_0", "red_1", "blue_0", "blue_1")


class StoryEngine:
    """Four seats; ``story`` has, per step, who dies in it, and whether it is the time limit."""

    story = ()

    def __init__(self, config, num_games, max_decisions):
        self.config, self.num_games, self.num_seats = config, num_games, 4
        self.seat_sides = (0, 0, 1, 1)
        self.observation_dim, self.feature_names = len(FEATURES), FEATURES
        self.auto_reset = True
        self.seen = Observations(
            torch.zeros(1, 4, len(FEATURES)),
            {"maneuver": torch.ones(1, 4, 14, dtype=torch.bool), "weapon": torch.ones(1, 4, 4, dtype=torch.bool)},
        )
        self.state = {"health": torch.ones(1, 4), "rounds": torch.full((1, 4), 510.0)}
        self.state |= {"missiles_left": torch.full((1, 4), 2.0), "flares": torch.full((1, 4), 8.0)}
        self.reward_terms = torch.zeros(1, len(REWARD_TERMS))
        self.outcome, self.cause = torch.zeros(1, dtype=torch.int32), torch.zeros(1, 4, dtype=torch.int32)
        self.flags = [torch.zeros(1, 4, dtype=torch.bool) for _ in range(3)]
        self.reward = torch.zeros(1, 4)
        self.flown = []

    def reset(self, seed):
        self.clock = 0
        self.state["health"].fill_(1.0)

    def current(self):
        return self.seen

    def step(self, actions):
        self.flown.append({head: tensor.clone() for head, tensor in actions.items()})
        terminated, truncated, alive = self.flags
        alive.copy_(self.state["health"] > 0)
        dead, limit = self.story[self.clock]
        self.clock += 1
        for name in dead:
            self.state["health"][0, NAMES.index(name)] = 0.0
        health = self.state["health"]
        over = any(bool((health[0, side] == 0).all()) for side in (slice(0, 2), slice(2, 4)))
        terminated.copy_(alive & ((health == 0) | over))
        truncated.copy_(alive & ~terminated & limit)
        self.reward.copy_(torch.arange(4.0))
        self.outcome.fill_(1 if over or limit else 0)
        return GameStep(
            self.seen.observation,
            self.seen.masks,
            self.reward,
            terminated,
            truncated,
            self.seen.observation,
            alive,
            self.outcome,
        )


@pytest.fixture
def told(monkeypatch):
    def play(*story):
        monkeypatch.setattr(face, "DogfightEngine", StoryEngine)
        monkeypatch.setattr(face, "agent_names", lambda engine: NAMES)
        monkeypatch.setattr(StoryEngine, "story", story)
        env = face.parallel_env()
        env.reset(seed=0)
        return env, [(env.step({}), list(env.agents)) for _ in story]

    return play


def test_config_is_that_of_the_game():
    assert StoryEngine(DogfightConfig(), 1, None).config.decision_period_s == 0.2


def test_the_dead_leave_at_the_step_of_their_death_and_the_survivors_with_the_last_enemy(told):
    _, steps = told(([], False), (["red_1"], False), ([], False), (["blue_0", "blue_1"], False))
    (_, rewards, terminations, truncations, infos), playing = steps[1]
    assert terminations == {"red_0": False, "red_1": True, "blue_0": False, "blue_1": False}
    assert not any(truncations.values())
    assert infos["red_1"]["alive"] == 0
    assert playing == ["red_0", "blue_0", "blue_1"]
    (observations, rewards, terminations, *_), _ = steps[2]
    assert list(observations) == list(rewards) == list(terminations) == ["red_0", "blue_0", "blue_1"]
    assert rewards == {"red_0": 0.0, "blue_0": 2.0, "blue_1": 3.0}
    (_, _, terminations, truncations, infos), playing = steps[3]
    assert terminations == {"red_0": True, "blue_0": True, "blue_1": True}
    assert not any(truncations.values())
    assert playing == []
    assert {info["outcome"] for info in infos.values()} == {1}


def test_a_time_limit_truncates_everybody_who_still_plays_those_who_die_in_it_too(told):
    _, steps = told((["blue_1"], False), (["red_0"], True))
    (_, _, terminations, truncations, _), playing = steps[1]
    assert terminations == {"red_0": True, "red_1": False, "blue_0": False}
    assert truncations == {"red_0": True, "red_1": True, "blue_0": True}
    assert playing == []


def test_the_dead_and_strangers_may_send_actions_that_nobody_reads(told, monkeypatch):
    env, _ = told((["red_1"], False))
    monkeypatch.setattr(StoryEngine, "story", [([], False)] * 5)
    env.step({"red_1": "nonsense", "green_0": None, "blue_0": {"maneuver": 3, "weapon": 1, "params": np.ones(3)}})
    flown = env.engine.flown[-1]
    assert flown["maneuver"].tolist() == [[0, 0, 3, 0]]
    assert flown["weapon"].tolist() == [[0, 0, 1, 0]]
    assert env.state().shape == env.state_space.shape == (4 * len(FEATURES),)


def test_the_dead_fly_on_nominally(told, monkeypatch):
    monkeypatch.setattr(StoryEngine, "story", [])
    env, _ = told()
    env.engine.story = [(["red_1"], False), ([], False)]
    action = {"maneuver": 5, "weapon": 1, "params": np.ones(3, np.float32)}
    env.step({"red_1": action})
    env.step({"red_0": action})
    assert env.engine.flown[1]["maneuver"].tolist() == [[5, 0, 0, 0]]
    assert env.engine.flown[1]["params"][0, 1].tolist() == [0.0, 0.0, 0.0]
