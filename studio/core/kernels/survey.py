"""What each triangle may cover, before anything is drawn: rows, columns and least depth.

What shows nothing drops out here. On CPU each band surveys a part of the triangles and packs what
is left: small triangles from the front of its part of the records, large ones from its back.
"""

import warp as wp

from studio.core.kernels.facing import FACING
from studio.core.kernels.rows import native

wp.set_module_options({"enable_backward": False})

LARGE = 1024
"""Pixels of the bounding box from which on a triangle is worth sorting by depth."""

BUCKETS = 4096
"""Steps of depth that the sort knows: their counters fit a core's first cache."""


@wp.func
def packed_begin(packed: wp.int32) -> wp.int32:
    """Of rows or columns, two numbers of 0..32768 in one."""
    return packed & 0xFFFF


@wp.func
def packed_end(packed: wp.int32) -> wp.int32:
    return (packed >> 16) & 0xFFFF


# C++, whose loops over x, y and z become single instructions. A triangle that crosses the camera plane, or
# is too large to project, may be anywhere. The numbers are (rows, columns, least depth, item).
_RECORD = """
    auto depth_bits = [](float z) -> int {  // see visibility.depth_bits
        z += 0.0f;
        int bits;
        memcpy(&bits, &z, 4);
        return bits ^ ((bits >> 31) & 0x7fffffff);
    };
    auto survey_projected = [=](const float* a, const float* b, const float* c, int* record) {
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
        record[0] = shows ? begin[1] | (end[1] << 16) : 0;
        record[1] = begin[0] | (end[0] << 16);
        record[2] = depth_bits(low[2]);
    };
    auto is_bounded = [](const float* p) -> bool {  // no NaN or infinity
        bool bounded = true;
        for (int i = 0; i < 4; ++i) bounded = bounded && fabsf(p[i]) < 1.0e30f;
        return bounded;
    };
    auto survey_one = [&](const int* t, const float* P, const float* S, const int item, int* record) -> int {
        record[0] = record[1] = record[2] = 0;
        record[3] = item;
        if (!exists(t)) return UNKNOWN;
        const float *a = S + 4 * (size_t)t[0], *b = S + 4 * (size_t)t[1], *c = S + 4 * (size_t)t[2];
        if (a[3] > 0.0f && b[3] > 0.0f && c[3] > 0.0f) {
            const double area = doubled_area(a, b, c);
            if (area == 0.0 || (cull && area < 0.0)) return BACK;
            survey_projected(a, b, c, record);
            if (area < 0.0) record[3] = -1 - item;
            return facing_of(area);
        }
        a = P + 4 * (size_t)t[0], b = P + 4 * (size_t)t[1], c = P + 4 * (size_t)t[2];
        const double area = determinant(a, b, c);
        const bool shows = is_bounded(a) && is_bounded(b) && is_bounded(c)
            && (a[3] > 0.0f || b[3] > 0.0f || c[3] > 0.0f) && (area > 0.0 || (!cull && area < 0.0));
        record[0] = shows ? height << 16 : 0;
        record[1] = width << 16;
        record[2] = depth_bits(-1.0f);
        return facing_of(area);
    };
"""

_PART = """
    const int m = n < pos.shape[0] ? n : pos.shape[0] - 1;  // one set of positions may serve all images
    const int* image = (const int*)images.data + 3 * (size_t)n;
    const int* T = (const int*)tri.data + 3 * (size_t)image[0];
    const float* P = (const float*)pos.data + 4 * (size_t)m * vertices;
    const float* S = (const float*)screen.data + 4 * (size_t)m * vertices;
    signed char* F = facing.shape[0] > 0 ? (signed char*)facing.data + (size_t)n * facing.shape[1] : nullptr;
    const int from = image[2] + part * chunk;
    const int to = image[2] + ((part + 1) * chunk < image[1] ? (part + 1) * chunk : image[1]);
    const int first = begin > from ? begin : from, last = end < to ? end : to;
    int* all = (int*)records.data;
    int* numbers = (int*)packed.data + 4 * (size_t)band;
    const bool packing = packed.shape[0] > 0;
    int small = packing ? numbers[0] : 0, large = packing ? numbers[1] : 0, back = packing ? numbers[2] : 0;
    for (int item = first; item < last; ++item) {
        const int triangle = item - image[2];
        int record[4];
        const int side = survey_one(T + 3 * (size_t)triangle, P, S, item, record);
        if (F) F[triangle] = (signed char)side;
        if (!packing) {
            memcpy(all + 4 * (size_t)item, record, 16);
            continue;
        }
        const int high = (record[0] >> 16 & 0xffff) - (record[0] & 0xffff);
        const int wide = (record[1] >> 16 & 0xffff) - (record[1] & 0xffff);
        const int seen = record[0] != 0, is_large = seen & (high * wide >= LARGE);
        // Written in any case: what shows nothing is overwritten by the next. No branch.
        memcpy(all + 4 * (size_t)(is_large ? end - 1 - large : begin + small), record, 16);
        large += is_large;
        small += seen - is_large;
        back += seen & (record[3] < 0);
    }
    if (packing) numbers[0] = small, numbers[1] = large, numbers[2] = back, numbers[3] = begin;
"""


@native(FACING + _RECORD + _PART, LARGE=LARGE)
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
    facing: wp.array2d(dtype=wp.int8),
):
    """See `survey`; one chunk of image n."""
    ...


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
    facing: wp.array2d(dtype=wp.int8),
):
    """Survey the items [begin, end): the triangles of all images, one image after the other.

    `images` has the first triangle, their number and the first item of each image. A record is
    (rows, columns, least depth, item); of a back face -1 - item. With `packed`, which gets the
    numbers of small ones, of large ones and of back faces per band, and where they begin, only what
    shows something is kept; otherwise every item has its place. `facing`, if it has rows, gets which side
    every triangle of each image shows.
    """
    n, part = wp.tid()
    survey_part(
        n,
        part,
        band,
        begin,
        end,
        chunk,
        pos,
        screen,
        tri,
        images,
        width,
        height,
        cull,
        packed,
        records,
        facing,
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
