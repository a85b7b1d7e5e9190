"""What a controller tells of its heads: read once per window, kept until there is news."""

import warnings
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from headctl.entropy.metrics import head_metrics
from headctl.entropy.monitor import HeadMonitor
from headctl.entropy.spec import HeadSpec
from headctl.entropy.status import HeadStatus


class Account:
    """The last reading, and how many updates had to be skipped so far."""

    def __init__(self) -> None:
        """Creates an account without a reading."""
        self._reading: dict[str, float] = {}
        self._skipped = 0.0

    def read(
        self,
        specs: Mapping[str, HeadSpec],
        monitor: HeadMonitor,
        *,
        log_alpha: Tensor,
        targets: Mapping[str, float],
        heat: float,
    ) -> dict[str, float]:
        """Returns ``heads/<head>/<name>`` of the window since the last reading; without an update, the same again.

        Args:
            specs: The heads.
            monitor: Has the sums of the window; read in one transfer.
            log_alpha: The learned temperatures ``[H]``.
            targets: The target in force of every head that has one, in its unit.
            heat: What is added to every target fraction for a while.
        """
        windows = monitor.read()
        if windows is None:
            return dict(self._reading)
        metrics: dict[str, float] = {}
        for (name, spec), window, learned, keeper in zip(
            specs.items(), windows, log_alpha.tolist(), monitor.keepers, strict=True
        ):
            told = head_metrics(spec, window, keeper, log_alpha=learned, target=targets.get(name), heat=heat)
            metrics |= {f"heads/{name}/{key}": value for key, value in told.items()}
        self._warn_once(sum(window.skipped for window in windows))
        self._reading = metrics
        return dict(metrics)

    def _warn_once(self, skipped: float) -> None:
        if skipped > 0 and self._skipped == 0:
            warnings.warn(
                "an entropy, capacity or weight was not finite: the controller skipped the update and held its state; "
                "metrics() counts these as heads/<head>/skipped",
                RuntimeWarning,
                stacklevel=4,
            )
        self._skipped += skipped

    def state_dict(self) -> dict[str, Any]:
        """Returns the reading and the count as plain data."""
        return {"reading": {key: float(value) for key, value in self._reading.items()}, "skipped": self._skipped}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over a state."""
        self._reading = {
            key: HeadStatus(int(value)) if key.endswith("/status") else value for key, value in state["reading"].items()
        }
        self._skipped = state["skipped"]
