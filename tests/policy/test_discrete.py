"""Several choices at once, bits, probability floors and the way back from a collapse, by brute force."""

import math
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Bernoulli, Categorical

from headctl.policy.heads import BernoulliHead, CategoricalHead, MultiDiscreteHead

SIZES = (3, 2, 4)
OFFSETS = (0, 3, 5)
LOGITS = st.floats(-8.0, 8.0, width=32)
FLOORS = st.sampled_from([0.0, 0.05, 0.5])


def probabilities(logits, mask, floor):
    """Over the legal choices in double precision; uniform over all where none is legal."""
    legal = mask if any(mask) else [True] * len(mask)
    weights = [math.exp(z) if ok else 0.0 for z, ok in zip(logits, mask, strict=True)]
    weights = weights if any(mask) else [1.0] * len(mask)
    return [(1 - floor) * w / sum(weights) + floor * ok / sum(legal) for w, ok in zip(weights, legal, strict=True)]


def entropy_of(probs):
    return -sum(p * math.log(p) for p in probs if p > 0)


def joint_of(parts):
    """Probability of every combination of independent parts."""
    return {
        combination: math.prod(p[i] for p, i in zip(parts, combination, strict=True))
        for combination in product(*(range(len(p)) for p in parts))
    }


@given(
    logits=st.lists(LOGITS, min_size=9, max_size=9),
    masks=st.tuples(*(st.lists(st.booleans(), min_size=k, max_size=k).filter(any) for k in SIZES)),
    floor=FLOORS,
)
@settings(deadline=None, max_examples=60)
def test_several_choices_are_one_choice_among_all_combinations(logits, masks, floor):
    head = MultiDiscreteHead("dials", SIZES, floor)
    parts = [
        probabilities(logits[at : at + size], mask, floor) for at, size, mask in zip(OFFSETS, SIZES, masks, strict=True)
    ]
    joint = {combination: p for combination, p in joint_of(parts).items() if p > 0}
    assert sum(joint.values()) == pytest.approx(1.0)
    actions = torch.tensor(list(joint))
    mask = torch.tensor([[legal for part in masks for legal in part]]).expand(len(actions), -1)
    said = head.evaluate(torch.tensor([logits]).expand(len(actions), -1), actions, mask)
    expected = torch.tensor([math.log(p) for p in joint.values()])
    torch.testing.assert_close(said.log_prob, expected, rtol=1e-5, atol=2e-5)
    assert said.entropy[0].item() == pytest.approx(entropy_of(joint.values()), abs=1e-5)
    assert said.capacity[0].item() == pytest.approx(math.log(len(joint)), abs=1e-5)  # legal combinations
    assert said.choice[0].item() == float(len(joint) > 1)


def test_several_choices_equal_torch_distributions():
    head = MultiDiscreteHead("dials", SIZES)
    params = torch.randn(16, 9, generator=torch.Generator().manual_seed(0))
    action = head.sample(params, None, torch.Generator().manual_seed(1))
    said = head.evaluate(params, action, None)
    references = [Categorical(logits=part) for part in params.split(SIZES, -1)]
    log_prob = sum(part.log_prob(choice) for part, choice in zip(references, action.unbind(-1), strict=True))
    torch.testing.assert_close(said.log_prob, log_prob)
    torch.testing.assert_close(said.entropy, sum(part.entropy() for part in references))
    assert head.mode(params, None).tolist() == torch.stack([p.argmax(-1) for p in params.split(SIZES, -1)], -1).tolist()


def test_a_part_without_a_legal_choice_counts_nothing():
    head = MultiDiscreteHead("dials", SIZES)
    params = torch.randn(1, 9, generator=torch.Generator().manual_seed(2), requires_grad=True)
    mask = torch.tensor([[True, True, True, False, False, True, False, False, False]])
    said = head.evaluate(params, torch.tensor([[0, 1, 0]]), mask)
    assert said.capacity.item() == pytest.approx(math.log(3))
    assert said.entropy.item() == pytest.approx(Categorical(logits=params[:, :3]).entropy().item(), abs=1e-6)
    said.log_prob.sum().backward()
    assert (params.grad[0, 3:] == 0).all()
    nothing = head.evaluate(params, torch.zeros(1, 3, dtype=torch.int64), torch.zeros(1, 9, dtype=torch.bool))
    assert (nothing.entropy.item(), nothing.capacity.item(), nothing.choice.item()) == (0.0, 0.0, 0.0)


@given(
    logits=st.lists(LOGITS, min_size=3, max_size=3),
    mask=st.lists(st.booleans(), min_size=3, max_size=3),
    floor=FLOORS,
)
@settings(deadline=None, max_examples=60)
def test_bits_are_one_choice_among_all_patterns(logits, mask, floor):
    head = BernoulliHead("switches", 3, floor)
    parts = [probabilities([0.0, z], [True, may], floor) for z, may in zip(logits, mask, strict=True)]
    joint = {pattern: p for pattern, p in joint_of(parts).items() if p > 0}
    actions = torch.tensor(list(joint))
    rows = len(actions)
    said = head.evaluate(torch.tensor([logits]).expand(rows, -1), actions, torch.tensor([mask]).expand(rows, -1))
    expected = torch.tensor([math.log(p) for p in joint.values()])
    torch.testing.assert_close(said.log_prob, expected, rtol=1e-5, atol=2e-5)
    assert said.entropy[0].item() == pytest.approx(entropy_of(joint.values()), abs=1e-5)
    assert said.capacity[0].item() == pytest.approx(sum(mask) * math.log(2), abs=1e-6)
    assert said.choice[0].item() == float(any(mask))


def test_bits_equal_torch_distributions_and_respect_their_mask():
    head = BernoulliHead("switches", 4)
    params = torch.tensor([[2.0, -1.0, 0.0, 5.0]])
    reference = Bernoulli(logits=params)
    action = torch.tensor([[1, 0, 1, 0]])
    said = head.evaluate(params, action, None)
    torch.testing.assert_close(said.log_prob, reference.log_prob(action.float()).sum(-1))
    torch.testing.assert_close(said.entropy, reference.entropy().sum(-1))
    assert head.mode(params, None).tolist() == [[1, 0, 0, 1]]
    mask = torch.tensor([[True, True, True, False]])
    assert head.mode(params, mask).tolist() == [[1, 0, 0, 0]]
    rows = 20_000
    draws = head.sample(params.expand(rows, 4), mask.expand(rows, 4), torch.Generator().manual_seed(3)).float()
    assert draws.dtype == torch.float32
    expected = torch.sigmoid(params[0]) * mask[0]
    torch.testing.assert_close(draws.mean(0), expected, atol=0.015, rtol=0)


# Probability floors -------------------------------------------------------------------------------------------------


def test_a_probability_floor_is_the_same_in_draws_log_probabilities_and_entropy():
    head = CategoricalHead("weapon", 4, 0.2)
    params, mask = torch.tensor([[30.0, 0.0, 0.0, 0.0]]), torch.tensor([[True, True, False, True]])
    # (1 - .2) * (1, 0, -, 0) + .2 / 3 on each of the three legal choices
    expected = [0.8 + 0.2 / 3, 0.2 / 3, 0.0, 0.2 / 3]
    rows = 60_000
    draws = head.sample(params.expand(rows, 4), mask.expand(rows, 4), torch.Generator().manual_seed(4))
    frequencies = torch.bincount(draws, minlength=4) / rows
    torch.testing.assert_close(frequencies, torch.tensor(expected), atol=6e-3, rtol=0)
    assert frequencies[2] == 0
    said = head.evaluate(params.expand(4, 4), torch.arange(4), mask.expand(4, 4))
    torch.testing.assert_close(said.log_prob.exp(), torch.tensor(expected))
    assert said.entropy[0].item() == pytest.approx(entropy_of(expected), abs=1e-6)
    assert said.capacity[0].item() == pytest.approx(math.log(3))
    assert head.mode(params, mask).tolist() == [0]


@pytest.mark.parametrize("legal", [(False, True, False, False), (False,) * 4])
def test_a_floor_changes_nothing_where_there_is_no_choice(legal):
    params = torch.tensor([[5.0, -3.0, 0.0, 2.0]], requires_grad=True)
    mask = torch.tensor([legal])
    with_floor, without = (
        CategoricalHead("weapon", 4, floor).evaluate(params, torch.tensor([1]), mask) for floor in (0.3, 0.0)
    )
    for a, b in zip(with_floor, without, strict=True):
        assert a.item() == pytest.approx(b.item(), abs=1e-7)
    (with_floor.log_prob + with_floor.entropy).sum().backward()
    assert (params.grad == 0).all()


@given(logits=st.lists(LOGITS, min_size=4, max_size=4), floor=st.sampled_from([0.0, 0.1, 0.6]))
@settings(deadline=None, max_examples=40)
def test_gradients_of_a_floored_head_equal_finite_differences(logits, floor):
    mask = [True, False, True, True]
    head = CategoricalHead("weapon", 4, floor)
    params = torch.tensor([logits], requires_grad=True)
    said = head.evaluate(params, torch.tensor([2]), torch.tensor([mask]))
    gradients = [torch.autograd.grad(part.sum(), params, retain_graph=True)[0][0] for part in said[:2]]
    for choice in range(4):
        step = 1e-5
        up, down = list(logits), list(logits)
        up[choice] += step
        down[choice] -= step
        high, low = (probabilities(each, mask, floor) for each in (up, down))
        differences = (math.log(high[2] / low[2]), entropy_of(high) - entropy_of(low))
        for gradient, difference in zip(gradients, differences, strict=True):
            assert gradient[choice].item() == pytest.approx(difference / (2 * step), abs=5e-5)


# The way back from a collapse ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [None, (True, True, False, True), (False, True, False, False), (False,) * 4])
@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_divergence_from_uniform_by_brute_force(mask, floor):
    logits = [1.0, -2.0, 0.5, 3.0]
    params = torch.tensor([logits], requires_grad=True)
    masks = None if mask is None else torch.tensor([mask])
    said = CategoricalHead("weapon", 4, floor).divergence_from_uniform(params, masks)
    legal = [True] * 4 if mask is None else mask
    probs, count = probabilities(logits, legal, 0.0), sum(legal)
    expected = -sum(math.log(count * p) for p, ok in zip(probs, legal, strict=True) if ok) / max(count, 1)
    assert said.item() == pytest.approx(expected, abs=1e-5)
    said.sum().backward()
    for k in range(4):  # d KL(U || pi) / d logit_k = p_k - 1/n over the legal choices
        slope = probs[k] - 1 / count if legal[k] and count else 0.0
        assert params.grad[0, k].item() == pytest.approx(slope, abs=1e-6)


def test_divergence_from_uniform_adds_up_over_parts_and_bits():
    params = torch.randn(5, 9, generator=torch.Generator().manual_seed(5))
    mask = torch.rand(5, 9, generator=torch.Generator().manual_seed(6)) > 0.3
    parts = [
        CategoricalHead("part", size).divergence_from_uniform(z, m)
        for size, z, m in zip(SIZES, params.split(SIZES, -1), mask.split(SIZES, -1), strict=True)
    ]
    torch.testing.assert_close(MultiDiscreteHead("dials", SIZES).divergence_from_uniform(params, mask), sum(parts))
    bits = [
        CategoricalHead("bit", 2).divergence_from_uniform(
            torch.stack((torch.zeros(5), params[:, k]), -1), torch.stack((torch.ones(5).bool(), mask[:, k]), -1)
        )
        for k in range(9)
    ]
    torch.testing.assert_close(BernoulliHead("switches", 9).divergence_from_uniform(params, mask), sum(bits))


def test_the_pull_of_the_divergence_does_not_vanish_where_that_of_the_entropy_does():
    head = CategoricalHead("weapon", 2)
    slopes = []
    for gap in (2.0, 10.0, 20.0):
        params = torch.tensor([[gap, 0.0]], requires_grad=True)
        entropy = head.evaluate(params, torch.tensor([0]), None).entropy.sum()
        divergence = head.divergence_from_uniform(params, None).sum()
        slopes.append([torch.autograd.grad(term, params)[0][0, 0].item() for term in (entropy, divergence)])
    assert slopes[0] == [pytest.approx(-0.21, abs=0.01), pytest.approx(0.38, abs=0.01)]
    assert slopes[1] == [pytest.approx(-4.5e-4, abs=1e-5), pytest.approx(0.5, abs=1e-3)]
    assert slopes[2][0] > -1e-6
    assert slopes[2][1] == pytest.approx(0.5)


@given(
    logits=st.tuples(*(st.lists(LOGITS, min_size=4, max_size=4) for _ in range(2))),
    mask=st.lists(st.booleans(), min_size=4, max_size=4).filter(any),
    floor=FLOORS,
)
@settings(deadline=None, max_examples=60)
def test_divergence_of_two_heads_by_brute_force(logits, mask, floor):
    p, q = (probabilities(each, mask, floor) for each in logits)
    expected = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)
    params = [torch.tensor([each], requires_grad=True) for each in logits]
    said = CategoricalHead("weapon", 4, floor).kl(*params, torch.tensor([mask]))
    assert said.item() == pytest.approx(expected, rel=1e-4, abs=2e-5)
    said.sum().backward()
    assert all(torch.isfinite(each.grad).all() for each in params)
