"""Fewer triangles by quadric errors, where they are needed least."""

from __future__ import annotations

import numpy as np

from studio.core.optim.surface import remade
from studio.core.scene import Mesh


def simplified(mesh: Mesh, most_faces: int) -> Mesh:
    """The mesh with at most `most_faces` triangles, its vertex attributes carried over.

    Thin parts may fold onto themselves; triangles that lie on each other back to back are taken out.

    Reference:
        Garland and Heckbert 1997, "Surface Simplification Using Quadric Error Metrics", as in the
        library fast_simplification.
    """
    if len(mesh.faces) <= most_faces:
        return mesh
    from fast_simplification import simplify

    vertices, faces = simplify(
        np.ascontiguousarray(mesh.vertices, np.float32),
        np.ascontiguousarray(mesh.faces, np.int32),
        target_count=most_faces,
    )
    vertices, faces = without_folds(np.asarray(vertices, np.float32), np.asarray(faces, np.int32))
    return remade(mesh, vertices, faces)


def without_folds(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Without triangles of no area, pairs of the same corners, and vertices that are then left over.

    Args:
        vertices, faces: [V, 3] and [T, 3].
    """
    corners = np.sort(faces, axis=1)
    solid = (corners[:, 0] != corners[:, 1]) & (corners[:, 1] != corners[:, 2])
    faces, corners = faces[solid], corners[solid]
    _, same, count = np.unique(corners, axis=0, return_inverse=True, return_counts=True)
    # An odd number of sheets leaves one of them.
    order = np.argsort(same.reshape(-1), kind="stable")
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    faces = faces[order[first[count % 2 == 1]]]
    used = np.zeros(len(vertices), bool)
    used[faces.ravel()] = True
    return vertices[used], (np.cumsum(used) - 1).astype(np.int32)[faces]
