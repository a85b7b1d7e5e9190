"""A game that breaks while it is played, and what it takes to see it break again."""

from collections.abc import Mapping
from typing import Any


class GameFaultError(RuntimeError):
    """A game has raised. The error that it raised is the cause (``__cause__``).

    Attributes:
        reproduction: Plain data for JSON: the game and its options, seed, step, and the actions that led there.
    """

    def __init__(self, message: str, reproduction: Mapping[str, Any]) -> None:
        """Creates the error.

        Args:
            message: One line: which game, where, what it raised.
            reproduction: What it takes to see it again.
        """
        super().__init__(message)
        self.reproduction = dict(reproduction)


def raised(error: BaseException) -> str:
    """Returns an error in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
