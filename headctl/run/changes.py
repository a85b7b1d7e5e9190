"""What differs between two configurations, and what of it may change while a run is resumed. Loads no torch."""

from collections.abc import Mapping
from typing import Any

RESUME_MAY_CHANGE = (
    "total_steps",
    "evaluation.",
    "checkpoint.",
    "faults.",
    "run.threads",
    "run.tensorboard",
    "game.workers",
)
"""Keys (or beginnings of keys) that may change while a run is resumed; any other change would make it another run."""
_MEANS_NOTHING = ("run.dir",)
"""Keys that only the start of a run has asked for."""


def changed_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Returns the dotted keys in which two configurations differ, with both values.

    Keys that only one of them has are of another version of headctl, and are left out. Options of games and targets of
    heads are compared as a whole.

    Args:
        before: As ``RunConfig.model_dump()`` returns it.
        after: Another one.
    """
    old, new = _flat(before), _flat(after)
    pairs = {key: (old[key], new[key]) for key in old if key in new}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1] and key not in _MEANS_NOTHING}


def may_change(key: str) -> bool:
    """Tells whether a dotted key may change while a run is resumed."""
    return key.startswith(RESUME_MAY_CHANGE)


def may_change_text() -> str:
    """Returns the keys that may change, for a message."""
    return ", ".join(f"{key}*" if key.endswith(".") else key for key in RESUME_MAY_CHANGE)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns dotted keys and their values; a mapping that is one value stays whole."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        in_head = name.startswith("heads.") and name.count(".") > 1
        if isinstance(value, Mapping) and not in_head and not name.endswith(".options"):
            flat |= _flat(value, f"{name}.")
        else:
            flat[name] = _plain(value)
    return flat


def _plain(value: Any) -> Any:
    """Returns a value with lists for tuples, as a file gives it back."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value
