"""A mesh that was exported and opened again looks as it did before, in our viewport."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from studio.core.io.export import export_scene
from studio.core.io.meshes import load_scene
from studio.core.optim.atlas import unwrap
from studio.core.optim.materials import TextureMaterial, VertexMaterial
from studio.core.pipeline import default_effects
from studio.core.scene import Light, Lighting, Scene, Similarity
from studio.core.scene.camera import framing_camera
from studio.core.scene.shapes import icosphere
from tests.needs import need


def fitted_like() -> Scene:
    """What a fit leaves: one mesh with colour, roughness and metal per vertex."""
    mesh = icosphere(4, 0.8)
    wave = 0.5 + 0.5 * np.sin(7 * mesh.vertices)
    mesh.vertices = (mesh.vertices * (1 + 0.15 * wave[:, :1])).astype(np.float32)
    mesh.normals = None
    mesh.normals = mesh.vertex_normals()
    mesh.colors = (0.1 + 0.8 * wave).astype(np.float32)
    mesh.roughness = (0.2 + 0.6 * wave[:, :1]).astype(np.float32)
    mesh.metallic = wave[:, 1:2].astype(np.float32)
    mesh.material.base_color = (1.0, 1.0, 1.0)
    return Scene(meshes=[mesh], lighting=Lighting(lights=[Light(intensity=0.8)]))


def textured_like() -> Scene:
    """What a fit with textures leaves: colour, roughness, metal, occlusion and normals in an atlas."""
    scene = fitted_like()
    mesh = scene.meshes[0]
    atlas = unwrap(mesh.vertices, mesh.faces, 256)
    baked = TextureMaterial.baked(VertexMaterial.of_mesh(mesh, torch.device("cpu")), atlas)
    with torch.no_grad():
        baked.tilt += 0.3 * torch.sin(40 * baked.shade[..., :2])
    source = atlas.source.numpy()
    torn = replace(
        mesh,
        vertices=mesh.vertices[source],
        faces=atlas.faces.numpy(),
        normals=mesh.vertex_normals()[source],
        **baked.fields(mesh, False, baked.pictures(False)),
    )
    return Scene(meshes=[torn], lighting=scene.lighting)


# PNG keeps 8 bits: base colours are off by up to half a 255th of sRGB, normals by a third of a degree.
@pytest.mark.parametrize(
    ("make", "mean", "most"),
    [(fitted_like, 1e-5, 1e-3), (textured_like, 1e-3, 3e-2)],
    ids=("vertices", "textures"),
)
def test_the_exported_mesh_looks_the_same(
    tmp_path: Path, make: Callable[[], Scene], mean: float, most: float
) -> None:
    need("gl")
    from studio.gl.offline import render_scene

    scene = make()
    camera = framing_camera(scene.bounds(), 200, 150)
    before = render_scene(scene, camera, default_effects(scene), samples=1)

    to_photos = Similarity(2.5, np.array(((1, 0, 0), (0, 0, -1), (0, 1, 0)), float), np.array((1.0, 2, 3)))
    export_scene(scene, tmp_path / "mesh.glb", to_photos)
    opened = trimesh.load(tmp_path / "mesh.glb", force="mesh", process=False)
    assert len(opened.faces) == len(scene.meshes[0].faces)
    np.testing.assert_allclose(opened.bounds[0], to_photos.apply(scene.meshes[0].vertices).min(0), atol=1e-5)

    again = load_scene(tmp_path / "mesh.glb")
    mesh = again.meshes[0]
    back = to_photos.inverse()
    mesh.vertices = back.apply(mesh.vertices).astype(np.float32)
    mesh.normals = (mesh.vertex_normals() @ back.rotation.T).astype(np.float32)
    again.lighting = scene.lighting
    after = render_scene(again, camera, default_effects(again), samples=1)

    difference = np.abs(after - before)
    assert before[..., 3].mean() > 0.1  # the object is in the picture
    assert difference.mean() < mean
    # A vertex that moved by rounding may hand a pixel of the outline to the background.
    assert np.quantile(difference, 0.999) < most
