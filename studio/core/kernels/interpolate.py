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
    pull_barycentrics,
    relative,
    to_clip,
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
        p0 = wp.vec4(0.0)
        p1 = wp.vec4(0.0)
        p2 = wp.vec4(0.0)
        a0 = vec(0.0)
        a1 = vec(0.0)
        a2 = vec(0.0)
        for k in range(run):
            key = keys[first + k]
            triangle = key_triangle(key)
            if triangle >= 0:
                if triangle != last:
                    t = tri[triangle]
                    p0 = pos[n, t[0]]
                    p1 = pos[n, t[1]]
                    p2 = pos[n, t[2]]
                    a2 = attr[m, t[2]]
                    a0 = attr[m, t[0]] - a2
                    a1 = attr[m, t[1]] - a2
                    last = triangle
                fx = (wp.float32(x + k) + 0.5) * step_x - 1.0
                b = barycentrics(
                    edge_functions(relative(p0, fx, fy), relative(p1, fx, fy), relative(p2, fx, fy))
                )
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
        t = wp.vec3i(0)
        p0 = wp.vec4(0.0)
        p1 = wp.vec4(0.0)
        p2 = wp.vec4(0.0)
        a0 = vec(0.0)
        a1 = vec(0.0)
        s0 = vec(0.0)
        s1 = vec(0.0)
        s2 = vec(0.0)
        d0 = wp.vec4(0.0)
        d1 = wp.vec4(0.0)
        d2 = wp.vec4(0.0)
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
                            wp.atomic_add(grad_pos, n, t[0], d0)
                            wp.atomic_add(grad_pos, n, t[1], d1)
                            wp.atomic_add(grad_pos, n, t[2], d2)
                    t = tri[triangle]
                    p0 = pos[n, t[0]]
                    p1 = pos[n, t[1]]
                    p2 = pos[n, t[2]]
                    a2 = attr[m, t[2]]
                    a0 = attr[m, t[0]] - a2
                    a1 = attr[m, t[1]] - a2
                    s0 = vec(0.0)
                    s1 = vec(0.0)
                    s2 = vec(0.0)
                    d0 = wp.vec4(0.0)
                    d1 = wp.vec4(0.0)
                    d2 = wp.vec4(0.0)
                    last = triangle
                g = grad_out[first + k]
                if with_attr != 0:
                    s0 += g * r[0]
                    s1 += g * r[1]
                    s2 += g * (1.0 - r[0] - r[1])
                if with_pos != 0:
                    fx = (wp.float32(x + k) + 0.5) * step_x - 1.0
                    q0 = relative(p0, fx, fy)
                    q1 = relative(p1, fx, fy)
                    q2 = relative(p2, fx, fy)
                    d = pull_barycentrics(
                        q0, q1, q2, edge_functions(q0, q1, q2), wp.dot(g, a0), wp.dot(g, a1)
                    )
                    d0 += to_clip(d[0], fx, fy)
                    d1 += to_clip(d[1], fx, fy)
                    d2 += to_clip(d[2], fx, fy)
        if last >= 0:
            if with_attr != 0:
                wp.atomic_add(grad_attr, m, t[0], s0)
                wp.atomic_add(grad_attr, m, t[1], s1)
                wp.atomic_add(grad_attr, m, t[2], s2)
            if with_pos != 0:
                wp.atomic_add(grad_pos, n, t[0], d0)
                wp.atomic_add(grad_pos, n, t[1], d1)
                wp.atomic_add(grad_pos, n, t[2], d2)

    return {"forward": fused, "backward": fused_backward}
