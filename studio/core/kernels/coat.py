"""What textures say, multiplied into the channels of a packed G-buffer in one pass; adjoint written out.

Of each channel that comes out, `source` is the channel that goes in (-1: 1 where a surface is) and
`factor` the channel of the texels that it is multiplied by (-1: none). A thread walks a run of pixels.
"""

from __future__ import annotations

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.func
def belongs(triangle: int, part: int, face_part: wp.array(dtype=wp.int64)) -> bool:
    """Whether a pixel shows a part; -1 stands for any."""
    return triangle >= 0 and (part < 0 or int(face_part[triangle]) == part)


@wp.kernel
def coat_forward(
    begin: int,
    run: int,
    rast: wp.array(dtype=wp.vec4),
    face_part: wp.array(dtype=wp.int64),
    part: int,
    first: int,
    source: wp.array(dtype=int),
    factor: wp.array(dtype=int),
    packed: wp.array2d(dtype=float),
    texels: wp.array2d(dtype=float),
    out: wp.array2d(dtype=float),
):
    """The first of several coats writes all pixels, others their own."""
    start = (begin + wp.tid()) * run
    for i in range(start, wp.min(start + run, rast.shape[0])):
        triangle = int(rast[i][3]) - 1
        own = belongs(triangle, part, face_part)
        if own or first != 0:
            for c in range(source.shape[0]):
                value = float(0.0)
                if triangle >= 0:
                    value = 1.0
                    if source[c] >= 0:
                        value = packed[i, source[c]]
                    if own and factor[c] >= 0:
                        value = value * texels[i, factor[c]]
                out[i, c] = value


@wp.kernel
def coat_backward(
    begin: int,
    run: int,
    rast: wp.array(dtype=wp.vec4),
    face_part: wp.array(dtype=wp.int64),
    part: int,
    first: int,
    source: wp.array(dtype=int),
    factor: wp.array(dtype=int),
    factors: int,
    packed: wp.array2d(dtype=float),
    texels: wp.array2d(dtype=float),
    grad: wp.array2d(dtype=float),
    g_packed: wp.array2d(dtype=float),
    g_texels: wp.array2d(dtype=float),
):
    """Writes the first `factors` channels of `g_texels`, and `g_packed` where `coat_forward` writes."""
    start = (begin + wp.tid()) * run
    for i in range(start, wp.min(start + run, rast.shape[0])):
        triangle = int(rast[i][3]) - 1
        own = belongs(triangle, part, face_part)
        for k in range(factors):
            g_texels[i, k] = 0.0
        if own or first != 0:
            for k in range(g_packed.shape[1]):
                g_packed[i, k] = 0.0
            if triangle >= 0:
                for c in range(source.shape[0]):
                    g = grad[i, c]
                    value = float(1.0)
                    if source[c] >= 0:
                        value = packed[i, source[c]]
                    if own and factor[c] >= 0:
                        g_texels[i, factor[c]] = g_texels[i, factor[c]] + g * value
                        g = g * texels[i, factor[c]]
                    if source[c] >= 0:
                        g_packed[i, source[c]] = g_packed[i, source[c]] + g
