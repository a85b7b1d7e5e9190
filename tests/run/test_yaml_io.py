import math

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from headctl.run.yaml_io import MAX_BYTES, YamlError, dump_yaml, parse_yaml, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-4", 3e-4),
        ("1e6", 1e6),
        ("1_000_000", 1_000_000),
        ("-.5", -0.5),
        ("+1.", 1.0),
        ("on", "on"),
        ("no", "no"),
        ("yes", "yes"),
        ("true", True),
        ("False", False),
        ("017", 17),
        ("1:30", "1:30"),
        ("0x10", "0x10"),
        ("2024-01-01", "2024-01-01"),
        ("~", None),
        ("", None),
        ("null", None),
        ("'3e-4'", "3e-4"),
        ("!!float 1e5", 1e5),
        ("!!float 3", 3.0),
        ("-.inf", -math.inf),
        ("=", "="),
        ("{on: 1, 2: x, null: y}", {"on": 1, "2": "x", "null": "y"}),
    ],
)
def test_scalars_are_what_they_look_like(text, value):
    read = parse_yaml(text).tree
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: 1\nb: 2\na: 3", "line 3.*'a' stands twice, in lines 1 and 3"),
        ("x:\n  a: 1\n  a: 1", "'x.a' stands twice, in lines 2 and 3"),
        ("x: !!python/object/apply:os.system [ls]", "tag .* not allowed"),
        ("x: !!set {a, b}", "tag .* not allowed"),
        ("x: !!binary aGVsbG8=", "tag .* not allowed"),
        ("x: !!bool maybe", "'maybe' is no bool"),
        ("x: &a [*a]", "contains itself"),
        ("x: [1", "line 1"),
        ("x:\n\t- 1", "spaces, not with tabs"),
        ("x: .nan", "nan"),
        ("x: 99999999999999999999999", "64 bits"),
        ("x: " + "9" * 6000, "64 bits"),
        ("? [a, b]\n: 1", "a key must be a name"),
        ("a: 1\n---\nb: 2", "another document"),
        ("x: *missing", "undefined alias"),
        ("x: \x07", "not allowed"),
        ("[" * 60 + "]" * 60, "levels deep"),
        ("[" * 3000, "deep"),
        ("x" * (MAX_BYTES + 1), "larger than 1024 KiB"),
    ],
)
def test_what_no_configuration_needs_is_refused(text, complaint):
    with pytest.raises(YamlError, match=complaint) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)


def test_aliases_that_multiply_are_refused_before_they_are_written_out():
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]
    with pytest.raises(YamlError, match="once its aliases are written out"):
        parse_yaml("\n".join(lines))


def test_a_shared_schedule_is_fine():
    tree = parse_yaml("a: &s {schedule: linear, start: 1, end: 0}\nb: *s\nc: {<<: *s, end: 0.5}").tree
    assert tree["b"] == tree["a"]
    assert tree["c"] == {"schedule": "linear", "start": 1, "end": 0.5}


def test_lines_are_known_for_every_key():
    document = parse_yaml("a: 1\nheads:\n  weapon:\n    target: 0.3\n")
    assert document.line_of("heads.weapon.target") == 4
    assert document.line_of("heads.weapon.alpha") == 3
    assert document.line_of("nowhere") is None


def test_files(tmp_path):
    with pytest.raises(YamlError, match="no such file"):
        read_yaml(tmp_path / "missing.yaml")
    with pytest.raises(YamlError, match="folder"):
        read_yaml(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("a: \xe4".encode("latin-1"))
    with pytest.raises(YamlError, match="UTF-8"):
        read_yaml(tmp_path / "latin.yaml")
    (tmp_path / "huge.yaml").write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(YamlError, match="larger"):
        read_yaml(tmp_path / "huge.yaml")
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbfa: 1")
    assert read_yaml(tmp_path / "bom.yaml").tree == {"a": 1}


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=12),
    st.sampled_from(
        ["3e-4", "on", "1:30", "0x1", "~", "<<", "=", ".5", "1_0", "null", "- a", "a: b", "!x", "&a", "*a", "#"]
    ),
)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)


@given(trees)
@example({"\x85": "\u2028 \u2029"})
def test_whatever_is_written_is_read_back_equal(tree):
    # A merge key is an instruction of YAML, not a name; the writer has to quote it.
    text = dump_yaml({"root": tree})
    assert parse_yaml(text).tree == {"root": tree}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_other_readers_see_the_same_numbers(number):
    assert yaml.safe_load(dump_yaml({"x": number})) == {"x": number}


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_any_text_is_read_or_refused(text):
    problem = ""
    try:
        parse_yaml(text)
    except YamlError as error:
        problem = str(error)
    assert "\n" not in problem
