"""Torch front of fast approximate antialiasing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from studio.core.kernels import fxaa as kernels
from studio.core.kernels import launcher
from studio.core.ops import check
from studio.core.ops.pixels import flat

REACH = int(kernels.STEPS)
"""Pixels an edge is followed to either side."""

_PIXEL = 40.0
"""Nanoseconds of a pixel on one core."""


def fxaa_choice(
    image: Tensor, threshold: float, threshold_dark: float, subpixel: float
) -> tuple[Tensor, Tensor]:
    """From which neighbour each pixel borrows, and how much.

    Args:
        image: [N, H, W, 3] linear light.
        threshold, threshold_dark, subpixel: see `fxaa`.
    Returns:
        [N, H, W] int32: 0 none, 1 left, 2 right, 3 below, 4 above; and the weight [N, H, W] float32.
    """
    n, height, width, _ = image.shape
    side = torch.empty(n, height, width, dtype=torch.int32, device=image.device)
    weight = torch.empty(n, height, width, device=image.device)
    launcher.launch(
        kernels.choose,
        side.numel(),
        [
            *(launcher.BEGIN, width, height, flat(image.detach())),
            *(threshold, threshold_dark, subpixel, side.view(-1), weight.view(-1)),
        ],
        image.device,
        limit=launcher.worth(_PIXEL * side.numel()),
    )
    return side, weight


class _Blend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, side: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(side, weight)
        return _run(kernels.blend, image, side, weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return _run(kernels.blend_adjoint, grads[0], *ctx.saved_tensors), None, None


def _run(kernel: Any, image: Tensor, side: Tensor, weight: Tensor) -> Tensor:
    out = torch.empty(image.shape, device=image.device)
    _, height, width, _ = image.shape
    launcher.launch(
        kernel,
        side.numel(),
        [launcher.BEGIN, width, height, side.view(-1), weight.view(-1), flat(image), out.view(-1, 3)],
        image.device,
        limit=launcher.worth(0.25 * _PIXEL * side.numel()),
    )
    return out


def fxaa(
    image: Tensor, threshold: float = 0.125, threshold_dark: float = 0.0312, subpixel: float = 0.75
) -> Tensor:
    """Smooth the stairs of edges in a finished picture.

    Args:
        image: [N, H, W, 3] linear light.
        threshold: contrast of an edge as a part of the brightest pixel around it.
        threshold_dark: contrast below which nothing is an edge. Brightness is the square root of
            luma, as a display encodes it.
        subpixel: 0..1, how much single pixels that stand out are blurred.
    Returns:
        [N, H, W, 3]: each pixel of an edge mixed with its neighbour across it.
    Gradients:
        To: image, with the mixture as it was chosen. The choice itself (which edge, how far its
        ends are) jumps and carries none.
    Raises:
        ShapeError: not [N, H, W, 3].
    Reference:
        Lottes 2009, "FXAA", NVIDIA; edges are followed for 12 pixels to either side.
    """
    if image.ndim != 4:
        check.tensor("fxaa", "image", image, ("N", "H", "W", 3))
    side, weight = fxaa_choice(image, threshold, threshold_dark, subpixel)
    out: Tensor = _Blend.apply(image, side, weight)
    return out
