"""Finding silhouettes for antialias: edges walked across the image, pixel pairs claimed.

An edge is a silhouette if only one triangle has it, or if its two triangles face differently.
Each silhouette is walked, and where it passes between two neighbouring pixel centres, one of
them inside (seen, and nearer) and one outside, that pair is blended by how far it reaches.
Only crossings are worked on, so the cost follows the outline and not the image.

Three things differ from the pair search of Laine et al. 2020, section 3.6:
- Triangles at a smooth silhouette are foreshortened to less than a pixel and own no pixel; a
  search through triangle ids misses them, a walk along edges does not.
- On a fine mesh the outline zigzags below a pixel, so an edge's own direction says nothing
  about the outline's. The direction is taken from the projected normals of the two triangles
  where the edge is short, and decides whether horizontal or vertical pairs are blended (with
  a linear hand-over between 30 and 60 degrees instead of a switch at 45).
- Of several edges that cross the same pair the one reaching farthest outside wins: what is
  covered is the union. Letting the nearest win leaves single pixels unblended (dotted lines).
"""

import warp as wp

from studio.core.kernels.visibility import determinant, doubled_area

wp.set_module_options({"enable_backward": False})

# Pixels of edge length from which the edge's own direction is the outline's: at 10 the normals
# would weigh 1 in 100, less than their own error.
LONG_EDGE = wp.constant(10.0)


@wp.kernel(enable_backward=False)
def facing(
    begin: wp.int32,
    chunk: wp.int32,
    pos: wp.array2d(dtype=wp.vec4),
    screen: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    front: wp.array2d(dtype=wp.int8),
):
    """1 where a triangle shows its front, 0 its back, 2 where it cannot be drawn."""
    part = begin + wp.tid()
    parts = (tri.shape[0] + chunk - 1) // chunk
    n = part // parts
    first = (part - n * parts) * chunk
    count = pos.shape[1]
    for i in range(first, wp.min(first + chunk, tri.shape[0])):
        t = tri[i]
        side = wp.int8(2)
        if t[0] >= 0 and t[1] >= 0 and t[2] >= 0 and t[0] < count and t[1] < count and t[2] < count:
            a = screen[n, t[0]]
            b = screen[n, t[1]]
            c = screen[n, t[2]]
            area = wp.float64(0.0)
            if a[3] > 0.0 and b[3] > 0.0 and c[3] > 0.0:
                area = doubled_area(a, b, c)
            else:
                area = determinant(pos[n, t[0]], pos[n, t[1]], pos[n, t[2]])
            if area > wp.float64(0.0):
                side = wp.int8(1)
            elif area <= wp.float64(0.0):
                side = wp.int8(0)  # NaN stays 2
        front[n, i] = side


@wp.func
def second_triangle(code: wp.int32) -> wp.int32:
    """The triangle an edge's fourth number stands for, -1 for none."""
    triangle = code
    if code < -1:
        triangle = -2 - code
    return triangle


@wp.func
def is_silhouette(edge: wp.vec4i, front: wp.array2d(dtype=wp.int8), n: wp.int32) -> wp.bool:
    """Boundary edges, and edges whose triangles face differently."""
    own = wp.int32(front[n, edge[2]])
    out = own != 2
    if out and edge[3] != -1:
        other = wp.int32(front[n, second_triangle(edge[3])])
        if other == 2:
            out = True
        elif edge[3] < -1:  # wound the other way round
            out = own == other
        else:
            out = own != other
    return out


@wp.func
def narrow(span: wp.vec2d, fa: wp.float64, fb: wp.float64) -> wp.vec2d:
    """What of the parameter interval keeps f(t) = fa + t (fb - fa) >= 0."""
    low = span[0]
    high = span[1]
    zero = wp.float64(0.0)
    if fa < zero and fb < zero:
        high = low
    elif fa < zero:
        low = wp.max(low, fa / (fa - fb))
    elif fb < zero:
        high = wp.min(high, fa / (fa - fb))
    return wp.vec2d(low, high)


@wp.func
def to_screen(
    a: wp.vec4, b: wp.vec4, t: wp.float64, half_width: wp.float64, half_height: wp.float64
) -> wp.vec3d:
    """Pixel position and z/w of the point t along a -> b."""
    one = wp.float64(1.0)
    s = one - t
    r = one / (s * wp.float64(a[3]) + t * wp.float64(b[3]))
    return wp.vec3d(
        ((s * wp.float64(a[0]) + t * wp.float64(b[0])) * r + one) * half_width - wp.float64(0.5),
        ((s * wp.float64(a[1]) + t * wp.float64(b[1])) * r + one) * half_height - wp.float64(0.5),
        (s * wp.float64(a[2]) + t * wp.float64(b[2])) * r,
    )


@wp.func
def visible_end(
    a: wp.vec4,
    b: wp.vec4,
    a_screen: wp.vec4,
    b_screen: wp.vec4,
    which: wp.int32,
    half_width: wp.float64,
    half_height: wp.float64,
) -> wp.vec4d:
    """End 0 or 1 of the edge on screen (x, y, z/w, 1), cut at the near plane; last 0 if unseen."""
    one = wp.float64(1.0)
    zero = wp.float64(0.0)
    out = wp.vec4d(zero, zero, zero, zero)
    if a_screen[3] > 0.0 and b_screen[3] > 0.0:
        p = a_screen
        if which == 1:
            p = b_screen
        out = wp.vec4d(wp.float64(p[0]), wp.float64(p[1]), wp.float64(p[2]), one)
    elif a[3] > 0.0 or b[3] > 0.0:
        aw = wp.float64(a[3])
        bw = wp.float64(b[3])
        # A millionth keeps the division finite where the near plane does not cut first.
        least = wp.float64(1.0e-6) * wp.max(wp.abs(aw), wp.abs(bw))
        span = narrow(wp.vec2d(zero, one), aw - least, bw - least)
        span = narrow(span, aw + wp.float64(a[2]), bw + wp.float64(b[2]))
        if span[0] < span[1]:
            cut = to_screen(a, b, span[which], half_width, half_height)
            out = wp.vec4d(cut[0], cut[1], cut[2], one)
    return out


@wp.func
def tilt(screen: wp.array2d(dtype=wp.vec4), n: wp.int32, t: wp.vec3i) -> wp.vec2:
    """Unit image direction in which a front face recedes: its normal's x and y, outwards."""
    a = screen[n, t[0]]
    b = screen[n, t[1]]
    c = screen[n, t[2]]
    out = wp.vec2(0.0, 0.0)
    if a[3] > 0.0 and b[3] > 0.0 and c[3] > 0.0:
        ab = b - a
        ac = c - a
        out = wp.vec2(ab[2] * ac[1] - ab[1] * ac[2], ab[0] * ac[2] - ab[2] * ac[0])
        size = wp.length(out)
        if size > 0.0:
            out = out / size
    return out


@wp.func
def outline_normal(
    edge: wp.vec4i,
    screen: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    n: wp.int32,
    p: wp.vec4d,
    q: wp.vec4d,
) -> wp.vec2:
    """Unit normal of the outline at an edge, in pixels; either sign."""
    dx = wp.float32(q[0] - p[0])
    dy = wp.float32(q[1] - p[1])
    size = wp.sqrt(dx * dx + dy * dy)
    normal = wp.vec2(1.0, 0.0)
    if size > 0.0:
        normal = wp.vec2(dy / size, -dx / size)
    if edge[3] != -1 and size < LONG_EDGE:
        smooth = tilt(screen, n, tri[edge[2]])
        other = tilt(screen, n, tri[second_triangle(edge[3])])
        if edge[3] < -1:
            other = -other
        smooth += other
        if wp.dot(smooth, normal) < 0.0:
            smooth = -smooth
        mixed = smooth + normal * (size * size)
        size = wp.length(mixed)
        if size > 0.0:
            normal = mixed / size
    return normal


@wp.func
def horizontal_share(normal: wp.vec2) -> wp.float32:
    """How much of the blending falls to horizontal pairs: 1 below 30 degrees, 0 above 60."""
    return wp.clamp(0.5 + normal[0] * normal[0] - normal[1] * normal[1], 0.0, 1.0)


@wp.func
def claim_pair(
    rast: wp.array(dtype=wp.vec4),
    low_pixel: wp.int32,
    high_pixel: wp.int32,
    inside_low: wp.bool,
    reach: wp.float64,
    depth: wp.float64,
    edge: wp.int32,
    pair: wp.int32,
    keys: wp.array(dtype=wp.int64),
    claimed: wp.array(dtype=wp.int32),
    counts: wp.array(dtype=wp.int32),
    slot: wp.vec2i,
):
    """Enter an edge for a pixel pair if it can be seen there; the farthest reach stays.

    slot = (where the band's list of claimed pairs begins, number of its counter).
    """
    inside = rast[low_pixel]
    outside = rast[high_pixel]
    if not inside_low:
        t = inside
        inside = outside
        outside = t
    if inside[3] == 0.0:
        return
    if outside[3] != 0.0:
        if inside[3] == outside[3] or inside[2] >= outside[2] or wp.float32(depth) >= outside[2]:
            return
    bits = wp.cast(wp.clamp(wp.float32(reach), 0.0, 1.0), wp.int32)
    key = (wp.int64(bits) << wp.int64(32)) | wp.int64(edge + 1)
    before = wp.atomic_max(keys, pair, key)
    if before == wp.int64(0):
        place = wp.atomic_add(counts, slot[1], 1)
        claimed[slot[0] + place] = pair


@wp.func
def claim_rows(
    rast: wp.array(dtype=wp.vec4),
    low: wp.vec4d,
    high: wp.vec4d,
    inside_left: wp.bool,
    edge: wp.int32,
    base: wp.int32,
    width: wp.int32,
    rows: wp.vec2i,
    slot: wp.vec2i,
    keys: wp.array(dtype=wp.int64),
    claimed: wp.array(dtype=wp.int32),
    counts: wp.array(dtype=wp.int32),
):
    """Horizontal pairs that the edge from low up to high passes between, within `rows`."""
    slope = (high[0] - low[0]) / (high[1] - low[1])
    slope_z = (high[2] - low[2]) / (high[1] - low[1])
    first = wp.float64(rows[0])
    last = wp.float64(rows[1])
    y_begin = wp.int32(wp.clamp(wp.ceil(low[1]), first, last))
    y_end = wp.int32(wp.clamp(wp.ceil(high[1]), first, last))
    for y in range(y_begin, y_end):
        step = wp.float64(y) - low[1]
        x = low[0] + step * slope
        if x > wp.float64(0.0) and x <= wp.float64(width - 1):
            column = wp.int32(wp.ceil(x)) - 1
            reach = x - wp.float64(column)
            if not inside_left:
                reach = wp.float64(1.0) - reach
            pixel = base + y * width + column
            depth = low[2] + step * slope_z
            claim_pair(
                rast,
                pixel,
                pixel + 1,
                inside_left,
                reach,
                depth,
                edge,
                2 * pixel,
                keys,
                claimed,
                counts,
                slot,
            )


@wp.func
def claim_columns(
    rast: wp.array(dtype=wp.vec4),
    low: wp.vec4d,
    high: wp.vec4d,
    inside_below: wp.bool,
    edge: wp.int32,
    base: wp.int32,
    width: wp.int32,
    height: wp.int32,
    rows: wp.vec2i,
    slot: wp.vec2i,
    keys: wp.array(dtype=wp.int64),
    claimed: wp.array(dtype=wp.int32),
    counts: wp.array(dtype=wp.int32),
):
    """Vertical pairs that the edge from low right to high passes between; lower pixel in `rows`."""
    slope = (high[1] - low[1]) / (high[0] - low[0])
    slope_z = (high[2] - low[2]) / (high[0] - low[0])
    y_first = wp.float64(rows[0])
    y_last = wp.float64(wp.min(rows[1], height - 1))
    x_begin = wp.int32(wp.clamp(wp.ceil(low[0]), wp.float64(0.0), wp.float64(width)))
    x_end = wp.int32(wp.clamp(wp.ceil(high[0]), wp.float64(0.0), wp.float64(width)))
    for x in range(x_begin, x_end):
        step = wp.float64(x) - low[0]
        y = low[1] + step * slope
        if y > y_first and y <= y_last:
            row = wp.int32(wp.ceil(y)) - 1
            reach = y - wp.float64(row)
            if not inside_below:
                reach = wp.float64(1.0) - reach
            pixel = base + row * width + x
            depth = low[2] + step * slope_z
            claim_pair(
                rast,
                pixel,
                pixel + width,
                inside_below,
                reach,
                depth,
                edge,
                2 * pixel + 1,
                keys,
                claimed,
                counts,
                slot,
            )


@wp.func
def claim_edge(
    e: wp.int32,
    edge: wp.vec4i,
    n: wp.int32,
    rows: wp.vec2i,
    slot: wp.vec2i,
    pos: wp.array2d(dtype=wp.vec4),
    screen: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    shows_front: wp.bool,
    rast: wp.array(dtype=wp.vec4),
    width: wp.int32,
    height: wp.int32,
    keys: wp.array(dtype=wp.int64),
    claimed: wp.array(dtype=wp.int32),
    counts: wp.array(dtype=wp.int32),
):
    """Walk one silhouette. Left of it, as its first triangle has it, is inside if that shows its front."""
    half_width = wp.float64(width) * wp.float64(0.5)
    half_height = wp.float64(height) * wp.float64(0.5)
    a_screen = screen[n, edge[0]]
    b_screen = screen[n, edge[1]]
    a = pos[n, edge[0]]
    b = pos[n, edge[1]]
    p = visible_end(a, b, a_screen, b_screen, 0, half_width, half_height)
    q = visible_end(a, b, a_screen, b_screen, 1, half_width, half_height)
    if p[3] == wp.float64(0.0) or q[3] == wp.float64(0.0):
        return
    if wp.max(p[1], q[1]) < wp.float64(rows[0]) or wp.min(p[1], q[1]) > wp.float64(rows[1]):
        return
    share = horizontal_share(outline_normal(edge, screen, tri, n, p, q))
    base = n * height * width
    if share > 0.0 and p[1] < q[1]:
        claim_rows(rast, p, q, shows_front, e, base, width, rows, slot, keys, claimed, counts)
    elif share > 0.0 and p[1] > q[1]:
        claim_rows(rast, q, p, not shows_front, e, base, width, rows, slot, keys, claimed, counts)
    if share < 1.0 and p[0] < q[0]:
        claim_columns(rast, p, q, not shows_front, e, base, width, height, rows, slot, keys, claimed, counts)
    elif share < 1.0 and p[0] > q[0]:
        claim_columns(rast, q, p, shows_front, e, base, width, height, rows, slot, keys, claimed, counts)


@wp.kernel(enable_backward=False)
def claim(
    first_image: wp.int32,
    row_begin: wp.int32,
    row_end: wp.int32,
    list_number: wp.int32,
    chunk: wp.int32,
    pos: wp.array2d(dtype=wp.vec4),
    screen: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    edges: wp.array(dtype=wp.vec4i),
    front: wp.array2d(dtype=wp.int8),
    rast: wp.array(dtype=wp.vec4),
    width: wp.int32,
    height: wp.int32,
    keys: wp.array(dtype=wp.int64),
    claimed: wp.array(dtype=wp.int32),
    counts: wp.array(dtype=wp.int32),
):
    """Walk silhouettes; pairs that start in rows [row_begin, row_end) of all images end to end."""
    image, part = wp.tid()
    n = first_image + image
    rows = wp.vec2i(wp.max(row_begin - n * height, 0), wp.min(row_end - n * height, height))
    slot = wp.vec2i(2 * row_begin * width, list_number)
    for e in range(part * chunk, wp.min((part + 1) * chunk, edges.shape[0])):
        edge = edges[e]
        if is_silhouette(edge, front, n):
            shows_front = front[n, edge[2]] == wp.int8(1)
            claim_edge(
                e,
                edge,
                n,
                rows,
                slot,
                pos,
                screen,
                tri,
                shows_front,
                rast,
                width,
                height,
                keys,
                claimed,
                counts,
            )
