"""Photos of several formats on canvases of one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.core.io.cameras_write import save_cameras
from studio.core.io.formats import on_one_format
from studio.core.io.photos import load_photos
from studio.core.optim.hull import visual_hull
from studio.core.scene import Photo, PhotoSet, Similarity
from tests.io.helpers import nerf_capture, write_json
from tests.unit.optim_scenes import coloured_ball, photograph
from tests.unit.test_optim_fit import prepared

UPRIGHT, LYING = (slice(0, 64), slice(12, 52)), (slice(12, 52), slice(0, 64))


def cut(photo: Photo, window: tuple[slice, slice]) -> Photo:
    """The photo of a camera with a smaller picture."""
    assert photo.mask is not None
    return replace(
        photo, image=photo.image[window], mask=photo.mask[window], camera=photo.camera.windowed(*window)
    )


@pytest.fixture(scope="module")
def squares() -> list[Photo]:
    return photograph(coloured_ball(), count=16, size=64).photos


@pytest.fixture(scope="module")
def mixed(squares: list[Photo]) -> list[Photo]:
    return [cut(photo, UPRIGHT if i % 3 else LYING) for i, photo in enumerate(squares)]


def test_a_canvas_keeps_pixels_and_camera(squares: list[Photo], mixed: list[Photo]) -> None:
    for square, own, laid in zip(squares, mixed, on_one_format(mixed), strict=True):
        assert laid.image.shape == (64, 64, 3)
        assert laid.ignore is not None
        np.testing.assert_allclose(laid.camera.world_to_clip, square.camera.world_to_clip)
        np.testing.assert_array_equal(laid.image[~laid.ignore], square.image[~laid.ignore])
        assert laid.ignore.mean() == pytest.approx(24 / 64)
        back = laid.without_canvas()
        np.testing.assert_array_equal(back.image, own.image)
        np.testing.assert_allclose(back.camera.world_to_clip, own.camera.world_to_clip)


def test_photos_that_differ_in_size_alone_stay(squares: list[Photo]) -> None:
    small = replace(squares[0], image=squares[0].image[::2, ::2], camera=squares[0].camera.resized(32, 32))
    photos = [small, *squares[1:]]
    assert all(a is b for a, b in zip(on_one_format(photos), photos, strict=True))


def test_a_canvas_sees_nothing(mixed: list[Photo]) -> None:
    """Space beyond the frames is unknown, as without a canvas, and not left standing."""
    plain, laid = (visual_hull(p, radius=1.4, resolution=24) for p in (mixed, on_one_format(mixed)))
    np.testing.assert_array_equal(plain.vertices, laid.vertices)


def test_a_fit_takes_photos_of_several_formats(squares: list[Photo], mixed: list[Photo]) -> None:
    fit = prepared(PhotoSet(on_one_format(mixed), Similarity(), object_radius=0.6))
    for _ in range(20):
        fit.step()
    measured = fit.evaluate(fit.holdout)
    assert measured.mean("iou") > 0.95
    assert measured.mean("psnr") > 22


def test_files_of_several_formats(tmp_path: Path) -> None:
    nerf_capture(tmp_path, count=4, size=40)
    Image.new("RGBA", (60, 30)).save(tmp_path / "train/r_1.png")
    entries = json.loads((tmp_path / "transforms.json").read_text())
    for k, entry in enumerate(entries["frames"]):
        entry["w"], entry["h"] = (60, 30) if k == 1 else (40, 40)
    write_json(tmp_path / "transforms.json", entries)
    photos = load_photos(tmp_path)
    assert [p.image.shape[:2] for p in photos.photos] == [(40, 40), (60, 60), (40, 40), (40, 40)]
    assert any("several formats" in note for note in photos.notes)
    # What is written names the file, so it has to be the file's camera.
    save_cameras(tmp_path / "out.json", photos.photos, photos.input_to_world.inverse())
    frame = json.loads((tmp_path / "out.json").read_text())["frames"][1]
    assert (frame["w"], frame["h"]) == (60, 30)
    assert (frame["cx"], frame["cy"]) == (30, 15)
