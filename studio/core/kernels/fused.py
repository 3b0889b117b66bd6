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


# The attributes of the triangle's corners, the first two relative to the third.
_CORNERS = """
        const float* a0 = A + C * (size_t)t[0];
        const float* a1 = A + C * (size_t)t[1];
        const float* a2 = A + C * (size_t)t[2];
        float from_0[C], from_1[C];
        for (int c = 0; c < C; ++c) {
            from_0[c] = a0[c] - a2[c];
            from_1[c] = a1[c] - a2[c];
        }
"""

_FORWARD = (
    """
    const int C = CHANNELS;
    const float* P = (const float*)pos.data + (size_t)n * pos.shape[1] * 4;
    const float* A = (const float*)attr.data + (size_t)m * attr.shape[1] * C;
    const long long* K = (const long long*)keys.data + first;
    const float* B = (const float*)background.data;
    const size_t per_pixel = background.shape[0] == 1 ? 0 : C;
    float* O = (float*)out.data + (size_t)first * C;
    float* R = (float*)rast.data + (size_t)first * 4;
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
            memset(R + 4 * (size_t)k, 0, 16 * (size_t)(end - k));
            k = end;
            continue;
        }
        const int id = (int)key;
        while (end < run && (int)K[end] == id) ++end;
        const float number = (wp::float32)(id + 1);
"""
    + TRIANGLE
    + _CORNERS
    + """
        for (int i = k; i < end; ++i) {
"""
    + BARYCENTRICS
    + """
            for (int c = 0; c < C; ++c)
                O[(size_t)i * C + c] = from_0[c] * u + from_1[c] * v + a2[c];
        }
        k = end;
    }
"""
)

# The adjoint of one pixel: u, v and pull[C] are set, d is the distance in NDC from the run's begin.
_PULL = """
            float gu = pull[0] * from_0[0], gv = pull[0] * from_1[0];
            for (int c = 1; c < C; ++c) {
                gu += pull[c] * from_0[c];
                gv += pull[c] * from_1[c];
            }
            for (int c = 0; c < C; ++c) {
                sum_u[c] += pull[c] * u;
                sum_v[c] += pull[c] * v;
                sum_1[c] += pull[c];
            }
            const float sum = total + d * total_x;
            const float r = sum == 0.0f ? 0.0f : 1.0f / sum;
            const float shared = gu * u + gv * v;
            const float h0 = (gu - shared) * r, h1 = (gv - shared) * r, h2 = -shared * r;
            g0 += h0;
            g1 += h1;
            g2 += h2;
            m0 += h0 * d;
            m1 += h1 * d;
            m2 += h2 * d;
"""

# Adds a run to the vertices. e_0 = x_1 y_2 - y_1 x_2 gives (g_2 y_1 - g_1 y_2) to x_0 and
# (g_1 x_2 - g_2 x_1) to y_0, where x_i = q_i.x - d w_i; w_i = q_i.z gets -X and -Y times those.
_ADD = """
        if (with_attr) {
            for (int c = 0; c < C; ++c) {
                wp::atomic_add(GA + C * (size_t)t[0] + c, sum_u[c]);
                wp::atomic_add(GA + C * (size_t)t[1] + c, sum_v[c]);
                wp::atomic_add(GA + C * (size_t)t[2] + c, sum_1[c] - sum_u[c] - sum_v[c]);
            }
        }
        if (with_pos) {
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

_SUMS = """
        float sum_u[C] = {}, sum_v[C] = {}, sum_1[C] = {};
        float g0 = 0.0f, g1 = 0.0f, g2 = 0.0f, m0 = 0.0f, m1 = 0.0f, m2 = 0.0f;
"""

# Where image n and its attributes m lie, and their gradients.
_IMAGE = """
    const float* P = (const float*)pos.data + (size_t)n * pos.shape[1] * 4;
    const float* A = (const float*)attr.data + (size_t)m * attr.shape[1] * C;
    float* GP = (float*)grad_pos.data + (with_pos ? (size_t)n * pos.shape[1] * 4 : 0);
    float* GA = (float*)grad_attr.data + (with_attr ? (size_t)m * attr.shape[1] * C : 0);
"""

_BACKWARD = (
    "    const int C = CHANNELS;"
    + _IMAGE
    + """
    const float* R = (const float*)rast.data + (size_t)first * 4;
    const float* G = (const float*)grad_out.data + (size_t)first * C;
    int k = 0;
    while (k < run) {
        const float number = R[4 * (size_t)k + 3];
        int end = k + 1;
        if (number == 0.0f) {
            const float* ahead = R + 4 * (size_t)end + 3;
            while (end + 4 <= run && ahead[0] + ahead[4] + ahead[8] + ahead[12] == 0.0f) {
                ahead += 16;
                end += 4;
            }
            k = end;
            continue;
        }
        while (end < run && R[4 * (size_t)end + 3] == number) ++end;
        const int id = (int)number - 1;
"""
    + TRIANGLE
    + _CORNERS
    + _SUMS
    + """
        for (int i = k; i < end; ++i) {
            const float u = R[4 * (size_t)i], v = R[4 * (size_t)i + 1], d = (wp::float32)(i - k) * step_x;
            const float* pull = G + (size_t)i * C;
"""
    + _PULL
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
    """
    const int C = CHANNELS;
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
            const float* R = (const float*)rast.data + 4 * (size_t)pixel;
            if (share == 0.0f || pixel < first || pixel >= last || R[3] == 0.0f) continue;
            const int n = pixel / image_pixels, m = n < attr.shape[0] ? n : attr.shape[0] - 1;
            const int id = (int)R[3] - 1, x = pixel % width, k = 0;
            const float fy = ((wp::float32)((pixel / width) % height) + 0.5f) * step_y - 1.0f;
            const float u = R[0], v = R[1], d = 0.0f;
            float pull[C];
            for (int c = 0; c < C; ++c) pull[c] = share * pulled[c];
"""
    + _IMAGE
    + TRIANGLE
    + _CORNERS
    + _SUMS
    + _PULL
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
    @native(_FORWARD, CHANNELS=vec._length_)
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
    @native(_BACKWARD, CHANNELS=vec._length_)
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
        rast: wp.array(dtype=wp.vec4),
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
        rast: wp.array(dtype=wp.vec4),
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
            n, m, first, run, x, fy, step_x, pos, tri, attr, rast,
            with_pos, with_attr, grad_out, grad_pos, grad_attr,
        )  # fmt: skip

    return fused_backward


def _make_sparse_backward(module, vec):
    @native(_SPARSE_BACKWARD, CHANNELS=vec._length_)
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
        rast: wp.array(dtype=wp.vec4),
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
        rast: wp.array(dtype=wp.vec4),
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
            pixels, amount_a, amount_b, difference, pos, tri, attr, rast, width, height,
            with_pos, with_attr, grad_out, grad_pos, grad_attr,
        )  # fmt: skip

    return sparse_backward
