"""Blending of antialiasing records into an image, and the adjoint.

A record draws its target pixel towards its source and, where its mirror part is not zero, towards
the pixel across the target from the source; see `studio.core.ops.antialias.Records`. What the
adjoint wants of the colours, how much a unit of the amount changes the target, is kept per
record, so an image can be blended in place.
"""

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.func
def mirrored(record: wp.vec4i, mirror: wp.float32) -> wp.int32:
    """The pixel across the target from the source; the target itself where it has no part."""
    return wp.where(mirror != 0.0, 2 * record[1] - record[0], record[1])


@wp.kernel(enable_backward=False)
def take_differences(
    begin: wp.int32,
    pixels: wp.array(dtype=wp.vec4i),
    amount_a: wp.array(dtype=wp.vec4),
    amount_b: wp.array(dtype=wp.vec4),
    image: wp.array2d(dtype=wp.float32),
    difference: wp.array2d(dtype=wp.float32),
):
    """What a unit of the amount changes the target by, before anything is blended."""
    i = begin + wp.tid()
    r = pixels[i]
    mirror = amount_b[i][0]
    beyond = mirrored(r, mirror)
    share = wp.where(mirror != 0.0, mirror / amount_a[i][0], 0.0)
    for c in range(image.shape[1]):
        own = image[r[1], c]
        difference[i, c] = (image[r[0], c] - own) + share * (image[beyond, c] - own)


@wp.kernel(enable_backward=False)
def blend_in_place(
    pixels: wp.array(dtype=wp.vec4i),
    amount_a: wp.array(dtype=wp.vec4),
    difference: wp.array2d(dtype=wp.float32),
    image: wp.array2d(dtype=wp.float32),
):
    """Add every record to its target pixel."""
    i = wp.tid()
    amount = amount_a[i][0]
    target = pixels[i][1]
    for c in range(image.shape[1]):
        wp.atomic_add(image, target, c, amount * difference[i, c])


@wp.kernel(enable_backward=False)
def pull_colors(
    pixels: wp.array(dtype=wp.vec4i),
    amount_a: wp.array(dtype=wp.vec4),
    amount_b: wp.array(dtype=wp.vec4),
    grad_out: wp.array2d(dtype=wp.float32),
    grad_color: wp.array2d(dtype=wp.float32),
):
    """Gradient to the colours of a record's pixels; grad_color starts as a copy of grad_out."""
    i = wp.tid()
    r = pixels[i]
    amount = amount_a[i][0]
    mirror = amount_b[i][0]
    beyond = mirrored(r, mirror)
    for c in range(grad_out.shape[1]):
        pulled = grad_out[r[1], c]
        wp.atomic_add(grad_color, r[0], c, amount * pulled)
        wp.atomic_add(grad_color, beyond, c, mirror * pulled)
        wp.atomic_add(grad_color, r[1], c, -(amount + mirror) * pulled)


@wp.kernel(enable_backward=False)
def pull_positions(
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
    i = wp.tid()
    r = pixels[i]
    da = amount_a[i]
    db = amount_b[i]
    g = wp.float32(0.0)
    for c in range(grad_out.shape[1]):
        g += grad_out[r[1], c] * difference[i, c]
    g *= boost
    n = r[1] // image_pixels
    wp.atomic_add(grad_pos, n, r[2], wp.vec4(g * da[1], g * da[2], 0.0, g * da[3]))
    wp.atomic_add(grad_pos, n, r[3], wp.vec4(g * db[1], g * db[2], 0.0, g * db[3]))
