"""Halving a texture by an area-weighted box, and the transpose; a module per channel count.

A side of n texels becomes k = n // 2, at least 1, and each coarse texel averages exactly the
n / k fine ones it covers. For even n those are two. For odd n = 2 k + 1 they are 2 + 1 / k:
texels 2i, 2i + 1, 2i + 2 with weights (k - i), k, (i + 1), all over n (Guthe and Heckbert 2005,
"Non-power-of-two mipmap creation"). All fine texels weigh the same, so the mean is preserved.
"""

from types import SimpleNamespace

import warp as wp

from studio.core.kernels.channels import variant

PRELOAD = (1, 3, 4, 9)
"""Counts worth compiling ahead: the viewport builds levels of any image of a scene; 9 are all textures of a
fit together."""


def kernels(channels: int) -> SimpleNamespace:
    """`halve` and `double` for 1..MAX_CHANNELS channels."""
    return variant(__name__, channels, _make)


def warp_modules() -> list:
    """The Warp modules of the channel counts worth compiling ahead."""
    return [kernels(channels).module for channels in PRELOAD]


@wp.func
def box_weights(i: wp.int32, size: wp.int32) -> wp.vec3:
    """Weights of texels 2i, 2i + 1, 2i + 2 in coarse texel i."""
    half = wp.float32(size // 2)
    r = 1.0 / wp.float32(size)
    odd = wp.vec3((half - wp.float32(i)) * r, half * r, wp.float32(i + 1) * r)
    even = wp.vec3(0.5, 0.5, 0.0)
    return wp.where(size == 1, wp.vec3(1.0, 0.0, 0.0), wp.where(size % 2 == 0, even, odd))


@wp.func
def box_shares(j: wp.int32, size: wp.int32) -> wp.vec2:
    """The transpose: weights of texel j in the coarse texels j // 2 - 1 and j // 2."""
    i = j // 2
    r = 1.0 / wp.float32(size)
    half = wp.float32(size // 2)
    odd = wp.vec2(wp.float32(i) * r, (half - wp.float32(i)) * r)
    # For odd j both shares are in one coarse texel.
    odd = wp.where(j % 2 == 1, wp.vec2(0.0, half * r), odd)
    even = wp.vec2(0.0, 0.5)
    return wp.where(size == 1, wp.vec2(0.0, 1.0), wp.where(size % 2 == 0, even, odd))


def _make(module, vec) -> dict:
    return {"halve": _make_halve(module, vec), "double": _make_double(module, vec)}


def _make_halve(module, vec):
    @wp.kernel(enable_backward=False, module=module)
    def halve(
        begin: wp.int32,
        run: wp.int32,
        fine: wp.array(dtype=vec),
        first_fine: wp.int32,
        width: wp.int32,
        height: wp.int32,
        coarse: wp.array(dtype=vec),
        first_coarse: wp.int32,
    ):
        """Coarse texels from a fine level of width x height, a run of one row per thread."""
        first = (begin + wp.tid()) * run
        half_width = wp.max(width // 2, 1)
        half_height = wp.max(height // 2, 1)
        row = first // half_width
        y = row % half_height
        x = first % half_width
        # Fine rows of this coarse row; those without weight are not read outside the image.
        wy = box_weights(y, height)
        low = first_fine + (row // half_height * height + 2 * y) * width
        mid = low + wp.where(height > 1, width, 0)
        top = low + wp.where(wy[2] > 0.0, 2 * width, 0)
        if width % 2 == 0 and height % 2 == 0:
            for k in range(run):
                j = 2 * (x + k)
                below = fine[low + j] + fine[low + j + 1]
                above = fine[mid + j] + fine[mid + j + 1]
                coarse[first_coarse + first + k] = (below + above) * 0.25
        else:
            for k in range(run):
                wx = box_weights(x + k, width)
                j = 2 * (x + k)
                j1 = j + wp.where(width > 1, 1, 0)
                j2 = j + wp.where(wx[2] > 0.0, 2, 0)
                total = (fine[low + j] * wx[0] + fine[low + j1] * wx[1] + fine[low + j2] * wx[2]) * wy[0]
                total += (fine[mid + j] * wx[0] + fine[mid + j1] * wx[1] + fine[mid + j2] * wx[2]) * wy[1]
                total += (fine[top + j] * wx[0] + fine[top + j1] * wx[1] + fine[top + j2] * wx[2]) * wy[2]
                coarse[first_coarse + first + k] = total

    return halve


def _make_double(module, vec):
    @wp.kernel(enable_backward=False, module=module)
    def double(
        begin: wp.int32,
        run: wp.int32,
        coarse: wp.array(dtype=vec),
        first_coarse: wp.int32,
        width: wp.int32,
        height: wp.int32,
        add: wp.int32,
        fine: wp.array(dtype=vec),
        first_fine: wp.int32,
    ):
        """What a coarser level's gradient gives to a fine level of width x height, set or added."""
        first = (begin + wp.tid()) * run
        half_width = wp.max(width // 2, 1)
        half_height = wp.max(height // 2, 1)
        row = first // width
        y = row % height
        x = first % width
        wy = box_shares(y, height)
        base = first_coarse + row // height * half_height * half_width
        low = base + wp.max(y // 2 - 1, 0) * half_width
        high = base + wp.min(y // 2, half_height - 1) * half_width
        if width % 2 == 0 and height % 2 == 0:
            if add != 0:
                for k in range(run):
                    fine[first_fine + first + k] += coarse[high + ((x + k) >> 1)] * 0.25
            else:
                for k in range(run):
                    fine[first_fine + first + k] = coarse[high + ((x + k) >> 1)] * 0.25
        else:
            for k in range(run):
                i = (x + k) // 2
                wx = box_shares(x + k, width)
                i0 = wp.max(i - 1, 0)
                i1 = wp.min(i, half_width - 1)
                total = (coarse[low + i0] * wx[0] + coarse[low + i1] * wx[1]) * wy[0]
                total += (coarse[high + i0] * wx[0] + coarse[high + i1] * wx[1]) * wy[1]
                if add != 0:
                    total += fine[first_fine + first + k]
                fine[first_fine + first + k] = total

    return double
