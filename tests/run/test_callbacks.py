import json

import pytest
from headctl_envs.dogfight.config import PILOTS
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from headctl.run.callbacks import Callback
from headctl.run.config import parse_config
from headctl.run.folder import create_run_folder
from headctl.run.records import flat_parameters
from headctl.run.report_view import make_console
from headctl.run.session import train

TINY = """
total_steps: 1500
game: {num_games: 16, options: {time_limit_s: 2}}
policy: {hidden: [16]}
ppo: {rollout_steps: 16, epochs: 1, minibatch_size: 128}
selfplay: {snapshot_every: 700}
evaluation: {games: 2, every: 800}
"""


class Diary(Callback):
    def __init__(self):
        self.lines = []

    def on_start(self, config, run_dir):
        self.lines.append(("start", config.seed))

    def on_iteration(self, record):
        self.lines.append(("iteration", record["agent_steps"]))

    def on_evaluation(self, results, agent_steps):
        self.lines.append(("evaluation", agent_steps, sorted(results)))

    def on_league_change(self, pool, agent_steps):
        self.lines.append(("league", agent_steps, len(pool)))

    def on_end(self, run_dir):
        self.lines.append(("end", run_dir.name))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder, diary = tmp_path_factory.mktemp("callbacks") / "told", Diary()
    config = parse_config(TINY)
    create_run_folder(folder, config)
    assert train(config, folder, make_console(), resume=False, callbacks=[diary, Callback()]) == 0
    return folder, diary.lines


def test_callbacks_are_told_what_happens_in_its_order(trained):
    folder, lines = trained
    assert lines[0] == ("start", 1)
    assert lines[-1] == ("end", "told")
    steps = [json.loads(line)["agent_steps"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line[1] for line in lines if line[0] == "iteration"] == steps
    crossings = [b for a, b in zip([0, *steps], steps, strict=False) if a // 700 != b // 700]
    assert [line[1] for line in lines if line[0] == "league"] == crossings
    assert [line[2] for line in lines if line[0] == "league"] == list(range(2, 2 + len(crossings)))
    evaluated = [b for a, b in zip([0, *steps], steps, strict=False) if a // 800 != b // 800 or b == steps[-1]]
    assert [line[1] for line in lines if line[0] == "evaluation"] == evaluated
    assert lines[[line[0] for line in lines].index("evaluation")][2] == sorted(PILOTS)


def test_tensorboard_knows_the_configuration(trained):
    folder, _ = trained
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    (text,) = events.Tensors("configuration/text_summary")
    assert b"rollout_steps: 16" in text.tensor_proto.string_val[0]
    plugins = events.summary_metadata
    assert any("hparams" in tag for tag in plugins)


def test_parameters_are_flat_and_plain():
    flat = flat_parameters({"a": {"b": 1, "c": [1, 2]}, "d": None, "e": True})
    assert flat == {"a.b": 1, "a.c": "[1, 2]", "d": "null", "e": True}
