"""Gaussians in space to ellipses in pictures; Warp generates the adjoint.

Zwicker et al. 2001, "EWA Volume Splatting", section 6: the projection is linearised at each centre.
"""

from __future__ import annotations

import warp as wp

PINHOLE = 16
"""Numbers of a view: rotation by rows, translation (world to view), fx, fy, cx, cy in pixels."""

NEAR = wp.constant(1.0e-2)
"""Centres nearer to the plane of the eye than this, in world units, are not drawn."""

LOW_PASS = wp.constant(0.3)
"""Variance of a pixel, added to every ellipse: none falls between pixels."""

PARTS = 7
"""Numbers of an ellipse: x, y, then the inverse covariance xx, xy, yy, distance from the plane of the
eye, and the share of its opacity that it keeps although the pixel's variance was added."""


@wp.kernel
def project(
    centers: wp.array(dtype=wp.vec3),
    log_sizes: wp.array(dtype=wp.vec3),
    turns: wp.array(dtype=wp.vec4),
    views: wp.array2d(dtype=float),
    out: wp.array3d(dtype=float),
):
    """A Gaussian and a view per thread; what is not in front of the eye has distance 0 and nothing else."""
    n, v = wp.tid()
    p = centers[n]
    x = views[v, 0] * p[0] + views[v, 1] * p[1] + views[v, 2] * p[2] + views[v, 9]
    y = views[v, 3] * p[0] + views[v, 4] * p[1] + views[v, 5] * p[2] + views[v, 10]
    w = -(views[v, 6] * p[0] + views[v, 7] * p[1] + views[v, 8] * p[2] + views[v, 11])
    if w > NEAR:
        fx = views[v, 12]
        fy = views[v, 13]
        q = turns[n] / wp.max(wp.length(turns[n]), 1.0e-12)
        s = wp.vec3(wp.exp(log_sizes[n][0]), wp.exp(log_sizes[n][1]), wp.exp(log_sizes[n][2]))
        # q is (w, x, y, z), Warp's quaternions are (x, y, z, w).
        turned = wp.quat_to_matrix(wp.quat(q[1], q[2], q[3], q[0])) * wp.diag(s)
        view = wp.mat33(
            views[v, 0], views[v, 1], views[v, 2],
            views[v, 3], views[v, 4], views[v, 5],
            views[v, 6], views[v, 7], views[v, 8],
        )  # fmt: skip
        m = view * turned
        jx = wp.vec3(fx / w, 0.0, fx * x / (w * w))
        jy = wp.vec3(0.0, fy / w, fy * y / (w * w))
        a = wp.transpose(m) * jx
        b = wp.transpose(m) * jy
        xx = wp.dot(a, a)
        xy = wp.dot(a, b)
        yy = wp.dot(b, b)
        full = (xx + LOW_PASS) * (yy + LOW_PASS) - xy * xy
        out[n, v, 0] = fx * x / w + views[v, 14]
        out[n, v, 1] = fy * y / w + views[v, 15]
        out[n, v, 2] = (yy + LOW_PASS) / full
        out[n, v, 3] = -xy / full
        out[n, v, 4] = (xx + LOW_PASS) / full
        out[n, v, 5] = w
        out[n, v, 6] = wp.sqrt(wp.max(xx * yy - xy * xy, 1.0e-12) / full)
