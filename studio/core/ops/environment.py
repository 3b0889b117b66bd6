"""Torch front of the environment's lookups."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from studio.core.kernels import environment as kernels
from studio.core.kernels import launcher
from studio.core.ops import check
from studio.core.ops.packing import empty_like_views
from studio.core.ops.pixels import flat, runs
from studio.core.ops.prefilter import LEVELS

_PIXEL = 60.0
"""Nanoseconds of a pixel's lookups on one core."""


@cache
def level_table(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """([L] roughness, [L] int32 texels along a side, [L] int32 first texel) of LEVELS."""
    sizes = torch.tensor([size for _, size in LEVELS], dtype=torch.int32)
    first = torch.cumsum(sizes * sizes, 0, dtype=torch.int32) - sizes * sizes
    roughness = torch.tensor([r for r, _ in LEVELS])
    return roughness.to(device), sizes.to(device), first.to(device)


class _Environment(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rast: Tensor, blur: float, behind: int, *inputs: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        n, height, width, _ = rast.shape
        pixels = n * height * width
        ctx.count, run = runs(pixels, width, rast.device)
        ctx.head = [launcher.BEGIN, run, width, height]
        ctx.blur, ctx.behind = blur, behind
        ctx.set_materialize_grads(False)
        diffuse = torch.zeros(n, height, width, 3, device=rast.device)
        specular = torch.zeros_like(diffuse)
        background = torch.zeros_like(diffuse) if behind else diffuse.new_zeros(0, 0, 0, 3)
        launcher.launch(
            kernels.environment_forward,
            ctx.count,
            [
                *ctx.head,
                rast.view(-1, 4),
                *[flat(t) for t in inputs[:3]],
                *inputs[3:],
                *level_table(rast.device),
                blur,
                behind,
                *[t.view(-1, 3) for t in (diffuse, specular, background)],
            ],
            rast.device,
            limit=launcher.worth(_PIXEL * pixels),
        )
        ctx.save_for_backward(rast, *inputs)
        return diffuse, specular, background

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        rast, *inputs = ctx.saved_tensors
        shape = (*rast.shape[:3], 3)
        of_diffuse, of_specular = (g if g is not None else rast.new_zeros(shape) for g in grads[:2])
        behind = ctx.behind if grads[2] is not None else 0
        of_behind = flat(grads[2]) if grads[2] is not None and behind else rast.new_zeros(0, 3)
        image_grads = empty_like_views(inputs[:3])
        sums = [torch.zeros_like(t) for t in inputs[4:]]  # rotation, rays, texels
        launcher.launch(
            kernels.environment_backward,
            ctx.count,
            [
                *ctx.head,
                rast.view(-1, 4),
                *[flat(t) for t in inputs[:3]],
                *inputs[3:],
                *level_table(rast.device),
                ctx.blur,
                behind,
                int(ctx.needs_input_grad[-1]),
                flat(of_diffuse),
                flat(of_specular),
                of_behind,
                *[flat(t) for t in image_grads],
                *[launcher.Scatter(t) for t in sums],
            ],
            rast.device,
            limit=launcher.worth(2 * _PIXEL * rast[..., 0].numel()),
        )
        return (None, None, None, *image_grads, None, *sums)


def environment_light(
    rast: Tensor,
    normal: Tensor,
    position: Tensor,
    perceptual_roughness: Tensor,
    camera_position: Tensor,
    rotation: Tensor,
    rays: Tensor,
    levels: Tensor,
    blur: float = 0.0,
    behind: str = "empty",
) -> tuple[Tensor, Tensor, Tensor]:
    """What a prefiltered environment sends to surfaces and, where nothing is, to the camera.

    Args:
        rast: [N, H, W, 4]; pixels with rast[..., 3] == 0 show the environment itself.
        normal, position: [N, H, W, 3] world.
        perceptual_roughness: [N, H, W, 1]; outside 0..1 as at the nearer end.
        camera_position: [N, 3] world.
        rotation: [N, 3, 3] from the world into the map's axes.
        rays: [N, 3, 3] takes (x, y, 1), normalized device coordinates, to the direction seen
            there in the map's axes (of any length).
        levels: [T, 3] from `prefilter`.
        blur: perceptual roughness with which the background is seen.
        behind: where the background is made: "none", "empty" or "all" (for soft silhouettes).
    Returns:
        Irradiance over pi around the normal and radiance in the lobe around the mirror direction,
        both [N, H, W, 3], 0 where nothing is; and the background [N, H, W, 3], 0 where it is not
        made ([0, 0, 0, 3] for "none"). Lookups are bilinear in the octahedral map and linear in
        roughness between levels.
    Gradients:
        To: normal, position, perceptual_roughness, rotation, rays, levels. Not to: camera_position.
        The slope along directions is that of bilinear lookups: it jumps at texel centres.
    Raises:
        ShapeError: a tensor that does not fit.
    Reference:
        Karis 2013, "Real Shading in Unreal Engine 4"; adjoint by hand.
    """
    op, n = "environment_light", len(rast)
    shared = (
        check.tensor(op, "camera_position", camera_position, (n, 3), like=rast),
        check.tensor(op, "rotation", rotation, (n, 3, 3), like=rast),
        check.tensor(op, "rays", rays, (n, 3, 3), like=rast),
        check.tensor(op, "levels", levels, (sum(s * s for _, s in LEVELS), 3), like=rast),
    )
    images = (normal, position, perceptual_roughness)
    where = ("none", "empty", "all").index(behind)
    diffuse, specular, background = _Environment.apply(rast, float(blur), where, *images, *shared)
    return diffuse, specular, background
