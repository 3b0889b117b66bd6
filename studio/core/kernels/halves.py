"""A half-size picture at full size along surfaces, and the adjoint by hand; see ops.halves.

Half pixel (i, j) stands for pixel (2 i, 2 j). A pixel between has two or four neighbours: those of
`neighbours`, numbered 2 * up + right, with weight 0 where there is none. A run is a part of a row.
"""

from __future__ import annotations

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.struct
class Between:
    """A pixel of the full picture.

    Attributes:
        last: number of its last neighbour; 0 for a pixel that the half-size picture has.
        full, low: its first neighbour's number in either picture.
    """

    last: int
    full: int
    low: int


@wp.func
def between(
    view: int, row: int, column: int, height: int, width: int, low_height: int, low_width: int
) -> Between:
    out = Between()
    up = row // 2
    right = column // 2
    out.full = (view * height + 2 * up) * width + 2 * right
    out.low = (view * low_height + up) * low_width + right
    if column % 2 == 1 and right + 1 < low_width:
        out.last = 1
    if row % 2 == 1 and up + 1 < low_height:
        out.last += 2
    return out


@wp.func
def has(last: int, m: int) -> bool:
    return m & last == m


@wp.func
def closeness(z: float, other: float, scale: float) -> float:
    u = (other - z) / (scale * z)
    return 1.0 / (1.0 + u * u)


@wp.func
def likeness(n: wp.vec3, other: wp.vec3) -> float:
    m = wp.max(wp.dot(n, other), 0.0)
    return m * m * m * m


@wp.func
def neighbours(
    at: Between,
    i: int,
    width: int,
    depth: wp.array(dtype=float),
    normal: wp.array(dtype=wp.vec3),
    scale: float,
    least: float,
) -> wp.vec4:
    """Weights of the neighbours, sum 1."""
    out = wp.vec4()
    total = float(0.0)
    for m in range(4):
        if has(at.last, m):
            other = at.full + 2 * (m // 2) * width + 2 * (m % 2)
            weight = closeness(depth[i], depth[other], scale)
            weight *= least + likeness(normal[i], normal[other])
            out[m] = weight
            total += weight
    return out / total


@wp.kernel
def spread(
    begin: int,
    run: int,
    height: int,
    width: int,
    low_width: int,
    scale: float,
    least: float,
    low: wp.array2d(dtype=float),
    depth: wp.array(dtype=float),
    normal: wp.array(dtype=wp.vec3),
    out: wp.array2d(dtype=float),
):
    first = (begin + wp.tid()) * run
    low_height = (height + 1) // 2
    column = first % width
    row = first // width % height
    view = first // (width * height)
    for i in range(first, first + run):
        at = between(view, row, column + i - first, height, width, low_height, low_width)
        if at.last == 0:
            for c in range(out.shape[1]):
                out[i, c] = low[at.low, c]
        else:
            weights = neighbours(at, i, width, depth, normal, scale, least)
            for c in range(out.shape[1]):
                value = float(0.0)
                for m in range(4):
                    if has(at.last, m):
                        value += weights[m] * low[at.low + (m // 2) * low_width + m % 2, c]
                out[i, c] = value


@wp.kernel
def spread_adjoint(
    begin: int,
    run: int,
    height: int,
    width: int,
    low_width: int,
    scale: float,
    least: float,
    low: wp.array2d(dtype=float),
    depth: wp.array(dtype=float),
    normal: wp.array(dtype=wp.vec3),
    out: wp.array2d(dtype=float),
    grad: wp.array2d(dtype=float),
    g_low: wp.array2d(dtype=float),
    g_depth: wp.array(dtype=float),
    g_normal: wp.array(dtype=wp.vec3),
):
    first = (begin + wp.tid()) * run
    low_height = (height + 1) // 2
    column = first % width
    row = first // width % height
    view = first // (width * height)
    for i in range(first, first + run):
        at = between(view, row, column + i - first, height, width, low_height, low_width)
        if at.last == 0:
            for c in range(out.shape[1]):
                wp.atomic_add(g_low, at.low, c, grad[i, c])
        else:
            weights = neighbours(at, i, width, depth, normal, scale, least)
            z = depth[i]
            n = normal[i]
            g_z = float(0.0)
            g_n = wp.vec3()
            for m in range(4):
                if has(at.last, m):
                    from_low = at.low + (m // 2) * low_width + m % 2
                    # Of the weight, over the weight: what the neighbour has more than the mean.
                    g_weight = float(0.0)
                    for c in range(out.shape[1]):
                        g = grad[i, c] * weights[m]
                        wp.atomic_add(g_low, from_low, c, g)
                        g_weight += g * (low[from_low, c] - out[i, c])
                    other = at.full + 2 * (m // 2) * width + 2 * (m % 2)
                    u = (depth[other] - z) / (scale * z)
                    g_u = -2.0 * u * closeness(z, depth[other], scale) * g_weight
                    wp.atomic_add(g_depth, other, g_u / (scale * z))
                    g_z -= g_u * depth[other] / (scale * z * z)
                    n_other = normal[other]
                    d = wp.max(wp.dot(n, n_other), 0.0)
                    g_d = g_weight * 4.0 * d * d * d / (least + likeness(n, n_other))
                    wp.atomic_add(g_normal, other, g_d * n)
                    g_n += g_d * n_other
            wp.atomic_add(g_depth, i, g_z)
            wp.atomic_add(g_normal, i, g_n)
