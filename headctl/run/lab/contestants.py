"""Who runs against whom on what: the laws with their settings, and the courses that the targets take.

One setting of a law serves all heads and all courses.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headctl.run.lab.task import MANEUVERS, MISSILE, WEAPONS, mean_capacity

HEADS = ("maneuver", "weapon", "params")
DISCRETE = ("maneuver", "weapon")
_UNBOUNDED = {"alpha_min": 1e-12, "alpha_max": 1e12}
_BOUNDED = {"alpha_min": 1e-4, "alpha_max": 1.0}


@dataclass(frozen=True, slots=True)
class Contestant:
    """A law with one setting for all heads.

    Attributes:
        name: As it stands in the tables.
        law: ``pi``, ``dual``, ``fixed`` or ``decay``.
        options: Keys of every head.
        swept: Whether it takes part in the sweep for the strongest bounded dual.
    """

    name: str
    law: str
    options: Mapping[str, Any]
    swept: bool = False

    @property
    def learns(self) -> bool:
        """Whether alpha follows a target."""
        return self.law in ("pi", "dual")


def _dual(optimizer: str, rate: float, bounds: Mapping[str, float], suffix: str, *, swept: bool) -> Contestant:
    options = {"law": "dual", "optimizer": optimizer, "learning_rate": rate, **bounds}
    return Contestant(f"dual {optimizer} {rate:g}{suffix}", "dual", options, swept)


_DECAY = {"schedule": "linear", "start": 0.05, "end": 0.001}
CONTESTANTS: dict[str, Contestant] = {
    contestant.name: contestant
    for contestant in (
        Contestant("pi floor", "pi", {"law": "pi"}),
        Contestant("pi track", "pi", {"law": "pi", "mode": "track"}),
        *(_dual("adam", rate, _UNBOUNDED, " unbounded", swept=False) for rate in (3e-4, 1e-3, 1e-2)),
        *(_dual("adam", rate, _BOUNDED, " bounded", swept=True) for rate in (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)),
        *(_dual("sgd", rate, _BOUNDED, " bounded", swept=True) for rate in (0.3, 1.0, 3.0, 10.0)),
        Contestant("fixed 0.01", "fixed", {"law": "fixed", "alpha": 0.01}),
        Contestant("decay 0.05 to 0.001", "decay", {"law": "decay", "alpha": _DECAY}),
    )
}
"""Every contestant by its name."""

_LINEAR = {"schedule": "linear", "start": 0.9, "end": 0.3, "until": 0.7}
_COSINE = {"schedule": "cosine", "start": 0.9, "end": 0.35, "until": 0.7}
_UP = {"schedule": "steps", "values": [0.35, 0.65], "at": [0.5]}
_DOWN = {"schedule": "steps", "values": [0.7, 0.4], "at": [0.5]}

COURSES: dict[str, Mapping[str, Any]] = {
    "const": dict.fromkeys(HEADS, 0.5),
    "linear": dict.fromkeys(HEADS, _LINEAR),
    "cosine": dict.fromkeys(HEADS, _COSINE),
    "step up": dict.fromkeys(HEADS, _UP),
    "step down": dict.fromkeys(HEADS, _DOWN),
    "mix": {"maneuver": _COSINE, "weapon": _UP, "params": {**_LINEAR, "start": 0.7}},
}
"""Course name to the target of each head, as fractions."""


def heads_of(contestant: Contestant, targets: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the heads of an experiment.

    Args:
        contestant: The law.
        targets: Per head a target, or a mapping of keys with a target; dropped where the law has none.
    """
    heads: dict[str, dict[str, Any]] = {name: dict(contestant.options) for name in HEADS}
    if contestant.learns:
        for name, target in targets.items():
            heads[name] |= target if isinstance(target, Mapping) and "target" in target else {"target": target}
    heads["params"]["active_when"] = {"weapon": [MISSILE]}
    return heads


def unreachable_for_a_while(contestant: Contestant) -> dict[str, dict[str, Any]]:
    """Returns heads of which the discrete ones are asked for too much in the second quarter of the training.

    The target is ``log K`` nats then: what the head would have with all of its K choices legal, which in these states
    they are not. Before and after it is half of what the head can reach on average.
    """
    targets: dict[str, Any] = {"params": 0.5}
    for name, choices in (("maneuver", MANEUVERS), ("weapon", WEAPONS)):
        half = 0.5 * mean_capacity(name)
        schedule = {"schedule": "steps", "values": [half, math.log(choices), half], "at": [0.25, 0.5]}
        targets[name] = {"unit": "nats", "target": schedule}
    return heads_of(contestant, targets)
