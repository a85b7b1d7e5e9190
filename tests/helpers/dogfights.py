"""Dogfights for tests: engines with states set by hand, and games between pilots."""

import numpy as np
import torch
from headctl_envs.dogfight.config import DogfightConfig
from headctl_envs.dogfight.engine import DogfightEngine


def engine_with(pairs, **options):
    """An engine whose game i starts from the motion records ``pairs[i]`` [2, 11]."""
    pairs = np.array(pairs, np.float32)
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


def copied(step):
    """A step's tensors, kept."""
    return type(step)(*({k: v.clone() for k, v in x.items()} if isinstance(x, dict) else x.clone() for x in step))


def play(first, second, games, seed, **options):
    """Plays ``games`` games, half of them with seats exchanged; returns (wins of first, wins of second, draws)."""
    engine = DogfightEngine(DogfightConfig(**options), num_games=games)
    engine.reset(seed=seed)
    half = games // 2
    outcome = torch.zeros(games, dtype=torch.int32)
    while (outcome == 0).any():
        one, two = engine.pilot_actions(first), engine.pilot_actions(second)
        chosen = {head: one[head].clone() for head in one}
        for head, tensor in chosen.items():
            tensor[:half, 1] = two[head][:half, 1]
            tensor[half:, 0] = two[head][half:, 0]
        step = engine.step(chosen)
        outcome = torch.where(outcome == 0, step.outcome, outcome)
    swapped = torch.tensor([0, 2, 1, 3], dtype=torch.int32)
    outcome[half:] = swapped[outcome[half:].long()]
    return tuple(int((outcome == code).sum()) for code in (1, 2, 3))
