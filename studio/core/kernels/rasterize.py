"""Rasterization kernels: projection, visibility by spans, and the resolve pass with its adjoint.

Visibility: each row of a triangle is the span between two edges. An edge's x on a row is
computed from its end points in one canonical order (lower y first), so the two triangles that
share it get the very same number and every pixel belongs to exactly one of them. A pixel on an
edge belongs to the triangle on its right, or above. Triangles with a vertex at or behind the
camera plane take a second path with homogeneous edge functions (Olano and Greer 1997,
"Triangle Scan Conversion using 2D Homogeneous Coordinates"), where each edge with both ends
in front still uses the canonical formula.

Resolve: barycentrics from the same edge functions, relative to the pixel:
q_i = (x_i - X w_i, y_i - Y w_i, w_i), e = q_j x q_k, u = e_0 / (e_0 + e_1 + e_2).
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
    y_mid = wp.int32(wp.ceil(mid[1]))
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

    slopes = depth_slopes(a, b, c, area)
    long_x = wp.float64(low[0])
    long_y = wp.float64(low[1])
    long_slope = edge_slope(low, high)
    short_x = long_x
    short_y = long_y
    short_slope = edge_slope(low, mid)
    above = y >= y_mid
    if above:
        short_x = wp.float64(mid[0])
        short_y = wp.float64(mid[1])
        short_slope = edge_slope(mid, high)
    while y < y_end:
        if y >= y_mid and not above:
            above = True
            short_x = wp.float64(mid[0])
            short_y = wp.float64(mid[1])
            short_slope = edge_slope(mid, high)
        row = wp.float64(y)
        one = first_pixel(long_x + (row - long_y) * long_slope, width)
        two = first_pixel(short_x + (row - short_y) * short_slope, width)
        z_row = a[2] + slopes[1] * (wp.float32(y) - a[1])
        base = row_base + y * width
        x_begin = wp.where(right, one, two)
        x_end = wp.where(right, two, one)
        fill_row(keys, base, x_begin, x_end, a[0], z_row, slopes[0], z_low, z_high, triangle)
        y += 1


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
    width: wp.int32,
    height: wp.int32,
    cull: wp.int32,
    keys: wp.array(dtype=wp.int64),
):
    """Nearest triangle per pixel, rows [row_begin, row_end) of all images laid end to end."""
    image, part = wp.tid()
    n = first_image + image
    begin = wp.max(row_begin - n * height, 0)
    end = wp.min(row_end - n * height, height)
    count = pos.shape[1]
    base = n * height * width
    for triangle in range(part * chunk, wp.min((part + 1) * chunk, tri.shape[0])):
        t = tri[triangle]
        # An index out of range is the caller's mistake, but must not read foreign memory.
        if t[0] >= 0 and t[1] >= 0 and t[2] >= 0 and t[0] < count and t[1] < count and t[2] < count:
            a = screen[n, t[0]]
            b = screen[n, t[1]]
            c = screen[n, t[2]]
            if a[3] > 0.0 and b[3] > 0.0 and c[3] > 0.0:
                cover_projected(keys, a, b, c, base, width, begin, end, cull, triangle)
            else:
                pa = pos[n, t[0]]
                pb = pos[n, t[1]]
                pc = pos[n, t[2]]
                cover_homogeneous(keys, pa, pb, pc, a, b, c, base, width, height, begin, end, cull, triangle)


@wp.func
def relative(p: wp.vec4, fx: wp.float32, fy: wp.float32) -> wp.vec3:
    """q = (x - X w, y - Y w, w): relative to the pixel, so that small triangles keep precision."""
    return wp.vec3(p[0] - fx * p[3], p[1] - fy * p[3], p[3])


@wp.func
def edge_functions(q0: wp.vec3, q1: wp.vec3, q2: wp.vec3) -> wp.vec3:
    """e_i of the pixel at the origin."""
    return wp.vec3(
        q1[0] * q2[1] - q1[1] * q2[0],
        q2[0] * q0[1] - q2[1] * q0[0],
        q0[0] * q1[1] - q0[1] * q1[0],
    )


@wp.func
def barycentrics(e: wp.vec3) -> wp.vec3:
    """Normalised and clamped to [0, 1]: a pixel on an edge may be outside by a rounding error."""
    total = e[0] + e[1] + e[2]
    # No branch around a vector: it would go through memory and cost more than the arithmetic.
    r = wp.where(total == 0.0, 0.0, 1.0 / total)
    u = most(least(e[0] * r, 1.0), 0.0)
    v = most(least(e[1] * r, 1.0 - u), 0.0)
    return wp.vec3(u, v, 1.0 - u - v)


@wp.func
def key_depth(key: wp.int64) -> wp.float32:
    """z/w of a key; 0 where empty is not asked."""
    bits = wp.int32(key >> wp.int64(32))
    if bits < 0:
        bits = bits ^ 0x7FFFFFFF
    return wp.cast(bits, wp.float32)


@wp.func
def barycentric_derivatives(
    q0: wp.vec3, q1: wp.vec3, q2: wp.vec3, b: wp.vec3, step_x: wp.float32, step_y: wp.float32
) -> wp.vec4:
    """du/dX, du/dY, dv/dX, dv/dY per pixel; the cross product q_j x q_k is (de/dX, de/dY, e)."""
    n0 = wp.cross(q1, q2)
    n1 = wp.cross(q2, q0)
    total = n0 + n1 + wp.cross(q0, q1)
    r = wp.where(total[2] == 0.0, 0.0, 1.0 / total[2])
    return wp.vec4(
        (n0[0] - b[0] * total[0]) * r * step_x,
        (n0[1] - b[0] * total[1]) * r * step_y,
        (n1[0] - b[1] * total[0]) * r * step_x,
        (n1[1] - b[1] * total[1]) * r * step_y,
    )


@wp.kernel(enable_backward=False)
def resolve(
    begin: wp.int32,
    run: wp.int32,
    pos: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    keys: wp.array(dtype=wp.int64),
    width: wp.int32,
    height: wp.int32,
    with_db: wp.int32,
    rast: wp.array(dtype=wp.vec4),
    rast_db: wp.array(dtype=wp.vec4),
):
    """Keys to (u, v, z/w, id + 1) and derivatives, a run of pixels of one row per thread."""
    first = (begin + wp.tid()) * run
    n = first // (width * height)
    y = (first // width) % height
    x = first % width
    step_x = 2.0 / wp.float32(width)
    step_y = 2.0 / wp.float32(height)
    fy = (wp.float32(y) + 0.5) * step_y - 1.0
    last = wp.int32(-1)
    p0 = wp.vec4(0.0)
    p1 = wp.vec4(0.0)
    p2 = wp.vec4(0.0)
    for k in range(run):
        key = keys[first + k]
        triangle = key_triangle(key)
        if triangle >= 0:
            if triangle != last:
                t = tri[triangle]
                p0 = pos[n, t[0]]
                p1 = pos[n, t[1]]
                p2 = pos[n, t[2]]
                last = triangle
            fx = (wp.float32(x + k) + 0.5) * step_x - 1.0
            q0 = relative(p0, fx, fy)
            q1 = relative(p1, fx, fy)
            q2 = relative(p2, fx, fy)
            b = barycentrics(edge_functions(q0, q1, q2))
            rast[first + k] = wp.vec4(b[0], b[1], key_depth(key), wp.float32(triangle + 1))
            if with_db != 0:
                rast_db[first + k] = barycentric_derivatives(q0, q1, q2, b, step_x, step_y)
        else:
            rast[first + k] = wp.vec4(0.0)
            if with_db != 0:
                rast_db[first + k] = wp.vec4(0.0)


@wp.func
def to_clip(g: wp.vec3, fx: wp.float32, fy: wp.float32) -> wp.vec4:
    """Gradient of q as gradient of (x, y, z, w)."""
    return wp.vec4(g[0], g[1], 0.0, g[2] - fx * g[0] - fy * g[1])


@wp.func
def pull_barycentrics(
    q0: wp.vec3, q1: wp.vec3, q2: wp.vec3, e: wp.vec3, gu: wp.float32, gv: wp.float32
) -> wp.mat33:
    """Gradient of q_0, q_1, q_2 (rows) from that of u and v; the third component stays 0."""
    total = e[0] + e[1] + e[2]
    r = wp.where(total == 0.0, 0.0, 1.0 / total)
    shared = (gu * e[0] + gv * e[1]) * r
    g0 = (gu - shared) * r
    g1 = (gv - shared) * r
    g2 = -shared * r
    return wp.mat33(
        q1[1] * g2 - q2[1] * g1,
        q2[0] * g1 - q1[0] * g2,
        0.0,
        q2[1] * g0 - q0[1] * g2,
        q0[0] * g2 - q2[0] * g0,
        0.0,
        q0[1] * g1 - q1[1] * g0,
        q1[0] * g0 - q0[0] * g1,
        0.0,
    )


@wp.func
def pull_derivatives(
    q0: wp.vec3,
    q1: wp.vec3,
    q2: wp.vec3,
    g: wp.vec4,
    g_db: wp.vec4,
    step_x: wp.float32,
    step_y: wp.float32,
) -> wp.mat33:
    """As `pull_barycentrics`, with the gradient of the four derivatives too."""
    n0 = wp.cross(q1, q2)
    n1 = wp.cross(q2, q0)
    s = n0 + n1 + wp.cross(q0, q1)
    r = wp.where(s[2] == 0.0, 0.0, 1.0 / s[2])
    u = n0[2] * r
    v = n1[2] * r
    # u_x = (n0_x - u s_x) / s_z and so on: quotient rule, from the outside in.
    ux = g_db[0] * step_x * r
    uy = g_db[1] * step_y * r
    vx = g_db[2] * step_x * r
    vy = g_db[3] * step_y * r
    gu = g[0] - ux * s[0] - uy * s[1]
    gv = g[1] - vx * s[0] - vy * s[1]
    quotient = (
        ux * (n0[0] - u * s[0]) + uy * (n0[1] - u * s[1]) + vx * (n1[0] - v * s[0]) + vy * (n1[1] - v * s[1])
    )
    gs = wp.vec3(-(ux * u + vx * v), -(uy * u + vy * v), -(quotient + gu * u + gv * v) * r)
    g0 = gs + wp.vec3(ux, uy, gu * r)
    g1 = gs + wp.vec3(vx, vy, gv * r)
    # c = a x b pulls back as (b x g, g x a).
    d0 = wp.cross(g1, q2) + wp.cross(q1, gs)
    d1 = wp.cross(q2, g0) + wp.cross(gs, q0)
    d2 = wp.cross(g0, q1) + wp.cross(q0, g1)
    return wp.mat33(d0[0], d0[1], d0[2], d1[0], d1[1], d1[2], d2[0], d2[1], d2[2])


@wp.kernel(enable_backward=False)
def resolve_backward(
    begin: wp.int32,
    run: wp.int32,
    pos: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    rast: wp.array(dtype=wp.vec4),
    width: wp.int32,
    height: wp.int32,
    with_db: wp.int32,
    grad_rast: wp.array(dtype=wp.vec4),
    grad_db: wp.array(dtype=wp.vec4),
    grad_pos: wp.array2d(dtype=wp.vec4),
):
    """Gradient of u, v and their derivatives to clip positions; sums in registers along a run."""
    first = (begin + wp.tid()) * run
    n = first // (width * height)
    y = (first // width) % height
    x = first % width
    step_x = 2.0 / wp.float32(width)
    step_y = 2.0 / wp.float32(height)
    fy = (wp.float32(y) + 0.5) * step_y - 1.0
    last = wp.int32(-1)
    t = wp.vec3i(0)
    p0 = wp.vec4(0.0)
    p1 = wp.vec4(0.0)
    p2 = wp.vec4(0.0)
    s0 = wp.vec4(0.0)
    s1 = wp.vec4(0.0)
    s2 = wp.vec4(0.0)
    for k in range(run):
        triangle = wp.int32(rast[first + k][3]) - 1
        if triangle >= 0:
            if triangle != last:
                if last >= 0:
                    wp.atomic_add(grad_pos, n, t[0], s0)
                    wp.atomic_add(grad_pos, n, t[1], s1)
                    wp.atomic_add(grad_pos, n, t[2], s2)
                t = tri[triangle]
                p0 = pos[n, t[0]]
                p1 = pos[n, t[1]]
                p2 = pos[n, t[2]]
                s0 = wp.vec4(0.0)
                s1 = wp.vec4(0.0)
                s2 = wp.vec4(0.0)
                last = triangle
            fx = (wp.float32(x + k) + 0.5) * step_x - 1.0
            q0 = relative(p0, fx, fy)
            q1 = relative(p1, fx, fy)
            q2 = relative(p2, fx, fy)
            g = grad_rast[first + k]
            if with_db != 0:
                d = pull_derivatives(q0, q1, q2, g, grad_db[first + k], step_x, step_y)
                s0 += to_clip(d[0], fx, fy)
                s1 += to_clip(d[1], fx, fy)
                s2 += to_clip(d[2], fx, fy)
            else:
                h = pull_barycentrics(q0, q1, q2, edge_functions(q0, q1, q2), g[0], g[1])
                s0 += to_clip(h[0], fx, fy)
                s1 += to_clip(h[1], fx, fy)
                s2 += to_clip(h[2], fx, fy)
    if last >= 0:
        wp.atomic_add(grad_pos, n, t[0], s0)
        wp.atomic_add(grad_pos, n, t[1], s1)
        wp.atomic_add(grad_pos, n, t[2], s2)
