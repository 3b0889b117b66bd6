"""The adjoint of shadow_filter.py, written out.

It recomputes the forward values. Pixels without a gradient, fully lit ones and fully dark ones
are left as soon as that is known: that is most of a picture.
"""

from __future__ import annotations

import warp as wp

from studio.core.kernels.shadow_filter import (
    FILTER_FOOTPRINT,
    FILTER_TAPS,
    GRAZING,
    HARD_VARIANCE,
    SEARCH_FOOTPRINT,
    SEARCH_TAPS,
    SOFT_VARIANCE,
    SPARE,
    Place,
    Search,
    Share,
    box_weight,
    gap_of,
    held,
    lod_of,
    penumbra,
    search,
    search_radius,
    share,
    texel,
    unbleed,
    weight_of,
    within,
)
from studio.core.kernels.shadow_map import (
    LENGTH,
    PLANE,
    SIDE,
    TANGENT,
    TEXEL,
    Tap,
    scatter,
    tap,
    vec12,
)

LN2 = wp.constant(0.6931471805599453)


@wp.struct
class PlaceAdjoint:
    """Gradients of what a filter takes of a Place, and of the light's size."""

    uv: wp.vec2
    slope: wp.vec2
    t: float
    size: float


@wp.struct
class DiscAdjoint:
    """Gradients of one disc of taps."""

    uv: wp.vec2
    slope: wp.vec2
    t: float
    radius: float
    lod: float


@wp.func
def lod_slope(radius: float, footprint: float) -> float:
    s = footprint * footprint
    return s * radius / ((1.0 + s * radius * radius) * LN2)


@wp.func
def moments_adjoint(m: Tap, p: Share, g_share: float, g_behind: float) -> wp.vec2:
    """Gradient of both moments, from those of the share and of the distance behind the mean."""
    g_variance = g_share * p.variance
    return wp.vec2(-2.0 * m.value[0] * g_variance - g_behind, g_variance)


@wp.func
def tap_adjoint(
    m: Tap,
    at: Place,
    step: wp.vec2,
    radius: float,
    offset: wp.vec2,
    g_m: wp.vec2,
    g_behind: float,
    g_shift: float,
    sums: DiscAdjoint,
) -> DiscAdjoint:
    """Add one tap to the gradients of its disc; offset is step times radius, cut by the tile.

    g_behind is the gradient of the distance behind the mean, g_shift that of the tangent plane's
    depth at the tap.
    """
    out = sums
    out.t += g_behind
    out.slope += offset * g_shift
    out.lod += wp.dot(g_m, m.dl)
    wanted = step * radius
    pull = at.slope * g_shift
    moved = wp.vec2(wp.dot(g_m, m.dx), wp.dot(g_m, m.dy))
    g = moved + pull
    # A tap at the tile's border stays there while the receiver moves.
    if offset[0] != wanted[0]:
        moved = wp.vec2(-pull[0], moved[1])
        g = wp.vec2(0.0, g[1])
    if offset[1] != wanted[1]:
        moved = wp.vec2(moved[0], -pull[1])
        g = wp.vec2(g[0], 0.0)
    out.uv += moved
    out.radius += wp.dot(step, g)
    return out


@wp.func
def soft_adjoint(
    atlas: wp.array2d(dtype=wp.vec2),
    view: int,
    levels: wp.array(dtype=int),
    width: int,
    taps: wp.array(dtype=wp.vec2),
    tile: vec12,
    at: Place,
    size: float,
    bleeding: float,
    g: float,
    g_atlas: wp.array2d(dtype=wp.vec2),
) -> PlaceAdjoint:
    """Adjoint of `soft_visibility`."""
    out = PlaceAdjoint()
    found = search(atlas, view, levels, width, taps, tile, at, size)
    if found.blocked == 0.0:
        return out
    gap = gap_of(found)
    disc = penumbra(tile, size, at.t, gap)
    radius = disc[0]
    lod = lod_of(radius, FILTER_FOOTPRINT)
    sums = DiscAdjoint()
    some = wp.int32(0)
    for i in range(FILTER_TAPS):
        step = taps[SEARCH_TAPS + i]
        offset = held(at.uv, step * radius, tile[SIDE])
        where = at.uv + offset
        m = tap(atlas, view, levels, width, tile, lod, where)
        shift = wp.dot(at.slope, offset)
        behind = at.t + shift - m.value[0]
        p = share(m.value[1] - m.value[0] * m.value[0] + SOFT_VARIANCE, behind)
        w = within(tile, size, at.t, behind, shift, 1.0 - p.value, wp.length(offset))
        g_share = g * w / float(FILTER_TAPS) * unbleed(p.value, bleeding)[1]
        if g_share != 0.0:
            some = 1
            g_behind = g_share * p.behind
            g_m = moments_adjoint(m, p, g_share, g_behind)
            sums = tap_adjoint(m, at, step, radius, offset, g_m, g_behind, g_behind, sums)
            scatter(g_atlas, view, levels, width, tile, lod, where, g_m)
    if some == 0:
        return out
    g_radius = sums.radius + sums.lod * lod_slope(radius, FILTER_FOOTPRINT)
    out.uv = sums.uv
    out.slope = sums.slope
    out.t = sums.t + g_radius * disc[2]
    if disc[1] != 0.0:  # not at its largest
        out.size = g_radius * radius / wp.max(size, 1.0e-12)
    g_gap = g_radius * disc[1]
    if g_gap != 0.0 and gap > 0.0:
        more = search_adjoint(atlas, view, levels, width, taps, tile, at, size, found, g_gap, g_atlas)
        out.uv += more.uv
        out.slope += more.slope
        out.t += more.t
        out.size += more.size
    return out


@wp.func
def search_adjoint(
    atlas: wp.array2d(dtype=wp.vec2),
    view: int,
    levels: wp.array(dtype=int),
    width: int,
    taps: wp.array(dtype=wp.vec2),
    tile: vec12,
    at: Place,
    size: float,
    found: Search,
    g_gap: float,
    g_atlas: wp.array2d(dtype=wp.vec2),
) -> PlaceAdjoint:
    """Adjoint of `search` for a gradient of its gap."""
    out = PlaceAdjoint()
    per_size = 1.0 / wp.max(size, 1.0e-12)
    sums = look_adjoint(
        atlas,
        view,
        levels,
        width,
        taps,
        tile,
        at,
        found.radius,
        g_gap / weight_of(found),
        gap_of(found),
        g_atlas,
    )
    out.uv = sums.uv
    out.slope = sums.slope
    out.t = sums.t
    g_radius = sums.radius
    if found.before_radius > 0.0:
        # This look was as wide as the penumbra that the one before it found.
        disc = penumbra(tile, size, at.t, found.before_gap)
        g_radius = SPARE * g_radius
        out.t += g_radius * disc[2]
        if disc[1] != 0.0:
            out.size += g_radius * disc[0] * per_size
        g_before = g_radius * disc[1] / found.before_weight
        if found.before_gap <= 0.0:
            return out
        sums = look_adjoint(
            atlas,
            view,
            levels,
            width,
            taps,
            tile,
            at,
            found.before_radius,
            g_before,
            found.before_gap,
            g_atlas,
        )
        out.uv += sums.uv
        out.slope += sums.slope
        out.t += sums.t
        g_radius = sums.radius
    first = search_radius(tile, size, at.t)
    if first[1] != 0.0:
        out.t += g_radius * first[1]
        out.size += g_radius * first[0] * per_size
    return out


@wp.func
def look_adjoint(
    atlas: wp.array2d(dtype=wp.vec2),
    view: int,
    levels: wp.array(dtype=int),
    width: int,
    taps: wp.array(dtype=wp.vec2),
    tile: vec12,
    at: Place,
    radius: float,
    g_sum: float,
    gap: float,
    g_atlas: wp.array2d(dtype=wp.vec2),
) -> DiscAdjoint:
    """Adjoint of `look` for gap = behind / (blocked + ...); g_sum is the gradient of the first sum."""
    sums = DiscAdjoint()
    lod = lod_of(radius, SEARCH_FOOTPRINT)
    for i in range(SEARCH_TAPS):
        step = taps[i]
        offset = held(at.uv, step * radius, tile[SIDE])
        where = at.uv + offset
        m = tap(atlas, view, levels, width, tile, lod, where)
        shift = wp.dot(at.slope, offset)
        behind = at.t + shift - m.value[0]
        if behind > 0.0:
            p = share(m.value[1] - m.value[0] * m.value[0] + SOFT_VARIANCE, behind)
            g_share = g_sum * (gap + shift)
            g_depth = g_sum + g_share * p.behind
            g_shift = g_depth - g_sum * (1.0 - p.value)
            g_m = moments_adjoint(m, p, g_share, g_depth)
            sums = tap_adjoint(m, at, step, radius, offset, g_m, g_depth, g_shift, sums)
            scatter(g_atlas, view, levels, width, tile, lod, where, g_m)
    sums.radius += sums.lod * lod_slope(radius, SEARCH_FOOTPRINT)
    return sums


@wp.func
def hard_adjoint(
    atlas: wp.array2d(dtype=wp.vec2),
    view: int,
    width: int,
    tile: vec12,
    at: Place,
    radius: int,
    g: float,
    g_atlas: wp.array2d(dtype=wp.vec2),
) -> PlaceAdjoint:
    """Adjoint of `hard_visibility`."""
    out = PlaceAdjoint()
    x = at.uv[0] - 0.5
    y = at.uv[1] - 0.5
    col = int(wp.floor(x))
    row = int(wp.floor(y))
    for j in range(2 * radius + 2):
        wy = box_weight(j, radius, y - float(row))
        for i in range(2 * radius + 2):
            wx = box_weight(i, radius, x - float(col))
            one = texel(width, tile, at, col + i - radius, row + j - radius)
            m = atlas[view, one.index]
            behind = at.t + wp.dot(at.slope, one.offset) - m[0]
            p = share(m[1] - m[0] * m[0] + HARD_VARIANCE, behind)
            # The weights' slopes add up to 0: what is lit takes no part.
            out.uv += wp.vec2(wx[1] * wy[0], wx[0] * wy[1]) * (g * (p.value - 1.0))
            if p.behind != 0.0:
                g_share = g * wx[0] * wy[0]
                g_behind = g_share * p.behind
                g_variance = g_share * p.variance
                wp.atomic_add(
                    g_atlas, view, one.index, wp.vec2(-2.0 * m[0] * g_variance - g_behind, g_variance)
                )
                out.t += g_behind
                out.slope += one.offset * g_behind
                out.uv -= at.slope * g_behind
    return out


@wp.struct
class Pulled:
    """Gradients of `place`: receiver, its normal, matrix."""

    position: wp.vec3
    normal: wp.vec3
    matrix: wp.mat44


@wp.func
def add_row(m: wp.mat44, row: int, g: float, p: wp.vec3, one: float) -> wp.mat44:
    out = m
    out[row, 0] += g * p[0]
    out[row, 1] += g * p[1]
    out[row, 2] += g * p[2]
    out[row, 3] += g * one
    return out


@wp.func
def row(m: wp.mat44, number: int) -> wp.vec3:
    return wp.vec3(m[number, 0], m[number, 1], m[number, 2])


@wp.func
def place_adjoint(
    m: wp.mat44,
    tile: vec12,
    p: wp.vec3,
    normal: wp.vec3,
    bias: float,
    at: Place,
    g: PlaceAdjoint,
    g_xy: wp.vec2,
) -> Pulled:
    """Adjoint of `place`; g_xy is a gradient that reaches x and y by another way than uv."""
    half = 0.5 * tile[SIDE]
    gx = g.uv[0] * half + g_xy[0]
    gy = g.uv[1] * half + g_xy[1]
    # slope = n_xy * k, k = -w plane / half * r, r = c / (c^2 + grazing^2)
    d = at.c * at.c + GRAZING * GRAZING
    r = at.c / d
    scale = -tile[PLANE] / half
    g_k = g.slope[0] * at.n[0] + g.slope[1] * at.n[1]
    g_w = g_k * scale * r
    g_c = g_k * scale * at.w * (GRAZING * GRAZING - at.c * at.c) / (d * d)
    k = scale * at.w * r
    g_nx = g.slope[0] * k + g_c * tile[TANGENT] * at.x
    g_ny = g.slope[1] * k + g_c * tile[TANGENT] * at.y
    g_nz = g_c * tile[LENGTH]
    gx += g_c * tile[TANGENT] * at.n[0]
    gy += g_c * tile[TANGENT] * at.n[1]
    g_w -= (gx * at.x + gy * at.y) / at.w
    gx = gx / at.w
    gy = gy / at.w
    out = Pulled()
    out.matrix = add_row(out.matrix, 0, gx, at.q, 1.0)
    out.matrix = add_row(out.matrix, 1, gy, at.q, 1.0)
    out.matrix = add_row(out.matrix, 2, g.t, at.q, 1.0)
    out.matrix = add_row(out.matrix, 3, g_w, at.q, 1.0)
    out.matrix = add_row(out.matrix, 0, g_nx, normal, 0.0)
    out.matrix = add_row(out.matrix, 1, g_ny, normal, 0.0)
    out.matrix = add_row(out.matrix, 2, g_nz, normal, 0.0)
    g_q = row(m, 0) * gx + row(m, 1) * gy + row(m, 2) * g.t + row(m, 3) * g_w
    offset = bias * tile[TEXEL]
    g_weight = offset * wp.dot(g_q, normal)
    out.matrix = add_row(out.matrix, 3, g_weight, p, 1.0)
    out.position = g_q + row(m, 3) * g_weight
    out.normal = row(m, 0) * g_nx + row(m, 1) * g_ny + row(m, 2) * g_nz + g_q * (offset * at.weight)
    return out
