"""The configuration as JSON Schema, for completion and checking in editors. Made from the code that reads it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from headctl_envs.dogfight.config import DogfightConfig

from headctl.entropy.schedule_parser import SCHEDULES
from headctl.entropy.spec import HEAD_KEYS, KINDS
from headctl.entropy.targets import UNITS
from headctl.run.config import RunConfig
from headctl.selfplay.catalog import describe

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_DIGITS = "^[-+]?[0-9][0-9_]*$"
"""Whole numbers may have underscores, which YAML 1.2 reads as text."""

_SHORT_FORMS = {
    "RecurrentSection": ("string", "null"),
    **dict.fromkeys(("WindowSampler", "PfspSampler", "PilotSampler", "AnchorSampler"), ("number",)),
}
"""Sections that may be written as one value, and of what kinds it is."""

_NUMBERS = (
    "alpha_init", "alpha_min", "alpha_max", "gain_proportional", "gain_integral", "learning_rate", "log_std_min",
    "log_std_max", "concentration_max", "probability_floor",
)  # fmt: skip
_CHOICES: dict[str, Iterable[str]] = {
    "unit": UNITS,
    "law": ("pi", "dual", "fixed", "decay"),
    "mode": ("floor", "track"),
    "optimizer": ("adam", "sgd"),
    "kind": KINDS,
}


def config_schema(heads: Iterable[str] | None = None) -> Schema:
    """Returns the JSON Schema of a configuration file.

    Args:
        heads: Names of the game's heads; others are refused then. ``None``: those of the dogfight are offered, any
            other name is allowed.
    """
    schema = RunConfig.model_json_schema()
    sections = schema.pop("$defs")
    for section in sections.values():
        _tidy(section)
    _tidy(schema)
    for section, kinds in _SHORT_FORMS.items():
        sections[section]["type"] = ["object", *kinds]
    names = list(describe("dogfight", {}).heads) if heads is None else list(heads)
    sections["Head"] = _head()
    sections["Schedule"] = _schedule()
    schema["properties"]["heads"] |= {
        "type": "object",
        "properties": {name: {"$ref": "#/$defs/Head"} for name in names},
        "additionalProperties": {"$ref": "#/$defs/Head"} if heads is None else False,
    }
    sections["DogfightOptions"] = _dogfight_options()
    plays_dogfight = {"properties": {"game": {"properties": {"name": {"const": "dogfight"}}}}}
    options = {"properties": {"options": {"$ref": "#/$defs/DogfightOptions"}}}
    return {
        "$schema": DIALECT,
        "title": "headctl configuration",
        "description": "A training run of headctl: headctl train FILE",
        **{key: value for key, value in schema.items() if key not in {"title", "description"}},
        "if": plays_dogfight,
        "then": {"properties": {"game": options, "evaluation": options}},
        "$defs": sections,
    }


def schema_text(schema: Mapping[str, Any]) -> str:
    """Returns the schema as it stands in ``configs/headctl.schema.json``."""
    return json.dumps(schema, indent=1) + "\n"


def _tidy(section: Schema) -> None:
    """Drops pydantic's titles and lets whole numbers have underscores."""
    section.pop("title", None)
    for key in section.get("properties", {}).values():
        key.pop("title", None)
        unit = key.pop("unit", "")
        if unit:
            key["description"] = f"{key.get('description', '')} ({unit})"
        for kind in (key, *key.get("anyOf", ()), key.get("items", {})):
            if kind.get("type") == "integer":
                kind |= {"type": ["integer", "string"], "pattern": _DIGITS}


def _schedule() -> Schema:
    return {
        "description": "A course of training progress, of stages or of a metric.",
        "type": "object",
        "properties": {"schedule": {"enum": sorted(SCHEDULES), "description": "shape of the course"}},
        "required": ["schedule"],
    }


def _head() -> Schema:
    number = {"type": "number"}
    course = {"anyOf": [number, {"$ref": "#/$defs/Schedule"}]}
    whole = {"type": "integer", "minimum": 1}
    types: dict[str, Schema] = {
        "target": course,
        "alpha": course,
        "active_when": {"type": "object", "additionalProperties": {"type": ["array", "integer"]}},
        "choices": {"anyOf": [whole, {"type": "array", "items": whole}]},
        "dims": whole,
        "rescue": {"type": "boolean"},
    }
    types |= dict.fromkeys(_NUMBERS, number)
    types |= {key: {"enum": sorted(choices)} for key, choices in _CHOICES.items()}
    keys = {key: types[key] | {"description": meaning} for key, meaning in HEAD_KEYS.items()}
    return {
        "description": "Entropy control of one head; a number is a constant target.",
        "anyOf": [number, {"type": "object", "properties": keys, "additionalProperties": False}],
    }


def _dogfight_options() -> Schema:
    options: Schema = {}
    for item in fields(DogfightConfig):
        meta = item.metadata
        entry: Schema = {"description": f"{meta['doc']} ({meta['unit']})" if meta.get("unit") else meta.get("doc", "")}
        if "choices" in meta:
            entry["enum"] = list(meta["choices"])
        elif "low" in meta:
            entry |= {"type": "number", "minimum": meta["low"], "maximum": meta["high"]}
        if isinstance(item.default, str | int | float):
            entry["default"] = item.default
        options[item.name] = entry
    return {"type": "object", "properties": options, "additionalProperties": False}
