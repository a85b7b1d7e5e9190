"""Evaluates the kernels' elementary functions, compiled like the engine's kernels."""

import numpy as np
import warp as wp
from headctl_envs.dogfight.numerics import exp_of, log_of, sine_cosine, tanh_of
from headctl_envs.dogfight.warp_struct import fast_arithmetic

wp.set_module_options({"enable_backward": False, "cpu_compiler_flags": fast_arithmetic(wp.config.cpu_compiler_flags)})

NAMES = ("exp", "log", "sine", "cosine", "tanh")


@wp.kernel
def probe(x: wp.array[wp.float32], out: wp.array2d[wp.float32]):
    """Writes all functions of every number."""
    i = wp.tid()
    both = sine_cosine(x[i])
    out[i, 0] = exp_of(x[i])
    out[i, 1] = log_of(wp.abs(x[i]) + 1.0e-37)
    out[i, 2] = both[0]
    out[i, 3] = both[1]
    out[i, 4] = tanh_of(x[i])


def elementary(x):
    """Returns name -> float64 array of the functions at ``x`` (the logarithm at its size)."""
    x = np.asarray(x, dtype=np.float32)
    with wp.ScopedLogLevel(wp.LOG_ERROR):
        out = wp.zeros((len(x), len(NAMES)), dtype=wp.float32, device="cpu")
        wp.launch(probe, dim=len(x), inputs=[wp.array(x, dtype=wp.float32, device="cpu"), out], device="cpu")
    return dict(zip(NAMES, out.numpy().astype(float).T, strict=True))
