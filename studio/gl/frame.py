"""Draws one frame: geometry, effects, accumulation of jittered frames into linear colour."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import moderngl
import numpy as np

from studio.core.scene import Camera
from studio.gl.colormap import COLORMAPS, DEPTH_MAP
from studio.gl.meshes import SceneMeshes
from studio.gl.options import AOVS, Aov
from studio.gl.program import ProgramCache
from studio.gl.shading import COLOR_UNIT, EffectChain, LightUniforms, View
from studio.gl.targets import Targets

Color = tuple[float, float, float]
ALPHA_BLENDING = (moderngl.SRC_ALPHA, moderngl.ONE_MINUS_SRC_ALPHA)


@cache
def jitter(count: int) -> tuple[tuple[float, float], ...]:
    """Offsets from the pixel centre of `count` sub-frames, pixels.

    A Fibonacci lattice: even in both directions and along slanted edges. Its mean is taken
    out, or the finished picture would be shifted against a single, unjittered frame. The
    order strides through it, so that the means on the way are centred, too.
    """
    golden = (math.sqrt(5) - 1) / 2
    points = [((k + 0.5) / count, ((k + 0.5) * golden) % 1.0) for k in range(count)]
    mean_x, mean_y = (sum(p[axis] for p in points) / count for axis in (0, 1))
    stride = next(s for s in range(max(1, round(count * golden)), count + 2) if math.gcd(s, count) == 1)
    order = [k * stride % count for k in range(count)]
    return tuple((points[k][0] - mean_x, points[k][1] - mean_y) for k in order)


def jittered_view(camera: Camera, offset: tuple[float, float]) -> View:
    """The camera's matrices with the image shifted by `offset` pixels."""
    projection = camera.view_to_clip
    # clip.w = -z, so an addition to the z column moves ndc by its negative.
    projection[0, 2] -= 2 * offset[0] / camera.width
    projection[1, 2] -= 2 * offset[1] / camera.height
    return View(camera.world_to_view, projection, camera.position)


@dataclass(frozen=True)
class FrameSettings:
    """What a linear frame depends on besides camera and scene."""

    aov: Aov
    background: Color
    normal_maps: bool
    wireframe: bool = False
    triangle_ids: bool = False
    cull: bool = False
    low: Color = (0.0, 0.0, 0.0)
    high: Color = (1.0, 1.0, 1.0)


class FrameRenderer:
    """Draws the scene into linear colour; knows nothing of backgrounds, photos and overlays."""

    def __init__(self, programs: ProgramCache, meshes: SceneMeshes, chain: EffectChain):
        self._programs = programs
        self._ctx = programs.ctx
        self._meshes = meshes
        self._chain = chain
        self.lights = LightUniforms()

    def draw_gbuffer(self, targets: Targets, view: View, settings: FrameSettings) -> None:
        """Geometry into the four G-buffer targets."""
        targets.gbuffer_fbo.use()
        targets.gbuffer_fbo.clear(depth=1.0)
        extra = ("SHOW_UV",) * (settings.aov == "uv") + ("TRIANGLE_ID",) * settings.triangle_ids
        self._meshes.draw_gbuffer(
            view.world_to_clip, settings.normal_maps, extra, view.position if settings.cull else None
        )
        self._ctx.enable_only(moderngl.NOTHING)

    def shade(self, targets: Targets, view: View, settings: FrameSettings) -> moderngl.Texture:
        """Colour of the G-buffer: effects, or a channel of it; then wires over it."""
        if settings.aov == "shaded":
            color = self._chain.shade(targets, view, self.lights, settings.background)
        else:
            color = self._shade_channel(targets, settings)
        if settings.wireframe:
            self._draw_wires(targets, color, view)
        return color

    def _shade_channel(self, targets: Targets, settings: FrameSettings) -> moderngl.Texture:
        program = self._programs.get("fullscreen.vert", "aov.frag")
        targets.color_fbo[0].use()
        for name, unit in targets.bind_gbuffer().items():
            program.set(name, unit)
        program.set("u_channel", AOVS.index(settings.aov))
        program.set("u_low", settings.low)
        program.set("u_high", settings.high)
        program.set("u_background", settings.background)
        program.set_array("u_colormap", COLORMAPS[DEPTH_MAP])
        self._programs.draw_fullscreen(program)
        return targets.color[0]

    def _draw_wires(self, targets: Targets, color: moderngl.Texture, view: View) -> None:
        program = self._programs.get("wire.vert", "wire.frag")
        program.set_matrix("u_world_to_clip", view.world_to_clip)
        targets.fbo_of(color).use()
        self._ctx.enable_only(moderngl.DEPTH_TEST | moderngl.BLEND)
        self._ctx.blend_func = ALPHA_BLENDING
        self._ctx.wireframe = True
        self._meshes.draw_plain(program)
        self._ctx.wireframe = False
        self._ctx.enable_only(moderngl.NOTHING)

    def accumulate(self, targets: Targets, color: moderngl.Texture, first: bool) -> None:
        """Add a frame to the sum."""
        program = self._programs.get("fullscreen.vert", "accumulate.frag")
        targets.sum_fbo.use()
        if first:
            targets.sum_fbo.clear()
        for name, unit in targets.bind_gbuffer().items():
            program.set(name, unit)
        color.use(COLOR_UNIT)
        program.set("u_color", COLOR_UNIT)
        self._ctx.enable_only(moderngl.BLEND)
        self._ctx.blend_func = (moderngl.ONE, moderngl.ONE)
        self._programs.draw_fullscreen(program)
        self._ctx.enable_only(moderngl.NOTHING)
        self._ctx.blend_func = ALPHA_BLENDING

    def resolve(self, targets: Targets, samples: int, unpremultiply: bool) -> moderngl.Texture:
        """The mean of the accumulated frames; alpha is the share that the scene covers."""
        program = self._programs.get("fullscreen.vert", "resolve.frag")
        targets.resolved_fbo.use()
        targets.sum.use(COLOR_UNIT)
        program.set("u_sum", COLOR_UNIT)
        program.set("u_samples", float(samples))
        program.set("u_unpremultiply", int(unpremultiply))
        self._programs.draw_fullscreen(program)
        return targets.resolved

    def post(
        self, targets: Targets, source: moderngl.Texture, view: View, settings: FrameSettings, exposure: float
    ) -> moderngl.Texture:
        """Exposure and the "post" effects; data channels stay as they are."""
        if settings.aov != "shaded":
            return source
        if exposure != 0.0:
            target = 1 if source is targets.color[0] else 0
            program = self._programs.get("fullscreen.vert", "exposure.frag")
            targets.color_fbo[target].use()
            source.use(COLOR_UNIT)
            program.set("u_color", COLOR_UNIT)
            program.set("u_gain", float(2.0**exposure))
            self._programs.draw_fullscreen(program)
            source = targets.color[target]
        return self._chain.post(source, targets, view, self.lights, settings.background)

    def finished(
        self,
        targets: Targets,
        camera: Camera,
        settings: FrameSettings,
        samples: int,
        transparent: bool,
        exposure: float,
    ) -> np.ndarray:
        """[H, W, 4] float32 linear after all stages: `samples` frames averaged, alpha is coverage."""
        for index, offset in enumerate(jitter(samples)):
            view = jittered_view(camera, offset)
            self.draw_gbuffer(targets, view, settings)
            color = self.shade(targets, view, settings)
            self.accumulate(targets, color, first=index == 0)
        linear = self.resolve(targets, samples, unpremultiply=transparent)
        still = jittered_view(camera, (0.0, 0.0))
        image = read_texture(targets, self.post(targets, linear, still, settings, exposure))
        image[..., 3] = read_texture(targets, linear)[..., 3]
        return image


def read_texture(targets: Targets, texture: moderngl.Texture) -> np.ndarray:
    """[H, W, 4] float32 of a colour image, row 0 at the bottom."""
    width, height = targets.size
    data = targets.fbo_of(texture).read(components=4, dtype="f4", alignment=1)
    return np.frombuffer(data, np.float32).reshape(height, width, 4).copy()


def depth_range(camera: Camera, low: np.ndarray, high: np.ndarray) -> tuple[float, float]:
    """Nearest and farthest depth of a box, at least 0 and not empty."""
    corners = np.array(
        [[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])]
    )
    depth = -(corners @ camera.world_to_view[2, :3] + camera.world_to_view[2, 3])
    near = max(0.0, float(depth.min()))
    return near, max(float(depth.max()), near + 1e-6)
