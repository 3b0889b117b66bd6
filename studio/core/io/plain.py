"""Masks for a whole set from its plain background, and the region its known box allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from scipy.spatial import ConvexHull
from skimage.draw import polygon

from studio.core.io.consensus import drop_false_parts, fill_false_holes, left_out_in_shade
from studio.core.io.frames import FrameSet
from studio.core.io.masks import distance_to, extract, faint_outline, find_background
from studio.core.io.matting import unmix
from studio.core.io.normalize import object_sphere
from studio.core.io.resample import resized_mask
from studio.core.scene.camera import Camera
from studio.core.scene.photo import Photo
from studio.core.scene.similarity import Similarity

_BOX_MARGIN = 1.03
"""A tight box is grown by 3 %: calibration is not exact."""

_FAINT = 0.15
"""Share of all outlines that may be faint. Objects that differ from their background have up to .05, white
balls before white .28 and more."""


def mask_plain_background(
    photos: list[Photo],
    pictures: list[np.ndarray],
    frames: FrameSet,
    to_world: Similarity,
    color: Literal["auto"] | tuple[float, float, float],
    threshold: float | None,
    run: Callable[[Callable[[Any], Any], list[Any]], list[Any]],
    otherwise: Callable[[], list[str] | None] = lambda: None,
) -> list[str] | None:
    """Set the masks of photos that show the object before one plain colour.

    Returns notes, or None where the background is not plain.

    Args:
        photos: their `mask` is set.
        pictures: [h, w, 3] uint8 sRGB each, row 0 at the bottom, the same view at working size.
        color, threshold: as in `load_photos`.
        run: maps a function over a list, on all cores.
        otherwise: sets the masks in another way where the object is hardly told from the background, and
            returns notes, or None if it cannot either.
    """
    known = None if color == "auto" else color
    background = find_background(pictures, known, threshold)
    if background is None:
        return None
    corners = None if frames.box is None else to_world.apply(box_corners(*frames.box))

    def find(item: tuple[Photo, np.ndarray]) -> np.ndarray:
        photo, picture = item
        region = None
        if corners is not None:
            region = box_region(_at(photo.camera, picture), corners)
        mask = extract(picture, background, region)
        photo.mask = resized_mask(mask, *photo.image.shape[:2])
        return mask

    found = run(find, list(zip(photos, pictures, strict=True)))
    cameras = [_at(photo.camera, mask) for photo, mask in zip(photos, found, strict=True)]
    around = object_sphere(photos)
    distances = run(lambda picture: distance_to(picture, background.color), pictures)
    changed = fill_false_holes(found, cameras, *around)
    if changed + drop_false_parts(found, distances, background.threshold, cameras, *around):
        for photo, mask in zip(photos, found, strict=True):
            photo.mask = resized_mask(mask, *photo.image.shape[:2])

    warning = _faint(found, distances, background.threshold)
    notes = otherwise() if warning else None
    if notes is not None:
        return ["the object's colour is near that of the plain background: masks are not from that", *notes]

    silent = left_out_in_shade(found, distances, background.threshold, cameras, *around)

    def mix(item: tuple[Photo, np.ndarray]) -> None:
        photo, unknown = item
        assert photo.mask is not None
        if not unknown.any():
            photo.image, photo.mask = unmix(photo.image, photo.mask, background)
            return
        doubtful = (resized_mask(unknown, *photo.image.shape[:2]) > 0.5) & (photo.mask <= 0.5)
        photo.image, photo.mask = unmix(photo.image, photo.mask, background, doubtful)
        photo.ignore = doubtful if photo.ignore is None else photo.ignore | doubtful

    run(mix, list(zip(photos, silent, strict=True)))
    shown = ", ".join(f"{v:.2f}" for v in background.color)
    notes = [f"masks from the plain background, sRGB ({shown}), threshold {background.threshold:.2f}"]
    if corners is not None:
        notes.append("masks cropped to the object's box from the README")
    shaded = sum(bool(unknown.any()) for unknown in silent)
    if shaded:
        notes.append(f"{shaded} masks leave out in shade what others show: those pixels say nothing")
    return notes + warning + _empty(photos, found)


def _empty(photos: list[Photo], masks: list[np.ndarray]) -> list[str]:
    """A warning if masks hold nothing."""
    empty = [photo.name for photo, mask in zip(photos, masks, strict=True) if not mask.any()]
    return [f"no object found in {', '.join(empty[:5])}{' ...' if len(empty) > 5 else ''}"] if empty else []


def _faint(masks: list[np.ndarray], distances: list[np.ndarray], threshold: float) -> list[str]:
    """A warning if long parts of the outlines follow nothing that is seen."""
    outlines = [faint_outline(m, d, threshold) for m, d in zip(masks, distances, strict=True)]
    faint, total = np.sum(outlines, axis=0)
    if faint <= _FAINT * total:
        return []
    return [
        f"look at the masks: along {100 * faint / total:.0f} % of their outlines the object's colour is near "
        "that of the background; try --masks grabcut, or a background of another colour"
    ]


def _at(camera: Camera, picture: np.ndarray) -> Camera:
    """The camera at the size of a picture or mask."""
    return camera.resized(picture.shape[1], picture.shape[0])


def box_corners(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """[8, 3] corners of a box."""
    return np.stack(np.meshgrid(*np.stack([low, high], axis=1), indexing="ij"), axis=-1).reshape(8, 3)


def box_region(camera: Camera, corners: np.ndarray) -> np.ndarray | None:
    """[H, W] bool pixels inside the projection of a box; None if it reaches behind the camera."""
    center = corners.mean(axis=0)
    grown = center + _BOX_MARGIN * (corners - center)
    view = grown @ camera.world_to_view[:3, :3].T + camera.world_to_view[:3, 3]
    if view[:, 2].max() >= 0:
        return None
    x = camera.cx - camera.fx * view[:, 0] / view[:, 2]
    y = camera.height - camera.cy - camera.fy * view[:, 1] / view[:, 2]
    points = np.stack([y, x], axis=1) - 0.5
    outline = points[ConvexHull(points).vertices]
    region = np.zeros((camera.height, camera.width), bool)
    region[polygon(outline[:, 0], outline[:, 1], region.shape)] = True
    return region
