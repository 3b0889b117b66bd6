"""A cloud of Gaussians on the GPU: a texture of their numbers, drawn farthest first."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import moderngl
import numpy as np

from studio.core.params import ParamSet
from studio.core.scene import Points
from studio.gl.program import ProgramCache
from studio.gl.resources import Resources
from studio.gl.targets import Targets
from studio.gl.uniforms import View

PER_ROW = 1024
"""Gaussians in a row of the texture; as in splat.vert."""

AT_ONCE = 100_000
"""Up to so many are sorted before the frame, 10 ms; more behind it, while the old order is shown."""


def texels(points: Points) -> np.ndarray:
    """[P, T, 4] float32: centre and opacity, covariance xx xy xz yy yz zz and two zeros, colours."""
    count = len(points)
    turned = _rotations(points.turns) * np.exp(points.log_sizes)[:, None, :]
    covariance = np.einsum("pij,pkj->pik", turned, turned)
    opacity = 1 / (1 + np.exp(-points.opacity_logits.astype(np.float64)))
    numbers = points.colors.reshape(count, -1)
    out = np.zeros((count, 3 + -(-numbers.shape[1] // 4), 4), np.float32)
    out[:, 0, :3], out[:, 0, 3] = points.centers, opacity
    out[:, 1] = covariance[:, (0, 0, 0, 1), (0, 1, 2, 1)]
    out[:, 2, :2] = covariance[:, (1, 2), (2, 2)]
    out[:, 3:].reshape(count, -1)[:, : numbers.shape[1]] = numbers
    return out


def _rotations(turns: np.ndarray) -> np.ndarray:
    """[P, 3, 3] of quaternions (w, x, y, z) of any length."""
    w, x, y, z = (turns / np.maximum(np.linalg.norm(turns, axis=1, keepdims=True), 1e-12)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows, np.float32), -1, 0)


def farthest_first(centers: np.ndarray, axis: np.ndarray, chosen: np.ndarray | None) -> np.ndarray:
    """[M] int32 numbers of the chosen points (None: all), those furthest along -`axis` first."""
    along = (centers if chosen is None else centers[chosen]) @ axis.astype(np.float32)
    # Bits of floats, negative ones turned round, sort as they do; NumPy sorts 16 bits by counting.
    bits = along.view(np.uint32)
    bits = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    order = bits.astype(np.uint16).argsort(kind="stable")
    order = order[(bits >> 16).astype(np.uint16)[order].argsort(kind="stable")]
    return np.ascontiguousarray(order if chosen is None else chosen[order], np.int32)


class GpuPoints:
    """One cloud on the GPU.

    Attributes:
        points: what was uploaded last.
        waiting: the order on screen is that of an earlier view; a better one is being found.
    """

    def __init__(self, resources: Resources, programs: ProgramCache, points: Points) -> None:
        self._resources = resources
        self._programs = programs
        self._texture: moderngl.Texture | None = None
        self._order: moderngl.Buffer | None = None
        self._arrays: dict[int, moderngl.VertexArray] = {}
        self._sorter: ThreadPoolExecutor | None = None
        self._sorting: Future[np.ndarray] | None = None
        self._sorted_for: tuple[bytes, float, float] | None = None
        self._asked_for: tuple[bytes, float, float] | None = None
        self._drawn = 0
        self.waiting = False
        self.update(points)

    def update(self, points: Points) -> None:
        """Take another cloud."""
        if self._sorting is not None:
            self._sorting.result()
            self._sorting = None
        data = texels(points)
        rows = -(-len(points) // PER_ROW)
        padded = np.zeros((rows * PER_ROW, *data.shape[1:]), np.float32)
        padded[: len(points)] = data
        size = (PER_ROW * data.shape[1], rows)
        if self._texture is not None and self._texture.size == size:
            self._texture.write(padded.tobytes())
        else:
            self._resources.release(self._texture)
            self._texture = self._resources.texture(size, 4, padded.tobytes(), dtype="f4")
        if self._order is None or self._order.size != 4 * len(points):
            self._release_arrays()
            self._resources.release(self._order)
            self._order = self._resources.buffer(np.arange(len(points), dtype=np.int32))
        self.points = points
        self._opacity = data[:, 0, 3]
        area = np.exp(np.sort(points.log_sizes, axis=1)[:, 1:].sum(axis=1))
        self._rank = np.empty(len(points), np.int64)
        self._rank[np.argsort(-self._opacity * area, kind="stable")] = np.arange(len(points))
        self._sorted_for = None

    def _chosen(self, share: float, cut: float) -> np.ndarray | None:
        """Numbers of the points that are drawn, None for all."""
        if share >= 1.0 and cut <= 0.0:
            return None
        return np.flatnonzero((self._rank < round(share * len(self.points))) & (self._opacity >= cut))

    def _sort(self, view: View, look: ParamSet) -> None:
        """Bring the order up to date: at once if that is quick, else as soon as it is there."""
        if self._sorting is not None and self._sorting.done():
            self._take(self._sorting.result(), self._asked_for)
            self._sorting = None
        axis = view.world_to_view[2, :3]
        key = (axis.tobytes(), look["share"], look["opacity_cut"])
        if key != self._sorted_for and self._sorting is None:
            chosen = self._chosen(look["share"], look["opacity_cut"])
            count = len(self.points) if chosen is None else len(chosen)
            if count <= AT_ONCE or self._sorted_for is None:
                self._take(farthest_first(self.points.centers, axis, chosen), key)
            else:
                self._sorter = self._sorter or ThreadPoolExecutor(1, "studio-splat-order")
                self._sorting = self._sorter.submit(farthest_first, self.points.centers, axis, chosen)
                self._asked_for = key
        self.waiting = key != self._sorted_for

    def _take(self, order: np.ndarray, key: tuple[bytes, float, float] | None) -> None:
        assert self._order is not None
        if len(order):
            self._order.write(order)
        self._drawn, self._sorted_for = len(order), key

    def draw(self, targets: Targets, view: View, look: ParamSet) -> None:
        """Lay the cloud into the images "points" and "points_depth" of the targets, meshes before it.

        Args:
            look: values of looks.POINTS.
        """
        assert self._texture is not None
        self._sort(view, look)
        program = self._programs.get("splat.vert", "splat.frag", (f"DEGREE {self.points.degree}",))
        self._texture.use(0)
        program.set("u_splats", 0)
        program.set_matrix("u_world_to_view", view.world_to_view)
        program.set_matrix("u_view_to_clip", view.view_to_clip)
        program.set("u_eye", tuple(float(v) for v in view.position))
        program.set("u_size", (float(targets.size[0]), float(targets.size[1])))
        program.set("u_variance", float(look["size_scale"]) ** 2)
        ctx = self._programs.ctx
        images = (targets.image("points", 4), targets.image("points_depth", 1))
        fbo = targets.framebuffer(images, targets.depth)
        targets.framebuffer(images, None).clear(0.0, 0.0, 0.0, 0.0)
        fbo.use()
        ctx.enable_only(moderngl.DEPTH_TEST | moderngl.BLEND)
        ctx.depth_func = "<="
        ctx.blend_func = (moderngl.ONE, moderngl.ONE_MINUS_SRC_ALPHA)
        if self._drawn:
            key = program.glo.glo
            if key not in self._arrays:
                content = [(self._order, "1i/i", "in_splat")]
                self._arrays[key] = self._resources.vertex_array(program.glo, content)
            self._arrays[key].render(moderngl.TRIANGLE_STRIP, vertices=4, instances=self._drawn)
        ctx.enable_only(moderngl.NOTHING)
        ctx.depth_func = "<"
        ctx.blend_func = (moderngl.SRC_ALPHA, moderngl.ONE_MINUS_SRC_ALPHA)

    def _release_arrays(self) -> None:
        self._resources.release(*self._arrays.values())
        self._arrays.clear()

    def release(self) -> None:
        if self._sorter is not None:
            self._sorter.shutdown(wait=True)
        self._release_arrays()
        self._resources.release(self._texture, self._order)
