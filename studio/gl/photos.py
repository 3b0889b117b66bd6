"""Target photos as textures, and where a photo lies in a picture."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import moderngl
import numpy as np

from studio.core.scene import Camera, Photo, PhotoSet
from studio.gl.resources import Resources

CACHED_PHOTOS = 4
"""Photos kept as textures: those before and after the shown one, and one to compare with."""

BLACK = 1e-3
"""Mean linear value outside of a cut-out photo's mask: renderers leave stray pixels at the
edge (4e-5 in the mean), while the darkest real backdrop has some percent."""

IGNORED = -1.0
"""Alpha of pixels that say nothing; a mask is 0..1."""


class PhotoTextures:
    """Uploads photos when they are looked at and keeps the last few.

    Args:
        dtype: of their numbers, "f2" or "f4".
    """

    def __init__(self, resources: Resources, dtype: Literal["f2", "f4"] = "f2"):
        self._resources = resources
        self._dtype = dtype
        self._photos: PhotoSet | None = None
        self._cache: OrderedDict[int, moderngl.Texture] = OrderedDict()
        self._cutout: dict[int, bool] = {}

    @property
    def photos(self) -> list[Photo]:
        return [] if self._photos is None else self._photos.photos

    def set(self, photos: PhotoSet | None) -> None:
        self.release()
        self._cutout.clear()
        self._photos = photos

    def cutout(self, index: int) -> bool:
        """Whether the photo was cut out of its background: black where the mask is 0."""
        if index not in self._cutout:
            photo = self.photos[index]
            outside = None if photo.mask is None else photo.image[photo.mask == 0]
            self._cutout[index] = bool(outside is not None and outside.size > 0 and outside.mean() < BLACK)
        return self._cutout[index]

    def texture(self, index: int) -> moderngl.Texture:
        """RGBA floats: linear colour, and the mask (1 where there is none, -1 ignored)."""
        if index in self._cache:
            self._cache.move_to_end(index)
            return self._cache[index]
        photo = self.photos[index]
        image = self._resources.fitting(photo.image)
        height, width = image.shape[:2]
        data = np.ones((height, width, 4), np.float16 if self._dtype == "f2" else np.float32)
        data[..., :3] = image[..., :3]
        if photo.mask is not None:
            data[..., 3] = self._resources.fitting(photo.mask)
        if photo.ignore is not None:
            data[..., 3][self._resources.fitting(photo.ignore)] = IGNORED
        texture = self._resources.texture(
            (width, height), 4, data.tobytes(), dtype=self._dtype, nearest=False
        )
        self._cache[index] = texture
        while len(self._cache) > CACHED_PHOTOS:
            self._resources.release(self._cache.popitem(last=False)[1])
        return texture

    def release(self) -> None:
        self._resources.release(*self._cache.values())
        self._cache.clear()


def same_pose(a: Camera, b: Camera) -> bool:
    """Whether two cameras see along the same rays, up to their intrinsics.

    The tolerance is far below a pixel and far above the rounding of an interpolated pose.
    """
    scale = 1e-4 * max(1.0, float(np.abs(b.position).max()))
    turned = np.abs(a.view_to_world[:3, :3] - b.view_to_world[:3, :3]).max()
    return bool(turned < 1e-4 and np.abs(a.position - b.position).max() < scale)


def placement(camera: Camera, photo: Camera) -> tuple[float, float, float, float]:
    """Where a photo lies in the picture of `camera`: photo uv = picture uv * (sx, sy) + (ox, oy).

    Seen from the photo's own camera the two are aligned ray by ray, whatever the intrinsics
    of the picture; from elsewhere the photo is fitted into the picture, whole and centred.
    uv (0, 0) is the lower left corner.
    """
    if same_pose(camera, photo):
        zoom_x, zoom_y = photo.fx / camera.fx, photo.fy / camera.fy
        left = photo.cx - camera.cx * zoom_x
        top = photo.cy - camera.cy * zoom_y
    else:
        zoom_x = zoom_y = max(photo.width / camera.width, photo.height / camera.height)
        left = (photo.width - camera.width * zoom_x) / 2
        top = (photo.height - camera.height * zoom_y) / 2
    scale_x = camera.width * zoom_x / photo.width
    scale_y = camera.height * zoom_y / photo.height
    # `left` and `top` are photo pixels at the picture's upper left corner; uv counts from below.
    return scale_x, scale_y, left / photo.width, 1 - top / photo.height - scale_y
