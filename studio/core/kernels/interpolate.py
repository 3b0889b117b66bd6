"""Interpolation kernels; a module per channel count (see `channels`).

The loops over a row are C++ that Warp compiles for CPU and CUDA alike (see `rows`): what belongs to
a triangle is fetched once for the pixels it has in a row. On CUDA a thread's row is a single pixel.
Channels may be a part of a longer row: pixels and vertices lie a stride apart. Of each row the
forward pass notes the span of pixels that is not empty, so that the backward pass need not look at
the rest: large pictures take as long as their memory is read.
"""

from types import SimpleNamespace

import warp as wp

from studio.core.kernels.channels import variant
from studio.core.kernels.rows import LANES, ZEROS, native, wide

PLAIN, DERIVATIVES = 1, 2
"""Bits of `mode`: the attributes themselves, their screen derivatives."""
WITH_ATTR, WITH_RAST, WITH_DB = 1, 2, 4
"""Bits of `wanted`: which gradients are asked for."""


def kernels(channels: int) -> SimpleNamespace:
    """`forward` and `backward` for 1..MAX_CHANNELS channels."""
    return variant(__name__, channels, _make)


def warp_modules() -> list:
    """The ones worth compiling ahead: texture coordinates and colour; under textures, where coordinates need
    their derivatives, the G-buffer unlit and shaded, and what is baked. Other fits use the fused kernels."""
    return [kernels(channels).module for channels in (2, 3, 5, 6, 11, 13)]


def _make(module, vec) -> dict:
    pairs = wp.types.vector(length=2 * vec._length_, dtype=wp.float32)
    return {
        "forward": _make_forward(module, vec, pairs),
        "backward": _make_backward(module, vec, pairs),
    }


_ARRAYS = (
    LANES
    + ZEROS
    + """
    const char* A = (const char*)attr.data + (size_t)n * attr.strides[0];
    const size_t vertex = attr.strides[1];
    const int vertices = attr.shape[1], count = tri.shape[0];
    const int* triangles = (const int*)tri.data;
    const float* R = (const float*)rast.data + 4 * (size_t)first;
    const float* D = (const float*)rast_db.data + 4 * (size_t)(derivatives ? first : 0);
    int* S = (int*)spans.data + 2 * (size_t)(first / run);
    const bool huge = 16 * (size_t)rast.shape[0] >= HUGE_IMAGE;
    auto corner = [=](lanes& to, const int number) {
        const float* from = (const float*)(A + vertex * number);
    #if !defined(__CUDA_ARCH__)
        // Whole vectors where a vertex follows: nobody looks at what they have too much.
        if (number + 1 < vertices) {
            memcpy(&to, from, sizeof(lanes));
            return;
        }
    #endif
        for (int c = 0; c < C; ++c) to[c] = from[c];
    };
"""
)

# The triangle t of pixel k, where a run of its pixels begins; null where nothing is, or where a
# vertex has no attributes.
_TRIANGLE = """
        const float number = R[4 * (size_t)k + 3];
        const int id = (int)number - 1;
        const int* t = id >= 0 && id < count ? triangles + 3 * (size_t)id : nullptr;
        for (int i = 0; i < 3; ++i)
            if (t && (t[i] < 0 || t[i] >= vertices)) t = nullptr;
        const int begin = k;
"""

_CORNERS = """
        lanes from_0 = {}, from_1 = {}, base = {};
        corner(from_0, t[0]);
        corner(from_1, t[1]);
        corner(base, t[2]);
        FOR_LANES {
            from_0 AT -= base AT;
            from_1 AT -= base AT;
        }
"""

_FORWARD = (
    _ARRAYS
    + """
    const size_t per_out = out.strides[0] / sizeof(float), per_da = out_da.strides[0] / sizeof(float);
    float* O = (float*)out.data + (plain ? first * per_out : 0);
    float* DA = (float*)out_da.data + (derivatives ? first * per_da : 0);
    auto clear = [=](int from, int to) {
        if (plain && per_out == C) zeros(O + from * per_out, C * (size_t)(to - from), huge);
        else if (plain)
            for (int i = from; i < to; ++i)
                for (int c = 0; c < C; ++c) O[i * per_out + c] = 0.0f;
        if (derivatives)
            for (int i = from; i < to; ++i)
                for (int c = 0; c < 2 * C; ++c) DA[i * per_da + c] = 0.0f;
    };
    const int stop = bounded ? S[1] : run;
    int low = run, high = 0;
    int k = bounded ? S[0] : 0;
    clear(0, k);
    while (k < stop) {
"""
    + _TRIANGLE
    + """
        if (!t) {
            do ++k;
            while (k < stop && R[4 * (size_t)k + 3] == number);
            clear(begin, k);
            continue;
        }
"""
    + _CORNERS
    + """
    #if !defined(__CUDA_ARCH__)
        // Whole vectors, too: what they have too much, the next pixel overwrites.
        const int inner = plain && !derivatives && per_out == C ? (stop < run ? stop : run - 1) : k;
        const float* from = R + 4 * (size_t)k;
        float* to = O + k * (size_t)C;
        for (; k < inner && from[3] == number; ++k, from += 4, to += C) {
            const lanes value = from_0 * from[0] + from_1 * from[1] + base;
            memcpy(to, &value, sizeof(lanes));
        }
    #endif
        for (; k < stop && R[4 * (size_t)k + 3] == number; ++k) {
            if (plain) {
                const float u = R[4 * (size_t)k], v = R[4 * (size_t)k + 1];
                lanes value;
                FOR_LANES value AT = from_0 AT * u + from_1 AT * v + base AT;
                for (int c = 0; c < C; ++c) O[k * per_out + c] = value[c];
            }
            if (derivatives) {
                const float* d = D + 4 * (size_t)k;
                float* to = DA + k * per_da;
                for (int c = 0; c < C; ++c) {
                    to[2 * c] = from_0[c] * d[0] + from_1[c] * d[2];
                    to[2 * c + 1] = from_0[c] * d[1] + from_1[c] * d[3];
                }
            }
        }
        low = begin < low ? begin : low;
        high = k;
    }
    clear(stop, run);
    if (!bounded && spans.shape[0] > 0) {
        S[0] = low < high ? low : 0;
        S[1] = high;
    }
"""
)

_BACKWARD = (
    _ARRAYS
    + """
    const size_t per_out = grad_out.strides[0] / sizeof(float), per_da = grad_da.strides[0] / sizeof(float);
    const float* G = (const float*)grad_out.data + (plain ? first * per_out : 0);
    const float* GDA = (const float*)grad_da.data + (derivatives ? first * per_da : 0);
    char* GA = (char*)grad_attr.data + (with_attr ? (size_t)n * grad_attr.strides[0] : 0);
    float* GR = (float*)grad_rast.data + 4 * (size_t)(with_rast ? first : 0);
    float* GD = (float*)grad_db.data + 4 * (size_t)(with_db ? first : 0);
    const bool spanned = spans.shape[0] > 0;
    const int stop = spanned ? S[1] : run;
    int k = spanned ? S[0] : 0;
    auto clear = [=](int from, int to) {
        if (fresh && with_rast) zeros(GR + 4 * (size_t)from, 4 * (size_t)(to - from), huge);
        if (fresh && with_db) zeros(GD + 4 * (size_t)from, 4 * (size_t)(to - from), huge);
    };
    clear(0, k);
    clear(stop, run);
    while (k < stop) {
"""
    + _TRIANGLE
    + """
        if (!t) {
            do ++k;
            while (k < stop && R[4 * (size_t)k + 3] == number);
            clear(begin, k);
            continue;
        }
"""
    + _CORNERS
    + """
        lanes sum_u = {}, sum_v = {}, sum_1 = {};
        do {
            if (plain) {
                const float u = R[4 * (size_t)k], v = R[4 * (size_t)k + 1];
                lanes g = {}, to_u, to_v;
                for (int c = 0; c < C; ++c) g[c] = G[k * per_out + c];
                FOR_LANES {
                    sum_u AT += g AT * u;
                    sum_v AT += g AT * v;
                    sum_1 AT += g AT;
                    to_u AT = g AT * from_0 AT;
                    to_v AT = g AT * from_1 AT;
                }
                if (with_rast) {
                    float gu = 0.0f, gv = 0.0f;
                    for (int c = 0; c < C; ++c) {
                        gu += to_u[c];
                        gv += to_v[c];
                    }
                    float* to = GR + 4 * (size_t)k;
                    to[0] = fresh ? gu : to[0] + gu;
                    to[1] = fresh ? gv : to[1] + gv;
                    if (fresh) to[2] = to[3] = 0.0f;
                }
            }
            // Derivatives do not depend on the base, so they add nothing to sum_1.
            if (derivatives) {
                const float* d = D + 4 * (size_t)k;
                const float* g = GDA + k * per_da;
                float g0 = 0.0f, g1 = 0.0f, g2 = 0.0f, g3 = 0.0f;
                for (int c = 0; c < C; ++c) {
                    const float gx = g[2 * c], gy = g[2 * c + 1];
                    sum_u[c] += gx * d[0] + gy * d[1];
                    sum_v[c] += gx * d[2] + gy * d[3];
                    g0 += gx * from_0[c];
                    g1 += gy * from_0[c];
                    g2 += gx * from_1[c];
                    g3 += gy * from_1[c];
                }
                if (with_db) {
                    float* to = GD + 4 * (size_t)k;
                    to[0] = fresh ? g0 : to[0] + g0;
                    to[1] = fresh ? g1 : to[1] + g1;
                    to[2] = fresh ? g2 : to[2] + g2;
                    to[3] = fresh ? g3 : to[3] + g3;
                }
            }
            ++k;
        } while (k < stop && R[4 * (size_t)k + 3] == number);
        if (with_attr) {
            const size_t apart = grad_attr.strides[1];
            for (int c = 0; c < C; ++c) {
                wp::atomic_add((float*)(GA + apart * t[0]) + c, sum_u[c]);
                wp::atomic_add((float*)(GA + apart * t[1]) + c, sum_v[c]);
                wp::atomic_add((float*)(GA + apart * t[2]) + c, sum_1[c] - sum_u[c] - sum_v[c]);
            }
        }
    }
"""
)


def _native(source, vec):
    return native(source, CHANNELS=vec._length_, WIDE=wide(vec._length_))


def _make_forward(module, vec, pairs):
    @_native(_FORWARD, vec)
    def row(
        n: int,
        first: int,
        run: int,
        attr: wp.array2d(dtype=vec),
        rast: wp.array(dtype=wp.vec4),
        tri: wp.array(dtype=wp.vec3i),
        rast_db: wp.array(dtype=wp.vec4),
        spans: wp.array2d(dtype=wp.int32),
        bounded: int,
        plain: int,
        derivatives: int,
        out: wp.array(dtype=vec),
        out_da: wp.array(dtype=pairs),
    ): ...

    @wp.kernel(enable_backward=False, module=module)
    def interpolate(
        begin: wp.int32,
        run: wp.int32,
        attr: wp.array2d(dtype=vec),
        rast: wp.array(dtype=wp.vec4),
        tri: wp.array(dtype=wp.vec3i),
        rast_db: wp.array(dtype=wp.vec4),
        spans: wp.array2d(dtype=wp.int32),
        bounded: wp.int32,
        pixels: wp.int32,
        mode: wp.int32,
        out: wp.array(dtype=vec),
        out_da: wp.array(dtype=pairs),
    ):
        """Attributes at the points seen (bit PLAIN) and dA/dX, dA/dY of each (bit DERIVATIVES).

        `spans`: the first pixel that is not empty of each row and the one after the last: given if
        bounded, otherwise noted unless it is empty.
        """
        first = (begin + wp.tid()) * run
        n = wp.min(first // pixels, attr.shape[0] - 1)
        plain = mode & PLAIN
        derivatives = mode & DERIVATIVES
        row(n, first, run, attr, rast, tri, rast_db, spans, bounded, plain, derivatives, out, out_da)

    return interpolate


def _make_backward(module, vec, pairs):
    @_native(_BACKWARD, vec)
    def row(
        n: int,
        first: int,
        run: int,
        attr: wp.array2d(dtype=vec),
        rast: wp.array(dtype=wp.vec4),
        tri: wp.array(dtype=wp.vec3i),
        rast_db: wp.array(dtype=wp.vec4),
        spans: wp.array2d(dtype=wp.int32),
        plain: int,
        derivatives: int,
        with_attr: int,
        with_rast: int,
        with_db: int,
        fresh: int,
        grad_out: wp.array(dtype=vec),
        grad_da: wp.array(dtype=pairs),
        grad_attr: wp.array2d(dtype=vec),
        grad_rast: wp.array(dtype=wp.vec4),
        grad_db: wp.array(dtype=wp.vec4),
    ): ...

    @wp.kernel(enable_backward=False, module=module)
    def interpolate_backward(
        begin: wp.int32,
        run: wp.int32,
        attr: wp.array2d(dtype=vec),
        rast: wp.array(dtype=wp.vec4),
        tri: wp.array(dtype=wp.vec3i),
        rast_db: wp.array(dtype=wp.vec4),
        spans: wp.array2d(dtype=wp.int32),
        pixels: wp.int32,
        mode: wp.int32,
        wanted: wp.int32,
        fresh: wp.int32,
        grad_out: wp.array(dtype=vec),
        grad_da: wp.array(dtype=pairs),
        grad_attr: wp.array2d(dtype=vec),
        grad_rast: wp.array(dtype=wp.vec4),
        grad_db: wp.array(dtype=wp.vec4),
    ):
        """Adds to the gradients of attr, (u, v) and the derivatives of (u, v).

        If fresh, those of the pixels have no value yet and are written whole.
        """
        first = (begin + wp.tid()) * run
        n = wp.min(first // pixels, attr.shape[0] - 1)
        plain = mode & PLAIN
        derivatives = mode & DERIVATIVES
        row(
            n, first, run, attr, rast, tri, rast_db, spans, plain, derivatives,
            wanted & WITH_ATTR, wanted & WITH_RAST, wanted & WITH_DB, fresh,
            grad_out, grad_da, grad_attr, grad_rast, grad_db,
        )  # fmt: skip

    return interpolate_backward
