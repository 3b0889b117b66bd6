"""Texture sampling kernels: nearest and bilinear, with wrap, clamp and zero boundaries.

Texel (row 0, column 0) has its corner at uv (0, 0); centres lie at (i + 0.5) / size.
"""

import warp as wp

wp.set_module_options({"enable_backward": False})

NEAREST = 0
LINEAR = 1
WRAP = 0
CLAMP = 1
ZERO = 2


@wp.func
def settle_coordinate(u: wp.float32, boundary: wp.int32) -> wp.float32:
    """u within a range where its texel number is exact; NaN becomes 0."""
    out = wp.float32(0.0)
    if boundary == 0:
        if wp.abs(u) < 1.0e9:
            out = u - wp.floor(u)
    elif u == u:
        # One repetition to each side is as good as any number of them.
        out = wp.clamp(u, -1.0, 2.0)
    return out


@wp.func
def texel_number(i: wp.int32, size: wp.int32, boundary: wp.int32) -> wp.int32:
    """Texel i along one side of the texture, -1 for none. i is at most a size outside."""
    out = i
    if boundary == 0:
        if i < 0:
            out = i + size
        elif i >= size:
            out = i - size
    elif boundary == 1:
        out = wp.clamp(i, 0, size - 1)
    elif i < 0 or i >= size:
        out = -1
    return out


@wp.func
def texel_index(
    x: wp.int32, y: wp.int32, width: wp.int32, height: wp.int32, boundary: wp.int32, base: wp.int32
) -> wp.int32:
    """Row of the flattened texture, -1 for none."""
    column = texel_number(x, width, boundary)
    row = texel_number(y, height, boundary)
    out = wp.int32(-1)
    if column >= 0 and row >= 0:
        out = base + row * width + column
    return out


@wp.func
def texel(tex: wp.array2d(dtype=wp.float32), index: wp.int32, c: wp.int32) -> wp.float32:
    """A texel's channel; 0 for none."""
    out = wp.float32(0.0)
    if index >= 0:
        out = tex[index, c]
    return out


@wp.kernel(enable_backward=False)
def sample(
    begin: wp.int32,
    run: wp.int32,
    tex: wp.array2d(dtype=wp.float32),
    width: wp.int32,
    height: wp.int32,
    shared: wp.int32,
    pixels: wp.int32,
    filtering: wp.int32,
    boundary: wp.int32,
    uv: wp.array(dtype=wp.vec2),
    out: wp.array2d(dtype=wp.float32),
):
    """One run of pixels per thread."""
    first = (begin + wp.tid()) * run
    base = (first // pixels) * width * height
    if shared != 0:
        base = 0
    for p in range(first, first + run):
        x = settle_coordinate(uv[p][0], boundary) * wp.float32(width)
        y = settle_coordinate(uv[p][1], boundary) * wp.float32(height)
        if filtering == 0:
            i = texel_index(wp.int32(wp.floor(x)), wp.int32(wp.floor(y)), width, height, boundary, base)
            for c in range(tex.shape[1]):
                out[p, c] = texel(tex, i, c)
        else:
            left = wp.floor(x - 0.5)
            low = wp.floor(y - 0.5)
            fx = x - 0.5 - left
            fy = y - 0.5 - low
            i = wp.int32(left)
            j = wp.int32(low)
            t00 = texel_index(i, j, width, height, boundary, base)
            t10 = texel_index(i + 1, j, width, height, boundary, base)
            t01 = texel_index(i, j + 1, width, height, boundary, base)
            t11 = texel_index(i + 1, j + 1, width, height, boundary, base)
            for c in range(tex.shape[1]):
                below = wp.lerp(texel(tex, t00, c), texel(tex, t10, c), fx)
                above = wp.lerp(texel(tex, t01, c), texel(tex, t11, c), fx)
                out[p, c] = wp.lerp(below, above, fy)


@wp.func
def add_texel(tex: wp.array2d(dtype=wp.float32), index: wp.int32, c: wp.int32, value: wp.float32):
    if index >= 0:
        wp.atomic_add(tex, index, c, value)


@wp.kernel(enable_backward=False)
def sample_backward(
    begin: wp.int32,
    run: wp.int32,
    tex: wp.array2d(dtype=wp.float32),
    width: wp.int32,
    height: wp.int32,
    shared: wp.int32,
    pixels: wp.int32,
    filtering: wp.int32,
    boundary: wp.int32,
    uv: wp.array(dtype=wp.vec2),
    grad_out: wp.array2d(dtype=wp.float32),
    with_tex: wp.int32,
    grad_tex: wp.array2d(dtype=wp.float32),
    grad_uv: wp.array(dtype=wp.vec2),
):
    """Adds to the texels' gradient, writes that of uv (0 for nearest)."""
    first = (begin + wp.tid()) * run
    base = (first // pixels) * width * height
    if shared != 0:
        base = 0
    for p in range(first, first + run):
        x = settle_coordinate(uv[p][0], boundary) * wp.float32(width)
        y = settle_coordinate(uv[p][1], boundary) * wp.float32(height)
        gx = wp.float32(0.0)
        gy = wp.float32(0.0)
        if filtering == 0:
            nearest = texel_index(wp.int32(wp.floor(x)), wp.int32(wp.floor(y)), width, height, boundary, base)
            if with_tex != 0:
                for c in range(tex.shape[1]):
                    add_texel(grad_tex, nearest, c, grad_out[p, c])
        else:
            left = wp.floor(x - 0.5)
            low = wp.floor(y - 0.5)
            fx = x - 0.5 - left
            fy = y - 0.5 - low
            i = wp.int32(left)
            j = wp.int32(low)
            t00 = texel_index(i, j, width, height, boundary, base)
            t10 = texel_index(i + 1, j, width, height, boundary, base)
            t01 = texel_index(i, j + 1, width, height, boundary, base)
            t11 = texel_index(i + 1, j + 1, width, height, boundary, base)
            for c in range(tex.shape[1]):
                g = grad_out[p, c]
                v00 = texel(tex, t00, c)
                v10 = texel(tex, t10, c)
                v01 = texel(tex, t01, c)
                v11 = texel(tex, t11, c)
                gx += g * wp.lerp(v10 - v00, v11 - v01, fy)
                gy += g * wp.lerp(v01 - v00, v11 - v10, fx)
                if with_tex != 0:
                    add_texel(grad_tex, t00, c, g * (1.0 - fx) * (1.0 - fy))
                    add_texel(grad_tex, t10, c, g * fx * (1.0 - fy))
                    add_texel(grad_tex, t01, c, g * (1.0 - fx) * fy)
                    add_texel(grad_tex, t11, c, g * fx * fy)
        grad_uv[p] = wp.vec2(gx * wp.float32(width), gy * wp.float32(height))
