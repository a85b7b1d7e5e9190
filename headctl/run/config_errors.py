"""What is said of a configuration that cannot be used: one line per problem, with the key and what is allowed."""

from collections.abc import Sequence
from typing import get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from headctl.messages import unknown_name


class ConfigError(ValueError):
    """A configuration that cannot be used: every problem found, one line each."""


def describe_problem(details: ErrorDetails, root: type[BaseModel]) -> str:
    """Says in one line what pydantic found: key, value as written, what is allowed.

    Args:
        details: One of pydantic's errors.
        root: The model of the whole configuration.
    """
    location = [str(part) for part in details["loc"]]
    if isinstance(details["loc"][-1], int):  # an entry of a list
        location[-2:] = [f"{location[-2]}[{location[-1]}]"]
    key, value, context = ".".join(location), shown(details["input"]), details.get("ctx", {})
    kind = details["type"]
    if kind == "extra_forbidden":
        section = _section_at(root, location[:-1])
        where = f"key in {'.'.join(location[:-1])}" if location[1:] else "key"
        return f"{key}: {unknown_name(where, location[-1], section.model_fields)}"
    if kind == "literal_error":
        choices = get_args(_section_at(root, location[:-1]).model_fields[location[-1]].annotation)
        return f"{key}: {unknown_name('value', details['input'], choices)}"
    if kind in {"model_type", "model_attributes_type", "dict_type"}:
        section = _section_at(root, location)
        keys = f": {', '.join(section.model_fields)}" if section is not root else ""
        return f"{key}: expected a mapping of keys{keys}; got {value}"
    texts = {
        "bool_type": "expected true or false",
        "string_type": "expected text",
        "list_type": "expected a list such as [128, 128]",
        "greater_than": f"must be greater than {context.get('gt')}",
        "greater_than_equal": f"must be at least {context.get('ge')}",
        "less_than": f"must be less than {context.get('lt')}",
        "less_than_equal": f"must be at most {context.get('le')}",
        "finite_number": "must be a finite number",
        "too_short": "must not be empty",
        "too_long": f"must have at most {context.get('max_length')} entries",
        "string_too_short": "must not be empty",
        "string_pattern_mismatch": "must be `cpu`, `cuda` or `cuda:N`",
    }
    text = texts.get(kind, details["msg"])
    if kind == "string_type" and isinstance(details["input"], bool | int | float):
        text += " (put it in quotes)"
    return f"{key}: {text}, got {value}"


def _section_at(root: type[BaseModel], location: Sequence[str]) -> type[BaseModel]:
    """Returns the section at a path, or the whole configuration where the path is none."""
    model: type[BaseModel] = root
    for part in location:
        field = model.model_fields.get(part)
        kind = field.annotation if field else None
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return root
        model = kind
    return model


def shown(value: object) -> str:
    """Returns a value as the user wrote it, cut to a readable length."""
    text = {None: "null", True: "true", False: "false"}.get(value) if isinstance(value, bool | None) else None
    text = text or repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
