"""NMR: a hard picture whose gradient pretends that edges sweep over their rows and columns."""

from __future__ import annotations

from typing import Any

import torch
import warp as wp
from torch import Tensor

from studio.core.kernels import launcher
from studio.core.kernels.nmr import kernels
from studio.core.ops import check


class _Nmr(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, color: Tensor, rast: Tensor, pos: Tensor, tri: Tensor, outlines_only: bool
    ) -> Tensor:
        ctx.save_for_backward(color, rast, pos, tri)
        ctx.outlines_only = outlines_only
        return color.view_as(color)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        color, rast, pos, tri = ctx.saved_tensors
        grad = grads[0]
        if not ctx.needs_input_grad[2]:
            return grad, None, None, None, None
        n, height, width, channels = color.shape
        grad_pos = torch.zeros_like(pos)
        flat = [rast.view(-1, 4), color.view(-1, channels), grad.contiguous().view(-1, channels)]
        for axis, (lines, pairs) in enumerate(((height, width - 1), (width, height - 1))):
            # A line per thread on CPU, where a thread costs as much as a few pairs.
            run = max(1, pairs) if color.device.type == "cpu" else 1
            launcher.launch(
                kernels(channels).backward,
                n * lines * pairs // run,
                [
                    launcher.BEGIN,
                    run,
                    axis,
                    int(ctx.outlines_only),
                    wp.vec2i(width, height),
                    pos,
                    tri,
                    *flat,
                    launcher.Scatter(grad_pos),
                ],
                color.device,
            )
        return grad, None, grad_pos, None, None


def nmr(color: Tensor, rast: Tensor, pos: Tensor, tri: Tensor, outlines_only: bool = False) -> Tensor:
    """The picture as it is, with the gradient of the Neural 3D Mesh Renderer to the vertices.

    Stands where `antialias` would. The picture stays hard; backward, every pixel looks along its
    row and its column for the edges that would change its colour if they moved onto it, and
    takes the change for a linear ramp over that distance. So pixels far from an outline pull on
    it too, the harder the nearer they are. The gradient is a descent direction and not the
    derivative of anything: it depends on the sign of the incoming gradient.

    Args:
        color: [N, H, W, C] float32, also where empty (the background).
        rast: [N, H, W, 4] from `rasterize` at the same positions.
        pos: [N, V, 4] clip space, or [V, 4] in range mode.
        tri: [T, 3] int32.
        outlines_only: leave out edges between triangles that share a vertex and are both seen.
            The published gradient moves each triangle alone; but there the mesh is one surface,
            whose other triangles move along, and where colours vary the result is noise.
    Returns:
        [N, H, W, C], color itself.
    Gradients:
        To: color (passed through), pos (x and y, and w through the division). Not to rast.
        A triangle with a corner at w <= 0 gets none.
    Raises:
        ShapeError: names the tensor, expected and actual shape, type or device.
    Reference:
        Kato et al. 2018, "Neural 3D Mesh Renderer", section 3.2: pixels outside a face (with the
        face's colour next to the edge) and inside it (with the colour beyond the edge), no
        gradient where the change would not lower the loss, or where something nearer hides the
        moved edge. Distances count as half a pixel at least.
    """
    op = "nmr"
    color = check.tensor(op, "color", color, ("N", "H", "W", "C"))
    rast = check.tensor(op, "rast", rast, (*color.shape[:3], 4), like=color)
    if isinstance(pos, Tensor) and pos.ndim == 2:
        pos = pos.expand(len(color), *pos.shape)
    pos = check.tensor(op, "pos", pos, ("N", "V", 4), like=color)
    check.same_batch(op, "pos", pos, len(color))
    tri = check.triangles(op, tri, color)
    if len(tri) == 0 or color.numel() == 0:
        return color
    result: Tensor = _Nmr.apply(color, rast.detach(), pos, tri, outlines_only)
    return result
