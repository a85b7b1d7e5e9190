"""What a row says of one *part* of a policy's heads (one choice, one bit, one Gaussian dim), and the gradient of that.

Functions of Warp, for the kernels that go over the rows: :mod:`headctl.policy.kernels`. The equations
are those of :mod:`headctl.policy.discrete` and :mod:`headctl.policy.continuous`, which are the reference:

* A choice among the legal ones with logits ``l_k`` and a probability floor ``eps``: ``p = softmax(l)``,
  ``q = p + eps (1/n - p)``, log-probability ``log q_a``, entropy ``H = -sum q log q``, capacity ``log n``. Gradients:
  ``d log q_a / d l_k = (1 - eps) p_a / q_a ([k = a] - p_k)`` and
  ``d H / d l_k = -(1 - eps) p_k (log q_k - sum_j p_j log q_j)``.
* A bit: a choice between the logits 0 and ``x``.
* A Gaussian dim with ``s = log_std = min + span sigmoid(r)`` and ``z = (a - m) exp(-s)``:
  ``-z^2 / 2 - s - log sqrt(2 pi)`` and ``s + log sqrt(2 pi e)``. Gradients: ``z exp(-s)`` for the mean;
  ``z^2 - 1`` and 1 for ``s``.

Shapes: B rows, P outputs of the network, H heads, Q parts, K choices.
"""

import math

import warp as wp

from headctl.policy.elementary import exp_of, log_of

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
LOG_ZERO = wp.constant(wp.float32(-3.4028234663852886e38))
LOG_2 = wp.constant(wp.float32(math.log(2.0)))
LOG_SQRT_2PI = wp.constant(wp.float32(0.5 * math.log(2.0 * math.pi)))
GAUSSIAN_ENTROPY = wp.constant(wp.float32(0.5 * math.log(2.0 * math.pi * math.e)))


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
    source: int,
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
    # No branch hangs on what is legal: half of them would be mispredicted.
    largest = LOG_ZERO
    legal = int(0)
    for k in range(size):
        allowed = is_legal(masks, source, mask, k)
        logit = wp.where(allowed, params[row, start + k], LOG_ZERO)
        legal += int(allowed)
        largest = wp.max(largest, logit)
        second[row, start + k] = logit
    if legal == 0:
        if draw:
            numbers[source, column] = wp.int64(wp.min(int(uniform[source, column] * float(size)), size - 1))
        for k in range(size):
            first[row, start + k] = 0.0
            second[row, start + k] = 0.0
        told.log_prob = -log_of(float(size))
        if parts.kind[part] == _CHOICE:
            told.entropy = log_of(float(size))
            told.capacity = log_of(float(size))
        return told
    total = float(0.0)
    for k in range(size):
        allowed = is_legal(masks, source, mask, k)
        shifted = second[row, start + k] - largest
        weight = wp.where(allowed, exp_of(shifted), 0.0)  # NaN, whatever ``max`` has made of it, is in the sum at last
        total += weight
        first[row, start + k] = weight
        second[row, start + k] = wp.where(allowed, shifted, LOG_ZERO)
    log_total = log_of(total)
    scale = 1.0 / total
    entropy = float(0.0)
    for k in range(size):
        prob = first[row, start + k] * scale
        log_prob = second[row, start + k] - log_total
        log_prob = wp.where(log_prob < LOG_ZERO, LOG_ZERO, log_prob)  # logits may differ by more than a float holds
        first[row, start + k] = prob
        second[row, start + k] = log_prob
        entropy -= prob * log_prob
    share = 1.0 / float(legal)
    if floor > 0.0:
        entropy = float(0.0)
        for k in range(size):
            if is_legal(masks, source, mask, k):
                prob = first[row, start + k]
                played = prob + floor * (share - prob)
                log_prob = log_of(played)
                second[row, start + k] = log_prob
                entropy -= played * log_prob
    if draw:
        summed = float(0.0)
        drawn = int(-1)
        for k in range(size):
            if is_legal(masks, source, mask, k):
                prob = first[row, start + k]
                played = prob + floor * (share - prob)
                if (drawn < 0 or summed <= uniform[source, column]) and (played > 0.0 or drawn < 0):
                    drawn = k
                summed += played
        numbers[source, column] = wp.int64(drawn)
    told.entropy = entropy
    told.log_prob = second[row, start + int(numbers[source, column])]
    if legal > 1:
        told.choice = 1.0
        told.capacity = log_of(float(legal))
    return told


@wp.func
def tell_bit(
    parts: Parts,
    part: int,
    row: int,
    source: int,
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
    if not is_legal(masks, source, parts.mask[part], 0):
        first[row, start] = 0.0
        second[row, start] = 0.0
        if draw:
            numbers[source, column] = wp.int64(0)
        if numbers[source, column] != wp.int64(0):
            told.log_prob = LOG_ZERO
        return told
    floor = parts.low[part]
    logit = params[row, start]
    largest = float(0.0)
    if not logit <= largest:
        largest = logit
    zero = exp_of(-largest)
    one = exp_of(logit - largest)
    total = zero + one
    log_total = log_of(total)
    prob = one / total
    log_zero = -largest - log_total
    log_one = logit - largest - log_total
    if log_one < LOG_ZERO:
        log_one = LOG_ZERO
    played_zero = zero / total
    played_one = prob
    if floor > 0.0:
        played_zero = played_zero + floor * (0.5 - played_zero)
        played_one = prob + floor * (0.5 - prob)
        log_zero = log_of(played_zero)
        log_one = log_of(played_one)
    if draw:
        if uniform[source, column] < played_one:
            numbers[source, column] = wp.int64(1)
        else:
            numbers[source, column] = wp.int64(0)
    told.log_prob = log_zero
    if numbers[source, column] != wp.int64(0):
        told.log_prob = log_one
    told.entropy = -(played_zero * log_zero + played_one * log_one)
    told.capacity = LOG_2
    told.choice = 1.0
    first[row, start] = prob
    second[row, start] = log_one - log_zero
    return told


@wp.func
def tell_gaussian(
    parts: Parts,
    part: int,
    row: int,
    source: int,
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
    inside = 1.0 / (1.0 + exp_of(-params[row, scale_column]))
    log_std = parts.low[part] + parts.span[part] * inside
    inverse = exp_of(-log_std)
    if draw:
        reals[source, column] = mean + exp_of(log_std) * normal[source, column]
    scaled = (reals[source, column] - mean) * inverse
    told.log_prob = -0.5 * scaled * scaled - log_std - LOG_SQRT_2PI
    told.entropy = log_std + GAUSSIAN_ENTROPY
    told.capacity = parts.capacity[part]
    told.choice = 1.0
    first[row, mean_column] = scaled
    first[row, scale_column] = parts.span[part] * inside * (1.0 - inside)
    second[row, mean_column] = inverse
    return told


@wp.func
def tell_part(
    parts: Parts,
    part: int,
    row: int,
    source: int,
    draw: bool,
    params: wp.array2d(dtype=wp.float32),
    masks: wp.array2d(dtype=wp.bool),
    uniform: wp.array2d(dtype=wp.float32),
    normal: wp.array2d(dtype=wp.float32),
    numbers: wp.array2d(dtype=wp.int64),
    reals: wp.array2d(dtype=wp.float32),
    first: wp.array2d(dtype=wp.float32),
    second: wp.array2d(dtype=wp.float32),
) -> Told:
    """As :func:`tell_choice`, of whatever kind the part is.

    ``row`` is where the outputs of the network stand and what the gradient needs, ``source`` is where masks, actions
    and random numbers do.
    """
    told = Told()
    kind = parts.kind[part]
    if kind == _CHOICE or kind == _PART:
        told = tell_choice(parts, part, row, source, draw, params, masks, uniform, numbers, first, second)
    elif kind == _BIT:
        told = tell_bit(parts, part, row, source, draw, params, masks, uniform, numbers, first, second)
    else:
        told = tell_gaussian(parts, part, row, source, draw, params, normal, reals, first, second)
    return told


@wp.func
def part_gradient(
    parts: Parts,
    part: int,
    row: int,
    source: int,
    counts: bool,
    log_slope: float,
    entropy_slope: float,
    masks: wp.array2d(dtype=wp.bool),
    numbers: wp.array2d(dtype=wp.int64),
    first: wp.array2d(dtype=wp.float32),
    second: wp.array2d(dtype=wp.float32),
    gradient: wp.array2d(dtype=wp.float32),
) -> None:
    """Takes the slopes of a head's log-probability and entropy back to the outputs that belong to one of its parts.

    ``counts`` is false where the head counts for nothing; ``row`` and ``source`` are as in :func:`tell_part`.
    """
    kind = parts.kind[part]
    start = parts.param[part]
    if kind == _CHOICE or kind == _PART:
        size = parts.size[part]
        kept = 1.0 - parts.low[part]
        if counts:
            chosen = int(numbers[source, parts.action[part]])
            pull = log_slope
            if kept < 1.0:
                pull = log_slope * kept * first[row, start + chosen] / exp_of(second[row, start + chosen])
            mean = float(0.0)
            for k in range(size):
                mean += first[row, start + k] * second[row, start + k]
            for k in range(size):
                prob = first[row, start + k]
                slope = float(0.0)
                if prob > 0.0:  # else the logarithm may be as large as a float
                    slope = -prob * (pull + entropy_slope * kept * (second[row, start + k] - mean))
                if k == chosen and is_legal(masks, source, parts.mask[part], k):
                    slope += pull
                gradient[row, start + k] = slope
        else:
            for k in range(size):
                gradient[row, start + k] = 0.0
    elif kind == _BIT:
        slope = float(0.0)
        if counts and is_legal(masks, source, parts.mask[part], 0):
            kept = 1.0 - parts.low[part]
            prob = first[row, start]
            bend = kept * prob * (1.0 - prob)
            # H' = -bend (log q_1 - log q_0); log q_a bends by the same over q_a, which is 1 - p_a without a floor.
            slope = -entropy_slope * bend * second[row, start]
            if kept < 1.0:
                played = prob + parts.low[part] * (0.5 - prob)
                if numbers[source, parts.action[part]] != wp.int64(0):
                    slope += log_slope * bend / played
                else:
                    slope -= log_slope * bend / (1.0 - played)
            elif numbers[source, parts.action[part]] != wp.int64(0):
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
