"""Photos of several formats, upright and lying, on canvases of one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from studio.core.scene.photo import Photo

_SAME = 0.02
"""Relative difference in aspect ratio below which photos count as one format."""


def same_format(photos: list[Photo]) -> bool:
    """Whether the photos differ in size at most."""
    shapes = [photo.image.shape[1] / photo.image.shape[0] for photo in photos]
    return max(shapes) - min(shapes) <= _SAME * min(shapes)


def on_one_format(photos: list[Photo]) -> list[Photo]:
    """The photos on canvases of one format; they themselves where they have it already.

    A canvas keeps its photo's long side, so that as much is left of every photo when all are
    shrunk to one size. Around the photo it is black and says nothing: `ignore` is true there.
    Cameras see the canvas; what they see of the world stays where it was.
    """
    if same_format(photos):
        return photos
    longest = [max(photo.image.shape[:2]) for photo in photos]
    tall = max(photo.image.shape[0] / long for photo, long in zip(photos, longest, strict=True))
    wide = max(photo.image.shape[1] / long for photo, long in zip(photos, longest, strict=True))
    return [
        _on_canvas(photo, round(tall * long), round(wide * long))
        for photo, long in zip(photos, longest, strict=True)
    ]


def _on_canvas(photo: Photo, height: int, width: int) -> Photo:
    """The photo in the middle of a canvas."""
    own_height, own_width = photo.image.shape[:2]
    below, left = (height - own_height) // 2, (width - own_width) // 2
    above, right = height - own_height - below, width - own_width - left
    if (height, width) == (own_height, own_width):
        return photo
    edges = ((below, above), (left, right))  # row 0 is at the bottom
    ignore = np.zeros((own_height, own_width), bool) if photo.ignore is None else photo.ignore
    return replace(
        photo,
        image=np.pad(photo.image, (*edges, (0, 0))),
        mask=None if photo.mask is None else np.pad(photo.mask, edges),
        ignore=np.pad(ignore, edges, constant_values=True),
        camera=photo.camera.windowed(slice(-below, own_height + above), slice(-left, own_width + right)),
        window=(slice(below, below + own_height), slice(left, left + own_width)),
    )
