"""Runs with memory: the keys of the file, exact resume, everybody who loads such a policy, and that it learns."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import pytest
import torch

from headctl.run.agent import load_policy
from headctl.run.anchors import load_anchors
from headctl.run.arena import Arena
from headctl.run.checkpoint import CheckpointError, list_checkpoints, load_checkpoint
from headctl.run.config import ConfigError, parse_config, to_yaml
from headctl.run.exploit import exploit
from headctl.run.folder import create_run_folder
from headctl.run.replay import record
from headctl.run.trainer import Trainer
from headctl.selfplay.answers import exact_exploitability
from headctl.selfplay.league import Snapshot
from tests.commands.test_tournament import headctl, refused
from tests.faults.runs import LEAGUE, begin_and_train, differences, differing_runs

GRU = "policy.recurrent={cell: gru, hidden_size: 8, sequence_length: 4, burn_in: 2}"
DOGFIGHT = (
    "game={name: dogfight, num_games: 6, options: {time_limit_s: 6}}",
    "policy.hidden=[16]",
    "ppo={rollout_steps: 24, minibatch_size: 100, epochs: 2, learning_rate: 3e-3}",
    "selfplay={slots: 2, slot_iterations: 3, pool_size: 3, snapshot_every: 300}",
    "checkpoint.every=1000000",
    "evaluation.games=4",
    "run.tensorboard=false",
)


# Keys -----------------------------------------------------------------------------------------------------------------


def refusal(*overrides):
    with pytest.raises(ConfigError) as caught:
        parse_config("", overrides)
    return str(caught.value)


def test_a_bare_word_and_a_mapping_mean_the_same():
    for written in ("policy: {recurrent: gru}", "policy: {recurrent: {cell: gru}}"):
        memory = parse_config(written).policy.recurrent
        assert (memory.cell, memory.size, memory.sequence_length, memory.burn_in) == ("gru", 64, 16, 0)
    for written in ("", "policy: {recurrent: none}", "policy: {recurrent: null}", "policy: {recurrent: {}}"):
        assert parse_config(written).policy.recurrent.size == 0
    more = parse_config("policy: {recurrent: gru}", ["policy.recurrent.hidden_size=32", "policy.recurrent.burn_in=8"])
    assert (more.policy.recurrent.size, more.policy.recurrent.burn_in) == (32, 8)
    assert parse_config("policy: {recurrent: gru}", ["policy.recurrent=null"]).policy.recurrent.size == 0
    assert parse_config(to_yaml(more)) == more


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["policy.recurrent=lstm"], "policy.recurrent.cell: unknown value: 'lstm'. Allowed: gru, none"),
        (["policy.recurrent=gur"], "Did you mean 'gru'?"),
        (["policy.recurrent=true"], "policy.recurrent: expected a mapping of keys: cell, hidden_size"),
        (["policy.recurrent={cell: gru, hiden_size: 8}"], "Did you mean 'hidden_size'?"),
        (["policy.recurrent={cell: gru, hidden_size: 0}"], "policy.recurrent.hidden_size: must be at least 1, got 0"),
        (["policy.recurrent={burn_in: 4}"], "policy.recurrent.burn_in: 4 has nothing to act on without a cell"),
        (["policy.recurrent={hidden_size: 128}"], "hidden_size: 128 has nothing to act on without a cell; set"),
        (
            ["policy.recurrent=gru", "ppo.rollout_steps=24"],
            "policy.recurrent.sequence_length: 16 does not divide ppo.rollout_steps 24, and a rollout is cut into",
        ),
        (["policy.recurrent=gru", "ppo.rollout_steps=24"], "whole sequences; 12 or 24 would do"),
        (
            ["policy.recurrent={cell: gru, sequence_length: 100}"],
            "100 does not divide ppo.rollout_steps 64, and a rollout is cut into whole sequences; 64 would do",
        ),
        (
            ["policy.recurrent={cell: gru, burn_in: 17}"],
            "policy.recurrent.burn_in: 17 is more than policy.recurrent.sequence_length 16",
        ),
        (
            ["policy.recurrent=gru", "ppo.minibatch_size=8"],
            "ppo.minibatch_size: 8 is less than one sequence (policy.recurrent.sequence_length 16)",
        ),
    ],
)
def test_keys_that_cannot_be_are_named(overrides, words):
    assert words in refusal(*overrides)


# Exact resume ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("latest_share", [0.0, 0.5, 1.0])
def test_a_resumed_run_goes_on_bit_for_bit(tmp_path, latest_share):
    config = parse_config("", (*DOGFIGHT, GRU, "total_steps=1300", f"selfplay.latest_share={latest_share}"))
    through = Trainer(config, tmp_path / "through")
    records = list(through.iterations())
    stopped = Trainer(config, tmp_path / "stopped")
    before = list(islice(stopped.iterations(), len(records) // 2))
    stopped.save()
    state = load_checkpoint(list_checkpoints(tmp_path / "stopped")[-1])
    assert state["collector"]["memory"].abs().sum() > 0.0
    assert latest_share == 1.0 or state["collector"]["opponents"]["remembered"].abs().sum() > 0.0
    del stopped
    resumed = Trainer(config, tmp_path / "stopped", resume=True)
    after = list(resumed.iterations())

    def learned(record):
        return {key: repr(value) for key, value in record.items() if not key.startswith("perf/")}

    assert list(map(learned, records)) == list(map(learned, before + after))
    states = [trainer.state_dict() for trainer in (through, resumed)]
    for each in states:
        del each["elapsed_s"]
    assert differences(*states) == []


def test_a_league_with_exploiters_that_was_killed_and_resumed_is_the_one_that_never_was(tmp_path):
    config = parse_config("", (*LEAGUE, GRU, "total_steps=900"))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert begin_and_train(config, whole)[0] == 0
    create_run_folder(killed, config)
    process = subprocess.Popen(
        [sys.executable, "-m", "headctl.cli", "train", str(killed), "--resume"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=Path(__file__).parents[2],
    )
    while process.poll() is None and not list((killed / "checkpoints").glob("*.json")):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert begin_and_train(config, killed, resume=True)[0] == 0
    assert differing_runs(whole, killed) == []


def test_a_checkpoint_with_a_broken_memory_is_refused(tmp_path):
    config = parse_config("", (*DOGFIGHT, GRU, "total_steps=600"))
    trainer = Trainer(config, tmp_path)
    next(iter(trainer.iterations()))
    trainer.collector._state[0, 0] = float("nan")
    trainer.save()
    with pytest.raises(CheckpointError, match=r"collector\.memory: holds NaN or infinity"):
        Trainer(config, tmp_path, resume=True)


def test_a_run_without_memory_does_not_go_on_with_one(tmp_path):
    trainer = Trainer(parse_config("", (*DOGFIGHT, "total_steps=600")), tmp_path)
    assert "memory" not in trainer.state_dict()["collector"]
    trainer.save()
    with pytest.raises(CheckpointError, match=r"policy\.recurrent\.cell was 'none', is 'gru'"):
        Trainer(parse_config("", (*DOGFIGHT, GRU, "total_steps=600")), tmp_path, resume=True)


# Everybody who loads one ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of the dogfight with memory, and one without."""
    folder = tmp_path_factory.mktemp("memory")
    for name, more in (("with", (GRU,)), ("without", ())):
        config = parse_config("", (*DOGFIGHT, *more, "total_steps=600"))
        assert begin_and_train(config, folder / name)[0] == 0
    return folder


def test_the_policy_of_a_run_acts_with_what_it_remembers(runs):
    config = Arena(runs / "with").config
    policy = load_policy(config, runs / "with")
    seen = Trainer(config, runs / "elsewhere").collector._seen
    state = policy.initial_state(*seen.observation.shape[:-1])
    steps = [policy.act(seen.observation, seen.masks, torch.Generator().manual_seed(1), state=state)]
    steps.append(policy.act(seen.observation, seen.masks, torch.Generator().manual_seed(1), state=steps[0].state))
    assert state.shape == steps[0].state.shape == (6, 2, 8)
    assert not torch.equal(steps[0].value, steps[1].value)


def test_runs_with_and_without_memory_play_each_other(runs, tmp_path):
    result = headctl(
        "tournament", runs / "with", f"{runs / 'with'}@0", runs / "without", "ace", "--games", 4, "--out", tmp_path
    )
    assert result.exit_code == 0, result.output
    players = {player["name"]: player for player in json.loads((tmp_path / "tournament.json").read_text())["players"]}
    assert len(players) == 4
    assert {player["games"] for player in players.values()} == {12}
    for one, other in (("with", "without"), ("without", "with")):
        result = headctl("eval", runs / one, "--against", runs / other, "--games", 4)
        assert result.exit_code == 0, result.output


def test_a_game_is_replayed_the_same_twice(runs, tmp_path):
    for name in "ab":
        record(runs / "with", seed=2, story=tmp_path / f"{name}.json", against=str(runs / "without"))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_best_response_has_a_memory_too(runs):
    found = exploit(str(runs / "with"), steps=400, games=4)
    assert found.result.games == 4
    assert found.trained >= 400


@pytest.mark.parametrize(
    ("anchor", "more", "words"),
    [
        ("with", (), r"it has a memory \(gru of 8\), the policies of this run have no memory"),
        ("without", (GRU,), r"it has no memory, the policies of this run have a memory \(gru of 8\)"),
    ],
)
def test_a_league_is_of_one_kind_and_says_so(runs, anchor, more, words, tmp_path):
    path = f"selfplay.opponents={{latest: 1, anchors: {{weight: 1, paths: ['{runs / anchor}']}}}}"
    with pytest.raises(CheckpointError, match=rf"anchors\.paths: .*{words}"):
        Trainer(parse_config("", (*DOGFIGHT, *more, path)), tmp_path)
    (tmp_path / "wrong.yaml").write_text(to_yaml(parse_config("", (*DOGFIGHT, *more, path))), encoding="utf-8")
    message = refused("train", tmp_path / "wrong.yaml", f"run.dir={tmp_path}", "--name", "wrong")
    assert "memory (gru of 8)" in message


def test_an_anchor_of_the_same_kind_plays(runs, tmp_path):
    path = f"selfplay.opponents={{anchors: {{weight: 1, paths: ['{runs / 'with'}']}}}}"
    trainer = Trainer(parse_config("", (*DOGFIGHT, GRU, path, "total_steps=300")), tmp_path)
    list(trainer.iterations())
    assert all(name.startswith("with@") for name in trainer.collector.in_play)
    policy = trainer.policy
    assert [anchor.name for anchor in load_anchors([str(runs / "with")], policy)] == trainer.collector.in_play[:1]


def test_exact_answers_are_given_only_where_memory_plays_no_part(tmp_path):
    base = ("game.num_games=8", "ppo={rollout_steps: 4, minibatch_size: 16}", "evaluation.games=2", "total_steps=32")
    gru = "policy.recurrent={cell: gru, sequence_length: 4}"
    for rounds, known in ((1, True), (3, False)):
        game = f"game={{name: matrix, num_games: 8, options: {{rounds: {rounds}}}}}"
        trainer = Trainer(parse_config("", (*base, game, gru)), tmp_path / str(rounds))
        assert (exact_exploitability(trainer._game, trainer.policy) is not None) is known
        records = list(trainer.iterations())
        assert ("env/exploitability" in records[-1]) is known


# Learning -------------------------------------------------------------------------------------------------------------

RECALL = """
seed: {seed}
total_steps: 25_000
game: {{name: "tests.helpers.recall:RecallGame", num_games: 32, options: {{delay: 5}}}}
heads: {{answer: {{target: {{schedule: linear, start: 0.6, end: 0.05, until: 0.6}}}}}}
policy: {{hidden: [32], recurrent: {recurrent}}}
ppo: {{rollout_steps: 24, minibatch_size: 384, learning_rate: 5e-3, gamma: 0.9}}
selfplay: {{latest_share: 0.75, slots: 2, snapshot_every: 8000}}
evaluation: {{games: 400}}
checkpoint: {{every: 100_000_000}}
run: {{tensorboard: false}}
"""
MEMORIES = {
    "none": "none",
    "whole rollouts": "{cell: gru, hidden_size: 16, sequence_length: 24}",
    "short sequences": "{cell: gru, hidden_size: 16, sequence_length: 8, burn_in: 4}",
}


@pytest.mark.slow
@pytest.mark.parametrize("memory", MEMORIES)
def test_what_was_shown_is_said_five_decisions_later(tmp_path, memory):
    trainer = Trainer(parse_config(RECALL.format(seed=3, recurrent=MEMORIES[memory])), tmp_path)
    right, asked = 0.0, 0
    for _ in trainer.iterations():
        if trainer.progress > 0.8:
            rollout = trainer.collector.rollout
            right += float(rollout.reward[rollout.done > 0].sum())
            asked += int((rollout.done > 0).sum())
    share = right / asked
    # Against random answers: who is always right never loses.
    played = trainer.evaluate()["random"]
    if memory == "none":
        assert share == pytest.approx(0.5, abs=0.05)
        assert played.losses / played.games == pytest.approx(0.25, abs=0.08)
    else:
        assert share > 0.95
        assert played.losses / played.games < 0.02
    assert Snapshot.of(trainer.policy, 1).scheme.get("memory", ["none"])[0] == ("none" if memory == "none" else "gru")
