"""LLFF poses_bounds.npy with an images/ folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from studio.core.errors import InputError, describe
from studio.core.io.files import check_readable, natural_key
from studio.core.io.frames import Frame, FrameSet, Intrinsics, find_mask, list_images
from studio.core.scene.camera import check_rigid

_WHAT = "LLFF poses, an array [photos, 17]"


def read_llff(folder: Path) -> FrameSet:
    """Frames of `poses_bounds.npy`, `images/` and, if there, `masks/`.

    Each row is a 3x5 matrix and near, far. Its columns are [down, right, backwards, position,
    (height, width, focal)]: the OpenGL camera-to-world is [col1, -col0, col2, col3].

    Raises:
        InputError: damaged or mismatched files; names the row.
    Reference:
        Mildenhall et al. 2019, "Local Light Field Fusion"; axes checked against silhouettes.
    """
    path = folder / "poses_bounds.npy"
    rows = _read_rows(path)
    images = list_images(folder / "images")  # plain order: the writers of this format sort so
    if len(images) != len(rows):
        raise InputError(f"{path}: {len(rows)} poses for {len(images)} photos in {folder / 'images'}")
    frames = []
    for index, (row, image) in enumerate(zip(rows, images, strict=True)):
        where = f"{path}: pose {index} ({image.name})"
        matrix = row[:15].reshape(3, 5)
        height, width, focal = matrix[:, 4]
        if not np.isfinite(row).all() or min(height, width, focal) <= 0:
            raise InputError(
                f"{where}: height {height:g}, width {width:g}, focal {focal:g}, expected numbers above 0"
            )
        columns = (matrix[:, 1], -matrix[:, 0], matrix[:, 2], matrix[:, 3])
        pose = check_rigid(np.stack(columns, axis=1), where)
        intrinsics = Intrinsics(float(width), float(height), float(focal), float(focal))
        mask = find_mask(folder, image)
        frames.append(Frame(image.stem, image, pose, intrinsics, where, mask))
    frames.sort(key=lambda f: natural_key(f.image.name))
    near, far = float(np.median(rows[:, 15])), float(np.median(rows[:, 16]))
    return FrameSet(frames, depth_range=(near, far) if 0 < near < far else None)


def _read_rows(path: Path) -> np.ndarray:
    """[photos, 17] float64."""
    check_readable(path, _WHAT)
    try:
        rows = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, MemoryError) as error:
        raise InputError(f"{path}: cannot be read ({describe(error)}), expected {_WHAT}") from None
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] != 17 or len(rows) == 0:
        shape = getattr(rows, "shape", "several arrays")
        raise InputError(f"{path}: array of shape {shape}, expected {_WHAT}")
    if rows.dtype.kind not in "fiu":
        raise InputError(f"{path}: array of {rows.dtype}, expected numbers")
    return rows.astype(np.float64)
