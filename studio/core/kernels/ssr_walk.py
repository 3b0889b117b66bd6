"""The steps of a screen-space ray, as C++ that Warp compiles for CPU and CUDA alike.

On CPU a block of steps is one loop without branches, then one that looks for a crossing.
"""

from __future__ import annotations

import warp as wp

from studio.core.kernels.rows import VECTORS

wp.set_module_options({"enable_backward": False})

_WALK = """
    const int BLOCK = 16;
    const float* D = (const float*)depth.data + base;
    const float last_x = width - 1.0f, last_y = height - 1.0f;
    int at[BLOCK];
    float here[BLOCK], z[BLOCK];
    for (int i = begin; i < count; i += BLOCK) {
        VECTORS
        for (int j = 0; j < BLOCK; ++j) {
            const float u = first + (float)(i + 1 + j) * step;
            float x = xy[0] + u * run[0], y = xy[1] + u * run[1];
            x = x > 0.0f ? x : 0.0f;
            y = y > 0.0f ? y : 0.0f;
            x = x < last_x ? x : last_x;
            y = y < last_y ? y : last_y;
            at[j] = (int)y * width + (int)x;
            here[j] = k + u * dk;
        }
        for (int j = 0; j < BLOCK; ++j) z[j] = D[at[j]];
        const int end = count - i < BLOCK ? count - i : BLOCK;
        for (int j = 0; j < end; ++j) {
            const bool front = z[j] * here[j] > 1.0f;
            if (before && !front) return i + j;
            before = front;
        }
    }
    return count;
""".replace("VECTORS", VECTORS)


_CROSSING = """
    const float* D = (const float*)depth.data + base;
    float inverse_x, inverse_y;  // slopes of the value, by pixel
    auto inverse = [&](float u) {
        const float x = xy[0] + u * run[0] - 0.5f, y = xy[1] + u * run[1] - 0.5f;
        const float cx = floorf(x), cy = floorf(y);
        const float fx = x - cx, fy = y - cy;
        const int i = (int)cx, j = (int)cy;
        const int left = i < 0 ? 0 : i < width ? i : width - 1;
        const int right = i < -1 ? 0 : i + 1 < width ? i + 1 : width - 1;
        const float* low = D + (size_t)(j < 0 ? 0 : j < height ? j : height - 1) * width;
        const float* high = D + (size_t)(j < -1 ? 0 : j + 1 < height ? j + 1 : height - 1) * width;
        const float a = 1.0f / low[left], b = 1.0f / low[right];
        const float c = 1.0f / high[left], d = 1.0f / high[right];
        const float bottom = a + fx * (b - a), top = c + fx * (d - c);
        inverse_x = (b - a) + fy * ((d - c) - (b - a));
        inverse_y = top - bottom;
        return bottom + fy * (top - bottom);
    };
    // The nearest pixel may belong to the surface that the ray comes from.
    if (inverse(hi) < k + hi * dk) return -1.0f;
    float a = lo, b = hi;
    for (int i = 0; i < bisections; ++i) {
        const float u = 0.5f * (a + b);
        const bool behind = inverse(u) >= k + u * dk;  // no branch: half would be guessed wrong
        a = behind ? a : u;
        b = behind ? u : b;
    }
    float u = 0.5f * (a + b);
    for (int i = 0; i < 2; ++i) {
        const float value = inverse(u) - k - u * dk;
        const float slope = inverse_x * run[0] + inverse_y * run[1] - dk;
        if (slope * pixel > 1.0e-5f * k) {
            const float move = value / slope;
            u -= move < -pixel ? -pixel : move > pixel ? pixel : move;
        }
    }
    return u < 0.0f ? 0.0f : u < 1.0f ? u : 1.0f;
"""


# Root of K(xy) - 1 / z between parts lo (before the nearest pixel's surface) and hi (behind it) of
# the segment that begins at xy with inverse depth k and goes by run and dk; negative where hi is
# not behind the bilinear surface. pixel: one pixel as a part of the segment.
@wp.func_native(_CROSSING)
def crossing(
    depth: wp.array(dtype=float),
    base: int,
    width: int,
    height: int,
    xy: wp.vec2,
    run: wp.vec2,
    k: float,
    dk: float,
    lo: float,
    hi: float,
    bisections: int,
    pixel: float,
) -> float: ...


# The first step from `begin` on that ends behind the nearest pixel's surface after one that ended in
# front of it; `count` if there is none. Step i ends at the part first + (i + 1) step of the segment;
# before: whether the step before `begin` ended in front. (What returns something must be
# decorated like this, without a docstring.)
@wp.func_native(_WALK)
def walk(
    depth: wp.array(dtype=float),
    base: int,
    width: int,
    height: int,
    xy: wp.vec2,
    run: wp.vec2,
    k: float,
    dk: float,
    first: float,
    step: float,
    begin: int,
    count: int,
    before: bool,
) -> int: ...
