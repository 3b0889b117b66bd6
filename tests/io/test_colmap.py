"""COLMAP models in, text and binary, and everything that can be wrong with them."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.core.errors import InputError
from studio.core.io.colmap import rotation_matrix
from studio.core.io.photos import load_photos, read_frames
from studio.core.scene.camera import Camera
from tests.io.helpers import ring, sphere_photo
from tests.needs import need

CENTER = np.array([0.5, -0.2, 0.3])
SIZE, FOCAL = 64, 80.0


def quaternion(rotation: np.ndarray) -> np.ndarray:
    """w, x, y, z of a rotation matrix, by its eigenvector."""
    r = rotation
    k = np.array(
        [
            [r[0, 0] - r[1, 1] - r[2, 2], r[1, 0] + r[0, 1], r[2, 0] + r[0, 2], r[2, 1] - r[1, 2]],
            [0, r[1, 1] - r[0, 0] - r[2, 2], r[2, 1] + r[1, 2], r[0, 2] - r[2, 0]],
            [0, 0, r[2, 2] - r[0, 0] - r[1, 1], r[1, 0] - r[0, 1]],
            [0, 0, 0, r.trace()],
        ]
    )
    _, vectors = np.linalg.eigh(k.T, UPLO="L")
    x, y, z, w = vectors[:, -1]
    return np.array([w, x, y, z])


def colmap_capture(
    folder: Path,
    binary: bool,
    model: str = "PINHOLE",
    model_folder: str = "sparse/0",
    terms: str = "",
    gap: str = " ",
) -> list[np.ndarray]:
    """A capture of a white ball, written by hand from COLMAP's documentation; returns the poses."""
    photos, sparse = folder / "images", folder / model_folder
    photos.mkdir(parents=True)
    sparse.mkdir(parents=True, exist_ok=True)
    poses = ring(5, up=(0, 0, 1))
    points = CENTER + 0.7 * np.random.default_rng(1).normal(size=(20, 3)) / 3
    focals = [FOCAL] if model.startswith("SIMPLE") else [FOCAL, FOCAL]
    params = [*focals, 33.0, 30.0, *[float(t) for t in terms.split()]]
    images = []
    for k, pose in enumerate(poses):
        camera = Camera(SIZE, SIZE, FOCAL, FOCAL, 33.0, 30.0, pose)
        inside = sphere_photo(camera, CENTER, 0.8)
        Image.fromarray((inside[..., None] * np.array([200, 30, 30])).astype(np.uint8)).save(
            photos / f"p{gap}{k}.png"
        )
        world_to_cv = np.diag((1.0, -1.0, -1.0, 1.0)) @ np.linalg.inv(pose)
        view = points @ world_to_cv[:3, :3].T + world_to_cv[:3, 3]
        seen = view[:, :2] / view[:, 2:] * FOCAL + (33, 30)
        images.append((f"p{gap}{k}.png", quaternion(world_to_cv[:3, :3]), world_to_cv[:3, 3], seen))
    (write_binary if binary else write_text)(sparse, model, params, images, points)
    return poses


def write_text(sparse: Path, model: str, params: list[float], images: list, points: np.ndarray) -> None:
    numbers = " ".join(map(repr, params))
    (sparse / "cameras.txt").write_text(f"# Camera list\n7 {model} {SIZE} {SIZE} {numbers}\n")
    lines = ["# Image list"]
    for k, (name, q, t, seen) in enumerate(images):
        lines.append(f"{k + 1} " + " ".join(f"{v:.17g}" for v in (*q, *t)) + f" 7 {name}")
        lines.append(" ".join(f"{x:.9g} {y:.9g} {i + 10}" for i, (x, y) in enumerate(seen)) + " 3.0 4.0 -1")
    (sparse / "images.txt").write_text("\n".join(lines) + "\n")
    rows = [
        f"{i + 10} " + " ".join(f"{v:.17g}" for v in p) + f" 9 9 9 0.5 1 {i} 2 {i}"
        for i, p in enumerate(points)
    ]
    (sparse / "points3D.txt").write_text("# Points\n" + "\n".join(rows) + "\n")


def write_binary(sparse: Path, model: str, params: list[float], images: list, points: np.ndarray) -> None:
    number = {"PINHOLE": 1, "SIMPLE_RADIAL": 2, "OPENCV": 4}[model]
    head = struct.pack("<QIiQQ", 1, 7, number, SIZE, SIZE)
    (sparse / "cameras.bin").write_bytes(head + struct.pack(f"<{len(params)}d", *params))
    data = struct.pack("<Q", len(images))
    for k, (name, q, t, seen) in enumerate(images):
        data += struct.pack("<I7dI", k + 1, *q, *t, 7) + name.encode() + b"\0"
        data += struct.pack("<Q", len(seen) + 1) + struct.pack("<ddq", 3, 4, -1)
        data += b"".join(struct.pack("<ddq", x, y, i + 10) for i, (x, y) in enumerate(seen))
    (sparse / "images.bin").write_bytes(data)
    data = struct.pack("<Q", len(points))
    for i, p in enumerate(points):
        data += struct.pack("<Q3d3BdQ", i + 10, *p, 9, 9, 9, 0.5, 2) + struct.pack("<4I", 1, i + 1, 2, i + 1)
    (sparse / "points3D.bin").write_bytes(data)


def test_a_quaternion_is_its_matrix() -> None:
    np.testing.assert_allclose(
        rotation_matrix(np.array([1, 1, 1, 1]) / 2), [[0, 0, 1], [1, 0, 0], [0, 1, 0]], atol=1e-15
    )


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("model_folder", ["sparse/0", "sparse", "", "colmap/sparse/1"])
def test_poses_points_and_intrinsics(tmp_path: Path, binary: bool, model_folder: str) -> None:
    poses = colmap_capture(tmp_path, binary, model_folder=model_folder)
    frames = read_frames(tmp_path)
    assert [f.name for f in frames.frames] == [f"p {k}" for k in range(5)]
    for frame, pose in zip(frames.frames, poses, strict=True):
        np.testing.assert_allclose(frame.pose, pose, atol=1e-9)
        assert frame.reprojection is not None
        assert frame.reprojection < 1e-6
    assert frames.points is not None
    assert len(frames.points) == 20
    photos = load_photos(tmp_path)
    camera = photos.photos[0].camera
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (FOCAL, FOCAL, 33, 30)
    assert np.linalg.norm(photos.object_center) < 0.05
    mean_up = np.mean([p.camera.view_to_world[:3, 1] for p in photos.photos], axis=0)
    assert mean_up[1] > 0.9 * np.linalg.norm(mean_up)


def test_the_model_folder_or_a_file_of_it_may_be_named(tmp_path: Path) -> None:
    colmap_capture(tmp_path, True)
    for source in (tmp_path / "sparse/0", tmp_path / "sparse/0/cameras.bin", tmp_path / "sparse"):
        assert len(read_frames(source).frames) == 5


def test_the_largest_model_wins(tmp_path: Path) -> None:
    colmap_capture(tmp_path, True, model_folder="sparse/1")
    small = tmp_path / "sparse/0"
    small.mkdir()
    shutil.copy(tmp_path / "sparse/1/cameras.bin", small)
    (small / "images.bin").write_bytes(struct.pack("<Q", 0))
    assert len(read_frames(tmp_path).frames) == 5


@pytest.mark.parametrize("binary", [False, True])
def test_distortion_is_undone(tmp_path: Path, binary: bool) -> None:
    colmap_capture(tmp_path, binary, "SIMPLE_RADIAL", terms="0.1")
    photos = load_photos(tmp_path)
    assert "lens distortion undone (SIMPLE_RADIAL): 5 of 5 photos" in photos.notes
    assert photos.photos[0].ignore is not None
    assert photos.photos[0].ignore.any()


def test_points_may_be_missing(tmp_path: Path) -> None:
    colmap_capture(tmp_path, False)
    (tmp_path / "sparse/0/points3D.txt").unlink()
    frames = read_frames(tmp_path)
    assert frames.points is not None
    assert len(frames.points) == 0
    assert frames.frames[0].reprojection is None


def test_photos_without_a_camera_are_told_of(tmp_path: Path) -> None:
    colmap_capture(tmp_path, True)
    Image.new("RGB", (SIZE, SIZE)).save(tmp_path / "images/extra.png")
    assert "1 photos of images/ have no camera in the model and are left out" in load_photos(tmp_path).notes


def test_masks_the_way_of_colmap(tmp_path: Path) -> None:
    colmap_capture(tmp_path, True)
    (tmp_path / "masks").mkdir()
    for k in range(5):
        Image.new("L", (SIZE, SIZE), 255).save(tmp_path / f"masks/p {k}.png.png")
    assert "mask files cut out the object: 5 of 5 photos" in load_photos(tmp_path).notes


def test_a_model_that_pycolmap_wrote(tmp_path: Path) -> None:
    need("pycolmap")
    import pycolmap

    colmap_capture(tmp_path, False, "OPENCV", terms="0.1 0.01 0.001 0.002", gap="_")
    sparse = tmp_path / "sparse/0"
    ours = read_frames(tmp_path)
    pycolmap.Reconstruction(str(sparse)).write_binary(str(sparse))
    assert (sparse / "images.bin").exists()
    again = read_frames(tmp_path)
    for a, b in zip(ours.frames, again.frames, strict=True):
        np.testing.assert_allclose(a.pose, b.pose, atol=1e-12)
        assert a.intrinsics == b.intrinsics


def replaced(name: str, old: str, new: str) -> Callable[[Path], object]:
    def change(sparse: Path) -> None:
        text = (sparse / name).read_text()
        assert old in text
        (sparse / name).write_text(text.replace(old, new, 1))

    return change


TEXT_CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "model": (replaced("cameras.txt", "PINHOLE", "EQUIRECTANGULAR"), "camera 7: model 'EQUIRECTANGULAR'"),
    "params": (replaced("cameras.txt", " 33.0", ""), "3 parameters of PINHOLE, expected 4"),
    "focal": (replaced("cameras.txt", "80.0", "-1"), "camera 7: 64x64 pixels, focal length -1"),
    "no number": (replaced("cameras.txt", "64", "wide"), r"cameras\.txt: line 2 is damaged"),
    "camera": (replaced("images.txt", " 7 p 1.png", " 8 p 1.png"), "image p 1.png: camera 8 is not in"),
    "above": (replaced("images.txt", "p 1.png", "../p.png"), "leads out of"),
    "gone": (replaced("images.txt", "p 1.png", "q.png"), "q.png does not exist"),
    "twice": (replaced("images.txt", "p 1.png", "p 0.png"), "appears twice"),
    "features": (replaced("images.txt", " 3.0 4.0 -1", " 3.0"), r"images\.txt: line 2 is damaged"),
    "no images": (lambda s: (s / "images.txt").write_text("# nothing\n"), "no images"),
    "empty": (lambda s: (s / "cameras.txt").write_text(""), "cameras.txt: the file is empty"),
    "points": (replaced("points3D.txt", "10 ", "x "), r"points3D\.txt: line 2 is damaged"),
    "photos": (lambda s: shutil.rmtree(s.parents[1] / "images"), "none of the model's photos is there"),
}


@pytest.mark.parametrize("case", TEXT_CASES)
def test_a_damaged_text_model(tmp_path: Path, case: str) -> None:
    colmap_capture(tmp_path, False)
    change, says = TEXT_CASES[case]
    change(tmp_path / "sparse/0")
    with pytest.raises(InputError, match=says) as caught:
        load_photos(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["cameras", "images", "points3D"])
@pytest.mark.parametrize("cut", [4, 8, 30, -1])
def test_a_binary_model_cut_short(tmp_path: Path, name: str, cut: int) -> None:
    colmap_capture(tmp_path, True)
    path = tmp_path / f"sparse/0/{name}.bin"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match=rf"{name}\.bin: truncated or damaged"):
        load_photos(tmp_path)


def test_a_binary_model_with_wrong_counts(tmp_path: Path) -> None:
    colmap_capture(tmp_path, True)
    for name in ("points3D", "images", "cameras"):
        path = tmp_path / f"sparse/0/{name}.bin"
        whole = path.read_bytes()
        path.write_bytes(b"\xff" * 8 + whole[8:])
        with pytest.raises(InputError, match=rf"{name}\.bin: truncated"):
            load_photos(tmp_path)
        path.write_bytes(whole)
    pose = struct.pack("<d", float("nan"))
    path = tmp_path / "sparse/0/images.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:12] + pose + whole[20:])
    with pytest.raises(InputError, match=r"image p 0\.png: its pose"):
        load_photos(tmp_path)


def test_heic_photos(tmp_path: Path) -> None:
    need("heif")
    import pillow_heif

    from studio.core.io.images import load_image

    pillow_heif.register_heif_opener()
    Image.new("RGB", (64, 48), (200, 30, 30)).save(tmp_path / "a.heic", quality=95)
    image = load_image(tmp_path / "a.heic")
    assert image.shape == (48, 64, 3)
    assert image[..., 0].mean() > 5 * image[..., 1].mean()
