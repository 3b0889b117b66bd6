"""A turntable: the result seen from all around, as a GIF or a video."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from studio.core.color import display
from studio.core.errors import InputError
from studio.core.gbuffer import CameraBatch, LightTensors
from studio.core.io.files import atomic_path
from studio.core.optim.emitted import look_of
from studio.core.pipeline import default_effects, render
from studio.core.plan import Effects
from studio.core.scene import Camera, Points, Scene, Volume
from studio.core.scene.camera import framing_camera
from studio.core.tensors import SceneTensors

SUFFIXES = (".gif", ".mp4")

DARK = (0.009, 0.009, 0.009)
"""Linear grey behind what turns alone."""

RATE = 24.0
"""Frames per second, unless somebody wishes another number."""

_FOV = 35.0
_COLORS = 255
"""Of the one palette of a GIF."""


def orbit(
    scene: Scene | Volume | Points, frames: int, width: int, height: int, elevation: float = 20.0
) -> list[Camera]:
    """Cameras on a circle around the box of what is shown, which fits into all of them."""
    views = [
        framing_camera(scene.bounds(), width, height, 360 * i / frames, elevation, fov=_FOV)
        for i in range(frames)
    ]
    low, high = scene.bounds()
    middle = (low + high) / 2
    away = max(float(np.linalg.norm(view.position - middle)) for view in views)
    radius = float(np.linalg.norm(high - low)) / 2
    return [
        framing_camera(scene.bounds(), width, height, 360 * i / frames, elevation, away / radius, _FOV)
        for i in range(frames)
    ]


@torch.no_grad()
def pictures(
    scene: Scene,
    cameras: list[Camera],
    effects: Effects | None = None,
    device: torch.device | str = "cpu",
    supersample: int = 2,
) -> Iterator[np.ndarray]:
    """[H, W, 3] uint8 sRGB, row 0 at the top, of every camera: of the meshes with their effects, or where
    there are none of the volume, or of the points.

    Raises:
        InputError: there is nothing to see.
    """
    if scene.meshes:
        images = _surfaces(scene, cameras, effects, device, supersample)
    elif scene.emitter is not None:
        images = _emitted(scene.emitter, scene.background, cameras, device)
    else:
        raise InputError(f"{scene.name}: nothing to show, expected a mesh, a volume or points")
    for image in images:
        yield np.ascontiguousarray((display(image)[::-1] * 255 + 0.5).astype(np.uint8))


def _surfaces(
    scene: Scene, cameras: list[Camera], effects: Effects | None, device: torch.device | str, supersample: int
) -> Iterator[np.ndarray]:
    """[H, W, 3] linear of every camera; the surface is uploaded once."""
    chosen = default_effects(scene) if effects is None else effects
    tensors = SceneTensors.from_scene(scene, device)
    lights = LightTensors.from_lighting(scene.lighting, device)
    background = torch.tensor(scene.background, dtype=torch.float32, device=device)
    for camera in cameras:
        fine = camera.resized(camera.width * supersample, camera.height * supersample)
        frame = render(tensors, CameraBatch.from_cameras([fine], device), lights, background, chosen)
        small = torch.nn.functional.avg_pool2d(frame["color"].permute(0, 3, 1, 2), supersample)
        yield small[0].permute(1, 2, 0).cpu().numpy()


def _emitted(
    what: Volume | Points,
    background: tuple[float, float, float],
    cameras: list[Camera],
    device: torch.device | str,
) -> Iterator[np.ndarray]:
    """[H, W, 3] linear of every camera."""
    look = look_of(what, device)
    for camera in cameras:
        image = look(camera)
        yield image[..., :3] + (1 - image[..., 3:]) * np.array(background, np.float32)


def save_turntable(
    scene: Scene,
    path: Path | str,
    seconds: float = 3.0,
    size: tuple[int, int] = (320, 320),
    effects: Effects | None = None,
    device: torch.device | str = "cpu",
    progress: Callable[[float, str], None] | None = None,
    fps: float = RATE,
) -> None:
    """Turn the scene once and write what is seen; an earlier file is replaced only when done.

    Args:
        path: .gif (loops), or .mp4, which needs the package imageio-ffmpeg.
        seconds: of one turn.
        size: (width, height) in pixels; even numbers for .mp4.
        effects: those that are on; None for the default ones with the scene's values.
        progress: called with (0..1, note).
        fps: frames per second; a GIF counts hundredths of a second for each.
    Raises:
        InputError: another suffix, no ffmpeg, nothing to show, or a place that cannot be written.
        WorkError: the disk filled up.
    """
    count = film_frames(path, seconds, size, fps)
    cameras = orbit(scene, count, *size)
    save_film(path, pictures(scene, cameras, effects, device), count, progress, fps)


def save_film(
    path: Path | str,
    images: Iterable[np.ndarray],
    count: int,
    progress: Callable[[float, str], None] | None = None,
    fps: float = RATE,
) -> None:
    """Write `count` pictures, [H, W, 3] uint8 sRGB with row 0 at the top, as a film; see save_turntable."""
    path = Path(path)

    def told() -> Iterator[np.ndarray]:
        for number, image in enumerate(images):
            if progress is not None:
                progress(number / count, "Turning")
            yield image

    with atomic_path(path) as temporary:
        if path.suffix.lower() == ".gif":
            _write_gif(temporary, list(told()), fps)
        else:
            _write_video(temporary, told(), fps)


def film_frames(path: Path | str, seconds: float, size: tuple[int, int], fps: float = RATE) -> int:
    """Pictures of a film; InputError if it cannot be written there."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{path}: unknown kind of film, expected {' or '.join(SUFFIXES)}")
    if suffix == ".mp4" and find_spec("imageio_ffmpeg") is None:
        raise InputError(f"{path}: writing .mp4 needs ffmpeg: pip install imageio-ffmpeg, or write a .gif")
    if suffix == ".mp4" and (size[0] % 2 or size[1] % 2):
        raise InputError(f"{path}: a video of {size[0]}x{size[1]}, expected even numbers")
    if seconds <= 0:
        raise InputError(f"{path}: a film of {seconds:g} seconds, expected more than 0")
    return max(2, math.ceil(seconds * fps))


def _write_gif(path: Path, images: list[np.ndarray], fps: float) -> None:
    """One palette for all frames, of a few spread over the turn, so that colours do not flicker."""
    some = np.concatenate(images[:: max(1, len(images) // 6)], axis=1)
    palette = Image.fromarray(some).quantize(_COLORS, Image.Quantize.MEDIANCUT)
    plain = Image.Dither.NONE  # patterns of dots would crawl over the turning surface
    frames = [Image.fromarray(image).quantize(palette=palette, dither=plain) for image in images]
    frames[0].save(path, "GIF", save_all=True, append_images=frames[1:], duration=round(1000 / fps), loop=0)


def _write_video(path: Path, images: Iterator[np.ndarray], fps: float) -> None:
    import imageio.v2 as imageio

    options: dict[str, Any] = {"format": "FFMPEG", "fps": fps, "macro_block_size": 1}
    film: Any
    with imageio.get_writer(path, **options) as film:
        for image in images:
            film.append_data(image)
