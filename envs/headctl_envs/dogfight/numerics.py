"""Elementary functions for the kernels, in float32: inlined, so that they cost no calls, and the same on CPU and CUDA.

The C library's versions are calls that spill every register around them. Range reductions and polynomials are those of
the Cephes library (``expf``, ``logf``, ``sinf``, ``atanf``); the stated errors are held by a test.
"""

import warp as wp

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.

wp.set_module_options({"enable_backward": False})


@wp.func(inline=True)
def floor_of(x: float) -> float:
    """Largest whole number not above ``x``, which must fit into an int32: ``wp.floor`` is one of those calls."""
    whole = float(int(x))
    return whole - wp.where(whole > x, 1.0, 0.0)


@wp.func(inline=True)
def exp_of(x: float) -> float:
    """Exponential function, relative error below 2e-7; ``x`` is clipped to [-87, 88], where float32 ends."""
    safe = wp.clamp(x, -87.0, 88.0)
    power = floor_of(safe * 1.4426950 + 0.5)
    r = safe - power * 0.693359375 + power * 2.1219444e-4
    p = ((((1.9875691e-4 * r + 1.3981999e-3) * r + 8.3334519e-3) * r + 4.1665796e-2) * r + 0.16666665) * r + 0.5
    return (p * r * r + r + 1.0) * wp.cast((int(power) + 127) << 23, wp.float32)


@wp.func(inline=True)
def log_of(x: float) -> float:
    """Natural logarithm of a positive normal number, absolute error below 1e-7 or relative error below 2e-7."""
    bits = wp.cast(x, wp.int32)
    # The mantissa is brought into [sqrt(1/2), sqrt(2)); 0x3F3504F3 is sqrt(1/2).
    power = (bits - 0x3F3504F3) >> 23
    r = wp.cast(bits - (power << 23), wp.float32) - 1.0
    e = float(power)
    z = r * r
    p = ((7.0376836e-2 * r - 0.11514610) * r + 0.11676999) * r - 0.12420141
    p = (((p * r + 0.14249323) * r - 0.16668058) * r + 0.20000715) * r - 0.24999994
    p = (p * r + 0.33333331) * r * z
    return r + (p - 2.1219444e-4 * e - 0.5 * z) + 0.693359375 * e


@wp.func(inline=True)
def sine_cosine(angle: float) -> wp.vec2:
    """Sine and cosine of an angle up to 100 rad, absolute error below 2e-7; sine odd and cosine even exactly."""
    size = wp.abs(angle)
    quarter = floor_of(size * 0.63661977 + 0.5)
    r = size - quarter * 1.5703125 - quarter * 4.837513e-4 - quarter * 7.54979e-8
    z = r * r
    sine = ((-1.9515296e-4 * z + 8.3321609e-3) * z - 0.16666655) * z * r + r
    cosine = ((2.4433157e-5 * z - 1.3887316e-3) * z + 4.1666646e-2) * z * z - 0.5 * z + 1.0
    place = int(quarter)
    odd = (place & 1) != 0
    s = wp.where(odd, cosine, sine)
    c = wp.where(odd, sine, cosine)
    s = wp.where((place & 2) != 0, -s, s)
    c = wp.where(((place + 1) & 2) != 0, -c, c)
    return wp.vec2(wp.where(angle < 0.0, -s, s), c)


@wp.func(inline=True)
def tanh_of(x: float) -> float:
    """Hyperbolic tangent, absolute error below 2e-7; odd in ``x`` exactly."""
    e = exp_of(-2.0 * wp.abs(x))
    size = (1.0 - e) / (1.0 + e)
    return wp.where(x < 0.0, -size, size)


@wp.func(inline=True)
def arc_tangent(y: float, x: float) -> float:
    """Four-quadrant arc tangent, within 3e-7 rad; odd in ``y`` exactly."""
    small = wp.min(wp.abs(x), wp.abs(y))
    large = wp.max(wp.max(wp.abs(x), wp.abs(y)), 1.0e-30)
    # One division: t is small/large, or (small - large)/(small + large) where the former is beyond tan(pi/8).
    steep = small > 0.41421357 * large
    t = wp.where(steep, small - large, small) / wp.where(steep, small + large, large)
    z = t * t
    angle = t + t * z * (((0.080537446 * z - 0.13877685) * z + 0.19977711) * z - 0.33332950)
    angle = angle + wp.where(steep, 0.78539816, 0.0)
    angle = wp.where(wp.abs(y) > wp.abs(x), 1.5707964 - angle, angle)
    angle = wp.where(x < 0.0, 3.1415927 - angle, angle)
    return wp.where(y < 0.0, -angle, angle)
