"""Half-size pictures of an effect: every second pixel, and back to full size along surfaces."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from studio.core.kernels import halves, launcher

DEPTH_SCALE = 0.02
"""Relative difference in depth at which a neighbour counts half."""
NORMAL_FLOOR = 0.01
"""Weight of a neighbour whose normal points elsewhere, so that some weight is always left."""

# About the nanoseconds a CPU core takes for a pixel.
_PER_PIXEL = 20.0


def take_half(image: Tensor) -> Tensor:
    """[N, ceil(H / 2), ceil(W / 2), C] of [N, H, W, C]: half pixel (i, j) is pixel (2 i, 2 j)."""
    return image[:, ::2, ::2]


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, low: Tensor, depth: Tensor, normal: Tensor) -> Tensor:
        n, height, width, _ = depth.shape
        pixels, channels = depth.numel(), low.shape[3]
        run = width if depth.device.type == "cpu" else 1
        out = torch.empty(n, height, width, channels, device=depth.device)
        flat = [low.view(-1, channels), depth.view(-1), normal.view(-1, 3), out.view(-1, channels)]
        ctx.head = [launcher.BEGIN, run, height, width, low.shape[2], DEPTH_SCALE, NORMAL_FLOOR]
        ctx.limit = launcher.worth(_PER_PIXEL * pixels)
        ctx.count = pixels // run
        launcher.launch(halves.spread, ctx.count, [*ctx.head, *flat], depth.device, limit=ctx.limit)
        ctx.save_for_backward(low, depth, normal, out)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        low, depth, normal, out = ctx.saved_tensors
        channels = low.shape[3]
        flat = [low.view(-1, channels), depth.view(-1), normal.view(-1, 3), out.view(-1, channels)]
        flat.append(grads[0].contiguous().view(-1, channels))
        back = [torch.zeros_like(t) for t in (low, depth, normal)]
        views = [back[0].view(-1, channels), back[1].view(-1), back[2].view(-1, 3)]
        inputs = [*ctx.head, *flat, *[launcher.Scatter(t) for t in views]]
        launcher.launch(halves.spread_adjoint, ctx.count, inputs, depth.device, limit=ctx.limit)
        return tuple(back)


def spread(low: Tensor, soft_depth: Tensor, normal: Tensor) -> Tensor:
    """A half-size picture at full size, from neighbours that lie on the same surface.

    Pixels that the half-size picture has keep their value. Those between are means of two or four
    neighbours i, weighted by

        (NORMAL_FLOOR + max(0, n . n_i)^4) / (1 + ((z_i - z) / (DEPTH_SCALE z))^2)

    Args:
        low: [N, ceil(H / 2), ceil(W / 2), C].
        soft_depth: [N, H, W, 1], positive everywhere.
        normal: [N, H, W, 3] unit, 0 where nothing is.
    Returns:
        [N, H, W, C].
    Gradients:
        To: all three.
    Reference:
        Kopf et al. 2007, "Joint Bilateral Upsampling".
    """
    out: Tensor = _Spread.apply(low.contiguous(), soft_depth.contiguous(), normal.contiguous())
    return out
