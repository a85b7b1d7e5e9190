"""What a drill found: figures to print, and problems that make it fail."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """The result of one drill.

    Attributes:
        name: Of the drill.
        figures: One line each.
        problems: One line each; empty where everything held.
        seconds: How long it took.
    """

    name: str
    figures: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def expect(self, holds: bool, problem: str) -> None:
        """Notes a problem unless something holds."""
        if not holds:
            self.problems.append(problem)

    def text(self) -> str:
        """Returns the outcome as people read it."""
        verdict = "ok" if not self.problems else f"FAILED, {len(self.problems)} problems"
        lines = [f"{self.name}: {verdict} ({self.seconds:.0f} s)", *(f"  {figure}" for figure in self.figures)]
        return "\n".join([*lines, *(f"  problem: {problem}" for problem in self.problems[:20])])


@contextmanager
def drill(name: str) -> Iterator[Outcome]:
    """Times a drill."""
    outcome = Outcome(name)
    started = time.perf_counter()
    try:
        yield outcome
    finally:
        outcome.seconds = time.perf_counter() - started
