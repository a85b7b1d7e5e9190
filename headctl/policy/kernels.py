"""Warp kernels that say everything of a policy's heads in one pass over the rows, and their gradient in another.

Row by row, for every *part* of a head (one choice, one bit, one Gaussian dim); parts of a head add up. The equations
are those of :mod:`headctl.policy.discrete` and :mod:`headctl.policy.continuous`, which are the reference:

* A choice among the legal ones with logits ``l_k`` and a probability floor ``eps``: ``p = softmax(l)``,
  ``q = p + eps (1/n - p)``, log-probability ``log q_a``, entropy ``H = -sum q log q``, capacity ``log n``. Gradients:
  ``d log q_a / d l_k = (1 - eps) p_a / q_a ([k = a] - p_k)`` and
  ``d H / d l_k = -(1 - eps) p_k (log q_k - sum_j p_j log q_j)``.
* A bit: a choice between the logits 0 and ``x``.
* A Gaussian dim with ``s = log_std = min + span sigmoid(r)`` and ``z = (a - m) exp(-s)``:
  ``-z^2 / 2 - s - log sqrt(2 pi)`` and ``s + log sqrt(2 pi e)``. Gradients: ``z exp(-s)`` for the mean;
  ``z^2 - 1`` and 1 for ``s``.

Shapes: B rows, P outputs of the network, H heads, Q parts, K choices. One thread works on one row, so the result of a
row depends on nothing beside it: neither on the rows around it nor on their number.
"""

import math

import warp as wp

# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.
# pyright: reportInvalidTypeForm=false, reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false
# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false, reportReturnType=false, reportGeneralTypeIssues=false
# ruff: noqa: FBT001, PLR0917, PLR1714, PLR1730, SIM109  - that language has neither keyword arguments nor ``in``
# ruff: noqa: RUF046, UP018  - there a variable that a loop changes is made by ``int()`` or ``float()``
# ruff: noqa: C901, PLR0912, PLR0915  - a row of a kernel reads as the equations above, case by case
wp.set_module_options({"enable_backward": False})

CHOICE, PART, BIT, GAUSSIAN = range(4)
"""Kinds of parts: the only choice of its head, one of several choices, a bit, a Gaussian dim."""

_CHOICE = wp.constant(CHOICE)
_PART = wp.constant(PART)
_BIT = wp.constant(BIT)
_LOG_ZERO = wp.constant(wp.float32(-3.4028234663852886e38))
_LOG_2 = wp.constant(wp.float32(math.log(2.0)))
_LOG_SQRT_2PI = wp.constant(wp.float32(0.5 * math.log(2.0 * math.pi)))
_GAUSSIAN_ENTROPY = wp.constant(wp.float32(0.5 * math.log(2.0 * math.pi * math.e)))


@wp.struct
class Parts:
    """The parts of all heads, each ``[Q]``."""

    kind: wp.array(dtype=wp.int32)
    head: wp.array(dtype=wp.int32)
    param: wp.array(dtype=wp.int32)
    """Column of the first logit, or of the mean."""
    second: wp.array(dtype=wp.int32)
    """Column of a Gaussian's raw scale."""
    size: wp.array(dtype=wp.int32)
    """Number of choices K."""
    mask: wp.array(dtype=wp.int32)
    """Column of the first entry of the mask; -1: everything is legal."""
    action: wp.array(dtype=wp.int32)
    """Column of the action among the numbered or among the real ones."""
    low: wp.array(dtype=wp.float32)
    """Probability floor, or lower bound of a Gaussian's log_std."""
    span: wp.array(dtype=wp.float32)
    """Width of the interval of a Gaussian's log_std."""
    capacity: wp.array(dtype=wp.float32)
    """Capacity of a Gaussian part."""


@wp.struct
class Told:
    """What a row says of a part."""

    log_prob: wp.float32
    entropy: wp.float32
    capacity: wp.float32
    choice: wp.float32


@wp.func
def is_legal(masks: wp.array2d(dtype=wp.bool), row: int, column: int, k: int) -> bool:
    """Whether a choice is legal; ``column`` -1: there is no mask."""
    legal = bool(True)
    if column >= 0:  # ``or`` would look into the mask all the same
        legal = masks[row, column + k]
    return legal


@wp.func
def tell_choice(
    parts: Parts,
    part: int,
    row: int,
    draw: bool,
    params: wp.array2d(dtype=wp.float32),
    masks: wp.array2d(dtype=wp.bool),
    uniform: wp.array2d(dtype=wp.float32),
    numbers: wp.array2d(dtype=wp.int64),
    first: wp.array2d(dtype=wp.float32),
    second: wp.array2d(dtype=wp.float32),
) -> Told:
    """Draws where asked to, and evaluates one choice; leaves ``p_k`` in ``first`` and ``log q_k`` in ``second``."""
    told = Told()
    start = parts.param[part]
    size = parts.size[part]
    mask = parts.mask[part]
    column = parts.action[part]
    floor = parts.low[part]
    largest = _LOG_ZERO
    legal = int(0)
    for k in range(size):
        if is_legal(masks, row, mask, k):
            logit = params[row, start + k]
            legal += 1
            if not logit <= largest:  # NaN too: it must not be lost
                largest = logit
    if legal == 0:
        if draw:
            numbers[row, column] = wp.int64(wp.min(int(uniform[row, column] * float(size)), size - 1))
        for k in range(size):
            first[row, start + k] = 0.0
            second[row, start + k] = 0.0
        told.log_prob = -wp.log(float(size))
        if parts.kind[part] == _CHOICE:
            told.entropy = wp.log(float(size))
            told.capacity = wp.log(float(size))
        return told
    total = float(0.0)
    for k in range(size):
        weight = float(0.0)
        if is_legal(masks, row, mask, k):
            weight = wp.exp(params[row, start + k] - largest)
        total += weight
        first[row, start + k] = weight
    log_total = wp.log(total)
    share = 1.0 / float(legal)
    summed = float(0.0)
    drawn = int(-1)
    for k in range(size):
        log_prob = _LOG_ZERO
        prob = first[row, start + k] / total
        if is_legal(masks, row, mask, k):
            log_prob = params[row, start + k] - largest - log_total
            if log_prob < _LOG_ZERO:  # logits may differ by more than a float can hold
                log_prob = _LOG_ZERO
            played = prob
            if floor > 0.0:
                played = prob + floor * (share - prob)
                log_prob = wp.log(played)
            told.entropy -= played * log_prob
            if draw and (drawn < 0 or summed <= uniform[row, column]) and (played > 0.0 or drawn < 0):
                drawn = k
            summed += played
        first[row, start + k] = prob
        second[row, start + k] = log_prob
    if draw:
        numbers[row, column] = wp.int64(drawn)
    told.log_prob = second[row, start + int(numbers[row, column])]
    if legal > 1:
        told.choice = 1.0
        told.capacity = wp.log(float(legal))
    return told


@wp.func
def tell_bit(
    parts: Parts,
    part: int,
    row: int,
    draw: bool,
    params: wp.array2d(dtype=wp.float32),
    masks: wp.array2d(dtype=wp.bool),
    uniform: wp.array2d(dtype=wp.float32),
    numbers: wp.array2d(dtype=wp.int64),
    first: wp.array2d(dtype=wp.float32),
    second: wp.array2d(dtype=wp.float32),
) -> Told:
    """As :func:`tell_choice` for a bit; leaves ``p_1`` in ``first``, and ``log q_1 - log q_0`` in ``second``."""
    told = Told()
    start = parts.param[part]
    column = parts.action[part]
    if not is_legal(masks, row, parts.mask[part], 0):
        first[row, start] = 0.0
        second[row, start] = 0.0
        if draw:
            numbers[row, column] = wp.int64(0)
        if numbers[row, column] != wp.int64(0):
            told.log_prob = _LOG_ZERO
        return told
    floor = parts.low[part]
    logit = params[row, start]
    largest = float(0.0)
    if not logit <= largest:
        largest = logit
    zero = wp.exp(-largest)
    one = wp.exp(logit - largest)
    total = zero + one
    log_total = wp.log(total)
    prob = one / total
    log_zero = -largest - log_total
    log_one = logit - largest - log_total
    if log_one < _LOG_ZERO:
        log_one = _LOG_ZERO
    played_zero = zero / total
    played_one = prob
    if floor > 0.0:
        played_zero = played_zero + floor * (0.5 - played_zero)
        played_one = prob + floor * (0.5 - prob)
        log_zero = wp.log(played_zero)
        log_one = wp.log(played_one)
    if draw:
        if uniform[row, column] < played_one:
            numbers[row, column] = wp.int64(1)
        else:
            numbers[row, column] = wp.int64(0)
    told.log_prob = log_zero
    if numbers[row, column] != wp.int64(0):
        told.log_prob = log_one
    told.entropy = -(played_zero * log_zero + played_one * log_one)
    told.capacity = _LOG_2
    told.choice = 1.0
    first[row, start] = prob
    second[row, start] = log_one - log_zero
    return told


@wp.func
def tell_gaussian(
    parts: Parts,
    part: int,
    row: int,
    draw: bool,
    params: wp.array2d(dtype=wp.float32),
    normal: wp.array2d(dtype=wp.float32),
    reals: wp.array2d(dtype=wp.float32),
    first: wp.array2d(dtype=wp.float32),
    second: wp.array2d(dtype=wp.float32),
) -> Told:
    """As :func:`tell_choice` for a dim; leaves ``z``, ``exp(-s)`` and ``d s / d r`` behind."""
    told = Told()
    mean_column = parts.param[part]
    scale_column = parts.second[part]
    column = parts.action[part]
    mean = params[row, mean_column]
    inside = 1.0 / (1.0 + wp.exp(-params[row, scale_column]))
    log_std = parts.low[part] + parts.span[part] * inside
    inverse = wp.exp(-log_std)
    if draw:
        reals[row, column] = mean + wp.exp(log_std) * normal[row, column]
    scaled = (reals[row, column] - mean) * inverse
    told.log_prob = -0.5 * scaled * scaled - log_std - _LOG_SQRT_2PI
    told.entropy = log_std + _GAUSSIAN_ENTROPY
    told.capacity = parts.capacity[part]
    told.choice = 1.0
    first[row, mean_column] = scaled
    first[row, scale_column] = parts.span[part] * inside * (1.0 - inside)
    second[row, mean_column] = inverse
    return told


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
        kind = parts.kind[part]
        told = Told()
        if kind == _CHOICE or kind == _PART:
            told = tell_choice(parts, part, row, draw, params, masks, uniform, numbers, first, second)
        elif kind == _BIT:
            told = tell_bit(parts, part, row, draw, params, masks, uniform, numbers, first, second)
        else:
            told = tell_gaussian(parts, part, row, draw, params, normal, reals, first, second)
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
        kind = parts.kind[part]
        head = parts.head[part]
        start = parts.param[part]
        log_slope = of_log_prob[row, head]
        entropy_slope = of_entropy[row, head]
        counts = choice[row, head] > 0.0
        if kind == _CHOICE or kind == _PART:
            size = parts.size[part]
            kept = 1.0 - parts.low[part]
            if counts:
                chosen = int(numbers[row, parts.action[part]])
                pull = log_slope
                if kept < 1.0:
                    pull = log_slope * kept * first[row, start + chosen] / wp.exp(second[row, start + chosen])
                mean = float(0.0)
                for k in range(size):
                    mean += first[row, start + k] * second[row, start + k]
                for k in range(size):
                    prob = first[row, start + k]
                    slope = float(0.0)
                    if prob > 0.0:  # else the logarithm may be as large as a float
                        slope = -prob * (pull + entropy_slope * kept * (second[row, start + k] - mean))
                    if k == chosen and is_legal(masks, row, parts.mask[part], k):
                        slope += pull
                    gradient[row, start + k] = slope
            else:
                for k in range(size):
                    gradient[row, start + k] = 0.0
        elif kind == _BIT:
            slope = float(0.0)
            if counts and is_legal(masks, row, parts.mask[part], 0):
                kept = 1.0 - parts.low[part]
                prob = first[row, start]
                bend = kept * prob * (1.0 - prob)
                # H' = -bend (log q_1 - log q_0); log q_a bends by the same over q_a, which is 1 - p_a without a floor.
                slope = -entropy_slope * bend * second[row, start]
                if kept < 1.0:
                    played = prob + parts.low[part] * (0.5 - prob)
                    if numbers[row, parts.action[part]] != wp.int64(0):
                        slope += log_slope * bend / played
                    else:
                        slope -= log_slope * bend / (1.0 - played)
                elif numbers[row, parts.action[part]] != wp.int64(0):
                    slope += log_slope * (1.0 - prob)
                else:
                    slope -= log_slope * prob
            gradient[row, start] = slope
        else:
            mean_slope = float(0.0)
            scale_slope = float(0.0)
            if counts:
                scaled = first[row, start]
                mean_slope = log_slope * scaled * second[row, start]
                bend = first[row, parts.second[part]]
                scale_slope = bend * (log_slope * (scaled * scaled - 1.0) + entropy_slope)
            gradient[row, start] = mean_slope
            gradient[row, parts.second[part]] = scale_slope
