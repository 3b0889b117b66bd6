"""Interpolation kernels, alone and fused with the resolve pass; Warp modules per channel count.

A vertex's attributes are read as one vector, which is far faster than a loop over channels, so
there is a module per channel count, compiled when first asked for. Counts above
MAX_CHANNELS are worked off in groups.
"""

import threading
from types import SimpleNamespace

import warp as wp

from studio.core.kernels.rasterize import (
    barycentrics,
    edge_functions,
    key_depth,
    key_triangle,
    relative,
)

MAX_CHANNELS = 13
"""Longest vector: what a full G-buffer holds (position, normal, albedo, two factors, uv)."""

PRELOAD = (4, 11)
"""Counts of the fused kernels compiled ahead: colour and coverage; a G-buffer without uv."""

_lock = threading.Lock()
_variants: dict[tuple[str, int], SimpleNamespace] = {}


def groups(channels: int) -> list[tuple[int, int]]:
    """(first, count) of the groups a number of channels is worked off in."""
    return [(c, min(MAX_CHANNELS, channels - c)) for c in range(0, channels, MAX_CHANNELS)]


def plain(channels: int) -> SimpleNamespace:
    """Kernels `forward` and `backward` of interpolate for 1..MAX_CHANNELS channels."""
    return _variant("plain", channels, _make_plain)


def fused(channels: int) -> SimpleNamespace:
    """Kernels `forward` and `backward` of rasterize_interpolate for 1..MAX_CHANNELS channels."""
    return _variant("fused", channels, _make_fused)


def warp_modules() -> list:
    """The Warp modules of the channel counts worth compiling ahead."""
    return [fused(channels).module for channels in PRELOAD]


def _variant(kind: str, channels: int, make) -> SimpleNamespace:
    with _lock:
        if (kind, channels) not in _variants:
            module = wp.get_module(f"{__name__}_{kind}_{channels}")
            module.options["enable_backward"] = False
            vec = wp.types.vector(length=channels, dtype=wp.float32)
            _variants[kind, channels] = SimpleNamespace(module=module, **make(module, vec))
        return _variants[kind, channels]


def _make_plain(module, vec) -> dict:
    @wp.kernel(enable_backward=False, module=module)
    def interpolate(
        begin: wp.int32,
        run: wp.int32,
        attr: wp.array2d(dtype=vec),
        rast: wp.array(dtype=wp.vec4),
        tri: wp.array(dtype=wp.vec3i),
        rast_db: wp.array(dtype=wp.vec4),
        pixels: wp.int32,
        mode: wp.int32,
        out: wp.array(dtype=vec),
        out_dx: wp.array(dtype=vec),
        out_dy: wp.array(dtype=vec),
    ):
        """Attributes at the points seen (mode 1) or their screen derivatives (mode 2)."""
        first = (begin + wp.tid()) * run
        n = wp.min(first // pixels, attr.shape[0] - 1)
        last = wp.int32(-1)
        a0 = vec(0.0)
        a1 = vec(0.0)
        a2 = vec(0.0)
        for k in range(run):
            r = rast[first + k]
            triangle = wp.int32(r[3]) - 1
            if triangle >= 0 and triangle < tri.shape[0]:
                if triangle != last:
                    t = tri[triangle]
                    a2 = attr[n, t[2]]
                    a0 = attr[n, t[0]] - a2
                    a1 = attr[n, t[1]] - a2
                    last = triangle
                if mode == 1:
                    out[first + k] = a0 * r[0] + a1 * r[1] + a2
                else:
                    d = rast_db[first + k]
                    out_dx[first + k] = a0 * d[0] + a1 * d[2]
                    out_dy[first + k] = a0 * d[1] + a1 * d[3]
            elif mode == 1:
                out[first + k] = vec(0.0)
            else:
                out_dx[first + k] = vec(0.0)
                out_dy[first + k] = vec(0.0)

    @wp.kernel(enable_backward=False, module=module)
    def interpolate_backward(
        begin: wp.int32,
        run: wp.int32,
        attr: wp.array2d(dtype=vec),
        rast: wp.array(dtype=wp.vec4),
        tri: wp.array(dtype=wp.vec3i),
        rast_db: wp.array(dtype=wp.vec4),
        pixels: wp.int32,
        mode: wp.int32,
        grad_out: wp.array(dtype=vec),
        grad_dx: wp.array(dtype=vec),
        grad_dy: wp.array(dtype=vec),
        grad_attr: wp.array2d(dtype=vec),
        grad_rast: wp.array(dtype=wp.vec4),
        grad_db: wp.array(dtype=wp.vec4),
    ):
        """Adds to the gradients of attr, (u, v) and the derivatives of (u, v)."""
        first = (begin + wp.tid()) * run
        n = wp.min(first // pixels, attr.shape[0] - 1)
        last = wp.int32(-1)
        t = wp.vec3i(0)
        a0 = vec(0.0)
        a1 = vec(0.0)
        s0 = vec(0.0)
        s1 = vec(0.0)
        s2 = vec(0.0)
        for k in range(run):
            r = rast[first + k]
            triangle = wp.int32(r[3]) - 1
            if triangle >= 0 and triangle < tri.shape[0]:
                if triangle != last:
                    if last >= 0:
                        wp.atomic_add(grad_attr, n, t[0], s0)
                        wp.atomic_add(grad_attr, n, t[1], s1)
                        wp.atomic_add(grad_attr, n, t[2], s2)
                    t = tri[triangle]
                    a2 = attr[n, t[2]]
                    a0 = attr[n, t[0]] - a2
                    a1 = attr[n, t[1]] - a2
                    s0 = vec(0.0)
                    s1 = vec(0.0)
                    s2 = vec(0.0)
                    last = triangle
                if mode == 1:
                    g = grad_out[first + k]
                    s0 += g * r[0]
                    s1 += g * r[1]
                    s2 += g * (1.0 - r[0] - r[1])
                    grad_rast[first + k] += wp.vec4(wp.dot(g, a0), wp.dot(g, a1), 0.0, 0.0)
                else:
                    d = rast_db[first + k]
                    gx = grad_dx[first + k]
                    gy = grad_dy[first + k]
                    d0 = gx * d[0] + gy * d[1]
                    d1 = gx * d[2] + gy * d[3]
                    s0 += d0
                    s1 += d1
                    s2 -= d0 + d1
                    grad_db[first + k] += wp.vec4(
                        wp.dot(gx, a0), wp.dot(gy, a0), wp.dot(gx, a1), wp.dot(gy, a1)
                    )
        if last >= 0:
            wp.atomic_add(grad_attr, n, t[0], s0)
            wp.atomic_add(grad_attr, n, t[1], s1)
            wp.atomic_add(grad_attr, n, t[2], s2)

    return {"forward": interpolate, "backward": interpolate_backward}


# Along a row the three edge functions are linear: e(d) = e - d * slope, with d the distance in
# NDC from the pixel where the thread met the triangle. Starting there, and not at the image's
# centre, keeps the precision of small triangles. For the same reason the gradient of a run of
# pixels needs only the sums of g and d * g, with g the gradient of the edge functions.


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
    wp.atomic_add(grad_pos, n, t[0], wp.vec4(dx0, dy0, 0.0, dw0))
    wp.atomic_add(grad_pos, n, t[1], wp.vec4(dx1, dy1, 0.0, dw1))
    wp.atomic_add(grad_pos, n, t[2], wp.vec4(dx2, dy2, 0.0, dw2))


def _make_fused(module, vec) -> dict:
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
                            wp.atomic_add(grad_attr, m, t[0], s0)
                            wp.atomic_add(grad_attr, m, t[1], s1)
                            wp.atomic_add(grad_attr, m, t[2], s2)
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
                    gu = wp.dot(g, a0)
                    gv = wp.dot(g, a1)
                    shared = gu * r[0] + gv * r[1]
                    pulled = wp.vec3((gu - shared) * inverse, (gv - shared) * inverse, -shared * inverse)
                    sum_g += pulled
                    sum_dg += pulled * d
        if last >= 0:
            if with_attr != 0:
                wp.atomic_add(grad_attr, m, t[0], s0)
                wp.atomic_add(grad_attr, m, t[1], s1)
                wp.atomic_add(grad_attr, m, t[2], s2)
            if with_pos != 0:
                add_run(grad_pos, n, t, q0, q1, q2, fx, fy, sum_g, sum_dg)

    return {"forward": fused, "backward": fused_backward}
