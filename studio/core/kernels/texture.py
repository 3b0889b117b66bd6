"""Where a lookup falls in a texture: the four texels around it and their weights.

Texel (row 0, column 0) has its corner at uv (0, 0); centres lie at (i + 0.5) / size. A level of
the pyramid is described by (width, height, first row in its array, shift): the shift is for
`texture_sample`'s division of texels between threads.
"""

import warp as wp

NEAREST = 0
LINEAR = 1
WRAP = 0
CLAMP = 1
ZERO = 2


@wp.func
def settle_coordinate(u: wp.float32, boundary: wp.int32) -> wp.float32:
    """u within a range where its texel number is exact; NaN becomes 0."""
    wrapped = wp.where(wp.abs(u) < 1.0e9, u - wp.floor(u), 0.0)
    # One repetition to each side is as good as any number of them.
    clamped = wp.where(u > -1.0, wp.where(u < 2.0, u, 2.0), -1.0)
    return wp.where(boundary == 0, wrapped, wp.where(u == u, clamped, 0.0))


@wp.func
def texel_number(i: wp.int32, size: wp.int32, boundary: wp.int32) -> wp.int32:
    """Texel i along one side of the texture; i is at most a size outside."""
    wrapped = wp.where(i < 0, i + size, wp.where(i >= size, i - size, i))
    clamped = wp.where(i < 0, 0, wp.where(i >= size, size - 1, i))
    return wp.where(boundary == 0, wrapped, clamped)


@wp.func
def counts(i: wp.int32, size: wp.int32, boundary: wp.int32) -> wp.float32:
    """1 for a texel that counts, 0 for one outside a texture with zero boundary."""
    outside = i < 0 or i >= size
    return wp.where(boundary == 2 and outside, 0.0, 1.0)


@wp.func
def find_linear(uv: wp.vec2, level: wp.vec4i, image: wp.int32, boundary: wp.int32):
    """Rows of the four texels, weights of those that count, position between them."""
    width = level[0]
    height = level[1]
    x = settle_coordinate(uv[0], boundary) * wp.float32(width) - 0.5
    y = settle_coordinate(uv[1], boundary) * wp.float32(height) - 0.5
    left = wp.floor(x)
    low = wp.floor(y)
    i = wp.int32(left)
    j = wp.int32(low)
    base = level[2] + image * width * height
    i0 = texel_number(i, width, boundary)
    i1 = texel_number(i + 1, width, boundary)
    j0 = base + texel_number(j, height, boundary) * width
    j1 = base + texel_number(j + 1, height, boundary) * width
    a0 = counts(i, width, boundary)
    a1 = counts(i + 1, width, boundary)
    b0 = counts(j, height, boundary)
    b1 = counts(j + 1, height, boundary)
    rows = wp.vec4i(j0 + i0, j0 + i1, j1 + i0, j1 + i1)
    return rows, wp.vec4(a0 * b0, a1 * b0, a0 * b1, a1 * b1), x - left, y - low


@wp.func
def find_nearest(uv: wp.vec2, level: wp.vec4i, image: wp.int32, boundary: wp.int32):
    """Row of the texel and whether it counts."""
    width = level[0]
    height = level[1]
    i = wp.int32(wp.floor(settle_coordinate(uv[0], boundary) * wp.float32(width)))
    j = wp.int32(wp.floor(settle_coordinate(uv[1], boundary) * wp.float32(height)))
    row = texel_number(j, height, boundary) * width + texel_number(i, width, boundary)
    weight = counts(i, width, boundary) * counts(j, height, boundary)
    return level[2] + image * width * height + row, weight


@wp.func
def is_lookup(uv: wp.vec2) -> wp.bool:
    """Every uv finds a texel."""
    return True


@wp.func
def missing_share() -> wp.float32:
    """What the other three texels take over of one that does not count: nothing."""
    return 0.0
