"""Rasterization: which triangle is seen in each pixel, and where in it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from studio.core.errors import ShapeError
from studio.core.kernels import launcher
from studio.core.kernels import rasterize as kernels
from studio.core.ops import check
from studio.core.ops.visibility import run_length, visible


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, pos: Tensor, tri: Tensor, height: int, width: int, grad_db: bool, cull: bool
    ) -> tuple[Tensor, Tensor]:
        n = pos.shape[0]
        keys = visible(pos, tri, height, width, cull)
        rast = torch.empty(n, height, width, 4, device=pos.device)
        rast_db = torch.empty(n, height, width, 4, device=pos.device)
        run = run_length(pos.device, width)
        launcher.launch(
            kernels.resolve,
            n * height * width // run,
            [launcher.BEGIN, run, pos, tri, keys, width, height, 1, rast.view(-1, 4), rast_db.view(-1, 4)],
            pos.device,
        )
        ctx.save_for_backward(pos, tri, rast)
        ctx.grad_db = grad_db
        ctx.set_materialize_grads(False)
        return rast, rast_db

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        pos, tri, rast = ctx.saved_tensors
        grad_rast, grad_db = grads
        none = (None,) * 5
        if not ctx.grad_db:
            grad_db = None
        if grad_rast is None and grad_db is None:
            return (torch.zeros_like(pos), *none)
        _, height, width, _ = rast.shape
        grad_rast = torch.zeros_like(rast) if grad_rast is None else grad_rast.contiguous()
        derivatives = grad_rast if grad_db is None else grad_db.contiguous()
        grad_pos = torch.zeros_like(pos)
        run = run_length(pos.device, width)
        launcher.launch(
            kernels.resolve_backward,
            rast.numel() // 4 // run,
            [
                launcher.BEGIN,
                run,
                pos,
                tri,
                rast.view(-1, 4),
                width,
                height,
                int(grad_db is not None),
                grad_rast.view(-1, 4),
                derivatives.view(-1, 4),
                launcher.Scatter(grad_pos, unit=height * width // run),
            ],
            pos.device,
        )
        return (grad_pos, *none)


def _by_range(
    pos: Tensor, tri: Tensor, size: tuple[int, int], ranges: Tensor, grad_db: bool, cull: bool
) -> tuple[Tensor, Tensor]:
    """Range mode: image i shows triangles [start, start + count) of one shared mesh."""
    images = []
    for start, count in ranges.tolist():
        if start < 0 or count < 0 or start + count > len(tri):
            raise ShapeError(
                f"rasterize: ranges must lie within {len(tri)} triangles, got start {start} count {count}"
            )
        part = tri[start : start + count].contiguous()
        rast, rast_db = _Rasterize.apply(pos[None], part, *size, grad_db, cull)
        if start:
            covered = (rast[..., 3:] > 0).to(rast.dtype) * start
            rast = torch.cat([rast[..., :3], rast[..., 3:] + covered], dim=-1)
        images.append((rast, rast_db))
    if not images:
        empty = pos.new_zeros(0, *size, 4)
        return empty, empty.clone()
    return torch.cat([r for r, _ in images]), torch.cat([d for _, d in images])


def rasterize(
    glctx: object,
    pos: Tensor,
    tri: Tensor,
    resolution: tuple[int, int],
    ranges: Tensor | None = None,
    grad_db: bool = True,
    cull_backfaces: bool = False,
) -> tuple[Tensor, Tensor]:
    """Find the nearest triangle in every pixel and the barycentrics of the point seen.

    The first primitive of the pipeline. Nothing is clipped beforehand: triangles behind or
    across the camera plane, degenerate, huge and sub-pixel ones are all right; those with NaN
    are skipped. Two triangles that share an edge cover each pixel along it exactly once.

    Args:
        glctx: ignored; None, or a context object of code written for nvdiffrast.
        pos: [N, V, 4] float32 clip space (instanced), or [V, 4] together with `ranges`.
        tri: [T, 3] int32 vertex indices; triangles with an index out of range are not drawn.
        resolution: (height, width) in pixels.
        ranges: [N, 2] int32, first triangle and number of triangles per image (range mode).
        grad_db: whether rast_db passes gradients back.
        cull_backfaces: leave out triangles that are clockwise on screen.
    Returns:
        rast: [N, H, W, 4] = (u, v, z/w, triangle id + 1), 0 where empty; u and v belong to the
            triangle's first and second vertex. Row 0 is the bottom.
        rast_db: [N, H, W, 4] = (du/dX, du/dY, dv/dX, dv/dY) per pixel.
    Gradients:
        To: pos, from u, v and rast_db. Not from z/w and id.
        Discontinuous in: coverage; `antialias` supplies that gradient.
    Raises:
        ShapeError: names the tensor, expected and actual shape, type or device.
    Reference:
        Laine et al. 2020, "Modular Primitives for High-Performance Differentiable Rendering",
        section 3; Olano and Greer 1997 for homogeneous edge functions.
    """
    size = check.size("rasterize", resolution)
    if ranges is not None:
        pos = check.tensor("rasterize", "pos", pos, ("V", 4))
        tri = check.triangles("rasterize", tri, pos)
        if not isinstance(ranges, Tensor) or ranges.ndim != 2 or ranges.shape[1] != 2:
            got = list(ranges.shape) if isinstance(ranges, Tensor) else type(ranges).__name__
            raise ShapeError(f"rasterize: ranges must have shape [N, 2], got {got}")
        return _by_range(pos, tri, size, ranges, grad_db, cull_backfaces)
    pos = check.tensor("rasterize", "pos", pos, ("N", "V", 4))
    tri = check.triangles("rasterize", tri, pos)
    return _Rasterize.apply(pos, tri, *size, grad_db, cull_backfaces)
