"""Signed distances on grids, and what separates a solid from loose pieces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from scipy import ndimage
from scipy.sparse.csgraph import connected_components

from studio.core.optim.surface import SurfacePoints
from studio.core.scene import Mesh

REACH = 3.0
"""Distances are kept up to this many spacings; further away only the sign counts."""

_KEEP_PIECE = 0.02
"""Pieces with less than this share of the largest one's area are floaters."""


def redistanced(values: np.ndarray, spacing: float) -> np.ndarray:
    """[X, Y, Z] float32 distance to the zero level of a field, with its signs, up to REACH spacings.

    Near the level it is the value over its slope, which leaves the level where it is to first
    order; further away the distance to the nearest node of the other sign.
    """
    slope = np.linalg.norm(np.gradient(values, spacing), axis=0)
    near = values / np.maximum(slope, 0.2)  # a flat field would throw the level far away
    inside = values > 0
    if inside.all() or not inside.any():
        return values.astype(np.float32)
    steps = np.where(inside, ndimage.distance_transform_edt(inside), -ndimage.distance_transform_edt(~inside))
    far = (steps - 0.5 * np.sign(steps)) * spacing
    out = np.where(np.abs(steps) <= 1.5, near, far)
    limit = np.where(np.abs(steps) <= 1.5, 1.5, REACH) * spacing
    return np.clip(out, -limit, limit).astype(np.float32)


def signed_distance(
    vertices: np.ndarray, faces: np.ndarray, points: np.ndarray, spacing: float, shape: tuple[int, ...]
) -> np.ndarray:
    """[X, Y, Z] distance to a closed mesh, positive inside, up to REACH spacings.

    Beside the surface the side is that of the nearest triangle; everything that a wall of such
    nodes encloses is inside.

    Args:
        vertices: [V, 3]; faces: [T, 3].
        points: [X * Y * Z, 3] nodes of a grid of `shape`, whose border is outside.
    """
    surface = SurfacePoints(vertices, faces)
    corners = surface.corners
    size = float(np.linalg.norm(corners - corners.mean(axis=1, keepdims=True), axis=2).max())
    limit = REACH * spacing
    near = np.flatnonzero(np.isfinite(surface.tree.query(points, distance_upper_bound=limit + size)[0]))
    face, weights = surface.find(points[near])
    offset = points[near] - np.einsum("pk,pkc->pc", weights, corners[face])
    length = np.full(len(points), limit)
    length[near] = np.minimum(np.linalg.norm(offset, axis=1), limit)
    normal = Mesh(vertices.astype(np.float32), faces).vertex_normals()
    towards = np.einsum("pk,pkc->pc", weights, normal[faces[face]])
    outside = np.zeros(len(points), bool)
    outside[near] = (offset * towards).sum(axis=1) > 0
    close = length < 0.87 * spacing  # half a cube's diagonal: no leaks
    labels, _ = ndimage.label(~close.reshape(shape))
    open_space = (labels == labels[0, 0, 0]).reshape(-1)
    inside = np.where(close, ~outside, ~open_space)
    return np.asarray(np.where(inside, length, -length).reshape(shape))


def without_floaters(mesh: Mesh) -> Mesh:
    """The mesh without its small separate pieces."""
    count = len(mesh.vertices)
    starts, ends = mesh.faces.ravel(), mesh.faces[:, [1, 2, 0]].ravel()
    pairs = sp.coo_matrix((np.ones(len(starts), np.int8), (starts, ends)), shape=(count, count))
    pieces, label = connected_components(pairs, directed=False)
    corner = mesh.vertices[mesh.faces]
    area = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1)
    of_piece = np.bincount(label[mesh.faces[:, 0]], area, minlength=pieces)
    large = of_piece >= _KEEP_PIECE * of_piece.max()
    kept = large[label]
    renumber = np.cumsum(kept) - 1
    faces = renumber[mesh.faces[kept[mesh.faces[:, 0]]]].astype(np.int32)

    def pick(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else np.ascontiguousarray(values[kept])

    return replace(
        mesh,
        vertices=np.ascontiguousarray(mesh.vertices[kept]),
        faces=np.ascontiguousarray(faces),
        normals=pick(mesh.normals),
        uvs=pick(mesh.uvs),
        colors=pick(mesh.colors),
        roughness=pick(mesh.roughness),
        metallic=pick(mesh.metallic),
    )


def is_closed(mesh: Mesh) -> bool:
    """Whether every edge joins two triangles, so that there is an inside."""
    pairs = np.sort(mesh.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2).astype(np.int64), axis=1)
    counts = np.unique(pairs[:, 0] * len(mesh.vertices) + pairs[:, 1], return_counts=True)[1]
    return bool((counts == 2).all())
