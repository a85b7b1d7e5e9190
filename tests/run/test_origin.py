import functools
import json

import pytest

from headctl.run.config import ConfigError, parse_config
from headctl.selfplay import origin
from tests.helpers import games


@pytest.mark.parametrize(
    "name", ["os:system", "subprocess:getoutput", "torch:load", "yaml:unsafe_load", "posix:system"]
)
def test_functions_that_are_no_games_are_neither_imported_nor_called(name, tmp_path):
    trace = tmp_path / "executed"
    options = {"command": f"touch {trace}", "cmd": f"touch {trace}", "f": str(trace), "weights_only": False}
    with pytest.raises(ConfigError, match=r"game\.name: .*no game comes from there"):
        parse_config("", [f"game.name={name!r}", f"game.options={json.dumps(options)}"])
    assert not trace.exists()


def test_a_function_that_another_module_only_hands_on_is_judged_by_where_it_was_made(monkeypatch):
    monkeypatch.setattr(games, "handed_on", __import__("os").system, raising=False)
    with pytest.raises(ConfigError, match="'handed_on' of 'tests"):
        parse_config("", ["game.name=tests.helpers.games:handed_on", "game.options={command: 'true'}"])


def test_games_of_ones_own_and_of_game_libraries_may_come():
    assert origin.origin_problem("tests.helpers.games") is None
    assert origin.origin_problem("pettingzoo.classic.rps_v2") is None
    assert origin.origin_problem("headctl_envs.dogfight_v0") is None
    assert origin.origin_problem("a_module_that_nobody_has") is None
    assert origin.factory_problem(games.Skirmish) is None
    assert origin.factory_problem(functools.partial(games.Skirmish, limit=3)) is None
    assert origin.factory_problem(functools.partial(json.loads)) is not None
    assert origin.factory_problem(object.__new__) is not None
