"""Building blocks of the configuration: numbers as people write them, keys with unit and meaning, sections."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

_WHOLE_MAX = 2**53
"""Up to here every whole number is exact as a float, and no count of a run comes near."""


def _whole(value: object) -> int:
    """Reads a whole number; ``1e6`` and ``"200_000"`` are as good as ``1000000`` and ``200000``."""
    if isinstance(value, str):
        value = _plain_number(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise PydanticCustomError("whole_number", "expected a whole number")
    if abs(value) > _WHOLE_MAX:
        raise PydanticCustomError("whole_number", "is too large")
    return value


def _real(value: object) -> float:
    """Reads a number; other YAML readers hand ``3e-4`` over as text."""
    if isinstance(value, str):
        value = _plain_number(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticCustomError("number", "expected a number")
    if isinstance(value, int) and abs(value) > _WHOLE_MAX:
        raise PydanticCustomError("number", "is too large")
    return float(value)


def _plain_number(text: str) -> int | float | str:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


Whole = Annotated[int, BeforeValidator(_whole)]
Real = Annotated[float, BeforeValidator(_real)]
SEED_MAX = 2**31 - 1


def key(default: Any, description: str, unit: str = "", **bounds: Any) -> Any:
    """Declares one key: default, meaning, unit and bounds."""
    return Field(default, description=description, json_schema_extra={"unit": unit}, **bounds)


class Section(BaseModel):
    """One mapping of the file: unknown keys are refused, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)
