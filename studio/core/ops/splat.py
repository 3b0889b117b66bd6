"""Gaussians drawn front to back: the torch front of the splatting kernels."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from studio.core.arrival import Arrival, constant
from studio.core.errors import InputError
from studio.core.kernels import launcher, splat_project
from studio.core.kernels import splat as kernels
from studio.core.kernels.splat import LEAST_ALPHA, NUMBERS, TILE
from studio.core.ops import check

_SPLAT_TIME = 60.0
"""Nanoseconds on one core per splat in the list of a tile, at least."""

_PROJECT_TIME = 60.0
_BOX_TIME = 15.0
_FARTHEST_OUT = 1.3
"""Centres farther out than this, in half pictures, are not drawn: there the projection is no ellipse."""


@dataclass(eq=False)
class Splats:
    """Ellipses in V pictures, the projections of P Gaussians; splat p * V + v is Gaussian p in view v.

    Attributes:
        numbers: [P * V, 10]: x, y (pixels, from the lower left corner), inverse covariance xx, xy, yy
            (1 / pixel^2), opacity, red, green, blue, distance from the plane of the eye.
        drawn: [P * V] bool, in front of the eye and not far out of the picture.
    """

    numbers: Tensor
    drawn: Tensor
    views: int


class _Lists(NamedTuple):
    """Which splats are drawn where.

    Attributes:
        ranked: [V * P] splats of each view, nearest first.
        boxes: [P * V, 4] tiles that each can reach.
        order: in which tiles are drawn.
        offsets: where each tile's list begins. Where one ends beyond `members`, there was no room for it on
            CUDA, and all splats of the view are gone through.
        members: the lists, nearest first.
    """

    ranked: Tensor
    boxes: Tensor
    order: Tensor
    offsets: Tensor
    members: Tensor


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, centers: Tensor, log_sizes: Tensor, turns: Tensor, views: Tensor) -> Tensor:
        out = centers.new_zeros(len(centers), len(views), splat_project.PARTS)
        given = [launcher.Sliced(t) for t in (centers, log_sizes, turns)]
        launcher.launch(
            splat_project.project,
            (len(centers), len(views)),
            [*given, views, launcher.Sliced(out)],
            centers.device,
            limit=launcher.worth(_PROJECT_TIME * len(centers) * len(views)),
        )
        ctx.save_for_backward(centers, log_sizes, turns, views, out)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        *leaves, views, out = ctx.saved_tensors
        given = [launcher.Sliced(t) for t in leaves]
        found = [torch.zeros_like(t) for t in leaves]
        launcher.launch(
            splat_project.project,
            (len(leaves[0]), len(views)),
            [*given, views, launcher.Sliced(out)],
            views.device,
            adjoint=[*(launcher.Sliced(t) for t in found), None, launcher.Sliced(grads[0].contiguous())],
            limit=launcher.worth(3 * _PROJECT_TIME * len(out) * len(views)),
        )
        return (*found, None)


class _Over(torch.autograd.Function):
    """[V * H * W, 5] from [M, 10]."""

    @staticmethod
    def forward(ctx: Any, numbers: Tensor, lists: _Lists, sizes: tuple[Any, ...]) -> Tensor:
        views, _, _, width, height, _ = sizes
        out = numbers.new_empty(views * height * width, 5)
        launcher.launch(
            kernels.over,
            _items(lists.order),
            [launcher.BEGIN, *sizes[1:], len(numbers) // views, *lists, numbers, out],
            numbers.device,
            limit=launcher.worth(_SPLAT_TIME * len(lists.members)),
        )
        ctx.save_for_backward(numbers, out, *lists)
        ctx.sizes = sizes
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        numbers, out, *saved = ctx.saved_tensors
        lists = _Lists(*saved)
        found = torch.zeros_like(numbers)
        launcher.launch(
            kernels.over_backward,
            _items(lists.order),
            [
                *(launcher.BEGIN, *ctx.sizes[1:], len(numbers) // ctx.sizes[0], *lists, numbers, out),
                *(grads[0].contiguous(), launcher.Scatter(found)),
            ],
            numbers.device,
            limit=launcher.worth(3 * _SPLAT_TIME * len(lists.members)),
        )
        return found, None, None


def _items(order: Tensor) -> int:
    """A tile is one item on CPU, its pixels are on CUDA."""
    return len(order) * (1 if order.device.type == "cpu" else TILE * TILE)


def project_gaussians(
    centers: Tensor,
    log_sizes: Tensor,
    turns: Tensor | None,
    opacity: Tensor,
    colors: Tensor,
    views: Tensor,
    resolution: tuple[int, int],
) -> Splats:
    """Ellipses that Gaussians are seen as.

    Args:
        centers: [P, 3] float32, world.
        log_sizes: [P, 3] logarithms of the standard deviations along the Gaussian's axes, world units;
            [P, 1] for round ones.
        turns: [P, 4] quaternions (w, x, y, z) of any length that turn the axes, or None.
        opacity: [P] in 0..1, at the centre.
        colors: [P, 3] linear RGB, or [P, V, 3] as each view sees them.
        views: [V, 16], see `pinholes`.
        resolution: (height, width) of the pictures.
    Gradients:
        To: centers, log_sizes, turns, opacity, colors.
    Raises:
        ShapeError: names the tensor, expected and actual shape, type or device.
    Reference:
        Zwicker et al. 2001, "EWA Volume Splatting", section 6; the opacity lost to the pixel's own
        width: Yu et al. 2024, "Mip-Splatting", section 4.2.
    """
    op = "splat"
    centers = check.tensor(op, "centers", centers, ("P", 3))
    count = len(centers)
    if log_sizes.ndim == 2 and log_sizes.shape[1] == 1:
        log_sizes = log_sizes.expand(-1, 3)
    log_sizes = check.tensor(op, "log_sizes", log_sizes, (count, 3), like=centers)
    if turns is None:
        turns = constant((1.0, 0.0, 0.0, 0.0), torch.float32, centers.device).repeat(count, 1)
    turns = check.tensor(op, "turns", turns, (count, 4), like=centers)
    opacity = check.tensor(op, "opacity", opacity, (count,), like=centers)
    views = check.tensor(op, "views", views, ("V", splat_project.PINHOLE), like=centers)
    if colors.ndim == 2:
        colors = colors[:, None].expand(-1, len(views), -1)
    colors = check.tensor(op, "colors", colors, (count, len(views), 3), like=centers)
    parts = _Project.apply(centers, log_sizes, turns, views)
    seen = (opacity[:, None] * parts[..., 6])[..., None]
    numbers = torch.cat([parts[..., :5], seen, colors, parts[..., 5:6]], dim=-1)
    with torch.no_grad():
        height, width = resolution
        half = constant((width / 2, height / 2), torch.float32, numbers.device)
        out = ((parts[..., :2] - half).abs() / half).amax(dim=-1)
        drawn = (parts[..., 5] > 0) & (out < _FARTHEST_OUT) & (seen[..., 0] > LEAST_ALPHA)
    return Splats(numbers.view(-1, NUMBERS), drawn.view(-1), len(views))


def pinholes(world_to_view: Tensor, view_to_clip: Tensor, resolution: tuple[int, int]) -> Tensor:
    """[V, 16] views for `project_gaussians`, from [V, 4, 4] matrices of perspective cameras."""
    height, width = resolution
    size = constant((width / 2, height / 2), torch.float32, world_to_view.device)
    focal = torch.stack([view_to_clip[:, 0, 0], view_to_clip[:, 1, 1]], dim=-1) * size
    center = (1 - view_to_clip[:, :2, 2]) * size
    rotation = world_to_view[:, :3, :3].reshape(-1, 9)
    return torch.cat([rotation, world_to_view[:, :3, 3], focal, center], dim=-1).contiguous()


def splat(
    splats: Splats,
    resolution: tuple[int, int],
    background: Tensor | None = None,
    least_transmittance: float = 1e-4,
) -> tuple[Tensor, Tensor, Tensor]:
    """Lay ellipses over each other, nearest first.

    A splat covers the share a = opacity * exp(-d^2 / 2) of a pixel, d being the pixel centre's distance in
    standard deviations, at most 0.99 and nothing where that is below 1/255; its weight is a times the
    product of 1 - a over all before it, and results are sums of weights times what is there.

    Args:
        splats: of `project_gaussians`.
        resolution: (height, width).
        background: [3] seen through what is left; None is black.
        least_transmittance: a pixel is finished when less than this would be seen of what is behind.
    Returns:
        color: [V, H, W, 3] linear, over the background; row 0 at the bottom.
        alpha: [V, H, W] sum of the weights.
        depth: [V, H, W] sum of weights times distances from the plane of the eye.
    Gradients:
        To: all numbers of the splats, background. Their order, and where they end, jump.
    Raises:
        InputError: a size or limit that makes no sense.
    Reference:
        Zwicker et al. 2001, "EWA Volume Splatting", section 3; Kerbl et al. 2023, "3D Gaussian Splatting
        for Real-Time Radiance Field Rendering", section 6 (tiles).
    """
    height, width = resolution
    if height < 1 or width < 1:
        raise InputError(f"splat: resolution must be positive, got {height} x {width}")
    if not 0 <= least_transmittance < 1:
        raise InputError(f"splat: least_transmittance must be in [0, 1), got {least_transmittance:g}")
    tiles_y, tiles_x = math.ceil(height / TILE), math.ceil(width / TILE)
    lists = _binned(splats, tiles_x, tiles_y)
    sizes = (splats.views, tiles_x, tiles_y, width, height, least_transmittance)
    found = _Over.apply(splats.numbers.contiguous(), lists, sizes)
    found = found.view(splats.views, height, width, 5)
    color, alpha, depth = found[..., :3], found[..., 3], found[..., 4]
    if background is not None:
        background = check.tensor("splat", "background", background, (3,), like=color)
        color = color + (1 - alpha)[..., None] * background
    return color, alpha, depth


@torch.no_grad()
def _binned(splats: Splats, tiles_x: int, tiles_y: int) -> _Lists:
    numbers, views = splats.numbers.detach(), splats.views
    boxes = torch.empty(len(numbers), 4, dtype=torch.int32, device=numbers.device)
    given = [launcher.BEGIN, tiles_x, tiles_y, numbers.contiguous(), splats.drawn, boxes]
    launcher.launch(
        kernels.find_boxes,
        len(numbers),
        given,
        numbers.device,
        limit=launcher.worth(_BOX_TIME * len(numbers)),
    )
    distance = torch.where(splats.drawn, numbers[:, 9], math.inf).view(-1, views).t().contiguous()
    view = torch.arange(views, device=distance.device)[:, None]
    ranked = (_ranks(distance) * views + view).reshape(-1).int()
    tiles = views * tiles_x * tiles_y
    if numbers.device.type != "cpu":
        offsets, members = _sorted_lists(ranked, boxes, views, tiles_x, tiles_y)
    else:
        offsets, members = _listed(ranked, boxes, views, tiles_x, tiles_y)
    # Dealt out longest first, so that every band of tiles has about the same work.
    length = offsets[1:] - offsets[:-1]
    longest = length.argsort(descending=True)
    hands = launcher.pool().threads if numbers.device.type == "cpu" else 1
    order = torch.cat([longest[k::hands] for k in range(hands)]) if tiles >= hands else longest
    return _Lists(ranked, boxes, order.int(), offsets.int(), members)


def _ranks(distance: Tensor) -> Tensor:
    """[V, P] the numbers of the nearest first; `distance` is not negative."""
    if distance.device.type != "cpu":
        return distance.sort(dim=1, stable=True).indices
    # Bits of positive floats sort as they do, and NumPy sorts 16 bits by counting: ten times as fast.
    bits = distance.numpy().view(np.uint32)
    low, high = bits.astype(np.uint16), (bits >> 16).astype(np.uint16)
    rank = low.argsort(axis=1, kind="stable")
    after = np.take_along_axis(high, rank, axis=1).argsort(axis=1, kind="stable")
    return torch.from_numpy(np.take_along_axis(rank, after, axis=1))


def _counted(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp_min(0).prod(dim=-1)


def _listed(ranked: Tensor, boxes: Tensor, views: int, tiles_x: int, tiles_y: int) -> tuple[Tensor, Tensor]:
    """(offsets, members) by walking through the splats twice."""
    device = ranked.device
    sizes = [tiles_x, tiles_y, len(ranked) // views]
    counts = torch.zeros(views * tiles_x * tiles_y, dtype=torch.int32)
    nothing = counts[:1]
    launcher.launch(kernels.list_members, 1, [*sizes, 1, ranked, boxes, counts, nothing], device)
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(dim=0, dtype=torch.int32)])
    members = torch.empty(max(1, int(offsets[-1])), dtype=torch.int32)
    slots = offsets[:-1].clone()
    launcher.launch(kernels.list_members, 1, [*sizes, 0, ranked, boxes, slots, members], device)
    return offsets, members


class _Rooms:
    """How many pairs of tile and splat there is room for on CUDA.

    Nobody waits for their number but at first: from then on each is read when it has arrived.
    """

    _MOST_KINDS = 64

    def __init__(self) -> None:
        self._rooms: dict[Hashable, int] = {}
        self._asked: dict[Hashable, Arrival] = {}

    def of(self, kind: Hashable, total: Tensor) -> int:
        """Room for the pictures of a kind, of which this one has `total` [] pairs."""
        if kind not in self._rooms:
            if len(self._rooms) >= self._MOST_KINDS:
                self._rooms.clear()
                self._asked.clear()
            self._grow(kind, int(total))
        elif kind not in self._asked:
            self._asked[kind] = Arrival([total])
        elif self._asked[kind].ready:
            self._grow(kind, int(self._asked.pop(kind).arrays()[0]))
        return self._rooms[kind]

    def _grow(self, kind: Hashable, found: int) -> None:
        """Half as many more than there were, before a quarter more do not fit."""
        if 1.25 * found > self._rooms.get(kind, -1):
            self._rooms[kind] = int(1.5 * found) + TILE


_rooms = _Rooms()


def _sorted_lists(
    ranked: Tensor, boxes: Tensor, views: int, tiles_x: int, tiles_y: int
) -> tuple[Tensor, Tensor]:
    """(offsets, members) by sorting pairs of tile and splat: for many threads."""
    tiles = views * tiles_x * tiles_y
    if len(ranked) == 0:
        return ranked.new_zeros(tiles + 1), ranked.new_zeros(1)
    boxes = boxes[ranked.long()]
    counts = _counted(boxes)
    ends = counts.cumsum(0)
    total = ends[-1]
    room = _rooms.of((views, tiles_x, tiles_y, len(ranked)), total)
    place = torch.arange(room, device=ends.device)
    pair = torch.searchsorted(ends, place, right=True).clamp_max(len(ends) - 1)
    number = place - (ends - counts)[pair]
    across = (boxes[:, 2] - boxes[:, 0]).clamp_min(1)[pair]
    x, y = boxes[pair, 0] + number % across, boxes[pair, 1] + number // across
    tile = (pair // (len(ranked) // views) * tiles_y + y) * tiles_x + x
    tile, order = torch.where(place < total, tile, tiles).sort(stable=True)
    offsets = torch.searchsorted(tile, torch.arange(tiles + 1, device=tile.device))
    return torch.where(total > room, room + 1, offsets), ranked[pair[order]]
