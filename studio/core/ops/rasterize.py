"""Rasterization: which triangle is seen in each pixel, and where in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from studio.core.errors import ShapeError
from studio.core.kernels import launcher, strips
from studio.core.kernels import rasterize as kernels
from studio.core.ops import check, recent
from studio.core.ops.deferred import known, whole
from studio.core.ops.visibility import Projected, run_length, visible

# About the nanoseconds that a CPU core takes for a pixel's gradient.
_PER_PIXEL = 3.0


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        pos: Tensor,
        tri: Tensor,
        how: Inputs,
        keys: Tensor,
        spanned: bool,
        spans: Tensor,
        projected: Projected | None,
        grad_db: bool,
        with_db: bool,
    ) -> tuple[Tensor, Tensor]:
        n, height, width = how.size
        device = pos.device
        rast = torch.empty(n, height, width, 4, device=device)
        rast_db = torch.empty(n, height, width, 4 if with_db else 0, device=device)
        run = run_length(device, width)
        derivatives = (rast_db if with_db else rast[:0]).view(-1, 4)
        inputs = [0, run, pos, tri, keys, width, height, rast.view(-1, 4), derivatives, spans, int(spanned)]
        ready = launcher.arguments(kernels.resolve, inputs, device)

        visible(
            pos,
            tri,
            height,
            width,
            how.cull,
            how.ranges,
            how.passed,
            projected=projected,
            keys=keys,
            spans=spans if spanned else None,
            then=[strips.Launch(kernels.resolve, ready, device, width // run)],
        )
        ctx.save_for_backward(pos, tri, rast, spans)
        ctx.grad_db = grad_db and with_db
        ctx.set_materialize_grads(False)
        return rast, rast_db

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        pos, tri, rast, spans = ctx.saved_tensors
        grad_rast, grad_db = grads
        none = (None,) * 8
        if not ctx.grad_db:
            grad_db = None
        if grad_db is None and known(grad_rast) is not None:
            return (known(grad_rast), *none)
        if grad_rast is None and grad_db is None:
            return (torch.zeros_like(pos), *none)
        n, height, width, _ = rast.shape
        grad_rast = torch.zeros_like(rast) if grad_rast is None else whole(grad_rast).contiguous()
        derivatives = rast[:0] if grad_db is None else grad_db.contiguous()
        grad_pos = torch.zeros_like(pos)
        run = run_length(pos.device, width)
        rows = height * width // run
        launcher.launch(
            kernels.resolve_backward,
            n * rows,
            [
                launcher.BEGIN,
                run,
                pos,
                tri,
                rast.view(-1, 4),
                spans,
                width,
                height,
                grad_rast.view(-1, 4),
                derivatives.view(-1, 4),
                launcher.Scatter(grad_pos, unit=rows if len(pos) == n else n * rows),
            ],
            pos.device,
            limit=launcher.worth(_PER_PIXEL * n * height * width),
            spans=spans,
        )
        return (grad_pos, *none)


class Readers:
    """How many operations have taken a rast's values."""

    count = 0


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a rast on CPU was made of, for operations that are given it next.

    Attributes:
        keys, spans: see `visible`.
    """

    pos: Tensor
    tri: Tensor
    keys: Tensor
    spans: Tensor
    readers: Readers


@dataclass(frozen=True, eq=False)
class Inputs:
    """Checked arguments of an operation that rasterizes.

    Attributes:
        pos: [N, V, 4], or [1, V, 4] in range mode.
        ranges: [N, 2] on CPU, None in instanced mode.
        size: images, height and width.
        cull: whether triangles are left out that show their back.
        passed: keys, beyond which the nearest triangles are wanted.
    """

    pos: Tensor
    tri: Tensor
    ranges: Tensor | None
    size: tuple[int, int, int]
    cull: bool
    passed: Tensor | None = None

    @staticmethod
    def of(op: str, pos: object, tri: object, resolution: object, ranges: object, cull: bool) -> Inputs:
        """Checks that name `op`."""
        height, width = check.size(op, resolution)
        if ranges is None or not isinstance(pos, Tensor) or pos.ndim == 3:
            pos = check.tensor(op, "pos", pos, ("N", "V", 4))
            tri = check.triangles(op, tri, pos)
            return Inputs(pos, tri, None, (pos.shape[0], height, width), cull)
        pos = check.tensor(op, "pos", pos, ("V", 4))[None]
        tri = check.triangles(op, tri, pos)
        ranges = _checked_ranges(op, ranges, tri)
        return Inputs(pos, tri, ranges, (len(ranges), height, width), cull)

    def rasterize(self, grad_db: bool, with_db: bool, keys: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """rast and rast_db, with gradients to the positions; `keys` [N * H * W] int64 gets the keys."""
        pos, tri, (n, height, width) = self.pos, self.tri, self.size
        on_cpu = pos.device.type == "cpu"
        spans = torch.empty(n * height if on_cpu else 0, 2, dtype=torch.int32, device=pos.device)
        spanned = on_cpu and keys is None
        if keys is None:
            keys = torch.empty(n * height * width, dtype=torch.int64, device=pos.device)
        projected = Projected.room(pos, tri) if on_cpu and self.ranges is None else None
        made: tuple[Tensor, Tensor] = _Rasterize.apply(
            pos, tri, self, keys, spanned, spans, projected, grad_db, with_db
        )
        if on_cpu:
            recent.keep("spans", made[:1], spans)
        if spanned and self.ranges is None:
            recent.keep("drawn", made[:1], Drawn(pos, tri, keys, spans, Readers()))
        if projected is not None:
            recent.keep(f"projected to {width} x {height}", (pos, tri), projected)
        return made


def _checked_ranges(op: str, ranges: object, tri: Tensor) -> Tensor:
    """[N, 2] int32 on CPU, once every range lies within them."""
    checked = check.tensor(op, "ranges", ranges, ("N", 2), torch.int32).cpu()
    wrong = (checked < 0).any(1) | (checked.sum(1) > len(tri))  # sums are int64
    if wrong.any():
        image = int(wrong.nonzero()[0])
        start, count = checked[image].tolist()
        raise ShapeError(
            f"{op}: ranges must lie within tri's {len(tri)} triangles, "
            f"got start {start}, count {count} for image {image}"
        )
    return checked


def rasterize(
    glctx: object,
    pos: Tensor,
    tri: Tensor,
    resolution: tuple[int, int],
    ranges: Tensor | None = None,
    grad_db: bool = True,
    cull_backfaces: bool = False,
    output_db: bool = True,
) -> tuple[Tensor, Tensor]:
    """Find the nearest triangle in every pixel and the barycentrics of the point seen.

    The first primitive of the pipeline. Nothing is clipped beforehand: triangles behind or
    across the camera plane, degenerate, huge and sub-pixel ones are all right; those with NaN
    are skipped. Two triangles that share an edge cover each pixel along it exactly once.

    Args:
        glctx: None, or a context object of code written for nvdiffrast; RasterizeGLContext with
            output_db=False leaves rast_db out, everything else is ignored.
        pos: [N, V, 4] float32 clip space (instanced; `ranges` are ignored), or [V, 4] (range mode).
        tri: [T, 3] int32 vertex indices; triangles with an index out of range are not drawn.
        resolution: (height, width) in pixels.
        ranges: [N, 2] int32, first triangle and number of triangles per image (range mode); on
            any device, cheapest on the CPU, where they are checked. Ids stay those of `tri`.
        grad_db: whether rast_db passes gradients back.
        cull_backfaces: leave out triangles that are clockwise on screen.
        output_db: False leaves rast_db out, as the context's does.
    Returns:
        rast: [N, H, W, 4] = (u, v, z/w, triangle id + 1), 0 where empty; u and v belong to the
            triangle's first and second vertex. Row 0 is the bottom.
        rast_db: [N, H, W, 4] = (du/dX, du/dY, dv/dX, dv/dY) per pixel, or [N, H, W, 0].
    Gradients:
        To: pos, from u, v and rast_db. Not from z/w and id.
        Discontinuous in: coverage; `antialias` supplies that gradient.
    Raises:
        ShapeError: names the tensor, expected and actual shape, type or device, or a range
            outside `tri`.
    Reference:
        Laine et al. 2020, "Modular Primitives for High-Performance Differentiable Rendering",
        section 3; Olano and Greer 1997 for homogeneous edge functions.
    """
    inputs = Inputs.of("rasterize", pos, tri, resolution, ranges, cull_backfaces)
    with_db = output_db and getattr(glctx, "output_db", True)
    return inputs.rasterize(grad_db, with_db)
