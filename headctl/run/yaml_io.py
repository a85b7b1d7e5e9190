"""YAML as people mean it: a safe reader without YAML 1.1's surprises, and a writer that it reads back.

PyYAML follows YAML 1.1, where ``3e-4`` is a string, ``on`` is true, ``017`` is fifteen and ``1:30`` is ninety. Here
the scalars follow YAML 1.2: ``3e-4`` and ``1e6`` are numbers, only ``true`` and ``false`` are booleans, dates are text.
Keys that stand twice are refused, and so are files, aliases and nesting that no configuration needs.
"""

import math
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 1 << 20
MAX_NODES = 50_000
MAX_DEPTH = 50
_INT64 = 2**63

_INT = re.compile(r"[-+]?[0-9][0-9_]*")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9][0-9_]*|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULL = re.compile(r"~|null|Null|NULL|")

_TAG = "tag:yaml.org,2002:"
_SCALARS: tuple[tuple[str, re.Pattern[str], list[str | None]], ...] = (
    (f"{_TAG}bool", re.compile("|".join(_BOOLS)), list("tTfF")),
    (f"{_TAG}int", _INT, list("-+0123456789")),
    (f"{_TAG}float", _FLOAT, list("-+.0123456789")),
    (f"{_TAG}null", _NULL, ["~", "n", "N", ""]),
    (f"{_TAG}merge", re.compile("<<"), ["<"]),
)


class YamlError(ValueError):
    """Text that is no acceptable YAML; one line that says what is wrong and, where known, in which line."""


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file.

    Attributes:
        tree: Dicts, lists, strings, numbers, booleans and ``None``; the keys of dicts are strings.
        lines: Path of a key, such as ``("heads", "weapon")``, to the line it stands in, counted from 1.
    """

    tree: Any
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict)

    def line_of(self, key: str) -> int | None:
        """Returns the line of a dotted key, or of the closest key above it that the file has."""
        parts = tuple(key.split("."))
        while parts:
            if parts in self.lines:
                return self.lines[parts]
            parts = parts[:-1]
        return None


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2, limits, and no tags beyond the plain ones."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own way to declare resolvers
    yaml_constructors: dict[Any, Any] = {}  # noqa: RUF012 - PyYAML's own way to declare constructors

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Builds the node of the next event, and stops at what is too deep or too much before it costs time."""
        self._depth += 1
        self._nodes += 1
        if self._depth > MAX_DEPTH + 1 or self._nodes > MAX_NODES:
            mark = self.peek_event().start_mark
            deep = self._depth > MAX_DEPTH + 1
            what = f"is nested more than {MAX_DEPTH} levels deep" if deep else f"has more than {MAX_NODES} values"
            raise yaml.MarkedYAMLError(None, None, what, mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_plain(self, node: yaml.Node) -> Any:
        """Builds a scalar; an explicit tag such as ``!!float`` passes through here too."""
        assert isinstance(node, yaml.ScalarNode)  # noqa: S101 - _check_graph has refused anything else
        text, tag = node.value, node.tag.removeprefix(_TAG)
        if tag == "bool" and text in _BOOLS:
            return _BOOLS[text]
        if tag == "null" and _NULL.fullmatch(text):
            return None
        if tag == "int" and _INT.fullmatch(text):
            digits = text.replace("_", "")
            if len(digits) > 20 or abs(int(digits)) >= _INT64:
                raise _at(node, f"the number {_short(text)} does not fit in 64 bits")
            return int(digits)
        if tag in {"float", "int"} and _FLOAT.fullmatch(text):
            plain = text.replace("_", "").lower()
            if plain.endswith("nan"):
                raise _at(node, "nan is not a number that can be used")
            return float(plain.replace(".inf", "inf"))
        raise _at(node, f"{_short(text)} is no {tag}")

    def construct_tree(self, node: yaml.MappingNode) -> dict[str, Any]:
        """Builds a mapping, merge keys included."""
        self.flatten_mapping(node)
        return {self.construct_key(key): self.construct_object(value, deep=True) for key, value in node.value}

    def construct_key(self, node: yaml.Node) -> str:
        """Returns the key as text: ``on:`` and ``1:`` are names like any other."""
        if not isinstance(node, yaml.ScalarNode):
            raise _at(node, "a key must be a name")
        return node.value


def _construct_list(loader: _Loader, node: yaml.Node) -> list[Any]:
    assert isinstance(node, yaml.SequenceNode)  # noqa: S101 - _check_graph has refused anything else
    return [loader.construct_object(item, deep=True) for item in node.value]


def _construct_str(_: _Loader, node: yaml.Node) -> str:
    return str(node.value)


for _kind in ("bool", "int", "float", "null"):
    _Loader.add_constructor(f"{_TAG}{_kind}", _Loader.construct_plain)
_Loader.add_constructor(f"{_TAG}str", _construct_str)
_Loader.add_constructor(f"{_TAG}seq", _construct_list)
_Loader.add_constructor(f"{_TAG}map", _Loader.construct_tree)


class _Dumper(yaml.SafeDumper):
    """SafeDumper that quotes exactly the text which the loader above would not read as text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own way to declare resolvers

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        """Writes shared values out in full."""
        return True


for _tag, _pattern, _first in _SCALARS:
    _anchored = re.compile(f"(?:{_pattern.pattern})$")
    _Loader.add_implicit_resolver(_tag, _anchored, _first)
    _Dumper.add_implicit_resolver(_tag, _anchored, _first)


def _represent_float(dumper: _Dumper, value: float) -> yaml.ScalarNode:
    if math.isinf(value):
        return dumper.represent_scalar(f"{_TAG}float", ".inf" if value > 0 else "-.inf")
    text = repr(value)
    # A plain reader (YAML 1.1) needs the point to see a number in 1e-05.
    return dumper.represent_scalar(f"{_TAG}float", text if "." in text else text.replace("e", ".0e"))


_Dumper.add_representer(float, _represent_float)


def _represent_text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    # Line breaks of Unicode: PyYAML writes them as they are in any other style, and reads a space.
    style = '"' if _LINE_BREAKS & set(value) else None
    return dumper.represent_scalar(f"{_TAG}str", value, style=style)


_LINE_BREAKS = {"\x85", "\u2028", "\u2029"}
_Dumper.add_representer(str, _represent_text)


class _Flow(dict[str, Any]):
    """A mapping that is written on one line."""


def _represent_flow(dumper: _Dumper, value: _Flow) -> yaml.MappingNode:
    return dumper.represent_mapping(f"{_TAG}map", value.items(), flow_style=True)


def _represent_list(dumper: _Dumper, value: list[Any]) -> yaml.SequenceNode:
    return dumper.represent_sequence(f"{_TAG}seq", value, flow_style=True)


_Dumper.add_representer(_Flow, _represent_flow)
_Dumper.add_representer(list, _represent_list)


def _compact(tree: Any, depth: int = 0) -> Any:
    """Marks what reads better on one line: everything below the third level, schedules above all."""
    if not isinstance(tree, Mapping):
        return tree
    children = {key: _compact(value, depth + 1) for key, value in tree.items()}
    return _Flow(children) if depth >= 3 else children


def dump_yaml(tree: Any) -> str:
    """Returns the text that :func:`parse_yaml` reads back to an equal tree; the order of keys is kept."""
    return yaml.dump(
        _compact(tree), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110, default_flow_style=False
    )


def read_yaml(path: Path) -> Document:
    """Reads a YAML file.

    Raises:
        YamlError: The file is missing, no file, too large, no UTF-8, or no acceptable YAML.
    """
    if path.is_dir():
        raise YamlError("is a folder, not a YAML file")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise YamlError(f"is larger than {MAX_BYTES // 1024} KiB; that is no configuration")
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise YamlError("no such file") from error
    except OSError as error:
        raise YamlError(f"cannot be read ({error.strerror})") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise YamlError(f"is not UTF-8 text (byte {error.start})") from error
    return parse_yaml(text)


def parse_yaml(text: str) -> Document:
    """Parses one YAML document.

    Args:
        text: The document; empty text is ``None``.

    Raises:
        YamlError: Bad syntax, a key that stands twice, a tag or an alias that is not allowed, or too much of it.
    """
    if len(text) > MAX_BYTES:
        raise YamlError(f"is larger than {MAX_BYTES // 1024} KiB; that is no configuration")
    lines: dict[tuple[str, ...], int] = {}
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return Document(None)
            _check_graph(node)
            _check_mappings(node, (), lines)
            return Document(loader.construct_document(node), lines)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise YamlError(f"{place}{error.problem or error.context or 'bad YAML'}{_tab_hint(text, mark)}") from error
    except yaml.reader.ReaderError as error:
        raise YamlError(f"the character {error.character!r} at position {error.position} is not allowed") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, YamlError):
            raise
        deep = isinstance(error, RecursionError)
        raise YamlError("is nested too deeply" if deep else f"bad YAML: {error}") from error


def _tab_hint(text: str, mark: yaml.Mark | None) -> str:
    lines = text.splitlines()
    if mark is None or mark.line >= len(lines) or "\t" not in lines[mark.line]:
        return ""
    return " (YAML indents with spaces, not with tabs)"


def _check_graph(root: yaml.Node) -> None:
    """Refuses aliases that contain themselves, deep nesting, and aliases that multiply into something huge."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node, depth: int) -> int:
        if id(node) in open_nodes:
            raise _at(node, "an alias contains itself")
        if depth > MAX_DEPTH:
            raise _at(node, f"is nested more than {MAX_DEPTH} levels deep")
        if id(node) in sizes:
            return sizes[id(node)]
        total = 1
        if isinstance(node, yaml.CollectionNode):
            open_nodes.add(id(node))
            for item in node.value:
                total += sum(size(part, depth + 1) for part in (item if isinstance(item, tuple) else (item,)))
            open_nodes.discard(id(node))
        expected = {yaml.MappingNode: ("map",), yaml.SequenceNode: ("seq",)}
        allowed = expected.get(type(node), ("str", "int", "float", "bool", "null", "merge"))
        if node.tag.removeprefix(_TAG) not in allowed:
            raise _at(node, f"the tag {_short(node.tag)} is not allowed here")
        if total > MAX_NODES:
            raise _at(node, f"has more than {MAX_NODES} values once its aliases are written out")
        sizes[id(node)] = total
        return total

    size(root, 0)


def _check_mappings(node: yaml.Node, path: tuple[str, ...], lines: dict[tuple[str, ...], int]) -> None:
    """Refuses keys that stand twice, and notes the line of every key."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_mappings(item, (*path, "-"), lines)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[Hashable, int] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _at(key, "a key must be a name")
        line = key.start_mark.line + 1
        if key.value in seen:
            name = ".".join((*path, key.value))
            raise _at(key, f"the key {_short(name)} stands twice, in lines {seen[key.value]} and {line}")
        seen[key.value] = line
        lines[(*path, key.value)] = line
        _check_mappings(value, (*path, key.value), lines)


def _at(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(None, None, problem, node.start_mark)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
