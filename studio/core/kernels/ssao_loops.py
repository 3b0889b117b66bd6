"""The loops of `ssao` over a run of pixels of one row, as C++ that Warp compiles for CPU and CUDA alike.

On CPU the covered pixels of a run are worked off in blocks: one tap of all of them is a loop over
plain arrays without branches, which compilers turn into vector instructions. What depends on a
branch (adding to the depth of whatever the tap hit) is a loop of its own. On CUDA a thread has one
pixel.

Names as in `studio.core.ops.ssao`: p the surface point, n its normal, t and b the rotated tangent
and bitangent, all in view space; d the depth of p, `at` the depth of the sample, `hit` the depth
that the depth buffer has there.
"""

_SETUP = """
#if defined(__CUDA_ARCH__)
    const int BLOCK = 1;
#define ADD(where, what) wp::atomic_add(&(where), what)
#else
    const int BLOCK = 64;
#define ADD(where, what) (where) += (what)
#endif
    const float nearest = 0.1f;      // samples are at least so far from the camera, of the depth of p
    const float reach = 2.0f;        // radii behind p beyond which nothing counts
    const float thickness = 0.25f;   // radii off the tangent plane at which the blur ends
    const float tiny = 1e-4f;
    const int h = surface.shape[2], w = surface.shape[3];
    const int full_h = soft.shape[1], full_w = soft.shape[2];
    const int row = (first / w) % h, image = first / (w * h), column = first % w;
    const size_t plane = (size_t)h * w;
    const size_t start = (size_t)image * 4 * plane + (size_t)row * w + column;
    const float* NX = (const float*)surface.data + start;
    const float* NY = NX + plane;
    const float* NZ = NY + plane;
    const float* D = NZ + plane;
    const float* L = (const float*)lens.data + 4 * (size_t)image;
    const float r = *(const float*)radius.data, to_r = 1.0f / r;
    const float ray_x = 2.0f * step / (full_w * L[0]), ray_y = 2.0f * step / (full_h * L[1]);
    const float first_x = ((2.0f * step * column + 1.0f) / full_w - 1.0f + L[2]) / L[0];
    const float at_y = ((2.0f * step * row + 1.0f) / full_h - 1.0f + L[3]) / L[1];
"""

_TAPS = (
    _SETUP
    + """
    const float* Z = (const float*)soft.data + (size_t)image * full_h * full_w;
    const float* O = (const float*)offsets.data;
    const float* R = (const float*)rotation.data;
    const int taps = offsets.shape[0];
    const float to_x = 0.5f * L[0] * full_w, to_y = 0.5f * L[1] * full_h;
    const float middle_x = 0.5f * (1.0f - L[2]) * full_w - 0.5f;
    const float middle_y = 0.5f * (1.0f - L[3]) * full_h - 0.5f;
    const float last_x = full_w - 1.0f, last_y = full_h - 1.0f;
    const float slope = 1.0f / ramp;
    int where[BLOCK];
    float rx[BLOCK], d[BLOCK], nx[BLOCK], ny[BLOCK], nz[BLOCK], turn_c[BLOCK], turn_s[BLOCK];
    float tx[BLOCK], ty[BLOCK], tz[BLOCK], bx[BLOCK], by[BLOCK], bz[BLOCK];
    // Per tap:
    float vx[BLOCK], vy[BLOCK], vz[BLOCK], px[BLOCK], py[BLOCK], at[BLOCK], fx[BLOCK], fy[BLOCK];
    int c00[BLOCK], right[BLOCK], up[BLOCK];
    float z00[BLOCK], z10[BLOCK], z01[BLOCK], z11[BLOCK];
    auto fill = [&](int n, int k) {
        where[n] = k;
        rx[n] = first_x + ray_x * k;
        d[n] = D[k];
        const float x = NX[k], y = NY[k], z = NZ[k];
        nx[n] = x; ny[n] = y; nz[n] = z;
        const float s = z < 0.0f ? -1.0f : 1.0f;
        const float a = -1.0f / (s + z), b = x * y * a;
        const float* turn = R + 2 * (4 * (row & 3) + ((column + k) & 3));
        const float c = turn[0], e = turn[1];
        turn_c[n] = c; turn_s[n] = e;
        const float t0 = 1.0f + s * x * x * a, t1 = s * b, t2 = -s * x;
        const float b0 = b, b1 = s + y * y * a, b2 = -y;
        tx[n] = c * t0 + e * b0; ty[n] = c * t1 + e * b1; tz[n] = c * t2 + e * b2;
        bx[n] = c * b0 - e * t0; by[n] = c * b1 - e * t1; bz[n] = c * b2 - e * t2;
    };
    // Where the samples of tap `o` are and what the four texels around them hold.
    auto look = [&](int count, const float* o) {
        const float ox = o[0], oy = o[1], oz = o[2];
        VECTORS
        for (int n = 0; n < count; ++n) {
            vx[n] = ox * tx[n] + oy * bx[n] + oz * nx[n];
            vy[n] = ox * ty[n] + oy * by[n] + oz * ny[n];
            vz[n] = ox * tz[n] + oy * bz[n] + oz * nz[n];
            const float depth = d[n] - r * vz[n], least = nearest * d[n];
            at[n] = depth > least ? depth : least;
            const float inverse = 1.0f / at[n];
            float x = to_x * ((rx[n] * d[n] + r * vx[n]) * inverse) + middle_x;
            float y = to_y * ((at_y * d[n] + r * vy[n]) * inverse) + middle_y;
            px[n] = x; py[n] = y;
            x = x > 0.0f ? x : 0.0f;
            y = y > 0.0f ? y : 0.0f;
            x = x < last_x ? x : last_x;
            y = y < last_y ? y : last_y;
            const int i = (int)x, j = (int)y;
            fx[n] = x - (float)i;
            fy[n] = y - (float)j;
            c00[n] = j * full_w + i;
            right[n] = i + 1 < full_w ? 1 : 0;
            up[n] = j + 1 < full_h ? full_w : 0;
        }
        for (int n = 0; n < count; ++n) {
            const float* z = Z + c00[n];
            z00[n] = z[0];
            z10[n] = z[right[n]];
            z01[n] = z[up[n]];
            z11[n] = z[up[n] + right[n]];
        }
    };
    auto least = [](float x, float y) { return x < y ? x : y; };
    // Bilinear depth of texels that lie no further than `limit`.
    auto mixed = [&](float x, float y, float a, float b, float c, float e, float limit) {
        a = least(a, limit); b = least(b, limit); c = least(c, limit); e = least(e, limit);
        const float low = a + x * (b - a), high = c + x * (e - c);
        return low + y * (high - low);
    };
    auto unit = [](float x) { x = x > 0.0f ? x : 0.0f; return x < 1.0f ? x : 1.0f; };
    auto occlusion = [&](float sample, float hit, float own) {
        const float t = unit(((sample - hit) * to_r - bias) * slope);
        const float q = (hit - own) * to_r;
        const float e = unit((q < 0.0f ? -q : q) - 1.0f);
        return t * t * (3.0f - 2.0f * t) * (1.0f - e * e * (3.0f - 2.0f * e));
    };
"""
)

OCCLUDE = (
    _TAPS
    + """
    float* to = (float*)out.data + (size_t)image * plane + (size_t)row * w + column;
    float sum[BLOCK];
    int k = 0;
    while (k < run) {
        int count = 0;
        for (; k < run && count < BLOCK; ++k)
            if (D[k] > 0.0f) fill(count++, k);
        for (int n = 0; n < count; ++n) sum[n] = 0.0f;
        for (int i = 0; i < taps; ++i) {
            look(count, O + 3 * i);
            VECTORS
            for (int n = 0; n < count; ++n) {
                const float hit = mixed(fx[n], fy[n], z00[n], z10[n], z01[n], z11[n], d[n] + reach * r);
                sum[n] += occlusion(at[n], hit, d[n]);
            }
        }
        for (int n = 0; n < count; ++n) to[where[n]] = sum[n] / taps;
    }
"""
)

OCCLUDE_ADJOINT = (
    _TAPS
    + """
    const float* G = (const float*)grad.data + (size_t)image * plane + (size_t)row * w + column;
    float* g_nx = (float*)g_surface.data + start;
    const float* J = (const float*)jump.data + (size_t)image * full_h * full_w;
    const float* other = (const float*)behind.data + (size_t)image * full_h * full_w;
    const unsigned char* B = (const unsigned char*)busy.data + (size_t)image * full_h * full_w;
    float* GZ = (float*)g_soft.data + (size_t)image * full_h * full_w;
    float g[BLOCK], gd[BLOCK], gx[BLOCK], gy[BLOCK], gz[BLOCK], g_hit[BLOCK], gr[BLOCK];
    float gt[3][BLOCK], gb[3][BLOCK], gn[3][BLOCK];
    // What one tap adds to the gradients of its pixel, and the gradient of the depth it read.
    auto pull = [&](int count, const float* o) {
        const float ox = o[0], oy = o[1], oz = o[2];
        VECTORS
        for (int n = 0; n < count; ++n) {
            const float limit = d[n] + reach * r, x = fx[n], y = fy[n];
            const float a = least(z00[n], limit), b = least(z10[n], limit);
            const float c = least(z01[n], limit), e = least(z11[n], limit);
            const float low = a + x * (b - a), high = c + x * (e - c);
            const float hit = low + y * (high - low);
            const float t = unit(((at[n] - hit) * to_r - bias) * slope);
            const float q = (hit - d[n]) * to_r;
            const float u = unit((q < 0.0f ? -q : q) - 1.0f);
            const float f1 = t * t * (3.0f - 2.0f * t), f2 = 1.0f - u * u * (3.0f - 2.0f * u);
            // Of f1 to (at - hit) / r and of f2 to (hit - d) / r, times the gradient.
            const float s1 = g[n] * 6.0f * t * (1.0f - t) * slope * f2;
            const float s2 = g[n] * f1 * -6.0f * u * (1.0f - u) * (q < 0.0f ? -1.0f : 1.0f);
            const float of_hit = (s2 - s1) * to_r;
            g_hit[n] = of_hit;
            // The limit moves with d and r where a texel is beyond it.
            const float wx = 1.0f - x, wy = 1.0f - y;
            float beyond = z00[n] >= limit ? wx * wy : 0.0f;
            beyond += z10[n] >= limit ? x * wy : 0.0f;
            beyond += z01[n] >= limit ? wx * y : 0.0f;
            beyond += z11[n] >= limit ? x * y : 0.0f;
            float of_x = of_hit * (wy * (b - a) + y * (e - c));
            float of_y = of_hit * (high - low);
            of_x = px[n] > 0.0f && px[n] < last_x ? of_x : 0.0f;
            of_y = py[n] > 0.0f && py[n] < last_y ? of_y : 0.0f;
            const float inverse = 1.0f / at[n];
            const float kx = of_x * to_x * inverse, ky = of_y * to_y * inverse;
            float of_at = s1 * to_r;
            of_at -= (kx * (rx[n] * d[n] + r * vx[n]) + ky * (at_y * d[n] + r * vy[n])) * inverse;
            const bool close = at[n] <= nearest * d[n];
            gd[n] += of_hit * beyond - s2 * to_r + (close ? of_at * nearest : 0.0f);
            const float kz = close ? 0.0f : -of_at;
            const float along = -s1 * (at[n] - hit) * to_r - s2 * (hit - d[n]) * to_r;
            gr[n] += along * to_r + of_hit * beyond * reach + kx * vx[n] + ky * vy[n] + kz * vz[n];
            gx[n] += kx; gy[n] += ky; gz[n] += kz;
            gt[0][n] += ox * kx; gt[1][n] += ox * ky; gt[2][n] += ox * kz;
            gb[0][n] += oy * kx; gb[1][n] += oy * ky; gb[2][n] += oy * kz;
            gn[0][n] += oz * kx; gn[1][n] += oz * ky; gn[2][n] += oz * kz;
        }
    };
    // Gradient of the texels. At a silhouette, where the tap may see either of two surfaces, it is
    // the difference between the two over the difference in depth. Not so for the pixel's own texel:
    // where that shows the other surface, so does the pixel, and this tap is never made.
    auto spread = [&](int count) {
        for (int n = 0; n < count; ++n) {
            const int c = c00[n];
            if (g_hit[n] == 0.0f && B[c] == 0) continue;
            const float limit = d[n] + reach * r, x = fx[n], y = fy[n];
            const int mine = step * (row * full_w + column + where[n]);
            const int texel[4] = {c, c + right[n], c + up[n], c + up[n] + right[n]};
            const float share[4] = {(1.0f - x) * (1.0f - y), x * (1.0f - y), (1.0f - x) * y, x * y};
            const float z[4] = {least(z00[n], limit), least(z10[n], limit), least(z01[n], limit),
                                least(z11[n], limit)};
            float hit = 0.0f;
            for (int m = 0; m < 4; ++m) hit += share[m] * z[m];
            for (int m = 0; m < 4; ++m) {
                const float own = Z[texel[m]], step_to = B[c] == 0 ? 0.0f : J[texel[m]];
                float add = own < limit ? share[m] * g_hit[n] : 0.0f;
                if (step_to != 0.0f && texel[m] == mine) {
                    gd[n] += add;
                    continue;
                }
                if (step_to != 0.0f) {
                    const float switched = hit + share[m] * (least(other[texel[m]], limit) - z[m]);
                    const float f = occlusion(at[n], switched, d[n]) - occlusion(at[n], hit, d[n]);
                    add = g[n] * f / step_to;
                }
                if (add != 0.0f) wp::atomic_add(GZ + texel[m], add);
            }
        }
    };
    // From point and basis back to depth and normal, added to what the blur left there.
    auto gather = [&](int n) {
        const float c = turn_c[n], e = turn_s[n], x = nx[n], y = ny[n];
        float of_t[3], of_b[3];
        for (int i = 0; i < 3; ++i) {
            of_t[i] = r * (c * gt[i][n] - e * gb[i][n]);
            of_b[i] = r * (e * gt[i][n] + c * gb[i][n]);
        }
        const float s = nz[n] < 0.0f ? -1.0f : 1.0f, a = -1.0f / (s + nz[n]);
        const float ga = s * x * x * of_t[0] + y * y * of_b[1] + x * y * (s * of_t[1] + of_b[0]);
        const float gm = a * (s * of_t[1] + of_b[0]);
        float* to = g_nx + where[n];
        to[0] += r * gn[0][n] + 2.0f * s * x * a * of_t[0] - s * of_t[2] + y * gm;
        to[plane] += r * gn[1][n] + 2.0f * y * a * of_b[1] - of_b[2] + x * gm;
        to[2 * plane] += r * gn[2][n] + a * a * ga;
        to[3 * plane] += gd[n] + gx[n] * rx[n] + gy[n] * at_y - gz[n];
        return gr[n];
    };
    int k = 0;
    float of_radius = 0.0f;
    while (k < run) {
        int count = 0;
        for (; k < run && count < BLOCK; ++k)
            if (D[k] > 0.0f && G[k] != 0.0f) {
                g[count] = G[k] / taps;
                fill(count++, k);
            }
        for (int n = 0; n < count; ++n) {
            gd[n] = gx[n] = gy[n] = gz[n] = gr[n] = 0.0f;
            for (int i = 0; i < 3; ++i) gt[i][n] = gb[i][n] = gn[i][n] = 0.0f;
        }
        for (int i = 0; i < taps; ++i) {
            look(count, O + 3 * i);
            pull(count, O + 3 * i);
            spread(count);
        }
        for (int n = 0; n < count; ++n) of_radius += gather(n);
    }
    if (of_radius != 0.0f) wp::atomic_add((float*)g_radius.data, of_radius);
"""
)

# Weight of a neighbour: how far it lies off the pixel's tangent plane, and where its normal points.
_NEIGHBOURS = (
    _SETUP
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
