"""The scripted pilots: deterministic, legal, and in the order of their strength."""

import pytest
import torch
from headctl_envs.dogfight.config import CAUSES, LIBRARIES, PILOTS, DogfightConfig
from headctl_envs.dogfight.engine import LOOKING_AHEAD, DogfightEngine

from tests.helpers.dogfights import GUNS, engine_with, play
from tests.helpers.flight_probe import aircraft


@pytest.mark.parametrize("library", list(LIBRARIES))
@pytest.mark.parametrize("name", PILOTS)
def test_pilots_choose_legal_actions_in_every_library(library, name):
    engine = DogfightEngine(DogfightConfig(maneuvers=library), num_games=64)
    engine.reset(seed=1)
    for _ in range(60):
        masks = engine.current().masks
        chosen = engine.pilot_actions(name)
        for head, mask in masks.items():
            assert mask.gather(-1, chosen[head].unsqueeze(-1)).all()
        assert chosen["params"].abs().max() <= 1
        engine.step(chosen)
    assert engine.pop_statistics()["illegal_actions"] == 0


def test_straight_flies_straight_and_never_fires():
    engine = DogfightEngine(num_games=8)
    engine.reset(seed=0)
    chosen = engine.pilot_actions("straight")
    assert not any(tensor.any() for tensor in chosen.values())


def test_random_keeps_a_maneuver_for_a_while_and_uses_all_of_them():
    engine = DogfightEngine(num_games=64)
    engine.reset(seed=0)
    taken = []
    for _ in range(150):
        chosen = engine.pilot_actions("random")
        taken.append(chosen["maneuver"].clone())
        engine.step(chosen)
    taken = torch.stack(taken)
    changes = (taken[1:] != taken[:-1]).float().mean()
    assert 0.03 < changes < 0.12  # once in 15 decisions, less where the same one comes again
    assert len(torch.unique(taken)) == len(engine.config.library)


def test_pilots_depend_on_the_state_alone():
    # Asking twice, or asking another pilot in between, changes nothing; each pilot has buffers of its own.
    engine = DogfightEngine(num_games=16)
    engine.reset(seed=0)
    first = {head: tensor.clone() for head, tensor in engine.pilot_actions("random").items()}
    kept = engine.pilot_actions("pursuit")
    copy = {head: tensor.clone() for head, tensor in kept.items()}
    again = engine.pilot_actions("random")
    assert all(torch.equal(first[head], again[head]) for head in first)
    assert all(torch.equal(copy[head], kept[head]) for head in copy)


@pytest.mark.parametrize("name", PILOTS)
def test_pilots_do_for_the_seats_that_are_asked_for_what_they_would_do_for_all(name):
    engine = DogfightEngine(DogfightConfig(team_size=2), num_games=6)
    engine.reset(seed=0)
    everybody = {head: tensor.clone() for head, tensor in engine.pilot_actions(name).items()}
    for tensor in engine.pilot_actions(name).values():
        tensor.fill_(-7)
    seats = torch.rand(6, 4, generator=torch.Generator().manual_seed(1)) < 0.5
    chosen = engine.pilot_actions(name, seats)
    assert all(torch.equal(chosen[head][seats], everybody[head][seats]) for head in everybody)
    if name in LOOKING_AHEAD:  # who takes his time does nothing for the others
        assert all((tensor[~seats] == -7).all() for tensor in chosen.values())
    assert all(torch.equal(engine.pilot_actions(name)[head], everybody[head]) for head in everybody)
    for wrong in (seats[:5], seats.float()):
        with pytest.raises(ValueError, match="seats"):
            engine.pilot_actions(name, wrong)


def test_pursuit_fires_only_in_the_cone():
    pairs = [
        [aircraft(), aircraft(north=400.0)],  # in the cone, good range
        [aircraft(), aircraft(north=880.0)],  # in the cone, but a hit would do next to nothing
        [aircraft(), aircraft(north=400.0, east=20.0)],  # 2.9 degrees off: legal, but no hit
        [aircraft(), aircraft(north=2000.0)],
    ]
    engine = engine_with(pairs)
    assert engine.pilot_actions("pursuit")["weapon"][:, 0].tolist() == [1, 0, 0, 0]
    assert not engine.pilot_actions("pursuit")["weapon"][:, 1].any()


def test_pursuit_keeps_off_the_floor():
    # The enemy flies straight just above the floor, the pilot starts in dives towards it.
    pairs = [
        [aircraft(altitude=h, climb=-d, speed=v), aircraft(north=1500.0, altitude=330.0, speed=200.0)]
        for h in (1500.0, 2500.0, 4000.0)
        for d in (0.0, 25.0)
        for v in (200.0, 280.0)
    ]
    engine = engine_with(pairs, time_limit_s=60.0)
    over = torch.zeros(len(pairs), dtype=torch.bool)
    for _ in range(300):
        chosen = {head: tensor.clone() for head, tensor in engine.pilot_actions("pursuit").items()}
        for tensor in chosen.values():
            tensor[:, 1] = 0
        step = engine.step(chosen)
        ended = (step.outcome > 0) & ~over
        assert not (engine.cause[ended] == CAUSES.index("crash")).any()
        over |= ended
    assert over.all()


@pytest.mark.parametrize(("library", "share"), [("tactical14", 0.9), ("basic7", 0.6)])
def test_pursuit_shoots_down_straight_and_random_in_both_seats(library, share):
    for seed, opponent in enumerate(("straight", "random")):
        won, lost, _ = play("pursuit", opponent, games=200, seed=seed, maneuvers=library, **GUNS)
        assert won > share * 200
        assert lost <= 2


def test_equal_pilots_are_even():
    won, lost, _ = play("pursuit", "pursuit", games=400, seed=5, **GUNS)
    assert abs(won - lost) < 3 * (won + lost) ** 0.5
    assert won + lost > 50
