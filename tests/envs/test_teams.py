"""Two against two to four against four: seats, death, victory, rewards, targets, observation blocks, symmetry."""

import numpy as np
import pytest
import torch
from headctl_envs.dogfight.config import CAUSES, REWARD_TERMS, DogfightConfig
from headctl_envs.dogfight.engine import DogfightEngine
from headctl_envs.dogfight.world import MISSILE_FIELDS, MOTION_FIELDS

from tests.helpers.dogfights import actions, copied, engine_with, random_actions
from tests.helpers.flight_probe import aircraft

RED, BLUE, DRAW = 1, 2, 3


def lone(**changes):
    return aircraft(**{"north": 40000.0, **changes})


def pilot_actions(engine, names):
    """One pilot per seat."""
    chosen = {}
    for seat, name in enumerate(names):
        for head, tensor in engine.pilot_actions(name).items():
            chosen.setdefault(head, tensor.clone())[:, seat] = tensor[:, seat]
    return chosen


@pytest.mark.parametrize("team", [1, 2, 3, 4])
def test_seats_names_and_sizes(team):
    config = DogfightConfig(team_size=team)
    engine = DogfightEngine(config, num_games=3)
    assert config.agents == tuple(f"{side}_{i}" for side in ("red", "blue") for i in range(team))
    assert engine.agents == config.agents
    assert engine.num_seats == 2 * team
    assert engine.seat_sides == (0,) * team + (1,) * team
    engine.reset(seed=1)
    step = engine.step(actions(engine))
    assert step.observation.shape == (3, 2 * team, engine.observation_dim)
    assert len(set(engine.feature_names)) == engine.observation_dim
    assert step.reward.shape == engine.cause.shape == (3, 2 * team)
    assert engine.tally.shape == (3, 2 * team, 8)


def dying_game():
    """Red 0 is about to crash, everybody else is far away and safe."""
    return [
        aircraft(altitude=305.0, climb=-40.0),
        lone(east=5000.0),
        lone(north=60000.0),
        lone(north=70000.0),
    ]


def test_the_dead_are_terminated_once_and_ignored_afterwards():
    engine = engine_with([dying_game()], shaping_weight=0.0)
    first = copied(engine.step(actions(engine)))
    assert first.terminated[0].tolist() == [True, False, False, False]
    assert first.alive[0].all()
    assert int(first.outcome[0]) == 0
    assert [CAUSES[c] for c in engine.cause[0].tolist()] == ["crash", "running", "running", "running"]
    # Half of the team is gone: 0.5 of the loss weight of 0.5, shared by everybody of a side.
    assert first.reward[0].tolist() == pytest.approx([-0.25, -0.25, 0.25, 0.25])
    assert (first.observation[0, 0] == 0).all()
    assert first.masks["maneuver"][0, 0].sum() == 1
    assert first.masks["weapon"][0, 0].tolist() == [True, False, False, False]
    other = engine_with([dying_game()], shaping_weight=0.0)
    other.step(actions(other))
    garbage = actions(other)
    for tensor, value in ((garbage["maneuver"], 13), (garbage["weapon"], -7), (garbage["params"], float("nan"))):
        tensor[:, 0] = value
    one, two = copied(engine.step(actions(engine))), copied(other.step(garbage))
    assert torch.equal(one.observation, two.observation)
    assert one.alive[0].tolist() == two.alive[0].tolist() == [False, True, True, True]
    assert not one.terminated.any()
    assert one.reward[0, 0] == 0.0
    assert engine.pop_statistics()["illegal_actions"] == other.pop_statistics()["illegal_actions"] == 0.0


def test_a_team_that_is_gone_ends_the_game_for_everybody():
    game = dying_game()
    game[1] = aircraft(east=9000.0, altitude=305.0, climb=-40.0)
    engine = engine_with([game], shaping_weight=0.0)
    step = engine.step(actions(engine))
    assert step.terminated[0].all()
    assert not step.truncated.any()
    assert int(step.outcome[0]) == BLUE
    assert step.reward[0].tolist() == pytest.approx([-1.5, -1.5, 1.5, 1.5])
    assert [CAUSES[c] for c in engine.cause[0].tolist()] == ["crash", "crash", "running", "running"]
    assert engine.state["episode"][0] == 1  # the next one has begun
    assert (engine.state["health"][0] == 1).all()
    assert engine.current().masks["maneuver"][0].any(-1).all()


def test_the_last_of_both_teams_at_once_are_a_draw():
    game = [aircraft(altitude=305.0, climb=-40.0), lone(), aircraft(north=5000.0, altitude=305.0, climb=-40.0), lone()]
    engine = engine_with([game])
    engine.state["health"][:, [1, 3]] = 0.0
    step = engine.step(actions(engine))
    assert int(step.outcome[0]) == DRAW
    assert step.terminated[0].tolist() == [True, False, True, False]


def test_the_time_limit_truncates_every_living_seat_and_only_those():
    engine = engine_with([dying_game()], time_limit_s=1.0)
    for decision in range(5):
        step = engine.step(actions(engine))
        assert step.truncated[0].tolist() == [False, *[decision == 4] * 3]
    assert int(step.outcome[0]) == DRAW
    assert [CAUSES[c] for c in engine.cause[0].tolist()] == ["crash", "time", "time", "time"]


def test_wingmen_collide_too():
    game = [aircraft(), aircraft(east=5.0), lone(), lone(north=60000.0)]
    engine = engine_with([game])
    step = engine.step(actions(engine))
    assert step.terminated[0].tolist() == [True, True, True, True]
    assert int(step.outcome[0]) == BLUE
    assert [CAUSES[c] for c in engine.cause[0, :2].tolist()] == ["collision", "collision"]


def test_the_gun_hits_whoever_is_in_the_cone_and_spares_friends():
    # The target is the nearest enemy by angle and distance; a second one flies through the cone.
    game = [aircraft(), aircraft(north=300.0, altitude=5000.5), aircraft(north=600.0), aircraft(east=-900.0)]
    engine = engine_with([game], collision_m=0.0)
    engine.step(actions(engine, weapon=[1, 0, 0, 0]))
    health = engine.state["health"][0].tolist()
    assert health[1] == 1.0
    assert health[2] < 1.0
    assert health[3] == 1.0
    assert engine.tally[0, 0, 7] > 0  # time in the zone


def test_two_shooters_share_what_is_left_of_a_victim():
    game = [aircraft(), aircraft(east=0.0, altitude=5002.0), aircraft(north=400.0), lone()]
    engine = engine_with([game], collision_m=0.0, shaping_weight=0.0, loss_weight=0.0)
    engine.state["health"][0, 2] = 0.01
    step = engine.step(actions(engine, weapon=[1, 1, 0, 0]))
    assert CAUSES[int(engine.cause[0, 2])] == "gun"
    # Only the 0.01 that was left counts, halved by the size of the team, times the weight of 0.5.
    assert step.reward[0, 0].item() == pytest.approx(0.01 * 0.5 / 2, rel=1e-3)


def test_the_target_is_the_enemy_best_placed_by_distance_and_angle():
    behind, ahead, far = (
        aircraft(north=-800.0),
        aircraft(north=1500.0),
        aircraft(north=9000.0),
    )
    engine = engine_with([[aircraft(), lone(), lone(east=2000.0), behind, ahead, far][:6]])
    assert engine.config.team_size == 3
    # Times 3 behind, times 1 ahead: 2400 m against 1500 m.
    assert engine.state["target"][0, 0].item() == 4
    assert engine.state["rank"][0, 0].tolist() == [4, 3, 5]
    engine.state["health"][0, 4] = 0.0
    engine.observe()
    assert engine.state["rank"][0, 0].tolist() == [3, 5, 4]


def test_blocks_show_the_nearest_and_vanish_with_the_dead():
    game = [aircraft(), aircraft(east=500.0), aircraft(north=2000.0), aircraft(north=1000.0, east=200.0)]
    engine = engine_with([game], observed_enemies=2, observed_allies=1)
    names = engine.feature_names
    row = engine.current().observation[0, 0]

    def value(name):
        return float(row[names.index(name)])

    assert value("enemy_0.present") == value("enemy_1.present") == value("ally_0.present") == 1.0
    assert 10 ** (1.5 * value("enemy_0.range_log") + 3) == pytest.approx(1020, rel=1e-2)
    assert 10 ** (1.5 * value("enemy_1.range_log") + 3) == pytest.approx(2000, rel=1e-3)
    assert value("ally_0.los_right") == pytest.approx(1.0, abs=1e-5)
    assert value("allies_alive") == 1.0
    engine.state["health"][0, [1, 3]] = 0.0
    row = engine.observe().observation[0, 0]
    assert value("enemy_0.present") == 1.0
    assert 10 ** (1.5 * value("enemy_0.range_log") + 3) == pytest.approx(2000, rel=1e-3)
    assert value("allies_alive") == value("enemies_alive") == 0.5
    for block in ("enemy_1.", "ally_0."):
        assert all(row[i] == 0 for i, name in enumerate(names) if name.startswith(block))


def test_fewer_observed_enemies_make_a_smaller_observation():
    sizes = [DogfightEngine(DogfightConfig(team_size=4, observed_enemies=k)).observation_dim for k in (1, 2, 4)]
    assert sizes[1] - sizes[0] == 27
    assert sizes[2] - sizes[0] == 3 * 27


@pytest.mark.parametrize("team", [2, 4])
def test_rewards_are_zero_sum_between_teams_and_shared_in_them(team):
    engine = DogfightEngine(DogfightConfig(team_size=team), num_games=64)
    engine.reset(seed=4)
    total = torch.zeros(len(REWARD_TERMS))
    deaths = 0
    for _ in range(300):
        step = engine.step(pilot_actions(engine, ["pursuit", "random"] * team))
        terms = engine.reward_terms.sum(-1)
        sign = torch.tensor([1.0] * team + [-1.0] * team)
        wanted = terms.unsqueeze(1) * sign * step.alive
        assert torch.allclose(step.reward, wanted, atol=1e-6)
        assert not (step.terminated & step.truncated).any()
        assert not (step.terminated & ~step.alive).any()
        over = step.outcome > 0
        assert ((step.terminated | step.truncated)[over] == step.alive[over]).all()
        total += engine.reward_terms.abs().sum(0)
        deaths += int(step.terminated.sum())
    assert (total > 0).all()
    assert deaths > 40


@pytest.mark.parametrize(("gamma", "team"), [(1.0, 2), (0.97, 2), (0.97, 4)])
def test_shaping_telescopes_over_a_team_fight(gamma, team):
    options = {"gamma": gamma, "time_limit_s": 40.0, "team_size": team}
    engine = DogfightEngine(DogfightConfig(**options), num_games=150)
    engine.reset(seed=8)
    first = engine.state["potential"].double().clone()
    summed, discount = torch.zeros(150).double(), 1.0
    running, ended = torch.ones(150, dtype=torch.bool), 0
    while running.any():
        step = engine.step(engine.pilot_actions("pursuit"))
        summed += running * discount * engine.reward_terms[:, REWARD_TERMS.index("shaping")].double()
        discount *= gamma
        gone = running & step.terminated.any(1) & (step.outcome > 0) & ~step.truncated.any(1)
        assert torch.allclose(summed[gone], -first[gone], atol=5e-4)
        ended += int(gone.sum())
        running &= step.outcome == 0
    assert ended > 10


def fought(team, steps=60, games=48, seed=3):
    """The state of fights under way, missiles in the air among it."""
    engine = DogfightEngine(DogfightConfig(team_size=team, missiles=4, time_limit_s=300.0), num_games=games)
    engine.reset(seed=seed)
    for _ in range(steps):
        engine.step(pilot_actions(engine, ["pursuit", "weave", "random", "pursuit"][:team] * 2))
    assert (engine.state["missiles"][..., MISSILE_FIELDS["phase"]] == 1.0).sum() > 3
    return engine


def with_state(engine, state):
    other = DogfightEngine(engine.config, num_games=engine.num_games)
    other.load_state_dict(state)
    other.observe()
    return other


@pytest.mark.parametrize("team", [1, 2, 4])
def test_exchanged_teams_play_the_same_game_exactly_missiles_and_flares_included(team):
    engine = fought(team)
    state = engine.state_dict()
    swap = torch.tensor([*range(team, 2 * team), *range(team)])
    tensors = state["tensors"]
    for name, tensor in tensors.items():
        if tensor.ndim > 1 and tensor.shape[1] == 2 * team:
            tensors[name] = tensor[:, swap].clone()
    for name in ("target", "rank"):
        tensors[name] = (tensors[name] + team) % (2 * team)
    tensors["mates"] = (tensors["mates"] + team) % (2 * team)
    goal = MISSILE_FIELDS["target"]
    tensors["missiles"][..., goal] = (tensors["missiles"][..., goal] + team) % (2 * team)
    exchanged = with_state(engine, state)
    engine.observe()
    assert torch.equal(engine.current().observation, exchanged.current().observation[:, swap])
    generator = torch.Generator().manual_seed(1)
    outcome = torch.zeros(engine.num_games, dtype=torch.int32)
    for _ in range(60):
        chosen = random_actions(engine, generator)
        chosen["weapon"] = torch.where(
            engine.current().masks["weapon"][..., 3] & (torch.rand(chosen["weapon"].shape, generator=generator) < 0.3),
            3,
            chosen["weapon"],
        )
        one = engine.step(chosen)
        two = exchanged.step({head: tensor[:, swap] for head, tensor in chosen.items()})
        going = outcome == 0
        assert torch.equal(one.final_observation[going], two.final_observation[going][:, swap])
        assert torch.equal(one.reward[going], two.reward[going][:, swap])
        assert torch.equal(engine.cause[going], exchanged.cause[going][:, swap])
        other = torch.tensor([0, 2, 1, 3], dtype=torch.int32)[two.outcome.long()]
        assert torch.equal(one.outcome[going], other[going])
        outcome = torch.where(going, one.outcome, outcome)  # the next start has a side of its own
    assert engine.pop_statistics()["missile_decoys"] > 0


@pytest.mark.parametrize("team", [1, 3])
def test_mirrored_team_fight_is_the_mirror_image_exactly(team):
    engine = fought(team, games=32)
    state = engine.state_dict()
    motion, missiles = state["tensors"]["motion"], state["tensors"]["missiles"]
    east = [MOTION_FIELDS["position"].start + 1, MOTION_FIELDS["attitude"].start, MOTION_FIELDS["attitude"].start + 2]
    motion[..., [*east, MOTION_FIELDS["roll_rate"].start]] *= -1
    missiles[..., [MISSILE_FIELDS[name].start + 1 for name in ("position", "velocity", "seeker")]] *= -1
    image = with_state(engine, state)
    engine.observe()
    flips = []
    for name in engine.feature_names:
        plain = name.rpartition(".")[2]
        right = plain.endswith("_right") and plain != "los_rate_right"
        flips.append(right or plain in ("roll_rate", "los_rate_forward", "los_rate_down"))
    sign = torch.where(torch.tensor(flips), -1.0, 1.0)
    library = engine.config.library
    other_hand = torch.tensor(
        [library.index(n.replace("left", "@").replace("right", "left").replace("@", "right")) for n in library]
    )
    generator = torch.Generator().manual_seed(2)
    going = torch.ones(engine.num_games, dtype=torch.bool)
    for _ in range(40):
        assert torch.equal(engine.current().observation[going], (image.current().observation * sign)[going])
        chosen = random_actions(engine, generator)
        one = engine.step(chosen)
        two = image.step(
            {
                "maneuver": other_hand[chosen["maneuver"]],
                "weapon": chosen["weapon"],
                "params": chosen["params"] * torch.tensor([1.0, 1.0, -1.0]),
            }
        )
        assert torch.equal(one.final_observation[going], (two.final_observation * sign)[going])
        assert torch.equal(one.reward[going], two.reward[going])
        going &= one.outcome == 0
    assert going.sum() > 3


def test_starts_put_teams_abreast():
    engine = DogfightEngine(DogfightConfig(team_size=4, start="head_on", team_spacing_m=500.0), num_games=40)
    engine.reset(seed=0)
    place = engine.state["motion"][..., :3].numpy()
    for team in (place[:, :4], place[:, 4:]):
        gaps = np.linalg.norm(team[:, :, None] - team[:, None], axis=-1)
        assert gaps[:, ~np.eye(4, dtype=bool)].min() > 499
        assert gaps.max() < 3.5 * 500
    between = np.linalg.norm(place[:, 0] - place[:, 4], axis=-1)
    assert between.min() > 2400
    heads = engine.state["motion"][..., 3:7]
    assert torch.equal(heads[:, 0], heads[:, 3])
