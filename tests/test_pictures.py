"""The pictures of the concepts page are what their command draws, and show what the page says."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from headctl.entropy.status import HeadStatus

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def pictures():
    spec = importlib.util.spec_from_file_location("pictures", ROOT / "docs" / "pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_command_draws_every_picture_that_the_page_shows(pictures, tmp_path):
    drawn = pictures.main(tmp_path)
    page = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")
    for path in drawn:
        assert f"images/{path.name}" in page
        assert (ROOT / "docs" / "images" / path.name).exists()
        assert path.read_text(encoding="utf-8").count("<svg") == 1
        assert path.stat().st_size < 100_000
    again = pictures.main(tmp_path / "again")
    assert [path.read_bytes() for path in drawn] == [path.read_bytes() for path in again]


@pytest.mark.parametrize("fraction", [0.8, 0.5, 0.3, 0.05])
def test_a_distribution_has_the_fraction_that_stands_above_it(pictures, fraction):
    shown = pictures.with_fraction(np.array([0.9, 0.2, 1.0, 0.55, 0.3, 0.75, 0.1, 0.45]), fraction)
    assert shown.sum() == pytest.approx(1.0)
    assert pictures.entropy(shown) / np.log(8) == pytest.approx(fraction, abs=1e-6)


def test_every_head_ends_with_the_status_that_it_is_named_after(pictures):
    courses = pictures.learn()
    ends = {name: HeadStatus(int(course["status"][-1])).name.lower() for name, course in courses.items()}
    assert ends == {name: name for name in pictures.LEARNERS}
    assert courses["tracking"]["fraction"][-1] == pytest.approx(0.3, abs=0.02)
