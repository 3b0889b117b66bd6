"""Small pictures of the photos: made on a job's thread, uploaded a few a frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from imgui_bundle import ImVec2

from studio.core.scene import Photo, PhotoSet
from studio.ui.jobs import Job, Jobs

LONG_SIDE = 192
"""Pixels: enough for a tile at DPI factor 2."""

CUT_OUT = 0.002
"""Mean linear value outside the mask below which the background was removed, not photographed."""

BEHIND = 0.018
"""Linear grey behind objects that were cut out."""

UPLOADS_PER_FRAME = 8
"""Keeps a frame short while hundreds of photos arrive."""


class Thumbnails:
    """Textures of one photo set.

    Args:
        ctx: the OpenGL context; textures are made and released on its thread.
    """

    def __init__(self, ctx: Any, jobs: Jobs) -> None:
        self._ctx = ctx
        self._jobs = jobs
        self._photos: PhotoSet | None = None
        self._waiting: list[tuple[int, np.ndarray]] = []
        self._textures: dict[int, Any] = {}
        self._job: Job | None = None

    def request(self, photos: PhotoSet) -> None:
        """Make thumbnails of these photos, unless that is under way; call once a frame."""
        if photos is not self._photos and photos.shows_as(self._photos):
            self._photos = photos
        elif photos is not self._photos:
            self.release()
            self._photos = photos
            waiting: list[tuple[int, np.ndarray]] = []
            self._waiting = waiting

            def work(job: Job) -> None:
                for i, photo in enumerate(photos.photos):
                    job.progress(i / len(photos.photos))
                    waiting.append((i, thumbnail(photo)))

            self._job = self._jobs.start("Making thumbnails", work, lambda _: None)
        for _ in range(min(UPLOADS_PER_FRAME, len(self._waiting))):
            index, image = self._waiting.pop(0)
            texture = self._ctx.texture((image.shape[1], image.shape[0]), 3, image.tobytes(), alignment=1)
            self._textures[index] = texture

    def get(self, index: int) -> int | None:
        """OpenGL name of a thumbnail, or None while it is being made."""
        texture = self._textures.get(index)
        return None if texture is None else texture.glo

    def crop(self, index: int, aspect: float) -> tuple[ImVec2, ImVec2]:
        """(uv of the top left, of the bottom right) that fill a tile of this aspect."""
        width, height = self._textures[index].size
        x = y = 0.0
        if width / height > aspect:
            x = (1 - aspect * height / width) / 2
        else:
            y = (1 - width / (aspect * height)) / 2
        return ImVec2(x, 1 - y), ImVec2(1 - x, y)

    def release(self) -> None:
        """Free the textures; on the OpenGL thread."""
        if self._job is not None:
            self._job.cancel()
        for texture in self._textures.values():
            texture.release()
        self._textures.clear()
        self._waiting = []
        self._photos = None


def thumbnail(photo: Photo) -> np.ndarray:
    """[h, w, 3] uint8 sRGB, by averaging whole blocks; what was cut out stands before dark grey."""
    block = max(1, max(photo.image.shape[:2]) // LONG_SIDE)
    small = _blocks(photo.image, block)
    if photo.mask is not None:
        mask = _blocks(photo.mask[..., None], block)
        outside = mask < 0.02  # whole blocks of background, none of the object's rim
        if float(np.mean(small, where=outside) if outside.any() else 1.0) < CUT_OUT:
            small = small * mask + BEHIND * (1 - mask)
    small = np.clip(small, 0.0, 1.0)
    encoded = np.where(small <= 0.0031308, 12.92 * small, 1.055 * small ** (1 / 2.4) - 0.055)
    return np.ascontiguousarray((encoded * 255 + 0.5).astype(np.uint8))


def _blocks(image: np.ndarray, block: int) -> np.ndarray:
    """[H // block, W // block, C] means of square blocks."""
    height, width = image.shape[0] // block * block, image.shape[1] // block * block
    shape = (height // block, block, width // block, block, image.shape[2])
    return np.asarray(image[:height, :width].reshape(shape).mean((1, 3)))
