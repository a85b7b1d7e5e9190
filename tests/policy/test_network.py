"""The network and the observation normaliser."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from headctl.policy.actions import ActionHeads, describe_space, resolve_heads
from headctl.policy.activations import Tanh
from headctl.policy.network import ObservationNormalizer, Policy

SPACE = spaces.Dict(
    {"maneuver": spaces.Discrete(9), "weapon": spaces.Discrete(4), "params": spaces.Box(-1, 1, (3,), np.float32)}
)


def make_policy(seed=0, features=5, **options):
    heads = ActionHeads(resolve_heads(describe_space(SPACE), {}), SPACE)
    return Policy(features, heads, hidden=(16, 16), generator=torch.Generator().manual_seed(seed), **options)


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5), seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=40)
def test_statistics_of_several_batches_are_those_of_all_samples_together(sizes, seed):
    random = np.random.default_rng(seed)
    batches = [random.normal(3.0, [0.1, 1.0, 20.0], (size, 3)).astype(np.float32) for size in sizes]
    normalizer = ObservationNormalizer(3)
    for batch in batches:
        normalizer.update(torch.from_numpy(batch))
    everything = np.concatenate(batches).astype(np.float64)
    assert normalizer.count.item() == len(everything)
    np.testing.assert_allclose(normalizer.mean, everything.mean(0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(normalizer.variance, everything.var(0), rtol=1e-4, atol=1e-6)


def test_normalised_observations_have_mean_0_and_variance_1_and_are_clipped():
    batch = torch.randn(500, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([5.0, 0.01]) + 7.0
    normalizer = ObservationNormalizer(2)
    assert torch.equal(normalizer(torch.tensor([[3.0, -4.0]])), torch.tensor([[3.0, -4.0]]))  # nothing known yet
    normalizer.update(batch.view(50, 10, 2))
    normal = normalizer(batch)
    torch.testing.assert_close(normal.mean(0), torch.zeros(2), atol=1e-3, rtol=0)
    torch.testing.assert_close(normal.var(0, correction=0), torch.ones(2), atol=1e-3, rtol=0)
    assert normalizer(torch.full((1, 2), 1e6)).tolist() == [[10.0, 10.0]]


@pytest.mark.parametrize("constant", [0.0, 0.3, 1000.3, -2e7])
def test_a_feature_that_has_never_varied_is_centred_and_not_blown_up(constant):
    normalizer = ObservationNormalizer(1)
    for _ in range(3):
        normalizer.update(torch.full((37, 1), constant))
    assert normalizer(torch.full((1, 1), constant)).abs().item() <= 1e-6 * abs(constant)
    nearby = torch.full((1, 1), constant + 0.5 * max(1.0, abs(constant)))
    assert normalizer(nearby).item() == pytest.approx(min(0.5 * max(1.0, abs(constant)), 10.0), rel=1e-3)


def test_a_feature_of_small_scale_is_still_normalised():
    normalizer = ObservationNormalizer(1)
    batch = 1e-3 * torch.randn(1000, 1, generator=torch.Generator().manual_seed(1)) + 0.01
    normalizer.update(batch)
    assert normalizer(batch).std().item() == pytest.approx(1.0, abs=0.02)


def test_an_empty_batch_changes_nothing():
    normalizer = ObservationNormalizer(2)
    normalizer.update(torch.tensor([[1.0, 2.0], [3.0, 5.0]]))
    before = {name: entry.clone() for name, entry in normalizer.state_dict().items()}
    normalizer.update(torch.zeros(0, 2))
    assert all(torch.equal(before[name], entry) for name, entry in normalizer.state_dict().items())


def test_sums_over_processes_make_the_statistics_of_all_their_rows():
    rows = torch.randn(40, 3, generator=torch.Generator().manual_seed(1)) * torch.tensor([1.0, 10.0, 0.1]) + 5.0
    rows[7, 0] = math.nan
    alone = ObservationNormalizer(3)
    for factor in (1.0, 2.0):
        alone.update(rows * factor)
    shares = [rows[:30], rows[30:], rows[:0]]
    together, sent, barrier = [ObservationNormalizer(3) for _ in shares], {}, threading.Barrier(len(shares))

    def process(rank):
        def total(sums):
            sent[rank] = sums.clone()
            barrier.wait(60)
            sums.copy_(torch.stack([sent[each] for each in range(len(shares))]).sum(0))
            barrier.wait(60)
            return sums

        for factor in (1.0, 2.0):
            together[rank].update(shares[rank] * factor, total)

    with ThreadPoolExecutor(len(shares)) as threads:
        list(threads.map(process, range(len(shares))))
    for each in together:
        assert each.count.item() == alone.count.item() == 78
        torch.testing.assert_close(each.mean, alone.mean, rtol=1e-6, atol=0)
        torch.testing.assert_close(each.variance, alone.variance, rtol=1e-5, atol=0)


def test_building_and_acting_leave_the_global_random_stream_alone():
    before = torch.get_rng_state()
    policy = make_policy(1)
    policy.act(torch.zeros(4, 5), {}, torch.Generator().manual_seed(1))
    assert torch.equal(before, torch.get_rng_state())


def test_weights_follow_the_seed():
    same, again, other = make_policy(1), make_policy(1), make_policy(2)
    assert all(torch.equal(a, b) for a, b in zip(same.parameters(), again.parameters(), strict=True))
    assert not torch.equal(same.trunk[0].weight, other.trunk[0].weight)


def test_initial_weights_are_orthogonal_with_the_stated_gains():
    policy = make_policy(3)
    square = policy.trunk[2].weight
    torch.testing.assert_close(square @ square.T, 2.0 * torch.eye(16), atol=1e-5, rtol=0)
    rows = policy.actor.weight.T  # 19 outputs from 16 features: the columns are orthogonal
    torch.testing.assert_close(rows @ rows.T, 1e-4 * torch.eye(16), atol=1e-8, rtol=0)
    assert policy.critic.weight.norm().item() == pytest.approx(1.0, abs=1e-5)
    assert policy.critic.bias.item() == 0.0


def test_a_new_policy_is_nearly_uniform_and_its_scales_start_at_exp_minus_a_half():
    policy = make_policy(4)
    observation = torch.randn(64, 5, generator=torch.Generator().manual_seed(0))
    step = policy.act(observation, {}, torch.Generator().manual_seed(1))
    column = {name: index for index, name in enumerate(policy.action_heads.names)}
    entropy = step.evaluation.entropy
    assert entropy[:, column["maneuver"]].min().item() > 0.999 * math.log(9)
    expected = 3 * (0.5 * math.log(2 * math.pi * math.e) - 0.5)
    torch.testing.assert_close(entropy[:, column["params"]], torch.full((64,), expected), atol=0.05, rtol=0)


def test_act_says_of_its_actions_what_evaluate_says():
    policy = make_policy(5)
    observation = torch.randn(32, 5, generator=torch.Generator().manual_seed(2))
    masks = {"weapon": torch.rand(32, 4, generator=torch.Generator().manual_seed(3)) > 0.5}
    step = policy.act(observation, masks, torch.Generator().manual_seed(4))
    said, value = policy.evaluate(observation, step.actions, masks)
    assert torch.equal(said.log_prob.detach(), step.evaluation.log_prob)
    assert torch.equal(value.detach(), step.value)
    assert said.log_prob.requires_grad
    assert not step.evaluation.log_prob.requires_grad


def test_unknown_activation_is_refused_with_the_likely_intent():
    with pytest.raises(ValueError, match=r"policy\.activation: unknown activation: 'tanhh'.*Did you mean 'tanh'"):
        make_policy(activation="tanhh")


@pytest.mark.parametrize("activation", ["tanh", "relu", "elu", "silu"])
def test_every_activation_gives_gradients_to_all_weights(activation):
    policy = make_policy(6, activation=activation)
    params, value = policy(torch.randn(64, 5, generator=torch.Generator().manual_seed(5)))
    (params.square().sum() + value.sum()).backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in policy.parameters())


def test_tanh_by_the_sigmoid_is_tanh_with_its_gradient():
    x = torch.cat((torch.linspace(-12, 12, 4001), torch.tensor([0.0, 1e-6, 60.0, -60.0, math.inf, -math.inf])))
    leaf = x.clone().requires_grad_()
    y = Tanh()(leaf)
    y.sum().backward()
    exact = torch.tanh(x.double())
    assert (y.detach().double() - exact).abs().max() <= 2.5e-7
    assert (leaf.grad.double() - (1 - exact.square())).abs().max() <= 5e-7
    assert torch.equal(Tanh()(x), y.detach())  # with and without a gradient: rollout and update
    assert Tanh()(torch.tensor([math.nan])).isnan().all()
