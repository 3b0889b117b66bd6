"""The viewport: the scene as a texture, drawn only when something changed.

    viewport = Viewport(ctx)
    viewport.set_scene(scene)
    texture = viewport.render(camera, ViewOptions())

A still picture is refined: each call of `render` adds one jittered frame to the mean until
`settled`. All of it runs on the thread of the GL context.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import moderngl
import numpy as np

from studio.core.channels import channel
from studio.core.errors import InputError
from studio.core.params import ParamSet
from studio.core.scene import Camera, Lighting, Mesh, PhotoSet, Scene
from studio.core.tensors import SceneTensors
from studio.gl.compose import Compositor, Picture, effective_mode
from studio.gl.frame import (
    FrameRenderer,
    FrameSettings,
    World,
    depth_range,
    jitter,
    jittered_view,
)
from studio.gl.ground import Ground
from studio.gl.meshes import SceneMeshes
from studio.gl.options import PARITY, PixelInfo, ViewOptions
from studio.gl.overlay import PhotoOverlay
from studio.gl.photos import PhotoTextures
from studio.gl.probe import ErrorMeter, read_gbuffer, read_pixel
from studio.gl.program import SHADERS, ProgramCache
from studio.gl.resources import Resources
from studio.gl.shading import EffectChain
from studio.gl.targets import Targets
from studio.gl.uniforms import LightUniforms
from studio.gl.view_math import tiles

Key = tuple[Any, ...]

TILE = 2048
"""Offline pictures larger than this each way are drawn in tiles: the targets of one take about
150 bytes a pixel, which a poster would not leave free. Screen effects see one tile at a time."""


def _camera_key(camera: Camera) -> Key:
    numbers = (camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy)
    return (*numbers, camera.near, camera.far, camera.view_to_world.tobytes())


class Viewport:
    """Renders a scene into a texture for the window, and into arrays for files and tests.

    Args:
        shaders: folder of the shaders.

    Attributes:
        resources: counts the GL objects alive.
        settled: the last `render` changed nothing and the next would not either.
        frames_drawn: how often the geometry was drawn, for tests and the status bar.
    """

    def __init__(self, ctx: moderngl.Context, shaders: Path = SHADERS):
        self.ctx = ctx
        self.resources = Resources(ctx)
        self.programs = ProgramCache(self.resources, shaders)
        self.meshes = SceneMeshes(self.resources, self.programs)
        self.chain = EffectChain(self.programs, self.resources)
        self.frame = FrameRenderer(self.programs, self.meshes, self.chain)
        self.ground = Ground(self.resources, self.programs)
        self.photos = PhotoTextures(self.resources)
        self.frames_drawn = 0
        self.settled = False
        self._compositor = Compositor(self.programs)
        self._overlay = PhotoOverlay(self.resources, self.programs)
        self._meter = ErrorMeter(self.resources, self.programs)
        self._targets: dict[tuple[int, int], Targets] = {}
        self._background = (0.0, 0.0, 0.0)
        self._bounds = (np.full(3, -0.5), np.full(3, 0.5))
        self._selection: int | None = None
        self._version = 0
        self._frame_key: Key = ()
        self._display_key: Key = ()
        self._samples = 0
        self._color: tuple[moderngl.Texture, moderngl.Texture] | None = None
        self._linear: moderngl.Texture | None = None
        self._camera: Camera | None = None
        self._options = ViewOptions()

    # What is shown

    def set_scene(self, scene: Scene) -> None:
        """Take all meshes, the lighting and the background of a scene.

        Effects are set apart, by `set_effects`.
        """
        self.meshes.set(scene.meshes)
        self._bounds = scene.bounds()
        self.ground.place(*self._bounds)
        self._background = _color(scene.background)
        self._selection = None
        self.set_lighting(scene.lighting)
        self._surfaces_changed()

    def _surfaces_changed(self) -> None:
        """Tell the effects of new geometry or materials."""
        meshes = [part.mesh for part in self.meshes.parts]
        self.chain.lacks = Scene(meshes=meshes).lacks()
        made: list[SceneTensors] = []

        def surfaces() -> SceneTensors:
            if not made:
                made.append(SceneTensors.from_meshes(meshes))
            return made[0]

        self._version += 1
        self.frame.world = World(self._bounds, self._version, surfaces)

    def update_mesh(self, index: int, mesh: Mesh) -> None:
        """Show a new state of one mesh, e.g. a snapshot of the optimizer.

        Cheap while the numbers of vertices and faces and the kinds of attributes stay: the
        buffers are rewritten in place. Give normals, or they are computed here.
        """
        if not 0 <= index < len(self.meshes.parts):
            raise InputError(f"viewport: no mesh {index}, the scene has {len(self.meshes.parts)}")
        self.meshes.update(index, mesh)
        boxes = [part.bounds for part in self.meshes.parts]
        self._bounds = (np.min([b[0] for b in boxes], axis=0), np.max([b[1] for b in boxes], axis=0))
        self.ground.invalidate(*self._bounds)
        self._surfaces_changed()

    def set_lighting(self, lighting: Lighting) -> None:
        lights = LightUniforms.from_lighting(lighting)
        if not lights.same(self.frame.lights):
            self.frame.lights = lights
            self._version += 1

    def set_background(self, background: tuple[float, float, float]) -> None:
        """Linear RGB behind everything, for the background "scene" and for differences."""
        if _color(background) != self._background:
            self._background = _color(background)
            self._version += 1

    def set_effects(self, effects: dict[str, ParamSet]) -> None:
        """Turn on exactly these effects, with these parameters (copied)."""
        if self.chain.set_effects(effects):
            self._version += 1

    def set_photos(self, photos: PhotoSet | None) -> None:
        """Target photos, and the cameras drawn as frusta; textures are made when looked at."""
        self.photos.set(photos)
        self._overlay.set(photos)
        self._version += 1

    def set_selection(self, index: int | None) -> None:
        """The mesh that carries an outline."""
        if index != self._selection:
            self._selection = index
            self._display_key = ()

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """(low, high) of everything, for framing."""
        return self._bounds

    # Drawing

    def render(self, camera: Camera, options: ViewOptions) -> moderngl.Texture:
        """The picture for the screen: RGBA8, sRGB encoded, alpha 1, row 0 at the bottom.

        Nothing is drawn when nothing changed. A still picture gets one more jittered frame
        per call until `options.samples` are averaged.

        Args:
            camera: its width and height are the size of the view in pixels.
            options: what to show; `resolution_scale` makes the texture smaller than that.
        Returns:
            texture: stays valid until the size changes twice; owned by the viewport.
        """
        scaled = self._scaled(camera, options)
        frame_key, display_key = self._keys(scaled, options)
        if frame_key != self._frame_key or self.chain.waiting:
            self._samples = 0
        elif self._samples >= options.samples and display_key == self._display_key:
            self.settled = True
            return self._targets_for(scaled).display
        with self._own_state():
            if self._samples < options.samples:
                self._add_sample(scaled, options)
            self._present(scaled, options)
        self._frame_key, self._display_key = frame_key, self._keys(scaled, options)[1]
        self._camera, self._options = scaled, options
        self.settled = self._samples >= options.samples and not self.chain.waiting
        return self._targets_for(scaled).display

    def _scaled(self, camera: Camera, options: ViewOptions) -> Camera:
        width = max(1, round(camera.width * options.resolution_scale))
        height = max(1, round(camera.height * options.resolution_scale))
        return camera if (width, height) == (camera.width, camera.height) else camera.resized(width, height)

    def _background_of(self, options: ViewOptions) -> str:
        """A difference is taken over the scene's own background; a photo needs to be there."""
        mode = effective_mode(options, self._photo(options) is not None)
        own = mode == "difference" or options.aov == "background"
        return "scene" if own else options.background

    def _photo(self, options: ViewOptions) -> int | None:
        index = options.photo
        return index if index is not None and 0 <= index < len(self.photos.photos) else None

    def _settings(self, camera: Camera, options: ViewOptions) -> FrameSettings:
        low, high = (_color(corner) for corner in self._bounds)
        aov = channel(options.aov).name
        if aov == "depth":
            near, far = depth_range(camera, *self._bounds)
            low, high = (near, 0.0, 0.0), (far, 0.0, 0.0)
        own = self._background_of(options) == "scene"
        return FrameSettings(
            aov=aov,
            background=self._background if own else (0.0, 0.0, 0.0),
            scenery=own,
            normal_maps=options.normal_maps,
            cull=True,
            wireframe=options.wireframe,
            low=low,
            high=high,
        )

    def _keys(self, camera: Camera, options: ViewOptions) -> tuple[Key, Key]:
        """What the linear frame depends on, and what the display depends on besides."""
        photo = self._photo(options)
        background = self._background_of(options)
        frame = (
            self._version,
            _camera_key(camera),
            (options.aov, options.normal_maps, options.wireframe, options.samples, background == "scene"),
        )
        return frame, (frame, options, photo, self._selection, self._samples)

    def _add_sample(self, camera: Camera, options: ViewOptions) -> None:
        targets = self._targets_for(camera)
        settings = self._settings(camera, options)
        view = jittered_view(camera, jitter(options.samples)[self._samples])
        self.frame.draw_gbuffer(targets, view, settings)
        color = self.frame.shade(targets, view, settings)
        self._color = (color, targets.gbuffer["albedo"])
        if options.samples > 1:
            self.frame.accumulate(targets, color, first=self._samples == 0)
        self._samples += 1
        self.frames_drawn += 1
        if self._samples > 1:
            resolved = self.frame.resolve(targets, self._samples, self._background_of(options) != "scene")
            self._color = (resolved, resolved)

    def _present(self, camera: Camera, options: ViewOptions) -> None:
        targets = self._targets_for(camera)
        settings = self._settings(camera, options)
        view = jittered_view(camera, (0.0, 0.0))
        if self._color is None:
            return
        linear, coverage = self._color
        color = self.frame.post(targets, linear, view, settings, options.exposure)
        index = self._photo(options)
        photo = None if index is None else (self.photos.texture(index), self.photos.photos[index].camera)
        ground = self.ground if options.grid or options.axes else None
        if ground is not None:
            ground.draw_shadow(self.meshes, now=1 < options.samples <= self._samples)
        background = self._background_of(options)
        picture = Picture(
            color,
            coverage,
            camera,
            options,
            background,
            photo,
            cutout=index is not None and self.photos.cutout(index),
            selected=self._selection,
            ground=ground,
        )
        self._compositor.draw(targets, picture)
        self._linear = color
        if options.frusta and effective_mode(options, photo is not None) in ("render", "wipe", "split"):
            self._overlay.draw(targets, camera, options)

    def _targets_for(self, camera: Camera) -> Targets:
        """Targets of the camera's size; the last two sizes are kept (full and moving)."""
        size = (camera.width, camera.height)
        targets = self._targets.pop(size, None) or Targets(self.resources, size)
        self._targets[size] = targets
        while len(self._targets) > 2:
            self._targets.pop(next(iter(self._targets))).release()
        return targets

    @contextlib.contextmanager
    def _scratch(self, camera: Camera) -> Iterator[Targets]:
        """Targets of a camera's size for one use, apart from those on screen."""
        targets = Targets(self.resources, (camera.width, camera.height))
        try:
            with self._own_state():
                yield targets
        finally:
            targets.release()

    @contextlib.contextmanager
    def _own_state(self) -> Iterator[None]:
        """Leave OpenGL as whoever draws around us expects it, also after a failed pass."""
        before = self.ctx.detect_framebuffer()
        self.ctx.enable_only(moderngl.NOTHING)
        try:
            yield
        finally:
            self.ctx.enable_only(moderngl.NOTHING)
            self.ctx.depth_func = "<"
            self.ctx.wireframe = False
            before.use()

    # Reading back

    def pixel(self, x: float, y: float, triangle: bool = False) -> PixelInfo | None:
        """What the shown picture has under a point, or None for the background.

        Args:
            x, y: pixels of the view from its *upper left* corner, as mice count; the size
                is that of the camera given to `render`, whatever the resolution scale.
            triangle: also find the face; draws the geometry once more, for one pixel.
        """
        if self._camera is None:
            return None
        u = (x + 0.5) * self._options.resolution_scale / self._camera.width
        v = (y + 0.5) * self._options.resolution_scale / self._camera.height
        if self._options.mode == "split" and self._photo(self._options) is not None:
            u += 0.25 if u < 0.5 else -0.25
        column, row = int(u * self._camera.width), int((1 - v) * self._camera.height)
        if not (0 <= column < self._camera.width and 0 <= row < self._camera.height):
            return None
        if triangle:
            top = self._camera.height - 1 - row
            cx, cy = self._camera.cx - column, self._camera.cy - top
            return self._pixel_through(replace(self._camera, width=1, height=1, cx=cx, cy=cy))
        return read_pixel(self._targets_for(self._camera), column, row)

    def _pixel_through(self, camera: Camera) -> PixelInfo | None:
        """What a camera of a single pixel sees, its triangle included."""
        settings = replace(self._settings(camera, PARITY), triangle_ids=True)
        with self._scratch(camera) as targets:
            self.frame.draw_gbuffer(targets, jittered_view(camera, (0.0, 0.0)), settings)
            return read_pixel(targets, 0, 0, triangle_ids=True)

    def pick(self, x: float, y: float) -> int | None:
        """Index of the mesh under a point of the view (see `pixel`), or None."""
        info = self.pixel(x, y)
        return None if info is None else info.part

    def mean_error(self) -> float:
        """Mean absolute sRGB difference between the shown render and its photo; NaN without one."""
        photo = self._photo(self._options)
        if self._camera is None or self._linear is None or self._color is None or photo is None:
            return float("nan")
        pair = (self.photos.texture(photo), self.photos.photos[photo].camera)
        targets = self._targets_for(self._camera)
        with self._own_state():
            return self._meter.measure(targets, self._linear, self._color[1], self._camera, pair)

    def read_image(self) -> np.ndarray:
        """[H, W, 4] float32 linear: the picture as last shown, from its 8-bit sRGB values."""
        if self._camera is None:
            raise InputError("viewport: nothing has been rendered yet")
        targets = self._targets_for(self._camera)
        data = np.frombuffer(targets.display_fbo.read(components=4, alignment=1), np.uint8)
        image = data.reshape(targets.size[1], targets.size[0], 4).astype(np.float32) / 255
        rgb = image[..., :3]
        image[..., :3] = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return image

    def render_offline(
        self,
        camera: Camera,
        size: tuple[int, int] | None = None,
        samples: int = 16,
        transparent: bool = False,
        options: ViewOptions = PARITY,
    ) -> np.ndarray:
        """One finished picture for a file or a comparison, apart from what is on screen.

        No grid, frusta, gradient or comparison.

        Args:
            camera: resized to `size` (width, height) if that is given.
            samples: jittered frames to average; 1 is a single unjittered one, the same
                pixel centres as the differentiable renderer.
            transparent: no background: rgb is not premultiplied, alpha is coverage.
                Otherwise rgb lies over the scene's background; alpha is still coverage.
            options: channel, wireframe, normal maps and exposure are taken from it.
        Returns:
            image: [H, W, 4] float32 linear, after the post effects, row 0 at the bottom.
        """
        camera = camera if size is None else camera.resized(*size)
        settings = replace(
            self._settings(camera, options),
            background=(0.0, 0.0, 0.0) if transparent else self._background,
            scenery=not transparent,
            cull=False,
        )
        image = np.empty((camera.height, camera.width, 4), np.float32)
        for x, y, part in tiles(camera, TILE):
            with self._scratch(part) as targets:
                drawn = self.frame.finished(
                    targets, part, settings, max(1, samples), transparent, options.exposure
                )
            image[y : y + part.height, x : x + part.width] = drawn
        return image

    def gbuffer(self, camera: Camera, normal_maps: bool = True) -> dict[str, np.ndarray]:
        """Every channel as float32 [H, W, C], unjittered (see `read_gbuffer` for the names)."""
        settings = replace(self._settings(camera, PARITY), normal_maps=normal_maps, cull=False)
        settings = replace(settings, triangle_ids=True)
        with self._scratch(camera) as targets:
            self.frame.draw_gbuffer(targets, jittered_view(camera, (0.0, 0.0)), settings)
            return read_gbuffer(targets)

    def channels(
        self, camera: Camera, names: Iterable[str], normal_maps: bool = True
    ) -> dict[str, np.ndarray]:
        """Channels of a frame as numbers: one sample at the pixel centres, no post effects.

        Args:
            names: any but color and rgba, which `render_offline` draws (see studio.core.channels).
        Returns:
            [H, W, C] float32 by name, row 0 at the bottom.
        Raises:
            InputError: an unknown channel, or one whose effect is off.
        """
        wanted = tuple(dict.fromkeys(channel(name).name for name in names))
        settings = replace(self._settings(camera, PARITY), normal_maps=normal_maps, cull=False)
        with self._scratch(camera) as targets:
            view = jittered_view(camera, (0.0, 0.0))
            return self.frame.channels(targets, view, replace(settings, triangle_ids=True), wanted)

    def release(self) -> None:
        """Give every GL object back; the viewport is of no use afterwards."""
        self.meshes.release()
        self.programs.release()
        self.resources.release_all()


def _color(value: Any) -> tuple[float, float, float]:
    r, g, b = (float(v) for v in value)
    return r, g, b
