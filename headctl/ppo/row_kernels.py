"""The loss and its gradient for rows of a rollout, chosen by their numbers: nothing of them is copied beforehand.

The equations are those of :mod:`headctl.ppo.fused_loss` and :mod:`headctl.policy.blocks`.

Shapes: B rows of a minibatch in whole blocks, S rows of the rollout, H heads, P outputs of the network for the heads,
G groups of rows. The value is output P, the last one. What belongs to a row of the minibatch stands in a column.
"""

import warp as wp

from headctl.policy.blocks import MATH, OPTIONS, ROWS, part_gradient_of_rows, tell_part_of_rows
from headctl.policy.network import OBSERVATION_CLIP
from headctl.policy.parts import Parts

# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.
# pyright: reportInvalidTypeForm=false, reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false
# pyright: reportOperatorIssue=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
# ruff: noqa: PLR0917  - that language has no keyword arguments
wp.set_module_options(OPTIONS)

SUMS = ("surrogate", "squares", "kl", "clipped", "joint", "alive")
"""What stands before the sums per head."""
_ROWS = wp.constant(ROWS)


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
    """Per group of rows, ``SUMS``, and then weighted entropies, capacities, weights and rows per head
    ``[G, 6 + 4 H]``.
    """


@wp.func_native(
    MATH
    + """
const int heads = work.weight.shape[0];
float* sums = &wp::index(work.sums, thread, 0);
for (int column = 0; column < 6 + 3 * heads; ++column) sums[column] = 0.0f;
for (int head = 0; head < heads; ++head) sums[6 + 3 * heads + head] = (float)(stop - first);
auto add_up = [](const float* of_rows) {
    float half[8];
    for (int i = 0; i < 8; ++i) half[i] = of_rows[i] + of_rows[i + 8];
    for (int i = 0; i < 4; ++i) half[i] += half[i + 4];
    return (half[0] + half[2]) + (half[1] + half[3]);
};
for (int row = first; row < stop; row += L) {
    int source[L];
    float alive[L], advantage[L], target[L], log_ratio[L], joint[L];
    for (int i = 0; i < L; ++i) {
        source[i] = (int)index.data[row + i];
        const bool lives = row + i < stop && wp::index(stored.rest, source[i], 0) > 0.0f;
        alive[i] = lives ? 1.0f : 0.0f;
        advantage[i] = wp::index(stored.rest, source[i], 1);
        target[i] = wp::index(stored.rest, source[i], 2);
        log_ratio[i] = joint[i] = 0.0f;
    }
    for (int head = 0; head < heads; ++head) {
        const float* __restrict log_prob = &wp::index(work.log_prob, head, row);
        const float* __restrict entropy = &wp::index(work.entropy, head, row);
        const float* __restrict capacity = &wp::index(work.capacity, head, row);
        float* __restrict weight = &wp::index(work.weight, head, row);
        float before[L], choice[L], entropies[L], capacities[L];
        for (int i = 0; i < L; ++i) {
            before[i] = wp::index(stored.log_prob, source[i], head);
            choice[i] = wp::index(stored.choice, source[i], head);
        }
        for (int i = 0; i < L; ++i) {
            const float counts = alive[i] * choice[i] > 0.0f ? 1.0f : 0.0f;
            weight[i] = counts;
            // Difference by difference: what has not moved gives exactly 0.
            log_ratio[i] += counts > 0.0f ? log_prob[i] - before[i] : 0.0f;
            entropies[i] = counts > 0.0f ? entropy[i] : 0.0f;
            capacities[i] = counts > 0.0f ? capacity[i] : 0.0f;
            joint[i] += entropies[i];
        }
        sums[6 + head] += add_up(entropies);
        sums[6 + heads + head] += add_up(capacities);
        sums[6 + 2 * heads + head] += add_up(weight);
    }
    const float* __restrict value = &wp::index(work.outputs, work.outputs.shape[0] - 1, row);
    float* __restrict slope = &wp::index(work.slope, 0, row);
    float* __restrict error = &wp::index(work.slope, 1, row);
    float surrogate[L], squares[L], divergence[L], clips[L];
    for (int i = 0; i < L; ++i) {
        const bool lives = alive[i] > 0.0f;
        const float ratio = exp_of(log_ratio[i]);
        const float inside = ratio < 1.0f - clip ? 1.0f - clip : (ratio > 1.0f + clip ? 1.0f + clip : ratio);
        const float plain = advantage[i] * ratio, clipped = advantage[i] * inside;
        const float difference = value[i] - target[i], distance = ratio < 1.0f ? 1.0f - ratio : ratio - 1.0f;
        surrogate[i] = lives ? (clipped < plain ? clipped : plain) : 0.0f;
        slope[i] = lives ? (clipped < plain ? 0.0f : plain) : 0.0f;
        error[i] = lives ? difference : 0.0f;
        squares[i] = error[i] * error[i];
        divergence[i] = lives ? ratio - 1.0f - log_ratio[i] : 0.0f;
        clips[i] = lives & (distance > clip) ? 1.0f : 0.0f;
    }
    const float* columns[6] = {surrogate, squares, divergence, clips, joint, alive};
    for (int column = 0; column < 6; ++column) sums[column] += add_up(columns[column]);
}
"""
)
def weigh_rows(
    thread: int,
    first: int,
    stop: int,
    clip: wp.float32,
    index: wp.array(dtype=wp.int64),
    stored: Stored,
    work: Work,
) -> None:
    """Writes weights, slopes and sums of a group of rows: the equations of :mod:`headctl.ppo.fused_loss`, in blocks.

    Args:
        thread: Number of the group.
        first: Its first row.
        stop: The row after its last one.
        clip: As in :func:`loss_of_rows`; so is the rest.
        index: As there.
        stored: As there.
        work: As there.
    """


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
    weigh_rows(thread, first, stop, clip, index, stored, work)


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
    entropy: wp.array2d(dtype=wp.float32),
    work: Work,
) -> None:
    """Draws the actions of one step of a rollout and stores them with what the policy says of them.

    Args:
        start: Row of the rollout that the first row of the outputs belongs to.
        rows: Rows R of a step.
        parts: The parts of all heads.
        index: ``0 ... R - 1``, and then the last of them again until the block is whole ``[B]``.
        uniform: Numbers in [0, 1) per numbered action ``[S, ...]``.
        normal: Standard normal numbers per real action ``[S, ...]``.
        stored: The rollout; masks are read, actions, log-probabilities and choices written.
        value: Written ``[S]``.
        entropy: Written ``[S, H]``.
        work: Has the outputs of the network; the rest of it is written.
    """
    block = _ROWS * wp.tid()
    for head in range(work.log_prob.shape[0]):
        for row in range(block, block + _ROWS):
            work.log_prob[head, row] = 0.0
            work.entropy[head, row] = 0.0
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
            entropy[source, head] = work.entropy[head, row]
        value[source] = work.outputs[work.outputs.shape[0] - 1, row]


@wp.func_native(
    f"""
const int features = seen.shape[1];
constexpr float CLIP = {OBSERVATION_CLIP}f;
for (int row = 0; row < seen.shape[0]; ++row) {{
    const float* __restrict x = &wp::index(observation, start + row, 0);
    float* __restrict y = &wp::index(seen, row, 0);
    for (int j = 0; j < features; ++j) {{
        const float z = (x[j] - mean.data[j]) * scale.data[j];
        const float inside = z < -CLIP ? -CLIP : (z > CLIP ? CLIP : z);
        y[j] = z == z ? inside : 0.0f;
    }}
}}
"""
)
def _normalize(
    start: int,
    observation: wp.array2d(dtype=wp.float32),
    mean: wp.array(dtype=wp.float32),
    scale: wp.array(dtype=wp.float32),
    seen: wp.array2d(dtype=wp.float32),
) -> None: ...


@wp.kernel
def normalize_rows(
    start: int,
    observation: wp.array2d(dtype=wp.float32),
    mean: wp.array(dtype=wp.float32),
    scale: wp.array(dtype=wp.float32),
    seen: wp.array2d(dtype=wp.float32),
) -> None:
    """Does what :class:`headctl.policy.network.ObservationNormalizer` does, to the bit, with one step of a rollout.

    Args:
        start: Row of the rollout that the first row belongs to.
        observation: As they were seen ``[S, F]``.
        mean: Of every feature ``[F]``.
        scale: What differences from it are multiplied by ``[F]``.
        seen: Written ``[R, F]``.
    """
    _normalize(start, observation, mean, scale, seen)
