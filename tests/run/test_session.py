import json
import signal

import pytest

from headctl.run.config import parse_config
from headctl.run.folder import create_run_folder
from headctl.run.metrics import METRICS, find_metric, read_metrics
from headctl.run.report import RunReader
from headctl.run.report_view import make_console
from headctl.run.session import stop_on_signal, train

TINY = """
total_steps: 1500
game: {num_games: 16, options: {time_limit_s: 4}}
policy: {hidden: [16]}
ppo: {rollout_steps: 16, epochs: 2, minibatch_size: 128}
selfplay:
  snapshot_every: 400
  slots: 2
  pool_size: 2
  roles: {main_exploiter: {share: 0.2, num_games: 4}, league_exploiter: {share: 0.2, num_games: 4}}
evaluation: {games: 8}
checkpoint: {every: 300, keep: 1}
run: {tensorboard: false}
"""

SOLVED = """
total_steps: 256
game: {name: matrix, num_games: 32}
policy: {hidden: [8]}
ppo: {rollout_steps: 4, epochs: 1, minibatch_size: 64, normalize_values: true}
evaluation: {games: 8}
run: {tensorboard: false}
"""
"""A game whose answer is known, by a critic that counts in units of its returns: both tell more than others."""


def train_to(run_dir, total_steps=1500, *, resume=False):
    config = parse_config(TINY, [f"total_steps={total_steps}"])
    if not resume:
        create_run_folder(run_dir, config)
    assert train(config, run_dir, make_console(), resume=resume) == 0
    return run_dir


def without_clock(run_dir):
    return [
        {key: value for key, value in record.items() if not key.startswith("perf/")}
        for record in map(json.loads, (run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train_to(tmp_path_factory.mktemp("session") / "run")


def test_a_training_leaves_a_whole_run_behind(run, capsys):
    reader = RunReader(run)
    assert reader.finished
    assert set(reader.heads) == {"maneuver", "weapon", "params"}
    assert all(score.games == 8 for _, score in reader.evaluations().values())
    for file in ("report/heads.png", "report/learning.png", "eval/final.json", "version.txt"):
        assert (run / file).stat().st_size > 0
    assert len(list((run / "checkpoints").glob("*.pt"))) == 1


def test_every_logged_metric_is_documented_and_the_other_way_round(run, tmp_path):
    config = parse_config(SOLVED, ())
    create_run_folder(tmp_path / "solved", config)
    assert train(config, tmp_path / "solved", make_console(), resume=False) == 0
    # A game whose answer is known tells more than one whose answer nobody knows.
    ends = [read_metrics(folder / "metrics.jsonl")[-1] for folder in (run, tmp_path / "solved")]
    logged = {key: find_metric(key) for end in ends for key in end}
    assert [key for key, metric in logged.items() if metric is None] == []
    missing = {metric.name for metric in METRICS} - {metric.name for metric in logged.values() if metric}
    assert missing == set()


def test_one_seed_gives_one_course(run, tmp_path):
    assert without_clock(train_to(tmp_path / "again")) == without_clock(run)


def test_an_interrupted_training_saves_and_continues_where_it_was(tmp_path, monkeypatch, capsys):
    from headctl.run import session

    config = parse_config(TINY)
    run_dir = tmp_path / "run"
    create_run_folder(run_dir, config)
    write = session.MetricsWriter.write

    def write_and_interrupt(self, record):
        write(self, record)
        if record["iteration"] == 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(session.MetricsWriter, "write", write_and_interrupt)
    assert train(config, run_dir, make_console(), resume=False) == 130
    monkeypatch.undo()
    told = capsys.readouterr().out
    assert "interrupted; saved" in told
    assert f"headctl train {run_dir} --resume" in told
    assert len(read_metrics(run_dir / "metrics.jsonl")) == 2
    train_to(run_dir, resume=True)
    assert without_clock(run_dir) == without_clock(train_to(tmp_path / "straight_through"))


def test_a_finished_run_that_is_resumed_only_shows_its_summary(run, capsys):
    before = (run / "metrics.jsonl").read_bytes()
    train_to(run, resume=True)
    assert "Findings" in capsys.readouterr().out
    assert (run / "metrics.jsonl").read_bytes() == before


def test_closing_matches_that_were_missed_are_played_on_resume(run, capsys):
    (run / "eval" / "final.json").rename(run / "eval" / "old.txt")
    train_to(run, resume=True)
    assert "playing 8 games" in capsys.readouterr().out
    assert (run / "eval" / "final.json").read_text(encoding="utf-8") == (run / "eval" / "old.txt").read_text(
        encoding="utf-8"
    )


def test_the_second_signal_ends_at_once():
    before = signal.getsignal(signal.SIGINT)
    with stop_on_signal() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.exit_code == 130
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
