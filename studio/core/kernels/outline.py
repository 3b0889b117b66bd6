"""Blending of antialiasing records into an image, and the adjoint.

A record draws its target pixel towards its source and, where its mirror part is not zero, towards
the pixel across the target from the source; see `studio.core.ops.silhouettes.Records`. What the
adjoint wants of the colours, how much a unit of the amount changes the target, is kept per
record, so an image can be blended in place.

The loops over records are C++ (see `rows`): a thread takes `run` records, on CPU all there are.
"""

import warp as wp

from studio.core.kernels.rows import native

wp.set_module_options({"enable_backward": False})

# A record: s its source, t its target, b the pixel across the target from the source (the target
# itself where that has no part), with the shares of the amount and of the mirror.
RECORD = """
        const int s = ((const int*)pixels.data)[4 * (size_t)i];
        const int t = ((const int*)pixels.data)[4 * (size_t)i + 1];
        const float* da = (const float*)amount_a.data + 4 * (size_t)i;
        const float* db = (const float*)amount_b.data + 4 * (size_t)i;
        const float amount = da[0], mirror = db[0];
        const int b = mirror != 0.0f ? 2 * t - s : t;
"""

_LOOP = """
    const size_t C = CHANNELS_OF.shape[1];
    const int end = first + run < pixels.shape[0] ? first + run : pixels.shape[0];
    for (int i = first; i < end; ++i) {
"""


def _over_records(body: str, image: str):
    return native(_LOOP.replace("CHANNELS_OF", image) + RECORD + body + "    }\n")


@_over_records(
    """
        const float share = mirror != 0.0f ? mirror / amount : 0.0f;
        const float* I = (const float*)image.data;
        float* D = (float*)difference.data + (size_t)i * C;
        for (size_t c = 0; c < C; ++c) {
            const float own = I[t * C + c];
            D[c] = (I[s * C + c] - own) + share * (I[b * C + c] - own);
        }
""",
    "image",
)
def take_records(
    first: int,
    run: int,
    pixels: wp.array(dtype=wp.vec4i),
    amount_a: wp.array(dtype=wp.vec4),
    amount_b: wp.array(dtype=wp.vec4),
    image: wp.array2d(dtype=wp.float32),
    difference: wp.array2d(dtype=wp.float32),
): ...


@_over_records(
    """
        const float* D = (const float*)difference.data + (size_t)i * C;
        float* I = (float*)image.data + t * C;
        for (size_t c = 0; c < C; ++c) wp::atomic_add(I + c, amount * D[c]);
""",
    "image",
)
def blend_records(
    first: int,
    run: int,
    pixels: wp.array(dtype=wp.vec4i),
    amount_a: wp.array(dtype=wp.vec4),
    amount_b: wp.array(dtype=wp.vec4),
    difference: wp.array2d(dtype=wp.float32),
    image: wp.array2d(dtype=wp.float32),
): ...


@_over_records(
    """
        const float* G = (const float*)grad_out.data + t * C;
        float* to = (float*)grad_color.data;
        for (size_t c = 0; c < C; ++c) {
            const float pulled = G[c];
            wp::atomic_add(to + s * C + c, amount * pulled);
            wp::atomic_add(to + b * C + c, mirror * pulled);
            wp::atomic_add(to + t * C + c, -(amount + mirror) * pulled);
        }
""",
    "grad_out",
)
def _pull(
    first: int,
    run: int,
    pixels: wp.array(dtype=wp.vec4i),
    amount_a: wp.array(dtype=wp.vec4),
    amount_b: wp.array(dtype=wp.vec4),
    grad_out: wp.array2d(dtype=wp.float32),
    grad_color: wp.array2d(dtype=wp.float32),
): ...


# Gradient of the amount, `g`, to the ends of the edge.
PULL_ENDS = """
            const int* ends = (const int*)pixels.data + 4 * (size_t)i + 2;
            float* to = (float*)grad_pos.data + 4 * (size_t)grad_pos.shape[1] * (t / image_pixels);
            for (int j = 1; j < 4; ++j) {
                wp::atomic_add(to + 4 * (size_t)ends[0] + (j == 3 ? 3 : j - 1), g * da[j]);
                wp::atomic_add(to + 4 * (size_t)ends[1] + (j == 3 ? 3 : j - 1), g * db[j]);
            }
"""


@_over_records(
    """
        const float* G = (const float*)grad_out.data + t * C;
        const float* D = (const float*)difference.data + (size_t)i * C;
        float g = 0.0f;
        for (size_t c = 0; c < C; ++c) g += G[c] * D[c];
        g *= boost;
        {
"""
    + PULL_ENDS
    + """
        }
""",
    "grad_out",
)
def _pull_ends(
    first: int,
    run: int,
    pixels: wp.array(dtype=wp.vec4i),
    amount_a: wp.array(dtype=wp.vec4),
    amount_b: wp.array(dtype=wp.vec4),
    difference: wp.array2d(dtype=wp.float32),
    image_pixels: int,
    boost: float,
    grad_out: wp.array2d(dtype=wp.float32),
    grad_pos: wp.array2d(dtype=wp.vec4),
): ...


@wp.kernel(enable_backward=False)
def take_differences(
    run: wp.int32,
    pixels: wp.array(dtype=wp.vec4i),
    amount_a: wp.array(dtype=wp.vec4),
    amount_b: wp.array(dtype=wp.vec4),
    image: wp.array2d(dtype=wp.float32),
    difference: wp.array2d(dtype=wp.float32),
):
    """What a unit of the amount changes the target by, before anything is blended."""
    take_records(wp.tid() * run, run, pixels, amount_a, amount_b, image, difference)


@wp.kernel(enable_backward=False)
def blend_in_place(
    run: wp.int32,
    pixels: wp.array(dtype=wp.vec4i),
    amount_a: wp.array(dtype=wp.vec4),
    amount_b: wp.array(dtype=wp.vec4),
    difference: wp.array2d(dtype=wp.float32),
    image: wp.array2d(dtype=wp.float32),
):
    """Add every record to its target pixel."""
    blend_records(wp.tid() * run, run, pixels, amount_a, amount_b, difference, image)


@wp.kernel(enable_backward=False)
def take_and_blend(
    run: wp.int32,
    pixels: wp.array(dtype=wp.vec4i),
    amount_a: wp.array(dtype=wp.vec4),
    amount_b: wp.array(dtype=wp.vec4),
    image: wp.array2d(dtype=wp.float32),
    difference: wp.array2d(dtype=wp.float32),
    out: wp.array2d(dtype=wp.float32),
):
    """Both at once, where a thread takes all records or `out` is another image than `image`."""
    first = wp.tid() * run
    take_records(first, run, pixels, amount_a, amount_b, image, difference)
    blend_records(first, run, pixels, amount_a, amount_b, difference, out)


@wp.kernel(enable_backward=False)
def pull_colors(
    run: wp.int32,
    pixels: wp.array(dtype=wp.vec4i),
    amount_a: wp.array(dtype=wp.vec4),
    amount_b: wp.array(dtype=wp.vec4),
    grad_out: wp.array2d(dtype=wp.float32),
    grad_color: wp.array2d(dtype=wp.float32),
):
    """Gradient to the colours of a record's pixels; grad_color starts as a copy of grad_out."""
    _pull(wp.tid() * run, run, pixels, amount_a, amount_b, grad_out, grad_color)


@wp.kernel(enable_backward=False)
def pull_positions(
    run: wp.int32,
    pixels: wp.array(dtype=wp.vec4i),
    amount_a: wp.array(dtype=wp.vec4),
    amount_b: wp.array(dtype=wp.vec4),
    difference: wp.array2d(dtype=wp.float32),
    image_pixels: wp.int32,
    boost: wp.float32,
    grad_out: wp.array2d(dtype=wp.float32),
    grad_pos: wp.array2d(dtype=wp.vec4),
):
    """Gradient of the amounts to the ends of the edges, times `boost`."""
    _pull_ends(
        wp.tid() * run, run, pixels, amount_a, amount_b, difference, image_pixels, boost, grad_out, grad_pos
    )
