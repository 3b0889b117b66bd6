"""Resolve and interpolate in one pass, and its adjoint; a module per channel count.

Along a row the three edge functions are linear: e(d) = e - d * slope, with d the distance in NDC
from the pixel where the thread met the triangle. Starting there, and not at the image's centre,
keeps the precision of small triangles. For the same reason the gradient of a run of pixels needs
only the sums of g and d * g, with g the gradient of the edge functions.
"""

from types import SimpleNamespace

import warp as wp

from studio.core.kernels.channels import corner_adder, dot_product, variant
from studio.core.kernels.rasterize import add_corners, barycentrics, edge_functions, relative
from studio.core.kernels.visibility import key_depth, key_triangle

PRELOAD = (4, 11)
"""Counts of the fused kernels compiled ahead: colour and coverage; a G-buffer without uv."""


def kernels(channels: int) -> SimpleNamespace:
    """`forward` and `backward` for 1..MAX_CHANNELS channels."""
    return variant(__name__, channels, _make)


def warp_modules() -> list:
    """The Warp modules of the channel counts worth compiling ahead."""
    return [kernels(channels).module for channels in PRELOAD]


def _make(module, vec) -> dict:
    return {"forward": _make_forward(module, vec), "backward": _make_backward(module, vec)}


@wp.func
def edge_slopes(q0: wp.vec3, q1: wp.vec3, q2: wp.vec3) -> wp.vec3:
    """By how much each edge function falls per unit of x."""
    return wp.vec3(
        q1[2] * q2[1] - q2[2] * q1[1],
        q2[2] * q0[1] - q0[2] * q2[1],
        q0[2] * q1[1] - q1[2] * q0[1],
    )


@wp.func
def reciprocal(value: wp.float32) -> wp.float32:
    """1 / value, 0 for 0."""
    return wp.where(value == 0.0, 0.0, 1.0 / value)


@wp.func
def add_run(
    grad_pos: wp.array2d(dtype=wp.vec4),
    n: wp.int32,
    t: wp.vec3i,
    q0: wp.vec3,
    q1: wp.vec3,
    q2: wp.vec3,
    fx: wp.float32,
    fy: wp.float32,
    g: wp.vec3,
    m: wp.vec3,
):
    """Add a run's gradient to the three vertices; fx is where d = 0, g and m sum g and d * g.

    e_0 = x_1 y_2 - y_1 x_2 gives (g_2 y_1 - g_1 y_2) to x_0 and (g_1 x_2 - g_2 x_1) to y_0,
    where x_i = q_i.x - d w_i; w_i = q_i.z gets -X and -Y times those.
    """
    # Sums of x_i g_j for the six pairs that occur.
    x0g1 = q0[0] * g[1] - q0[2] * m[1]
    x0g2 = q0[0] * g[2] - q0[2] * m[2]
    x1g0 = q1[0] * g[0] - q1[2] * m[0]
    x1g2 = q1[0] * g[2] - q1[2] * m[2]
    x2g0 = q2[0] * g[0] - q2[2] * m[0]
    x2g1 = q2[0] * g[1] - q2[2] * m[1]
    dx0 = q1[1] * g[2] - q2[1] * g[1]
    dx1 = q2[1] * g[0] - q0[1] * g[2]
    dx2 = q0[1] * g[1] - q1[1] * g[0]
    dy0 = x2g1 - x1g2
    dy1 = x0g2 - x2g0
    dy2 = x1g0 - x0g1
    dw0 = -fx * dx0 - fy * dy0 - (q1[1] * m[2] - q2[1] * m[1])
    dw1 = -fx * dx1 - fy * dy1 - (q2[1] * m[0] - q0[1] * m[2])
    dw2 = -fx * dx2 - fy * dy2 - (q0[1] * m[1] - q1[1] * m[0])
    to_0 = wp.vec4(dx0, dy0, 0.0, dw0)
    to_1 = wp.vec4(dx1, dy1, 0.0, dw1)
    to_2 = wp.vec4(dx2, dy2, 0.0, dw2)
    add_corners(grad_pos, n, t, to_0, to_1, to_2)


def _make_forward(module, vec):
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
        with_rast: wp.int32,
        out: wp.array(dtype=vec),
        rast: wp.array(dtype=wp.vec4),
    ):
        """Keys to interpolated attributes and rast in one pass."""
        first = (begin + wp.tid()) * run
        n = first // (width * height)
        m = wp.min(n, attr.shape[0] - 1)
        y = (first // width) % height
        x = first % width
        step_x = 2.0 / wp.float32(width)
        fy = (wp.float32(y) + 0.5) * (2.0 / wp.float32(height)) - 1.0
        last = wp.int32(-1)
        met = wp.int32(0)
        e = wp.vec3(0.0)
        slope = wp.vec3(0.0)
        a0 = vec(0.0)
        a1 = vec(0.0)
        a2 = vec(0.0)
        for k in range(run):
            key = keys[first + k]
            triangle = key_triangle(key)
            if triangle >= 0:
                if triangle != last:
                    t = tri[triangle]
                    fx = (wp.float32(x + k) + 0.5) * step_x - 1.0
                    q0 = relative(pos[n, t[0]], fx, fy)
                    q1 = relative(pos[n, t[1]], fx, fy)
                    q2 = relative(pos[n, t[2]], fx, fy)
                    e = edge_functions(q0, q1, q2)
                    slope = edge_slopes(q0, q1, q2)
                    a2 = attr[m, t[2]]
                    a0 = attr[m, t[0]] - a2
                    a1 = attr[m, t[1]] - a2
                    met = k
                    last = triangle
                b = barycentrics(e - slope * (wp.float32(k - met) * step_x))
                out[first + k] = a0 * b[0] + a1 * b[1] + a2
                if with_rast != 0:
                    rast[first + k] = wp.vec4(b[0], b[1], key_depth(key), wp.float32(triangle + 1))
            else:
                out[first + k] = vec(0.0)
                if with_rast != 0:
                    rast[first + k] = wp.vec4(0.0)

    return fused


def _make_backward(module, vec):
    add = corner_adder(vec)
    dot = dot_product(vec)

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
        x = first % width
        step_x = 2.0 / wp.float32(width)
        fy = (wp.float32(y) + 0.5) * (2.0 / wp.float32(height)) - 1.0
        last = wp.int32(-1)
        met = wp.int32(0)
        fx = wp.float32(0.0)
        t = wp.vec3i(0)
        q0 = wp.vec3(0.0)
        q1 = wp.vec3(0.0)
        q2 = wp.vec3(0.0)
        total = wp.float32(0.0)
        total_slope = wp.float32(0.0)
        a0 = vec(0.0)
        a1 = vec(0.0)
        s0 = vec(0.0)
        s1 = vec(0.0)
        s2 = vec(0.0)
        sum_g = wp.vec3(0.0)
        sum_dg = wp.vec3(0.0)
        for k in range(run):
            r = rast[first + k]
            triangle = wp.int32(r[3]) - 1
            if triangle >= 0:
                if triangle != last:
                    if last >= 0:
                        if with_attr != 0:
                            add(grad_attr, m, t, s0, s1, s2)
                        if with_pos != 0:
                            add_run(grad_pos, n, t, q0, q1, q2, fx, fy, sum_g, sum_dg)
                    t = tri[triangle]
                    fx = (wp.float32(x + k) + 0.5) * step_x - 1.0
                    q0 = relative(pos[n, t[0]], fx, fy)
                    q1 = relative(pos[n, t[1]], fx, fy)
                    q2 = relative(pos[n, t[2]], fx, fy)
                    e = edge_functions(q0, q1, q2)
                    slope = edge_slopes(q0, q1, q2)
                    total = e[0] + e[1] + e[2]
                    total_slope = slope[0] + slope[1] + slope[2]
                    a2 = attr[m, t[2]]
                    a0 = attr[m, t[0]] - a2
                    a1 = attr[m, t[1]] - a2
                    s0 = vec(0.0)
                    s1 = vec(0.0)
                    s2 = vec(0.0)
                    sum_g = wp.vec3(0.0)
                    sum_dg = wp.vec3(0.0)
                    met = k
                    last = triangle
                g = grad_out[first + k]
                if with_attr != 0:
                    s0 += g * r[0]
                    s1 += g * r[1]
                    s2 += g * (1.0 - r[0] - r[1])
                if with_pos != 0:
                    d = wp.float32(k - met) * step_x
                    inverse = reciprocal(total - d * total_slope)
                    gu = dot(g, a0)
                    gv = dot(g, a1)
                    shared = gu * r[0] + gv * r[1]
                    pulled = wp.vec3((gu - shared) * inverse, (gv - shared) * inverse, -shared * inverse)
                    sum_g += pulled
                    sum_dg += pulled * d
        if last >= 0:
            if with_attr != 0:
                add(grad_attr, m, t, s0, s1, s2)
            if with_pos != 0:
                add_run(grad_pos, n, t, q0, q1, q2, fx, fy, sum_g, sum_dg)

    return fused_backward
