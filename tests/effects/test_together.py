"""All effects at once: one picture in both renderers, and gradients with every rasterizer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from studio.core.effects import registry
from studio.core.gbuffer import CameraBatch, LightTensors
from studio.core.params import ParamSet
from studio.core.pipeline import render, render_channels
from studio.core.rasterizer import RASTERIZERS
from studio.core.tensors import SceneTensors
from tests.needs import need
from tests.scenes import corner

SIZE = 32


def everything() -> dict[str, ParamSet]:
    return {name: ParamSet(name, effect.params) for name, effect in registry().items()}


def test_both_renderers_draw_the_same() -> None:
    need("gl")
    from studio.gl.context import headless_context
    from studio.gl.viewport import Viewport

    scene = corner()
    camera = scene.cameras[0].resized(96, 96)
    expected = render_channels(scene, camera, everything(), ["part", "depth"])
    with headless_context() as context:
        viewport = Viewport(context)
        viewport.set_scene(scene)
        viewport.set_effects(everything())
        actual = viewport.render_offline(camera, samples=1)
        viewport.release()
    part, depth = expected["part"][..., 0], expected["depth"][..., 0]
    jump = ndimage.maximum_filter(depth, 9) - ndimage.minimum_filter(depth, 9)
    inside = (part > 0) & (ndimage.maximum_filter(part, 9) == ndimage.minimum_filter(part, 9)) & (jump < 0.5)
    error = np.abs(actual - expected["rgba"])[..., :3].max(axis=2)[inside]
    assert inside.sum() > 2000
    assert error.mean() <= 5e-4  # effects carry what differs at silhouettes into the picture
    assert np.quantile(error, 0.99) <= 1e-2


@pytest.mark.parametrize("rasterizer", RASTERIZERS)
def test_gradients_are_finite(rasterizer: str) -> None:
    """SoftRas and NMR know no outline: effects of depth then have no gradient of silhouettes."""
    scene = corner()
    tensors = SceneTensors.from_scene(scene)
    lights = LightTensors.from_lighting(scene.lighting)
    assert lights.environment is not None
    leaves = {
        "vertices": tensors.vertices.clone().requires_grad_(),
        "colors": tensors.colors.clone().requires_grad_(),
        "perceptual_roughness": tensors.perceptual_roughness.clone().requires_grad_(),
    }
    lights.vector = lights.vector.clone().requires_grad_()
    lights.radiance = lights.radiance.clone().requires_grad_()
    lights.environment = lights.environment.clone().requires_grad_()
    cameras = CameraBatch.from_cameras([scene.cameras[0].resized(SIZE, SIZE)])
    background = torch.full((3,), 0.2, requires_grad=True)
    frame = render(tensors.moved(**leaves), cameras, lights, background, everything(), rasterizer=rasterizer)
    assert torch.isfinite(frame["rgba"]).all()
    weight = torch.randn(frame["rgba"].shape, generator=torch.Generator().manual_seed(0))
    (frame["rgba"] * weight).sum().backward()
    moved = {**leaves, "vector": lights.vector, "radiance": lights.radiance}
    if "environment" in registry():
        moved["environment"] = lights.environment
    for name, leaf in moved.items():
        assert leaf.grad is not None, name
        assert torch.isfinite(leaf.grad).all(), name
        assert leaf.grad.abs().max() > 0, name
