"""Hit rates of the missile over range, aspect and what its target does."""

import numpy as np
import pytest
from headctl_envs.dogfight.missile_table import ASPECTS_DEG, SHARES, TARGETS, hit_rate

SHOTS = 100
FINE_ASPECTS = tuple(np.arange(0.0, 181.0, 15.0))


def rates(target, shares, aspects=ASPECTS_DEG, **options):
    """Hit rates [aspect, share]."""
    return np.array([[hit_rate(target, a, share, shots=SHOTS, **options) for share in shares] for a in aspects])


@pytest.mark.parametrize("missile", ["all_aspect", "rear_aspect"])
def test_a_straight_flier_is_hit_inside_two_fifths_of_the_reach(missile):
    # A rear-aspect missile that loses sight of its target misses: see the tests of its envelope.
    aspects = [aspect for aspect in FINE_ASPECTS if missile == "all_aspect" or aspect <= 60.0]
    found = rates("straight", [share for share in SHARES if share <= 0.4], aspects, missile=missile)
    assert found.min() >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("missile", ["all_aspect", "rear_aspect"])
def test_a_six_g_notch_beats_what_is_fired_from_four_fifths_of_the_reach_and_beyond(missile):
    found = rates("notching", (0.8, 0.82, 0.85, 0.9, 0.95, 1.0), FINE_ASPECTS, missile=missile)
    assert found.max() < 0.20  # every cell: from every aspect, at every range
    assert found[:, -1].max() <= 0.02
    # Physics, not a rule: the same target is hit from near.
    assert rates("notching", [0.25], (0.0,), missile=missile).min() >= 0.95


def test_the_reach_is_where_hits_at_a_straight_flier_end():
    found = rates("straight", (0.9, 1.0, 1.1), FINE_ASPECTS)
    assert found[:, 0].min() >= 0.95
    assert 0.2 < found[:, 1].mean() < 0.8
    assert found[:, 2].max() <= 0.05


def test_from_dead_astern_running_is_what_beats_the_far_shot():
    (run,), (notch,) = (rates(target, [0.9, 1.0], (0.0,)) for target in ("extending", "notching"))
    assert run.max() <= 0.05
    assert notch.mean() > run.mean()


def test_a_beaming_target_is_harder_to_hit_than_a_straight_one_and_easier_when_near():
    beaming, straight = rates("beaming", [0.6, 0.8]), rates("straight", [0.6, 0.8])
    assert beaming.mean() < straight.mean() - 0.4
    assert rates("beaming", [0.15, 0.25]).mean() > 0.8


def test_shots_repeat_and_depend_on_their_seed():
    assert hit_rate("notching", 0.0, 0.8, shots=SHOTS) == hit_rate("notching", 0.0, 0.8, shots=SHOTS)
    found = {hit_rate("notching", 0.0, 0.8, shots=SHOTS, seed=seed) for seed in range(4)}
    assert len(found) > 1
    assert 0.0 < np.mean(list(found)) < 1.0


def test_wrong_arguments_are_told():
    with pytest.raises(ValueError, match=r"unknown target: 'notch'.*notching"):
        hit_rate("notch", 0.0, 0.5)
    with pytest.raises(ValueError, match="shots = 0"):
        hit_rate("straight", 0.0, 0.5, shots=0)
    assert set(TARGETS) == {"straight", "beaming", "notching", "extending"}
