"""The adjoint of `fused` for triangles of many pixels: a picture's gradient to its vertices.

The gradient of a triangle is finished once, not pixel by pixel: what its pixels give is summed up
first, see _TRIANGLE_SUMS. Small triangles, and what antialiasing blends, are in
`fused_adjoint_small`.
"""

import warp as wp

from studio.core.kernels.rows import CORNERS, LANES, SKIP_EMPTY, TRIANGLE, native, wide

# The gradient of a triangle's pixels. With (x, y) from an anchor among them, r = 1 / total(x, y) and
# u = e(x, y) r, v = f(x, y) r, all that positions and attributes want is ten sums of the pixels'
# gradient, weighted by 1, r, x r, y r, r^2, x r^2, y r^2, x^2 r^2, x y r^2 and y^2 r^2. At the
# anchor e_0 = x_1 y_2 - y_1 x_2, which gives (g_2 y_1 - g_1 y_2) to x_0 and (g_1 x_2 - g_2 x_1) to
# y_0; x_i = q_i.x - X q_i.w at a pixel X, so w gets minus X and Y times those.
_TRIANGLE_SUMS = """
    struct Sums {
        int x, y;
        float total, total_x, total_y;
        lanes s_1, s_r, s_xr, s_yr, s_rr, s_xrr, s_yrr, s_xxrr, s_xyrr, s_yyrr;
    };
    // Of a sliver rounding may leave nothing but a point, without gradient to its position.
    auto claim = [&](Sums& q, const int id, const int x, const int y) {
        const int k = 0;
        const float fy = ((wp::float32)y + 0.5f) * step_y - 1.0f;
"""
_TRIANGLE_SUMS += (
    TRIANGLE
    + """
        const bool sound = fabsf(e) + fabsf(f) + fabsf(g) <= 1.01f * fabsf(total);
        q.x = x;
        q.y = y;
        q.total = sound ? total : 1.0f;
        q.total_x = sound ? total_x : 0.0f;
        q.total_y = sound ? total_y : 0.0f;
        FOR_LANES {
            q.s_1 AT = q.s_r AT = q.s_xr AT = q.s_yr AT = q.s_rr AT = 0.0f;
            q.s_xrr AT = q.s_yrr AT = q.s_xxrr AT = q.s_xyrr AT = q.s_yyrr AT = 0.0f;
        }
    };
    auto settle = [&](const Sums& q, const int id) {
        const int x = q.x, k = 0;
        const float fy = ((wp::float32)q.y + 0.5f) * step_y - 1.0f;
"""
    + TRIANGLE
    + """
        const bool sound = fabsf(e) + fabsf(f) + fabsf(g) <= 1.01f * fabsf(total);
        if (!sound) {
            const float u = e / total, v = f / total;
            e = u < 1.0f ? u : 1.0f;
            e = e > 0.0f ? e : 0.0f;
            f = v < 1.0f - e ? v : 1.0f - e;
            f = f > 0.0f ? f : 0.0f;
            ax = ay = bx = by = 0.0f;
        }
"""
    + CORNERS
    + """
        if (with_attr) {
            lanes to_0, to_1, to_2;
            FOR_LANES {
                to_0 AT = e * q.s_r AT + ax * q.s_xr AT + ay * q.s_yr AT;
                to_1 AT = f * q.s_r AT + bx * q.s_xr AT + by * q.s_yr AT;
                to_2 AT = q.s_1 AT - to_0 AT - to_1 AT;
            }
            for (int c = 0; c < C; ++c) {
                wp::atomic_add(GA + C * (size_t)t[0] + c, to_0[c]);
                wp::atomic_add(GA + C * (size_t)t[1] + c, to_1[c]);
                wp::atomic_add(GA + C * (size_t)t[2] + c, to_2[c]);
            }
        }
        if (with_pos && sound) {
            // Gradient of e, f and g, and its moments in x and y.
            lanes g_0, g_1, g_2, m_0, m_1, m_2, n_0, n_1, n_2;
            FOR_LANES {
                g_2 AT = -(from_0 AT * (e * q.s_rr AT + ax * q.s_xrr AT + ay * q.s_yrr AT)
                           + from_1 AT * (f * q.s_rr AT + bx * q.s_xrr AT + by * q.s_yrr AT));
                m_2 AT = -(from_0 AT * (e * q.s_xrr AT + ax * q.s_xxrr AT + ay * q.s_xyrr AT)
                           + from_1 AT * (f * q.s_xrr AT + bx * q.s_xxrr AT + by * q.s_xyrr AT));
                n_2 AT = -(from_0 AT * (e * q.s_yrr AT + ax * q.s_xyrr AT + ay * q.s_yyrr AT)
                           + from_1 AT * (f * q.s_yrr AT + bx * q.s_xyrr AT + by * q.s_yyrr AT));
                g_0 AT = from_0 AT * q.s_r AT + g_2 AT;
                g_1 AT = from_1 AT * q.s_r AT + g_2 AT;
                m_0 AT = from_0 AT * q.s_xr AT + m_2 AT;
                m_1 AT = from_1 AT * q.s_xr AT + m_2 AT;
                n_0 AT = from_0 AT * q.s_yr AT + n_2 AT;
                n_1 AT = from_1 AT * q.s_yr AT + n_2 AT;
            }
            float g0 = 0.0f, g1 = 0.0f, g2 = 0.0f;
            float m0 = 0.0f, m1 = 0.0f, m2 = 0.0f, n0 = 0.0f, n1 = 0.0f, n2 = 0.0f;
            for (int c = 0; c < C; ++c) {
                g0 += g_0[c];
                g1 += g_1[c];
                g2 += g_2[c];
                m0 += m_0[c];
                m1 += m_1[c];
                m2 += m_2[c];
                n0 += n_0[c];
                n1 += n_1[c];
                n2 += n_2[c];
            }
            const float dx[3] = {
                (y1 * g2 - w1 * n2) - (y2 * g1 - w2 * n1),
                (y2 * g0 - w2 * n0) - (y0 * g2 - w0 * n2),
                (y0 * g1 - w0 * n1) - (y1 * g0 - w1 * n0)};
            const float dy[3] = {
                (x2 * g1 - w2 * m1) - (x1 * g2 - w1 * m2),
                (x0 * g2 - w0 * m2) - (x2 * g0 - w2 * m0),
                (x1 * g0 - w1 * m0) - (x0 * g1 - w0 * m1)};
            const float dw[3] = {
                y1 * m2 - y2 * m1 + x2 * n1 - x1 * n2,
                y2 * m0 - y0 * m2 + x0 * n2 - x2 * n0,
                y0 * m1 - y1 * m0 + x1 * n0 - x0 * n1};
            for (int i = 0; i < 3; ++i) {
                float* to = GP + 4 * (size_t)t[i];
                wp::atomic_add(to, dx[i]);
                wp::atomic_add(to + 1, dy[i]);
                wp::atomic_add(to + 3, -fx * dx[i] - fy * dy[i] - dw[i]);
            }
        }
    };
"""
)

# A triangle's runs in neighbouring rows meet in a small table, so that vertices are touched once per
# triangle and not once per run. Far from its anchor a triangle starts anew: precision.
_BACKWARD = (
    LANES
    + """
    const float* P = (const float*)pos.data + (size_t)n * pos.shape[1] * 4;
    const float* A = (const float*)attr.data + (size_t)m * attr.shape[1] * C;
    float* GP = (float*)grad_pos.data + (with_pos ? (size_t)n * pos.shape[1] * 4 : 0);
    float* GA = (float*)grad_attr.data + (with_attr ? (size_t)m * attr.shape[1] * C : 0);
"""
    + _TRIANGLE_SUMS
    + """
    const long long* K = (const long long*)keys.data;
    const float* G = (const float*)grad_out.data;
    #if defined(__CUDA_ARCH__)
    const unsigned SLOTS = 1;
    const int GROUP = 1;
    #else
    const unsigned SLOTS = WIDE <= 4 ? 2048 : 256;
    const int GROUP = 8;
    #endif
    const int NEAR = 64;
    const int whole = WIDE == C ? grad_out.shape[0] : grad_out.shape[0] - 1;
    int owner[SLOTS];
    Sums table[SLOTS];
    for (unsigned i = 0; i < SLOTS; ++i) owner[i] = -1;
    // Whole rows, or on CUDA one pixel.
    const int rows = (last - first + width - 1) / width;
    for (int row = 0; row < rows; ++row) {
        const int row_begin = first - first % width + row * width;
        const int y = (row_begin / width) % height;
        const int* S = (const int*)spans.data + 2 * (size_t)(row_begin / width);
        const bool spanned = spans.shape[0] > 0;
        const int low = row_begin + (spanned ? S[0] : 0), high = row_begin + (spanned ? S[1] : width);
        int k = low > first ? low : first;
        const int run = high < last ? high : last;
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
            const int x = k - row_begin;
            const unsigned place = ((unsigned)id * 2654435761u >> 16) % SLOTS;
            Sums& q = table[place];
            if (owner[place] != id || x - q.x >= NEAR || q.x - x >= NEAR || y - q.y >= NEAR) {
                if (owner[place] >= 0) settle(q, owner[place]);
                owner[place] = id;
                claim(q, id, x, y);
            }
            const float x0 = (wp::float32)(x - q.x) * step_x, y0 = (wp::float32)(y - q.y) * step_y;
            const float total = q.total + x0 * q.total_x + y0 * q.total_y;
            lanes s_1 = {}, s_r = {}, s_dr = {}, s_rr = {}, s_drr = {}, s_ddrr = {};
            const float total_x = q.total_x;
            for (int i = k; i < end; i += GROUP) {
                // Weights of all the group, also of what is beyond the run: as vectors.
                float r[GROUP], dr[GROUP], rr[GROUP], drr[GROUP], ddrr[GROUP];
                VECTORS
                for (int j = 0; j < GROUP; ++j) {
                    const float d = (wp::float32)(i - k + j) * step_x;
                    r[j] = 1.0f / (total + d * total_x);
                    dr[j] = d * r[j], rr[j] = r[j] * r[j], drr[j] = dr[j] * r[j], ddrr[j] = dr[j] * dr[j];
                }
                const int count = end - i < GROUP ? end - i : GROUP;
                for (int j = 0; j < count; ++j) {
                    const float* from = G + (size_t)(i + j) * C;
                    lanes pull = {};
                    // Whole vectors: nobody looks at what they have too much.
                    if (i + j < whole) memcpy(&pull, from, sizeof(lanes));
                    else for (int c = 0; c < C; ++c) pull[c] = from[c];
                    FOR_LANES {
                        s_1 AT += pull AT;
                        s_r AT += pull AT * r[j];
                        s_dr AT += pull AT * dr[j];
                        s_rr AT += pull AT * rr[j];
                        s_drr AT += pull AT * drr[j];
                        s_ddrr AT += pull AT * ddrr[j];
                    }
                }
            }
            FOR_LANES {
                const auto xrr = x0 * s_rr AT + s_drr AT;
                q.s_1 AT += s_1 AT;
                q.s_r AT += s_r AT;
                q.s_xr AT += x0 * s_r AT + s_dr AT;
                q.s_yr AT += y0 * s_r AT;
                q.s_rr AT += s_rr AT;
                q.s_xrr AT += xrr;
                q.s_yrr AT += y0 * s_rr AT;
                q.s_xxrr AT += x0 * (xrr + s_drr AT) + s_ddrr AT;
                q.s_xyrr AT += y0 * xrr;
                q.s_yyrr AT += (y0 * y0) * s_rr AT;
            }
            k = end;
        }
    }
    for (unsigned i = 0; i < SLOTS; ++i)
        if (owner[i] >= 0) settle(table[i], owner[i]);
"""
)


def triangle_adder(vec):
    """The function that takes the gradient of an image's pixels to vertices, a triangle at a time."""

    @native(_BACKWARD, CHANNELS=vec._length_, WIDE=wide(vec._length_))
    def add_triangles(
        n: int,
        m: int,
        first: int,
        last: int,
        width: int,
        height: int,
        step_x: float,
        step_y: float,
        pos: wp.array2d(dtype=wp.vec4),
        tri: wp.array(dtype=wp.vec3i),
        attr: wp.array2d(dtype=vec),
        keys: wp.array(dtype=wp.int64),
        spans: wp.array2d(dtype=wp.int32),
        with_pos: int,
        with_attr: int,
        grad_out: wp.array(dtype=vec),
        grad_pos: wp.array2d(dtype=wp.vec4),
        grad_attr: wp.array2d(dtype=vec),
    ): ...

    return add_triangles
