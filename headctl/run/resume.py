"""Everything that is asked of a checkpoint before a run takes it over."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headctl.policy.network import Policy
from headctl.run.agent import check_config, fitting
from headctl.run.checkpoint import Checkpoint, CheckpointError, load_snapshot, snapshot_key
from headctl.run.config import RunConfig
from headctl.run.formats import migrated
from headctl.run.manifest import FileMark
from headctl.run.scheme import check_counters, check_optimizer, check_scheme
from headctl.selfplay.league import Snapshot, acting_state, check_same_scheme

_NAME = re.compile(r"[\w+-][\w.+@-]*")
_SNAPSHOT = re.compile(r"(\d{12,18})(_\w+)?")


@dataclass(frozen=True, slots=True)
class Found:
    """What a checkpoint gives to a run.

    Attributes:
        state: As this version would have written it, without the configuration.
        snapshots: The opponents in its pool, and then the anchors of other runs.
        marks: What their files are known by, by their names.
    """

    state: dict[str, Any]
    snapshots: list[Snapshot]
    marks: dict[str, FileMark]


def checked(checkpoint: Checkpoint, config: RunConfig, mine: Mapping[str, Any], policy: Policy) -> Found:
    """Compares a checkpoint, and the snapshots that it names, with what the run has.

    Args:
        checkpoint: A whole one.
        config: Of the run.
        mine: The state of the run as it is now.
        policy: Gives names, shapes and dtypes of the weights.

    Raises:
        CheckpointError: Something of it is damaged or does not fit.
    """
    path, state = checkpoint.path, migrated(checkpoint)
    with fitting(checkpoint):
        check_config(path, state.pop("config", None), config)
        check_scheme(state, {key: entry for key, entry in mine.items() if key != "config"})
        for at, learner in learners(state).items():
            check_optimizer(learner["optimizer"], learners(mine)[at]["optimizer"], list(policy.parameters()), at)
        check_counters(state)
        if checkpoint.agent_steps != state["collector"]["agent_steps"]:
            raise ValueError(f"collector.agent_steps: is {state['collector']['agent_steps']}")
        names = _names(state["pool"]["snapshots"], config.selfplay.pool_size)
        anchors = state["league"].get("anchors", [])
        snapshots, marks = [], {}
        for name in (*names, *_plain_names(anchors, "league.anchors")):
            mark = checkpoint.marks.get(snapshot_key(name))
            if mark is None and checkpoint.marks:
                raise CheckpointError(f"{path}: its manifest does not know the opponent {snapshot_key(name)}")
            snapshots.append(load_snapshot(path.parent.parent, name, mark))
            check_scheme(dict(snapshots[-1].state), acting_state(policy.state_dict()), "snapshot")
            check_same_scheme(snapshots[-1], policy)
            if mark is not None:
                marks[name] = mark
    return Found(state, snapshots, marks)


def learners(state: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Returns the states of all learners of a run, by where they stand."""
    others = {f"exploiters.{role}.learner": entry["learner"] for role, entry in state["exploiters"].items()}
    return {"learner": state["learner"], **others}


def _names(written: list[Any], capacity: int) -> list[str]:
    """Returns the names of the opponents in a pool, oldest first."""
    names = _plain_names(written, "pool.snapshots")
    ages = [int(_SNAPSHOT.fullmatch(name)[1]) if _SNAPSHOT.fullmatch(name) else -1 for name in names]  # pyright: ignore[reportOptionalSubscript] - asked before
    if not 1 <= len(names) <= capacity or -1 in ages or ages != sorted(ages) or len(set(names)) != len(names):
        raise ValueError(f"pool.snapshots: {written[:20]!r} are no names of at most {capacity} opponents, oldest first")
    return names


def _plain_names(written: Any, path: str) -> list[str]:
    """Returns names that no path hides in."""
    names = list(written)
    if not all(isinstance(name, str) and _NAME.fullmatch(name) for name in names):
        raise ValueError(f"{path}: {names[:20]!r} are no names of opponents")
    return names
