"""Cutting the object out of photos by colour: GrabCut, seeded by the cameras or by strokes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from studio.core.errors import InputError
from studio.core.io.consensus import agreed_points, shown
from studio.core.io.images import to_bytes
from studio.core.io.resample import fitted_size, resized_mask, shrink
from studio.core.scene.camera import Camera
from studio.core.scene.photo import Photo

_SIZE = 200
"""Long side at which all photos are cut together. On ethiopianHead 240 and 200 found the golden cap
of the head in all photos; 160 missed it in some, 120 in many."""

_FINE_SIZE = 640
"""Long side at which each outline is cut once more, in a band around the first."""

_TOGETHER = 16
"""Photos that share one colour model: more would make the cut slow, fewer the model poor."""

_LIKELY, _POSSIBLE = 0.1, 0.02
"""Shares of the frame at its border that points of the object keep off, in nearly all photos."""

_MISSES = 0.15
"""Share of the photos that may take a point of the object for background."""

_VOXELS = 64
_AGREEMENT = 0.6
"""Mean overlap of masks with the hull of all of them below which the cut is given up: a cut that
follows colours of the background does not add up to a body. Good ones reach .85 to .95."""

_BG, _FG, _LIKELY_BG, _LIKELY_FG = 0, 1, 2, 3
"""cv2.grabCut's labels."""

Run = Callable[[Callable[[Any], Any], list[Any]], list[Any]]


def cut_out(
    image: np.ndarray,
    foreground: Sequence[np.ndarray],
    background: Sequence[np.ndarray],
    mask: np.ndarray | None = None,
    brush: float = 3.0,
) -> np.ndarray:
    """Cut an object out of one photo, guided by strokes.

    A mask is corrected around the strokes only; elsewhere, and where its sides stay, it keeps its values.

    Args:
        image: [H, W, 3] float32 linear, row 0 at the bottom.
        foreground, background: strokes over the object and over what is not: [N, 2] pixel
            positions (x, y) from the bottom left each, joined by straight lines.
        mask: [H, W] 0..1, a mask to correct; None starts from the strokes' colours.
        brush: radius of the strokes in pixels.
    Returns:
        [H, W] float32 mask, 0 or 1 where it is cut.
    Raises:
        InputError: no stroke over the object, strokes that are no [N, 2], shapes that differ.
    Reference:
        Rother, Kolmogorov and Blake 2004, "GrabCut", as OpenCV has it.
    """
    if not foreground and mask is None:
        raise InputError("cut out: no stroke over the object, expected at least one")
    if mask is not None and mask.shape != image.shape[:2]:
        raise InputError(f"cut out: mask has shape {mask.shape}, expected {image.shape[:2]}")
    height, width = image.shape[:2]
    labels = np.full((height, width), _LIKELY_BG, np.uint8)
    if mask is not None:
        labels[mask > 0.5] = _LIKELY_FG
    elif not background:  # then what is far from the strokes is background: the frame
        labels[[0, -1]] = labels[:, [0, -1]] = _BG
    for strokes, label in ((background, _BG), (foreground, _FG)):
        for stroke in strokes:
            labels = _painted(labels, stroke, label, brush)
    if mask is None:
        return _grabcut(to_bytes(image, color=True), labels, 5).astype(np.float32)
    near = _around([*foreground, *background], height, width, brush)
    cut = _grabcut(to_bytes(image[near], color=True), labels[near], 5)
    out = mask.astype(np.float32)
    out[near] = np.where(cut != (mask[near] > 0.5), cut, mask[near])
    return out


def _around(strokes: Sequence[np.ndarray], height: int, width: int, brush: float) -> tuple[slice, slice]:
    """Rows and columns about strokes: what one would have looked at while painting them."""
    points = np.concatenate(strokes)
    margin = max(4 * brush, 0.15 * max(height, width))
    low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
    (left, bottom), (right, top) = np.floor(low).astype(int), np.ceil(high).astype(int)
    return slice(max(bottom, 0), max(top, 1)), slice(max(left, 0), max(right, 1))


def _painted(labels: np.ndarray, stroke: np.ndarray, label: int, brush: float) -> np.ndarray:
    """The labels with one stroke drawn into them."""
    import cv2

    points = np.asarray(stroke, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0 or not np.isfinite(points).all():
        raise InputError(f"cut out: a stroke has shape {points.shape}, expected [N, 2] pixel positions")
    line = np.round(points - 0.5).astype(np.int32).reshape(-1, 1, 2)
    thickness = max(1, round(2 * brush))
    return np.asarray(cv2.polylines(np.ascontiguousarray(labels), [line], False, label, thickness))


def _grabcut(picture: np.ndarray, labels: np.ndarray, rounds: int) -> np.ndarray:
    """[H, W] bool of [H, W, 3] uint8; where one side has no pixels to learn from, the labels."""
    import cv2

    front = (labels == _FG) | (labels == _LIKELY_FG)
    if front.all() or not front.any():
        return front
    out = labels.copy()
    cv2.setRNGSeed(0)  # of this thread: the same photos give the same masks
    back, front_model = np.zeros((1, 65)), np.zeros((1, 65))
    picture = np.ascontiguousarray(picture)
    cv2.grabCut(picture, out, (0, 0, 0, 0), back, front_model, rounds, cv2.GC_INIT_WITH_MASK)
    return np.asarray((out == _FG) | (out == _LIKELY_FG))


def cut_out_all(photos: list[Photo], run: Run) -> tuple[list[np.ndarray] | None, list[str]]:
    """Masks of the body that all photos show, from cameras and colours alone.

    What lies in the middle of nearly all frames may be the object, what some frame does not show
    is not. Colour models shared by many photos tell them apart; the body that the masks carve
    together corrects them; last, each outline is cut again at a finer size.

    Args:
        photos: with cameras; their masks are not looked at.
        run: maps a function over a list, on all cores.
    Returns:
        ([H, W] float32 mask of each photo, or None where the masks do not add up to a body; notes).
    """
    small = [_small(photo, _SIZE) for photo in photos]
    cameras = [camera for _, camera in small]
    pictures = [picture for picture, _ in small]
    center, radius = np.zeros(3), 1.3 * float(np.median([_reach(camera) for camera in cameras]))
    labels = _first_labels(cameras, center, radius)
    masks = _cut_together(pictures, labels, 3, run)
    hulls = _hulls(masks, cameras, center, radius)
    labels = [_labels_around(hull, _SIZE // 40) for hull in hulls]
    masks = _cut_together(pictures, labels, 2, run)
    agreement = np.array([_overlap(m, h) for m, h in zip(masks, hulls, strict=True)])
    if agreement.mean() < _AGREEMENT:
        return None, [
            "no masks: the photos could not be cut by colour alone "
            f"(the cuts overlap by {100 * agreement.mean():.0f} %); give mask files"
        ]
    fine = run(_finer, list(zip(photos, masks, strict=True)))
    notes = [f"masks cut out by colour (GrabCut), overlap with their common body {agreement.mean():.2f}"]
    doubtful = [p.name for p, a in zip(photos, agreement, strict=True) if a < agreement.mean() - 0.15]
    if doubtful:
        notes.append(f"look at the masks of {', '.join(doubtful[:5])}{' ...' if len(doubtful) > 5 else ''}")
    return fine, notes


def _small(photo: Photo, size: int) -> tuple[np.ndarray, Camera]:
    """([h, w, 3] uint8 sRGB, the camera at that size)."""
    full_height, full_width = photo.image.shape[:2]
    height, width = fitted_size(full_height, full_width, size)
    picture = to_bytes(shrink(photo.image, height, width), color=True)
    return picture, photo.camera.resized(width, height)


def _reach(camera: Camera) -> float:
    """Radius of a sphere at the origin as large as the middle sizes of the frame."""
    half = (camera.width / camera.fx + camera.height / camera.fy) / 4
    return float(np.linalg.norm(camera.position)) * float(np.sin(np.arctan(half)))


def _first_labels(cameras: list[Camera], center: np.ndarray, radius: float) -> list[np.ndarray]:
    """Labels of what the cameras have in common, the frame without its border."""
    out = [np.full((c.height, c.width), _BG, np.uint8) for c in cameras]
    for margin, label in ((_POSSIBLE, _LIKELY_BG), (_LIKELY, _LIKELY_FG)):
        frames = [_without_border(camera, margin) for camera in cameras]
        points, step = agreed_points(frames, cameras, center, radius, _MISSES, _VOXELS)
        for labels, camera, frame in zip(out, cameras, frames, strict=True):
            labels[shown(points, camera, step) & frame] = label
    return out


def _without_border(camera: Camera, share: float) -> np.ndarray:
    """[H, W] bool, True but for a border of this share of each side."""
    out = np.zeros((camera.height, camera.width), bool)
    y, x = (max(1, round(share * size)) for size in out.shape)
    out[y:-y, x:-x] = True
    return out


def _cut_together(
    pictures: list[np.ndarray], labels: list[np.ndarray], rounds: int, run: Run
) -> list[np.ndarray]:
    """GrabCut of many photos under each other, which thereby share their colour models."""
    groups = -(-len(pictures) // _TOGETHER)
    width = max(p.shape[1] for p in pictures)

    def cut(first: int) -> list[np.ndarray]:
        chosen = range(first, len(pictures), groups)
        parts = []
        for k in chosen:
            wide = ((0, 0), (0, width - pictures[k].shape[1]))
            parts.append((np.pad(pictures[k], (*wide, (0, 0)), mode="edge"), np.pad(labels[k], wide)))
        mask = _grabcut(np.concatenate([p for p, _ in parts]), np.concatenate([s for _, s in parts]), rounds)
        ends = np.cumsum([pictures[k].shape[0] for k in chosen])[:-1]
        return [m[:, : pictures[k].shape[1]] for k, m in zip(chosen, np.split(mask, ends), strict=True)]

    out: list[np.ndarray] = [np.zeros(0, bool)] * len(pictures)
    for first, masks in enumerate(run(cut, list(range(groups)))):
        out[first::groups] = masks
    return out


def _hulls(
    masks: list[np.ndarray], cameras: list[Camera], center: np.ndarray, radius: float
) -> list[np.ndarray]:
    """What nearly all masks agree on, seen by each camera."""
    points, step = agreed_points(masks, cameras, center, radius, _MISSES, _VOXELS)
    return [shown(points, camera, step) for camera in cameras]


def _labels_around(mask: np.ndarray, pixels: int) -> np.ndarray:
    """Labels that leave a band along the outline open, sure outside and inside of it."""
    import cv2

    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1))
    solid = mask.astype(np.uint8)
    labels = np.full(mask.shape, _BG, np.uint8)
    labels[cv2.dilate(solid, disk) > 0] = _LIKELY_BG
    labels[mask] = _LIKELY_FG
    labels[cv2.erode(solid, disk, borderType=cv2.BORDER_REPLICATE) > 0] = _FG
    return labels


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def _finer(item: tuple[Photo, np.ndarray]) -> np.ndarray:
    """[H, W] float32: the mask cut again at a finer size, within its own surroundings."""
    photo, mask = item
    if not mask.any():
        return np.zeros(photo.image.shape[:2], np.float32)
    picture, camera = _small(photo, _FINE_SIZE)
    large = resized_mask(mask, camera.height, camera.width) > 0.5
    band = max(3, round(1.5 * camera.width / mask.shape[1]))
    labels = _labels_around(large, band)
    rows, columns = (np.flatnonzero((labels != _BG).any(axis=axis)) for axis in (1, 0))
    around = slice(max(rows[0] - 20, 0), rows[-1] + 21), slice(max(columns[0] - 20, 0), columns[-1] + 21)
    cut = np.zeros(large.shape, bool)
    cut[around] = _grabcut(picture[around], labels[around], 1)
    return resized_mask(cut, *photo.image.shape[:2])
