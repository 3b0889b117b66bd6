"""Cube maps: directions to faces and back, and the texels around a point, across edges too.

Faces are OpenGL's: +x, -x, +y, -y, +z, -z, each with axes (sc, tc, ma) such that
s = (sc / ma + 1) / 2 and t = (tc / ma + 1) / 2; row 0 is t = 0. A lookup is (s, t, face);
face -1 is none. (OpenGL 4.6 specification, table 8.19.)
"""

import warp as wp

wp.set_module_options({"enable_backward": False})

vec6 = wp.types.vector(length=6, dtype=wp.float32)


@wp.func
def to_face(face: wp.int32, v: wp.vec3) -> wp.vec3:
    """(sc, tc, ma) of a vector in the axes of a face; linear in v."""
    sign = wp.where(face % 2 == 0, 1.0, -1.0)
    axis = face // 2
    sc = wp.where(axis == 0, -sign * v[2], wp.where(axis == 1, v[0], sign * v[0]))
    tc = wp.where(axis == 1, sign * v[2], -v[1])
    ma = sign * wp.where(axis == 0, v[0], wp.where(axis == 1, v[1], v[2]))
    return wp.vec3(sc, tc, ma)


@wp.func
def from_face(face: wp.int32, v: wp.vec3) -> wp.vec3:
    """The vector of which `to_face` gives v: its inverse and, as axes are orthonormal, its transpose."""
    sign = wp.where(face % 2 == 0, 1.0, -1.0)
    axis = face // 2
    x = wp.where(axis == 0, sign * v[2], wp.where(axis == 1, v[0], sign * v[0]))
    y = wp.where(axis == 1, sign * v[2], -v[1])
    z = wp.where(axis == 0, -sign * v[0], wp.where(axis == 1, sign * v[1], sign * v[2]))
    return wp.vec3(x, y, z)


@wp.func
def face_of(d: wp.vec3) -> wp.int32:
    """The face a direction meets; on an edge the first of those that share it."""
    x = wp.abs(d[0])
    y = wp.abs(d[1])
    z = wp.abs(d[2])
    on_x = x >= y and x >= z
    on_y = y >= z
    axis = wp.where(on_x, 0, wp.where(on_y, 1, 2))
    along = wp.where(on_x, d[0], wp.where(on_y, d[1], d[2]))
    return 2 * axis + wp.where(along < 0.0, 1, 0)


@wp.func
def has_face(f: wp.vec3) -> wp.bool:
    """Whether (sc, tc, ma) is usable: not NaN, not zero, not infinite."""
    return wp.abs(f[0]) <= f[2] and wp.abs(f[1]) <= f[2] and f[2] > 1.0e-18 and f[2] < 1.0e18


@wp.kernel(enable_backward=False)
def project(
    begin: wp.int32,
    run: wp.int32,
    direction: wp.array(dtype=wp.vec3),
    with_da: wp.int32,
    direction_da: wp.array(dtype=vec6),
    lookup: wp.array(dtype=wp.vec3),
    st_da: wp.array(dtype=wp.vec4),
):
    """Directions and their screen derivatives to (s, t, face) and those of (s, t)."""
    first = (begin + wp.tid()) * run
    for p in range(first, first + run):
        d = direction[p]
        face = face_of(d)
        f = to_face(face, d)
        ok = has_face(f)
        r = wp.where(ok, 0.5 / f[2], 0.0)
        s = wp.where(ok, f[0] * r, 0.0)
        t = wp.where(ok, f[1] * r, 0.0)
        lookup[p] = wp.vec3(s + 0.5, t + 0.5, wp.where(ok, wp.float32(face), -1.0))
        if with_da != 0:
            da = direction_da[p]
            fx = to_face(face, wp.vec3(da[0], da[2], da[4]))
            fy = to_face(face, wp.vec3(da[1], da[3], da[5]))
            # s and t are half of sc / ma and tc / ma, and so is r of 1 / ma.
            st_da[p] = wp.vec4(
                (fx[0] - 2.0 * s * fx[2]) * r,
                (fy[0] - 2.0 * s * fy[2]) * r,
                (fx[1] - 2.0 * t * fx[2]) * r,
                (fy[1] - 2.0 * t * fy[2]) * r,
            )


@wp.kernel(enable_backward=False)
def project_backward(
    begin: wp.int32,
    run: wp.int32,
    direction: wp.array(dtype=wp.vec3),
    with_da: wp.int32,
    direction_da: wp.array(dtype=vec6),
    grad_lookup: wp.array(dtype=wp.vec3),
    grad_st_da: wp.array(dtype=wp.vec4),
    grad_direction: wp.array(dtype=wp.vec3),
    grad_direction_da: wp.array(dtype=vec6),
):
    """Gradients of s, t and their derivatives to the direction and its derivatives."""
    first = (begin + wp.tid()) * run
    for p in range(first, first + run):
        d = direction[p]
        face = face_of(d)
        f = to_face(face, d)
        ok = has_face(f)
        r = wp.where(ok, 1.0 / f[2], 0.0)
        a = wp.where(ok, f[0] * r, 0.0)
        b = wp.where(ok, f[1] * r, 0.0)
        g = grad_lookup[p]
        # Gradients of a = sc / ma, b = tc / ma; and of r = 1 / ma apart from those.
        ga = 0.5 * g[0]
        gb = 0.5 * g[1]
        gr = wp.float32(0.0)
        if with_da != 0:
            da = direction_da[p]
            fx = to_face(face, wp.vec3(da[0], da[2], da[4]))
            fy = to_face(face, wp.vec3(da[1], da[3], da[5]))
            h = grad_st_da[p] * 0.5
            ga -= (h[0] * fx[2] + h[1] * fy[2]) * r
            gb -= (h[2] * fx[2] + h[3] * fy[2]) * r
            gr += h[0] * (fx[0] - a * fx[2]) + h[1] * (fy[0] - a * fy[2])
            gr += h[2] * (fx[1] - b * fx[2]) + h[3] * (fy[1] - b * fy[2])
            to_x = from_face(face, wp.vec3(h[0] * r, h[2] * r, -(h[0] * a + h[2] * b) * r))
            to_y = from_face(face, wp.vec3(h[1] * r, h[3] * r, -(h[1] * a + h[3] * b) * r))
            grad_direction_da[p] = vec6(to_x[0], to_y[0], to_x[1], to_y[1], to_x[2], to_y[2])
        to_f = wp.vec3(ga * r, gb * r, -(ga * a + gb * b + gr * r) * r)
        grad_direction[p] = from_face(face, wp.where(ok, to_f, wp.vec3(0.0)))


@wp.func
def texel_row(face: wp.int32, i: wp.int32, j: wp.int32, size: wp.int32) -> wp.int32:
    """Row of texel (i, j) of a face, counted from the image's first; i or j may be one outside.

    The texel outside lies on the neighbour: the plane of the face is folded over the edge.
    """
    row = (face * size + j) * size + i
    if i < 0 or i >= size or j < 0 or j >= size:
        cell = 2.0 / wp.float32(size)
        sc = (wp.float32(i) + 0.5) * cell - 1.0
        tc = (wp.float32(j) + 0.5) * cell - 1.0
        beyond = wp.max(wp.abs(sc), wp.abs(tc)) - 1.0
        folded = wp.vec3(wp.clamp(sc, -1.0, 1.0), wp.clamp(tc, -1.0, 1.0), 1.0 - beyond)
        v = from_face(face, folded)
        other = face_of(v)
        f = to_face(other, v)
        # Texel centres, so there is half a texel of room for rounding.
        column = wp.clamp(wp.int32((f[0] + 1.0) / cell), 0, size - 1)
        line = wp.clamp(wp.int32((f[1] + 1.0) / cell), 0, size - 1)
        row = (other * size + line) * size + column
    return row


@wp.func
def find_linear(st: wp.vec3, level: wp.vec4i, image: wp.int32, boundary: wp.int32):
    """As for a flat texture; where three faces meet the fourth texel does not exist."""
    size = level[0]
    face = wp.int32(st[2])
    x = st[0] * wp.float32(size) - 0.5
    y = st[1] * wp.float32(size) - 0.5
    left = wp.floor(x)
    low = wp.floor(y)
    i = wp.int32(left)
    j = wp.int32(low)
    base = level[2] + image * 6 * size * size
    row = base + (face * size + j) * size + i
    rows = wp.vec4i(row, row + 1, row + size, row + size + 1)
    weights = wp.vec4(1.0)
    if i < 0 or j < 0 or i + 1 >= size or j + 1 >= size:
        a0 = i < 0
        a1 = i + 1 >= size
        b0 = j < 0
        b1 = j + 1 >= size
        # What does not exist points to a texel that does, with weight 0.
        rows = wp.vec4i(
            base + texel_row(face, wp.where(a0 and b0, 0, i), j, size),
            base + texel_row(face, wp.where(a1 and b0, i, i + 1), j, size),
            base + texel_row(face, wp.where(a0 and b1, 0, i), j + 1, size),
            base + texel_row(face, wp.where(a1 and b1, i, i + 1), j + 1, size),
        )
        weights = wp.vec4(
            wp.where(a0 and b0, 0.0, 1.0),
            wp.where(a1 and b0, 0.0, 1.0),
            wp.where(a0 and b1, 0.0, 1.0),
            wp.where(a1 and b1, 0.0, 1.0),
        )
    return rows, weights, x - left, y - low


@wp.func
def find_nearest(st: wp.vec3, level: wp.vec4i, image: wp.int32, boundary: wp.int32):
    """Row of the texel, which always counts."""
    size = level[0]
    i = wp.clamp(wp.int32(st[0] * wp.float32(size)), 0, size - 1)
    j = wp.clamp(wp.int32(st[1] * wp.float32(size)), 0, size - 1)
    row = ((image * 6 + wp.int32(st[2])) * size + j) * size + i
    return level[2] + row, wp.float32(1.0)


@wp.func
def is_lookup(st: wp.vec3) -> wp.bool:
    """Whether the direction met a face."""
    return st[2] >= 0.0


@wp.func
def missing_share() -> wp.float32:
    """The texel missing at a corner is the mean of the other three."""
    return wp.float32(1.0 / 3.0)
