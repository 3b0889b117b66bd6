"""The nearest triangle per pixel, on CPU: one thread per band of rows draws its triangles.

The large ones come first, from front to back, then the others, front faces before back faces. The
greatest depth of each tile of pixels is kept beside the keys (Greene et al. 1993, "Hierarchical
Z-Buffer Visibility"), so that a triangle behind everything is dropped after a few comparisons,
whatever its size. Keys are the least of all that are offered: neither order nor bands change them.
"""

import warp as wp

from studio.core.kernels.draw import Canvas, Shape, draw_crossing, draw_rows, shape_of
from studio.core.kernels.rows import native
from studio.core.kernels.survey import image_of, item_of, packed_begin, packed_end
from studio.core.kernels.visibility import depth_bits, least, most

wp.set_module_options({"enable_backward": False})

TILE = 32
"""Rows and columns of a tile whose greatest depth is known."""

_TILE = wp.constant(TILE)
_AREA = wp.constant(TILE * TILE)
_UNKNOWN = wp.constant(0x7FFFFFFF)


@wp.func_native(
    """
    const long long* key = (const long long*)keys.data;
    long long greatest = -1 - 0x7fffffffffffffffll;
    for (int y = y_begin; y < y_end && greatest >> 32 != 0x7fffffff; ++y) {
        #pragma clang loop vectorize(enable) vectorize_width(8)
        for (int x = x_begin; x < x_end; ++x) {
            long long k = key[(size_t)y * width + x];
            greatest = k > greatest ? k : greatest;
        }
    }
    return (int)(greatest >> 32);
    """
)
def greatest_depth(
    keys: wp.array(dtype=wp.int64),
    width: wp.int32,
    y_begin: wp.int32,
    y_end: wp.int32,
    x_begin: wp.int32,
    x_end: wp.int32,
) -> wp.int32:
    """depth_bits of the farthest pixel of a rectangle; the largest number if one is empty."""
    ...


@wp.func
def look_again(canvas: Canvas, tile_row: wp.int32, tile_column: wp.int32):
    """Find the greatest depth of a tile."""
    y = canvas.begin + tile_row * _TILE
    x = tile_column * _TILE
    x_end = wp.min(x + _TILE, canvas.width)
    tile = tile_row * canvas.tiles + tile_column
    far = _UNKNOWN
    if canvas.spans.shape[0] == 0 or (canvas.spans[y, 0] <= x and x_end <= canvas.spans[y, 1]):
        far = greatest_depth(canvas.keys, canvas.width, y, wp.min(y + _TILE, canvas.end), x, x_end)
    canvas.far[tile] = far
    canvas.debt[tile] = _AREA


@wp.func
def pay(canvas: Canvas, tile_row: wp.int32, tile_column: wp.int32, pixels: wp.int32):
    """Note that about so many pixels of a tile were drawn."""
    tile = tile_row * canvas.tiles + tile_column
    left = canvas.debt[tile] - pixels
    canvas.debt[tile] = left
    if left <= 0:
        look_again(canvas, tile_row, tile_column)


@wp.func_native(
    """
    const int* row = (const int*)far.data + tile_row * tiles;
    int found = 0;
    #pragma clang loop vectorize(enable) vectorize_width(8) interleave_count(1) vectorize_predicate(enable)
    for (int i = begin; i < end; ++i) found |= near_bits <= row[i];
    return found != 0;
    """
)
def any_open(
    far: wp.array(dtype=wp.int32),
    tiles: wp.int32,
    tile_row: wp.int32,
    begin: wp.int32,
    end: wp.int32,
    near_bits: wp.int32,
) -> wp.bool:
    """Whether something of that depth may show in the tiles [begin, end) of a row of tiles."""
    ...


@wp.func
def is_hidden(
    canvas: Canvas, y_begin: wp.int32, y_end: wp.int32, columns: wp.int32, near: wp.int32
) -> wp.bool:
    """Whether all tiles under a box are nearer than `near`; rows count from the band's first."""
    begin = packed_begin(columns) // _TILE
    end = (packed_end(columns) - 1) // _TILE + 1
    hidden = wp.bool(True)
    tile_row = y_begin // _TILE
    last = (y_end - 1) // _TILE
    while hidden and tile_row <= last:
        hidden = not any_open(canvas.far, canvas.tiles, tile_row, begin, end, near)
        tile_row += 1
    return hidden


@wp.func
def close_tile(canvas: Canvas, s: Shape, y: wp.int32, tile_row: wp.int32, tile_column: wp.int32):
    """A tile is covered whole by a triangle: nothing in it is farther than its plane.

    `y` is the image's row at the tile's first.
    """
    # The plane's greatest value in a rectangle is at a corner.
    x = wp.float32(tile_column * _TILE) - s.corner[0]
    row = wp.float32(y) - s.corner[1]
    side = wp.float32(_TILE)
    z = s.corner[2] + s.slopes[0] * x + s.slopes[1] * row
    z += most(s.slopes[0], 0.0) * side + most(s.slopes[1], 0.0) * side
    # The margin is some rounding errors of these sums.
    z = least(z + 1.0e-6 * (1.0 + wp.abs(s.slopes[0] * x) + wp.abs(s.slopes[1] * row)), s.z_high)
    tile = tile_row * canvas.tiles + tile_column
    canvas.far[tile] = wp.min(canvas.far[tile], depth_bits(z))


@wp.func
def draw_large(
    canvas: Canvas,
    s: Shape,
    n: wp.int32,
    y_begin: wp.int32,
    y_end: wp.int32,
    columns: wp.int32,
    near: wp.int32,
):
    """Draw one row of tiles after the other, without tiles at the ends that hide the triangle."""
    shift = n * canvas.height - canvas.begin  # from the image's rows to the band's
    x_begin = packed_begin(columns)
    x_end = packed_end(columns)
    # Pixels beyond near and far plane, or before what is peeled, are left open.
    closes = s.z_low >= -1.0 and s.z_high <= 1.0 and canvas.passed.shape[0] == 0
    y = wp.int32(y_begin)
    while y < y_end:
        tile_row = (y + shift) // _TILE
        top = wp.min((tile_row + 1) * _TILE, canvas.end - canvas.begin) - shift
        stop = wp.min(top, y_end)
        first = x_begin // _TILE
        last = (x_end - 1) // _TILE + 1
        tiles = tile_row * canvas.tiles
        while first < last and canvas.far[tiles + first] < near:
            first += 1
        while last > first and canvas.far[tiles + last - 1] < near:
            last -= 1
        if first < last:
            left = wp.max(x_begin, first * _TILE)
            right = wp.min(x_end, last * _TILE)
            span = draw_rows(canvas, s, n * canvas.height * canvas.width, y, stop, left, right, True)
            whole = closes and y + shift == tile_row * _TILE and stop == top
            for column in range(span[2] // _TILE, (span[3] - 1) // _TILE + 1):
                covered = span[0] <= column * _TILE
                covered = covered and span[1] >= wp.min((column + 1) * _TILE, canvas.width)
                if whole and covered:
                    close_tile(canvas, s, y, tile_row, column)
                else:
                    pay(canvas, tile_row, column, _AREA // 2)
        y = stop


@wp.func
def draw_record(
    canvas: Canvas,
    pos: wp.array2d(dtype=wp.vec4),
    screen: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    image: wp.vec3i,
    n: wp.int32,
    box: wp.vec4i,
    is_large: wp.bool,
):
    """Draw what a band has of one triangle, unless all of it is hidden."""
    shift = n * canvas.height - canvas.begin
    y_begin = wp.max(packed_begin(box[0]), -shift)
    y_end = wp.min(packed_end(box[0]), canvas.end - n * canvas.height)
    if y_begin >= y_end or is_hidden(canvas, y_begin + shift, y_end + shift, box[1], box[2]):
        return
    triangle = image[0] + item_of(box) - image[2]
    t = tri[triangle]
    m = wp.min(n, pos.shape[0] - 1)
    a = screen[m, t[0]]
    b = screen[m, t[1]]
    c = screen[m, t[2]]
    base = n * canvas.height * canvas.width
    if a[3] > 0.0 and b[3] > 0.0 and c[3] > 0.0:
        s = shape_of(a, b, c, triangle)
        if is_large:
            draw_large(canvas, s, n, y_begin, y_end, box[1], box[2])
        else:
            draw_rows(canvas, s, base, y_begin, y_end, 0, canvas.width, False)
            x_begin = packed_begin(box[1])
            pixels = (y_end - y_begin) * (packed_end(box[1]) - x_begin) // 2 + 1
            pay(canvas, (y_begin + shift) // _TILE, x_begin // _TILE, pixels)
    else:
        pa = pos[m, t[0]]
        pb = pos[m, t[1]]
        pc = pos[m, t[2]]
        draw_crossing(canvas, pa, pb, pc, a, b, c, base, y_begin, y_end, 0, canvas.width, triangle)


@wp.func
def draw_side(
    canvas: Canvas,
    pos: wp.array2d(dtype=wp.vec4),
    screen: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    images: wp.array(dtype=wp.vec3i),
    packed: wp.array(dtype=wp.vec4i),
    records: wp.array(dtype=wp.vec4i),
    back: wp.bool,
):
    """Draw the small triangles that show their front, or those that show their back."""
    n = wp.int32(0)
    image = images[0]
    for part in range(packed.shape[0]):
        for i in range(packed[part][3], packed[part][3] + packed[part][0]):
            record = records[i]
            if (record[3] < 0) == back:
                while item_of(record) >= image[2] + image[1]:
                    n += 1
                    image = images[n]
                draw_record(canvas, pos, screen, tri, image, n, record, False)


# Rows of a tile have one span: that of the boxes of all triangles in them, and a pixel on either side
# for the rounding of edges.
@native(
    """
    int* S = (int*)spans.data;
    const bool spanned = spans.shape[0] > 0;
    const int* all = (const int*)records.data;
    const int* parts = (const int*)packed.data;
    const int* large_ones = (const int*)order.data;
    const int* image = (const int*)images.data;
    const int rows = row_end - row_begin;
    if (spanned) {
        for (int y = row_begin; y < row_end; ++y) S[2 * (size_t)y] = width, S[2 * (size_t)y + 1] = 0;
        int n = 0;
        auto add = [&](const int* record) {
            const int item = record[3] < 0 ? -1 - record[3] : record[3];
            while (item >= image[3 * n + 2] + image[3 * n + 1]) ++n;
            while (item < image[3 * n + 2]) --n;
            const int low = (record[0] & 0xffff) + n * height - row_begin;
            const int high = ((record[0] >> 16) & 0xffff) + n * height - row_begin;
            const int first = (low > 0 ? low : 0) / TILE;
            const int last = ((high < rows ? high : rows) + TILE - 1) / TILE;
            const int left = record[1] & 0xffff, right = (record[1] >> 16) & 0xffff;
            for (int t = first; t < last; ++t) {
                int* span = S + 2 * ((size_t)row_begin + TILE * t);
                span[0] = left < span[0] ? left : span[0];
                span[1] = right > span[1] ? right : span[1];
            }
        };
        for (int i = 0; i < large; ++i) add(all + 4 * (size_t)large_ones[2 * (size_t)i + 1]);
        for (int part = 0; part < packed.shape[0]; ++part)
            for (int i = 0; i < parts[4 * part]; ++i) add(all + 4 * ((size_t)parts[4 * part + 3] + i));
    }
    int low = 0, high = width;
    for (int y = 0; y < rows; ++y) {
        if (spanned) {
            int* span = S + 2 * ((size_t)row_begin + y);
            if (y % TILE == 0) {
                low = span[0] > 0 ? span[0] - 1 : 0;
                high = span[1] < width ? span[1] + 1 : width;
                if (span[0] >= span[1]) low = high = 0;
            }
            span[0] = low, span[1] = high;
        }
        long long* key = (long long*)keys.data + ((size_t)row_begin + y) * width;
        for (int x = low; x < high; ++x) key[x] = NOTHING;
    }
""",
    TILE=TILE,
)
def clear(
    row_begin: wp.int32,
    row_end: wp.int32,
    images: wp.array(dtype=wp.vec3i),
    width: wp.int32,
    height: wp.int32,
    packed: wp.array(dtype=wp.vec4i),
    records: wp.array(dtype=wp.vec4i),
    order: wp.array(dtype=wp.vec2i),
    large: wp.int32,
    keys: wp.array(dtype=wp.int64),
    spans: wp.array2d(dtype=wp.int32),
):
    """Empty the keys of rows, if `spans` has rows only where triangles may be, which it then says."""
    ...


@wp.func
def cover_rows(
    band: wp.int32,
    row_begin: wp.int32,
    row_end: wp.int32,
    pos: wp.array2d(dtype=wp.vec4),
    screen: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    images: wp.array(dtype=wp.vec3i),
    width: wp.int32,
    height: wp.int32,
    packed: wp.array(dtype=wp.vec4i),
    records: wp.array(dtype=wp.vec4i),
    order: wp.array(dtype=wp.vec2i),
    large: wp.int32,
    passed: wp.array(dtype=wp.int64),
    keys: wp.array(dtype=wp.int64),
    spans: wp.array2d(dtype=wp.int32),
    tiles: wp.array3d(dtype=wp.int32),
):
    """See `cover`; `order` has `large` triangles."""
    clear(row_begin, row_end, images, width, height, packed, records, order, large, keys, spans)
    canvas = Canvas()
    canvas.keys = keys
    canvas.spans = spans
    canvas.passed = passed
    canvas.far = tiles[band][0]
    canvas.debt = tiles[band][1]
    canvas.begin = row_begin
    canvas.end = row_end
    canvas.tiles = (width - 1) // _TILE + 1
    canvas.width = width
    canvas.height = height
    count = ((row_end - row_begin - 1) // _TILE + 1) * canvas.tiles
    for tile in range(count):
        tiles[band, 0, tile] = _UNKNOWN
        tiles[band, 1, tile] = _AREA
    for i in range(large):
        record = records[order[i][1]]
        # Now and then: where the whole band is covered, all that follow are hidden, too.
        if i % 64 == 63 and not any_open(canvas.far, 0, 0, 0, count, record[2]):
            break
        n = image_of(images, item_of(record))
        draw_record(canvas, pos, screen, tri, images[n], n, record, True)
    back = wp.int32(0)
    for part in range(packed.shape[0]):
        back += packed[part][2]
    # Back faces are drawn last, and with what tiles know by then: of a closed mesh, all are hidden.
    side = wp.int32(0)
    while side < 2 and (side == 0 or back > 0):
        if side == 1 and back > count:
            for tile in range(count):
                if canvas.debt[tile] < _AREA:
                    look_again(canvas, tile // canvas.tiles, tile % canvas.tiles)
        draw_side(canvas, pos, screen, tri, images, packed, records, side == 1)
        side += 1


@wp.kernel(enable_backward=False)
def cover(
    band: wp.int32,
    row_begin: wp.int32,
    row_end: wp.int32,
    pos: wp.array2d(dtype=wp.vec4),
    screen: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    images: wp.array(dtype=wp.vec3i),
    width: wp.int32,
    height: wp.int32,
    packed: wp.array(dtype=wp.vec4i),
    records: wp.array(dtype=wp.vec4i),
    order: wp.array(dtype=wp.vec2i),
    passed: wp.array(dtype=wp.int64),
    keys: wp.array(dtype=wp.int64),
    spans: wp.array2d(dtype=wp.int32),
    tiles: wp.array3d(dtype=wp.int32),
):
    """Draw the rows [row_begin, row_end) of all images laid end to end, by one thread.

    The records are those of the survey's bands; `order` has the large ones from front to back.
    `spans`, if it has rows, gets the columns of each that have keys, the others being empty; whole
    tiles of rows from the first on have the same. `tiles` is what the bands remember of their tiles.
    """
    large = wp.int32(0)
    for part in range(packed.shape[0]):
        large += packed[part][1]
    cover_rows(
        band, row_begin, row_end, pos, screen, tri, images, width, height, packed, records, order,
        large, passed, keys, spans, tiles,
    )  # fmt: skip
