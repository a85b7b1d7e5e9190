"""What Python code may hang into a training: trackers, early stopping, plots of one's own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headctl.run.config import RunConfig
from headctl.selfplay.results import MatchResult


class Callback:
    """Base class: override what is of interest. Callbacks only look on; a run is the same with and without them.

    An exception in a callback ends the training like any other.
    """

    def on_start(self, config: RunConfig, run_dir: Path) -> None:
        """Is called once, before the first iteration of a sitting.

        Args:
            config: The resolved configuration; ``config.model_dump()`` is plain data.
            run_dir: The run's folder.
        """

    def on_iteration(self, record: Mapping[str, Any]) -> None:
        """Is called after every iteration.

        Args:
            record: Metric name -> number, as in ``metrics.jsonl``; docs/metrics.md explains all of them.
        """

    def on_evaluation(self, results: Mapping[str, MatchResult], agent_steps: int) -> None:
        """Is called after every evaluation, the closing one included.

        Args:
            results: Opponent -> result.
            agent_steps: Age of the agent.
        """

    def on_league_change(self, pool: Sequence[str], agent_steps: int) -> None:
        """Is called when a snapshot has entered the pool of opponents (and another may have left it).

        Args:
            pool: Names of the snapshots in it, oldest first.
            agent_steps: Age of the agent.
        """

    def on_end(self, run_dir: Path) -> None:
        """Is called once, after the last iteration of a sitting, also after Ctrl-C.

        Args:
            run_dir: The run's folder.
        """
