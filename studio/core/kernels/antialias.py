"""Antialias kernels: claimed pixel pairs become records.

The claims come from `silhouette`, which says how it differs from Laine et al. 2020, section 3.6.
"""

import warp as wp

from studio.core.kernels.silhouette import horizontal_share, outline_normal, visible_end

wp.set_module_options({"enable_backward": False})


@wp.func
def reach_slopes(a: wp.vec4, b: wp.vec4, along: wp.int32, line: wp.float64, scale: wp.vec2):
    """Derivatives to (x, y, w) of a and of b of how far an edge reaches between two pixels.

    The crossing of the edge with the row or column `line` (NDC of axis `along`) is the point t
    of the edge in clip space, which is right for ends behind the camera too. A point of the
    outline moves the reach by `scale` times its displacement in NDC.
    """
    fa = wp.float64(a[along]) - line * wp.float64(a[3])
    fb = wp.float64(b[along]) - line * wp.float64(b[3])
    t = wp.float64(0.5)
    if fa != fb:
        t = wp.clamp(fa / (fa - fb), wp.float64(0.0), wp.float64(1.0))
    s = wp.float64(1.0) - t
    w = s * wp.float64(a[3]) + t * wp.float64(b[3])
    x = wp.float32((s * wp.float64(a[0]) + t * wp.float64(b[0])) / w)
    y = wp.float32((s * wp.float64(a[1]) + t * wp.float64(b[1])) / w)
    slope = wp.vec3(scale[0], scale[1], -(scale[0] * x + scale[1] * y))
    return slope * wp.float32(s / w), slope * wp.float32(t / w)


@wp.kernel(enable_backward=False)
def settle(
    list_begin: wp.int32,
    pos: wp.array2d(dtype=wp.vec4),
    screen: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    edges: wp.array(dtype=wp.vec4i),
    rast: wp.array(dtype=wp.vec4),
    width: wp.int32,
    height: wp.int32,
    keys: wp.array(dtype=wp.int64),
    claimed: wp.array(dtype=wp.int32),
    pixels: wp.array(dtype=wp.vec4i),
    amount_a: wp.array(dtype=wp.vec4),
    amount_b: wp.array(dtype=wp.vec4),
):
    """Turn claims into records, see `studio.core.ops.antialias.Records`; leaves the keys empty."""
    i = wp.tid()
    pair = claimed[list_begin + i]
    key = keys[pair]
    keys[pair] = wp.int64(0)
    e = wp.int32(key & wp.int64(0xFFFFFFFF)) - 1
    reach = wp.cast(wp.int32(key >> wp.int64(32)), wp.float32)
    pixel = pair // 2
    vertical = pair - 2 * pixel
    other = pixel + 1
    if vertical == 1:
        other = pixel + width
    first = rast[pixel]
    second = rast[other]
    inside_low = second[3] == 0.0 or (first[3] != 0.0 and first[2] < second[2])

    edge = edges[e]
    n = pixel // (width * height)
    x = pixel % width
    y = (pixel // width) % height
    half_width = wp.float64(width) * wp.float64(0.5)
    half_height = wp.float64(height) * wp.float64(0.5)
    a_screen = screen[n, edge[0]]
    b_screen = screen[n, edge[1]]
    a = pos[n, edge[0]]
    b = pos[n, edge[1]]
    p = visible_end(a, b, a_screen, b_screen, 0, half_width, half_height)
    q = visible_end(a, b, a_screen, b_screen, 1, half_width, half_height)
    normal = outline_normal(edge, screen, tri, n, p, q)
    share = horizontal_share(normal)

    if vertical == 1:
        share = 1.0 - share
    sign = wp.where(inside_low, share, -share) / normal[vertical]
    scale = wp.vec2(normal[0] * sign * wp.float32(half_width), normal[1] * sign * wp.float32(half_height))
    line = (wp.float64(y) + wp.float64(0.5)) / half_height - wp.float64(1.0)
    if vertical == 1:
        line = (wp.float64(x) + wp.float64(0.5)) / half_width - wp.float64(1.0)
    to_a, to_b = reach_slopes(a, b, 1 - vertical, line, scale)
    amount = (reach - 0.5) * share
    source = pixel
    target = other
    if inside_low != (amount >= 0.0):
        source = other
        target = pixel
    # Where the outside eats into the inside pixel, moving outwards takes away from the amount.
    turn = wp.where(amount >= 0.0, 1.0, -1.0)
    pixels[i] = wp.vec4i(source, target, edge[0], edge[1])
    amount_a[i] = turn * wp.vec4(amount, to_a[0], to_a[1], to_a[2])
    amount_b[i] = turn * wp.vec4(0.0, to_b[0], to_b[1], to_b[2])
