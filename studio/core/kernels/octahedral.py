"""Octahedral maps: the sphere folded into one square without seams, as Warp functions.

Texel (column i, row j) of a map of E x E texels has its centre at ((i + .5) / E, (j + .5) / E).
The upper half (+Y) is the diamond in the middle, the lower half the four corners; x goes along
the columns, z along the rows, as in studio/core/scene/environment.py. The same functions stand in
studio/shaders/common/environment.glsl.

Praun and Hoppe 2003, "Spherical Parametrization and Remeshing"; Cigolle et al. 2014, "A Survey of
Efficient Representations for Independent Unit Vectors".
"""

from __future__ import annotations

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.struct
class Taps:
    """Four texels of one level and where between them a lookup lies."""

    a: int
    b: int
    c: int
    d: int
    x: float
    y: float


@wp.func
def side(value: float) -> float:
    """1 or -1, 1 at zero."""
    if value < 0.0:
        return -1.0
    return 1.0


@wp.func
def octahedral(d: wp.vec3) -> wp.vec2:
    """Place of direction d in the square, 0..1; the length of d does not matter."""
    s = 1.0 / wp.max(wp.abs(d[0]) + wp.abs(d[1]) + wp.abs(d[2]), 1.0e-20)
    a = d[0] * s
    b = d[2] * s
    if d[1] < 0.0:
        return wp.vec2(0.5 + 0.5 * (1.0 - wp.abs(b)) * side(a), 0.5 + 0.5 * (1.0 - wp.abs(a)) * side(b))
    return wp.vec2(0.5 + 0.5 * a, 0.5 + 0.5 * b)


@wp.func
def octahedral_adjoint(d: wp.vec3, g: wp.vec2) -> wp.vec3:
    """Gradient of direction d for gradient g of its place."""
    s = 1.0 / wp.max(wp.abs(d[0]) + wp.abs(d[1]) + wp.abs(d[2]), 1.0e-20)
    a = d[0] * s
    b = d[2] * s
    ga = 0.5 * g[0]
    gb = 0.5 * g[1]
    if d[1] < 0.0:
        swapped = -gb * side(a) * side(b)
        gb = -ga * side(a) * side(b)
        ga = swapped
    along = ga * a + gb * b
    return s * wp.vec3(ga - along * side(d[0]), -along * side(d[1]), gb - along * side(d[2]))


@wp.func
def folded(column: int, row: int, size: int) -> int:
    """Number of the texel at (column, row), at most one beyond the border: there the map goes on
    at the other end of the same side, mirrored."""
    i = column
    j = row
    if i < 0 or i >= size:
        i = wp.clamp(i, 0, size - 1)
        j = size - 1 - j
    if j < 0 or j >= size:
        j = wp.clamp(j, 0, size - 1)
        i = size - 1 - i
    return j * size + i


@wp.func
def taps(place: wp.vec2, size: int, base: int) -> Taps:
    """The four texels around a place of a level that begins at texel `base`."""
    x = place[0] * float(size) - 0.5
    y = place[1] * float(size) - 0.5
    left = wp.floor(x)
    low = wp.floor(y)
    i = int(left)
    j = int(low)
    t = Taps()
    t.x = x - left
    t.y = y - low
    if i >= 0 and j >= 0 and i + 1 < size and j + 1 < size:
        t.a = base + j * size + i
        t.b = t.a + 1
        t.c = t.a + size
        t.d = t.c + 1
    else:
        t.a = base + folded(i, j, size)
        t.b = base + folded(i + 1, j, size)
        t.c = base + folded(i, j + 1, size)
        t.d = base + folded(i + 1, j + 1, size)
    return t


@wp.func
def blended(texels: wp.array(dtype=wp.vec3), t: Taps) -> wp.vec3:
    low = texels[t.a] * (1.0 - t.x) + texels[t.b] * t.x
    high = texels[t.c] * (1.0 - t.x) + texels[t.d] * t.x
    return low * (1.0 - t.y) + high * t.y


@wp.func
def blend_slopes(texels: wp.array(dtype=wp.vec3), t: Taps, g: wp.vec3) -> wp.vec2:
    """d(g . blended) along columns and rows, per texel."""
    va = wp.dot(g, texels[t.a])
    vb = wp.dot(g, texels[t.b])
    vc = wp.dot(g, texels[t.c])
    vd = wp.dot(g, texels[t.d])
    return wp.vec2(
        (vb - va) * (1.0 - t.y) + (vd - vc) * t.y,
        (vc - va) * (1.0 - t.x) + (vd - vb) * t.x,
    )


@wp.func
def blend_scatter(g_texels: wp.array(dtype=wp.vec3), t: Taps, g: wp.vec3):
    """Add gradient g of a lookup to its four texels."""
    low = g * (1.0 - t.y)
    high = g * t.y
    wp.atomic_add(g_texels, t.a, low * (1.0 - t.x))
    wp.atomic_add(g_texels, t.b, low * t.x)
    wp.atomic_add(g_texels, t.c, high * (1.0 - t.x))
    wp.atomic_add(g_texels, t.d, high * t.x)
