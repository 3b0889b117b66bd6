"""Torch front of the kernel that bends normals by a normal texture."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from studio.core.kernels import bend as kernels
from studio.core.kernels import launcher
from studio.core.ops.pixels import flat, runs


class _Bend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rast: Tensor, normal: Tensor, texels: Tensor, along: Tensor, turn: Tensor
    ) -> Tensor:
        ctx.count, run = runs(rast[..., 0].numel(), rast.shape[2], rast.device)
        ctx.head = [launcher.BEGIN, run]
        ctx.save_for_backward(rast, normal, texels, along, turn)
        out = torch.empty_like(texels)
        images = [flat(t) for t in (rast, normal, texels)]
        launcher.launch(
            kernels.bend_forward, ctx.count, [*ctx.head, *images, along, turn, flat(out)], rast.device
        )
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        rast, normal, texels, along, turn = ctx.saved_tensors
        g_normal, g_texels = torch.empty_like(texels), torch.empty_like(texels)
        g_along = torch.zeros_like(along)
        inputs = [*(flat(t) for t in (rast, normal, texels)), along, turn, flat(grads[0])]
        outputs = [flat(g_normal), flat(g_texels), launcher.Scatter(g_along)]
        launcher.launch(kernels.bend_backward, ctx.count, [*ctx.head, *inputs, *outputs], rast.device)
        return None, g_normal, g_texels, g_along, None


def bend_normals(rast: Tensor, normal: Tensor, texels: Tensor, along: Tensor, turn: Tensor) -> Tensor:
    """Normals tilted within the tangent frames of their triangles.

    Args:
        rast: [N, H, W, 4]; where nothing is, normals stay.
        normal: [N, H, W, 3] unit.
        texels: [N, H, W, 3] normals in tangent space, encoded as 0..1.
        along: [T, 3] direction in which u grows, any length.
        turn: [T] 1 where u and v turn as in the texture, -1 where they are mirrored, 0 where
            coordinates stand still and normals stay.
    Returns:
        [N, H, W, 3] unit.
    Gradients:
        To: normal, texels, along. Discontinuous in: along, from triangle to triangle.
    Reference:
        glTF 2.0, section 3.7.2.1, but each triangle has its own tangent.
    """
    out: Tensor = _Bend.apply(rast, normal, texels.contiguous(), along.contiguous(), turn.contiguous())
    return out
