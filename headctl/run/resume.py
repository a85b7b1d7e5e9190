"""Everything that is asked of a checkpoint before a run takes it over."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headctl.policy.network import Policy
from headctl.run.agent import check_config, fitting
from headctl.run.checkpoint import Checkpoint, CheckpointError, load_snapshot, snapshot_key
from headctl.run.config import RunConfig
from headctl.run.formats import migrated
from headctl.run.manifest import FileMark
from headctl.run.scheme import check_optimizer, check_scheme
from headctl.selfplay.league import Snapshot


@dataclass(frozen=True, slots=True)
class Found:
    """What a checkpoint gives to a run.

    Attributes:
        state: As this version would have written it, without the configuration.
        snapshots: The opponents in its pool.
        marks: What their files are known by, by their age in agent-steps.
    """

    state: dict[str, Any]
    snapshots: list[Snapshot]
    marks: dict[int, FileMark]


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
    check_config(path, state.pop("config", None), config)
    with fitting(checkpoint):
        check_scheme(state, {key: entry for key, entry in mine.items() if key != "config"})
        check_optimizer(state["learner"]["optimizer"]["state"], list(policy.parameters()))
        if checkpoint.agent_steps != state["collector"]["agent_steps"]:
            raise ValueError(f"collector.agent_steps: is {state['collector']['agent_steps']}")
        ages = _ages(state["pool"]["snapshots"], config.selfplay.pool_size)
        snapshots, marks = [], {}
        for age in ages:
            mark = checkpoint.marks.get(snapshot_key(age))
            if mark is None and checkpoint.marks:
                raise CheckpointError(f"{path}: its manifest does not know the opponent {snapshot_key(age)}")
            snapshots.append(load_snapshot(path.parent.parent, age, mark))
            check_scheme(dict(snapshots[-1].state), policy.state_dict(), "snapshot")
            if mark is not None:
                marks[age] = mark
    return Found(state, snapshots, marks)


def _ages(written: list[Any], capacity: int) -> list[int]:
    """Returns the ages of the opponents in a pool, oldest first."""
    whole = all(isinstance(age, int) and not isinstance(age, bool) and 0 <= age < 10**18 for age in written)
    if not whole or not 1 <= len(written) <= capacity or list(written) != sorted(set(written)):
        raise ValueError(f"pool.snapshots: {written[:20]!r} are no ages of at most {capacity} opponents")
    return list(written)
