"""The adjoint of ssr.py, written out.

The ray's length t solves F(t, everything) = 0, so that dt = -dF / F_t: what reaches t goes on to
the ray and to the four depths that it met, whatever the search did to find it. What happens where a
reflection ends is in ssr_outline.py and ssr_fold.py.
"""

from __future__ import annotations

import warp as wp

from studio.core.kernels.ssr import (
    Seen,
    Weights,
    edge_fade,
    first_of,
    level_of,
    look,
    place_of,
    product,
    screen_of,
    weights_of,
)
from studio.core.kernels.ssr_fold import RayAdjoint, fold_adjoint
from studio.core.kernels.ssr_outline import RAMP, Mirror, end_adjoint, entry_adjoint, ray_at, torn
from studio.core.kernels.ssr_ray import (
    AWAY_FADE,
    GRAZING,
    LEAST_SLOPE,
    LOBE,
    NEAR_FADE,
    ROUGH_FADE,
    Cell,
    Options,
    Ray,
    Screen,
    cell_at,
    fade,
    fade_slope,
    inverse_depths,
    motion,
    position_adjoint,
    to_pixel,
)

wp.set_module_options({"enable_backward": False})


@wp.struct
class HitAdjoint:
    """Gradients of the hit's pixel position and depth, the ray's length, and of what else counts.

    cosine is that to the viewer, away the ray's along the camera's axis.
    """

    xy: wp.vec2
    z: float
    t: float
    rough: float
    cosine: float
    away: float


@wp.func
def spread(
    g: wp.vec4,
    view: int,
    s: Screen,
    level: int,
    xy: wp.vec2,
    start: wp.array(dtype=int),
    g_pyramid: wp.array(dtype=wp.vec4),
):
    """Adjoint of `lookup` for the texels."""
    scale = 1.0 / float(1 << level)
    width = (s.width + (1 << level) - 1) >> level
    height = (s.height + (1 << level) - 1) >> level
    x = xy[0] * scale - 0.5
    y = xy[1] * scale - 0.5
    cx = wp.floor(x)
    cy = wp.floor(y)
    fx = x - cx
    fy = y - cy
    left = wp.clamp(int(cx), 0, width - 1)
    right = wp.clamp(int(cx) + 1, 0, width - 1)
    base = start[level] + view * width * height
    low = base + wp.clamp(int(cy), 0, height - 1) * width
    high = base + wp.clamp(int(cy) + 1, 0, height - 1) * width
    wp.atomic_add(g_pyramid, low + left, (1.0 - fx) * (1.0 - fy) * g)
    wp.atomic_add(g_pyramid, low + right, fx * (1.0 - fy) * g)
    wp.atomic_add(g_pyramid, high + left, (1.0 - fx) * fy * g)
    wp.atomic_add(g_pyramid, high + right, fx * fy * g)


@wp.func
def edge_slope(o: Options, at: float, size: float) -> float:
    """Logarithmic slope of `edge_fade`, which is not zero here."""
    away = wp.min(at, size - at) / size
    slope = fade_slope(0.0, o.edge, away) / (edge_fade(o, at, size) * size)
    if at > size - at:
        return -slope
    return slope


@wp.func
def agreement_adjoint(
    c: Cell, z: float, o: Options, g: float, entry: bool, out: HitAdjoint, g_depth: wp.array(dtype=float)
) -> HitAdjoint:
    """Through the weight by thickness, g its gradient; not to the depths where the ray enters behind them."""
    reach = o.thickness * z
    for i in range(4):
        gap = c.depth[i] - z
        part = wp.abs(gap) / reach
        agree = 1.0 - fade(0.5, 1.0, part)
        out.xy += g * agree * wp.vec2(c.weight_x[i], c.weight_y[i])
        slope = -g * c.weight[i] * fade_slope(0.5, 1.0, part)
        if slope != 0.0:
            unit = wp.sign(gap) / reach
            out.z -= slope * (unit + part / z)
            if not entry:
                wp.atomic_add(g_depth, c.index[i], slope * unit)
    return out


@wp.func
def color_adjoint(seen: Seen, s: Screen, rough: float, t: float, z: float, g: wp.vec4) -> HitAdjoint:
    """Through the pyramid's value for its gradient g: by position, and by the level

    log2(1 + m^2) / 2, m = LOBE rough^2 t / z times the focal length.
    """
    out = HitAdjoint()
    out.xy = wp.vec2(wp.dot(g, seen.x), wp.dot(g, seen.y))
    per = LOBE * rough * 0.5 * s.lens[1] * float(s.height) / z
    m = per * rough * t
    g_m = wp.dot(g, seen.by_level) * m / ((1.0 + m * m) * 0.6931472)
    out.rough = g_m * 2.0 * per * t
    out.t = g_m * per * rough
    out.z = -g_m * m / z
    return out


@wp.func
def weights_adjoint(
    w: Weights,
    s: Screen,
    o: Options,
    ray: Ray,
    c: Cell,
    xy: wp.vec2,
    z: float,
    rough: float,
    g: float,
    entry: bool,
    out: HitAdjoint,
    g_depth: wp.array(dtype=float),
) -> HitAdjoint:
    """Through the product of the weights, g being its gradient times itself."""
    out = agreement_adjoint(c, z, o, g / w.agree, entry, out, g_depth)
    out.xy += g * wp.vec2(edge_slope(o, xy[0], float(s.width)), edge_slope(o, xy[1], float(s.height)))
    run = xy - ray.xy
    distance = wp.length(run)
    out.xy += run * (g / w.near * fade_slope(NEAR_FADE[0], NEAR_FADE[1], distance) / distance)
    out.cosine = g / w.facing * fade_slope(0.0, GRAZING, ray.cosine)
    out.away = -g / w.away * fade_slope(AWAY_FADE[0], AWAY_FADE[1], ray.r[2])
    out.rough -= g / w.rough * fade_slope(ROUGH_FADE * o.roughness, o.roughness, rough)
    return out


@wp.func
def point_adjoint(
    s: Screen, ray: Ray, c: Cell, q: wp.vec3, h: HitAdjoint, entry: bool, g_depth: wp.array(dtype=float)
) -> wp.vec3:
    """Gradient of the hit as a point p + t r, that of t carried on to the point and to the depths met.

    Where the ray enters behind an outline, what it met is the outline: see `entry_adjoint`.
    """
    z = -q[2]
    g = position_adjoint(s, q, h.xy, h.z)
    g_t = h.t + wp.dot(g, ray.r)
    inverse = inverse_depths(c)
    slope = wp.vec2(wp.dot(c.weight_x, inverse), wp.dot(c.weight_y, inverse))
    g_f = position_adjoint(s, q, slope, 1.0 / (z * z))
    least = LEAST_SLOPE / (z * z)
    if entry:
        steep = RAMP * (wp.max(inverse) - wp.min(inverse))
        least = wp.max(least, steep * wp.length(motion(s, ray, q)))
    dt = g_t / wp.max(wp.dot(g_f, ray.r), least)
    if not entry:
        for i in range(4):
            wp.atomic_add(g_depth, c.index[i], dt * c.weight[i] * inverse[i] * inverse[i])
    return g - dt * g_f


@wp.struct
class Job:
    """What the adjoint of a ray reads and adds to, beside what the mirror holds."""

    m: Mirror
    o: Options
    view: int
    levels: int
    roughness: wp.array(dtype=float)
    start: wp.array(dtype=int)
    pyramid: wp.array(dtype=wp.vec4)
    across: wp.array(dtype=float)
    near: wp.array(dtype=wp.uint8)
    g_swept: wp.array(dtype=float)
    g_depth: wp.array(dtype=float)
    g_normal: wp.array(dtype=wp.vec3)
    g_roughness: wp.array(dtype=float)
    g_pyramid: wp.array(dtype=wp.vec4)


@wp.func
def ray_adjoint(job: Job, place: wp.vec2i, t: float, g: wp.vec4):
    """Through the ray in a column and row of rays, of length t."""
    m = job.m
    s = m.s
    pixel = s.base + (place[1] * s.width + place[0]) * m.stride
    rough = job.roughness[pixel]
    ray = ray_at(m, place)
    q = ray.p + t * ray.r
    z = -q[2]
    xy = to_pixel(s, q)
    c = cell_at(s, m.depth, xy)
    w = weights_of(s, job.o, ray, c, xy, z, rough)
    weight = product(w)
    level = level_of(rough * rough, t, z, s)
    seen = look(job.pyramid, job.start, job.view, s, job.levels, level, xy)
    spread((1.0 - seen.rest) * weight * g, job.view, s, seen.fine, xy, job.start, job.g_pyramid)
    if seen.rest > 0.0:
        spread(seen.rest * weight * g, job.view, s, seen.fine + 1, xy, job.start, job.g_pyramid)
    outlined = job.near[c.index[0]] != wp.uint8(0)
    entry = outlined and torn(m, int(wp.floor(xy[0] - 0.5)), int(wp.floor(xy[1] - 0.5)))
    h = color_adjoint(seen, s, rough, t, z, weight * g)
    g_weight = wp.dot(g, seen.value) * weight
    h = weights_adjoint(w, s, job.o, ray, c, xy, z, rough, g_weight, entry, h, job.g_depth)
    fold = RayAdjoint()
    if entry:
        h.xy += entry_adjoint(m, job.across, place, ray, c, q, xy, t, h.xy, h.z, g, job.g_depth, job.g_swept)
    else:
        if outlined:
            h.xy += end_adjoint(m, job.across, place, c, xy, t, z, g, job.g_swept)
        fold = fold_adjoint(m, place, ray, t, q, g, job.g_depth)
    g_p = point_adjoint(s, ray, c, q, h, entry, job.g_depth)
    wp.atomic_add(job.g_depth, pixel, wp.dot(g_p + fold.p, ray.p) / ray.d)
    g_r = t * g_p + fold.r + wp.vec3(0.0, 0.0, h.away)
    n = m.to_view * m.normal[pixel]
    g_n = 2.0 * ray.cosine * g_r - (2.0 * wp.dot(n, g_r) + h.cosine) * ray.v
    job.g_normal[pixel] = wp.transpose(m.to_view) * g_n
    job.g_roughness[pixel] = h.rough


@wp.kernel
def reflect_backward(
    begin: int,
    run: int,
    spacing: int,
    width: int,
    height: int,
    stride: int,
    thickness: float,
    edge: float,
    roughness_limit: float,
    levels: int,
    depth: wp.array(dtype=float),
    normal: wp.array(dtype=wp.vec3),
    roughness: wp.array(dtype=float),
    to_view: wp.array(dtype=wp.mat33),
    lens: wp.array(dtype=wp.vec4),
    far: wp.array(dtype=float),
    start: wp.array(dtype=int),
    pyramid: wp.array(dtype=wp.vec4),
    hit: wp.array(dtype=float),
    out: wp.array(dtype=wp.vec4),
    across: wp.array(dtype=float),
    near: wp.array(dtype=wp.uint8),
    g_out: wp.array(dtype=wp.vec4),
    g_swept: wp.array(dtype=float),
    g_depth: wp.array(dtype=float),
    g_normal: wp.array(dtype=wp.vec3),
    g_roughness: wp.array(dtype=float),
    g_pyramid: wp.array(dtype=wp.vec4),
):
    """Adds to all gradients but those of normal and roughness.

    Args:
        across: depth of the surface across an outline, own depth elsewhere.
        near: 1 where that differs within two pixels.
    """
    first = first_of(begin + wp.tid(), run, spacing, hit.shape[0])
    at = place_of(first, width, height, stride)
    view = at[0]
    job = Job()
    job.view = view
    job.levels = levels
    job.m.s = screen_of(view, width, height, lens[view], far[view])
    job.m.to_view = to_view[view]
    job.m.stride = stride
    job.m.columns = (width + stride - 1) // stride
    job.m.rows = (height + stride - 1) // stride
    job.m.first = view * job.m.columns * job.m.rows
    job.m.thickness = thickness
    job.m.depth = depth
    job.m.normal = normal
    job.m.hit = hit
    job.m.out = out
    job.o.thickness = thickness
    job.o.edge = edge
    job.o.roughness = roughness_limit
    job.roughness = roughness
    job.start = start
    job.pyramid = pyramid
    job.across = across
    job.near = near
    job.g_swept = g_swept
    job.g_depth = g_depth
    job.g_normal = g_normal
    job.g_roughness = g_roughness
    job.g_pyramid = g_pyramid
    for j in range(run):
        t = hit[first + j]
        g = g_out[first + j]
        if t > 0.0 and wp.dot(g, g) > 0.0:
            ray_adjoint(job, wp.vec2i(at[2] // stride + j, at[1] // stride), t, g)
