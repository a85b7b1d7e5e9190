"""What a user may say of a head, and the one-line answers to what she may not."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headctl import MultiHeadEntropyController
from headctl.entropy.dependence import dependence_problems, parents_first
from headctl.entropy.schedules import Linear
from headctl.entropy.spec import (
    CONTINUOUS_KINDS,
    DISCRETE_KINDS,
    HEAD_KEYS,
    KINDS,
    HeadSpec,
    HeadSpecError,
    parse_head,
)


def test_a_number_is_a_constant_target():
    spec = parse_head("weapon", 0.3)
    assert (spec.law, spec.mode, spec.unit) == ("pi", "floor", "fraction")
    assert spec.target.range() == (0.3, 0.3)


def test_defaults_are_the_measured_ones():
    spec = parse_head("maneuver", {"choices": 9})
    assert (spec.gain_proportional, spec.gain_integral) == (2.0, 0.125)
    assert (spec.alpha_init, spec.alpha_min, spec.alpha_max) == (0.01, 1e-4, 1.0)
    assert parse_head("maneuver", {"mode": "track"}).alpha_min == -0.5
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
        ({"kind": "tanh_gaussian", "log_std_max": 0.0}, "log_std_max", "at most -0.134217"),
        ({"kind": "tanh_gaussian", "log_std_min": -0.1}, "log_std_min", "below log_std_max"),
        ({"kind": "tanh_gaussian", "concentration_max": 3}, "concentration_max", "tanh_gaussian"),
        ({"kind": "beta", "log_std_min": -1}, "log_std_min", "beta"),
        ({"kind": "beta", "concentration_max": 1}, "concentration_max", "above 1"),
        ({"kind": "bernoulli", "choices": 3}, "choices", "a bernoulli head has no choices"),
        ({"kind": "multidiscrete", "choices": 3}, "choices", "expected a list"),
        ({"kind": "multidiscrete", "choices": []}, "choices", "expected a list"),
        ({"kind": "multidiscrete", "choices": [3, 0]}, "choices", "at least 1"),
        ({"kind": "multidiscrete", "choices": [3], "dims": 1}, "dims", "multidiscrete"),
        ({"choices": [3, 2]}, "choices", "several are kind multidiscrete"),
        ({"probability_floor": 1.0}, "probability_floor", "[0, 1)"),
        ({"probability_floor": -0.1}, "probability_floor", "[0, 1)"),
        ({"kind": "gaussian", "probability_floor": 0.1}, "probability_floor", "gaussian"),
        ({"choices": 4, "mode": "track", "target": 0.1, "probability_floor": 0.1}, "target", "0.3488 nats or more"),
        ({"rescue": 1}, "rescue", "true or false"),
        ({"rescue": True, "alpha": 0.1}, "rescue", "law fixed has no target"),
        ({"kind": "beta", "rescue": True}, "rescue", "beta"),
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


def test_a_box_leaves_the_kind_open_and_nothing_else():
    box = {"kind": "gaussian", "dims": 3}
    for kind in CONTINUOUS_KINDS:
        assert parse_head("aim", {"kind": kind}, box).kind == kind
    for kind in DISCRETE_KINDS:
        with pytest.raises(HeadSpecError, match=r"heads\.aim\.kind: the action space says 'gaussian'"):
            parse_head("aim", {"kind": kind}, box)
    with pytest.raises(HeadSpecError, match=r"the action space says 'categorical', .* says 'beta'"):
        parse_head("weapon", {"kind": "beta"}, {"kind": "categorical", "choices": 4})


def test_sizes_and_ranges_of_every_kind():
    def spec(kind, **keys):
        return parse_head("a", {"kind": kind, **keys})

    assert spec("categorical", choices=4).sizes == (4,)
    assert spec("multidiscrete", choices=[3, 4]).sizes == (3, 4)
    assert spec("bernoulli", dims=3).sizes == (2, 2, 2)
    assert spec("categorical").sizes is None
    assert spec("beta").sizes is None
    assert spec("multidiscrete", choices=[3, 4]).entropy_capacity == pytest.approx(math.log(12))
    assert spec("bernoulli", dims=3).entropy_capacity == pytest.approx(3 * math.log(2))
    assert spec("beta", dims=2).entropy_capacity == pytest.approx(2 * math.log(2))
    assert spec("tanh_gaussian", dims=2).entropy_capacity == pytest.approx(2 * 0.68364, abs=1e-4)
    for kind in KINDS:
        assert (spec(kind).entropy_floor == 0.0) == spec(kind).discrete == (kind in DISCRETE_KINDS)


def heads(**descriptions):
    return {name: parse_head(name, value) for name, value in descriptions.items()}


@pytest.mark.parametrize(
    ("descriptions", "wanted"),
    [
        ({"a": {"active_when": {"b": [1]}}, "b": 0.5}, []),
        ({"a": {"active_when": {"b": [1]}}}, [r"heads.a.active_when: unknown head: 'b'. Allowed: a"]),
        (
            {"a": {"active_when": {"b": [0]}}, "b": {"kind": "beta"}},
            ["heads.a.active_when.b: b is a continuous head and has no numbered choices"],
        ),
        (
            {"a": {"active_when": {"b": [0]}}, "b": {"kind": "bernoulli"}},
            ["heads.a.active_when.b: b is a bernoulli head and has no numbered choices"],
        ),
        (
            {"a": {"active_when": {"b": [1, 4]}}, "b": {"choices": 4}},
            ["heads.a.active_when.b: the choices of b are 0 to 3, got [1, 4]"],
        ),
        (
            {"a": {"active_when": {"b": [1]}}, "b": {"active_when": {"c": [1]}}, "c": {"active_when": {"a": [1]}}},
            [
                "heads.a.active_when: the head depends on itself: a -> b -> c -> a",
                "heads.b.active_when: the head depends on itself: b -> c -> a -> b",
                "heads.c.active_when: the head depends on itself: c -> a -> b -> c",
            ],
        ),
        (  # two ways to one ancestor are no circle
            {"a": {"active_when": {"b": [1], "c": [1]}}, "b": {"active_when": {"d": [1]}}, "c": 0.5, "d": 0.5},
            [],
        ),
    ],
)
def test_what_a_head_may_depend_on(descriptions, wanted):
    problems = dependence_problems(heads(**descriptions))
    assert len(problems) == len(wanted)
    assert all(problem.startswith(start) for problem, start in zip(problems, wanted, strict=True))
    if wanted:
        with pytest.raises(HeadSpecError) as caught:
            MultiHeadEntropyController(descriptions)
        assert str(caught.value) == problems[0]


def test_parents_come_before_their_children():
    family = heads(a={"active_when": {"b": [1], "d": [0]}}, b={"active_when": {"c": [1]}}, c=0.5, d=0.5)
    assert parents_first(family) == ["c", "b", "d", "a"]


def test_the_description_of_the_caller_is_not_changed():
    value = {"target": {"schedule": "linear", "start": 0.8, "end": 0.3}, "mode": "track"}
    before = repr(value)
    parse_head("weapon", value, {"kind": "categorical", "choices": 4})
    assert repr(value) == before


def test_every_key_is_explained():
    assert set(HEAD_KEYS) == {"alpha", *HeadSpec.__dataclass_fields__} - {"name"}


descriptions = st.fixed_dictionaries(
    {"target": st.floats(0.0, 0.98), "mode": st.sampled_from(["floor", "track"])},
    optional={
        "alpha_init": st.floats(1e-3, 1.0),
        "gain_proportional": st.floats(0.0, 30.0),
        "gain_integral": st.floats(0.0, 3.0),
        "choices": st.integers(1, 100),
    },
)


@given(descriptions)
def test_the_plain_form_reads_back_to_the_same(value):
    spec = parse_head("weapon", value)
    assert parse_head("weapon", spec.to_mapping()) == spec


def test_the_plain_form_of_other_kinds_reads_back_to_the_same():
    for value in (
        {"alpha": 0.0},
        {"choices": 4, "alpha": 2.0},
        {"choices": 4, "probability_floor": 0.05, "rescue": True},
        {"kind": "multidiscrete", "choices": [3, 4, 2], "target": 1.5, "unit": "nats"},
        {"kind": "bernoulli", "dims": 5, "rescue": True},
        {"kind": "gaussian", "dims": 3, "log_std_min": -2.0},
        {"kind": "tanh_gaussian", "dims": 3, "target": 0.4, "unit": "std"},
        {"kind": "beta", "dims": 2, "concentration_max": 30},
    ):
        spec = parse_head("weapon", value)
        assert parse_head("weapon", spec.to_mapping()) == spec
