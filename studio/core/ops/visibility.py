"""Visibility shared by the rasterizing operations: nearest triangle per pixel as sortable keys."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from studio.core.kernels import cover, launcher, pieces, strips, survey, visibility
from studio.core.ops import at_once

# About the nanoseconds a CPU core takes: to project a vertex, to survey a triangle, and to draw one
# and a pixel (with what follows in the same band). They decide between one band and several.
_PER_VERTEX, _PER_SURVEY, _PER_TRIANGLE, _PER_PIXEL = 1.0, 11.0, 15.0, 3.0
# Pixels of a strip whose keys stay in the last cache, and at least for each triangle.
_STRIP_PIXELS, _STRIP_PER_TRIANGLE = 1 << 19, 16
# Threads of the CUDA form; each draws every so many-th piece. Enough to fill any GPU.
_THREADS = 1 << 18


class Projected(NamedTuple):
    """What drawing finds out about a mesh before it draws.

    Attributes:
        screen: [N, V, 4], see `project`.
        facing: [N, T] int8, which side each triangle shows, see `kernels.facing`; [0, 0] if nobody asks.
    """

    screen: Tensor
    facing: Tensor

    @classmethod
    def room(cls, pos: Tensor, tri: Tensor) -> Projected:
        """Not filled in yet."""
        facing = torch.empty(pos.shape[0], tri.shape[0], dtype=torch.int8, device=pos.device)
        return cls(torch.empty_like(pos), facing)


def project(pos: Tensor, height: int, width: int, screen: Tensor | None = None) -> Tensor:
    """[N, V, 4] clip space to pixels (x, y, z/w, ok); pixel centres at integers. To `screen`, if given."""
    if screen is None:
        screen = torch.empty_like(pos)
    device, count = pos.device, pos.shape[0] * pos.shape[1]
    chunk = triangle_chunk(device, count)
    inputs = [launcher.BEGIN, launcher.END, chunk, pos, 0.5 * width, 0.5 * height]
    limit = launcher.worth(_PER_VERTEX * count)
    launcher.launch(
        visibility.project,
        count,
        [*inputs, screen],
        device,
        limit=limit,
        walks=device.type == "cpu",
    )
    return screen


def run_length(device: torch.device, width: int) -> int:
    """Pixels a thread walks: a row on CPU (values stay in registers), one on CUDA."""
    return width if device.type == "cpu" else 1


def triangle_chunk(device: torch.device, count: int) -> int:
    """Triangles or edges a thread works through: all on CPU, where starting a thread's work
    costs as much as a tiny triangle; one on CUDA.
    """
    return max(1, count) if device.type == "cpu" else 1


@dataclass(eq=False)
class _Job:
    """What all steps of finding visibility read and write.

    Attributes:
        images: [N, 3] first triangle, number of triangles and first item of each image.
        items: triangles of all images together.
        records: what the survey found out about them.
    """

    pos: Tensor
    projected: Projected
    tri: Tensor
    images: Tensor
    items: int
    most: int
    height: int
    width: int
    records: Tensor
    passed: Tensor
    keys: Tensor
    spans: Tensor

    @property
    def scene(self) -> list:
        return [self.pos, self.projected.screen, self.tri, self.images, self.width, self.height]


@functools.cache
def _instances(images: int, triangles: int, device: torch.device) -> Tensor:
    """The job's `images` in instanced mode; never written to."""
    table = [[0, triangles, i * triangles] for i in range(images)]
    return torch.tensor(table, dtype=torch.int32, device=device)


def _images(images: int, tri: Tensor, ranges: Tensor | None) -> tuple[Tensor, int, int]:
    """The job's `images`, their items and the most items of one."""
    if ranges is None:
        count = tri.shape[0]
        return _instances(images, count, tri.device), images * count, count
    counts = ranges[:, 1]
    ends = counts.cumsum(0, dtype=torch.int32)
    table = torch.stack([ranges[:, 0], counts, ends - counts], dim=1)
    return table.to(tri.device), int(ends[-1]), int(counts.max())


def visible(
    pos: Tensor,
    tri: Tensor,
    height: int,
    width: int,
    cull: bool,
    ranges: Tensor | None = None,
    passed: Tensor | None = None,
    in_pieces: bool | None = None,
    projected: Projected | None = None,
    keys: Tensor | None = None,
    spans: Tensor | None = None,
    then: Sequence[strips.Launch] = (),
) -> Tensor:
    """[N * H * W] int64 keys of the nearest triangle: depth above, triangle below.

    Args:
        pos: [N, V, 4], or [1, V, 4] for all images of `ranges`.
        ranges: [N, 2] int32 on CPU, first triangle and number of triangles per image, within
            `tri`; all triangles by default.
        passed: keys of the same layout; only what lies beyond them is found (depth peeling).
        in_pieces: the form made for CUDA, which any device can run; by default there only.
        projected: where to write it (not for `ranges`).
        keys: where to write them, [N * H * W] int64.
        spans: [N * H, 2] int32 gets on CPU the columns of each row that have keys, and the others are
            not written; keys are written everywhere without.
        then: what is launched over rows of all images as soon as their keys are there.
    """
    n = pos.shape[0] if ranges is None else len(ranges)
    device = pos.device
    if keys is None:
        keys = torch.empty(n * height * width, dtype=torch.int64, device=device)
    if n == 0 or tri.shape[0] == 0 or pos.shape[1] == 0:
        keys.fill_(visibility.EMPTY_KEY)
        if spans is not None:
            spans.zero_()
        for launch in then:
            launch(0, n * height)
        return keys
    images, items, most = _images(n, tri, ranges)
    passed = keys[:0] if passed is None else passed
    if projected is None:
        projected = Projected(torch.empty_like(pos), tri.new_empty(0, 0, dtype=torch.int8))
    spans = tri.new_empty(0, 2) if spans is None else spans
    in_bands = not in_pieces and device.type == "cpu"
    if in_bands and _is_small(n * height, width, items):
        scene = [pos, projected.screen, tri, images, width, height]
        at_once.find_keys(scene, cull, passed, keys, spans, projected.facing, items)
        for launch in then:
            launch(0, n * height)
        return keys
    job = _Job(
        pos=pos,
        projected=projected,
        tri=tri,
        images=images,
        items=items,
        most=most,
        height=height,
        width=width,
        records=torch.empty(items, 4, dtype=torch.int32, device=device),
        passed=passed,
        keys=keys,
        spans=spans,
    )
    if in_bands:
        _cover_in_bands(job, cull, then)
    else:
        project(pos, height, width, projected.screen)
        keys.fill_(visibility.EMPTY_KEY)
        _cover_in_pieces(job, cull)
        for launch in then:
            launch(0, n * height)
    return keys


def _is_small(rows: int, width: int, items: int) -> bool:
    """Whether one band does it all, in one strip."""
    nanoseconds = max(_PER_SURVEY * items, _PER_PIXEL * rows * width + _PER_TRIANGLE * items)
    return (
        items <= at_once.MOST_ITEMS
        and rows * width <= _STRIP_PIXELS
        and min(launcher.worth(nanoseconds), launcher.pool().threads) == 1
    )


def _strip_rows(rows: int, width: int, bands: int, shown: int) -> int:
    """Rows of a strip: so few that its keys stay in the cache until they are resolved, and that bands
    which take one after the other end together; so many that looking through all triangles for each
    is nothing beside its pixels. Whole tiles.
    """
    wanted = rows if bands == 1 else -(-rows // (4 * bands))
    least = max(cover.TILE, _STRIP_PER_TRIANGLE * shown // width)
    strip = max(min(wanted, _STRIP_PIXELS // width), least)
    strip = min(-(-strip // cover.TILE) * cover.TILE, -(-rows // bands))
    return max(strip, 1)


def _survey_in_bands(job: _Job, cull: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Numbers, records, and the order of the large ones: a survey in bands of items, then a sort."""
    device = job.pos.device
    limit = launcher.worth(_PER_SURVEY * job.items)
    parts = launcher.bands(device, job.items, limit)
    facing = job.projected.facing
    if len(parts) == 1 and job.items <= at_once.MOST_ITEMS:
        return at_once.find_order(job.scene, cull, facing, job.items)
    project(job.pos, job.height, job.width, job.projected.screen)
    packed = torch.zeros(len(parts), 4, dtype=torch.int32)
    inputs = [0, 0, 0, job.most, *job.scene, int(cull), packed, job.records, facing]
    looking = launcher.arguments(survey.survey, inputs, device)

    def look(band: launcher.Band) -> None:
        own = [band.index, band.begin, band.end, *looking[3:]]
        launcher.launch_in_band(survey.survey, (len(job.images), 1), own, device)

    launcher.run(device, job.items, look, limit)
    order = torch.empty(int(packed[:, 1].sum()), 2, dtype=torch.int32)
    if len(order):
        ends = torch.tensor([band.end for band in parts], dtype=torch.int32)
        buckets = torch.empty(survey.BUCKETS, dtype=torch.int32)
        sorting = [ends, packed, job.records, buckets, torch.empty_like(order), order]
        launcher.launch(survey.front_to_back, 1, sorting, device)
    return packed, job.records, order


def _cover_in_bands(job: _Job, cull: bool, then: Sequence[strips.Launch]) -> None:
    """A survey, then each band draws its rows."""
    device = job.pos.device
    width = job.width
    packed, records, order = _survey_in_bands(job, cull)
    rows = len(job.images) * job.height
    limit = launcher.worth(_PER_PIXEL * rows * width + _PER_TRIANGLE * job.items)
    bands = len(launcher.bands(device, rows, limit))
    strip = _strip_rows(rows, width, bands, sum(sum(numbers[:2]) for numbers in packed.tolist()))
    tiles_each = ((strip - 1) // cover.TILE + 1) * ((width - 1) // cover.TILE + 1)
    tiles = torch.empty(bands, 2, tiles_each, dtype=torch.int32)
    inputs = [0, 0, 0, *job.scene, packed, records, order, job.passed, job.keys, job.spans, tiles]
    drawing = launcher.arguments(cover.cover, inputs, device)
    covering = strips.Launch(cover.cover, drawing, device, rows_at=1, walks=True, hand_at=0)
    strips.run(rows, strip, bands, [covering, *then])


def _cover_in_pieces(job: _Job, cull: bool) -> None:
    """A survey, the pieces counted, then threads that draw them."""
    device = job.pos.device
    count = torch.empty(job.items, dtype=torch.int64, device=device)
    unpacked = torch.empty(0, 4, dtype=torch.int32, device=device)
    # One band: on CPU, where only tests come here, the atomics are none between threads.
    inputs = [0, 0, job.items, 1, *job.scene, int(cull), unpacked, job.records, job.projected.facing]
    launcher.launch(survey.survey, (len(job.images), job.most), inputs, device, limit=1)
    launcher.launch(pieces.count_pieces, job.items, [job.records, count], device, limit=1)
    threads = _THREADS if device.type == "cuda" else 1
    inputs = [threads, *job.scene, job.records, count.cumsum(0), job.passed, job.keys]
    launcher.launch(pieces.cover_pieces, threads, inputs, device, limit=1)
