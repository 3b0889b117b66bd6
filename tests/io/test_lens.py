"""Lens models, and photos of bent lenses as a pinhole would have taken them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from studio.core.io.lens import LENSES, Lens
from studio.core.io.photos import load_photos
from studio.core.io.undistort import undistortion
from studio.core.scene.camera import Camera, look_at
from tests.io.helpers import ring, write_json
from tests.needs import need

CENTER = np.array([0.5, -0.2, 0.3])

# By hand: one ray per model, x = 0.3, y = -0.4, so r = 0.5 and r^2 = 0.25.
BY_HAND = {
    "PINHOLE": ((), (0.3, -0.4)),
    "SIMPLE_RADIAL": ((0.2,), (0.3 * 1.05, -0.4 * 1.05)),
    "RADIAL": ((0.2, 0.4), (0.3 * 1.075, -0.4 * 1.075)),
    "OPENCV": ((0.2, 0.4, 0.01, 0.02), (0.3 * 1.075 - 0.0024 + 0.0086, -0.4 * 1.075 - 0.0048 + 0.0057)),
    "FULL_OPENCV": ((0.2, 0.4, 0, 0, 0, 1, 0, 0), (0.3 * 1.075 / 1.25, -0.4 * 1.075 / 1.25)),
    "BROWN": ((0, 0, 0.64, 2.56, 0, 0), (0.3 * 1.02, -0.4 * 1.02)),
    "FISHEYE": ((), (0.6 * math.atan(0.5), -0.8 * math.atan(0.5))),
    "SIMPLE_DIVISION": ((0.75,), (0.3 / 0.75, -0.4 / 0.75)),
    "EUCM": ((0.5, 5.0), (0.3 / 1.25, -0.4 / 1.25)),
    "FOV": ((math.pi / 2,), (0.6 * math.atan(1.0) * 2 / math.pi, -0.8 * math.atan(1.0) * 2 / math.pi)),
}


@pytest.mark.parametrize("model", BY_HAND)
def test_models_by_hand(model: str) -> None:
    params, expected = BY_HAND[model]
    x, y = Lens(model, params).distort(np.array([0.3]), np.array([-0.4]))
    np.testing.assert_allclose((x[0], y[0]), expected, atol=1e-12)


@pytest.mark.parametrize("model", sorted(set(LENSES) - {"BROWN"}))
def test_models_are_colmaps(model: str) -> None:
    need("pycolmap")
    import pycolmap

    known = LENSES[model]
    special = {"FOV": (0.9,), "EUCM": (0.6, 1.1)}
    terms = special.get(model, tuple(np.random.default_rng(5).uniform(-0.05, 0.05, len(known.terms))))
    focals = [500.0, 520.0][: known.focals]
    camera = pycolmap.Camera(model=model, width=800, height=600, params=[*focals, 401, 299, *terms])
    rays = np.random.default_rng(6).uniform(-0.6, 0.6, (50, 2))
    x, y = Lens(model, tuple(terms)).distort(*rays.T)
    ours = np.stack([focals[0] * x + 401, focals[-1] * y + 299], axis=1)
    np.testing.assert_allclose(ours, camera.img_from_cam(np.c_[rays, np.ones(50)]), atol=1e-9)


def dots(camera: Camera, lens: Lens | None, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """([H, W] picture of soft dots, rows from the bottom; [N, 2] their places from the top left)."""
    view = points @ camera.world_to_view[:3, :3].T + camera.world_to_view[:3, 3]
    x, y = view[:, 0] / -view[:, 2], -view[:, 1] / -view[:, 2]
    if lens is not None:
        x, y = lens.distort(x, y)
    where = np.stack([camera.fx * x + camera.cx, camera.fy * y + camera.cy], axis=1)
    rows, columns = np.mgrid[: camera.height, : camera.width] + 0.5
    picture = np.zeros((camera.height, camera.width))
    for u, v in where:
        picture += np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / (2 * 1.5**2))
    return picture[::-1].astype(np.float32), where


def found(picture: np.ndarray, near: np.ndarray) -> np.ndarray:
    """[N, 2] centres of mass around positions from the top left."""
    picture, out = picture[::-1], []
    for u, v in near:
        i, j = int(v), int(u)
        part = picture[i - 5 : i + 6, j - 5 : j + 6]
        row, column = ndimage.center_of_mass(part)
        out.append((j - 5 + column + 0.5, i - 5 + row + 0.5))
    return np.array(out)


LENSES_OF_PHOTOS = {
    "barrel": Lens("OPENCV", (-0.28, 0.07, 0.001, -0.002)),
    "pincushion": Lens("SIMPLE_RADIAL", (0.15,)),
    "fisheye": Lens("OPENCV_FISHEYE", (0.02, -0.01, 0.003, 0.0)),
    "full": Lens("FULL_OPENCV", (0.1, 0.02, 0.001, 0.001, 0.0, 0.3, 0.1, 0.0)),
}


@pytest.mark.parametrize("kind", LENSES_OF_PHOTOS)
def test_straightened_to_a_fraction_of_a_pixel(kind: str) -> None:
    lens = LENSES_OF_PHOTOS[kind]
    bent = Camera(320, 240, 210.0, 215.0, 165.0, 117.0, look_at(np.array([0, 0, 3.0]), np.zeros(3)))
    across = np.linspace(-1.3, 1.3, 7)
    points = np.stack([*np.meshgrid(across, across * 0.7), np.zeros((7, 7))], axis=-1).reshape(-1, 3)
    straight = undistortion(lens, bent)
    picture = straight.picture(dots(bent, lens, points)[0])
    _, expected = dots(straight.camera(bent), None, points)
    _, unmoved = dots(bent, lens, points)
    assert np.abs(expected - unmoved).max() > 2  # the lens does something
    error = np.linalg.norm(found(picture, expected) - expected, axis=1)
    assert error.max() < 0.06  # reached: .02 to .04; cv2 has 32 steps in a pixel


def test_the_whole_photo_stays_and_the_rest_says_nothing() -> None:
    bent = Camera(320, 240, 200.0, 200.0, 160.0, 120.0, np.eye(4))
    for lens in LENSES_OF_PHOTOS.values():
        straight = undistortion(lens, bent)
        shown = np.ones((240, 320), np.float32)
        # Every pixel of the photo lands on a valid pixel: their share of the map covers its corners.
        rows, columns = straight.map_y[straight.valid], straight.map_x[straight.valid]
        assert columns.min() < 2
        assert columns.max() > 317
        assert rows.min() < 2
        assert rows.max() > 237
        assert straight.picture(shown).min() == 1  # beyond the border the nearest pixel, never black
        assert 0 < (~straight.valid).mean() < 0.5


def test_a_polynomial_that_turns_back_shows_nothing_twice() -> None:
    bent = Camera(320, 240, 120.0, 120.0, 160.0, 120.0, np.eye(4))
    straight = undistortion(Lens("SIMPLE_RADIAL", (-0.35,)), bent)  # turns back at r = 0.976
    x = (np.arange(320) + 0.5 - straight.cx) / straight.fx
    assert np.abs(x[straight.valid.any(axis=0)]).max() < 0.98
    assert np.ptp(x) > 1.5


def bent_capture(folder: Path, lens: Lens, **keys: Any) -> None:
    """A transforms.json of opaque photos of a white ball in front of grey, through a lens."""
    (folder / "images").mkdir(parents=True)
    frames, size, focal = [], 96, 90.0
    rows, columns = np.mgrid[:size, :size] + 0.5
    for k, pose in enumerate(ring(5, up=(0, 0, 1))):
        camera = Camera(size, size, focal, focal, 50.0, 47.0, pose)
        x, y = unbent(lens, (columns - 50) / focal, (rows - 47) / focal)
        rays = np.stack([x, -y, -np.ones_like(x)], axis=-1) @ pose[:3, :3].T
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        miss = np.linalg.norm(np.cross(rays, CENTER - camera.position), axis=-1)
        picture = np.where(miss[..., None] < 1.0, 250, 90) * np.ones(3)
        Image.fromarray(picture.astype(np.uint8)).save(folder / f"images/p{k}.png")
        frames.append({"file_path": f"images/p{k}.png", "transform_matrix": pose.tolist()})
    common = {"fl_x": focal, "fl_y": focal, "cx": 50.0, "cy": 47.0, "w": size, "h": size}
    write_json(folder / "transforms.json", {**common, **keys, "frames": frames})


def unbent(lens: Lens, xd: np.ndarray, yd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rays of landing points, by fixed-point steps."""
    x, y = xd.copy(), yd.copy()
    for _ in range(60):
        u, v = lens.distort(x, y)
        x, y = x - (u - xd), y - (v - yd)
    return x, y


NERF_LENSES: dict[str, tuple[Lens, dict[str, Any]]] = {
    "opencv": (
        Lens("BROWN", (-0.2, 0.05, 0, 0, 0.002, -0.001)),
        {"camera_model": "OPENCV", "k1": -0.2, "k2": 0.05, "p1": 0.002, "p2": -0.001},
    ),
    "fisheye": (
        Lens("OPENCV_FISHEYE", (0.05, 0.01, 0, 0)),
        {"camera_model": "OPENCV_FISHEYE", "k1": 0.05, "k2": 0.01},
    ),
    "fisheye flag": (Lens("OPENCV_FISHEYE", (0.0,) * 4), {"is_fisheye": True}),
    "no model": (Lens("BROWN", (0.1, 0, 0, 0, 0, 0)), {"k1": 0.1}),
}


@pytest.mark.parametrize("kind", NERF_LENSES)
def test_distortion_of_a_transforms_file_is_undone(tmp_path: Path, kind: str) -> None:
    lens, keys = NERF_LENSES[kind]
    bent_capture(tmp_path, lens, **keys)
    photos = load_photos(tmp_path)
    assert any("distortion undone" in note for note in photos.notes)
    scale = photos.input_to_world.scale
    center = photos.input_to_world.apply(CENTER[None])[0]
    for photo in photos.photos:
        camera = photo.camera
        assert photo.mask is not None
        assert photo.image.min() > 0.09  # grey is .10 linear: no black border
        y, x = np.mgrid[: camera.height, : camera.width] + 0.5
        rays = np.stack(
            [(x - camera.cx) / camera.fx, -(y - camera.cy) / camera.fy, -np.ones_like(x)], axis=-1
        )
        rays = rays @ camera.view_to_world[:3, :3].T
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        ball = np.linalg.norm(np.cross(rays, center - camera.position), axis=-1) < scale * 1.0
        ball = ball[::-1]
        mask = photo.mask > 0.5
        assert (mask & ball).sum() / (mask | ball).sum() > 0.93  # a rim pixel of a ball of 45


def test_each_frame_may_have_its_own_lens(tmp_path: Path) -> None:
    bent_capture(tmp_path, Lens("BROWN", (0.0,) * 6))
    entry = json.loads((tmp_path / "transforms.json").read_text())
    entry["frames"][1] |= {"k1": -0.2, "fl_x": 95.0, "fl_y": 95.0}
    entry["frames"][2] |= {"depth_file_path": "depth/2.png"}
    write_json(tmp_path / "transforms.json", entry)
    photos = load_photos(tmp_path)
    assert photos.photos[0].camera.fx == 90
    assert photos.photos[1].camera.fx not in (90.0, 95.0)
    assert photos.photos[0].ignore is None
    assert photos.photos[1].ignore is not None
    assert photos.photos[1].ignore.any()
    assert "lens distortion undone (BROWN): 1 of 5 photos" in photos.notes
    assert "depth maps are not used" in photos.notes
