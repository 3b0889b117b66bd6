"""Mip pyramids of textures: construction, its transpose, and stacks that users bring."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from studio.core.errors import ShapeError
from studio.core.kernels import launcher
from studio.core.kernels.channels import groups
from studio.core.kernels.texture_mip import kernels
from studio.core.ops import check
from studio.core.ops.visibility import run_length

# About the nanoseconds a CPU core takes to make a texel of a level.
_PER_TEXEL = 2.0
Sizes = tuple[tuple[int, int], ...]
"""(height, width) of every level, the finest first."""


@dataclass(frozen=True, eq=False)
class Mip:
    """What texture_construct_mip gives: opaque to users, reusable as long as the texture stays.

    Attributes:
        shape: of the texture.
        sizes: of all levels, the texture itself included.
        texels: [M, C] of all levels but the finest, one after the other.
    """

    shape: tuple[int, ...]
    sizes: Sizes
    texels: Tensor

    def levels(self) -> list[Tensor]:
        """Views of the levels after the finest, each shaped like the texture."""
        images = math.prod(self.shape[:-3])
        starts = level_starts(self.sizes, images)
        return [
            self.texels[start : start + images * height * width].view(
                *self.shape[:-3], height, width, self.shape[-1]
            )
            for (height, width), start in zip(self.sizes[1:], starts[1:])
        ]


def level_sizes(height: int, width: int, most: int | None) -> Sizes:
    """Sides halve, rounded down, to 1; at most `most` levels after the first."""
    sizes = [(height, width)]
    while sizes[-1] != (1, 1) and (most is None or len(sizes) <= most):
        height, width = max(height // 2, 1), max(width // 2, 1)
        sizes.append((height, width))
    return tuple(sizes)


def level_starts(sizes: Sizes, images: int) -> list[int]:
    """First row of each level in its array (0 for the finest), and the rows of the second array."""
    starts = [0, 0]
    for height, width in sizes[1:]:
        starts.append(starts[-1] + images * height * width)
    return starts


@lru_cache(maxsize=256)
def level_table(sizes: Sizes, images: int, device: torch.device) -> Tensor:
    """[L, 4] int32 (width, height, first row, shift) for the kernels.

    The shift makes about 1024 blocks of consecutive texels, by which threads share a level.
    """
    starts = level_starts(sizes, images)
    rows = []
    for (height, width), start in zip(sizes, starts):
        texels = images * height * width
        rows.append((width, height, start, max(0, texels.bit_length() - 11)))
    return torch.tensor(rows, dtype=torch.int32, device=device)


def build(tex: Tensor, sizes: Sizes) -> Tensor:
    """[M, C] texels of the coarser levels of [B, H, W, C] (B images or faces)."""
    images, _, _, channels = tex.shape
    starts = level_starts(sizes, images)
    texels = torch.empty(starts[-1], channels, device=tex.device)
    for first, count in groups(channels):
        finest, coarser = (t[:, first : first + count] for t in (tex.view(-1, channels), texels))
        for level in range(1, len(sizes)):
            height, width = sizes[level]
            run = run_length(tex.device, width)
            fine = finest if level == 1 else coarser
            source = [fine, starts[level - 1], sizes[level - 1][1], sizes[level - 1][0]]
            launcher.launch(
                kernels(count).halve,
                images * height * width // run,
                [launcher.BEGIN, run, *source, coarser, starts[level]],
                tex.device,
                limit=launcher.worth(_PER_TEXEL * images * height * width),
            )
    return texels


def collapse(to_mips: Tensor, to_tex: Tensor, sizes: Sizes, add: bool) -> None:
    """Transpose of `build`: gradient of the coarser levels to the finest, `to_tex`.

    Args:
        to_mips: [M, C]; becomes the sums of what each level gets.
        add: whether to_tex holds a gradient already.
    """
    images, _, _, channels = to_tex.shape
    starts = level_starts(sizes, images)
    for first, count in groups(channels):
        finest, coarser = (t[:, first : first + count] for t in (to_tex.view(-1, channels), to_mips))
        for level in range(len(sizes) - 2, -1, -1):
            height, width = sizes[level]
            run = run_length(to_tex.device, width)
            fine = coarser if level else finest
            target = [int(level > 0 or add), fine, starts[level]]
            launcher.launch(
                kernels(count).double,
                images * height * width // run,
                [launcher.BEGIN, run, coarser, starts[level + 1], width, height, *target],
                to_tex.device,
                limit=launcher.worth(_PER_TEXEL * images * height * width),
            )


class _Construct(torch.autograd.Function):
    """`build` with its gradient."""

    @staticmethod
    def forward(ctx: Any, tex: Tensor, sizes: Sizes) -> Tensor:
        ctx.sizes, ctx.shape = sizes, tex.shape
        return build(tex, sizes)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        to_mips = grads[0].clone(memory_format=torch.contiguous_format)
        to_tex = torch.empty(ctx.shape, device=to_mips.device)
        collapse(to_mips, to_tex, ctx.sizes, add=False)
        return to_tex, None


def construct(tex: Tensor, most: int | None) -> Mip:
    """The pyramid of a checked texture, [B, H, W, C] or [B, 6, H, H, C]."""
    height, width, channels = tex.shape[-3:]
    sizes = level_sizes(height, width, most)
    finest = tex.view(-1, height, width, channels)
    texels = _Construct.apply(finest, sizes) if len(sizes) > 1 else tex.new_empty(0, channels)
    return Mip(tuple(tex.shape), sizes, texels)


def from_stack(op: str, tex: Tensor, stack: Sequence[Tensor], most: int | None) -> Mip:
    """A pyramid of the user's own levels, each half the size of the one before."""
    height, width = tex.shape[-3:-1]
    sizes = level_sizes(height, width, len(stack))
    if len(stack) > len(sizes) - 1:
        raise ShapeError(
            f"{op}: mip must have at most {len(sizes) - 1} levels for a texture of {height} x {width}, "
            f"got {len(stack)}"
        )
    levels = []
    for number, (level, size) in enumerate(zip(stack, sizes[1:])):
        shape = (*tex.shape[:-3], *size, tex.shape[-1])
        levels.append(check.tensor(op, f"mip[{number}]", level, shape, like=tex))
    used = level_sizes(height, width, len(stack) if most is None else min(most, len(stack)))
    flat = [level.view(-1, tex.shape[-1]) for level in levels[: len(used) - 1]]
    texels = torch.cat(flat) if flat else tex.new_empty(0, tex.shape[-1])
    return Mip(tuple(tex.shape), used, texels)


def check_texture(op: str, tex: object, cube: bool, like: Tensor | None = None) -> Tensor:
    """A texture with texels, [N, H, W, C] or for cube maps [N, 6, H, H, C]."""
    shape = ("N", 6, "H", "H", "C") if cube else ("N", "H", "W", "C")
    out = check.tensor(op, "tex", tex, shape, like=like)
    if cube and out.shape[2] != out.shape[3]:
        raise ShapeError(f"{op}: tex must have square faces [N, 6, H, H, C], got {list(out.shape)}")
    if out.numel() == 0:
        raise ShapeError(f"{op}: tex must have texels and channels, got {list(out.shape)}")
    if out.numel() // out.shape[-1] >= 1 << 30:
        raise ShapeError(f"{op}: tex must have fewer than {1 << 30} texels, got {list(out.shape)}")
    return out


def check_most(op: str, most: object) -> int | None:
    """max_mip_level: a number of levels or None."""
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 0):
        raise ShapeError(f"{op}: max_mip_level must be None or at least 0, got {most!r}")
    return most


def texture_construct_mip(tex: Tensor, max_mip_level: int | None = None, cube_mode: bool = False) -> Mip:
    """Average a texture down to ever coarser levels, for trilinear sampling.

    `texture` does this by itself; build the pyramid once where a texture is sampled several
    times without changing. Sides of any length are halved, rounded down: each coarse texel is
    the mean of exactly the area it covers, so every level has the mean of the texture.

    Args:
        tex: [N, H, W, C] float32, or [N, 6, H, H, C] for cube maps.
        max_mip_level: at most this many levels after the finest; None for all, down to 1 x 1.
        cube_mode: whether tex is a cube map.
    Returns:
        mip: for `texture(..., mip=mip)` with the same texture.
    Gradients:
        To: tex, by the transpose of the averaging.
    Raises:
        ShapeError: names the tensor, expected and actual shape, type or device.
    Reference:
        Laine et al. 2020, "Modular Primitives for High-Performance Differentiable Rendering",
        section 3.5; Guthe and Heckbert 2005, "Non-power-of-two mipmap creation".
    """
    op = "texture_construct_mip"
    return construct(check_texture(op, tex, cube_mode), check_most(op, max_mip_level))
