"""States of older checkpoint formats, brought up to date one step at a time."""

from collections.abc import Callable, Mapping
from typing import Any

from headctl.run.checkpoint import FORMAT, Checkpoint, CheckpointError


def _from_1(state: Mapping[str, Any]) -> dict[str, Any]:
    """Format 1 knew neither restores nor the configuration; without it, only the scheme can tell another run."""
    return {**state, "restores": 0, "config": None}


def _from_2(state: Mapping[str, Any]) -> dict[str, Any]:
    """Format 2 numbered its opponents, counted no games between them, and had no exploiters.

    Games that are under way when such a run goes on are counted, but to nobody: who sits where was not written down.
    """
    pool = {**state["pool"], "snapshots": [f"{age:012d}" for age in state["pool"]["snapshots"]]}
    collector = {**state["collector"], "in_play": [], "pilots": []}
    agenda = {**state["learner"]["controller"]["agenda"], "heat": {"by": 0.0, "began": 0.0, "steps": 1.0}}
    controller = {**state["learner"]["controller"], "agenda": agenda}
    return {
        **state,
        "pool": pool,
        "collector": collector,
        "learner": {**state["learner"], "controller": controller},
        "league": {},
        "exploiters": {},
        "scheme": {},
    }


MIGRATIONS: dict[int, Callable[[Mapping[str, Any]], dict[str, Any]]] = {1: _from_1, 2: _from_2}
"""Format -> what turns a state of it into one of the next."""


def migrated(checkpoint: Checkpoint) -> dict[str, Any]:
    """Returns the state of a checkpoint as this version would have written it.

    Raises:
        CheckpointError: It is not of the format that it claims.
    """
    state: dict[str, Any] = checkpoint.state
    try:
        for version in range(checkpoint.format, FORMAT):
            state = MIGRATIONS[version](state)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{checkpoint.path}: is no checkpoint of format {checkpoint.format}: {type(error).__name__}: {error}"
        ) from error
    return state
