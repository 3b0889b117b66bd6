"""Antialiasing as published, in plain NumPy, to compare with: Laine et al. 2020, section 3.6.

Neighbouring pixels with different triangles are looked at in pairs. Of the nearer triangle the
first edge is taken that is a silhouette (it has one triangle only, or both lie on the same side of
it on screen; vertices are told apart by index), is steeper than 45 degrees for a horizontal pair
or flatter for a vertical one, and crosses the line between the two pixel centres. The blend is
linear in where: nothing halfway, 50 % at a centre, into the pixel in which the crossing lies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from studio.core.ops import Topology, antialias, rasterize_interpolate


@dataclass(frozen=True)
class Pairs:
    """Blended pairs: out[target] += amount * (color[source] - color[target])."""

    source: np.ndarray
    target: np.ndarray
    amount: np.ndarray
    vertices: np.ndarray  # [R, 2] of the edge
    slopes: np.ndarray  # [R, 2, 4] of the amount to their x, y, z, w


def opposite_vertices(tri: np.ndarray) -> np.ndarray:
    """[T, 3] the vertex across the edge (k, k + 1) of each triangle, -1 at a boundary."""
    sides: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for t, corners in enumerate(tri.tolist()):
        for k in range(3):
            a, b, c = corners[k], corners[(k + 1) % 3], corners[(k + 2) % 3]
            sides.setdefault((min(a, b), max(a, b)), []).append((t, k, c))
    out = np.full(tri.shape, -1)
    for found in sides.values():
        if len(found) == 2:
            (t0, k0, c0), (t1, k1, c1) = found
            out[t0, k0], out[t1, k1] = c1, c0
    return out


def _screen(p: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Pixels, centres at integers: divided by w as it is, also where that is negative."""
    height, width = size
    x = (p[..., 0] / p[..., 3] + 1) * width / 2 - 0.5
    y = (p[..., 1] / p[..., 3] + 1) * height / 2 - 0.5
    return x, y


def _crossing(
    a: np.ndarray, b: np.ndarray, pixel: np.ndarray, vertical: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels from a centre to where an edge crosses its row (or column), and how far along the edge."""
    (ax, ay), (bx, by) = _screen(a, size), _screen(b, size)
    column, row = pixel % size[1], pixel // size[1]
    across = np.where(vertical, ax - column, ay - row), np.where(vertical, bx - column, by - row)
    along = np.where(vertical, ay - row, ax - column), np.where(vertical, by - row, bx - column)
    with np.errstate(all="ignore"):
        t = across[0] / (across[0] - across[1])
        return along[0] + t * (along[1] - along[0]), t


def find_pairs(rast: np.ndarray, pos: np.ndarray, tri: np.ndarray) -> Pairs:
    """Pairs of one image, from rast [H, W, 4], pos [V, 4], tri [T, 3]."""
    size = rast.shape[:2]
    number = np.arange(size[0] * size[1]).reshape(size)
    low = np.concatenate([number[:, :-1].ravel(), number[:-1].ravel()])
    high = np.concatenate([number[:, 1:].ravel(), number[1:].ravel()])
    vertical = np.arange(len(low)) >= number[:, :-1].size
    ids = rast[..., 3].ravel().astype(int)
    depth = np.where(ids > 0, rast[..., 2].ravel(), np.inf)
    keep = ids[low] != ids[high]
    low, high, vertical = low[keep], high[keep], vertical[keep]
    near_low = depth[low] < depth[high]
    inside, outside = np.where(near_low, low, high), np.where(near_low, high, low)
    corners = tri[ids[inside] - 1]
    opposite = opposite_vertices(tri)[ids[inside] - 1]
    step = np.where(near_low, 1.0, -1.0)
    chosen = np.full(len(low), -1)
    for k in range(3):
        a, b, c = (pos[corners[:, (k + j) % 3]] for j in range(3))
        d = pos[opposite[:, k]]
        (ax, ay), (bx, by) = _screen(a, size), _screen(b, size)

        def side(p: np.ndarray, ax=ax, ay=ay, bx=bx, by=by) -> np.ndarray:
            x, y = _screen(p, size)
            return np.sign((bx - ax) * (y - ay) - (by - ay) * (x - ax))

        silhouette = (opposite[:, k] < 0) | (side(c) == side(d))
        steep = np.abs(a[:, 3] * b[:, 1] - b[:, 3] * a[:, 1])
        flat = np.abs(a[:, 3] * b[:, 0] - b[:, 3] * a[:, 0])
        oriented = np.where(vertical, flat > steep, steep > flat)
        where, t = _crossing(a, b, inside, vertical, size)
        reach = where * step
        crosses = (t >= 0) & (t <= 1) & (reach >= 0) & (reach <= 1)
        chosen = np.where((chosen < 0) & silhouette & oriented & crosses, k, chosen)
    keep = chosen >= 0
    inside, outside, vertical, step = inside[keep], outside[keep], vertical[keep], step[keep]
    rows = np.arange(keep.sum())
    vertices = np.stack([corners[keep][rows, (chosen[keep] + j) % 3] for j in range(2)], axis=1)

    def amounts(ends: np.ndarray) -> np.ndarray:
        return _crossing(ends[:, 0], ends[:, 1], inside, vertical, size)[0] * step - 0.5

    ends = pos[vertices]
    amount = amounts(ends)
    slopes = np.zeros((len(amount), 2, 4))
    for i in range(2):
        for j in (0, 1, 3):
            shift = np.zeros((2, 4))
            shift[i, j] = 1e-6
            slopes[:, i, j] = (amounts(ends + shift) - amounts(ends - shift)) / 2e-6
    grows = amount >= 0
    source, target = np.where(grows, inside, outside), np.where(grows, outside, inside)
    sign = np.where(grows, 1.0, -1.0)
    return Pairs(source, target, amount * sign, vertices, slopes * sign[:, None, None])


class _Published(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, color: Tensor, rast: Tensor, pos: Tensor, tri: Tensor) -> Tensor:
        pairs = find_pairs(rast.double().numpy(), pos.detach().double().numpy(), tri.numpy())
        flat = color.reshape(-1, color.shape[-1]).double()
        amount = torch.from_numpy(pairs.amount)[:, None]
        difference = flat[pairs.source] - flat[pairs.target]
        out = flat.clone().index_add_(0, torch.from_numpy(pairs.target), amount * difference)
        ctx.pairs, ctx.difference, ctx.shape = pairs, difference, pos.shape
        return out.view(color.shape).float()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        pairs = ctx.pairs
        flat = grads[0].reshape(-1, grads[0].shape[-1]).double()
        source, target = torch.from_numpy(pairs.source), torch.from_numpy(pairs.target)
        pulled = flat[target]
        amount = torch.from_numpy(pairs.amount)[:, None]
        to_color = flat.clone().index_add_(0, source, amount * pulled).index_add_(0, target, -amount * pulled)
        to_amount = (pulled * ctx.difference).sum(1)[:, None, None] * torch.from_numpy(pairs.slopes)
        to_pos = torch.zeros(ctx.shape, dtype=torch.float64)
        to_pos.index_add_(0, torch.from_numpy(pairs.vertices).flatten(), to_amount.flatten(0, 1))
        return to_color.view(grads[0].shape).float(), None, to_pos.float(), None


def published(color: Tensor, rast: Tensor, pos: Tensor, tri: Tensor, _: Topology) -> Tensor:
    """Like `antialias`, for one image; knows of no topology but tri's own."""
    return _Published.apply(color[0], rast[0], pos[0], tri)[None]


METHODS = {"ours": antialias, "published": published}


def draw(
    method: str,
    pos: Tensor,
    tri: Tensor,
    attr: Tensor,
    size: int,
    rest: Tensor | None = None,
    background: Tensor | None = None,
) -> Tensor:
    """[size, size, C] antialiased picture of vertex attributes; `rest`: positions to weld by."""
    image, rast = rasterize_interpolate(pos, tri, attr, (size, size))
    if background is not None:
        image = torch.where(rast[..., 3:] > 0, image, background)
    return METHODS[method](image, rast, pos, tri, Topology.build(tri, rest))[0]
