"""Antialiasing of silhouettes: what makes coverage differentiable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from studio.core.errors import ShapeError
from studio.core.kernels import copying, launcher, outline
from studio.core.ops import at_once, check
from studio.core.ops.crossings import Crossings, candidate_pairs
from studio.core.ops.deferred import Deferred, is_read_by
from studio.core.ops.silhouettes import (
    Records,
    find_in_ranges,
    find_outline,
    find_records,
    is_small,
    keep_outline,
    kept_outline,
    recent_projection,
)
from studio.core.ops.topology import Topology, cached_topology
from studio.core.ops.visibility import Projected, project

Search = Callable[[Tensor], tuple[Tensor, Records, Tensor]]

_NO_SPANS = torch.empty(0, 2, dtype=torch.int32)


def over_records(kernel: Any, records: Records, *inputs: Any) -> None:
    """Run a kernel of `kernels.outline` over all records.

    On CPU one thread takes them all: they are a few thousand, and nothing is added twice at once.
    """
    count, device = records.pixels.shape[0], records.pixels.device
    run = max(1, count) if device.type == "cpu" else 1
    launcher.launch(kernel, -(-count // run), [run, *records, *inputs], device, limit=1)


def differences(records: Records, color: Tensor) -> Tensor:
    """[R, C] what a unit of each amount changes in `color` [P, C]."""
    out = torch.empty(len(records.pixels), color.shape[-1], device=color.device)
    over_records(outline.take_differences, records, color, out)
    return out


def blend(records: Records, color: Tensor, out: Tensor) -> Tensor:
    """Blend `out` [P, C] by the colours of `color` [P, C], which may be the same.

    Returns:
        [R, C] what a unit of each amount changes.
    """
    if color is out and color.device.type != "cpu":  # a record may blend what another has to take
        difference = differences(records, color)
        over_records(outline.blend_in_place, records, difference, out)
        return difference
    difference = torch.empty(len(records.pixels), color.shape[-1], device=color.device)
    over_records(outline.take_and_blend, records, color, difference, out)
    return difference


def find_and_blend(
    keys: Tensor, spans: Tensor, pos: Tensor, tri: Tensor, edges: Tensor, projected: Projected, image: Tensor
) -> tuple[Records, Tensor]:
    """`find_records`, and their `blend` into `image` [P, C] itself."""
    if is_small(keys, pos, edges):
        *found, difference = at_once.outline(keys, spans, pos, projected, tri, edges, image)
        return Records(*found), difference
    records = find_records(keys, pos, tri, edges, projected, spans)
    return records, blend(records, image, image)


def _copy_and_blend(
    color: Tensor, rast: Tensor, pos: Tensor, tri: Tensor, topology: Topology
) -> tuple[Tensor, Records, Tensor]:
    """`find_outline`, and the `blend` of a copy of `color` along it, in one launch."""
    out = torch.empty_like(color)
    images = out.view(-1, out.shape[-1]), color.view(-1, out.shape[-1])
    projected = recent_projection(rast, pos, tri)
    *columns, difference = at_once.outline(rast, _NO_SPANS, pos, projected, tri, topology.edges, *images)
    records = Records(*columns)
    keep_outline(rast, pos, tri, topology, records)
    return out, records, difference


class _Antialias(torch.autograd.Function):
    """Along the records found, or those that `search` finds."""

    @staticmethod
    def forward(
        ctx: Any,
        color: Tensor,
        pos: Tensor,
        boost: float,
        plain: bool,
        deferred: bool,
        search: Search | None,
        *found: Tensor,
    ) -> Tensor:
        if search is not None:
            out, records, difference = search(color)
        else:
            records, flat = Records(*found), color.view(-1, color.shape[-1])
            out = launcher.copied(color)
            if plain:
                difference = differences(records, flat)
            else:
                difference = blend(records, flat, out.view(flat.shape))
        ctx.save_for_backward(difference, *records)
        ctx.pos_shape = pos.shape
        ctx.boost = boost
        ctx.deferred = deferred
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        difference, *found = ctx.saved_tensors
        records = Records(*found)
        grad_out = grads[0].contiguous()
        _, height, width, channels = grad_out.shape
        flat = grad_out.view(-1, channels)
        grad_color: Tensor | None = None
        grad_pos = None
        if ctx.needs_input_grad[0] and ctx.deferred:
            known = (grad_out, records)
            grad_color = Deferred(grad_out, known, lambda: _pull_colors(grad_out, records), [grad_out])
        elif ctx.needs_input_grad[0]:
            grad_color = _pull_colors(grad_out, records)
        if ctx.needs_input_grad[1]:
            grad_pos = torch.zeros(ctx.pos_shape, device=grad_out.device)
            inputs = [difference, height * width, ctx.boost, flat, grad_pos]
            over_records(outline.pull_positions, records, *inputs)
        return grad_color, grad_pos, *(None,) * (len(ctx.needs_input_grad) - 2)


def _pull_colors(grad_out: Tensor, records: Records) -> Tensor:
    """Gradient of the image before it was blended."""
    channels = grad_out.shape[-1]
    grad_color = launcher.copied(grad_out)
    over_records(outline.pull_colors, records, grad_out.view(-1, channels), grad_color.view(-1, channels))
    return grad_color


def antialias_along(color: Tensor, pos: Tensor, records: Records, boost: float = 1.0) -> Tensor:
    """[N, H, W, C] `color` blended along silhouettes from `find_outline`; see `antialias`."""
    color = color.contiguous()
    out: Tensor = _Antialias.apply(color, pos, boost, False, is_read_by(color), None, *records)
    return out


def pull_along(image: Tensor, pos: Tensor, records: Records) -> Tensor:
    """[N, H, W, C] `image` as it is, with the gradient that `antialias_along` of it has."""
    out: Tensor = _Antialias.apply(image.contiguous(), pos, 1.0, True, False, None, *records)
    return out


def edge_values(image: Tensor, records: Records) -> Tensor:
    """[N, H, W, 1] for each pixel the value that most of it is blended with; else its own.

    Args:
        image: [N, H, W, 1].
        records: silhouettes of `find_outline`.
    """
    source, target = records.pixels[:, 0].long(), records.pixels[:, 1].long()
    amount, flat = records.amount_a[:, 0], image.reshape(-1)
    most = torch.zeros_like(flat).scatter_reduce(0, target, amount, "amax")
    strongest = (amount > 0) & (amount == most[target])
    out = flat.clone()
    out[target[strongest]] = flat[source[strongest]]
    return out.view(image.shape)


def antialias_construct_topology_hash(tri: Tensor) -> Topology:
    """The topology that `antialias` needs; vertices count as one only by index.

    Kept for code written against nvdiffrast. `Topology.build(tri, positions)` also joins
    vertices that are doubled along UV seams, and is the better choice.
    """
    return Topology.build(check.triangles("antialias_construct_topology_hash", tri, tri))


def antialias(
    color: Tensor,
    rast: Tensor,
    pos: Tensor,
    tri: Tensor,
    topology_hash: Topology | None = None,
    pos_gradient_boost: float = 1.0,
    intersections: bool = False,
) -> Tensor:
    """Blend pixels across silhouette edges by coverage, which gives vertices their gradient.

    The last primitive before the loss. Mask or composite before it, not after: what is cut
    away afterwards takes the gradient with it.

    Args:
        color: [N, H, W, C] float32, also where empty (the background).
        rast: [N, H, W, 4] from `rasterize` at the same positions.
        pos: [N, V, 4] clip space, or [V, 4] in range mode.
        tri: [T, 3] int32.
        topology_hash: a Topology; built from tri and cached if None.
        pos_gradient_boost: multiplies the gradient to pos.
        intersections: also blend where triangles pass through each other, with gradients to the
            vertices of both. Triangles of one connected surface count only where they cover
            several pixels.
    Returns:
        [N, H, W, C] the antialiased image.
    Gradients:
        To: color, pos (x, y, w; z too where surfaces intersect). Not to rast.
        Discontinuous in: which outline wins where several pass a pixel; what appears from behind
        another surface; at the image's border, beyond which nothing is known; and, by no more than
        the colour changes from pixel to pixel, in which neighbour a corner's pixel is blended with.
    Raises:
        ShapeError: names the tensor, expected and actual shape, type or device.
    Reference:
        Laine et al. 2020, "Modular Primitives for High-Performance Differentiable Rendering",
        section 3.6; by the area that edges cover, see studio.core.kernels.silhouette.
    """
    op = "antialias"
    color = check.tensor(op, "color", color, ("N", "H", "W", "C"))
    rast = check.tensor(op, "rast", rast, (*color.shape[:3], 4), like=color)
    ranged = isinstance(pos, Tensor) and pos.ndim == 2
    if ranged:
        pos = pos.expand(len(color), *pos.shape)
    pos = check.tensor(op, "pos", pos, ("N", "V", 4), like=color)
    check.same_batch(op, "pos", pos, color.shape[0])
    given = tri
    tri = check.triangles(op, tri, color)
    if topology_hash is None:
        topology_hash = cached_topology(given)
    if not isinstance(topology_hash, Topology):
        raise ShapeError(f"antialias: topology_hash must be a Topology, got {type(topology_hash).__name__}")
    if topology_hash.triangles != tri.shape[0]:
        raise ShapeError(
            f"antialias: topology_hash was built from {topology_hash.triangles} triangles, tri has {len(tri)}"
        )
    topology = topology_hash.to(color.device)
    if topology.edges.shape[0] == 0 or color.numel() == 0:
        return color.clone()
    boost = float(pos_gradient_boost)
    seen = (rast, pos, tri, topology)
    small = not ranged and color.nbytes < copying.LARGE and is_small(rast, pos, topology.edges)
    if small and not intersections and kept_outline(*seen) is None:
        return _Antialias.apply(
            color, pos, boost, False, is_read_by(color), lambda image: _copy_and_blend(image, *seen)
        )
    records = find_in_ranges(*seen) if ranged else find_outline(*seen)
    out = antialias_along(color, pos, records, boost)
    if intersections:
        rast, points = rast.detach(), pos.detach()
        pairs = candidate_pairs(rast, records.pixels[records.amount_a[:, 0] != 0, :2])
        screen = project(points, *rast.shape[1:3])
        out = Crossings.apply(out, pos, pairs, rast, screen, tri, topology.surfaces, boost)
    return out
