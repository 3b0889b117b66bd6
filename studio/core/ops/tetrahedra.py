"""Marching tetrahedra: the zero level of a scalar field as a closed mesh, differentiable.

Every cube of a regular grid is cut into six tetrahedra that share its diagonal (Kuhn), the same way
in all cubes, so that faces meet and the surface is closed. An edge whose ends differ in sign carries
one vertex, linearly between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from studio.core.errors import ShapeError

_STEPS = np.array([(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1)])
"""Directions of the edges that begin at a node."""

_EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
"""Edges of a tetrahedron by its corners, which are in ascending order along the diagonal."""


def _corners() -> np.ndarray:
    """[6, 4, 3] offsets of the corners of a cube's tetrahedra."""
    out = np.zeros((6, 4, 3), int)
    for number, order in enumerate(permutations(range(3))):
        for place, axis in enumerate(order):
            out[number, place + 1 :, axis] = 1
    return out


_CORNERS = _corners()


def _triangles() -> tuple[np.ndarray, np.ndarray]:
    """What the surface is in a tetrahedron: by its number and by which corners are inside.

    Returns:
        (edges [6, 16, 2, 3] of up to two triangles, their number [16]); wound so that the normal
        points from inside to outside.
    """
    edges = np.zeros((6, 16, 2, 3), int)
    count = np.zeros(16, int)
    for case in range(1, 15):
        inside = [c for c in range(4) if case >> c & 1]
        outside = [c for c in range(4) if not case >> c & 1]
        if len(inside) == 2:  # a quadrilateral around the middle
            (a, b), (c, d) = inside, outside
            loops = [[(a, c), (a, d), (b, d)], [(a, c), (b, d), (b, c)]]
        else:
            alone, others = (inside[0], outside) if len(inside) == 1 else (outside[0], inside)
            loops = [[(alone, other) for other in others]]
        count[case] = len(loops)
        for number in range(6):
            place = _CORNERS[number].astype(float)
            outward = place[outside].mean(axis=0) - place[inside].mean(axis=0)
            for which, loop in enumerate(loops):
                a, b, c = (0.5 * (place[i] + place[j]) for i, j in loop)
                turned = loop if np.cross(b - a, c - a) @ outward > 0 else loop[::-1]
                for corner, pair in enumerate(turned):
                    edges[number, case, which, corner] = _EDGES.index(tuple(sorted(pair)))
    return edges, count


_TABLE, _COUNT = _triangles()
_DIRECTION = np.array(
    [
        [int(np.flatnonzero((np.abs(_STEPS - (tet[b] - tet[a])).sum(axis=1)) == 0)[0]) for a, b in _EDGES]
        for tet in _CORNERS
    ]
)
"""[6, 6] which of _STEPS an edge of a tetrahedron runs along."""


@dataclass(frozen=True, eq=False)
class Crossings:
    """Where a field changes sign.

    Attributes:
        faces: [T, 3] int32, closed and wound outwards if the grid's border is outside.
        start, end: [V] int64 nodes, flat, of the edge that carries each vertex.
    """

    faces: Tensor
    start: Tensor
    end: Tensor

    def share(self, field: Tensor) -> Tensor:
        """[V, 1] place of each vertex between start and end, 0..1. Gradients: to the field."""
        a, b = field.reshape(-1)[self.start], field.reshape(-1)[self.end]
        return (a / (a - b))[:, None]

    def interpolate(self, share: Tensor, values: Tensor) -> Tensor:
        """[V, C] of [X, Y, Z, C] or [N, C] values at the nodes. Gradients: to both."""
        nodes = values.reshape(-1, values.shape[-1])
        a = nodes[self.start]
        return a + share * (nodes[self.end] - a)


@torch.no_grad()
def marching_tetrahedra(field: Tensor) -> Crossings:
    """Find the surface between the positive (inside) and other nodes of a grid.

    Args:
        field: [X, Y, Z] float, positive inside; at least 2 nodes along every axis.
    Returns:
        The triangles and the edges that carry their corners; positions and attributes come from
        `share` and `interpolate`, which have gradients. Connectivity has none.
    Raises:
        ShapeError: not a grid.
    Reference:
        Doi and Koide 1991, "An Efficient Method of Triangulating Equi-Valued Surfaces by Using
        Tetrahedral Cells"; as a layer for optimization, Shen et al. 2021, "Deep Marching
        Tetrahedra", Eq. 2.
    """
    if field.ndim != 3 or not field.is_floating_point() or min(field.shape) < 2:
        raise ShapeError(
            "marching_tetrahedra: field must be float [X, Y, Z] with at least 2 nodes along each axis, "
            f"got {str(field.dtype).removeprefix('torch.')} {list(field.shape)}"
        )
    inside = (field > 0).cpu().numpy()
    shape = inside.shape
    strides = np.array([shape[1] * shape[2], shape[2], 1])
    starts, ends, ids = _crossed_edges(inside, strides)
    cubes = _mixed_cubes(inside)
    faces = [np.empty((0, 3), np.int64)]
    flat = inside.reshape(-1)
    for number in range(6):
        nodes = cubes[:, None] + _CORNERS[number] @ strides  # [C, 4]
        case = flat[nodes] @ np.array([1, 2, 4, 8])
        for which in range(2):
            has = np.flatnonzero(_COUNT[case] > which)
            local = _TABLE[number, case[has], which]  # [n, 3] edges
            first = np.array([a for a, _ in _EDGES])[local]
            base = np.take_along_axis(nodes[has], first, axis=1)
            faces.append(ids[base * len(_STEPS) + _DIRECTION[number][local]])
    device = field.device
    return Crossings(
        torch.from_numpy(np.concatenate(faces).astype(np.int32)).to(device),
        torch.from_numpy(starts).to(device),
        torch.from_numpy(ends).to(device),
    )


def _crossed_edges(inside: np.ndarray, strides: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(start [V], end [V], vertex of each (node, direction) or what is not asked for)."""
    shape = inside.shape
    crossed = np.zeros((*shape, len(_STEPS)), bool)
    for direction, step in enumerate(_STEPS):
        dx, dy, dz = (int(d) for d in step)
        low = inside[: shape[0] - dx, : shape[1] - dy, : shape[2] - dz]
        crossed[: shape[0] - dx, : shape[1] - dy, : shape[2] - dz, direction] = low != inside[dx:, dy:, dz:]
    keys = np.flatnonzero(crossed)
    ids = np.empty(crossed.size, np.int64)
    ids[keys] = np.arange(len(keys))
    start = keys // len(_STEPS)
    return start, start + (_STEPS @ strides)[keys % len(_STEPS)], ids


def _mixed_cubes(inside: np.ndarray) -> np.ndarray:
    """[C] int64 flat lowest nodes of the cubes that are partly inside."""
    x, y, z = (n - 1 for n in inside.shape)
    total = np.zeros((x, y, z), np.int8)
    for corner in np.ndindex(2, 2, 2):
        total += inside[corner[0] : corner[0] + x, corner[1] : corner[1] + y, corner[2] : corner[2] + z]
    mixed = np.argwhere((total > 0) & (total < 8))
    return np.asarray(np.ravel_multi_index(tuple(mixed.T), inside.shape), np.int64)
