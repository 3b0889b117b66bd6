"""What the visibility kernels are made of: keys, projection, the span of a triangle in a row.

Each row of a triangle is the span between two edges. An edge's x on a row is computed from its
end points in one canonical order (lower y first), so the two triangles that share it get the
very same number and every pixel belongs to exactly one of them. A pixel on an edge belongs to
the triangle on its right, or above. Triangles with a vertex at or behind the camera plane take
a second path with homogeneous edge functions (Olano and Greer 1997, "Triangle Scan Conversion
using 2D Homogeneous Coordinates"), where each edge with both ends in front still uses the
canonical formula.
"""

import warp as wp

wp.set_module_options({"enable_backward": False})

EMPTY_KEY = 0x7FFFFFFFFFFFFFFF
"""Key of a pixel that nothing covers; larger than any depth."""

# Pixels beyond which a projected vertex is treated as unbounded (float32 has no sub-pixel
# precision left there) and the triangle takes the homogeneous path.
FAR_PIXEL = 1.0e6


@wp.func
def depth_bits(z: wp.float32) -> wp.int32:
    """A whole number that sorts as z does: the upper half of a key."""
    bits = wp.cast(z + 0.0, wp.int32)  # + 0.0: minus zero sorts as zero
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)  # larger magnitude of a negative number is smaller


@wp.func
def depth_key(z: wp.float32, triangle: wp.int32) -> wp.int64:
    """Depth and id in one number that sorts by depth, then by id: the least is the nearest."""
    return (wp.int64(depth_bits(z)) << wp.int64(32)) | wp.int64(triangle)


@wp.func
def key_depth(key: wp.int64) -> wp.float32:
    """The depth that a key was made of."""
    bits = wp.int32(key >> wp.int64(32))
    return wp.cast(bits ^ ((bits >> 31) & 0x7FFFFFFF), wp.float32)


# Warp's min and max look after NaN, which takes four instructions instead of one. Where NaN
# cannot come or does no harm, these do.
@wp.func
def least(a: wp.float32, b: wp.float32) -> wp.float32:
    return wp.where(a < b, a, b)


@wp.func
def most(a: wp.float32, b: wp.float32) -> wp.float32:
    return wp.where(a > b, a, b)


@wp.func
def first_pixel(x: wp.float64, limit: wp.int32) -> wp.int32:
    """Smallest pixel centre at or right of x, within 0..limit."""
    high = wp.float64(limit)
    inside = wp.where(x < high, x, high)
    inside = wp.where(inside > wp.float64(0.0), inside, wp.float64(0.0))
    return wp.int32(wp.ceil(inside))


@wp.func
def xy(p: wp.vec4) -> wp.vec2:
    return wp.vec2(p[0], p[1])


@wp.func
def edge_slope(a: wp.vec2, b: wp.vec2) -> wp.float64:
    """dx/dy from a up to b; 0 for a horizontal edge, which is never asked."""
    rise = wp.float64(b[1]) - wp.float64(a[1])
    slope = (wp.float64(b[0]) - wp.float64(a[0])) / rise
    return wp.where(rise > wp.float64(0.0), slope, wp.float64(0.0))


@wp.func
def doubled_area(a: wp.vec4, b: wp.vec4, c: wp.vec4) -> wp.float64:
    """On screen; positive for a triangle that shows its front. Exact up to its last product."""
    abx = wp.float64(b[0]) - wp.float64(a[0])
    aby = wp.float64(b[1]) - wp.float64(a[1])
    acx = wp.float64(c[0]) - wp.float64(a[0])
    acy = wp.float64(c[1]) - wp.float64(a[1])
    return abx * acy - aby * acx


# A loop of C++ over plain memory, which runs in vectors. Comparisons are false for NaN, so NaN and
# infinity end up as "not possible".
@wp.func_native(
    """
    const float* p = (const float*)pos.data;
    float* out = (float*)screen.data;
    #pragma clang loop vectorize(enable)
    for (int i = begin; i < end; ++i) {
        const float w = p[4 * (size_t)i + 3];
        const float r = 1.0f / w;
        const float x = (p[4 * (size_t)i] * r + 1.0f) * half_width - 0.5f;
        const float y = (p[4 * (size_t)i + 1] * r + 1.0f) * half_height - 0.5f;
        const float z = p[4 * (size_t)i + 2] * r;
        const bool possible = (w > 0.0f) & (fabsf(x) < FAR) & (fabsf(y) < FAR) & (fabsf(z) < 1.0e30f);
        out[4 * (size_t)i] = possible ? x : 0.0f;
        out[4 * (size_t)i + 1] = possible ? y : 0.0f;
        out[4 * (size_t)i + 2] = possible ? z : 0.0f;
        out[4 * (size_t)i + 3] = possible ? 1.0f : 0.0f;
    }
    """.replace("FAR", f"{FAR_PIXEL:.1f}f")
)
def project_all(
    begin: wp.int32,
    end: wp.int32,
    pos: wp.array2d(dtype=wp.vec4),
    half_width: wp.float32,
    half_height: wp.float32,
    screen: wp.array2d(dtype=wp.vec4),
): ...


@wp.kernel(enable_backward=False)
def project(
    begin: wp.int32,
    end: wp.int32,
    chunk: wp.int32,
    pos: wp.array2d(dtype=wp.vec4),
    half_width: wp.float32,
    half_height: wp.float32,
    screen: wp.array2d(dtype=wp.vec4),
):
    """Clip space to pixels: (x, y, z/w, 1), pixel centres at integers; last 0 if not possible.

    For the vertices [begin, end), `chunk` by a thread.
    """
    first = begin + wp.tid() * chunk
    project_all(first, wp.min(first + chunk, end), pos, half_width, half_height, screen)


@wp.func
def depth_slopes(a: wp.vec4, b: wp.vec4, c: wp.vec4, area: wp.float64) -> wp.vec2:
    """dz/dx and dz/dy of the triangle's plane on screen."""
    abx = wp.float64(b[0]) - wp.float64(a[0])
    aby = wp.float64(b[1]) - wp.float64(a[1])
    acx = wp.float64(c[0]) - wp.float64(a[0])
    acy = wp.float64(c[1]) - wp.float64(a[1])
    abz = wp.float64(b[2]) - wp.float64(a[2])
    acz = wp.float64(c[2]) - wp.float64(a[2])
    r = wp.float64(1.0) / area
    return wp.vec2(wp.float32((abz * acy - acz * aby) * r), wp.float32((acz * abx - abz * acx) * r))


@wp.func
def clip_to_span(
    span: wp.vec2i,
    p: wp.vec4,
    q: wp.vec4,
    p_screen: wp.vec4,
    q_screen: wp.vec4,
    front: wp.bool,
    row: wp.float64,
    width: wp.int32,
    height: wp.int32,
):
    """What the half plane left of p -> q (right, for a back face) leaves of a row's span."""
    side = wp.float64(0.0)  # > 0: the inside is left of x
    x = wp.float64(0.0)
    inside = wp.bool(True)  # of a horizontal edge
    if p_screen[3] > 0.0 and q_screen[3] > 0.0:
        side = wp.float64(q_screen[1]) - wp.float64(p_screen[1])
        if side > wp.float64(0.0):
            slope = edge_slope(xy(p_screen), xy(q_screen))
            x = wp.float64(p_screen[0]) + (row - wp.float64(p_screen[1])) * slope
        elif side < wp.float64(0.0):
            slope = edge_slope(xy(q_screen), xy(p_screen))
            x = wp.float64(q_screen[0]) + (row - wp.float64(q_screen[1])) * slope
        elif (q_screen[0] > p_screen[0]) == front:
            inside = row >= wp.float64(p_screen[1])
        else:
            inside = row < wp.float64(p_screen[1])
    else:
        fy = (wp.float64(2.0) * row + wp.float64(1.0)) / wp.float64(height) - wp.float64(1.0)
        px = wp.float64(p[0])
        py = wp.float64(p[1])
        pw = wp.float64(p[3])
        qx = wp.float64(q[0])
        qy = wp.float64(q[1])
        qw = wp.float64(q[3])
        # Inside where lx X + ly Y + lw > 0 for a front face.
        lx = py * qw - pw * qy
        rest = (pw * qx - px * qw) * fy + (px * qy - py * qx)
        side = -lx
        if lx != wp.float64(0.0):
            x = (-rest / lx + wp.float64(1.0)) * wp.float64(0.5) * wp.float64(width) - wp.float64(0.5)
        elif front:
            inside = rest >= wp.float64(0.0)
        else:
            inside = rest < wp.float64(0.0)
    if not front:
        side = -side
    out = span
    if side > wp.float64(0.0):
        out = wp.vec2i(span[0], wp.min(span[1], first_pixel(x, width)))
    elif side < wp.float64(0.0):
        out = wp.vec2i(wp.max(span[0], first_pixel(x, width)), span[1])
    elif not inside:
        out = wp.vec2i(0, 0)
    return out


@wp.func
def edge_value(a: wp.vec4, b: wp.vec4, fx: wp.float64, fy: wp.float64) -> wp.float64:
    """Homogeneous edge function of a -> b at a pixel in NDC."""
    ax = wp.float64(a[0]) - fx * wp.float64(a[3])
    ay = wp.float64(a[1]) - fy * wp.float64(a[3])
    bx = wp.float64(b[0]) - fx * wp.float64(b[3])
    by = wp.float64(b[1]) - fy * wp.float64(b[3])
    return ax * by - ay * bx


@wp.func
def determinant(a: wp.vec4, b: wp.vec4, c: wp.vec4) -> wp.float64:
    """det of the (x, y, w) rows: positive for a triangle that shows its front."""
    ax = wp.float64(a[0])
    ay = wp.float64(a[1])
    aw = wp.float64(a[3])
    bx = wp.float64(b[0])
    by = wp.float64(b[1])
    bw = wp.float64(b[3])
    cx = wp.float64(c[0])
    cy = wp.float64(c[1])
    cw = wp.float64(c[3])
    return ax * (by * cw - bw * cy) - ay * (bx * cw - bw * cx) + aw * (bx * cy - by * cx)


@wp.func
def is_bounded(p: wp.vec4) -> wp.bool:
    """False for NaN and infinity."""
    return wp.abs(p[0]) < 1.0e30 and wp.abs(p[1]) < 1.0e30 and wp.abs(p[2]) < 1.0e30 and wp.abs(p[3]) < 1.0e30
