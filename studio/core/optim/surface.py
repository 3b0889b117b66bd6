"""Closest points on a triangle mesh, and values carried from one mesh to another."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from studio.core.scene import Mesh

_NEIGHBOURS = 6
"""Triangles tried for the closest point; their centres need not be the nearest."""


class SurfacePoints:
    """Closest points on a triangle mesh, for projection and for carrying attributes over."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray):
        self.corners = vertices.astype(np.float64)[faces]
        self.faces = faces
        self.tree = cKDTree(self.corners.mean(axis=1))

    def find(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """([P] triangle, [P, 3] barycentrics) of the closest of a few nearby triangles."""
        count = min(_NEIGHBOURS, len(self.corners))
        near = self.tree.query(points, k=count)[1].reshape(len(points), count)
        best = np.full(len(points), np.inf)
        face = near[:, 0].copy()
        weights = np.zeros((len(points), 3))
        for column in range(count):
            candidate = closest_on_triangles(points, self.corners[near[:, column]])
            found = np.einsum("pk,pkc->pc", candidate, self.corners[near[:, column]])
            distance = ((found - points) ** 2).sum(axis=1)
            better = distance < best
            best[better] = distance[better]
            face[better] = near[better, column]
            weights[better] = candidate[better]
        return face, weights

    def project(self, points: np.ndarray) -> np.ndarray:
        face, weights = self.find(points)
        return np.asarray(np.einsum("pk,pkc->pc", weights, self.corners[face]))


def closest_on_triangles(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """[P, 3] barycentrics of the point of triangle p ([P, 3, 3]) nearest to point p ([P, 3]).

    Inside the plane projection where that falls into the triangle, else the nearest point
    of the three edges.
    """
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, ac, ap = b - a, c - a, points - a
    d00, d01, d11 = (ab * ab).sum(1), (ab * ac).sum(1), (ac * ac).sum(1)
    d20, d21 = (ap * ab).sum(1), (ap * ac).sum(1)
    denominator = np.maximum(d00 * d11 - d01 * d01, 1e-30)
    v = (d11 * d20 - d01 * d21) / denominator
    w = (d00 * d21 - d01 * d20) / denominator
    inside = np.stack([1 - v - w, v, w], axis=1)
    out = inside.copy()
    outside = (inside < 0).any(axis=1)
    best = np.full(len(points), np.inf)
    for start, end in ((0, 1), (1, 2), (2, 0)):
        edge = corners[:, end] - corners[:, start]
        t = ((points - corners[:, start]) * edge).sum(1) / np.maximum((edge * edge).sum(1), 1e-30)
        t = np.clip(t, 0, 1)
        distance = ((corners[:, start] + t[:, None] * edge - points) ** 2).sum(1)
        better = outside & (distance < best)
        best[better] = distance[better]
        out[better] = 0
        out[better, start] = 1 - t[better]
        out[better, end] = t[better]
    return out


def transfer(values: np.ndarray, source: SurfacePoints, points: np.ndarray) -> np.ndarray:
    """[P, C] float32: per-vertex values [V, C] of the source surface at new points."""
    face, weights = source.find(points)
    return np.einsum("pk,pkc->pc", weights, values[source.faces[face]]).astype(np.float32)


def remade(mesh: Mesh, vertices: np.ndarray, faces: np.ndarray) -> Mesh:
    """The mesh with other triangles of the same surface, its vertex attributes carried over."""
    surface = SurfacePoints(mesh.vertices, mesh.faces)

    def carry(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else transfer(values, surface, vertices)

    return Mesh(
        vertices,
        faces,
        colors=carry(mesh.colors),
        roughness=carry(mesh.roughness),
        metallic=carry(mesh.metallic),
        material=mesh.material,
        name=mesh.name,
    )
