"""The struct decorator of Warp, typed so that a struct stays a class for type checkers."""

from typing import Any, TypeVar

import warp as wp

T = TypeVar("T")


def struct(cls: type[T]) -> type[T]:
    """Makes a class of annotated fields a Warp struct: ``wp.struct``, whose own type hides the fields."""
    return wp.struct(cls)  # pyright: ignore[reportReturnType]  - a wp.Struct makes instances with the fields of cls


def field_slices(cls: Any) -> tuple[dict[str, slice], int]:
    """Returns where the fields of a Warp struct of 4-byte numbers stand, counted in such words, and how many it has."""
    slices, start = {}, 0
    for name, var in cls.vars.items():
        stop = start + wp.types.type_size_in_bytes(var.type) // 4
        slices[name] = slice(start, stop)
        start = stop
    return slices, start
