"""Sampling textures and its adjoint; a module per channel count, for flat and for cube maps.

Level 0 is an array of its own, the texture as the user has it; all coarser levels lie in a second
one, `mips`. `levels` has (width, height, first row in its array, shift) of each.
"""

from types import SimpleNamespace

import warp as wp

from studio.core.kernels import cube, texture
from studio.core.kernels.channels import dot_product, variant

PRELOAD = (3,)


def kernels(channels: int, is_cube: bool) -> SimpleNamespace:
    """`gather`, `slopes` and `scatter` for 1..MAX_CHANNELS channels."""
    if is_cube:
        return variant(__name__ + "_cube", channels, _make_cube)
    return variant(__name__ + "_flat", channels, _make_flat)


def warp_modules() -> list:
    """The Warp modules of the channel counts worth compiling ahead."""
    return [kernels(channels, is_cube).module for channels in PRELOAD for is_cube in (False, True)]


def _make_flat(module, vec) -> dict:
    return _make(module, vec, wp.vec2, texture)


def _make_cube(module, vec) -> dict:
    return _make(module, vec, wp.vec3, cube)


def _make(module, vec, lookup_type, shape) -> dict:
    blended, slanted = _make_weights(shape)
    return {
        "gather": _make_gather(module, vec, lookup_type, shape, blended),
        "slopes": _make_slopes(module, vec, lookup_type, shape, blended, slanted),
        "scatter": _make_scatter(module, vec, lookup_type, shape, blended),
    }


def _make_weights(shape):
    """The functions that give the four texels' weights, and their slopes along x and y."""
    missing_share = shape.missing_share

    @wp.func
    def settle(w: wp.vec4, counting: wp.vec4) -> wp.vec4:
        """Weights without the texels that do not count; linear in w."""
        kept = wp.cw_mul(w, counting)
        lost = (w[0] + w[1] + w[2] + w[3]) - (kept[0] + kept[1] + kept[2] + kept[3])
        return kept + counting * (lost * missing_share())

    @wp.func
    def blended(fx: wp.float32, fy: wp.float32, counting: wp.vec4) -> wp.vec4:
        ex = 1.0 - fx
        ey = 1.0 - fy
        return settle(wp.vec4(ex * ey, fx * ey, ex * fy, fx * fy), counting)

    @wp.func
    def slanted(fx: wp.float32, fy: wp.float32, counting: wp.vec4):
        ex = 1.0 - fx
        ey = 1.0 - fy
        along_x = settle(wp.vec4(-ey, ey, -fy, fy), counting)
        return along_x, settle(wp.vec4(-ex, -fx, ex, fx), counting)

    return blended, slanted


def _make_gather(module, vec, lookup_type, shape, blended):
    find_linear, find_nearest, is_lookup = shape.find_linear, shape.find_nearest, shape.is_lookup

    @wp.func
    def bilinear(
        texels: wp.array(dtype=vec), at: lookup_type, level: wp.vec4i, image: wp.int32, boundary: wp.int32
    ) -> vec:
        rows, counting, fx, fy = find_linear(at, level, image, boundary)
        w = blended(fx, fy, counting)
        out = texels[rows[0]] * w[0] + texels[rows[1]] * w[1]
        return out + texels[rows[2]] * w[2] + texels[rows[3]] * w[3]

    @wp.kernel(enable_backward=False, module=module)
    def gather(
        begin: wp.int32,
        run: wp.int32,
        tex: wp.array(dtype=vec),
        mips: wp.array(dtype=vec),
        levels: wp.array(dtype=wp.vec4i),
        shared: wp.int32,
        pixels: wp.int32,
        linear: wp.int32,
        boundary: wp.int32,
        lookup: wp.array(dtype=lookup_type),
        with_level: wp.int32,
        level: wp.array(dtype=wp.float32),
        out: wp.array(dtype=vec),
    ):
        """A run of pixels of one image per thread."""
        first = (begin + wp.tid()) * run
        image = wp.where(shared != 0, 0, first // pixels)
        base = levels[0]
        for p in range(first, first + run):
            at = lookup[p]
            if not is_lookup(at):
                out[p] = vec(0.0)
            elif linear == 0:
                row, weight = find_nearest(at, base, image, boundary)
                out[p] = tex[row] * weight
            elif with_level == 0:
                out[p] = bilinear(tex, at, base, image, boundary)
            else:
                number = wp.int32(level[p])
                f = level[p] - wp.float32(number)
                if number == 0:
                    out[p] = bilinear(tex, at, base, image, boundary)
                else:
                    out[p] = bilinear(mips, at, levels[number], image, boundary)
                if f > 0.0:
                    finer = out[p]
                    coarser = bilinear(mips, at, levels[number + 1], image, boundary)
                    out[p] = finer + (coarser - finer) * f

    return gather


def _make_slopes(module, vec, lookup_type, shape, blended, slanted):
    find_linear, is_lookup = shape.find_linear, shape.is_lookup
    dot = dot_product(vec)

    @wp.func
    def bilinear(
        texels: wp.array(dtype=vec),
        at: lookup_type,
        level: wp.vec4i,
        image: wp.int32,
        boundary: wp.int32,
        g: vec,
    ) -> wp.vec3:
        """Slope of g times the sample along x and y of the lookup, and g times the sample."""
        rows, counting, fx, fy = find_linear(at, level, image, boundary)
        t = wp.vec4(
            dot(texels[rows[0]], g), dot(texels[rows[1]], g), dot(texels[rows[2]], g), dot(texels[rows[3]], g)
        )
        along_x, along_y = slanted(fx, fy, counting)
        return wp.vec3(
            wp.dot(along_x, t) * wp.float32(level[0]),
            wp.dot(along_y, t) * wp.float32(level[1]),
            wp.dot(blended(fx, fy, counting), t),
        )

    @wp.kernel(enable_backward=False, module=module)
    def slopes(
        begin: wp.int32,
        run: wp.int32,
        tex: wp.array(dtype=vec),
        mips: wp.array(dtype=vec),
        levels: wp.array(dtype=wp.vec4i),
        shared: wp.int32,
        pixels: wp.int32,
        boundary: wp.int32,
        lookup: wp.array(dtype=lookup_type),
        with_level: wp.int32,
        level: wp.array(dtype=wp.float32),
        grad_out: wp.array(dtype=vec),
        grad_lookup: wp.array(dtype=lookup_type),
        grad_level: wp.array(dtype=wp.float32),
    ):
        """Adds to the gradients of a linear lookup's coordinates and level."""
        first = (begin + wp.tid()) * run
        image = wp.where(shared != 0, 0, first // pixels)
        base = levels[0]
        for p in range(first, first + run):
            at = lookup[p]
            if is_lookup(at):
                g = grad_out[p]
                number = wp.int32(0)
                f = wp.float32(0.0)
                if with_level != 0:
                    number = wp.int32(level[p])
                    f = level[p] - wp.float32(number)
                if number == 0:
                    s = bilinear(tex, at, base, image, boundary, g)
                else:
                    s = bilinear(mips, at, levels[number], image, boundary, g)
                if f > 0.0:
                    c = bilinear(mips, at, levels[number + 1], image, boundary, g)
                    grad_level[p] += c[2] - s[2]
                    s = s + (c - s) * f
                to_lookup = grad_lookup[p]
                to_lookup[0] += s[0]
                to_lookup[1] += s[1]
                grad_lookup[p] = to_lookup

    return slopes


def _make_scatter(module, vec, lookup_type, shape, blended):
    find_linear, find_nearest, is_lookup = shape.find_linear, shape.find_nearest, shape.is_lookup
    length = vec._length_

    @wp.func
    def is_zero(g: vec) -> wp.bool:
        total = wp.abs(g[0])
        for c in range(1, wp.static(length)):
            total += wp.abs(g[c])
        return total == 0.0

    @wp.func
    def add(
        grad: wp.array(dtype=vec),
        row: wp.int32,
        first: wp.int32,
        shift: wp.int32,
        owner: wp.int32,
        owners: wp.int32,
        value: vec,
    ):
        # 64 blocks in a row are dealt out in `owners` stripes.
        if ((((row - first) >> shift) & 63) * owners) >> 6 == owner:
            wp.atomic_add(grad, row, value)

    @wp.func
    def bilinear(
        grad: wp.array(dtype=vec),
        at: lookup_type,
        level: wp.vec4i,
        image: wp.int32,
        boundary: wp.int32,
        owner: wp.int32,
        owners: wp.int32,
        g: vec,
        share: wp.float32,
    ):
        rows, counting, fx, fy = find_linear(at, level, image, boundary)
        w = blended(fx, fy, counting) * share
        add(grad, rows[0], level[2], level[3], owner, owners, g * w[0])
        add(grad, rows[1], level[2], level[3], owner, owners, g * w[1])
        add(grad, rows[2], level[2], level[3], owner, owners, g * w[2])
        add(grad, rows[3], level[2], level[3], owner, owners, g * w[3])

    @wp.kernel(enable_backward=False, module=module)
    def scatter(
        begin: wp.int32,
        run: wp.int32,
        rows: wp.int32,
        owners: wp.int32,
        levels: wp.array(dtype=wp.vec4i),
        shared: wp.int32,
        pixels: wp.int32,
        linear: wp.int32,
        boundary: wp.int32,
        lookup: wp.array(dtype=lookup_type),
        with_level: wp.int32,
        level: wp.array(dtype=wp.float32),
        grad_out: wp.array(dtype=vec),
        grad_tex: wp.array(dtype=vec),
        grad_mips: wp.array(dtype=vec),
    ):
        """Adds to the gradients of all texels of one owner, from a run of pixels of one image.

        Threads share the texels among them in blocks, not the pixels: each looks at all
        pixels and needs no copy of the texture.
        """
        t = begin + wp.tid()
        owner = t // rows
        first = (t % rows) * run
        image = wp.where(shared != 0, 0, first // pixels)
        base = levels[0]
        for p in range(first, first + run):
            at = lookup[p]
            g = grad_out[p]
            if is_lookup(at) and not is_zero(g):
                number = wp.int32(0)
                f = wp.float32(0.0)
                if with_level != 0:
                    number = wp.int32(level[p])
                    f = level[p] - wp.float32(number)
                if linear == 0:
                    row, weight = find_nearest(at, base, image, boundary)
                    add(grad_tex, row, base[2], base[3], owner, owners, g * weight)
                elif number == 0:
                    bilinear(grad_tex, at, base, image, boundary, owner, owners, g, 1.0 - f)
                else:
                    bilinear(grad_mips, at, levels[number], image, boundary, owner, owners, g, 1.0 - f)
                if f > 0.0:
                    bilinear(grad_mips, at, levels[number + 1], image, boundary, owner, owners, g, f)

    return scatter
