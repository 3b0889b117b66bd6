"""Several passes in one launch, for pictures that are worth one core only.

Each launch takes Python ten to twenty microseconds and each array of it one or two more: of a
picture of 256 pixels with a few thousand triangles that was a third of the time.
"""

import warp as wp

from studio.core.kernels.copying import copy_whole
from studio.core.kernels.cover import cover_rows
from studio.core.kernels.coverage import link_range, settle_range
from studio.core.kernels.facing import face_range
from studio.core.kernels.outline import blend_records, take_records
from studio.core.kernels.silhouette import find_pieces
from studio.core.kernels.survey import sort_front_to_back, survey_part
from studio.core.kernels.visibility import project_all

wp.set_module_options({"enable_backward": False})


@wp.func
def project_vertices(
    pos: wp.array2d(dtype=wp.vec4), width: wp.int32, height: wp.int32, screen: wp.array2d(dtype=wp.vec4)
):
    half_width = 0.5 * wp.float32(width)
    half_height = 0.5 * wp.float32(height)
    project_all(0, pos.shape[0] * pos.shape[1], pos, half_width, half_height, screen)


@wp.func
def survey_all(
    pos: wp.array2d(dtype=wp.vec4),
    screen: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    images: wp.array(dtype=wp.vec3i),
    width: wp.int32,
    height: wp.int32,
    cull: wp.int32,
    facing: wp.array2d(dtype=wp.int8),
    packed: wp.array(dtype=wp.vec4i),
    records: wp.array(dtype=wp.vec4i),
    ends: wp.array(dtype=wp.int32),
    buckets: wp.array(dtype=wp.int32),
    spare: wp.array(dtype=wp.vec2i),
    order: wp.array(dtype=wp.vec2i),
) -> wp.int32:
    """See `find_order`; the number of large triangles."""
    project_vertices(pos, width, height, screen)
    items = ends[0]
    packed[0] = wp.vec4i(0, 0, 0, 0)
    for n in range(images.shape[0]):
        survey_part(
            n, 0, 0, 0, items, items, pos, screen, tri, images, width, height, cull, packed, records, facing
        )
    return sort_front_to_back(ends, packed, records, buckets, spare, order)


@wp.kernel(enable_backward=False)
def find_order(
    pos: wp.array2d(dtype=wp.vec4),
    screen: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    images: wp.array(dtype=wp.vec3i),
    width: wp.int32,
    height: wp.int32,
    cull: wp.int32,
    facing: wp.array2d(dtype=wp.int8),
    packed: wp.array(dtype=wp.vec4i),
    records: wp.array(dtype=wp.vec4i),
    ends: wp.array(dtype=wp.int32),
    buckets: wp.array(dtype=wp.int32),
    spare: wp.array(dtype=wp.vec2i),
    order: wp.array(dtype=wp.vec2i),
):
    """Project vertices to `screen`, survey the triangles, and sort the large ones.

    `ends` has the number of items; what comes before and after it need not have values.
    """
    survey_all(
        pos, screen, tri, images, width, height, cull, facing, packed, records, ends, buckets, spare, order
    )


@wp.kernel(enable_backward=False)
def find_keys(
    pos: wp.array2d(dtype=wp.vec4),
    screen: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    images: wp.array(dtype=wp.vec3i),
    width: wp.int32,
    height: wp.int32,
    cull: wp.int32,
    passed: wp.array(dtype=wp.int64),
    keys: wp.array(dtype=wp.int64),
    spans: wp.array2d(dtype=wp.int32),
    facing: wp.array2d(dtype=wp.int8),
    packed: wp.array(dtype=wp.vec4i),
    records: wp.array(dtype=wp.vec4i),
    ends: wp.array(dtype=wp.int32),
    buckets: wp.array(dtype=wp.int32),
    spare: wp.array(dtype=wp.vec2i),
    order: wp.array(dtype=wp.vec2i),
    tiles: wp.array3d(dtype=wp.int32),
):
    """As `find_order`, and draw them all."""
    large = survey_all(
        pos, screen, tri, images, width, height, cull, facing, packed, records, ends, buckets, spare, order
    )
    cover_rows(
        0, 0, images.shape[0] * height, pos, screen, tri, images, width, height, packed, records, order,
        large, passed, keys, spans, tiles,
    )  # fmt: skip


@wp.kernel(enable_backward=False)
def outline(
    capacity: wp.int32,
    projects: wp.bool,
    pos: wp.array2d(dtype=wp.vec4),
    screen: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    edges: wp.array2d(dtype=wp.int32),
    rast: wp.array(dtype=wp.vec4),
    keys: wp.array(dtype=wp.int64),
    spans: wp.array2d(dtype=wp.int32),
    width: wp.int32,
    height: wp.int32,
    pixels: wp.array(dtype=wp.vec4i),
    amount_a: wp.array(dtype=wp.vec4),
    amount_b: wp.array(dtype=wp.vec4),
    source: wp.array2d(dtype=wp.float32),
    image: wp.array2d(dtype=wp.float32),
    difference: wp.array2d(dtype=wp.float32),
    facing: wp.array2d(dtype=wp.int8),
    numbers: wp.array2d(dtype=wp.int32),
    pieces: wp.array2d(dtype=wp.int32),
    heads: wp.array(dtype=wp.int32),
    scratch: wp.array2d(dtype=wp.int64),
):
    """Cut silhouettes into pieces, make records of them, and blend these into the image, if there is one.

    The image is as it is, or a copy of `source`, if there is one.

    numbers[0, 0] gets the number of pieces; if they are more than `capacity`, nothing else is done.
    numbers[1, 0] gets that of records.
    """
    if projects:
        project_vertices(pos, width, height, screen)
        face_range(0, pos.shape[0] * tri.shape[0], pos, screen, tri, facing)
    numbers[0, 0] = 0
    total = pos.shape[0] * edges.shape[0]
    find_pieces(0, total, capacity, 0, pos, screen, facing, edges, width, height, numbers, pieces)
    count = numbers[0, 0]
    numbers[1, 0] = 0
    if count > capacity:
        return
    rows = pos.shape[0] * height
    link_range(0, rows, 0, count, width, pieces, heads)
    settle_range(
        0, rows, 0, count, 1, 0, screen, tri, edges, rast, keys, spans, width, height, pieces, heads, scratch,
        numbers, pixels, amount_a, amount_b,
    )  # fmt: skip
    if source.shape[0] > 0:
        copy_whole(source, image)
    if image.shape[0] > 0:
        take_records(0, numbers[1, 0], pixels, amount_a, amount_b, image, difference)
        blend_records(0, numbers[1, 0], pixels, amount_a, amount_b, difference, image)
