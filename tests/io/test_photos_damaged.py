"""What can be wrong with a capture: each is one line that names the file, frame and key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from studio.core.errors import InputError
from studio.core.io import photo_reader
from studio.core.io.photos import load_photos
from tests.io.helpers import nerf_capture, write_json
from tests.io.test_photos import llff_capture

Entry = dict[str, Any]


def frame(entry: Entry, **fields: Any) -> None:
    """Change the second frame; None takes a key away."""
    for key, value in fields.items():
        if value is None:
            del entry["frames"][1][key]
        else:
            entry["frames"][1][key] = value


def matrix(entry: Entry, change: Callable[[np.ndarray], Any]) -> None:
    pose = np.array(entry["frames"][1]["transform_matrix"])
    change(pose)
    entry["frames"][1]["transform_matrix"] = pose.tolist()


JSON_CASES: dict[str, tuple[Callable[[Entry], Any], str]] = {
    "no frames": (lambda e: e.pop("frames"), "key 'frames' is missing"),
    "empty frames": (lambda e: e.update(frames=[]), "key 'frames' is empty"),
    "frames no list": (lambda e: e.update(frames={"a": 1}), "key 'frames' is not a list"),
    "frame no object": (lambda e: e["frames"].__setitem__(1, 7), "frame 1 is a int"),
    "no matrix": (lambda e: frame(e, transform_matrix=None), "frame 1: key 'transform_matrix' is missing"),
    "no file": (lambda e: frame(e, file_path=None), "frame 1: key 'file_path' is missing"),
    "file no text": (lambda e: frame(e, file_path=3), "frame 1: file_path: 3 is not a file name"),
    "no focal": (lambda e: e.pop("camera_angle_x"), "expected key 'camera_angle_x' or 'fl_x'"),
    "angle text": (lambda e: e.update(camera_angle_x="wide"), "camera_angle_x is 'wide', expected a number"),
    "angle NaN": (lambda e: e.update(camera_angle_x=float("nan")), "camera_angle_x is 'nan'"),
    "angle large": (lambda e: e.update(camera_angle_x=40.0), "expected radians below pi"),
    "focal zero": (lambda e: e.update(fl_x=0), "fl_x is 0, expected a positive number"),
    "scaled": (lambda e: matrix(e, lambda m: m.__imul__(2)), r"frame 1 \(r_1.png\).*not rigid"),
    "mirrored": (lambda e: matrix(e, lambda m: m[:, 0].__imul__(-1)), "not rigid .* determinant -1"),
    "NaN pose": (lambda e: matrix(e, lambda m: m.fill(np.nan)), "frame 1 .*finite 4x4"),
    "short matrix": (lambda e: frame(e, transform_matrix=[[1, 0], [0, 1]]), r"shape \(2, 2\)"),
    "ragged matrix": (lambda e: frame(e, transform_matrix=[[1, 0], [0]]), "not a 4x4 matrix of numbers"),
    "missing photo": (lambda e: frame(e, file_path="train/gone"), "photo .*gone does not exist"),
    "twice": (lambda e: frame(e, file_path="./train/r_0.png"), r"r_0.png appears twice \(also .*frame 0"),
    "above": (lambda e: frame(e, file_path="../secret.png"), "leads out of"),
    "absolute": (lambda e: frame(e, file_path="/etc/passwd"), "is absolute"),
    "drive": (lambda e: frame(e, file_path="C:\\photos\\a.png"), "is absolute"),
    "address": (lambda e: frame(e, file_path="https://example.org/a.png"), "is absolute"),
    "link out": (lambda e: frame(e, file_path="train/link.png"), "leads out of"),
    "mask above": (lambda e: frame(e, mask_path="..\\secret.png"), "mask_path.*leads out of"),
    "missing mask": (lambda e: frame(e, mask_path="gone.png"), "mask .*gone.png does not exist"),
    "lens": (
        lambda e: e.update(camera_model="EQUIRECTANGULAR"),
        "'EQUIRECTANGULAR', expected one of PINHOLE",
    ),
    "lens of one": (
        lambda e: frame(e, camera_model="SPHERE"),
        r"frame 1 \(r_1.png\): camera_model is 'SPHERE'",
    ),
    "cloud": (lambda e: e.update(ply_file_path="../c.ply"), "ply_file_path.*leads out of"),
    "distortion text": (lambda e: e.update(k1="x"), "k1 is 'x', expected a number"),
    "other shape": (lambda e: e.update(w=90, h=48), "48x48 pixels, its camera is for 90x48"),
}


@pytest.mark.parametrize("case", JSON_CASES)
def test_bad_transforms(tmp_path: Path, case: str) -> None:
    folder = tmp_path / "set"
    entry = nerf_capture(folder, count=3)
    Image.new("RGB", (48, 48)).save(tmp_path / "secret.png")
    (folder / "train/link.png").symlink_to(tmp_path / "secret.png")
    change, text = JSON_CASES[case]
    change(entry)
    write_json(folder / "transforms.json", entry)
    with pytest.raises(InputError, match=text) as caught:
        load_photos(folder)
    assert "transforms.json" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is empty"),
        (b"[1, 2]", "a JSON list, expected an object"),
        (b"null", "a JSON NoneType"),
        (b'{"frames": [', "not valid JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"\x89PNG\r\n", "not valid JSON"),
    ],
)
def test_a_file_that_is_no_transforms(tmp_path: Path, content: bytes, text: str) -> None:
    (tmp_path / "transforms.json").write_bytes(content)
    with pytest.raises(InputError, match=text):
        load_photos(tmp_path)


def test_a_huge_json_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "transforms.json").open("wb") as file:
        file.truncate(3 * 2**30)  # sparse: takes no disk
    with pytest.raises(InputError, match="3072 MB of JSON"):
        load_photos(tmp_path)


def test_sources_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gone: no such file or folder; expected a folder with transforms"):
        load_photos(tmp_path / "gone")
    with pytest.raises(InputError, match="no cameras found; expected transforms"):
        load_photos(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InputError, match=r"a\.txt: not a camera file"):
        load_photos(tmp_path / "a.txt")
    with pytest.raises(InputError, match="max_size must be at least 1"):
        load_photos(tmp_path, max_size=0)


def test_bad_pixels(tmp_path: Path) -> None:
    nerf_capture(tmp_path, count=3)
    photo = tmp_path / "train/r_1.png"
    whole = photo.read_bytes()
    photo.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"r_1\.png: the image is truncated"):
        load_photos(tmp_path)
    photo.write_text("no picture")
    with pytest.raises(InputError, match=r"r_1\.png: not an image"):
        load_photos(tmp_path)
    Image.new("RGB", (50, 40)).save(photo)
    with pytest.raises(InputError, match=r"r_1\.png has 50x40 pixels, r_0\.png has 48x48; expected one size"):
        load_photos(tmp_path)


def test_a_mask_of_another_size(tmp_path: Path) -> None:
    nerf_capture(tmp_path, count=3)
    (tmp_path / "masks").mkdir()
    for k in range(3):
        Image.new("L", (48, 48 - (k == 2)), 255).save(tmp_path / f"masks/r_{k}.png")
    with pytest.raises(
        InputError, match=r"masks/r_2\.png: mask has 48x47 pixels, its photo r_2\.png has 48x48"
    ):
        load_photos(tmp_path)


def poses(folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    np.save(folder / "poses_bounds.npy", change(np.load(folder / "poses_bounds.npy")))


def nan_at(rows: np.ndarray, column: int, value: float) -> np.ndarray:
    rows[2, column] = value
    return rows


LLFF_CASES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "missing": (lambda r: r[:-1], "4 poses for 5 photos"),
    "flat": (lambda r: r.ravel(), r"shape \(85,\), expected LLFF poses"),
    "narrow": (lambda r: r[:, :15], r"shape \(5, 15\)"),
    "none": (lambda r: r[:0], r"shape \(0, 17\)"),
    "text": (lambda r: r.astype(str), "expected numbers"),
    "NaN": (lambda r: nan_at(r, 0, np.nan), r"pose 2 \(2.png\)"),
    "focal": (lambda r: nan_at(r, 14, 0), "focal 0"),
    "scaled": (lambda r: nan_at(r, 0, 9), r"pose 2 \(2.png\): camera matrix is not rigid"),
    "shape": (lambda r: r * np.where(np.arange(17) == 4, 2, 1), "expected the same shape"),
}


@pytest.mark.parametrize("case", LLFF_CASES)
def test_bad_llff(tmp_path: Path, case: str) -> None:
    llff_capture(tmp_path)
    change, text = LLFF_CASES[case]
    poses(tmp_path, change)
    with pytest.raises(InputError, match=text):
        load_photos(tmp_path)


def test_poses_are_never_unpickled(tmp_path: Path) -> None:
    llff_capture(tmp_path)
    ran = tmp_path / "ran"

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (ran,)

    np.save(tmp_path / "poses_bounds.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="cannot be read"):
        load_photos(tmp_path)
    (tmp_path / "poses_bounds.npy").write_bytes(b"\x93NUMPY\x01\x00")
    with pytest.raises(InputError, match="cannot be read"):
        load_photos(tmp_path)
    assert not ran.exists()


K = "100 0 16 0 100 16 0 0 1"
R = "1 0 0 0 1 0 0 0 1"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("2\n0.png " + K + " " + R + " 0 0 1", "says '2' photos, but 1 lines"),
        ("x\n0.png " + K + " " + R + " 0 0 1", "says 'x' photos"),
        ("1\n0.png 1 2 3", "4 fields, expected 22"),
        ("1\n0.png " + K + " " + R + " 0 0 nan", "expected a number"),
        ("1\n0.png " + K + " " + R + " 0 0 one", "a field is not a number"),
        ("1\n0.png " + K + " " + R.replace("1", "2") + " 0 0 1", "not rigid"),
        ("1\n0.png 100 0 16 5 100 16 0 0 1 " + R + " 0 0 1", "not a calibration matrix"),
        ("1\n0.png 100 9 16 0 100 16 0 0 1 " + R + " 0 0 1", "skew 9"),
        ("1\ngone.png " + K + " " + R + " 0 0 1", "gone.png does not exist"),
        ("1\n../0.png " + K + " " + R + " 0 0 1", "leads out of"),
        ("0\n", "no photos"),
        ("\n\n", "no photos|empty"),
    ],
)
def test_bad_middlebury(tmp_path: Path, text: str, says: str) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "0.png")
    (tmp_path / "set_par.txt").write_text(text)
    with pytest.raises(InputError, match=says):
        load_photos(tmp_path)


def test_more_photos_than_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nerf_capture(tmp_path, count=3)
    monkeypatch.setattr(photo_reader, "machine_memory", lambda: 100_000)
    with pytest.raises(InputError, match=r"3 photos, 0 megapixels in all, need .* load them smaller"):
        load_photos(tmp_path)
    assert len(load_photos(tmp_path, max_size=16).photos) == 3
