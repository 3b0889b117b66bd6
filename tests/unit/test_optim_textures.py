"""Textures of a fit: the atlas, what is baked into it, and what moving texels gains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from studio.core.errors import InputError
from studio.core.io.export import export_scene
from studio.core.io.meshes import load_scene
from studio.core.ops.ambient import ambient_visibility
from studio.core.optim.atlas import fill, unwrap
from studio.core.optim.fit import Fit, FitProblem
from studio.core.optim.material_stage import Pictures, warm_up_steps
from studio.core.optim.materials import TextureMaterial, VertexMaterial
from studio.core.optim.regularizers import TextureTerms
from studio.core.optim.schedule import Schedule, progress
from studio.core.optim.settings import FitSettings
from studio.core.pipeline import render_image
from studio.core.scene import PhotoSet, Scene
from studio.core.scene.shapes import icosphere, torus
from tests.unit.optim_scenes import coloured_ball, photograph

CPU = torch.device("cpu")
SMALL = {
    "steps": 50,
    "texture_steps": 30,
    "texture_size": 64,
    "resolution": 48,
    "stages": 1,
    "hull_resolution": 16,
    "edge_coarse": 0.2,
    "edge_fine": 0.2,
    "views_per_step": 3,
    "holdout": 6,
}


@pytest.fixture(scope="module")
def photos() -> PhotoSet:
    return photograph(checkered(), count=12, size=48)


def checkered() -> object:
    """A ball whose colours change faster than its fit's vertices can follow."""
    ball = icosphere(5, 0.6)
    x, y, z = ball.vertices.T
    sign = np.sign(np.sin(14 * x)) * np.sign(np.sin(14 * y)) * np.sign(np.sin(14 * z))
    ball.colors = np.where(sign[:, None] > 0, (0.8, 0.5, 0.1), (0.05, 0.15, 0.5)).astype(np.float32)
    return ball


def run(photos: PhotoSet, **changes) -> Fit:
    fit = Fit(FitProblem(photos), FitSettings(SMALL | changes), "cpu")
    fit.prepare()
    while fit.steps_done < fit.steps:
        fit.step()
    return fit


def test_the_atlas_keeps_the_triangles() -> None:
    ball = icosphere(2)
    atlas = unwrap(ball.vertices, ball.faces, 128)
    np.testing.assert_array_equal(atlas.source[atlas.faces.long()].numpy(), ball.faces)
    corners = atlas.uvs[atlas.faces.long()]
    (a, b), (c, d) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    area = 0.5 * (a * d - b * c).abs()
    assert (area > 0).all()
    # Where charts overlapped, the texels would be fewer than the triangles' area.
    assert float(atlas.covered.float().mean()) == pytest.approx(float(area.sum()), rel=0.02)


def test_a_baked_texture_has_the_vertices_values() -> None:
    ball = icosphere(3)
    atlas = unwrap(ball.vertices, ball.faces, 128)
    image = atlas.bake(torch.tensor(ball.vertices))
    seen = torch.nn.functional.grid_sample(
        image.permute(0, 3, 1, 2), 2 * atlas.uvs[None, None] - 1, align_corners=False
    )[0, :, 0].T
    off = np.abs(seen.numpy() - ball.vertices[atlas.source.numpy()]).max(axis=1)
    assert off.mean() < 0.015  # a texel is 0.05 wide here
    assert off.max() < 0.2  # at a chart's corner the gutter's mean takes part
    inside = image[0][atlas.covered[0, ..., 0]]
    assert abs(float(inside.norm(dim=1).mean()) - 1) < 0.01


def test_filling_keeps_what_is_known_and_spreads_it() -> None:
    image = torch.zeros(1, 16, 16, 2)
    known = torch.zeros(1, 16, 16, 1, dtype=torch.bool)
    image[0, 3, 4], image[0, 12, 9] = torch.tensor([1.0, 5.0]), torch.tensor([2.0, 7.0])
    known[0, 3, 4] = known[0, 12, 9] = True
    full = fill(image, known)
    torch.testing.assert_close(full[known[..., 0]], image[known[..., 0]])
    assert 1.0 <= float(full[..., 0].min()) <= float(full[..., 0].max()) <= 2.0
    assert abs(float(full[0, 0, 0, 0]) - 1) < abs(float(full[0, 0, 0, 0]) - 2)  # the nearer one weighs more
    torch.testing.assert_close(fill(image, torch.zeros_like(known)), torch.zeros_like(image))


def test_baking_changes_no_picture() -> None:
    ball = coloured_ball()
    ball.material.base_color = (1.0, 1.0, 1.0)
    ball.roughness = np.full((len(ball.vertices), 1), 0.4, np.float32)
    material = VertexMaterial.of_mesh(ball, CPU)
    atlas = unwrap(ball.vertices, ball.faces, 256)
    baked = TextureMaterial.baked(material, atlas)
    source = atlas.source.numpy()
    torn = replace(
        ball,
        vertices=ball.vertices[source],
        faces=atlas.faces.numpy(),
        normals=ball.vertex_normals()[source],
        **baked.fields(ball, False, baked.pictures(False)),
    )
    camera = photograph(ball, count=3, size=64).photos[1].camera
    before, after = (render_image(Scene(meshes=[m]), camera) for m in (ball, torn))
    np.testing.assert_allclose(before[..., 3], after[..., 3], atol=1e-4)
    assert np.abs(before - after)[before[..., 3] > 0].mean() < 3e-3


def test_texture_terms_are_what_they_say_and_have_slopes() -> None:
    covered = torch.zeros(1, 12, 12, 1, dtype=torch.bool)
    covered[0, 2:9, 3:12] = True  # up to the border, behind which the first column is not next
    terms, inside = TextureTerms(covered), covered.double()
    image = torch.rand(1, 12, 12, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    exact = image.detach().double().requires_grad_()
    steps = (exact[:, :, 1:] - exact[:, :, :-1]).abs() * inside[:, :, 1:] * inside[:, :, :-1]
    climbs = (exact[:, 1:] - exact[:, :-1]).abs() * inside[:, 1:] * inside[:, :-1]
    texels = 7 * 9
    expected = {
        "variation": (steps.sum() + climbs.sum()) * 12 / 512 / (2 * texels),
        "mean": (exact * inside).sum() / (2 * texels),
        "mean_square": (exact.square() * inside).sum() / texels,
    }
    for name, value in expected.items():
        found = getattr(terms.sums(image), name)
        assert found.item() == pytest.approx(value.item(), rel=1e-5)
        slopes = [
            torch.autograd.grad(v, t, retain_graph=True)[0] for v, t in ((found, image), (value, exact))
        ]
        torch.testing.assert_close(slopes[0].double(), slopes[1], rtol=1e-5, atol=1e-8)
        moved = image.detach().clone()
        moved[0, 4, 11, 1] += 1e-3
        change = getattr(terms.sums(moved), name).item() - found.item()
        assert float(slopes[0][0, 4, 11, 1]) == pytest.approx(1e3 * change, rel=2e-2)


def test_texture_terms_do_not_depend_on_the_size() -> None:
    assert float(TextureTerms(torch.ones(1, 8, 8, 1) > 0).sums(torch.ones(1, 8, 8, 2)).variation) == 0
    ramp = [torch.linspace(0, 1, n).expand(1, n, n)[..., None] for n in (64, 128)]
    small, large = (float(TextureTerms(torch.ones_like(r) > 0).sums(r).variation) for r in ramp)
    assert small == pytest.approx(large, rel=0.05)


def test_steps_for_textures_come_last() -> None:
    schedule = Schedule(100, 2, 64, 0.1, 0.05, texture_steps=40)
    assert [schedule.stage(step) for step in (0, 59, 60, 99)] == [0, 1, 2, 2]
    assert schedule.resolution(2) == 64
    assert schedule.edge_length(2) == pytest.approx(0.05)
    assert [progress(step, 60, 100) for step in (20, 60, 99, 150)] == [0, 0, 1, 1]


@pytest.mark.parametrize("shading", ["unlit", "pbr"])
def test_texels_follow_what_vertices_cannot(photos, shading) -> None:
    vertices = run(photos, shading=shading, material="vertices")
    textures = run(photos, shading=shading)
    gain = textures.evaluate(textures.holdout).mean("psnr") - vertices.evaluate(vertices.holdout).mean("psnr")
    assert gain > 1.0
    mesh = textures.snapshot().mesh
    assert mesh.colors is None
    assert mesh.material.base_color_texture.shape == (64, 64, 3)
    assert (mesh.material.orm_texture is None) == (shading == "unlit")


def test_groups_move_their_textures(photos) -> None:
    fit = run(photos, steps=21, texture_steps=1)
    fit.set_steps(25)
    before = fit.variables.clone()
    fit.settings.optimize("albedo,normal_map")
    fit.step()
    now, then = fit.variables.material, before.material
    assert not torch.equal(now.shade, then.shade)
    assert not torch.equal(now.tilt, then.tilt)
    assert torch.equal(now.roughness, then.roughness)
    assert float(now.tilt.detach().norm(dim=3).max()) < 1
    with pytest.raises(InputError, match="textures already"):
        fit.variables.textured(64)


def test_a_textured_result_survives_export(photos, tmp_path) -> None:
    scene = run(photos, steps=10, texture_steps=5).result()
    export_scene(scene, tmp_path / "mesh.glb")
    again = load_scene(tmp_path / "mesh.glb").meshes[0].material
    own = scene.meshes[0].material
    for name in ("base_color_texture", "orm_texture", "normal_texture"):
        # PNG has 8 bits; base colours are rounded as sRGB.
        np.testing.assert_allclose(getattr(again, name)[..., :3], getattr(own, name), atol=0.006)


def test_live_snapshots_share_their_textures(photos) -> None:
    variables = run(photos, steps=3, texture_steps=2).variables
    kept = Pictures()
    first, _ = kept.take(variables, False, live=True)
    assert kept.take(variables, False, live=True)[0] is first
    assert kept.take(variables, False, live=False)[0] is not first


def test_one_material_serves_all_while_light_settles(photos) -> None:
    fit = Fit(FitProblem(photos), FitSettings(SMALL | {"steps": 32, "texture_steps": 30}), "cpu")
    fit.prepare()
    while fit.steps_done < 10:  # two steps of shape, then eight of ten of the warm-up
        fit.step()
    material, light = fit.variables.material, fit.variables.sh.detach().clone()
    for leaf in (material.shade, material.roughness, material.metallic):
        assert float((leaf - leaf[:, :1, :1]).detach().abs().max()) < 1e-6
    assert float(material.tilt.detach().abs().max()) == 0
    start = material.shade.detach()[0, 0, 0].clone()
    fit.step()
    assert not torch.equal(start, fit.variables.material.shade.detach()[0, 0, 0])
    assert not torch.equal(light, fit.variables.sh.detach())
    while fit.steps_done < 20:
        fit.step()
    assert float((material.shade - material.shade[:, :1, :1]).detach().abs().max()) > 0.05


def test_no_warm_up_where_light_is_known(photos) -> None:
    settings = FitSettings(SMALL)
    assert warm_up_steps(settings) == 10
    settings.set("light_enabled", False)
    assert warm_up_steps(settings) == 0


def test_a_hollow_is_baked_dark() -> None:
    """The inner side of a thick ring sees less of the environment than the outer."""
    ring = torus(0.5, 0.3, 48)
    atlas = unwrap(ring.vertices, ring.faces, 128)
    vertices, faces, normals = (
        torch.from_numpy(a) for a in (ring.vertices, ring.faces, ring.vertex_normals())
    )
    material = VertexMaterial.of_mesh(ring, CPU)
    baked = TextureMaterial.baked(material, atlas, ambient_visibility(vertices, faces, normals))
    outwards = atlas.bake((normals * vertices).sum(dim=1, keepdim=True))
    inside = atlas.covered
    inner, outer = (baked.occlusion[inside & side].mean() for side in (outwards < 0.1, outwards > 0.25))
    assert float(inner) < float(outer) - 0.2
    assert baked.pictures(False)["orm_texture"][..., 0].min() < 0.8
