"""Records of silhouettes: what antialias blends, by how much, and how that follows the vertices."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from studio.core.kernels import coverage, facing, launcher, relation, silhouette
from studio.core.ops import at_once, recent
from studio.core.ops.topology import Topology
from studio.core.ops.visibility import Projected, project, triangle_chunk


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
# About the nanoseconds a CPU core takes to look at a triangle and at an edge, to cut a piece, and to make
# a record of it.
_PER_FACE, _PER_EDGE, _PER_CUT, _PER_PIECE = 3.0, 2.0, 30.0, 100.0
# Where a piece has the number of its pixel; one of so many pieces tells where they are.
_PIXEL, _SAMPLED = 1, 8
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


def _projected(pos: Tensor, tri: Tensor, height: int, width: int) -> Projected:
    room = Projected.room(pos, tri)
    project(pos, height, width, room.screen)
    device, count = pos.device, room.facing.numel()
    inputs = [launcher.BEGIN, launcher.END, triangle_chunk(device, count), pos, room.screen, tri, room.facing]
    limit = launcher.worth(_PER_FACE * count)
    launcher.launch(facing.face, count, inputs, device, limit=limit, walks=device.type == "cpu")
    return room


def _cut(
    pos: Tensor, projected: Projected, edges: Tensor, size: tuple[int, int], capacity: int
) -> tuple[Tensor, Tensor]:
    """Pieces of all silhouettes, `capacity` for each band: how many, and [bands * capacity, words]."""
    device = pos.device
    total = len(pos) * len(edges)
    expected = at_once.pieces_last_time(len(pos) * size[0] * size[1], len(edges))
    limit = launcher.worth(_PER_EDGE * total + _PER_CUT * expected)
    bands = len(launcher.bands(device, total, limit))
    counts = torch.zeros(bands, _APART, dtype=torch.int32, device=device)
    pieces = torch.empty(bands * capacity, relation.PIECE_WORDS, dtype=torch.int32, device=device)
    height, width = size
    inputs = [0, 0, 0, capacity, 0, pos, *projected, edges, width, height, counts, pieces]
    ready = launcher.arguments(silhouette.find, inputs, device)

    def work(band: launcher.Band) -> None:
        length = band.end - band.begin
        chunk = triangle_chunk(device, length)
        own = [band.begin, chunk, band.end, capacity, band.index, *ready[5:]]
        launcher.launch_in_band(silhouette.find, -(-length // chunk), own, device)

    launcher.run(device, total, work, limit)
    return counts, pieces


def _equal_shares(
    parts: Sequence[launcher.Band], counts: Tensor, pieces: Tensor, width: int
) -> Sequence[launcher.Band]:
    """As many bands of rows, with about as many pieces each, by the rows of some of them."""
    table, capacity = pieces.numpy()[:, _PIXEL], len(pieces) // len(counts)
    begins = range(0, len(pieces), capacity)
    samples = [table[i : i + count : _SAMPLED] for i, count in zip(begins, counts[:, 0].tolist())]
    found = np.concatenate(samples)
    if len(found) < len(parts):
        return parts
    found = np.sort(found // width)
    ends = [0, *(int(found[len(found) * i // len(parts)]) for i in range(1, len(parts))), parts[-1].end]
    return [launcher.Band(i, len(parts), ends[i], ends[i + 1]) for i in range(len(parts))]


def _settle(
    seen: Tensor,
    spans: Tensor,
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
    shares = launcher.bands(device, n * height, limit)
    bands = len(shares)
    if bands > 1:
        shares = _equal_shares(shares, counts, pieces, width)
    # On CUDA nobody waits for the number of records: those after the last do nothing.
    empty = torch.empty if device.type == "cpu" else torch.zeros
    records = Records(
        empty(bands * most, 4, dtype=torch.int32, device=device),
        empty(bands * most, 4, device=device),
        empty(bands * most, 4, device=device),
    )
    scratch = torch.empty(bands * most, relation.PART_WORDS // 2, dtype=torch.int64, device=device)
    used = torch.zeros(bands, _APART, dtype=torch.int32, device=device)
    shared = [
        screen,
        tri,
        edges,
        rast,
        keys,
        spans,
        width,
        height,
        counts,
        pieces,
        heads,
        scratch,
        used,
        *records,
    ]
    threads = -(-capacity // chunk)
    if threads > 1:
        links = [0, n * height, chunk, capacity, width, counts, pieces, heads]
        launcher.launch(coverage.link, threads, links, device)
    inputs = [0, 0, chunk, capacity, 0, most, threads > 1, *shared]
    settle = launcher.arguments(coverage.settle, inputs, device)

    def work(band: launcher.Band) -> None:
        own = [band.begin, band.end, chunk, capacity, band.index, *settle[5:]]
        launcher.launch_in_band(coverage.settle, threads, own, device)

    launcher.run(device, n * height, work, parts=shares)
    if device.type != "cpu":
        return records
    ends = [(i * most, i * most + count) for i, count in enumerate(used[:, 0].tolist())]
    parts = [[column[begin:end] for begin, end in ends] for column in records]
    return Records(*(part[0] if bands == 1 else torch.cat(part) for part in parts))


def find_records(
    seen: Tensor,
    pos: Tensor,
    tri: Tensor,
    edges: Tensor,
    projected: Projected | None = None,
    spans: Tensor | None = None,
) -> Records:
    """What antialias blends along the silhouettes of a batch of images.

    Args:
        seen: rast [N, H, W, 4] from `rasterize`, or keys [N, H, W] int64 from `visible`.
        pos: [N, V, 4] clip space.
        tri: [T, 3] int32.
        edges: `edges` of the mesh's Topology, on the same device.
        projected: of the same pos, tri and size, if at hand.
        spans: of keys, if only these have been written; see `visible`.
    """
    spans = tri.new_empty(0, 2) if spans is None else spans
    if is_small(seen, pos, edges):
        return Records(*at_once.outline(seen, spans, pos, projected, tri, edges, None)[:3])
    n, height, width = seen.shape[:3]
    device = seen.device
    if projected is None:
        projected = _projected(pos, tri, height, width)
    size = (height, width)
    scratch = _take_scratch(device, n * height * width)
    if device.type == "cpu":
        capacity = max(scratch.capacity, 2 * n * (height + width))
        counts, pieces = _cut(pos, projected, edges, size, capacity)
        most = int(counts.max())
        if most > capacity:
            capacity = most
            counts, pieces = _cut(pos, projected, edges, size, capacity)
        scratch.capacity = capacity
        most = int(counts.sum())
        at_once.note_pieces(n * height * width, len(edges), most)
    else:
        # Reading the count would wait for the device. Room for a quarter of the pixels is more
        # than outlines that can be told apart take; what is not used stays zero, and does nothing.
        most = n * height * width // 4 + _LEAST_ROOM
        counts, pieces = _cut(pos, projected, edges, size, most)
    records = _settle(seen, spans, projected.screen, tri, edges, scratch.heads, counts, pieces, most)
    _return_scratch(device, scratch)
    return records


def is_small(seen: Tensor, pos: Tensor, edges: Tensor) -> bool:
    """Whether a single core finds the silhouettes; as a rule it then makes the records, too."""
    n, height, width = seen.shape[:3]
    images, total = pos.shape[0], pos.shape[0] * edges.shape[0]
    if seen.device.type != "cpu" or edges.shape[0] == 0 or n * height * width == 0:
        return False
    pieces = at_once.pieces_last_time(n * height * width, edges.shape[0])
    limit = launcher.worth(_PER_EDGE * total + _PER_PIECE * pieces)
    return n == images and len(launcher.bands(seen.device, total, limit)) == 1


def find_in_ranges(rast: Tensor, pos: Tensor, tri: Tensor, topology: Topology) -> Records:
    """Range mode: of the one mesh, each image shows some surfaces, and only these have outlines."""
    rast, pos = rast.detach(), pos.detach()
    parts = []
    for i, image in enumerate(rast):
        seen = image[..., 3].unique().long()
        shown = topology.surfaces[seen[seen > 0] - 1].unique()
        own = torch.isin(topology.surfaces[topology.edges[:, 2].long()], shown)
        records = find_records(rast[i : i + 1], pos[i : i + 1], tri, topology.edges[own])
        records.pixels[:, :2] += i * image.shape[0] * image.shape[1]
        parts.append(records)
    return Records(*(torch.cat(part) for part in zip(*parts)))


def recent_projection(rast: Tensor, pos: Tensor, tri: Tensor) -> Projected | None:
    """What rasterizing the very same tensors to this size has found out, if that was just now."""
    found: Projected | None = recent.find(f"projected to {rast.shape[2]} x {rast.shape[1]}", (pos, tri))
    return found


def kept_outline(rast: Tensor, pos: Tensor, tri: Tensor, topology: Topology) -> Records | None:
    """What the thread's last `keep_outline` was given, if of the very same tensors."""
    found: Records | None = recent.find("outline", (rast, pos, tri, topology.edges))
    return found


def keep_outline(rast: Tensor, pos: Tensor, tri: Tensor, topology: Topology, records: Records) -> None:
    """For `kept_outline`. Not on CUDA: where nobody waits for their number, records hold much memory."""
    if rast.device.type == "cpu":
        recent.keep("outline", (rast, pos, tri, topology.edges), records)


def find_outline(rast: Tensor, pos: Tensor, tri: Tensor, topology: Topology) -> Records:
    """The silhouettes of a batch of images, to blend several images along; see `antialias`.

    On CPU a thread keeps those it found last: colour, mask and depth of the very same rast and pos
    are blended after one search.

    Args:
        rast: [N, H, W, 4] from `rasterize`.
        pos: [N, V, 4] clip space.
        tri: [T, 3] int32.
        topology: of tri.
    """
    if len(topology.edges) == 0 or rast.numel() == 0:
        none = torch.empty(0, 4, device=rast.device)
        return Records(none.int(), none, none)
    records = kept_outline(rast, pos, tri, topology)
    if records is None:
        projected = recent_projection(rast, pos, tri)
        records = find_records(rast.detach(), pos.detach(), tri, topology.edges, projected)
        keep_outline(rast, pos, tri, topology, records)
    return records
