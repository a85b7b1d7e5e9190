"""The update without a graph: the same terms and gradients as through autograd, whatever lanes and pieces."""

import gc
import threading
import time
from copy import deepcopy

import pytest
import torch
from gymnasium import spaces

from headctl.entropy.controller import MultiHeadEntropyController
from headctl.policy.actions import ActionHeads, describe_space, resolve_heads
from headctl.policy.network import Policy
from headctl.ppo import by_hand
from headctl.ppo.flat import FlatAdam, flat_order, flatten
from headctl.ppo.gradients import FlatGradients
from headctl.ppo.lanes import Lanes, _Job, one_thread
from headctl.ppo.learner import PPOLearner, PPOOptions
from headctl.ppo.rollout import Rollout

SPACE = spaces.Dict(
    {
        "bits": spaces.MultiBinary(2),
        "maneuver": spaces.Discrete(5),
        "params": spaces.Box(-1.0, 1.0, (2,)),
        "switches": spaces.MultiDiscrete([2, 3]),
        "weapon": spaces.Discrete(3),
    }
)
SIZES = {"weapon": 3, "switches": 5}
STEPS, ROWS, FEATURES = 7, 43, 6


def make_learner(*, threads=1, heads=None, seed=0, hidden=(16, 8), activation="tanh", **options):
    specs = resolve_heads(describe_space(SPACE), heads or {name: {"alpha": 0.1} for name in SPACE.spaces})
    generator = torch.Generator().manual_seed(seed)
    policy = Policy(FEATURES, ActionHeads(specs, SPACE), hidden=hidden, activation=activation, generator=generator)
    with torch.no_grad():
        policy.actor.weight.mul_(50.0)  # heads far from uniform
    generator = torch.Generator().manual_seed(seed)
    options = PPOOptions(**{"minibatch_size": 150, "target_kl": None} | options)
    return PPOLearner(policy, MultiHeadEntropyController(specs), options, generator, threads=threads)


def play(policy, *, seed=1, dead=0.3):
    generator = torch.Generator().manual_seed(seed)
    rollout = Rollout(STEPS, ROWS, FEATURES, policy.action_heads, mask_sizes=SIZES, device=torch.device("cpu"))
    for step in range(STEPS):
        seen = torch.randn(ROWS, FEATURES, generator=generator)
        masks = {name: torch.rand(ROWS, size, generator=generator) < 0.6 for name, size in SIZES.items()}
        masks["switches"][:, [0, 2]] = True
        rollout.store_decision(step, seen, masks, policy.act(seen, masks, generator))
        alive = (torch.rand(ROWS, generator=generator) >= dead).float()
        reward = torch.randn(ROWS, generator=generator)
        rollout.store_outcome(step, reward, torch.zeros(ROWS), torch.zeros(ROWS), alive)
    return rollout


def batches_of(draw, *, seed=2):
    generator = torch.Generator().manual_seed(seed)
    advantage = torch.randn(STEPS, ROWS, generator=generator)
    return list(next(draw(advantage, 150, 1, generator, normal=draw.__self__.observation)))


def drawn_of(rollout):
    return batches_of(rollout.drawn)


def pairs_of(rollout):
    """The same rows, as they are and copied."""
    return zip(drawn_of(rollout), batches_of(rollout.minibatches), strict=True)


def outcome(learner, batch):
    """Terms of the loss, and the gradient of all parameters."""
    learner.gradients.clear()
    losses = learner.losses(batch)
    kept = losses.sums.clone(), losses.weight.clone(), losses.params.detach().clone(), losses.log_prob.clone()
    (losses.policy + 0.7 * losses.value - 1.3 * losses.bonus).backward()
    return losses, kept, learner.gradients.flat.clone()


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("dead", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(("threads", "piece"), [(1, 10**6), (1, 64), (2, 10**6), (3, 64)])
def test_terms_and_gradients_are_those_of_autograd(monkeypatch, activation, dead, threads, piece):
    monkeypatch.setattr(by_hand, "_PIECE", piece)
    learner = make_learner(threads=threads, activation=activation)
    assert learner._hand is not None
    rollout = play(make_learner(seed=5, activation=activation).policy, dead=dead)
    for drawn, copied in pairs_of(rollout):
        losses, kept, slope = outcome(learner, drawn)
        right, expected, wanted = outcome(learner, copied)
        for term in ("policy", "value", "bonus", "rescue", "approx_kl", "clip_fraction", "joint_entropy"):
            torch.testing.assert_close(getattr(losses, term), getattr(right, term), rtol=1e-5, atol=2e-6, msg=term)
        for mine, theirs in zip(kept[:3], expected[:3], strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)
        counts = kept[1] > 0
        torch.testing.assert_close(kept[3][counts], expected[3][counts], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(slope, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_heads_with_a_probability_floor_and_far_logits_too(scale):
    """Every discrete kind with a floor; with logits so far apart that most probabilities are 0."""
    floors = {name: {"alpha": 0.1, "probability_floor": 0.1} for name in ("bits", "maneuver", "switches", "weapon")}
    learner, other = (make_learner(heads=floors | {"params": {"alpha": 0.1}}, seed=seed) for seed in (0, 5))
    with torch.no_grad():
        learner.policy.actor.weight.mul_(scale)
    rollout = play(other.policy)
    for drawn, copied in pairs_of(rollout):
        losses, kept, slope = outcome(learner, drawn)
        right, expected, wanted = outcome(learner, copied)
        for term in ("policy", "value", "bonus", "joint_entropy"):
            torch.testing.assert_close(getattr(losses, term), getattr(right, term), rtol=1e-5, atol=1e-5, msg=term)
        torch.testing.assert_close(kept[0], expected[0], rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(slope, wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))


def test_a_row_of_which_nothing_is_legal_tells_what_the_reference_does():
    learner = make_learner()
    rollout = play(make_learner(seed=5).policy)
    rollout.masks["weapon"][:, ::3] = False
    assert not rollout.masks["weapon"].any(-1)[:, ::3].any()
    rollout.choice[:, ::3, list(learner.policy.action_heads.names).index("weapon")] = 0.0
    for drawn, copied in pairs_of(rollout):
        _, kept, slope = outcome(learner, drawn)
        _, expected, wanted = outcome(learner, copied)
        torch.testing.assert_close(kept[3], expected[3], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(slope, wanted, rtol=1e-5, atol=1e-5)


def test_the_bits_of_a_gradient_do_not_depend_on_the_lanes(monkeypatch):
    monkeypatch.setattr(by_hand, "_PIECE", 64)
    found = []
    for threads in (1, 2, 3):
        learner = make_learner(threads=threads)
        found.append([outcome(learner, drawn)[2] for drawn in drawn_of(play(make_learner(seed=5).policy))])
    for other in found[1:]:
        for mine, theirs in zip(found[0], other, strict=True):
            assert torch.equal(mine, theirs)


def test_the_ratio_is_1_for_unchanged_parameters():
    learner = make_learner(threads=2)
    rollout = play(learner.policy)
    table = drawn_of(rollout)[0].table
    for batch in drawn_of(rollout):
        losses = learner.losses(batch)
        moved = losses.log_prob - table.log_prob[batch.chosen]
        assert moved[losses.weight > 0].abs().max().item() <= 1e-6
        assert losses.clip_fraction.item() == 0.0
        assert losses.approx_kl.item() < 1e-8


def test_a_gradient_of_the_outputs_goes_the_same_way():
    learner = make_learner()
    found = []
    for each in next(pairs_of(play(learner.policy))):
        learner.gradients.clear()
        losses = learner.losses(each)
        (losses.policy + losses.params.square().mean()).backward()
        found.append(learner.gradients.flat.clone())
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)


def test_the_pull_of_the_bonus_is_told_as_through_autograd():
    learner = make_learner()
    drawn, copied = next(pairs_of(play(make_learner(seed=5).policy)))
    told, right = (learner._pulls(learner.losses(batch), batch) for batch in (drawn, copied))
    for mine, theirs in zip(told, right, strict=True):
        assert theirs.abs().sum() > 0
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


def test_an_update_by_hand_is_one_through_autograd():
    learners = [make_learner(), make_learner(threads=2), make_learner()]
    learners[2]._hand = None
    rollout = play(learners[0].policy)
    told = [learner.update(rollout, torch.zeros(ROWS), 0.1) for learner in learners]
    weights = [learner.optimizer._flat for learner in learners]
    assert learners[0].optimizer._gradient.abs().sum() > 0
    for number in (0, 1):
        torch.testing.assert_close(weights[number], weights[2], rtol=1e-4, atol=1e-5)
        assert told[number] == pytest.approx(told[2], rel=1e-3, abs=1e-4, nan_ok=True)


def test_other_policies_go_through_autograd():
    assert make_learner(activation="silu")._hand is None
    assert make_learner(heads={"params": {"kind": "tanh_gaussian"}})._hand is None
    assert make_learner(heads={"weapon": {"target": 0.5, "rescue": True}})._hand is None


# Parameters in one piece ----------------------------------------------------------------------------------------------


def two_layers():
    layers = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    with torch.no_grad():
        for number, weight in enumerate(layers.parameters()):
            weight.copy_(torch.linspace(-1.0, 1.0, weight.numel()).view_as(weight) + number)
    return layers


def descend(layers, optimizer, steps):
    seen = torch.linspace(-2.0, 1.0, 12).view(4, 3)
    for _ in range(steps):
        for weight in layers.parameters():
            if weight.grad is not None:
                weight.grad.zero_()
        layers(seen).square().sum().backward()
        optimizer.step()


def flat_adam(layers):
    order = list(layers.parameters())[::-1]
    flat = flatten(order)
    return FlatAdam(layers.parameters(), flat, FlatGradients(order).flat, order, lr=1e-2)


def test_adam_in_one_piece_is_torchs_and_reads_its_state_as_torchs_reads_its():
    ours, theirs = two_layers(), two_layers()
    flat, plain = flat_adam(ours), torch.optim.Adam(theirs.parameters(), lr=1e-2, eps=1e-5)
    assert flat.state_dict()["state"] == {}
    descend(ours, flat, 3)
    descend(theirs, plain, 3)
    kept = deepcopy(flat.state_dict()), deepcopy(plain.state_dict())
    assert kept[0]["state"][1]["exp_avg"].shape == (4,)
    flat.load_state_dict(kept[1])
    plain.load_state_dict(kept[0])
    descend(ours, flat, 2)
    descend(theirs, plain, 2)
    for mine, right in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, right, rtol=1e-6, atol=1e-7)
    assert flat.state_dict()["state"][0]["step"].item() == 5.0


@pytest.mark.parametrize("frozen", [[0], [1, 2], [0, 3], [0, 1, 2, 3]])
@pytest.mark.parametrize("way", ["requires no gradient", "in no group"])
def test_what_is_frozen_later_is_not_carried_on_by_its_momentum(frozen, way):
    ours, theirs = two_layers(), two_layers()
    flat, plain = flat_adam(ours), torch.optim.Adam(theirs.parameters(), lr=1e-2, eps=1e-5)
    descend(ours, flat, 3)
    descend(theirs, plain, 3)
    mine, right = list(ours.parameters()), list(theirs.parameters())
    before, remembered = [weight.detach().clone() for weight in mine], deepcopy(flat.state_dict()["state"])
    for number in frozen:
        right[number].grad = None  # what torch's own leaves alone
        right[number].requires_grad_(False)
        if way == "requires no gradient":
            mine[number].requires_grad_(False)
        else:
            flat.param_groups[0]["params"] = [
                each for each in flat.param_groups[0]["params"] if each is not mine[number]
            ]
    for layers, optimizer in ((ours, flat), (theirs, plain)):
        if len(frozen) < len(mine):
            descend(layers, optimizer, 2)
        else:
            optimizer.step()
    for number, (weight, expected) in enumerate(zip(mine, right, strict=True)):
        assert torch.equal(weight, before[number]) == (number in frozen)
        torch.testing.assert_close(weight, expected, rtol=1e-6, atol=1e-7)
    for number in frozen:
        kept = flat.state[mine[number]]
        assert torch.equal(kept["exp_avg"], remembered[number]["exp_avg"])
        assert torch.equal(kept["exp_avg_sq"], remembered[number]["exp_avg_sq"])


def test_a_step_that_is_to_be_left_out_changes_nothing():
    layers = two_layers()
    optimizer = flat_adam(layers)
    descend(layers, optimizer, 1)
    before = [weight.detach().clone() for weight in layers.parameters()]
    optimizer.found_inf = torch.ones(())
    descend(layers, optimizer, 1)
    assert all(torch.equal(mine, was) for mine, was in zip(layers.parameters(), before, strict=True))
    assert optimizer.state_dict()["state"][0]["step"].item() == 1.0


def test_actor_and_critic_lie_side_by_side():
    policy = make_learner().policy
    names = {id(parameter): name for name, parameter in policy.named_parameters()}
    order = [names[id(parameter)] for parameter in flat_order(policy)]
    assert order[-4:] == ["actor.weight", "critic.weight", "actor.bias", "critic.bias"]
    assert sorted(order) == sorted(names.values())


# Lanes ----------------------------------------------------------------------------------------------------------------


def test_every_piece_is_done_once_by_lanes_with_one_thread_of_torch_each():
    lanes, seen, together = Lanes(3), {}, threading.Barrier(3)
    before = torch.get_num_threads()

    def work(lane, piece):
        if piece < 3:
            together.wait(10.0)  # nobody can have two of the first three
        seen.setdefault(piece, []).append((lane, threading.get_ident(), torch.get_num_threads()))

    lanes.run(work, 20)
    assert sorted(seen) == list(range(20))
    assert all(len(done) == 1 for done in seen.values())
    done = [each for (each,) in seen.values()]
    assert {lane for lane, *_ in done} == {0, 1, 2}
    assert len({(lane, ident) for lane, ident, _ in done}) == 3
    assert {threads for *_, threads in done} == {1}
    assert torch.get_num_threads() == before


def test_nobody_waits_for_a_lane_that_has_no_piece():
    lanes, taken, free = Lanes(2), [], threading.Event()
    lanes.run(lambda lane, piece: None, 2)
    lanes._workers[0].put(_Job(lambda lane, piece: free.wait(10.0), 1))  # busy elsewhere
    lanes.run(lambda lane, piece: taken.append((lane, piece)), 4)
    assert taken == [(0, 0), (0, 1), (0, 2), (0, 3)]
    free.set()
    lanes.run(lambda lane, piece: taken.append(piece), 2)
    assert sorted(taken[4:]) == [0, 1]


def test_the_faster_number_of_lanes_is_taken_and_the_other_looked_at_again(monkeypatch):
    lanes, now, taken = Lanes(2), [0.0], []
    monkeypatch.setattr("headctl.ppo.lanes.time.perf_counter", lambda: now[0])
    seconds = {1: 1.0, 2: 3.0}  # somebody else has the second core
    for _ in range(300):
        lanes.choose()
        taken.append(lanes.active)
        now[0] += seconds[lanes.active]
        lanes.chosen_did(100)
        if len(taken) == 150:
            seconds[2] = 0.6  # and leaves it
    assert taken[:2] == [2, 1]
    assert 2 <= taken[2:150].count(2) <= 3
    assert taken[-40:].count(1) <= 1
    alone = Lanes(1)
    alone.choose()
    assert alone.active == 1


def test_what_a_piece_raises_arrives_when_all_that_were_begun_have_ended():
    lanes, ended, together = Lanes(2), [], threading.Barrier(2)

    def work(lane, piece):
        together.wait(10.0)
        if piece == 1:
            raise ArithmeticError("in piece 1")
        time.sleep(0.05)
        ended.append(piece)

    with pytest.raises(ArithmeticError, match="in piece 1"):
        lanes.run(work, 2)
    assert ended == [0]
    lanes.run(lambda lane, piece: ended.append(piece), 2)
    assert sorted(ended) == [0, 0, 1]


def test_threads_end_with_their_lanes_and_stay_behind_in_a_copy():
    before = set(threading.enumerate())
    lanes = Lanes(2)
    lanes.run(lambda lane, piece: None, 2)
    (thread,) = set(threading.enumerate()) - before
    assert deepcopy(lanes)._workers == []
    del lanes
    gc.collect()
    thread.join(5.0)
    assert not thread.is_alive()


def test_one_thread_inside_and_as_many_as_before_afterwards():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
