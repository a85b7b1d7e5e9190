"""What the agenda asks of every head, as tensors on the device of the controller.

Shapes: H heads. The agenda is evaluated on the host, and only what has changed is sent over.
"""

import math

import torch
from torch import Tensor

from headctl.entropy.agenda import Agenda
from headctl.entropy.targets import FRACTION_MAX


class Demand:
    """Targets as fractions of what the heads can reach, and prescribed coefficients.

    A target is ``constant + share (C - floor) + epsilon log(exp(C) - 1)`` nats
    (:func:`headctl.entropy.targets.nats_coefficients`), so as a fraction of the measured range it is
    ``share + w (constant - floor + epsilon log(exp(C) - 1)) / (w (C - floor))`` with w the sum of the weights.

    Attributes:
        prescribed: Alpha of the heads whose alpha is not learned, NaN elsewhere ``[H]``; ``None`` without such heads.
    """

    def __init__(self, agenda: Agenda, floor: Tensor) -> None:
        """Evaluates the agenda for the first time.

        Args:
            agenda: What the heads are asked for.
            floor: Entropy in nats at fraction 0 ``[H]``.
        """
        self._agenda, self._floor = agenda, floor
        self._targets: dict[str, float] = {}
        self._alphas: dict[str, float] = {}
        self._heat = 0.0
        self._zero = torch.zeros_like(floor)
        self._highest = torch.full_like(floor, FRACTION_MAX)
        self.prescribed: Tensor | None = None
        self._send(agenda.targets())
        self._send_alphas(agenda.prescribed())

    def refresh(self) -> bool:
        """Evaluates the agenda again. Returns whether :attr:`prescribed` has changed."""
        targets, alphas = self._agenda.targets(), self._agenda.prescribed()
        if targets != self._targets or self._agenda.heat != self._heat:
            self._send(targets)
        if alphas == self._alphas:
            return False
        self._send_alphas(alphas)
        return True

    def _send(self, targets: dict[str, float]) -> None:
        self._targets, coefficients = targets, self._agenda.coefficients(targets)
        self._heat = self._agenda.heat
        columns = torch.tensor(coefficients, dtype=torch.float32, device=self._floor.device).T
        # A head without a target is asked for its floor; its loop has no gains, and any number keeps it measured.
        constant, self._share, epsilon = columns.nan_to_num(0.0).contiguous()
        in_fractions = all(spec.unit == "fraction" for spec in self._agenda.specs.values())
        self._epsilon = epsilon if any(each.epsilon > 0.0 for each in coefficients) else None
        self._offset = None if in_fractions else constant - self._floor
        if self._heat:
            asked = torch.tensor([name in targets for name in self._agenda.specs], device=self._floor.device)
            # A target above the highest of a unit was refused; what heat adds to it is cut there.
            self._share = (self._share + self._heat * asked).clamp(max=FRACTION_MAX)

    def _send_alphas(self, alphas: dict[str, float]) -> None:
        self._alphas = alphas
        if alphas:
            given = [alphas.get(name, math.nan) for name in self._agenda.specs]
            self.prescribed = torch.tensor(given, dtype=torch.float32, device=self._floor.device)

    def fractions(self, sums: Tensor, span: Tensor) -> tuple[Tensor, Tensor | None]:
        """Returns the targets as fractions of what the heads could reach, and where they are beyond it.

        Args:
            sums: Weighted entropies, weighted capacities, weights, rows: ``[4, H]``.
            span: Weighted capacities minus ``floor`` times the weights, the measured range ``[H]``.

        Returns:
            Fractions in [0, 0.98], NaN for a head without a range in another unit than the fraction; bool, ``None``
            where every unit is the fraction: none is beyond. ``[H]``.
        """
        if self._offset is None:
            return self._share, None
        offset, weight_sum = self._offset, sums[2]
        if self._epsilon is not None:
            spread = self._epsilon * torch.expm1(sums[1] / weight_sum).log()
            # Of a single legal action the logarithm is infinite, also for a head that has no epsilon.
            offset = offset + torch.where(self._epsilon > self._zero, spread, self._zero)
        target = torch.addcdiv(self._share, offset * weight_sum, span)
        return torch.clamp(target, self._zero, self._highest), target > self._highest
