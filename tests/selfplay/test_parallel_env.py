"""Any ParallelEnv as a batch of games."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from gymnasium import spaces
from pettingzoo import ParallelEnv

from headctl.policy.actions import ActionHeads, describe_space, resolve_heads
from headctl.selfplay.games import DRAW, FIRST_WON, RUNNING, SECOND_WON
from headctl.selfplay.parallel_env import ParallelEnvGame, describe_parallel_env, sides_of
from tests.helpers.games import Counter, MatrixGame, Skirmish, biased_rps, pennies


def make(factory, *, num_games=3, seed=0, **options):
    return ParallelEnvGame(factory, options, num_games=num_games, seed=seed)


def same_step(a, b):
    for left, right in zip(a, b, strict=True):
        if isinstance(left, dict):
            assert left.keys() == right.keys()
            assert all(torch.equal(left[name], right[name]) for name in left)
        else:
            assert torch.equal(left, right)


def copied(step):
    return type(step)(
        *({k: v.clone() for k, v in part.items()} if isinstance(part, dict) else part.clone() for part in step)
    )


def test_matching_pennies_with_a_bare_action_space():
    game = make(pennies)
    assert list(game.action_space.spaces) == ["action"]
    assert (game.num_games, game.num_seats, game.seat_sides, game.observation_dim) == (3, 2, (0, 1), 1)
    seen = game.reset(1)
    assert seen.observation.shape == (3, 2, 1)
    assert seen.masks == {}
    step = game.step({"action": torch.tensor([[0, 0], [0, 1], [1, 1]])})
    assert step.reward.tolist() == [[1, -1], [-1, 1], [1, -1]]
    assert step.terminated.all()
    assert not step.truncated.any()
    assert step.outcome.tolist() == [FIRST_WON, SECOND_WON, FIRST_WON]  # from the returns: the game says nothing
    assert (step.observation.dtype, step.reward.dtype) == (torch.float32, torch.float32)


def test_equal_returns_are_a_draw():
    step = make(biased_rps).step({"hand": torch.tensor([[0, 0], [1, 2], [2, 1]])})
    assert step.outcome.tolist() == [DRAW, SECOND_WON, FIRST_WON]
    assert step.reward[1].tolist() == pytest.approx([-1 / 3, 1 / 3])


def waiting(game, **acts):
    """Everybody waits, save for agents named in ``acts``: (choice, aim)."""
    actions = {
        "act": torch.zeros(game.num_games, game.num_seats, dtype=torch.int64),
        "aim": torch.full((game.num_games, game.num_seats, 1), 10.0),
    }
    for agent, choice in acts.items():
        actions["act"][:, game.agents.index(agent)] = choice
    return actions


def test_masks_and_observations_of_a_dict_space():
    game = make(Skirmish)
    seen = game.reset(0)
    assert game.observation_dim == 4  # the mask is no feature
    assert seen.masks["act"].dtype == torch.bool
    assert seen.masks["act"].all()
    assert (seen.observation[:, :, 0] == 0).all()
    step = game.step(waiting(game))
    assert step.masks["act"].tolist() == [[[True, True, False]] * 4] * 3
    assert (step.observation[:, :, 0] == 1).all()


def test_deaths_end_the_episode_for_the_dead_alone():
    game = make(Skirmish, num_games=1)
    step = game.step(waiting(game, red_0=2))  # an aim of 10 never misses
    assert step.alive.tolist() == [[True] * 4]
    assert step.terminated.tolist() == [[False, False, True, False]]
    assert step.reward.tolist() == [[0.5, 0.5, -1.0, 0.5]]
    assert step.outcome.tolist() == [RUNNING]
    step = game.step(waiting(game))
    assert step.alive.tolist() == [[True, True, False, True]]
    assert not step.terminated.any()
    step = game.step(waiting(game, red_1=2))
    assert step.terminated.tolist() == [[True, True, False, True]]
    assert step.outcome.tolist() == [FIRST_WON]
    assert step.alive.tolist() == [[True, True, False, True]]
    assert step.final_observation[0, 0].tolist()[2:] == [2, 0]
    assert step.observation[0, :, 2:].tolist() == [[2, 2]] * 4  # the next episode has begun
    assert game.step(waiting(game)).alive.all()


def test_a_time_limit_truncates_and_shows_the_final_state():
    game = make(Counter, num_games=2, limit=2)
    running = copied(game.step({"stop": torch.tensor([[0, 0], [1, 0]])}))
    assert running.truncated.tolist() == [[False, False], [False, False]]
    assert running.terminated.tolist() == [[False, False], [True, True]]
    assert running.final_observation.flatten().tolist() == [1, 1, 1, 1]
    assert running.observation.flatten().tolist() == [1, 1, 0, 0]
    cut = game.step({"stop": torch.tensor([[0, 0], [0, 0]])})
    assert cut.truncated.tolist() == [[True, True], [False, False]]
    assert not cut.terminated.any()
    assert cut.final_observation.flatten().tolist() == [2, 2, 1, 1]
    assert cut.observation.flatten().tolist() == [0, 0, 1, 1]
    assert cut.outcome.tolist() == [FIRST_WON, RUNNING]
    assert game.pop_statistics()["episode_length"] == 1.5
    assert np.isnan(game.pop_statistics()["episode_length"])


def test_an_episode_is_over_when_nobody_goes_on_even_if_the_game_forgets_to_say_so():
    game = make(Counter, num_games=1, limit=2, forget_agents=True)
    game.step({"stop": torch.zeros(1, 2, dtype=torch.int64)})
    assert game.step({"stop": torch.zeros(1, 2, dtype=torch.int64)}).observation.flatten().tolist() == [0, 0]


class Leaver(Counter):
    """Its agents leave without a word."""

    def step(self, actions):
        observations, rewards, *_ = super().step(actions)
        nothing = dict.fromkeys(self.possible_agents, False)
        return observations, rewards, nothing, nothing, {agent: {} for agent in self.possible_agents}


def test_an_agent_that_leaves_without_a_word_has_terminated():
    game = make(Leaver, num_games=1, limit=1)
    step = game.step({"stop": torch.zeros(1, 2, dtype=torch.int64)})
    assert step.terminated.all()
    assert step.outcome.tolist() == [FIRST_WON]


def test_random_pilots_choose_every_legal_action_and_no_other():
    game = make(Skirmish, num_games=40, limit=30)  # the game itself asserts legality
    ready = game.reset(0).masks["act"][..., 2].clone()
    counts = torch.zeros(2, 3)
    for _ in range(40):
        actions = game.pilot_actions("random")
        assert ((actions["aim"] >= 0) & (actions["aim"] <= 10)).all()
        for legal in (0, 1):
            counts[legal] += torch.bincount(actions["act"][ready == bool(legal)], minlength=3)
        ready = game.step(actions).masks["act"][..., 2].clone()
    assert counts[0, 2] == 0
    torch.testing.assert_close(counts[1] / counts[1].sum(), torch.full((3,), 1 / 3), atol=0.05, rtol=0)
    torch.testing.assert_close(counts[0, :2] / counts[0].sum(), torch.full((2,), 1 / 2), atol=0.05, rtol=0)
    with pytest.raises(ValueError, match=r"unknown pilot: 'ace'. Allowed: random"):
        game.pilot_actions("ace")


def play(game, steps):
    return [copied(game.step(game.pilot_actions("random"))) for _ in range(steps)]


def test_a_seed_gives_the_same_games_whatever_was_played_before():
    game = make(Skirmish, num_games=4, seed=5)
    game.reset(9)
    first = play(game, 25)
    game.reset(9)
    for a, b in zip(first, play(game, 25), strict=True):
        same_step(a, b)
    game.reset(10)
    assert not torch.equal(first[0].observation, play(game, 1)[0].observation)


def test_a_game_does_not_depend_on_how_many_run_beside_it():
    few, many = make(Skirmish, num_games=2, seed=3), make(Skirmish, num_games=5, seed=3)
    for _ in range(20):
        step = few.step(waiting(few))
        other = many.step(waiting(many))
        assert torch.equal(step.observation, other.observation[:2])


@pytest.mark.parametrize("steps", [0, 1, 13, 80])
def test_a_state_restores_the_running_episodes_exactly(steps):
    game = make(Skirmish, num_games=5, seed=4)
    game.set_progress(0.25)
    play(game, steps)
    state = game.state_dict()
    ahead = play(game, 30)
    other = make(Skirmish, num_games=5, seed=99)
    play(other, 3)
    seen = other.load_state_dict(state)
    assert torch.equal(seen.observation, state["observation"])
    assert other._block.envs[0].progress == 0.25
    for a, b in zip(ahead, play(other, 30), strict=True):
        same_step(a, b)


def test_a_state_survives_torch_save(tmp_path):
    game = make(Skirmish, num_games=2)
    play(game, 5)
    torch.save(game.state_dict(), tmp_path / "state.pt")
    other = make(Skirmish, num_games=2, seed=8)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for a, b in zip(play(game, 10), play(other, 10), strict=True):
        same_step(a, b)


def test_a_game_that_ignores_its_seed_is_resumed_with_a_warning_and_shows_what_is():
    game = make(Skirmish, num_games=3, shared_seed=False)
    play(game, 5)
    with pytest.warns(RuntimeWarning, match="did not repeat its episodes"):
        seen = game.load_state_dict(game.state_dict())
    assert torch.equal(seen.observation, game._observations().observation)
    play(game, 5)  # whose masks hold: the game asserts that


def test_a_state_of_another_number_of_games_is_refused():
    with pytest.raises(ValueError, match="num_games: the state is of 3 games, here are 2"):
        make(pennies, num_games=2).load_state_dict(make(pennies, num_games=3).state_dict())


def test_actions_reach_the_game_in_its_own_dtype_and_inside_its_box():
    class Tight(Counter):
        def __init__(self):
            super().__init__()
            self._actions = spaces.Dict({"aim": spaces.Box(-0.1, 0.1, (1,), np.float64)})

        def step(self, actions):
            for action in actions.values():
                assert self._actions.contains(action)
                assert action["aim"].dtype == np.float64
            return super().step({"red_0": {"stop": 0}})

    # The float32 nearest to 0.1 is larger than 0.1.
    make(Tight, num_games=1).step({"aim": torch.tensor([[[0.1], [-0.1]]])})


# Games that cannot be used ------------------------------------------------------------------------------------------


def with_space(kind, per_agent):
    class Other(Counter):
        def action_space(self, agent):
            return per_agent(agent) if kind == "action" else super().action_space(agent)

        def observation_space(self, agent):
            return per_agent(agent) if kind == "observation" else super().observation_space(agent)

    return Other


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        (
            with_space("action", lambda agent: spaces.Discrete(2 if agent == "red_0" else 3)),
            r"action_space: both sides share one policy, but 'blue_0' has Discrete\(3\)",
        ),
        (
            with_space("observation", lambda agent: spaces.Box(0, 1, (1 + (agent == "red_0"),))),
            "observation_space: both sides share one policy",
        ),
        (with_space("action", lambda agent: spaces.Tuple([spaces.Discrete(2)])), "action space 'action': a head is"),
        (
            with_space(
                "observation",
                lambda agent: spaces.Dict({"o": spaces.Box(0, 1, (1,)), "mask_stop": spaces.Box(0, 1, (1,), np.int8)}),
            ),
            r"observation_space\['mask_stop'\]: the mask of head 'stop' needs the shape \(2,\)",
        ),
        (
            with_space(
                "observation",
                lambda agent: spaces.Dict({"o": spaces.Box(0, 1, (1,)), "mask_stpo": spaces.Box(0, 1, (2,), np.int8)}),
            ),
            r"observation_space\['mask_stpo'\]: a mask of an unknown discrete head: 'stpo'. Did you mean 'stop'",
        ),
    ],
)
def test_spaces_that_cannot_be_used_are_refused(factory, words):
    with pytest.raises(ValueError, match=words):
        make(factory)


class Panel(ParallelEnv):
    """One decision: three dials (a MultiDiscrete) and three switches (a MultiBinary), each with masks."""

    metadata: ClassVar = {"name": "panel"}
    MASKS: ClassVar = {"mask_dials": [1, 1, 0, 0, 1, 1, 1, 0, 1], "mask_switches": [1, 0, 1]}

    def __init__(self):
        self.possible_agents = ["red_0", "blue_0"]
        self.agents = []
        self.taken = []
        masks = {name: spaces.Box(0, 1, (len(mask),), np.int8) for name, mask in self.MASKS.items()}
        self._observations = spaces.Dict({"seen": spaces.Box(0, 1, (1,), np.float32)} | masks)
        self._actions = spaces.Dict({"dials": spaces.MultiDiscrete([3, 2, 4]), "switches": spaces.MultiBinary(3)})

    def observation_space(self, agent):
        return self._observations

    def action_space(self, agent):
        return self._actions

    def _see(self):
        masks = {name: np.array(mask, np.int8) for name, mask in self.MASKS.items()}
        return {agent: {"seen": np.zeros(1, np.float32)} | masks for agent in self.possible_agents}

    def reset(self, seed=None, options=None):
        self.agents = list(self.possible_agents)
        return self._see(), {agent: {} for agent in self.agents}

    def step(self, actions):
        for action in actions.values():
            assert self._actions.contains(action), action
            assert action["dials"][0] != 2
            assert action["dials"][1] == 1
            assert action["dials"][2] != 2
            assert action["switches"][1] == 0
        rewards = {agent: float(action["dials"].sum()) for agent, action in actions.items()}
        self.agents = []
        over = dict.fromkeys(self.possible_agents, True)
        return self._see(), rewards, over, dict.fromkeys(over, False), {agent: {} for agent in over}


def test_dials_and_switches_are_played_by_policies_and_pilots():
    game = make(Panel, num_games=64)
    seen = game.reset(0)
    assert seen.masks["dials"].shape == (64, 2, 9)
    assert seen.masks["switches"].tolist() == [[[True, False, True]] * 2] * 64
    heads = ActionHeads(resolve_heads(describe_space(game.action_space), {}), game.action_space)
    params = torch.zeros(64, 2, heads.num_params)
    drawn = heads.sample(params, seen.masks, torch.Generator().manual_seed(0))
    step = game.step(heads.to_game(drawn))  # the game asserts that everything is legal
    assert torch.equal(step.reward, drawn["dials"].sum(-1).float())
    piloted = game.pilot_actions("random")
    game.step(piloted)
    for actions in (drawn, piloted):
        assert actions["dials"].dtype == actions["switches"].dtype == torch.int64
        assert [sorted(set(column.tolist())) for column in actions["dials"].flatten(0, 1).T] == [[0, 1], [1], [0, 1, 3]]
        switches = actions["switches"].flatten(0, 1)
        assert [sorted(set(column.tolist())) for column in switches.T] == [[0, 1], [0], [0, 1]]
    assert describe_parallel_env(Panel, {})["dials"]["choices"] == [3, 2, 4]


def test_sides_follow_from_names():
    assert sides_of(["alice", "bob"]) == (0, 1)
    assert sides_of(["red_0", "blue_0", "red_1", "blue_1"]) == (0, 1, 0, 1)
    with pytest.raises(ValueError, match=r"a game has two sides; the agents .* form 3"):
        sides_of(["red_0", "blue_0", "green_0"])
    assert sides_of(["hero"]) == (0,)
    with pytest.raises(ValueError, match="form 1"):
        sides_of(["crew_0", "crew_1", "crew_2"])


def test_a_wrong_outcome_is_named():
    class Odd(Counter):
        def step(self, actions):
            *rest, infos = super().step(actions)
            return *rest, {agent: {"outcome": 7} for agent in infos}

    with pytest.raises(ValueError, match=r"infos\[agent\]\['outcome'\]: expected 1, 2 or 3 .*got 7"):
        make(Odd, limit=1).step({"stop": torch.zeros(3, 2, dtype=torch.int64)})


def test_describing_a_game_tells_its_heads():
    assert describe_parallel_env(Skirmish, {"limit": 4}) == {
        "act": {"kind": "categorical", "choices": 3},
        "aim": {"kind": "gaussian", "dims": 1},
    }
    assert describe_parallel_env(MatrixGame, {"payoff": [[0, 1], [-1, 0]], "head": None}) == {
        "action": {"kind": "categorical", "choices": 2}
    }


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda kept: kept.half() if kept.is_floating_point() else kept.to(torch.int32), "expected (float32|int64)"),
        (lambda kept: kept[:-1], "expected"),
        (lambda kept: kept.unsqueeze(-1).expand(*kept.shape, 2), "expected"),
    ],
)
def test_decisions_of_another_shape_or_kind_are_refused_and_nothing_changes(change, told):
    game = make(Skirmish, num_games=2)
    play(game, 5)
    state = game.state_dict()
    for head in state["history"]:
        damaged = state | {"history": state["history"] | {head: change(state["history"][head])}}
        with pytest.raises(ValueError, match=rf"history\.{head}: {told}"):
            game.load_state_dict(damaged)
        with pytest.raises(ValueError, match="history: the state is of the heads"):
            game.load_state_dict(state | {"history": {head: state["history"][head]}})
    assert repr(game.state_dict()) == repr(state)
    play(game, 5)
