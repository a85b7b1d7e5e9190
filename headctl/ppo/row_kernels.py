"""The loss and its gradient for rows of a rollout, chosen by their numbers: nothing of them is copied beforehand.

The equations are those of :mod:`headctl.ppo.fused_loss` and :mod:`headctl.policy.parts`.

Shapes: B rows of a minibatch, S rows of the rollout, H heads, P outputs of the network for the heads, G groups of rows.
The value is output P, the last one.
"""

import warp as wp

from headctl.policy.parts import Parts, part_gradient, tell_part

# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.
# pyright: reportInvalidTypeForm=false, reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false
# pyright: reportOperatorIssue=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
# ruff: noqa: PLR0917, UP018  - that language has no keyword arguments, and loops change ``float()``s
wp.set_module_options({"enable_backward": False})

SUMS = ("surrogate", "squares", "kl", "clipped", "joint", "alive")
"""What stands before the sums per head."""
_SURROGATE, _SQUARES, _KL, _CLIPPED = wp.constant(0), wp.constant(1), wp.constant(2), wp.constant(3)
_JOINT, _ALIVE, _FIRST_HEAD = wp.constant(4), wp.constant(5), wp.constant(6)
ADVANTAGE, VALUE_TARGET = 1, 2
"""Columns of ``rest`` after that of the living."""
_ADVANTAGE, _VALUE_TARGET = wp.constant(ADVANTAGE), wp.constant(VALUE_TARGET)


@wp.struct
class Stored:
    """What a rollout holds of every decision."""

    masks: wp.array2d(dtype=wp.bool)
    """``[S, ...]``."""
    numbers: wp.array2d(dtype=wp.int64)
    """``[S, ...]``."""
    reals: wp.array2d(dtype=wp.float32)
    """``[S, ...]``."""
    log_prob: wp.array2d(dtype=wp.float32)
    """``[S, H]``."""
    choice: wp.array2d(dtype=wp.float32)
    """``[S, H]``."""
    rest: wp.array2d(dtype=wp.float32)
    """1 for the living, advantage, value target ``[S, 3]``."""


@wp.struct
class Work:
    """What the two passes over a minibatch leave for each other and for those who read it, each written."""

    outputs: wp.array2d(dtype=wp.float32)
    """Outputs of the network, read by the first pass; their gradient after the second ``[B, P + 1]``."""
    first: wp.array2d(dtype=wp.float32)
    """``[B, P]``."""
    second: wp.array2d(dtype=wp.float32)
    """``[B, P]``."""
    log_prob: wp.array2d(dtype=wp.float32)
    """``[B, H]``."""
    weight: wp.array2d(dtype=wp.float32)
    """``[B, H]``."""
    slope: wp.array2d(dtype=wp.float32)
    """Derivatives of the surrogate by the log-ratio, and of the value loss by the value ``[B, 2]``."""
    sums: wp.array2d(dtype=wp.float32)
    """Per group of rows, ``SUMS`` and then weighted entropies, capacities and weights per head ``[G, 6 + 3 H]``."""


@wp.kernel
def loss_of_rows(
    start: int,
    rows: int,
    group: int,
    clip: wp.float32,
    parts: Parts,
    index: wp.array(dtype=wp.int64),
    stored: Stored,
    work: Work,
) -> None:
    """Writes the derivatives of each row and the sums of each group of rows.

    Args:
        start: First row of the minibatch to work on; a multiple of ``group``.
        rows: How many.
        group: Rows per thread.
        clip: Half width of the interval of the ratio.
        parts: The parts of all heads.
        index: Which row of the rollout every row of the minibatch is ``[B]``.
        stored: The rollout.
        work: Read and written.
    """
    thread = start / group + wp.tid()
    heads = work.log_prob.shape[1]
    for column in range(_FIRST_HEAD + 3 * heads):
        work.sums[thread, column] = 0.0
    for row in range(thread * group, wp.min((thread + 1) * group, start + rows)):
        source = int(index[row])
        alive = stored.rest[source, 0] > 0.0
        log_ratio = float(0.0)
        for head in range(heads):
            work.log_prob[row, head] = 0.0
            work.weight[row, head] = 0.0
            if alive and stored.choice[source, head] > 0.0:
                work.weight[row, head] = 1.0
                work.sums[thread, _FIRST_HEAD + 2 * heads + head] += 1.0
        for part in range(parts.kind.shape[0]):
            head = parts.head[part]
            told = tell_part(
                parts,
                part,
                row,
                source,
                False,
                work.outputs,
                stored.masks,
                work.outputs,
                work.outputs,
                stored.numbers,
                stored.reals,
                work.first,
                work.second,
            )
            work.log_prob[row, head] += told.log_prob
            if work.weight[row, head] > 0.0:
                work.sums[thread, _JOINT] += told.entropy
                work.sums[thread, _FIRST_HEAD + head] += told.entropy
                work.sums[thread, _FIRST_HEAD + heads + head] = (
                    work.sums[thread, _FIRST_HEAD + heads + head] + told.capacity
                )
        work.slope[row, 0] = 0.0
        work.slope[row, 1] = 0.0
        if alive:
            for head in range(heads):
                if work.weight[row, head] > 0.0:  # difference by difference: what has not moved gives exactly 0
                    log_ratio += work.log_prob[row, head] - stored.log_prob[source, head]
            advantage = stored.rest[source, _ADVANTAGE]
            ratio = wp.exp(log_ratio)
            plain = advantage * ratio
            clipped = advantage * wp.clamp(ratio, 1.0 - clip, 1.0 + clip)
            work.slope[row, 0] = plain
            if clipped < plain:
                work.slope[row, 0] = 0.0
                plain = clipped
            error = work.outputs[row, work.outputs.shape[1] - 1] - stored.rest[source, _VALUE_TARGET]
            work.slope[row, 1] = error
            work.sums[thread, _SURROGATE] += plain
            work.sums[thread, _SQUARES] += error * error
            work.sums[thread, _KL] += ratio - 1.0 - log_ratio
            if wp.abs(ratio - 1.0) > clip:
                work.sums[thread, _CLIPPED] += 1.0
            work.sums[thread, _ALIVE] += 1.0


@wp.kernel
def gradient_of_rows(
    start: int,
    factor: wp.array(dtype=wp.float32),
    parts: Parts,
    index: wp.array(dtype=wp.int64),
    stored: Stored,
    work: Work,
) -> None:
    """Writes the gradient of every output of the network over the output.

    Args:
        start: First row of the minibatch to work on.
        factor: What the slopes of surrogate and value are multiplied by, and then those of the entropies ``[2 + H]``.
        parts: As in :func:`loss_of_rows`.
        index: As there.
        stored: As there.
        work: As it left it.
    """
    row = start + wp.tid()
    source = int(index[row])
    log_slope = work.slope[row, 0] * factor[0]
    for part in range(parts.kind.shape[0]):
        head = parts.head[part]
        part_gradient(
            parts,
            part,
            row,
            source,
            work.weight[row, head] > 0.0,
            log_slope,
            factor[2 + head],
            stored.masks,
            stored.numbers,
            work.first,
            work.second,
            work.outputs,
        )
    work.outputs[row, work.outputs.shape[1] - 1] = work.slope[row, 1] * factor[1]


@wp.kernel
def decide_rows(
    start: int,
    parts: Parts,
    outputs: wp.array2d(dtype=wp.float32),
    uniform: wp.array2d(dtype=wp.float32),
    normal: wp.array2d(dtype=wp.float32),
    stored: Stored,
    value: wp.array(dtype=wp.float32),
    first: wp.array2d(dtype=wp.float32),
    second: wp.array2d(dtype=wp.float32),
) -> None:
    """Draws the actions of one step of a rollout and stores them with their log-probabilities, choices and values.

    Args:
        start: Row of the rollout that the first row of the outputs belongs to.
        parts: The parts of all heads.
        outputs: Outputs of the network ``[R, P + 1]``.
        uniform: Numbers in [0, 1) per numbered action ``[S, ...]``.
        normal: Standard normal numbers per real action ``[S, ...]``.
        stored: The rollout; masks are read, actions, log-probabilities and choices written.
        value: Written ``[S]``.
        first: Scratch ``[R, P]``.
        second: Scratch ``[R, P]``.
    """
    row = wp.tid()
    source = start + row
    for head in range(stored.choice.shape[1]):
        stored.log_prob[source, head] = 0.0
        stored.choice[source, head] = 0.0
    for part in range(parts.kind.shape[0]):
        told = tell_part(
            parts,
            part,
            row,
            source,
            True,
            outputs,
            stored.masks,
            uniform,
            normal,
            stored.numbers,
            stored.reals,
            first,
            second,
        )
        head = parts.head[part]
        stored.log_prob[source, head] += told.log_prob
        stored.choice[source, head] = wp.max(stored.choice[source, head], told.choice)
    value[source] = outputs[row, outputs.shape[1] - 1]
