"""Torch front of the volume kernels: emission and absorption along rays."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from studio.core.arrival import constant
from studio.core.errors import InputError
from studio.core.kernels import launcher
from studio.core.kernels.volume import kernels
from studio.core.ops import check
from studio.core.ops.grid import Grid, Occupancy
from studio.core.ops.samples import Box, Field, Samples
from studio.core.scene.volume import SHIFT

_RAY_TIME = 1500.0
"""Nanoseconds per ray on one core, at least."""

_BACK_TIME = 5000.0
"""The same of a march with its gradient, of usual length."""

_COPY_TIME = 0.5
"""Nanoseconds for a byte of another band's gradients: cleared, then added up."""


class _March(torch.autograd.Function):
    """[R, 5]: colour, alpha, distance times alpha."""

    @staticmethod
    def forward(
        ctx: Any,
        density: Tensor,
        colors: Tensor,
        origins: Tensor,
        directions: Tensor,
        jitter: Tensor,
        free: Tensor,
        frame: Tensor,
        sharpness: Tensor | None,
    ) -> Tensor:
        out = origins.new_empty(len(origins), 5)
        ctx.distances = sharpness is not None
        launcher.launch(
            kernels(math.isqrt(colors.shape[3]) - 1, ctx.distances).march,
            len(origins),
            [*_inputs(density, colors, origins, directions, jitter, free, frame), out],
            density.device,
            limit=launcher.worth(_RAY_TIME * len(origins)),
        )
        ctx.save_for_backward(density, colors, origins, directions, jitter, free, frame, out)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        *given, out = ctx.saved_tensors
        density, colors, origins, directions = given[:4]
        with_grid = any(ctx.needs_input_grad[n] for n in (0, 1, 7))
        with_rays = ctx.needs_input_grad[2] or ctx.needs_input_grad[3]
        nothing = origins.new_empty(1)
        to_density, to_colors = (
            torch.zeros_like(t) if with_grid else nothing.view((1,) * t.ndim) for t in (density, colors)
        )
        to_sharpness = torch.empty_like(origins[:, 0]) if ctx.distances and with_grid else nothing
        to_rays = [torch.empty_like(t) if with_rays else origins for t in (origins, directions)]
        to_grid = [t.view(-1) for t in (to_density, to_colors)]
        launcher.launch(
            kernels(math.isqrt(colors.shape[3]) - 1, ctx.distances).march_backward,
            len(origins),
            [
                *_inputs(*given),
                out,
                int(with_grid),
                int(with_rays),
                grads[0].contiguous(),
                *([launcher.Scatter(t) for t in to_grid] if with_grid else to_grid),
                to_sharpness,
                *to_rays,
            ],
            density.device,
            limit=_bands_back(len(origins), density.nbytes + colors.nbytes if with_grid else 0),
        )
        wanted = [*([to_density, to_colors] if with_grid else [None] * 2)]
        wanted += to_rays if with_rays else [None] * 2
        sharper = to_sharpness.sum().view(1) if ctx.needs_input_grad[7] else None
        return (*wanted, None, None, None, sharper)


def _bands_back(rays: int, size: int) -> int:
    """How many bands a march with its gradient is worth where each of them has a gradient of `size` bytes."""
    limit = launcher.worth(2 * _RAY_TIME * rays)
    return min(limit, 1 + int(_BACK_TIME * rays / (_COPY_TIME * size))) if size else limit


def _inputs(
    density: Tensor,
    colors: Tensor,
    origins: Tensor,
    directions: Tensor,
    jitter: Tensor,
    free: Tensor,
    frame: Tensor,
) -> list[Any]:
    grids = [density.view(-1), colors.view(-1), free.view(-1)]
    return [launcher.BEGIN, *density.shape, *grids, frame, origins, directions, jitter]


def frame_of(grid: Grid, step: float, least_alpha: float, least_transmittance: float) -> Tensor:
    """The numbers that kernels want to know; see kernels/volume_ray.py."""
    device = grid.density.device
    place = (*grid.low, 1.0 / grid.voxel, step, step / grid.base_voxel)
    if grid.sharpness is None:
        least = min(max(grid.least_value(least_alpha, step) - SHIFT, -1.0e30), 1.0e30)
        return constant((*place, least, least_transmittance, 0.0), torch.float32, device)
    # A sharpness that is learnt lies where it is learnt: nobody waits to look at it.
    parts = (
        constant(place, torch.float32, device),
        grid.least_distance(least_alpha, step).clamp(-1.0e30, 1.0e30).float(),
        constant((least_transmittance,), torch.float32, device),
        grid.sharpness.detach().float(),
    )
    return torch.cat([part.reshape(-1) for part in parts])


def march(
    field: Grid | Field,
    origins: Tensor,
    directions: Tensor,
    step: float | None = None,
    jitter: Tensor | None = None,
    background: Tensor | None = None,
    occupancy: Occupancy | None = None,
    least_alpha: float = 0.0,
    least_transmittance: float = 1e-4,
    box: Box | None = None,
    room: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """What rays see of a volume that emits and absorbs.

    A ray is sampled at the distances (i + jitter) * step, i = 0, 1, …, that lie in the box. A sample
    with extinction s has the opacity a = 1 - exp(-s * step) and the weight w = a times the product of
    1 - a over all before it; results are sums of w times what is there.

    Args:
        field: a Grid, for which kernels do the work; or a function of points [P, 3] and unit
            directions [P, 3] that gives extinction per world unit [P] and radiance [P, 3], such as
            a network. That takes memory per sample.
        origins, directions: [R, 3] float32; directions need not be of unit length.
        step: world units; half a voxel if None, which only a grid has.
        jitter: [R] in 0..1, or None for 0.5 everywhere.
        background: [3] or [R, 3], seen through what is left; None is black.
        occupancy: where samples are worth taking; the rest is leapt over.
        least_alpha: samples of a lower opacity are left out.
        least_transmittance: a ray ends when less than this would be seen of what is behind.
        box: (low, high) of the space to look through; needed for a function, a grid has its own.
        room: samples of a function that are taken at most, those of the first rays; None counts them, for
            which the host waits where a GPU does the work. With it no shape depends on numbers.
    Returns:
        color: [R, 3] linear, over the background.
        alpha: [R] sum of the weights.
        depth: [R] sum of weights times distances; divided by alpha, the expected distance.
    Gradients:
        To: density, colors and sharpness of the grid (or whatever a function computes with), origins,
        directions, background. Samples that enter or leave the box, an occupied brick or a limit
        are jumps without gradient; all are small where the box's sides are empty.
    Raises:
        ShapeError: names the tensor, expected and actual shape, type or device.
        InputError: a step or limit that makes no sense, an occupancy of another grid.
    Reference:
        Max 1995, "Optical Models for Direct Volume Rendering", sections 4 and 5.
    """
    op = "march"
    origins = check.tensor(op, "origins", origins, ("R", 3))
    directions = check.tensor(op, "directions", directions, tuple(origins.shape), like=origins)
    directions = torch.nn.functional.normalize(directions, dim=-1)
    if step is None:
        if not isinstance(field, Grid):
            raise InputError("march: step must be given for a field that is no Grid")
        step = 0.5 * field.voxel
    if not (0 < step < math.inf):
        raise InputError(f"march: step must be a positive length, got {step:g}")
    for name, limit in (("least_alpha", least_alpha), ("least_transmittance", least_transmittance)):
        if not 0 <= limit < 1:
            raise InputError(f"march: {name} must be at least 0 and below 1, got {limit:g}")
    if jitter is None:
        jitter = origins.new_full((1,), 0.5)
    else:
        jitter = check.tensor(op, "jitter", jitter, (len(origins),), like=origins)
    if len(origins) == 0:
        found = origins.new_zeros(0, 5)
    elif isinstance(field, Grid):
        field.check(op)
        check.tensor(op, "density", field.density, tuple(field.density.shape), like=origins)
        if occupancy is not None and occupancy.shape != tuple(field.density.shape):
            raise InputError(
                f"march: occupancy is of {list(occupancy.shape)} points, "
                f"expected the grid's {list(field.density.shape)}"
            )
        frame = frame_of(field, step, least_alpha, least_transmittance)
        none = torch.zeros(1, dtype=torch.uint8, device=origins.device)
        free = none if occupancy is None else occupancy.free
        density, colors = field.density.contiguous(), field.colors.contiguous()
        found = _March.apply(density, colors, origins, directions, jitter, free, frame, field.sharpness)
    else:
        if box is None:
            raise InputError("march: box must be given for a field that is no Grid")
        samples = Samples.along(origins, directions, jitter, step, box, occupancy, room is None)
        found = samples.composited(field, least_alpha, least_transmittance, room)
    color, alpha, depth = found[:, :3], found[:, 3], found[:, 4]
    if background is not None:
        shape = (3,) if isinstance(background, Tensor) and background.ndim == 1 else tuple(origins.shape)
        background = check.tensor(op, "background", background, shape, like=origins)
        color = color + (1 - alpha)[:, None] * background
    return color, alpha, depth
