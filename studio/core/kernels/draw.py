"""Drawing rows of one triangle into the keys, the same on CPU and CUDA."""

import warp as wp

from studio.core.kernels.visibility import (
    clip_to_span,
    depth_key,
    depth_slopes,
    determinant,
    doubled_area,
    edge_slope,
    edge_value,
    first_pixel,
    least,
    most,
    offer,
    xy,
)


@wp.struct
class Canvas:
    """What a band draws on: rows [begin, end) of all images laid end to end."""

    keys: wp.array(dtype=wp.int64)
    passed: wp.array(dtype=wp.int64)
    far: wp.array(dtype=wp.int32)  # per tile, at least the greatest depth in it, as depth_bits
    debt: wp.array(dtype=wp.int32)  # per tile, pixels to draw until it is worth looking again
    begin: wp.int32
    end: wp.int32
    tiles: wp.int32  # per row of tiles
    width: wp.int32
    height: wp.int32


@wp.struct
class Shape:
    """A projected triangle, sorted by y; `right`: the middle vertex is right of the long edge."""

    low: wp.vec2
    mid: wp.vec2
    high: wp.vec2
    right: wp.bool
    corner: wp.vec3
    slopes: wp.vec2  # dz/dx and dz/dy, from `corner`
    z_low: wp.float32
    z_high: wp.float32
    triangle: wp.int32


@wp.func
def shape_of(a: wp.vec4, b: wp.vec4, c: wp.vec4, triangle: wp.int32) -> Shape:
    area = doubled_area(a, b, c)
    s = Shape()
    # Each swap mirrors the triangle, so it flips the side of the middle vertex.
    right = area > wp.float64(0.0)
    p = xy(a)
    q = xy(b)
    r = xy(c)
    swap = q[1] < p[1]
    p1 = wp.where(swap, q, p)
    q1 = wp.where(swap, p, q)
    right = right != swap
    swap = r[1] < q1[1]
    q2 = wp.where(swap, r, q1)
    s.high = wp.where(swap, q1, r)
    right = right != swap
    swap = q2[1] < p1[1]
    s.low = wp.where(swap, q2, p1)
    s.mid = wp.where(swap, p1, q2)
    s.right = right != swap
    s.corner = wp.vec3(a[0], a[1], a[2])
    s.slopes = depth_slopes(a, b, c, area)
    s.z_low = least(a[2], least(b[2], c[2]))
    s.z_high = most(a[2], most(b[2], c[2]))
    s.triangle = triangle
    return s


@wp.func
def draw_rows(
    canvas: Canvas,
    s: Shape,
    base: wp.int32,
    y_begin: wp.int32,
    y_end: wp.int32,
    x_begin: wp.int32,
    x_end: wp.int32,
) -> wp.vec4i:
    """Rows of a triangle within columns; `base` is the image's first pixel.

    Returns the columns that all these rows cover, begin and end, and those that any covers.
    """
    y_mid = wp.int32(wp.ceil(s.mid[1]))
    long_x = wp.float64(s.low[0])
    long_y = wp.float64(s.low[1])
    long_slope = edge_slope(s.low, s.high)
    mid_x = wp.float64(s.mid[0])
    mid_y = wp.float64(s.mid[1])
    low_slope = edge_slope(s.low, s.mid)
    mid_slope = edge_slope(s.mid, s.high)
    common_begin = wp.int32(x_begin)
    common_end = wp.int32(x_end)
    any_begin = wp.int32(x_end)
    any_end = wp.int32(x_begin)
    for y in range(y_begin, y_end):
        # No branch for the upper half: of a small triangle no one could foresee it.
        upper = y >= y_mid
        row = wp.float64(y)
        one = first_pixel(long_x + (row - long_y) * long_slope, canvas.width)
        short = wp.where(upper, mid_slope, low_slope)
        short_x = wp.where(upper, mid_x, long_x)
        short_y = wp.where(upper, mid_y, long_y)
        two = first_pixel(short_x + (row - short_y) * short, canvas.width)
        begin = wp.max(wp.where(s.right, one, two), x_begin)
        end = wp.min(wp.where(s.right, two, one), x_end)
        z_row = s.corner[2] + s.slopes[1] * (wp.float32(y) - s.corner[1])
        offer(
            canvas.keys,
            canvas.passed,
            base + y * canvas.width,
            begin,
            end,
            s.corner[0],
            z_row,
            s.slopes[0],
            s.z_low,
            s.z_high,
            s.triangle,
        )
        common_begin = wp.max(common_begin, begin)
        common_end = wp.min(common_end, end)
        any_begin = wp.min(any_begin, begin)
        any_end = wp.max(any_end, end)
    return wp.vec4i(common_begin, common_end, any_begin, any_end)


@wp.func
def draw_crossing(
    canvas: Canvas,
    a: wp.vec4,
    b: wp.vec4,
    c: wp.vec4,
    a_screen: wp.vec4,
    b_screen: wp.vec4,
    c_screen: wp.vec4,
    base: wp.int32,
    y_begin: wp.int32,
    y_end: wp.int32,
    x_begin: wp.int32,
    x_end: wp.int32,
    triangle: wp.int32,
):
    """A triangle that crosses the camera plane, or is too large to project."""
    width = canvas.width
    height = canvas.height
    front = determinant(a, b, c) > wp.float64(0.0)
    peeling = canvas.passed.shape[0] > 0
    for y in range(y_begin, y_end):
        row = wp.float64(y)
        span = wp.vec2i(x_begin, x_end)
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
            key = depth_key(z, triangle)
            pixel = base + y * width + x
            offered = z >= -1.0 and z <= 1.0
            if peeling:
                offered = offered and key > canvas.passed[pixel]
            if offered:
                wp.atomic_min(canvas.keys, pixel, key)
