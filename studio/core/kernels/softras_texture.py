"""Texture layers of SoftRas fragments: bilinear look-ups that multiply a fragment's channels.

A layer is a texture and the channels it multiplies; a face has the layers from own[0] to
own[1]. Coordinates are the last two channels of a fragment and repeat. Texel
centres lie at (i + 0.5) / size.
"""

from types import SimpleNamespace

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.struct
class Corners:
    """The four texels around a point: places in `texels`, and how far between them it lies."""

    p00: wp.int32
    p10: wp.int32
    p01: wp.int32
    p11: wp.int32
    fx: wp.float32
    fy: wp.float32


@wp.func
def wrapped(i: wp.int32, size: wp.int32):
    """Texel i in [-1, size] on a texture that repeats."""
    return wp.where(i < 0, i + size, wp.where(i >= size, i - size, i))


@wp.func
def corners(
    u: wp.float32, v: wp.float32, offset: wp.int32, width: wp.int32, height: wp.int32, count: wp.int32
):
    x = (u - wp.floor(u)) * wp.float32(width) - 0.5
    y = (v - wp.floor(v)) * wp.float32(height) - 0.5
    left = wp.floor(x)
    low = wp.floor(y)
    x0 = wrapped(wp.int32(left), width)
    x1 = wrapped(wp.int32(left) + 1, width)
    y0 = wrapped(wp.int32(low), height)
    y1 = wrapped(wp.int32(low) + 1, height)
    out = Corners()
    out.p00 = offset + (y0 * width + x0) * count
    out.p10 = offset + (y0 * width + x1) * count
    out.p01 = offset + (y1 * width + x0) * count
    out.p11 = offset + (y1 * width + x1) * count
    out.fx = x - left
    out.fy = y - low
    return out


@wp.func
def bilinear(texels: wp.array(dtype=wp.float32), c: Corners, k: wp.int32):
    below = wp.lerp(texels[c.p00 + k], texels[c.p10 + k], c.fx)
    above = wp.lerp(texels[c.p01 + k], texels[c.p11 + k], c.fx)
    return wp.lerp(below, above, c.fy)


def make_texturing(vec, textured: bool) -> SimpleNamespace:
    """`forward` and `backward` of a fragment's layers; without textures they do nothing.

    `backward` returns the gradient of the fragment's channels before the layers, and by how
    much the product of values and gradients after them exceeds the one before.
    """

    @wp.struct
    class Pulled:
        gradient: vec
        beyond: wp.float32

    return _layered(vec, Pulled) if textured else _plain(vec, Pulled)


def _plain(vec, Pulled) -> SimpleNamespace:
    @wp.func
    def keep(
        value: vec,
        own: wp.vec2i,
        layers: wp.array2d(dtype=wp.int32),
        texels: wp.array(dtype=wp.float32),
    ):
        return value

    @wp.func
    def keep_backward(
        value: vec,
        grad: vec,
        weight: wp.float32,
        own: wp.vec2i,
        layers: wp.array2d(dtype=wp.int32),
        texels: wp.array(dtype=wp.float32),
        grad_texels: wp.array(dtype=wp.float32),
    ):
        out = Pulled()
        out.gradient = grad
        return out

    return SimpleNamespace(forward=keep, backward=keep_backward)


def _layered(vec, Pulled) -> SimpleNamespace:
    length = vec._length_

    @wp.func
    def multiply(
        value: vec,
        own: wp.vec2i,
        layers: wp.array2d(dtype=wp.int32),
        texels: wp.array(dtype=wp.float32),
    ):
        out = value
        for i in range(own[0], own[1]):
            count = layers[i, 4]
            at = corners(
                value[wp.static(length - 2)], value[wp.static(length - 1)],
                layers[i, 0], layers[i, 1], layers[i, 2], count,
            )  # fmt: skip
            for k in range(count):
                c = layers[i, 3] + k
                out[c] = out[c] * bilinear(texels, at, k)
        return out

    @wp.func
    def multiply_backward(
        value: vec,
        grad: vec,
        weight: wp.float32,
        own: wp.vec2i,
        layers: wp.array2d(dtype=wp.int32),
        texels: wp.array(dtype=wp.float32),
        grad_texels: wp.array(dtype=wp.float32),
    ):
        out = Pulled()
        pulled = grad
        gu = wp.float32(0.0)
        gv = wp.float32(0.0)
        # A channel has one layer at most, so that its factor is that layer alone.
        for i in range(own[0], own[1]):
            count = layers[i, 4]
            at = corners(
                value[wp.static(length - 2)], value[wp.static(length - 1)],
                layers[i, 0], layers[i, 1], layers[i, 2], count,
            )  # fmt: skip
            for k in range(count):
                c = layers[i, 3] + k
                g = grad[c] * value[c]
                v00 = texels[at.p00 + k]
                v10 = texels[at.p10 + k]
                v01 = texels[at.p01 + k]
                v11 = texels[at.p11 + k]
                gu += g * wp.lerp(v10 - v00, v11 - v01, at.fy) * wp.float32(layers[i, 1])
                gv += g * wp.lerp(v01 - v00, v11 - v10, at.fx) * wp.float32(layers[i, 2])
                pulled[c] = grad[c] * bilinear(texels, at, k)
                share = g * weight
                wp.atomic_add(grad_texels, at.p00 + k, share * (1.0 - at.fx) * (1.0 - at.fy))
                wp.atomic_add(grad_texels, at.p10 + k, share * at.fx * (1.0 - at.fy))
                wp.atomic_add(grad_texels, at.p01 + k, share * (1.0 - at.fx) * at.fy)
                wp.atomic_add(grad_texels, at.p11 + k, share * at.fx * at.fy)
        pulled[wp.static(length - 2)] += gu
        pulled[wp.static(length - 1)] += gv
        out.gradient = pulled
        out.beyond = -(gu * value[wp.static(length - 2)] + gv * value[wp.static(length - 1)])
        return out

    return SimpleNamespace(forward=multiply, backward=multiply_backward)
