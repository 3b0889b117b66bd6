"""Draws one frame: geometry, effects, accumulation of jittered frames into linear colour."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from functools import cache

import moderngl
import numpy as np

from studio.core.channels import CHANNELS, SHOWS
from studio.core.effects.effect import Surroundings
from studio.core.errors import InputError
from studio.core.scene import Camera
from studio.core.tensors import SceneTensors
from studio.gl.colormap import COLORMAPS, DEPTH_MAP
from studio.gl.graph import EMISSION
from studio.gl.meshes import SceneMeshes
from studio.gl.passes import COLOR_UNIT, Shot
from studio.gl.program import ProgramCache
from studio.gl.radiance import Radiance
from studio.gl.shading import EffectChain
from studio.gl.targets import Targets
from studio.gl.uniforms import Color, LightUniforms, View

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
    return View(camera.world_to_view, projection, camera.position, camera.far, camera.view_to_clip)


@dataclass(frozen=True)
class FrameSettings:
    """What a linear frame depends on besides camera and scene.

    Attributes:
        aov: name of the channel that is shown; color is the picture.
        scenery: an effect may draw the background.
        draft: effects run as drafts, and large meshes are drawn by their stand-ins, unless
            their own triangles or vertices are to be seen.
        normals: length of the vertex normals that are drawn, 0 for none.
        low, high: what a single number (in the first component) or a position is shown between.
        colormap: of single numbers; "" is their own look.
    """

    aov: str
    background: Color
    normal_maps: bool
    wireframe: bool = False
    triangle_ids: bool = False
    cull: bool = False
    scenery: bool = False
    draft: bool = False
    normals: float = 0.0
    colormap: str = ""
    low: Color = (0.0, 0.0, 0.0)
    high: Color = (1.0, 1.0, 1.0)


@dataclass(eq=False)
class World:
    """What effects are told of the scene when they prepare (see Surroundings)."""

    bounds: tuple[np.ndarray, np.ndarray] = field(default_factory=lambda: (np.zeros(3), np.ones(3)))
    version: int = 0
    surfaces: Callable[[], SceneTensors] | None = None


# Where the G-buffer holds a channel: image, first component.
_PLACES = {
    "albedo": ("albedo", 0),
    "uv": ("albedo", 0),  # the geometry pass writes it there for this view
    "alpha": ("albedo", 3),
    "normal": ("normal", 0),
    "perceptual_roughness": ("normal", 3),
    "position": ("position", 0),
    "depth": ("position", 3),
    "metallic": ("material", 0),
    "occlusion": ("material", 1),
    "part": ("material", 2),
    "id": ("material", 3),
}


class FrameRenderer:
    """Draws the scene into linear colour; knows nothing of backgrounds, photos and overlays."""

    def __init__(
        self, programs: ProgramCache, meshes: SceneMeshes, chain: EffectChain, radiance: Radiance
    ) -> None:
        self._programs = programs
        self._radiance = radiance
        self._ctx = programs.ctx
        self._meshes = meshes
        self._chain = chain
        self.lights = LightUniforms()
        self.world = World()

    def draw_gbuffer(
        self,
        targets: Targets,
        view: View,
        settings: FrameSettings,
        asked: tuple[str, ...] = (),
        also: EffectChain | None = None,
    ) -> None:
        """Geometry into the G-buffer targets: four, or five where emission is asked for.

        Args:
            asked: channels that are wanted besides the shown one.
            also: effects that will read the G-buffer besides the renderer's own.
        """
        surface = (name for name in (*asked, *_asked(settings)) if not CHANNELS[name].effect)
        emission = self._chain.wants_emission(tuple(surface)) or (also is not None and also.wants_emission())
        fbo = targets.geometry_fbo(emission)
        fbo.use()
        fbo.clear(depth=1.0)
        triangles = settings.triangle_ids or settings.aov == "id"
        extra = ("SHOW_UV",) * (settings.aov == "uv") + ("TRIANGLE_ID",) * triangles
        extra += ("EMISSION",) * emission
        self._meshes.draw_gbuffer(
            view.world_to_clip,
            settings.normal_maps,
            extra,
            view.position if settings.cull else None,
            settings.draft and not (triangles or settings.wireframe or settings.normals),
        )
        self._ctx.enable_only(moderngl.NOTHING)

    def draw_radiance(self, targets: Targets, view: View, settings: FrameSettings) -> None:
        """Volume and points, up to the surfaces of the G-buffer; as surfaces into it for its channels."""
        if not self._radiance.shown:
            return
        self._radiance.draw(targets, view, settings.draft)
        if settings.aov != "color" and not CHANNELS[settings.aov].effect:
            self._radiance.cover(targets, view, self._meshes.own, None)

    def cover(self, targets: Targets, view: View, settings: FrameSettings, color: moderngl.Texture) -> None:
        """Let the G-buffer know of volume and points, once everything is shaded; `color` is of `shade`."""
        if self._radiance.shown and settings.aov == "color":
            self._radiance.cover(targets, view, self._meshes.own, color)

    def _shot(self, targets: Targets, view: View, settings: FrameSettings) -> Shot:
        surroundings = Surroundings(
            lighting=self.lights.lighting,
            bounds=self.world.bounds,
            version=self.world.version,
            world_to_view=view.world_to_view,
            view_to_clip=view.still,
            size=targets.size,
            surfaces=self.world.surfaces or _no_surfaces,
        )
        return Shot(
            targets,
            view,
            self.lights,
            settings.background,
            settings.scenery,
            surroundings,
            settings.draft,
        )

    def shade(
        self,
        targets: Targets,
        view: View,
        settings: FrameSettings,
        chain: EffectChain | None = None,
        geometry: Targets | None = None,
    ) -> moderngl.Texture:
        """Colour of the G-buffer: effects (others in `chain`), volume and points over them, or a channel;
        then wires over it.

        Args:
            geometry: what `draw_radiance` drew into, if not `targets`.
        """
        if settings.aov == "color" or CHANNELS[settings.aov].effect:
            color = (chain or self._chain).shade(self._shot(targets, view, settings), _asked(settings))
        if settings.aov != "color":
            color = self._show_channel(targets, settings)
        elif self._radiance.shown:
            color = self._radiance.over(geometry or targets, targets, color, settings.scenery)
        if settings.wireframe:
            self._draw_wires(targets, color, view)
        if settings.normals:
            self._draw_normals(targets, color, view, settings.normals)
        return color

    def _show_channel(self, targets: Targets, settings: FrameSettings) -> moderngl.Texture:
        program = self._programs.get("fullscreen.vert", "aov.frag")
        channel = CHANNELS[settings.aov]
        name, first = _PLACES.get(channel.name, ("emission", 3 * (channel.name == "subsurface")))
        emission = not channel.effect and name == "emission"
        if channel.effect:
            texture, first = self._chain.texture(targets, channel.name), 0
        else:
            texture = targets.emission if emission else targets.gbuffer[name]
        targets.color_fbo[0].use()
        for sampler, unit in targets.bind_gbuffer().items():
            program.set(sampler, unit)
        texture.use(COLOR_UNIT)
        program.set("u_aov", COLOR_UNIT)
        program.set("u_show", SHOWS.index(channel.show))
        program.set("u_first", first)
        # A component for every light: the mean over those that there are.
        program.set("u_count", max(1, self.lights.count) if channel.size == 4 else 1)
        program.set("u_where_empty", int(channel.name == "background"))
        program.set("u_low", settings.low)
        program.set("u_high", settings.high)
        program.set("u_background", settings.background)
        program.set("u_mapped", int(bool(settings.colormap) or channel.show == "depth"))
        program.set_array("u_colormap", COLORMAPS[settings.colormap or DEPTH_MAP])
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

    def draw_part(self, targets: Targets, view: View, index: int) -> moderngl.Texture:
        """Where one part would be seen if it were alone: 1 there, else 0."""
        texture = targets.image("part_alone", 1)
        fbo = targets.framebuffer((texture,), None)
        fbo.use()
        fbo.clear()
        program = self._programs.get("wire.vert", "mask.frag")
        program.set_matrix("u_world_to_clip", view.world_to_clip)
        self._ctx.enable_only(moderngl.NOTHING)
        self._meshes.parts[index].draw(program, draft=True)
        return texture

    def _draw_normals(self, targets: Targets, color: moderngl.Texture, view: View, length: float) -> None:
        program = self._programs.get("normals.vert", "normals.frag")
        program.set_matrix("u_world_to_clip", view.world_to_clip)
        program.set("u_length", length)
        targets.fbo_of(color).use()
        self._ctx.enable_only(moderngl.DEPTH_TEST | moderngl.BLEND)
        self._ctx.blend_func = ALPHA_BLENDING
        self._meshes.draw_normals(program)
        self._ctx.enable_only(moderngl.NOTHING)

    def channels(
        self, targets: Targets, view: View, settings: FrameSettings, names: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        """[H, W, C] float32 by name: one frame's channels, as Viewport.channels gives them."""
        out = {}
        self.draw_gbuffer(targets, view, settings, names)
        if self._radiance.shown:
            self._radiance.draw(targets, view, settings.draft)
            self._radiance.cover(targets, view, self._meshes.own, None)
        covered = read_channel(targets, targets.gbuffer["albedo"], 3, 1)
        for name in names:
            if name in _PLACES and name != "uv":
                image, first = _PLACES[name]
                out[name] = read_channel(targets, targets.gbuffer[image], first, CHANNELS[name].size)
            elif name in EMISSION:
                first = 3 * (name == "subsurface")
                out[name] = read_channel(targets, targets.emission, first, CHANNELS[name].size)
        if "part" in out:
            out["part"] = (out["part"] + 1) * covered
        if "id" in out:
            out["id"] = self._global_triangles(out["id"], targets) * covered
        if any(CHANNELS[name].effect for name in names):
            self._chain.shade(self._shot(targets, view, settings), names)
            for name in names:
                if CHANNELS[name].effect:
                    texture = self._chain.texture(targets, name)
                    out[name] = read_channel(targets, texture, 0, CHANNELS[name].size)
        if "uv" in names:
            self.draw_gbuffer(targets, view, replace(settings, aov="uv"))
            out["uv"] = read_channel(targets, targets.gbuffer["albedo"], 0, 2)
        missing = [name for name in names if name not in out]
        if missing:
            raise InputError(f"viewport: channel {missing[0]} is not kept by the OpenGL renderer")
        return {name: out[name] for name in names}

    def _global_triangles(self, triangle: np.ndarray, targets: Targets) -> np.ndarray:
        """Triangle numbers within parts -> within the whole scene, from 1."""
        part = read_channel(targets, targets.gbuffer["material"], 2, 1).astype(np.int64)
        counts = [len(part.mesh.faces) for part in self._meshes.parts]
        first = np.cumsum([0, *counts], dtype=np.float32)
        return np.asarray(triangle + 1 + first[part])

    def accumulate(
        self, targets: Targets, color: moderngl.Texture, first: bool, own_background: bool
    ) -> None:
        """Add a frame to the sum, or begin a new one."""
        partly = ("PARTLY",) if self._radiance.shown and not own_background else ()
        program = self._programs.get("fullscreen.vert", "accumulate.frag", partly)
        targets.sum_fbo.use()
        for name, unit in targets.bind_gbuffer().items():
            program.set(name, unit)
        color.use(COLOR_UNIT)
        program.set("u_color", COLOR_UNIT)
        self._ctx.enable_only(moderngl.NOTHING if first else moderngl.BLEND)
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
        self,
        targets: Targets,
        source: moderngl.Texture,
        view: View,
        settings: FrameSettings,
        exposure: float,
        chain: EffectChain | None = None,
    ) -> moderngl.Texture:
        """Exposure, of light, and the "post" effects (others in `chain`), of the picture."""
        if CHANNELS[settings.aov].show != "light":
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
        if settings.aov != "color":
            return source
        return (chain or self._chain).post(self._shot(targets, view, settings), source)

    def finishing(
        self,
        targets: Targets,
        camera: Camera,
        settings: FrameSettings,
        samples: int,
        transparent: bool,
        exposure: float,
    ) -> Generator[None, None, np.ndarray]:
        """Draw a picture, sample by sample: gives way after each.

        Returns:
            image: [H, W, 4] float32 linear after all stages: `samples` frames averaged, alpha is coverage.
        """
        for index, offset in enumerate(jitter(samples)):
            view = jittered_view(camera, offset)
            self.draw_gbuffer(targets, view, settings)
            self.draw_radiance(targets, view, settings)
            color = self.shade(targets, view, settings)
            self.cover(targets, view, settings, color)
            self.accumulate(targets, color, index == 0, settings.scenery)
            yield
        linear = self.resolve(targets, samples, unpremultiply=transparent)
        still = jittered_view(camera, (0.0, 0.0))
        finished = self.post(targets, linear, still, settings, exposure)
        yield
        image = read_texture(targets, finished)
        image[..., 3] = read_texture(targets, linear)[..., 3]
        return image


def _asked(settings: FrameSettings) -> tuple[str, ...]:
    return () if settings.aov == "color" else (settings.aov,)


def _no_surfaces() -> SceneTensors:
    raise InputError("viewport: there is no scene yet")


def read_channel(targets: Targets, texture: moderngl.Texture, first: int, size: int) -> np.ndarray:
    """[H, W, size] float32 of some components of an image of full size, row 0 at the bottom."""
    width, height = targets.size
    data = np.frombuffer(texture.read(alignment=1), np.float32)
    return data.reshape(height, width, -1)[..., first : first + size].copy()


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
