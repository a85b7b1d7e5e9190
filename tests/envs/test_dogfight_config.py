"""Options: every wrong one gets one line that names it and says what is allowed."""

import dataclasses

import pytest
from headctl_envs.dogfight.config import STARTS, DogfightConfig, OptionError, heads
from hypothesis import given, settings
from hypothesis import strategies as st


def test_defaults_are_those_of_the_alphadogfight_gun_and_the_reference_timing():
    config = DogfightConfig()
    assert (config.gun_half_angle_deg, config.gun_range_min_m, config.gun_range_max_m) == (1.0, 152.0, 914.0)
    assert config.gun_rounds / config.gun_rate_per_s == pytest.approx(5.1)
    assert config.max_decisions == 600
    assert heads(config) == {"maneuver": ("categorical", 14), "weapon": ("categorical", 4), "params": ("gaussian", 3)}


def test_every_option_has_a_unit_and_a_meaning():
    for item in dataclasses.fields(DogfightConfig):
        assert item.metadata["unit"]
        assert item.metadata["doc"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"gun_round": 1},
            r"unknown option of the dogfight: 'gun_round'. Did you mean 'gun_rounds'\? Allowed: man",
        ),
        ({"zzz": 1}, r"unknown option of the dogfight: 'zzz'. Allowed: "),
        ({"maneuvers": "tactical15"}, r"unknown value of maneuvers: 'tactical15'. Did you mean 'tactical14'\?"),
        ({"floor_m": "deep"}, r"floor_m = 'deep' is not a number; allowed: a number from 0 to 5000 \(m\)"),
        ({"floor_m": -1}, r"floor_m = -1 is out of range; allowed: a number from 0 to 5000 \(m\)"),
        ({"floor_m": float("nan")}, "floor_m = nan is not a number"),
        ({"floor_m": True}, "floor_m = True is not a number"),
        ({"floor_m": None}, "floor_m = None is not a number"),
        ({"substeps": 1.5}, "substeps = 1.5 is not a whole number; allowed: a whole number from 1 to 50"),
        ({"gamma": 1.01}, "gamma = 1.01 is out of range"),
        ({"gun_range_min_m": 900, "gun_range_max_m": 300}, "gun_range_min_m = 900.0 must not exceed gun_range_max_m"),
        ({"gun_range_min_m": 900, "gun_range_max_m": 900}, "must differ"),
        ({"floor_m": 2800}, "start_altitude_min_m = 3000.0 must be 500 m above floor_m = 2800.0"),
        ({"start": "headon"}, r"unknown value of start: 'headon'. Did you mean 'head_on'\?"),
        ({"start": {"neutrl": 1.0}}, r"unknown name in start: 'neutrl'. Did you mean 'neutral'\?"),
        ({"start": {"neutral": -1.0}}, "start.neutral = -1.0 is out of range"),
        ({"start": {"neutral": "much"}}, "start.neutral = 'much' is not a number"),
        ({"start": {"neutral": 0.0}}, "no positive weight"),
        ({"start": 3}, "start = 3 must be a name or a mapping"),
        ({"start": {"neutral": 1e308, "random": 1e308}}, "weights too large to add up"),
        ({"start": {"neutral": 10**400}}, "start.neutral = 1000.* is not a number"),
        ({"gun_rounds": 10**400}, "gun_rounds is out of range; allowed: a whole number from 0 to 100000"),
        ({"team_size": 5}, "team_size = 5 is out of range; allowed: a whole number from 1 to 4"),
        (None, "options = None must be a mapping"),
        ([1], r"options = \[1\] must be a mapping"),
    ],
)
def test_wrong_options_get_one_clear_line(options, message):
    with pytest.raises(OptionError, match=message) as caught:
        DogfightConfig.from_mapping(options)
    assert "\n" not in str(caught.value)


def test_numbers_may_come_as_strings_and_whole_numbers_as_floats():
    config = DogfightConfig.from_mapping({"gamma": "9.9e-1", "substeps": "4", "gun_rounds": 100.0, "floor_m": 250})
    assert (config.gamma, config.substeps, config.gun_rounds, config.floor_m) == (0.99, 4, 100, 250.0)
    assert isinstance(config.substeps, int)
    assert isinstance(config.floor_m, float)


@given(st.dictionaries(st.sampled_from(STARTS), st.floats(0.01, 100), min_size=1))
@settings(deadline=None)  # a busy machine is no reason to fail
def test_start_weights_become_probabilities(weights):
    config = DogfightConfig(start=weights)
    assert sum(config.start_probabilities) == pytest.approx(1.0)
    for name, probability in zip(STARTS, config.start_probabilities, strict=True):
        assert probability == pytest.approx(weights.get(name, 0.0) / sum(weights.values()))


BOUNDED = [item for item in dataclasses.fields(DogfightConfig) if "low" in item.metadata]


@given(st.sampled_from(BOUNDED), st.floats(1e-3, 1e6))
@settings(deadline=None)  # a busy machine is no reason to fail
def test_every_bound_is_kept(item, beyond):
    for value in (item.metadata["low"] - beyond, item.metadata["high"] + beyond):
        with pytest.raises(OptionError, match=f"{item.name} = "):
            DogfightConfig.from_mapping({item.name: value})


def test_the_callers_mapping_is_not_kept():
    weights = {"neutral": 1.0}
    config = DogfightConfig(start=weights)
    weights["random"] = 5.0
    assert config.start == {"neutral": 1.0}
    assert DogfightConfig(start="offensive").start_probabilities == (0, 0, 1, 0, 0, 0)
