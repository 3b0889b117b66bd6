"""How much of each pixel along an outline the object covers, before a plain background.

A photo is blurred by its lens and its sampling, so along the outline object and background are mixed
over a few pixels. A threshold that keeps shaded parts of the object lies low on that slope, which
makes masks too large by a pixel or two, and their colours there are too dark before black. Both are
mended by solving I = a F + (1 - a) B for the coverage a, in linear light, with the background's
colour B known and the object's colour F taken from as far inside as the blur reaches.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from studio.core.color import srgb_to_linear
from studio.core.io.masks import WORK_SIZE, Background

_REACH = 6.0
"""Pixels, of the size that masks are found at, over which an outline is blurred."""

_CORE = 0.8
"""Pixels at least this deep, of the greatest depth around up to the reach, show the object alone."""

_MIN_COVERAGE = 0.1
"""Below it the mixed colour is mostly noise, and the object's colour is that of its core."""


def unmix(
    image: np.ndarray, mask: np.ndarray, background: Background, unknown: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """([H, W, 3] linear straight colour, [H, W] coverage) of the object, float32.

    Where object and background are hardly told apart the mask stays as it is, as it does deeper
    inside than the blur reaches.

    Args:
        image: [H, W, 3] linear.
        mask: [H, W] the object, a little too large rather than too small; cut at one half.
        background: of the photo.
        unknown: [H, W] bool outside the mask, where the object may go on in shade: no background is
            mixed into its border there. Its coverage is 0.
    Reference:
        Porter and Duff 1984, "Compositing Digital Images", for the mixture.
    """
    inside = mask > 0.5 if unknown is None else (mask > 0.5) | unknown
    if not inside.any() or inside.all():
        return image, mask
    reach = _REACH * max(mask.shape) / WORK_SIZE
    rows, columns = _around(inside, int(np.ceil(3 * reach)) + 1)
    color, coverage = image.copy(), inside.astype(np.float32)
    color[rows, columns], coverage[rows, columns] = _unmixed(
        image[rows, columns], inside[rows, columns], background, reach
    )
    if unknown is not None:
        coverage[unknown] = 0
    return color, coverage


def _unmixed(
    image: np.ndarray, inside: np.ndarray, background: Background, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """The same for a window around the object."""
    depth = ndimage.distance_transform_edt(np.pad(inside, 1, mode="edge"))[1:-1, 1:-1]
    deepest = ndimage.maximum_filter(np.minimum(depth, reach), size=2 * round(reach) + 1)
    core = inside & (depth >= _CORE * deepest)
    behind = srgb_to_linear(background.color.astype(np.float32))
    object_color = _spread(image, core, 0.5 * reach)
    contrast = object_color - behind
    strength = (contrast**2).sum(axis=-1)
    mixed = ((image - behind) * contrast).sum(axis=-1) / np.maximum(strength, 1e-8)
    least = float(srgb_to_linear(np.float32(background.threshold)))
    trust = np.clip(np.sqrt(strength) / least - 1, 0, 1)
    band = inside & (depth < reach)
    found = np.where(band, trust * np.clip(mixed, 0, 1) + (1 - trust), inside)
    # What the background adds is taken out again, so that colour over background is the photo.
    pure = behind + (image - behind) / np.maximum(found, _MIN_COVERAGE)[..., None]
    pure = np.where((found > _MIN_COVERAGE)[..., None], np.maximum(pure, 0), object_color)
    color = np.where((band & (found < 1))[..., None], pure, image)
    return color.astype(np.float32), found.astype(np.float32)


def _spread(image: np.ndarray, known: np.ndarray, sigma: float) -> np.ndarray:
    """[H, W, 3] weighted mean of the known pixels around; the nearest one where none is near."""
    weight = ndimage.gaussian_filter(known.astype(np.float32), sigma, truncate=3.0)
    total = np.stack(
        [ndimage.gaussian_filter(image[..., c] * known, sigma, truncate=3.0) for c in range(3)], axis=-1
    )
    near = weight > 1e-3
    mean = total / np.maximum(weight, 1e-3)[..., None]
    row, column = ndimage.distance_transform_edt(~near, return_distances=False, return_indices=True)
    return np.asarray(mean[row, column])


def _around(inside: np.ndarray, air: int) -> tuple[slice, slice]:
    """Rows and columns of the object with some air."""
    ends = [np.flatnonzero(inside.any(axis=axis))[[0, -1]] for axis in (1, 0)]
    rows, columns = (slice(max(0, int(low) - air), int(high) + air + 1) for low, high in ends)
    return rows, columns
