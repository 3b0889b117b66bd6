"""A fine surface's normals and colours in the textures of a simpler one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from studio.core.io.export import export_scene
from studio.core.io.meshes import load_scene
from studio.core.optim.atlas import Atlas, unwrap
from studio.core.optim.detail import Surface, bake_detail
from studio.core.optim.materials import MAX_TILT, TextureMaterial, VertexMaterial
from studio.core.optim.simplify import simplified
from studio.core.pipeline import render_image
from studio.core.scene import Mesh, Scene
from studio.core.scene.shapes import icosphere
from tests.unit.optim_scenes import ring

CPU = torch.device("cpu")


def bumpy() -> Mesh:
    """A ball with dents and colours that few triangles cannot have."""
    ball = icosphere(5, 0.6)
    x, y, z = ball.vertices.T / 0.6
    waves = np.sin(11 * x) * np.sin(11 * y) * np.sin(11 * z)
    ball = ball.with_vertices((ball.vertices * (1 + 0.03 * waves[:, None])).astype(np.float32))
    ball.colors = np.where(waves[:, None] > 0, (0.8, 0.5, 0.1), (0.1, 0.2, 0.6)).astype(np.float32)
    ball.roughness = np.where(waves[:, None] > 0, 0.3, 0.8).astype(np.float32)
    ball.metallic = np.zeros((len(ball.vertices), 1), np.float32)
    ball.material.base_color = (1.0, 1.0, 1.0)
    return ball


def surface(mesh: Mesh) -> Surface:
    values = VertexMaterial.of_mesh(mesh, CPU).values().detach()
    return Surface(torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces), values)


def textured(simple: Mesh, atlas: Atlas, fine: Mesh | None) -> Mesh:
    """The simple mesh with textures, of the fine one's detail if there is one."""
    material = TextureMaterial.baked(VertexMaterial.of_mesh(simple, CPU), atlas)
    if fine is not None:
        tilt, values, _ = bake_detail(surface(fine), surface(simple), atlas, 0.1, MAX_TILT)
        material = material.detailed(tilt, values)
        material.tilt.requires_grad_(False)
    source = atlas.source.numpy()
    return replace(
        simple,
        vertices=simple.vertices[source],
        faces=atlas.faces.numpy(),
        normals=simple.vertex_normals()[source],
        **material.fields(simple, False, material.pictures(False)),
    )


@pytest.fixture(scope="module")
def simple() -> Mesh:
    return simplified(bumpy(), 1200)


def pictures(mesh: Mesh) -> np.ndarray:
    return np.stack([render_image(Scene(meshes=[mesh]), camera) for camera in ring(3, 96)])


def test_a_simple_mesh_shades_as_the_fine_one_that_was_baked(simple) -> None:
    atlas = unwrap(simple.vertices, simple.faces, 512)
    wished, plain, baked = (
        pictures(mesh) for mesh in (bumpy(), textured(simple, atlas, None), textured(simple, atlas, bumpy()))
    )
    inside = (wished[..., 3] > 0.99) & (plain[..., 3] > 0.99)
    off = {
        name: np.abs(found - wished)[inside].mean() for name, found in (("plain", plain), ("baked", baked))
    }
    assert off["baked"] < 0.4 * off["plain"], off


def even(mesh: Mesh) -> Mesh:
    """The mesh in one colour and roughness."""
    count = len(mesh.vertices)
    return replace(
        mesh, colors=np.full((count, 3), 0.6, np.float32), roughness=np.full((count, 1), 0.4, np.float32)
    )


@pytest.mark.parametrize("mirrored", [False, True])
def test_normals_come_back_in_the_shaders_frames(simple, mirrored) -> None:
    """Of one colour and roughness, so that only normals differ; in mirrored charts, too."""
    fine, few = even(bumpy()), even(simple)
    atlas = unwrap(few.vertices, few.faces, 512)
    if mirrored:
        flipped = (atlas.uvs * torch.tensor([-1.0, 1.0]) + torch.tensor([1.0, 0.0])).contiguous()
        atlas = Atlas.lay_out(atlas.source, atlas.faces, flipped, atlas.size)
    wished, plain, baked = (pictures(m) for m in (fine, few, textured(few, atlas, fine)))
    inside = (wished[..., 3] > 0.99) & (plain[..., 3] > 0.99)
    ratio = np.abs(baked - wished)[inside].mean() / np.abs(plain - wished)[inside].mean()
    assert ratio < 0.45


def test_a_file_shows_the_same(simple, tmp_path) -> None:
    baked = textured(simple, unwrap(simple.vertices, simple.faces, 256), bumpy())
    export_scene(Scene(meshes=[baked]), tmp_path / "baked.glb")
    read = load_scene(tmp_path / "baked.glb").meshes[0]
    assert read.material.normal_texture is not None
    before, after = pictures(baked), pictures(read)
    assert np.abs(before - after)[before[..., 3] > 0.99].mean() < 0.006  # 8 bits of colours and normals


def test_where_nothing_is_near_the_simple_surface_shows_itself(simple) -> None:
    fine = bumpy()
    upper = fine.faces[(fine.vertices[fine.faces][..., 1] > 0).all(axis=1)]
    half = surface(replace(fine, faces=upper))
    own = surface(replace(simple, colors=np.full_like(simple.vertices, 0.25)))
    atlas = unwrap(simple.vertices, simple.faces, 256)
    tilt, values, found = bake_detail(half, own, atlas, 0.05, MAX_TILT)
    place = atlas.bake(own.vertices)
    met, missed = (
        (found & (place[..., 1:2] > 0.1))[..., 0],
        (atlas.covered & (place[..., 1:2] < -0.1))[..., 0],
    )
    assert met.sum() > 5000
    assert not found[missed].any()
    assert (tilt[missed] == 0).all()
    torch.testing.assert_close(values[missed][:, :3], torch.full_like(values[missed][:, :3], 0.25))


def test_what_faces_the_other_way_does_not_count(simple) -> None:
    fine = bumpy()
    turned = surface(replace(fine, faces=np.ascontiguousarray(fine.faces[:, ::-1])))
    atlas = unwrap(simple.vertices, simple.faces, 128)
    assert not bake_detail(turned, surface(simple), atlas, 0.1, MAX_TILT)[2].any()


def test_a_surface_baked_onto_itself_has_no_tilt() -> None:
    ball = bumpy()
    atlas = unwrap(ball.vertices, ball.faces, 256)
    tilt, values, found = bake_detail(surface(ball), surface(ball), atlas, 0.05, MAX_TILT)
    assert found[atlas.covered].all()
    assert float(tilt[atlas.covered[..., 0]].norm(dim=1).mean()) < 1e-3
    own = atlas.bake(surface(ball).values)
    assert float((values - own)[atlas.covered[..., 0]].abs().mean()) < 1e-3
