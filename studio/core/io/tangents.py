"""Tangents of vertices, as programs that open a file would make them."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

_FLAT = 1e-12


def vertex_tangents(
    vertices: np.ndarray, faces: np.ndarray, uvs: np.ndarray, normals: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where u grows at each vertex, smooth within a chart; vertices between mirrored charts are torn.

    Args:
        vertices: [V, 3]. faces: [T, 3]. uvs: [V, 2], (0, 0) bottom left. normals: [V, 3] unit.
    Returns:
        source: [U] which vertex each one is; the first V are the vertices themselves.
        faces: [T, 3] of the U vertices, in the same order, of the dtype of `faces`.
        tangents: [U, 4] float32, unit and perpendicular to the normal; the bitangent is
            w · normal × tangent, w = −1 where the texture is mirrored.
    Reference:
        Mikkelsen 2008, "Simulation of Wrinkled Surfaces Revisited", section 3.7 and the code beside
        it (MikkTSpace), which glTF 2.0, section 3.7.2.1, names.
    """
    along, turn = _of_triangles(vertices, faces, uvs)
    # MikkTSpace knows vertices by what they hold, not by number.
    same = np.unique(np.hstack([vertices, normals, uvs]), axis=0, return_inverse=True)[1].reshape(-1)
    group = _groups(same[faces], turn)
    total = np.zeros((int(group.max()) + 1, 3))
    share = _at_corners(vertices[faces].astype(np.float64), normals[faces].astype(np.float64), along)
    for axis in range(3):
        total[:, axis] = np.bincount(group.ravel(), share[..., axis].ravel(), minlength=len(total))
    sign = np.ones(len(total))
    sign[group[turn < 0]] = -1.0

    pairs, torn = np.unique(np.stack([faces.ravel(), group.ravel()], axis=1), axis=0, return_inverse=True)
    extra = np.append(False, pairs[1:, 0] == pairs[:-1, 0])
    place = np.where(extra, len(vertices) + np.cumsum(extra) - 1, pairs[:, 0])
    source = np.concatenate([np.arange(len(vertices)), pairs[extra, 0]])
    tangents = np.zeros((len(source), 4))
    tangents[:, 3] = 1.0
    tangents[place, :3], tangents[place, 3] = total[pairs[:, 1]], sign[pairs[:, 1]]
    tangents[:, :3] = _unit_across(tangents[:, :3], normals[source])
    return source, place[torn.reshape(faces.shape)].astype(faces.dtype), tangents.astype(np.float32)


def _of_triangles(vertices: np.ndarray, faces: np.ndarray, uvs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """([T, 3] where u grows on each plane, [T] 1, −1 where mirrored, 0 where coordinates stand still)."""
    corner, uv = vertices[faces].astype(np.float64), uvs[faces].astype(np.float64)
    first, second = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    a, b = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    turn = np.sign(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    along = (first * b[:, 1:] - second * a[:, 1:]) * turn[:, None]
    length = np.linalg.norm(along, axis=1, keepdims=True)
    return along / np.maximum(length, 1e-300), turn


def _groups(faces: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """[T, 3] number of the fan whose tangent each corner takes.

    Corners of one vertex are of one fan if edges lead from one to the other and the texture turns
    the same way; triangles without coordinates take the tangent of a fan beside them.
    """
    corners = np.arange(faces.size).reshape(faces.shape)
    begin, end = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    at_begin, at_end = corners.ravel(), np.roll(corners, -1, axis=1).ravel()
    swap = begin > end  # each edge from its lower to its higher vertex
    key = np.stack([np.where(swap, end, begin), np.where(swap, begin, end), np.repeat(turn, 3)], axis=1)
    low, high = np.where(swap, at_end, at_begin), np.where(swap, at_begin, at_end)
    order = np.lexsort(key.T)
    shared = np.flatnonzero((key[order][1:] == key[order][:-1]).all(axis=1))
    one, other = order[shared], order[shared + 1]
    rows, columns = np.concatenate([low[one], high[one]]), np.concatenate([low[other], high[other]])
    graph = coo_matrix((np.ones(len(rows), bool), (rows, columns)), shape=(faces.size, faces.size))
    group = connected_components(graph, directed=False)[1].reshape(faces.shape)
    still = turn == 0
    if still.any() and not still.all():
        fan_of = np.full(int(faces.max()) + 1, -1)
        fan_of[faces[~still]] = group[~still]
        group[still] = np.where(fan_of[faces[still]] >= 0, fan_of[faces[still]], group[still])
    return group


def _at_corners(corner: np.ndarray, normal: np.ndarray, along: np.ndarray) -> np.ndarray:
    """[T, 3, 3] what each corner adds: the tangent on its vertex's plane times its angle there."""
    sides = [_unit_across(np.roll(corner, turn, axis=1) - corner, normal, fallback=False) for turn in (-1, 1)]
    angle = np.arccos(np.clip((sides[0] * sides[1]).sum(axis=2), -1.0, 1.0))
    tangent = np.broadcast_to(along[:, None], corner.shape)
    return _unit_across(tangent, normal, fallback=False) * angle[..., None]


def _unit_across(vectors: np.ndarray, normal: np.ndarray, fallback: bool = True) -> np.ndarray:
    """Unit vectors on the plane of a normal; where there is none, zero or any of that plane."""
    across = vectors - normal * (vectors * normal).sum(axis=-1, keepdims=True)
    length = np.linalg.norm(across, axis=-1, keepdims=True)
    unit = across / np.maximum(length, 1e-300)
    if not fallback:
        return np.where(length > _FLAT, unit, 0.0)
    axis = np.eye(3)[np.abs(normal).argmin(axis=-1)]
    other = np.cross(normal, axis)
    other /= np.linalg.norm(other, axis=-1, keepdims=True)
    return np.where(length > _FLAT, unit, other)
