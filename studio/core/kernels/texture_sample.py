"""Sampling textures and its adjoint; a module per channel count, for flat and for cube maps.

Level 0 is an array of its own, the texture as the user has it; all coarser levels lie in a second
one, `mips`. `levels` has (width, height, first row in its array, shift) of each.
"""

from types import SimpleNamespace

import warp as wp

from studio.core.kernels import cube, texture, texture_loops
from studio.core.kernels.channels import variant

PRELOAD = ((3, False), (3, True), (9, False))
"""Channels, of a cube map or not; 9 are all textures of a fit together."""


def kernels(channels: int, is_cube: bool) -> SimpleNamespace:
    """`gather`, `slopes` and `scatter` for 1..MAX_CHANNELS channels."""
    if is_cube:
        return variant(__name__ + "_cube", channels, _make_cube)
    return variant(__name__ + "_flat", channels, _make_flat)


def warp_modules() -> list:
    """The Warp modules of the channel counts worth compiling ahead."""
    return [kernels(channels, is_cube).module for channels, is_cube in PRELOAD]


def _make_flat(module, vec) -> dict:
    return _make(module, vec, wp.vec2, texture)


def _make_cube(module, vec) -> dict:
    return _make(module, vec, wp.vec3, cube)


def _make(module, vec, lookup_type, shape) -> dict:
    makers = {"gather": _make_gather, "slopes": _make_slopes, "scatter": _make_scatter}
    return {name: make(module, vec, lookup_type, shape) for name, make in makers.items()}


def _native(source, vec, shape):
    """The source with channel count and kind of lookup filled in."""
    source = source.replace("FIND", shape.FIND).replace("LENGTH", str(shape.LENGTH))
    return wp.func_native(source.replace("CHANNELS", str(vec._length_)))


def _make_gather(module, vec, lookup_type, shape):
    @_native(texture_loops.GATHER, vec, shape)
    def gather_run(
        image: int,
        first: int,
        run: int,
        tex: wp.array(dtype=vec),
        mips: wp.array(dtype=vec),
        levels: wp.array(dtype=wp.vec4i),
        linear: int,
        boundary: int,
        lookup: wp.array(dtype=lookup_type),
        with_level: int,
        level: wp.array(dtype=float),
        out: wp.array(dtype=vec),
    ): ...

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
        gather_run(image, first, run, tex, mips, levels, linear, boundary, lookup, with_level, level, out)

    return gather


def _make_slopes(module, vec, lookup_type, shape):
    @_native(texture_loops.SLOPES, vec, shape)
    def slopes_run(
        image: int,
        first: int,
        run: int,
        tex: wp.array(dtype=vec),
        mips: wp.array(dtype=vec),
        levels: wp.array(dtype=wp.vec4i),
        boundary: int,
        lookup: wp.array(dtype=lookup_type),
        with_level: int,
        level: wp.array(dtype=float),
        grad_out: wp.array(dtype=vec),
        grad_lookup: wp.array(dtype=lookup_type),
        grad_level: wp.array(dtype=float),
    ): ...

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
        slopes_run(
            image, first, run, tex, mips, levels, boundary, lookup,
            with_level, level, grad_out, grad_lookup, grad_level,
        )  # fmt: skip

    return slopes


def _make_scatter(module, vec, lookup_type, shape):
    @_native(texture_loops.SCATTER, vec, shape)
    def scatter_run(
        image: int,
        first: int,
        run: int,
        owner: int,
        owners: int,
        levels: wp.array(dtype=wp.vec4i),
        linear: int,
        boundary: int,
        lookup: wp.array(dtype=lookup_type),
        with_level: int,
        level: wp.array(dtype=float),
        grad_out: wp.array(dtype=vec),
        grad_tex: wp.array(dtype=vec),
        grad_mips: wp.array(dtype=vec),
    ): ...

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
        first = (t % rows) * run
        image = wp.where(shared != 0, 0, first // pixels)
        scatter_run(
            image, first, run, t // rows, owners, levels, linear, boundary, lookup,
            with_level, level, grad_out, grad_tex, grad_mips,
        )  # fmt: skip

    return scatter
