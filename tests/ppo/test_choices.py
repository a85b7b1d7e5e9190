"""What every head chose: counted over the rows where it had a choice, and nowhere else."""

import pytest
import torch

from headctl.entropy.spec import parse_head
from headctl.policy.actions import ActionHeads
from headctl.ppo.choices import BINS, count_choices
from headctl.ppo.rollout import Rollout


def rollout_of(specs, mask_sizes=None, rows=4):
    heads = ActionHeads({name: parse_head(name, spec) for name, spec in specs.items()})
    return heads, Rollout(1, rows, 1, heads, mask_sizes=mask_sizes or {}, device=torch.device("cpu"))


def test_a_choice_counts_where_the_agent_lived_and_had_two_legal_actions():
    heads, rollout = rollout_of({"weapon": {"target": 0.5, "choices": 3}}, {"weapon": 3}, rows=6)
    rollout.actions["weapon"][0] = torch.tensor([2, 2, 1, 0, 2, 2])
    rollout.alive[0] = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0, 1.0])  # the fifth is dead
    rollout.masks["weapon"][0, 3] = torch.tensor([True, False, False])  # the fourth has no choice
    counts = count_choices(rollout, heads)["weapon"]
    assert counts.edges == [-0.5, 0.5, 1.5, 2.5]
    assert counts.counts == [0, 1, 3]
    assert (counts.total, counts.squares) == (7.0, 13.0)


def test_a_head_counts_only_where_its_parent_switched_it_on():
    heads, rollout = rollout_of(
        {
            "mode": {"target": 0.5, "choices": 2},
            "aim": {"target": 0.5, "choices": 4, "active_when": {"mode": [1]}},
        }
    )
    rollout.actions["mode"][0] = torch.tensor([0, 1, 1, 0])
    rollout.actions["aim"][0] = torch.tensor([0, 3, 1, 2])
    rollout.alive.fill_(1.0)
    assert count_choices(rollout, heads)["aim"].counts == [0, 1, 0, 1]


def test_parts_are_counted_one_by_one():
    heads, rollout = rollout_of(
        {
            "pair": {"target": 0.5, "kind": "multidiscrete", "choices": [2, 3]},
            "bits": {"target": 0.5, "kind": "bernoulli", "dims": 2},
        },
        {"pair": 5, "bits": 2},
    )
    rollout.alive.fill_(1.0)
    rollout.actions["pair"][0] = torch.tensor([[0, 2], [1, 2], [1, 0], [1, 1]])
    rollout.masks["pair"][0, 0, 2:] = torch.tensor([False, False, True])  # the second part of the first row: no choice
    rollout.actions["bits"][0] = torch.tensor([[0, 1], [1, 0], [1, 0], [0, 0]])
    rollout.masks["bits"][0, 3] = torch.tensor([True, False])
    found = {name: counts.counts for name, counts in count_choices(rollout, heads).items()}
    assert found == {"pair/0": [1, 3], "pair/1": [1, 1, 1], "bits/0": [2, 2], "bits/1": [2, 1]}


def test_continuous_actions_fall_into_bins_of_the_whole_range():
    heads, rollout = rollout_of({"stick": {"target": 0.5, "kind": "gaussian", "dims": 1}}, rows=5)
    rollout.alive.fill_(1.0)
    rollout.actions["stick"][0, :, 0] = torch.tensor([-7.0, -0.99, 0.01, 1.5, float("nan")])
    counts = count_choices(rollout, heads)["stick"]
    assert len(counts.counts) == BINS
    assert {place: count for place, count in enumerate(counts.counts) if count} == {0: 2, BINS // 2: 1, BINS - 1: 1}
    assert counts.edges[:2] + counts.edges[-1:] == pytest.approx([-1.0, -0.95, 1.0])
    assert counts.total == pytest.approx(-1.0 - 0.99 + 0.01 + 1.0)


def test_a_head_without_a_row_is_left_out():
    heads, rollout = rollout_of({"weapon": {"target": 0.5, "choices": 3}})
    assert count_choices(rollout, heads) == {}  # nobody alive
