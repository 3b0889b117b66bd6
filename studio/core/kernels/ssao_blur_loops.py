"""The blur of `ssao` over a run of pixels of one row, as C++; names as in `ssao_loops`."""

from studio.core.kernels.ssao_loops import SETUP

# Weight of a neighbour: how far it lies off the pixel's tangent plane, and where its normal points.
_NEIGHBOURS = (
    SETUP
    + """
    const float wide = 1.0f / (thickness * r);
    const size_t here = (size_t)image * plane + (size_t)row * w + column;
    const float* A = (const float*)occlusion.data + here;
    const float power = *(const float*)strength.data;
    float q[BLOCK], qx[BLOCK], qy[BLOCK];
    auto covered = [&](int k, int count) {
        bool any = false;
        for (int n = 0; n < count; ++n) any |= D[k + n] > 0.0f;
        return any;
    };
    auto planes = [&](int k, int count) {
        VECTORS
        for (int n = 0; n < count; ++n) {
            const float x = first_x + ray_x * (k + n);
            q[n] = NX[k + n] * x + NY[k + n] * at_y - NZ[k + n];
            qx[n] = NX[k + n] * ray_x;
            qy[n] = NY[k + n] * ray_y;
        }
    };
    // Rows and columns of the window that are inside the picture.
    const int low = row < 2 ? -row : -2, high = row + 1 < h ? 1 : 0;
    auto begin_of = [&](int k, int i) { const int c = -(column + k + i); return c > 0 ? c : 0; };
    auto end_of = [&](int k, int count, int i) {
        const int c = w - (column + k + i);
        return c < count ? c : count;
    };
"""
)

BLUR = (
    _NEIGHBOURS
    + """
    float* mean = (float*)blurred.data + here;
    float* weight = (float*)total.data + here;
    float* to = (float*)out.data + here;
    float sum[BLOCK], all[BLOCK];
    for (int k = 0; k < run; k += BLOCK) {
        const int count = run - k < BLOCK ? run - k : BLOCK;
        if (!covered(k, count)) continue;
        planes(k, count);
        for (int n = 0; n < count; ++n) sum[n] = all[n] = 0.0f;
        for (int j = low; j <= high; ++j)
            for (int i = -2; i <= 1; ++i) {
                const int end = end_of(k, count, i), shift = j * w + i + k;
                VECTORS
                for (int n = begin_of(k, i); n < end; ++n) {
                    const float z = D[shift + n];
                    const float t = (z * (q[n] + i * qx[n] + j * qy[n]) - D[k + n] * q[n]) * wide;
                    float near = 1.0f - t * t;
                    near = near > 0.0f ? near : 0.0f;
                    float m = NX[k + n] * NX[shift + n] + NY[k + n] * NY[shift + n];
                    m += NZ[k + n] * NZ[shift + n];
                    m = m > 0.0f ? m * m : 0.0f;
                    const float share = z > 0.0f ? near * near * m * m : 0.0f;
                    sum[n] += share * A[shift + n];
                    all[n] += share;
                }
            }
        for (int n = 0; n < count; ++n) {
            if (!(D[k + n] > 0.0f)) continue;
            const float o = sum[n] / all[n], under = 1.0f + (power - 1.0f) * o;
            mean[k + n] = o;
            weight[k + n] = all[n];
            to[k + n] = (1.0f - o) / (under > tiny ? under : tiny);
        }
    }
"""
)

BLUR_ADJOINT = (
    _NEIGHBOURS
    + """
    const float* mean = (const float*)blurred.data + here;
    const float* weight = (const float*)total.data + here;
    const float* G = (const float*)grad.data + here;
    float* g_a = (float*)g_occlusion.data + here;
    float* gx = (float*)g_surface.data + start;
    float* gy = gx + plane;
    float* gz = gy + plane;
    float* gd = gz + plane;
    float g[BLOCK], gq[BLOCK], gqx[BLOCK], gqy[BLOCK], own[BLOCK], gr[BLOCK], nx[BLOCK], ny[BLOCK], nz[BLOCK];
    float of_strength = 0.0f, of_radius = 0.0f;
    // By number within the image: weight of pixel b in the mean of pixel a.
    const float* N = NX - (size_t)row * w - column;
    auto share_of = [&](int a, int b) {
        const float *na = N + a, *nb = N + b;
        const float z = nb[3 * plane], own = na[3 * plane];
        const float m = na[0] * nb[0] + na[plane] * nb[plane] + na[2 * plane] * nb[2 * plane];
        if (!(z > 0.0f) || !(m > 0.0f)) return 0.0f;
        const float xa = first_x + ray_x * (a % w - column), ya = at_y + ray_y * (a / w - row);
        const float xb = first_x + ray_x * (b % w - column), yb = at_y + ray_y * (b / w - row);
        float t = na[0] * (z * xb - own * xa) + na[plane] * (z * yb - own * ya) - na[2 * plane] * (z - own);
        t *= wide;
        const float near = t * t < 1.0f ? 1.0f - t * t : 0.0f;
        return near * near * m * m * m * m;
    };
    // At a silhouette a neighbour may show the other surface instead, of which the pixel across has
    // normal and occlusion: what the means around it then change by, over the difference in depth.
    auto switched = [&](int k) {
        const int full_row = step * row, full_column = step * (column + k);
        const size_t texel = ((size_t)image * full_h + full_row) * full_w + full_column;
        const float step_to = *((const float*)jump.data + texel);
        if (step_to == 0.0f) return;
        const float* z = (const float*)soft.data + texel;
        const int here_at = row * w + column + k;
        int across = -1;
        if (full_column + 1 < full_w && column + k + 1 < w && z[1] - z[0] == step_to) across = here_at + 1;
        else if (full_column > 0 && column + k > 0 && z[-1] - z[0] == step_to) across = here_at - 1;
        else if (full_row + 1 < full_h && row + 1 < h && z[full_w] - z[0] == step_to) across = here_at + w;
        else if (full_row > 0 && row > 0 && z[-full_w] - z[0] == step_to) across = here_at - w;
        if (across < 0) return;
        const size_t base = here - (size_t)row * w - column;
        const float* every = (const float*)occlusion.data + base;
        float sum = 0.0f;
        for (int j = row - 1; j <= row + 2; ++j)
            for (int i = column + k - 1; i <= column + k + 2; ++i) {
                const int a = j * w + i;
                if (j < 0 || j >= h || i < 0 || i >= w || a == here_at) continue;
                if (!(N[3 * plane + a] > 0.0f)) continue;
                const float o = *((const float*)blurred.data + base + a);
                const float all = *((const float*)total.data + base + a);
                const float own = share_of(a, here_at), other = share_of(a, across);
                const float left = all - own + other;
                if (!(left > 0.0f)) continue;
                const float moved = (other * (every[across] - o) - own * (every[here_at] - o)) / left;
                const float under = 1.0f + (power - 1.0f) * o;
                sum -= *((const float*)grad.data + base + a) * power / (under * under) * moved;
            }
        *((float*)g_soft.data + texel) += sum / step_to;
    };
    for (int k = 0; k < run; ++k) switched(k);
    for (int k = 0; k < run; k += BLOCK) {
        const int count = run - k < BLOCK ? run - k : BLOCK;
        if (!covered(k, count)) continue;
        planes(k, count);
        for (int n = 0; n < count; ++n) {
            gq[n] = gqx[n] = gqy[n] = own[n] = gr[n] = nx[n] = ny[n] = nz[n] = g[n] = 0.0f;
            if (!(D[k + n] > 0.0f)) continue;
            const float o = mean[k + n], under = 1.0f + (power - 1.0f) * o;
            if (under > tiny) {
                g[n] = -G[k + n] * power / (under * under) / weight[k + n];
                of_strength -= G[k + n] * (1.0f - o) * o / (under * under);
            } else {
                g[n] = -G[k + n] / tiny / weight[k + n];
            }
        }
        for (int j = low; j <= high; ++j)
            for (int i = -2; i <= 1; ++i) {
                const int end = end_of(k, count, i), shift = j * w + i + k;
                ASSUME_SAFE
                for (int n = begin_of(k, i); n < end; ++n) {
                    const float z = D[shift + n], x1 = NX[shift + n], y1 = NY[shift + n], z1 = NZ[shift + n];
                    const float a = q[n] + i * qx[n] + j * qy[n];
                    const float t = (z * a - D[k + n] * q[n]) * wide;
                    float near = 1.0f - t * t;
                    near = near > 0.0f ? near : 0.0f;
                    float m = NX[k + n] * x1 + NY[k + n] * y1 + NZ[k + n] * z1;
                    m = m > 0.0f ? m : 0.0f;
                    const float m3 = m * m * m, pulled = z > 0.0f ? g[n] : 0.0f;
                    ADD(g_a[shift + n], pulled * near * near * m3 * m);
                    const float gw = pulled * (A[shift + n] - mean[k + n]);
                    const float gm = gw * near * near * 4.0f * m3;
                    const float gt = gw * m3 * m * -4.0f * t * near;
                    ADD(gx[shift + n], gm * NX[k + n]);
                    ADD(gy[shift + n], gm * NY[k + n]);
                    ADD(gz[shift + n], gm * NZ[k + n]);
                    ADD(gd[shift + n], gt * wide * a);
                    nx[n] += gm * x1;
                    ny[n] += gm * y1;
                    nz[n] += gm * z1;
                    own[n] -= gt * wide * q[n];
                    gq[n] += gt * wide * (z - D[k + n]);
                    gqx[n] += gt * wide * z * i;
                    gqy[n] += gt * wide * z * j;
                    gr[n] -= gt * t * to_r;
                }
            }
        for (int n = 0; n < count; ++n) {
            ADD(gx[k + n], nx[n] + gq[n] * (first_x + ray_x * (k + n)) + gqx[n] * ray_x);
            ADD(gy[k + n], ny[n] + gq[n] * at_y + gqy[n] * ray_y);
            ADD(gz[k + n], nz[n] - gq[n]);
            ADD(gd[k + n], own[n]);
            of_radius += gr[n];
        }
    }
    if (of_radius != 0.0f) wp::atomic_add((float*)g_radius.data, of_radius);
    if (of_strength != 0.0f) wp::atomic_add((float*)g_strength.data, of_strength);
"""
)
