"""Unique edges of a mesh with the triangles on their two sides, for antialias."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from studio.core.errors import ShapeError
from studio.core.scene.mesh import weld


@dataclass(frozen=True, eq=False)
class Topology:
    """Edges of a triangle mesh, built once per set of triangles.

    Attributes:
        edges: [E, 6] int32: the edge's two vertices in the order its first triangle has them (of
            those at one place the first, so that edges that meet at a seam share a vertex), that
            triangle, and the second: its number, -1 at a boundary, or -2 - number where
            the second triangle is wound the other way round; then the third vertices of the
            two triangles, -1 for none.
        triangles: number of triangles it was built from.
    """

    edges: Tensor
    triangles: int

    @classmethod
    def build(cls, tri: Tensor | np.ndarray, positions: Tensor | np.ndarray | None = None) -> Topology:
        """Topology of [T, 3] triangles.

        Args:
            positions: [V, 3] (or [V, 4]) vertex positions; vertices at the very same place count
                as one, so that UV seams are not boundaries. None: vertices differ by index.
        """
        device = tri.device if isinstance(tri, Tensor) else torch.device("cpu")
        index = _numpy(tri).astype(np.int64)
        if index.ndim != 2 or index.shape[1] != 3:
            raise ShapeError(f"topology: tri must have shape [T, 3], got {list(index.shape)}")
        if positions is not None:
            points = _numpy(positions)
            if index.size and (index.min() < 0 or index.max() >= len(points)):
                raise ShapeError(f"topology: tri names a vertex outside 0 to {len(points) - 1}")
            same = weld(points)[index]
        else:
            same = index
        edges = _pair_edges(index, same)
        return cls(torch.from_numpy(edges).to(device), len(index))

    @cached_property
    def surfaces(self) -> Tensor:
        """[T] int32: which connected surface each triangle belongs to."""
        sides = _numpy(self.edges)[:, 2:4]
        first, second = sides[sides[:, 1] != -1].T
        second = np.where(second < 0, -2 - second, second)
        joined = coo_matrix((np.ones(len(first), bool), (first, second)), (self.triangles,) * 2)
        numbers = connected_components(joined, directed=False)[1]
        return torch.from_numpy(numbers.astype(np.int32)).to(self.edges.device)

    def to(self, device: torch.device | str) -> Topology:
        edges = self.edges.to(device)
        return self if edges is self.edges else Topology(edges, self.triangles)


def _numpy(value: Tensor | np.ndarray) -> np.ndarray:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)


def _pair_edges(index: np.ndarray, same: np.ndarray) -> np.ndarray:
    """Sort all half edges by their (welded) ends and join neighbours in that order."""
    count = len(index)
    start = np.concatenate([same[:, 0], same[:, 1], same[:, 2]])
    stop = np.concatenate([same[:, 1], same[:, 2], same[:, 0]])
    opposite = np.concatenate([index[:, 2], index[:, 0], index[:, 1]])
    triangle = np.tile(np.arange(count), 3)
    # Triangles with two corners in one place have no area and no silhouette.
    solid = (same[:, 0] != same[:, 1]) & (same[:, 1] != same[:, 2]) & (same[:, 2] != same[:, 0])
    keep = solid[triangle]
    low, high = np.minimum(start, stop), np.maximum(start, stop)
    order = np.lexsort((triangle, high, low))
    order = order[keep[order]]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (low[order][1:] != low[order][:-1]) | (high[order][1:] != high[order][:-1])
    # Within a group of k half edges, join 0 with 1, 2 with 3, ...; an odd one is a boundary.
    place = np.arange(len(order)) - np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
    opens = np.flatnonzero(place % 2 == 0)
    a = order[opens]
    follows = np.minimum(opens + 1, max(len(order) - 1, 0))
    joined = (opens + 1 < len(order)) & (place[follows] % 2 == 1) if len(order) else np.zeros(0, bool)
    b = order[follows] if len(order) else order
    other = np.where(start[a] == start[b], -2 - triangle[b], triangle[b])
    second = np.where(joined, [other, opposite[b]], -1)
    edges = np.stack([start[a], stop[a], triangle[a], second[0], opposite[a], second[1]], axis=1)
    return np.ascontiguousarray(edges, dtype=np.int32)


_cache: OrderedDict[tuple[int, int], tuple[weakref.ref, Topology]] = OrderedDict()
_cache_lock = threading.Lock()
# A handful of meshes are on screen at once; older entries only hold memory.
_CACHE_SIZE = 8


def cached_topology(tri: Tensor) -> Topology:
    """Topology of a tensor seen before, as long as it lives and was not written to."""
    key = (id(tri), tri._version)
    with _cache_lock:
        found = _cache.get(key)
        if found is not None and found[0]() is tri:
            _cache.move_to_end(key)
            return found[1]
    topology = Topology.build(tri)
    with _cache_lock:
        _cache[key] = (weakref.ref(tri), topology)
        while len(_cache) > _CACHE_SIZE:
            _cache.popitem(last=False)
    return topology
