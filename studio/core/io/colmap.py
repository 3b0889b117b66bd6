"""Photos with the cameras of a COLMAP model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from studio.core.errors import InputError
from studio.core.io.colmap_model import Model, ModelCamera, ModelImage, is_model, read_model
from studio.core.io.files import inside, natural_key
from studio.core.io.frames import Frame, FrameSet, Intrinsics, find_mask, list_images, unique_names
from studio.core.io.lens import LENSES, Lens
from studio.core.scene.camera import check_rigid

MODEL_FOLDERS = ("", "sparse", "colmap", "colmap/sparse", "colmap_sparse", "dense/sparse")
"""Where a capture keeps its model, or the numbered models of which one is taken."""

MARK = "photos.json"
"""Beside a model that the studio made: names and sizes of its photos, which it saw upright."""

PHOTO_FOLDERS = ("images", "", "image", "photos", "input", "rgb")


def find_model(folder: Path) -> Path | None:
    """The folder of a capture's model: the numbered one with most images wins."""
    for name in MODEL_FOLDERS:
        base = folder / name
        numbered = [p for p in sorted(base.glob("[0-9]*")) if is_model(p)] if base.is_dir() else []
        if numbered:
            return max(numbered, key=_size)
        if is_model(base):
            return base
    return None


def _size(model: Path) -> int:
    return max((p.stat().st_size for p in model.glob("images.*")), default=0)


def read_colmap(model_folder: Path, photos: Path | None = None) -> FrameSet:
    """Frames of a COLMAP model; its photos lie in images/ or so, beside the model or up to 3 folders above.

    Args:
        model_folder: holds cameras, images and points3D as .bin or .txt.
        photos: folder of the photos, where it is known.
    Raises:
        InputError: a damaged model, or photos that are not there.
    """
    model = read_model(model_folder)
    if photos is None:
        root, photos = _photo_folder(model, model_folder)
    else:
        root = photos.parent if photos.name in PHOTO_FOLDERS else photos
    own = (model_folder / MARK).is_file()
    frames = [_frame(image, model, root, photos, own) for image in model.images]
    unique_names(frames, photos)
    frames.sort(key=lambda f: natural_key(f.image.as_posix()))
    unplaced = len(list_images(photos)) - len(frames)
    notes = [f"cameras found by COLMAP, kept in {model_folder}" if own else f"cameras from {model_folder}"]
    if unplaced > 0 and all(frame.image.parent == photos for frame in frames):
        notes.append(f"{unplaced} photos of {photos.name}/ have no camera in the model and are left out")
    points = model.points[np.isfinite(model.points).all(axis=1)]
    return FrameSet(
        frames, up=_up(frames), depth_range=_depth_range(frames, points), points=points, notes=notes
    )


def _photo_folder(model: Model, model_folder: Path) -> tuple[Path, Path]:
    """(capture's folder, the folder below it that holds most of the model's photos)."""
    names = [image.name.replace("\\", "/") for image in model.images]
    best, most = None, 0
    for root in (model_folder, *model_folder.absolute().parents[:3]):
        for name in PHOTO_FOLDERS:
            here = sum((root / name / photo).is_file() for photo in names)
            if here > most:
                best, most = (root, root / name), here
    if best is None:
        raise InputError(
            f"{model_folder}: none of the model's photos is there ({names[0][:80]}, ...); "
            "expected them in images/ beside the model or above it"
        )
    return best


def _frame(image: ModelImage, model: Model, root: Path, photos: Path, own: bool) -> Frame:
    path = inside(photos, image.name, image.where)
    if not path.is_file():
        raise InputError(f"{image.where}: photo {path} does not exist")
    world_to_view = np.eye(4)
    world_to_view[:3, :3] = rotation_matrix(image.rotation)
    world_to_view[:3, 3] = image.translation
    world_to_view = check_rigid(world_to_view, image.where)
    camera = model.cameras[image.camera]
    intrinsics = intrinsics_of(camera)
    frame = Frame(
        path.stem,
        path,
        np.linalg.inv(world_to_view) @ np.diag((1.0, -1.0, -1.0, 1.0)),  # OpenCV to OpenGL axes
        intrinsics,
        image.where,
        find_mask(root, path),
        as_stored=not own,
    )
    frame.reprojection = _reprojection(image, model, world_to_view, intrinsics)
    return frame


def intrinsics_of(camera: ModelCamera) -> Intrinsics:
    """The intrinsics and, unless it is a pinhole, the lens of a model's camera."""
    known = LENSES[camera.model]
    fx, fy = camera.params[0], camera.params[known.focals - 1]
    cx, cy = camera.params[known.focals : known.focals + 2]
    lens = Lens(camera.model, camera.params[known.focals + 2 :])
    return Intrinsics(
        camera.width, camera.height, fx, fy, cx, cy, own=True, lens=None if lens.straight else lens
    )


def rotation_matrix(quaternion: np.ndarray) -> np.ndarray:
    """[3, 3] of a unit quaternion w, x, y, z."""
    w, v = float(quaternion[0]), quaternion[1:]
    cross = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.asarray((w * w - v @ v) * np.eye(3) + 2 * np.outer(v, v) + 2 * w * cross)


def _reprojection(
    image: ModelImage, model: Model, world_to_view: np.ndarray, intrinsics: Intrinsics
) -> float | None:
    """Median distance in pixels between features and their points, None where there are few."""
    place = np.searchsorted(model.ids, image.seen_ids)
    known = place < len(model.ids)
    known[known] = model.ids[place[known]] == image.seen_ids[known]
    if known.sum() < 8:
        return None
    view = model.points[place[known]] @ world_to_view[:3, :3].T + world_to_view[:3, 3]
    with np.errstate(all="ignore"):
        x, y = view[:, 0] / view[:, 2], view[:, 1] / view[:, 2]
    if intrinsics.lens is not None:
        x, y = intrinsics.lens.distort(x, y)
    focal, middle = (intrinsics.fx, intrinsics.fy), (intrinsics.cx, intrinsics.cy)
    ours = np.stack([x, y], axis=1) * np.array(focal, float) + np.array(middle, float)
    return float(np.median(np.linalg.norm(ours - image.seen[known], axis=1)))


def _up(frames: list[Frame]) -> tuple[float, float, float]:
    """The cameras' mean up; a model's own axes mean nothing."""
    mean = np.mean([frame.pose[:3, 1] for frame in frames], axis=0)
    length = float(np.linalg.norm(mean))
    if length < 0.3:  # rolled all round
        return (0.0, -1.0, 0.0)
    x, y, z = (float(v) for v in mean / length)
    return x, y, z


def _depth_range(frames: list[Frame], points: np.ndarray) -> tuple[float, float] | None:
    """Depths between which the middle four fifths of the points lie, seen from all cameras."""
    if len(points) < 10:
        return None
    some = points[:: max(1, len(points) // 2000)]
    depths = np.concatenate([-(some - f.pose[:3, 3]) @ f.pose[:3, 2] for f in frames])
    depths = depths[depths > 0]
    if len(depths) == 0:
        return None
    near, far = np.percentile(depths, (10, 90))
    return float(near), float(far)
