"""Pictures without a window: what the command `render --renderer gl` does."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from studio.core.params import ParamSet
from studio.core.scene import Camera, Scene
from studio.gl.context import headless_context
from studio.gl.options import PARITY
from studio.gl.viewport import Viewport


def render_scene(
    scene: Scene,
    camera: Camera,
    effects: dict[str, ParamSet],
    samples: int = 16,
    transparent: bool = False,
    looks: dict[str, ParamSet] | None = None,
) -> np.ndarray:
    """Draw a scene through its own headless context.

    Args:
        looks: how meshes, volume and points are shown, see studio.core.looks; None for the defaults.
        effects: the enabled ones with their parameters; none shows the albedo.
        samples: frames averaged for antialiasing; 1 is a single frame at pixel centres.
        transparent: leave the background out.
    Returns:
        image: [H, W, 4] float32 linear, row 0 at the bottom, alpha is coverage.
    Raises:
        WorkError: no OpenGL, or a shader does not compile.
    """
    with headless_context() as ctx:
        viewport = Viewport(ctx)
        try:
            viewport.set_scene(scene)
            viewport.set_effects(effects)
            if looks is not None:
                viewport.set_looks(looks)
            return viewport.render_offline(camera, samples=samples, transparent=transparent)
        finally:
            viewport.release()


def render_channels(
    scene: Scene, camera: Camera, effects: dict[str, ParamSet], names: Iterable[str]
) -> dict[str, np.ndarray]:
    """Channels of one frame as numbers, through a headless context of their own.

    Args, Returns, Raises:
        See Viewport.channels; normal maps as in `render_scene`. WorkError: no OpenGL, or a
        shader does not compile.
    """
    with headless_context() as ctx:
        viewport = Viewport(ctx)
        try:
            viewport.set_scene(scene)
            viewport.set_effects(effects)
            return viewport.channels(camera, names, normal_maps=PARITY.normal_maps)
        finally:
            viewport.release()
