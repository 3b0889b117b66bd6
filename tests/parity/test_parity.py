"""The OpenGL picture and the differentiable one are the same picture, effect by effect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from studio.core.effects import registry
from studio.core.pipeline import render_image
from tests.needs import need
from tests.scenes import SCENES, effects_with

SIZE = 96
MEAN, MAX = 1e-4, 1e-2
"""Measured: mean 1e-7, max 6e-5 without textures; 7e-5 and 4e-4 with, where the viewport
keeps textures in half floats (relative error 5e-4)."""
BAND_MEAN = 0.08
"""One unjittered GL sample against antialiased edges: up to half the contrast with the
background (about 0.5) on each of the pixels along the edge; a band five pixels wide halves and
halves that again."""


@pytest.fixture(scope="module")
def viewport() -> Iterator[Any]:
    need("gl")
    from studio.gl.context import headless_context
    from studio.gl.viewport import Viewport

    with headless_context() as context:
        view = Viewport(context)
        yield view
        view.release()


@pytest.mark.parametrize("changed", [False, True], ids=["default", "changed"])
@pytest.mark.parametrize("name", list(registry()))
@pytest.mark.parametrize("scene_name", list(SCENES))
def test_gl_matches_differentiable(viewport: Any, scene_name: str, name: str, changed: bool) -> None:
    scene = SCENES[scene_name]()
    camera = scene.cameras[0].resized(SIZE, SIZE)
    effects = effects_with(name, changed)
    expected = render_image(scene, camera, effects)
    viewport.set_scene(scene)
    viewport.set_effects(effects)
    actual = viewport.render_offline(camera, samples=1)

    part = render_image(scene, camera, effects, channel="part")[..., 0]
    # Silhouettes also run between parts and across the ring's own hole: a jump in depth.
    depth = render_image(scene, camera, effects, channel="depth")[..., 0]
    jump = ndimage.maximum_filter(depth, 5) - ndimage.minimum_filter(depth, 5)
    same_part = ndimage.maximum_filter(part, 5) == ndimage.minimum_filter(part, 5)
    inside = (part > 0) & same_part & (jump < 0.5)
    band = ~inside & (ndimage.maximum_filter(part, 5) > 0)
    error = np.abs(actual - expected)[..., :3]
    assert inside.sum() > 500  # the comparison is about something
    assert error[inside].mean() <= MEAN
    assert error[inside].max() <= MAX
    assert error[band].mean() <= BAND_MEAN * max(1.0, float(expected.max()))


def test_albedo_without_effects(viewport: Any) -> None:
    scene = SCENES["glossy_sphere"]()
    camera = scene.cameras[0]
    viewport.set_scene(scene)
    viewport.set_effects({})
    actual = viewport.render_offline(camera, samples=1)
    expected = render_image(scene, camera, effects={})
    assert np.abs(actual - expected)[32, 32].max() <= 1e-6


@pytest.mark.parametrize("channel", ["normal", "position", "depth", "perceptual_roughness", "metallic"])
def test_gbuffer_channels_agree(viewport: Any, channel: str) -> None:
    scene = SCENES["metal_and_clay"]()
    camera = scene.cameras[0]
    viewport.set_scene(scene)
    theirs = viewport.gbuffer(camera)
    ours = render_image(scene, camera, channel=channel)
    if channel not in theirs:
        pytest.fail(f"the viewport has no channel {channel}, it has {', '.join(theirs)}")
    depth = render_image(scene, camera, channel="depth")[..., 0]
    flat = ndimage.maximum_filter(depth, 3) - ndimage.minimum_filter(depth, 3) < 0.3
    keep = (depth > 0) & (ndimage.minimum_filter(depth, 3) > 0) & flat
    assert keep.sum() > 200
    # float32 through two rasterizers: 1e-5 of a unit length, 1e-4 of a distance of 4.
    assert np.abs(theirs[channel].reshape(ours.shape) - ours)[keep].max() <= 2e-4
