"""A resolved configuration with the origin of every value: the command line, a line of the file, or the default."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from headctl.run.config import load_config, to_yaml
from headctl.run.yaml_io import Document, read_yaml

_KEY = re.compile(r"(?P<indent> *)(?P<key>[^\s#{}\[\],][^:]*):(?P<value>.*)")
_COLUMN_MAX = 56


def show_with_origins(path: Path, overrides: Sequence[str] = ()) -> str:
    """Returns the resolved configuration as YAML text, each value with its origin as a comment.

    Args:
        path: The YAML file.
        overrides: ``dotted.key=value`` as on the command line.

    Returns:
        Text that loads to the same configuration.

    Raises:
        ConfigError: As :func:`headctl.run.config.load_config`.
    """
    text = to_yaml(load_config(path, overrides))
    document = read_yaml(path)
    overridden = [override.partition("=")[0].strip() for override in overrides]
    entries = [(lines, origin_of(key, document, overridden) if key else "") for key, lines in _entries(text)]
    column = min(max(len(lines[-1]) for lines, _ in entries), _COLUMN_MAX)
    out = []
    for lines, origin in entries:
        # A value that goes on over several lines has its comment behind the last.
        out += [*lines[:-1], f"{lines[-1]:<{column}}  # {origin}" if origin else lines[-1]]
    return "\n".join(out) + "\n"


def origin_of(key: str, document: Document, overridden: Sequence[str]) -> str:
    """Returns ``command line``, ``line 7`` or ``default`` for a dotted key."""
    if any(key == name or key.startswith(f"{name}.") or name.startswith(f"{key}.") for name in overridden):
        return "command line"
    parts = tuple(key.split("."))
    branch: Any = document.tree
    for depth, part in enumerate(parts):
        if not isinstance(branch, Mapping):
            # A bare number for a head is short for its target.
            short = depth == 2 and parts[0] == "heads" and part == "target" and branch is not None
            return _line(document, parts[:depth]) if short else "default"
        if part not in branch:
            return "default"
        branch = branch[part]
    return _line(document, parts)


def _line(document: Document, parts: tuple[str, ...]) -> str:
    line = document.lines.get(parts)
    return f"line {line}" if line else "file"  # a value that came through an alias has no line of its own


def _entries(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yields (dotted key, lines of its value) for values, and an empty key for the heads of sections."""
    above: list[tuple[int, str]] = []
    entry: tuple[str, list[str]] | None = None
    for line in text.splitlines():
        found = _KEY.fullmatch(line)
        depth = len(line) - len(line.lstrip())
        goes_on = entry is not None and bool(entry[0]) and depth > 2 * entry[0].count(".")
        if found is None or goes_on:
            assert entry is not None  # noqa: S101 - a YAML mapping begins with a key
            entry[1].append(line)
            continue
        if entry is not None:
            yield entry
        while above and above[-1][0] >= depth:
            above.pop()
        above.append((depth, found["key"].strip("'\"")))
        entry = (".".join(key for _, key in above) if found["value"].strip() else "", [line])
    if entry is not None:
        yield entry
