"""Exponential and logarithm for kernels, in float32: inlined, so that they cost no calls, and the same on CPU and CUDA.

The C library's versions are calls that spill every register around them. Range reductions and polynomials are those of
the Cephes library (``expf``, ``logf``); a test holds the stated errors.
"""

import warp as wp

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.
# ruff: noqa: PLR0124  - a number that is not itself is NaN

wp.set_module_options({"enable_backward": False})


@wp.func(inline=True)
def exp_of(x: float) -> float:
    """Exponential function, relative error below 2e-7; ``x`` is clipped to [-87, 88], where float32 ends. NaN stays."""
    safe = wp.clamp(x, -87.0, 88.0)
    scaled = safe * 1.4426950 + 0.5
    whole = float(int(scaled))
    power = wp.where(whole > scaled, whole - 1.0, whole)  # ``wp.floor`` would be a call, which spills all registers
    r = safe - power * 0.693359375 + power * 2.1219444e-4
    p = ((((1.9875691e-4 * r + 1.3981999e-3) * r + 8.3334519e-3) * r + 4.1665796e-2) * r + 0.16666665) * r + 0.5
    value = (p * r * r + r + 1.0) * wp.cast((int(power) + 127) << 23, wp.float32)
    return wp.where(x == x, value, x)  # not ``isnan``, which is a call


@wp.func(inline=True)
def log_of(x: float) -> float:
    """Natural logarithm of a positive normal number, error below 1e-7 or relative error below 2e-7. NaN stays."""
    bits = wp.cast(x, wp.int32)
    # The mantissa is brought into [sqrt(1/2), sqrt(2)); 0x3F3504F3 is sqrt(1/2).
    power = (bits - 0x3F3504F3) >> 23
    r = wp.cast(bits - (power << 23), wp.float32) - 1.0
    e = float(power)
    z = r * r
    p = ((7.0376836e-2 * r - 0.11514610) * r + 0.11676999) * r - 0.12420141
    p = (((p * r + 0.14249323) * r - 0.16668058) * r + 0.20000715) * r - 0.24999994
    p = (p * r + 0.33333331) * r * z
    return wp.where(x == x, r + (p - 2.1219444e-4 * e - 0.5 * z) + 0.693359375 * e, x)
