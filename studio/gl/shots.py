"""The view as a picture of any size, drawn tile by tile: a render, or two pictures compared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from studio.core.color import linear_to_srgb
from studio.core.scene import Camera
from studio.gl.colormap import DIFFERENCE_MAP, PERCEIVED_MAP, colormap
from studio.gl.compose import GRADIENT, Picture, effective_mode
from studio.gl.frame import FrameSettings
from studio.gl.options import ViewOptions
from studio.gl.renderer import Steps
from studio.gl.sides import Pair, Side
from studio.gl.targets import Targets
from studio.gl.view_math import widened
from studio.gl.viewport import Layer, Viewport

DIVIDER = 0.93
"""Brightness, sRGB, of the line between two pictures."""

_NOTHING = 0.6
"""How dark the edge of the studio's background is where there is no picture."""


@dataclass(frozen=True, eq=False)
class Shot:
    """What a picture of the view is put together from, by `composed`.

    Attributes:
        size: (width, height) of the picture.
        mode: how both are compared, see studio.gl.options.MODES; never "flicker".
        left, right: [H, W, 3] uint8 sRGB, row 0 at the bottom, of half the size for "side";
            None where the mode shows neither.
        pair: both as they are compared, for "difference".
    """

    size: tuple[int, int]
    mode: str
    options: ViewOptions
    left: np.ndarray | None = None
    right: np.ndarray | None = None
    pair: Pair | None = None


class ShotViewport(Viewport):
    """A viewport that also draws its view into arrays, apart from what is on screen."""

    def shot_steps(self, camera: Camera, options: ViewOptions, tile: int | None = None) -> Steps[Shot]:
        """The view with everything in it but frusta, outline and marks of clipping, a piece at a time.

        Args:
            camera: its width and height are the size of the picture.
            options: as for `render`; ui_scale is the width of lines.
            tile: largest side of a piece (see `offline_steps`).
        """
        mode = effective_mode(options, self.compares(options))
        options = replace(options, resolution_scale=1.0, draft=False, clipping=False, outline=False)
        whole = camera
        if mode == "side":
            whole = camera.resized(max(1, camera.width // 2), max(1, camera.height // 2))
        pieces, margin = self._pieces(whole, tile)
        made: dict[str, np.ndarray] = {}
        for number, (x, y, part) in enumerate(pieces):
            wide, left, low = widened(whole, x, y, part, margin)
            with self._targets_of(wide) as targets:
                work = self._piece(targets, wide, whole, options, mode)
                drawn = yield from self._told(work, (number, len(pieces)), options.samples)
            for name, image in drawn.items():
                shape = (whole.height, whole.width, *image.shape[2:])
                into = made.setdefault(name, np.empty(shape, image.dtype))
                inner = image[low : low + part.height, left : left + part.width]
                into[y : y + part.height, x : x + part.width] = inner
        pair = Pair(made["first"], made["second"], made["weight"]) if "weight" in made else None
        size = (camera.width, camera.height)
        return Shot(size, mode, options, made.get("left"), made.get("right"), pair)

    def _piece(self, targets: Targets, camera: Camera, whole: Camera, options: ViewOptions, mode: str) -> Any:
        """Draws one tile, sample by sample; returns its images by name."""
        settings = self._settings(whole, options, self._background_of(options) == "scene")
        drawn: tuple[Layer, Layer | None] | None = None
        for number in range(options.samples):
            drawn = self._sample(targets, camera, settings, options, number)
            yield
        assert drawn is not None
        return self._read_piece(targets, (camera, whole), settings, replace(options, mode=mode), drawn)  # type: ignore[arg-type]

    def _read_piece(
        self,
        targets: Targets,
        cameras: tuple[Camera, Camera],
        settings: FrameSettings,
        options: ViewOptions,
        drawn: tuple[Layer, Layer | None],
    ) -> dict[str, np.ndarray]:
        camera, whole = cameras
        live = self._live(targets, camera, settings, options, drawn)
        left, right = self._two_sides(live, options)
        left = left or live["render"]
        coverage = drawn[0][1]
        if options.mode == "difference" and right is not None:
            behind = self._background_of(options) != "scene"
            light, gain = self._background, options.exposure
            pair = self._reader.read(targets, left, right, coverage, camera, light, behind, gain, whole)
            return {"first": pair.left, "second": pair.right, "weight": pair.weight}
        wanted: dict[str, tuple[Side, Side | None]] = {}
        if options.mode != "target":
            wanted["left"] = (left, right if options.overlay > 0 else None)
        if options.mode != "render" and right is not None:
            wanted["right"] = (right, None)
        ground = self.ground if options.grid or options.axes else None
        if ground is not None:
            ground.draw_shadow(self.meshes, now=True)
        out = {}
        for name, (side, over) in wanted.items():
            background = self._background_of(options)
            alone = replace(options, mode="render")
            picture = Picture(side, over, coverage, camera, alone, background, ground=ground, whole=whole)
            self._compositor.draw(targets, picture)
            data = np.frombuffer(targets.display_fbo.read(components=3, alignment=1), np.uint8)
            out[name] = data.reshape(camera.height, camera.width, 3)
        return out


def composed(shot: Shot, error_map: np.ndarray | None = None) -> np.ndarray:
    """[H, W, 3] uint8 sRGB, row 0 at the bottom: the finished picture.

    Args:
        error_map: [H, W], for the error "map"; negative where there is none.
    """
    if shot.mode == "difference" and shot.pair is not None:
        return _difference(shot, shot.pair, error_map)
    first = shot.left if shot.left is not None else shot.right
    assert first is not None
    second = shot.right
    if second is None or shot.mode in ("render", "target"):
        return first
    width, height = shot.size
    columns = np.arange(width)
    later = columns + 0.5 > width * (shot.options.wipe if shot.mode == "wipe" else 0.5)
    if shot.mode == "side":
        out = np.empty((height, width, 3), np.uint8)
        out[:] = _empty(shot.options)
        low = (height - len(first)) // 2
        out[low : low + len(first), : first.shape[1]] = first
        out[low : low + len(second), width - second.shape[1] :] = second
    else:
        shift = width // 4 if shot.mode == "split" else 0
        source = np.clip(columns + np.where(later, -shift, shift), 0, width - 1)
        out = np.where(later[:, None], second[:, source], first[:, source])
    at = width * (shot.options.wipe if shot.mode == "wipe" else 0.5)
    out[:, np.abs(columns + 0.5 - at) < max(shot.options.ui_scale, 0.5)] = round(255 * DIVIDER)
    return out


def _difference(shot: Shot, pair: Pair, error_map: np.ndarray | None) -> np.ndarray:
    """The error in its colours; the formulas of compose.frag."""
    options = shot.options
    a, b = np.clip(pair.left, 0, 1), np.clip(pair.right, 0, 1)
    name = DIFFERENCE_MAP
    if options.error == "map" and error_map is not None:
        error, name = error_map, PERCEIVED_MAP
    elif options.error == "relative":
        from studio.core.color import srgb_to_linear

        linear_a, linear_b = srgb_to_linear(a), srgb_to_linear(b)
        error = np.abs((linear_a - linear_b) / (linear_b + 0.01)).mean(axis=2) * pair.weight
    else:
        error = (np.square(a - b) if options.error == "squared" else np.abs(a - b)).mean(axis=2)
        error = error * pair.weight
    out = (colormap(name, error / max(options.error_range, 1e-6)) * 255 + 0.5).astype(np.uint8)
    out[error < 0] = _empty(options)
    return out


def _empty(options: ViewOptions) -> np.ndarray:
    """[3] uint8: where there is no picture."""
    edge = np.array(GRADIENT[options.theme][1]) * _NOTHING
    return np.asarray((linear_to_srgb(edge) * 255 + 0.5).astype(np.uint8))
