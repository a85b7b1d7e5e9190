"""Heads that count only after certain choices of others, and the entropy of the whole action."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from gymnasium import spaces

from headctl.entropy.spec import HeadSpecError, parse_head
from headctl.policy.actions import ActionHeads, describe_space, joint_entropy, resolve_heads

SPACE = spaces.Dict(
    {
        "burst": spaces.Discrete(2),
        "params": spaces.Box(-1, 1, (2,), np.float32),
        "stance": spaces.Discrete(3),
        "weapon": spaces.Discrete(4),
    }
)
CHAIN = {
    # The weapon waits for a stance, params for a weapon, burst for both.
    "weapon": {"active_when": {"stance": [1, 2]}},
    "params": {"active_when": {"weapon": [2]}, "kind": "beta"},
    "burst": {"active_when": {"weapon": [1, 2], "stance": [2]}},
}


def make(heads=CHAIN, space=SPACE):
    return ActionHeads(resolve_heads(describe_space(space), heads), space)


def column(heads, name):
    return heads.names.index(name)


ROWS = [(stance, weapon) for stance in range(3) for weapon in range(4)]


def evaluated(heads, plain, **masks):
    """Every combination of stance and weapon, evaluated with and without conditions."""
    generator = torch.Generator().manual_seed(0)
    params = torch.randn(len(ROWS), heads.num_params, generator=generator, requires_grad=True)
    actions = heads.sample(params.detach(), {}, generator)
    actions["stance"] = torch.tensor([stance for stance, _ in ROWS])
    actions["weapon"] = torch.tensor([weapon for _, weapon in ROWS])
    return params, heads.evaluate(params, actions, masks), plain.evaluate(params, actions, masks)


def test_a_head_counts_only_after_the_choices_it_waits_for():
    heads = make()
    params, said, always = evaluated(heads, make({"params": {"kind": "beta"}}))
    gates = {
        "stance": [1.0] * 12,
        "weapon": [float(stance in (1, 2)) for stance, _ in ROWS],
        "params": [float(stance in (1, 2) and weapon == 2) for stance, weapon in ROWS],
        "burst": [float(stance == 2 and weapon in (1, 2)) for stance, weapon in ROWS],
    }
    assert sum(gates["params"]) == 2
    for name, gate in gates.items():
        at = column(heads, name)
        active = torch.tensor(gate)
        assert said.choice[:, at].tolist() == gate
        torch.testing.assert_close(said.log_prob[:, at], always.log_prob[:, at] * active)
        torch.testing.assert_close(said.entropy[:, at], always.entropy[:, at])  # weights do the rest
        torch.testing.assert_close(said.capacity[:, at], always.capacity[:, at])
    assert said.log_prob[0].count_nonzero() == 1  # stance 0 switches everything else off
    said.log_prob.sum().backward()
    start = 0
    for head in heads.heads:
        touched = params.grad[:, start : start + head.num_params].abs().sum(-1) > 0
        assert touched.float().tolist() == gates[head.name]
        start += head.num_params


def test_a_forced_parent_does_not_switch_its_children_off():
    heads = make()
    forced = torch.zeros(12, 4, dtype=torch.bool)
    forced[torch.arange(12), torch.tensor([weapon for _, weapon in ROWS])] = True
    _, said, _ = evaluated(heads, make(), weapon=forced)
    assert said.choice[:, column(heads, "weapon")].sum() == 0
    assert said.choice[:, column(heads, "params")].sum() == 2


def test_the_gate_passes_no_gradient_to_the_parent():
    heads = make({"params": {"active_when": {"weapon": [2]}}})
    params = torch.zeros(64, heads.num_params, requires_grad=True)
    actions = heads.sample(params.detach(), {}, torch.Generator().manual_seed(1))
    said = heads.evaluate(params, actions, {})
    at = column(heads, "params")
    (said.entropy[:, at] * said.choice[:, at]).sum().backward()
    sizes = [head.num_params for head in heads.heads]
    of = dict(zip(heads.names, params.grad.split(sizes, -1), strict=True))
    assert of["params"].abs().sum() > 0
    assert of["weapon"].abs().sum() == 0


def test_an_inactive_head_is_safe_whatever_it_holds():
    heads = make({"burst": {"active_when": {"weapon": [3]}}})
    params = torch.zeros(1, heads.num_params)
    params[:, :2] = torch.tensor([1e30, -1e30])
    params.requires_grad_()
    actions = {"burst": torch.tensor([1]), "params": torch.zeros(1, 2)} | dict.fromkeys(
        ("stance", "weapon"), torch.tensor([0])
    )
    said = heads.evaluate(params, actions, {"burst": torch.tensor([[True, False]])})
    assert said.log_prob[0, column(heads, "burst")].item() == 0.0
    (said.log_prob.sum() + (said.entropy * said.choice).sum()).backward()
    assert torch.isfinite(params.grad).all()


def test_the_joint_entropy_is_that_of_the_tree_of_choices():
    space = spaces.Dict({"burst": spaces.Discrete(2), "stance": spaces.Discrete(3), "weapon": spaces.Discrete(4)})
    heads = make({name: CHAIN[name] for name in ("weapon", "burst")}, space)
    params = torch.randn(heads.num_params, generator=torch.Generator().manual_seed(2))
    burst, stance, weapon = (part.softmax(-1).tolist() for part in params.split((2, 3, 4)))
    # Choices of inactive heads are nobody's business: the tree's leaves.
    leaves = {}
    for s, w, b in product(range(3), range(4), range(2)):
        leaf = (s, w if s else None, b if s == 2 and w in (1, 2) else None)
        leaves[leaf] = leaves.get(leaf, 0.0) + stance[s] * weapon[w] * burst[b]
    expected = -sum(p * math.log(p) for p in leaves.values())
    rows = params.expand(100_000, -1)
    said = heads.evaluate(rows, heads.sample(rows, {}, torch.Generator().manual_seed(3)), {})
    sampled = joint_entropy(said)
    sigma = sampled.std().item() / math.sqrt(len(rows))
    assert sampled.mean().item() == pytest.approx(expected, abs=4.5 * sigma)
    assert -said.log_prob.sum(-1).mean().item() == pytest.approx(expected, abs=0.02)
    everything = sum(entropy.item() for entropy in said.entropy[0])
    assert everything > expected + 0.3


def test_the_joint_entropy_of_independent_heads_is_the_plain_sum():
    heads = make({})
    params = torch.randn(8, heads.num_params, generator=torch.Generator().manual_seed(4))
    said = heads.evaluate(params, heads.sample(params, {}, torch.Generator().manual_seed(5)), {})
    torch.testing.assert_close(joint_entropy(said), said.entropy.sum(-1))


def test_divergence_from_uniform_has_a_column_per_head():
    heads = make()
    params = torch.randn(8, heads.num_params, generator=torch.Generator().manual_seed(6))
    columns = heads.divergence_from_uniform(params, {"weapon": torch.tensor([[True, False, False, True]] * 8)})
    assert columns.shape == (8, 4)
    assert (columns[:, column(heads, "params")] == 0).all()
    weapon = params[:, -4:][:, [0, 3]].log_softmax(-1)
    torch.testing.assert_close(columns[:, column(heads, "weapon")], -weapon.mean(-1) - math.log(2))


@pytest.mark.parametrize(
    ("heads", "words"),
    [
        ({"weapon": {"active_when": {"params": [0]}}}, r"heads\.weapon\.active_when\.params: .*continuous head"),
        ({"params": {"active_when": {"weapon": [4]}}}, r"heads\.params\.active_when\.weapon: .* 0 to 3, got \[4\]"),
        ({"params": {"active_when": {"wepon": [1]}}}, r"unknown head of this game: 'wepon'.*Did you mean 'weapon'"),
        (
            {"weapon": {"active_when": {"stance": [1]}}, "stance": {"active_when": {"weapon": [1]}}},
            r"heads\.stance\.active_when: the head depends on itself: stance -> weapon -> stance",
        ),
    ],
)
def test_what_cannot_be_depended_on_is_refused(heads, words):
    with pytest.raises(HeadSpecError, match=words):
        make(heads)


def test_heads_made_without_a_game_are_checked_too():
    specs = {"a": parse_head("a", {"choices": 2, "active_when": {"b": [7]}}), "b": parse_head("b", {"choices": 3})}
    with pytest.raises(HeadSpecError, match=r"heads\.a\.active_when\.b: the choices of b are 0 to 2, got \[7\]"):
        ActionHeads(specs)
