"""The activations of a layer in place, and their gradient, each in one pass over memory.

torch would go over the same rows once to add the bias, once or twice for the activation, and on the way back once for
its gradient and once for that of the bias. Written in C++ for the reasons of :mod:`headctl.policy.blocks`.

Shapes: B rows, W widths of a layer, I pieces of a minibatch.
"""

import warp as wp
from torch import nn

from headctl.policy.activations import Tanh
from headctl.policy.blocks import OPTIONS

# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.
# pyright: reportInvalidTypeForm=false, reportCallIssue=false, reportArgumentType=false
# ruff: noqa: PLR0917  - that language has no keyword arguments, and it is C++ that reads these
wp.set_module_options(OPTIONS)

KINDS: dict[type[nn.Module], int] = {Tanh: 0, nn.ReLU: 1}
"""Activations that are known here, by module."""

_COMMON = """
const int width = values.shape[1];
// 1 - 2 / (1 + exp(2 x)), as headctl.policy.activations has it: by the very operations of torch's sigmoid, whose
// exponential is SLEEF's expf. What torch has computed in a rollout comes out again.
auto tanh_of = [](float x) {
    float t = 2.0f * x;
    t = t < -80.0f ? -80.0f : (t > 80.0f ? 80.0f : t);  // nothing changes beyond
    t = t == t ? t : 0.0f;
    const float n = __builtin_rintf(t * 1.442695041f);
    const float r = __builtin_fmaf(n, -1.428606765e-6f, __builtin_fmaf(n, -0.693145752f, t));
    float p = __builtin_fmaf(1.985276176e-4f, r, 1.393043553e-3f);
    p = __builtin_fmaf(__builtin_fmaf(p, r, 8.333360776e-3f), r, 4.166648537e-2f);
    p = __builtin_fmaf(__builtin_fmaf(p, r, 1.666666716e-1f), r, 0.5f);
    p = 1.0f + __builtin_fmaf(r * r, p, r);
    const float power = p * __builtin_bit_cast(float, ((int)n + 127) << 23);
    return x == x ? 1.0f - 2.0f * (1.0f / (1.0f + power)) : x;
};
"""


@wp.func_native(
    _COMMON
    + """
const float* __restrict b = bias.data;
for (int row = start; row < stop; ++row) {
    float* __restrict x = &wp::index(values, row, 0);
    if (kind == 0) {
        #pragma clang loop vectorize(assume_safety) interleave_count(2)
        for (int j = 0; j < width; ++j) x[j] = tanh_of(x[j] + b[j]);
    } else
        for (int j = 0; j < width; ++j) x[j] = x[j] + b[j] <= 0.0f ? 0.0f : x[j] + b[j];  // NaN stays
}
"""
)
def _activate(
    kind: int, start: int, stop: int, bias: wp.array(dtype=wp.float32), values: wp.array2d(dtype=wp.float32)
) -> None: ...


@wp.func_native(
    _COMMON
    + """
float* __restrict sum = &wp::index(sums, piece, 0);
for (int j = 0; j < width; ++j) sum[j] = 0.0f;
for (int row = start; row < stop; ++row) {
    const float* __restrict y = &wp::index(values, row, 0);
    float* __restrict g = &wp::index(slopes, row - start, 0);
    if (kind == 0) {
        #pragma clang loop vectorize(assume_safety) interleave_count(2)
        for (int j = 0; j < width; ++j) {
            g[j] *= 1.0f - y[j] * y[j];
            sum[j] += g[j];
        }
    } else
        for (int j = 0; j < width; ++j) {
            g[j] = y[j] <= 0.0f ? 0.0f : g[j];
            sum[j] += g[j];
        }
}
"""
)
def _slope(
    kind: int,
    start: int,
    stop: int,
    piece: int,
    values: wp.array2d(dtype=wp.float32),
    slopes: wp.array2d(dtype=wp.float32),
    sums: wp.array2d(dtype=wp.float32),
) -> None: ...


@wp.kernel
def activate_rows(
    start: int, stop: int, kind: int, bias: wp.array(dtype=wp.float32), values: wp.array2d(dtype=wp.float32)
) -> None:
    """Adds the bias to rows ``start`` to ``stop`` of ``values`` ``[B, W]``, and takes the activation, in place."""
    _activate(kind, start, stop, bias, values)


@wp.kernel
def slope_of_rows(
    start: int,
    stop: int,
    piece: int,
    kind: int,
    values: wp.array2d(dtype=wp.float32),
    slopes: wp.array2d(dtype=wp.float32),
    sums: wp.array2d(dtype=wp.float32),
) -> None:
    """Takes a gradient back through an activation, in place, and sums up that of the bias.

    Args:
        start: First row.
        stop: The row after the last.
        piece: Which of the sums is this one's.
        kind: One of ``KINDS``.
        values: Results of the activation ``[B, W]``.
        slopes: Gradient of the rows ``start`` to ``stop`` of them, from its own first row on.
        sums: One of them is written ``[I, W]``.
    """
    _slope(kind, start, stop, piece, values, slopes, sums)
