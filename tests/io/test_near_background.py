"""Objects whose colour is near that of the plain background behind them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.core.color import linear_to_srgb
from studio.core.io.photos import load_photos
from studio.core.scene.camera import Camera
from tests.io.helpers import ring, write_json

CENTER, RADIUS = np.array([0.5, -0.2, 0.3]), 0.9


def ball(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """([H, W] bool where it is, [H, W, 3] its normals), row 0 at the top."""
    y, x = np.mgrid[: camera.height, : camera.width] + 0.5
    rays = np.stack([(x - camera.cx) / camera.fx, -(y - camera.cy) / camera.fy, -np.ones_like(x)], axis=-1)
    rays = rays @ camera.view_to_world[:3, :3].T
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    eye = camera.position - CENTER
    along = (rays * eye).sum(axis=-1)
    inside = along**2 - (eye @ eye - RADIUS**2)
    distance = -along - np.sqrt(np.maximum(inside, 0))
    return inside > 0, (eye + distance[..., None] * rays) / RADIUS


def photos_of_a_ball(folder: Path, shadow: float, light: float, back: float) -> list[np.ndarray]:
    """Opaque photos, lit from the front right above; returns [H, W] bool of each, top first."""
    rng = np.random.default_rng(0)
    size, truth, frames = 128, [], []
    (folder / "images").mkdir(parents=True)
    for k, pose in enumerate(ring(8, up=(0, 0, 1))):
        camera = Camera(size, size, 1.4 * size, 1.4 * size, size / 2, size / 2, pose)
        there, normal = ball(camera)
        lamp = camera.view_to_world[:3, :3] @ np.array([0.3, 0.2, 1.0]) / np.sqrt(1.13)
        shade = shadow + light * np.maximum(normal @ lamp, 0)
        coded = linear_to_srgb(np.where(there, shade, back)) + rng.normal(0, 0.008, there.shape)
        picture = (coded.clip(0, 1) * 255 + 0.5).astype(np.uint8)
        Image.fromarray(np.repeat(picture[..., None], 3, axis=2)).save(folder / f"images/p{k}.png")
        frames.append({"file_path": f"images/p{k}.png", "transform_matrix": pose.tolist()})
        truth.append(there)
    write_json(folder / "transforms.json", {"fl_x": 1.4 * size, "w": size, "h": size, "frames": frames})
    return truth


def overlaps(masks: list[np.ndarray | None], truth: list[np.ndarray]) -> list[float]:
    found = [np.zeros_like(t) if mask is None else mask[::-1] > 0.5 for mask, t in zip(masks, truth)]
    return [float((m & t).sum() / (m | t).sum()) for m, t in zip(found, truth)]


@pytest.mark.parametrize(("shadow", "light", "back"), [(0.45, 0.5, 0.93), (0.3, 0.4, 0.6)])
def test_a_light_ball_before_a_light_background_is_whole(
    tmp_path: Path, shadow: float, light: float, back: float
) -> None:
    truth = photos_of_a_ball(tmp_path, shadow, light, back)
    photos = load_photos(tmp_path)
    assert any("near that of the plain background" in note for note in photos.notes)
    assert min(overlaps([p.mask for p in photos.photos], truth)) > 0.97


def test_who_asks_for_plain_masks_is_warned(tmp_path: Path) -> None:
    truth = photos_of_a_ball(tmp_path, 0.45, 0.5, 0.93)
    for asked in (load_photos(tmp_path, masks="plain"), load_photos(tmp_path, mask_threshold=0.06)):
        assert any("look at the masks" in note and "grabcut" in note for note in asked.notes)
        assert min(overlaps([p.mask for p in asked.photos], truth)) < 0.8


def test_what_differs_keeps_the_masks_of_its_background(tmp_path: Path) -> None:
    """Light grey before white: near, but told apart all around."""
    truth = photos_of_a_ball(tmp_path, 0.5, 0.2, 0.93)
    photos = load_photos(tmp_path)
    assert any("masks from the plain background" in note for note in photos.notes)
    assert not any("look at the masks" in note for note in photos.notes)
    assert min(overlaps([p.mask for p in photos.photos], truth)) > 0.97
