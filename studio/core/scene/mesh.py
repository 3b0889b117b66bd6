"""A triangle mesh with its attributes and material, in world space."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from studio.core.errors import InputError
from studio.core.scene.material import Material


@dataclass(eq=False)
class Mesh:
    """Triangles in world space (node transforms are applied at load).

    Attributes:
        vertices: [V, 3] float32.
        faces: [T, 3] int32, counter-clockwise seen from outside.
        normals: [V, 3] float32 unit, or None to have them computed from the triangles.
        uvs: [V, 2] float32, (0, 0) bottom left, or None.
        colors: [V, 3] float32 linear RGB; multiplies the base colour. None means white.
        roughness: [V, 1] float32 perceptual roughness per vertex; replaces the factor.
        metallic: [V, 1] float32 per vertex; replaces the factor.
    """

    vertices: np.ndarray = field(repr=False)
    faces: np.ndarray = field(repr=False)
    normals: np.ndarray | None = field(default=None, repr=False)
    uvs: np.ndarray | None = field(default=None, repr=False)
    colors: np.ndarray | None = field(default=None, repr=False)
    roughness: np.ndarray | None = field(default=None, repr=False)
    metallic: np.ndarray | None = field(default=None, repr=False)
    material: Material = field(default_factory=Material)
    name: str = "mesh"

    def with_vertices(self, vertices: np.ndarray) -> Mesh:
        """The same mesh with moved vertices; stored normals no longer hold and are dropped."""
        return replace(self, vertices=vertices, normals=None)

    def transformed(self, matrix: np.ndarray) -> Mesh:
        """The same mesh moved, turned, scaled or mirrored; a mirrored one still faces outwards.

        Args:
            matrix: [4, 4] affine, acts on column vectors.
        """
        linear = np.asarray(matrix, np.float64)[:3, :3]
        vertices = self.vertices @ linear.T + matrix[:3, 3]
        normals = self.normals
        if normals is not None:
            # The cofactors are the inverse transpose, up to a length that is taken out below, and
            # stay finite where the matrix is flat.
            turned = normals @ np.cross(linear[[1, 2, 0]], linear[[2, 0, 1]]).T
            length = np.linalg.norm(turned, axis=1, keepdims=True)
            normals = np.where(length > 0, turned / np.maximum(length, 1e-30), normals).astype(np.float32)
        mirrored = np.linalg.det(linear) < 0
        faces = np.ascontiguousarray(self.faces[:, ::-1]) if mirrored else self.faces
        if mirrored and normals is not None:
            normals = -normals
        return replace(self, vertices=vertices.astype(np.float32), normals=normals, faces=faces)

    def vertex_normals(self) -> np.ndarray:
        """[V, 3] float32 unit; the stored ones, else angle-free area-weighted face normals.

        Vertices at the same position (UV seams) share one normal, so that a seam is not an
        edge. Vertices of no triangle get +Y.
        """
        if self.normals is not None:
            return self.normals
        corners = self.vertices[self.faces].astype(np.float64)
        face_normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        welded = weld(self.vertices)
        index = welded[self.faces]
        total = np.zeros((len(self.vertices), 3))
        for axis in range(3):
            total[:, axis] = np.bincount(
                index.ravel(), np.repeat(face_normal[:, axis], 3), minlength=len(total)
            )
        total = total[welded]
        length = np.linalg.norm(total, axis=1, keepdims=True)
        normals = np.where(length > 1e-20, total / np.maximum(length, 1e-20), (0.0, 1.0, 0.0))
        return normals.astype(np.float32)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """(low, high), each [3]."""
        return self.vertices.min(axis=0), self.vertices.max(axis=0)

    def check(self, where: str) -> None:
        """InputError if the mesh cannot be rendered; the line starts with `where`."""
        if len(self.faces) == 0 or len(self.vertices) == 0:
            raise InputError(f"{where}: mesh has no faces, expected at least one triangle")
        bad = int((~np.isfinite(self.vertices)).any(axis=1).sum())
        if bad:
            raise InputError(f"{where}: {bad} vertices are NaN or infinite, expected numbers")
        low, high = int(self.faces.min()), int(self.faces.max())
        if low < 0 or high >= len(self.vertices):
            raise InputError(
                f"{where}: a face names vertex {low if low < 0 else high}, "
                f"expected 0 to {len(self.vertices) - 1}"
            )


def weld(vertices: np.ndarray) -> np.ndarray:
    """[V] int64: for each vertex the index of the first vertex at the very same [V, K] position."""
    bits = (np.ascontiguousarray(vertices, dtype=np.float32) + np.float32(0.0)).view(np.uint32)  # no -0.0
    # Rows are compared under Python's lock, for seconds; columns joined to whole numbers are not.
    key = np.zeros(len(bits), np.int64)
    for column in bits.T.astype(np.int64):
        _, first, key = np.unique(key << 32 | column, return_index=True, return_inverse=True)
    return first[key]


def merge(meshes: list[Mesh]) -> Mesh:
    """One mesh of several parts: positions, faces and vertex colours times base colour.

    A single part comes back as it is. Textures, normals and per-vertex roughness of several
    parts are dropped; the first part's material factors remain.
    """
    if len(meshes) == 1:
        return meshes[0]
    first = np.cumsum([0, *(len(m.vertices) for m in meshes[:-1])])
    tint = [np.array(m.material.base_color, np.float32) for m in meshes]
    colors = [
        t * (m.colors if m.colors is not None else np.ones_like(m.vertices)) for t, m in zip(tint, meshes)
    ]
    return Mesh(
        vertices=np.concatenate([m.vertices for m in meshes]),
        faces=np.concatenate([m.faces + np.int32(n) for m, n in zip(meshes, first)]),
        colors=np.concatenate(colors).astype(np.float32),
        material=Material(
            base_color=(1.0, 1.0, 1.0),
            perceptual_roughness=meshes[0].material.perceptual_roughness,
            metallic=meshes[0].material.metallic,
        ),
        name=meshes[0].name,
    )
