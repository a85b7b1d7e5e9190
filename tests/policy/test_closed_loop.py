"""The sign test: every kind of head, in a closed loop with the controller, comes to its target from both sides."""

import pytest
import torch

from headctl.entropy.controller import MultiHeadEntropyController
from headctl.entropy.spec import KINDS, parse_head
from headctl.policy.actions import ActionHeads

SIZES = {
    "categorical": {"choices": 5},
    "multidiscrete": {"choices": [3, 2, 4]},
    "bernoulli": {"dims": 4},
    "gaussian": {"dims": 2},
    "tanh_gaussian": {"dims": 2},
    "beta": {"dims": 2},
}
TARGET = 0.5


def starts(kind, head):
    """Outputs of a head that is nearly deterministic, and of one that is nearly uniform."""
    first = torch.zeros(head.num_params)
    if kind == "categorical":
        first[0] = 1.0
    elif kind == "multidiscrete":
        first[torch.tensor([0, 3, 5])] = 1.0
    elif kind == "bernoulli":
        first += 1.0
    elif kind == "beta":
        first += 1.0
        return 2.0 * first, -3.0 * first
    else:
        first[2:] = 1.0
        return -2.0 * first, 2.0 * first
    return 5.0 * first, 0.3 * first


def close_the_loop(mode, pull, updates=300):
    """Two heads of every kind, one from below and one from above; ``pull`` is what determinism earns per nat."""
    specs, outputs = {}, []
    for kind in KINDS:
        for side in ("below", "above"):
            name = f"{kind}_{side}"
            alpha_min = -0.3 if mode == "track" else 1e-4
            description = {"kind": kind, "target": TARGET, "mode": mode, "alpha_min": alpha_min, **SIZES[kind]}
            specs[name] = parse_head(name, description)
            head = ActionHeads({name: specs[name]}).heads[0]
            outputs.append(starts(kind, head)[side == "above"])
    heads, controller = ActionHeads(specs), MultiHeadEntropyController(specs)
    params = torch.cat(outputs).unsqueeze(0).requires_grad_()
    optimizer = torch.optim.Adam([params], lr=0.03)
    fractions = []
    for update in range(updates):
        actions = heads.mode(params.detach(), {})
        said = heads.evaluate(params, actions, {})
        loss = pull * said.entropy.sum() - controller.bonus(said.entropy)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        controller.step(said.entropy.detach(), capacity=said.capacity)
        if update in (0, updates - 2, updates - 1):  # each reading is the mean since the one before
            metrics = controller.metrics()
            fractions.append({name: metrics[f"heads/{name}/fraction"] for name in specs})
    return fractions[0], fractions[-1]


@pytest.mark.parametrize(("mode", "pull"), [("floor", 0.05), ("track", 0.0)])
def test_every_kind_of_head_comes_to_its_target_from_both_sides(mode, pull):
    first, last = close_the_loop(mode, pull)
    for name, fraction in first.items():
        assert fraction < TARGET - 0.1 if name.endswith("below") else fraction > TARGET + 0.1, name
    for name, fraction in last.items():
        assert fraction == pytest.approx(TARGET, abs=0.04), name
