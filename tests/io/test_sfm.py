"""Cameras found for photos that have none, and how poses are compared."""

from __future__ import annotations

import json
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.core.errors import Cancelled, InputError
from studio.core.io import sfm
from studio.core.io.photos import load_photos, read_frames
from studio.core.io.poses import compare_poses
from studio.core.scene.camera import look_at
from tests.io.helpers import ring
from tests.io.test_colmap import colmap_capture
from tests.needs import data, need


def noise(folder: Path, count: int, size: int = 96) -> None:
    rng = np.random.default_rng(2)
    for k in range(count):
        Image.fromarray(rng.integers(0, 255, (size, size, 3), np.uint8)).save(folder / f"p{k}.png")


def test_without_pycolmap_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise(tmp_path, 3)
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    with pytest.raises(InputError, match=r'finding them needs pycolmap; run: pip install "pycolmap>=4.0"'):
        load_photos(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p0.png", "p1.png", "p2.png"]


def test_two_photos_are_too_few(tmp_path: Path) -> None:
    noise(tmp_path, 2)
    with pytest.raises(InputError, match="2 photos, expected at least 3 to find their cameras"):
        load_photos(tmp_path)


def test_photos_with_nothing_in_common(tmp_path: Path) -> None:
    need("pycolmap")
    noise(tmp_path, 3)
    with pytest.raises(InputError, match="could not be placed: they have too little in common"):
        load_photos(tmp_path)
    assert not (tmp_path / "colmap").exists()


def test_the_work_can_be_stopped(tmp_path: Path) -> None:
    need("pycolmap")
    noise(tmp_path, 8, 400)
    seen: list[str] = []

    def progress(_share: float, what: str) -> None:
        seen.append(what)
        if what.startswith("Finding features"):
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        load_photos(tmp_path, progress=progress)
    assert "Reading photos: 8 of 8" in seen
    assert not (tmp_path / "colmap").exists()


def test_an_earlier_model_of_the_same_photos_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    colmap_capture(tmp_path, True, model_folder="colmap/sparse/0")
    model, images = tmp_path / "colmap/sparse/0", tmp_path / "images"
    mark = {"photos": {p.name: p.stat().st_size for p in sorted(images.iterdir())}, "masks": True}
    (model / "photos.json").write_text(json.dumps(mark))
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    assert sfm.place_cameras(images, tmp_path / "colmap") == model
    assert len(read_frames(tmp_path).frames) == 5
    assert len(read_frames(tmp_path, tmp_path / "elsewhere").frames) == 5
    noise(images, 1)  # one more photo: the model is stale
    with pytest.raises(InputError, match="needs pycolmap"):
        load_photos(tmp_path)


def test_of_two_that_ask_at_once_one_does_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise(tmp_path, 3)
    asked: list[Path] = []

    def place(_photos: object, _images: object, model: Path, mark: object, _report: object) -> None:
        asked.append(model)
        time.sleep(0.3)  # long enough for the other to come by
        colmap_capture(tmp_path / "other", True, model_folder="../colmap/sparse/0")
        (model / "photos.json").write_text(json.dumps(mark))

    monkeypatch.setattr(sfm, "_place_anew", place)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: sfm.place_cameras(tmp_path, tmp_path / "colmap"), range(2)))
    assert found[0] == found[1]
    assert len(asked) == 1


def test_photos_are_copied_upright_and_their_focal_length_is_read(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    exif.get_ifd(0x8769)[0xA405] = 72
    top = np.zeros((40, 60, 3), np.uint8)
    top[:, :30, 0] = 255
    Image.fromarray(top).save(tmp_path / "a.jpg", exif=exif, quality=95)
    exif[0x112] = 1
    Image.fromarray(top).save(tmp_path / "b.jpg", exif=exif, quality=95)
    names = sfm._copies([tmp_path / "a.jpg", tmp_path / "b.jpg"], tmp_path / "out", lambda _s, _w: None)
    assert names == {"a.jpg": "a.jpg.jpg", "b.jpg": "b.jpg"}
    turned = np.asarray(Image.open(tmp_path / "out/a.jpg.jpg"))
    assert turned.shape == (60, 40, 3)
    assert turned[:25, :, 0].min() > 200  # left became top
    assert sfm._kind(tmp_path / "out/b.jpg").focal == 120
    assert sfm._kind(tmp_path / "out/a.jpg.jpg").focal == 120


def test_poses_are_compared_up_to_a_similarity() -> None:
    truth = ring(7)
    turn = look_at(np.array([1.0, 2.0, 3.0]), np.zeros(3))[:3, :3]
    moved = []
    for pose in truth:
        other = np.eye(4)
        other[:3, :3], other[:3, 3] = turn @ pose[:3, :3], 0.3 * turn @ pose[:3, 3] + (5, 6, 7)
        moved.append(other)
    same = compare_poses(moved, truth)
    assert same.degrees.max() < 1e-6
    assert same.shares.max() < 1e-9
    angle = np.radians(2.0)
    tilt = np.eye(4)
    tilt[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    moved[3] = moved[3] @ tilt
    errors = compare_poses(moved, truth)
    assert errors.degrees[3] == pytest.approx(2.0 * 6 / 7, rel=0.02)  # the mean takes a seventh
    assert errors.shares.max() < 0.01
    with pytest.raises(InputError, match="poses: 1 against 7"):
        compare_poses(moved[:1], truth)


@pytest.mark.slow
def test_the_temple_without_its_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("pycolmap")
    source = data("photos/templeSparseRing")
    truth = {f.image.name: f.pose for f in read_frames(source).frames}
    for name in truth:
        shutil.copy(source / name, tmp_path)
    frames = read_frames(tmp_path).frames
    assert len(frames) >= 14  # reached 16 of 16
    errors = compare_poses([f.pose for f in frames], [truth[f.image.name] for f in frames])
    assert errors.degrees.mean() < 1.5  # reached .7: neighbours are 22 degrees apart
    assert errors.shares.mean() < 0.015  # reached .006
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    assert len(load_photos(tmp_path, 200).photos) == len(frames)
