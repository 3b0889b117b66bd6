"""transforms.json of NeRF, instant-ngp and nerfstudio."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from studio.core.errors import InputError
from studio.core.io.files import inside, natural_key, read_json
from studio.core.io.frames import Frame, FrameSet, Intrinsics, find_image, find_mask, number, unique_names
from studio.core.io.lens import Lens
from studio.core.io.mesh_read import read_points
from studio.core.scene.camera import check_rigid

_PERSPECTIVE = ("PINHOLE", "SIMPLE_PINHOLE", "OPENCV", "SIMPLE_RADIAL", "RADIAL", "PERSPECTIVE")
_FISHEYE = ("OPENCV_FISHEYE", "FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE")
_RADIAL, _TANGENTIAL = ("k1", "k2", "k3", "k4"), ("p1", "p2")
_UNUSED = {
    "depth maps": ("depth_file_path", "depth_path"),
    "normal maps": ("normal_file_path", "normal_path"),
}
_SIZES = {"width": "w", "height": "h", "fx": "fl_x", "fy": "fl_y"}
_WHAT = "a transforms.json of NeRF"


def find_transforms(folder: Path) -> tuple[Path | None, list[str]]:
    """The transforms file of a folder and notes: transforms.json, else train, else the first."""
    files = sorted(folder.glob("transforms*.json"), key=lambda p: natural_key(p.name))
    if not files:
        return None, []
    by_name = {p.name: p for p in files}
    chosen = by_name.get("transforms.json") or by_name.get("transforms_train.json") or files[0]
    others = ", ".join(p.name for p in files if p != chosen)
    return chosen, [f"cameras from {chosen.name}; not read: {others}"] if others else []


def read_nerf(path: Path) -> FrameSet:
    """Frames of a transforms.json.

    Matrices are camera-to-world with OpenGL axes as they stand; the world is +Z up. `scale`,
    `offset` and `applied_transform` describe how others normalise and change nothing here:
    the studio has its own normalisation. Intrinsics and lens may stand in the file or in each
    frame. The points of `ply_file_path` only tell where the object is.

    Raises:
        InputError: names the file, the frame and the key.
    """
    data = read_json(path, _WHAT)
    frames_data = data.get("frames")
    if not isinstance(frames_data, list) or not frames_data:
        state = "missing" if frames_data is None else "empty" if frames_data == [] else "not a list"
        raise InputError(f"{path}: key 'frames' is {state}, expected a list of photos")
    common = _intrinsics(data, str(path), Intrinsics())
    frames = [_frame(entry, index, path, common) for index, entry in enumerate(frames_data)]
    unique_names(frames, path.parent)
    frames.sort(key=lambda f: natural_key(f.image.as_posix()))
    points = _points(data, path)
    return FrameSet(frames, up=(0.0, 0.0, 1.0), points=points, notes=_notes(data, frames_data))


def _lens(data: dict[str, Any], where: str, default: Lens | None) -> Lens | None:
    """The lens that `data` states, or the default; a pinhole is None.

    The perspective polynomial has up to four radial terms, as nerfstudio counts them.
    """
    keys = (*_RADIAL, *_TANGENTIAL)
    given = {k: number(data[k], f"{where}: {k}") for k in keys if data.get(k) is not None}
    stated = data.get("camera_model") is not None or "is_fisheye" in data
    if not given and not stated:
        return default
    inherited = default.model if default else "OPENCV"
    model = str(data.get("camera_model") or inherited).upper().replace("BROWN", "OPENCV")
    if model not in _PERSPECTIVE + _FISHEYE:
        known = ", ".join(_PERSPECTIVE + _FISHEYE)
        raise InputError(f"{where}: camera_model is {data['camera_model']!r}, expected one of {known}")
    terms = default.params if default else ()
    values = dict(zip(keys, terms, strict=False)) | given
    radial = tuple(values.get(k, 0.0) for k in _RADIAL)
    if model in _FISHEYE or data.get("is_fisheye") is True:
        return Lens("OPENCV_FISHEYE", radial)
    if "PINHOLE" in model and not given:
        return None
    lens = Lens("BROWN", radial + tuple(values.get(k, 0.0) for k in _TANGENTIAL))
    return None if lens.straight else lens


def _notes(data: dict[str, Any], frames: list[dict[str, Any]]) -> list[str]:
    """What of the file is not used."""
    entries = [data, *(entry for entry in frames if isinstance(entry, dict))]
    found = [what for what, keys in _UNUSED.items() if any(k in entry for k in keys for entry in entries)]
    return [f"{what} are not used" for what in found]


def _intrinsics(data: dict[str, Any], where: str, default: Intrinsics) -> Intrinsics:
    """`default` with what `data` states; NaN, zero and negative sizes are refused."""
    out = Intrinsics(**vars(default))
    for field, key in _SIZES.items():
        if data.get(key) is not None:
            setattr(out, field, number(data[key], f"{where}: {key}", positive=True))
            if key in ("fl_x", "fl_y"):
                out.angle_x = out.angle_y = None
    for key in ("cx", "cy"):
        if data.get(key) is not None:
            setattr(out, key, number(data[key], f"{where}: {key}"))
    for key, field in (("camera_angle_x", "angle_x"), ("camera_angle_y", "angle_y")):
        if data.get(key) is not None:
            angle = number(data[key], f"{where}: {key}", positive=True)
            if angle >= math.pi:
                raise InputError(f"{where}: {key} is {angle:g}, expected radians below pi")
            setattr(out, field, angle)
    out.lens = _lens(data, where, default.lens)
    out.own = data.get("w") is not None and data.get("h") is not None
    return out


def _points(data: dict[str, Any], path: Path) -> np.ndarray | None:
    """[P, 3] points of the file's ply, or None where there is none."""
    if not data.get("ply_file_path"):
        return None
    file = inside(path.parent, data["ply_file_path"], f"{path}: ply_file_path")
    return read_points(file) if file.is_file() else None


def _frame(entry: Any, index: int, path: Path, common: Intrinsics) -> Frame:
    where = f"{path}: frame {index}"
    if not isinstance(entry, dict):
        raise InputError(f"{where} is a {type(entry).__name__}, expected an object")
    for key in ("file_path", "transform_matrix"):
        if key not in entry:
            raise InputError(f"{where}: key {key!r} is missing")
    named = inside(path.parent, entry["file_path"], f"{where}: file_path")
    image = find_image(named)
    if image is None:
        raise InputError(f"{where}: photo {named} does not exist")
    inside(path.parent, image.relative_to(path.parent).as_posix(), f"{where}: file_path")
    where = f"{where} ({image.name})"
    intrinsics = _intrinsics(entry, where, common)
    if all(v is None for v in (intrinsics.fx, intrinsics.fy, intrinsics.angle_x, intrinsics.angle_y)):
        raise InputError(f"{where}: no focal length, expected key 'camera_angle_x' or 'fl_x'")
    pose = check_rigid(_matrix(entry["transform_matrix"], where), f"{where}: transform_matrix")
    return Frame(image.stem, image, pose, intrinsics, where, _mask(entry, path, image, where))


def _matrix(value: Any, where: str) -> np.ndarray:
    try:
        return np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where}: transform_matrix is not a 4x4 matrix of numbers") from None


def _mask(entry: dict[str, Any], path: Path, image: Path, where: str) -> Path | None:
    if entry.get("mask_path"):
        mask = inside(path.parent, entry["mask_path"], f"{where}: mask_path")
        found = find_image(mask)
        if found is None:
            raise InputError(f"{where}: mask {mask} does not exist")
        return found
    return find_mask(path.parent, image)
