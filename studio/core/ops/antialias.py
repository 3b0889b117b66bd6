"""Antialiasing of silhouettes: what makes coverage differentiable."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, NamedTuple

import torch
from torch import Tensor

from studio.core.errors import ShapeError
from studio.core.kernels import coverage, launcher, outline, relation, silhouette
from studio.core.ops import check
from studio.core.ops.crossings import Crossings, candidate_pairs
from studio.core.ops.topology import Topology, cached_topology
from studio.core.ops.visibility import project, triangle_chunk


class Records(NamedTuple):
    """What to blend, one row per record; several may have the same target, their parts add up.

        out[target] += amount * (color[source] - color[target])
                     + mirror * (color[2 * target - source] - color[target])

    `mirror` is a share of `amount`, 0 to 1, and its derivatives are that share of the amount's. A
    record with amounts and derivatives of zero changes nothing; on CUDA most are such.

    Attributes:
        pixels: [R, 4] int32: source pixel, target pixel (numbers in the whole batch,
            image * H * W + row * W + column), vertices a and b of the edge.
        amount_a: [R, 4]: amount, and its derivatives to x, y and w of vertex a in clip space.
        amount_b: [R, 4]: mirror, and amount's derivatives to x, y and w of vertex b.
    """

    pixels: Tensor
    amount_a: Tensor
    amount_b: Tensor


# Pieces that fit whatever the size of the image.
_LEAST_ROOM = 4096
# About the nanoseconds a CPU core takes to look at an edge, and to make a record of a piece.
_PER_EDGE, _PER_PIECE = 6.0, 100.0
# Numbers between the counters of two bands, which would wait for each other on one line of cache.
_APART = 16
# A thread works at a few image sizes; more are dropped, oldest first.
_SCRATCH_SIZES = 4
_scratch = threading.local()


class _Scratch:
    """What a thread keeps between calls at one size of image: `settle` leaves it as it was."""

    def __init__(self, device: torch.device, pixels: int) -> None:
        self.heads = torch.zeros(pixels, dtype=torch.int32, device=device)
        self.capacity = 0


def _take_scratch(device: torch.device, pixels: int) -> _Scratch:
    """Taken out of the store; it goes back only if nothing fails in between."""
    store: OrderedDict = _scratch.__dict__.setdefault("store", OrderedDict())
    return store.pop((device, _stream(device), pixels), None) or _Scratch(device, pixels)


def _return_scratch(device: torch.device, scratch: _Scratch) -> None:
    store = _scratch.store
    store[(device, _stream(device), len(scratch.heads))] = scratch
    while len(store) > _SCRATCH_SIZES:
        store.popitem(last=False)


def _stream(device: torch.device) -> int:
    return torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0


def _cut(
    pos: Tensor, screen: Tensor, edges: Tensor, size: tuple[int, int], capacity: int
) -> tuple[Tensor, Tensor]:
    """Pieces of all silhouettes, `capacity` for each band: how many, and [bands * capacity, words]."""
    device = pos.device
    total = len(pos) * len(edges)
    limit = launcher.worth(_PER_EDGE * total)
    bands = len(launcher.bands(device, total, limit))
    counts = torch.zeros(bands, _APART, dtype=torch.int32, device=device)
    pieces = torch.empty(bands * capacity, relation.PIECE_WORDS, dtype=torch.int32, device=device)
    height, width = size
    ready = launcher.arguments(
        silhouette.find, [0, 0, 0, capacity, 0, pos, screen, edges, width, height, counts, pieces], device
    )

    def work(band: launcher.Band) -> None:
        length = band.end - band.begin
        chunk = triangle_chunk(device, length)
        own = [band.begin, chunk, band.end, capacity, band.index, *ready[5:]]
        launcher.launch_in_band(silhouette.find, -(-length // chunk), own, device)

    launcher.run(device, total, work, limit)
    return counts, pieces


def _settle(
    seen: Tensor,
    screen: Tensor,
    tri: Tensor,
    edges: Tensor,
    heads: Tensor,
    counts: Tensor,
    pieces: Tensor,
    most: int,
) -> Records:
    """Make records of pieces, of which there are `most` or, on CUDA, no more than that."""
    n, height, width = seen.shape[:3]
    device = seen.device
    rast = seen.view(-1, 4) if seen.ndim == 4 else torch.empty(0, 4, device=device)
    keys = torch.empty(0, dtype=torch.int64, device=device) if seen.ndim == 4 else seen.view(-1)
    capacity = len(pieces) // len(counts)
    chunk = triangle_chunk(device, capacity)
    limit = launcher.worth(_PER_PIECE * most)
    bands = len(launcher.bands(device, n * height, limit))
    # On CUDA nobody waits for the number of records: those after the last do nothing.
    empty = torch.empty if device.type == "cpu" else torch.zeros
    records = Records(
        empty(bands * most, 4, dtype=torch.int32, device=device),
        empty(bands * most, 4, device=device),
        empty(bands * most, 4, device=device),
    )
    scratch = torch.empty(bands * most, relation.PART_WORDS // 2, dtype=torch.int64, device=device)
    used = torch.zeros(bands, _APART, dtype=torch.int32, device=device)
    shared = [screen, tri, edges, rast, keys, width, height, counts, pieces, heads, scratch, used, *records]
    threads = -(-capacity // chunk)
    if threads > 1:
        links = [0, n * height, chunk, capacity, width, counts, pieces, heads]
        launcher.launch(coverage.link, threads, links, device)
    inputs = [0, 0, chunk, capacity, 0, most, threads > 1, *shared]
    settle = launcher.arguments(coverage.settle, inputs, device)

    def work(band: launcher.Band) -> None:
        own = [band.begin, band.end, chunk, capacity, band.index, *settle[5:]]
        launcher.launch_in_band(coverage.settle, threads, own, device)

    launcher.run(device, n * height, work, limit)
    if device.type != "cpu":
        return records
    ends = [(i * most, i * most + count) for i, count in enumerate(used[:, 0].tolist())]
    parts = [[column[begin:end] for begin, end in ends] for column in records]
    return Records(*(part[0] if bands == 1 else torch.cat(part) for part in parts))


def find_records(
    seen: Tensor, pos: Tensor, tri: Tensor, edges: Tensor, screen: Tensor | None = None
) -> Records:
    """What antialias blends along the silhouettes of a batch of images.

    Args:
        seen: rast [N, H, W, 4] from `rasterize`, or keys [N, H, W] int64 from `visible`.
        pos: [N, V, 4] clip space.
        tri: [T, 3] int32.
        edges: `edges` of the mesh's Topology, on the same device.
        screen: [N, V, 4] from `visibility.project` of the same pos and size, if at hand.
    """
    n, height, width = seen.shape[:3]
    device = seen.device
    if screen is None:
        screen = project(pos, height, width)
    size = (height, width)
    scratch = _take_scratch(device, n * height * width)
    if device.type == "cpu":
        capacity = max(scratch.capacity, 2 * n * (height + width))
        counts, pieces = _cut(pos, screen, edges, size, capacity)
        most = int(counts.max())
        if most > capacity:
            capacity = most
            counts, pieces = _cut(pos, screen, edges, size, capacity)
        scratch.capacity = capacity
        most = int(counts.sum())
    else:
        # Reading the count would wait for the device. Room for a quarter of the pixels is more
        # than outlines that can be told apart take; what is not used stays zero, and does nothing.
        most = n * height * width // 4 + _LEAST_ROOM
        counts, pieces = _cut(pos, screen, edges, size, most)
    records = _settle(seen, screen, tri, edges, scratch.heads, counts, pieces, most)
    _return_scratch(device, scratch)
    return records


def _find_in_ranges(rast: Tensor, pos: Tensor, tri: Tensor, topology: Topology) -> Records:
    """Range mode: of the one mesh, each image shows some surfaces, and only these have outlines."""
    parts = []
    for i, image in enumerate(rast):
        seen = image[..., 3].unique().long()
        shown = topology.surfaces[seen[seen > 0] - 1].unique()
        own = torch.isin(topology.surfaces[topology.edges[:, 2].long()], shown)
        records = find_records(rast[i : i + 1], pos[i : i + 1], tri, topology.edges[own])
        records.pixels[:, :2] += i * image.shape[0] * image.shape[1]
        parts.append(records)
    return Records(*(torch.cat(part) for part in zip(*parts)))


def over_records(kernel: Any, records: Records, *inputs: Any) -> None:
    """Run a kernel of `kernels.outline` over all records.

    On CPU one thread takes them all: they are a few thousand, and nothing is added twice at once.
    """
    count, device = len(records.pixels), records.pixels.device
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


class _Antialias(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, color: Tensor, pos: Tensor, boost: float, plain: bool, *found: Tensor) -> Tensor:
        records = Records(*found)
        channels = color.shape[-1]
        out = launcher.copied(color)
        if plain:
            difference = differences(records, color.view(-1, channels))
        else:
            difference = blend(records, color.view(-1, channels), out.view(-1, channels))
        ctx.save_for_backward(difference, *records)
        ctx.pos_shape = pos.shape
        ctx.boost = boost
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        difference, *found = ctx.saved_tensors
        records = Records(*found)
        grad_out = grads[0].contiguous()
        _, height, width, channels = grad_out.shape
        flat = grad_out.view(-1, channels)
        grad_color = grad_pos = None
        if ctx.needs_input_grad[0]:
            grad_color = launcher.copied(grad_out)
            over_records(outline.pull_colors, records, flat, grad_color.view(-1, channels))
        if ctx.needs_input_grad[1]:
            grad_pos = torch.zeros(ctx.pos_shape, device=grad_out.device)
            inputs = [difference, height * width, ctx.boost, flat, grad_pos]
            over_records(outline.pull_positions, records, *inputs)
        return grad_color, grad_pos, None, None, None, None, None


def find_outline(rast: Tensor, pos: Tensor, tri: Tensor, topology: Topology) -> Records:
    """The silhouettes of a batch of images, to blend several images along; see `antialias`.

    Args:
        rast: [N, H, W, 4] from `rasterize`.
        pos: [N, V, 4] clip space.
        tri: [T, 3] int32.
        topology: of tri.
    """
    if len(topology.edges) == 0 or rast.numel() == 0:
        none = torch.empty(0, 4, device=rast.device)
        return Records(none.int(), none, none)
    return find_records(rast.detach(), pos.detach(), tri, topology.edges)


def antialias_along(color: Tensor, pos: Tensor, records: Records, boost: float = 1.0) -> Tensor:
    """[N, H, W, C] `color` blended along silhouettes from `find_outline`; see `antialias`."""
    out: Tensor = _Antialias.apply(color.contiguous(), pos, boost, False, *records)
    return out


def pull_along(image: Tensor, pos: Tensor, records: Records) -> Tensor:
    """[N, H, W, C] `image` as it is, with the gradient that `antialias_along` of it has."""
    out: Tensor = _Antialias.apply(image.contiguous(), pos, 1.0, True, *records)
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
    topology = topology_hash.to(color.device)
    if len(topology.edges) == 0 or color.numel() == 0:
        return color.clone()
    if ranged:
        records = _find_in_ranges(rast.detach(), pos.detach(), tri, topology)
    else:
        records = find_outline(rast, pos, tri, topology)
    boost = float(pos_gradient_boost)
    out = antialias_along(color, pos, records, boost)
    if intersections:
        rast, points = rast.detach(), pos.detach()
        pairs = candidate_pairs(rast, records.pixels[records.amount_a[:, 0] != 0, :2])
        screen = project(points, *rast.shape[1:3])
        out = Crossings.apply(out, pos, pairs, rast, screen, tri, topology.surfaces, boost)
    return out
