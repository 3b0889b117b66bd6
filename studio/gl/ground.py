"""The ground below the object: where it is, its grid, and the soft contact shadow on it."""

from __future__ import annotations

import math
import time

import moderngl
import numpy as np

from studio.core.scene import Camera
from studio.gl.meshes import SceneMeshes
from studio.gl.options import ViewOptions
from studio.gl.program import Program, ProgramCache
from studio.gl.resources import Resources
from studio.gl.view_math import orthographic_up, rays

SHADOW_PIXELS = 128
"""Side of the contact shadow's map: it is blurred to a tenth of its side anyway."""

SHADOW_MARGIN = 0.6
"""The map reaches this share of the object's footprint beyond it, so the blur fades out inside."""

SHADOW_SECONDS = 0.5
"""A mesh that changes with every snapshot gets a new shadow this often, and one when it rests."""

FADE_RADII = 9.0
"""The grid is gone at this many object radii."""

CELLS_PER_RADIUS = 2.0
"""Fine lines per object radius, before rounding to 1, 2 or 5 times a power of ten."""

GRID_COLOR = {"dark": (0.23, 0.26, 0.30), "light": (0.22, 0.24, 0.27)}
"""Linear; over light grey the same lines are darker than the ground instead of lighter."""


def grid_spacing(radius: float) -> float:
    """Distance of fine grid lines for an object: 1, 2 or 5 times a power of ten."""
    wanted = radius / CELLS_PER_RADIUS
    power = 10.0 ** math.floor(math.log10(wanted))
    return power * max(step for step in (1.0, 2.0, 5.0) if step * power <= wanted * (1 + 1e-9))


class Ground:
    """Grid and contact shadow for one scene."""

    def __init__(self, resources: Resources, programs: ProgramCache):
        self._resources = resources
        self._programs = programs
        size = (SHADOW_PIXELS, SHADOW_PIXELS)
        self._maps = [resources.texture(size, 1, dtype="f4", nearest=False) for _ in range(2)]
        self._depth = resources.depth(size)
        self._fbo = [resources.framebuffer([texture], self._depth) for texture in self._maps]
        self.height = 0.0
        self.radius = 1.0
        self._center = np.zeros(2)
        self._box = self._next_box = (0.0, 0.0, 1.0, 1.0)
        self._stale = True
        self._drawn = -math.inf

    def place(self, low: np.ndarray, high: np.ndarray) -> None:
        """Put the ground under a box; the grid takes its scale from the box's size."""
        self.height = float(low[1])
        self.radius = max(float(np.linalg.norm(high - low)) / 2, 1e-6)
        self._center = (low[[0, 2]] + high[[0, 2]]) / 2
        self.invalidate(low, high)
        self._drawn = -math.inf

    def invalidate(self, low: np.ndarray, high: np.ndarray) -> None:
        """The shape changed inside a box: the shadow is drawn anew when next needed."""
        side = max(float((high - low)[[0, 2]].max()), 1e-6) * (1 + 2 * SHADOW_MARGIN)
        corner = (low[[0, 2]] + high[[0, 2]]) / 2 - side / 2
        self._next_box = (float(corner[0]), float(corner[1]), 1 / side, 1 / side)
        self._stale = True

    def draw_shadow(self, meshes: SceneMeshes, now: bool) -> None:
        """Redraw the shadow map if the shape changed: at once, or when the last is old enough.

        The object is looked at from below; what is nearer than half a radius darkens the
        ground, the nearer the more, and two blurs make it soft. Not a light's shadow but
        the missing sky light near the ground, which is what ties an object to it.
        """
        if not self._stale or not (now or time.monotonic() - self._drawn > SHADOW_SECONDS):
            return
        self._stale, self._drawn, self._box = False, time.monotonic(), self._next_box
        ctx = self._resources.ctx
        reach = 0.5 * self.radius
        program = self._programs.get("shadow_blob.vert", "shadow_blob.frag")
        # Starting below the ground keeps what has sunk into it.
        program.set_matrix("u_world_to_clip", orthographic_up(self._box, self.height - reach, 2 * reach))
        program.set("u_ground", self.height)
        program.set("u_reach", reach)
        self._fbo[0].use()
        self._fbo[0].clear(depth=1.0)
        ctx.enable_only(moderngl.DEPTH_TEST)
        meshes.draw_plain(program)
        ctx.enable_only(moderngl.NOTHING)
        blur = self._programs.get("fullscreen.vert", "shadow_blur.frag")
        for source, direction in ((0, (1, 0)), (1, (0, 1)), (0, (1, 0)), (1, (0, 1))):
            self._fbo[1 - source].use()
            self._maps[source].use(0)
            blur.set("u_map", 0)
            blur.set("u_step", (direction[0] / SHADOW_PIXELS, direction[1] / SHADOW_PIXELS))
            self._programs.draw_fullscreen(blur)

    def set_uniforms(self, program: Program, camera: Camera, options: ViewOptions, unit: int) -> None:
        """Uniforms of common/ground.glsl."""
        corner, right, up = rays(camera)
        for name, vector in (("corner", corner), ("right", right), ("up", up)):
            program.set(f"u_ray_{name}", tuple(vector))
        program.set("u_eye", tuple(camera.position))
        program.set("u_ground", self.height)
        spacing = grid_spacing(self.radius)
        program.set("u_spacing", spacing)
        program.set("u_per_spacing", 1 / spacing)
        program.set("u_per_fade", 1 / (FADE_RADII * self.radius))
        program.set("u_center", tuple(self._center))
        program.set("u_line_width", options.ui_scale * options.resolution_scale)
        program.set("u_grid_color", GRID_COLOR[options.theme])
        program.set("u_shadow_box", self._box)
        self._maps[0].use(unit)
        program.set("u_shadow", unit)

    def release(self) -> None:
        self._resources.release(*self._fbo, *self._maps, self._depth)
