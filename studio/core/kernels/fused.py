"""Resolve and interpolate in one pass, and its adjoint; a module per channel count.

Along a row the three edge functions are linear: e + d * a, with d the distance from the pixel
where the run of one triangle begins. Starting there, and not at the image's centre, keeps the
precision of small triangles. For the same reason the gradient of a run of pixels needs only the
sums of g and d * g, with g the gradient of the edge functions.

The loops over a row are C++ (see `rows`); in Warp's dialect they took 1.5 to 2.1 times as long.
"""

from types import SimpleNamespace

import warp as wp

from studio.core.kernels.channels import variant
from studio.core.kernels.outline import PULL_ENDS, RECORD
from studio.core.kernels.rows import BARYCENTRICS, SKIP_EMPTY, TRIANGLE, native

PRELOAD = (3, 4, 11)
"""Counts of the fused kernels compiled ahead: colour; and coverage; a G-buffer without uv."""


def kernels(channels: int) -> SimpleNamespace:
    """`forward`, `backward` and `sparse_backward` for 1..MAX_CHANNELS channels."""
    return variant(__name__, channels, _make)


def warp_modules() -> list:
    """The Warp modules of the channel counts worth compiling ahead."""
    return [kernels(channels).module for channels in PRELOAD]


def _make(module, vec) -> dict:
    return {
        "forward": _make_forward(module, vec),
        "backward": _make_backward(module, vec),
        "sparse_backward": _make_sparse_backward(module, vec),
    }


def _wide(channels: int) -> int:
    """Channels with what fills up the last vector of four."""
    return channels if channels < 3 else -(-channels // 4) * 4


# `lanes` has a number per channel: on CPU a vector, since the compiler does not make one of loops
# this short. `x AT` is all of x, on CUDA the number in turn of the loop FOR_LANES.
_LANES = """
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
_CORNERS = """
        const float* a0 = A + C * (size_t)t[0];
        const float* a1 = A + C * (size_t)t[1];
        const float* a2 = A + C * (size_t)t[2];
        lanes from_0 = {}, from_1 = {};
        for (int c = 0; c < C; ++c) {
            from_0[c] = a0[c] - a2[c];
            from_1[c] = a1[c] - a2[c];
        }
"""

# Rounding may leave the pixels of a sliver outside of it, at worst far away. If both ends of a run
# are within the triangle, so is what lies between; a run of which that is not true keeps the values
# of its first pixel, clamped.
_STEADY = """
        const float length = (wp::float32)(end - 1 - k) * step_x;
        const bool sound = fabsf(e) + fabsf(f) + fabsf(g) <= 1.01f * fabsf(total)
            && fabsf(e + length * ax) + fabsf(f + length * bx) + fabsf(g + length * cx)
                <= 1.01f * fabsf(total + length * total_x);
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
    _LANES
    + """
    const float* P = (const float*)pos.data + (size_t)n * pos.shape[1] * 4;
    const float* A = (const float*)attr.data + (size_t)m * attr.shape[1] * C;
    const long long* K = (const long long*)keys.data + first;
    const float* B = (const float*)background.data;
    const size_t per_pixel = background.shape[0] == 1 ? 0 : C;
    float* O = (float*)out.data + (size_t)first * C;
    const bool with_rast = rast.shape[0] > 0;
    float* R = (float*)rast.data + (with_rast ? (size_t)first * 4 : 0);
    int k = 0;
    while (k < run) {
        const long long key = K[k];
        int end = k + 1;
        if (key == NOTHING) {
"""
    + SKIP_EMPTY
    + """
            const float* b = B + (first + (size_t)k) * per_pixel;
            for (int i = k; i < end; ++i, b += per_pixel)
                for (int c = 0; c < C; ++c) O[(size_t)i * C + c] = b[c];
            if (with_rast) memset(R + 4 * (size_t)k, 0, 16 * (size_t)(end - k));
            k = end;
            continue;
        }
        const int id = (int)key;
        while (end < run && (int)K[end] == id) ++end;
"""
    + TRIANGLE
    + _CORNERS
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
        } else {
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
            for (int i = k; i < end; ++i) {
                const float d = (wp::float32)(i - k) * step_x;
                const float r = 1.0f / (total + d * total_x);
                lanes value;
                FOR_LANES value AT = (begin AT + d * slope AT) * r;
                for (int c = 0; c < C; ++c) O[(size_t)i * C + c] = value[c];
            }
        }
        k = end;
    }
"""
)

# With u = (e + d ax) r, v = (f + d bx) r and r = 1 / (total + d total_x), all that the gradient
# wants of a run's pixels are six sums of `pull`, weighted by 1, r, d r, r^2, d r^2 and d^2 r^2.
_SUMS = """
        lanes s_1 = {}, s_r = {}, s_dr = {}, s_rr = {}, s_drr = {}, s_ddrr = {};
"""

# Adds `pull`, d from the run's begin.
_SUM = """
            const float r = 1.0f / (total + d * total_x);
            const float dr = d * r, rr = r * r, drr = dr * r, ddrr = dr * dr;
            FOR_LANES {
                s_1 AT += pull AT;
                s_r AT += pull AT * r;
                s_dr AT += pull AT * dr;
                s_rr AT += pull AT * rr;
                s_drr AT += pull AT * drr;
                s_ddrr AT += pull AT * ddrr;
            }
"""

# Adds a run to the vertices. e_0 = x_1 y_2 - y_1 x_2 gives (g_2 y_1 - g_1 y_2) to x_0 and
# (g_1 x_2 - g_2 x_1) to y_0, where x_i = q_i.x - d w_i; w_i = q_i.z gets -X and -Y times those.
_ADD = """
        if (with_attr) {
            lanes to_0, to_1, to_2;
            FOR_LANES {
                to_0 AT = e * s_r AT + ax * s_dr AT;
                to_1 AT = f * s_r AT + bx * s_dr AT;
                to_2 AT = s_1 AT - to_0 AT - to_1 AT;
            }
            for (int c = 0; c < C; ++c) {
                wp::atomic_add(GA + C * (size_t)t[0] + c, to_0[c]);
                wp::atomic_add(GA + C * (size_t)t[1] + c, to_1[c]);
                wp::atomic_add(GA + C * (size_t)t[2] + c, to_2[c]);
            }
        }
        if (with_pos && sound) {
            lanes to_2, to_0, to_1, by_2, by_0, by_1;
            FOR_LANES {
                to_2 AT = -(from_0 AT * (e * s_rr AT + ax * s_drr AT) + from_1 AT * (f * s_rr AT + bx * s_drr AT));
                by_2 AT = -(from_0 AT * (e * s_drr AT + ax * s_ddrr AT) + from_1 AT * (f * s_drr AT + bx * s_ddrr AT));
                to_0 AT = from_0 AT * s_r AT + to_2 AT;
                to_1 AT = from_1 AT * s_r AT + to_2 AT;
                by_0 AT = from_0 AT * s_dr AT + by_2 AT;
                by_1 AT = from_1 AT * s_dr AT + by_2 AT;
            }
            float g0 = to_0[0], g1 = to_1[0], g2 = to_2[0], m0 = by_0[0], m1 = by_1[0], m2 = by_2[0];
            for (int c = 1; c < C; ++c) {
                g0 += to_0[c];
                g1 += to_1[c];
                g2 += to_2[c];
                m0 += by_0[c];
                m1 += by_1[c];
                m2 += by_2[c];
            }
            const float dx[3] = {y1 * g2 - y2 * g1, y2 * g0 - y0 * g2, y0 * g1 - y1 * g0};
            const float mx[3] = {y1 * m2 - y2 * m1, y2 * m0 - y0 * m2, y0 * m1 - y1 * m0};
            const float dy[3] = {
                (x2 * g1 - w2 * m1) - (x1 * g2 - w1 * m2),
                (x0 * g2 - w0 * m2) - (x2 * g0 - w2 * m0),
                (x1 * g0 - w1 * m0) - (x0 * g1 - w0 * m1)};
            for (int i = 0; i < 3; ++i) {
                float* to = GP + 4 * (size_t)t[i];
                wp::atomic_add(to, dx[i]);
                wp::atomic_add(to + 1, dy[i]);
                wp::atomic_add(to + 3, -fx * dx[i] - fy * dy[i] - mx[i]);
            }
        }
"""

# Where image n and its attributes m lie, and their gradients.
_IMAGE = """
    const float* P = (const float*)pos.data + (size_t)n * pos.shape[1] * 4;
    const float* A = (const float*)attr.data + (size_t)m * attr.shape[1] * C;
    float* GP = (float*)grad_pos.data + (with_pos ? (size_t)n * pos.shape[1] * 4 : 0);
    float* GA = (float*)grad_attr.data + (with_attr ? (size_t)m * attr.shape[1] * C : 0);
"""

_BACKWARD = (
    _LANES
    + _IMAGE
    + """
    const long long* K = (const long long*)keys.data + first;
    const float* G = (const float*)grad_out.data + (size_t)first * C;
    int k = 0;
    while (k < run) {
        const long long key = K[k];
        int end = k + 1;
        if (key == NOTHING) {
"""
    + SKIP_EMPTY
    + """
            k = end;
            continue;
        }
        const int id = (int)key;
        while (end < run && (int)K[end] == id) ++end;
"""
    + TRIANGLE
    + _STEADY
    + _CORNERS
    + _SUMS
    + """
        for (int i = k; i < end; ++i) {
            const float d = (wp::float32)(i - k) * step_x;
            lanes pull = {};
            for (int c = 0; c < C; ++c) pull[c] = G[(size_t)i * C + c];
"""
    + _SUM
    + """
        }
"""
    + _ADD
    + """
        k = end;
    }
"""
)

_SPARSE_BACKWARD = (
    _LANES
    + """
    const int image_pixels = width * height;
    const float step_x = 2.0f / (wp::float32)width, step_y = 2.0f / (wp::float32)height;
    const int last_record = start + records < pixels.shape[0] ? start + records : pixels.shape[0];
    for (int i = start; i < last_record; ++i) {
"""
    + RECORD
    + """
        const int part_pixel[3] = {t, s, b};
        const float part_share[3] = {-(amount + mirror), amount, mirror};
        const float* pulled = (const float*)grad_out.data + (size_t)t * C;
        for (int part = 0; part < 3; ++part) {
            const int pixel = part_pixel[part];
            const float share = part_share[part];
            const long long key = ((const long long*)keys.data)[pixel];
            if (share == 0.0f || pixel < first || pixel >= last || key == NOTHING) continue;
            const int n = pixel / image_pixels, m = n < attr.shape[0] ? n : attr.shape[0] - 1;
            const int id = (int)key, x = pixel % width, k = 0, end = 1;
            const float fy = ((wp::float32)((pixel / width) % height) + 0.5f) * step_y - 1.0f;
            const float d = 0.0f;
            lanes pull = {};
            for (int c = 0; c < C; ++c) pull[c] = share * pulled[c];
"""
    + _IMAGE
    + TRIANGLE
    + _STEADY
    + _CORNERS
    + _SUMS
    + _SUM
    + _ADD
    + """
        }
        if (with_pos && t >= first && t < last) {
            const float* D = (const float*)difference.data + (size_t)i * C;
            float g = 0.0f;
            for (int c = 0; c < C; ++c) g += pulled[c] * D[c];
"""
    + PULL_ENDS
    + """
        }
    }
"""
)


def _make_forward(module, vec):
    @native(_FORWARD, CHANNELS=vec._length_, WIDE=_wide(vec._length_))
    def row(
        n: int,
        m: int,
        first: int,
        run: int,
        x: int,
        fy: float,
        step_x: float,
        pos: wp.array2d(dtype=wp.vec4),
        tri: wp.array(dtype=wp.vec3i),
        attr: wp.array2d(dtype=vec),
        keys: wp.array(dtype=wp.int64),
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
        width: wp.int32,
        height: wp.int32,
        background: wp.array(dtype=vec),
        out: wp.array(dtype=vec),
        rast: wp.array(dtype=wp.vec4),
    ):
        """Keys to interpolated attributes and rast in one pass; background where empty."""
        first = (begin + wp.tid()) * run
        n = first // (width * height)
        m = wp.min(n, attr.shape[0] - 1)
        y = (first // width) % height
        fy = (wp.float32(y) + 0.5) * (2.0 / wp.float32(height)) - 1.0
        step_x = 2.0 / wp.float32(width)
        row(n, m, first, run, first % width, fy, step_x, pos, tri, attr, keys, background, out, rast)

    return fused


def _make_backward(module, vec):
    @native(_BACKWARD, CHANNELS=vec._length_, WIDE=_wide(vec._length_))
    def row(
        n: int,
        m: int,
        first: int,
        run: int,
        x: int,
        fy: float,
        step_x: float,
        pos: wp.array2d(dtype=wp.vec4),
        tri: wp.array(dtype=wp.vec3i),
        attr: wp.array2d(dtype=vec),
        keys: wp.array(dtype=wp.int64),
        with_pos: int,
        with_attr: int,
        grad_out: wp.array(dtype=vec),
        grad_pos: wp.array2d(dtype=wp.vec4),
        grad_attr: wp.array2d(dtype=vec),
    ): ...

    @wp.kernel(enable_backward=False, module=module)
    def fused_backward(
        begin: wp.int32,
        run: wp.int32,
        pos: wp.array2d(dtype=wp.vec4),
        tri: wp.array(dtype=wp.vec3i),
        attr: wp.array2d(dtype=vec),
        keys: wp.array(dtype=wp.int64),
        width: wp.int32,
        height: wp.int32,
        with_pos: wp.int32,
        with_attr: wp.int32,
        grad_out: wp.array(dtype=vec),
        grad_pos: wp.array2d(dtype=wp.vec4),
        grad_attr: wp.array2d(dtype=vec),
    ):
        """Gradient of the image to attributes, and through the barycentrics to clip positions."""
        first = (begin + wp.tid()) * run
        n = first // (width * height)
        m = wp.min(n, attr.shape[0] - 1)
        y = (first // width) % height
        fy = (wp.float32(y) + 0.5) * (2.0 / wp.float32(height)) - 1.0
        step_x = 2.0 / wp.float32(width)
        x = first % width
        row(
            n, m, first, run, x, fy, step_x, pos, tri, attr, keys,
            with_pos, with_attr, grad_out, grad_pos, grad_attr,
        )  # fmt: skip

    return fused_backward


def _make_sparse_backward(module, vec):
    @native(_SPARSE_BACKWARD, CHANNELS=vec._length_, WIDE=_wide(vec._length_))
    def add_records(
        first: int,
        last: int,
        start: int,
        records: int,
        pixels: wp.array(dtype=wp.vec4i),
        amount_a: wp.array(dtype=wp.vec4),
        amount_b: wp.array(dtype=wp.vec4),
        difference: wp.array(dtype=vec),
        pos: wp.array2d(dtype=wp.vec4),
        tri: wp.array(dtype=wp.vec3i),
        attr: wp.array2d(dtype=vec),
        keys: wp.array(dtype=wp.int64),
        width: int,
        height: int,
        with_pos: int,
        with_attr: int,
        grad_out: wp.array(dtype=vec),
        grad_pos: wp.array2d(dtype=wp.vec4),
        grad_attr: wp.array2d(dtype=vec),
    ): ...

    @wp.kernel(enable_backward=False, module=module)
    def sparse_backward(
        begin: wp.int32,
        end: wp.int32,
        run: wp.int32,
        records: wp.int32,
        pixels: wp.array(dtype=wp.vec4i),
        amount_a: wp.array(dtype=wp.vec4),
        amount_b: wp.array(dtype=wp.vec4),
        difference: wp.array(dtype=vec),
        pos: wp.array2d(dtype=wp.vec4),
        tri: wp.array(dtype=wp.vec3i),
        attr: wp.array2d(dtype=vec),
        keys: wp.array(dtype=wp.int64),
        width: wp.int32,
        height: wp.int32,
        with_pos: wp.int32,
        with_attr: wp.int32,
        grad_out: wp.array(dtype=vec),
        grad_pos: wp.array2d(dtype=wp.vec4),
        grad_attr: wp.array2d(dtype=vec),
    ):
        """What antialiasing records add to the gradient, for pixels begin * run to end * run.

        A record changes its target by amount * (source - target) + mirror * (mirrored - target):
        each colour gets its factor times the target's gradient, the ends of the edge the
        amount's. Every band sees all records and takes the pixels that are its own, so that
        bands made of whole images need no copies of the gradient.
        """
        add_records(
            begin * run, end * run, wp.tid() * records, records,
            pixels, amount_a, amount_b, difference, pos, tri, attr, keys, width, height,
            with_pos, with_attr, grad_out, grad_pos, grad_attr,
        )  # fmt: skip

    return sparse_backward
