"""The host asks the device once per epoch and per rollout, not once per minibatch and per step."""

import torch

from headctl.ppo.learner import PPOLearner, PPOOptions
from headctl.run.agent import build_agent
from headctl.run.config import parse_config
from headctl.selfplay.catalog import make
from headctl.selfplay.collector import SelfPlayCollector
from headctl.selfplay.league import Snapshot
from tests.helpers.device_questions import questions

GAME = ("game.name=dogfight", "game.num_games=8", "game.options={time_limit_s: 5}", "policy.hidden=[8]")


class Pool:
    def __init__(self, policy):
        self.snapshot = Snapshot.of(policy, 0)

    def draw(self, count):
        return [self.snapshot] * count


def make_loop(steps, minibatch_size):
    config = parse_config("", (*GAME, "ppo.rollout_steps=8", "ppo.minibatch_size=8"))
    game = make("dogfight", config.game.options, num_games=8, seed=1)
    policy, controller = build_agent(config, game, torch.Generator().manual_seed(1))
    collector = SelfPlayCollector(
        game,
        policy,
        Pool(policy),
        steps=steps,
        latest_share=0.5,
        slots=2,
        slot_iterations=8,
        generator=torch.Generator().manual_seed(2),
        seed=1,
    )
    options = PPOOptions(epochs=2, minibatch_size=minibatch_size, target_kl=None)
    learner = PPOLearner(policy, controller, options, torch.Generator().manual_seed(3))
    learner._hand = learner._hand_step = None  # as on a GPU: what is done by hand is done on the CPU alone
    return collector, learner


def asked(steps, minibatch_size):
    collector, learner = make_loop(steps, minibatch_size)
    collector.collect()
    with questions() as played:
        rollout, last_value, _ = collector.collect()
    assert (rollout.bootstrap != 0.0).any(), "the time limit has cut nobody: the test shows nothing"
    with questions() as learned:
        updates = learner.update(rollout, last_value, 0.0)["ppo/updates"]
    return played, learned, updates


def test_questions_grow_neither_with_the_steps_nor_with_the_minibatches(monkeypatch):
    # Rows are ordered on the CPU alone, where nobody waits for the answer.
    monkeypatch.setattr("headctl.ppo.rollout.in_order", lambda numbers, below: numbers)
    short, few, two = asked(steps=32, minibatch_size=10_000)
    long, many, twelve = asked(steps=96, minibatch_size=200)
    assert two == 2
    assert twelve >= 12
    assert short == long
    assert few == many
    assert sum(short.values()) <= 3  # who was cut, agent-steps, results
    assert sum(few.values()) <= 8  # is it finite, one per epoch, explained variance, gradients, the controller's books


def test_questions_are_found():
    tensor = torch.tensor([1.0, 0.0])
    with questions() as found:
        bool(tensor[0] > 0)
        tensor.sum().item()
        tensor.tolist()
        tensor[tensor > 0] = 2.0
        tensor.nonzero()
        tensor.masked_fill_(tensor > 0, 1.0)
        tensor + tensor
    assert found == {"aten::_local_scalar_dense": 2, "tolist": 1, "aten::index_put_": 1, "aten::nonzero": 1}
