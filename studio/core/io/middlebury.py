"""Middlebury multi-view stereo: *_par.txt with a 3x3 K, a 3x3 R and t per photo."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from studio.core.errors import InputError, describe
from studio.core.io.files import check_readable, inside, natural_key
from studio.core.io.frames import Frame, FrameSet, Intrinsics, find_mask, number, unique_names
from studio.core.scene.camera import check_rigid

_WHAT = "Middlebury cameras: a count, then 'name k11..k33 r11..r33 t1 t2 t3' per photo"
_BOX = re.compile(r"bounding box[^(]*\(([^)]*)\)\s*\(([^)]*)\)", re.IGNORECASE)


def find_par(folder: Path) -> Path | None:
    """The first *_par.txt of a folder, in natural order."""
    files = sorted(folder.glob("*_par.txt"), key=lambda p: natural_key(p.name))
    return files[0] if files else None


def read_middlebury(path: Path) -> FrameSet:
    """Frames of a *_par.txt; the tight bounding box too where a README beside it tells.

    P = K [R t] maps the world to pixels with the origin top left. The first pixel's centre is
    (0, 0) there; ours is (0.5, 0.5). Pixels need not be square nor the principal point central.

    Raises:
        InputError: names the line.
    Reference:
        Seitz et al. 2006, "A Comparison and Evaluation of Multi-View Stereo Reconstruction
        Algorithms", and the README of the data sets.
    """
    check_readable(path, _WHAT)
    try:
        lines = [line for line in path.read_text("utf-8", errors="replace").splitlines() if line.strip()]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({describe(error)})") from None
    if lines and len(lines[0].split()) == 1:
        count = lines.pop(0).strip()
        if not count.isdigit() or int(count) != len(lines):
            raise InputError(f"{path}: line 1 says {count[:20]!r} photos, but {len(lines)} lines follow")
    frames = [_frame(line.split(), path, index) for index, line in enumerate(lines)]
    if not frames:
        raise InputError(f"{path}: no photos, expected {_WHAT}")
    unique_names(frames, path.parent)
    frames.sort(key=lambda f: natural_key(f.image.name))
    return FrameSet(frames, box=_box(path.parent))


def _frame(fields: list[str], path: Path, index: int) -> Frame:
    where = f"{path}: photo {index + 1} ({fields[0]})"
    if len(fields) != 22:
        raise InputError(f"{where}: {len(fields)} fields, expected 22 (name, 9 of K, 9 of R, 3 of t)")
    try:
        values = [number(float(v), where) for v in fields[1:]]
    except ValueError:
        raise InputError(f"{where}: a field is not a number") from None
    k = np.reshape(values[:9], (3, 3))
    if k[0, 0] <= 0 or k[1, 1] <= 0 or np.abs(k[[1, 2, 2], [0, 0, 1]]).max() > 0 or k[2, 2] != 1:
        raise InputError(f"{where}: K is not a calibration matrix (positive focal lengths, last row 0 0 1)")
    if abs(k[0, 1]) > 1e-3 * k[0, 0]:  # 0.1 %: half a pixel over 500
        raise InputError(f"{where}: K has skew {k[0, 1]:g}, expected 0")
    world_to_view = np.eye(4)
    world_to_view[:3, :3] = np.reshape(values[9:18], (3, 3))
    world_to_view[:3, 3] = values[18:]
    world_to_view = check_rigid(world_to_view, where)
    pose = np.linalg.inv(world_to_view) @ np.diag((1.0, -1.0, -1.0, 1.0))  # OpenCV to OpenGL axes
    image = inside(path.parent, fields[0], where)
    if not image.is_file():
        raise InputError(f"{where}: photo {image} does not exist")
    intrinsics = Intrinsics(fx=k[0, 0], fy=k[1, 1], cx=k[0, 2] + 0.5, cy=k[1, 2] + 0.5)
    return Frame(image.stem, image, pose, intrinsics, where, find_mask(path.parent, image))


def _box(folder: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """The object's box from a README such as '... bounding box ... is (x y z) (x y z)'."""
    for name in ("README.txt", "readme.txt", "README", "README.md"):
        file = folder / name
        if not file.is_file() or file.stat().st_size > 2**20:  # a README is pages, not megabytes
            continue
        match = _BOX.search(file.read_text("utf-8", errors="replace"))
        if match is None:
            continue
        try:
            low, high = (np.array([float(v) for v in match[i].replace(",", " ").split()]) for i in (1, 2))
        except ValueError:
            continue
        if low.shape == high.shape == (3,) and (low < high).all():
            return low, high
    return None
