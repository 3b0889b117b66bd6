"""Minified textures: the viewport takes the same mip level as the differentiable renderer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from studio.core.pipeline import render_image
from studio.core.scene import Material, Scene
from tests.needs import need
from tests.scenes import camera, split_cube

MEAN, MAX = 1e-4, 1e-3
"""Measured: mean 5e-5, max 2e-4: half floats, and single precision of screen derivatives."""


def fine_cube(height: int, width: int) -> Scene:
    """A cube with a texture of noise: three to six texels a pixel, more on its steep sides."""
    noise = np.random.default_rng(5).random((height, width, 3), np.float32)
    mesh = split_cube(1.3)
    mesh.material = Material(base_color=(1.0, 1.0, 1.0), base_color_texture=noise)
    return Scene(meshes=[mesh], name="fine cube", cameras=[camera(96, (0.4, 0.9, 3.2))])


@pytest.mark.parametrize("size", [(128, 256), (171, 93)], ids=["powers of two", "odd"])
def test_minified_textures_match(size: tuple[int, int]) -> None:
    need("gl")
    from studio.gl.offline import render_scene

    scene = fine_cube(*size)
    view = scene.cameras[0]
    theirs = render_scene(scene, view, {}, samples=1)[..., :3]
    ours = render_image(scene, view, {})[..., :3]
    normal = render_image(scene, view, {}, channel="normal")
    # Inside the cube's sides: away from edges, where one shows another face than the other.
    spread = ndimage.maximum_filter(normal, (3, 3, 1)) - ndimage.minimum_filter(normal, (3, 3, 1))
    inside = spread.max(-1) < 1e-3
    inside &= np.abs(normal).max(-1) > 0.5
    error = np.abs(theirs - ours)[inside]
    assert inside.sum() > 1000
    # Without levels the noise would stay: its deviation is 0.29.
    assert ours[inside].std() < 0.1
    assert error.mean() <= MEAN
    assert error.max() <= MAX
