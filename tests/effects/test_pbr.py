"""Shading beyond the shared scenes: material maps, every kind of light, and what it tells later effects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from studio.core.gbuffer import CameraBatch, LightTensors
from studio.core.io.meshes import load_scene
from studio.core.ops.bend import tangents
from studio.core.ops.packing import Coat, unpack
from studio.core.pipeline import render, render_image
from studio.core.scene import Camera, Light, Lighting, Material, Scene
from studio.core.scene.shapes import icosphere
from studio.core.tensors import SceneTensors
from tests.grad.test_effects import agree, cameras, surface
from tests.needs import data_root, need
from tests.scenes import camera, corner, effects_with, environment, split_cube

SIZE = 96
OFFERS = ("irradiance", "diffuse_albedo", "reflectance", "reflection")


def mapped() -> Scene:
    """A cube with bumps, glowing dots and a dark edge on every face, tilted and half metal."""
    v, u = (np.indices((32, 32), np.float32) + 0.5) / 32
    bumps = np.stack([0.25 * np.sin(9 * u) + 0.1 * v, 0.3 * np.cos(7 * v + 2 * u), np.ones_like(u)], -1)
    bumps /= np.linalg.norm(bumps, axis=-1, keepdims=True)
    glow = np.stack([np.exp(-30 * ((u - 0.5) ** 2 + (v - 0.4) ** 2)) * c for c in (1.0, 0.6, 0.2)], -1)
    dark = np.repeat((0.3 + 0.7 * np.sin(np.pi * u) * np.sin(np.pi * v))[..., None], 3, axis=2)
    mesh = split_cube(1.4)
    mesh.material = Material(
        base_color=(0.8, 0.7, 0.6),
        perceptual_roughness=0.5,
        metallic=0.5,
        emissive=(0.8, 0.9, 1.0),
        normal_texture=(0.5 * bumps + 0.5).astype(np.float32),
        emissive_texture=glow.astype(np.float32),
        occlusion_texture=dark.astype(np.float32),
    )
    lamp = Light("point", position=(0.8, 1.5, 1.2), intensity=2.0)
    light = Lighting([lamp, Light(direction=(-0.4, 0.8, 0.5), intensity=0.4)], environment(5))
    return Scene(meshes=[mesh], lighting=light, name="mapped", cameras=[camera(SIZE, (1.2, 1.5, 2.6))])


@pytest.fixture(scope="module")
def viewport() -> Iterator[Any]:
    need("gl")
    from studio.gl.context import headless_context
    from studio.gl.viewport import Viewport

    with headless_context() as context:
        view = Viewport(context)
        yield view
        view.release()


def inside(scene: Scene, view: Camera) -> np.ndarray:
    """[H, W] pixels away from silhouettes and from edges between faces."""
    normal = render_image(scene, view, {}, channel="normal")
    depth = render_image(scene, view, {}, channel="depth")[..., 0]
    part = render_image(scene, view, {}, channel="part")[..., 0]
    jump = ndimage.maximum_filter(depth, 5) - ndimage.minimum_filter(depth, 5)
    bend = (ndimage.maximum_filter(normal, (5, 5, 1)) - ndimage.minimum_filter(normal, (5, 5, 1))).max(-1)
    one = (part > 0) & (ndimage.maximum_filter(part, 5) == ndimage.minimum_filter(part, 5))
    return one & (jump < 0.5) & (bend < 0.7)


@pytest.mark.parametrize("make", [mapped, corner])
def test_renderers_agree(viewport: Any, make: Any) -> None:
    scene = make()
    view = scene.cameras[0].resized(SIZE, SIZE)
    effects = effects_with("pbr")
    viewport.set_scene(scene)
    viewport.set_effects(effects)
    keep = inside(scene, view)
    assert keep.sum() > 1000
    names = ("normal", "emissive", "occlusion", *OFFERS)
    theirs = viewport.channels(view, names)
    theirs["color"] = viewport.render_offline(view, samples=1)[..., :3]
    for name, actual in theirs.items():
        expected = render_image(scene, view, effects, channel=name)
        error = np.abs(actual.reshape(expected.shape) - expected)[keep]
        # Textures are half floats in OpenGL.
        assert error.mean() <= 2e-4, name
        assert error.max() <= 1e-2, name


def test_renderers_agree_on_a_scanned_helmet(viewport: Any) -> None:
    need("data")
    scene = load_scene(data_root() / "meshes" / "helmet" / "DamagedHelmet.glb")
    scene.lighting = Lighting([Light(direction=(0.4, 0.5, 0.8))], environment(6))
    view = camera(SIZE, (0.6, 0.5, 3.2))
    effects = effects_with("pbr")
    viewport.set_scene(scene)
    viewport.set_effects(effects)
    error = viewport.render_offline(view, samples=1)[..., :3] - render_image(scene, view, effects)[..., :3]
    keep = inside(scene, view)
    assert keep.sum() > 1000
    assert np.abs(error)[keep].mean() <= 1e-3
    assert np.quantile(np.abs(error)[keep], 0.99) <= 1e-2


@pytest.mark.parametrize("what", ["normal_texture", "emissive_texture", "occlusion_texture"])
def test_gradient_of_material_maps(what: str) -> None:
    scene = mapped()
    tensors = SceneTensors.from_scene(scene)
    view = CameraBatch.from_cameras([scene.cameras[0].resized(48, 48)])
    lights = LightTensors.from_lighting(scene.lighting)
    part = tensors.parts[0]
    weights = torch.randn(1, 48, 48, 3, generator=torch.Generator().manual_seed(0))

    def loss(value: Tensor) -> Tensor:
        changed = replace(tensors, parts=(replace(part, **{what: value}),))
        frame = render(changed, view, lights, None, effects_with("pbr"))
        return (frame["color"].double() * weights).sum()

    assert agree(loss, getattr(part, what), seed=1) <= 0.02


def test_gradient_of_tangents() -> None:
    """With the triangle of each pixel held: tangents are its own, and jump to the next one's."""
    mesh = surface()
    mesh.uvs = mesh.vertices[:, :2] + 0.3 * np.sin(mesh.vertices[:, 1::-1])
    tensors = SceneTensors.from_meshes([mesh])
    with torch.no_grad():
        frame = render(tensors, cameras(), LightTensors.from_lighting(Lighting()), None, {}, ["normal"])
    texels = torch.tensor([0.7, 0.4, 0.8]).expand(frame["normal"].shape)
    weights = torch.randn(frame["normal"].shape, generator=torch.Generator().manual_seed(0))

    def bent(vertices: Tensor, says: Tensor) -> Tensor:
        along, turn = tangents(vertices, tensors.uvs, tensors.faces, tensors.face_part)
        coat = Coat(says.contiguous(), (-1, -1, -1), tensors.face_part, -1, along, turn)
        (out,) = unpack(frame["normal"].contiguous(), frame["rast"], (3,), 0, (0, 1, 2), [coat])
        return out

    def loss(value: Tensor) -> Tensor:
        return (bent(value, texels).double() * weights).sum()

    assert agree(loss, tensors.vertices, seed=2) <= 0.02
    flat = bent(tensors.vertices, torch.tensor([0.5, 0.5, 1.0]).expand(texels.shape))
    torch.testing.assert_close(flat, frame["normal"])


def recovered(picture: Callable[[Tensor], Tensor], truth: list[float], start: list[float]) -> Tensor:
    """The parameters that a picture of `truth` leads back to from `start`."""
    with torch.no_grad():
        target = picture(torch.tensor(truth))
    logit = torch.logit(torch.tensor(start)).requires_grad_()  # 0..1 all the way
    optimizer = torch.optim.LBFGS([logit], max_iter=25, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value: Tensor = 1e3 * ((picture(torch.sigmoid(logit)) - target) ** 2).mean()
        value.backward()
        return value

    optimizer.step(loss)
    return torch.sigmoid(logit).detach()


def ball(lighting: Lighting) -> tuple[SceneTensors, CameraBatch, LightTensors]:
    mesh = icosphere(3)
    mesh.material = Material(base_color=(0.7, 0.5, 0.3), perceptual_roughness=0.3, metallic=0.3)
    view = CameraBatch.from_cameras([camera(48, (0.4, 0.6, 3.0))])
    return SceneTensors.from_meshes([mesh]), view, LightTensors.from_lighting(lighting)


@pytest.mark.parametrize("start", [[0.9, 0.1], [0.15, 0.9]])
def test_roughness_and_metallic_come_back(start: list[float]) -> None:
    lamps = [Light(direction=(0.4, 0.6, 0.8)), Light("point", position=(-1.5, 1.0, 2.0), intensity=2.0)]
    tensors, view, lights = ball(Lighting(lamps, environment(3)))
    ones = torch.ones_like(tensors.metallic)

    def picture(value: Tensor) -> Tensor:
        moved = tensors.moved(perceptual_roughness=value[0] * ones, metallic=value[1] * ones)
        return render(moved, view, lights, None, effects_with("pbr"))["rgba"]

    truth = [0.4, 0.6]
    assert recovered(picture, truth, start).tolist() == pytest.approx(truth, rel=0.02)


@pytest.mark.parametrize("start", [[0.15, 0.8], [0.9, 0.15]])
def test_size_of_an_area_light_comes_back(start: list[float]) -> None:
    panel = Light("area", (0.3, 0.6, 0.9), (0.6, 1.2, 1.8), intensity=3.0)
    tensors, view, lights = ball(Lighting([panel], 0 * environment(3)))

    def picture(value: Tensor) -> Tensor:
        shape = torch.cat([torch.zeros(2), value])[None]
        return render(tensors, view, replace(lights, shape=shape), None, effects_with("pbr"))["rgba"]

    truth = [0.6, 0.35]
    assert recovered(picture, truth, start).tolist() == pytest.approx(truth, rel=0.02)
