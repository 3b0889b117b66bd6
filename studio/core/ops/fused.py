"""Rasterize, interpolate and antialias as one operation: the optimizer's inner loop."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from studio.core.errors import ShapeError
from studio.core.kernels import launcher, outline, strips
from studio.core.kernels.channels import groups
from studio.core.kernels.fused import kernels
from studio.core.kernels.visibility import EMPTY_KEY
from studio.core.ops import check
from studio.core.ops.antialias import find_and_blend, over_records
from studio.core.ops.deferred import known, whole
from studio.core.ops.silhouettes import Records
from studio.core.ops.topology import Topology
from studio.core.ops.visibility import Projected, run_length, visible

# About the nanoseconds that the gradient of a pixel, and of a triangle, takes a CPU core.
_PER_PIXEL, _PER_TRIANGLE = 3.0, 10.0
# Pixels of the image per triangle from which on it pays to sum up what a triangle's rows give.
_LARGE = 24


def _forward(
    pos: Tensor,
    tri: Tensor,
    attr: Tensor,
    background: Tensor | None,
    size: tuple[int, int],
    cull: bool,
    projected: Projected | None = None,
    with_rast: bool = False,
    all_keys: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Image, keys, their spans (see `visible`; none if all keys are asked for) and rast (likewise).

    `background` is [1, C] or [N * H * W, C], or None for zero.
    """
    n, channels = pos.shape[0], attr.shape[-1]
    height, width = size
    device = pos.device
    rast = torch.empty(n if with_rast else 0, height, width, 4, device=device)
    out = torch.empty(n, height, width, channels, device=device)
    behind = _nothing(channels, device) if background is None else background
    run = run_length(device, width)
    parts = groups(channels)
    whole = len(parts) == 1
    keys = torch.empty(n, height, width, dtype=torch.int64, device=device)
    spanned = device.type == "cpu" and not all_keys
    spans = torch.empty(n * height if spanned else 0, 2, dtype=torch.int32, device=device)
    pieces, ready = [], []
    for first, count in parts:
        span = slice(first, first + count)
        pieces.append(out if whole else torch.empty(n, height, width, count, device=device))
        values = attr if whole else attr[..., span].contiguous()
        back = behind if whole else behind[:, span].contiguous()
        kernel = kernels(count).forward
        inputs = [
            0,
            run,
            pos,
            tri,
            values,
            keys.view(-1),
            spans,
            width,
            height,
            back,
            pieces[-1].view(-1, count),
        ]
        arguments = launcher.arguments(kernel, [*inputs, rast.view(-1, 4)], device)
        ready.append(strips.Launch(kernel, arguments, device, width // run))

    # While the keys of some rows are still near.
    visible(pos, tri, height, width, cull, projected=projected, keys=keys.view(-1), spans=spans, then=ready)
    if not whole:
        torch.cat(pieces, dim=3, out=out)
    return out, keys, spans, rast


@functools.lru_cache
def _nothing(channels: int, device: torch.device) -> Tensor:
    """[1, C] zeros, never written to."""
    return torch.zeros(1, channels, device=device)


@functools.lru_cache
def _no_records(device: torch.device) -> Records:
    none = torch.empty(0, 4, device=device)
    return Records(none.int(), none, none)


def pull(
    pos: Tensor,
    tri: Tensor,
    attr: Tensor,
    keys: Tensor,
    spans: Tensor,
    grad_out: Tensor,
    found: tuple[Records, Tensor | None] | None,
    wants: tuple[bool, bool],
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of pos and attr from that of the image.

    `found`: what was blended into the image, and [R, C] how much a unit of it changed; None if
    the gradient of the amounts is somebody else's.
    """
    with_pos, with_attr = wants
    n, height, width, channels = grad_out.shape
    run = run_length(pos.device, width)
    rows = height * width // run
    grad_pos = torch.zeros_like(pos) if with_pos else pos
    grad_attr = torch.zeros_like(attr) if with_attr else attr
    parts = groups(channels)
    triangles = n * tri.shape[0]
    limit = launcher.worth(_PER_PIXEL * n * height * width + _PER_TRIANGLE * triangles)
    for first, count in parts:
        whole = len(parts) == 1
        span = slice(first, first + count)
        values = attr if whole else attr[..., span].contiguous()
        target = values if not with_attr else grad_attr if whole else torch.zeros_like(values)
        pixel = (grad_out if whole else grad_out[..., span]).contiguous().view(-1, count)
        wanted = [int(with_pos), int(with_attr), pixel]
        to_pos = launcher.Scatter(grad_pos, unit=rows) if with_pos else grad_pos
        unit = rows * (n if attr.shape[0] == 1 else 1)
        to_attr = launcher.Scatter(target, unit=unit) if with_attr else target
        records, difference = (_no_records(pos.device), None) if found is None else found
        change = pixel[:0] if difference is None else difference[:, span].contiguous()
        on_cpu = pos.device.type == "cpu"
        large = on_cpu and n * height * width > _LARGE * triangles
        blended = records.pixels.shape[0]
        threads = n * rows if on_cpu else max(n * rows, blended)
        each = [n * rows, blended] if on_cpu else [1, 1]
        inputs = [launcher.BEGIN, launcher.END, run, *each, int(large), *records, change, pos, tri, values]
        inputs += [keys.view(-1), spans, width, height, *wanted, to_pos, to_attr]
        launcher.launch(
            kernels(count).backward, threads, inputs, pos.device, limit=limit, walks=on_cpu, spans=spans
        )
        if with_attr and not whole:
            grad_attr[..., span] = target
    return grad_pos if with_pos else None, grad_attr if with_attr else None


def upstream(gradient: Tensor) -> tuple[Tensor, tuple[Records, None] | None]:
    """What `pull` takes of an image's gradient, which antialiasing may have deferred."""
    if (told := known(gradient)) is None:
        return whole(gradient).contiguous(), None
    blended, records = told
    return blended, (records, None)


class _RasterizeInterpolate(torch.autograd.Function):
    reads_deferred = True

    @staticmethod
    def forward(
        ctx: Any, pos: Tensor, tri: Tensor, attr: Tensor, size: tuple[int, int], cull: bool
    ) -> tuple[Tensor, Tensor]:
        out, keys, spans, rast = _forward(pos, tri, attr, None, size, cull, with_rast=True)
        ctx.save_for_backward(pos, tri, attr, keys, spans)
        ctx.mark_non_differentiable(rast)
        ctx.set_materialize_grads(False)
        return out, rast

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        if grads[0] is None:
            return (None,) * 5
        wants = (ctx.needs_input_grad[0], ctx.needs_input_grad[2])
        pos, tri, attr, keys, spans = ctx.saved_tensors
        to_pos, to_attr = pull(pos, tri, attr, keys, spans, *upstream(grads[0]), wants)
        return to_pos, None, to_attr, None, None


class _Draw(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        pos: Tensor,
        tri: Tensor,
        attr: Tensor,
        background: Tensor | None,
        edges: Tensor,
        size: tuple[int, int],
        cull: bool,
    ) -> Tensor:
        channels = attr.shape[-1]
        behind = None if background is None else background.reshape(-1, channels)
        projected = Projected.room(pos, tri)
        all_keys = ctx.needs_input_grad[3]
        out, keys, spans, _ = _forward(pos, tri, attr, behind, size, cull, projected, all_keys=all_keys)
        records, difference = find_and_blend(keys, spans, pos, tri, edges, projected, out.view(-1, channels))
        ctx.save_for_backward(pos, tri, attr, keys, spans, difference, *records)
        ctx.background = None if background is None else background.shape
        ctx.set_materialize_grads(False)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        if grads[0] is None:
            return (None,) * 7
        pos, tri, attr, keys, spans, difference, *found = ctx.saved_tensors
        records = Records(*found)
        grad_out = grads[0].contiguous()
        wants = (ctx.needs_input_grad[0], ctx.needs_input_grad[2])
        to_pos, to_attr = pull(pos, tri, attr, keys, spans, grad_out, (records, difference), wants)
        to_background = None
        if ctx.needs_input_grad[3]:
            to_background = _pull_background(keys, grad_out, records, ctx.background)
        return to_pos, None, to_attr, to_background, None, None, None


def _pull_background(keys: Tensor, grad_out: Tensor, records: Records, shape: torch.Size) -> Tensor:
    """Gradient of the background: that of empty pixels, and what was blended out of them."""
    flat = grad_out.view(-1, grad_out.shape[3])
    total = flat.clone()
    over_records(outline.pull_colors, records, flat, total)
    total *= keys.view(-1, 1) == EMPTY_KEY
    return total.view(shape) if len(shape) == 4 else total.sum(0)


def _checked(op: str, pos: Tensor, tri: Tensor, attr: Tensor, resolution: Any) -> tuple[Any, ...]:
    size = check.size(op, resolution)
    pos = check.tensor(op, "pos_clip", pos, ("N", "V", 4))
    tri = check.triangles(op, tri, pos)
    attr = check.tensor(op, "attr", attr, ("N", pos.shape[1], "C"), like=pos)
    check.same_batch(op, "attr", attr, pos.shape[0], allow_one=True)
    return size, pos, tri, attr


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
    size, pos, tri, attr = _checked("rasterize_interpolate", pos_clip, tri, attr, resolution)
    return _RasterizeInterpolate.apply(pos, tri, attr, size, cull_backfaces)


def draw(
    pos_clip: Tensor,
    tri: Tensor,
    attr: Tensor,
    resolution: tuple[int, int],
    topology: Topology,
    background: Tensor | None = None,
    cull_backfaces: bool = False,
) -> Tensor:
    """Rasterize, interpolate and antialias in one operation: a mesh's picture and its gradient.

    The picture of `rasterize_interpolate` followed by `antialias`, up to rounding, without rast
    and without a copy of the image in either direction. For pictures that need no shading in
    between.

    Args:
        pos_clip: [N, V, 4] float32 clip space.
        tri: [T, 3] int32.
        attr: [N, V, C] or [1, V, C] float32; one batch is shared by all images.
        resolution: (height, width) in pixels.
        topology: of tri; see Topology.build.
        background: [C] or [N, H, W, C] where nothing is; None is 0.
        cull_backfaces: leave out triangles that are clockwise on screen.
    Returns:
        [N, H, W, C], antialiased.
    Gradients:
        To: attr, background, pos_clip (barycentrics and silhouettes).
        Discontinuous in: what `antialias` names.
    Raises:
        ShapeError: names the tensor, expected and actual shape, type or device.
    Reference:
        Laine et al. 2020, "Modular Primitives for High-Performance Differentiable Rendering".
    """
    size, pos, tri, attr = _checked("draw", pos_clip, tri, attr, resolution)
    if not isinstance(topology, Topology):
        raise ShapeError(f"draw: topology must be a Topology, got {type(topology).__name__}")
    if topology.triangles != len(tri):
        raise ShapeError(f"draw: topology has {topology.triangles} triangles, tri has {len(tri)}")
    if background is not None:
        background = check.background("draw", background, (len(pos), *size, attr.shape[2]), like=pos)
    image: Tensor = _Draw.apply(
        pos, tri, attr, background, topology.edges.to(pos.device), size, cull_backfaces
    )
    return image
