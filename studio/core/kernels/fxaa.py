"""Fast approximate antialiasing: where each pixel borrows from a neighbour, how much, and the blend.

The choice has no derivative; the adjoint of the blend is its transpose, gathered.
"""

from __future__ import annotations

import warp as wp

wp.set_module_options({"enable_backward": False})

STEPS = wp.constant(12)
"""Pixels an edge is followed to either side."""


@wp.func
def brightness(c: wp.vec3) -> float:
    """Luma of linear light, its square root standing for what a display encodes."""
    return wp.sqrt(wp.max(0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2], 0.0))


@wp.func
def at(image: wp.array(dtype=wp.vec3), base: int, x: int, y: int, width: int, height: int) -> float:
    """Brightness at a pixel, the nearest one inside the picture."""
    i = wp.clamp(x, 0, width - 1)
    j = wp.clamp(y, 0, height - 1)
    return brightness(image[base + j * width + i])


@wp.func
def smooth(x: float) -> float:
    t = wp.clamp(x, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


@wp.func
def followed(
    image: wp.array(dtype=wp.vec3),
    base: int,
    x: int,
    y: int,
    dx: int,
    dy: int,
    ox: int,
    oy: int,
    width: int,
    height: int,
    mean: float,
    enough: float,
) -> wp.vec2:
    """(pixels, brightness against the edge's mean) at the end of the edge in direction (dx, dy).

    The edge runs between (x, y) and the pixel beside it in direction (ox, oy).
    """
    distance = float(STEPS)
    end = float(0.0)
    done = int(0)  # noqa: RUF046  # a variable of the loop, not a constant
    for k in range(1, STEPS + 1):
        if done == 0:
            i = x + k * dx
            j = y + k * dy
            here = at(image, base, i, j, width, height)
            end = 0.5 * (here + at(image, base, i + ox, j + oy, width, height)) - mean
            if wp.abs(end) >= enough:
                distance = float(k)
                done = 1
    return wp.vec2(distance, end)


@wp.kernel
def choose(
    begin: int,
    width: int,
    height: int,
    image: wp.array(dtype=wp.vec3),
    threshold: float,
    threshold_dark: float,
    subpixel: float,
    side: wp.array(dtype=int),
    weight: wp.array(dtype=float),
):
    """side: 0 nothing, 1 left, 2 right, 3 below, 4 above; weight of that neighbour."""
    pixel = begin + wp.tid()
    base = (pixel // (width * height)) * width * height
    y = (pixel - base) // width
    x = pixel - base - y * width
    m = at(image, base, x, y, width, height)
    s = at(image, base, x, y - 1, width, height)
    n = at(image, base, x, y + 1, width, height)
    w = at(image, base, x - 1, y, width, height)
    e = at(image, base, x + 1, y, width, height)
    most = wp.max(m, wp.max(wp.max(s, n), wp.max(w, e)))
    contrast = most - wp.min(m, wp.min(wp.min(s, n), wp.min(w, e)))
    side[pixel] = 0
    weight[pixel] = 0.0
    if contrast >= wp.max(threshold_dark, most * threshold):
        sw = at(image, base, x - 1, y - 1, width, height)
        se = at(image, base, x + 1, y - 1, width, height)
        nw = at(image, base, x - 1, y + 1, width, height)
        ne = at(image, base, x + 1, y + 1, width, height)
        around = (2.0 * (s + n + w + e) + sw + se + nw + ne) / 12.0
        single = smooth(wp.abs(around - m) / contrast)
        along_x = 2.0 * wp.abs(n + s - 2.0 * m) + wp.abs(ne + se - 2.0 * e) + wp.abs(nw + sw - 2.0 * w)
        along_y = 2.0 * wp.abs(e + w - 2.0 * m) + wp.abs(ne + nw - 2.0 * n) + wp.abs(se + sw - 2.0 * s)
        dx = 0
        dy = 1
        first = w
        second = e
        chosen = 1
        if along_x >= along_y:  # the edge runs along x: its other side is below or above
            dx = 1
            dy = 0
            first = s
            second = n
            chosen = 3
        other = first
        sign = -1
        if wp.abs(second - m) > wp.abs(first - m):
            other = second
            sign = 1
            chosen = chosen + 1
        ox = sign * dy
        oy = sign * dx
        mean = 0.5 * (m + other)
        enough = 0.25 * wp.abs(other - m)
        back = followed(image, base, x, y, -dx, -dy, ox, oy, width, height, mean, enough)
        forth = followed(image, base, x, y, dx, dy, ox, oy, width, height, mean, enough)
        near = back
        if forth[0] < back[0]:
            near = forth
        edge = float(0.0)
        if (near[1] < 0.0) != (m < mean):
            edge = 0.5 - near[0] / (back[0] + forth[0])
        side[pixel] = chosen
        weight[pixel] = wp.max(edge, subpixel * single * single)


@wp.func
def beside(side: int, x: int, y: int, width: int, height: int) -> int:
    """Number in its picture of the neighbour on a side, the pixel itself beyond the border."""
    i = x
    j = y
    if side == 1:
        i = x - 1
    if side == 2:
        i = x + 1
    if side == 3:
        j = y - 1
    if side == 4:
        j = y + 1
    return wp.clamp(j, 0, height - 1) * width + wp.clamp(i, 0, width - 1)


@wp.kernel
def blend(
    begin: int,
    width: int,
    height: int,
    side: wp.array(dtype=int),
    weight: wp.array(dtype=float),
    image: wp.array(dtype=wp.vec3),
    out: wp.array(dtype=wp.vec3),
):
    pixel = begin + wp.tid()
    base = (pixel // (width * height)) * width * height
    y = (pixel - base) // width
    other = base + beside(side[pixel], pixel - base - y * width, y, width, height)
    out[pixel] = image[pixel] * (1.0 - weight[pixel]) + image[other] * weight[pixel]


@wp.kernel
def blend_adjoint(
    begin: int,
    width: int,
    height: int,
    side: wp.array(dtype=int),
    weight: wp.array(dtype=float),
    g_out: wp.array(dtype=wp.vec3),
    g_image: wp.array(dtype=wp.vec3),
):
    """A pixel's own share and what its neighbours borrowed from it."""
    pixel = begin + wp.tid()
    base = (pixel // (width * height)) * width * height
    y = (pixel - base) // width
    x = pixel - base - y * width
    total = g_out[pixel] * (1.0 - weight[pixel])
    if base + beside(side[pixel], x, y, width, height) == pixel:  # beyond the border it borrows from itself
        total += g_out[pixel] * weight[pixel]
    if x + 1 < width and side[pixel + 1] == 1:
        total += g_out[pixel + 1] * weight[pixel + 1]
    if x > 0 and side[pixel - 1] == 2:
        total += g_out[pixel - 1] * weight[pixel - 1]
    if y + 1 < height and side[pixel + width] == 3:
        total += g_out[pixel + width] * weight[pixel + width]
    if y > 0 and side[pixel - width] == 4:
        total += g_out[pixel - width] * weight[pixel - width]
    g_image[pixel] = total
