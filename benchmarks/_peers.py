"""Other renderers on the same mesh, camera and size: DEODR, and Mesa's rasterizer through OpenGL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks._models import DISTANCE, FOCAL, Model, world_to_clip

Call = Callable[[], Any]

_VERTEX = """
#version 410
in vec4 in_position;
out vec2 barycentrics;
void main() {
    int corner = gl_VertexID % 3;
    barycentrics = vec2(corner == 0, corner == 1);
    gl_Position = in_position;
}
"""

_FRAGMENT = """
#version 410
in vec2 barycentrics;
out vec4 rast;
void main() {
    rast = vec4(barycentrics, 2.0 * gl_FragCoord.z - 1.0, float(gl_PrimitiveID + 1));
}
"""


class Mesa:
    """Fills the buffer that `rasterize` fills, with OpenGL.

    Every triangle has its own three vertices, already in clip space: OpenGL 4.1 has no other way
    to barycentrics that is as fast.
    """

    def __init__(self, ctx: Any, model: Model, size: int, cull: bool = True):
        import moderngl

        self._ctx = ctx
        corners = (model.homogeneous @ world_to_clip().T)[model.tri.long().flatten()]
        self._program = ctx.program(vertex_shader=_VERTEX, fragment_shader=_FRAGMENT)
        self._buffer = ctx.buffer(corners.numpy().tobytes())
        self._vao = ctx.vertex_array(self._program, [(self._buffer, "4f", "in_position")])
        self._image = ctx.texture((size, size), 4, dtype="f4")
        self._depth = ctx.depth_renderbuffer((size, size))
        self._target = ctx.framebuffer([self._image], self._depth)
        self.pixels = np.empty((size, size, 4), np.float32)
        ctx.enable_only(moderngl.DEPTH_TEST | (moderngl.CULL_FACE if cull else 0))

    def draw(self) -> None:
        self._target.use()
        self._target.clear(depth=1.0)
        self._vao.render()
        self._ctx.finish()

    def draw_and_read(self) -> np.ndarray:
        """[H, W, 4], row 0 at the bottom."""
        self.draw()
        self._target.read_into(self.pixels, components=4, dtype="f4")
        return self.pixels

    def release(self) -> None:
        for part in (self._vao, self._buffer, self._program, self._target, self._image, self._depth):
            part.release()


class Deodr:
    """DEODR's Scene3D: vertex colours under ambient light, back faces culled.

    Its times hold what its interface does in one call: projection of the vertices, the search for
    silhouette edges, rendering; and all of that backward.
    """

    def __init__(self, model: Model):
        from deodr import ColoredTriMesh, Scene3D
        from threadpoolctl import threadpool_limits

        # NumPy's threads do not make DEODR faster, but wait busily after every call of it, on the
        # cores that the call after it needs.
        threadpool_limits(limits=1, user_api="blas")
        faces = model.faces.astype(np.uint32)
        mesh = ColoredTriMesh(faces=faces, vertices=model.vertices, nb_colors=3, clockwise=False)
        mesh.set_vertices_colors(model.colors)
        self._scene = Scene3D(sigma=1)
        self._scene.set_mesh(mesh)
        self._scene.set_background_color(np.zeros(3))
        self._scene.set_light(light_directional=None, light_ambient=1.0)

    def calls(self, size: int) -> tuple[Call, Call]:
        """(render, render and backward) of an image; render returns [H, W, 3], row 0 at the top."""
        from deodr import Camera

        extrinsic = np.array([[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, DISTANCE]])
        half = size / 2
        intrinsic = np.array([[FOCAL * half, 0, half], [0, FOCAL * half, half], [0, 0, 1]])
        camera = Camera(extrinsic=extrinsic, intrinsic=intrinsic, width=size, height=size)
        upstream = np.random.default_rng(0).normal(size=(size, size, 3))
        scene = self._scene

        def render() -> np.ndarray:
            image: np.ndarray = scene.render(camera, backface_culling=True)
            return image

        def both() -> None:
            scene.render(camera, backface_culling=True)
            scene.clear_gradients()
            scene.render_backward(upstream)

        return render, both


def deodr_installed() -> bool:
    try:
        import deodr as _  # noqa: F401  # only whether it is there
    except ImportError:
        return False
    return True


def check_same_picture(ours: torch.Tensor, other: np.ndarray, what: str, allowed: float) -> None:
    """RuntimeError where two images of one scene differ in more than a share of their values."""
    share = float(np.mean(np.abs(ours.numpy() - other) > 0.02))
    if share > allowed:
        raise RuntimeError(f"{what} drew something else: {100 * share:.2f} % of the values differ")
