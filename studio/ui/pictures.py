"""Small pictures of files as textures: of built-in scenes, projects and autosaves."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from imgui_bundle import ImVec2

_SMALL = 2048
"""Longest side accepted; thumbnails are a few hundred pixels."""


class Pictures:
    """Textures by name, made when first shown.

    Args:
        ctx: the OpenGL context; textures are made and released on its thread.
    """

    def __init__(self, ctx: Any) -> None:
        self._ctx = ctx
        self._textures: dict[str, Any] = {}

    def get(self, key: str, data: bytes, aspect: float) -> tuple[int, ImVec2, ImVec2] | None:
        """(OpenGL name, uv of the top left, of the bottom right) of an encoded picture.

        Args:
            key: names the picture; another picture needs another name.
            data: PNG or JPEG.
            aspect: width by height of the frame that it fills, cut off evenly.
        Returns:
            None if it cannot be read.
        """
        if key not in self._textures:
            self._textures[key] = self._make(data)
        texture = self._textures[key]
        if texture is None:
            return None
        width, height = texture.size
        x = max(0.0, (1 - aspect * height / width) / 2)
        y = max(0.0, (1 - width / (aspect * height)) / 2)
        return texture.glo, ImVec2(x, y), ImVec2(1 - x, 1 - y)

    def forget(self, key: str) -> None:
        """Free the texture of this name, if there is one."""
        texture = self._textures.pop(key, None)
        if texture is not None:
            texture.release()

    def _make(self, data: bytes) -> Any:
        from PIL import Image

        try:
            with Image.open(io.BytesIO(data)) as image:
                if max(image.size) > _SMALL:
                    return None
                pixels = np.asarray(image.convert("RGBA"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return None
        return self._ctx.texture(pixels.shape[1::-1], 4, np.ascontiguousarray(pixels).tobytes(), alignment=1)

    def release(self) -> None:
        """Free the textures; on the OpenGL thread."""
        for texture in self._textures.values():
            if texture is not None:
                texture.release()
        self._textures.clear()
