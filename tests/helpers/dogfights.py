"""Dogfights for tests: engines with states set by hand, and games between pilots."""

import numpy as np
import torch
from headctl_envs.dogfight.config import DogfightConfig
from headctl_envs.dogfight.engine import DogfightEngine

GUNS = {"missiles": 0, "flares": 0}
"""Options of a fight with guns only."""


def engine_with(games, **options):
    """An engine whose game i starts from the motion records ``games[i]`` [A, 11]; guns only unless told otherwise."""
    pairs = np.array(games, np.float32)
    options = {**GUNS, "team_size": pairs.shape[1] // 2, **options}
    engine = DogfightEngine(DogfightConfig(**options), num_games=len(pairs))
    engine.reset(seed=0)
    engine.state["motion"].copy_(torch.from_numpy(np.ascontiguousarray(pairs)))
    engine.observe()
    return engine


def actions(engine, maneuver=0, weapon=0, params=(0.0, 0.0, 0.0)):
    """The same action for every seat, or per seat where a list is given; maneuvers by name or number."""
    shape = (engine.num_games, engine.num_seats)

    def code(value):
        return engine.config.library.index(value) if isinstance(value, str) else value

    choices = [code(m) for m in maneuver] if isinstance(maneuver, list | tuple) else code(maneuver)
    return {
        "maneuver": torch.tensor(choices).expand(shape).clone(),
        "weapon": torch.tensor(weapon).expand(shape).clone(),
        "params": torch.tensor(params, dtype=torch.float32).expand(*shape, 3).clone(),
    }


def random_actions(engine, generator, *, legal=True):
    """Uniform actions for every seat, among the legal ones unless ``legal`` is false."""
    shape = (engine.num_games, engine.num_seats)
    masks = engine.current().masks
    found = {}
    for head, mask in masks.items():
        scores = torch.rand(mask.shape, generator=generator)
        found[head] = (torch.where(mask, scores, scores - 2.0) if legal else scores).argmax(-1)
    found["params"] = torch.rand((*shape, 3), generator=generator) * 2 - 1
    return found


def legal_action(env, agent, rng):
    """A random action among the legal ones for an agent of the PettingZoo face, in any layout."""
    masks = env.action_mask(agent)
    if "mask_maneuver" in masks:
        choices = {head: rng.choice(np.flatnonzero(masks[f"mask_{head}"])) for head in ("maneuver", "weapon")}
        return {**choices, "params": rng.uniform(-1, 1, 3).astype(np.float32)}
    if "action_mask" in masks:
        return rng.choice(np.flatnonzero(masks["action_mask"]))
    parts = np.split(masks["mask_action"], np.cumsum(env.action_space(agent).nvec)[:-1])
    return np.array([rng.choice(np.flatnonzero(part)) for part in parts])


def copied(step):
    """A step's tensors, kept."""
    return type(step)(*({k: v.clone() for k, v in x.items()} if isinstance(x, dict) else x.clone() for x in step))


def seats_of(engine, first, second):
    """Actions with ``first`` for red's seats and ``second`` for blue's; both are dicts of tensors."""
    team = engine.config.team_size
    return {head: torch.cat([first[head][:, :team], second[head][:, team:]], 1) for head in first}


def play(first, second, games, seed, **options):
    """Plays ``games`` games, half of them with sides exchanged; returns (wins of first, wins of second, draws)."""
    engine = DogfightEngine(DogfightConfig(**options), num_games=games)
    engine.reset(seed=seed)
    half = games // 2
    outcome = torch.zeros(games, dtype=torch.int32)
    while (outcome == 0).any():
        one, two = engine.pilot_actions(first), engine.pilot_actions(second)
        there, back = seats_of(engine, one, two), seats_of(engine, two, one)
        step = engine.step({head: torch.cat([there[head][:half], back[head][half:]]) for head in there})
        outcome = torch.where(outcome == 0, step.outcome, outcome)
    swapped = torch.tensor([0, 2, 1, 3], dtype=torch.int32)
    outcome[half:] = swapped[outcome[half:].long()]
    return tuple(int((outcome == code).sum()) for code in (1, 2, 3))
