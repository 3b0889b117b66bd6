"""Antialiasing of silhouettes: what makes coverage differentiable."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, NamedTuple

import torch
from torch import Tensor

from studio.core.errors import ShapeError
from studio.core.kernels import antialias as kernels
from studio.core.kernels import launcher, silhouette
from studio.core.ops import check
from studio.core.ops.topology import Topology, cached_topology
from studio.core.ops.visibility import project, triangle_chunk


class Records(NamedTuple):
    """One row per blended pixel pair; see `kernels.settle`."""

    pixels: Tensor
    amount_a: Tensor
    amount_b: Tensor


# A thread works at a few image sizes; more are dropped, oldest first.
_SCRATCH_SIZES = 4
_scratch = threading.local()


def _take_scratch(device: torch.device, pairs: int) -> tuple[Tensor, Tensor]:
    """(keys, claimed) of this thread, taken out of the store; keys are all zero.

    `settle` zeroes what `claim` wrote, so a buffer is cleared once and not on every call
    (4 MB for four images of 256 x 256). It goes back only if nothing failed in between.
    """
    store: OrderedDict = _scratch.__dict__.setdefault("store", OrderedDict())
    stream = torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0
    found = store.pop((device, stream, pairs), None)
    if found is not None:
        return found
    return (
        torch.zeros(pairs, dtype=torch.int64, device=device),
        torch.empty(pairs, dtype=torch.int32, device=device),
    )


def _return_scratch(device: torch.device, keys: Tensor, claimed: Tensor) -> None:
    store = _scratch.store
    stream = torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0
    store[(device, stream, len(keys))] = (keys, claimed)
    while len(store) > _SCRATCH_SIZES:
        store.popitem(last=False)


def find_records(rast: Tensor, pos: Tensor, tri: Tensor, edges: Tensor) -> Records:
    """All blended pixel pairs of a batch of images."""
    n, height, width, _ = rast.shape
    device = rast.device
    screen = project(pos, height, width)
    front = torch.empty(n, len(tri), dtype=torch.int8, device=device)
    chunk = triangle_chunk(device, len(tri))
    launcher.launch(
        silhouette.facing,
        n * -(-len(tri) // chunk),
        [launcher.BEGIN, chunk, pos, screen, tri, front],
        device,
    )
    chunk = triangle_chunk(device, len(edges))
    keys, claimed = _take_scratch(device, 2 * n * height * width)
    counts = torch.zeros(len(launcher.bands(device, n * height)), dtype=torch.int32, device=device)
    flat = rast.view(-1, 4)
    claim = launcher.arguments(
        silhouette.claim,
        [0, 0, 0, 0, chunk, pos, screen, tri, edges, front, flat, width, height, keys, claimed, counts],
        device,
    )
    settle = launcher.arguments(
        kernels.settle,
        [0, pos, screen, tri, edges, flat, width, height, keys, claimed],
        device,
    )
    found: list[Records | None] = [None] * len(counts)

    def work(band: launcher.Band) -> None:
        first = band.begin // height
        images = (band.end - 1) // height + 1 - first
        launcher.launch_in_band(
            silhouette.claim,
            (images, -(-len(edges) // chunk)),
            [first, band.begin, band.end, band.index, *claim[4:]],
            device,
        )
        count = int(counts[band.index])
        records = Records(
            torch.empty(count, 4, dtype=torch.int32, device=device),
            torch.empty(count, 4, device=device),
            torch.empty(count, 4, device=device),
        )
        if count:
            own = launcher.arguments(kernels.settle, [0, *settle[1:], *records], device)
            own[0] = 2 * band.begin * width
            launcher.launch_in_band(kernels.settle, count, own, device)
        found[band.index] = records

    launcher.run(device, n * height, work)
    _return_scratch(device, keys, claimed)
    parts = [records for records in found if records is not None]
    return parts[0] if len(parts) == 1 else Records(*(torch.cat(column) for column in zip(*parts)))


class _Antialias(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, color: Tensor, rast: Tensor, pos: Tensor, tri: Tensor, edges: Tensor, boost: float
    ) -> Tensor:
        records = find_records(rast, pos, tri, edges)
        channels = color.shape[-1]
        out = color.clone()
        # A few thousand records at most: one band, so nothing is added twice at once.
        launcher.launch(
            kernels.blend,
            len(records.pixels),
            [records.pixels, records.amount_a, color.view(-1, channels), out.view(-1, channels)],
            color.device,
            limit=1,
        )
        ctx.save_for_backward(color, *records)
        ctx.pos_shape = pos.shape
        ctx.boost = boost
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        color, pixels, amount_a, amount_b = ctx.saved_tensors
        with_pos = ctx.needs_input_grad[2]
        grad_out = grads[0].contiguous()
        grad_color = grad_out.clone()
        grad_pos = torch.zeros(ctx.pos_shape if with_pos else (1, 1, 4), device=color.device)
        _, height, width, channels = color.shape
        launcher.launch(
            kernels.blend_backward,
            len(pixels),
            [
                pixels,
                amount_a,
                amount_b,
                color.view(-1, channels),
                height * width,
                ctx.boost,
                int(with_pos),
                grad_out.view(-1, channels),
                grad_color.view(-1, channels),
                grad_pos,
            ],
            color.device,
            limit=1,
        )
        return grad_color, None, grad_pos if with_pos else None, None, None, None


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
    Returns:
        [N, H, W, C] the antialiased image.
    Gradients:
        To: color, pos (x, y, w). Not to rast.
        Discontinuous in: which edge wins a pixel pair, and which pairs an outline between 30
        and 60 degrees hands over (its share is taken as constant).
    Raises:
        ShapeError: names the tensor, expected and actual shape, type or device.
    Reference:
        Laine et al. 2020, "Modular Primitives for High-Performance Differentiable Rendering",
        section 3.6; driven by edges instead of pixel pairs, see studio.core.kernels.silhouette.
    """
    op = "antialias"
    color = check.tensor(op, "color", color, ("N", "H", "W", "C"))
    rast = check.tensor(op, "rast", rast, (*color.shape[:3], 4), like=color)
    if isinstance(pos, Tensor) and pos.ndim == 2:
        pos = pos.expand(len(color), *pos.shape)
    pos = check.tensor(op, "pos", pos, ("N", "V", 4), like=color)
    check.same_batch(op, "pos", pos, len(color))
    given = tri
    tri = check.triangles(op, tri, color)
    if topology_hash is None:
        topology_hash = cached_topology(given)
    if not isinstance(topology_hash, Topology):
        raise ShapeError(f"antialias: topology_hash must be a Topology, got {type(topology_hash).__name__}")
    if topology_hash.triangles != len(tri):
        raise ShapeError(
            f"antialias: topology_hash was built from {topology_hash.triangles} triangles, tri has {len(tri)}"
        )
    edges = topology_hash.edges.to(color.device)
    if len(edges) == 0 or color.numel() == 0:
        return color.clone()
    return _Antialias.apply(color, rast.detach(), pos, tri, edges, float(pos_gradient_boost))
