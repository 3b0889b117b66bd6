"""Images that effects prepare (tables, maps), kept on the GPU while they stay the same objects."""

from __future__ import annotations

import moderngl
import numpy as np

from studio.core.effects.effect import Image
from studio.core.errors import WorkError
from studio.gl.resources import Resources


class PreparedImages:
    """One texture per name; uploaded again only when the Image is another object."""

    def __init__(self, resources: Resources):
        self._resources = resources
        self._held: dict[str, tuple[Image, moderngl.Texture]] = {}

    def texture(self, name: str, image: Image) -> moderngl.Texture:
        """The texture of an image for texelFetch, with exactly its levels.

        Args:
            name: "<effect>.<image>"; another image of that name takes the place of the last.
        Raises:
            WorkError: the levels do not halve, or a number of components that is not 1, 2 or 4.
        """
        before = self._held.get(name)
        if before is not None and before[0] is image:
            return before[1]
        if before is not None and _shapes(before[0]) == _shapes(image):
            texture = before[1]
        else:
            if before is not None:
                self._resources.release(before[1])
            texture = self._make(name, image)
        for number, level in enumerate(image.levels):
            texture.write(_bytes(level), level=number, alignment=1)
        self._held[name] = (image, texture)
        return texture

    def _make(self, name: str, image: Image) -> moderngl.Texture:
        height, width, components = image.levels[0].shape
        expected = [(height >> k, width >> k, components) for k in range(len(image.levels))]
        if _shapes(image) != expected or components not in (1, 2, 4):
            raise WorkError(f"effects: image {name} has levels {_shapes(image)}, expected {expected}")
        texture = self._resources.texture((width, height), components, dtype="f4")
        if len(image.levels) > 1:
            texture.build_mipmaps(0, len(image.levels) - 1)  # makes room for the levels
            texture.filter = (moderngl.NEAREST_MIPMAP_NEAREST, moderngl.NEAREST)
        return texture


def _shapes(image: Image) -> list[tuple[int, ...]]:
    return [level.shape for level in image.levels]


def _bytes(level: np.ndarray) -> bytes:
    return np.ascontiguousarray(level, np.float32).tobytes()
