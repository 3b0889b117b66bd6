"""C++ that the kernels of volumes are made of: a ray through a grid, sample by sample.

What a volume's values mean stands in studio/core/scene/volume.py. Samples lie at the distances
(i + jitter) * step from a ray's origin, whatever the grid, so that nothing but their positions
depends on the ray. Fragments share these names: `ox`.. and `rx`.. are origin and direction in
voxels from the grid's first point, `i` the sample's number, `t` its distance in world units.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import warp as wp

from studio.core.kernels.channels import variant
from studio.core.scene.volume import MAX_DEGREE, SHIFT

BRICK = 4
"""Voxels along the side of a brick, the unit in which empty space is known."""

FRAME = (
    *("low x", "low y", "low z", "1 / voxel", "step", "step / base voxel", "least value", "least rest"),
    "sharpness",
)
"""Numbers of a `frame`. Samples of a density below `least value` are left out; a ray ends where less
than `least rest` of what lies behind it would still be seen. Only distances have a sharpness."""

GRID = f"""
    constexpr int K = COUNT, C = 3 * K;
    constexpr float SHIFT = {SHIFT}f;
    const float* D = (const float*)density.data;
    const float* A = (const float*)colors.data;
    const float* f = (const float*)frame.data;
    const unsigned char* free_bricks = (const unsigned char*)free.data;
    const bool leaping = free.shape[0] > 1;
    const int nx = size_x, ny = size_y, nz = size_z, sx = ny * nz, sy = nz;
    const int bricks_y = (ny + 2) >> 2, bricks_z = (nz + 2) >> 2;
    const float last_x = nx - 1.0f, last_y = ny - 1.0f, last_z = nz - 1.0f;
    const float step = f[4], depth_scale = f[5], least_value = f[6], least_rest = f[7];
    [[maybe_unused]] const float sharpness = f[8];
    // Of softplus: with e = exp(v), exp(-k softplus(v)) = (1 + e)^-k and its slope is e / (1 + e).
#if defined(__CUDA_ARCH__)
    auto exp2 = [](float v) {{ return exp2f(v); }};
    auto log2 = [](float v) {{ return log2f(v); }};
#else
    // As in kernels/lanes.py: relative errors of 2e-7 for results that are no denormal numbers.
    auto exp2 = [](float v) {{
        const float t = v > -126.0f ? v : -126.0f, whole = __builtin_floorf(t + 0.5f), q = t - whole;
        float p = 1.5403530e-4f;
        p = p * q + 1.3333558e-3f;
        p = p * q + 9.6181291e-3f;
        p = p * q + 5.5504109e-2f;
        p = p * q + 2.4022651e-1f;
        p = p * q + 6.9314718e-1f;
        p = p * q + 1.0f;
        const int bits = ((int)whole + 127) << 23;
        float power;
        memcpy(&power, &bits, 4);
        return p * power;
    }};
    auto log2 = [](float a) {{
        int bits;
        memcpy(&bits, &a, 4);
        const int whole = (bits - 0x3f3504f3) >> 23;
        bits -= whole << 23;
        float m;
        memcpy(&m, &bits, 4);
        const float s = (m - 1.0f) / (m + 1.0f), q = s * s;
        const float series = 1.0f + q * (0.33333333f + q * (0.2f + q * (0.14285714f + q * 0.11111111f)));
        return whole + 2.88539008f * s * series;
    }};
#endif
    constexpr float LOG2_E = 1.44269504f;
"""

# The first K real spherical harmonics at the ray's direction; see kernels/sh.py.
BASIS = """
        float Y[K];
        Y[0] = 0.28209479f;
        if (K > 1) Y[1] = 0.48860251f * dy, Y[2] = 0.48860251f * dz, Y[3] = 0.48860251f * dx;
        if (K > 4) {
            Y[4] = 1.09254843f * dx * dy, Y[5] = 1.09254843f * dy * dz;
            Y[6] = 0.31539157f * (3.0f * dz * dz - 1.0f);
            Y[7] = 1.09254843f * dx * dz, Y[8] = 0.54627422f * (dx * dx - dy * dy);
        }
"""

# Adds sum_k G[k] * grad Y_k to (gx, gy, gz).
BASIS_GRADIENT = """
            if (K > 1) gx += 0.48860251f * G[3], gy += 0.48860251f * G[1], gz += 0.48860251f * G[2];
            if (K > 4) {
                gx += 1.09254843f * (dy * G[4] + dz * G[7] + dx * G[8]);
                gy += 1.09254843f * (dx * G[4] + dz * G[5] - dy * G[8]);
                gz += 1.09254843f * (dy * G[5] + dx * G[7]) + 1.89234942f * dz * G[6];
            }
"""

# From (px, py, pz) along the unit vector (dx, dy, dz): samples i to `last` are within the box. A
# ray along an axis never reaches the sides beside it.
CLIP = """
        const float ox = (px - f[0]) * f[3], oy = (py - f[1]) * f[3], oz = (pz - f[2]) * f[3];
        const float rx = dx * f[3], ry = dy * f[3], rz = dz * f[3], half_step = 0.5f * step;
        [[maybe_unused]] const float half_x = half_step * rx, half_y = half_step * ry;
        [[maybe_unused]] const float half_z = half_step * rz;
        float from = 0.0f, to = 1.0e6f * step;
        auto clip = [&](float o, float r, float side) {
            if (fabsf(r) < 1.0e-9f) {
                if (!(o >= 0.0f && o <= side)) to = -1.0f;
                return 3.0e38f;
            }
            const float inverse = 1.0f / r, a = -o * inverse, b = (side - o) * inverse;
            const float near = a < b ? a : b, far = a < b ? b : a;
            from = near > from ? near : from;
            to = far < to ? far : to;
            return inverse;
        };
        const float ix_r = clip(ox, rx, last_x), iy_r = clip(oy, ry, last_y), iz_r = clip(oz, rz, last_z);
        int i = 0, last = -1;
        if (to >= from) i = (int)ceilf(from / step - jitter), last = (int)floorf(to / step - jitter);
        i = i < 0 ? 0 : i;
"""

# One sample: its cell `node`, shares (x, y, z) and density `value`, what it lets through, and the slopes
# of its optical depth to the value and, of distances, to the sharpness and to `rise`, by how much the
# distance grows on half a step. Written so that NaN ends up inside.
SAMPLE = """
            const float t = ((float)i + jitter) * step;
            float x = ox + t * rx, y = oy + t * ry, z = oz + t * rz;
            x = x > 0.0f ? x : 0.0f, y = y > 0.0f ? y : 0.0f, z = z > 0.0f ? z : 0.0f;
            x = x < last_x ? x : last_x, y = y < last_y ? y : last_y, z = z < last_z ? z : last_z;
            int cx = (int)x, cy = (int)y, cz = (int)z;
            cx = cx < nx - 2 ? cx : nx - 2, cy = cy < ny - 2 ? cy : ny - 2, cz = cz < nz - 2 ? cz : nz - 2;
            if (leaping) {
                const int bx = cx >> 2, by = cy >> 2, bz = cz >> 2;
                const int n = free_bricks[(bx * bricks_y + by) * bricks_z + bz];
                if (n > 0) {  // all bricks nearer than n are empty: on to where their box ends
                    const float tx = ((rx > 0.0f ? bx + n : bx + 1 - n) * 4.0f - ox) * ix_r;
                    const float ty = ((ry > 0.0f ? by + n : by + 1 - n) * 4.0f - oy) * iy_r;
                    const float tz = ((rz > 0.0f ? bz + n : bz + 1 - n) * 4.0f - oz) * iz_r;
                    float leave = ix_r < 1.0e38f ? tx : 3.0e38f;
                    if (iy_r < 1.0e38f && ty < leave) leave = ty;
                    if (iz_r < 1.0e38f && tz < leave) leave = tz;
                    const int next = (int)ceilf(leave / step - jitter);
                    i = next > i ? next - 1 : i;
                    continue;
                }
            }
            x -= cx, y -= cy, z -= cz;
            const size_t node = (size_t)cx * sx + (size_t)cy * sy + cz;
            const float* d = D + node;
            const float v00 = d[0] + z * (d[1] - d[0]), v01 = d[sy] + z * (d[sy + 1] - d[sy]);
            const float* e = d + sx;
            const float v10 = e[0] + z * (e[1] - e[0]), v11 = e[sy] + z * (e[sy + 1] - e[sy]);
            const float v0 = v00 + y * (v01 - v00), v1 = v10 + y * (v11 - v10);
            const float value = v0 + x * (v1 - v0) - (DISTANCES ? 0.0f : SHIFT);
            if (value < least_value) continue;
            float stay, slope, sharpened = 0.0f, steepened = 0.0f;
            if (DISTANCES) {
                const float to_y = v01 - v00 + x * (v11 - v10 - v01 + v00), to_x = v1 - v0;
                const float z00 = d[1] - d[0], z01 = d[sy + 1] - d[sy];
                const float z10 = e[1] - e[0], z11 = e[sy + 1] - e[sy];
                const float z0 = z00 + y * (z01 - z00), z1 = z10 + y * (z11 - z10);
                const float rise = half_x * to_x + half_y * to_y + half_z * (z0 + x * (z1 - z0));
                if (rise <= 0.0f) continue;
                const float begin = sharpness * (value - rise), end = sharpness * (value + rise);
                const float e0 = exp2(-LOG2_E * fabsf(begin)), e1 = exp2(-LOG2_E * fabsf(end));
                const float s0 = (begin > 0.0f ? 1.0f : e0) / (1.0f + e0);
                const float s1 = (end > 0.0f ? 1.0f : e1) / (1.0f + e1);
                const float above = (end > 0.0f ? end : 0.0f) - (begin > 0.0f ? begin : 0.0f);
                stay = exp2(log2(1.0f + e0) - log2(1.0f + e1) - LOG2_E * above);
                stay = stay > 1.0f ? 1.0f : stay;
                slope = sharpness * (s1 - s0);
                steepened = sharpness * (s1 + s0);
                sharpened = (value + rise) * s1 - (value - rise) * s0;
            } else {
                const float odds = 1.0f + exp2((value < 80.0f ? value : 80.0f) * LOG2_E);
                stay = exp2(-depth_scale * log2(odds));
                slope = depth_scale * (1.0f - 1.0f / odds);
            }
            const float alpha = 1.0f - stay;
"""

# Weights of the cell's eight corners, and where they are.
CORNERS = """
            const float u0 = (1.0f - x) * (1.0f - y), u1 = (1.0f - x) * y, u2 = x * (1.0f - y), u3 = x * y;
            const float z1 = 1.0f - z;
            const float w8[8] = {u0 * z1, u0 * z, u1 * z1, u1 * z, u2 * z1, u2 * z, u3 * z1, u3 * z};
            const size_t at[8] = {
                node, node + 1, node + sy, node + sy + 1,
                node + sx, node + sx + 1, node + sx + sy, node + sx + sy + 1};
"""

# What `rise` gains where a corner's distance does.
RISES = """
            const float h0 = half_x * (1.0f - y), h1 = half_x * y, g0 = half_y * (1.0f - x), g1 = half_y * x;
            const float h8[8] = {
                z1 * (-h0 - g0) - half_z * u0, z * (-h0 - g0) + half_z * u0,
                z1 * (-h1 + g0) - half_z * u1, z * (-h1 + g0) + half_z * u1,
                z1 * (h0 - g1) - half_z * u2, z * (h0 - g1) + half_z * u2,
                z1 * (h1 + g1) - half_z * u3, z * (h1 + g1) + half_z * u3};
"""

# The sample's coefficients `sum`, and `root`, the square root of its colour.
COLOR = """
            float sum[C], root[3];
            for (int c = 0; c < C; ++c) sum[c] = 0.0f;
            for (int corner = 0; corner < 8; ++corner) {
                const float* a = A + C * at[corner];
                for (int c = 0; c < C; ++c) sum[c] += w8[corner] * a[c];
            }
            for (int c = 0; c < 3; ++c) {
                float v = 0.0f;
                for (int k = 0; k < K; ++k) v += Y[k] * sum[3 * k + c];
                v = v > -80.0f ? v : -80.0f;
                root[c] = 1.0f / (1.0f + exp2(-LOG2_E * v));
            }
"""


def by_kind(name: str, make: Callable) -> Callable[..., SimpleNamespace]:
    """A function that gives the kernels of a degree, for densities or for distances.

    `make(module, native)` makes them once; `native(source)` is the decorator that makes `source` the
    body of a function for them.
    """

    def kernels(degree: int, distances: bool = False) -> SimpleNamespace:
        count = (degree + 1) ** 2

        def native(source: str) -> Callable:
            kind = "true" if distances else "false"
            return wp.func_native(source.replace("COUNT", str(count)).replace("DISTANCES", kind))

        suffix = "_distances" if distances else ""
        return variant(name + suffix, count, lambda module, _vec: make(module, native))

    return kernels


def every_module(kernels: Callable[..., SimpleNamespace]) -> list:
    """The Warp modules of all kinds and degrees."""
    return [kernels(d, distances).module for distances in (False, True) for d in range(MAX_DEGREE + 1)]
