"""Antialias kernels: claimed pixel pairs become records, records are blended, and the adjoint.

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
    """Turn claims into records and leave the keys empty for the next call.

    pixels = (inside pixel, outside pixel, vertex a, vertex b); amount_a = (amount, its
    derivative to x, y, w of a), amount_b the same for b. The amount is positive where the
    inside spills over the outside pixel, negative where the outside eats into the inside one.
    """
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
    inside = pixel
    outside = other
    if not inside_low:
        inside = other
        outside = pixel
    pixels[i] = wp.vec4i(inside, outside, edge[0], edge[1])
    amount_a[i] = wp.vec4(amount, to_a[0], to_a[1], to_a[2])
    amount_b[i] = wp.vec4(amount, to_b[0], to_b[1], to_b[2])


@wp.kernel(enable_backward=False)
def blend(
    pixels: wp.array(dtype=wp.vec4i),
    amount_a: wp.array(dtype=wp.vec4),
    color: wp.array2d(dtype=wp.float32),
    out: wp.array2d(dtype=wp.float32),
):
    """Add every record to a copy of the image."""
    i = wp.tid()
    r = pixels[i]
    amount = amount_a[i][0]
    target = r[1]
    if amount < 0.0:
        target = r[0]
    for c in range(color.shape[1]):
        wp.atomic_add(out, target, c, amount * (color[r[0], c] - color[r[1], c]))


@wp.kernel(enable_backward=False)
def blend_backward(
    pixels: wp.array(dtype=wp.vec4i),
    amount_a: wp.array(dtype=wp.vec4),
    amount_b: wp.array(dtype=wp.vec4),
    color: wp.array2d(dtype=wp.float32),
    image_pixels: wp.int32,
    boost: wp.float32,
    with_pos: wp.int32,
    grad_out: wp.array2d(dtype=wp.float32),
    grad_color: wp.array2d(dtype=wp.float32),
    grad_pos: wp.array2d(dtype=wp.vec4),
):
    """grad_color starts as a copy of grad_out, grad_pos as zero."""
    i = wp.tid()
    r = pixels[i]
    da = amount_a[i]
    db = amount_b[i]
    target = r[1]
    if da[0] < 0.0:
        target = r[0]
    g = wp.float32(0.0)
    for c in range(color.shape[1]):
        pulled = grad_out[target, c]
        g += pulled * (color[r[0], c] - color[r[1], c])
        wp.atomic_add(grad_color, r[0], c, da[0] * pulled)
        wp.atomic_add(grad_color, r[1], c, -da[0] * pulled)
    if with_pos != 0:
        g *= boost
        n = r[0] // image_pixels
        wp.atomic_add(grad_pos, n, r[2], wp.vec4(g * da[1], g * da[2], 0.0, g * da[3]))
        wp.atomic_add(grad_pos, n, r[3], wp.vec4(g * db[1], g * db[2], 0.0, g * db[3]))
