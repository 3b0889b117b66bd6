"""Texture sampling at interpolated coordinates or directions."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from studio.core.errors import InputError, ShapeError
from studio.core.kernels import texture as kernels
from studio.core.ops import check
from studio.core.ops.texture_mip import Mip, build, check_most, check_texture, from_stack, level_sizes
from studio.core.ops.texture_sample import Choice, Level, Mode, Project, Sample

FILTERS = ("auto", "nearest", "linear", "linear-mipmap-nearest", "linear-mipmap-linear")
BOUNDARIES = {"wrap": kernels.WRAP, "clamp": kernels.CLAMP, "zero": kernels.ZERO, "cube": kernels.WRAP}


def _choose_filter(filter_mode: str, uv_da: object, bias: object) -> str:
    """The filter that "auto" stands for; InputError for one that is unknown or lacks a level."""
    if filter_mode not in FILTERS:
        raise InputError(f"texture: filter_mode must be one of {', '.join(FILTERS)}, got {filter_mode}")
    levelled = uv_da is not None or bias is not None
    if filter_mode == "auto":
        return "linear-mipmap-linear" if levelled else "linear"
    if "mipmap" in filter_mode and not levelled:
        raise InputError(f"texture: filter_mode {filter_mode} needs uv_da or mip_level_bias, got neither")
    return filter_mode


def _pyramid(tex: Tensor, mip: Mip | Sequence[Tensor] | None, most: int | None) -> Mip:
    """The levels to sample: built here, given by texture_construct_mip, or the user's own."""
    if mip is None:
        height, width, channels = tex.shape[-3:]
        sizes = level_sizes(height, width, most)
        return Mip(tuple(tex.shape), sizes, build(tex.detach().view(-1, height, width, channels), sizes))
    if isinstance(mip, Mip):
        if mip.shape != tuple(tex.shape):
            raise ShapeError(f"texture: mip must be of a texture {list(tex.shape)}, got {list(mip.shape)}")
        if mip.texels.device != tex.device:
            raise ShapeError(f"texture: mip must be on {tex.device}, got {mip.texels.device}")
        levels = len(mip.sizes) - 1
        height, width = mip.sizes[0]
        return Mip(
            mip.shape, level_sizes(height, width, levels if most is None else min(most, levels)), mip.texels
        )
    if isinstance(mip, Sequence):
        return from_stack("texture", tex, mip, most)
    raise ShapeError(
        f"texture: mip must come from texture_construct_mip or be a list of tensors, got {type(mip).__name__}"
    )


def texture(
    tex: Tensor,
    uv: Tensor,
    uv_da: Tensor | None = None,
    mip_level_bias: Tensor | None = None,
    mip: Mip | Sequence[Tensor] | None = None,
    filter_mode: str = "auto",
    boundary_mode: str = "wrap",
    max_mip_level: int | None = None,
) -> Tensor:
    """Sample a texture or a cube map, mip-mapped or not.

    The mip level is log2 of the longest axis of a pixel's footprint in texels of the finest
    level, plus the bias, cut off at both ends. The uv of empty pixels are 0 and sample the
    corner texel: mask the result by coverage. A cube map gives 0 for the direction 0.

    Args:
        tex: [N, TH, TW, C] or [1, TH, TW, C] (shared) float32; any size; row 0 at v = 0. For
            cube maps [N, 6, TH, TH, C]: +x, -x, +y, -y, +z, -z, oriented as in OpenGL.
        uv: [N, H, W, 2] float32; texel centres at (i + 0.5) / size. For cube maps [N, H, W, 3]
            directions of any length.
        uv_da: [N, H, W, 4] screen derivatives (du/dX, du/dY, dv/dX, dv/dY) per pixel, as
            `interpolate` gives them; for cube maps [N, H, W, 6] of the direction.
        mip_level_bias: [N, H, W] added to the level; without uv_da it is the level.
        mip: levels made ahead by `texture_construct_mip`, or a list of levels of one's own,
            [N, TH / 2, TW / 2, C] and so on, sides rounded down; by default made here.
        filter_mode: "nearest", "linear", "linear-mipmap-nearest", "linear-mipmap-linear"
            (trilinear), or "auto": trilinear if uv_da or mip_level_bias is given, else linear.
        boundary_mode: "wrap" repeats, "clamp" holds the border, "zero" is 0 outside; "cube"
            for cube maps, filtered across the edges of faces.
        max_mip_level: number of the coarsest level used; None for all there are.
    Returns:
        [N, H, W, C].
    Gradients:
        To: tex (from all levels, or with a list of levels to each of its own), uv, and for
        trilinear filtering uv_da and mip_level_bias.
        Not to: uv for nearest, uv_da and mip_level_bias for a whole level (piecewise constant);
        uv_da and mip_level_bias where the level is cut off.
        Discontinuous in: uv for nearest; slopes jump at texel centres and whole levels.
    Raises:
        InputError: an unknown filter or boundary mode, or a mip-mapped one without a level.
        ShapeError: names the tensor, expected and actual shape, type or device.
    Reference:
        Laine et al. 2020, "Modular Primitives for High-Performance Differentiable Rendering",
        section 3.5; Williams 1983, "Pyramidal Parametrics". Ours takes any size, see
        texture_construct_mip.
    """
    op = "texture"
    chosen = _choose_filter(filter_mode, uv_da, mip_level_bias)
    if boundary_mode not in BOUNDARIES:
        raise InputError(
            f"texture: boundary_mode must be one of {', '.join(BOUNDARIES)}, got {boundary_mode}"
        )
    cube = boundary_mode == "cube"
    uv = check.tensor(op, "uv", uv, ("N", "H", "W", 3 if cube else 2))
    tex = check_texture(op, tex, cube, like=uv)
    check.same_batch(op, "tex", tex, len(uv), allow_one=True)
    most = check_most(op, max_mip_level)
    pixels = tuple(uv.shape[:3])
    if uv_da is not None:
        uv_da = check.tensor(op, "uv_da", uv_da, (*pixels, 6 if cube else 4), like=uv)
    if mip_level_bias is not None:
        mip_level_bias = check.tensor(op, "mip_level_bias", mip_level_bias, pixels, like=uv)
    height, width, channels = tex.shape[-3:]
    mipped = "mipmap" in chosen
    pyramid = _pyramid(tex, mip, most) if mipped else Mip(tuple(tex.shape), ((height, width),), tex)
    mipped = mipped and len(pyramid.sizes) > 1
    lookup, lookup_da = Project.apply(uv, uv_da if mipped else None) if cube else (uv, uv_da)
    level = None
    if mipped:
        choice = Choice(width, height, len(pyramid.sizes) - 1, chosen == "linear-mipmap-nearest")
        level = Level.apply(lookup_da, mip_level_bias, choice)
    mode = Mode(pyramid.sizes, cube, chosen != "nearest", BOUNDARIES[boundary_mode], mipped and mip is None)
    texels = pyramid.texels if mipped else tex.new_empty(0, channels)
    return Sample.apply(tex.view(-1, height, width, channels), texels, lookup, level, mode)
