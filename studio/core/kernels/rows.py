"""C++ that the row loops of several kernels are made of.

Warp compiles it for CPU and CUDA alike. The loops first find a run of pixels of one triangle, so
that what is left is a loop without branches over plain memory. Fragments share these names: P and
K the image's positions and the row's keys, R the row's rast, `run` pixels from column x on, k the
run's first pixel, `end` the one after its last, `id` its triangle.
"""

from collections.abc import Callable

import warp as wp

from studio.core.kernels.visibility import EMPTY_KEY

HUGE_IMAGE = 16 << 20
"""Bytes from which an image does not stay in the caches until somebody reads it."""

# Moves `end` past empty pixels. NOTHING has every bit that a key can have: eight at a time.
SKIP_EMPTY = """
            while (end + 8 <= run && (K[end] & K[end + 1] & K[end + 2] & K[end + 3] & K[end + 4]
                                      & K[end + 5] & K[end + 6] & K[end + 7]) == NOTHING)
                end += 8;
            while (end < run && K[end] == NOTHING) ++end;
"""

# Writes zeros; where an image is `huge`, past the caches: ordinary stores read every line of memory
# before they write it. Those that go past wait in buffers of their own, which the fence empties.
ZEROS = f"""
    const size_t HUGE_IMAGE = {HUGE_IMAGE};
    auto zeros = [=](float* to, size_t count, const bool huge) {{
    #if !defined(__CUDA_ARCH__)
        if (huge && count >= 64) {{
            typedef float four __attribute__((ext_vector_type(4)));
            const four nothing = 0.0f;
            for (; (size_t)to & 63; --count) *to++ = 0.0f;
            for (; count >= 16; count -= 16, to += 16)
                for (int i = 0; i < 4; ++i) __builtin_nontemporal_store(nothing, (four*)to + i);
            __atomic_thread_fence(__ATOMIC_SEQ_CST);
        }}
    #endif
        memset(to, 0, 4 * count);
    }};
"""

# n_i (ax, ay, e), (bx, by, f) and (cx, cy, g) of triangle `id` at the pixel `column` of the row fy.
TRIANGLE = """
        const int* t = (const int*)tri.data + 3 * (size_t)id;
        const float* p0 = P + 4 * (size_t)t[0];
        const float* p1 = P + 4 * (size_t)t[1];
        const float* p2 = P + 4 * (size_t)t[2];
        const float fx = ((wp::float32)(x + k) + 0.5f) * step_x - 1.0f;
        const float w0 = p0[3], x0 = p0[0] - fx * w0, y0 = p0[1] - fy * w0;
        const float w1 = p1[3], x1 = p1[0] - fx * w1, y1 = p1[1] - fy * w1;
        const float w2 = p2[3], x2 = p2[0] - fx * w2, y2 = p2[1] - fy * w2;
        float ax = y1 * w2 - w1 * y2, ay = w1 * x2 - x1 * w2, e = x1 * y2 - y1 * x2;
        float bx = y2 * w0 - w2 * y0, by = w2 * x0 - x2 * w0, f = x2 * y0 - y2 * x0;
        float cx = y0 * w1 - w0 * y1, cy = w0 * x1 - x0 * w1, g = x0 * y1 - y0 * x1;
        float total = e + f + g;
        float total_x = ax + bx + cx;
        float total_y = ay + by + cy;
"""

# One pixel, d from the run's begin. Clamped: a pixel on an edge may be outside by a rounding error.
BARYCENTRICS = """
            const float d = (wp::float32)(i - k) * step_x;
            const float sum = total + d * total_x;
            const float r = sum == 0.0f ? 0.0f : 1.0f / sum;
            float u = (e + d * ax) * r;
            float v = (f + d * bx) * r;
            u = u < 1.0f ? u : 1.0f;
            u = u > 0.0f ? u : 0.0f;
            v = v < 1.0f - u ? v : 1.0f - u;
            v = v > 0.0f ? v : 0.0f;
            int bits = (int)(K[i] >> 32);
            bits ^= (bits >> 31) & 0x7fffffff;
            float z;
            memcpy(&z, &bits, 4);
            float* to = R + 4 * (size_t)i;
            to[0] = u;
            to[1] = v;
            to[2] = z;
            to[3] = number;
"""


# `lanes` has a number per channel: on CPU a vector, since the compiler does not make one of loops
# this short. `x AT` is all of x, on CUDA the number in turn of the loop FOR_LANES.
LANES = """
    const int C = CHANNELS;
    #if defined(__CUDA_ARCH__)
    typedef float lanes[WIDE];
    #define AT [lane]
    #define FOR_LANES for (int lane = 0; lane < C; ++lane)
    #else
    typedef float lanes __attribute__((ext_vector_type(WIDE)));
    #define AT
    #define FOR_LANES
    #endif
"""

# The attributes of the triangle's corners, the first two relative to the third.
CORNERS = """
        const float* a0 = A + C * (size_t)t[0];
        const float* a1 = A + C * (size_t)t[1];
        const float* a2 = A + C * (size_t)t[2];
        lanes from_0 = {}, from_1 = {};
        for (int c = 0; c < C; ++c) {
            from_0[c] = a0[c] - a2[c];
            from_1[c] = a1[c] - a2[c];
        }
"""

VECTORS = "#pragma clang loop vectorize(enable) vectorize_width(8) interleave_count(1)"


def native(source: str, **numbers: int) -> Callable:
    """The decorator that makes `source` the body of a kernel function.

    VECTORS before a loop asks for vectors and allows sums in another order, without which they
    would not become any. Further names in capitals are given as `numbers`.
    """
    source = source.replace("VECTORS", VECTORS).replace("NOTHING", f"{EMPTY_KEY}ll")
    for name, value in numbers.items():
        source = source.replace(name, str(value))
    return wp.func_native(source)


def wide(channels: int) -> int:
    """Channels with what fills up the last vector of four."""
    return channels if channels < 3 else -(-channels // 4) * 4
