"""Heads against torch.distributions, brute force and closed forms."""

import math
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Categorical, Normal

from headctl.entropy.spec import parse_head
from headctl.entropy.targets import gaussian_range
from headctl.policy.heads import (
    BernoulliHead,
    BetaHead,
    CategoricalHead,
    DiscreteHead,
    GaussianHead,
    MultiDiscreteHead,
    TanhGaussianHead,
    make_head,
)

K = 4
LOGITS = st.lists(st.floats(-20.0, 20.0, width=32), min_size=K, max_size=K)
MASKS = st.sampled_from([mask for mask in product([False, True], repeat=K) if any(mask)])
HEAD = CategoricalHead("weapon", K)
EVERY_HEAD = [
    HEAD,
    CategoricalHead("floored", K, 0.1),
    MultiDiscreteHead("dials", (3, 2, 4)),
    MultiDiscreteHead("floored_dials", (3, 2, 4), 0.1),
    BernoulliHead("switches", 3),
    BernoulliHead("floored_switches", 3, 0.1),
    GaussianHead("params", 3, -3.0, 0.5),
    TanhGaussianHead("squashed", 3, -3.0, -0.134217),
    BetaHead("bounded", 3, 100.0),
]
every_head = pytest.mark.parametrize("head", EVERY_HEAD, ids=lambda head: head.name)


def softmax_over(logits, mask):
    """Brute force in double precision over the legal choices only."""
    top = max(value for value, legal in zip(logits, mask, strict=True) if legal)
    terms = [math.exp(value - top) if legal else 0.0 for value, legal in zip(logits, mask, strict=True)]
    return [term / sum(terms) for term in terms]


@given(logits=LOGITS, mask=MASKS)
@settings(deadline=None, max_examples=200)
def test_masked_categorical_equals_brute_force(logits, mask):
    probs = softmax_over(logits, mask)
    entropy = -sum(p * math.log(p) for p in probs if p > 0)
    params = torch.tensor([logits]).expand(K, K)
    said = HEAD.evaluate(params, torch.arange(K), torch.tensor([mask]).expand(K, K))
    for choice in range(K):
        if mask[choice] and probs[choice] > 1e-30:
            assert said.log_prob[choice].item() == pytest.approx(math.log(probs[choice]), abs=2e-5)
        if not mask[choice]:
            assert said.log_prob[choice].exp().item() == 0.0
    assert said.entropy[0].item() == pytest.approx(entropy, abs=2e-6)
    assert said.capacity[0].item() == pytest.approx(math.log(sum(mask)), abs=1e-6)
    assert said.choice[0].item() == (1.0 if sum(mask) > 1 else 0.0)


@given(logits=LOGITS)
@settings(deadline=None, max_examples=50)
def test_unmasked_categorical_equals_torch_distributions(logits):
    params = torch.tensor([logits])
    reference = Categorical(logits=params, validate_args=False)
    for choice in range(K):
        said = HEAD.evaluate(params, torch.tensor([choice]), None)
        torch.testing.assert_close(said.log_prob, reference.log_prob(torch.tensor([choice])), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(said.entropy, reference.entropy(), rtol=1e-5, atol=1e-5)
        assert said.capacity.item() == pytest.approx(math.log(K))


@given(logits=LOGITS, mask=MASKS, data=st.data())
@settings(deadline=None, max_examples=100)
def test_illegal_choices_get_no_gradient_and_legal_ones_the_softmax_gradient(logits, mask, data):
    action = data.draw(st.sampled_from([choice for choice in range(K) if mask[choice]]))
    params = torch.tensor([logits], requires_grad=True)
    said = HEAD.evaluate(params, torch.tensor([action]), torch.tensor([mask]))
    (gradient,) = torch.autograd.grad(said.log_prob.sum(), params, retain_graph=True)
    probs = softmax_over(logits, mask)
    for choice in range(K):  # d log p(a) / d logit_k = 1[k = a] - p_k
        assert gradient[0, choice].item() == pytest.approx((choice == action) - probs[choice], abs=1e-5)
    (of_entropy,) = torch.autograd.grad(said.entropy.sum(), params)
    illegal = ~torch.tensor(mask)
    assert (gradient[0, illegal] == 0).all()
    assert (of_entropy[0, illegal] == 0).all()


@given(
    logits=st.lists(st.floats(-4.0, 4.0, width=32), min_size=K, max_size=K),
    mask=st.sampled_from([mask for mask in product([False, True], repeat=K) if sum(mask) > 1]),
)
@settings(deadline=None, max_examples=50)
def test_entropy_gradient_equals_finite_differences(logits, mask):
    def entropy(values):
        return -sum(p * math.log(p) for p in softmax_over(values, mask) if p > 0)

    params = torch.tensor([logits], requires_grad=True)
    said = HEAD.evaluate(params, torch.tensor([0]), torch.tensor([mask])).entropy
    (gradient,) = torch.autograd.grad(said.sum(), params)
    for choice in range(K):
        step = 1e-5
        up, down = list(logits), list(logits)
        up[choice] += step
        down[choice] -= step
        assert gradient[0, choice].item() == pytest.approx((entropy(up) - entropy(down)) / (2 * step), abs=2e-5)


def test_entropy_and_its_gradient_in_numbers():
    # p = (1/2, 1/4, 1/4): H = 1.5 log 2; dH/dlogit_k = -p_k (log p_k + H) = (-.5, .25, .25) * log(2) / 2
    params = torch.tensor([[math.log(2.0), 0.0, 0.0, 99.0]], requires_grad=True)
    mask = torch.tensor([[True, True, True, False]])
    said = HEAD.evaluate(params, torch.tensor([1]), mask)
    assert said.entropy.item() == pytest.approx(1.5 * math.log(2))
    assert said.log_prob.item() == pytest.approx(-2 * math.log(2))
    said.entropy.sum().backward()
    expected = torch.tensor([[-0.5, 0.25, 0.25, 0.0]]) * math.log(2) / 2
    torch.testing.assert_close(params.grad, expected)


def test_a_single_legal_choice_is_certain_and_is_no_choice():
    params = torch.tensor([[5.0, -3.0, 0.0, 2.0]], requires_grad=True)
    said = HEAD.evaluate(params, torch.tensor([1]), torch.tensor([[False, True, False, False]]))
    assert [part.item() for part in said] == [0.0, 0.0, 0.0, 0.0]
    (said.log_prob + said.entropy).sum().backward()
    assert (params.grad == 0).all()


def test_a_row_without_a_legal_choice_is_uniform_and_weightless():
    params = torch.tensor([[5.0, -3.0, 0.0, 2.0]], requires_grad=True)
    mask = torch.zeros(1, K, dtype=torch.bool)
    said = HEAD.evaluate(params, torch.tensor([1]), mask)
    assert said.log_prob.item() == pytest.approx(-math.log(K))
    assert said.entropy.item() == pytest.approx(math.log(K))
    assert said.capacity.item() == pytest.approx(math.log(K))
    assert said.choice.item() == 0.0
    (said.log_prob + said.entropy).sum().backward()
    assert (params.grad == 0).all()
    draws = HEAD.sample(params.detach().expand(4000, K), mask.expand(4000, K), torch.Generator().manual_seed(0))
    assert torch.bincount(draws, minlength=K).min() > 900


@pytest.mark.parametrize("size", [1e4, 1e30, 3.3e38])
@pytest.mark.parametrize("mask", [None, (True, True, False, True), (True, False, False, False), (False,) * K])
def test_extreme_logits_give_neither_nan_in_values_nor_in_gradients(size, mask):
    params = torch.tensor([[size, -size, size, 0.0], [0.0, 0.0, 0.0, 0.0]], requires_grad=True)
    masks = None if mask is None else torch.tensor([mask, mask])
    action = HEAD.sample(params.detach(), masks, torch.Generator().manual_seed(1))
    said = HEAD.evaluate(params, action, masks)
    assert all(torch.isfinite(part).all() for part in said)
    (said.log_prob + said.entropy).sum().backward()
    assert torch.isfinite(params.grad).all()
    if masks is not None and any(mask):
        assert masks.gather(-1, action.unsqueeze(-1)).all()


def test_bfloat16_params_are_computed_in_float32():
    params = torch.randn(64, K, generator=torch.Generator().manual_seed(2)).bfloat16()
    mask = torch.rand(64, K, generator=torch.Generator().manual_seed(3)) > 0.3
    mask[:, 0] = True
    low, high = (HEAD.evaluate(each, torch.zeros(64, dtype=torch.int64), mask) for each in (params, params.float()))
    assert all(part.dtype == torch.float32 for part in low)
    assert all(torch.equal(a, b) for a, b in zip(low, high, strict=True))
    gaussian = GaussianHead("params", 2, -3.0, 0.5)
    assert gaussian.evaluate(params, torch.zeros(64, 2), None).entropy.dtype == torch.float32


def test_categorical_draws_have_the_right_frequencies():
    params = torch.tensor([1.2, -0.4, 3.0, 0.3])
    mask = torch.tensor([True, True, False, True])
    rows = 60_000
    draws = HEAD.sample(params.expand(rows, K), mask.expand(rows, K), torch.Generator().manual_seed(4))
    counts = torch.bincount(draws, minlength=K).tolist()
    probs = softmax_over(params.tolist(), mask.tolist())
    assert counts[2] == 0
    chi_square = sum((counts[k] - rows * probs[k]) ** 2 / (rows * probs[k]) for k in (0, 1, 3))
    assert chi_square < 13.8  # 0.1 % quantile with 2 degrees of freedom


def test_neighbouring_rows_are_drawn_independently():
    rows = 40_000
    draws = HEAD.sample(torch.zeros(rows, K), None, torch.Generator().manual_seed(5))
    pairs = torch.bincount(draws[:-1] * K + draws[1:], minlength=K * K).double()
    expected = (rows - 1) / K**2
    assert float(((pairs - expected) ** 2 / expected).sum()) < 37.7  # 0.1 % quantile, 15 degrees of freedom


def test_mode_is_the_most_likely_legal_choice():
    params = torch.tensor([[1.0, 9.0, 3.0, 2.0], [1.0, 9.0, 3.0, 2.0]])
    mask = torch.tensor([[True, True, True, True], [True, False, False, True]])
    assert HEAD.mode(params, mask).tolist() == [1, 3]
    assert HEAD.mode(params, None).tolist() == [1, 1]


# Gaussian ---------------------------------------------------------------------------------------------------------


def test_gaussian_equals_torch_distributions():
    head = GaussianHead("params", 3, -3.0, 0.5)
    params = torch.randn(32, 6, generator=torch.Generator().manual_seed(6)) * 2
    action = torch.randn(32, 3, generator=torch.Generator().manual_seed(7))
    log_std = -3.0 + 3.5 / (1.0 + torch.exp(-params[:, 3:]))
    reference = Normal(params[:, :3], log_std.exp())
    said = head.evaluate(params, action, None)
    torch.testing.assert_close(said.log_prob, reference.log_prob(action).sum(-1), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(said.entropy, reference.entropy().sum(-1), rtol=1e-5, atol=1e-5)
    assert (said.choice == 1).all()


def test_gaussian_in_numbers():
    # sigmoid(0) puts log_std in the middle: (-2 + 1) / 2 = -0.5; one dim, one standard deviation off the mean.
    head = GaussianHead("params", 1, -2.0, 1.0)
    std = math.exp(-0.5)
    said = head.evaluate(torch.tensor([[0.3, 0.0]]), torch.tensor([[0.3 + std]]), None)
    assert said.log_prob.item() == pytest.approx(-0.5 + 0.5 - 0.5 * math.log(2 * math.pi))
    assert said.entropy.item() == pytest.approx(0.5 * math.log(2 * math.pi * math.e) - 0.5)
    assert said.capacity.item() == pytest.approx(0.5 * math.log(2 * math.pi * math.e))  # a standard deviation of 1


@pytest.mark.parametrize(("low", "high"), [(-3.0, 0.5), (-5.0, -1.0), (-1.0, 2.0)])
def test_gaussian_range_is_that_of_the_controller(low, high):
    head = GaussianHead("params", 3, low, high)
    floor, capacity = gaussian_range(3, low, high)
    params = torch.cat((torch.zeros(1, 3), torch.full((1, 3), -40.0)), dim=1)
    smallest = head.evaluate(params, torch.zeros(1, 3), None)
    assert smallest.entropy.item() == pytest.approx(floor, abs=1e-5)
    assert smallest.capacity.item() == pytest.approx(capacity, abs=1e-5)


@given(raw=st.floats(-12.0, 12.0))
@settings(deadline=None, max_examples=100)
def test_the_bounded_scale_never_loses_its_gradient(raw):
    head = GaussianHead("params", 1, -3.0, 0.5)
    params = torch.tensor([[0.0, raw]], requires_grad=True)
    _, log_std = head.distribution(params)
    assert -3.0 <= log_std.item() <= 0.5
    head.evaluate(params, torch.zeros(1, 1), None).entropy.sum().backward()
    share = 1.0 / (1.0 + math.exp(-raw))
    assert params.grad[0, 1].item() == pytest.approx(3.5 * share * (1.0 - share), rel=2e-2)
    assert params.grad[0, 1].item() > 1e-6


def test_gaussian_draws_have_mean_and_scale():
    head = GaussianHead("params", 2, -3.0, 0.5)
    params = torch.tensor([0.7, -0.2, 0.0, 2.0])
    draws = head.sample(params.expand(40_000, 4), None, torch.Generator().manual_seed(8))
    std = torch.exp(-3.0 + 3.5 * torch.sigmoid(params[2:]))
    torch.testing.assert_close(draws.mean(0), params[:2], rtol=0, atol=0.02)
    torch.testing.assert_close(draws.std(0), std, rtol=0.02, atol=0.0)
    assert torch.equal(head.mode(params, None), params[:2])


@pytest.mark.parametrize(("low", "high", "expected"), [(-3.0, 0.5, -0.5), (-5.0, -2.0, -3.5), (-0.52, 3.0, 1.24)])
def test_scales_start_at_exp_minus_a_half_where_the_bounds_allow(low, high, expected):
    head = GaussianHead("params", 2, low, high)
    _, log_std = head.distribution(head.initial_bias().unsqueeze(0))
    assert log_std.flatten().tolist() == pytest.approx([expected] * 2, abs=1e-5)


@every_head
def test_a_generator_is_the_only_source_of_randomness(head):
    params = torch.zeros(16, head.num_params)
    before = torch.get_rng_state()
    first, second = (head.sample(params, None, torch.Generator().manual_seed(9)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(first, head.sample(params, None, torch.Generator().manual_seed(10)))


@every_head
def test_leading_shapes_do_not_matter(head):
    params = torch.randn(6, 5, head.num_params, generator=torch.Generator().manual_seed(11))
    action = head.sample(params, None, torch.Generator().manual_seed(12))
    assert action.shape == (6, 5, *head.action_shape)
    assert action.dtype == head.action_dtype
    grid = head.evaluate(params, action, None)
    flat = head.evaluate(params.flatten(0, 1), action.flatten(0, 1), None)
    for a, b in zip(grid, flat, strict=True):
        assert a.shape == (6, 5)
        torch.testing.assert_close(a.flatten(), b)


@every_head
def test_the_ratio_is_exactly_1_between_rollout_and_update(head):
    params = 3.0 * torch.randn(256, head.num_params, generator=torch.Generator().manual_seed(13))
    action = head.sample(params, None, torch.Generator().manual_seed(14))
    rollout = head.evaluate(params, action, None)
    stored = torch.zeros(256, *head.action_shape, dtype=head.action_dtype)
    stored[:] = action
    update = head.evaluate(params.clone().requires_grad_(), stored, None)
    assert torch.equal(rollout.log_prob, update.log_prob.detach())
    assert update.log_prob.requires_grad
    assert update.entropy.requires_grad


@every_head
def test_log_probabilities_are_those_of_the_draws(head):
    # A second route to the entropy: the mean of -log p over a head's own draws.
    params = torch.randn(head.num_params, generator=torch.Generator().manual_seed(15)).expand(60_000, -1)
    said = head.evaluate(params, head.sample(params, None, torch.Generator().manual_seed(16)), None)
    sigma = said.log_prob.std().item() / math.sqrt(60_000)
    assert -said.log_prob.mean().item() == pytest.approx(said.entropy[0].item(), abs=4.5 * sigma + 1e-5)


@every_head
@pytest.mark.parametrize("size", [0.0, 1e4, 1e30])
def test_extreme_outputs_give_neither_nan_in_values_nor_in_gradients(head, size):
    signs = torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0, -1.0, 0.0])[: head.num_params]
    params = (size * torch.stack((signs, -signs, signs.abs()))).requires_grad_()
    action = head.sample(params.detach(), None, torch.Generator().manual_seed(1))
    said = head.evaluate(params, action, None)
    values = [*said, head.kl(params, torch.zeros_like(params), None), head.kl(params.detach() * 0.0, params, None)]
    if isinstance(head, DiscreteHead):
        values.append(head.divergence_from_uniform(params, None))
    if head.name == "params" and size == 1e30:
        values = list(said)  # the distance of two Gaussian means is truly beyond float32
    assert all(torch.isfinite(value).all() for value in values)
    assert torch.isfinite(head.mode(params, None).float()).all()
    sum(value.sum() for value in values).backward()
    assert torch.isfinite(params.grad).all()


@every_head
def test_bfloat16_outputs_are_computed_in_float32(head):
    params = torch.randn(64, head.num_params, generator=torch.Generator().manual_seed(2)).bfloat16()
    action = head.sample(params, None, torch.Generator().manual_seed(3))
    assert torch.equal(action, head.sample(params.float(), None, torch.Generator().manual_seed(3)))
    low, high = (head.evaluate(each, action, None) for each in (params, params.float()))
    assert all(part.dtype == torch.float32 for part in low)
    assert all(torch.equal(a, b) for a, b in zip(low, high, strict=True))
    divergence = head.kl(params, params.flip(0), None)
    assert divergence.dtype == torch.float32
    assert torch.equal(divergence, head.kl(params.float(), params.float().flip(0), None))


@every_head
def test_divergence_is_the_mean_log_ratio_of_draws_and_0_of_itself(head):
    generator = torch.Generator().manual_seed(17)
    p, q = (torch.randn(head.num_params, generator=generator).expand(60_000, -1) for _ in range(2))
    assert head.kl(p[:4], p[:4], None).abs().max().item() < 1e-5
    action = head.sample(p, None, generator)
    ratio = head.evaluate(p, action, None).log_prob - head.evaluate(q, action, None).log_prob
    sigma = ratio.std().item() / math.sqrt(60_000)
    assert head.kl(p, q, None)[0].item() == pytest.approx(ratio.mean().item(), abs=4.5 * sigma + 1e-5)
    assert head.kl(p, q, None)[0].item() > 0.0


def test_make_head_follows_the_description():
    gaussian = make_head(parse_head("params", {"kind": "gaussian", "dims": 3, "log_std_min": -4.0}))
    assert isinstance(gaussian, GaussianHead)
    assert (gaussian.num_params, gaussian.log_std_min, gaussian.log_std_max) == (6, -4.0, 0.5)
    assert make_head(parse_head("weapon", {"choices": 4})).num_params == 4
    expected = {
        "multidiscrete": (MultiDiscreteHead, {"choices": [3, 2]}, 5, (2,)),
        "bernoulli": (BernoulliHead, {"dims": 4}, 4, (4,)),
        "tanh_gaussian": (TanhGaussianHead, {"dims": 2}, 4, (2,)),
        "beta": (BetaHead, {"dims": 2}, 4, (2,)),
    }
    for kind, (cls, keys, num_params, action_shape) in expected.items():
        head = make_head(parse_head("a", {"kind": kind, **keys}))
        assert type(head) is cls
        assert (head.name, head.num_params, head.action_shape) == ("a", num_params, action_shape)
    floored = make_head(parse_head("weapon", {"choices": 4, "probability_floor": 0.2}))
    surely = floored.evaluate(torch.tensor([[90.0, 0.0, 0.0, 0.0]]), torch.tensor([1]), None)
    assert surely.log_prob.exp().item() == pytest.approx(0.05)
    with pytest.raises(ValueError, match=r"heads\.weapon\.choices: needed"):
        make_head(parse_head("weapon", 0.3))
    with pytest.raises(ValueError, match=r"heads\.dials\.choices: needed"):
        make_head(parse_head("dials", {"kind": "multidiscrete"}))


def test_capacity_and_floor_are_those_of_the_controller():
    outputs = {"tanh_gaussian": (0.0, -40.0), "beta": (40.0, 40.0), "gaussian": (0.0, -40.0)}
    for kind, (first, second) in outputs.items():
        spec = parse_head("a", {"kind": kind, "dims": 2})
        params = torch.tensor([[first, first, second, second]])
        said = make_head(spec).evaluate(params, torch.zeros(1, 2), None)
        assert said.entropy.item() == pytest.approx(spec.entropy_floor, abs=1e-5)
        assert said.capacity.item() == pytest.approx(spec.entropy_capacity, abs=1e-5)
