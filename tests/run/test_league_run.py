"""The league inside a training: pilots, anchors and exploiters; killed and resumed; evaluated without a trace."""

import math
import re
from pathlib import Path

import pytest
import torch

from headctl.run.checkpoint import CheckpointError, list_checkpoints, load_checkpoint
from headctl.run.config import ConfigError, parse_config
from headctl.run.metrics import find_metric
from headctl.run.trainer import Trainer
from tests.faults.runs import LEAGUE, differences


def config_of(*overrides):
    return parse_config("", (*LEAGUE, "total_steps=1500", *overrides))


def train(config, run_dir, *, resume=False, until=None):
    trainer = Trainer(config, run_dir, resume=resume)
    records = []
    for record in trainer.iterations():
        records.append({key: value for key, value in record.items() if not key.startswith("perf/")})
        if until is not None and trainer.agent_steps >= until:
            break
    return trainer, records


def without_clock(state):
    return {key: entry for key, entry in state.items() if key not in {"elapsed_s", "config"}}


def test_a_league_that_was_stopped_and_resumed_is_the_one_that_never_was(tmp_path):
    whole, records = train(config_of(), tmp_path / "whole")
    stopped, _ = train(config_of(), tmp_path / "stopped", until=700)
    resumed, rest = train(config_of(), tmp_path / "stopped", resume=True)
    assert stopped.agent_steps < resumed.agent_steps
    assert differences(without_clock(whole.state_dict()), without_clock(resumed.state_dict())) == []
    assert [repr(record) for record in records[-len(rest) :]] == [repr(record) for record in rest]
    assert whole.league.next_opponents == resumed.league.next_opponents
    assert repr(whole.league.ratings) == repr(resumed.league.ratings)
    drawn = [[each.name for each in trainer.league.draw(9)] for trainer in (whole, resumed)]
    assert drawn[0] == drawn[1]
    # The run had everything that a league has.
    assert any(
        "main_exploiter" in name
        for name in load_checkpoint(list_checkpoints(tmp_path / "whole")[-1])["pool"]["snapshots"]
    ) or (whole.exploiters["main_exploiter"].generation > 1)
    assert whole.league.payoff.games.sum() > 20
    assert {find_metric(key) for key in records[-1]} - {None}
    assert [key for key in records[-1] if find_metric(key) is None] == []


def test_games_between_the_frozen_touch_no_stream_of_the_training(tmp_path):
    base = ("selfplay.opponents={latest: 1, pfsp: 1}", "selfplay.pool_size=50", "evaluation.every=0")
    without, records = train(config_of(*base, "selfplay.payoff.every=0"), tmp_path / "without")
    with_games, others = train(config_of(*base, "selfplay.payoff.every=2"), tmp_path / "with")
    both = train(config_of(*base, "selfplay.payoff.every=2", "evaluation.every=300"), tmp_path / "both")
    frozen = with_games.league.payoff.games[1:, 1:].sum()
    assert frozen > 0
    assert without.league.payoff.games[1:, 1:].sum() == 0
    for other, told in ((with_games, others), both):
        assert differences(without.learner.state_dict(), other.learner.state_dict()) == []
        assert differences(without.collector.state_dict(), other.collector.state_dict()) == []
        assert differences(without.exploiters["main_exploiter"].state_dict()["learner"],
                           other.exploiters["main_exploiter"].state_dict()["learner"]) == []  # fmt: skip
        for mine, theirs in zip(records, told, strict=True):
            for key in mine:
                learned = not key.startswith("selfplay/") or key.endswith(("/games", "/probability", "/win_rate"))
                assert not learned or repr(mine[key]) == repr(theirs[key]), key


def test_pilots_act_as_opponents_in_training(tmp_path):
    trainer, records = train(config_of("selfplay.opponents={pilots: 1}", "selfplay.roles={}"), tmp_path)
    assert set(trainer.collector.in_play) == {"random"}
    games = sum(record["selfplay/opponent/random/games"] for record in records)
    assert games == sum(record["selfplay/games"] for record in records) > 10
    assert records[-1]["selfplay/opponent/random/probability"] == 1.0
    assert math.isnan(records[-1]["selfplay/opponent_age"])


# Exploiters ---------------------------------------------------------------------------------------------------------


def test_an_exploiter_enters_before_it_is_reset_and_its_controller_is_reset_too(tmp_path):
    config = config_of(
        "selfplay.roles.main_exploiter.share=1", "selfplay.roles.main_exploiter.timeout=60", "selfplay.pool_size=50"
    )
    trainer = Trainer(config, tmp_path)
    exploiter = trainer.exploiters["main_exploiter"]
    fresh_alpha = exploiter.learner.controller.alpha.clone()
    seen = []

    original = exploiter._begin_again

    def watched():
        before = {name: entry.clone() for name, entry in exploiter.learner.policy.state_dict().items()}
        alpha = exploiter.learner.controller.alpha.clone()
        original()
        seen.append((trainer.pool.snapshots[-1], before, alpha, exploiter.generation))
        assert torch.equal(exploiter.learner.controller.alpha, fresh_alpha)
        assert not exploiter.learner.optimizer.state_dict()["state"]
        assert exploiter.learner.controller.state_dict()["agenda"]["clock"]["agent_steps"] == 0
        main = trainer.policy.state_dict()
        now = exploiter.learner.policy.state_dict()
        assert all(torch.equal(main[name], entry) for name, entry in now.items()), "it begins from the main agent"

    exploiter._begin_again = watched
    for _ in trainer.iterations():
        if len(seen) >= 2:
            break
    for number, (snapshot, before, alpha, generation) in enumerate(seen, start=1):
        assert snapshot.name.endswith(f"_main_exploiter_{number}")
        assert generation == number + 1
        assert all(torch.equal(snapshot.state[name], entry) for name, entry in before.items())
        assert not torch.equal(alpha, fresh_alpha)
        assert any(
            not torch.equal(entry, seen[0][0].state[name]) for name, entry in trainer.policy.state_dict().items()
        )
    assert trainer.league.payoff.index(seen[0][0].name) > 0


def test_an_exploiter_has_heads_of_its_own_and_meets_whom_its_role_says(tmp_path):
    trainer, records = train(config_of(), tmp_path)
    main, league = (trainer.exploiters[role] for role in ("main_exploiter", "league_exploiter"))
    assert main.learner.controller.targets()["act"] == 0.9
    assert trainer.controller.targets()["act"] == league.learner.controller.targets()["act"] == 0.5
    assert set(main._collector.in_play) == {"main"}
    assert all(re.fullmatch(r"main|\d{12}(_\w+)?", name) for name in league._collector.in_play)
    assert league._collector.in_play
    assert records[-1]["roles/main_exploiter/target_fraction/act"] == pytest.approx(0.9)
    assert records[-1]["roles/main_exploiter/agent_steps"] > 0


def test_targets_are_raised_for_a_while_after_a_change_in_the_league(tmp_path):
    heads = "heads={act: {target: 0.4}, aim: {target: 0.5}}"
    trainer = Trainer(config_of(heads, "selfplay.roles={}", "selfplay.reheat={by: 0.2, steps: 300}"), tmp_path)
    changes, targets, steps = [], [], []

    class Look:
        def on_league_change(self, pool, agent_steps):
            changes.append(agent_steps)

    trainer.callbacks = (Look(),)
    for record in trainer.iterations():
        steps.append(record["agent_steps"])
        targets.append(record["heads/act/target_fraction"])
    assert changes
    for step, target in zip(steps, targets, strict=True):
        earlier = [change for change in changes if change < step]
        expected = 0.4 + (0.2 * max(0.0, 1 - (step - earlier[-1]) / 300) if earlier else 0.0)
        assert target == pytest.approx(expected, abs=0.11 if earlier and step - earlier[-1] < 450 else 1e-5)
    assert max(targets) > 0.5


# Anchors ------------------------------------------------------------------------------------------------------------


def test_policies_of_other_runs_play_as_anchors_and_are_kept_in_the_run_itself(tmp_path):
    train(config_of("selfplay.roles={}"), tmp_path / "old")
    newest = list_checkpoints(tmp_path / "old")[-1]
    frozen = min((tmp_path / "old" / "league").glob("*.pt"))
    paths = [str(tmp_path / "old"), str(frozen)]
    section = f"selfplay.opponents={{latest: 1, anchors: {{weight: 1, paths: {paths}}}}}"
    config = config_of(section, "selfplay.roles={}", "seed=3")
    trainer, _ = train(config, tmp_path / "new", until=400)
    names = {f"old@{int(newest.stem.removeprefix('step_')):012d}", f"old@{frozen.stem}"}
    assert {anchor.name for anchor in trainer.league.anchors} == names
    assert set(trainer.collector.in_play) <= names
    trainer.save()
    for path in (tmp_path / "old").rglob("*.pt"):
        path.unlink()
    resumed = Trainer(config, tmp_path / "new", resume=True)
    assert {anchor.name for anchor in resumed.league.anchors} == names
    (tmp_path / "new" / "league" / f"{min(names)}.pt").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
        Trainer(config, tmp_path / "new", resume=True)


def test_an_anchor_that_is_missing_or_of_another_scheme_is_refused(tmp_path):
    train(config_of("selfplay.roles={}", "policy.hidden=[8]"), tmp_path / "old", until=300)
    for path, message in (
        (tmp_path / "old", r"anchors\.paths: .*trunk\.0\.weight has the shape"),
        (tmp_path / "nowhere", "is neither a run folder"),
        (tmp_path / "old" / "league" / "000000000009.pt", "no such file"),
    ):
        config = config_of(f"selfplay.opponents={{anchors: {{weight: 1, paths: ['{path}']}}}}", "selfplay.roles={}")
        with pytest.raises(CheckpointError, match=message):
            Trainer(config, tmp_path / "new")


# Configuration ------------------------------------------------------------------------------------------------------


def test_the_examples_of_the_documentation_are_configurations():
    page = (Path(__file__).parents[2] / "docs" / "self-play.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(examples) == 2
    for text in examples:
        assert parse_config(text).selfplay.opponents.weights["latest"] > 0


def test_earlier_keys_are_migrated_and_contradictions_refused():
    assert parse_config("selfplay: {latest_share: 0.25}").selfplay.opponents.weights["uniform"] == 0.75
    assert parse_config("").selfplay.opponents.latest_share == 0.5
    short = parse_config("selfplay: {opponents: {latest: 1, pfsp: 3}}", ["selfplay.opponents.pfsp.power=3"])
    assert (short.selfplay.opponents.latest_share, short.selfplay.opponents.pfsp.power) == (0.25, 3.0)
    for text, message in (
        ("selfplay: {latest_share: 0.5, opponents: {latest: 1}}", "contradict each other"),
        ("selfplay: {latest_share: 1.5}", "latest_share must be a number from 0 to 1"),
        ("selfplay: {opponents: {latest: 0}}", r"selfplay\.opponents: every weight is 0"),
        ("selfplay: {opponents: {nash: 1}}", r"selfplay\.opponents\.nash: .*selfplay\.payoff\.every"),
        ("selfplay: {opponents: {anchors: 1}}", "there is no anchor"),
        ("selfplay: {opponents: {pfsp: {weight: 1, kind: hrad}}}", r"kind.*'hrad'.*hard"),
        ("selfplay: {opponents: {pilots: {weight: 1, names: [pursiut]}}}", r"'pursiut'.*pursuit"),
        ("selfplay: {opponents: {pfps: 1}}", r"'pfps'.*pfsp"),
        ("selfplay: {entry: {by: win_rate}, opponents: {latest: 1}}", r"selfplay\.entry\.by"),
        (
            "selfplay: {roles: {main_exploiter: {share: 1, heads: {weapno: 0.5}}}}",
            r"selfplay\.roles\.main_exploiter\.heads\.weapno: .*weapon",
        ),
        (
            "selfplay: {roles: {main_exploiter: {heads: {weapon: {target: 1.5}}}}}",
            r"selfplay\.roles\.main_exploiter\.heads\.weapon\.target",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            parse_config(text)
