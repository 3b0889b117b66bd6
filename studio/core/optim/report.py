"""Pictures of a finished fit: photos beside renders, surface, base colour, other light; loss curve."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from studio.core.color import display
from studio.core.effects import registry
from studio.core.gbuffer import CameraBatch
from studio.core.io.images import save_png
from studio.core.ops import rasterize_interpolate
from studio.core.optim.evaluate import Evaluation, Picture
from studio.core.optim.messages import HistoryRow
from studio.core.optim.plots import BACKGROUND, INK, LINES, dark_figure, dress
from studio.core.optim.sheet import sheet
from studio.core.optim.targets import around
from studio.core.optim.turntable import DARK
from studio.core.params import ParamSet
from studio.core.pipeline import render_image
from studio.core.scene import Camera, Light, Lighting, Photo, Scene
from studio.core.scene.light import ambient_sh

AMPLIFY = 4.0
"""Differences are shown four times as strong: 0.25 in sRGB is full brightness."""

_RELIT_FROM = (-0.75, 0.45, 0.5)
"""In view space."""

_AIR = 6
"""Pixels around the object on the sheet."""

_GAP = 4
_GAP_SHADE = 0.16
_KEY_LIGHT = (0.45, 0.6, 0.66)
"""In view space, from the upper right: grazing enough to show every dent."""


def save_sheets(folder: Path, start: Evaluation, end: Evaluation) -> None:
    """<photo>.png: photo | render | difference; overview.png: all; start, result, target of the first."""
    for picture in end.pictures:
        save_png(folder / f"{picture.name}.png", side_by_side(picture), color=False)
    if end.pictures:
        rows = [side_by_side(picture) for picture in reversed(end.pictures)]  # row 0 is the bottom
        save_png(folder / "overview.png", _stack(rows, axis=0), color=False)
    for picture in start.pictures[:1]:
        save_png(folder / "start.png", picture.render, color=False)
    for picture in end.pictures[:1]:
        save_png(folder / "target.png", picture.target, color=False)
        save_png(folder / "result.png", picture.render, color=False)


def side_by_side(picture: Picture) -> np.ndarray:
    """[H, 3 W, 3] sRGB: photo, render, difference times AMPLIFY."""
    return _stack([picture.target, picture.render, amplified(picture)], axis=1)


def _stack(images: list[np.ndarray], axis: int) -> np.ndarray:
    gap_shape = list(images[0].shape)
    gap_shape[axis] = _GAP
    gap = np.full(gap_shape, _GAP_SHADE, np.float32)
    pieces = [piece for image in images for piece in (image, gap)][:-1]
    return np.concatenate(pieces, axis=axis).astype(np.float32)


@torch.no_grad()
def shaded(scene: Scene, cameras: list[Camera], device: torch.device) -> list[np.ndarray]:
    """[H, W, 3] per camera: the bare surface under one light, without colours or textures."""
    mesh = scene.meshes[0]
    vertices = torch.from_numpy(mesh.vertices).to(device)
    normals = torch.from_numpy(mesh.vertex_normals()).to(device)
    faces = torch.from_numpy(mesh.faces).to(device)
    key = torch.nn.functional.normalize(torch.tensor(_KEY_LIGHT, device=device), dim=0)
    pictures = []
    for camera in cameras:
        batch = CameraBatch.from_cameras([camera], device)
        clip = torch.nn.functional.pad(vertices, (0, 1), value=1.0) @ batch.world_to_clip[0].T
        size = (camera.height, camera.width)
        image, rast = rasterize_interpolate(clip[None], faces, normals[None], size)
        in_view = torch.nn.functional.normalize(image[0], dim=-1) @ batch.world_to_view[0, :3, :3].T
        light = 0.12 + 0.83 * (in_view @ key).clamp_min(0)
        covered = rast[0, ..., 3] > 0
        grey = torch.where(covered, light, torch.full_like(light, 0.09))
        pictures.append(grey[..., None].expand(-1, -1, 3).cpu().numpy())
    return pictures


def save_shaded(path: Path, scene: Scene, cameras: list[Camera], device: torch.device) -> None:
    """What `shaded` shows from a few cameras, side by side."""
    save_png(path, _stack(shaded(scene, cameras, device), axis=1), color=False)


def base_colors(scene: Scene, cameras: list[Camera], device: torch.device) -> list[np.ndarray]:
    """[H, W, 3] sRGB per camera: the base colour as it is."""
    dark = replace(scene, background=DARK)
    return [display(render_image(dark, camera, {}, device)[..., :3]) for camera in cameras]


def relit(scene: Scene, cameras: list[Camera], device: torch.device) -> list[np.ndarray]:
    """[H, W, 3] sRGB per camera: under a lamp from the left and a dim sky, whatever the photos had."""
    lamp = Light(direction=_RELIT_FROM, intensity=0.9, color=(1.0, 0.93, 0.84))
    lighting = Lighting([lamp], ambient_sh((0.22, 0.25, 0.3)), "camera")
    effects = {"pbr": ParamSet("pbr", registry()["pbr"].params)}
    other = replace(scene, lighting=lighting, background=DARK)
    return [display(render_image(other, camera, effects, device)[..., :3]) for camera in cameras]


def save_sheet(path: Path, end: Evaluation, scene: Scene, photos: list[Photo], device: torch.device) -> None:
    """A row per picture: photo, render, difference, bare surface, base colour, relit; of what emits light
    of its own opacity instead of the last three.

    Args:
        end: with pictures of the first photos.
        scene: the result.
    """
    titles = ["photo", "render", f"difference x{AMPLIFY:g}"]
    if scene.meshes:
        titles += ["surface", "base colour", "relit"]
        extras = _surface_tiles(end.pictures, scene, photos, device)
    else:
        titles += ["opacity"]
        extras = [(_grey(picture.coverage),) for picture in end.pictures]
    shown = [
        [picture.target, picture.render, amplified(picture), *extra]
        for picture, extra in zip(end.pictures, extras)
    ]
    rows = [[tile[window] for tile in row] for row, window in zip(shown, _windows(end.pictures))]
    names = [f"{view.name}\n{view.psnr:.1f} dB" for view in end.views]
    save_png(path, sheet(rows, titles, names), color=False)


def _surface_tiles(
    pictures: list[Picture], scene: Scene, photos: list[Photo], device: torch.device
) -> list[tuple[np.ndarray, ...]]:
    """(bare surface, base colour, relit) of every picture."""
    cameras = [
        photo.camera.resized(picture.render.shape[1], picture.render.shape[0])
        for photo, picture in zip(photos, pictures)
    ]
    tiles = (look(scene, cameras, device) for look in (shaded, base_colors, relit))
    return list(zip(*tiles))


def _windows(pictures: list[Picture]) -> list[tuple[slice, slice]]:
    """Rows and columns around the object, of one size for all pictures."""
    boxes = []
    for picture in pictures:
        there = (picture.coverage > 0.5) | (picture.target.max(axis=-1) > 0.02)
        if not there.any():
            there = np.ones_like(there)
        boxes.append([np.flatnonzero(there.any(axis=axis))[[0, -1]] for axis in (1, 0)])
    size = max((int(high - low) for box in boxes for low, high in box), default=0) + 2 * _AIR
    return [
        (around(rows, size, picture.coverage.shape[0]), around(columns, size, picture.coverage.shape[1]))
        for (rows, columns), picture in zip(boxes, pictures)
    ]


def amplified(picture: Picture) -> np.ndarray:
    """[H, W, 3] the difference times AMPLIFY, as grey."""
    return _grey(np.clip(AMPLIFY * picture.difference, 0, 1))


def _grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=-1)


def save_loss_curve(path: Path, rows: list[HistoryRow]) -> None:
    """Every loss term and the PSNR over the steps, on two plots."""
    figure = dark_figure(8, 5)
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (3, 2), "hspace": 0.12})
    steps = [row.step for row in rows]
    names = [name for name in (rows[-1].losses if rows else {}) if name != "total"]
    for name, color in zip([*names, "total"], (*LINES[: len(names)], "#ffffff")):
        values = [row.losses.get(name, float("nan")) for row in rows]
        upper.plot(steps, values, color=color, lw=0.6, alpha=0.3)
        upper.plot(steps, _smoothed(values), color=color, lw=1.3, label=name.replace("_", " "))
    psnr = [row.psnr for row in rows]
    lower.plot(steps, psnr, color=LINES[1], lw=0.6, alpha=0.3)
    lower.plot(steps, _smoothed(psnr), color=LINES[1], lw=1.3)
    upper.set_yscale("log")
    upper.set_ylabel("loss, weighted")
    lower.set_ylabel("PSNR, dB")
    lower.set_xlabel("step")
    if rows:
        upper.legend(frameon=False, labelcolor=INK, fontsize=8, ncols=3)
    for axes in (upper, lower):
        dress(axes)
    figure.savefig(path, facecolor=BACKGROUND, bbox_inches="tight")


def _smoothed(values: list[float]) -> np.ndarray:
    """Mean over about a fortieth of the run, which hides the luck of the drawn photos."""
    window = max(1, len(values) // 40)
    array = np.asarray(values, np.float64)
    if window == 1 or len(array) == 0:
        return array
    padded = np.pad(array, (window // 2, window - 1 - window // 2), mode="edge")
    return np.convolve(padded, np.full(window, 1 / window), mode="valid")
