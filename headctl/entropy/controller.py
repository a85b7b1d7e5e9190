"""The product's kernel: one object that holds every head's entropy on its target.

Shapes: B samples, H heads (in the order in which they were given to the constructor).
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, distributed

from headctl.entropy.account import Account
from headctl.entropy.agenda import Agenda
from headctl.entropy.demand import Demand
from headctl.entropy.laws import laws_of, proportional_integral
from headctl.entropy.monitor import HeadMonitor
from headctl.entropy.packing import HeadValues, observed_sums, pack, pack_weights, weighted_sum
from headctl.entropy.spec import HeadSpec, HeadSpecError, parse_head

_STATE_VERSION = 1
# Below this share of active rows the bonus of a head fades, so that a few rows never carry a whole batch's weight.
_RARE_SHARE = 0.02
# No fraction of finite entropies is ever this far from its target.
_IMPOSSIBLE = 1e6


class MultiHeadEntropyController:
    """A learned temperature and a target entropy for every action head of a policy.

    Use, in any trainer::

        controller = MultiHeadEntropyController({"maneuver": 0.5, "weapon": {"target": 0.3}})
        loss = policy_loss + value_loss - controller.bonus(entropy, weight=weight)
        ...  # backward, optimiser step
        controller.observe(entropy, capacity=capacity, weight=weight)
        controller.step(progress=0.25)

    For a head with entropies ``H_i``, capacities ``C_i`` and weights ``w_i`` the measured value is a ratio of means,
    never a mean of ratios: ``fraction = (sum w H - floor sum w) / (sum w C - floor sum w)``, where ``floor`` is 0 for
    a discrete head and the entropy at the smallest scales for a continuous one. Alpha rises if and only if the fraction
    lies below the target.

    All heads live in one vector. :meth:`bonus`, :meth:`observe` and :meth:`step` read nothing back to the host;
    :meth:`metrics` does so once.

    Attributes:
        heads: Names of the heads, in the order of the columns of packed tensors.
        log_alpha: The learned temperatures, float32 ``[H]``.
        alpha: The coefficients in force, float32 ``[H]``: ``exp(log_alpha)`` plus the damping term, bounded.
        collapsed: Heads to rescue, bool ``[H]``: since the status COLLAPSED, until half of the target is reached again.
            As of the last :meth:`metrics`.
    """

    def __init__(
        self,
        heads: Mapping[str, float | Mapping[str, Any] | HeadSpec],
        *,
        device: torch.device | str = "cpu",
        process_group: distributed.ProcessGroup | None = None,
    ) -> None:
        """Creates a controller.

        Args:
            heads: Head name to target (a number) or to a mapping with the keys of
                :data:`headctl.entropy.spec.HEAD_KEYS`.
            device: Where the state lives; the device of the entropies.
            process_group: The processes that share the work, each with rows of its own. Sums are added up over them,
                never means, so that every one takes the step that a single process with all rows would take. All of
                them must make the same calls.

        Raises:
            HeadSpecError: A key, value or combination that cannot be used, in one line that names it.
        """
        if not heads:
            raise HeadSpecError("heads: at least one head is needed, got none")
        self._agenda = Agenda({str(name): parse_head(str(name), value) for name, value in heads.items()})
        self.heads: tuple[str, ...] = tuple(self._agenda.specs)
        self._account = Account()
        self._group = process_group
        self._place(torch.device(device))

    @property
    def specs(self) -> dict[str, HeadSpec]:
        """The complete description of each head, with the target that was set last."""
        return self._agenda.specs

    def _place(self, device: torch.device) -> None:
        """Makes the vectors: constants from the specs, state at its beginning."""
        specs = list(self.specs.values())

        def vector(values: list[float]) -> Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device)

        self._laws = laws_of(specs, device)
        self._floor = vector([s.entropy_floor for s in specs])
        self._minus_floor = -self._floor
        self._unsized = [s.name for s in specs if s.entropy_capacity is None]
        self._capacity = vector([math.nan if s.entropy_capacity is None else s.entropy_capacity for s in specs])
        self.alpha = vector([s.alpha_init for s in specs])
        self.log_alpha = self.alpha.log()
        self._nothing = torch.zeros(4, len(specs), device=device)
        self._sums: Tensor | None = None
        self._reached_and_span = torch.zeros(2, len(specs), device=device)
        self._view_range()
        # Constants as tensors: a number in an expression would be made into one at every call.
        self._impossible = torch.full((len(specs),), _IMPOSSIBLE**2, device=device)
        self._smallest = torch.full((len(specs),), torch.finfo(torch.float32).tiny, device=device)
        self._zero, self._one = torch.zeros(len(specs), device=device), torch.ones(len(specs), device=device)
        self._true = torch.ones(len(specs), dtype=torch.bool, device=device)
        self._processes = 1 if self._group is None else distributed.get_world_size(self._group)
        signed, learned = [s.alpha_min < 0.0 for s in specs], [s.target is not None for s in specs]
        self._monitor = HeadMonitor(signed=signed, learned=learned, device=device)
        self.collapsed = self._monitor.collapsed()
        self._demand = Demand(self._agenda, self._floor)
        self._prescribe()

    def _view_range(self) -> None:
        """Makes the views that every step needs: making one takes as long as an addition."""
        self._reached, self._span = self._reached_and_span.unbind()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._view_range()  # pickle makes tensors of their own out of views

    @property
    def device(self) -> torch.device:
        """Where the state lives."""
        return self.alpha.device

    @property
    def process_group(self) -> distributed.ProcessGroup | None:
        """The processes over which this controller adds up its sums by itself."""
        return self._group

    # The loss and the measurement -----------------------------------------------------------------------------------

    def bonus(self, entropy: HeadValues, *, weight: HeadValues | None = None, scale: float | Tensor = 1.0) -> Tensor:
        """Returns the entropy bonus to subtract from a loss (or to add to an objective).

        ``sum_h alpha_h * sum_i(w H) / max(sum_i w, 0.02 B)``: the mean over the rows where the head is active, so that
        neither the batch size, nor padding, nor the rarity of a head changes the loop's gain. Alpha is in units of
        standardised advantage per nat: normalise the advantages, or give their deviation as ``scale``.

        Args:
            entropy: Differentiable entropies in nats, ``[B]`` per head or packed ``[B, H]``.
            weight: 1 where the head had a real choice that mattered, else 0; same shapes. ``None``: 1 everywhere.
            scale: What the bonus is multiplied by, a number or a scalar tensor: 1 where advantages are normalised, else
                a running standard deviation of the advantages. Without it a reward that grows starves the bonus.

        Returns:
            A scalar tensor. The gradient reaches ``entropy`` only. A head whose mean is not finite adds nothing. With
            several processes, the mean of their bonuses (and of their gradients) is that of all rows together.

        Raises:
            ValueError: Heads missing or unknown, shapes that do not fit, or (asked on the CPU only) a negative weight.
        """
        entropies = pack(self.heads, "entropy", entropy)
        rows = entropies.shape[0]
        weights = torch.ones_like(entropies) if weight is None else pack_weights(self.heads, weight, entropies)
        active = weights.sum(0)
        if self._group is None:
            factor = self.bonus_factor(active, rows)
        else:
            active, rows_of_all = self._over_processes(torch.stack((active, self._one * rows))).unbind()
            factor = self.alpha * self._processes / torch.maximum(active, _RARE_SHARE * rows_of_all.clamp(min=1.0))
        return weighted_sum(entropies, weights, factor if isinstance(scale, float) and scale == 1.0 else scale * factor)

    @torch.no_grad()
    def bonus_factor(self, weight_sum: Tensor, rows: float | Tensor) -> Tensor:
        """Returns ``alpha / max(sum_i w, 0.02 B)``, what :meth:`bonus` multiplies the sums of each head by ``[H]``.

        For trainers that fuse the bonus into their loss.

        Args:
            weight_sum: Sum of the weights of each head ``[H]``; over all processes where several share the work.
            rows: Number of samples B, likewise.
        """
        if isinstance(rows, Tensor):
            return self.alpha / torch.maximum(weight_sum, _RARE_SHARE * rows.clamp(min=1.0))
        return self.alpha / weight_sum.clamp(min=_RARE_SHARE * max(rows, 1))

    @torch.no_grad()
    def observe_sums(self, sums: Tensor) -> None:
        """Does what :meth:`observe` does, with sums that the caller has already made.

        Args:
            sums: Over the rows, ``sum w H``, ``sum w C``, ``sum w`` and the number of rows, each per head: ``[4, H]``.
                Entropies in rows without weight must be left out, whatever they are. They are not copied: leave them as
                they are until the window that they belong to is told by :meth:`metrics`.
        """
        self._sums = sums if self._sums is None else self._sums + sums

    @torch.no_grad()
    def observe(
        self, entropy: HeadValues, *, capacity: HeadValues | None = None, weight: HeadValues | None = None
    ) -> None:
        """Adds a batch to what the next :meth:`step` will see. Stays on the device.

        Args:
            entropy: Entropies in nats, ``[B]`` per head or packed ``[B, H]``.
            capacity: The entropy that the head could reach in each row (``log`` of the number of legal actions); same
                shapes. ``None``: the constant that follows from ``choices`` or from the scale bounds.
            weight: 1 where the head had a real choice that mattered, else 0; same shapes. ``None``: 1 everywhere.

        Raises:
            ValueError: Heads missing or unknown, shapes that do not fit, no capacity for a head of unknown size, or a
                negative weight (asked on the CPU only: elsewhere the question would wait for the device).
        """
        if capacity is None and self._unsized:
            raise ValueError(
                f"capacity: missing, and head {self._unsized[0]!r} has no `choices` to derive it from; "
                "pass log(number of legal actions) per row, or give the head its number of choices"
            )
        seen = observed_sums(self.heads, entropy, capacity, weight, constant=self._capacity, one=self._one)
        self._sums = seen if self._sums is None else self._sums + seen

    def step(
        self,
        entropy: HeadValues | None = None,
        *,
        capacity: HeadValues | None = None,
        weight: HeadValues | None = None,
        progress: float | None = None,
        agent_steps: float | None = None,
        iterations: float | None = None,
        hold: Tensor | None = None,
    ) -> None:
        """Moves every temperature once by what was observed since the last call. Stays on the device.

        A head without an active row, or with a statistic that is not finite, keeps all of its state.

        Args:
            entropy: Observed first, where given: the short form of :meth:`observe` and :meth:`step`.
            capacity: As in :meth:`observe`.
            weight: As in :meth:`observe`.
            progress: Share of the training that is done, in [0, 1]: the clock of schedules. ``None`` leaves it.
            agent_steps: The clock in agent-steps. ``None`` leaves it.
            iterations: The clock in iterations. ``None`` leaves it.
            hold: A bool scalar on the device: where it is true, what was observed is forgotten and nothing else
                happens. For trainers that leave a minibatch out and do not want to ask the device for it.

        Raises:
            ValueError: As :meth:`observe`; or a progress outside [0, 1].
        """
        if entropy is not None:
            self.observe(entropy, capacity=capacity, weight=weight)
        if progress is not None or agent_steps is not None or iterations is not None:
            self.advance(progress=progress, agent_steps=agent_steps, iterations=iterations)
        sums = self._nothing if self._sums is None else self._sums
        self._sums = None
        if self._group is not None:
            sums = self._over_processes(sums.clone())
        if hold is not None:
            sums = torch.where(hold, self._nothing, sums)  # no head is measured then
        torch.addcmul(sums[:2], sums[2], self._minus_floor, out=self._reached_and_span)
        reached, span = self._reached, self._span
        target, beyond = self._demand.fractions(sums, span)
        difference = torch.addcdiv(target, reached, span, value=-1.0)
        # Squared like this, since that is no operation of a further kind; false for NaN and sums with a gap in them.
        measured = torch.addcmul(self._zero, difference, difference) < self._impossible
        error = torch.where(measured, difference, self._zero)
        risen = torch.addcmul(self.log_alpha, self._laws.gain_integral, error)
        if self._laws.adam is not None:
            risen = risen + self._laws.adam.step(error, measured)
        moved = proportional_integral(self.log_alpha, risen, error, self._laws.gain_proportional, self._laws.bounds)
        self.log_alpha = moved.log_alpha
        self.alpha = torch.where(measured, moved.alpha, self.alpha)
        # A weight that is NaN is no reason to call a head inactive.
        skipped = measured < ((span < self._smallest) < self._true)
        self._monitor.record(sums, moved, self.alpha, skipped=skipped, beyond=beyond, hold=hold)

    def _over_processes(self, sums: Tensor) -> Tensor:
        """Adds up sums over the processes, in place and in one message."""
        if self._group is not None:
            distributed.all_reduce(sums, group=self._group)
        return sums

    # Targets --------------------------------------------------------------------------------------------------------

    def advance(
        self, *, progress: float | None = None, agent_steps: float | None = None, iterations: float | None = None
    ) -> None:
        """Sets the clock of the schedules, as :meth:`step` does; a reading of ``None`` stays as it was.

        The clock lives on the host. Where ``step`` is compiled into a graph, call this outside of it.

        Raises:
            ValueError: A progress outside [0, 1], or a reading that is negative or not finite.
        """
        if self._agenda.advance(progress=progress, agent_steps=agent_steps, iterations=iterations):
            self._refresh()

    def set_target(self, head: str, target: float | Mapping[str, Any]) -> None:
        """Gives a head another target from now on, a number or a schedule, in the head's unit.

        Raises:
            ValueError: An unknown head, a head whose alpha is prescribed, or a target that cannot be used.
        """
        self._agenda.set_target(head, target)
        self._refresh()

    def targets(self) -> dict[str, float]:
        """Returns the target in force, in its unit, of every head that has one."""
        return self._agenda.targets()

    def enter_stage(self, stage: str) -> None:
        """Moves every head whose target has stages to a stage of its curriculum.

        Raises:
            ValueError: A stage that no head knows.
        """
        self._agenda.enter_stage(stage)
        self._refresh()

    def report(self, **metrics: float) -> None:
        """Tells the ``performance`` schedules how the agent does, as in ``report(win_rate=0.62)``, once per iteration.

        A metric that no schedule asks for is ignored; a value that is not finite says nothing.
        """
        self._agenda.report(metrics)
        self._refresh()

    def opponents_changed(self) -> None:
        """Tells the ``performance`` schedules that the pool of opponents has changed."""
        self._agenda.opponents_changed()
        self._refresh()

    def reheat(self, by: float, steps: float) -> None:
        """Raises all targets for a while, such as after a change of opponents.

        Args:
            by: What is added to every target fraction, in [0, 1].
            steps: Agent-steps over which it fades to nothing, linearly; the clock is that of :meth:`advance`.

        Raises:
            ValueError: Numbers outside their range.
        """
        self._agenda.reheat(by, steps)
        self._refresh()

    def _refresh(self) -> None:
        """Follows the agenda after a change of its clock or of its targets."""
        if self._demand.refresh():
            self._prescribe()

    def _prescribe(self) -> None:
        """Sets the temperatures that are not learned."""
        given = self._demand.prescribed
        if given is not None:
            self.alpha = torch.where(given.isnan(), self.alpha, given)
            self.log_alpha = torch.where(given.isnan(), self.log_alpha, given.log())

    # What people and checkpoints read -------------------------------------------------------------------------------

    def metrics(self) -> dict[str, float]:
        """Returns what every head did since the last call: means over the updates, in one transfer.

        Keys are ``heads/<head>/<name>`` with the names ``alpha`` (mean), ``log_alpha``, ``entropy`` (nats),
        ``target_entropy`` (nats), ``capacity`` (nats), ``fraction``, ``target_fraction``, ``error`` (target minus
        fraction), ``status`` (a :class:`~headctl.entropy.status.HeadStatus`), ``weight`` (share of active rows),
        ``effective_actions`` and ``legal_actions`` of a discrete head (geometric means over rows) or ``std`` of a
        Gaussian one, ``skipped`` (updates with a statistic that was not finite), ``beyond_reach`` (share of updates in
        which the target was more than the head could reach in the states it met) and ``time_<status>`` (share of all
        updates so far in that status, in lower case). NaN where there is nothing to say. A call without an update since
        the last one returns the same again.
        """
        told = self._account.read(
            self.specs,
            self._monitor,
            log_alpha=self.log_alpha,
            targets=self.targets(),
            heat=self._agenda.heat,
        )
        self.collapsed = self._monitor.collapsed()
        return told

    def status_shares(self) -> dict[str, dict[str, float]]:
        """Returns, per head, the share of the updates told by :meth:`metrics` that it spent in each status, by name."""
        return {
            name: {status.name: share for status, share in keeper.shares().items()}
            for name, keeper in zip(self.heads, self._monitor.keepers, strict=True)
        }

    def state_dict(self) -> dict[str, Any]:
        """Returns everything that a bit-exact resume needs, as plain data: tensors, numbers, strings, lists, dicts."""
        return {
            "version": _STATE_VERSION,
            "heads": list(self.heads),
            "log_alpha": self.log_alpha.clone(),
            "alpha": self.alpha.clone(),
            "sums": (self._nothing if self._sums is None else self._sums).clone(),
            "monitor": self._monitor.state_dict(),
            "adam": None if self._laws.adam is None else self._laws.adam.state_dict(),
            "agenda": self._agenda.state_dict(),
            **self._account.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over a state of the same heads.

        Targets and schedules are part of the state: what :meth:`set_target` changed is restored. Laws, gains and bounds
        are those of this controller.

        Raises:
            ValueError: A state of other heads, of another order, or of another version; nothing is changed then.
        """
        if state.get("version") != _STATE_VERSION:
            raise ValueError(f"version: expected a state of version {_STATE_VERSION}, got {state.get('version')!r}")
        if list(state["heads"]) != list(self.heads):
            raise ValueError(f"heads: the state is of {list(state['heads'])}, this controller has {list(self.heads)}")
        if (state["adam"] is None) != (self._laws.adam is None):
            raise ValueError("adam: the state and this controller differ in which heads have law dual with adam")
        self._agenda.load_state_dict(state["agenda"])
        self._refresh()
        self.log_alpha = state["log_alpha"].to(self.device).clone()
        self.alpha = state["alpha"].to(self.device).clone()
        self._sums = state["sums"].to(self.device).clone()
        self._monitor.load_state_dict(state["monitor"])
        self.collapsed = self._monitor.collapsed()
        if self._laws.adam is not None:
            self._laws.adam.load_state_dict(state["adam"])
        self._account.load_state_dict(state)
