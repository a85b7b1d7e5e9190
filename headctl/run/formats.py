"""States of older checkpoint formats, brought up to date one step at a time."""

from collections.abc import Callable, Mapping
from typing import Any

from headctl.run.checkpoint import FORMAT, Checkpoint


def _from_1(state: Mapping[str, Any]) -> dict[str, Any]:
    """Format 1 knew neither restores nor the configuration; without it, only the scheme can tell another run."""
    return {**state, "restores": 0, "config": None}


MIGRATIONS: dict[int, Callable[[Mapping[str, Any]], dict[str, Any]]] = {1: _from_1}
"""Format -> what turns a state of it into one of the next."""


def migrated(checkpoint: Checkpoint) -> dict[str, Any]:
    """Returns the state of a checkpoint as this version would have written it."""
    state: dict[str, Any] = checkpoint.state
    for version in range(checkpoint.format, FORMAT):
        state = MIGRATIONS[version](state)
    return state
