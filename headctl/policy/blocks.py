"""What a block of 16 rows says of one part of a policy's heads, and the gradient of that, on the CPU.

The equations are those of :mod:`headctl.policy.parts`, which is the reference and goes row by row. Here the rows of a
block lie side by side, so that a loop over them becomes vector instructions. Warp's own language hides from the
compiler that arrays do not overlap, and it makes vectors of few such loops; so these two functions are written in C++,
which Warp compiles together with the kernel that calls them. ``L`` is the number of rows in a block, ``i`` one of them.

A block is always whole, and all of it goes through the same instructions: what a row gets depends neither on the rows
around it nor on their number. Rows past the last one compute along, and nothing of them is stored in the rollout.

Shapes: B rows in whole blocks, S rows of the rollout, P outputs of the network, H heads, K choices. Arrays over outputs
and heads have one row per output or head, ``[P, B]`` and ``[H, B]``: the rows of a block are neighbours in memory.
"""

import math

import warp as wp

from headctl.policy.parts import BIT, CHOICE, GAUSSIAN, Parts

# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.
# pyright: reportInvalidTypeForm=false, reportCallIssue=false, reportArgumentType=false, reportGeneralTypeIssues=false
# ruff: noqa: FBT001, PLR0917  - that language has no keyword arguments, and it is C++ that reads these

ROWS = 16
"""Rows of a block: two vectors of eight."""

OPTIONS = {
    "enable_backward": False,
    "cpu_compiler_flags": f"{wp.config.cpu_compiler_flags or '-march=native'} -ffp-contract=fast",
}
"""Module options of the kernels that call these functions; a product and a sum are rounded once."""

MATH = (
    f"""
constexpr int L = {ROWS};
constexpr float LOWEST = -3.4028234663852886e38f;
"""
    """// exp_of and log_of of headctl.policy.elementary. NaN stays.
auto exp_of = [](float x) {
    float safe = x < -87.0f ? -87.0f : (x > 88.0f ? 88.0f : x);
    safe = x == x ? safe : 0.0f;
    float power = (float)((int)(safe * 1.4426950f + 128.5f) - 128);  // rounded: what is cast is positive
    float r = safe - power * 0.693359375f + power * 2.1219444e-4f;
    float p = 1.9875691e-4f * r + 1.3981999e-3f;
    p = (((p * r + 8.3334519e-3f) * r + 4.1665796e-2f) * r + 0.16666665f) * r + 0.5f;
    float value = (p * r * r + r + 1.0f) * __builtin_bit_cast(float, ((int)power + 127) << 23);
    return x == x ? value : x;
};
auto log_of = [](float x) {
    int bits = __builtin_bit_cast(int, x);
    int power = (bits - 0x3F3504F3) >> 23;
    float r = __builtin_bit_cast(float, bits - (power << 23)) - 1.0f;
    float e = (float)power, z = r * r;
    float p = ((7.0376836e-2f * r - 0.11514610f) * r + 0.11676999f) * r - 0.12420141f;
    p = (((p * r + 0.14249323f) * r - 0.16668058f) * r + 0.20000715f) * r - 0.24999994f;
    p = (p * r + 0.33333331f) * r * z;
    return x == x ? r + (p - 2.1219444e-4f * e - 0.5f * z) + 0.693359375f * e : x;
};
"""
)
"""Numbers of rows and functions, for this and other C++."""

_COMMON = f"""{MATH}
constexpr int CHOICE = {CHOICE}, BIT = {BIT}, GAUSSIAN = {GAUSSIAN};
constexpr float LOG_2 = {math.log(2.0)}f, LOG_SQRT_2PI = {0.5 * math.log(2.0 * math.pi)}f;
constexpr float GAUSSIAN_ENTROPY = {0.5 * math.log(2.0 * math.pi * math.e)}f;
const int kind = parts.kind.data[part], head = parts.head.data[part];
const int start = parts.param.data[part], scale_column = parts.second.data[part], size = parts.size.data[part];
const int mask = parts.mask.data[part], action = parts.action.data[part];
const float low = parts.low.data[part], span = parts.span.data[part];
int source[L];  // where the rows stand in the rollout
for (int i = 0; i < L; ++i) source[i] = offset + (int)index.data[row + i];
auto line = [&](auto& array, int column) {{ return &wp::index(array, column, row); }};
auto is_legal = [&](int i, int k) {{ return mask < 0 || wp::index(masks, source[i], mask + k) ? 1.0f : 0.0f; }};
const long step = first.strides[0] / (long)sizeof(float);  // from output to output
float* __restrict p = line(first, start);
float* __restrict q = line(second, start);
"""
"""What both functions begin with."""

_TELL_CHOICE = """
float largest[L], legal[L], total[L], sum[L], log_total[L], scale[L], allowed[L];
auto look = [&](int k) {
    for (int i = 0; i < L; ++i) allowed[i] = is_legal(i, k);
};
for (int i = 0; i < L; ++i) largest[i] = LOWEST, legal[i] = total[i] = sum[i] = 0.0f;
for (int k = 0; k < size; ++k) {
    look(k);
    for (int i = 0; i < L; ++i) {
        float logit = allowed[i] > 0.0f ? x[k * x_step + i] : LOWEST;
        legal[i] += allowed[i];
        largest[i] = logit > largest[i] ? logit : largest[i];
        p[k * step + i] = allowed[i];
        q[k * step + i] = logit;
    }
}
for (int k = 0; k < size; ++k)
    for (int i = 0; i < L; ++i) {
        bool open = p[k * step + i] > 0.0f;
        float shifted = q[k * step + i] - largest[i];
        float weight = open ? exp_of(shifted) : 0.0f;  // NaN, which is never the largest, is in the sum at last
        total[i] += weight;
        p[k * step + i] = weight;
        q[k * step + i] = open ? shifted : LOWEST;
    }
for (int i = 0; i < L; ++i) log_total[i] = log_of(total[i]), scale[i] = 1.0f / total[i];
for (int k = 0; k < size; ++k)
    for (int i = 0; i < L; ++i) {
        float log_q = q[k * step + i] - log_total[i];
        log_q = log_q < LOWEST ? LOWEST : log_q;  // logits may differ by more than a float holds
        float prob = p[k * step + i] * scale[i];
        prob = legal[i] > 0.0f ? prob : 0.0f;
        log_q = legal[i] > 0.0f ? log_q : 0.0f;
        p[k * step + i] = prob;
        q[k * step + i] = log_q;
        sum[i] -= prob * log_q;
    }
auto played = [&](int k, int i) { return p[k * step + i] + low * (1.0f / legal[i] - p[k * step + i]); };
if (low > 0.0f) {
    for (int i = 0; i < L; ++i) sum[i] = 0.0f;
    for (int k = 0; k < size; ++k) {
        look(k);
        for (int i = 0; i < L; ++i) {
            float prob = played(k, i), log_q = log_of(prob);
            q[k * step + i] = allowed[i] > 0.0f ? log_q : q[k * step + i];
            sum[i] -= allowed[i] > 0.0f ? prob * log_q : 0.0f;
        }
    }
}
if (draw) {
    float summed[L], drawn[L], below[L];
    for (int i = 0; i < L; ++i) summed[i] = 0.0f, drawn[i] = -1.0f, below[i] = wp::index(uniform, source[i], action);
    for (int k = 0; k < size; ++k) {
        look(k);
        for (int i = 0; i < L; ++i) {
            float prob = allowed[i] > 0.0f ? played(k, i) : 0.0f;
            bool none = drawn[i] < 0.0f;
            bool taken = (allowed[i] > 0.0f) & (none | ((summed[i] <= below[i]) & (prob > 0.0f)));
            drawn[i] = taken ? (float)k : drawn[i];
            summed[i] += prob;
        }
    }
    for (int i = 0; i < there; ++i) {
        int any = wp::min((int)(below[i] * (float)size), size - 1);  // where nothing is legal
        wp::index(numbers, source[i], action) = legal[i] > 0.0f ? (int)drawn[i] : any;
    }
}
float log_size = log_of((float)size), chosen[L];
for (int i = 0; i < L; ++i) chosen[i] = q[(int)wp::index(numbers, source[i], action) * step + i];
for (int i = 0; i < L; ++i) {
    float many = log_of(legal[i] > 1.0f ? legal[i] : 1.0f), none = kind == CHOICE ? log_size : 0.0f;
    bool any = legal[i] > 0.0f;
    log_prob[i] += any ? chosen[i] : -log_size;
    entropy[i] += any ? sum[i] : none;
    capacity[i] += any ? many : none;
    choices[i] = legal[i] > 1.0f ? 1.0f : choices[i];
}
"""

_TELL_BIT = """
float set[L], legal[L], log_zero[L], log_one[L], played_zero[L], played_one[L];
for (int i = 0; i < L; ++i) {
    float logit = x[i], largest = logit <= 0.0f ? 0.0f : logit;  // NaN stays
    float zero = exp_of(-largest), one = exp_of(logit - largest), total = zero + one, log_total = log_of(total);
    float log_q = logit - largest - log_total;
    log_zero[i] = -largest - log_total;
    log_one[i] = log_q < LOWEST ? LOWEST : log_q;
    played_zero[i] = zero / total;
    played_one[i] = p[i] = one / total;
}
if (low > 0.0f)
    for (int i = 0; i < L; ++i) {
        played_zero[i] += low * (0.5f - played_zero[i]);
        played_one[i] += low * (0.5f - played_one[i]);
        log_zero[i] = log_of(played_zero[i]);
        log_one[i] = log_of(played_one[i]);
    }
for (int i = 0; i < L; ++i) legal[i] = is_legal(i, 0);
if (draw)
    for (int i = 0; i < there; ++i)
        wp::index(numbers, source[i], action) =
            legal[i] > 0.0f && wp::index(uniform, source[i], action) < played_one[i] ? 1 : 0;
for (int i = 0; i < L; ++i) set[i] = wp::index(numbers, source[i], action) != 0 ? 1.0f : 0.0f;
for (int i = 0; i < L; ++i) {
    bool open = legal[i] > 0.0f;
    float chosen = set[i] > 0.0f ? log_one[i] : log_zero[i], closed = set[i] > 0.0f ? LOWEST : 0.0f;
    log_prob[i] += open ? chosen : closed;
    entropy[i] -= open ? played_zero[i] * log_zero[i] + played_one[i] * log_one[i] : 0.0f;
    capacity[i] += open ? LOG_2 : 0.0f;
    choices[i] = open ? 1.0f : choices[i];
    p[i] = open ? p[i] : 0.0f;
    q[i] = open ? log_one[i] - log_zero[i] : 0.0f;
}
"""

_TELL_GAUSSIAN = """
const float* __restrict raw = line(outputs, scale_column);
float* __restrict bend = line(first, scale_column);
float real[L], log_std[L];
const float reach = parts.capacity.data[part];
for (int i = 0; i < L; ++i) {
    float inside = 1.0f / (1.0f + exp_of(-raw[i]));
    log_std[i] = low + span * inside;
    q[i] = exp_of(-log_std[i]);
    bend[i] = span * inside * (1.0f - inside);
}
if (draw) {
    float std[L];
    for (int i = 0; i < L; ++i) std[i] = exp_of(log_std[i]);
    for (int i = 0; i < there; ++i)
        wp::index(reals, source[i], action) = x[i] + std[i] * wp::index(normal, source[i], action);
}
for (int i = 0; i < L; ++i) real[i] = wp::index(reals, source[i], action);
for (int i = 0; i < L; ++i) {
    float z = (real[i] - x[i]) * q[i];
    p[i] = z;
    log_prob[i] += -0.5f * z * z - log_std[i] - LOG_SQRT_2PI;
    entropy[i] += log_std[i] + GAUSSIAN_ENTROPY;
    capacity[i] += reach;
    choices[i] = 1.0f;
}
"""


@wp.func_native(
    f"""{_COMMON}
const float* __restrict x = line(outputs, start);
const long x_step = outputs.strides[0] / (long)sizeof(float);
float* __restrict log_prob = line(log_probs, head);
float* __restrict entropy = line(entropies, head);
float* __restrict capacity = line(capacities, head);
float* __restrict choices = line(choice, head);
if (kind == BIT) {{{_TELL_BIT}}}
else if (kind == GAUSSIAN) {{{_TELL_GAUSSIAN}}}
else {{{_TELL_CHOICE}}}
"""
)
def tell_part_of_rows(
    parts: Parts,
    part: int,
    row: int,
    there: int,
    offset: int,
    draw: bool,
    index: wp.array(dtype=wp.int64),
    outputs: wp.array2d(dtype=wp.float32),
    masks: wp.array2d(dtype=wp.bool),
    uniform: wp.array2d(dtype=wp.float32),
    normal: wp.array2d(dtype=wp.float32),
    numbers: wp.array2d(dtype=wp.int64),
    reals: wp.array2d(dtype=wp.float32),
    first: wp.array2d(dtype=wp.float32),
    second: wp.array2d(dtype=wp.float32),
    log_probs: wp.array2d(dtype=wp.float32),
    entropies: wp.array2d(dtype=wp.float32),
    capacities: wp.array2d(dtype=wp.float32),
    choice: wp.array2d(dtype=wp.float32),
) -> None:
    """Draws where asked to, and adds what the rows say of a part to what they say of its head.

    Args:
        parts: The parts of all heads.
        part: Which of them.
        row: First row of the block.
        there: How many rows of it there are; of the others no action is drawn.
        offset: Added to the numbers in ``index``.
        draw: Whether actions are drawn; else they are given.
        index: Where masks, actions and random numbers of the rows stand in the rollout, of every row a valid number
            ``[B]``.
        outputs: Outputs of the network ``[P, B]``.
        masks: Masks of all masked heads ``[S, ...]``.
        uniform: Numbers in [0, 1) per numbered action ``[S, ...]``, read when drawing.
        normal: Standard normal numbers per real action ``[S, ...]``, read when drawing.
        numbers: Numbered actions ``[S, ...]``.
        reals: Real actions ``[S, ...]``.
        first: Written for the gradient ``[P, B]``: ``p_k`` of a choice, ``p_1`` of a bit, ``z`` and ``d s / d r`` of a
            dim.
        second: Likewise: ``log q_k``, ``log q_1 - log q_0``, ``exp(-s)``.
        log_probs: Added to ``[H, B]``.
        entropies: Added to ``[H, B]``.
        capacities: Added to ``[H, B]``.
        choice: Set to 1 where there was a choice ``[H, B]``.
    """


_CHOICE_GRADIENT = """
float chosen[L], pull[L], mean[L], own[L];
for (int i = 0; i < L; ++i) {
    int taken = (int)wp::index(numbers, source[i], action);
    chosen[i] = (float)taken;
    // d log q_a / d log p_a, which is 1 without a floor
    float share = low > 0.0f ? kept * p[taken * step + i] / exp_of(q[taken * step + i]) : 1.0f;
    pull[i] = log_slope * slope[i] * share;
    own[i] = is_legal(i, taken) * pull[i];
    mean[i] = 0.0f;
}
for (int k = 0; k < size; ++k)
    for (int i = 0; i < L; ++i) mean[i] += p[k * step + i] * q[k * step + i];
for (int k = 0; k < size; ++k)
    for (int i = 0; i < L; ++i) {
        float prob = p[k * step + i];
        float away = -prob * (pull[i] + entropy_slope * kept * (q[k * step + i] - mean[i]));
        away = prob > 0.0f ? away : 0.0f;  // else the logarithm may be as large as a float
        away += chosen[i] == (float)k ? own[i] : 0.0f;
        g[k * out_step + i] = count[i] > 0.0f ? away : 0.0f;
    }
"""

_BIT_GRADIENT = """
float set[L], legal[L];
for (int i = 0; i < L; ++i) {
    set[i] = wp::index(numbers, source[i], action) != 0 ? 1.0f : 0.0f;
    legal[i] = is_legal(i, 0);
}
for (int i = 0; i < L; ++i) {
    // H' = -bend (log q_1 - log q_0); log q_a bends by the same over q_a, which is 1 - p_a without a floor.
    float bend = kept * p[i] * (1.0f - p[i]), played = p[i] + low * (0.5f - p[i]);
    float up = low > 0.0f ? bend / played : 1.0f - p[i];
    float down = low > 0.0f ? bend / (1.0f - played) : p[i];
    float away = log_slope * slope[i] * (set[i] > 0.0f ? up : -down) - entropy_slope * bend * q[i];
    g[i] = count[i] * legal[i] > 0.0f ? away : 0.0f;
}
"""

_GAUSSIAN_GRADIENT = """
const float* __restrict bend = line(first, scale_column);
float* __restrict of_scale = line(gradient, scale_column);
for (int i = 0; i < L; ++i) {
    float pull = log_slope * slope[i];
    float mean_slope = pull * p[i] * q[i];
    float scale_slope = bend[i] * (pull * (p[i] * p[i] - 1.0f) + entropy_slope);
    g[i] = count[i] > 0.0f ? mean_slope : 0.0f;
    of_scale[i] = count[i] > 0.0f ? scale_slope : 0.0f;
}
"""


@wp.func_native(
    f"""{_COMMON}
const float* __restrict count = line(weight, head);
const float* __restrict slope = line(slopes, 0);
float* __restrict g = line(gradient, start);
const long out_step = gradient.strides[0] / (long)sizeof(float);
const float kept = 1.0f - low;
if (kind == BIT) {{{_BIT_GRADIENT}}}
else if (kind == GAUSSIAN) {{{_GAUSSIAN_GRADIENT}}}
else {{{_CHOICE_GRADIENT}}}
"""
)
def part_gradient_of_rows(
    parts: Parts,
    part: int,
    row: int,
    offset: int,
    log_slope: float,
    entropy_slope: float,
    index: wp.array(dtype=wp.int64),
    masks: wp.array2d(dtype=wp.bool),
    numbers: wp.array2d(dtype=wp.int64),
    first: wp.array2d(dtype=wp.float32),
    second: wp.array2d(dtype=wp.float32),
    weight: wp.array2d(dtype=wp.float32),
    slopes: wp.array2d(dtype=wp.float32),
    gradient: wp.array2d(dtype=wp.float32),
) -> None:
    """Takes the slopes of a head's log-probability and entropy back to the outputs that belong to one of its parts.

    Args:
        parts: As in :func:`tell_part_of_rows`.
        part: As there.
        row: As there.
        offset: As there.
        log_slope: What the slope of the log-ratio is multiplied by.
        entropy_slope: That of the head's entropy.
        index: As there.
        masks: As there.
        numbers: As there.
        first: As it left it.
        second: As it left it.
        weight: 0 where a head counts for nothing ``[H, B]``.
        slopes: The first row is the slope of the log-ratio ``[2, B]``.
        gradient: Written ``[P, B]``.
    """
