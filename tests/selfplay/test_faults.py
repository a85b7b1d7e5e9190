"""A game that raises: who, where, and what it takes to see it again."""

import numpy as np
import pytest
import torch

from headctl.selfplay.faults import GameFaultError
from headctl.selfplay.games import DRAW
from headctl.selfplay.parallel_env import ParallelEnvGame
from tests.helpers.games import Skirmish


class Fragile(Skirmish):
    """Raises in its second decision, or in its second reset."""

    def __init__(self, *, where="step", reward=None):
        super().__init__(limit=3)
        self.where, self.reward, self.resets = where, reward, 0

    def reset(self, seed=None, options=None):
        self.resets += 1
        if self.where == "reset" and self.resets == 2:
            raise OSError("out of memory")
        return super().reset(seed, options)

    def step(self, actions):
        if self.where == "step" and self._time == 1:
            raise ValueError("the wing\nbroke")
        observations, rewards, *rest = super().step(actions)
        return observations, rewards if self.reward is None else dict.fromkeys(rewards, self.reward), *rest


def waiting(game):
    return {
        "act": torch.zeros(game.num_games, game.num_seats, dtype=torch.int64),
        "aim": torch.full((game.num_games, game.num_seats, 1), 5.0),
    }


def test_an_error_in_a_step_comes_with_seed_and_actions():
    game = ParallelEnvGame(Fragile, {}, num_games=2, seed=4)
    game.step(waiting(game))
    with pytest.raises(
        GameFaultError, match=r"Fragile has raised in game 0, episode 0, seed \d+, step 2: ValueError: the wing broke"
    ):
        game.step(waiting(game))
    with pytest.raises(GameFaultError) as error:
        game.step(waiting(game))
    found = error.value.reproduction
    assert found["seed"] == game._episode_seed(0, 0)
    assert found["step"] == len(found["actions"]) == 2
    assert found["actions"][0]["red_0"] == {"act": 0, "aim": [5.0]}
    assert isinstance(error.value.__cause__, ValueError)


def test_an_error_in_a_reset_names_the_episode_that_was_to_begin():
    game = ParallelEnvGame(Fragile, {"where": "reset"}, num_games=1, seed=4)
    for _ in range(2):
        game.step(waiting(game))
    with pytest.raises(GameFaultError, match=r"episode 1, seed \d+, step 0: OSError: out of memory") as error:
        game.step(waiting(game))
    assert error.value.reproduction["seed"] == game._episode_seed(0, 1)
    assert error.value.reproduction["actions"] == []


def test_rewards_that_are_no_numbers_decide_nothing():
    options = {"where": "", "reward": float("nan")}
    game = ParallelEnvGame(Plain, options, num_games=1, seed=4)
    for _ in range(3):
        step = game.step(waiting(game))
    assert step.outcome.tolist() == [DRAW]
    assert np.isnan(step.reward.numpy()).all()


class Plain(Fragile):
    """Does not say who won."""

    def __init__(self, **options):
        super().__init__(**options)
        self.outcome = False
