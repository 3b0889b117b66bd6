"""Telling dark spots and shaded parts of an object from gaps, and a lit backdrop from it, by other photos."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from studio.core.io.masks import WORK_SIZE, opened, without_crumbs
from studio.core.scene.camera import Camera

_VOXELS = 64
"""Grid over the object's sphere: fine enough for holes of its 1/60."""

_MAX_AREA = 0.003
"""Holes up to this share of the picture are in doubt. On the Middlebury sets dark spots reach
0.0027; the true gaps that the other views cannot see into begin at 0.004."""

_COVERED = 0.9
"""Share of a hole that the others' hull must cover. There dark spots reach 1.0, gaps 0.77."""

_FAINT = 0.25
"""Colours up to this share of the way from the background's threshold to the object's usual distance may be
a lit backdrop. The cloth behind the temple has .05; what else the other photos leave out, .7 and more."""

_APART = 6.0
"""Pixels, of the size that masks are found at, by which a false part must lie outside the others' hull: its
voxels and the cameras are as exact as that."""

_MISSES = 0.1
"""Share of the photos that may miss a part of the object in its shade."""

_WITNESSES = 3
"""Photos that must show a part which no other body explains, before others are thought to miss it."""

_IN_SHADE = 0.35
"""Share of the photos that may leave a part out. The dino's tail lies in shade in 5 of 16."""

_UNEXPLAINED = 1.0
"""Pixels, as above, outside the hull's picture from which on a mask shows more than the hull."""

_BLIND = 0.2
"""Share of a part that a photo leaves out if it cannot see it in its shade; others err by their outlines.
Photos that show the dino's tail lit leave out up to .17 of what is found, the others .23 to .61."""

_BODY = 27
"""Voxels of a part at least: fewer are what outlines and cameras are inexact by."""

_COVER_VOXELS = 40
_FINE_VOXELS = 96

_STRANGE = 0.2
"""Share of the photos that may be wrong: what the rest agree upon counts as the object."""

_ALIKE = 0.8
"""Share of the usual cover below which a photo is a stranger. On the four real sets all have .97 of it;
two cameras among them turned by 8 degrees have less than .65."""


def fill_false_holes(
    masks: list[np.ndarray], cameras: list[Camera], center: np.ndarray, radius: float
) -> int:
    """Fill enclosed holes of masks, in place, that all other views take for the object.

    A dark spot on the object looks like the background, but the hull carved by the other views
    lies behind all of it. Through a true gap some other view sees too.

    Args:
        masks: [H, W] bool each, row 0 at the bottom.
        cameras: of the masks' sizes.
        center, radius: sphere around the object, world units.
    Returns:
        How many holes were filled.
    """
    holes = [_holes(mask) for mask in masks]
    if len(masks) < 3 or not any(found.any() for found in holes):
        return 0
    points, missed_by = _with_one_miss_at_most(_grid(center, radius, _VOXELS), masks, cameras)
    step = 2 * radius / (_VOXELS - 1)
    filled = 0
    for index, (mask, camera) in enumerate(zip(masks, cameras, strict=True)):
        if not holes[index].any():
            continue
        others = shown(points[(missed_by < 0) | (missed_by == index)], camera, step)
        labels, count = ndimage.label(holes[index])
        covered = ndimage.mean(others, labels, np.arange(1, count + 1))
        wanted = np.flatnonzero(np.asarray(covered) >= _COVERED) + 1
        mask |= np.isin(labels, wanted)
        filled += len(wanted)
    return filled


def drop_false_parts(
    masks: list[np.ndarray],
    distances: list[np.ndarray],
    threshold: float,
    cameras: list[Camera],
    center: np.ndarray,
    radius: float,
) -> int:
    """Take faint parts out of masks, in place, where the other views see no object.

    A spot of light on the backdrop is in one mask; what hides the backdrop is in all. Parts as bright as the
    object stay: there another view may have missed it in its shade.

    Args:
        masks, cameras, center, radius: as in `fill_false_holes`.
        distances: [H, W] each, colours' distances from the background, as `masks.distance_to` has them.
        threshold: of the distances, where the object begins.
    Returns:
        How many parts were taken out.
    """
    if len(masks) < 3:
        return 0
    points, step = agreed_points(masks, cameras, center, radius, _MISSES, _FINE_VOXELS, least_seen=0.0)
    dropped = 0
    for mask, distance, camera in zip(masks, distances, cameras, strict=True):
        if not mask.any():
            continue
        others = shown(points, camera, step)
        faint = opened(mask & ~others & (distance < _faint(mask, distance, threshold)))
        if not faint.any():
            continue
        labels, _ = ndimage.label(faint)
        apart = np.unique(labels[faint & _apart(others, _APART)])
        if len(apart):
            mask &= ~np.isin(labels, apart)
            mask[:] = without_crumbs(mask)
        dropped += len(apart)
    return dropped


def left_out_in_shade(
    masks: list[np.ndarray],
    distances: list[np.ndarray],
    threshold: float,
    cameras: list[Camera],
    center: np.ndarray,
    radius: float,
) -> list[np.ndarray]:
    """[H, W] bool each: pixels outside the masks that may show the object, as dark as the backdrop.

    Where several masks show, well apart from the backdrop, what the hull of all masks does not reach, a few
    photos miss a part in its shade. It lies where those masks' rays meet; there the photos that miss it
    cannot tell it from the backdrop. Gaps are not found: all masks around them are explained by the hull.

    Args:
        masks, distances, threshold, cameras, center, radius: as in `drop_false_parts`.
    """
    out = [np.zeros_like(mask) for mask in masks]
    if len(masks) < 2 * _WITNESSES:
        return out
    points, step = agreed_points(masks, cameras, center, radius, _IN_SHADE, _FINE_VOXELS)
    looked = [_looked_up(mask, camera, points) for mask, camera in zip(masks, cameras, strict=True)]
    missed = np.stack([inside & ~hit for hit, inside in looked])
    outside = missed.any(axis=0)
    hull, points, missed = points[~outside], points[outside], missed[:, outside]
    witnesses = np.zeros(len(points), np.int32)
    for mask, distance, camera in zip(masks, distances, cameras, strict=True):
        others = shown(hull, camera, step)
        bright = mask & ~others & (distance > _faint(mask, distance, threshold))
        if bright.any():
            witnesses += _looked_up(opened(bright & _apart(others, _UNEXPLAINED)), camera, points)[0]
    found = np.flatnonzero(witnesses >= _WITNESSES)
    for chosen in _bodies(points[found], step):
        part, misses = points[found[chosen]], missed[:, found[chosen]]
        blind = misses.mean(axis=1) > _BLIND
        part = part[~misses[~blind].any(axis=0)]  # the photos that show it lit know its outline
        for k in np.flatnonzero(blind):
            out[k] |= shown(part, cameras[k], step) & ~masks[k]
    return out


def agreed_points(
    masks: list[np.ndarray],
    cameras: list[Camera],
    center: np.ndarray,
    radius: float,
    misses: float,
    voxels: int = _VOXELS,
    least_seen: float = 0.5,
) -> tuple[np.ndarray, float]:
    """([P, 3] grid points inside nearly all masks, the grid's step).

    Args:
        masks, cameras, center, radius: as in `fill_false_holes`.
        misses: share of the photos whose mask may leave a point out; those that do not show it
            say nothing.
        voxels: grid points along each axis.
        least_seen: share of the photos that must show a point.
    """
    points = _grid(center, radius, voxels)
    points = points[np.linalg.norm(points - center, axis=1) < radius]
    missed, unseen = np.zeros(len(points), np.int32), np.zeros(len(points), np.int32)
    for mask, camera in zip(masks, cameras, strict=True):
        hit, inside = _looked_up(mask, camera, points)
        missed += inside & ~hit
        unseen += ~inside
        seen = len(masks) - unseen  # at most: what fails already is not looked up again
        keep = (missed <= misses * seen) & (seen >= least_seen * len(masks))
        points, missed, unseen = points[keep], missed[keep], unseen[keep]
    return points, 2 * radius / (voxels - 1)


def shares_covered(
    masks: list[np.ndarray],
    cameras: list[Camera],
    center: np.ndarray,
    radius: float,
    misses: float,
    unknown: list[np.ndarray] | None = None,
) -> np.ndarray:
    """[N] share of each mask behind which lies what (1 - misses) of all photos take for the object.

    Above .96 in clean sets at misses = .2; a photo whose camera is wrong has less than the others. 1 for
    empty masks.

    Args:
        masks, cameras, center, radius: as in `fill_false_holes`.
        misses: as in `agreed_points`.
        unknown: pixels of each photo that say nothing.
    """
    silent = unknown or [np.zeros_like(mask) for mask in masks]
    maybe = [mask | nothing for mask, nothing in zip(masks, silent, strict=True)]
    points, step = agreed_points(maybe, cameras, center, radius, misses, _COVER_VOXELS, least_seen=0.0)
    shares = np.ones(len(masks))
    for k, (mask, nothing, camera) in enumerate(zip(masks, silent, cameras, strict=True)):
        own = mask & ~nothing
        if own.any():
            shares[k] = (shown(points, camera, step) & own).sum() / own.sum()
    return shares


def strangers(
    masks: list[np.ndarray],
    cameras: list[Camera],
    center: np.ndarray,
    radius: float,
    unknown: list[np.ndarray] | None = None,
) -> np.ndarray:
    """[N] bool: photos that show their object where the others have none, by wrong cameras or masks.

    None if there are many: then it is open who is right. Arguments as in `shares_covered`.
    """
    shares = shares_covered(masks, cameras, center, radius, _STRANGE, unknown)
    strange = shares < _ALIKE * np.median(shares)
    return strange if strange.mean() <= _STRANGE else np.zeros_like(strange)


def shares_taken_alone(
    masks: list[np.ndarray], cameras: list[Camera], center: np.ndarray, radius: float, voxels: int
) -> np.ndarray:
    """[N] share of the body of all other masks that each mask alone takes away."""
    points, missed_by = _with_one_miss_at_most(_grid(center, radius, voxels), masks, cameras)
    return np.bincount(missed_by[missed_by >= 0], minlength=len(masks)) / max(len(points), 1)


def _grid(center: np.ndarray, radius: float, voxels: int) -> np.ndarray:
    """[voxels^3, 3] float32 points of the cube around a sphere."""
    axes = [np.linspace(center[i] - radius, center[i] + radius, voxels) for i in range(3)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.float32)


def _holes(mask: np.ndarray) -> np.ndarray:
    """[H, W] bool, the small parts of the background that the object encloses."""
    labels, count = ndimage.label(~mask)
    area = np.bincount(labels.ravel(), minlength=count + 1)
    edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    keep = area <= _MAX_AREA * mask.size
    keep[edge] = False
    keep[0] = False
    return np.asarray(keep[labels])


def _with_one_miss_at_most(
    points: np.ndarray, masks: list[np.ndarray], cameras: list[Camera]
) -> tuple[np.ndarray, np.ndarray]:
    """(points that at most one view takes for background, [N] that view or -1)."""
    missed_by = np.full(len(points), -1)
    for index, (mask, camera) in enumerate(zip(masks, cameras, strict=True)):
        hit, inside = _looked_up(mask, camera, points)
        missed = inside & ~hit  # outside the frame a view says nothing
        keep = ~(missed & (missed_by >= 0))
        missed_by[missed] = index
        points, missed_by = points[keep], missed_by[keep]
    return points, missed_by


def _faint(mask: np.ndarray, distance: np.ndarray, threshold: float) -> float:
    """Distance from the background below which a colour in the mask may be a lit backdrop."""
    return float(threshold + _FAINT * (np.median(distance[mask]) - threshold)) if mask.any() else threshold


def _apart(shape: np.ndarray, pixels: float) -> np.ndarray:
    """[H, W] bool: further from a shape than so many pixels of `WORK_SIZE`, and than one of its own."""
    if not shape.any():
        return np.ones_like(shape)
    least = max(1.0, pixels * max(shape.shape) / WORK_SIZE)
    import cv2

    distance = cv2.distanceTransform((~shape).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance > least)


def _bodies(points: np.ndarray, step: float) -> list[np.ndarray]:
    """Indices of the connected parts, of `_BODY` at least, of points on a grid of spacing `step`."""
    if len(points) == 0:
        return []
    cell = np.rint((points - points.min(axis=0)) / step).astype(int)
    there = np.zeros(cell.max(axis=0) + 1, bool)
    there[tuple(cell.T)] = True
    labels, count = ndimage.label(there, np.ones((3, 3, 3)))
    own = labels[tuple(cell.T)]
    parts = [np.flatnonzero(own == label) for label in range(1, count + 1)]
    return [part for part in parts if len(part) >= _BODY]


def _pixels(camera: Camera, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixel positions of world points, from the bottom left; far outside if behind the camera."""
    matrix = camera.world_to_view.astype(points.dtype)
    view = points @ matrix[:3, :3].T + matrix[:3, 3]
    depth = np.where(view[:, 2] < 0, -view[:, 2], np.nan)
    x = camera.cx + camera.fx * view[:, 0] / depth
    y = camera.height - camera.cy + camera.fy * view[:, 1] / depth
    return np.nan_to_num(x, nan=-1.0), np.nan_to_num(y, nan=-1.0)


def _looked_up(mask: np.ndarray, camera: Camera, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """([N] bool: the mask where a point is seen, False outside the frame; [N] bool: in the frame)."""
    column, row = (np.floor(v).astype(np.int32) for v in _pixels(camera, points))
    height, width = mask.shape
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    hit = np.zeros(len(points), bool)
    hit[inside] = mask[row[inside], column[inside]]
    return hit, inside


def shown(points: np.ndarray, camera: Camera, step: float) -> np.ndarray:
    """[H, W] bool: pixels that voxels of size `step` at these points cover, about."""
    shape = (camera.height, camera.width)
    if len(points) == 0:
        return np.zeros(shape, bool)
    depth = float(np.linalg.norm(points.mean(axis=0) - camera.position))
    pixels = max(1.0, camera.fx * step / depth)  # of a voxel: its picture at 1/pixels has no gaps
    x, y = _pixels(camera, points)
    inside = (x >= 0) & (x < camera.width) & (y >= 0) & (y < camera.height)
    small = np.zeros((int(camera.height / pixels) + 1, int(camera.width / pixels) + 1), bool)
    small[(y[inside] / pixels).astype(int), (x[inside] / pixels).astype(int)] = True
    small = ndimage.binary_closing(small)  # neighbours that fell into one pixel leave one empty
    rows, columns = ((np.arange(n) / pixels).astype(int) for n in shape)
    return np.asarray(small[rows][:, columns])
