"""Single agents: CartPole is solved, and what is counted on the way is counted right."""

from pathlib import Path

import pytest
import torch

from headctl.run.config import ConfigError, load_config, parse_config
from headctl.run.peers.cartpole import CONFIG, EPISODES, SOLVED, Race, Returns, solve
from headctl.run.trainer import Trainer
from headctl.selfplay.catalog import describe, make

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_cartpole_is_solved():
    # Seventeen seeds took 54_000 to 65_000 decisions, CleanRL's structure 236_000 and more: docs/performance.md.
    returns = solve(parse_config(CONFIG, ["seed=1"]), limit=100_000)
    assert returns.solved_at is not None


def test_the_run_that_is_measured_is_the_shipped_one():
    assert parse_config(CONFIG, []) == load_config(ROOT / "configs" / "cartpole.yaml")


def test_an_episode_pays_one_per_decision_and_is_terminated_or_cut():
    game = make("gymnasium:CartPole-v1", {"max_episode_steps": 3}, num_games=2, seed=1)
    assert (game.num_seats, game.seat_sides, game.observation_dim, game.pilot_names) == (1, (0,), 4, ())
    first = game.reset(1).observation.clone()
    for _ in range(3):
        step = game.step({"action": torch.tensor([[0], [1]])})
    assert step.truncated.all()
    assert not step.terminated.any()
    assert not torch.equal(step.observation, first), "a new episode has another seed"
    assert not torch.equal(step.observation, step.final_observation)
    assert game.pop_statistics() == {"episode_length": 3.0, "episode_return": 3.0}


def test_every_row_learns_and_the_run_tells_the_return(tmp_path):
    config = parse_config(CONFIG, ["game.num_games=4", "ppo.minibatch_size=64", "total_steps=2048"])
    trainer = Trainer(config, tmp_path)
    assert trainer.collector.rows == 4
    records = list(trainer.iterations())
    assert records[-1]["agent_steps"] == 2048
    assert any(record["env/episode_return"] > 5 for record in records)
    assert all(record["selfplay/games"] == 0 for record in records)
    assert trainer.evaluate() == {}
    again = Trainer(config, tmp_path, resume=True)
    assert again.agent_steps == 2048


def test_environments_with_boxes_have_continuous_heads():
    info = describe("gymnasium:Pendulum-v1", {})
    assert {name: head.kind for name, head in info.heads.items()} == {"action": "gaussian"}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gymnasium:CartPoel-v1", "{}", "game.name: gymnasium:CartPoel-v1: Environment `CartPoel` doesn't exist"),
        ("gymnasium:CartPole-v1", "{lenght: 3}", "lenght"),
        ("gymnasiun:CartPole-v1", "{}", "game.name"),
    ],
)
def test_what_gymnasium_does_not_have_is_refused(name, options, message):
    with pytest.raises(ConfigError, match=message):
        parse_config(f"game: {{name: '{name}', options: {options}}}")


def test_returns_are_added_up_across_rollouts():
    returns = Returns(rows=2)
    returns.add(torch.tensor([[1.0, 2.0], [1.0, 2.0]]), torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
    assert returns.mean == 2.0
    returns.add(torch.tensor([[5.0, 3.0]]), torch.tensor([[1.0, 1.0]]))
    assert returns.mean == pytest.approx((2.0 + 7.0 + 5.0) / 3)
    assert (returns.steps, returns.solved_at) == (6, None)
    returns.add(torch.full((EPISODES // 2, 2), SOLVED), torch.ones(EPISODES // 2, 2))
    assert returns.solved_at == 6 + EPISODES


def test_a_seed_that_was_given_up_counts_as_later_than_all_others():
    race = Race((1, 2, 3), (10, None, 30), (None, None, 5), 99)
    assert race._median(race.own) == 30
    assert race._median(race.cleanrl) is None
    assert race.plain()["headctl"] == [10, None, 30]
