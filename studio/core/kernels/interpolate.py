"""Interpolation kernels; a module per channel count (see `channels`).

A thread walks pixels and fetches what belongs to a triangle when the triangle changes. Inner
loops are `while`: the state of Warp's `range` costs as much as the arithmetic of a pixel.
"""

from types import SimpleNamespace

import warp as wp

from studio.core.kernels.channels import corner_adder, dot_product, variant

wp.set_module_options({"enable_backward": False})

PLAIN, DERIVATIVES = 1, 2
"""Bits of `mode`: the attributes themselves, their screen derivatives."""
WITH_ATTR, WITH_RAST, WITH_DB = 1, 2, 4
"""Bits of `wanted`: which gradients are asked for."""


def kernels(channels: int) -> SimpleNamespace:
    """`forward` and `backward` for 1..MAX_CHANNELS channels."""
    return variant(__name__, channels, _make)


def warp_modules() -> list:
    """The ones worth compiling ahead: texture coordinates and colour. Fits use the fused kernels."""
    return [kernels(2).module, kernels(3).module]


def _make(module, vec) -> dict:
    pairs = wp.types.vector(length=2 * vec._length_, dtype=wp.float32)
    return {
        "pairs": pairs,
        "forward": _make_forward(module, vec, pairs),
        "backward": _make_backward(module, vec, pairs),
    }


@wp.func
def run_end(rast: wp.array(dtype=wp.vec4), begin: wp.int32, end: wp.int32) -> wp.int32:
    """First pixel after `begin` that shows another triangle, at most `end`."""
    number = rast[begin][3]
    at = begin + 1
    while at < end and rast[at][3] == number:
        at += 1
    return at


@wp.func
def corners_of(tri: wp.array(dtype=wp.vec3i), number: wp.float32, vertices: wp.int32) -> wp.vec3i:
    """The three vertices of triangle `number` - 1; the first is -1 if one of them does not exist."""
    triangle = wp.int32(number) - 1
    none = wp.vec3i(-1, 0, 0)
    if triangle < 0 or triangle >= tri.shape[0]:
        return none
    t = tri[triangle]
    if wp.min(t[0], wp.min(t[1], t[2])) < 0 or wp.max(t[0], wp.max(t[1], t[2])) >= vertices:
        return none
    return t


def _make_forward(module, vec, pairs):
    length = vec._length_

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
        out_da: wp.array(dtype=pairs),
    ):
        """Attributes at the points seen (bit PLAIN) and dA/dX, dA/dY of each (bit DERIVATIVES)."""
        first = (begin + wp.tid()) * run
        n = wp.min(first // pixels, attr.shape[0] - 1)
        number = wp.float32(0.0)
        a0 = vec(0.0)
        a1 = vec(0.0)
        a2 = vec(0.0)
        j = wp.int32(first)
        end = first + run
        while j < end:
            r = rast[j]
            if r[3] != number:
                number = r[3]
                t = corners_of(tri, number, attr.shape[1])
                if t[0] >= 0:
                    a2 = attr[n, t[2]]
                    a0 = attr[n, t[0]] - a2
                    a1 = attr[n, t[1]] - a2
                else:
                    a0 = vec(0.0)
                    a1 = vec(0.0)
                    a2 = vec(0.0)
            if (mode & PLAIN) != 0:
                out[j] = a0 * r[0] + a1 * r[1] + a2
            if (mode & DERIVATIVES) != 0:
                d = rast_db[j]
                da = pairs()
                for c in range(wp.static(length)):
                    da[2 * c] = a0[c] * d[0] + a1[c] * d[2]
                    da[2 * c + 1] = a0[c] * d[1] + a1[c] * d[3]
                out_da[j] = da
            j += 1

    return interpolate


def _make_backward(module, vec, pairs):
    add = corner_adder(vec)
    dot = dot_product(vec)
    length = vec._length_

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
        wanted: wp.int32,
        grad_out: wp.array(dtype=vec),
        grad_da: wp.array(dtype=pairs),
        grad_attr: wp.array2d(dtype=vec),
        grad_rast: wp.array(dtype=wp.vec4),
        grad_db: wp.array(dtype=wp.vec4),
    ):
        """Adds to the gradients of attr, (u, v) and the derivatives of (u, v)."""
        first = (begin + wp.tid()) * run
        n = wp.min(first // pixels, attr.shape[0] - 1)
        last = first + run
        at = wp.int32(first)
        while at < last:
            end = run_end(rast, at, last)
            t = corners_of(tri, rast[at][3], attr.shape[1])
            if t[0] >= 0:
                a2 = attr[n, t[2]]
                a0 = attr[n, t[0]] - a2
                a1 = attr[n, t[1]] - a2
                s0 = vec(0.0)
                s1 = vec(0.0)
                s2 = vec(0.0)
                j = wp.int32(at)
                while j < end:
                    if (mode & PLAIN) != 0:
                        r = rast[j]
                        g = grad_out[j]
                        s0 += g * r[0]
                        s1 += g * r[1]
                        s2 += g * (1.0 - r[0] - r[1])
                        if (wanted & WITH_RAST) != 0:
                            grad_rast[j] = grad_rast[j] + wp.vec4(dot(g, a0), dot(g, a1), 0.0, 0.0)
                    if (mode & DERIVATIVES) != 0:
                        d = rast_db[j]
                        da = grad_da[j]
                        to_db = wp.vec4(0.0)
                        for c in range(wp.static(length)):
                            gx = da[2 * c]
                            gy = da[2 * c + 1]
                            d0 = gx * d[0] + gy * d[1]
                            d1 = gx * d[2] + gy * d[3]
                            s0[c] += d0
                            s1[c] += d1
                            s2[c] -= d0 + d1
                            to_db += wp.vec4(gx * a0[c], gy * a0[c], gx * a1[c], gy * a1[c])
                        if (wanted & WITH_DB) != 0:
                            grad_db[j] = grad_db[j] + to_db
                    j += 1
                if (wanted & WITH_ATTR) != 0:
                    add(grad_attr, n, t, s0, s1, s2)
            at = end

    return interpolate_backward
