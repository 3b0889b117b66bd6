"""The nearest triangle per pixel, on CUDA: triangles cut into pieces, and a thread draws a piece.

A piece is up to 64 pixels of one row, so that no thread walks over a huge triangle while others
wait. Pieces have no list: a thread finds its piece in the running sum of their numbers.
"""

import warp as wp

from studio.core.kernels.draw import Canvas, draw_crossing, draw_rows, shape_of
from studio.core.kernels.survey import image_of, packed_begin, packed_end

wp.set_module_options({"enable_backward": False})

PIECE = 64
"""Columns of a piece; pieces begin at multiples of it."""

_PIECE = wp.constant(PIECE)


@wp.func
def pieces_wide(columns: wp.int32) -> wp.int32:
    """Pieces side by side that cover packed columns."""
    return (packed_end(columns) - 1) // _PIECE + 1 - packed_begin(columns) // _PIECE


@wp.kernel(enable_backward=False)
def count_pieces(records: wp.array(dtype=wp.vec4i), pieces: wp.array(dtype=wp.int64)):
    """How many pieces each triangle has."""
    item = wp.tid()
    rows = records[item][0]
    count = wp.int64(0)
    if rows != 0:
        high = packed_end(rows) - packed_begin(rows)
        count = wp.int64(high) * wp.int64(pieces_wide(records[item][1]))
    pieces[item] = count


@wp.kernel(enable_backward=False)
def cover_pieces(
    threads: wp.int32,
    pos: wp.array2d(dtype=wp.vec4),
    screen: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    images: wp.array(dtype=wp.vec3i),
    width: wp.int32,
    height: wp.int32,
    records: wp.array(dtype=wp.vec4i),
    ends: wp.array(dtype=wp.int64),
    passed: wp.array(dtype=wp.int64),
    keys: wp.array(dtype=wp.int64),
):
    """Draw pieces of up to PIECE pixels of one row; `ends` sums up the items' pieces."""
    canvas = Canvas()
    canvas.keys = keys
    canvas.passed = passed
    canvas.width = width
    canvas.height = height
    items = ends.shape[0]
    piece = wp.int64(wp.tid())
    while piece < ends[items - 1]:
        # The first item whose pieces end after this one.
        item = wp.int32(0)
        high = items - 1
        while item < high:
            middle = (item + high) // 2
            if ends[middle] > piece:
                high = middle
            else:
                item = middle + 1
        box = records[item]
        wide = pieces_wide(box[1])
        within = wp.int32(ends[item] - piece) - 1  # counted from the end
        y = packed_begin(box[0]) + within // wide
        x = (packed_begin(box[1]) // _PIECE + within % wide) * _PIECE
        x_end = wp.min(x + _PIECE, width)
        n = image_of(images, item)
        m = wp.min(n, pos.shape[0] - 1)
        triangle = images[n][0] + item - images[n][2]
        t = tri[triangle]
        a = screen[m, t[0]]
        b = screen[m, t[1]]
        c = screen[m, t[2]]
        base = n * height * width
        if a[3] > 0.0 and b[3] > 0.0 and c[3] > 0.0:
            draw_rows(canvas, shape_of(a, b, c, triangle), base, y, y + 1, x, x_end, False)
        else:
            pa = pos[m, t[0]]
            pb = pos[m, t[1]]
            pc = pos[m, t[2]]
            draw_crossing(canvas, pa, pb, pc, a, b, c, base, y, y + 1, x, x_end, triangle)
        piece += wp.int64(threads)
