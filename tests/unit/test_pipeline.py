"""The differentiable pipeline: channels, parts, textures, backgrounds, spaces, errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from studio.core.channels import CHANNELS
from studio.core.errors import InputError, ShapeError
from studio.core.gbuffer import CameraBatch, LightTensors
from studio.core.ops.normals import vertex_normals
from studio.core.pipeline import AOVS, default_effects, render, render_image
from studio.core.scene import Camera, Light, Lighting, Material, Mesh, Scene, look_at
from studio.core.scene.shapes import cube, icosphere, torus
from studio.core.tensors import SceneTensors
from tests.scenes import SCENES, camera, effects_with, environment, glossy_sphere, textured_cube


def middle(image: np.ndarray) -> np.ndarray:
    return image[image.shape[0] // 2, image.shape[1] // 2]


def centred(size: int = 33, distance: float = 3.0) -> Camera:
    pose = look_at(np.array((0.0, 0.0, distance)), np.zeros(3))
    return Camera(size, size, 1.5 * size, 1.5 * size, size / 2, size / 2, pose, near=0.5, far=10.0)


def batch(scene: Scene, *cameras: Camera) -> tuple[SceneTensors, CameraBatch, LightTensors]:
    chosen = list(cameras) or scene.cameras
    return (
        SceneTensors.from_scene(scene),
        CameraBatch.from_cameras(chosen),
        LightTensors.from_lighting(scene.lighting),
    )


def test_without_effects_the_colour_is_the_albedo() -> None:
    mesh = icosphere(3)
    mesh.colors = np.full_like(mesh.vertices, 0.5)
    mesh.material = Material(base_color=(0.2, 0.4, 1.0))
    scene = Scene(meshes=[mesh], background=(0.0, 0.3, 0.0))
    image = render_image(scene, centred(), effects={})
    np.testing.assert_allclose(middle(image), (0.1, 0.2, 0.5, 1.0), atol=1e-6)
    np.testing.assert_allclose(image[0, 0], (0.0, 0.3, 0.0, 0.0), atol=1e-7)
    edge = image[..., 3]
    assert ((edge > 0.05) & (edge < 0.95)).any()  # antialiased
    # Colour and coverage are blended by the same weights: over black, colour = coverage * albedo.
    over_black = render_image(replace(scene, background=(0.0, 0.0, 0.0)), centred(), effects={})
    np.testing.assert_allclose(over_black[..., 2], 0.5 * over_black[..., 3], atol=1e-5)


def test_the_fast_path_is_the_general_path() -> None:
    scene = SCENES["glossy_sphere"]()
    tensors, cameras, lights = batch(scene)
    background = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    fast = render(tensors, cameras, lights, background)
    general = render(tensors, cameras, lights, background, channels=["normal"])
    torch.testing.assert_close(fast["rgba"], general["rgba"], atol=1e-6, rtol=0)


@pytest.mark.parametrize("effects", [{}, effects_with("pbr")], ids=["unlit", "pbr"])
def test_every_input_gets_a_gradient(effects: dict) -> None:
    tensors, cameras, lights = batch(glossy_sphere())
    leaves = {
        "vertices": tensors.vertices.clone().requires_grad_(),
        "colors": tensors.colors.clone().requires_grad_(),
    }
    background = torch.full((3,), 0.2, requires_grad=True)
    if effects:
        leaves["perceptual_roughness"] = tensors.perceptual_roughness.clone().requires_grad_()
        leaves["metallic"] = (tensors.metallic + 0.2).requires_grad_()
        lights.sh.requires_grad_()
        lights.radiance.requires_grad_()
        lights.vector.requires_grad_()
    frame = render(tensors.moved(**leaves), cameras, lights, background, effects)
    (frame["rgba"] ** 2).sum().backward()
    checked = [*leaves.values(), background]
    checked += [lights.sh, lights.radiance, lights.vector] if effects else []
    for leaf in checked:
        assert leaf.grad is not None
        assert torch.isfinite(leaf.grad).all()
        assert leaf.grad.abs().max() > 0
    # Seen or unseen: vertices on the far side get nothing.
    hidden = tensors.vertices[:, 2] < -0.8
    assert leaves["colors"].grad[hidden].abs().max() == 0


def test_a_background_image_reaches_only_empty_pixels() -> None:
    tensors, cameras, lights = batch(glossy_sphere())
    noise = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
    frame = render(tensors, cameras, lights, noise, effects_with("pbr"))
    empty = (frame["rast"][..., 3] == 0) & (frame["alpha"][..., 0] == 0)
    torch.testing.assert_close(frame["color"][empty], noise[empty])
    frame["color"].sum().backward()
    inside = frame["alpha"][..., 0] == 1
    assert noise.grad[inside].abs().max() <= 1e-6
    torch.testing.assert_close(noise.grad[0, 0, 0], torch.ones(3))


def test_depth_and_position() -> None:
    scene = Scene(meshes=[icosphere(5)])
    camera = centred()
    np.testing.assert_allclose(middle(render_image(scene, camera, {}, channel="depth")), 2.0, atol=2e-3)
    position = middle(render_image(scene, camera, {}, channel="position"))
    np.testing.assert_allclose(position, (0, 0, 1), atol=3e-2)


@pytest.mark.parametrize("channel", AOVS)
def test_every_channel_can_be_asked_for(channel: str) -> None:
    scene = textured_cube()
    for mesh in scene.meshes:
        mesh.material = replace(mesh.material, emissive=(0.2, 0.1, 0.0), subsurface=0.5)
    image = render_image(scene, camera(24, (1.2, 1.5, 2.6)), channel=channel)
    assert image.shape == (24, 24, CHANNELS[channel].size)
    assert np.isfinite(image).all()
    assert image.max() > 0


def test_parts_keep_their_materials() -> None:
    left, right = icosphere(3, 0.4), icosphere(3, 0.4)
    left.vertices = left.vertices + np.float32((-0.5, 0, 0))
    right.vertices = right.vertices + np.float32((0.5, 0, 0))
    left.material = Material(base_color=(1, 0, 0), perceptual_roughness=0.2, metallic=1.0)
    right.material = Material(base_color=(0, 0, 1), perceptual_roughness=0.7)
    scene = Scene(meshes=[left, right])
    camera = centred(40)
    part = render_image(scene, camera, channel="part")[..., 0]
    rough = render_image(scene, camera, channel="perceptual_roughness")[..., 0]
    metal = render_image(scene, camera, channel="metallic")[..., 0]
    for number, roughness, metallic in ((1, 0.2, 1.0), (2, 0.7, 0.0)):
        assert (part == number).sum() > 20
        np.testing.assert_allclose(rough[part == number], roughness, atol=1e-6)
        np.testing.assert_allclose(metal[part == number], metallic, atol=1e-6)
    triangles = render_image(scene, camera, channel="id")[..., 0]
    assert triangles[part == 2].min() > len(left.faces)


def test_textures_multiply_factors_and_vertex_colours() -> None:
    mesh = Mesh(
        vertices=np.array([(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)], np.float32),
        faces=np.array([(0, 1, 2), (0, 2, 3)], np.int32),
        uvs=np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float32),
        colors=np.full((4, 3), 0.5, np.float32),
        material=Material(
            base_color=(1.0, 0.5, 1.0),
            perceptual_roughness=0.8,
            metallic=0.5,
            base_color_texture=np.full((4, 4, 4), 0.6, np.float32),
            orm_texture=np.tile(np.float32((0.9, 0.5, 0.4)), (4, 4, 1)),
            occlusion_texture=np.full((4, 4, 3), 0.7, np.float32),
            emissive=(2.0, 1.0, 0.0),
            emissive_texture=np.full((4, 4, 3), 0.5, np.float32),
            subsurface=0.25,
        ),
    )
    scene = Scene(meshes=[mesh])

    def value(channel: str) -> np.ndarray:
        return middle(render_image(scene, centred(), {}, channel=channel))

    np.testing.assert_allclose(value("albedo"), (0.3, 0.15, 0.3), atol=1e-6)
    np.testing.assert_allclose(value("perceptual_roughness"), 0.4, atol=1e-6)
    np.testing.assert_allclose(value("metallic"), 0.2, atol=1e-6)
    np.testing.assert_allclose(value("occlusion"), 0.7, atol=1e-6)
    np.testing.assert_allclose(value("emissive"), (1.0, 0.5, 0.0), atol=1e-6)
    np.testing.assert_allclose(value("subsurface"), 0.25, atol=1e-6)
    np.testing.assert_allclose(value("uv"), 0.5, atol=1e-5)
    mesh.uvs = None  # nothing to look the textures up with: factors alone
    np.testing.assert_allclose(value("albedo"), (0.5, 0.25, 0.5), atol=1e-6)
    np.testing.assert_allclose(value("emissive"), (2.0, 1.0, 0.0), atol=1e-6)


def test_a_texture_has_an_orientation() -> None:
    scene = textured_cube()
    scene.meshes = scene.meshes[:1]
    scene.meshes[0].colors = None
    pose = look_at(np.array((-0.5, 0.0, 3.0)), np.array((-0.5, 0.0, 0.0)))
    view = Camera(40, 40, 60, 60, 20, 20, pose, near=0.5, far=10.0)
    albedo = render_image(scene, view, {}, channel="albedo")
    # Red grows to the right (u), green upwards (v); row 0 is the bottom.
    assert albedo[20, 26, 0] > albedo[20, 14, 0] + 0.2
    assert albedo[26, 20, 1] > albedo[14, 20, 1] + 0.1


def test_camera_light_turns_with_the_camera() -> None:
    light = Lighting([Light(direction=(0.3, 0.2, 0.9))], environment(3), fixed_to="camera")
    scene = Scene(meshes=[icosphere(4)], lighting=light)
    front = render_image(scene, centred(48))
    pose = look_at(np.array((3.0, 0.0, 0.0)), np.zeros(3))
    side = render_image(scene, centred(48).moved(pose))
    # A sphere looks the same from everywhere when the light comes along; its triangles don't.
    assert np.abs(front - side)[12:36, 12:36].max() < 0.01
    fixed = replace(scene, lighting=replace(light, fixed_to="world"))
    other = render_image(fixed, centred(48).moved(pose))
    assert np.abs(front - other)[12:36, 12:36].max() > 0.05


@pytest.mark.parametrize("mesh", [icosphere(3), cube(1.0), torus(0.7, 0.3, 24)], ids=lambda m: m.name)
def test_normals_match_the_mesh(mesh: Mesh) -> None:
    mesh = replace(mesh, normals=None)
    tensors = SceneTensors.from_meshes([mesh])
    ours = vertex_normals(tensors.vertices, tensors.faces, tensors.incidence)
    np.testing.assert_allclose(ours.numpy(), mesh.vertex_normals(), atol=1e-5)


def split(mesh: Mesh) -> Mesh:
    """Every triangle with vertices of its own."""
    return Mesh(
        vertices=mesh.vertices[mesh.faces.ravel()],
        faces=np.arange(3 * len(mesh.faces), dtype=np.int32).reshape(-1, 3),
    )


def test_seams_share_normals_and_gradients() -> None:
    whole, apart = replace(icosphere(2), normals=None), split(icosphere(2))
    grads = []
    for mesh in (whole, apart):
        tensors = SceneTensors.from_meshes([mesh])
        vertices = tensors.vertices.clone().requires_grad_()
        normals = vertex_normals(vertices, tensors.faces, tensors.incidence)
        weight = torch.sin(7 * tensors.vertices + torch.tensor([0.0, 1.0, 2.0]))
        share = (
            1.0 if mesh is whole else 1.0 / torch.bincount(tensors.incidence.group)[tensors.incidence.group]
        )
        ((normals * weight).sum(1) * share).sum().backward()
        total = torch.zeros_like(vertices).index_add(0, tensors.incidence.group.long(), vertices.grad)
        grads.append({tuple(v): g for v, g in zip(mesh.vertices.tolist(), total.tolist()) if any(g)})
    assert grads[0].keys() == grads[1].keys()
    for place, value in grads[0].items():
        np.testing.assert_allclose(grads[1][place], value, atol=1e-4)


def test_normal_gradient_against_differences() -> None:
    tensors = SceneTensors.from_meshes([replace(torus(0.7, 0.3, 12), normals=None)])
    generator = torch.Generator().manual_seed(0)
    weight, way = (torch.randn(tensors.vertices.shape, generator=generator) for _ in range(2))

    def loss(v: torch.Tensor) -> torch.Tensor:
        return (vertex_normals(v, tensors.faces, tensors.incidence).double() * weight).sum()

    leaf = tensors.vertices.clone().requires_grad_()
    loss(leaf).backward()
    step = 1e-3
    numeric = (loss(leaf.detach() + step * way) - loss(leaf.detach() - step * way)) / (2 * step)
    assert float((leaf.grad * way).sum()) == pytest.approx(float(numeric), rel=2e-3)


def test_lonely_vertices_point_up() -> None:
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5]])
    faces = torch.tensor([[0, 1, 2]], dtype=torch.int32)
    normals = vertex_normals(vertices, faces)
    torch.testing.assert_close(normals[:3], torch.tensor([[0.0, 0, 1]]).expand(3, 3))
    torch.testing.assert_close(normals[3], torch.tensor([0.0, 1, 0]))


def test_several_views_are_rendered_alone_too() -> None:
    scene = SCENES["metal_and_clay"]()
    views = [camera(32, (0.0, 2.0, 3.2)), camera(32, (2.5, 1.0, 1.5))]
    tensors, cameras, lights = batch(scene, *views)
    both = render(tensors, cameras, lights, None, default_effects())["rgba"]
    for i in (0, 1):
        one = render(tensors, cameras.select([i]), lights, None, default_effects())["rgba"]
        torch.testing.assert_close(both[i], one[0], atol=1e-6, rtol=0)


def test_culling_changes_nothing_on_a_closed_mesh() -> None:
    tensors, cameras, lights = batch(glossy_sphere())
    full = render(tensors, cameras, lights, None, effects_with("pbr"))["rgba"]
    culled = render(tensors, cameras, lights, None, effects_with("pbr"), cull_backfaces=True)["rgba"]
    assert (full - culled).abs().mean() < 1e-4


def test_scene_values_of_effects_are_used() -> None:
    scene = glossy_sphere()
    dark = replace(scene, effects={"tonemap": {"exposure": -2.0}})
    view = scene.cameras[0]
    np.testing.assert_allclose(
        render_image(dark, view)[..., 0], render_image(scene, view)[..., 0] / 4, atol=1e-6
    )


def test_errors_name_what_is_wrong() -> None:
    scene = glossy_sphere()
    view = scene.cameras[0]
    with pytest.raises(InputError, match="no channel 'colour'; there are color"):
        render_image(scene, view, channel="colour")
    with pytest.raises(InputError, match="no effect 'glitter'"):
        render_image(scene, view, effects={"glitter": effects_with("pbr")["pbr"]})
    with pytest.raises(InputError, match="empty: nothing to render"):
        render_image(Scene(name="empty"), view)
    bad = glossy_sphere()
    bad.meshes[0].vertices = bad.meshes[0].vertices.copy()
    bad.meshes[0].vertices[3] = np.nan
    with pytest.raises(InputError, match="1 vertices are NaN"):
        render_image(bad, view)
    tensors, cameras, lights = batch(scene)
    with pytest.raises(ShapeError, match=r"background must have shape \[3\] or \[1, 64, 64, 3\]"):
        render(tensors, cameras, lights, torch.zeros(1, 32, 64, 3))
