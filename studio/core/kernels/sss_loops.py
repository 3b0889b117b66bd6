"""C++ of the separable scattering blur: one direction over a rectangle of pixels.

Both loops go row by row in pieces of SIDE columns, and within those tap by tap, so that the
innermost loop is over neighbouring pixels of plain planes and becomes vectors. Arguments of both:

    source   [3, P] what is blurred; 0 where nothing scatters
    shape    [4, P] depth along -Z and unit normal; the normal is 0 where nothing scatters, which
             makes the weight of such a tap exactly 0
    scales   [3] x / d_c: spacing of taps over (pixels of a unit at depth 1 times distance)
    base, width, height, x0..y1: the image's first pixel, its size, the rectangle
    dx, dy   the spacing of taps in pixels, one of them 0
    stop     1 / (2 s^2), s the depth at which taps stop to count

Weight of tap k of channel c at pixel p (see studio/core/ops/sss.py):

    w = (f + 2 f^4) v e,  f = exp(-k^2 u),  u = (scale_c z_p)^2 / 2
    v = max(n_p . n_q, 0)^2,  e = exp(-(z_q - z_p)^2 stop)

f needs one exponential per pixel: f_{k+1} = f_k r_k, r_{k+1} = r_k exp(-2 u).
"""

from __future__ import annotations

SIDE = 64
TAPS = 8

_SHARED = """
    const int B = SIDE;
    const size_t P = plane;
    const float* S = source.data;
    const float* Z = shape.data;
    const float* X = shape.data + P;
    const float* Y = shape.data + 2 * P;
    const float* W = shape.data + 3 * P;
    // exp(x) for x <= 0, relative error 2e-7, of operations that become vectors.
    auto exponential = [](float x) {
        float t = x * 1.44269504f;
        t = t > -126.0f ? t : -126.0f;
        const int whole = (int)(t - 0.5f);
        const float q = t - (wp::float32)whole;
        float p = 1.5403530e-4f;
        p = p * q + 1.3333558e-3f;
        p = p * q + 9.6181291e-3f;
        p = p * q + 5.5504109e-2f;
        p = p * q + 2.4022651e-1f;
        p = p * q + 6.9314718e-1f;
        p = p * q + 1.0f;
        const int bits = (whole + 127) << 23;
        float power;
        memcpy(&power, &bits, 4);
        return p * power;
    };
"""

_EACH_PIECE = """
    for (int y = y0; y < y1; ++y)
    for (int x = x0; x < x1; x += B) {
        const int n = x1 - x < B ? x1 - x : B;
        const size_t at = base + (size_t)y * width + x;
        const float *z = Z + at, *nx = X + at, *ny = Y + at, *nz = W + at;
        float some = 0.0f;
        for (int i = 0; i < n; ++i) some += nx[i] * nx[i] + ny[i] * ny[i] + nz[i] * nz[i];
        if (some == 0.0f) continue;
"""

_FALLOFF = """
        float f[3][B], r[3][B], e2[3][B], w[3][B];
        for (int c = 0; c < 3; ++c) {
            const float scale = scales[c];
            VECTORS
            for (int i = 0; i < n; ++i) {
                const float a = scale * z[i];
                const float e = exponential(-0.5f * a * a);
                f[c][i] = e;
                e2[c][i] = e * e;
                r[c][i] = e * e * e;
            }
        }
"""

_EACH_TAP = """
        for (int k = 1; k <= TAPS; ++k) {
            for (int c = 0; c < 3; ++c) {
                VECTORS
                for (int i = 0; i < n; ++i) {
                    const float q = f[c][i] * f[c][i];
                    w[c][i] = f[c][i] + 2.0f * q * q;
                }
            }
            for (int side = -1; side <= 1; side += 2) {
                const int kx = side * k * dx, ky = side * k * dy;
                if (y + ky < 0 || y + ky >= height) continue;
                const int first = -kx - x > 0 ? -kx - x : 0;
                const int last = width - kx - x < n ? width - kx - x : n;
                const long long step = (long long)ky * width + kx;
"""

_TAP_WEIGHT = """
                    const float t = nx[i] * qx[i] + ny[i] * qy[i] + nz[i] * qz[i];
                    const float s = t > 0.0f ? t : 0.0f;
                    const float gap = qd[i] - z[i];
                    const float near = exponential(-gap * gap * stop);
                    const float v = s * s;
"""

_NEXT_TAP = """
            for (int c = 0; c < 3; ++c) {
                VECTORS
                for (int i = 0; i < n; ++i) {
                    f[c][i] *= r[c][i];
                    r[c][i] *= e2[c][i];
                }
            }
        }
"""

_NEIGHBOURS = """
                const float *qd = z + step, *qx = nx + step, *qy = ny + step, *qz = nz + step;
                const float *s0 = S + at + step, *s1 = s0 + P, *s2 = s1 + P;
"""

BLUR = (
    _SHARED
    + _EACH_PIECE
    + """
        float num[3][B], den[3][B];
        for (int c = 0; c < 3; ++c)
            for (int i = 0; i < n; ++i) {
                num[c][i] = 3.0f * S[c * P + at + i];
                den[c][i] = 3.0f;
            }
"""
    + _FALLOFF
    + _EACH_TAP
    + _NEIGHBOURS
    + """
                VECTORS
                for (int i = first; i < last; ++i) {
"""
    + _TAP_WEIGHT
    + """
                    const float g = v * near;
                    const float a = w[0][i] * g, b = w[1][i] * g, c = w[2][i] * g;
                    num[0][i] += a * s0[i];
                    num[1][i] += b * s1[i];
                    num[2][i] += c * s2[i];
                    den[0][i] += a;
                    den[1][i] += b;
                    den[2][i] += c;
                }
            }
"""
    + _NEXT_TAP
    + """
        for (int c = 0; c < 3; ++c)
            for (int i = 0; i < n; ++i) {
                blurred.data[c * P + at + i] = num[c][i] / den[c][i];
                total.data[c * P + at + i] = den[c][i];
            }
    }
"""
)

BLUR_ADJOINT = (
    _SHARED
    + """
    float* GS = g_source.data;
    float* GZ = g_shape.data;
    float sum_d[3] = {0.0f, 0.0f, 0.0f}, sum_stop = 0.0f;
"""
    + _EACH_PIECE
    + """
        // Gradient over the sum of weights, what the taps are compared with, and per pixel those
        // of u, depth and normal.
        float gn[3][B], mean[3][B], gu[3][B], gz[B], gx[B], gy[B], gw[B];
        for (int c = 0; c < 3; ++c)
            for (int i = 0; i < n; ++i) {
                const size_t o = c * P + at + i;
                gn[c][i] = grad.data[o] / total.data[o];
                mean[c][i] = blurred.data[o];
                gu[c][i] = 0.0f;
                GS[o] += 3.0f * gn[c][i];
            }
        for (int i = 0; i < n; ++i) gz[i] = gx[i] = gy[i] = gw[i] = 0.0f;
        float stops[B];
        for (int i = 0; i < n; ++i) stops[i] = 0.0f;
"""
    + _FALLOFF
    + """
        float slope[3][B];
"""
    + _EACH_TAP
    + _NEIGHBOURS
    + """
                float *t0 = GS + at + step, *t1 = t0 + P, *t2 = t1 + P;
                float *td = GZ + at + step, *tx = td + P, *ty = tx + P, *tz = ty + P;
                const float square = (wp::float32)(k * k);
                for (int c = 0; c < 3; ++c) {
                    VECTORS
                    for (int i = first; i < last; ++i)
                        slope[c][i] = square * (4.0f * w[c][i] - 3.0f * f[c][i]);
                }
                ALONE
                for (int i = first; i < last; ++i) {
"""
    + _TAP_WEIGHT
    + """
                    const float g = v * near;
                    const float a = gn[0][i], b = gn[1][i], c = gn[2][i];
                    const float p0 = a * (s0[i] - mean[0][i]);
                    const float p1 = b * (s1[i] - mean[1][i]);
                    const float p2 = c * (s2[i] - mean[2][i]);
                    t0[i] += a * w[0][i] * g;
                    t1[i] += b * w[1][i] * g;
                    t2[i] += c * w[2][i] * g;
                    gu[0][i] -= p0 * slope[0][i] * g;
                    gu[1][i] -= p1 * slope[1][i] * g;
                    gu[2][i] -= p2 * slope[2][i] * g;
                    const float h = p0 * w[0][i] + p1 * w[1][i] + p2 * w[2][i];
                    const float by_gap = -2.0f * stop * gap * g * h;
                    stops[i] -= gap * gap * g * h;
                    td[i] += by_gap;
                    gz[i] -= by_gap;
                    const float by_t = h * near * 2.0f * s;
                    tx[i] += by_t * nx[i];
                    ty[i] += by_t * ny[i];
                    tz[i] += by_t * nz[i];
                    gx[i] += by_t * qx[i];
                    gy[i] += by_t * qy[i];
                    gw[i] += by_t * qz[i];
                }
            }
"""
    + _NEXT_TAP
    + """
        for (int i = 0; i < n; ++i) {
            float own = gz[i];
            for (int c = 0; c < 3; ++c) {
                const float two_u = scales[c] * scales[c] * z[i] * z[i];
                if (z[i] > 0.0f) own += gu[c][i] * two_u / z[i];
                sum_d[c] += gu[c][i] * two_u;
            }
            sum_stop += stops[i];
            float* to = GZ + at + i;
            to[0] += own;
            to[P] += gx[i];
            to[2 * P] += gy[i];
            to[3 * P] += gw[i];
        }
    }
    for (int c = 0; c < 3; ++c) sums.data[4 * (size_t)row + c] = sum_d[c];
    sums.data[4 * (size_t)row + 3] = sum_stop;
"""
)
