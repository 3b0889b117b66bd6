"""Subsurface scattering in pictures: both renderers, light from behind, a light found again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from studio.core.effects import get
from studio.core.gbuffer import CameraBatch, LightTensors
from studio.core.ops.sss import TAPS, tap_spacing, translucency
from studio.core.params import ParamSet
from studio.core.pipeline import render, render_channels
from studio.core.scene import Light, Lighting, Scene
from studio.core.scenes import built_in
from studio.core.tensors import SceneTensors
from tests.needs import need

SIZE = 128


def effects(**values: object) -> dict[str, ParamSet]:
    return {"pbr": ParamSet("pbr", get("pbr").params), "sss": ParamSet("sss", get("sss").params, values)}


@pytest.fixture(scope="module")
def bust() -> Scene:
    scene = built_in("bust")
    scene.cameras = [scene.cameras[0].resized(SIZE, SIZE)]
    return scene


def test_both_renderers_scatter_alike(bust: Scene) -> None:
    need("gl")
    from studio.gl.context import headless_context
    from studio.gl.viewport import Viewport

    camera = bust.cameras[0]
    for split, half in (("post", False), ("both", True), ("pre", False)):
        chosen = effects(split=split, half_resolution=half, distance=(0.12, 0.05, 0.02), strength=0.9)
        ours = render_channels(bust, camera, chosen, ("part", "depth"))
        with headless_context() as context:
            viewport = Viewport(context)
            viewport.set_scene(bust)
            viewport.set_effects(chosen)
            theirs = viewport.render_offline(camera, samples=1)
            viewport.release()
        part, depth = ours["part"][..., 0], ours["depth"][..., 0]
        jump = ndimage.maximum_filter(depth, 5) - ndimage.minimum_filter(depth, 5)
        same = ndimage.maximum_filter(part, 5) == ndimage.minimum_filter(part, 5)
        inside = (part > 0) & same & (jump < 0.15)
        error = np.abs(theirs - ours["rgba"])[..., :3][inside]
        assert inside.sum() > 3000
        assert error.mean() <= 1e-4
        assert error.max() <= 1e-2


def test_light_comes_through_the_ear(bust: Scene) -> None:
    """With shadows, in both renderers: thin parts glow red, thick and lit ones do not."""
    need("gl")
    from studio.gl.context import headless_context
    from studio.gl.viewport import Viewport

    camera = bust.cameras[0].resized(200, 200)
    pictures = []
    for amount in (0.0, 3.0):
        chosen = effects(translucency=amount)
        chosen["shadows"] = ParamSet("shadows", get("shadows").params)
        pictures.append(render_channels(bust, camera, chosen, ("depth", "part")))
    added = (pictures[1]["rgba"] - pictures[0]["rgba"])[..., :3]
    assert added.min() > -1e-6
    glowing = added[..., 0] > 0.05
    assert 20 < glowing.sum() < 0.05 * (pictures[0]["part"] == 1).sum()
    assert added[glowing][:, 0].mean() > 2 * added[glowing][:, 2].mean()
    with headless_context() as context:
        viewport = Viewport(context)
        viewport.set_scene(bust)
        viewport.set_effects(chosen)
        theirs = viewport.render_offline(camera, samples=1)
        viewport.release()
    part, depth = pictures[1]["part"][..., 0], pictures[1]["depth"][..., 0]
    jump = ndimage.maximum_filter(depth, 5) - ndimage.minimum_filter(depth, 5)
    inside = ndimage.binary_erosion(part == 1, iterations=3) & (jump < 0.1)
    error = np.abs(theirs - pictures[1]["rgba"])[..., :3][inside]
    assert inside.sum() > 5000
    assert error.mean() <= 1e-4


def test_skin_bleeds_red_into_the_shade(bust: Scene) -> None:
    """The change is there, is red more than blue, and leaves the mean as it is."""
    camera = bust.cameras[0]
    plain = {name: p for name, p in effects().items() if name == "pbr"}
    before = render_channels(bust, camera, plain, ("part",))
    after = render_channels(bust, camera, effects())["rgba"]
    skin = before["part"][..., 0] == 1
    change = (after - before["rgba"])[skin][:, :3]
    assert np.abs(change[:, 0]).mean() > 2 * np.abs(change[:, 2]).mean() > 0.0
    assert abs(change.mean()) < 0.1 * np.abs(change).mean() + 1e-3
    slab = ndimage.binary_erosion(before["part"][..., 0] == 2, iterations=2)
    assert np.abs((after - before["rgba"])[slab]).max() == 0.0


def test_half_size_is_nearly_the_same(bust: Scene) -> None:
    camera = bust.cameras[0].resized(256, 256)
    whole = render_channels(bust, camera, effects())["rgba"]
    half = render_channels(bust, camera, effects(half_resolution=True))["rgba"]
    plain = render_channels(bust, camera, {"pbr": effects()["pbr"]})["rgba"]
    assert np.abs(half - whole).mean() < 0.25 * np.abs(whole - plain).mean()


def test_distance_and_strength_through_the_pipeline(bust: Scene) -> None:
    """Derivatives of a picture with silhouettes, against differences."""
    tensors = SceneTensors.from_scene(bust, "cpu")
    cameras = CameraBatch.from_cameras([bust.cameras[0].resized(64, 64)])
    lights = LightTensors.from_lighting(bust.lighting)
    weights = torch.randn(1, 64, 64, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64)

    def loss(name: str, value: Tensor) -> Tensor:
        chosen = effects(distance=(0.12, 0.07, 0.04))
        chosen["sss"].attach(name, value)
        rgba = render(tensors, cameras, lights, None, chosen)["rgba"]
        return (rgba.double() * weights).sum()

    for name, start in (("distance", torch.tensor([0.12, 0.07, 0.04])), ("strength", torch.tensor(0.8))):
        leaf = start.clone().requires_grad_()
        loss(name, leaf).backward()
        assert leaf.grad is not None
        for i in range(start.numel()):
            step = torch.zeros_like(start)
            step.view(-1)[i] = 1e-3
            with torch.no_grad():
                numeric = float(loss(name, start + step) - loss(name, start - step)) / 2e-3
            assert float(leaf.grad.view(-1)[i]) == pytest.approx(numeric, rel=0.02, abs=1e-3)


def behind(thickness: Tensor, light: Light, distance: Tensor) -> Tensor:
    """`translucency` of a wall at depth 3 that faces the camera."""
    n, height, width, _ = thickness.shape
    lights = LightTensors.from_lighting(Lighting([light]))
    normal = torch.tensor((0.0, 0.0, 1.0)).expand(n, height, width, 3)
    eye = torch.eye(4)[None]
    tables = (lights.kind, lights.vector, lights.radiance, lights.axis, lights.shape)
    depth = torch.full((n, height, width, 1), 3.0)
    return translucency(
        thickness,
        torch.zeros_like(thickness),
        depth,
        normal,
        torch.tensor([[1.0, 1.0, 0.0, 0.0]]),
        eye,
        eye,
        *tables,
        distance,
    )


def test_light_from_behind_fades_with_thickness() -> None:
    distance = torch.tensor([0.2, 0.1, 0.05])
    thickness = torch.linspace(0, 0.5, 8).view(1, 1, 8, 1).expand(1, 1, 8, 4)
    sun = Light(direction=(0.0, 0.0, -1.0), intensity=2.0)
    seen = behind(thickness, sun, distance)
    expected = 2.0 * torch.exp(-thickness[..., :1] / distance)  # n . l = -1: saturate(1.3) = 1
    torch.testing.assert_close(seen, expected, rtol=1e-5, atol=1e-6)
    in_front = replace(sun, direction=(0.0, 0.0, 1.0))
    assert behind(thickness, in_front, distance).abs().max() == 0.0


def test_a_lamp_behind_falls_off_with_its_distance() -> None:
    lamp = Light(kind="point", position=(0.0, 0.0, -5.0), intensity=8.0)
    seen = behind(torch.zeros(1, 1, 1, 4), lamp, torch.ones(3))
    torch.testing.assert_close(seen[0, 0, 0], torch.full((3,), 8.0 / 4.0))  # two units behind the wall

    panel = Light("area", (0.0, 0.0, -1.0), (0.0, 0.0, -5.0), intensity=9.0, width=0.3, height=0.2)
    seen = behind(torch.zeros(1, 1, 1, 4), panel, torch.ones(3))
    torch.testing.assert_close(seen[0, 0, 0], torch.full((3,), 9.0 * 0.06 / np.pi / 4.0))


def test_thickness_of_an_ear_is_found_through_its_light() -> None:
    """Gradients to thickness and distance."""
    sun = Light(direction=(0.1, 0.2, -1.0))
    thickness = torch.full((1, 4, 4, 4), 0.15, requires_grad=True)
    distance = torch.tensor([0.2, 0.1, 0.05], requires_grad=True)
    behind(thickness, sun, distance).sum().backward()
    assert thickness.grad is not None
    assert distance.grad is not None
    assert (thickness.grad[..., 0] < 0).all()
    assert (thickness.grad[..., 1:] == 0).all()
    assert (distance.grad > 0).all()


def test_taps_reach_three_distances_at_the_middle_of_the_scene() -> None:
    bounds = (np.array((-1.0, -1.0, -1.0)), np.array((1.0, 1.0, 1.0)))
    scene = built_in("bust")
    camera = scene.cameras[0]
    pixels, spacing = tap_spacing(
        np.array((0.1, 0.05, 0.02)), bounds, camera.world_to_view, camera.view_to_clip, (512, 512)
    )
    depth = -(camera.world_to_view @ (0, 0, 0, 1))[2]
    reach = TAPS * spacing / pixels * depth
    assert pixels == pytest.approx((camera.fx, camera.fy))
    assert (reach >= 0.3).all()
    assert (reach <= 0.3 + TAPS * depth / pixels).all()
