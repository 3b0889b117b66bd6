"""The mip level of a pixel from the screen derivatives of its texture coordinates.

With J the derivatives in texels, the level is log2 of the largest singular value of J: half
log2 of m = b + sqrt(d^2 + c^2), with b = (A + B) / 2, d = (A - B) / 2, A and B the squared
lengths of the columns of J and c their product. That is the footprint's major axis: at grazing
angles the picture is blurred, not aliased. The loops are C++ without branches or calls, so that
compilers turn them into vector instructions: a seventh of the time.
"""

import warp as wp

wp.set_module_options({"enable_backward": False})

# Per pixel p: derivatives in texels and what the level is made of.
_FOOTPRINT = """
    // Texels per pixel beyond which a derivative is cut off, so that its fourth power is finite,
    // and squared texels per pixel below which a footprint is a point: level 0, no gradient.
    const float MOST = 1e8f, LEAST = 1e-30f;
    auto in_texels = [=](float derivative, float size) {  // NaN becomes 0
        const float v = derivative * size;
        const float below = v < MOST ? v : (v == v ? MOST : 0.0f);
        return below > -MOST ? below : -MOST;
    };
    const float* J = (const float*)uv_da.data;
    for (size_t p = first; p < end; ++p) {
        const float sx = in_texels(J[4 * p], width), sy = in_texels(J[4 * p + 1], width);
        const float tx = in_texels(J[4 * p + 2], height), ty = in_texels(J[4 * p + 3], height);
        const float a = sx * sx + tx * tx, b = sy * sy + ty * ty, c = sx * sy + tx * ty;
        const float d = 0.5f * (a - b);
        const float root = wp::sqrt(d * d + c * c);
        const float m = 0.5f * (a + b) + root;
"""

_CHOOSE = (
    """
    auto log2 = [](float m) {  // of a positive number, to 1e-7
        int bits;
        memcpy(&bits, &m, 4);
        // Exponent such that the rest is in [0.71, 1.42]: 0x3F3504F3 is the square root of a half.
        const int exponent = (bits - 0x3F3504F3) >> 23;
        bits -= exponent << 23;
        float rest;
        memcpy(&rest, &bits, 4);
        // ln((1 + z) / (1 - z)) = 2 (z + z^3 / 3 + z^5 / 5 + ...); |z| <= 0.172.
        const float z = (rest - 1.0f) / (rest + 1.0f), y = z * z;
        const float series = 1.0f + y * (0.33333333f + y * (0.2f + y * (0.14285714f + y * 0.11111111f)));
        return (float)exponent + 2.8853901f * z * series;
    };
    const float* B = (const float*)bias.data;
    float* out = (float*)level.data;
    const size_t end = with_da ? (size_t)first + run : first;
"""
    + _FOOTPRINT
    + """
        out[p] = m > LEAST ? 0.5f * log2(m > LEAST ? m : 1.0f) : -1e9f;
    }
    for (size_t p = first; p < (size_t)first + run; ++p) {
        float l = with_da ? out[p] : 0.0f;
        if (with_bias) l += B[p];
        // NaN fails the comparison and becomes 0.
        l = l > 0.0f ? (l < most ? l : most) : 0.0f;
        out[p] = nearest ? wp::floor(l + 0.5f) : l;
    }
"""
)

_CHOOSE_BACKWARD = (
    """
    const size_t end = (size_t)first + run;
    const float* L = (const float*)level.data;
    const float* G = (const float*)grad_level.data;
    float* to = (float*)grad_uv_da.data;
"""
    + _FOOTPRINT
    + """
        // Only a level that is not cut off has a gradient; 0.72 is 1 / (2 ln 2).
        const bool open = L[p] > 0.0f && L[p] < most && m > LEAST;
        const float gm = open ? G[p] * 0.7213475f / (m > LEAST ? m : 1.0f) : 0.0f;
        // A round footprint has no major axis: the mean of all directions.
        const float r = root > 0.0f ? 1.0f / root : 0.0f;
        const float ga = gm * (1.0f + d * r), gb = gm * (1.0f - d * r), gc = gm * c * r;
        to[4 * p] = (ga * sx + gc * sy) * width;
        to[4 * p + 1] = (gb * sy + gc * sx) * width;
        to[4 * p + 2] = (ga * tx + gc * ty) * height;
        to[4 * p + 3] = (gb * ty + gc * tx) * height;
    }
"""
)


@wp.func_native(_CHOOSE)
def choose_run(
    first: int,
    run: int,
    width: float,
    height: float,
    most: float,
    nearest: int,
    with_da: int,
    uv_da: wp.array(dtype=wp.vec4),
    with_bias: int,
    bias: wp.array(dtype=float),
    level: wp.array(dtype=float),
): ...


@wp.func_native(_CHOOSE_BACKWARD)
def choose_backward_run(
    first: int,
    run: int,
    width: float,
    height: float,
    most: float,
    uv_da: wp.array(dtype=wp.vec4),
    level: wp.array(dtype=float),
    grad_level: wp.array(dtype=float),
    grad_uv_da: wp.array(dtype=wp.vec4),
): ...


@wp.kernel(enable_backward=False)
def choose(
    begin: wp.int32,
    run: wp.int32,
    width: wp.float32,
    height: wp.float32,
    most: wp.float32,
    nearest: wp.int32,
    with_da: wp.int32,
    uv_da: wp.array(dtype=wp.vec4),
    with_bias: wp.int32,
    bias: wp.array(dtype=wp.float32),
    level: wp.array(dtype=wp.float32),
):
    """Levels in 0..most; whole numbers if asked for the nearest."""
    first = (begin + wp.tid()) * run
    choose_run(first, run, width, height, most, nearest, with_da, uv_da, with_bias, bias, level)


@wp.kernel(enable_backward=False)
def choose_backward(
    begin: wp.int32,
    run: wp.int32,
    width: wp.float32,
    height: wp.float32,
    most: wp.float32,
    uv_da: wp.array(dtype=wp.vec4),
    level: wp.array(dtype=wp.float32),
    grad_level: wp.array(dtype=wp.float32),
    grad_uv_da: wp.array(dtype=wp.vec4),
):
    """Gradient to the derivatives; 0 where the level is cut off."""
    first = (begin + wp.tid()) * run
    choose_backward_run(first, run, width, height, most, uv_da, level, grad_level, grad_uv_da)


@wp.kernel(enable_backward=False)
def bias_backward(
    begin: wp.int32,
    run: wp.int32,
    most: wp.float32,
    level: wp.array(dtype=wp.float32),
    grad_level: wp.array(dtype=wp.float32),
    grad_bias: wp.array(dtype=wp.float32),
):
    """The gradient of a level that is not cut off."""
    first = (begin + wp.tid()) * run
    for p in range(first, first + run):
        cut = level[p] <= 0.0 or level[p] >= most
        grad_bias[p] = wp.where(cut, 0.0, grad_level[p])
