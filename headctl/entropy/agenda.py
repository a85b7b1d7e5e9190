"""What every head is asked for now: schedules, the clock they follow, and the state of those that need one.

Lives on the host and is free of torch; the controller sends its values over where they have changed.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from headctl.entropy.dependence import dependence_problems
from headctl.entropy.performance import Competence, Performance
from headctl.entropy.schedule_parser import parse_schedule
from headctl.entropy.schedules import Clock, Constant, Stages
from headctl.entropy.spec import HeadSpec, HeadSpecError, parse_head
from headctl.entropy.targets import Coefficients
from headctl.messages import unknown_name

_NOTHING = Coefficients(math.nan, math.nan, 0.0)


@dataclass(frozen=True, slots=True)
class Heat:
    """A higher target for a while, after which the old one is in force again.

    Attributes:
        by: What is added to every target fraction at the beginning.
        began: Agent-steps of the beginning.
        steps: Agent-steps over which it fades to nothing, linearly.
    """

    by: float = 0.0
    began: float = 0.0
    steps: float = 1.0

    def at(self, agent_steps: float) -> float:
        """Returns what is added now."""
        return self.by * min(max(1.0 - (agent_steps - self.began) / self.steps, 0.0), 1.0)


def _reading(name: str, reading: float) -> float:
    if name == "progress" and not 0.0 <= reading <= 1.0:
        raise ValueError(f"progress: the share of training that is done lies in [0, 1], got {reading:g}")
    if not 0.0 <= reading < math.inf:
        raise ValueError(f"{name}: must be a finite number of at least 0, got {reading:g}")
    return float(reading)


class Agenda:
    """Targets and prescribed coefficients of all heads over time.

    Attributes:
        specs: The complete description of each head.
        clock: Where the training stands.
    """

    def __init__(self, specs: Mapping[str, HeadSpec]) -> None:
        """Creates an agenda at the beginning of the clock.

        Raises:
            HeadSpecError: A head that depends on one that does not exist, is not categorical, or depends on it.
        """
        problems = dependence_problems(specs)
        if problems:
            raise HeadSpecError(problems[0])
        self.specs: dict[str, HeadSpec] = dict(specs)
        self.clock = Clock()
        self._heat = Heat()
        self._competence: dict[str, Competence] = {}
        self._settle()

    def _settle(self) -> None:
        """Gives a state to every schedule that needs one."""
        kept = self._competence
        self._competence = {
            name: kept.get(name, Competence())
            for name, spec in self.specs.items()
            if isinstance(spec.target, Performance)
        }
        schedules = [each for spec in self.specs.values() for each in (spec.target, spec.alpha) if each is not None]
        self._constant = all(isinstance(schedule, Constant) for schedule in schedules)

    def advance(self, **readings: float | None) -> bool:
        """Sets the clock; a reading of ``None`` stays as it was. Returns whether a value may have changed.

        Raises:
            ValueError: A progress outside [0, 1], or a reading that is negative or not finite.
        """
        clock = self.clock
        given = {name: reading for name, reading in readings.items() if reading is not None}
        if all(reading == getattr(clock, name) for name, reading in given.items()):
            return False
        moved = {name: _reading(name, reading) for name, reading in given.items()}
        heat = self.heat
        self.clock = replace(clock, **moved)
        return not self._constant or self.heat != heat

    def targets(self) -> dict[str, float]:
        """Returns the target in force, in its unit, of every head that has one."""
        return {
            name: spec.target.value(self._clock_of(name))
            for name, spec in self.specs.items()
            if spec.target is not None
        }

    def prescribed(self) -> dict[str, float]:
        """Returns alpha of every head whose alpha is not learned."""
        return {name: spec.alpha.value(self.clock) for name, spec in self.specs.items() if spec.alpha is not None}

    def coefficients(self, targets: Mapping[str, float]) -> list[Coefficients]:
        """Returns, per head, what its target amounts to in nats; NaN for a head without one.

        Args:
            targets: What :meth:`targets` returns.
        """
        return [spec.coefficients(targets[name]) if name in targets else _NOTHING for name, spec in self.specs.items()]

    def set_target(self, head: str, target: float | Mapping[str, Any]) -> None:
        """Gives a head another target, a number or a schedule, in the head's unit.

        Raises:
            ValueError: An unknown head, a head whose alpha is prescribed, or a target that cannot be used.
        """
        if head not in self.specs:
            raise ValueError(unknown_name("head", head, self.specs))
        spec = self.specs[head]
        if spec.alpha is not None:
            shown = spec.alpha.to_value()
            raise ValueError(f"heads.{head}.target: law {spec.law} prescribes alpha ({shown}), there is no target")
        self.specs[head] = parse_head(head, spec.to_mapping() | {"target": target})
        self._settle()

    def enter_stage(self, stage: str) -> None:
        """Moves every head whose target has stages to one of them.

        Raises:
            ValueError: A stage that no head knows.
        """
        staged = [spec.target for spec in self.specs.values() if isinstance(spec.target, Stages)]
        known = {name for target in staged for name in target.names}
        if stage not in known:
            raise ValueError(unknown_name("stage of any head's target", stage, known))
        self.clock = replace(self.clock, stage=stage)

    def report(self, metrics: Mapping[str, float]) -> None:
        """Moves the ``performance`` schedules that follow one of these metrics."""
        for name, state in self._competence.items():
            schedule = self.specs[name].target
            if isinstance(schedule, Performance) and schedule.metric in metrics:
                self._competence[name] = schedule.reported(state, float(metrics[schedule.metric]))

    def opponents_changed(self) -> None:
        """Tells the ``performance`` schedules that the pool of opponents has changed."""
        for name, state in self._competence.items():
            schedule = self.specs[name].target
            if isinstance(schedule, Performance):
                self._competence[name] = schedule.opponents_changed(state)

    @property
    def heat(self) -> float:
        """What is added to the target fractions now."""
        return self._heat.at(self.clock.agent_steps)

    def reheat(self, by: float, steps: float) -> None:
        """Raises all targets for a while; what is left of an earlier time is replaced.

        Args:
            by: What is added to every target fraction, in [0, 1].
            steps: Agent-steps over which it fades to nothing, linearly.

        Raises:
            ValueError: Numbers outside their range.
        """
        if not 0.0 <= by <= 1.0 or not 0.0 < steps < math.inf:
            raise ValueError(f"reheat: by must be in [0, 1] and steps greater than 0, got {by!r} and {steps!r}")
        self._heat = Heat(by, self.clock.agent_steps, steps)

    def _clock_of(self, head: str) -> Clock:
        state = self._competence.get(head)
        return self.clock if state is None else replace(self.clock, competence=state.share)

    def state_dict(self) -> dict[str, Any]:
        """Returns clock, targets and the state of schedules as plain data."""
        return {
            "clock": asdict(self.clock),
            "targets": {name: spec.target.to_value() for name, spec in self.specs.items() if spec.target is not None},
            "competence": {name: asdict(state) for name, state in self._competence.items()},
            "heat": asdict(self._heat),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over a state of the same heads; targets that were set by hand are restored.

        Raises:
            ValueError: A state with targets for other heads; nothing is changed then.
        """
        targets = {name: parse_schedule(value) for name, value in state["targets"].items()}
        own = {name for name, spec in self.specs.items() if spec.target is not None}
        if set(targets) != own:
            raise ValueError(f"targets: the state has targets for {sorted(targets)}, this controller for {sorted(own)}")
        self.specs |= {name: replace(self.specs[name], target=target) for name, target in targets.items()}
        self.clock = Clock(**state["clock"])
        self._heat = Heat(**state.get("heat", {}))
        self._competence = {name: Competence(**kept) for name, kept in state["competence"].items()}
        self._settle()
