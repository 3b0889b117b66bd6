"""A scene on the GPU, drawn into arrays: for files, comparisons and tests."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import moderngl
import numpy as np

from studio.core.channels import CHANNELS, channel
from studio.core.errors import InputError
from studio.core.optim.messages import OnGpu
from studio.core.params import ParamSet
from studio.core.scene import Camera, Lighting, Mesh, Points, Scene, Volume
from studio.core.tensors import SceneTensors
from studio.gl.frame import FrameRenderer, FrameSettings, World, depth_range, jittered_view
from studio.gl.graph import draws
from studio.gl.meshes import SceneMeshes
from studio.gl.options import PARITY, ViewOptions
from studio.gl.probe import read_gbuffer
from studio.gl.program import SHADERS, ProgramCache
from studio.gl.radiance import Radiance
from studio.gl.resources import Resources
from studio.gl.shading import EffectChain
from studio.gl.targets import Targets
from studio.gl.uniforms import LightUniforms
from studio.gl.view_math import tiles, widened

TILE = 2048
"""Offline pictures larger than this each way are drawn in tiles: the targets of one take about
150 bytes a pixel, which a poster would not leave free."""

NORMAL_SHARE = 0.05
"""Length of a drawn normal as a share of the scene's radius."""

MARGIN = 64
"""Pixels that effects which look around them see beyond a tile. Longer reflections and wider
scattering than that end at the tile's edge."""


T = TypeVar("T")
Steps = Generator[float, None, T]
"""Work on the thread of the OpenGL context that gives way now and then, with the share that is done;
closing it frees what it holds."""


def finish(steps: Steps[T]) -> T:
    """All steps at once; what they return."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


class SceneRenderer:
    """Holds a scene's meshes, light and effects on the GPU and draws finished pictures of it.

    Args:
        shaders: folder of the shaders.

    Attributes:
        resources: counts the GL objects alive.
        chain: the effects that are on; `other` those of set B, which only a Viewport shows.
    """

    def __init__(self, ctx: moderngl.Context, shaders: Path = SHADERS):
        self.ctx = ctx
        self.resources = Resources(ctx)
        self.programs = ProgramCache(self.resources, shaders)
        self.meshes = SceneMeshes(self.resources, self.programs)
        self.chain = EffectChain(self.programs, self.resources)
        self.other = EffectChain(self.programs, self.resources)
        self.radiance = Radiance(self.resources, self.programs)
        self.frame = FrameRenderer(self.programs, self.meshes, self.chain, self.radiance)
        self._background = (0.0, 0.0, 0.0)
        self._bounds = (np.full(3, -0.5), np.full(3, 0.5))
        self._version = 0

    def set_scene(self, scene: Scene, preview: Mesh | None = None) -> None:
        """Take all meshes, volume and points, the lighting and the background of a scene.

        Effects are set apart, by `set_effects`.

        Args:
            preview: a surface that is drawn in place of the volume, as a part after the scene's.
        """
        guests = [] if preview is None else [preview]
        self.meshes.set([*scene.meshes, *guests], len(guests))
        self.radiance.replaced = preview is not None
        self.radiance.set(scene.volume, scene.points)
        self._bounds = scene.bounds()
        self._background = _color(scene.background)
        self.set_lighting(scene.lighting)
        self._surfaces_changed()

    def _surfaces_changed(self) -> None:
        """Tell the effects of new geometry or materials."""
        meshes = [part.mesh for part in self.meshes.parts]
        for chain in (self.chain, self.other):
            chain.lacks = Scene(meshes=meshes).lacks()
        made: list[SceneTensors] = []

        def surfaces() -> SceneTensors:
            if not made:
                made.append(SceneTensors.from_meshes(meshes))
            return made[0]

        self._version += 1
        self.frame.world = World(self._bounds, self._version, surfaces)

    def update_mesh(self, index: int, mesh: Mesh, on_gpu: OnGpu | None = None) -> None:
        """Show a new state of one mesh, e.g. a snapshot of the optimizer.

        Cheap while the numbers of vertices and faces and the kinds of attributes stay: the
        buffers are rewritten in place, from the GPU where the mesh's values are `on_gpu` and can
        be shared. Give normals, or they are computed here.
        """
        if not 0 <= index < len(self.meshes.parts):
            raise InputError(f"viewport: no mesh {index}, the scene has {len(self.meshes.parts)}")
        self.meshes.update(index, mesh, on_gpu)
        self._find_bounds()
        self._surfaces_changed()

    def set_radiance(self, volume: Volume | None, points: Points | None) -> None:
        """Show another state of volume and points, e.g. a snapshot of the optimizer."""
        self.radiance.set(volume, points)
        self._find_bounds()
        self._version += 1

    def set_looks(self, looks: dict[str, ParamSet]) -> None:
        """How meshes, volume and points are shown: values of studio.core.looks (copied)."""
        self.radiance.looks = {name: values.copy() for name, values in looks.items()}
        self.meshes.shown = looks["meshes"]["shown"]
        self._version += 1

    def _find_bounds(self) -> None:
        boxes = [part.bounds for part in self.meshes.parts] + self.radiance.bounds
        if boxes:
            self._bounds = (np.min([b[0] for b in boxes], axis=0), np.max([b[1] for b in boxes], axis=0))

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

    def set_other_effects(self, effects: dict[str, ParamSet]) -> None:
        """The effects of set B, which a Viewport shows beside those of `set_effects`."""
        if self.other.set_effects(effects):
            self._version += 1

    @property
    def empty(self) -> bool:
        """Whether there is nothing to see."""
        return not self.meshes.parts and not self.radiance.shown

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """(low, high) of everything, for framing."""
        return self._bounds

    def _settings(self, camera: Camera, options: ViewOptions, own: bool = True) -> FrameSettings:
        """What a frame depends on; `own` if the scene's background is behind it."""
        low, high = (_color(corner) for corner in self._bounds)
        aov = channel(options.aov).name
        show = CHANNELS[aov].show
        if show in ("depth", "unit"):
            near, far = depth_range(camera, *self._bounds) if show == "depth" else (0.0, 1.0)
            near, far = options.aov_range or (near, far)
            low, high = (near, 0.0, 0.0), (far, 0.0, 0.0)
        return FrameSettings(
            aov=aov,
            background=self._background if own else (0.0, 0.0, 0.0),
            scenery=own,
            normal_maps=options.normal_maps,
            cull=True,
            wireframe=options.wireframe,
            normals=0.5 * NORMAL_SHARE * float(np.linalg.norm(self._bounds[1] - self._bounds[0]))
            if options.normals
            else 0.0,
            colormap=options.aov_map,
            draft=options.draft,
            low=low,
            high=high,
        )

    @contextlib.contextmanager
    def _targets_of(self, camera: Camera) -> Iterator[Targets]:
        """Targets of a camera's size for one use, apart from those on screen."""
        targets = Targets(self.resources, (camera.width, camera.height))
        try:
            yield targets
        finally:
            targets.release()

    @contextlib.contextmanager
    def _scratch(self, camera: Camera) -> Iterator[Targets]:
        """The same, with OpenGL left as others expect it."""
        with self._targets_of(camera) as targets, self._own_state():
            yield targets

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

    def render_offline(
        self,
        camera: Camera,
        size: tuple[int, int] | None = None,
        samples: int = 16,
        transparent: bool = False,
        options: ViewOptions = PARITY,
    ) -> np.ndarray:
        """One finished picture for a file or a comparison, apart from what is on screen.

        See `offline_steps`; `size` (width, height) resizes the camera.
        """
        camera = camera if size is None else camera.resized(*size)
        return finish(self.offline_steps(camera, samples, transparent, options))

    def offline_steps(
        self,
        camera: Camera,
        samples: int = 16,
        transparent: bool = False,
        options: ViewOptions = PARITY,
        tile: int | None = None,
    ) -> Steps[np.ndarray]:
        """One finished picture, apart from what is on screen, drawn a piece at a time.

        No grid, frusta, gradient or comparison.

        Args:
            samples: jittered frames to average; 1 is a single unjittered one, the same
                pixel centres as the differentiable renderer.
            transparent: no background: rgb is not premultiplied, alpha is coverage.
                Otherwise rgb lies over the scene's background; alpha is still coverage.
            options: channel, wireframe, normal maps and exposure are taken from it.
            tile: largest side of a piece; larger ones where an effect needs to see more.
        Yields:
            the share that is done, 0..1, after each sample of a piece.
        Returns:
            image: [H, W, 4] float32 linear, after the post effects, row 0 at the bottom.
        """
        settings = replace(
            self._settings(camera, options),
            background=(0.0, 0.0, 0.0) if transparent else self._background,
            scenery=not transparent,
            cull=False,
        )
        samples = max(1, samples)
        image = np.empty((camera.height, camera.width, 4), np.float32)
        pieces, margin = self._pieces(camera, tile)
        for number, (x, y, part) in enumerate(pieces):
            wide, left, low = widened(camera, x, y, part, margin)
            with self._targets_of(wide) as targets:
                work = self.frame.finishing(targets, wide, settings, samples, transparent, options.exposure)
                drawn = yield from self._told(work, (number, len(pieces)), samples)
            inner = drawn[low : low + part.height, left : left + part.width]
            image[y : y + part.height, x : x + part.width] = inner
        return image

    def _pieces(self, camera: Camera, tile: int | None) -> tuple[list[tuple[int, int, Camera]], int]:
        """(x, y, camera) of every tile of a picture, and the margin around each."""
        plan = self.chain.plan()
        wide = any(draw.halvings for draw in draws(plan, "post"))  # it spreads over the whole picture
        margin = MARGIN if plan.stage("light", "screen") else 0
        return list(tiles(camera, TILE if tile is None or wide else tile)), margin

    def _told(self, work: Generator[None, None, T], piece: tuple[int, int], samples: int) -> Steps[T]:
        """The steps of one piece with their share of the whole; between them OpenGL is as others expect."""
        number, count = piece
        for sample in itertools.count(1):
            with self._own_state():
                try:
                    next(work)
                except StopIteration as end:
                    result: T = end.value
                    return result
            yield (number + min(sample / samples, 1.0)) / count
        raise AssertionError  # count has no end

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

    def channel_steps(
        self, camera: Camera, names: Iterable[str], tile: int | None = None
    ) -> Steps[dict[str, np.ndarray]]:
        """The same as `channels`, drawn a piece at a time; see `offline_steps`."""
        wanted = tuple(dict.fromkeys(channel(name).name for name in names))
        shape = (camera.height, camera.width)
        out = {name: np.empty((*shape, CHANNELS[name].size), np.float32) for name in wanted}
        pieces, margin = self._pieces(camera, tile)
        for number, (x, y, part) in enumerate(pieces):
            wide, left, low = widened(camera, x, y, part, margin)
            drawn = self.channels(wide, wanted)
            for name, image in out.items():
                inner = drawn[name][low : low + part.height, left : left + part.width]
                image[y : y + part.height, x : x + part.width] = inner
            yield (number + 1) / len(pieces)
        return out

    def release(self) -> None:
        """Give every GL object back; the viewport is of no use afterwards."""
        self.meshes.release()
        self.radiance.release()
        self.programs.release()
        self.resources.release_all()


def _color(value: Any) -> tuple[float, float, float]:
    r, g, b = (float(v) for v in value)
    return r, g, b
