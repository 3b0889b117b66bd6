"""Torch front of the area light kernel."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from studio.core.kernels import area, launcher
from studio.core.ops.packing import empty_like_views
from studio.core.ops.pixels import flat, runs

_PIXEL = 40.0
"""Nanoseconds of a pixel on one core."""


@cache
def lobe_table() -> np.ndarray:
    """[64, 32, 4] float32: inverse matrices of the lobe, shares of a cosine (assets/fit_ltc.py)."""
    table: np.ndarray = np.load(Path(__file__).parent.parent / "data" / "ltc.npy")
    return table


class _Area(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rast: Tensor, *inputs: Tensor) -> Tensor:
        n, height, width, _ = rast.shape
        out = rast.new_zeros(n, height, width, 2)
        count, run = runs(n * height * width, width, rast.device, sums=False)
        head = [launcher.BEGIN, run, height * width]
        ctx.save_for_backward(rast, *inputs)
        images = [flat(t) for t in (rast, *inputs[:3])]
        launcher.launch(
            area.area_light,
            count,
            [*head, *images, *inputs[3:], out.view(-1, 2)],
            rast.device,
            limit=launcher.worth(_PIXEL * count * run),
        )
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        rast, *inputs = ctx.saved_tensors
        images = empty_like_views(inputs[:3])
        light = torch.zeros_like(inputs[5])
        n, height, width, _ = rast.shape
        count, run = runs(n * height * width, width, rast.device)
        launcher.launch(
            area.area_light_backward,
            count,
            [
                *(launcher.BEGIN, run, height * width),
                *[flat(t) for t in (rast, *inputs[:3])],
                *inputs[3:],
                *[flat(t) for t in (grads[0], *images)],
                launcher.Scatter(light),
            ],
            rast.device,
            limit=launcher.worth(2 * _PIXEL * count * run),
        )
        return (None, *images, None, None, light)


def area_light(
    rast: Tensor,
    normal: Tensor,
    position: Tensor,
    perceptual_roughness: Tensor,
    camera_position: Tensor,
    world_to_light: Tensor,
    middle: Tensor,
    axis: Tensor,
    right: Tensor,
    half_size: Tensor,
) -> Tensor:
    """How large a rectangle of light looks to a surface, without occluders.

    Args:
        rast: [N, H, W, 4]; pixels with rast[..., 3] == 0 stay 0.
        normal, position: [N, H, W, 3] world.
        perceptual_roughness: [N, H, W, 1], 0..1.
        camera_position: [N, 3] world.
        world_to_light: [N, 4, 4] rigid.
        middle, axis, right: [3] of the rectangle in light space; it shines along -axis.
        half_size: [2] half width, along `right`, and half height.
    Returns:
        [N, H, W, 2]: of the hemisphere weighed by the cosine, and of the GGX lobe, the share that
        the rectangle fills, 0..1. Times its radiance: the light of a white Lambertian surface,
        and what stands in for a blurred reflection.
    Gradients:
        To: normal, position, perceptual_roughness, middle, axis, right, half_size.
        Discontinuous in: nothing but the plane of the rectangle, seen from right beside it.
    Reference:
        Heitz et al. 2016, "Real-Time Polygonal-Light Shading with Linearly Transformed Cosines".
    """
    rotation = world_to_light[:, :3, :3]
    in_light = torch.einsum("nij,nj->ni", rotation, camera_position) + world_to_light[:, :3, 3]
    views = torch.cat([rotation, camera_position[:, None], in_light[:, None]], dim=1).detach().contiguous()
    table = torch.from_numpy(lobe_table()).to(rast.device)
    light = torch.stack([middle, axis, right, torch.cat([half_size, half_size.new_zeros(1)])])
    out: Tensor = _Area.apply(rast, normal, position, perceptual_roughness, views, table, light)
    return out
