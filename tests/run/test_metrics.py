import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from headctl.entropy.status import HeadStatus
from headctl.ppo.choices import ChoiceCounts
from headctl.run.lines import to_json_line
from headctl.run.metrics import GROUPS, METRICS, MetricsError, MetricsWriter, find_metric, names_in, read_metrics
from headctl.run.reference import tables, with_tables
from tests.helpers.synthetic_run import DEFAULT_COURSES, record

ROOT = Path(__file__).parents[2]


def test_the_documentation_has_exactly_the_metrics_of_the_code():
    document = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    wanted = tables()["metrics.md"]
    assert document == with_tables(document, wanted), "bring it up to date: python -m headctl.run.reference docs"
    documented = [line.split("`")[1] for line in document.splitlines() if line.startswith("| `")]
    assert documented == [metric.name for group in GROUPS for metric in METRICS if metric.group == group]
    assert len(set(documented)) == len(METRICS)


def test_tables_are_replaced_under_their_headings_only():
    document = "# A\n\n## x\n\ntext\n\n| old |\n|---|\n| 1 |\n\nmore\n\n## y\n\n| b |\n"
    assert with_tables(document, {"x": "| new |"}) == document.replace("| old |\n|---|\n| 1 |", "| new |")
    assert with_tables(document, {"y": "| new |\n| 2 |"}).endswith("## y\n\n| new |\n| 2 |\n")
    with pytest.raises(ValueError, match="no table under the heading 'z'"):
        with_tables(document, {"z": "| new |"})


def test_every_metric_says_what_it_is():
    for metric in METRICS:
        assert metric.unit
        assert metric.meaning
        assert metric.healthy
        assert metric.remedy


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("heads/weapon/alpha", "heads/<head>/alpha"),
        ("eval/pursuit/win_rate", "eval/<pilot>/win_rate"),
        ("env/gun_zone_s", "env/<statistic>"),
        ("agent_steps", "agent_steps"),
        ("heads/weapon/alfa", None),
        ("heads/alpha", None),
        ("xheads/weapon/alpha", None),
    ],
)
def test_keys_find_their_metric(key, name):
    metric = find_metric(key)
    assert (metric.name if metric else None) == name


def test_a_full_record_is_documented():
    for key in record(40, 40, DEFAULT_COURSES):
        assert find_metric(key) is not None, key


def test_names_in_keeps_the_order():
    assert names_in(["heads/b/alpha", "heads/a/alpha", "heads/b/entropy", "ppo/x"], "heads") == ["b", "a"]


def test_a_line_is_json_and_exact():
    values = {"agent_steps": 7, "a/x": 0.1 + 0.2, "a/nan": math.nan, "a/inf": -math.inf, "h/status": HeadStatus.SLACK}
    line = to_json_line(values | {"g/status": "TRACKING", "n/status": math.nan})
    read = json.loads(line)
    assert read == {
        "agent_steps": 7,
        "a/x": 0.1 + 0.2,
        "a/nan": None,
        "a/inf": -math.inf,
        "h/status": "SLACK",
        "g/status": "TRACKING",
        "n/status": None,
    }
    assert "Infinity" not in line


@given(st.floats(allow_nan=False))
def test_floats_come_back_bit_by_bit(value):
    assert json.loads(to_json_line({"x": value}))["x"] == value


def write(folder, iterations, **options):
    with MetricsWriter(folder, ["maneuver"], tensorboard=False, **options) as writer:
        for iteration in iterations:
            writer.write(record(iteration, 10, DEFAULT_COURSES))


def test_every_record_is_on_disk_before_the_next(tmp_path):
    with MetricsWriter(tmp_path, tensorboard=False) as writer:
        for count in (1, 2, 3):
            writer.write(record(count, 10, DEFAULT_COURSES))
            assert len(read_metrics(tmp_path / "metrics.jsonl")) == count


def test_a_half_written_last_line_is_left_out(tmp_path):
    write(tmp_path, [1, 2, 3])
    path = tmp_path / "metrics.jsonl"
    whole = path.read_bytes()
    for cut in (1, 40, len(whole.splitlines()[-1])):
        path.write_bytes(whole[:-cut])
        assert [r["iteration"] for r in read_metrics(path)] == ([1, 2, 3] if cut == 1 else [1, 2])


def test_a_broken_line_in_the_middle_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"agent_steps": 1}\n{"agent_st\n{"agent_steps": 3}\n', encoding="utf-8")
    with pytest.raises(MetricsError, match="line 2"):
        read_metrics(path)
    with pytest.raises(MetricsError, match="cannot be read"):
        read_metrics(tmp_path / "none.jsonl")


def test_null_is_read_as_nan(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"agent_steps": 1, "x/y": null}\n', encoding="utf-8")
    assert math.isnan(read_metrics(path)[0]["x/y"])


def test_a_resumed_run_writes_what_an_uninterrupted_one_would(tmp_path):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    whole.mkdir()
    resumed.mkdir()
    write(whole, range(1, 7))
    write(resumed, range(1, 6))
    path = resumed / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-30])  # killed while writing, one iteration behind its checkpoint
    write(resumed, range(4, 7), resume_from=record(3, 10, DEFAULT_COURSES)["agent_steps"])
    assert path.read_bytes() == (whole / "metrics.jsonl").read_bytes()


def test_tensorboard_has_every_number_and_one_chart_per_head(tmp_path):
    with MetricsWriter(tmp_path, ["maneuver", "weapon"]) as writer:
        for iteration in (1, 2):
            writer.write(record(iteration, 2, DEFAULT_COURSES) | {"env/rare": math.nan})
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    steps = [event.step for event in events.Scalars("heads/weapon/alpha")]
    assert steps == [25_000, 50_000]
    assert events.Scalars("heads/weapon/status")[-1].value == HeadStatus.SATURATED
    assert "env/rare" not in events.Tags()["scalars"]
    layout = layout_pb2.Layout()
    layout.ParseFromString(events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0])
    (category,) = layout.category
    tags = {chart.title: list(chart.multiline.tag) for chart in category.chart}
    assert tags["weapon: fraction and target"] == ["^heads/weapon/fraction$", "^heads/weapon/target_fraction$"]
    assert tags["weapon: entropy and target (nats)"] == ["^heads/weapon/entropy$", "^heads/weapon/target_entropy$"]
    assert tags["alpha of every head"] == ["^heads/maneuver/alpha$", "^heads/weapon/alpha$"]


def test_tensorboard_has_a_histogram_of_the_choices_of_every_head(tmp_path):
    counts = ChoiceCounts(edges=[-0.5, 0.5, 1.5, 2.5], counts=[5, 0, 2], total=4.0, squares=8.0)
    with MetricsWriter(tmp_path, ["weapon"]) as writer:
        writer.write_choices({"weapon": counts}, 25_000)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    (event,) = events.Histograms("choices/weapon")
    assert event.step == 25_000
    told = event.histogram_value
    assert (list(told.bucket_limit), list(told.bucket)) == ([0.5, 1.5, 2.5], [5, 0, 2])
    assert (told.min, told.max, told.num, told.sum, told.sum_squares) == (-0.5, 2.5, 7, 4.0, 8.0)
    with MetricsWriter(tmp_path, tensorboard=False, resume_from=0) as writer:
        writer.write_choices({"weapon": counts}, 50_000)  # nothing to write to, and nothing is said


def test_tensorboard_compares_runs_by_their_results(tmp_path):
    with MetricsWriter(tmp_path, ["weapon"]) as writer:
        writer.describe({"seed": 3, "ppo": {"epochs": 2}}, "seed: 3", ["selfplay/win_rate", "eval/ace/win_rate"])
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    contents = {
        tag: HParamsPluginData.FromString(content) for tag, content in events.PluginTagToContent("hparams").items()
    }
    experiment = contents["_hparams_/experiment"].experiment
    assert [info.name.tag for info in experiment.metric_infos] == ["selfplay/win_rate", "eval/ace/win_rate"]
    assert {info.name for info in experiment.hparam_infos} == {"seed", "ppo.epochs"}


def test_tensorboard_forgets_what_a_resumed_run_repeats(tmp_path):
    for resume_from, iterations in ((None, (1, 2, 3)), (50_000, (3, 4))):
        with MetricsWriter(tmp_path, ["weapon"], resume_from=resume_from) as writer:
            for iteration in iterations:
                writer.write(record(iteration, 4, DEFAULT_COURSES))
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("ppo/approx_kl")] == [25_000, 50_000, 75_000, 100_000]
