"""The OpenGL picture and the differentiable one are the same picture, effect by effect."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from studio.core.channels import CHANNELS, PICTURE, aovs
from studio.core.effects import registry
from studio.core.params import ParamSet
from studio.core.pipeline import render_image
from studio.core.scene import Scene
from tests.needs import need
from tests.scenes import SCENES, effects_with

SIZE = 104
"""A size at which both rasterizers give every pixel to the same surface: the software OpenGL puts
vertices on a grid of 1/256 pixel, and what it gives away on an outline may be mirrored inside."""
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


@dataclass(frozen=True)
class Parity:
    """Differences of linear colour between the renderers.

    Attributes:
        mean, largest: away from silhouettes, over `pixels`.
        band: mean in the band along silhouettes.
        brightest: of the differentiable picture.
    """

    mean: float
    largest: float
    band: float
    brightest: float
    pixels: int


def compared(viewport: Any, scene: Scene, effects: dict[str, ParamSet]) -> Parity:
    """One scene with the same effects in both renderers."""
    camera = scene.cameras[0].resized(SIZE, SIZE)
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
    return Parity(
        float(error[inside].mean()),
        float(error[inside].max()),
        float(error[band].mean()),
        float(expected.max()),
        int(inside.sum()),
    )


@pytest.mark.parametrize("changed", [False, True], ids=["default", "changed"])
@pytest.mark.parametrize("name", list(registry()))
@pytest.mark.parametrize("scene_name", list(SCENES))
def test_gl_matches_differentiable(viewport: Any, scene_name: str, name: str, changed: bool) -> None:
    found = compared(viewport, SCENES[scene_name](), effects_with(name, changed))
    assert found.pixels > 500  # the comparison is about something
    assert found.mean <= MEAN
    assert found.largest <= MAX
    assert found.band <= BAND_MEAN * max(1.0, found.brightest)


def test_albedo_without_effects(viewport: Any) -> None:
    scene = SCENES["glossy_sphere"]()
    camera = scene.cameras[0]
    viewport.set_scene(scene)
    viewport.set_effects({})
    actual = viewport.render_offline(camera, samples=1)
    expected = render_image(scene, camera, effects={})
    assert np.abs(actual - expected)[32, 32].max() <= 1e-6


def makers_of(channel: str) -> dict[str, Any]:
    """The effects that make a channel, and those they need."""
    names = [e.name for e in registry().values() if channel in (*e.writes, *e.offers)]
    return {name: params for maker in names for name, params in effects_with(maker).items()}


@pytest.mark.parametrize("scene_name", ["metal_and_clay", "corner", "textured_cube"])
def test_channels_agree(viewport: Any, scene_name: str) -> None:
    """Everything that can be shown or saved, where neither renderer has an edge."""
    scene = SCENES[scene_name]()
    view = scene.cameras[0]
    viewport.set_scene(scene)
    depth = render_image(scene, view, channel="depth")[..., 0]
    part = render_image(scene, view, channel="part")[..., 0]
    triangle = render_image(scene, view, channel="id")[..., 0]

    def even(image: np.ndarray, pixels: int, least: float = 0.0) -> np.ndarray:
        return ndimage.maximum_filter(image, pixels) - ndimage.minimum_filter(image, pixels) <= least

    surface = (depth > 0) & even(part, 3) & even(depth, 3, 0.3)
    # Effects look further around.
    places = {"id": even(triangle, 3), "background": even(part, 3) & (part == 0)}
    assert surface.sum() > 200
    for name in sorted(set(aovs()) - PICTURE):
        effects = makers_of(name) if CHANNELS[name].effect else {}
        if CHANNELS[name].effect and not effects:
            continue  # nobody makes it yet
        around = even(part, 5) & even(depth, 5, 0.5) if effects else True
        where = places[name] if name in places else surface & around
        viewport.set_effects(effects)
        theirs = viewport.channels(view, [name])[name]
        ours = render_image(scene, view, effects, channel=name)
        difference = np.abs(theirs.reshape(ours.shape) - ours)[where]
        # float32 through two rasterizers: 1e-5 of a unit length, 1e-4 of a distance of 4. Textures
        # are half floats in the viewport; effects are held to the limits of pictures.
        limit = MAX if CHANNELS[name].effect or scene_name == "textured_cube" else 2e-4
        assert difference.size == 0 or difference.max() <= limit, name
