"""Cutting the object out of photos that have no masks."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from studio.core.errors import InputError
from studio.core.io.cutout import cut_out
from studio.core.io.photos import load_photos
from studio.core.scene.camera import Camera
from tests.io.helpers import ring, sphere_photo, write_json
from tests.needs import data

CENTER = np.array([0.5, -0.2, 0.3])


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def scene(count: int, size: int, folder: Path) -> list[np.ndarray]:
    """Opaque photos of a mottled red ball before mottled dark and light; returns [H, W] bool, top first."""
    rng = np.random.default_rng(3)
    focal = 1.3 * size
    (folder / "images").mkdir()
    truth, frames = [], []
    for k, pose in enumerate(ring(count, up=(0, 0, 1))):
        camera = Camera(size, size, focal, focal, size / 2, size / 2, pose)
        ball = sphere_photo(camera, CENTER, 0.9)
        mottle = ndimage.gaussian_filter(rng.normal(size=(size, size, 3)), (2, 2, 0)) * 90
        patches = ndimage.gaussian_filter(rng.normal(size=(size, size)), 8)[..., None] > 0
        back = np.where(patches, (20, 60, 30), (230, 220, 200))
        picture = np.where(ball[..., None], (180, 50, 45), back) + mottle
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / f"images/p{k}.png")
        frames.append({"file_path": f"images/p{k}.png", "transform_matrix": pose.tolist()})
        truth.append(ball)
    write_json(folder / "transforms.json", {"fl_x": focal, "w": size, "h": size, "frames": frames})
    return truth


def test_a_ball_is_cut_out_of_a_busy_background(tmp_path: Path) -> None:
    truth = scene(8, 120, tmp_path)
    photos = load_photos(tmp_path)
    assert any("cut out by colour" in note for note in photos.notes)
    for photo, ball in zip(photos.photos, truth, strict=True):
        assert photo.mask is not None
        assert iou(photo.mask[::-1] > 0.5, ball) > 0.95  # reached .97; the rim is mottled too
    again = load_photos(tmp_path, masks="grabcut")
    for a, b in zip(photos.photos, again.photos, strict=True):
        assert np.array_equal(a.mask, b.mask)  # type: ignore[arg-type]


def test_noise_is_not_cut(tmp_path: Path) -> None:
    scene(6, 64, tmp_path)
    rng = np.random.default_rng(0)
    for k in range(6):
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / f"images/p{k}.png")
    photos = load_photos(tmp_path)
    if any("no masks" in note for note in photos.notes):
        assert all(photo.mask is None for photo in photos.photos)


def test_the_source_of_masks_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene(4, 48, tmp_path)
    (tmp_path / "mask").mkdir()
    for k in range(4):
        Image.new("L", (48, 48), 255 if k else 0).save(tmp_path / f"mask/p{k}_mask.png")
    assert np.ptp([p.mask.mean() for p in load_photos(tmp_path).photos]) == 1  # type: ignore[union-attr]
    assert all(p.mask is None for p in load_photos(tmp_path, masks="none").photos)
    plain = load_photos(tmp_path, masks="plain")
    assert "no masks: the photos have no plain background" in plain.notes
    cut = load_photos(tmp_path, masks="grabcut")
    assert not any("mask files" in note for note in cut.notes)
    with pytest.raises(InputError, match="masks is 'magic', expected one of auto, files"):
        load_photos(tmp_path, masks="magic")  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "rembg", None)
    with pytest.raises(InputError, match='--masks rembg: the package is missing; run: pip install "rembg'):
        load_photos(tmp_path, masks="rembg")


def test_a_trained_model_gets_pictures_the_right_way_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene(3, 48, tmp_path)
    fake: Any = types.ModuleType("rembg")
    fake.new_session = lambda: "session"

    def remove(picture: np.ndarray, session: str, only_mask: bool) -> np.ndarray:
        assert (session, only_mask, picture.dtype) == ("session", True, np.uint8)
        return np.where(np.arange(48)[:, None] < 10, 255, 0).repeat(48, axis=1).astype(np.uint8)

    fake.remove = remove
    monkeypatch.setitem(sys.modules, "rembg", fake)
    mask = load_photos(tmp_path, masks="rembg").photos[0].mask
    assert mask is not None
    assert mask[-10:].min() == 1  # the upper rows are the last ones
    assert mask[:-10].max() == 0


def test_masks_beside_the_photos_are_not_photos(tmp_path: Path) -> None:
    scene(3, 48, tmp_path)
    for k in range(3):
        Image.new("L", (48, 48), 255).save(tmp_path / f"images/p{k}_mask.png")
    photos = load_photos(tmp_path)
    assert len(photos.photos) == 3
    assert "mask files cut out the object: 3 of 3 photos" in photos.notes


def picture(size: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """A red disk left and a red disk right before green, linear, rows from the bottom; the left disk."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:size, :size] + 0.5
    left = np.hypot(x - 22, y - 50) < 15
    right = np.hypot(x - 60, y - 30) < 13
    image = np.where((left | right)[..., None], (0.5, 0.05, 0.04), (0.05, 0.3, 0.05))
    return (image + rng.normal(0, 0.01, image.shape)).clip(0, 1).astype(np.float32), left


def test_strokes_choose_the_object() -> None:
    image, left = picture()
    mask = cut_out(
        image, [np.array([[15, 50], [30, 50]])], [np.array([[52, 30], [68, 30]]), np.array([[2, 5]])]
    )
    assert mask.dtype == np.float32
    assert iou(mask > 0.5, left) > 0.97


def test_one_stroke_is_enough_before_a_plain_background() -> None:
    image, left = picture()
    right = np.hypot(*(np.mgrid[:80, :80][::-1] + 0.5 - np.array([60, 30])[:, None, None])) < 13
    mask = cut_out(image, [np.array([[15.0, 50.0], [30.0, 50.0]])], [])
    assert iou(mask > 0.5, left | right) > 0.97


def test_a_stroke_corrects_a_mask() -> None:
    image, left = picture()
    everything = image[..., 0] > 0.3
    mask = cut_out(image, [], [np.array([[52, 30], [68, 30]])], everything.astype(np.float32), brush=12)
    assert iou(mask > 0.5, left) > 0.95


def test_bad_strokes() -> None:
    image, _ = picture()
    with pytest.raises(InputError, match="no stroke over the object"):
        cut_out(image, [], [np.zeros((1, 2))])
    with pytest.raises(InputError, match=r"stroke has shape \(3,\), expected \[N, 2\]"):
        cut_out(image, [np.zeros(3)], [])
    with pytest.raises(InputError, match=r"mask has shape \(4, 4\)"):
        cut_out(image, [], [], np.zeros((4, 4)))


@pytest.mark.slow
def test_the_head_without_its_masks() -> None:
    truth = load_photos(data("photos/ethiopianHead"), 400)
    cut = load_photos(data("photos/ethiopianHead"), 400, masks="grabcut")
    scores = [iou(a.mask > 0.5, b.mask > 0.5) for a, b in zip(cut.photos, truth.photos, strict=True)]  # type: ignore[operator]
    assert np.mean(scores) > 0.975  # reached .987, the worst .968
    assert min(scores) > 0.94


def test_alpha_may_be_left_alone(tmp_path: Path) -> None:
    from tests.io.helpers import nerf_capture

    nerf_capture(tmp_path)
    assert json.loads((tmp_path / "transforms.json").read_text())
    assert all(p.mask is None for p in load_photos(tmp_path, masks="none").photos)
