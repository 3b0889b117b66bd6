"""Interpolation kernels; a module per channel count (see `channels`)."""

from types import SimpleNamespace

import warp as wp

from studio.core.kernels.channels import corner_adder, variant


def kernels(channels: int) -> SimpleNamespace:
    """`forward` and `backward` for 1..MAX_CHANNELS channels."""
    return variant(__name__, channels, _make)


def warp_modules() -> list:
    """The one worth compiling ahead: colour alone. The optimizer uses the fused kernels."""
    return [kernels(3).module]


def _make(module, vec) -> dict:
    return {"forward": _make_forward(module, vec), "backward": _make_backward(module, vec)}


def _make_forward(module, vec):
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

    return interpolate


def _make_backward(module, vec):
    add = corner_adder(vec)

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
                        add(grad_attr, n, t, s0, s1, s2)
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
            add(grad_attr, n, t, s0, s1, s2)

    return interpolate_backward
