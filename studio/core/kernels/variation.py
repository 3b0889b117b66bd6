"""Sums over the texels of a picture that regularizers are made of, and their adjoint.

Of [S, T, C] values v: (weighted absolute differences of neighbours, weighted sum, weighted sum of
squares). Neighbours are the next of the row and of the column; behind the last comes the first,
which weights of 0 leave out.
"""

from __future__ import annotations

import warp as wp

wp.set_module_options({"enable_backward": False})

_SETUP = """
    const int C = values.shape[1], height = values.shape[0] / width;
    const float* v = (const float*)values.data;
    const float *w = (const float*)weight.data, *a = (const float*)across.data, *u = (const float*)along.data;
"""


@wp.func_native(
    _SETUP
    + """
    float variation = 0.0f, total = 0.0f, squares = 0.0f;
    for (int t = first; t < first + run; ++t) {
        const int x = t % width, y = t / width;
        const int right = x + 1 < width ? t + 1 : t + 1 - width;
        const int above = y + 1 < height ? t + width : x;
        for (int c = 0; c < C; ++c) {
            const float own = v[t * C + c];
            variation += a[t] * fabsf(v[right * C + c] - own) + u[t] * fabsf(v[above * C + c] - own);
            total += w[t] * own;
            squares += w[t] * own * own;
        }
    }
    float* to = (float*)sums.data;
    wp::atomic_add(to, variation);
    wp::atomic_add(to + 1, total);
    wp::atomic_add(to + 2, squares);
    """
)
def add_up(
    first: int,
    run: int,
    width: int,
    values: wp.array2d(dtype=float),
    weight: wp.array(dtype=float),
    across: wp.array(dtype=float),
    along: wp.array(dtype=float),
    sums: wp.array(dtype=float),
): ...


@wp.func_native(
    _SETUP
    + """
    const float* g = (const float*)upstream.data;
    float* to = (float*)g_values.data;
    auto sign = [](float d) { return (float)((d > 0.0f) - (d < 0.0f)); };
    for (int t = first; t < first + run; ++t) {
        const int x = t % width, y = t / width;
        const int right = x + 1 < width ? t + 1 : t + 1 - width, left = x > 0 ? t - 1 : t - 1 + width;
        const int above = y + 1 < height ? t + width : x;
        const int below = y > 0 ? t - width : t + (height - 1) * width;
        for (int c = 0; c < C; ++c) {
            const float own = v[t * C + c];
            const float slope = a[t] * sign(own - v[right * C + c]) + a[left] * sign(own - v[left * C + c])
                + u[t] * sign(own - v[above * C + c]) + u[below] * sign(own - v[below * C + c]);
            to[t * C + c] = g[0] * slope + w[t] * (g[1] + 2.0f * g[2] * own);
        }
    }
    """
)
def slopes(
    first: int,
    run: int,
    width: int,
    values: wp.array2d(dtype=float),
    weight: wp.array(dtype=float),
    across: wp.array(dtype=float),
    along: wp.array(dtype=float),
    upstream: wp.array(dtype=float),
    g_values: wp.array2d(dtype=float),
): ...


@wp.kernel
def variation_forward(
    begin: int,
    run: int,
    width: int,
    values: wp.array2d(dtype=float),
    weight: wp.array(dtype=float),
    across: wp.array(dtype=float),
    along: wp.array(dtype=float),
    sums: wp.array(dtype=float),
):
    first = (begin + wp.tid()) * run
    add_up(first, wp.min(run, values.shape[0] - first), width, values, weight, across, along, sums)


@wp.kernel
def variation_backward(
    begin: int,
    run: int,
    width: int,
    values: wp.array2d(dtype=float),
    weight: wp.array(dtype=float),
    across: wp.array(dtype=float),
    along: wp.array(dtype=float),
    upstream: wp.array(dtype=float),
    g_values: wp.array2d(dtype=float),
):
    first = (begin + wp.tid()) * run
    count = wp.min(run, values.shape[0] - first)
    slopes(first, count, width, values, weight, across, along, upstream, g_values)
