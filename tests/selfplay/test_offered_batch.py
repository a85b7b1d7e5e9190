"""An environment that offers a batch of itself."""

import pytest
from headctl_envs import dogfight_v0
from pettingzoo.utils import BaseParallelWrapper

from headctl.selfplay.catalog import make
from headctl.selfplay.games import mask_sizes
from headctl.selfplay.parallel_env import ParallelEnvGame, offered_batch
from tests.helpers.games import pennies

FACE = "headctl_envs.dogfight_v0:parallel_env"
GUNS = {"missiles": 0, "flares": 0}


def test_an_environment_is_played_as_the_batch_that_it_offers():
    offered = make(FACE, GUNS, num_games=3, seed=4)
    assert type(offered).__name__ == "FaceBatch"
    by_env = make(FACE, GUNS, num_games=3, seed=4, batched=False)
    assert isinstance(by_env, ParallelEnvGame)
    for name in ("num_games", "num_seats", "seat_sides", "observation_dim", "action_space", "pilot_names"):
        assert getattr(offered, name) == getattr(by_env, name), name
    assert mask_sizes(offered.reset(4)) == mask_sizes(by_env.reset(4))
    by_env.close()


def test_a_wrapper_may_have_changed_the_game_so_its_batch_is_not_taken():
    def wrapped(**options):
        return BaseParallelWrapper(dogfight_v0.parallel_env(**options))

    assert callable(wrapped(**GUNS).vector_game), "the wrapper passes the method through"
    assert offered_batch(wrapped, GUNS, num_games=2, seed=1, device="cpu") is None
    assert offered_batch(pennies, {}, num_games=2, seed=1, device="cpu") is None


def test_a_batch_of_another_game_is_refused():
    class Other(dogfight_v0.parallel_env):
        def vector_game(self, num_games, *, seed=0, device="cpu"):
            return dogfight_v0.parallel_env(team_size=2, **GUNS).vector_game(num_games, seed=seed, device=device)

    with pytest.raises(ValueError, match=r"vector_game: the batch has the sides of the seats \(0, 0, 1, 1\)"):
        offered_batch(Other, GUNS, num_games=2, seed=1, device="cpu")
