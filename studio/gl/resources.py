"""Who owns which GL object: made here, counted here, released here.

GL objects are never left to Python's garbage collector: it may run on a thread that has no
context, and moderngl's own collection must not be mixed with explicit release.
"""

from __future__ import annotations

from typing import Any, TypeVar

import moderngl
import numpy as np

from studio.core.errors import WorkError

T = TypeVar("T")


class Resources:
    """Makes GL objects and knows which of them are alive.

    Attributes:
        ctx: the context; everything here runs on its thread.
        limit: largest width and height of a texture.
    """

    def __init__(self, ctx: moderngl.Context):
        self.ctx = ctx
        self.limit = int(ctx.info["GL_MAX_TEXTURE_SIZE"])
        self._live: dict[int, Any] = {}

    def _own(self, thing: T) -> T:
        self._live[id(thing)] = thing
        return thing

    @property
    def count(self) -> int:
        """GL objects alive; returns to its baseline when scenes and sizes do."""
        return len(self._live)

    def texture(
        self, size: tuple[int, int], components: int, data: Any = None, **kw: Any
    ) -> moderngl.Texture:
        """A 2D texture; rows are tightly packed (alignment 1). Default: nearest, clamped."""
        nearest = kw.pop("nearest", True)
        repeat = kw.pop("repeat", False)
        if max(size) > self.limit:  # OpenGL itself would only set a flag
            raise WorkError(
                f"an image of {size[0]}x{size[1]} is too large for OpenGL, which takes {self.limit}"
            )
        texture = self._own(self.ctx.texture(size, components, data, alignment=1, **kw))
        mode = self.ctx.NEAREST if nearest else self.ctx.LINEAR
        texture.filter = (mode, mode)
        texture.repeat_x = texture.repeat_y = repeat
        return texture

    def fitting(self, image: np.ndarray) -> np.ndarray:
        """An [H, W, C] image, thinned to every n-th pixel if it is too large for a texture."""
        step = -(-max(image.shape[:2]) // self.limit)  # rounded up
        return image[::step, ::step]

    def texture_array(self, size: tuple[int, int, int], components: int, data: Any) -> moderngl.TextureArray:
        texture = self._own(self.ctx.texture_array(size, components, data, alignment=1))
        texture.filter = (self.ctx.LINEAR, self.ctx.LINEAR)
        texture.repeat_x = texture.repeat_y = False
        return texture

    def texture3d(
        self, size: tuple[int, int, int], components: int, data: bytes, dtype: str, nearest: bool = False
    ) -> moderngl.Texture3D:
        """A 3D texture, clamped, rows tightly packed."""
        texture = self._own(self.ctx.texture3d(size, components, data, alignment=1, dtype=dtype))
        mode = self.ctx.NEAREST if nearest else self.ctx.LINEAR
        texture.filter = (mode, mode)
        texture.repeat_x = texture.repeat_y = texture.repeat_z = False
        return texture

    def depth(self, size: tuple[int, int]) -> moderngl.Renderbuffer:
        return self._own(self.ctx.depth_renderbuffer(size))

    def framebuffer(self, colors: list[moderngl.Texture], depth: Any = None) -> moderngl.Framebuffer:
        return self._own(self.ctx.framebuffer(colors, depth))

    def buffer(self, data: np.ndarray) -> moderngl.Buffer:
        return self._own(self.ctx.buffer(np.ascontiguousarray(data), dynamic=True))

    def room(self, size: int) -> moderngl.Buffer:
        """A buffer of `size` bytes with nothing in it."""
        return self._own(self.ctx.buffer(reserve=size, dynamic=True))

    def vertex_array(
        self, program: moderngl.Program, content: list[Any], index: Any = None
    ) -> moderngl.VertexArray:
        return self._own(self.ctx.vertex_array(program, content, index_buffer=index, skip_errors=True))

    def release(self, *things: Any) -> None:
        """Give objects back; None and what was given back before are ignored."""
        for thing in things:
            if thing is not None and self._live.pop(id(thing), None) is not None:
                thing.release()

    def release_all(self) -> None:
        self.release(*list(self._live.values()))
