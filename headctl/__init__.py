"""headctl: per-head entropy control for self-play agents.

The package is a house of floors, each importing only from those below it (``tests/test_floors.py``):
:mod:`headctl.entropy` (the controller), :mod:`headctl.policy`, :mod:`headctl.ppo`, :mod:`headctl.selfplay`,
:mod:`headctl.run` and :mod:`headctl.cli`.

Names are resolved on first use: ``headctl --help`` and ``headctl config --check`` must answer without loading torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headctl.entropy.controller import MultiHeadEntropyController as MultiHeadEntropyController

__version__ = "0.1.0"
__all__ = ["MultiHeadEntropyController", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "MultiHeadEntropyController":
        return import_module("headctl.entropy.controller").MultiHeadEntropyController
    raise AttributeError(f"module 'headctl' has no attribute {name!r}")
