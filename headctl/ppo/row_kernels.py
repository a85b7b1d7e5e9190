"""The loss and its gradient for rows of a rollout, chosen by their numbers: nothing of them is copied beforehand.

The equations are those of :mod:`headctl.ppo.fused_loss` and :mod:`headctl.policy.blocks`.

Shapes: B rows of a minibatch in whole blocks, S rows of the rollout, H heads, P outputs of the network for the heads,
G groups of rows. The value is output P, the last one. What belongs to a row of the minibatch stands in a column.
"""

import warp as wp

from headctl.policy.blocks import OPTIONS, ROWS, part_gradient_of_rows, tell_part_of_rows
from headctl.policy.elementary import exp_of
from headctl.policy.parts import Parts

# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.
# pyright: reportInvalidTypeForm=false, reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false
# pyright: reportOperatorIssue=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
# ruff: noqa: PLR0917, UP018  - that language has no keyword arguments, and loops change ``float()``s
wp.set_module_options(OPTIONS)

SUMS = ("surrogate", "squares", "kl", "clipped", "joint", "alive")
"""What stands before the sums per head."""
_SURROGATE, _SQUARES, _KL, _CLIPPED = wp.constant(0), wp.constant(1), wp.constant(2), wp.constant(3)
_JOINT, _ALIVE, _FIRST_HEAD = wp.constant(4), wp.constant(5), wp.constant(6)
ADVANTAGE, VALUE_TARGET = 1, 2
"""Columns of ``rest`` after that of the living."""
_ROWS = wp.constant(ROWS)
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
    """Outputs of the network, read by the first pass; their gradient after the second ``[P + 1, B]``."""
    first: wp.array2d(dtype=wp.float32)
    """``[P, B]``."""
    second: wp.array2d(dtype=wp.float32)
    """``[P, B]``."""
    log_prob: wp.array2d(dtype=wp.float32)
    """``[H, B]``."""
    entropy: wp.array2d(dtype=wp.float32)
    """``[H, B]``."""
    capacity: wp.array2d(dtype=wp.float32)
    """``[H, B]``."""
    weight: wp.array2d(dtype=wp.float32)
    """``[H, B]``."""
    slope: wp.array2d(dtype=wp.float32)
    """Derivatives of the surrogate by the log-ratio, and of the value loss by the value ``[2, B]``."""
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
        group: Rows per thread, in whole blocks.
        clip: Half width of the interval of the ratio.
        parts: The parts of all heads.
        index: Which row of the rollout every row of the minibatch is ``[B]``.
        stored: The rollout.
        work: Read and written.
    """
    thread = start / group + wp.tid()
    heads = work.log_prob.shape[0]
    first = thread * group
    stop = wp.min(first + group, start + rows)
    for block in range(first, stop, _ROWS):
        for head in range(heads):
            for row in range(block, block + _ROWS):
                work.log_prob[head, row] = 0.0
                work.entropy[head, row] = 0.0
                work.capacity[head, row] = 0.0
                work.weight[head, row] = 0.0
        for part in range(parts.kind.shape[0]):
            tell_part_of_rows(
                parts,
                part,
                block,
                _ROWS,
                0,
                False,
                index,
                work.outputs,
                stored.masks,
                work.outputs,
                work.outputs,
                stored.numbers,
                stored.reals,
                work.first,
                work.second,
                work.log_prob,
                work.entropy,
                work.capacity,
                work.weight,
            )
    joint = float(0.0)
    for row in range(first, stop):
        work.slope[0, row] = 0.0
    for head in range(heads):
        entropies = float(0.0)
        capacities = float(0.0)
        weights = float(0.0)
        for row in range(first, stop):
            source = int(index[row])
            weight = float(0.0)
            if stored.rest[source, 0] > 0.0 and stored.choice[source, head] > 0.0:
                weight = 1.0
                weights += 1.0
                entropies += work.entropy[head, row]
                capacities += work.capacity[head, row]
                # Difference by difference: what has not moved gives exactly 0.
                work.slope[0, row] += work.log_prob[head, row] - stored.log_prob[source, head]
            work.weight[head, row] = weight
        joint += entropies
        work.sums[thread, _FIRST_HEAD + head] = entropies
        work.sums[thread, _FIRST_HEAD + heads + head] = capacities
        work.sums[thread, _FIRST_HEAD + 2 * heads + head] = weights
    surrogate = float(0.0)
    squares = float(0.0)
    divergence = float(0.0)
    clips = float(0.0)
    living = float(0.0)
    for row in range(first, stop):
        source = int(index[row])
        slope = float(0.0)
        error = float(0.0)
        if stored.rest[source, 0] > 0.0:
            log_ratio = work.slope[0, row]
            advantage = stored.rest[source, _ADVANTAGE]
            ratio = exp_of(log_ratio)
            plain = advantage * ratio
            clipped = advantage * wp.clamp(ratio, 1.0 - clip, 1.0 + clip)
            slope = plain
            if clipped < plain:
                slope = 0.0
                plain = clipped
            error = work.outputs[work.outputs.shape[0] - 1, row] - stored.rest[source, _VALUE_TARGET]
            surrogate += plain
            squares += error * error
            divergence += ratio - 1.0 - log_ratio
            if wp.abs(ratio - 1.0) > clip:
                clips += 1.0
            living += 1.0
        work.slope[0, row] = slope
        work.slope[1, row] = error
    work.sums[thread, _SURROGATE] = surrogate
    work.sums[thread, _SQUARES] = squares
    work.sums[thread, _KL] = divergence
    work.sums[thread, _CLIPPED] = clips
    work.sums[thread, _JOINT] = joint
    work.sums[thread, _ALIVE] = living


@wp.kernel
def gradient_of_rows(
    start: int,
    factor: wp.array(dtype=wp.float32),
    parts: Parts,
    index: wp.array(dtype=wp.int64),
    stored: Stored,
    work: Work,
) -> None:
    """Writes the gradient of every output of the network over the output, of one block of rows.

    Args:
        start: First row of the minibatch to work on; a multiple of the rows of a block.
        factor: What the slopes of surrogate and value are multiplied by, and then those of the entropies ``[2 + H]``.
        parts: As in :func:`loss_of_rows`.
        index: As there.
        stored: As there.
        work: As it left it.
    """
    block = start + _ROWS * wp.tid()
    for part in range(parts.kind.shape[0]):
        part_gradient_of_rows(
            parts,
            part,
            block,
            0,
            factor[0],
            factor[2 + parts.head[part]],
            index,
            stored.masks,
            stored.numbers,
            work.first,
            work.second,
            work.weight,
            work.slope,
            work.outputs,
        )
    for row in range(block, block + _ROWS):
        work.outputs[work.outputs.shape[0] - 1, row] = work.slope[1, row] * factor[1]


@wp.kernel
def decide_rows(
    start: int,
    rows: int,
    parts: Parts,
    index: wp.array(dtype=wp.int64),
    uniform: wp.array2d(dtype=wp.float32),
    normal: wp.array2d(dtype=wp.float32),
    stored: Stored,
    value: wp.array(dtype=wp.float32),
    work: Work,
) -> None:
    """Draws the actions of one step of a rollout and stores them with their log-probabilities, choices and values.

    Args:
        start: Row of the rollout that the first row of the outputs belongs to.
        rows: Rows R of a step.
        parts: The parts of all heads.
        index: ``0 ... R - 1``, and then the last of them again until the block is whole ``[B]``.
        uniform: Numbers in [0, 1) per numbered action ``[S, ...]``.
        normal: Standard normal numbers per real action ``[S, ...]``.
        stored: The rollout; masks are read, actions, log-probabilities and choices written.
        value: Written ``[S]``.
        work: Has the outputs of the network; the rest of it is written.
    """
    block = _ROWS * wp.tid()
    for head in range(work.log_prob.shape[0]):
        for row in range(block, block + _ROWS):
            work.log_prob[head, row] = 0.0
            work.weight[head, row] = 0.0
    for part in range(parts.kind.shape[0]):
        tell_part_of_rows(
            parts,
            part,
            block,
            wp.min(_ROWS, rows - block),
            start,
            True,
            index,
            work.outputs,
            stored.masks,
            uniform,
            normal,
            stored.numbers,
            stored.reals,
            work.first,
            work.second,
            work.log_prob,
            work.entropy,
            work.capacity,
            work.weight,
        )
    for row in range(block, wp.min(block + _ROWS, rows)):
        source = start + row
        for head in range(work.log_prob.shape[0]):
            stored.log_prob[source, head] = work.log_prob[head, row]
            stored.choice[source, head] = work.weight[head, row]
        value[source] = work.outputs[work.outputs.shape[0] - 1, row]
