"""Emission and absorption along rays through a volume, and its adjoint.

The adjoint marches again: nothing is kept of the samples. What lies behind a sample is the whole
ray's result less what came so far.
"""

import warp as wp

from studio.core.kernels.volume_ray import (
    BASIS,
    BASIS_GRADIENT,
    CLIP,
    COLOR,
    CORNERS,
    GRID,
    RISES,
    SAMPLE,
    by_kind,
    every_module,
)

_RAY = """
        const float* P = (const float*)origins.data + 3 * (size_t)ray;
        const float* N = (const float*)directions.data + 3 * (size_t)ray;
        const float px = P[0], py = P[1], pz = P[2], dx = N[0], dy = N[1], dz = N[2];
        const float* J = (const float*)jitters.data;
        const float jitter = J[ray < jitters.shape[0] ? ray : jitters.shape[0] - 1];
"""

_FORWARD = (
    GRID
    + _RAY
    + BASIS
    + CLIP
    + """
        float rest = 1.0f, r = 0.0f, g = 0.0f, b = 0.0f, covered = 0.0f, distance = 0.0f;
        for (; i <= last; ++i) {
"""
    + SAMPLE
    + CORNERS
    + COLOR
    + """
            const float w = rest * alpha;
            r += w * root[0] * root[0], g += w * root[1] * root[1], b += w * root[2] * root[2];
            covered += w, distance += w * t;
            rest *= stay;
            if (rest < least_rest) break;
        }
        float* O = (float*)out.data + 5 * (size_t)ray;
        O[0] = r, O[1] = g, O[2] = b, O[3] = covered, O[4] = distance;
"""
)

# A change of a sample's optical depth hides what lies behind it and shows more of itself.
_BACKWARD = (
    GRID
    + _RAY
    + BASIS
    + CLIP
    + """
        const float* O = (const float*)out.data + 5 * (size_t)ray;
        const float* U = (const float*)grad_out.data + 5 * (size_t)ray;
        float* GD = (float*)grad_density.data;
        float* GA = (float*)grad_colors.data;
        float rest = 1.0f, behind = 0.0f;
        for (int c = 0; c < 5; ++c) behind += U[c] * O[c];
        float gpx = 0.0f, gpy = 0.0f, gpz = 0.0f, gx = 0.0f, gy = 0.0f, gz = 0.0f, gs = 0.0f, G[K];
        for (int k = 0; k < K; ++k) G[k] = 0.0f;
        for (; i <= last; ++i) {
"""
    + SAMPLE
    + CORNERS
    + RISES
    + COLOR
    + """
            const float w = rest * alpha;
            float seen = U[3] + U[4] * t, to_sum[3];
            for (int c = 0; c < 3; ++c) {
                const float color = root[c] * root[c];
                seen += U[c] * color;
                to_sum[c] = 2.0f * U[c] * w * color * (1.0f - root[c]);
            }
            behind -= w * seen;
            rest *= stay;
            const float to_depth = rest * seen - behind, to_value = to_depth * slope;
            [[maybe_unused]] const float to_rise = to_depth * steepened;
            gs += to_depth * sharpened;
            if (with_grid)
                for (int corner = 0; corner < 8; ++corner) {
                    const float own_share = w8[corner] * to_value + (DISTANCES ? h8[corner] * to_rise : 0.0f);
                    wp::atomic_add(GD + at[corner], own_share);
                    float* to = GA + C * at[corner];
                    for (int k = 0; k < K; ++k)
                        for (int c = 0; c < 3; ++c)
                            wp::atomic_add(to + 3 * k + c, w8[corner] * Y[k] * to_sum[c]);
                }
            if (with_rays) {
                float q[8];
                for (int corner = 0; corner < 8; ++corner) {
                    const float* a = A + C * at[corner];
                    q[corner] = to_value * D[at[corner]];
                    for (int k = 0; k < K; ++k)
                        for (int c = 0; c < 3; ++c) q[corner] += Y[k] * to_sum[c] * a[3 * k + c];
                }
                for (int k = 0; k < K; ++k)
                    for (int c = 0; c < 3; ++c) G[k] += to_sum[c] * sum[3 * k + c];
                const float u = 1.0f - x, v = 1.0f - y, s = 1.0f - z;
                const float mx = f[3] * (v * (s * (q[4] - q[0]) + z * (q[5] - q[1]))
                                         + y * (s * (q[6] - q[2]) + z * (q[7] - q[3])));
                const float my = f[3] * (u * (s * (q[2] - q[0]) + z * (q[3] - q[1]))
                                         + x * (s * (q[6] - q[4]) + z * (q[7] - q[5])));
                const float mz = f[3] * (u * (v * (q[1] - q[0]) + y * (q[3] - q[2]))
                                         + x * (v * (q[5] - q[4]) + y * (q[7] - q[6])));
                gpx += mx, gpy += my, gpz += mz;
                gx += t * mx, gy += t * my, gz += t * mz;
                if (DISTANCES) {
                    // `rise` follows the direction, and turns with the place where the field is twisted.
                    float p[8];
                    for (int corner = 0; corner < 8; ++corner) p[corner] = to_rise * D[at[corner]];
                    const float xy = s * (p[6] - p[4] - p[2] + p[0]) + z * (p[7] - p[5] - p[3] + p[1]);
                    const float xz = v * (p[5] - p[4] - p[1] + p[0]) + y * (p[7] - p[6] - p[3] + p[2]);
                    const float yz = u * (p[3] - p[2] - p[1] + p[0]) + x * (p[7] - p[6] - p[5] + p[4]);
                    const float kx = f[3] * (half_y * xy + half_z * xz);
                    const float ky = f[3] * (half_x * xy + half_z * yz);
                    const float kz = f[3] * (half_x * xz + half_y * yz);
                    const float scale = half_step * f[3];
                    gpx += kx, gpy += ky, gpz += kz;
                    gx += t * kx + scale * (v * (s * (p[4] - p[0]) + z * (p[5] - p[1]))
                                             + y * (s * (p[6] - p[2]) + z * (p[7] - p[3])));
                    gy += t * ky + scale * (u * (s * (p[2] - p[0]) + z * (p[3] - p[1]))
                                             + x * (s * (p[6] - p[4]) + z * (p[7] - p[5])));
                    gz += t * kz + scale * (u * (v * (p[1] - p[0]) + y * (p[3] - p[2]))
                                             + x * (v * (p[5] - p[4]) + y * (p[7] - p[6])));
                }
            }
            if (rest < least_rest) break;
        }
        if (DISTANCES && with_grid) ((float*)grad_sharpness.data)[ray] = gs;
        if (with_rays) {
"""
    + BASIS_GRADIENT
    + """
            float* GP = (float*)grad_origins.data + 3 * (size_t)ray;
            float* GN = (float*)grad_directions.data + 3 * (size_t)ray;
            GP[0] = gpx, GP[1] = gpy, GP[2] = gpz, GN[0] = gx, GN[1] = gy, GN[2] = gz;
        }
"""
)


def _make(module, native) -> dict:
    @native(_FORWARD)
    def forward_ray(
        ray: int,
        size_x: int,
        size_y: int,
        size_z: int,
        density: wp.array(dtype=float),
        colors: wp.array(dtype=float),
        free: wp.array(dtype=wp.uint8),
        frame: wp.array(dtype=float),
        origins: wp.array(dtype=wp.vec3),
        directions: wp.array(dtype=wp.vec3),
        jitters: wp.array(dtype=float),
        out: wp.array2d(dtype=float),
    ): ...

    @native(_BACKWARD)
    def backward_ray(
        ray: int,
        size_x: int,
        size_y: int,
        size_z: int,
        density: wp.array(dtype=float),
        colors: wp.array(dtype=float),
        free: wp.array(dtype=wp.uint8),
        frame: wp.array(dtype=float),
        origins: wp.array(dtype=wp.vec3),
        directions: wp.array(dtype=wp.vec3),
        jitters: wp.array(dtype=float),
        out: wp.array2d(dtype=float),
        with_grid: int,
        with_rays: int,
        grad_out: wp.array2d(dtype=float),
        grad_density: wp.array(dtype=float),
        grad_colors: wp.array(dtype=float),
        grad_sharpness: wp.array(dtype=float),
        grad_origins: wp.array(dtype=wp.vec3),
        grad_directions: wp.array(dtype=wp.vec3),
    ): ...

    @wp.kernel(enable_backward=False, module=module)
    def march(
        begin: wp.int32,
        size_x: wp.int32,
        size_y: wp.int32,
        size_z: wp.int32,
        density: wp.array(dtype=wp.float32),
        colors: wp.array(dtype=wp.float32),
        free: wp.array(dtype=wp.uint8),
        frame: wp.array(dtype=wp.float32),
        origins: wp.array(dtype=wp.vec3),
        directions: wp.array(dtype=wp.vec3),
        jitters: wp.array(dtype=wp.float32),
        out: wp.array2d(dtype=wp.float32),
    ):
        """A ray per thread: (red, green, blue, alpha, distance times alpha)."""
        forward_ray(
            begin + wp.tid(), size_x, size_y, size_z, density, colors, free, frame,
            origins, directions, jitters, out,
        )  # fmt: skip

    @wp.kernel(enable_backward=False, module=module)
    def march_backward(
        begin: wp.int32,
        size_x: wp.int32,
        size_y: wp.int32,
        size_z: wp.int32,
        density: wp.array(dtype=wp.float32),
        colors: wp.array(dtype=wp.float32),
        free: wp.array(dtype=wp.uint8),
        frame: wp.array(dtype=wp.float32),
        origins: wp.array(dtype=wp.vec3),
        directions: wp.array(dtype=wp.vec3),
        jitters: wp.array(dtype=wp.float32),
        out: wp.array2d(dtype=wp.float32),
        with_grid: wp.int32,
        with_rays: wp.int32,
        grad_out: wp.array2d(dtype=wp.float32),
        grad_density: wp.array(dtype=wp.float32),
        grad_colors: wp.array(dtype=wp.float32),
        grad_sharpness: wp.array(dtype=wp.float32),
        grad_origins: wp.array(dtype=wp.vec3),
        grad_directions: wp.array(dtype=wp.vec3),
    ):
        """A ray per thread; adds to the grid's gradients, writes its own and its share of the sharpness's."""
        backward_ray(
            begin + wp.tid(), size_x, size_y, size_z, density, colors, free, frame,
            origins, directions, jitters, out, with_grid, with_rays, grad_out,
            grad_density, grad_colors, grad_sharpness, grad_origins, grad_directions,
        )  # fmt: skip

    return {"march": march, "march_backward": march_backward}


kernels = by_kind(__name__, _make)
"""`march` and `march_backward` for a degree of spherical harmonics, 0 to 2, and densities or distances."""


def warp_modules() -> list:
    """The Warp modules of all kinds and degrees."""
    return every_module(kernels)
