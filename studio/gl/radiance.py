"""What emits light of its own, a volume and points, drawn into a frame beside the surfaces.

It is drawn up to the surfaces once the G-buffer is there, laid over their shaded colour, and then put
into the G-buffer where it covers most of a pixel, for picking and for what looks at depth. Points lie
over a volume: their order among its samples is not looked for.
"""

from __future__ import annotations

import moderngl
import numpy as np

from studio.core.looks import looks
from studio.core.params import ParamSet
from studio.core.scene import Points, Volume
from studio.gl.program import Program, ProgramCache
from studio.gl.resources import Resources
from studio.gl.splats import GpuPoints
from studio.gl.targets import Targets
from studio.gl.uniforms import View
from studio.gl.volumes import GpuVolume

_COLOR_UNIT = 5


class Radiance:
    """Volume and points on the GPU.

    Attributes:
        looks: values of studio.core.looks; replaced as a whole.
        replaced: a surface is drawn in place of the volume.
    """

    def __init__(self, resources: Resources, programs: ProgramCache) -> None:
        self._resources = resources
        self._programs = programs
        self._volume: GpuVolume | None = None
        self._points: GpuPoints | None = None
        self.looks: dict[str, ParamSet] = looks()
        self.replaced = False

    def set(self, volume: Volume | None, points: Points | None) -> None:
        """Show these; what is shown already stays as it is."""
        old = self._volume
        if old is not None and (volume is None or volume.degree != old.volume.degree):
            old.release()
            self._volume = None
        if volume is not None and self._volume is None:
            self._volume = GpuVolume(self._resources, self._programs, volume)
        elif volume is not None and self._volume is not None and volume is not self._volume.volume:
            self._volume.update(volume)
        if points is None and self._points is not None:
            self._points.release()
            self._points = None
        elif points is not None and self._points is None:
            self._points = GpuPoints(self._resources, self._programs, points)
        elif points is not None and self._points is not None and points is not self._points.points:
            self._points.update(points)

    @property
    def bounds(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Boxes of what there is."""
        volume = [] if self._volume is None else [self._volume.volume.bounds()]
        return volume + ([] if self._points is None else [self._points.points.bounds()])

    @property
    def shown(self) -> tuple[str, ...]:
        """Defines for what is drawn: VOLUME, POINTS."""
        volume = self._volume is not None and self.looks["volume"]["shown"]
        volume = volume and not self.replaced
        points = self._points is not None and self.looks["points"]["shown"]
        return ("VOLUME",) * volume + ("POINTS",) * points

    @property
    def waiting(self) -> bool:
        """A better picture of the same is about to come."""
        return "POINTS" in self.shown and self._points is not None and self._points.waiting

    def draw(self, targets: Targets, view: View, draft: bool) -> None:
        """Draw what is shown into images of its own, up to the surfaces in the G-buffer."""
        if "VOLUME" in self.shown and self._volume is not None:
            self._volume.draw(targets, view, self.looks["volume"], draft)
        if "POINTS" in self.shown and self._points is not None:
            self._points.draw(targets, view, self.looks["points"])

    def over(
        self, geometry: Targets, targets: Targets, color: moderngl.Texture, own_background: bool
    ) -> moderngl.Texture:
        """Lay it over a shaded colour image; its alpha is then what covers a pixel.

        Args:
            geometry: what `draw` drew into; `targets` may be others over the same G-buffer.
            own_background: the colour has its background; else rgb is not premultiplied.
        Returns:
            the colour image that it is in.
        """
        target = 1 if color is targets.color[0] else 0
        defines = (*self.shown, *(("OWN",) if own_background else ()))
        program = self._programs.get("fullscreen.vert", "radiance_over.frag", defines)
        self._bind(program, geometry, color)
        geometry.gbuffer["albedo"].use(_COLOR_UNIT + 1)
        program.set("u_gbuffer_albedo", _COLOR_UNIT + 1)
        targets.framebuffer((targets.color[target],), None).use()
        self._programs.ctx.enable_only(moderngl.NOTHING)
        self._programs.draw_fullscreen(program)
        return targets.color[target]

    def cover(self, targets: Targets, view: View, part: int, color: moderngl.Texture | None) -> None:
        """Put it into the G-buffer and its depth, after the surfaces were shaded.

        Args:
            part: number of the volume among the parts; the points have the next.
            color: of `over`, whose alpha becomes the coverage; None for channels, where only what
                covers most of a pixel is there, as a surface.
        """
        g = targets.gbuffer
        surface = (g["normal"], g["position"], g["material"])
        if color is None:
            self._cover(targets, view, part, (*surface, g["albedo"]), None)
        else:
            self._cover(targets, view, part, (g["albedo"],), color)
            self._cover(targets, view, part, surface, None)

    def _cover(
        self,
        targets: Targets,
        view: View,
        part: int,
        images: tuple[moderngl.Texture, ...],
        color: moderngl.Texture | None,
    ) -> None:
        defines = (*self.shown, *(("SOFT",) if color is not None else ()))
        program = self._programs.get("fullscreen.vert", "radiance_cover.frag", defines)
        self._bind(program, targets, color)
        program.set("u_lens", view.lens)
        matrix = view.view_to_clip
        program.set("u_depths", (float(matrix[2, 2]), float(matrix[2, 3])))
        program.set_matrix("u_view_to_world", np.linalg.inv(view.world_to_view))
        program.set("u_part", float(part))
        fbo = targets.framebuffer(images, targets.depth)
        fbo.depth_mask = True
        fbo.use()
        ctx = self._programs.ctx
        ctx.enable_only(moderngl.DEPTH_TEST)
        ctx.depth_func = "1"
        self._programs.draw_fullscreen(program)
        ctx.depth_func = "<"
        ctx.enable_only(moderngl.NOTHING)

    def _bind(self, program: Program, geometry: Targets, color: moderngl.Texture | None) -> None:
        sizes = {"volume": 4, "volume_depth": 1, "points": 4, "points_depth": 1}
        for unit, (name, size) in enumerate(sizes.items()):
            if f"u_{name}" in program:
                geometry.image(name, size).use(unit)
                program.set(f"u_{name}", unit)
        if color is not None:
            color.use(_COLOR_UNIT)
            program.set("u_color", _COLOR_UNIT)

    def release(self) -> None:
        self.set(None, None)
