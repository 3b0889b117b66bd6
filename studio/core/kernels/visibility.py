"""Visibility kernels: the nearest triangle per pixel, by spans of rows.

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

EMPTY = wp.constant(wp.int64(EMPTY_KEY))

# Pixels beyond which a projected vertex is treated as unbounded (float32 has no sub-pixel
# precision left there) and the triangle takes the homogeneous path.
FAR_PIXEL = wp.constant(1.0e6)


@wp.func
def depth_key(z: wp.float32, triangle: wp.int32) -> wp.int64:
    """Depth and id in one number that sorts by depth, then by id: atomic_min keeps the nearest."""
    bits = wp.cast(z + 0.0, wp.int32)  # + 0.0: minus zero sorts as zero
    if bits < 0:
        bits = bits ^ 0x7FFFFFFF  # larger magnitude of a negative number is smaller
    return (wp.int64(bits) << wp.int64(32)) | wp.int64(triangle)


@wp.func
def key_triangle(key: wp.int64) -> wp.int32:
    """Triangle of a key, -1 where empty."""
    triangle = wp.int32(-1)
    if key != EMPTY:
        triangle = wp.int32(key & wp.int64(0xFFFFFFFF))
    return triangle


@wp.func
def key_depth(key: wp.int64) -> wp.float32:
    """z/w of a key; 0 where empty is not asked."""
    bits = wp.int32(key >> wp.int64(32))
    if bits < 0:
        bits = bits ^ 0x7FFFFFFF
    return wp.cast(bits, wp.float32)


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
def edge_slope(a: wp.vec4, b: wp.vec4) -> wp.float64:
    """dx/dy from a up to b; 0 for a horizontal edge, which is never asked."""
    rise = wp.float64(b[1]) - wp.float64(a[1])
    slope = wp.float64(0.0)
    if rise > wp.float64(0.0):
        slope = (wp.float64(b[0]) - wp.float64(a[0])) / rise
    return slope


@wp.func
def doubled_area(a: wp.vec4, b: wp.vec4, c: wp.vec4) -> wp.float64:
    """On screen; positive for a triangle that shows its front. Exact up to its last product."""
    abx = wp.float64(b[0]) - wp.float64(a[0])
    aby = wp.float64(b[1]) - wp.float64(a[1])
    acx = wp.float64(c[0]) - wp.float64(a[0])
    acy = wp.float64(c[1]) - wp.float64(a[1])
    return abx * acy - aby * acx


@wp.kernel(enable_backward=False)
def project(
    begin: wp.int32,
    pos: wp.array(dtype=wp.vec4),
    half_width: wp.float32,
    half_height: wp.float32,
    screen: wp.array(dtype=wp.vec4),
):
    """Clip space to pixels: (x, y, z/w, 1), pixel centres at integers; last 0 if not possible."""
    i = begin + wp.tid()
    p = pos[i]
    out = wp.vec4(0.0, 0.0, 0.0, 0.0)
    if p[3] > 0.0:
        r = 1.0 / p[3]
        x = (p[0] * r + 1.0) * half_width - 0.5
        y = (p[1] * r + 1.0) * half_height - 0.5
        z = p[2] * r
        # Comparisons are false for NaN, so NaN and infinity end up as "not possible".
        if wp.abs(x) < FAR_PIXEL and wp.abs(y) < FAR_PIXEL and wp.abs(z) < 1.0e30:
            out = wp.vec4(x, y, z, 1.0)
    screen[i] = out


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
def fill_row(
    keys: wp.array(dtype=wp.int64),
    base: wp.int32,
    x_begin: wp.int32,
    x_end: wp.int32,
    x_start: wp.float32,
    z_start: wp.float32,
    z_slope: wp.float32,
    z_low: wp.float32,
    z_high: wp.float32,
    triangle: wp.int32,
):
    """Offer a triangle to the pixels [x_begin, x_end) of a row; z_start is at x_start."""
    for x in range(x_begin, x_end):
        # Clamped: the plane of a triangle seen edge-on is steep enough to leave its vertices.
        z = z_start + z_slope * (wp.float32(x) - x_start)
        z = most(least(z, z_high), z_low)
        if z >= -1.0 and z <= 1.0:
            key = depth_key(z, triangle)
            if key < keys[base + x]:
                wp.atomic_min(keys, base + x, key)


@wp.func
def fill_rows(
    keys: wp.array(dtype=wp.int64),
    low: wp.vec4,
    mid: wp.vec4,
    high: wp.vec4,
    right: wp.bool,
    corner: wp.vec4,
    slopes: wp.vec2,
    z_low: wp.float32,
    z_high: wp.float32,
    rows: wp.vec2i,
    row_base: wp.int32,
    width: wp.int32,
    triangle: wp.int32,
):
    """Rows of a triangle sorted by y; `right`: the middle vertex is right of the long edge.

    `slopes` are dz/dx and dz/dy, measured from `corner`.
    """
    y = rows[0]
    y_mid = wp.int32(wp.ceil(mid[1]))
    long_x = wp.float64(low[0])
    long_y = wp.float64(low[1])
    long_slope = edge_slope(low, high)
    short_x = long_x
    short_y = long_y
    short_slope = edge_slope(low, mid)
    above = wp.bool(False)
    while y < rows[1]:
        if y >= y_mid and not above:
            above = True
            short_x = wp.float64(mid[0])
            short_y = wp.float64(mid[1])
            short_slope = edge_slope(mid, high)
        row = wp.float64(y)
        one = first_pixel(long_x + (row - long_y) * long_slope, width)
        two = first_pixel(short_x + (row - short_y) * short_slope, width)
        z_row = corner[2] + slopes[1] * (wp.float32(y) - corner[1])
        base = row_base + y * width
        x_begin = wp.where(right, one, two)
        x_end = wp.where(right, two, one)
        fill_row(keys, base, x_begin, x_end, corner[0], z_row, slopes[0], z_low, z_high, triangle)
        y += 1


@wp.func
def cover_projected(
    keys: wp.array(dtype=wp.int64),
    a: wp.vec4,
    b: wp.vec4,
    c: wp.vec4,
    row_base: wp.int32,
    width: wp.int32,
    row_begin: wp.int32,
    row_end: wp.int32,
    cull: wp.int32,
    triangle: wp.int32,
):
    """A triangle whose three vertices project."""
    area = doubled_area(a, b, c)
    if area == wp.float64(0.0) or (cull != 0 and area < wp.float64(0.0)):
        return
    # Sort by y. Each swap mirrors the triangle, so it flips the side of the middle vertex.
    low = a
    mid = b
    high = c
    right = area > wp.float64(0.0)
    if mid[1] < low[1]:
        low = b
        mid = a
        right = not right
    if high[1] < mid[1]:
        high = mid
        mid = c
        right = not right
        if mid[1] < low[1]:
            mid = low
            low = c
            right = not right
    y = wp.int32(wp.ceil(low[1]))
    y_end = wp.min(wp.int32(wp.ceil(high[1])), row_end)
    y = wp.max(y, row_begin)
    if y >= y_end:
        return
    x_low = least(a[0], least(b[0], c[0]))
    x_high = most(a[0], most(b[0], c[0]))
    if x_high < 0.0 or x_low > wp.float32(width - 1) or wp.ceil(x_low) >= wp.ceil(x_high):
        return
    z_low = least(a[2], least(b[2], c[2]))
    z_high = most(a[2], most(b[2], c[2]))
    if z_high < -1.0 or z_low > 1.0:
        return

    fill_rows(
        keys,
        low,
        mid,
        high,
        right,
        a,
        depth_slopes(a, b, c, area),
        z_low,
        z_high,
        wp.vec2i(y, y_end),
        row_base,
        width,
        triangle,
    )


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
            x = wp.float64(p_screen[0]) + (row - wp.float64(p_screen[1])) * edge_slope(p_screen, q_screen)
        elif side < wp.float64(0.0):
            x = wp.float64(q_screen[0]) + (row - wp.float64(q_screen[1])) * edge_slope(q_screen, p_screen)
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


@wp.func
def cover_homogeneous(
    keys: wp.array(dtype=wp.int64),
    a: wp.vec4,
    b: wp.vec4,
    c: wp.vec4,
    a_screen: wp.vec4,
    b_screen: wp.vec4,
    c_screen: wp.vec4,
    row_base: wp.int32,
    width: wp.int32,
    height: wp.int32,
    row_begin: wp.int32,
    row_end: wp.int32,
    cull: wp.int32,
    triangle: wp.int32,
):
    """A triangle that crosses the camera plane, or is too large to project."""
    if not (is_bounded(a) and is_bounded(b) and is_bounded(c)):
        return
    if a[3] <= 0.0 and b[3] <= 0.0 and c[3] <= 0.0:
        return
    det = determinant(a, b, c)
    if det == wp.float64(0.0) or (cull != 0 and det < wp.float64(0.0)):
        return
    front = det > wp.float64(0.0)
    for y in range(row_begin, row_end):
        row = wp.float64(y)
        span = wp.vec2i(0, width)
        span = clip_to_span(span, a, b, a_screen, b_screen, front, row, width, height)
        span = clip_to_span(span, b, c, b_screen, c_screen, front, row, width, height)
        span = clip_to_span(span, c, a, c_screen, a_screen, front, row, width, height)
        fy = (wp.float64(2.0) * row + wp.float64(1.0)) / wp.float64(height) - wp.float64(1.0)
        for x in range(span[0], span[1]):
            fx = (wp.float64(2.0) * wp.float64(x) + wp.float64(1.0)) / wp.float64(width) - wp.float64(1.0)
            ea = edge_value(b, c, fx, fy)
            eb = edge_value(c, a, fx, fy)
            ec = edge_value(a, b, fx, fy)
            w = ea * wp.float64(a[3]) + eb * wp.float64(b[3]) + ec * wp.float64(c[3])
            z = wp.float32((ea * wp.float64(a[2]) + eb * wp.float64(b[2]) + ec * wp.float64(c[2])) / w)
            if z >= -1.0 and z <= 1.0:
                wp.atomic_min(keys, row_base + y * width + x, depth_key(z, triangle))


@wp.kernel(enable_backward=False)
def cover(
    first_image: wp.int32,
    row_begin: wp.int32,
    row_end: wp.int32,
    chunk: wp.int32,
    pos: wp.array2d(dtype=wp.vec4),
    screen: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    ranges: wp.array2d(dtype=wp.int32),
    width: wp.int32,
    height: wp.int32,
    cull: wp.int32,
    keys: wp.array(dtype=wp.int64),
):
    """Nearest triangle per pixel, rows [row_begin, row_end) of all images laid end to end.

    `ranges` has each image's first triangle and their number.
    """
    image, part = wp.tid()
    n = first_image + image
    m = wp.min(n, pos.shape[0] - 1)  # one set of positions may serve all images
    begin = wp.max(row_begin - n * height, 0)
    end = wp.min(row_end - n * height, height)
    count = pos.shape[1]
    base = n * height * width
    first = ranges[n, 0]
    for triangle in range(first + part * chunk, first + wp.min((part + 1) * chunk, ranges[n, 1])):
        t = tri[triangle]
        # An index out of range is the caller's mistake, but must not read foreign memory.
        if t[0] >= 0 and t[1] >= 0 and t[2] >= 0 and t[0] < count and t[1] < count and t[2] < count:
            a = screen[m, t[0]]
            b = screen[m, t[1]]
            c = screen[m, t[2]]
            if a[3] > 0.0 and b[3] > 0.0 and c[3] > 0.0:
                cover_projected(keys, a, b, c, base, width, begin, end, cull, triangle)
            else:
                pa = pos[m, t[0]]
                pb = pos[m, t[1]]
                pc = pos[m, t[2]]
                cover_homogeneous(keys, pa, pb, pc, a, b, c, base, width, height, begin, end, cull, triangle)
