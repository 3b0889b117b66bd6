"""The mip level of a pixel from the screen derivatives of its texture coordinates.

With J the derivatives in texels, the level is log2 of the largest singular value of J: half
log2 of m = b + sqrt(d^2 + c^2), with b = (A + B) / 2, d = (A - B) / 2, A and B the squared
lengths of the columns of J and c their product. That is the footprint's major axis: at grazing
angles the picture is blurred, not aliased.
"""

import warp as wp

wp.set_module_options({"enable_backward": False})

MOST = wp.constant(wp.float32(1.0e8))
"""Texels per pixel beyond which a derivative is cut off, so that its square's square is finite."""
LEAST = wp.constant(wp.float32(1.0e-30))
"""Squared texels per pixel below which a footprint is a point: level 0, no gradient."""


@wp.func
def in_texels(derivative: wp.float32, size: wp.float32) -> wp.float32:
    """NaN becomes 0."""
    v = derivative * size
    return wp.where(v > MOST, MOST, wp.where(v < -MOST, -MOST, wp.where(v == v, v, 0.0)))


@wp.func
def is_open(level: wp.float32, most: wp.float32) -> wp.bool:
    """Whether the level is not cut off, so that it has a gradient."""
    return level > 0.0 and level < most


@wp.kernel(enable_backward=False)
def choose(
    begin: wp.int32,
    run: wp.int32,
    width: wp.float32,
    height: wp.float32,
    most: wp.float32,
    nearest: wp.int32,
    with_da: wp.int32,
    uv_da: wp.array(dtype=wp.vec4),
    with_bias: wp.int32,
    bias: wp.array(dtype=wp.float32),
    level: wp.array(dtype=wp.float32),
):
    """Levels in 0..most; whole numbers if asked for the nearest."""
    first = (begin + wp.tid()) * run
    for p in range(first, first + run):
        out = wp.float32(0.0)
        if with_da != 0:
            j = uv_da[p]
            sx = in_texels(j[0], width)
            sy = in_texels(j[1], width)
            tx = in_texels(j[2], height)
            ty = in_texels(j[3], height)
            a = sx * sx + tx * tx
            b = sy * sy + ty * ty
            c = sx * sy + tx * ty
            d = 0.5 * (a - b)
            m = 0.5 * (a + b) + wp.sqrt(d * d + c * c)
            out = wp.where(m > LEAST, 0.5 * wp.log2(wp.where(m > LEAST, m, 1.0)), -1.0e9)
        if with_bias != 0:
            out += bias[p]
        # NaN fails the comparison and becomes 0.
        out = wp.where(out > 0.0, wp.where(out < most, out, most), 0.0)
        level[p] = wp.where(nearest != 0, wp.floor(out + 0.5), out)


@wp.kernel(enable_backward=False)
def choose_backward(
    begin: wp.int32,
    run: wp.int32,
    width: wp.float32,
    height: wp.float32,
    most: wp.float32,
    uv_da: wp.array(dtype=wp.vec4),
    level: wp.array(dtype=wp.float32),
    grad_level: wp.array(dtype=wp.float32),
    grad_uv_da: wp.array(dtype=wp.vec4),
):
    """Gradient to the derivatives; 0 where the level is cut off."""
    first = (begin + wp.tid()) * run
    for p in range(first, first + run):
        g = wp.vec4(0.0)
        if is_open(level[p], most):
            j = uv_da[p]
            sx = in_texels(j[0], width)
            sy = in_texels(j[1], width)
            tx = in_texels(j[2], height)
            ty = in_texels(j[3], height)
            a = sx * sx + tx * tx
            b = sy * sy + ty * ty
            c = sx * sy + tx * ty
            d = 0.5 * (a - b)
            root = wp.sqrt(d * d + c * c)
            m = 0.5 * (a + b) + root
            if m > LEAST:
                # 1 / (2 ln 2); a round footprint has no major axis: the mean of all directions.
                gm = grad_level[p] * 0.7213475 / m
                r = wp.where(root > 0.0, 1.0 / root, 0.0)
                ga = gm * (0.5 + 0.5 * d * r)
                gb = gm * (0.5 - 0.5 * d * r)
                gc = gm * c * r
                g = wp.vec4(
                    (2.0 * ga * sx + gc * sy) * width,
                    (2.0 * gb * sy + gc * sx) * width,
                    (2.0 * ga * tx + gc * ty) * height,
                    (2.0 * gb * ty + gc * tx) * height,
                )
        grad_uv_da[p] = g


@wp.kernel(enable_backward=False)
def bias_backward(
    begin: wp.int32,
    run: wp.int32,
    most: wp.float32,
    level: wp.array(dtype=wp.float32),
    grad_level: wp.array(dtype=wp.float32),
    grad_bias: wp.array(dtype=wp.float32),
):
    """The gradient of a level that is not cut off."""
    first = (begin + wp.tid()) * run
    for p in range(first, first + run):
        grad_bias[p] = wp.where(is_open(level[p], most), grad_level[p], 0.0)
