"""docs/dogfight.md tells every option, feature, statistic, maneuver and start, with the values of the code."""

import dataclasses
import re
from pathlib import Path

import pytest
from headctl_envs.dogfight import config
from headctl_envs.dogfight.face import INFO_KEYS
from headctl_envs.dogfight.features import FEATURES

TEXT = (Path(__file__).parents[2] / "docs" / "dogfight.md").read_text(encoding="utf-8")


def rows(section):
    """Cells of every table row of a section, by the first word in backticks of the row."""
    found = {}
    for line in TEXT.split(f"\n## {section}\n")[1].split("\n## ")[0].splitlines():
        name = re.search(r"`(\w+)`", line)
        if line.startswith("|") and name:
            found.setdefault(name.group(1), [cell.strip() for cell in line.strip("|").split("|")])
    return found


@pytest.mark.parametrize("item", dataclasses.fields(config.DogfightConfig), ids=lambda item: item.name)
def test_every_option_is_documented_with_its_default_unit_and_meaning(item):
    _, default, unit, _, meaning = rows("Options")[item.name]
    assert default == (item.default if isinstance(item.default, str) else f"{item.default:g}")
    assert unit == item.metadata["unit"]
    assert meaning == item.metadata["doc"]


def test_every_feature_stands_at_its_position():
    table = rows("Observation")
    for position, name in enumerate(FEATURES):
        assert table[name][0] == str(position), name
    assert f"{len(FEATURES)} numbers" in TEXT


def test_all_names_are_told():
    names = [*config.STATISTICS, *config.STARTS, *config.PILOTS, *config.WEAPONS, *config.PARAMS, *INFO_KEYS]
    for library, maneuvers in config.LIBRARIES.items():
        names += [library, *maneuvers]
    missing = [name for name in names if not re.search(rf"\b{name}\b", TEXT)]
    assert not missing


@pytest.mark.parametrize("library", list(config.LIBRARIES))
def test_maneuver_numbers_are_those_of_the_libraries(library):
    header = next(line for line in TEXT.splitlines() if line.startswith("| maneuver |"))
    column = [cell.strip() for cell in header.strip("|").split("|")].index(library)
    told = {}
    for line in TEXT.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 6 and re.fullmatch(r"[\d, ]+", cells[column] or "x"):
            told.update(zip(re.findall(r"`(\w+)`", cells[0]), map(int, cells[column].split(",")), strict=True))
    assert told == {name: number for number, name in enumerate(config.LIBRARIES[library])}
