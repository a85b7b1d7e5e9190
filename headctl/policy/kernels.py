"""Warp kernels that say everything of a policy's heads in one pass over the rows, and their gradient in another.

Row by row, part by part (:mod:`headctl.policy.parts`); parts of a head add up.

Shapes: B rows, P outputs of the network, H heads, Q parts, K choices. One thread works on one row, so the result of a
row depends on nothing beside it: neither on the rows around it nor on their number.
"""

import warp as wp

from headctl.policy.parts import Parts, part_gradient, tell_part

# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.
# pyright: reportInvalidTypeForm=false, reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false
# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false, reportReturnType=false, reportGeneralTypeIssues=false
# ruff: noqa: FBT001, PLR0917  - that language has no keyword arguments
wp.set_module_options({"enable_backward": False})


@wp.kernel
def tell_rows(
    parts: Parts,
    draw: bool,
    params: wp.array2d(dtype=wp.float32),
    masks: wp.array2d(dtype=wp.bool),
    uniform: wp.array2d(dtype=wp.float32),
    normal: wp.array2d(dtype=wp.float32),
    numbers: wp.array2d(dtype=wp.int64),
    reals: wp.array2d(dtype=wp.float32),
    log_prob: wp.array2d(dtype=wp.float32),
    entropy: wp.array2d(dtype=wp.float32),
    capacity: wp.array2d(dtype=wp.float32),
    choice: wp.array2d(dtype=wp.float32),
    first: wp.array2d(dtype=wp.float32),
    second: wp.array2d(dtype=wp.float32),
) -> None:
    """Draws actions where asked to, and says of them what :class:`headctl.policy.actions.Evaluation` holds.

    Args:
        parts: The parts of all heads.
        draw: Whether to draw; else the actions are given.
        params: Joint output of the network ``[B, P]``.
        masks: Masks of all masked heads ``[B, ...]``.
        uniform: Numbers in [0, 1) per numbered action, read when drawing.
        normal: Standard normal numbers per real action, read when drawing.
        numbers: Numbered actions, read or written.
        reals: Real actions, read or written.
        log_prob: Written, ``[B, H]``; so are ``entropy``, ``capacity`` and ``choice``.
        entropy: See there.
        capacity: See there.
        choice: See there.
        first: What the gradient needs, ``[B, P]``; so is ``second``.
        second: See there.
    """
    row = wp.tid()
    for head in range(log_prob.shape[1]):
        log_prob[row, head] = 0.0
        entropy[row, head] = 0.0
        capacity[row, head] = 0.0
        choice[row, head] = 0.0
    for part in range(parts.kind.shape[0]):
        told = tell_part(parts, part, row, row, draw, params, masks, uniform, normal, numbers, reals, first, second)
        head = parts.head[part]
        log_prob[row, head] += told.log_prob
        entropy[row, head] += told.entropy
        capacity[row, head] += told.capacity
        choice[row, head] = wp.max(choice[row, head], told.choice)


@wp.kernel
def gradient_rows(
    parts: Parts,
    masks: wp.array2d(dtype=wp.bool),
    numbers: wp.array2d(dtype=wp.int64),
    choice: wp.array2d(dtype=wp.float32),
    of_log_prob: wp.array2d(dtype=wp.float32),
    of_entropy: wp.array2d(dtype=wp.float32),
    first: wp.array2d(dtype=wp.float32),
    second: wp.array2d(dtype=wp.float32),
    gradient: wp.array2d(dtype=wp.float32),
) -> None:
    """Takes gradients of the log-probabilities and entropies back to the outputs of the network.

    Args:
        parts: The parts of all heads.
        masks: As in :func:`tell_rows`.
        numbers: Numbered actions.
        choice: 0 where a head counts for nothing ``[B, H]``.
        of_log_prob: What comes in, ``[B, H]``.
        of_entropy: What comes in, ``[B, H]``.
        first: As :func:`tell_rows` left it.
        second: As :func:`tell_rows` left it.
        gradient: Written, ``[B, P]``.
    """
    row = wp.tid()
    for part in range(parts.kind.shape[0]):
        head = parts.head[part]
        part_gradient(
            parts,
            part,
            row,
            row,
            choice[row, head] > 0.0,
            of_log_prob[row, head],
            of_entropy[row, head],
            masks,
            numbers,
            first,
            second,
            gradient,
        )
