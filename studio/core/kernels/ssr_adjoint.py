"""The adjoint of ssr.py, written out.

The ray's length t solves F(t, everything) = 0, so that dt = -dF / F_t: what reaches t goes on to
the ray and to the four depths that it met, whatever the search did to find it.
"""

from __future__ import annotations

import warp as wp

from studio.core.kernels.ssr import (
    AWAY_FADE,
    GRAZING,
    LEAST_SLOPE,
    LOBE,
    NEAR_FADE,
    ROUGH_FADE,
    Cell,
    Options,
    Screen,
    agreement,
    cell_at,
    edge_fade,
    fade,
    fade_slope,
    inverse_depths,
    level_of,
    lookup,
    mirrored,
    to_pixel,
)

wp.set_module_options({"enable_backward": False})


@wp.struct
class HitAdjoint:
    """Gradients at the hit: its pixel position, its depth, the ray's length; and the roughness."""

    xy: wp.vec2
    z: float
    t: float
    rough: float


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
    slope = fade_slope(0.0, o.edge, away) / (fade(0.0, o.edge, away) * size)
    if at > size - at:
        return -slope
    return slope


@wp.func
def agreement_adjoint(
    c: Cell, z: float, o: Options, g: float, out: HitAdjoint, g_depth: wp.array(dtype=float)
) -> HitAdjoint:
    """Through the weight by thickness, g its gradient."""
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
            wp.atomic_add(g_depth, c.index[i], slope * unit)
    return out


@wp.func
def position_adjoint(s: Screen, q: wp.vec3, g: wp.vec2, g_z: float) -> wp.vec3:
    """Gradient at the point q of gradients at its pixel position and its depth."""
    z = -q[2]
    gx = 0.5 * float(s.width) * s.lens[0] * g[0] / z
    gy = 0.5 * float(s.height) * s.lens[1] * g[1] / z
    return wp.vec3(gx, gy, (gx * q[0] + gy * q[1]) / z - g_z)


@wp.kernel
def reflect_backward(
    begin: int,
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
    g_out: wp.array(dtype=wp.vec4),
    g_depth: wp.array(dtype=float),
    g_normal: wp.array(dtype=wp.vec3),
    g_roughness: wp.array(dtype=float),
    g_pyramid: wp.array(dtype=wp.vec4),
):
    i = begin + wp.tid()
    t = hit[i]
    g = g_out[i]
    if t > 0.0 and wp.dot(g, g) > 0.0:
        columns = (width + stride - 1) // stride
        rows = (height + stride - 1) // stride
        view = i // (columns * rows)
        row = (i // columns) % rows * stride
        column = i % columns * stride
        s = Screen()
        s.base = view * width * height
        s.width = width
        s.height = height
        s.lens = lens[view]
        s.far = far[view]
        o = Options()
        o.thickness = thickness
        o.edge = edge
        pixel = s.base + row * width + column
        rough = roughness[pixel]
        n = to_view[view] * normal[pixel]
        ray = mirrored(s, wp.vec2(float(column) + 0.5, float(row) + 0.5), depth[pixel], n)
        q = ray.p + t * ray.r
        z = -q[2]
        xy = to_pixel(s, q)
        c = cell_at(s, depth, xy)

        agree = agreement(c, z, thickness * z)
        away = 1.0 - fade(AWAY_FADE[0], AWAY_FADE[1], ray.r[2])
        facing = fade(0.0, GRAZING, ray.cosine)
        rest_rough = 1.0 - fade(ROUGH_FADE * roughness_limit, roughness_limit, rough)
        distance = wp.length(xy - ray.xy)
        near = fade(NEAR_FADE[0], NEAR_FADE[1], distance)
        weight = agree * edge_fade(o, xy[0], float(width)) * edge_fade(o, xy[1], float(height))
        weight *= near * facing * away * rest_rough

        level = level_of(rough * rough, t, z, s)
        free = level < float(levels - 1)
        level = wp.min(level, float(levels - 1))
        fine = wp.min(int(level), levels - 2)
        rest = level - float(fine)
        below = lookup(pyramid, start, view, s, fine, xy)
        above = lookup(pyramid, start, view, s, fine + 1, xy)
        value = (1.0 - rest) * below.value + rest * above.value
        spread((1.0 - rest) * weight * g, view, s, fine, xy, start, g_pyramid)
        if rest > 0.0:
            spread(rest * weight * g, view, s, fine + 1, xy, start, g_pyramid)

        h = HitAdjoint()
        gx = (1.0 - rest) * below.x + rest * above.x
        gy = (1.0 - rest) * below.y + rest * above.y
        h.xy = weight * wp.vec2(wp.dot(g, gx), wp.dot(g, gy))
        if free:
            # level = log2(1 + m^2) / 2, m = lobe * rough^2 * t / z
            per = LOBE * rough * 0.5 * s.lens[1] * float(height) / z
            m = per * rough * t
            g_m = weight * wp.dot(g, above.value - below.value) * m / ((1.0 + m * m) * 0.6931472)
            h.rough = g_m * 2.0 * per * t
            h.t = g_m * per * rough
            h.z = -g_m * m / z

        g_log = wp.dot(g, value) * weight
        h = agreement_adjoint(c, z, o, g_log / agree, h, g_depth)
        h.xy += g_log * wp.vec2(edge_slope(o, xy[0], float(width)), edge_slope(o, xy[1], float(height)))
        h.xy += (xy - ray.xy) * (g_log / near * fade_slope(NEAR_FADE[0], NEAR_FADE[1], distance) / distance)
        g_cosine = g_log / facing * fade_slope(0.0, GRAZING, ray.cosine)
        g_away = -g_log / away * fade_slope(AWAY_FADE[0], AWAY_FADE[1], ray.r[2])
        h.rough -= g_log / rest_rough * fade_slope(ROUGH_FADE * roughness_limit, roughness_limit, rough)

        g_q = position_adjoint(s, q, h.xy, h.z)
        g_t = h.t + wp.dot(g_q, ray.r)
        inverse = inverse_depths(c)
        slope = wp.vec2(wp.dot(c.weight_x, inverse), wp.dot(c.weight_y, inverse))
        g_f = position_adjoint(s, q, slope, 1.0 / (z * z))  # of F at the hit, as a point in space
        f_t = wp.max(wp.dot(g_f, ray.r), LEAST_SLOPE / (z * z))
        g_f *= -g_t / f_t
        for j in range(4):
            share = g_t / f_t * c.weight[j] * inverse[j] * inverse[j]
            wp.atomic_add(g_depth, c.index[j], share)
        g_p = g_q + g_f
        wp.atomic_add(g_depth, pixel, wp.dot(g_p, ray.p) / ray.d)
        g_r = t * g_p + wp.vec3(0.0, 0.0, g_away)
        g_n = 2.0 * ray.cosine * g_r - (2.0 * wp.dot(n, g_r) + g_cosine) * ray.v
        g_normal[pixel] = wp.transpose(to_view[view]) * g_n
        g_roughness[pixel] = h.rough
