"""The steps of a texture lookup as autograd functions: direction to face, level, sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from studio.core.kernels import cube_project, launcher, texture_level
from studio.core.kernels.channels import groups
from studio.core.kernels.texture_sample import kernels
from studio.core.ops.texture_mip import Sizes, collapse, level_table
from studio.core.ops.visibility import run_length

MAX_OWNERS = 64
"""Threads that can share a texture: blocks of texels between which `scatter` decides."""
COPIED_PER_PIXEL = 16
"""Numbers copied and added up in the time that a thread takes to pass over a foreign pixel."""


def _rows(image: Tensor) -> tuple[int, int]:
    """(number of runs, pixels in a run) of [N, H, W, ...]."""
    n, height, width = image.shape[:3]
    run = run_length(image.device, width)
    return n * height * width // run, run


class Project(torch.autograd.Function):
    """[N, H, W, 3] directions and [N, H, W, 6] or no derivatives to (s, t, face) and [N, H, W, 4]."""

    @staticmethod
    def forward(ctx: Any, direction: Tensor, direction_da: Tensor | None) -> tuple[Tensor, Tensor | None]:
        lookup = torch.empty_like(direction)
        st_da = None if direction_da is None else direction.new_empty(*direction.shape[:3], 4)
        count, run = _rows(direction)
        head = [launcher.BEGIN, run, direction.view(-1, 3), *_derivatives(direction, direction_da)]
        out = [lookup.view(-1, 3), (direction.new_empty(0, 4) if st_da is None else st_da.view(-1, 4))]
        launcher.launch(cube_project.project, count, [*head, *out], direction.device)
        ctx.save_for_backward(direction, direction_da)
        ctx.set_materialize_grads(False)
        return lookup, st_da

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        direction, direction_da = ctx.saved_tensors
        to_lookup, to_da = grads
        if to_lookup is None and to_da is None:
            return None, None
        if to_lookup is None:
            to_lookup = torch.zeros_like(direction)
        if to_da is None:
            direction_da = None
        grad = torch.empty_like(direction)
        grad_da = None if direction_da is None else torch.empty_like(direction_da)
        count, run = _rows(direction)
        head = [launcher.BEGIN, run, direction.view(-1, 3), *_derivatives(direction, direction_da)]
        incoming = direction.new_empty(0, 4) if to_da is None else to_da.contiguous().view(-1, 4)
        out = [grad.view(-1, 3), _derivatives(direction, grad_da)[1]]
        launcher.launch(
            cube_project.project_backward,
            count,
            [*head, to_lookup.contiguous().view(-1, 3), incoming, *out],
            direction.device,
        )
        return grad, grad_da


def _derivatives(direction: Tensor, da: Tensor | None) -> list[Any]:
    """Whether there are derivatives, and they or nothing."""
    return [0, direction.new_empty(0, 6)] if da is None else [1, da.view(-1, 6)]


@dataclass(frozen=True)
class Choice:
    """How a level is chosen: size of the finest level, number of the coarsest, whole or not."""

    width: int
    height: int
    most: int
    nearest: bool

    def sizes(self) -> list[float]:
        return [float(self.width), float(self.height), float(self.most)]


class Level(torch.autograd.Function):
    """[N, H, W] levels from derivatives [N, H, W, 4] and bias [N, H, W], at least one of them."""

    @staticmethod
    def forward(ctx: Any, uv_da: Tensor | None, bias: Tensor | None, choice: Choice) -> Tensor:
        given = uv_da if uv_da is not None else bias
        assert given is not None  # the caller's promise
        level = torch.empty(given.shape[:3], device=given.device)
        count, run = _rows(level)
        flat = level.view(-1)
        none = level.new_empty(0, 4)
        inputs = [
            int(uv_da is not None),
            none if uv_da is None else uv_da.view(-1, 4),
            int(bias is not None),
            none.view(-1) if bias is None else bias.view(-1),
        ]
        launcher.launch(
            texture_level.choose,
            count,
            [launcher.BEGIN, run, *choice.sizes(), int(choice.nearest), *inputs, flat],
            level.device,
        )
        ctx.save_for_backward(uv_da, level)
        ctx.choice = choice
        if choice.nearest:
            ctx.mark_non_differentiable(level)
        return level

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        uv_da, level = ctx.saved_tensors
        choice = ctx.choice
        count, run = _rows(level)
        grad, flat = grads[0].contiguous().view(-1), level.view(-1)
        to_da = to_bias = None
        if ctx.needs_input_grad[0]:
            to_da = torch.empty_like(uv_da)
            pixels = [uv_da.view(-1, 4), flat, grad, to_da.view(-1, 4)]
            launcher.launch(
                texture_level.choose_backward,
                count,
                [launcher.BEGIN, run, *choice.sizes(), *pixels],
                level.device,
            )
        if ctx.needs_input_grad[1]:
            to_bias = torch.empty_like(level)
            launcher.launch(
                texture_level.bias_backward,
                count,
                [launcher.BEGIN, run, float(choice.most), flat, grad, to_bias.view(-1)],
                level.device,
            )
        return to_da, to_bias, None


@dataclass(frozen=True)
class Mode:
    """What a lookup does.

    Attributes:
        sizes: of the levels.
        built: whether the coarser levels were made of the texture just now, for this lookup: what
            they get is the texture's, and it costs less to add it up here than through autograd.
    """

    sizes: Sizes
    cube: bool
    linear: bool
    boundary: int
    built: bool


class Sample(torch.autograd.Function):
    """Texels [B, H, W, C] (B images or faces) and [M, C], lookups, levels or none to [N, H, W, C]."""

    @staticmethod
    def forward(
        ctx: Any, tex: Tensor, mips: Tensor, lookup: Tensor, level: Tensor | None, mode: Mode
    ) -> Tensor:
        channels = tex.shape[-1]
        out = torch.empty(*lookup.shape[:3], channels, device=lookup.device)
        count, run = _rows(lookup)
        for first, size in groups(channels):
            finest, coarser, target = (
                t.view(-1, channels)[:, first : first + size] for t in (tex, mips, out)
            )
            launcher.launch(
                kernels(size, mode.cube).gather,
                count,
                [
                    *(launcher.BEGIN, run, finest, coarser, *_texture(tex, lookup, mode)),
                    *(int(mode.linear), mode.boundary, *_pixels(lookup, level), target),
                ],
                lookup.device,
            )
        ctx.save_for_backward(tex, mips, lookup, level)
        ctx.mode = mode
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        tex, mips, lookup, level = ctx.saved_tensors
        grad = grads[0].contiguous()
        with_tex, with_mips, with_lookup, with_level, _ = ctx.needs_input_grad
        to_tex = to_mips = to_lookup = to_level = None
        if with_tex or with_mips:
            to_tex, to_mips = _scatter(tex, mips, lookup, level, ctx.mode, grad)
            if ctx.mode.built:
                collapse(to_mips, to_tex, ctx.mode.sizes, add=True)
                to_mips = None
        if with_lookup or with_level:
            to_lookup = torch.zeros_like(lookup)
            to_level = None if level is None else torch.zeros_like(level)
            if ctx.mode.linear:
                _slopes(tex, mips, lookup, level, ctx.mode, grad, to_lookup, to_level)
        return to_tex, to_mips, to_lookup, to_level, None


def _texture(tex: Tensor, lookup: Tensor, mode: Mode) -> list[Any]:
    """Level table, whether all images share the texture, pixels of an image."""
    images = tex.shape[0]
    shared = images == (6 if mode.cube else 1)
    table = level_table(mode.sizes, images, tex.device)
    return [table, int(shared), lookup.shape[1] * lookup.shape[2]]


def _pixels(lookup: Tensor, level: Tensor | None) -> list[Any]:
    """Lookups, whether there are levels, and they or nothing."""
    flat = lookup.view(-1, lookup.shape[-1])
    return [flat, 0, lookup.new_empty(0)] if level is None else [flat, 1, level.view(-1)]


def _slopes(
    tex: Tensor,
    mips: Tensor,
    lookup: Tensor,
    level: Tensor | None,
    mode: Mode,
    grad: Tensor,
    to_lookup: Tensor,
    to_level: Tensor | None,
) -> None:
    """Add the gradients of the lookups' coordinates and levels."""
    channels = tex.shape[-1]
    count, run = _rows(lookup)
    level_target = lookup.new_empty(0) if to_level is None else to_level.view(-1)
    for first, size in groups(channels):
        finest, coarser, pixel = (t.view(-1, channels)[:, first : first + size] for t in (tex, mips, grad))
        launcher.launch(
            kernels(size, mode.cube).slopes,
            count,
            [
                *(launcher.BEGIN, run, finest, coarser, *_texture(tex, lookup, mode)),
                *(mode.boundary, *_pixels(lookup, level)),
                *(pixel, to_lookup.view(-1, lookup.shape[-1]), level_target),
            ],
            lookup.device,
        )


def _scatter(
    tex: Tensor, mips: Tensor, lookup: Tensor, level: Tensor | None, mode: Mode, grad: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of the texels of all levels.

    On CPU the threads share the pixels and have copies of the texels each, to be added up; or,
    where a texture is large, they share the texels and go through all pixels each.
    """
    channels = tex.shape[-1]
    to_tex, to_mips = torch.zeros_like(tex), torch.zeros_like(mips)
    rows, run = _rows(lookup)
    shares = _texture(tex, lookup, mode)
    threads = len(launcher.bands(lookup.device, MAX_OWNERS))
    pixels = lookup.numel() // lookup.shape[-1]
    copied = (threads - 1) * (to_tex.numel() + to_mips.numel())
    # Images with textures of their own need no copies where no image is divided.
    unit = 0 if shares[1] else rows // max(1, len(lookup))
    apart = unit > 0 and len(lookup) % threads == 0
    owners = threads if copied > COPIED_PER_PIXEL * pixels and not apart else 1
    for first, size in groups(channels):
        finest, coarser, pixel = (
            t.view(-1, channels)[:, first : first + size] for t in (to_tex, to_mips, grad)
        )
        launcher.launch(
            kernels(size, mode.cube).scatter,
            owners * rows,
            [
                *(launcher.BEGIN, run, rows, owners, *shares),
                *(int(mode.linear), mode.boundary, *_pixels(lookup, level), pixel),
                *(
                    (finest, coarser)
                    if owners > 1
                    else (launcher.Scatter(t, unit) for t in (finest, coarser))
                ),
            ],
            lookup.device,
            limit=threads,
        )
    return to_tex, to_mips
