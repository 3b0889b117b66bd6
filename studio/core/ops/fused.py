"""Rasterize and interpolate as one operation: the optimizer's inner loop."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from studio.core.kernels import launcher
from studio.core.kernels.channels import groups
from studio.core.kernels.fused import kernels
from studio.core.ops import check
from studio.core.ops.visibility import run_length, visible


class _RasterizeInterpolate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, pos: Tensor, tri: Tensor, attr: Tensor, height: int, width: int, cull: bool
    ) -> tuple[Tensor, Tensor]:
        n, channels = pos.shape[0], attr.shape[-1]
        device = pos.device
        keys = visible(pos, tri, height, width, cull)
        rast = torch.empty(n, height, width, 4, device=device)
        out = torch.empty(n, height, width, channels, device=device)
        run = run_length(device, width)
        parts = groups(channels)
        for first, count in parts:
            whole = len(parts) == 1
            part = out if whole else torch.empty(n, height, width, count, device=device)
            values = attr if whole else attr[..., first : first + count].contiguous()
            launcher.launch(
                kernels(count).forward,
                n * height * width // run,
                [
                    launcher.BEGIN,
                    run,
                    pos,
                    tri,
                    values,
                    keys,
                    width,
                    height,
                    int(first == 0),
                    part.view(-1, count),
                    rast.view(-1, 4),
                ],
                device,
            )
            if not whole:
                out[..., first : first + count] = part
        ctx.save_for_backward(pos, tri, attr, rast)
        ctx.mark_non_differentiable(rast)
        ctx.set_materialize_grads(False)
        return out, rast

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        pos, tri, attr, rast = ctx.saved_tensors
        grad_out = grads[0]
        if grad_out is None:
            return (None,) * 6
        with_pos, with_attr = ctx.needs_input_grad[0], ctx.needs_input_grad[2]
        n, height, width, channels = grad_out.shape
        run = run_length(pos.device, width)
        rows = height * width // run
        grad_pos = torch.zeros_like(pos) if with_pos else pos
        grad_attr = torch.zeros_like(attr) if with_attr else attr
        parts = groups(channels)
        for first, count in parts:
            whole = len(parts) == 1
            span = slice(first, first + count)
            values = attr if whole else attr[..., span].contiguous()
            target = grad_attr if whole or not with_attr else torch.zeros_like(values)
            pixel = grad_out if whole else grad_out[..., span]
            launcher.launch(
                kernels(count).backward,
                n * rows,
                [
                    launcher.BEGIN,
                    run,
                    pos,
                    tri,
                    values,
                    rast.view(-1, 4),
                    width,
                    height,
                    int(with_pos),
                    int(with_attr),
                    pixel.contiguous().view(-1, count),
                    launcher.Scatter(grad_pos, unit=rows) if with_pos else grad_pos,
                    launcher.Scatter(target, unit=rows * (n if len(attr) == 1 else 1))
                    if with_attr
                    else values,
                ],
                pos.device,
            )
            if with_attr and not whole:
                grad_attr[..., span] = target
        return (
            grad_pos if with_pos else None,
            None,
            grad_attr if with_attr else None,
            None,
            None,
            None,
        )


def rasterize_interpolate(
    pos_clip: Tensor,
    tri: Tensor,
    attr: Tensor,
    resolution: tuple[int, int],
    cull_backfaces: bool = False,
) -> tuple[Tensor, Tensor]:
    """Rasterize and interpolate vertex attributes in one pass, with one backward pass.

    The same numbers as `rasterize` followed by `interpolate`, without rast_db and without
    storing what lies between. Fastest for 3 to 12 channels.

    Args:
        pos_clip: [N, V, 4] float32 clip space.
        tri: [T, 3] int32.
        attr: [N, V, C] or [1, V, C] float32; one batch is shared by all images.
        resolution: (height, width) in pixels.
        cull_backfaces: leave out triangles that are clockwise on screen: about a third
            faster for closed meshes.
    Returns:
        image: [N, H, W, C], 0 where empty.
        rast: [N, H, W, 4] = (u, v, z/w, id + 1), for `antialias` and for skipping empty pixels.
    Gradients:
        To: attr, and pos_clip through the barycentrics. Not through rast.
        Discontinuous in: coverage; `antialias` supplies that gradient.
    Raises:
        ShapeError: names the tensor, expected and actual shape, type or device.
    Reference:
        Laine et al. 2020, "Modular Primitives for High-Performance Differentiable Rendering",
        sections 3.2 to 3.4; here as one operation.
    """
    op = "rasterize_interpolate"
    height, width = check.size(op, resolution)
    pos = check.tensor(op, "pos_clip", pos_clip, ("N", "V", 4))
    tri = check.triangles(op, tri, pos)
    attr = check.tensor(op, "attr", attr, ("N", pos.shape[1], "C"), like=pos)
    check.same_batch(op, "attr", attr, pos.shape[0], allow_one=True)
    return _RasterizeInterpolate.apply(pos, tri, attr, height, width, cull_backfaces)
