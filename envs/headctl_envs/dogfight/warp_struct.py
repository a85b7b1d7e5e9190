"""What the package adds to Warp: a typed struct decorator, the places of a struct's fields, flags for its compiler."""

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


def fast_arithmetic(flags: str | None) -> str:
    """Returns flags of Warp's CPU compiler for arithmetic that is finite: multiply-adds in one, plain minima.

    Products and sums of one function are fused alike for every game and seat, and fused or not they are odd where they
    were odd, so that the symmetries stay exact.

    Args:
        flags: What the module would be compiled with, ``wp.config.cpu_compiler_flags``.
    """
    finite = (
        "-ffp-contract=fast -fno-signed-zeros -menable-no-nans -menable-no-infs -Wno-nan-infinity-disabled"
        " -fno-slp-vectorize -freciprocal-math -mrecip=none"
    )
    return f"{flags if flags is not None else '-march=native'} {finite}"
