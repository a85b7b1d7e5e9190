"""The controller: measurement, bonus, state, statuses; and the closed loop from both sides."""

import copy
import io
import math
import pickle
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headctl import MultiHeadEntropyController
from headctl.entropy.status import HeadStatus

HEADS = {
    "maneuver": {"target": {"schedule": "linear", "start": 0.85, "end": 0.35, "until": 0.7}, "choices": 9},
    "weapon": {"target": 0.30, "choices": 4},
    "params": {
        "target": {"schedule": "cosine", "start": 0.8, "end": 0.4, "until": 1.0},
        "kind": "gaussian",
        "dims": 3,
    },
}


def batch(rows: int = 32, seed: int = 0) -> dict[str, torch.Tensor]:
    """Entropies near the targets, so that no temperature stands at a bound."""
    generator = torch.Generator().manual_seed(seed)
    near = {"maneuver": 1.6, "weapon": 0.3, "params": 2.2}
    return {name: near[name] + 0.3 * torch.rand(rows, generator=generator) for name in HEADS}


# Measurement ---------------------------------------------------------------------------------------------------------


def test_the_fraction_is_a_ratio_of_means():
    controller = MultiHeadEntropyController({"weapon": 0.5})
    entropy = torch.tensor([0.6, 0.3, 7.0])
    capacity = torch.tensor([math.log(4), math.log(2), math.log(9)])
    weight = torch.tensor([1.0, 0.5, 0.0])
    controller.step({"weapon": entropy}, capacity={"weapon": capacity}, weight={"weapon": weight})
    metrics = controller.metrics()
    expected = (0.6 + 0.5 * 0.3) / (math.log(4) + 0.5 * math.log(2))
    assert metrics["heads/weapon/fraction"] == pytest.approx(expected)
    assert metrics["heads/weapon/entropy"] == pytest.approx(0.75 / 1.5)
    assert metrics["heads/weapon/weight"] == pytest.approx(0.5)
    assert metrics["heads/weapon/error"] == pytest.approx(0.5 - expected)


def test_a_gaussian_head_is_measured_from_its_smallest_scales():
    controller = MultiHeadEntropyController({"params": {"target": 0.5, "kind": "gaussian", "dims": 2}})
    one_dim = 0.5 * math.log(2 * math.pi * math.e)
    for log_std, fraction in ((-3.0, 0.0), (0.0, 1.0), (-1.5, 0.5)):
        controller.step(torch.full((4, 1), 2 * (one_dim + log_std)))
        assert controller.metrics()["heads/params/fraction"] == pytest.approx(fraction, abs=1e-6)


def test_entropy_in_units_that_people_picture():
    controller = MultiHeadEntropyController({"a": 0.5, "b": {"kind": "gaussian", "dims": 2}})
    gaussian = 2 * (0.5 * math.log(2 * math.pi * math.e) + math.log(0.3))
    entropy = torch.tensor([[math.log(3.0), gaussian]] * 4)
    capacity = torch.tensor([[math.log(5.0), 2 * 1.4189385]] * 4)
    controller.step(entropy, capacity=capacity)
    metrics = controller.metrics()
    assert metrics["heads/a/effective_actions"] == pytest.approx(3.0, rel=1e-5)
    assert metrics["heads/a/legal_actions"] == pytest.approx(5.0, rel=1e-5)
    assert metrics["heads/b/std"] == pytest.approx(0.3, rel=1e-5)
    assert "heads/b/effective_actions" not in metrics


def test_observing_in_pieces_is_observing_at_once():
    whole, pieces = (MultiHeadEntropyController(HEADS) for _ in range(2))
    values = batch(90)
    whole.step(values)
    for rows in (slice(0, 10), slice(10, 60), slice(60, 90)):
        pieces.observe({name: column[rows] for name, column in values.items()})
    pieces.step()
    torch.testing.assert_close(whole.alpha, pieces.alpha, atol=1e-6, rtol=0)


def test_packed_columns_stand_in_the_order_of_the_heads():
    named, packed = (MultiHeadEntropyController(HEADS) for _ in range(2))
    values = batch()
    named.step(values)
    packed.step(torch.stack([values[name] for name in packed.heads], dim=1))
    assert torch.equal(named.alpha, packed.alpha)
    assert packed.heads == ("maneuver", "weapon", "params")


# Bonus ---------------------------------------------------------------------------------------------------------------


def test_the_bonus_is_the_mean_over_active_rows():
    controller = MultiHeadEntropyController({"a": {"alpha": 0.5}, "b": {"alpha": 0.1}})
    entropy = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    weight = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    bonus = controller.bonus(entropy, weight=weight)
    assert bonus.item() == pytest.approx(0.5 * 2.0 + 0.1 * 4.0)
    bonus.backward()
    torch.testing.assert_close(entropy.grad, torch.tensor([[0.25, 0.0], [0.25, 0.1]]))


@given(st.integers(1, 64), st.integers(0, 200))
@settings(max_examples=30, deadline=None)
def test_the_bonus_changes_neither_with_batch_size_nor_with_padding(copies, padding):
    controller = MultiHeadEntropyController(HEADS)
    rows = torch.rand(8, 3, generator=torch.Generator().manual_seed(1))
    weight = torch.ones(8, 3)
    once = controller.bonus(rows, weight=weight)
    more = controller.bonus(rows.repeat(copies, 1), weight=weight.repeat(copies, 1))
    padded = controller.bonus(
        torch.cat((rows, torch.full((padding, 3), torch.nan))), weight=torch.cat((weight, torch.zeros(padding, 3)))
    )
    assert more.item() == pytest.approx(once.item(), abs=1e-6)
    assert padded.item() == pytest.approx(once.item(), abs=1e-6)


def test_a_rare_head_fades_below_two_per_cent_of_the_rows():
    controller = MultiHeadEntropyController({"a": {"alpha": 1.0}})
    entropy, weight = torch.ones(1000, 1), torch.zeros(1000, 1)
    weight[:20] = 1.0
    assert controller.bonus(entropy, weight=weight).item() == pytest.approx(1.0)
    weight[10:] = 0.0
    assert controller.bonus(entropy, weight=weight).item() == pytest.approx(0.5)


def test_advantages_that_are_not_normalised_scale_the_bonus():
    controller = MultiHeadEntropyController({"a": {"alpha": 0.5}})
    entropy, weight = torch.ones(4, 1), torch.ones(4, 1)
    for scale in (10.0, torch.tensor(10.0)):
        assert controller.bonus(entropy, weight=weight, scale=scale).item() == pytest.approx(5.0)


def test_an_empty_batch_adds_nothing_and_moves_nothing():
    controller = MultiHeadEntropyController(HEADS)
    before = controller.alpha.clone()
    assert controller.bonus(torch.zeros(0, 3)).item() == 0.0
    controller.step(torch.zeros(0, 3))
    assert torch.equal(controller.alpha, before)


def test_no_gradient_reaches_alpha_or_the_weights():
    controller = MultiHeadEntropyController({"a": 0.5})
    assert not controller.bonus(torch.ones(4, 1)).requires_grad
    assert controller.bonus(torch.ones(4, 1, requires_grad=True)).requires_grad


# Hold ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_statistic_that_is_not_finite_changes_nothing_but_the_count(broken):
    controller = MultiHeadEntropyController(HEADS)
    controller.step(batch())
    before = controller.state_dict()
    values = batch(seed=1)
    values["weapon"][3] = broken
    controller.step(values)
    assert controller.alpha[1] == before["alpha"][1]
    assert controller.log_alpha[1] == before["log_alpha"][1]
    assert controller.alpha[0] != before["alpha"][0]
    with pytest.warns(RuntimeWarning, match="not finite"):
        metrics = controller.metrics()
    assert [metrics[f"heads/{name}/skipped"] for name in controller.heads] == [0.0, 1.0, 0.0]
    assert math.isfinite(metrics["heads/weapon/fraction"])
    controller.step(values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        controller.metrics()


def test_a_broken_head_adds_nothing_to_the_loss():
    controller = MultiHeadEntropyController({"a": {"alpha": 1.0}, "b": {"alpha": 1.0}})
    entropy = torch.tensor([[1.0, math.nan], [2.0, 1.0]], requires_grad=True)
    bonus = controller.bonus(entropy)
    assert bonus.item() == pytest.approx(1.5)
    bonus.backward()
    torch.testing.assert_close(entropy.grad[:, 0], torch.tensor([0.5, 0.5]))


def test_without_active_rows_a_head_holds_and_says_so():
    controller = MultiHeadEntropyController(HEADS)
    controller.step(batch())
    controller.metrics()
    before = controller.state_dict()
    weight = {name: torch.ones(32) for name in HEADS} | {"weapon": torch.zeros(32)}
    for _ in range(50):
        controller.step(batch(seed=2), weight=weight)
    assert controller.alpha[1] == before["alpha"][1]
    assert controller.log_alpha[1] == before["log_alpha"][1]
    metrics = controller.metrics()
    assert metrics["heads/weapon/status"] is HeadStatus.INACTIVE
    assert metrics["heads/maneuver/status"] is not HeadStatus.INACTIVE


def test_one_legal_action_everywhere_is_inactive():
    controller = MultiHeadEntropyController({"weapon": 0.5})
    before = controller.alpha.clone()
    controller.step(torch.zeros(8, 1), capacity=torch.zeros(8, 1))
    assert torch.equal(controller.alpha, before)
    assert controller.metrics()["heads/weapon/status"] is HeadStatus.INACTIVE


def test_step_without_observation_holds():
    controller = MultiHeadEntropyController(HEADS)
    before = controller.state_dict()
    controller.step(progress=0.5)
    assert torch.equal(controller.alpha, before["alpha"])
    assert torch.equal(controller.log_alpha, before["log_alpha"])


# Statuses ------------------------------------------------------------------------------------------------------------


def held_at(fraction: float, updates: int = 64, **options) -> HeadStatus:
    controller = MultiHeadEntropyController({"a": {"choices": 4, "target": 0.5} | options})
    for _ in range(updates):
        controller.step(torch.full((4, 1), fraction * math.log(4)))
    return controller.metrics()["heads/a/status"]


def test_statuses_of_heads_that_do_not_react():
    assert held_at(0.5) is HeadStatus.TRACKING
    assert held_at(0.8) is HeadStatus.SLACK
    assert held_at(0.1, updates=200) is HeadStatus.SATURATED
    assert held_at(0.001) is HeadStatus.COLLAPSED
    assert held_at(0.8, mode="track") is HeadStatus.SATURATED
    assert held_at(0.8, target=0.0) is HeadStatus.SLACK


def test_a_status_needs_to_last():
    assert held_at(0.8, updates=5) is HeadStatus.TRACKING


def test_a_fixed_head_has_no_target():
    controller = MultiHeadEntropyController({"a": {"alpha": 0.02, "choices": 4}})
    controller.step(torch.full((4, 1), 0.3))
    metrics = controller.metrics()
    assert metrics["heads/a/status"] is HeadStatus.FIXED
    assert metrics["heads/a/alpha"] == pytest.approx(0.02)
    assert metrics["heads/a/fraction"] == pytest.approx(0.3 / math.log(4))
    assert math.isnan(metrics["heads/a/target_fraction"])
    assert math.isnan(metrics["heads/a/error"])


def test_shares_of_time_in_each_status():
    controller = MultiHeadEntropyController({"a": {"choices": 4, "target": 0.5}})
    for _ in range(64):
        controller.step(torch.full((4, 1), 0.9 * math.log(4)))
        controller.metrics()
    shares = controller.status_shares()["a"]
    assert shares["TRACKING"] == pytest.approx(31 / 64)
    assert shares["SLACK"] == pytest.approx(33 / 64)
    assert sum(shares.values()) == pytest.approx(1.0)
    told = {key: value for key, value in controller.metrics().items() if "/time_" in key}
    assert told == {
        "heads/a/time_tracking": pytest.approx(31 / 64),
        "heads/a/time_slack": pytest.approx(33 / 64),
        "heads/a/time_saturated": 0.0,
        "heads/a/time_inactive": 0.0,
        "heads/a/time_collapsed": 0.0,
    }


def test_only_the_statuses_that_a_head_can_have_are_timed():
    controller = MultiHeadEntropyController(
        {"fixed": {"alpha": 0.1, "choices": 4}, "track": {"choices": 4, "mode": "track"}}
    )
    controller.step(torch.full((4, 2), 0.7))
    told = {key.removeprefix("heads/"): value for key, value in controller.metrics().items() if "/time_" in key}
    assert told.pop("fixed/time_fixed") == told.pop("track/time_tracking") == 1.0
    assert sorted(told) == [
        "fixed/time_inactive",
        "track/time_collapsed",
        "track/time_inactive",
        "track/time_saturated",
    ]
    assert set(told.values()) == {0.0}


# Targets -------------------------------------------------------------------------------------------------------------


def test_targets_follow_the_clock():
    controller = MultiHeadEntropyController(HEADS)
    controller.step(batch(), progress=0.35)
    assert controller.targets() == pytest.approx(
        {"maneuver": 0.6, "weapon": 0.3, "params": 0.7 - 0.1 + 0.2 * math.cos(math.pi * 0.35)}
    )
    metrics = controller.metrics()
    assert metrics["heads/maneuver/target_fraction"] == pytest.approx(0.6)
    assert metrics["heads/maneuver/target_entropy"] == pytest.approx(0.6 * math.log(9))


def test_set_target():
    controller = MultiHeadEntropyController(HEADS)
    controller.set_target("weapon", 0.5)
    assert controller.targets()["weapon"] == 0.5
    controller.set_target("weapon", {"schedule": "linear", "start": 0.5, "end": 0.1})
    controller.step(batch(), progress=1.0)
    assert controller.targets()["weapon"] == 0.1


@pytest.mark.parametrize(
    ("head", "target", "message"),
    [
        ("wepon", 0.5, "Did you mean 'weapon'"),
        ("weapon", 1.5, r"heads\.weapon\.target: out of reach"),
        ("fixed", 0.5, "law fixed"),
    ],
)
def test_set_target_refuses(head, target, message):
    controller = MultiHeadEntropyController({"weapon": 0.3, "fixed": {"alpha": 0.1}})
    with pytest.raises(ValueError, match=message):
        controller.set_target(head, target)
    assert controller.targets() == {"weapon": 0.3}


# Bad input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"maneuver": torch.ones(4), "weapon": torch.ones(4)}, "no values for head 'params'"),
        (batch() | {"wepon": torch.ones(32)}, "Did you mean 'weapon'"),
        (batch() | {"weapon": torch.ones(31)}, "head 'weapon' has \\[31\\]"),
        (batch() | {"weapon": torch.ones(32, 1)}, "head 'weapon' has \\[32, 1\\]"),
        (torch.ones(32), "expected \\[B, 3\\]"),
        (torch.ones(32, 4), "got shape \\[32, 4\\]"),
    ],
)
def test_shapes_and_heads_are_checked(values, message):
    controller = MultiHeadEntropyController(HEADS)
    for call in (controller.bonus, controller.observe, controller.step):
        with pytest.raises(ValueError, match=message):
            call(values)


def test_weights_must_have_the_shape_of_the_entropies():
    controller = MultiHeadEntropyController(HEADS)
    with pytest.raises(ValueError, match="weight: expected the shape of the entropies"):
        controller.bonus(torch.ones(8, 3), weight=torch.ones(7, 3))
    with pytest.raises(ValueError, match="capacity: expected the shape of the entropies"):
        controller.observe(torch.ones(8, 3), capacity=torch.ones(7, 3))


def test_negative_weights_are_refused():
    controller = MultiHeadEntropyController(HEADS)
    weight = torch.ones(8, 3)
    weight[3, 1] = -0.5
    for call in (controller.bonus, controller.observe, controller.step):
        with pytest.raises(ValueError, match=r"weight: must be at least 0 in every row, got -0\.5"):
            call(torch.ones(8, 3), weight=weight)


def test_a_head_of_unknown_size_needs_capacities():
    controller = MultiHeadEntropyController({"weapon": 0.3})
    with pytest.raises(ValueError, match="capacity: missing, and head 'weapon'"):
        controller.step(torch.ones(8, 1))


@pytest.mark.parametrize("progress", [-0.1, 1.1, math.nan])
def test_progress_is_a_share(progress):
    with pytest.raises(ValueError, match="progress"):
        MultiHeadEntropyController(HEADS).step(progress=progress)


def test_no_heads():
    with pytest.raises(ValueError, match="at least one head"):
        MultiHeadEntropyController({})


# State ---------------------------------------------------------------------------------------------------------------


def run(controller: MultiHeadEntropyController, first: int, last: int) -> list[dict[str, float]]:
    told = []
    for update in range(first, last):
        controller.observe(batch(seed=update))
        controller.step(progress=update / 100)
        if update % 7 == 0:
            told.append(controller.metrics())
    return told


def test_resume_is_bit_exact_through_plain_data():
    whole = MultiHeadEntropyController(HEADS)
    whole.set_target("weapon", 0.55)
    told = run(whole, 0, 100)
    half = MultiHeadEntropyController(HEADS)
    half.set_target("weapon", 0.55)
    told_half = run(half, 0, 45)
    half.observe(batch(seed=45))
    file = io.BytesIO()
    torch.save(half.state_dict(), file)
    file.seek(0)
    resumed = MultiHeadEntropyController(HEADS)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    resumed.step(progress=0.45)
    told_half += run(resumed, 46, 100)
    assert torch.equal(resumed.alpha, whole.alpha)
    assert torch.equal(resumed.log_alpha, whole.log_alpha)
    assert told_half == told
    assert resumed.status_shares() == whole.status_shares()


def pickled(controller: MultiHeadEntropyController) -> MultiHeadEntropyController:
    return pickle.loads(pickle.dumps(controller))  # noqa: S301 - what it reads it has just written


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
def test_a_copy_goes_on_like_the_original_and_apart_from_it(copied):
    controller = MultiHeadEntropyController(HEADS)
    run(controller, 0, 20)
    controller.observe(batch(seed=20))
    other = copied(controller)
    for each in (controller, other):
        each.step(progress=0.2)
    assert run(controller, 21, 40) == run(other, 21, 40)
    before = controller.alpha
    run(other, 40, 45)
    assert torch.equal(controller.alpha, before)


def test_state_of_other_heads_is_refused_and_changes_nothing():
    controller = MultiHeadEntropyController(HEADS)
    run(controller, 0, 10)
    before = controller.alpha.clone()
    for other in ({"maneuver": 0.5}, dict(reversed(HEADS.items())), HEADS | {"weapon": {"alpha": 0.1}}):
        with pytest.raises(ValueError, match=r"heads|targets"):
            controller.load_state_dict(MultiHeadEntropyController(other).state_dict())
    with pytest.raises(ValueError, match="version"):
        controller.load_state_dict(controller.state_dict() | {"version": 99})
    assert torch.equal(controller.alpha, before)


def test_metrics_read_twice_say_the_same():
    controller = MultiHeadEntropyController(HEADS)
    assert controller.metrics() == {}
    controller.step(batch())
    assert controller.metrics() == controller.metrics()


def test_the_description_of_the_caller_is_not_changed():
    before = repr(HEADS)
    run(MultiHeadEntropyController(HEADS), 0, 20)
    assert repr(HEADS) == before


# Closed loops --------------------------------------------------------------------------------------------------------


def close_the_loop(kind: str, start: float, target: float, mode: str, updates: int = 1500) -> tuple[float, float]:
    """A policy that prefers its first choice (or small scales), with exact gradients; first and last fraction."""
    spec = {"target": target, "mode": mode, "alpha_min": -1.0 if mode == "track" else 1e-4}
    if kind == "categorical":
        controller = MultiHeadEntropyController({"a": spec | {"choices": 5}})
        parameter = torch.zeros(5)
        parameter[0] = start
    else:
        controller = MultiHeadEntropyController({"a": spec | {"kind": "gaussian", "dims": 5}})
        parameter = torch.full((5,), start)
    parameter.requires_grad_()
    optimizer = torch.optim.SGD([parameter], lr=0.3 if kind == "categorical" else 0.1)
    fractions = []
    for update in range(updates):
        if kind == "categorical":
            log_probs = torch.log_softmax(parameter, 0)
            entropy = -(log_probs.exp() * log_probs).sum()
            earned = 0.3 * log_probs[0].exp()
        else:
            log_std = -3.0 + 3.5 * torch.sigmoid(parameter)
            entropy = (log_std + 0.5 * math.log(2 * math.pi * math.e)).sum()
            earned = -0.02 * log_std.sum()
        entropy = entropy.view(1, 1)
        loss = -earned - controller.bonus(entropy)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        controller.step(entropy.detach())
        if update in (0, updates - 2, updates - 1):  # each reading is the mean since the one before
            fractions.append(controller.metrics()["heads/a/fraction"])
    return fractions[0], fractions[-1]


@pytest.mark.parametrize("kind", ["categorical", "gaussian"])
@pytest.mark.parametrize("start", [4.0, 0.0])
def test_track_reaches_its_target_from_both_sides(kind, start):
    first, last = close_the_loop(kind, start if kind == "categorical" else start - 2.0, 0.5, "track")
    assert abs(first - 0.5) > 0.1
    assert last == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("kind", ["categorical", "gaussian"])
def test_floor_lifts_a_head_that_is_not_random_enough(kind):
    first, last = close_the_loop(kind, 4.0 if kind == "categorical" else -2.0, 0.6, "floor")
    assert first < 0.5
    assert last == pytest.approx(0.6, abs=0.01)


def test_alpha_rises_if_and_only_if_the_entropy_is_below_the_target():
    for fraction, direction in ((0.2, 1), (0.8, -1)):
        controller = MultiHeadEntropyController({"a": {"target": 0.5, "choices": 4, "gain_proportional": 0.0}})
        before = controller.log_alpha.clone()
        controller.step(torch.full((4, 1), fraction * math.log(4)))
        assert (controller.log_alpha - before).item() * direction > 0


def test_the_formula_with_an_entropy_in_place_of_the_log_probability_runs_away():
    """``-(log_alpha * (H + target))`` stands in public code: right for log-probabilities, wrong for entropies."""
    logits = torch.tensor([2.0, 0.0, 0.0, 0.0, 0.0], requires_grad=True)
    log_alpha = torch.zeros(1, requires_grad=True)
    target = 0.5 * math.log(5)
    policy, temperature = torch.optim.SGD([logits], lr=0.1), torch.optim.SGD([log_alpha], lr=0.05)
    for _ in range(400):
        log_probs = torch.log_softmax(logits, 0)
        entropy = -(log_probs.exp() * log_probs).sum()
        policy.zero_grad()
        (-log_probs[0].exp() - log_alpha.detach().exp().clamp(max=50.0) * entropy).sum().backward()
        policy.step()
        temperature.zero_grad()
        (-(log_alpha * (entropy.detach() + target))).sum().backward()
        temperature.step()
    # The head is as random as can be, far above its target, and alpha still rises.
    assert entropy.item() > 0.99 * math.log(5)
    assert log_alpha.item() > 20.0


def updates_to_recover(**options) -> int:
    """A head that follows its temperature with a lag and cannot exceed 0.6: first asked for 0.9, then for 0.3."""
    controller = MultiHeadEntropyController({"a": {"target": 0.9, "choices": 9} | options})
    fraction = 0.5

    def live() -> None:
        nonlocal fraction
        fraction += 0.1 * (min(0.6, max(0.0, 0.2 + 3.0 * controller.alpha.item())) - fraction)
        controller.step(torch.full((8, 1), fraction * math.log(9)))

    for _ in range(500):
        live()
    controller.set_target("a", 0.3)
    for updates in range(5000):
        if abs(fraction - 0.3) < 0.03:
            return updates
        live()
    return 5000


def test_anti_windup_recovers_from_a_target_out_of_reach():
    unbounded = updates_to_recover(gain_proportional=0.0, alpha_max=1e9)
    assert 2.5 * updates_to_recover() < unbounded
