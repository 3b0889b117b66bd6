"""Where a lookup falls in a cube map: the texels around it, across edges of faces too, as C++.

Faces are OpenGL's: +x, -x, +y, -y, +z, -z, each with axes (sc, tc, ma) such that
s = (sc / ma + 1) / 2 and t = (tc / ma + 1) / 2; row 0 is t = 0 (OpenGL 4.6, table 8.19). A lookup
is (s, t, face), face -1 for none. The code is part of the functions in `texture_loops`.
"""

Vector = tuple[int, int, int]

AXES: tuple[tuple[Vector, Vector, Vector], ...] = (
    ((0, 0, -1), (0, -1, 0), (1, 0, 0)),
    ((0, 0, 1), (0, -1, 0), (-1, 0, 0)),
    ((1, 0, 0), (0, 0, 1), (0, 1, 0)),
    ((1, 0, 0), (0, 0, -1), (0, -1, 0)),
    ((1, 0, 0), (0, -1, 0), (0, 0, 1)),
    ((-1, 0, 0), (0, -1, 0), (0, 0, -1)),
)
"""sc, tc and ma of each face in x, y, z."""

LENGTH = 3
"""Numbers in a lookup: s, t and the face."""


def _dot(a: Vector, b: Vector) -> int:
    return sum(p * q for p, q in zip(a, b))


def _neighbour(face: int, side: int) -> tuple[int, ...]:
    """Beyond a side of a face (low s, high s, low t, high t): face and place of texel k along it.

    The place is (column, row) = (a (n - 1) + b k, c (n - 1) + d k) for n texels a side.
    """
    sc, tc, ma = AXES[face]
    across, along = (sc, tc) if side < 2 else (tc, sc)
    outward = across if side % 2 else tuple(-v for v in across)
    other = next(f for f in range(6) if AXES[f][2] == outward)
    out = [other]
    for axis in AXES[other][:2]:
        # The edge is where this face's normal points; elsewhere k runs along, or against, the axis.
        near, with_k = _dot(axis, ma), _dot(axis, along)
        out += [int(near > 0 or with_k < 0), with_k]
    return tuple(out)


def c_array(kind: str, name: str, values: list) -> str:
    """A constant array as C++."""
    return f"const {kind} {name}[{len(values)}] = {{{', '.join(str(v) for v in values)}}};\n"


_NEIGHBOURS = [v for face in range(6) for side in range(4) for v in _neighbour(face, side)]

FIND = (
    c_array("int", "NEIGHBOURS", _NEIGHBOURS)
    + """
    const int BORDER = 4;
    auto texel_row = [&](int face, int i, int j, int size) {
        const int last = size - 1;
        int side = -1, k = 0;
        if (i < 0 || i > last) {
            side = i < 0 ? 0 : 1;
            k = j;
        } else if (j < 0 || j > last) {
            side = j < 0 ? 2 : 3;
            k = i;
        }
        if (side >= 0) {
            const int* to = NEIGHBOURS + 5 * (4 * face + side);
            face = to[0];
            i = to[1] * last + to[2] * k;
            j = to[3] * last + to[4] * k;
        }
        return (face * size + j) * size + i;
    };
    auto find = [&](const float* at, const Levels& in, int count, Taps& t) {
        for (int n = 0; n < count; ++n) {
            const int size = in.width[n];
            const float ok = at[3 * n + 2] >= 0.0f ? 1.0f : 0.0f;
            const int face = (int)(at[3 * n + 2] * ok);
            const float x = at[3 * n] * (float)size - 0.5f;
            const float y = at[3 * n + 1] * (float)size - 0.5f;
            const float left = wp::floor(x), low = wp::floor(y);
            const float fx = x - left, fy = y - low;
            const int i = (int)left, j = (int)low;
            const int row = in.base[n] + ((image * 6 + face) * size + j) * size + i;
            t.row[0][n] = row;
            t.row[1][n] = row + 1;
            t.row[2][n] = row + size;
            t.row[3][n] = row + size + 1;
            t.x[0][n] = (1.0f - fx) * ok;
            t.x[1][n] = fx * ok;
            t.y[0][n] = 1.0f - fy;
            t.y[1][n] = fy;
            t.dx[0][n] = -ok;
            t.dx[1][n] = ok;
            t.dy[0][n] = -1.0f;
            t.dy[1][n] = 1.0f;
            const int outside = (i < 0) | (j < 0) | (i + 1 >= size) | (j + 1 >= size);
            t.missing[n] = outside ? BORDER : -1;
        }
        for (int n = 0; n < count; ++n) {
            if (t.missing[n] != BORDER) continue;
            t.missing[n] = -1;
            const int size = in.width[n], face = at[3 * n + 2] >= 0.0f ? (int)at[3 * n + 2] : 0;
            const int i = (int)wp::floor(at[3 * n] * (float)size - 0.5f);
            const int j = (int)wp::floor(at[3 * n + 1] * (float)size - 0.5f);
            for (int m = 0; m < 4; ++m) {
                int a = i + (m & 1), b = j + (m >> 1);
                // Where three faces meet there is no fourth texel; any other stands for it.
                if ((a < 0 || a >= size) && (b < 0 || b >= size)) {
                    t.missing[n] = m;
                    a = a < 0 ? 0 : size - 1;
                }
                t.row[m][n] = in.base[n] + image * 6 * size * size + texel_row(face, a, b, size);
            }
        }
    };
    auto missing = [](const Taps& t, int n) { return t.missing[n]; };
    auto nearest = [=](const float* at, float& weight) {
        const int size = table[0];
        const int i = wp::clamp((int)(at[0] * (float)size), 0, size - 1);
        const int j = wp::clamp((int)(at[1] * (float)size), 0, size - 1);
        weight = at[2] >= 0.0f ? 1.0f : 0.0f;
        return ((image * 6 + (int)(at[2] * weight)) * size + j) * size + i;
    };
"""
)
