"""Simple closed shapes to start from or to test with."""

from __future__ import annotations

import numpy as np
import trimesh

from studio.core.scene.mesh import Mesh


def _mesh(shape: trimesh.Trimesh, name: str) -> Mesh:
    return Mesh(
        vertices=np.asarray(shape.vertices, np.float32), faces=np.asarray(shape.faces, np.int32), name=name
    )


def icosphere(subdivisions: int = 4, radius: float = 1.0) -> Mesh:
    """Sphere of 20 * 4^subdivisions nearly equal triangles around the origin."""
    mesh = _mesh(trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius), "sphere")
    mesh.normals = mesh.vertices / np.float32(radius)
    return mesh


def torus(major: float = 0.7, minor: float = 0.3, sections: int = 64) -> Mesh:
    """Torus in the xz plane around the origin, 2 * sections * (sections // 2) triangles."""
    mesh = _mesh(
        trimesh.creation.torus(major, minor, major_sections=sections, minor_sections=max(3, sections // 2)),
        "torus",
    )
    mesh.vertices = np.ascontiguousarray(
        mesh.vertices[:, (0, 2, 1)] * np.array((1, 1, -1), np.float32)
    )  # z up to y up
    return mesh


def cube(size: float = 1.0) -> Mesh:
    """Twelve triangles, vertices shared, around the origin."""
    return _mesh(trimesh.creation.box((size, size, size)), "cube")
