"""What documentation and reports know of one metric."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as the documentation shows it.

    Attributes:
        name: Name in the record; ``<head>``, ``<pilot>`` and ``<statistic>`` stand for any name.
        unit: Unit of the value, ``1`` for a plain ratio.
        meaning: What is measured, with the formula where there is one.
        healthy: The range in which a good training keeps it.
        remedy: What to change when it leaves that range.
    """

    name: str
    unit: str
    meaning: str
    healthy: str
    remedy: str

    @property
    def group(self) -> str:
        """First part of the name: ``heads``, ``ppo`` ...; ``clock`` for names without a slash."""
        return self.name.split("/", 1)[0] if "/" in self.name else "clock"
