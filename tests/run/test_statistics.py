import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headctl.run.statistics import estimate, t_quantile


def test_mean_and_interval_of_three_seeds():
    # mean 0.5, s = 0.1, t(2) = 4.3027: half width 4.3027 * 0.1 / sqrt(3).
    found = estimate([0.4, 0.5, 0.6])
    assert found.mean == pytest.approx(0.5)
    assert (found.high - found.low) / 2 == pytest.approx(0.248417, abs=1e-5)
    assert found.seeds == 3


@pytest.mark.parametrize(("degrees", "value"), [(1, 12.7062), (4, 2.7764), (30, 2.0423), (40, 2.0211), (120, 1.9799)])
def test_quantiles_of_the_tables(degrees, value):
    assert t_quantile(degrees) == pytest.approx(value, abs=1e-4)


def test_bounds_cut_the_interval_and_nan_is_left_out():
    found = estimate([0.9, 1.0, math.nan], 0.0, 1.0)
    assert (found.high, found.seeds) == (1.0, 2)
    assert found.low == pytest.approx(0.95 - 12.7062 * 0.0707107 / math.sqrt(2), abs=1e-4)


def test_too_few_values_have_no_interval():
    one = estimate([0.3])
    assert (one.mean, one.seeds) == (0.3, 1)
    assert math.isnan(one.low)
    assert estimate([]).to_json() == {"mean": None, "low": None, "high": None, "seeds": 0}


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60))
def test_the_mean_lies_in_its_interval(values):
    found = estimate(values)
    assert found.low <= found.mean + 1e-6
    assert found.high >= found.mean - 1e-6
