"""tanh-Gaussian and Beta heads against torch.distributions, integrals and Monte Carlo; divergences of all three."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Beta, Independent, Normal, TransformedDistribution, kl_divergence
from torch.distributions.transforms import AffineTransform, TanhTransform

from headctl.entropy.targets import TANH_GAUSSIAN_LOG_STD_MAX
from headctl.policy.heads import BetaHead, GaussianHead, TanhGaussianHead

LOW, HIGH = -5.0, TANH_GAUSSIAN_LOG_STD_MAX
TANH = TanhGaussianHead("aim", 1, LOW, HIGH)
BETA = BetaHead("aim", 1, 100.0)


def tanh_params(mean, log_std, head=TANH):
    """Outputs of the network that give this mean and scale before tanh."""
    share = (log_std - head.log_std_min) / (head.log_std_max - head.log_std_min)
    return torch.tensor([[4.0 * math.atanh(mean / 4.0), math.log(share / (1.0 - share))]])


def beta_params(upper, lower, most=100.0):
    shares = [math.log(c) / math.log(most) for c in (upper, lower)]
    return torch.tensor([[math.log(share / (1.0 - share)) for share in shares]])


def fine_tanh_entropy(mean, log_std):
    z = np.linspace(-12.0, 12.0, 20_001)
    density = np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    u = np.abs(mean + math.exp(log_std) * z)
    slope = 2.0 * (math.log(2.0) - u - np.log1p(np.exp(-2.0 * u)))
    return 0.5 * math.log(2 * math.pi * math.e) + log_std + np.trapezoid(density * slope, z)


# tanh-Gaussian ------------------------------------------------------------------------------------------------------


def test_tanh_gaussian_density_equals_torch_distributions():
    head = TanhGaussianHead("aim", 3, LOW, HIGH)
    params = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
    mean, log_std = head.distribution(params)
    reference = Independent(TransformedDistribution(Normal(mean, log_std.exp()), TanhTransform()), 1)
    action = torch.tanh(mean + log_std.exp() * torch.randn(64, 3, generator=torch.Generator().manual_seed(1)))
    said = head.evaluate(params, action, None)
    torch.testing.assert_close(said.log_prob, reference.log_prob(action), rtol=1e-4, atol=1e-3)
    assert (said.choice == 1).all()


@pytest.mark.parametrize(("mean", "log_std"), [(0.0, -0.2), (0.7, -1.0), (-1.5, -0.5), (0.2, -3.0)])
def test_tanh_gaussian_density_integrates_to_1_and_its_entropy_is_the_integral(mean, log_std):
    action = torch.linspace(-1.0, 1.0, 400_001)[1:-1].unsqueeze(-1)
    said = TANH.evaluate(tanh_params(mean, log_std).expand(len(action), -1), action, None)
    log_density = said.log_prob.double()
    step = 2.0 / 400_000
    assert (log_density.exp().sum() * step).item() == pytest.approx(1.0, abs=2e-3)
    brute = -(log_density.exp() * log_density).sum() * step
    assert said.entropy[0].item() == pytest.approx(brute.item(), abs=4e-3)


@pytest.mark.parametrize("mean", [0.0, 0.3, -1.0, 2.0, 3.5])
def test_tanh_gaussian_entropy_by_quadrature(mean):
    for log_std in (-4.99, -3.0, -1.5, -0.7, -0.15):
        said = TANH.evaluate(tanh_params(mean, log_std), torch.zeros(1, 1), None)
        assert said.entropy.item() == pytest.approx(fine_tanh_entropy(mean, log_std), abs=1e-4)


@pytest.mark.parametrize(("mean", "log_std"), [(0.0, -0.15), (1.0, -0.7), (-2.0, -2.0)])
def test_tanh_gaussian_entropy_by_a_million_draws(mean, log_std):
    rows = 1_000_000
    noise = torch.randn(rows, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    before = mean + math.exp(log_std) * noise
    log_prob = Normal(mean, math.exp(log_std)).log_prob(before) - (
        2.0 * (math.log(2.0) - before - torch.nn.functional.softplus(-2.0 * before))
    )
    sigma = log_prob.std().item() / math.sqrt(rows)
    assert sigma < 2e-3
    said = TANH.evaluate(tanh_params(mean, log_std), torch.zeros(1, 1), None)
    assert said.entropy.item() == pytest.approx(-log_prob.mean().item(), abs=4.0 * sigma)


@pytest.mark.parametrize(("raw_mean", "raw_scale"), [(0.0, 0.0), (1.3, -1.0), (-2.0, 2.0)])
def test_gradient_of_the_tanh_gaussian_entropy_equals_finite_differences(raw_mean, raw_scale):
    def entropy(first, second):
        share = 1.0 / (1.0 + math.exp(-second))
        return fine_tanh_entropy(4.0 * math.tanh(first / 4.0), LOW + (HIGH - LOW) * share)

    params = torch.tensor([[raw_mean, raw_scale]], requires_grad=True)
    TANH.evaluate(params, torch.zeros(1, 1), None).entropy.sum().backward()
    step = 1e-4
    expected = [
        (entropy(raw_mean + step, raw_scale) - entropy(raw_mean - step, raw_scale)) / (2 * step),
        (entropy(raw_mean, raw_scale + step) - entropy(raw_mean, raw_scale - step)) / (2 * step),
    ]
    assert params.grad[0].tolist() == pytest.approx(expected, abs=1e-3)


def test_tanh_gaussian_draws_stay_inside_and_have_the_right_quantiles():
    params = tanh_params(0.5, -0.7).expand(40_000, -1)
    draws = TANH.sample(params, None, torch.Generator().manual_seed(3)).flatten()
    quantiles = torch.tensor([0.1, 0.5, 0.9])
    expected = torch.tanh(0.5 + math.exp(-0.7) * Normal(0.0, 1.0).icdf(quantiles))
    torch.testing.assert_close(draws.quantile(quantiles), expected, atol=0.012, rtol=0)
    edge = TANH.sample(torch.tensor([[1e4, 1e4]]).expand(20_000, -1), None, torch.Generator().manual_seed(4))
    assert edge.max().item() < 1.0
    assert TANH.mode(params[:1], None).item() == pytest.approx(math.tanh(0.5), abs=1e-6)


@pytest.mark.parametrize("head", [TANH, BETA])
@pytest.mark.parametrize("action", [-1.0, 1.0, 0.0])
def test_actions_on_the_edge_of_the_box_have_finite_densities(head, action):
    params = torch.tensor([[30.0, -30.0], [-30.0, 30.0], [30.0, 30.0], [-30.0, -30.0]], requires_grad=True)
    said = head.evaluate(params, torch.full((4, 1), action), None)
    assert all(torch.isfinite(part).all() for part in said)
    (said.log_prob + said.entropy).sum().backward()
    assert torch.isfinite(params.grad).all()


# Beta ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("upper", "lower"), [(2.0, 2.0), (1.2, 5.0), (40.0, 3.0), (90.0, 90.0)])
def test_beta_equals_torch_distributions(upper, lower):
    params = beta_params(upper, lower)
    assert [c.item() for c in BETA.distribution(params)] == pytest.approx([upper, lower], rel=1e-5)
    exact = [torch.tensor([c], dtype=torch.float64) for c in (upper, lower)]
    reference = TransformedDistribution(Beta(*exact), AffineTransform(-1.0, 2.0))
    for action in (-0.9, -0.2, 0.0, 0.35, 0.99):
        said = BETA.evaluate(params, torch.tensor([[action]]), None)
        expected = reference.log_prob(torch.tensor([action], dtype=torch.float64))
        assert said.log_prob.item() == pytest.approx(expected.item(), rel=1e-4, abs=1e-3)
    assert said.entropy.item() == pytest.approx(Beta(*exact).entropy().item() + math.log(2), abs=1e-4)
    assert BETA.mode(params, None).item() == pytest.approx((upper - lower) / (upper + lower - 2.0), abs=1e-4)


@pytest.mark.parametrize(("concentration", "entropy"), [(2.0, 0.568), (5.0, 0.213), (20.0, -0.438), (50.0, -0.889)])
def test_beta_entropy_in_numbers(concentration, entropy):
    said = BETA.evaluate(beta_params(concentration, concentration), torch.zeros(1, 1), None)
    assert said.entropy.item() == pytest.approx(entropy, abs=1e-3)


def test_the_uniform_beta_is_log_2_with_its_mode_in_the_middle():
    params = torch.full((1, 2), -200.0)
    said = BETA.evaluate(params, torch.tensor([[0.7]]), None)
    assert said.entropy.item() == said.capacity.item() == pytest.approx(math.log(2))
    assert said.log_prob.item() == pytest.approx(-math.log(2))
    assert BETA.mode(params, None).item() == 0.0


def test_beta_draws_have_mean_and_scale_and_stay_inside():
    params = beta_params(6.0, 2.0).expand(40_000, -1)
    draws = BETA.sample(params, None, torch.Generator().manual_seed(5)).flatten()
    assert draws.mean().item() == pytest.approx(2.0 * 0.75 - 1.0, abs=0.008)
    assert draws.std().item() == pytest.approx(2.0 * math.sqrt(6 * 2 / (8**2 * 9)), rel=0.02)
    assert draws.abs().max().item() < 1.0


@pytest.mark.parametrize("raw", [-8.0, -3.0, 0.0, 3.0, 8.0])
def test_the_bounded_concentration_never_loses_its_gradient(raw):
    params = torch.full((1, 2), raw, requires_grad=True)
    concentrations = BETA.distribution(params)
    assert all(1.0 < c.item() < 100.0 for c in concentrations)
    BETA.evaluate(params, torch.zeros(1, 1), None).entropy.sum().backward()
    # Both together, as a controller presses them: more concentration, less entropy.
    assert params.grad.sum().item() < -1e-7


@pytest.mark.parametrize(("most", "expected"), [(100.0, 2.0), (5.0, 2.0), (1.5, math.sqrt(1.5)), (1e12, 1e6)])
def test_concentrations_start_at_2_where_the_bound_allows(most, expected):
    head = BetaHead("aim", 2, most)
    concentrations = torch.cat(head.distribution(head.initial_bias().unsqueeze(0)), -1)
    assert concentrations.flatten().tolist() == pytest.approx([expected] * 4, rel=1e-5)


# Divergences --------------------------------------------------------------------------------------------------------


def test_divergences_equal_torch_distributions():
    p, q = (torch.randn(32, 6, generator=torch.Generator().manual_seed(seed)) for seed in (6, 7))
    gaussian = GaussianHead("aim", 3, -3.0, 0.5)
    pairs = [Normal(mean, log_std.exp()) for mean, log_std in map(gaussian.distribution, (p, q))]
    torch.testing.assert_close(gaussian.kl(p, q, None), kl_divergence(*pairs).sum(-1), rtol=1e-4, atol=1e-5)
    beta = BetaHead("aim", 3, 100.0)
    pairs = [Beta(upper, lower) for upper, lower in map(beta.distribution, (p, q))]
    expected = kl_divergence(*pairs).sum(-1).float()
    torch.testing.assert_close(beta.kl(p, q, None), expected, rtol=1e-5, atol=1e-6)
    squashed = TanhGaussianHead("aim", 3, -3.0, -0.2)
    pairs = [Normal(mean, log_std.exp()) for mean, log_std in map(squashed.distribution, (p, q))]
    torch.testing.assert_close(squashed.kl(p, q, None), kl_divergence(*pairs).sum(-1), rtol=1e-4, atol=1e-5)
