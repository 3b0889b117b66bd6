"""Masks of the object: from mask files, and from a plain background colour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from studio.core.io.images import load_image

WORK_SIZE = 800
"""Long side at which masks are found; radii and areas below count in its pixels."""

_DILATE, _ERODE = 6.0, 5.0
"""Closing bridges shaded cracks of the object; one pixel more out than in, because a mask too
large is trimmed by other views while one too small carves the object away. Of 3/3, 6/5 and
10/7 on the two Middlebury sets this kept columns free and lost no fin."""

_HOLE_AREA = 400.0
"""Smaller holes are dark spots, larger ones gaps one can see through: 250 at 640x480."""

_PLAIN_BORDER = 0.25
"""A background is plain when its border varies less than this (90th percentile of distance)."""

_BESIDE = 8.0
"""Pixels on either side of an outline that are compared; where a threshold cuts through a shaded surface
they are much alike, at the end of an object they are not."""

_CONTRAST = 0.75
"""Difference between both sides, in thresholds, below which an outline is called faint."""


@dataclass(frozen=True)
class Background:
    """A plain background: its sRGB coded colour, and how far from it the object begins (0..1)."""

    color: np.ndarray
    threshold: float


def load_mask(path: Path) -> np.ndarray:
    """[H, W] float32 coverage 0..1, row 0 at the bottom, from a mask file.

    White is the object. A file with an alpha channel that is not constant means the alpha; a
    file of the integers 0 and 1 means 0 and white.
    """
    image = load_image(path, color=False)
    if image.shape[2] == 4 and np.ptp(image[..., 3]) > 0:
        mask = image[..., 3]
    else:
        mask = image[..., :3].max(axis=2)
    top = float(mask.max())
    if 0 < top <= 1.5 / 255:  # integers 0 and 1 of an 8-bit file
        mask = mask / top
    return np.clip(mask, 0.0, 1.0).astype(np.float32)


def distance_to(coded: np.ndarray, color: np.ndarray) -> np.ndarray:
    """[H, W] float32 largest channel difference of [H, W, 3] sRGB bytes from a colour 0..1."""
    target = np.asarray(color, np.float32) * 255
    return np.abs(coded.astype(np.float32) - target).max(axis=2) / np.float32(255)


def find_background(
    pictures: Sequence[np.ndarray],
    color: tuple[float, float, float] | None = None,
    threshold: float | None = None,
) -> Background | None:
    """The plain background that all pictures share, or None where their borders are not plain.

    The colour is the median of the borders. The threshold is the lower end of the valley that
    lies below Otsu's threshold in the histogram of distances from the colour: as much of a
    shaded object as possible, and as little of a faintly lit backdrop.

    Args:
        pictures: [H, W, 3] uint8 sRGB each.
        color: sRGB 0..1 if known; then the border need not be plain.
        threshold: 0..1 if known.
    """
    if color is None:
        border = np.concatenate([_border(p) for p in pictures])
        found = np.median(border, axis=0) / 255
        if np.percentile(distance_to(border[None], found), 90) > _PLAIN_BORDER:
            return None
    else:
        found = np.asarray(color, np.float64)
    if threshold is None:
        step = max(1, len(pictures) // 16)  # the histogram of 16 pictures tells enough
        distances = np.concatenate([distance_to(p[::2, ::2], found).ravel() for p in pictures[::step]])
        if np.ptp(distances) < 0.1:  # nothing but background
            return None
        threshold = _valley(distances)
    return Background(found, threshold)


def _border(picture: np.ndarray) -> np.ndarray:
    """[N, 3] pixels of a frame 2 % wide."""
    w = max(1, round(0.02 * max(picture.shape[:2])))
    parts = (picture[:w], picture[-w:], picture[:, :w], picture[:, -w:])
    return np.concatenate([p.reshape(-1, 3) for p in parts])


def _valley(distances: np.ndarray) -> float:
    bins = 64
    counts, _ = np.histogram(distances, bins, (0.0, 1.0))
    smooth = ndimage.gaussian_filter1d(counts.astype(np.float64), 1.0)
    below_otsu = int(threshold_otsu(distances) * bins) + 1
    lowest = low = int(smooth[:below_otsu].argmin())
    while low > 1 and smooth[low - 1] <= 1.5 * smooth[lowest]:
        low -= 1
    return (low + 0.5) / bins


def extract(picture: np.ndarray, background: Background, region: np.ndarray | None = None) -> np.ndarray:
    """[H, W] bool mask of the object before a plain background.

    Threshold, opening against threads of lit backdrop, closing, small holes filled, and the
    largest component with everything at least a tenth its size.

    Args:
        picture: [H, W, 3] uint8 sRGB.
        region: [H, W] bool where the object can be at all, or None.
    """
    unit = max(picture.shape[:2]) / WORK_SIZE
    mask = distance_to(picture, background.color) > background.threshold
    if region is not None:
        mask &= region
    mask = opened(mask)
    mask = _grown(_grown(mask, _DILATE * unit), -_ERODE * unit)
    mask |= _components(~mask, lambda area: area < _HOLE_AREA * unit**2)
    mask = without_crumbs(mask)
    return mask if region is None else mask & region


def faint_outline(mask: np.ndarray, distance: np.ndarray, threshold: float) -> tuple[int, int]:
    """(Pixels of a mask's outline across which the picture hardly changes, all of them).

    Args:
        mask: [H, W] bool. distance: [H, W], as `distance_to` has it. threshold: where the mask begins.
    """
    size = 2 * max(1, round(_BESIDE * max(mask.shape) / WORK_SIZE)) + 1
    inside = mask.astype(np.float32)
    share = ndimage.uniform_filter(inside, size)
    within, around = (ndimage.uniform_filter(distance * part, size) for part in (inside, 1 - inside))
    contrast = within / np.maximum(share, 1e-3) - around / np.maximum(1 - share, 1e-3)
    outline = mask & ~ndimage.binary_erosion(mask, border_value=1)
    return int((contrast[outline] < _CONTRAST * threshold).sum()), int(outline.sum())


def opened(mask: np.ndarray) -> np.ndarray:
    """[H, W] bool: a mask without its threads."""
    radius = 1.5 * max(mask.shape) / WORK_SIZE
    return _grown(_grown(mask, -radius), radius)


def without_crumbs(mask: np.ndarray) -> np.ndarray:
    """[H, W] bool: the largest connected part of a mask, with everything at least a tenth its size."""
    return _components(mask, lambda area: area >= 0.1 * area.max(initial=0))


def _grown(mask: np.ndarray, radius: float) -> np.ndarray:
    """The mask dilated (radius > 0) or eroded by a disk; beyond the frame it goes on as it is."""
    pad = int(np.ceil(abs(radius))) + 1
    wide = np.pad(mask, pad, mode="edge")
    if radius >= 0:
        wide = ndimage.distance_transform_edt(~wide) <= radius if wide.any() else wide
    else:
        wide = ndimage.distance_transform_edt(wide) > -radius if not wide.all() else wide
    return np.asarray(wide[pad:-pad, pad:-pad])


def _components(mask: np.ndarray, wanted: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The connected parts of a mask whose area (pixels) `wanted` accepts."""
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    area = np.bincount(labels.ravel())
    area[0] = 0
    keep = np.asarray(wanted(area))
    keep[0] = False
    return keep[labels]
