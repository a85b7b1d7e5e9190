"""Wording shared by every floor: one clear message for a name that nobody knows.

This module stands below floor 0: it imports the standard library only, and every floor may import it.
"""

from collections.abc import Iterable
from difflib import get_close_matches


def closest(name: str, known: Iterable[str]) -> str | None:
    """Returns the known name that ``name`` was most likely meant to be, or ``None``."""
    matches = get_close_matches(str(name), list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def unknown_name(what: str, name: object, known: Iterable[str]) -> str:
    """Says that ``name`` is unknown, what is allowed instead and, for a misspelling, what was meant.

    Args:
        what: What the name stands for and where, for example ``"key in heads.weapon"``.
        name: The name as the user wrote it.
        known: Every name that would have been accepted.

    Returns:
        One line, without a full stop at the end.
    """
    names = sorted(known)
    hint = closest(str(name), names)
    meant = f" Did you mean {hint!r}?" if hint else ""
    return f"unknown {what}: {name!r}.{meant} Allowed: {', '.join(names) if names else 'nothing'}"
