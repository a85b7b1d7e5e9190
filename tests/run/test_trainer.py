"""The loop as a whole: a run is a function of its configuration, and goes on exactly where it stopped."""

import math
from itertools import islice, pairwise

import numpy as np
import pytest
import torch

from headctl.run.checkpoint import CheckpointError, list_checkpoints, load_checkpoint
from headctl.run.config import ConfigError, parse_config
from headctl.run.trainer import Trainer, load_policy
from tests.helpers.games import BIASED_RPS, BIASED_RPS_NASH

DOGFIGHT = ("game.name=dogfight", "game.num_games=6", "game.options={time_limit_s: 15}")
SKIRMISH = ("game.name=tests.helpers.games:Skirmish", "game.num_games=6")
SMALL = (
    "policy.hidden=[16]",
    "ppo.rollout_steps=24",
    "ppo.minibatch_size=100",
    "ppo.epochs=2",
    "ppo.learning_rate=3e-3",
    "selfplay.slots=2",
    "selfplay.slot_iterations=3",
    "selfplay.pool_size=3",
    "selfplay.snapshot_every=300",
    "checkpoint.every=1000000",
    "evaluation.games=4",
    "total_steps=1300",
)


def config_of(*overrides):
    return parse_config("", (*SMALL, *overrides))


def without_clock(record):
    return {key: value for key, value in record.items() if not key.startswith("perf/")}


def same_records(first, second):
    """Bit for bit; the shortest exact form of a float makes NaN equal to itself."""
    assert len(first) == len(second)
    for mine, theirs in zip(map(without_clock, first), map(without_clock, second), strict=True):
        assert mine.keys() == theirs.keys()
        different = {key: (mine[key], theirs[key]) for key in mine if repr(mine[key]) != repr(theirs[key])}
        assert different == {}


def run(config, run_dir):
    trainer = Trainer(config, run_dir)
    return trainer, list(trainer.iterations())


@pytest.mark.parametrize("game", [DOGFIGHT, SKIRMISH], ids=["dogfight", "parallel_env"])
def test_two_runs_of_one_seed_are_identical_and_of_another_are_not(tmp_path, game):
    (one, first), (_, second) = (run(config_of(*game), tmp_path / name) for name in ("a", "b"))
    same_records(first, second)
    _, other = run(config_of(*game, "seed=2"), tmp_path / "c")
    assert first[-1]["ppo/policy_loss"] != other[-1]["ppo/policy_loss"]
    assert [record["iteration"] for record in first] == list(range(1, len(first) + 1))
    assert len(first) >= 4
    assert first[-1]["agent_steps"] >= 1300 > first[-2]["agent_steps"]
    assert first[-1]["progress"] == one.progress == 1.0
    assert first[-1]["selfplay/pool_size"] == 3
    finite = [key for key in first[-1] if not key.startswith(("heads/", "env/", "selfplay/"))]
    assert all(math.isfinite(first[-1][key]) for key in finite)


def test_a_run_leaves_the_global_random_streams_alone(tmp_path):
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - it is what must not move
    run(config_of(*SKIRMISH, "total_steps=600"), tmp_path)
    assert torch.equal(torch_before, torch.get_rng_state())
    assert np.array_equal(numpy_before, np.random.get_state()[1])  # noqa: NPY002 - see above


@pytest.mark.parametrize("latest_share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("game", [DOGFIGHT, SKIRMISH], ids=["dogfight", "parallel_env"])
def test_a_resumed_run_goes_on_bit_for_bit(tmp_path, game, latest_share):
    config = config_of(*game, f"selfplay.latest_share={latest_share}")
    through, records = run(config, tmp_path / "through")
    stopped = Trainer(config, tmp_path / "stopped")
    half = len(records) // 2
    before = list(islice(stopped.iterations(), half))
    stopped.save()
    del stopped
    resumed = Trainer(config, tmp_path / "stopped", resume=True)
    assert resumed.iteration == half
    after = list(resumed.iterations())
    same_records(records, before + after)
    for name, weight in through.policy.state_dict().items():
        assert torch.equal(weight, resumed.policy.state_dict()[name]), name
    assert torch.equal(through.controller.log_alpha, resumed.controller.log_alpha)
    assert [s.agent_steps for s in through.pool.snapshots] == [s.agent_steps for s in resumed.pool.snapshots]


def test_evaluations_before_the_end_play_the_pilots_that_are_named(tmp_path):
    config = config_of(*DOGFIGHT, "evaluation.every=500", "evaluation.pilots=[pursuit]")
    trainer, records = run(config, tmp_path / "named")
    played = [{key.split("/")[1] for key in record if key.startswith("eval/")} for record in records]
    assert {"pursuit"} in played[:-1]
    assert all(who in (set(), {"pursuit"}) for who in played[:-1])
    assert played[-1] == set(trainer.pilots)


def test_a_pilot_that_the_game_does_not_have_is_not_evaluated_against():
    with pytest.raises(ConfigError, match=r"evaluation\.pilots: .*'pursiut'.*pursuit"):
        config_of("evaluation.pilots=[pursiut]")


@pytest.mark.parametrize("game", [DOGFIGHT, SKIRMISH], ids=["dogfight", "parallel_env"])
def test_evaluation_does_not_change_training(tmp_path, game):
    _, without = run(config_of(*game, "evaluation.every=0"), tmp_path / "without")
    _, with_it = run(config_of(*game, "evaluation.every=500"), tmp_path / "with")
    evaluated = [any(key.startswith("eval/") for key in record) for record in with_it]
    assert sum(evaluated) >= 2
    assert evaluated[-1]
    same_records(
        without, [{key: value for key, value in record.items() if not key.startswith("eval/")} for record in with_it]
    )


def test_checkpoints_and_snapshots_are_written_as_the_configuration_says(tmp_path):
    config = config_of(*SKIRMISH, "checkpoint.every=400", "checkpoint.keep=2")
    trainer, records = run(config, tmp_path)
    checkpoints = list_checkpoints(tmp_path)
    assert len(checkpoints) == 2
    assert int(checkpoints[-1].stem.rpartition("_")[2]) == trainer.agent_steps
    frozen = sorted(int(path.stem) for path in (tmp_path / "league").iterdir())
    steps = [0, *(record["agent_steps"] for record in records)]
    crossed = [after for before, after in pairwise(steps) if before // 300 != after // 300]
    assert frozen == [0, *crossed]
    assert list(Trainer(config, tmp_path, resume=True).iterations()) == []  # complete


def test_schedules_follow_every_clock_and_every_metric(tmp_path):
    heads = (
        "heads.act.target={schedule: linear, start: 0.8, end: 0.2, until: 1000, clock: agent_steps}",
        "heads.aim.target={schedule: linear, start: 0.8, end: 0.2, until: 10, clock: iterations}",
    )
    _, records = run(config_of(*SKIRMISH, *heads), tmp_path / "clocks")
    for record in records:
        share = min(record["agent_steps"] / 1000, 1.0)
        assert record["heads/act/target_fraction"] == pytest.approx(0.8 - 0.6 * share, abs=1e-6)
        share = (record["iteration"] - 1) / 10
        assert record["heads/aim/target_fraction"] == pytest.approx(0.8 - 0.6 * share, abs=1e-6)

    # Both metrics lie above `high` at all times: competence rises by a fifth of what is missing, per report.
    heads = tuple(
        f"heads.{head}.target={{schedule: performance, start: 0.9, end: 0.4, metric: {metric}, low: -2, high: -1}}"
        for head, metric in (("act", "env/episode_length"), ("aim", "win_rate"))
    )
    _, records = run(config_of(*SKIRMISH, *heads, "selfplay.latest_share=0"), tmp_path / "performance")
    missing = {"act": 1.0, "aim": 1.0}
    for record in records:
        for head, metric in (("act", "env/episode_length"), ("aim", "selfplay/win_rate")):
            assert record[f"heads/{head}/target_fraction"] == pytest.approx(0.9 - 0.5 * (1 - missing[head]), abs=1e-6)
            missing[head] *= 1.0 if math.isnan(record[metric]) else 0.8
    assert max(missing.values()) < 0.7


def test_a_loaded_policy_is_the_one_that_was_saved(tmp_path):
    config = config_of(*SKIRMISH, "total_steps=300")
    trainer, _ = run(config, tmp_path)
    policy = load_policy(config, tmp_path)
    assert all(torch.equal(entry, trainer.policy.state_dict()[name]) for name, entry in policy.state_dict().items())


def test_what_cannot_be_resumed_is_said_in_one_line(tmp_path):
    config = config_of(*SKIRMISH, "total_steps=300")
    with pytest.raises(CheckpointError, match="no checkpoint to resume from"):
        Trainer(config, tmp_path, resume=True)
    with pytest.raises(CheckpointError, match="no checkpoint yet"):
        load_policy(config, tmp_path)
    run(config, tmp_path)
    for other in (config_of(*SKIRMISH, "policy.hidden=[32]"), config_of(*DOGFIGHT)):
        with pytest.raises(CheckpointError, match="does not fit this configuration") as error:
            Trainer(other, tmp_path, resume=True)
        assert "\n" not in str(error.value)
        with pytest.raises(CheckpointError, match="does not fit this configuration"):
            load_policy(other, tmp_path)
    state = load_checkpoint(list_checkpoints(tmp_path)[-1])
    (tmp_path / "league" / f"{state['pool']['snapshots'][0]}.pt").unlink()
    with pytest.raises(CheckpointError, match=r"000000000000\.pt: no such file"):
        Trainer(config, tmp_path, resume=True)


def test_one_game_with_one_seat_is_enough(tmp_path):
    one_game = ("game.num_games=1", "selfplay.latest_share=0", "ppo.minibatch_size=24", "total_steps=200")
    _, records = run(config_of(*SKIRMISH, *one_game), tmp_path)
    assert records[-1]["agent_steps"] >= 200


# The flagship ---------------------------------------------------------------------------------------------------------


def exploitability(policy):
    """What a best response earns against the policy's mixture; 0 in equilibrium, 2/9 against the uniform one."""
    with torch.no_grad():
        probs = policy(torch.ones(1, 1))[0].double().softmax(-1)[0].numpy()
    return float((BIASED_RPS @ probs).max()), probs


def play_rps(run_dir, head):
    config = parse_config(
        "",
        (
            "game.name=tests.helpers.games:biased_rps",
            "game.num_games=64",
            f"heads.hand={head}",
            "policy.hidden=[8]",
            "ppo.rollout_steps=8",
            "ppo.minibatch_size=1024",
            "ppo.epochs=2",
            "ppo.learning_rate=1e-2",
            "ppo.gamma=0.0",
            "selfplay.latest_share=1",
            "total_steps=80_000",
            "checkpoint.every=1_000_000_000",
            "evaluation.every=0",
        ),
    )
    trainer = Trainer(config, run_dir)
    found = [exploitability(trainer.policy)[0] for _ in trainer.iterations()]
    return float(np.mean(found[-len(found) // 5 :])), exploitability(trainer.policy)[1]


@pytest.mark.slow
def test_the_entropy_of_the_equilibrium_as_target_makes_the_last_iterate_safe(tmp_path):
    nash_entropy = -(BIASED_RPS_NASH * np.log(BIASED_RPS_NASH)).sum()
    target = round(float(nash_entropy / math.log(3)), 3)
    assert target == 0.865
    nash_logits = torch.from_numpy(BIASED_RPS_NASH).log().unsqueeze(0)
    assert exploitability(lambda _: (nash_logits, None))[0] == pytest.approx(0.0, abs=1e-9)
    assert exploitability(lambda _: (torch.zeros(1, 3), None))[0] == pytest.approx(2 / 9)
    controlled, probs = play_rps(tmp_path / "controlled", f"{{target: {target}}}")
    free, _ = play_rps(tmp_path / "free", "{alpha: 0}")
    assert controlled < 0.05
    assert controlled < free / 3
    assert probs.argmax() == 1
