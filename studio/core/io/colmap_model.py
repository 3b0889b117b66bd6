"""COLMAP's sparse models, text and binary: cameras, images and points3D."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from studio.core.errors import InputError
from studio.core.io.files import read_bytes
from studio.core.io.lens import LENSES

A = TypeVar("A")

_IDS = (
    "SIMPLE_PINHOLE",
    "PINHOLE",
    "SIMPLE_RADIAL",
    "RADIAL",
    "OPENCV",
    "OPENCV_FISHEYE",
    "FULL_OPENCV",
    "FOV",
    "SIMPLE_RADIAL_FISHEYE",
    "RADIAL_FISHEYE",
    "THIN_PRISM_FISHEYE",
    "RAD_TAN_THIN_PRISM_FISHEYE",
    "SIMPLE_DIVISION",
    "DIVISION",
    "SIMPLE_FISHEYE",
    "FISHEYE",
    "EUCM",
    "EQUIRECTANGULAR",
)
"""Camera models in the order of the numbers that binary files call them by."""

_WHAT = {
    "cameras": "the cameras of a COLMAP model",
    "images": "the images of a COLMAP model",
    "points3D": "the points of a COLMAP model",
}


@dataclass(frozen=True)
class ModelCamera:
    """One calibrated camera; `params` as COLMAP orders them."""

    model: str
    width: int
    height: int
    params: tuple[float, ...]


@dataclass(eq=False)
class ModelImage:
    """One placed photo.

    Attributes:
        rotation: [4] quaternion w, x, y, z, world to camera, OpenCV axes.
        translation: [3].
        seen: [M, 2] pixels of features that became points, from the top-left corner.
        seen_ids: [M] int64 ids of those points.
    """

    name: str
    camera: int
    rotation: np.ndarray
    translation: np.ndarray
    seen: np.ndarray
    seen_ids: np.ndarray
    where: str


@dataclass(eq=False)
class Model:
    """A sparse model; `points` is [P, 3] with ids [P] in ascending order."""

    cameras: dict[int, ModelCamera]
    images: list[ModelImage]
    points: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    ids: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


def is_model(folder: Path) -> bool:
    """The folder holds cameras and images, both text or both binary."""
    return _suffix(folder) is not None


def _suffix(folder: Path) -> str | None:
    for suffix in (".bin", ".txt"):
        if all((folder / (name + suffix)).is_file() for name in ("cameras", "images")):
            return suffix
    return None


def read_model(folder: Path) -> Model:
    """The model of a folder; binary files win. The points may be missing.

    Raises:
        InputError: names the file and the camera, image or line.
    Reference:
        COLMAP's documentation, "Output Format".
    """
    suffix = _suffix(folder)
    if suffix is None:
        raise InputError(f"{folder}: no COLMAP model, expected cameras and images as .bin or .txt")
    read = _read_binary if suffix == ".bin" else _read_text
    cameras: dict[int, ModelCamera] = read("cameras", folder / f"cameras{suffix}")
    images: list[ModelImage] = read("images", folder / f"images{suffix}")
    path = folder / f"images{suffix}"
    if not images:
        raise InputError(f"{path}: no images, expected at least one")
    for image in images:
        if image.camera not in cameras:
            raise InputError(f"{image.where}: camera {image.camera} is not in cameras{suffix}")
    points_file = folder / f"points3D{suffix}"
    if not points_file.is_file():
        return Model(cameras, images)
    ids, points = read("points3D", points_file)
    order = np.argsort(ids)
    return Model(cameras, images, points[order], ids[order])


def _camera(path: Path, number: int, model: str, size: tuple[int, int], params: Any) -> ModelCamera:
    """A checked camera; InputError names it."""
    where = f"{path}: camera {number}"
    if model not in LENSES:
        raise InputError(
            f"{where}: model {model!r} has no pinhole picture; expected one of {', '.join(LENSES)}"
        )
    known = LENSES[model]
    count = known.focals + 2 + len(known.terms)
    values = tuple(float(v) for v in params)
    if len(values) != count or not all(map(math.isfinite, values)):
        raise InputError(f"{where}: {len(values)} parameters of {model}, expected {count} finite numbers")
    if min(size) < 1 or min(values[: known.focals]) <= 0:
        raise InputError(f"{where}: {size[0]}x{size[1]} pixels, focal length {values[0]:g}; expected above 0")
    return ModelCamera(model, size[0], size[1], values)


def _image(path: Path, name: str, camera: int, pose: Any, seen: np.ndarray) -> ModelImage:
    """A checked image; [M, 3] `seen` is x, y, point id, -1 where a feature has no point."""
    where = f"{path}: image {name[:80]}"
    numbers = np.asarray(pose, np.float64)
    length = float(np.linalg.norm(numbers[:4]))
    if not np.isfinite(numbers).all() or not 0.99 < length < 1.01:
        raise InputError(f"{where}: its pose is not a unit quaternion and a position")
    used = seen[seen[:, 2] >= 0]
    return ModelImage(
        name, camera, numbers[:4] / length, numbers[4:], used[:, :2], used[:, 2].astype(np.int64), where
    )


def _read_text(what: str, path: Path) -> Any:
    text = read_bytes(path, _WHAT[what]).decode("utf-8", "replace")
    lines = [(i, line) for i, line in enumerate(text.splitlines(), 1) if not line.startswith("#")]
    if what == "images":
        return list(_text_images(path, lines))
    rows = [(i, line.split()) for i, line in lines if line.strip()]
    if what == "cameras":
        return dict(_parsed(path, what, rows, lambda r: (int(r[0]), _text_camera(path, r))))
    points = _parsed(path, what, rows, lambda r: (int(r[0]), [float(v) for v in r[1:4]]))
    ids = np.array([number for number, _ in points], np.int64)
    return ids, np.array([place for _, place in points], np.float64).reshape(-1, 3)


def _parsed(
    path: Path, what: str, rows: list[tuple[int, list[str]]], parse: Callable[[list[str]], A]
) -> list[A]:
    """`parse` of each row; InputError names the line that it fails on."""
    out = []
    for number, row in rows:
        try:
            out.append(parse(row))
        except (ValueError, IndexError, OverflowError):
            raise InputError(f"{path}: line {number} is damaged, expected {_WHAT[what]}") from None
    return out


def _text_camera(path: Path, row: list[str]) -> ModelCamera:
    return _camera(path, int(row[0]), row[1], (int(row[2]), int(row[3])), row[4:])


def _text_images(path: Path, lines: list[tuple[int, str]]) -> Iterator[ModelImage]:
    """Images of pairs of lines: the pose, then the features, which may be an empty line."""
    k = 0
    while k < len(lines):
        number, line = lines[k]
        k += 1
        if not line.strip():
            continue
        features = lines[k][1] if k < len(lines) else ""
        k += 1
        try:
            row = line.strip().split(maxsplit=9)
            seen = np.array(features.split(), np.float64).reshape(-1, 3)
            yield _image(path, row[9], int(row[8]), [float(v) for v in row[1:8]], seen)
        except (ValueError, IndexError, OverflowError):
            raise InputError(f"{path}: line {number} is damaged, expected {_WHAT['images']}") from None


def _read_binary(what: str, path: Path) -> Any:
    data = read_bytes(path, _WHAT[what])
    reader = {"cameras": _binary_cameras, "images": _binary_images, "points3D": _binary_points}[what]
    try:
        return reader(path, data)
    except (struct.error, ValueError, IndexError, UnicodeDecodeError, OverflowError):
        raise InputError(f"{path}: truncated or damaged, expected {_WHAT[what]}") from None


def _binary_cameras(path: Path, data: bytes) -> dict[int, ModelCamera]:
    (count,), at = struct.unpack_from("<Q", data), 8
    out = {}
    for _ in range(count):
        number, model_id, width, height = struct.unpack_from("<IiQQ", data, at)
        at += 24
        name = _IDS[model_id] if 0 <= model_id < len(_IDS) else f"number {model_id}"
        known = LENSES.get(name)
        terms = known.focals + 2 + len(known.terms) if known else 0
        params = struct.unpack_from(f"<{terms}d", data, at)
        at += 8 * terms
        out[number] = _camera(path, number, name, (width, height), params)
    return out


def _binary_images(path: Path, data: bytes) -> list[ModelImage]:
    (count,), at = struct.unpack_from("<Q", data), 8
    out = []
    for _ in range(count):
        _, *pose, camera = struct.unpack_from("<I7dI", data, at)
        at += 64
        end = data.index(b"\0", at)
        name = data[at:end].decode("utf-8")
        (features,) = struct.unpack_from("<Q", data, end + 1)
        at = end + 9
        if features > (len(data) - at) // 24:
            raise ValueError("features beyond the end")
        table = np.frombuffer(data, np.dtype([("xy", "<f8", 2), ("id", "<i8")]), features, at)
        seen = np.concatenate([table["xy"], table["id"][:, None].astype(np.float64)], axis=1)
        at += 24 * features
        out.append(_image(path, name, camera, pose, seen))
    return out


def _binary_points(path: Path, data: bytes) -> tuple[np.ndarray, np.ndarray]:
    (count,), at = struct.unpack_from("<Q", data), 8
    if count > len(data) // 51:  # bytes of a point without a track
        raise ValueError("points beyond the end")
    ids, points = np.zeros(count, np.int64), np.zeros((count, 3))
    for k in range(count):
        ids[k], *points[k], track = struct.unpack_from("<Q3d11xQ", data, at)
        at += 51 + 8 * track
    if at > len(data):
        raise ValueError("tracks beyond the end")
    return ids, points
