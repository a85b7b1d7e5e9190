"""Where a game may come from: a configuration names a function, and calling just any function is not making a game.

A run folder of somebody else names its game too. Without a check, ``os:system`` with the option ``command`` would be a
game. So the function must lie in code of one's own or in a package that builds on PettingZoo; functions of Python
itself and of other libraries are refused before they are imported or called. Loads no torch.
"""

import json
import sys
from functools import lru_cache, partial
from importlib import metadata
from typing import Any

_GAME_LIBRARIES = ("pettingzoo", "gymnasium", "headctl")


def origin_problem(module_name: str) -> str | None:
    """Says why no game comes from a module; ``None``: one may.

    Args:
        module_name: Dotted name of the module; it is not imported.
    """
    top = module_name.partition(".")[0]
    if top in sys.stdlib_module_names or top in sys.builtin_module_names:
        return f"{module_name!r} belongs to Python itself, no game comes from there"
    for name in _distributions().get(top, ()):
        if not _builds_on_games(name):
            return (
                f"{module_name!r} belongs to the package {name}, which does not build on PettingZoo: no game comes "
                "from there; name a function of your own that makes the environment"
            )
    return None


def factory_problem(factory: Any) -> str | None:
    """Says why calling something would not make a game, by where it was defined; ``None``: it may."""
    while isinstance(factory, partial):
        factory = factory.func
    defined_in = getattr(factory, "__module__", None)
    if not isinstance(defined_in, str):
        return "it does not say in which module it was defined"
    return origin_problem(defined_in)


@lru_cache(maxsize=1)
def _distributions() -> dict[str, list[str]]:
    return {top: list(names) for top, names in metadata.packages_distributions().items()}


@lru_cache(maxsize=256)
def _builds_on_games(name: str) -> bool:
    """Tells whether a package needs PettingZoo or Gymnasium, is one of them, or was installed from a folder."""
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return True
    if found.metadata["Name"].lower() in _GAME_LIBRARIES:
        return True
    needs = [need.lower() for need in found.requires or ()]
    if any(need.startswith(_GAME_LIBRARIES) for need in needs):
        return True
    try:
        return "dir_info" in json.loads(found.read_text("direct_url.json") or "{}")
    except ValueError:
        return False
