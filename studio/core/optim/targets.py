"""Photos as training targets: shrunk, premultiplied, stacked and uploaded."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from studio.core.color import linear_to_srgb
from studio.core.errors import InputError
from studio.core.gbuffer import CameraBatch
from studio.core.io.formats import same_format
from studio.core.io.resample import fitted_size, shrink
from studio.core.scene import Photo

_THERE = 1 / 256
_AIR = 6
_AIR_SHARE = 0.06
"""Pixels, and share of the object, around it in a cropped photo: the shape may err by that much."""

_SAME_PLACE, _SAME_PICTURE = 1e-4, 1.5 / 255
"""Poses (of a world of size 3) and sRGB values, in the mean, that differ by less are taken to be equal."""


@dataclass(eq=False)
class Targets:
    """N photos at one resolution, with their cameras.

    Attributes:
        names: of the photos; those of a selection are not looked up.
        cameras: of the photos, at this size.
        color: [N, H, W, 3] sRGB values 0..1 of the object, not premultiplied.
        mask: [N, H, W] coverage 0..1, or None if any photo lacks it.
        weight: [N, H, W] 1 where the photo says something, or None if it does everywhere.
        pixels: of a photo that is not cropped.
        scale: factor of the losses of pixels.
    """

    names: list[str]
    cameras: CameraBatch
    color: Tensor
    mask: Tensor | None
    weight: Tensor | None
    pixels: int = 0
    scale: float = 1.0

    def object_share(self) -> Tensor:
        """[N] share of the pixels that show the object; 1 without masks."""
        if self.mask is None:
            return torch.ones(len(self), device=self.color.device)
        return self.mask.mean(dim=(1, 2)).clamp_min(1.0 / self.mask[0].numel())

    @classmethod
    def build(
        cls, photos: list[Photo], resolution: int, device: torch.device | str = "cpu", crop: bool = False
    ) -> Targets:
        """Shrink photos of one format to `resolution` pixels on the long side, or less: see `common_size`.

        Args:
            crop: leave out what lies around the object, if all photos have masks: windows of one
                size, each around its photo's mask.
        """
        height, width = common_size(photos, resolution)
        masked = all(photo.mask is not None for photo in photos)
        cameras = [photo.camera.resized(width, height) for photo in photos]
        windows = [(slice(0, height), slice(0, width))] * len(photos)
        if crop and masked:
            windows = _windows([_coverage(photo, height, width) for photo in photos])
            cameras = [camera.windowed(*window) for camera, window in zip(cameras, windows)]
        size = (len(photos), cameras[0].height, cameras[0].width)
        # Written in place, photo by photo: a list of all of them first would take as much again.
        color = np.empty((*size, 3), np.float32)
        mask = np.empty(size, np.float32) if masked else None
        weight = np.empty(size, np.float32) if any(photo.ignore is not None for photo in photos) else None
        for k, (photo, window) in enumerate(zip(photos, windows, strict=True)):
            small, coverage = _shrunk(photo, height, width, masked)
            color[k] = small[window]
            if mask is not None and coverage is not None:
                mask[k] = coverage[window]
            if weight is not None:
                weight[k] = _weight(photo, height, width)[window]
        return cls(
            names=[photo.name for photo in photos],
            cameras=CameraBatch.from_cameras(cameras, device),
            color=torch.from_numpy(color).to(device),
            mask=None if mask is None else torch.from_numpy(mask).to(device),
            weight=None if weight is None else torch.from_numpy(weight).to(device),
            pixels=height * width,
        )

    def select(self, views: Tensor) -> Targets:
        """Some of the photos, by [M] int64 index."""
        return Targets(
            [],
            self.cameras.select(views),
            self.color[views],
            None if self.mask is None else self.mask[views],
            None if self.weight is None else self.weight[views],
            self.pixels,
            self.scale,
        )

    def __len__(self) -> int:
        return len(self.color)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.cameras.height, self.cameras.width


def common_size(photos: list[Photo], resolution: int) -> tuple[int, int]:
    """(height, width) for all photos of a batch: the middle one's, `resolution` on the long side at most.

    Half of the photos or more are as large as that; a few small ones, which are enlarged, take nothing from
    them, and a few large ones enlarge none.
    """
    shapes = ((photo.image.shape[0], photo.image.shape[1]) for photo in photos)
    sizes = sorted(shapes, key=lambda size: (max(size), min(size)))
    return fitted_size(*sizes[len(sizes) // 2], resolution)


def _windows(masks: list[np.ndarray]) -> list[tuple[slice, slice]]:
    """Rows and columns around each object, of one size, with some air."""
    height, width = masks[0].shape
    boxes = []
    for mask in masks:
        there = mask > _THERE
        ends = [np.flatnonzero(there.any(axis=axis))[[0, -1]] for axis in (1, 0)] if there.any() else None
        boxes.append(ends or [np.array([0, height - 1]), np.array([0, width - 1])])
    sizes = []
    for axis in range(2):
        longest = max(int(box[axis][1] - box[axis][0]) + 1 for box in boxes)
        air = max(_AIR, math.ceil(_AIR_SHARE * longest))
        sizes.append(-(-(longest + 2 * air) // 8) * 8)  # rows of whole vectors
    return [(around(box[0], sizes[0], height), around(box[1], sizes[1], width)) for box in boxes]


def around(ends: np.ndarray, size: int, limit: int) -> slice:
    """`size` places with `ends` in their middle, moved to lie within 0 and `limit`; all of them at most."""
    size = min(size, limit)
    start = int(np.clip((int(ends[0]) + int(ends[1]) + 1 - size) // 2, 0, limit - size))
    return slice(start, start + size)


def check_formats(photos: list[Photo]) -> None:
    """InputError unless the photos have one format, as those that were loaded have."""
    if not same_format(photos):
        sizes = sorted({f"{photo.image.shape[1]}x{photo.image.shape[0]}" for photo in photos})
        raise InputError(f"photos: sizes are {', '.join(sizes)}; expected photos of one format")


def _shrunk(photo: Photo, height: int, width: int, masked: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """(sRGB colour, coverage); averaged in linear light, weighted by coverage."""
    if not masked or photo.mask is None:
        return _encoded(shrink(photo.image, height, width)), None
    mask = photo.mask[..., None].astype(np.float32)
    small = shrink(np.concatenate([photo.image * mask, mask], axis=-1), height, width)
    coverage = small[..., 3:]
    # Below a 256th of coverage the colour is rounding noise; black does no harm there.
    color = np.where(coverage > 1 / 256, small[..., :3] / np.maximum(coverage, 1 / 256), 0)
    return _encoded(color), np.ascontiguousarray(coverage[..., 0])


def _coverage(photo: Photo, height: int, width: int) -> np.ndarray:
    """[height, width] that of `_shrunk`, alone; the photo has a mask."""
    assert photo.mask is not None
    return shrink(photo.mask[..., None].astype(np.float32), height, width)[..., 0]


def _encoded(linear: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.clip(linear_to_srgb(linear), 0, 1), dtype=np.float32)


def _weight(photo: Photo, height: int, width: int) -> np.ndarray:
    if photo.ignore is None:
        return np.ones((height, width), np.float32)
    says = shrink((~photo.ignore)[..., None].astype(np.float32), height, width)[..., 0]
    return (says > 0.999).astype(np.float32)  # a pixel that partly says nothing says nothing


def split_holdout(photos: list[Photo], every: int) -> tuple[list[Photo], list[Photo]]:
    """(training, held out): photos 0, K, 2K, ... are held out; K = 0 holds none out.

    Copies of held-out photos are in neither: a fit that has seen them would be measured by what it
    was made from.

    Raises:
        InputError: nothing would be left to train on.
    """
    held = [photo for i, photo in enumerate(photos) if every and i % every == 0]
    train = [photo for i, photo in enumerate(photos) if not (every and i % every == 0)]
    train = [photo for photo in train if not any(_is_copy(photo, other) for other in held)]
    if not train:
        raise InputError(f"holdout: every {every}th of {len(photos)} photos leaves none to train on")
    return train, held


def _is_copy(a: Photo, b: Photo) -> bool:
    """Whether both show the same picture from the same place, as far as another compression allows."""
    if a.image.shape != b.image.shape:
        return False
    if np.abs(a.camera.view_to_world - b.camera.view_to_world).max() > _SAME_PLACE:
        return False
    return float(np.abs(_encoded(a.image) - _encoded(b.image)).mean()) < _SAME_PICTURE
