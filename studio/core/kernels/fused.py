"""Resolve and interpolate in one pass, and its adjoint; a module per channel count.

Along a row the three edge functions are linear: e + d * a, with d the distance from the pixel
where the run of one triangle begins. Starting there, and not at the image's centre, keeps the
precision of small triangles. The adjoint is in `fused_adjoint`
and `fused_adjoint_small`.

The loops over a row are C++ (see `rows`); in Warp's dialect they took 1.5 to 2.1 times as long.
"""

import functools
from types import SimpleNamespace

import warp as wp

from studio.core.kernels.channels import variant
from studio.core.kernels.fused_adjoint import triangle_adder
from studio.core.kernels.fused_adjoint_small import run_adder
from studio.core.kernels.rows import BARYCENTRICS, CORNERS, LANES, TRIANGLE, native, wide

PRELOAD = (3, 4, 11)
"""Counts of the fused kernels compiled ahead: colour; and coverage; a G-buffer without uv."""


@functools.cache
def kernels(channels: int) -> SimpleNamespace:
    """`forward` and `backward` for 1..MAX_CHANNELS channels."""
    return variant(__name__, channels, _make)


def warp_modules() -> list:
    """The Warp modules of the channel counts worth compiling ahead."""
    return [kernels(channels).module for channels in PRELOAD]


def _make(module, vec) -> dict:
    return {
        "forward": _make_forward(module, vec),
        "backward": _make_backward(module, vec),
    }


# Rounding may leave the pixels of a sliver outside of it, at worst far away. If both ends of a run
# are within the triangle, so is what lies between; a run of which that is not true keeps the values
# of its first pixel, clamped.
_STEADY = """
        const float reach = (wp::float32)(end - 1 - k) * step_x;
        const bool sound = fabsf(e) + fabsf(f) + fabsf(g) <= 1.01f * fabsf(total)
            && fabsf(e + reach * ax) + fabsf(f + reach * bx) + fabsf(g + reach * cx)
                <= 1.01f * fabsf(total + reach * total_x);
        if (!sound) {
            const float u = e / total, v = f / total;
            e = u < 1.0f ? u : 1.0f;
            e = e > 0.0f ? e : 0.0f;
            f = v < 1.0f - e ? v : 1.0f - e;
            f = f > 0.0f ? f : 0.0f;
            total = 1.0f;
            ax = bx = total_x = 0.0f;
        }
"""

_FORWARD = (
    LANES
    + """
    const float* P = (const float*)pos.data + (size_t)n * pos.shape[1] * 4;
    const float* A = (const float*)attr.data + (size_t)m * attr.shape[1] * C;
    const long long* K = (const long long*)keys.data + first;
    const float* B = (const float*)background.data;
    const size_t per_pixel = background.shape[0] == 1 ? 0 : C;
    bool is_zero = per_pixel == 0;
    for (int c = 0; c < C; ++c) is_zero = is_zero && B[c] == 0.0f;
    float* O = (float*)out.data + (size_t)first * C;
    const bool with_rast = rast.shape[0] > 0;
    float* R = (float*)rast.data + (with_rast ? (size_t)first * 4 : 0);
    const int* S = (const int*)spans.data + 2 * (size_t)(first / length);
    const int low = spans.shape[0] > 0 ? S[0] : 0, high = spans.shape[0] > 0 ? S[1] : length;
    auto nothing = [&](const int from, const int to) {
        if (is_zero)
            memset(O + (size_t)from * C, 0, 4 * C * (size_t)(to - from));
        else
            for (int i = from; i < to; ++i)
                for (int c = 0; c < C; ++c) O[(size_t)i * C + c] = B[(first + (size_t)i) * per_pixel + c];
        if (with_rast) memset(R + 4 * (size_t)from, 0, 16 * (size_t)(to - from));
    };
    auto draw = [&](const int k, const int end) {
        const int id = (int)K[k];
        if (id < 0) {
            nothing(k, end);
            return;
        }
"""
    + TRIANGLE
    + CORNERS
    + """
        if (with_rast) {
            const float number = (wp::float32)(id + 1);
            for (int i = k; i < end; ++i) {
"""
    + BARYCENTRICS
    + """
                for (int c = 0; c < C; ++c)
                    O[(size_t)i * C + c] = from_0[c] * u + from_1[c] * v + a2[c];
            }
            return;
        }
"""
    + _STEADY
    + """
        lanes begin = {}, slope = {};
        lanes third = {};
        for (int c = 0; c < C; ++c) third[c] = a2[c];
        FOR_LANES {
            begin AT = from_0 AT * e + from_1 AT * f + third AT * total;
            slope AT = from_0 AT * ax + from_1 AT * bx + third AT * total_x;
        }
        int i = k;
        #if !defined(__CUDA_ARCH__)
        // Four pixels and whole vectors at a time: what they have too much, the next ones overwrite.
        typedef float four __attribute__((ext_vector_type(4)));
        for (; i < end && i + 4 < length; i += 4) {
            const four d = ((wp::float32)(i - k) + four{0.0f, 1.0f, 2.0f, 3.0f}) * step_x;
            const four r = 1.0f / (total + d * total_x);
            float* to = O + (size_t)i * C;
            FOUR_PIXELS
        }
        #endif
        for (; i < end; ++i) {
            const float d = (wp::float32)(i - k) * step_x;
            const float r = 1.0f / (total + d * total_x);
            lanes value;
            FOR_LANES value AT = (begin AT + d * slope AT) * r;
            for (int c = 0; c < C; ++c) O[(size_t)i * C + c] = value[c];
        }
    };
    nothing(0, low);
    for (int k = low, end; k < high; k = end) {
        const int id = (int)K[k];
        end = k + 1;
        while (end < high && (int)K[end] == id) ++end;
        draw(k, end);
    }
    nothing(high, length);
"""
)


def _four_pixels(lanes: int) -> str:
    """Writes the pixels i to i + 3; taken apart as numbers, `r` would be four divisions."""
    return " ".join(
        f"const lanes value_{j} = (begin + __builtin_shufflevector(d, d, {every}) * slope)"
        f" * __builtin_shufflevector(r, r, {every}); memcpy(to + {j} * C, &value_{j}, 4 * WIDE);"
        for j, every in ((j, ", ".join([str(j)] * lanes)) for j in range(4))
    )


def _make_forward(module, vec):
    lanes = wide(vec._length_)

    @native(_FORWARD.replace("FOUR_PIXELS", _four_pixels(lanes)), CHANNELS=vec._length_, WIDE=lanes)
    def row(
        n: int,
        m: int,
        first: int,
        length: int,
        x: int,
        fy: float,
        step_x: float,
        pos: wp.array2d(dtype=wp.vec4),
        tri: wp.array(dtype=wp.vec3i),
        attr: wp.array2d(dtype=vec),
        keys: wp.array(dtype=wp.int64),
        spans: wp.array2d(dtype=wp.int32),
        background: wp.array(dtype=vec),
        out: wp.array(dtype=vec),
        rast: wp.array(dtype=wp.vec4),
    ): ...

    @wp.kernel(enable_backward=False, module=module)
    def fused(
        begin: wp.int32,
        run: wp.int32,
        pos: wp.array2d(dtype=wp.vec4),
        tri: wp.array(dtype=wp.vec3i),
        attr: wp.array2d(dtype=vec),
        keys: wp.array(dtype=wp.int64),
        spans: wp.array2d(dtype=wp.int32),
        width: wp.int32,
        height: wp.int32,
        background: wp.array(dtype=vec),
        out: wp.array(dtype=vec),
        rast: wp.array(dtype=wp.vec4),
    ):
        """Keys to interpolated attributes and rast in one pass; background where empty.

        `spans`: see `cover`; with them a run is a row.
        """
        first = (begin + wp.tid()) * run
        n = first // (width * height)
        m = wp.min(n, attr.shape[0] - 1)
        y = (first // width) % height
        fy = (wp.float32(y) + 0.5) * (2.0 / wp.float32(height)) - 1.0
        step_x = 2.0 / wp.float32(width)
        row(n, m, first, run, first % width, fy, step_x, pos, tri, attr, keys, spans, background, out, rast)

    return fused


def _make_backward(module, vec):
    add_triangles = triangle_adder(vec)
    add_runs = run_adder(vec)

    @wp.kernel(enable_backward=False, module=module)
    def fused_backward(
        begin: wp.int32,
        end: wp.int32,
        run: wp.int32,
        chunk: wp.int32,
        records: wp.int32,
        large: wp.int32,
        pixels: wp.array(dtype=wp.vec4i),
        amount_a: wp.array(dtype=wp.vec4),
        amount_b: wp.array(dtype=wp.vec4),
        difference: wp.array(dtype=vec),
        pos: wp.array2d(dtype=wp.vec4),
        tri: wp.array(dtype=wp.vec3i),
        attr: wp.array2d(dtype=vec),
        keys: wp.array(dtype=wp.int64),
        spans: wp.array2d(dtype=wp.int32),
        width: wp.int32,
        height: wp.int32,
        with_pos: wp.int32,
        with_attr: wp.int32,
        grad_out: wp.array(dtype=vec),
        grad_pos: wp.array2d(dtype=wp.vec4),
        grad_attr: wp.array2d(dtype=vec),
    ):
        """Gradient of the image to attributes, to clip positions, and to what antialiasing blended.

        For the pixels begin * run to end * run, of which a thread has `chunk` runs (triangle by
        triangle if they are large), and for what `records` of the antialiasing records do to them.
        A record changes its target by amount * (source - target) + mirror * (mirrored - target):
        each colour gets its factor times the target's gradient, the ends of the edge the amount's.
        Every band sees all records and takes the pixels that are its own, so that bands made of
        whole images need no copies.
        """
        first = (begin + wp.tid() * chunk) * run
        last = wp.min(first + chunk * run, wp.min(end * run, keys.shape[0]))
        if large != 0:
            image_pixels = width * height
            step_x = 2.0 / wp.float32(width)
            step_y = 2.0 / wp.float32(height)
            for n in range(first // image_pixels, (last + image_pixels - 1) // image_pixels):
                m = wp.min(n, attr.shape[0] - 1)
                own_first = wp.max(first, n * image_pixels)
                own_last = wp.min(last, (n + 1) * image_pixels)
                add_triangles(
                    n, m, own_first, own_last, width, height, step_x, step_y, pos, tri, attr, keys,
                    spans, with_pos, with_attr, grad_out, grad_pos, grad_attr,
                )  # fmt: skip
            last = first
        record = wp.tid() * records
        add_runs(
            begin * run, end * run, first, last, record, wp.min(record + records, pixels.shape[0]),
            pixels, amount_a, amount_b, difference, pos, tri, attr, keys, spans, width, height,
            with_pos, with_attr, grad_out, grad_pos, grad_attr,
        )  # fmt: skip

    return fused_backward
