"""Drawing rows of one triangle into the keys, the same on CPU and CUDA."""

import warp as wp

from studio.core.kernels.visibility import (
    EMPTY_KEY,
    clip_to_span,
    depth_key,
    depth_slopes,
    determinant,
    doubled_area,
    edge_slope,
    edge_value,
    least,
    most,
    xy,
)


@wp.struct
class Canvas:
    """What a band draws on: rows [begin, end) of all images laid end to end."""

    keys: wp.array(dtype=wp.int64)
    passed: wp.array(dtype=wp.int64)
    spans: wp.array2d(dtype=wp.int32)  # per row, the columns that have keys; all have if it is empty
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
    long_slope: wp.float64  # dx/dy, as those of the edges below and above the middle vertex
    low_slope: wp.float64
    mid_slope: wp.float64
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
    s.long_slope = edge_slope(s.low, s.high)
    s.low_slope = edge_slope(s.low, s.mid)
    s.mid_slope = edge_slope(s.mid, s.high)
    s.z_low = least(a[2], least(b[2], c[2]))
    s.z_high = most(a[2], most(b[2], c[2]))
    s.triangle = triangle
    return s


# Written in C++ for speed: eight rows are prepared at once, and since the spans of fine meshes are
# short, they run in masked vectors without a remainder. On CUDA a thread has one row, and several
# may meet in a pixel; on CPU a band has its rows for itself.
_DRAW_ROWS = """
    #if defined(__CUDA_ARCH__)
    const int ROWS = 1;
    #else
    const int ROWS = 8;
    #endif
    const double long_x = s.low[0], long_y = s.low[1], long_slope = s.long_slope;
    const double mid_x = s.mid[0], mid_y = s.mid[1];
    const double low_slope = s.low_slope, mid_slope = s.mid_slope;
    const double width = canvas.width;
    const int y_mid = (int)ceil(mid_y);
    const bool right = s.right;
    const float corner_x = s.corner[0], corner_y = s.corner[1], corner_z = s.corner[2];
    const float z_slope = s.slopes[0], z_rise = s.slopes[1];
    const float z_low = s.z_low, z_high = s.z_high;
    const int triangle = s.triangle;
    const bool peeling = canvas.passed.shape[0] > 0;
    int common_begin = x_begin, common_end = x_end, any_begin = x_end, any_end = x_begin;
    for (int y = y_begin; y < y_end; y += ROWS) {
        int begins[ROWS], ends[ROWS];
        float starts[ROWS];
        for (int i = 0; i < ROWS; ++i) {
            const double row = y + i;
            const bool upper = y + i >= y_mid;
            const double short_x = upper ? mid_x : long_x;
            const double short_y = upper ? mid_y : long_y;
            const double short_slope = upper ? mid_slope : low_slope;
            double one = long_x + (row - long_y) * long_slope;
            double two = short_x + (row - short_y) * short_slope;
            one = one < width ? one : width;
            one = one > 0.0 ? one : 0.0;
            two = two < width ? two : width;
            two = two > 0.0 ? two : 0.0;
            const int first = (int)ceil(right ? one : two);
            const int last = (int)ceil(right ? two : one);
            begins[i] = first > x_begin ? first : x_begin;
            ends[i] = last < x_end ? last : x_end;
            starts[i] = corner_z + z_rise * ((wp::float32)(y + i) - corner_y);
        }
        const int rows = y_end - y < ROWS ? y_end - y : ROWS;
        if (with_span) {
            for (int i = 0; i < rows; ++i) {
                common_begin = begins[i] > common_begin ? begins[i] : common_begin;
                common_end = ends[i] < common_end ? ends[i] : common_end;
                any_begin = begins[i] < any_begin ? begins[i] : any_begin;
                any_end = ends[i] > any_end ? ends[i] : any_end;
            }
        }
        for (int i = 0; i < rows; ++i) {
            const int begin = begins[i], end = ends[i];
            const float z_start = starts[i];
            const size_t place = base + (size_t)(y + i) * canvas.width;
            long long* best = (long long*)canvas.keys.data + place;
            const long long* beyond = (const long long*)canvas.passed.data + place;
            #if defined(__CUDA_ARCH__)
            for (int x = begin; x < end; ++x) {
                OFFER
                if (key < best[x] && (!peeling || key > beyond[x])) atomicMin(best + x, key);
            }
            #else
            if (peeling) {
                MASKED_VECTORS
                for (int x = begin; x < end; ++x) {
                    OFFER
                    key = key > beyond[x] ? key : NOTHING;
                    best[x] = key < best[x] ? key : best[x];
                }
            } else {
                // Once at least: whether a row has a pixel is hard to foresee.
                const int stop = end > begin ? end : begin + 1;
                MASKED_VECTORS
                for (int x = begin; x < stop; ++x) {
                    OFFER
                    if (x < end) best[x] = key < best[x] ? key : best[x];
                }
            }
            #endif
        }
    }
    return wp::vec_t<4, wp::int32>(common_begin, common_end, any_begin, any_end);
"""
# Clamped: the plane of a triangle seen edge-on is steep enough to leave its vertices. + 0: minus
# zero sorts as zero. The bits of a negative number sort backwards.
_OFFER = """
                wp::float32 z = z_start + z_slope * ((wp::float32)x - corner_x);
                z = z < z_high ? z : z_high;
                z = z > z_low ? z : z_low;
                z += 0.0f;
                int bits;
                memcpy(&bits, &z, 4);
                bits ^= (bits >> 31) & 0x7fffffff;
                long long key = ((long long)bits << 32) | triangle;
                key = z >= -1.0f && z <= 1.0f ? key : NOTHING;
"""
_MASKED_VECTORS = (
    "#pragma clang loop vectorize(enable) vectorize_width(8) interleave_count(1) vectorize_predicate(enable)"
)


@wp.func_native(
    _DRAW_ROWS.replace("MASKED_VECTORS", _MASKED_VECTORS)
    .replace("OFFER", _OFFER)
    .replace("NOTHING", f"{EMPTY_KEY}ll")
)
def draw_rows(
    canvas: Canvas,
    s: Shape,
    base: wp.int32,
    y_begin: wp.int32,
    y_end: wp.int32,
    x_begin: wp.int32,
    x_end: wp.int32,
    with_span: wp.bool,
) -> wp.vec4i:
    """Offer a triangle to the pixels of its rows, within columns; `base` is the image's first.

    With `passed` (depth peeling; may be empty) a pixel takes only what is beyond its key there.
    Returns, if asked, the columns that all these rows cover, begin and end, and that any covers.
    """
    ...


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
