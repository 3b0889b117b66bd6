"""The loops of `ssao` over a run of pixels of one row, as C++ that Warp compiles for CPU and CUDA alike.

On CPU the covered pixels of a run are worked off in blocks: one tap of all of them is a loop over
plain arrays without branches, which compilers turn into vector instructions. What depends on a
branch (adding to the depth of whatever the tap hit) is a loop of its own. On CUDA a thread has one
pixel.

Names as in `studio.core.ops.ssao`: p the surface point, n its normal, t and b the rotated tangent
and bitangent, all in view space; d the depth of p, `at` the depth of the sample, `hit` the depth
that the depth buffer has there.
"""

SETUP = """
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
    SETUP
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
