"""The memory of a policy: the unit by hand and against torch's own, sequences, episodes, burn-in."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from headctl.policy.actions import ActionHeads, describe_space, resolve_heads
from headctl.policy.network import Policy
from headctl.policy.recurrent import BurnIn, GatedMemory, Sequences, gated

SPACE = spaces.Dict({"aim": spaces.Box(-1, 1, (2,), np.float32), "weapon": spaces.Discrete(4)})
FEATURES, SIZE = 3, 5


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def make_policy(memory=SIZE, seed=0):
    heads = ActionHeads(resolve_heads(describe_space(SPACE), {}), SPACE)
    policy = Policy(FEATURES, heads, hidden=(8,), memory=memory, generator=stream(seed))
    with torch.no_grad():
        policy.actor.weight.mul_(100.0)
    return policy


def torch_cell(memory, inputs):
    cell = nn.GRUCell(inputs, memory.size)
    with torch.no_grad():
        cell.weight_ih.copy_(memory.of_input.weight)
        cell.weight_hh.copy_(memory.of_state.weight)
        cell.bias_ih.copy_(memory.of_input.bias)
        cell.bias_hh.copy_(memory.of_state.bias)
    return cell


def lively(memory, seed=1):
    with torch.no_grad():
        for layer in (memory.of_input, memory.of_state):
            layer.bias.copy_(torch.randn(layer.bias.shape, generator=stream(seed)))
    return memory


def sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x))


def test_one_step_by_hand():
    # Gates in the order reset, update, candidate.
    of_input, of_state, before = torch.tensor([[0.5, -1.0, 0.2]]), torch.tensor([[0.3, 0.4, -0.7]]), 0.6
    reset, update = sigmoid(0.8), sigmoid(-0.6)
    candidate = math.tanh(0.2 - 0.7 * reset)
    after = gated(of_input, of_state, torch.tensor([[before]]))
    assert after.item() == pytest.approx((1.0 - update) * candidate + update * before, abs=1e-7)


def test_the_unit_is_that_of_torch_for_any_leading_shape():
    memory = lively(GatedMemory(4, SIZE, stream()))
    cell = torch_cell(memory, 4)
    features, state = torch.randn(3, 7, 4, generator=stream(2)), torch.randn(3, 7, SIZE, generator=stream(3))
    expected = cell(features.flatten(0, 1), state.flatten(0, 1)).view(3, 7, SIZE)
    torch.testing.assert_close(memory(features, state), expected, atol=1e-6, rtol=1e-6)


def test_initial_weights_are_orthogonal_gate_by_gate_and_come_from_the_given_stream():
    before = torch.get_rng_state()
    one, same, other = (GatedMemory(SIZE, SIZE, stream(seed)) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    for gate in (*one.of_input.weight.chunk(3), *one.of_state.weight.chunk(3)):
        torch.testing.assert_close(gate @ gate.T, torch.eye(SIZE), atol=1e-5, rtol=0)
    assert not one.of_input.bias.any()
    assert not one.of_state.bias.any()
    assert torch.equal(one.of_state.weight, same.of_state.weight)
    assert not torch.equal(one.of_state.weight, other.of_state.weight)


def test_gradients_through_sequences_are_those_of_torch_step_by_step():
    memory = lively(GatedMemory(4, SIZE, stream()))
    cell = torch_cell(memory, 4)
    features = torch.randn(6, 9, 4, generator=stream(2), requires_grad=True)
    keep = (torch.rand(6, 9, generator=stream(3)) > 0.3).float()
    first, aims = torch.randn(9, SIZE, generator=stream(4)), torch.randn(6, 9, SIZE, generator=stream(5))
    (memory.unroll(features, first, keep) * aims).sum().backward()
    mine = [features.grad, *(weight.grad for weight in memory.parameters())]
    features.grad = None
    state, steps = first, []
    for step in range(6):
        state = cell(features[step], state * keep[step].unsqueeze(-1))
        steps.append(state)
    (torch.stack(steps) * aims).sum().backward()
    theirs = [features.grad, cell.weight_ih.grad, cell.bias_ih.grad, cell.weight_hh.grad, cell.bias_hh.grad]
    for own, expected in zip(mine, theirs, strict=True):
        torch.testing.assert_close(own, expected, atol=1e-5, rtol=1e-5)


# Episodes -------------------------------------------------------------------------------------------------------------


def test_an_episode_that_begins_within_a_sequence_knows_nothing_of_the_one_before():
    policy = make_policy()
    normal = torch.randn(6, 2, FEATURES, generator=stream(1))
    first = torch.randn(2, SIZE, generator=stream(2))
    keep = torch.ones(6, 2)
    keep[4, 0] = 0.0  # of the first sequence, a new episode begins at step 4
    params, value = policy.outputs(normal.flatten(0, 1), Sequences(first, keep))
    params, value = params.view(6, 2, -1), value.view(6, 2)

    def alone(steps, sequence, state):
        seen = normal[steps, sequence : sequence + 1]
        length = seen.shape[0]
        told = policy.outputs(seen.flatten(0, 1), Sequences(state, torch.ones(length, 1)))
        return told[0], told[1]

    pieces = [
        (slice(0, 4), 0, first[:1]),
        (slice(4, 6), 0, torch.zeros(1, SIZE)),
        (slice(0, 6), 1, first[1:]),
    ]
    for steps, sequence, state in pieces:
        expected = alone(steps, sequence, state)
        torch.testing.assert_close(params[steps, sequence], expected[0], atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(value[steps, sequence], expected[1], atol=1e-6, rtol=1e-6)
    # And it would have been another number.
    wrong, _ = policy.outputs(normal.flatten(0, 1), Sequences(first, torch.ones(6, 2)))
    assert (wrong.view(6, 2, -1)[4, 0] - params[4, 0]).abs().max() > 1e-2


def test_no_gradient_goes_back_into_the_episode_before():
    memory = GatedMemory(FEATURES, SIZE, stream())
    features = torch.randn(5, 1, FEATURES, generator=stream(1), requires_grad=True)
    keep = torch.tensor([[1.0], [1.0], [0.0], [1.0], [1.0]])
    memory.unroll(features, torch.zeros(1, SIZE), keep)[3].sum().backward()
    assert not features.grad[:2].any()
    assert features.grad[2].any()
    assert features.grad[3].any()
    assert not features.grad[4].any()


def test_sequences_are_what_single_decisions_were():
    policy = make_policy()
    observation = torch.randn(7, 4, FEATURES, generator=stream(1))
    begins = torch.rand(7, 4, generator=stream(2)) < 0.3
    begins[0] = False
    first = state = torch.randn(4, SIZE, generator=stream(3))
    decisions = []
    for step in range(7):
        state = state.masked_fill(begins[step].unsqueeze(-1), 0.0)
        params, value, state = policy.step(observation[step], state)
        decisions.append((params, value))
    params, value = policy(observation.flatten(0, 1), Sequences(first, (~begins).float()))
    torch.testing.assert_close(params, torch.cat([each[0] for each in decisions]), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(value, torch.cat([each[1] for each in decisions]), atol=1e-6, rtol=1e-6)


def test_nothing_remembered_is_zeros():
    policy = make_policy()
    observation = torch.randn(4, FEATURES, generator=stream(1))
    empty = policy.initial_state(4)
    assert empty.shape == (4, SIZE)
    assert not empty.any()
    for with_zeros, without in zip(policy.step(observation, empty), policy.step(observation), strict=True):
        assert torch.equal(with_zeros, without)
    assert torch.equal(policy(observation)[0], policy.step(observation)[0])


def test_a_policy_decides_by_what_it_remembers():
    policy = make_policy()
    observation = torch.randn(4, FEATURES, generator=stream(1))
    one, two = (torch.randn(4, SIZE, generator=stream(seed)) for seed in (2, 3))
    step = policy.act(observation, {}, stream(4), state=one)
    said, value = policy.evaluate(observation, step.actions, {}, one)
    torch.testing.assert_close(said.log_prob, step.evaluation.log_prob, atol=1e-6, rtol=0)
    assert torch.equal(value, step.value)
    assert torch.equal(step.state, policy.step(observation, one)[2])
    other, _ = policy.evaluate(observation, step.actions, {}, two)
    assert (other.log_prob - said.log_prob).abs().max() > 1e-2


def test_without_memory_there_is_nothing_to_keep():
    policy = make_policy(memory=0)
    assert policy.memory is None
    assert policy.initial_state(4) is None
    observation = torch.randn(4, FEATURES, generator=stream(1))
    params, value, after = policy.step(observation)
    assert after is None
    assert torch.equal(params, policy(observation)[0])
    assert torch.equal(value, policy(observation)[1])
    assert policy.act(observation, {}, stream(2)).state is None
    assert not [name for name in policy.state_dict() if "memory" in name]


# Burn-in --------------------------------------------------------------------------------------------------------------


def burning(policy, normal, stale, keep, sequences):
    """Runs sequences whose first two steps are the burn-in of some of them."""
    burn_in = 2
    length = normal.shape[0] - burn_in
    before = BurnIn(stale[sequences], normal[:burn_in, sequences], keep[:burn_in, sequences], sequences)
    told = Sequences(torch.full_like(stale, 0.5), keep[burn_in:], before)
    return policy.outputs(normal[burn_in:].flatten(0, 1), told)[0].view(length, normal.shape[1], -1)


def test_a_burn_in_runs_the_steps_before_and_replaces_what_was_stored():
    policy = make_policy()
    normal = torch.randn(5, 3, FEATURES, generator=stream(1))
    keep = torch.ones(5, 3)
    keep[1, 0] = keep[2, 2] = 0.0  # within the burn-in, and at the first step of the sequence
    stale = torch.randn(3, SIZE, generator=stream(2))
    params = burning(policy, normal, stale, keep, torch.tensor([0, 2]))
    through, _ = policy.outputs(normal.flatten(0, 1), Sequences(stale, keep))
    through = through.view(5, 3, -1)[2:]
    torch.testing.assert_close(params[:, 0], through[:, 0], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(params[:, 2], through[:, 2], atol=1e-6, rtol=1e-6)
    # The second sequence has none: it starts from what is stored.
    stored, _ = policy.outputs(normal[2:, 1], Sequences(torch.full((1, SIZE), 0.5), torch.ones(3, 1)))
    torch.testing.assert_close(params[:, 1], stored, atol=1e-6, rtol=1e-6)


def test_a_burn_in_has_no_gradient():
    policy = make_policy()
    normal = torch.randn(5, 3, FEATURES, generator=stream(1), requires_grad=True)
    stale = torch.randn(3, SIZE, generator=stream(2))
    everywhere = torch.arange(3)
    burning(policy, normal, stale, torch.ones(5, 3), everywhere).sum().backward()
    assert not normal.grad[:2].any()
    assert (normal.grad[2:].abs().sum((0, 2)) > 0.0).all()
    burned = [weight.grad.clone() for weight in policy.trunk.parameters()]
    policy.zero_grad()
    with torch.no_grad():
        state = policy.memory.unroll(policy.trunk(normal[:2]), stale, torch.ones(2, 3))[-1]
    policy.outputs(normal[2:].flatten(0, 1), Sequences(state, torch.ones(3, 3)))[0].sum().backward()
    for with_burn_in, detached in zip(burned, policy.trunk.parameters(), strict=True):
        torch.testing.assert_close(with_burn_in, detached.grad, atol=1e-6, rtol=1e-6)
