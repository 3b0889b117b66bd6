"""Faces as SoftRas sees them: set up once per image, listed by tile, met by a pixel.

Units on screen are halves of the image's longer side. Depth is normalised: 1 near, 0 far.
"""

import warp as wp

wp.set_module_options({"enable_backward": False})

TILE = 8
"""Pixels along the side of a tile; with 16 a pixel passes over three times as many faces in vain."""

SIZE = wp.constant(TILE)
SMALLEST_AREA = wp.constant(1.0e-10)
"""Twice the area of a face seen edge-on: a millionth of a pixel at 256 pixels a side, below
which float32 corners hold no barycentrics. Its neighbours share its edges and cover for it."""


vec6 = wp.types.vector(length=6, dtype=wp.float32)


@wp.struct
class View:
    """What holds for a whole batch of images.

    Attributes:
        reach: how far around a face the blur counts.
        lowest: smallest logit of D that counts.
        depth_low, depth_high: normalised depth of the far and of the near plane.
        depth_far, depth_scale: normalised depth is (depth_far - z/w) * depth_scale.
        per_sigma, per_gamma: 1 / sigma, 1 / gamma.
        hard: 1 for the nearest face's colour instead of a mean.
    """

    width: wp.int32
    height: wp.int32
    reach: wp.float32
    lowest: wp.float32
    depth_low: wp.float32
    depth_high: wp.float32
    depth_far: wp.float32
    depth_scale: wp.float32
    per_sigma: wp.float32
    per_gamma: wp.float32
    hard: wp.int32


@wp.func
def view_of(width: wp.int32, height: wp.int32, hard: wp.int32, numbers: wp.array(dtype=wp.float32)):
    """A view from its host's and its device's numbers; see `measure`."""
    out = View()
    out.width = width
    out.height = height
    out.hard = hard
    out.reach = numbers[0]
    out.lowest = numbers[1]
    out.depth_low = numbers[2]
    out.depth_high = numbers[3]
    out.depth_far = numbers[4]
    out.depth_scale = numbers[5]
    out.per_sigma = numbers[6]
    out.per_gamma = numbers[7]
    return out


@wp.kernel(enable_backward=False)
def measure(
    lowest: wp.float64,
    sharpness: wp.array(dtype=wp.float32),
    depths: wp.array(dtype=wp.float64),
    numbers: wp.array(dtype=wp.float32),
):
    """One thread: the numbers of a view from (sigma, gamma) and the z/w of normalised depth 1 and 0.

    On the device, so that nobody waits to look at a depth range or a sigma that was computed there.
    """
    sigma = wp.float64(sharpness[0])
    near = depths[0]
    far = depths[1]
    one = wp.float64(1.0)
    numbers[0] = wp.float32(wp.sqrt(-lowest * sigma))
    numbers[1] = wp.float32(lowest)
    numbers[2] = wp.float32((far - one) / (far - near))
    numbers[3] = wp.float32((far + one) / (far - near))
    numbers[4] = wp.float32(far)
    numbers[5] = wp.float32(one / (far - near))
    numbers[6] = wp.float32(one / sigma)
    numbers[7] = wp.float32(one / wp.float64(sharpness[1]))


@wp.func
def tiles_along(count: wp.int32):
    """Tiles that cover so many pixels."""
    return (count + SIZE - 1) // SIZE


@wp.func
def centre(i: wp.int32, count: wp.int32, view: View):
    """Screen coordinate of the centre of column (or row) i out of `count`."""
    return wp.float32(2 * i + 1 - count) / wp.float32(wp.max(view.width, view.height))


@wp.func
def segment_parameter(ax: wp.float32, ay: wp.float32, ex: wp.float32, ey: wp.float32, inverse: wp.float32):
    """Where the segment a + t e is nearest to the origin, t in [0, 1]."""
    t = -(ax * ex + ay * ey) * inverse
    return wp.where(t > 0.0, wp.where(t < 1.0, t, 1.0), 0.0)


@wp.struct
class Fragment:
    """A face at a pixel: signed squared distance of the pixel to the face's boundary (positive
    inside), the nearest boundary point (edge, t along it, offset from the pixel) and screen
    barycentrics of the pixel, or outside of the nearest point."""

    inner: wp.float32
    edge: wp.int32
    t: wp.float32
    rx: wp.float32
    ry: wp.float32
    b0: wp.float32
    b1: wp.float32
    b2: wp.float32


@wp.func
def fragment(faces: wp.array2d(dtype=wp.vec4), f: wp.int32, x: wp.float32, y: wp.float32):
    p = faces[f, 0]
    q = faces[f, 1]
    r = faces[f, 2]
    ax = p[0] - x
    ay = p[1] - y
    bx = p[2] - x
    by = p[3] - y
    cx = q[0] - x
    cy = q[1] - y
    b0 = (bx * cy - by * cx) * q[2]
    b1 = (cx * ay - cy * ax) * q[2]
    b2 = (ax * by - ay * bx) * q[2]
    inside = b0 >= 0.0 and b1 >= 0.0 and b2 >= 0.0
    t0 = segment_parameter(ax, ay, bx - ax, by - ay, q[3])
    t1 = segment_parameter(bx, by, cx - bx, cy - by, r[0])
    t2 = segment_parameter(cx, cy, ax - cx, ay - cy, r[1])
    x0 = ax + t0 * (bx - ax)
    y0 = ay + t0 * (by - ay)
    x1 = bx + t1 * (cx - bx)
    y1 = by + t1 * (cy - by)
    x2 = cx + t2 * (ax - cx)
    y2 = cy + t2 * (ay - cy)
    d0 = x0 * x0 + y0 * y0
    d1 = x1 * x1 + y1 * y1
    d2 = x2 * x2 + y2 * y2
    second = d1 < d0
    d = wp.where(second, d1, d0)
    third = d2 < d
    d = wp.where(third, d2, d)
    t = wp.where(third, t2, wp.where(second, t1, t0))
    edge = wp.where(third, 2, wp.where(second, 1, 0))
    out = Fragment()
    out.inner = wp.where(inside, d, -d)
    out.edge = edge
    out.t = t
    out.rx = wp.where(third, x2, wp.where(second, x1, x0))
    out.ry = wp.where(third, y2, wp.where(second, y1, y0))
    out.b0 = wp.where(inside, b0, wp.where(edge == 0, 1.0 - t, wp.where(edge == 2, t, 0.0)))
    out.b1 = wp.where(inside, b1, wp.where(edge == 1, 1.0 - t, wp.where(edge == 0, t, 0.0)))
    out.b2 = wp.where(inside, b2, wp.where(edge == 2, 1.0 - t, wp.where(edge == 1, t, 0.0)))
    return out


@wp.func
def coverage(logit: wp.float32):
    """The sigmoid, without overflow and without denormal numbers, which are slow."""
    e = wp.exp(
        wp.where(logit < 0.0, wp.where(logit > -80.0, logit, -80.0), wp.where(logit < 80.0, -logit, -80.0))
    )
    return wp.where(logit >= 0.0, 1.0, e) / (1.0 + e)


@wp.kernel(enable_backward=False)
def set_up(
    begin: wp.int32,
    pos: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    width: wp.int32,
    height: wp.int32,
    numbers: wp.array(dtype=wp.float32),
    faces: wp.array2d(dtype=wp.vec4),
    bounds: wp.array(dtype=wp.vec4i),
):
    """Per image and face: what `fragment` reads, and first and last column and row in reach."""
    view = view_of(width, height, 0, numbers)
    f = begin + wp.tid()
    n = f // tri.shape[0]
    t = tri[f - n * tri.shape[0]]
    bounds[f] = wp.vec4i(0, -1, 0, -1)
    vertices = pos.shape[1]
    if wp.min(t[0], wp.min(t[1], t[2])) >= 0 and wp.max(t[0], wp.max(t[1], t[2])) < vertices:
        a = pos[n, t[0]]
        b = pos[n, t[1]]
        c = pos[n, t[2]]
        if a[3] > 0.0 and b[3] > 0.0 and c[3] > 0.0:
            longer = wp.float32(wp.max(view.width, view.height))
            sx = wp.float32(view.width) / longer
            sy = wp.float32(view.height) / longer
            ax = a[0] / a[3] * sx
            ay = a[1] / a[3] * sy
            bx = b[0] / b[3] * sx
            by = b[1] / b[3] * sy
            cx = c[0] / c[3] * sx
            cy = c[1] / c[3] * sy
            area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
            # Column of x: pixel centres lie at (2 column + 1 - width) / longer.
            left = (wp.min(ax, wp.min(bx, cx)) - view.reach) * longer + wp.float32(view.width - 1)
            right = (wp.max(ax, wp.max(bx, cx)) + view.reach) * longer + wp.float32(view.width - 1)
            low = (wp.min(ay, wp.min(by, cy)) - view.reach) * longer + wp.float32(view.height - 1)
            high = (wp.max(ay, wp.max(by, cy)) + view.reach) * longer + wp.float32(view.height - 1)
            on = left <= wp.float32(2 * view.width) and right >= 0.0
            on = on and low <= wp.float32(2 * view.height) and high >= 0.0
            if on and wp.abs(area) > SMALLEST_AREA and wp.abs(area) < 1.0e30:
                # Clamped before conversion: a corner near w = 0 may be anywhere.
                first = wp.int32(wp.ceil(0.5 * wp.max(left, 0.0)))
                last = wp.int32(wp.floor(0.5 * wp.min(right, wp.float32(2 * view.width - 2))))
                bottom = wp.int32(wp.ceil(0.5 * wp.max(low, 0.0)))
                top = wp.int32(wp.floor(0.5 * wp.min(high, wp.float32(2 * view.height - 2))))
                bounds[f] = wp.vec4i(first, last, bottom, top)
                ab = (bx - ax) * (bx - ax) + (by - ay) * (by - ay)
                bc = (cx - bx) * (cx - bx) + (cy - by) * (cy - by)
                ca = (ax - cx) * (ax - cx) + (ay - cy) * (ay - cy)
                faces[f, 0] = wp.vec4(ax, ay, bx, by)
                faces[f, 1] = wp.vec4(cx, cy, 1.0 / area, 1.0 / ab)
                faces[f, 2] = wp.vec4(
                    1.0 / bc,
                    1.0 / ca,
                    (view.depth_far - a[2] / a[3]) * view.depth_scale,
                    (view.depth_far - b[2] / b[3]) * view.depth_scale,
                )
                faces[f, 3] = wp.vec4(
                    (view.depth_far - c[2] / c[3]) * view.depth_scale, 1.0 / a[3], 1.0 / b[3], 1.0 / c[3]
                )


@wp.kernel(enable_backward=False)
def list_faces(
    begin: wp.int32,
    chunk: wp.int32,
    count: wp.int32,
    width: wp.int32,
    height: wp.int32,
    bounds: wp.array(dtype=wp.vec4i),
    cursor: wp.array(dtype=wp.int32),
    fill: wp.int32,
    listed: wp.array(dtype=wp.int32),
    owner: wp.array(dtype=wp.int32),
):
    """One row of tiles: counts the faces of each tile, or writes them where the cursor stands.

    A thread looks at `chunk` faces; rows belong to one band, so CPU bands never meet. What does not
    fit into the lists is not written.
    """
    i, part = wp.tid()
    row = begin + i
    across = tiles_along(width)
    down = tiles_along(height)
    n = row // down
    low = (row - n * down) * SIZE
    for k in range(part * chunk, wp.min((part + 1) * chunk, count)):
        f = n * count + k
        b = bounds[f]
        if b[0] <= b[1] and b[2] < low + SIZE and b[3] >= low and b[2] <= b[3]:
            for x in range(b[0] // SIZE, b[1] // SIZE + 1):
                tile = row * across + x
                place = wp.atomic_add(cursor, tile, 1)
                if fill != 0 and place < listed.shape[0]:
                    listed[place] = f
                    owner[place] = tile


@wp.func
def push_corners(
    faces: wp.array2d(dtype=wp.vec4),
    f: wp.int32,
    s: Fragment,
    x: wp.float32,
    y: wp.float32,
    pull: wp.float32,
    h0: wp.float32,
    h1: wp.float32,
    h2: wp.float32,
):
    """Gradient (ax, ay, bx, by, cx, cy) of the corners at the pixel (x, y), from that of the
    squared distance (`pull`) and of the barycentrics."""
    p = faces[f, 0]
    q = faces[f, 1]
    r = faces[f, 2]
    # The nearest boundary point moves with the ends of its edge.
    sx = 2.0 * pull * s.rx * (1.0 - s.t)
    sy = 2.0 * pull * s.ry * (1.0 - s.t)
    ex = 2.0 * pull * s.rx * s.t
    ey = 2.0 * pull * s.ry * s.t
    inside = s.inner >= 0.0
    # Inside, moving corner k moves every barycentric b by -b_k times its slope.
    vx = wp.where(inside, (h0 * (p[3] - q[1]) + h1 * (q[1] - p[1]) + h2 * (p[1] - p[3])) * q[2], 0.0)
    vy = wp.where(inside, (h0 * (q[0] - p[2]) + h1 * (p[0] - q[0]) + h2 * (p[2] - p[0])) * q[2], 0.0)
    if not inside and s.t > 0.0 and s.t < 1.0:
        # Outside, t = u . e / e . e along the nearest edge, u from its start to the pixel.
        first = s.edge == 0
        second = s.edge == 1
        ax = wp.where(first, p[0], wp.where(second, p[2], q[0]))
        ay = wp.where(first, p[1], wp.where(second, p[3], q[1]))
        dx = wp.where(first, p[2], wp.where(second, q[0], p[0])) - ax
        dy = wp.where(first, p[3], wp.where(second, q[1], p[1])) - ay
        inverse = wp.where(first, q[3], wp.where(second, r[0], r[1]))
        g = wp.where(first, h1 - h0, wp.where(second, h2 - h1, h0 - h2)) * inverse
        sx += g * ((2.0 * s.t - 1.0) * dx - (x - ax))
        sy += g * ((2.0 * s.t - 1.0) * dy - (y - ay))
        ex += g * ((x - ax) - 2.0 * s.t * dx)
        ey += g * ((y - ay) - 2.0 * s.t * dy)
    return vec6(
        wp.where(s.edge == 0, sx, wp.where(s.edge == 2, ex, 0.0)) - s.b0 * vx,
        wp.where(s.edge == 0, sy, wp.where(s.edge == 2, ey, 0.0)) - s.b0 * vy,
        wp.where(s.edge == 1, sx, wp.where(s.edge == 0, ex, 0.0)) - s.b1 * vx,
        wp.where(s.edge == 1, sy, wp.where(s.edge == 0, ey, 0.0)) - s.b1 * vy,
        wp.where(s.edge == 2, sx, wp.where(s.edge == 1, ex, 0.0)) - s.b2 * vx,
        wp.where(s.edge == 2, sy, wp.where(s.edge == 1, ey, 0.0)) - s.b2 * vy,
    )


@wp.func
def to_clip(p: wp.vec4, gx: wp.float32, gy: wp.float32, gz: wp.float32, gi: wp.float32, view: View):
    """Gradient of a corner on screen, its depth and its 1/w as gradient of (x, y, z, w)."""
    longer = wp.float32(wp.max(view.width, view.height))
    i = 1.0 / p[3]
    x = gx * wp.float32(view.width) / longer * i
    y = gy * wp.float32(view.height) / longer * i
    z = -gz * view.depth_scale * i
    return wp.vec4(x, y, z, -(x * p[0] + y * p[1] + z * p[2]) * i - gi * i * i)
