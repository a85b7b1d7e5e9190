"""What a user may say of a head, and the one-line answers to what she may not."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headctl.entropy.schedules import Linear
from headctl.entropy.spec import HEAD_KEYS, HeadSpec, HeadSpecError, parse_head


def test_a_number_is_a_constant_target():
    spec = parse_head("weapon", 0.3)
    assert (spec.law, spec.mode, spec.unit) == ("pi", "floor", "fraction")
    assert spec.target.range() == (0.3, 0.3)


def test_defaults_are_the_measured_ones():
    spec = parse_head("maneuver", {"choices": 9})
    assert (spec.gain_proportional, spec.gain_integral) == (2.0, 0.125)
    assert (spec.alpha_init, spec.alpha_min, spec.alpha_max) == (0.01, 1e-4, 1.0)
    assert parse_head("maneuver", {"mode": "track"}).alpha_min == -0.05
    assert parse_head("maneuver", {"mode": "track"}).log_alpha_min == math.log(1e-4)


def test_schedule_and_numbers_as_yaml_hands_them_over():
    spec = parse_head("params", {"target": {"schedule": "linear", "start": "8e-1", "end": 0.3}, "alpha_init": "2e-2"})
    assert isinstance(spec.target, Linear)
    assert spec.target.range() == (0.3, 0.8)
    assert spec.alpha_init == 0.02


def test_an_alpha_means_law_fixed():
    spec = parse_head("weapon", {"alpha": 0.02})
    assert (spec.law, spec.alpha_init, spec.target) == ("fixed", 0.02, None)


@pytest.mark.parametrize(
    ("value", "key", "wanted"),
    [
        ({"taget": 0.5}, "taget", "Did you mean 'target'?"),
        ({"target": 1.15}, "target", "1.15"),
        ({"target": -0.1}, "target", "-0.1"),
        ({"target": True}, "target", "True"),
        ({"target": "lots"}, "target", "'lots'"),
        ({"target": float("nan")}, "target", "finite"),
        ({"target": {"schedule": "lineer", "start": 1, "end": 0}}, "target.schedule", "Did you mean 'linear'?"),
        ({"target": {"schedule": "linear", "start": 0.5}}, "target.end", "needs end"),
        ({"target": {"schedule": "linear", "start": 0.5, "end": 0.2, "untill": 1}}, "target.untill", "'until'"),
        ({"target": {"schedule": "linear", "start": 1.4, "end": 0.2}}, "target", "1.4"),
        ({"target": {"schedule": "linear", "start": 0.4, "end": 0.2, "until": 3}}, "target.until", "agent_steps"),
        ({"target": {"start": 0.4, "end": 0.2}}, "target.schedule", "linear"),
        ({"law": "p"}, "law", "pi"),
        ({"mode": "flor"}, "mode", "Did you mean 'floor'?"),
        ({"kind": "gausian"}, "kind", "Did you mean 'gaussian'?"),
        ({"unit": "nat"}, "unit", "fraction"),
        ({"law": "fixed"}, "alpha", "needs"),
        ({"law": "fixed", "alpha": 0.1, "target": 0.5}, "target", "0.1"),
        ({"law": "pi", "alpha": 0.1}, "alpha", "alpha_init"),
        ({"alpha": -1}, "alpha", "-1"),
        ({"alpha_min": -0.1}, "alpha_min", "mode track"),
        ({"alpha_min": 0.5, "alpha_max": 0.1}, "alpha_max", "0.5"),
        ({"alpha_init": 3.0}, "alpha_init", "3"),
        ({"gain_integral": -1}, "gain_integral", "-1"),
        ({"choices": 2.5}, "choices", "2.5"),
        ({"choices": 0}, "choices", "at least 1"),
        ({"dims": 2}, "dims", "categorical"),
        ({"kind": "gaussian", "choices": 2}, "choices", "gaussian"),
        ({"kind": "gaussian", "log_std_min": 1.0}, "log_std_min", "below 0"),
    ],
)
def test_bad_input_gets_one_line_that_names_the_key(value, key, wanted):
    with pytest.raises(HeadSpecError) as caught:
        parse_head("weapon", value)
    message = str(caught.value)
    assert message.startswith(f"heads.weapon.{key}: ")
    assert wanted in message
    assert "\n" not in message


def test_the_action_space_cannot_be_contradicted():
    with pytest.raises(HeadSpecError, match=r"heads\.weapon\.choices: the action space says 4, .* 5"):
        parse_head("weapon", {"choices": 5}, {"kind": "categorical", "choices": 4})


def test_the_description_of_the_caller_is_not_changed():
    value = {"target": {"schedule": "linear", "start": 0.8, "end": 0.3}, "mode": "track"}
    before = repr(value)
    parse_head("weapon", value, {"kind": "categorical", "choices": 4})
    assert repr(value) == before


def test_every_key_is_explained():
    assert set(HEAD_KEYS) == {"alpha", *HeadSpec.__dataclass_fields__} - {"name"}


heads = st.fixed_dictionaries(
    {"target": st.floats(0.0, 0.98), "mode": st.sampled_from(["floor", "track"])},
    optional={
        "alpha_init": st.floats(1e-3, 1.0),
        "gain_proportional": st.floats(0.0, 30.0),
        "gain_integral": st.floats(0.0, 3.0),
        "choices": st.integers(1, 100),
    },
)


@given(heads)
def test_the_plain_form_reads_back_to_the_same(value):
    spec = parse_head("weapon", value)
    assert parse_head("weapon", spec.to_mapping()) == spec


def test_the_plain_form_of_other_kinds_reads_back_to_the_same():
    for value in ({"alpha": 0.0}, {"kind": "gaussian", "dims": 3, "log_std_min": -2.0}, {"choices": 4, "alpha": 2.0}):
        spec = parse_head("weapon", value)
        assert parse_head("weapon", spec.to_mapping()) == spec
