"""What every camera format is read into before any pixel is loaded."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from studio.core.errors import InputError
from studio.core.io.images import SUFFIXES
from studio.core.io.lens import Lens
from studio.core.scene.camera import Camera

MASK_FOLDERS = ("masks", "mask")


@dataclass
class Intrinsics:
    """Intrinsics as a file gives them; None is filled in from the image's size.

    Attributes:
        width, height: pixels the numbers below count in, or None where the file does not say.
        fx, fy, cx, cy: pixels from the top-left corner.
        angle_x, angle_y: full fields of view in radians, used where fx, fy are missing.
        own: this frame states its own size, so the set may mix sizes.
        lens: how the photo is bent against the pinhole of these numbers, or None.
    """

    width: float | None = None
    height: float | None = None
    fx: float | None = None
    fy: float | None = None
    cx: float | None = None
    cy: float | None = None
    angle_x: float | None = None
    angle_y: float | None = None
    own: bool = False
    lens: Lens | None = None

    def camera(self, width: int, height: int, pose: np.ndarray, name: str, where: str) -> Camera:
        """The camera of a photo of `width` x `height` pixels.

        A photo scaled down as a whole keeps its camera; one of another shape does not. The lens
        is left out.
        """
        w, h = self.width or width, self.height or height
        if abs(width / w - height / h) > 0.01 * width / w:  # 1 %: odd sizes halved and rounded
            raise InputError(
                f"{where}: the photo has {width}x{height} pixels, its camera is for {w:g}x{h:g}; "
                "expected the same shape"
            )
        fx, fy = self._focal(w, h)
        cx = w / 2 if self.cx is None else self.cx
        cy = h / 2 if self.cy is None else self.cy
        sx, sy = width / w, height / h
        return Camera(width, height, fx * sx, fy * sy, cx * sx, cy * sy, pose, name=name)

    def _focal(self, width: float, height: float) -> tuple[float, float]:
        fx, fy = self.fx, self.fy
        if fx is None and self.angle_x is not None:
            fx = 0.5 * width / math.tan(0.5 * self.angle_x)
        if fy is None and self.angle_y is not None:
            fy = 0.5 * height / math.tan(0.5 * self.angle_y)
        fx, fy = fx or fy, fy or fx  # one alone means square pixels
        if fx is None or fy is None:  # the readers refuse this with the key's name
            raise InputError("camera without focal length")
        return fx, fy


@dataclass
class Frame:
    """One photo and its camera, not loaded yet.

    Attributes:
        pose: [4, 4] camera to world, OpenGL axes.
        where: begins every message about it.
        as_stored: the camera was made for the picture as stored, whatever its EXIF orientation.
        reprojection: median distance of features from their points, pixels of the file's camera,
            or None where the file does not tell.
    """

    name: str
    image: Path
    pose: np.ndarray
    intrinsics: Intrinsics
    where: str
    mask: Path | None = None
    as_stored: bool = False
    reprojection: float | None = None


@dataclass
class FrameSet:
    """All frames of a source, in natural order of their names.

    Attributes:
        up: the file's up axis, a unit vector in its coordinates.
        depth_range: (near, far) around the object in file units, where the file knows.
        box: (low, high) tight box of the object in file coordinates, where the file knows.
        points: [P, 3] points of the surroundings in file coordinates, where the file knows.
    """

    frames: list[Frame]
    up: tuple[float, float, float] = (0.0, 1.0, 0.0)
    depth_range: tuple[float, float] | None = None
    box: tuple[np.ndarray, np.ndarray] | None = None
    points: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)


def number(value: Any, where: str, positive: bool = False) -> float:
    """`value` as a finite float; InputError names `where`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{where} is {str(value)[:40]!r}, expected a number")
    if positive and value <= 0:
        raise InputError(f"{where} is {value:g}, expected a positive number")
    return float(value)


def find_image(path: Path) -> Path | None:
    """`path`, or `path` with the first known image suffix that exists."""
    if path.is_file():
        return path
    if path.suffix.lower() in SUFFIXES:
        return None
    for suffix in SUFFIXES:
        for text in (suffix, suffix.upper()):
            candidate = path.with_name(path.name + text)
            if candidate.is_file():
                return candidate
    return None


def find_mask(root: Path, image: Path) -> Path | None:
    """The mask of `image` in a capture's folder `root`.

    In `masks/` or `mask/`, of the capture or beside the photo, as the photo's stem, its whole
    name plus a suffix (COLMAP's way), or the stem plus `_mask`; beside the photo only the last.
    """
    parents = (root, image.parent)
    folders = list(dict.fromkeys(parent / name for parent in parents for name in MASK_FOLDERS))
    candidates = [folder for folder in folders if folder.is_dir() and folder != image.parent]
    below = image.parent.relative_to(root) if image.is_relative_to(root) else Path()
    for folder in [c / below for c in candidates] + candidates:
        for name in (image.stem, image.name, f"{image.stem}_mask"):
            for suffix in SUFFIXES:
                candidate = folder / (name + suffix)
                if candidate.is_file():
                    return candidate
    beside = (image.with_name(f"{image.stem}_mask{suffix}") for suffix in SUFFIXES)
    return next((candidate for candidate in beside if candidate.is_file()), None)


def list_images(folder: Path) -> list[Path]:
    """Photos of a folder, in plain order of their names; hidden files and masks are left out."""
    if not folder.is_dir():
        return []
    files = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]
    stems = {p.stem for p in files}
    files = [p for p in files if not (p.stem.endswith("_mask") and p.stem[:-5] in stems)]
    return sorted(p for p in files if p.is_file())


def unique_names(frames: list[Frame], root: Path) -> None:
    """Name each frame after its image; with the folder too where stems repeat.

    Raises:
        InputError: the same image appears twice.
    """
    seen: dict[Path, str] = {}
    for frame in frames:
        key = frame.image.resolve()
        if key in seen:
            raise InputError(
                f"{frame.where}: {frame.image.name} appears twice (also {seen[key]}), expected once"
            )
        seen[key] = frame.where
    if len({f.name for f in frames}) < len(frames):
        for frame in frames:
            relative = frame.image.resolve().relative_to(root.resolve())
            frame.name = relative.as_posix()
