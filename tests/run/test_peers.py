"""The comparison with other trainers: same work, counted; everybody learns; one that is not installed is left out."""

import importlib.util
import math
import signal
import warnings
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from gymnasium import spaces

from headctl.cli import main
from headctl.run.config import parse_config
from headctl.run.peers import contest
from headctl.run.peers.ceiling import _ceiling, products
from headctl.run.peers.command import DEFAULTS, PeersError, work_of
from headctl.run.peers.contest import TRAINERS, UnequalAccountsError, compete, entries
from headctl.run.peers.games import BatchedRows, DiscreteRows, PettingZooRows
from headctl.run.peers.streams import GlobalStream, kept_settings
from headctl.run.peers.view import lead, plain, ratio
from headctl.run.peers.work import BATCHED, PETTINGZOO, ROUTES, Account, Entry, PeerMissingError, UnequalWorkError, Work

LIBRARIES = {
    "headctl": (),
    "headctl-by-env": (),
    "cleanrl": (),
    "sb3": ("stable_baselines3", "supersuit"),
    "pufferlib": ("pufferlib", "numba"),
    "torchrl": ("torchrl", "tensordict"),
}
CUE = Work(
    game="tests.helpers.cue:parallel_env",
    face="tests.helpers.cue:parallel_env",
    options={},
    discrete={"layout": "multidiscrete"},
    games=8,
    steps=32,
    minibatch=128,
    hidden=(32, 32),
    gamma=0.5,
    learning_rate=3e-3,
)
SMALL = Work(games=2, steps=8, minibatch=16, hidden=(16, 16), epochs=2)


def installed(name):
    missing = [library for library in LIBRARIES[name] if importlib.util.find_spec(library) is None]
    return not missing


def trainer(name, route, work):
    if not installed(name):
        pytest.skip(f"{name} is not installed")
    (entry,) = entries([name], [route]) or [None]
    if entry is None:
        pytest.skip(f"{name} does not play {route}")
    try:
        return entry.make(work)
    except PeerMissingError as error:
        pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("name", TRAINERS)
def test_every_trainer_learns_to_say_what_it_sees(name, route):
    contestant = trainer(name, route, CUE)
    try:
        contestant.iterate()
        first = contestant.mean_reward()
        for _ in range(14):
            contestant.iterate()
        last = contestant.mean_reward()
    finally:
        contestant.close()
    assert first < 0.45, "chance is a quarter"
    assert last > 0.75


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("name", TRAINERS)
def test_every_trainer_does_the_work_that_it_is_given_on_the_dogfight(name, route):
    contestant = trainer(name, route, SMALL)
    try:
        assert contestant.rows == 4
        contestant.iterate()
        before = contestant.account()
        contestant.iterate()
        assert contestant.account().since(before) == Account(agent_steps=32, gradient_steps=4, samples=64)
        assert contestant.features == 44
    finally:
        contestant.close()


def test_unequal_sizes_are_refused_before_anybody_starts():
    with pytest.raises(UnequalWorkError, match=r"ppo.minibatch_size: 24 must divide the 32 rows"):
        Work(steps=8, minibatch=24).gradient_steps(4)
    assert SMALL.gradient_steps(4) == 4


class Stub:
    outputs, features, rows = 5, 4, 4

    def __init__(self, work, *, forget=False):
        self._work, self._forget, self._rounds = work, forget, 0
        self.closed = False

    def iterate(self):
        self._rounds += 1

    def account(self):
        steps = self._work.gradient_steps(self.rows) * self._rounds - int(self._forget)
        return Account(self.rows * self._work.steps * self._rounds, steps if self._rounds > 1 else 0, 0)

    def mean_reward(self):
        return 0.0

    def close(self):
        self.closed = True


def test_who_does_other_work_than_the_rest_ends_the_comparison():
    made = []

    def make(work):
        made.append(Stub(work, forget=True))
        return made[-1]

    with pytest.raises(UnequalAccountsError, match="lazy, batched: did Account"):
        compete(SMALL, [Entry("lazy", BATCHED, "", make)], repetitions=1)
    assert made[0].closed


def test_who_is_not_installed_is_left_out_with_the_reason(monkeypatch):
    monkeypatch.setitem(
        contest.TRAINERS, "sb3", ("stable_baselines", "make_stable_baselines", dict.fromkeys(ROUTES, ""))
    )
    monkeypatch.setattr("importlib.import_module", _without("stable_baselines3"))
    taking_part = entries(["headctl", "sb3"], [BATCHED])
    own, other = compete(SMALL, taking_part, repetitions=1)
    assert "No module named 'stable_baselines3'" in other.missing
    assert own.rates
    assert math.isnan(lead([own, other], BATCHED))
    assert plain(SMALL, [own, other], {})["trainers"][1]["left_out"] == other.missing


def _without(name):
    real = importlib.import_module

    def load(module, *rest):
        if module == name:
            raise ImportError(f"No module named {name!r}", name=name)
        return real(module, *rest)

    return load


def test_ratios_are_taken_within_a_round():
    own, other = (contest.Standing(entry) for entry in entries(["headctl", "cleanrl"], [BATCHED]))
    own.rates, other.rates = [10.0, 20.0, 30.0], [5.0, 5.0, 30.0]
    assert ratio(other, [own, other]) == 2.0
    assert lead([own, other], BATCHED) == 2.0


def test_operations_of_a_training_add_up_to_the_hand_count():
    # Forward: 2 (4*8 + 8*3) = 112; per epoch forward, gradient of the weights, and of the second layer's input 2*8*3.
    work = Work(epochs=2, minibatch=16, steps=8, hidden=(8,))
    parts = products(work, features=4, outputs=2, rows=4)
    assert sum(part.operations for part in parts) == pytest.approx(112 + 2 * (112 + 112 + 48))
    assert _ceiling(parts).agent_steps_per_s > 0.0


def test_both_routes_show_other_trainers_the_same_game():
    batched, single = BatchedRows(SMALL), PettingZooRows(SMALL)
    assert (batched.rows, batched.features) == (single.rows, single.features)
    assert batched.action_space.spaces.keys() == single.action_space.spaces.keys()
    seen, also = batched.reset(1), single.reset(1)
    assert seen.masks.keys() == also.masks.keys()
    # The first game of the batch and the first environment have the same seed and number.
    np.testing.assert_allclose(seen.observation[:2], np.clip(also.observation[:2], -10, 10), atol=1e-5)


def test_bins_of_a_box_are_spread_over_its_range():
    class Recorder:
        action_space = spaces.Dict({"a": spaces.Discrete(3), "b": spaces.Box(-2.0, 4.0, (2,), np.float32)})
        rows, features = 2, 1

        def reset(self, seed):
            raise NotImplementedError

        def step(self, actions: Mapping):
            self.taken = actions

    recorder = Recorder()
    discrete = DiscreteRows(recorder, bins=3)
    assert discrete.nvec.tolist() == [3, 3, 3]
    discrete.step(np.array([[2, 0, 1], [1, 2, 2]]))
    assert recorder.taken["a"].tolist() == [2, 1]
    assert recorder.taken["b"].tolist() == [[-2.0, 1.0], [4.0, 4.0]]


def test_other_trainers_leave_the_streams_and_settings_of_the_process_alone():
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 - the global stream is under test
    before, drawn = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - as above
    stream = GlobalStream(1)
    with stream.in_place():
        first = torch.rand(1)
        torch.manual_seed(99)
        np.random.seed(99)  # noqa: NPY002 - as above
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], drawn)  # noqa: NPY002 - as above
    assert first == torch.rand(1, generator=torch.Generator().manual_seed(1))
    handler, filters = signal.getsignal(signal.SIGINT), list(warnings.filters)
    with kept_settings():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        warnings.simplefilter("error")
    assert signal.getsignal(signal.SIGINT) is handler
    assert warnings.filters == filters


def test_the_command_prints_who_did_what():
    sizes = ("game.num_games=2", "ppo.rollout_steps=8", "ppo.minibatch_size=16", "policy.hidden=[16]")
    words = ["bench", "peers", "--trainers", "cleanrl", "--repetitions", "1", *sizes]
    done = CliRunner().invoke(main, [*words, "--workers", "0"])
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())  # lines break where the numbers before leave room
    assert "Through PettingZoo" in said
    assert "32 agent-steps, 8 gradient steps, 128 samples" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--trainers", "cleanrll"], "Did you mean 'cleanrl'"),
        (["--routes", "petting"], "Did you mean 'pettingzoo'"),
        (["ppo.minibatch_size=1000"], "must divide"),
        (["game.name=tests.helpers.cue:parallel_env", "game.options={}"], "needs a game in a batched"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(words, message):
    done = CliRunner().invoke(main, ["bench", "peers", *words])
    assert done.exit_code == 2
    assert message in done.output


def test_the_work_is_that_of_the_configuration():
    work = work_of(parse_config("", [*DEFAULTS, "ppo.epochs=3", "policy.hidden=[64]"]))
    assert (work.games, work.steps, work.epochs, work.hidden) == (64, 128, 3, (64,))
    assert work.options == {"missiles": 0, "flares": 0}
    with pytest.raises(PeersError):
        work_of(parse_config("game: {name: 'tests.helpers.games:pennies'}", []))
    assert PETTINGZOO in ROUTES
