"""Lookups in a shadow atlas: depth and squared depth, filtered, with slopes and their transpose.

An atlas holds a square tile per map, all in one image per view, and the box means of that image
over 2x2, 4x4, ... texels. Tiles lie on multiples of their side, so no mean mixes two tiles. All
levels of a view lie one after the other in a row of texels: level k starts at levels[k] and is
width >> k texels wide. Places count in texels of the finest level from the tile's lower left
corner; beyond the tile the texel at its border is taken.
"""

from __future__ import annotations

import warp as wp

vec12 = wp.types.vector(length=12, dtype=float)
"""Constants of a tile, see studio.core.ops.light_view: left, bottom, side (texels), world size of
a texel at w = 1, reach, plane, length, perspective, perspective / scale^2, nearest, farthest, one unused."""

LEFT = wp.constant(0)
BOTTOM = wp.constant(1)
SIDE = wp.constant(2)
TEXEL = wp.constant(3)
REACH = wp.constant(4)
PLANE = wp.constant(5)
LENGTH = wp.constant(6)
PERSPECTIVE = wp.constant(7)
TANGENT = wp.constant(8)
NEAREST = wp.constant(9)


@wp.struct
class Tap:
    """Moments at one place: value, and slopes to column, row and level."""

    value: wp.vec2
    dx: wp.vec2
    dy: wp.vec2
    dl: wp.vec2


@wp.struct
class Cell:
    """The 2x2 texels around a place: index of each, and where in between."""

    i00: int
    i10: int
    i01: int
    i11: int
    fx: float
    fy: float
    inside_x: float
    inside_y: float


@wp.func
def cell(levels: wp.array(dtype=int), width: int, tile: vec12, level: int, place: wp.vec2) -> Cell:
    """Texels of one level around a place; inside_* is 0 where the place is beyond the tile."""
    side = int(tile[SIDE]) >> level
    stride = width >> level
    first = levels[level] + (int(tile[BOTTOM]) >> level) * stride + (int(tile[LEFT]) >> level)
    scale = 1.0 / float(1 << level)
    x = place[0] * scale - 0.5
    y = place[1] * scale - 0.5
    last = float(side - 1)
    out = Cell()
    out.inside_x = scale
    out.inside_y = scale
    if x <= 0.0 or x >= last:
        out.inside_x = 0.0
    if y <= 0.0 or y >= last:
        out.inside_y = 0.0
    x = wp.clamp(x, 0.0, last)
    y = wp.clamp(y, 0.0, last)
    col = int(x)
    row = int(y)
    out.fx = x - float(col)
    out.fy = y - float(row)
    right = wp.min(col + 1, side - 1)
    up = wp.min(row + 1, side - 1)
    out.i00 = first + row * stride + col
    out.i10 = first + row * stride + right
    out.i01 = first + up * stride + col
    out.i11 = first + up * stride + right
    return out


@wp.func
def bilinear(
    atlas: wp.array2d(dtype=wp.vec2),
    view: int,
    levels: wp.array(dtype=int),
    width: int,
    tile: vec12,
    level: int,
    place: wp.vec2,
) -> Tap:
    """Moments of one level; slopes are per texel of the finest level."""
    c = cell(levels, width, tile, level, place)
    a = atlas[view, c.i00]
    b = atlas[view, c.i10] - a
    d = atlas[view, c.i01] - a
    e = atlas[view, c.i11] - a - b - d
    out = Tap()
    out.value = a + b * c.fx + d * c.fy + e * (c.fx * c.fy)
    out.dx = (b + e * c.fy) * c.inside_x
    out.dy = (d + e * c.fx) * c.inside_y
    return out


@wp.func
def tap(
    atlas: wp.array2d(dtype=wp.vec2),
    view: int,
    levels: wp.array(dtype=int),
    width: int,
    tile: vec12,
    lod: float,
    place: wp.vec2,
) -> Tap:
    """Moments between two levels."""
    level = int(lod)
    f = lod - float(level)
    a = bilinear(atlas, view, levels, width, tile, level, place)
    b = bilinear(atlas, view, levels, width, tile, level + 1, place)
    out = Tap()
    out.dl = b.value - a.value
    out.value = a.value + out.dl * f
    out.dx = a.dx + (b.dx - a.dx) * f
    out.dy = a.dy + (b.dy - a.dy) * f
    return out


@wp.func
def scatter_level(
    g_atlas: wp.array2d(dtype=wp.vec2),
    view: int,
    levels: wp.array(dtype=int),
    width: int,
    tile: vec12,
    level: int,
    place: wp.vec2,
    g: wp.vec2,
):
    """Transpose of `bilinear` in its texels."""
    c = cell(levels, width, tile, level, place)
    right = g * c.fx
    left = g - right
    wp.atomic_add(g_atlas, view, c.i00, left * (1.0 - c.fy))
    wp.atomic_add(g_atlas, view, c.i10, right * (1.0 - c.fy))
    wp.atomic_add(g_atlas, view, c.i01, left * c.fy)
    wp.atomic_add(g_atlas, view, c.i11, right * c.fy)


@wp.func
def scatter(
    g_atlas: wp.array2d(dtype=wp.vec2),
    view: int,
    levels: wp.array(dtype=int),
    width: int,
    tile: vec12,
    lod: float,
    place: wp.vec2,
    g: wp.vec2,
):
    """Transpose of `tap` in its texels."""
    level = int(lod)
    f = lod - float(level)
    scatter_level(g_atlas, view, levels, width, tile, level, place, g * (1.0 - f))
    if f > 0.0:
        scatter_level(g_atlas, view, levels, width, tile, level + 1, place, g * f)
