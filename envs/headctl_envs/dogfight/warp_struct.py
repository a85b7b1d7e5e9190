"""The struct decorator of Warp, typed so that a struct stays a class for type checkers."""

from typing import TypeVar

import warp as wp

T = TypeVar("T")


def struct(cls: type[T]) -> type[T]:
    """Makes a class of annotated fields a Warp struct: ``wp.struct``, whose own type hides the fields."""
    return wp.struct(cls)  # pyright: ignore[reportReturnType]  - a wp.Struct makes instances with the fields of cls
