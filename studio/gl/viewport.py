"""The viewport: the scene as a texture, drawn only when something changed.

    viewport = Viewport(ctx)
    viewport.set_scene(scene)
    texture = viewport.render(camera, ViewOptions())

A still picture is refined: each call of `render` adds one jittered frame to the mean until
`settled`. All of it runs on the thread of the GL context.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import moderngl
import numpy as np
from torch import Tensor

from studio.core.errors import InputError
from studio.core.optim.messages import OnGpu
from studio.core.scene import Camera, Mesh, Photo, PhotoSet, Points, Scene, Volume
from studio.gl.compose import Compositor, Picture, effective_mode
from studio.gl.frame import FrameSettings, jitter, jittered_view, read_channel, read_texture
from studio.gl.ground import Ground
from studio.gl.interop import Interop
from studio.gl.options import PARITY, PixelInfo, Source, ViewOptions
from studio.gl.overlay import PhotoOverlay
from studio.gl.probe import read_pixel
from studio.gl.program import SHADERS
from studio.gl.renderer import SceneRenderer
from studio.gl.shading import EffectChain
from studio.gl.sides import Pair, PairReader, Side, Stills, shown_sides, unshifted
from studio.gl.targets import Targets
from studio.gl.uniforms import View

Key = tuple[Any, ...]
Layer = tuple[moderngl.Texture, moderngl.Texture]
"""Linear colour, and an image whose alpha is coverage."""


def _camera_key(camera: Camera) -> Key:
    numbers = (camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy)
    return (*numbers, camera.near, camera.far, camera.view_to_world.tobytes())


class Viewport(SceneRenderer):
    """Renders a scene into a texture for the window.

    Args:
        say: told once of each thing that goes through host memory instead of staying on the GPU.

    Attributes:
        interop: what can be shared with CUDA.
        settled: the last `render` changed nothing and the next would not either.
        frames_drawn: how often the geometry was drawn, for tests and the status bar.
    """

    def __init__(
        self,
        ctx: moderngl.Context,
        shaders: Path = SHADERS,
        say: Callable[[str], None] | None = None,
    ):
        super().__init__(ctx, shaders)
        self.interop = self.meshes.interop = Interop(self.resources, say)
        self.ground = Ground(self.resources, self.programs)
        self.stills = Stills(self.resources)
        self.frames_drawn = 0
        self.settled = False
        self._compositor = Compositor(self.programs)
        self._overlay = PhotoOverlay(self.resources, self.programs)
        self._reader = PairReader(self.resources, self.programs)
        self._error_map: moderngl.Texture | None = None
        self._targets: dict[tuple[int, int], Targets] = {}
        self._selection: int | None = None
        self._frame_key: Key = ()
        self._display_key: Key = ()
        self._samples = 0
        self._color: Layer | None = None
        self._other_color: Layer | None = None
        self._linear: moderngl.Texture | None = None
        self._other_linear: moderngl.Texture | None = None
        self._sides: tuple[Side | None, Side | None] = (None, None)
        self._camera: Camera | None = None
        self._options = ViewOptions()

    # What is shown

    def set_scene(self, scene: Scene, preview: Mesh | None = None) -> None:
        """See SceneRenderer.set_scene."""
        super().set_scene(scene, preview)
        self.ground.place(*self._bounds)
        self._selection = None

    def update_mesh(self, index: int, mesh: Mesh, on_gpu: OnGpu | None = None) -> None:
        """See SceneRenderer.update_mesh."""
        super().update_mesh(index, mesh, on_gpu)
        self.ground.invalidate(*self._bounds)

    def set_photos(self, photos: PhotoSet | None) -> None:
        """Target photos, and the cameras drawn as frusta; textures are made when looked at."""
        self.stills.photos.set(photos)
        self._overlay.set(photos)
        self._version += 1

    def set_still(self, name: Source, picture: Photo | None) -> None:
        """A picture to compare with, by another renderer or kept from before (see options.STILLS)."""
        self.stills.set(name, picture)
        self._display_key = ()

    def set_live(self, name: Source, image: Tensor, event: Any, camera: Camera, cutout: int) -> None:
        """A picture that moves, until `set_still` gives one that stands; see Stills.set_live."""
        self.stills.set_live(name, image, event, camera, cutout, self.interop)
        self._display_key = ()

    def set_error_map(self, values: np.ndarray | None) -> None:
        """[H, W] float32 of this view, for the error "map"; negative where there is none."""
        self.resources.release(self._error_map)
        self._error_map = None
        if values is not None:
            data = np.ascontiguousarray(values, np.float32)
            self._error_map = self.resources.texture(data.shape[::-1], 1, data.tobytes(), dtype="f4")
        self._display_key = ()

    def set_selection(self, index: int | None) -> None:
        """The mesh that carries an outline."""
        if index != self._selection:
            self._selection = index
            self._display_key = ()

    def set_radiance(self, volume: Volume | None, points: Points | None) -> None:
        """See SceneRenderer.set_radiance."""
        super().set_radiance(volume, points)
        self.ground.invalidate(*self._bounds)

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
        if frame_key != self._frame_key or self._waiting(options):
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
        self.settled = self._samples >= options.samples and not self._waiting(options)
        return self._targets_for(scaled).display

    def _scaled(self, camera: Camera, options: ViewOptions) -> Camera:
        width = max(1, round(camera.width * options.resolution_scale))
        height = max(1, round(camera.height * options.resolution_scale))
        return camera if (width, height) == (camera.width, camera.height) else camera.resized(width, height)

    def _background_of(self, options: ViewOptions) -> str:
        """A difference is taken over the scene's own background; a photo needs to be there."""
        mode = effective_mode(options, self.compares(options))
        own = mode == "difference" or options.aov == "background"
        return "scene" if own else options.background

    def _waiting(self, options: ViewOptions) -> bool:
        """Whether an effect that belongs to the picture is still getting ready."""
        other = self._shows_other(options) and self.other.waiting
        return self.chain.waiting or other or self.radiance.waiting

    def compares(self, options: ViewOptions) -> bool:
        """Whether there is something to compare with."""
        return shown_sides(options, self.stills)[1] is not None

    def _shows_other(self, options: ViewOptions) -> bool:
        """Whether set B is drawn: it flickers between two finished pictures."""
        left, right = shown_sides(options, self.stills)
        return left == "effects" or (right == "effects" and options.mode != "render")

    def _keys(self, camera: Camera, options: ViewOptions) -> tuple[Key, Key]:
        """What the linear frame depends on, and what the display depends on besides."""
        background = self._background_of(options)
        frame = (
            self._version,
            _camera_key(camera),
            (options.aov, options.aov_map, options.aov_range, options.normal_maps),
            (options.wireframe, options.normals, options.samples, background == "scene"),
            options.draft,
            self._shows_other(options),
        )
        return frame, (frame, options, self._selection, self._samples)

    def _add_sample(self, camera: Camera, options: ViewOptions) -> None:
        targets = self._targets_for(camera)
        settings = self._settings(camera, options, self._background_of(options) == "scene")
        self._color, self._other_color = self._sample(targets, camera, settings, options, self._samples)
        self._samples += 1
        self.frames_drawn += 1

    def _sample(
        self, targets: Targets, camera: Camera, settings: FrameSettings, options: ViewOptions, number: int
    ) -> tuple[Layer, Layer | None]:
        """Both sets of effects, the second where it is shown, after the sample of this number."""
        view = jittered_view(camera, jitter(options.samples)[number])
        both = self._shows_other(options)
        self.frame.draw_gbuffer(targets, view, settings, also=self.other if both else None)
        self.frame.draw_radiance(targets, view, settings)
        color = self._shaded(targets, view, settings, self.chain, targets)
        other = self._shaded(targets.other, view, settings, self.other, targets) if both else None
        self.frame.cover(targets, view, settings, color)
        sample = (number, options.samples)
        first = self._layer(targets, color, settings, sample)
        return first, None if other is None else self._layer(targets.other, other, settings, sample)

    def _shaded(
        self, targets: Targets, view: View, settings: FrameSettings, chain: EffectChain, geometry: Targets
    ) -> moderngl.Texture:
        """One frame's colour of one set of effects."""
        aov = settings.aov if chain.makes(settings.aov) else "color"
        return self.frame.shade(targets, view, replace(settings, aov=aov), chain, geometry)

    def _layer(
        self, targets: Targets, color: moderngl.Texture, settings: FrameSettings, sample: tuple[int, int]
    ) -> Layer:
        """The colour of one set of effects, averaged with the samples before; `sample` is (number, of how
        many)."""
        number, count = sample
        if count > 1:
            self.frame.accumulate(targets, color, number == 0, settings.scenery)
        if number == 0:
            return color, targets.gbuffer["albedo"]
        resolved = self.frame.resolve(targets, number + 1, not settings.scenery)
        return resolved, resolved

    def _live(
        self,
        targets: Targets,
        camera: Camera,
        settings: FrameSettings,
        options: ViewOptions,
        drawn: tuple[Layer, Layer | None],
    ) -> dict[str, Side]:
        """The renders after their post effects, by source."""
        view = jittered_view(camera, (0.0, 0.0))
        (linear, _), other = drawn
        live = {"render": Side(self.frame.post(targets, linear, view, settings, options.exposure), camera)}
        if other is not None:
            color = self.frame.post(targets.other, other[0], view, settings, options.exposure, self.other)
            live["effects"] = Side(color, camera)
        return live

    def _two_sides(self, live: dict[str, Side], options: ViewOptions) -> tuple[Side | None, Side | None]:
        """What is compared: renders, and pictures that are not drawn from the scene."""
        left, right = (
            None if name is None else live.get(name) or self.stills.side(name, options.photo)
            for name in shown_sides(options, self.stills)
        )
        return left, right

    def _present(self, camera: Camera, options: ViewOptions) -> None:
        targets = self._targets_for(camera)
        settings = self._settings(camera, options, self._background_of(options) == "scene")
        if self._color is None:
            return
        coverage = self._color[1]
        live = self._live(targets, camera, settings, options, (self._color, self._other_color))
        color = live["render"].texture
        self._other_linear = live["effects"].texture if "effects" in live else None
        left, right = self._two_sides(live, options)
        ground = self.ground if options.grid or options.axes else None
        if ground is not None:
            ground.draw_shadow(self.meshes, now=1 < options.samples <= self._samples)
        part = None
        if self._selection is not None and options.outline and self._selection < len(self.meshes.parts):
            part = self.frame.draw_part(targets, jittered_view(camera, (0.0, 0.0)), self._selection)
        picture = Picture(
            left or live["render"],
            right,
            coverage,
            camera,
            options,
            self._background_of(options),
            sharp=coverage is targets.gbuffer["albedo"] and not self.radiance.shown,
            error_map=self._error_map,
            behind=self._background,
            selected=part,
            ground=ground,
        )
        self._compositor.draw(targets, picture)
        self._linear, self._sides = color, (picture.left, right)
        mode = effective_mode(options, right is not None)
        if options.frusta and mode in ("render", "wipe") and picture.live(mode):
            self._overlay.draw(targets, camera, options)

    def _targets_for(self, camera: Camera) -> Targets:
        """Targets of the camera's size; the last two sizes are kept (full and moving)."""
        size = (camera.width, camera.height)
        targets = self._targets.pop(size, None) or Targets(self.resources, size)
        self._targets[size] = targets
        while len(self._targets) > 2:
            self._targets.pop(next(iter(self._targets))).release()
        return targets

    # Reading back

    def pixel(self, x: float, y: float, triangle: bool = False) -> PixelInfo | None:
        """What the shown picture has under a point, or None for the background.

        Args:
            x, y: pixels of the view from its *upper left* corner, as mice count; the size
                is that of the camera given to `render`, whatever the resolution scale.
            triangle: also find the face; draws the geometry once more, for one pixel.
        """
        place = self.locate(x, y)
        if self._camera is None or place is None:
            return None
        column, row = place
        if triangle:
            top = self._camera.height - 1 - row
            cx, cy = self._camera.cx - column, self._camera.cy - top
            return self._pixel_through(replace(self._camera, width=1, height=1, cx=cx, cy=cy))
        return read_pixel(self._targets_for(self._camera), column, row)

    def locate(self, x: float, y: float) -> tuple[int, int] | None:
        """(column, row from below) of the drawn picture under a point of the view (see `pixel`);
        None outside of it."""
        if self._camera is None:
            return None
        u = (x + 0.5) * self._options.resolution_scale / self._camera.width
        v = (y + 0.5) * self._options.resolution_scale / self._camera.height
        if self.compares(self._options):
            u, v = unshifted(self._options.mode, u, v)
        column, row = math.floor(u * self._camera.width), math.floor((1 - v) * self._camera.height)
        inside = 0 <= column < self._camera.width and 0 <= row < self._camera.height
        return (column, row) if inside else None

    def live_color(self, source: Source, column: int, row: int) -> np.ndarray | None:
        """[3] float32 linear of a render of the last picture, after all effects; None if not drawn."""
        sides = {"render": self._linear, "effects": self._other_linear}
        texture = sides.get(source)
        if self._camera is None or texture is None:
            return None
        targets = self._targets_for(self._camera)
        targets = targets if source == "render" else targets.other
        data = targets.fbo_of(texture).read((column, row, 1, 1), components=4, dtype="f4")
        return np.frombuffer(data, np.float32)[:3].copy()

    @property
    def options(self) -> ViewOptions:
        """Of the last picture."""
        return self._options

    @property
    def camera(self) -> Camera | None:
        """Of the last picture, in its pixels."""
        return self._camera

    @property
    def display(self) -> moderngl.Framebuffer | None:
        """The last picture as displayed, or None before there is one."""
        return None if self._camera is None else self._targets_for(self._camera).display_fbo

    def channel_range(self) -> tuple[float, float]:
        """What a channel of single numbers is shown between."""
        if self._camera is None:
            return 0.0, 1.0
        settings = self._settings(self._camera, self._options)
        return settings.low[0], settings.high[0]

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

    def pair(self) -> Pair | None:
        """The two pictures of the last `render` as numbers, or None while nothing is compared.

        The same in every mode; renders are over the scene's own background. Waits for the GPU.
        """
        left, right = self._sides
        if self._camera is None or self._color is None or left is None or right is None:
            return None
        drawn = self._background_of(self._options) == "scene"
        with self._own_state():
            return self._reader.read(
                self._targets_for(self._camera),
                left,
                right,
                self._color[1],
                self._camera,
                self._background,
                not drawn,
                self._options.exposure,
            )

    def still(self, name: str) -> Photo:
        """The render as last drawn: linear colour without a background of its own, and coverage.

        Raises:
            InputError: nothing has been rendered yet.
        """
        if self._camera is None or self._linear is None or self._color is None:
            raise InputError("viewport: nothing has been rendered yet")
        targets = self._targets_for(self._camera)
        image = read_texture(targets, self._linear)[..., :3]
        coverage = self._color[1]
        mask = read_channel(targets, coverage, 3, 1)[..., 0]
        if self._background_of(self._options) != "scene":
            image = image * (mask > 0)[..., None]
        return Photo(name, image, self._camera, mask=mask)

    def mean_error(self) -> float:
        """Mean absolute sRGB difference of what is compared, over object and mask; NaN without."""
        pair = self.pair()
        return float("nan") if pair is None else pair.mean

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

    def release(self) -> None:
        """Give every GL object back, and what was shared with CUDA."""
        self.stills.release()
        super().release()
        self.interop.release()
