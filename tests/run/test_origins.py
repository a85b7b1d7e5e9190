import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headctl.run.config import load_config
from headctl.run.origins import show_with_origins

TEXT = """\
seed: 3
game:
  options: {time_limit_s: 4}
heads:
  weapon: 0.35
  maneuver:
    target: {schedule: linear, start: 0.8, end: 0.3}
ppo: &same
  epochs: 2
policy: {hidden: [16, 16]}
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def origins(shown):
    """Returns dotted key -> origin."""
    above, found = [], {}
    for line in shown.splitlines():
        key, depth = line.split(":")[0].strip(), len(line) - len(line.lstrip())
        above = [*(entry for entry in above if entry[0] < depth), (depth, key)]
        if "  # " in line:
            found[".".join(name for _, name in above)] = line.rpartition("  # ")[2]
    return found


def test_every_value_has_an_origin(path):
    found = origins(show_with_origins(path, ["ppo.gamma=0.9", "heads.params.target=0.6"]))
    assert found["seed"] == "line 1"
    assert found["game.options.time_limit_s"] == "line 3"
    assert found["game.name"] == "default"
    assert found["heads.weapon.target"] == "line 5"  # a bare number is short for a constant target
    assert found["heads.weapon.law"] == "default"
    assert found["heads.maneuver.target"] == "line 7"
    assert found["heads.params.target"] == "command line"
    assert found["heads.params.alpha_max"] == "default"
    assert found["ppo.epochs"] == "line 9"
    assert found["ppo.gamma"] == "command line"
    assert found["policy.hidden"] == "line 10"


def test_an_override_of_a_whole_section_is_the_origin_of_its_values(path):
    found = origins(show_with_origins(path, ["heads.maneuver={target: 0.4, alpha_max: 2}", "game.options.start=mixed"]))
    assert found["heads.maneuver.alpha_max"] == "command line"
    assert found["game.options.start"] == "command line"
    assert found["game.options.time_limit_s"] == "line 3"


@settings(deadline=None, max_examples=8)
@given(st.lists(st.integers(1, 4096), min_size=1, max_size=60))
def test_the_text_loads_to_the_same_configuration(tmp_path_factory, hidden):
    """Long values go on over several lines, and the comment must not cut them."""
    folder = tmp_path_factory.mktemp("origins")
    (folder / "a.yaml").write_text(TEXT.replace("[16, 16]", str(hidden)), encoding="utf-8")
    shown = show_with_origins(folder / "a.yaml", ["seed=9"])
    (folder / "b.yaml").write_text(shown, encoding="utf-8")
    assert load_config(folder / "b.yaml") == load_config(folder / "a.yaml", ["seed=9"])
    assert origins(shown).get("policy.hidden", "line 10") == "line 10"
    assert shown.count("# line 10") == 1
