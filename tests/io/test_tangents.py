"""Tangents in files: what other programs make of a normal texture is what the studio shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from studio.core.io.export import export_scene
from studio.core.io.tangents import vertex_tangents
from studio.core.ops.bend import tangents
from studio.core.scene import Material, Mesh, Scene
from tests.io.test_export import glb_parts


def bumpy(mesh: Mesh) -> Mesh:
    texels = np.random.default_rng(1).random((4, 4, 3)).astype(np.float32) * (0.4, 0.4, 0.2) + (0.3, 0.3, 0.8)
    return replace(mesh, material=Material(normal_texture=texels.astype(np.float32)))


def globe(rows: int, columns: int) -> Mesh:
    """A unit sphere; longitude and latitude are its coordinates, and it has a seam."""
    v, u = np.meshgrid(np.linspace(0, 1, rows + 1), np.linspace(0, 1, columns + 1), indexing="ij")
    around, up = 2 * np.pi * u, np.pi * (v - 0.5)
    vertices = np.stack([np.cos(up) * np.sin(around), np.sin(up), np.cos(up) * np.cos(around)], axis=-1)
    first = (np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)).reshape(-1, 1)
    quads = first + np.array([0, 1, columns + 2, columns + 1])
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)
    flat = vertices.reshape(-1, 3).astype(np.float32)
    uvs = np.stack([u, v], axis=-1).reshape(-1, 2).astype(np.float32)
    return Mesh(flat, faces, normals=flat.copy(), uvs=uvs)


def two_charts() -> Mesh:
    """A square of two mirrored halves that share the vertices between them."""
    x, y = np.meshgrid([-1.0, 0.0, 1.0], [0.0, 1.0], indexing="xy")
    vertices = np.stack([x, y, 0 * x], axis=-1).reshape(-1, 3).astype(np.float32)
    uvs = np.stack([np.abs(x), y], axis=-1).reshape(-1, 2).astype(np.float32)
    faces = np.array([[0, 1, 4], [0, 4, 3], [1, 2, 5], [1, 5, 4]], np.int32)
    return Mesh(vertices, faces, uvs=uvs)


def test_mirrored_halves_are_torn_apart() -> None:
    mesh = two_charts()
    source, faces, found = vertex_tangents(mesh.vertices, mesh.faces, mesh.uvs, mesh.vertex_normals())
    assert sorted(source[6:]) == [1, 4]  # the middle ones
    np.testing.assert_array_equal(source[faces], mesh.faces)
    np.testing.assert_allclose(found[faces[:2]], np.broadcast_to([-1.0, 0, 0, -1], (2, 3, 4)), atol=1e-6)
    np.testing.assert_allclose(found[faces[2:]], np.broadcast_to([1.0, 0, 0, 1], (2, 3, 4)), atol=1e-6)


def test_they_are_those_of_our_triangles_smoothed() -> None:
    """At every corner near the triangle's own tangent, and turned the same way."""
    mesh = globe(24, 48)
    normals = mesh.vertex_normals().astype(np.float64)
    assert mesh.uvs is not None
    _, faces, found = vertex_tangents(mesh.vertices, mesh.faces, mesh.uvs, normals)
    part = torch.zeros(len(mesh.faces), dtype=torch.int64)
    inputs = (
        torch.tensor(mesh.vertices),
        torch.tensor(mesh.uvs),
        torch.tensor(mesh.faces).contiguous(),
        part,
    )
    along, turn = (t.numpy() for t in tangents(*inputs))
    corner = found[faces]
    real = (turn != 0) & (np.abs(mesh.vertices[mesh.faces][..., 1]).max(axis=1) < 0.9)  # not at the poles
    assert real.any()
    np.testing.assert_array_equal(corner[real][..., 3], np.repeat(turn[real, None], 3, axis=1))
    assert ((corner[real][..., :3] * along[real, None]).sum(axis=-1)).min() > np.cos(np.radians(10))


def test_no_coordinates_no_direction() -> None:
    """Triangles whose coordinates stand still, and vertices of no triangle, get some unit tangent."""
    vertices = np.eye(4, 3, dtype=np.float32)
    uvs = np.full((4, 2), 0.5, np.float32)
    normals = np.broadcast_to(np.float32([0, 0, 1]), (4, 3))
    _, faces, found = vertex_tangents(vertices, np.array([[0, 1, 2]], np.int32), uvs, normals)
    np.testing.assert_array_equal(faces, [[0, 1, 2]])
    np.testing.assert_allclose(np.linalg.norm(found[:, :3], axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(found[:, 2], 0.0, atol=1e-6)


@pytest.mark.parametrize("textured", [True, False])
def test_files_have_them_with_normal_textures_only(tmp_path: Path, textured: bool) -> None:
    mesh = bumpy(globe(16, 32)) if textured else globe(16, 32)
    export_scene(Scene([mesh]), tmp_path / "a.glb")
    entry, binary = glb_parts(tmp_path / "a.glb")
    attributes = entry["meshes"][0]["primitives"][0]["attributes"]
    assert ("TANGENT" in attributes) == textured
    if not textured:
        return

    def values(name: str) -> np.ndarray:
        accessor = entry["accessors"][attributes[name]]
        view = entry["bufferViews"][accessor["bufferView"]]
        count = int(accessor["type"][-1])
        flat = np.frombuffer(binary, np.float32, count * accessor["count"], view["byteOffset"])
        return flat.reshape(-1, count)

    tangent, normal = values("TANGENT"), values("NORMAL")
    np.testing.assert_allclose(np.linalg.norm(tangent[:, :3], axis=1), 1.0, atol=1e-5)
    assert set(np.unique(tangent[:, 3])) <= {-1.0, 1.0}
    np.testing.assert_allclose((tangent[:, :3] * normal).sum(axis=1), 0.0, atol=1e-5)
