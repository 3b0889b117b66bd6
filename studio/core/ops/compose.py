"""Colour over a background, with coverage as the fourth channel: what antialias works on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from studio.core.errors import ShapeError
from studio.core.kernels import compose as kernels
from studio.core.kernels import launcher

_CUDA_RUN = 32
"""Pixels a CUDA thread walks before it adds to the background's gradient."""


class _Compose(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, color: Tensor, rast: Tensor, background: Tensor) -> Tensor:
        n, height, width, _ = rast.shape
        ctx.save_for_backward(rast)
        ctx.constant = background.ndim == 1
        ctx.run = width if rast.device.type == "cpu" else _CUDA_RUN
        ctx.count = (n * height * width + ctx.run - 1) // ctx.run
        head = [launcher.BEGIN, ctx.run, rast.view(-1, 4)]
        tail = [background.view(-1, 3), int(not ctx.constant)]
        rgba = torch.empty(n, height, width, 4, device=rast.device)
        inputs = [*head, color.reshape(-1, 3), *tail, rgba.view(-1, 4)]
        launcher.launch(kernels.compose_forward, ctx.count, inputs, rast.device)
        return rgba

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (rast,) = ctx.saved_tensors
        grad = grads[0].contiguous()
        g_background = None
        if ctx.needs_input_grad[2] and ctx.constant:
            g_background = torch.zeros(3, device=grad.device)
            inputs = [launcher.BEGIN, ctx.run, rast.view(-1, 4), grad.view(-1, 4)]
            inputs.append(launcher.Scatter(g_background.view(1, 3)))
            launcher.launch(kernels.background_backward, ctx.count, inputs, grad.device)
        elif ctx.needs_input_grad[2]:
            g_background = grad[..., :3] * (rast[..., 3:] == 0)
        # Empty pixels keep their gradient: shading and interpolation skip them.
        return grad[..., :3], None, g_background


def check_background(op: str, background: Tensor, size: torch.Size) -> None:
    """ShapeError unless the background is [3] or as large as the image of size (N, H, W, ...)."""
    if background.shape not in ((3,), (*size[:3], 3)):
        raise ShapeError(
            f"{op}: background must have shape [3] or {[*size[:3], 3]}, got {list(background.shape)}"
        )


def compose(color: Tensor, rast: Tensor, background: Tensor) -> Tensor:
    """Shaded colour where something is, the background elsewhere, and coverage beside it.

    Args:
        color: [N, H, W, 3] linear.
        rast: [N, H, W, 4].
        background: [3] or [N, H, W, 3] linear.
    Returns:
        rgba: [N, H, W, 4], not premultiplied, alpha 0 or 1. `antialias` makes its edges smooth.
    Gradients:
        To: color, background.
    Raises:
        ShapeError: names the background's shape and the expected ones.
    """
    check_background("compose", background, rast.shape)
    rgba: Tensor = _Compose.apply(color, rast, background.contiguous())
    return rgba
