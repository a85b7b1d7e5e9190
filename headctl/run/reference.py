"""The reference tables of the documentation, made from the code that they describe.

``docs/configuration.md`` and ``docs/metrics.md`` contain these tables; tests compare them character by character, and
``python -m headctl.run.reference docs`` brings them up to date, and ``configs/headctl.schema.json`` with them.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from headctl.entropy.spec import HEAD_KEYS, TRACK_ALPHA_MIN, HeadSpec
from headctl.entropy.targets import TANH_GAUSSIAN_LOG_STD_MAX
from headctl.run.config import RunConfig
from headctl.run.metrics import GROUPS, METRICS
from headctl.run.schema import config_schema, schema_text
from headctl.run.yaml_io import dump_yaml


@dataclass(frozen=True, slots=True)
class Key:
    """One YAML key as the documentation shows it."""

    name: str
    unit: str
    default: str
    allowed: str
    meaning: str


def describe_keys(model: type[BaseModel] = RunConfig, prefix: str = "") -> Iterator[Key]:
    """Yields every key of a configuration in the order of the file, sections flattened to dotted names."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from describe_keys(kind, f"{prefix}{name}.")
            continue
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        default = dump_yaml({"": field.default}).partition(": ")[2].strip()
        if isinstance(field.default, int) and field.default >= 10_000:
            default = f"{field.default:_}"
        yield Key(prefix + name, str(extra.get("unit", "")), default, _allowed(field), field.description or "")


_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def _allowed(field: FieldInfo) -> str:
    """Says in words what a field takes."""
    kind, choices = field.annotation, get_args(field.annotation)
    if get_origin(kind) is Literal:
        return " or ".join(f"`{choice}`" for choice in choices)
    whole = kind is int or int in choices
    items = "names" if str in choices else "whole numbers"
    names = {bool: "true or false", str: "text", dict: "mapping", list: f"list of {items}"}
    word = names.get(get_origin(kind) or kind, "whole number" if whole else "number")  # pyright: ignore[reportArgumentType] - any type may be asked for
    bounds = [
        f"{sign} {getattr(item, name):_}"
        for item in field.metadata
        for name, sign in _BOUNDS.items()
        if hasattr(item, name)
    ]
    optional = " or null" if type(None) in choices else ""
    return " ".join([word, ", ".join(bounds)]).strip() + optional


def key_table(section: str) -> str:
    """Returns the table of one section of the configuration; ``""`` for the keys outside of sections."""
    rows = ["| key | default | allowed | unit | meaning |", "|---|---|---|---|---|"]
    for key in describe_keys():
        head, dot, _ = key.name.partition(".")
        if (head if dot else "") == section:
            cells = (f"`{key.name}`", f"`{key.default}`", key.allowed, key.unit, key.meaning)
            rows.append("| " + " | ".join(_cell(text) for text in cells) + " |")
    return "\n".join(rows)


def head_table() -> str:
    """Returns the table of the keys that every head may have."""
    special = {
        "target": "0.5",
        "alpha_min": f"1e-4, track: {TRACK_ALPHA_MIN:g}",
        "learning_rate": "adam: 0.03, sgd: 1.0",
        "log_std_max": f"gaussian: 0.5, tanh_gaussian: {TANH_GAUSSIAN_LOG_STD_MAX:.3f}",
        "rescue": "false",
    } | dict.fromkeys(("alpha", "kind", "choices", "dims", "active_when"), "")
    defaults = {field.name: field.default for field in fields(HeadSpec) if field.default is not MISSING}
    rows = ["| key | default | meaning |", "|---|---|---|"]
    for key, meaning in HEAD_KEYS.items():
        default = special.get(key, defaults.get(key, ""))
        rows.append(f"| `{key}` | {f'`{default}`' if default != '' else ''} | {_cell(meaning)} |")
    return "\n".join(rows)


def metric_table(group: str) -> str:
    """Returns the table of one group of metrics, such as ``heads``."""
    rows = ["| metric | unit | meaning | healthy | if not |", "|---|---|---|---|---|"]
    for metric in METRICS:
        if metric.group == group:
            cells = (metric.unit, metric.meaning, metric.healthy, metric.remedy)
            rows.append("| " + " | ".join((f"`{metric.name}`", *(_cell(text) for text in cells))) + " |")
    return "\n".join(rows)


def tables() -> dict[str, dict[str, str]]:
    """Returns every table: name of the document -> heading that the table stands under -> the table."""
    sections = dict.fromkeys(key.name.partition(".")[0] for key in describe_keys() if "." in key.name)
    keys = {"Top level": key_table(""), "heads": head_table()} | {name: key_table(name) for name in sections}
    metrics = {title: metric_table(group) for group, title in GROUPS.items()}
    return {"configuration.md": keys, "metrics.md": metrics}


def with_tables(document: str, wanted: dict[str, str]) -> str:
    """Returns a document in which the first table under each heading is the wanted one.

    Raises:
        ValueError: A heading is missing, or no table stands under it.
    """
    for heading, table in wanted.items():
        before, title, rest = document.partition(f"\n## {heading}\n")
        text, bar, after = rest.partition("\n| ")
        if not title or not bar or "\n## " in text:
            raise ValueError(f"the document has no table under the heading {heading!r}")
        _, gap, after = after.partition("\n\n")
        document = f"{before}{title}{text}\n{table}" + (gap + after if gap else "\n")
    return document


def _cell(text: str) -> str:
    """Escapes what a Markdown table would swallow."""
    return re.sub(r"<(head|pilot|opponent|role)>", r"\\<\1>", text.replace("|", "\\|"))


if __name__ == "__main__":
    for name, wanted in tables().items():
        path = Path(sys.argv[1]) / name
        path.write_text(with_tables(path.read_text(encoding="utf-8"), wanted), encoding="utf-8")
    schema = Path(sys.argv[1]).parent / "configs" / "headctl.schema.json"
    schema.write_text(schema_text(config_schema()), encoding="utf-8")
