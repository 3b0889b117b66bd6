"""Blending of antialiasing records into the image they were found in, and its adjoint to positions.

For the operation that draws and antialiases at once: it needs no copy of the image, because what
the adjoint wants of the colours, the difference across each outline, is kept per record.
"""

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.kernel(enable_backward=False)
def take_differences(
    begin: wp.int32,
    pixels: wp.array(dtype=wp.vec4i),
    image: wp.array2d(dtype=wp.float32),
    difference: wp.array2d(dtype=wp.float32),
):
    """Colour of the inside pixel minus that of the outside one, before anything is blended."""
    i = begin + wp.tid()
    r = pixels[i]
    for c in range(image.shape[1]):
        difference[i, c] = image[r[0], c] - image[r[1], c]


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
    target = wp.where(amount < 0.0, pixels[i][0], pixels[i][1])
    for c in range(image.shape[1]):
        wp.atomic_add(image, target, c, amount * difference[i, c])


@wp.kernel(enable_backward=False)
def pull_positions(
    pixels: wp.array(dtype=wp.vec4i),
    amount_a: wp.array(dtype=wp.vec4),
    amount_b: wp.array(dtype=wp.vec4),
    difference: wp.array2d(dtype=wp.float32),
    image_pixels: wp.int32,
    grad_out: wp.array2d(dtype=wp.float32),
    grad_pos: wp.array2d(dtype=wp.vec4),
):
    """Gradient of the amounts to the ends of the edges."""
    i = wp.tid()
    r = pixels[i]
    da = amount_a[i]
    db = amount_b[i]
    target = wp.where(da[0] < 0.0, r[0], r[1])
    g = wp.float32(0.0)
    for c in range(grad_out.shape[1]):
        g += grad_out[target, c] * difference[i, c]
    n = r[0] // image_pixels
    wp.atomic_add(grad_pos, n, r[2], wp.vec4(g * da[1], g * da[2], 0.0, g * da[3]))
    wp.atomic_add(grad_pos, n, r[3], wp.vec4(g * db[1], g * db[2], 0.0, g * db[3]))
