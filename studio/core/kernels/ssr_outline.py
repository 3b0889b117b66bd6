"""Where a reflection ends because the surface ends on the screen: part of the adjoint of ssr.py.

A ray that meets a surface near its outline sees something else once the outline passes by, or
once the ray leaves the surface: what neighbouring rays see that miss it. On average over the
positions of an outline within its pixel, the gradient is that difference times what the outline
sweeps, which `swept_depth` carries to the vertices (see studio.core.geometry).

A ray that enters behind an outline, less deep than surfaces are thick, meets it wherever the
outline crosses the ray. It moves along with it, and fades with the depth that the ray has there.
"""

from __future__ import annotations

import warp as wp

from studio.core.kernels.ssr_ray import Cell, Ray, Screen, inverse_depths, mirrored, motion

wp.set_module_options({"enable_backward": False})

MISS_REACH = wp.constant(3)
"""Rays away at which one is looked for that misses the surface."""
OUTLINE_REACH = wp.constant(3)
"""Pixels to both sides within which the outline that a line crosses is gathered: a steep one takes
more than one."""
INSIDE = wp.constant(3.0)
"""Pixels behind its outline at which a surface's depth is taken: at the outline of a rounded one it
changes too fast."""
RAMP = wp.constant(0.3)
"""Least slope of the depth across an outline along a ray, of that from pixel to pixel: a ray along
the outline has none."""


@wp.struct
class Mirror:
    """One view of a reflecting surface and of what it shows.

    There is a ray for `stride` pixels each way; first is the number of the view's first.
    """

    s: Screen
    to_view: wp.mat33
    first: int
    stride: int
    columns: int
    rows: int
    thickness: float
    depth: wp.array(dtype=float)
    normal: wp.array(dtype=wp.vec3)
    hit: wp.array(dtype=float)
    out: wp.array(dtype=wp.vec4)


@wp.func
def depth_at(s: Screen, depth: wp.array(dtype=float), column: int, row: int) -> float:
    return depth[s.base + wp.clamp(row, 0, s.height - 1) * s.width + wp.clamp(column, 0, s.width - 1)]


@wp.func
def torn(m: Mirror, column: int, row: int) -> bool:
    """Whether the four pixels from here to the upper right show different surfaces."""
    a = depth_at(m.s, m.depth, column, row)
    b = depth_at(m.s, m.depth, column + 1, row)
    c = depth_at(m.s, m.depth, column, row + 1)
    d = depth_at(m.s, m.depth, column + 1, row + 1)
    least = wp.min(wp.min(a, b), wp.min(c, d))
    return wp.max(wp.max(a, b), wp.max(c, d)) - least > m.thickness * least


@wp.func
def ray_at(m: Mirror, place: wp.vec2i) -> Ray:
    """The ray in a column and row of rays."""
    x = place[0] * m.stride
    y = place[1] * m.stride
    pixel = m.s.base + y * m.s.width + x
    own = wp.vec2(float(x) + 0.5, float(y) + 0.5)
    return mirrored(m.s, own, m.depth[pixel], m.to_view * m.normal[pixel])


@wp.func
def step_to(place: wp.vec2i, way: int, away: int) -> wp.vec2i:
    """The ray `away` to the right, left, top or bottom, by way."""
    x = wp.where(way == 0, away, 0) - wp.where(way == 1, away, 0)
    y = wp.where(way == 2, away, 0) - wp.where(way == 3, away, 0)
    return place + wp.vec2i(x, y)


@wp.func
def ray_number(m: Mirror, place: wp.vec2i) -> int:
    return m.first + place[1] * m.columns + place[0]


@wp.func
def misses(m: Mirror, from_: wp.vec2i, place: wp.vec2i, t: float, z: float) -> int:
    """1 if a ray misses what another meets after t at depth z, 0 if not, -1 if another surface mirrors it."""
    if place[0] < 0 or place[1] < 0 or place[0] >= m.columns or place[1] >= m.rows:
        return -1
    a = m.s.base + (from_[1] * m.s.width + from_[0]) * m.stride
    b = m.s.base + (place[1] * m.s.width + place[0]) * m.stride
    if wp.abs(m.depth[b] - m.depth[a]) > m.thickness * m.depth[a]:
        return -1
    length = m.hit[ray_number(m, place)]
    if length > 0.0 and wp.abs(length - t) < m.thickness * t:
        return 0
    if wp.dot(m.normal[a], m.normal[b]) < 0.9:
        return -1
    if length <= 0.0:
        return 1
    ray = ray_at(m, place)
    return wp.where(wp.abs(-ray.p[2] - length * ray.r[2] - z) > m.thickness * z, 1, 0)


@wp.func
def beyond(m: Mirror, place: wp.vec2i, t: float, z: float) -> wp.vec4:
    """What the nearest rays see that miss the surface met after t; the last is -1 if none does."""
    total = wp.vec4(0.0, 0.0, 0.0, 0.0)
    count = float(0.0)
    for away in range(1, MISS_REACH + 1):
        if count == 0.0:
            for way in range(4):
                there = step_to(place, way, away)
                if misses(m, place, there, t, z) == 1:
                    total += m.out[ray_number(m, there)]
                    count += 1.0
    if count == 0.0:
        return wp.vec4(0.0, 0.0, 0.0, -1.0)
    return total / count


@wp.func
def whole_cells(m: Mirror, column: int, row: int) -> float:
    """How many of the four cells around a pixel show one surface."""
    count = float(0.0)
    for j in range(2):
        for i in range(2):
            if not torn(m, column - i, row - j):
                count += 1.0
    return count


@wp.func
def sources(m: Mirror, column: int, row: int, value: float) -> float:
    """How many pixels around one have exactly this depth."""
    count = float(0.0)
    for j in range(-1, 2):
        for i in range(-1, 2):
            if depth_at(m.s, m.depth, column + i, row + j) == value:
                count += 1.0
    return count


@wp.func
def pixel_adjoint(
    m: Mirror, across: wp.array(dtype=float), pixel: int, loss: float, g_swept: wp.array(dtype=float)
):
    """Gradient of an outline that takes from a pixel, or adds to its surface in a pixel beside it.

    loss: gradient of the area that the surface loses, in pixels.
    """
    own = m.depth[pixel]
    if across[pixel] > own:
        wp.atomic_add(g_swept, pixel, loss / (across[pixel] - own))
    column = (pixel - m.s.base) % m.s.width
    row = (pixel - m.s.base) // m.s.width
    for j in range(wp.max(row - 1, 0), wp.min(row + 2, m.s.height)):
        for i in range(wp.max(column - 1, 0), wp.min(column + 2, m.s.width)):
            other = m.s.base + j * m.s.width + i
            if across[other] == own and m.depth[other] > own:
                jump = m.depth[other] - own
                wp.atomic_add(g_swept, other, loss / (sources(m, i, j, own) * jump))


@wp.func
def end_adjoint(
    m: Mirror,
    across: wp.array(dtype=float),
    place: wp.vec2i,
    c: Cell,
    xy: wp.vec2,
    t: float,
    z: float,
    g: wp.vec4,
    g_swept: wp.array(dtype=float),
) -> wp.vec2:
    """Gradient of the position of a hit in the last cell of a surface; adds that of the outline."""
    out = wp.vec2(0.0, 0.0)
    x = int(wp.floor(xy[0] - 0.5))
    y = int(wp.floor(xy[1] - 0.5))
    other = beyond(m, place, t, z)
    if other[3] >= 0.0:
        change = wp.dot(g, other - m.out[ray_number(m, place)])
        out[0] = change * (wp.where(torn(m, x + 1, y), 1.0, 0.0) - wp.where(torn(m, x - 1, y), 1.0, 0.0))
        out[1] = change * (wp.where(torn(m, x, y + 1), 1.0, 0.0) - wp.where(torn(m, x, y - 1), 1.0, 0.0))
        for i in range(4):
            whole = whole_cells(m, x + i % 2, y + i // 2)
            if whole < 4.0:
                # Hits lie in whole cells only: what is left of the pixel's area stands for all of it.
                pixel_adjoint(m, across, c.index[i], change * c.weight[i] * 4.0 / whole, g_swept)
    return out


@wp.func
def line_adjoint(
    m: Mirror,
    across: wp.array(dtype=float),
    at: wp.vec2,
    step: wp.vec2,
    own: float,
    loss: float,
    g_swept: wp.array(dtype=float),
):
    """Gradient of where a line of pixels around a place crosses the outline of a surface of depth `own`.

    loss: gradient of that by which the surface gets shorter, in steps.
    """
    for i in range(-OUTLINE_REACH, OUTLINE_REACH + 1):
        x = at + float(i) * step
        column = int(wp.floor(x[0]))
        row = int(wp.floor(x[1]))
        if column >= 0 and row >= 0 and column < m.s.width and row < m.s.height:
            pixel = m.s.base + row * m.s.width + column
            jump = across[pixel] - m.depth[pixel]
            near = wp.where(jump > 0.0, m.depth[pixel], across[pixel])
            if jump != 0.0 and wp.abs(near - own) < m.thickness * own:
                wp.atomic_add(g_swept, pixel, loss / wp.abs(jump))


@wp.func
def ends_at(m: Mirror, at: wp.vec2, d: wp.vec2, own: float) -> bool:
    """Whether a surface of depth `own` is neither at a place nor one or two pixels on in direction d."""
    out = bool(True)
    for i in range(3):
        x = at + float(i) * d
        if wp.abs(depth_at(m.s, m.depth, int(x[0]), int(x[1])) - own) < m.thickness * own:
            out = False
    return out


@wp.func
def entry_adjoint(
    m: Mirror,
    across: wp.array(dtype=float),
    place: wp.vec2i,
    ray: Ray,
    c: Cell,
    q: wp.vec3,
    xy: wp.vec2,
    t: float,
    g_xy: wp.vec2,
    g_z: float,
    g: wp.vec4,
    g_depth: wp.array(dtype=float),
    g_swept: wp.array(dtype=float),
) -> wp.vec2:
    """Through an outline behind which the ray enters: where it is, and how deep the surface is there.

    Args:
        g_xy, g_z: gradients of the hit's pixel position and depth.
    Returns:
        Further gradient of the hit's position: rays beside the last one miss the surface.
    """
    z = -q[2]
    move = motion(m.s, ray, q)
    d = move / wp.length(move)
    rise = -ray.r[2] / wp.length(move)
    inverse = inverse_depths(c)
    slope = wp.vec2(wp.dot(c.weight_x, inverse), wp.dot(c.weight_y, inverse))
    steep = wp.max(wp.dot(slope, d) + rise / (z * z), RAMP * (wp.max(inverse) - wp.min(inverse)))
    back = 1.0 / (z * z * steep)  # pixels by which a deeper ray is met sooner
    g_deeper = g_z * (1.0 - rise * back) - wp.dot(g_xy, d) * back
    own = wp.min(c.depth)
    x = xy + INSIDE * d
    within = depth_at(m.s, m.depth, int(x[0]), int(x[1]))
    further = depth_at(m.s, m.depth, int(x[0] + d[0]), int(x[1] + d[1]))
    pixel = c.index[int(wp.argmin(c.depth))]
    bend = float(0.0)
    if wp.abs(within - own) < m.thickness * own and wp.abs(further - within) < m.thickness * within:
        bend = further - within
        column = wp.clamp(int(x[0]), 0, m.s.width - 1)
        pixel = m.s.base + wp.clamp(int(x[1]), 0, m.s.height - 1) * m.s.width + column
    wp.atomic_add(g_depth, pixel, -g_deeper)
    longest = wp.max(wp.abs(d[0]), wp.abs(d[1]))
    line_adjoint(m, across, xy, d / longest, own, g_deeper * (rise - bend) * longest, g_swept)
    out = wp.vec2(0.0, 0.0)
    for way in range(2):
        aside = wp.where(way == 0, 1.0, -1.0) * wp.vec2(-d[1], d[0])
        if ends_at(m, xy + 1.5 * aside, d, own):
            other = beyond(m, place, t, z)
            if other[3] >= 0.0:
                change = wp.dot(g, other - m.out[ray_number(m, place)])
                out += change * aside
                line_adjoint(m, across, xy + d + 0.5 * aside, aside / longest, own, change, g_swept)
    return out
