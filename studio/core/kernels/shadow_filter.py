"""Share of a light that a receiver sees, from an atlas of antialiased depth moments.

Three filters over one test. The test is Chebyshev's bound on the share of a texel that is no
nearer to the light than the receiver; for two depths it is that share exactly (Donnelly and
Lauritzen 2006). The receiver's depth is carried along its tangent plane to each tap. The adjoint
is in shadow_filter_adjoint.py.
"""

from __future__ import annotations

import warp as wp

from studio.core.kernels.shadow_map import (
    LENGTH,
    NEAREST,
    PERSPECTIVE,
    PLANE,
    REACH,
    SIDE,
    TANGENT,
    TEXEL,
    tap,
    vec12,
)

HARD_VARIANCE = wp.constant(1.0e-6)
"""Least variance of a texel: depth differences below a thousandth of the range are no shadow."""
SOFT_VARIANCE = wp.constant(2.0e-5)
"""Least variance of a filtered tap, larger as a wide footprint has coarser planes."""
GRAZING = wp.constant(0.1)
"""Cosine below which the receiver's tangent plane is flattened rather than followed."""
NO_BLOCKER = wp.constant(0.005)
"""Weight of "nothing in the way" in the search, so that few blockers give small penumbrae."""
SEARCH_TAPS = wp.constant(4)
FILTER_TAPS = wp.constant(8)
SEARCH_FOOTPRINT = wp.constant(0.7)
FILTER_FOOTPRINT = wp.constant(0.5)
"""Side of a tap's box over the radius of the disc; the taps' places are drawn in by as much as
the boxes add to the spread, so that the whole has the variance of the disc."""
FOOT = wp.constant(0.05)
SPARE = wp.constant(1.3)
"""How much wider than the penumbra the blockers are looked for again."""
MODE_VSSM = wp.constant(2)


@wp.struct
class Place:
    """A receiver in the space of one tile."""

    tile: int
    inside: int
    weight: float  # w of the receiver itself, scales the offset along the normal
    q: wp.vec3  # the receiver, offset
    w: float
    x: float
    y: float
    t: float  # depth, 0..1
    uv: wp.vec2  # texels from the tile's corner
    slope: wp.vec2  # depth per texel along the tangent plane
    n: wp.vec3  # normal against the first three rows of the matrix
    c: float  # cosine-like denominator of the slope


@wp.struct
class Share:
    """Chebyshev's bound and its slopes to variance and to distance behind the mean."""

    value: float
    variance: float
    behind: float


@wp.func
def share(variance: float, behind: float) -> Share:
    out = Share()
    out.value = 1.0
    if behind > 0.0:
        r = 1.0 / (variance + behind * behind)
        out.value = variance * r
        out.variance = behind * behind * r * r
        out.behind = -2.0 * variance * behind * r * r
    return out


@wp.func
def row_dot(m: wp.mat44, row: int, p: wp.vec3) -> float:
    return m[row, 0] * p[0] + m[row, 1] * p[1] + m[row, 2] * p[2]


@wp.func
def choose_tile(matrices: wp.array2d(dtype=wp.mat44), view: int, first: int, faces: int, p: wp.vec3) -> int:
    """The face of a cube whose axis a point is farthest along; `first` if there is one tile."""
    best = first
    if faces > 1:
        most = float(-1.0e30)
        for f in range(faces):
            m = matrices[view, first + f]
            along = row_dot(m, 3, p) + m[3, 3]
            if along > most:
                most = along
                best = first + f
    return best


@wp.func
def place(m: wp.mat44, tile: vec12, p: wp.vec3, normal: wp.vec3, bias: float) -> Place:
    """Project a receiver, moved by `bias` texels along its normal, into a tile."""
    out = Place()
    out.weight = row_dot(m, 3, p) + m[3, 3]
    out.q = p + normal * (bias * tile[TEXEL] * out.weight)
    out.w = row_dot(m, 3, out.q) + m[3, 3]
    out.t = row_dot(m, 2, out.q) + m[2, 3]
    if out.w > 1.0e-6 and out.t > 0.0 and out.t < 1.0:
        out.x = (row_dot(m, 0, out.q) + m[0, 3]) / out.w
        out.y = (row_dot(m, 1, out.q) + m[1, 3]) / out.w
        if wp.abs(out.x) < 1.0 and wp.abs(out.y) < 1.0:
            out.inside = 1
    half = 0.5 * tile[SIDE]
    out.uv = wp.vec2((out.x + 1.0) * half, (out.y + 1.0) * half)
    out.n = wp.vec3(row_dot(m, 0, normal), row_dot(m, 1, normal), row_dot(m, 2, normal))
    out.c = tile[LENGTH] * out.n[2] + tile[TANGENT] * (out.x * out.n[0] + out.y * out.n[1])
    k = -out.w * tile[PLANE] / half * out.c / (out.c * out.c + GRAZING * GRAZING)
    out.slope = wp.vec2(out.n[0] * k, out.n[1] * k)
    return out


@wp.func
def hold(at: float, offset: float, side: float) -> float:
    if at + offset < 0.5:
        return 0.5 - at
    if at + offset > side - 0.5:
        return side - 0.5 - at
    return offset


@wp.func
def held(uv: wp.vec2, offset: wp.vec2, side: float) -> wp.vec2:
    """An offset cut where it would leave the tile."""
    return wp.vec2(hold(uv[0], offset[0], side), hold(uv[1], offset[1], side))


@wp.func
def lod_of(radius: float, footprint: float) -> float:
    s = footprint * radius
    return 0.5 * wp.log2(1.0 + s * s)


@wp.func
def search_radius(tile: vec12, size: float, t: float) -> wp.vec2:
    """Texels in which what can shade the receiver lies; and the slope to t.

    Blockers are looked for down to a quarter of the receiver's distance, or to where the scene
    begins, whichever is farther from the light.
    """
    reach = tile[REACH] * size
    near = tile[NEAREST]
    r = reach * wp.max(t - near, 0.0)
    dt = reach
    if tile[PERSPECTIVE] > 0.0:
        if t < 4.0 * near:
            r = r / (t * near)
            dt = reach / (t * t)
        else:
            r = 3.0 * reach / t
            dt = -r / t
    if r > 0.25 * tile[SIDE]:
        return wp.vec2(0.25 * tile[SIDE], 0.0)
    return wp.vec2(r, dt)


@wp.func
def penumbra(tile: vec12, size: float, t: float, gap: float) -> wp.vec3:
    """Radius in texels of the light's disc seen through a hole `gap` above the receiver.

    Returns:
        The radius, its slope to gap, its slope to t.
    """
    reach = tile[REACH] * size
    r = reach * gap
    dgap = reach
    dt = float(0.0)
    if tile[PERSPECTIVE] > 0.0:
        blocker = wp.max(t - gap, tile[NEAREST])
        r = reach * gap / (t * blocker)
        if blocker > tile[NEAREST]:
            dgap = reach / (blocker * blocker)
            dt = -r * (t + blocker) / (t * blocker)
        else:
            dgap = reach / (t * blocker)
            dt = -r / t
    if r > 0.25 * tile[SIDE]:
        return wp.vec3(0.25 * tile[SIDE], 0.0, 0.0)
    return wp.vec3(r, dgap, dt)


@wp.func
def unbleed(p: float, bleeding: float) -> wp.vec2:
    """Line from (bleeding, 0) to (1, 1) with a rounded foot: value and slope. Cuts light that leaks."""
    s = (p - bleeding) / (1.0 - bleeding)
    if s <= -FOOT:
        return wp.vec2(0.0, 0.0)
    if s >= FOOT:
        return wp.vec2(s, 1.0 / (1.0 - bleeding))
    r = s + FOOT
    return wp.vec2(r * r / (4.0 * FOOT), r / (2.0 * FOOT * (1.0 - bleeding)))


@wp.func
def within(
    tile: vec12, size: float, t: float, behind: float, shift: float, blocked: float, away: float
) -> float:
    """Whether a blocker `away` texels off is inside the receiver's cone to the light: 1 to 0.

    A wall beside the receiver is within the disc of a blocker high above and shades nothing: by its
    own, small gap it is outside the cone. A choice, without a gradient.
    """
    gap = wp.max(behind - shift * blocked, 0.0) / wp.max(blocked, 1.0e-4)
    own = penumbra(tile, size, t, gap)[0] + 1.0
    x = wp.clamp(2.0 * (away / own - 1.0), 0.0, 1.0)
    return 1.0 - x * x * (3.0 - 2.0 * x)


@wp.struct
class Search:
    """Sums over the taps of a look for blockers, and the one before it."""

    radius: float
    behind: float
    blocked: float
    before_radius: float  # 0 where this is the first look
    before_gap: float
    before_weight: float


@wp.func
def look(
    atlas: wp.array2d(dtype=wp.vec2),
    view: int,
    levels: wp.array(dtype=int),
    width: int,
    taps: wp.array(dtype=wp.vec2),
    tile: vec12,
    at: Place,
    radius: float,
) -> Search:
    """How far behind blockers the receiver is, and how much of a disc they take."""
    out = Search()
    out.radius = radius
    lod = lod_of(radius, SEARCH_FOOTPRINT)
    for i in range(SEARCH_TAPS):
        offset = held(at.uv, taps[i] * radius, tile[SIDE])
        m = tap(atlas, view, levels, width, tile, lod, at.uv + offset).value
        shift = wp.dot(at.slope, offset)
        behind = at.t + shift - m[0]
        if behind > 0.0:
            # What is nearer than the tangent plane blocks; how far before the receiver, counts.
            blocked = 1.0 - share(m[1] - m[0] * m[0] + SOFT_VARIANCE, behind).value
            out.behind += behind - shift * blocked
            out.blocked += blocked
    return out


@wp.func
def weight_of(found: Search) -> float:
    return found.blocked + float(SEARCH_TAPS) * NO_BLOCKER


@wp.func
def gap_of(found: Search) -> float:
    """Mean depth between blockers and receiver."""
    return wp.max(found.behind, 0.0) / weight_of(found)


@wp.func
def search(
    atlas: wp.array2d(dtype=wp.vec2),
    view: int,
    levels: wp.array(dtype=int),
    width: int,
    taps: wp.array(dtype=wp.vec2),
    tile: vec12,
    at: Place,
    size: float,
) -> Search:
    """Look over all that can shade the receiver, then again no wider than what was found can."""
    out = look(atlas, view, levels, width, taps, tile, at, search_radius(tile, size, at.t)[0])
    if out.blocked > 0.0:
        gap = gap_of(out)
        radius = SPARE * penumbra(tile, size, at.t, gap)[0] + 1.0
        if radius < out.radius:
            before = out
            out = look(atlas, view, levels, width, taps, tile, at, radius)
            out.before_radius = before.radius
            out.before_gap = gap
            out.before_weight = weight_of(before)
    return out


@wp.func
def soft_visibility(
    atlas: wp.array2d(dtype=wp.vec2),
    view: int,
    levels: wp.array(dtype=int),
    width: int,
    taps: wp.array(dtype=wp.vec2),
    tile: vec12,
    at: Place,
    size: float,
    bleeding: float,
) -> float:
    """Percentage-closer soft shadow by variance: search, penumbra, filter."""
    found = search(atlas, view, levels, width, taps, tile, at, size)
    if found.blocked == 0.0:
        return 1.0
    gap = gap_of(found)
    radius = penumbra(tile, size, at.t, gap)[0]
    lod = lod_of(radius, FILTER_FOOTPRINT)
    total = float(0.0)
    for i in range(FILTER_TAPS):
        offset = held(at.uv, taps[SEARCH_TAPS + i] * radius, tile[SIDE])
        m = tap(atlas, view, levels, width, tile, lod, at.uv + offset).value
        shift = wp.dot(at.slope, offset)
        behind = at.t + shift - m[0]
        p = share(m[1] - m[0] * m[0] + SOFT_VARIANCE, behind)
        w = within(tile, size, at.t, behind, shift, 1.0 - p.value, wp.length(offset))
        total += 1.0 - w * (1.0 - unbleed(p.value, bleeding)[0])
    return total / float(FILTER_TAPS)


@wp.func
def box_weight(step: int, radius: int, f: float) -> wp.vec2:
    """Weight of texel `step` of 2 radius + 2 in a box of 2 radius + 1 texels, and its slope."""
    scale = 1.0 / float(2 * radius + 1)
    if step == 0:
        return wp.vec2((1.0 - f) * scale, -scale)
    if step == 2 * radius + 1:
        return wp.vec2(f * scale, scale)
    return wp.vec2(scale, 0.0)


@wp.struct
class Texel:
    index: int
    offset: wp.vec2


@wp.func
def texel(width: int, tile: vec12, at: Place, col: int, row: int) -> Texel:
    """A texel of the finest level, clamped to the tile, and how far it is from the receiver."""
    side = int(tile[SIDE])
    x = wp.clamp(col, 0, side - 1)
    y = wp.clamp(row, 0, side - 1)
    out = Texel()
    out.index = (int(tile[1]) + y) * width + int(tile[0]) + x
    out.offset = wp.vec2(float(col) + 0.5 - at.uv[0], float(row) + 0.5 - at.uv[1])
    return out


@wp.func
def hard_visibility(
    atlas: wp.array2d(dtype=wp.vec2), view: int, width: int, tile: vec12, at: Place, radius: int
) -> float:
    """Percentage-closer filter: the mean of the texels' own tests, over a box and bilinearly."""
    x = at.uv[0] - 0.5
    y = at.uv[1] - 0.5
    col = int(wp.floor(x))
    row = int(wp.floor(y))
    dark = float(0.0)
    for j in range(2 * radius + 2):
        wy = box_weight(j, radius, y - float(row))[0]
        for i in range(2 * radius + 2):
            one = texel(width, tile, at, col + i - radius, row + j - radius)
            m = atlas[view, one.index]
            behind = at.t + wp.dot(at.slope, one.offset) - m[0]
            p = share(m[1] - m[0] * m[0] + HARD_VARIANCE, behind)
            dark += box_weight(i, radius, x - float(col))[0] * wy * (1.0 - p.value)
    return 1.0 - dark
