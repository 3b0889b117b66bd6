"""Coverage along outlines before a plain background."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from studio.core.io.masks import Background
from studio.core.io.matting import unmix

SIZE = 640
RADIUS = 180.0
BLUR = 1.0
"""Pixels, the standard deviation: an outline is about three pixels wide."""


def disk(radius: float) -> np.ndarray:
    """[H, W] share of each pixel inside a disk, from 4 x 4 samples a pixel."""
    at = (np.arange(4 * SIZE) + 0.5) / 4 - SIZE / 2
    inside = at[:, None] ** 2 + at**2 < radius**2
    return inside.reshape(SIZE, 4, SIZE, 4).mean(axis=(1, 3))


def shot(color: np.ndarray, behind: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(photo, true coverage), both blurred: a disk of [3] or [H, W, 3] colour before a plain one."""
    coverage = disk(RADIUS)
    picture = color * coverage[..., None] + behind * (1 - coverage[..., None])
    blurred = ndimage.gaussian_filter(picture, (BLUR, BLUR, 0))
    return blurred.astype(np.float32), ndimage.gaussian_filter(coverage, BLUR)


def wide_mask() -> np.ndarray:
    """A mask as a low threshold finds it: a pixel and a half too large."""
    return (disk(RADIUS + 1.5) > 0.5).astype(np.float32)


@pytest.mark.parametrize("coded", [0.0, 0.9], ids=["black", "white"])
def test_coverage_and_colour_are_those_before_mixing(coded: float) -> None:
    background = Background(np.full(3, coded), 0.15)
    behind = np.full(3, ((coded + 0.055) / 1.055) ** 2.4 if coded else 0.0)
    own = np.array([0.5, 0.3, 0.12])
    photo, truth = shot(own, behind)
    color, coverage = unmix(photo, wide_mask(), background)
    assert np.abs(coverage - truth)[wide_mask() > 0].max() < 0.03
    assert coverage.sum() == pytest.approx(truth.sum(), rel=3e-3)
    assert np.abs(color - own)[coverage > 0.2].max() < 0.02
    # Colour over the background is the photo again, wherever the mask reaches.
    again = color * coverage[..., None] + behind * (1 - coverage[..., None])
    assert np.abs(again - photo)[wide_mask() > 0].max() < 0.02


def test_the_mask_was_too_large_by_what_is_taken_off() -> None:
    """Else the test above could pass with masks left alone."""
    _, truth = shot(np.full(3, 0.4), np.zeros(3))
    assert wide_mask().sum() > 1.015 * truth.sum()


def test_dark_spots_inside_stay_part_of_the_object() -> None:
    own = np.full((SIZE, SIZE, 3), 0.4)
    own[310:330, 310:330] = 0.0
    photo, truth = shot(own, np.zeros(3))
    _, coverage = unmix(photo, wide_mask(), Background(np.zeros(3), 0.15))
    assert coverage[300:340, 300:340].min() == 1.0
    assert np.abs(coverage - truth)[wide_mask() > 0].max() < 0.03


def test_what_cannot_be_told_from_the_background_keeps_its_mask() -> None:
    photo, _ = shot(np.full(3, 0.004), np.zeros(3))
    color, coverage = unmix(photo, wide_mask(), Background(np.zeros(3), 0.15))
    np.testing.assert_array_equal(coverage, wide_mask())
    np.testing.assert_array_equal(color, photo)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_photos_of_nothing_or_of_the_object_alone(value: float) -> None:
    photo = np.full((20, 30, 3), 0.25, np.float32)
    mask = np.full((20, 30), value, np.float32)
    color, coverage = unmix(photo, mask, Background(np.zeros(3), 0.1))
    np.testing.assert_array_equal(color, photo)
    np.testing.assert_array_equal(coverage, mask)


def test_no_background_is_mixed_in_where_the_object_goes_on_in_shade() -> None:
    """Its mask ends where shade sets in, over some pixels, as an outline does."""
    column = np.arange(SIZE)
    ramp = np.clip((SIZE / 2 - column) / 8 + 0.5, 0.05, 1)  # light ends in the middle
    photo, _ = shot(np.broadcast_to(0.4 * ramp[None, :, None], (SIZE, SIZE, 3)), np.zeros(3))
    whole = wide_mask()
    mask = np.where(column < SIZE / 2 + 2, whole, 0).astype(np.float32)
    dark = (whole > 0) & (mask == 0)
    rows = slice(SIZE // 2 - 50, SIZE // 2 + 50)
    beside = (rows, slice(SIZE // 2 - 3, SIZE // 2 + 2))
    background = Background(np.zeros(3), 0.15)
    color, coverage = unmix(photo, mask, background, dark)
    assert coverage[beside].min() == 1
    np.testing.assert_array_equal(color[beside], photo[beside])
    assert not coverage[dark].any()
    assert unmix(photo, mask, background)[1][beside].min() < 0.9
