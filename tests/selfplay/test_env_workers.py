"""Environments in processes of their own: the same games, the same faults, the same state."""

import multiprocessing
import os
import signal

import pytest
import torch

from headctl.run.config import ConfigError, parse_config
from headctl.selfplay.env_workers import WorkerError, plans
from headctl.selfplay.faults import GameFaultError
from headctl.selfplay.parallel_env import ParallelEnvGame
from tests.helpers.games import Skirmish, biased_rps
from tests.selfplay.test_faults import Fragile, Plain, waiting


@pytest.fixture
def games():
    made = []

    def make(factory, *, num_games=5, seed=3, workers, **options):
        made.append(ParallelEnvGame(factory, options, num_games=num_games, seed=seed, workers=workers))
        return made[-1]

    yield make
    for game in made:
        game.close()


def copied(step):
    return [
        {name: mask.clone() for name, mask in part.items()} if isinstance(part, dict) else part.clone() for part in step
    ]


def equal(one, other):
    for left, right in zip(one, other, strict=True):
        if isinstance(left, dict):
            assert left.keys() == right.keys()
            assert all(torch.equal(left[name], right[name]) for name in left)
        else:
            assert torch.equal(left, right)


def test_the_games_are_the_same_with_and_without_workers(games):
    alone, shared = games(Skirmish, workers=0), games(Skirmish, workers=2)
    equal(alone.reset(7), shared.reset(7))
    for game in (alone, shared):
        game.set_progress(0.5)
    for _ in range(20):
        actions = {name: action.clone() for name, action in alone.pilot_actions("random").items()}
        equal([shared.pilot_actions("random")], [actions])
        equal(copied(alone.step(actions)), copied(shared.step(actions)))
    assert alone.pop_statistics() == shared.pop_statistics()
    assert torch.equal(alone.state_dict()["observation"], shared.state_dict()["observation"])


def test_a_state_goes_from_workers_to_none_and_back(games):
    first = games(Skirmish, workers=1)
    for _ in range(5):
        first.step({name: action.clone() for name, action in first.pilot_actions("random").items()})
    state = first.state_dict()
    for workers in (0, 3):
        other = games(Skirmish, workers=workers, seed=99)
        seen = other.load_state_dict(state)
        assert torch.equal(seen.observation, state["observation"])
    actions = {name: action.clone() for name, action in first.pilot_actions("random").items()}
    equal(copied(first.step(actions)), copied(other.step(actions)))


def test_a_fault_comes_out_alike_with_and_without_workers(games):
    alone, shared = (games(Fragile, workers=workers, num_games=3) for workers in (0, 2))
    found = []
    for game in (alone, shared):
        game.step(waiting(game))
        with pytest.raises(
            GameFaultError, match=r"Fragile has raised in game 0, .*ValueError: the wing broke"
        ) as error:
            game.step(waiting(game))
        found.append(error.value.reproduction)
    assert found[0] == found[1]


def test_more_workers_than_games_are_not_started(games):
    game = games(Plain, workers=8, num_games=2, where="")
    assert len(game._block._processes) == 1, "this process plays the other game"
    game.step(waiting(game))


def test_blocks_share_out_all_games_in_order():
    found = [(plan.first, plan.stop) for plan in plans(biased_rps, {}, {}, 7, 3)]
    assert found == [(0, 2), (2, 4), (4, 7)]


def test_a_worker_that_is_killed_is_no_silence(games):
    game = games(Plain, workers=1, num_games=2, where="")
    os.kill(game._block._processes[0].pid, signal.SIGKILL)
    game._block._processes[0].join()
    with pytest.raises(WorkerError, match="has ended with exit code -9"):
        game.step(waiting(game))


def test_workers_end_with_the_game(games):
    game = games(Plain, workers=1, where="")
    processes = game._block._processes
    game.close()
    assert not any(process.is_alive() for process in processes)
    game.close()
    assert not [child for child in multiprocessing.active_children() if child in processes]


def test_a_game_that_cannot_travel_is_refused():
    def made_here():
        return biased_rps()

    with pytest.raises(ValueError, match=r"game.workers: the game cannot be handed to another process"):
        ParallelEnvGame(made_here, {}, num_games=2, seed=1, workers=2)


def test_an_environment_that_cannot_be_made_there_says_why():
    with pytest.raises(OSError, match="no more licences"):
        ParallelEnvGame(OnlyHere, {"here": os.getpid()}, num_games=2, seed=1, workers=1)


class OnlyHere(Skirmish):
    def __init__(self, *, here):
        if os.getpid() != here:
            raise OSError("no more licences")
        super().__init__()


def test_workers_of_a_batched_game_are_a_contradiction():
    with pytest.raises(ConfigError, match=r"game.workers: 2 processes have nothing to do"):
        parse_config("game: {workers: 2}")
    assert parse_config("game: {name: 'tests.helpers.games:biased_rps', workers: 2}").game.workers == 2
