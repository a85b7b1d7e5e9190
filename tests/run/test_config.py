import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headctl.entropy.schedule_parser import SCHEDULES
from headctl.entropy.targets import UNITS
from headctl.run.config import ConfigError, RunConfig, load_config, parse_config, to_yaml
from headctl.run.reference import describe_keys, tables, with_tables

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
TOP_LEVEL = ("seed", "total_steps")
HEADS = ("maneuver", "weapon", "params")


def complaint(text, *overrides):
    with pytest.raises(ConfigError) as caught:
        parse_config(text, overrides)
    return str(caught.value)


def check_loads_or_is_refused(text, overrides=()):
    """Any exception other than ConfigError fails the test; so does a configuration that does not load again."""
    try:
        config, problems = parse_config(text, overrides), ""
    except ConfigError as error:
        config, problems = None, str(error)
    if config is None:
        assert problems.strip()
    else:
        assert parse_config(to_yaml(config)) == config


def test_an_empty_file_is_all_defaults():
    config = parse_config("")
    assert set(config.heads) == set(HEADS)
    assert config.ppo.learning_rate == 3e-4
    assert config.heads["weapon"]["target"] == 0.5


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("heads: {wepon: 0.3}", ["heads.wepon", "'weapon'?", "maneuver, params, weapon", "line 1"]),
        ("heads:\n  weapon: {taget: 0.3}", ["heads.weapon.taget", "Did you mean 'target'?", "line 2"]),
        ("heads: {weapon: {target: 1.5}}", ["heads.weapon.target", "out of reach", "0.98", "1.5"]),
        ("heads: {weapon: {target: -0.1}}", ["heads.weapon.target", "out of reach", "-0.1"]),
        ("heads: {weapon: much}", ["heads.weapon.target", "expected a number", "'much'"]),
        (
            "heads: {weapon: {target: {schedule: lineer, start: 1, end: 0}}}",
            ["heads.weapon.target.schedule", "'linear'?"],
        ),
        ("heads: {weapon: {alpha: 0.1, target: 0.3}}", ["heads.weapon.target", "law fixed"]),
        ("heads: {params: {choices: 3}}", ["heads.params", "gaussian"]),
        ("heads: {maneuver: {choices: 3}}", ["heads.maneuver.choices", "the configuration says 3"]),
        ("heads: {params: {active_when: {wepon: [1]}}}", ["heads.params.active_when", "Did you mean 'weapon'?"]),
        ("heads: {params: {active_when: {weapon: [4]}}}", ["heads.params.active_when.weapon", "0 to 3", "[4]"]),
        ("heads: {weapon: {active_when: {params: [0]}}}", ["heads.weapon.active_when.params", "continuous head"]),
        ("heads: 3", ["heads: expected a mapping", "got 3"]),
        ("ppo: {epoch: 3}", ["ppo.epoch", "Did you mean 'epochs'?", "minibatch_size"]),
        ("pppo: {epochs: 3}", ["pppo: unknown key", "Did you mean 'ppo'?"]),
        ("ppo: 3", ["ppo: expected a mapping of keys: rollout_steps"]),
        ("ppo: {epochs: many}", ["ppo.epochs: expected a whole number, got 'many'"]),
        ("ppo: {epochs: 2.5}", ["ppo.epochs: expected a whole number, got 2.5"]),
        ("ppo: {epochs: true}", ["ppo.epochs: expected a whole number, got true"]),
        ("ppo: {gamma: 1.5}", ["ppo.gamma: must be at most 1", "1.5"]),
        ("ppo: {learning_rate: 0}", ["ppo.learning_rate: must be greater than 0"]),
        ("ppo: {learning_rate: .inf}", ["ppo.learning_rate: must be a finite number"]),
        ("policy: {activation: thanh}", ["policy.activation", "Did you mean 'tanh'?", "relu"]),
        ("policy: {hidden: 128}", ["policy.hidden: expected a list"]),
        ("policy: {hidden: [128, wide]}", ["policy.hidden[1]: expected a whole number, got 'wide'"]),
        ("policy: {hidden: []}", ["policy.hidden: must not be empty"]),
        ("run: {tensorboard: yes}", ["run.tensorboard: expected true or false, got 'yes'"]),
        ("run: {device: gpu}", ["run.device", "`cuda`", "'gpu'"]),
        ("run: {dir: 2024}", ["run.dir: expected text", "quotes", "2024"]),
        ("game: {name: dogfigth}", ["game.name", "'dogfight'?"]),
        ("game: {name: 'no.such.module:env'}", ["game.name", "cannot import"]),
        ("game: {options: {gun_rnge_max_m: 3}}", ["game.options: unknown", "'gun_range_max_m'?"]),
        ("seed: -1", ["seed: must be at least 0, got -1"]),
        ("total_steps: 1e300", ["total_steps: is too large"]),
        ("[1, 2]", ["expected a mapping of keys at the top"]),
        ("a: [", ["line 1"]),
        ("seed: 1\nseed: 2", ["'seed' stands twice, in lines 1 and 2"]),
        (
            "game: {num_games: 4}\nppo: {rollout_steps: 8, minibatch_size: 64}",
            ["ppo.minibatch_size: 64", "48 rows", "num_games 4", "rollout_steps 8"],
        ),
    ],
)
def test_bad_input_is_named_in_one_line(text, parts):
    message = complaint(text)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_all_problems_are_reported_together():
    message = complaint("seed: x\nppo: {epoch: 1}\nheads: {wepon: 1, maneuver: 7}\n")
    lines = message.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["seed", "ppo.epoch", "heads.wepon", "heads.maneuver.target"]


def test_numbers_are_read_by_the_type_of_their_key():
    config = parse_config("total_steps: 1e6\nppo: {learning_rate: '3e-4', gamma: 1}\nseed: '1_000'")
    assert config.total_steps == 1_000_000
    assert type(config.total_steps) is int
    assert config.ppo.learning_rate == 3e-4
    assert type(config.ppo.gamma) is float
    assert config.seed == 1000


def test_overrides_replace_values_and_reach_into_short_forms():
    config = parse_config(
        "seed: 3\nheads: {weapon: 0.3}",
        [
            "seed=5",
            "heads.weapon.alpha_max=0.5",
            "heads.maneuver.target={schedule: linear, start: 0.8, end: 0.3}",
            "ppo.target_kl=null",
        ],
    )
    assert config.seed == 5
    assert config.heads["weapon"]["target"] == 0.3
    assert config.heads["weapon"]["alpha_max"] == 0.5
    assert config.heads["maneuver"]["target"]["start"] == 0.8
    assert config.ppo.target_kl is None


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("ppo.epoch=3", ["ppo.epoch", "Did you mean 'epochs'?"]),
        ("heads.wepon.target=0.3", ["heads.wepon", "'weapon'?"]),
        ("seed", ["no override", "dotted.key=value"]),
        ("=3", ["no override"]),
        ("a..b=3", ["no override"]),
        ("seed=[", ["seed: the value '[' is no YAML"]),
        ("seed.x=3", ["seed.x: seed is 3"]),
        ("seed=", ["seed: expected a whole number, got null"]),
    ],
)
def test_bad_overrides(override, parts):
    message = complaint("seed: 3", override)
    for part in parts:
        assert part in message
    assert "line" not in message.replace("is no YAML: line", "")


def test_files_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"gone\.yaml: no such file"):
        load_config(tmp_path / "gone.yaml")
    with pytest.raises(ConfigError, match="is a folder"):
        load_config(tmp_path)
    path = tmp_path / "a.yaml"
    path.write_text("seed: x\nppo: {epoch: 1}", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    first, *rest = str(caught.value).splitlines()
    assert first == f"{path}:"
    assert len(rest) == 2


def test_the_resolved_configuration_loads_equal(tmp_path):
    text = """
    seed: 7
    heads:
      maneuver: {target: {schedule: cosine, start: 0.7, end: 0.3, until: 0.6}, mode: track}
      weapon: {law: fixed, alpha: 0.02}
      params: {target: 0.4, log_std_max: 0.2}
    policy: {hidden: [64], activation: relu}
    game: {num_games: 64, options: {time_limit_s: 60}}
    """
    config = parse_config(text)
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(config), encoding="utf-8")
    assert load_config(path) == config
    assert config.heads["weapon"] == {"law": "fixed", "alpha": 0.02}


@pytest.mark.parametrize(
    "head",
    [
        "{law: dual, optimizer: sgd}",
        "{law: decay, alpha: {schedule: linear, start: 0.05, end: 0.001}}",
        "{unit: epsilon, target: 0.1}",
        "{active_when: {weapon: [1, 2]}, target: 0.3}",
        "{target: {schedule: steps, values: [0.8, 0.3], at: [0.5]}}",
        "{target: {schedule: piecewise, points: [[0, 0.8], [1, 0.3]]}}",
        "{target: {schedule: stages, stages: {merge: 0.8, guns: 0.3}}}",
        "{target: {schedule: performance, start: 0.8, end: 0.3, reheat: true}}",
    ],
)
def test_every_form_of_a_head_round_trips(head):
    config = parse_config(f"heads: {{maneuver: {head}}}")
    assert parse_config(to_yaml(config)) == config


def test_every_shipped_configuration_loads_and_round_trips():
    shipped = sorted((ROOT / "configs").glob("*.yaml"))
    assert shipped
    for path in shipped:
        config = load_config(path)
        assert parse_config(to_yaml(config)) == config


def test_a_configuration_does_not_change():
    config = parse_config("")
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3


keys = [key.name for key in describe_keys()] + [
    "heads.weapon.target",
    "heads.wepon",
    "game.options.x",
    "ppo",
    "x",
    "a.b.c",
]
values = st.one_of(
    st.sampled_from(
        ["1", "0", "-1", "1e6", "3e-4", "yes", "true", "null", "[1]", "{a: 1}", "[", "'", "inf", ".inf", "1e400"]
    ),
    st.text(alphabet=st.characters(codec="utf-8"), max_size=8),
    st.integers().map(str),
    st.floats().map(str),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(keys), values), max_size=4))
def test_any_overrides_load_or_are_refused(overrides):
    check_loads_or_is_refused("seed: 1", [f"{key}={value}" for key, value in overrides])


leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers(), max_size=2)
)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*RunConfig.model_fields, "sed"]),
        leaves | st.dictionaries(st.sampled_from([*HEADS, "epochs", "hidden", "dir", "options"]), leaves, max_size=3),
        max_size=5,
    )
)
def test_any_tree_loads_or_is_refused(tree):
    try:
        text = json.dumps(tree)
    except ValueError:
        return
    check_loads_or_is_refused(text)


def test_the_documentation_has_exactly_the_keys_of_the_code():
    wanted = tables()["configuration.md"]
    assert set(wanted) == {"Top level", "heads"} | {name for name in RunConfig.model_fields if name not in TOP_LEVEL}
    assert with_tables(DOCUMENT, wanted) == DOCUMENT, "bring it up to date: python -m headctl.run.reference docs"
    headings = {line[3:] for line in DOCUMENT.splitlines() if line.startswith("## ")}
    assert set(wanted) <= headings
    assert all(key.meaning for key in describe_keys())


def test_the_documentation_names_every_schedule_and_unit():
    for name in (*SCHEDULES, *UNITS):
        assert f"\n| `{name}` | " in DOCUMENT


def test_loading_a_configuration_loads_nothing_heavy():
    code = (
        "import sys; from headctl.run.config import load_config; "
        f"load_config({str(ROOT / 'configs' / 'dogfight_1v1.yaml')!r}); "
        "print(sorted({'torch', 'warp', 'numpy', 'matplotlib', 'gymnasium', 'pettingzoo'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_game_may_be_evaluated_with_other_options():
    text = "{game: {options: {time_limit_s: 60}}, evaluation: {options: {time_limit_s: 120, start: mixed}}}"
    config = parse_config(text)
    assert config.evaluation_options == {"time_limit_s": 120, "start": "mixed"}
    assert config.game.options == {"time_limit_s": 60}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("{time_limits: 3}", r"evaluation\.options.*'time_limit_s'"),
        ("{maneuvers: basic7}", r"evaluation\.options: the heads would be .*choices=7"),
    ],
)
def test_evaluation_options_are_checked(options, message):
    with pytest.raises(ConfigError, match=message):
        parse_config(f"{{evaluation: {{options: {options}}}}}")
