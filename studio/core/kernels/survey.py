"""What each triangle may cover, before anything is drawn: rows, columns and least depth.

What shows nothing drops out here. On CPU each band surveys a part of the triangles and packs what
is left: small triangles from the front of its part of the records, large ones from its back.
"""

import warp as wp

from studio.core.kernels.visibility import (
    depth_bits,
    determinant,
    doubled_area,
    is_bounded,
)

wp.set_module_options({"enable_backward": False})

LARGE = 1024
"""Pixels of the bounding box from which on a triangle is worth sorting by depth."""

BUCKETS = 4096
"""Steps of depth that the sort knows: their counters fit a core's first cache."""


@wp.func
def pack(begin: wp.int32, end: wp.int32) -> wp.int32:
    """Two numbers of 0..32768."""
    return begin | (end << 16)


@wp.func
def packed_begin(packed: wp.int32) -> wp.int32:
    return packed & 0xFFFF


@wp.func
def packed_end(packed: wp.int32) -> wp.int32:
    return (packed >> 16) & 0xFFFF


# C++ for its loops over x, y and z, which become single instructions.
@wp.func_native(
    """
    float low[4], high[4];
    for (int i = 0; i < 4; ++i) {
        low[i] = a[i] < b[i] ? a[i] : b[i];
        low[i] = low[i] < c[i] ? low[i] : c[i];
        high[i] = a[i] > b[i] ? a[i] : b[i];
        high[i] = high[i] > c[i] ? high[i] : c[i];
    }
    // Pixel centres in [low, high) and within the image.
    const float limits[4] = {(wp::float32)width, (wp::float32)height, 0.0f, 0.0f};
    int begin[4], end[4];
    for (int i = 0; i < 4; ++i) {
        float from = low[i] < limits[i] ? low[i] : limits[i];
        float to = high[i] < limits[i] ? high[i] : limits[i];
        from = from > 0.0f ? from : 0.0f;
        to = to > 0.0f ? to : 0.0f;
        begin[i] = (int)ceilf(from);
        end[i] = (int)ceilf(to);
    }
    const bool shows = (begin[0] < end[0]) & (begin[1] < end[1]) & (high[2] >= -1.0f) & (low[2] <= 1.0f);
    const float near = low[2] + 0.0f;
    int bits;
    memcpy(&bits, &near, 4);
    bits ^= (bits >> 31) & 0x7fffffff;
    const int rows = shows ? begin[1] | (end[1] << 16) : 0;
    return wp::vec_t<4, wp::int32>(rows, begin[0] | (end[0] << 16), bits, item);
    """
)
def record_of(
    a: wp.vec4, b: wp.vec4, c: wp.vec4, width: wp.int32, height: wp.int32, item: wp.int32
) -> wp.vec4i:
    """Rows, columns and least depth of three projected corners."""
    ...


@wp.func
def survey_projected(
    a: wp.vec4, b: wp.vec4, c: wp.vec4, width: wp.int32, height: wp.int32, cull: wp.int32, item: wp.int32
) -> wp.vec4i:
    """The record of a triangle whose vertices project; without rows if it shows nothing."""
    area = doubled_area(a, b, c)
    if area == wp.float64(0.0) or (cull != 0 and area < wp.float64(0.0)):
        return wp.vec4i(0, 0, 0, item)
    return record_of(a, b, c, width, height, wp.where(area < wp.float64(0.0), -1 - item, item))


@wp.func
def survey_crossing(
    a: wp.vec4, b: wp.vec4, c: wp.vec4, width: wp.int32, height: wp.int32, cull: wp.int32, item: wp.int32
) -> wp.vec4i:
    """The record of a triangle that crosses the camera plane or is too large to project."""
    shows = is_bounded(a) and is_bounded(b) and is_bounded(c)
    shows = shows and (a[3] > 0.0 or b[3] > 0.0 or c[3] > 0.0)
    det = determinant(a, b, c)
    shows = shows and (det > wp.float64(0.0) or (cull == 0 and det < wp.float64(0.0)))
    return wp.vec4i(wp.where(shows, pack(0, height), 0), pack(0, width), depth_bits(-1.0), item)


@wp.func
def survey_part(
    n: wp.int32,
    part: wp.int32,
    band: wp.int32,
    begin: wp.int32,
    end: wp.int32,
    chunk: wp.int32,
    pos: wp.array2d(dtype=wp.vec4),
    screen: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    images: wp.array(dtype=wp.vec3i),
    width: wp.int32,
    height: wp.int32,
    cull: wp.int32,
    packed: wp.array(dtype=wp.vec4i),
    records: wp.array(dtype=wp.vec4i),
):
    """See `survey`; one chunk of image n."""
    m = wp.min(n, pos.shape[0] - 1)  # one set of positions may serve all images
    image = images[n]
    first = wp.max(begin, image[2] + part * chunk)
    last = wp.min(end, image[2] + wp.min((part + 1) * chunk, image[1]))
    count = pos.shape[1]
    packing = packed.shape[0] > 0
    small = wp.int32(0)
    large = wp.int32(0)
    back = wp.int32(0)
    if packing:
        small = packed[band][0]
        large = packed[band][1]
        back = packed[band][2]
    for item in range(first, last):
        t = tri[image[0] + item - image[2]]
        record = wp.vec4i(0, 0, 0, item)
        # An index out of range is the caller's mistake, but must not read foreign memory.
        if t[0] >= 0 and t[1] >= 0 and t[2] >= 0 and t[0] < count and t[1] < count and t[2] < count:
            a = screen[m, t[0]]
            b = screen[m, t[1]]
            c = screen[m, t[2]]
            if a[3] > 0.0 and b[3] > 0.0 and c[3] > 0.0:
                record = survey_projected(a, b, c, width, height, cull, item)
            else:
                record = survey_crossing(pos[m, t[0]], pos[m, t[1]], pos[m, t[2]], width, height, cull, item)
        if packing:
            high = packed_end(record[0]) - packed_begin(record[0])
            wide = packed_end(record[1]) - packed_begin(record[1])
            seen = wp.where(record[0] != 0, 1, 0)
            is_large = wp.where(high * wide >= LARGE, seen, 0)
            # Written in any case: what shows nothing is overwritten by the next. No branch.
            records[wp.where(is_large != 0, end - 1 - large, begin + small)] = record
            large += is_large
            small += seen - is_large
            back += wp.where(record[3] < 0, seen, 0)
        else:
            records[item] = record
    if packing:
        packed[band] = wp.vec4i(small, large, back, begin)


@wp.kernel(enable_backward=False)
def survey(
    band: wp.int32,
    begin: wp.int32,
    end: wp.int32,
    chunk: wp.int32,
    pos: wp.array2d(dtype=wp.vec4),
    screen: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    images: wp.array(dtype=wp.vec3i),
    width: wp.int32,
    height: wp.int32,
    cull: wp.int32,
    packed: wp.array(dtype=wp.vec4i),
    records: wp.array(dtype=wp.vec4i),
):
    """Survey the items [begin, end): the triangles of all images, one image after the other.

    `images` has the first triangle, their number and the first item of each image. A record is
    (rows, columns, least depth, item); of a back face -1 - item. With `packed`, which gets the
    numbers of small ones, of large ones and of back faces per band, and where they begin, only what
    shows something is kept; otherwise every item has its place.
    """
    n, part = wp.tid()
    survey_part(
        n, part, band, begin, end, chunk, pos, screen, tri, images, width, height, cull, packed, records
    )


# Equal steps of depth, not of its bits, most of which are for depths near 0: one pass does.
_SORT = """
    const int* all = (const int*)records.data;
    const int* parts = (const int*)packed.data;
    const int* stop = (const int*)ends.data;
    int* bucket = (int*)buckets.data;
    int* unsorted = (int*)spare.data;
    int* sorted = (int*)order.data;
    int total = 0;
    float low = 1.0e30f, high = -1.0e30f;
    for (int band = 0; band < ends.shape[0]; ++band)
        for (int i = 0; i < parts[4 * band + 1]; ++i) {
            const int place = stop[band] - 1 - i;
            int bits = all[4 * (size_t)place + 2];  // see visibility.depth_bits
            bits ^= (bits >> 31) & 0x7fffffff;
            float near;
            memcpy(&near, &bits, 4);
            near = near > -1.0f ? near : -1.0f;
            low = near < low ? near : low;
            high = near > high ? near : high;
            memcpy(unsorted + 2 * (size_t)total, &near, 4);
            unsorted[2 * (size_t)total++ + 1] = place;
        }
    if (total == 0) return 0;
    memset(bucket, 0, sizeof(int) * buckets.shape[0]);
    const float scale = high > low ? (BUCKETS - 1) / (high - low) : 0.0f;
    for (int i = 0; i < total; ++i) {
        float near;
        memcpy(&near, unsorted + 2 * (size_t)i, 4);
        const int step = (int)((near - low) * scale);
        unsorted[2 * (size_t)i] = step;
        ++bucket[step];
    }
    for (int i = 0, sum = 0; i < BUCKETS; ++i) {
        const int count = bucket[i];
        bucket[i] = sum;
        sum += count;
    }
    for (int i = 0; i < total; ++i) {
        const int to = bucket[unsorted[2 * (size_t)i]]++;
        sorted[2 * (size_t)to] = unsorted[2 * (size_t)i];
        sorted[2 * (size_t)to + 1] = unsorted[2 * (size_t)i + 1];
    }
    return total;
    """


@wp.func_native(_SORT.replace("BUCKETS", f"{BUCKETS}"))
def sort_front_to_back(
    ends: wp.array(dtype=wp.int32),
    packed: wp.array(dtype=wp.vec4i),
    records: wp.array(dtype=wp.vec4i),
    buckets: wp.array(dtype=wp.int32),
    spare: wp.array(dtype=wp.vec2i),
    order: wp.array(dtype=wp.vec2i),
) -> wp.int32:
    """See `front_to_back`; returns their number."""
    ...


@wp.kernel(enable_backward=False)
def front_to_back(
    ends: wp.array(dtype=wp.int32),
    packed: wp.array(dtype=wp.vec4i),
    records: wp.array(dtype=wp.vec4i),
    buckets: wp.array(dtype=wp.int32),
    spare: wp.array(dtype=wp.vec2i),
    order: wp.array(dtype=wp.vec2i),
):
    """Sort the large records, at the ends of the bands' parts, by their least depth.

    `order` gets pairs of which the second is the place of a record. A counting sort of BUCKETS steps of
    depth, by one thread.
    """
    sort_front_to_back(ends, packed, records, buckets, spare, order)


@wp.func
def item_of(record: wp.vec4i) -> wp.int32:
    return wp.where(record[3] < 0, -1 - record[3], record[3])


@wp.func
def image_of(images: wp.array(dtype=wp.vec3i), item: wp.int32) -> wp.int32:
    """The last image whose first item is not after `item`."""
    low = wp.int32(0)
    high = wp.int32(images.shape[0])
    while high - low > 1:
        middle = (low + high) // 2
        if images[middle][2] <= item:
            low = middle
        else:
            high = middle
    return low
