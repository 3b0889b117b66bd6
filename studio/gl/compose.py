"""The last pass: background, ground, comparison with a photo, encoding for the screen."""

from __future__ import annotations

from dataclasses import dataclass, field

import moderngl

from studio.core.scene import Camera
from studio.gl.colormap import COLORMAPS, DIFFERENCE_MAP
from studio.gl.ground import Ground
from studio.gl.options import ViewOptions
from studio.gl.passes import COLOR_UNIT
from studio.gl.photos import placement
from studio.gl.program import Program, ProgramCache
from studio.gl.targets import Targets

COVERAGE_UNIT, PHOTO_UNIT, PART_UNIT, SHADOW_UNIT = 5, 6, 7, 8
ACCENT = (0.102, 0.397, 1.0)
"""#5aa9ff in linear light: the interface's one accent."""
OUTLINE_PIXELS = 2.5
GRADIENT = {
    "dark": ((0.0370, 0.0410, 0.0500), (0.0120, 0.0140, 0.0180)),
    "light": ((0.80, 0.82, 0.84), (0.50, 0.52, 0.55)),
}
"""Linear colour of the studio background, middle and edge."""

_MODE_NUMBER = {"render": 0, "target": 1, "wipe": 2, "split": 3, "difference": 4}
_BACKGROUND_NUMBER = {"studio": 0, "scene": 1, "photo": 2}


@dataclass(eq=False)
class Picture:
    """What one compose pass puts together.

    Attributes:
        color: linear, not premultiplied. coverage: texture whose alpha is coverage.
        photo: texture and camera of the target, or None.
        sharp: coverage is 0 or 1 and that of the depth buffer: a single frame, not a mean.
        other: the photo is a render of the same geometry with other effects.
        cutout: the photo has no background of its own.
        selected: part with an outline, or None.
    """

    color: moderngl.Texture
    coverage: moderngl.Texture
    camera: Camera
    options: ViewOptions
    background: str = "studio"
    photo: tuple[moderngl.Texture, Camera] | None = None
    sharp: bool = False
    other: bool = False
    cutout: bool = False
    selected: int | None = None
    ground: Ground | None = field(default=None)


def effective_mode(options: ViewOptions, compares: bool) -> str:
    """The mode that is really drawn: flicker is render or target in turn, and all but render
    need something to compare with."""
    if not compares:
        return "render"
    if options.mode == "flicker":
        return "target" if options.flicker >= 0.5 else "render"
    return options.mode


class Compositor:
    """Writes the display image of a set of targets."""

    def __init__(self, programs: ProgramCache):
        self._programs = programs

    def draw(self, targets: Targets, picture: Picture) -> None:
        """Full-screen passes into `targets.display`: one, or two apart by the depth test."""
        options = picture.options
        mode = effective_mode(options, picture.photo is not None)
        needs_photo = mode != "render" or options.overlay > 0 or picture.background == "photo"
        photo = picture.photo if needs_photo else None
        hidden = ("difference",) if picture.other else ("target", "difference")
        ground = picture.ground if mode not in hidden else None
        outlined = picture.selected is not None and options.outline and mode not in hidden
        photographed = photo is not None and not picture.other
        known = "studio" if picture.background == "photo" and not photographed else picture.background
        defines = [f"BACKGROUND {_BACKGROUND_NUMBER[known]}"]
        defines += ["PHOTO", *(["OTHER"] if picture.other else [])] if photo else []
        shown = [name for name in ("grid", "axes") if getattr(options, name)]
        defines += ["GROUND", *(name.upper() for name in shown)] if ground else []
        defines += ["OUTLINE"] if outlined else []
        apart = picture.sharp and not photo and not outlined
        for test, more in ((">", ["COVERED", "FAR"]), ("<=", ["EMPTY", "FAR"])) if apart else (("", []),):
            program = self._programs.get("fullscreen.vert", "compose.frag", (*defines, *more))
            self._set_picture(program, picture)
            if photo:
                self._set_photo(program, photo, picture, mode, targets.size)
            if ground:
                ground.set_uniforms(program, picture.camera, options, SHADOW_UNIT)
            if outlined:
                self._set_outline(program, targets, picture)
            self._pass(targets, program, test)

    def _pass(self, targets: Targets, program: Program, test: str) -> None:
        """Over the pixels that pass a depth test of the far plane; all of them for ""."""
        ctx = self._programs.ctx
        if test:
            targets.framebuffer((targets.display,), targets.depth).use()
            ctx.depth_func = test
            ctx.enable_only(moderngl.DEPTH_TEST)
        else:
            targets.display_fbo.use()
        self._programs.draw_fullscreen(program)
        ctx.enable_only(moderngl.NOTHING)
        ctx.depth_func = "<"

    def _set_picture(self, program: Program, picture: Picture) -> None:
        picture.color.use(COLOR_UNIT)
        picture.coverage.use(COVERAGE_UNIT)
        program.set("u_color", COLOR_UNIT)
        program.set("u_coverage", COVERAGE_UNIT)
        middle, edge = GRADIENT[picture.options.theme]
        program.set("u_gradient_middle", middle)
        program.set("u_gradient_edge", edge)

    def _set_photo(
        self,
        program: Program,
        photo: tuple[moderngl.Texture, Camera],
        picture: Picture,
        mode: str,
        size: tuple[int, int],
    ) -> None:
        texture, camera = photo
        options = picture.options
        texture.use(PHOTO_UNIT)
        program.set("u_photo", PHOTO_UNIT)
        program.set("u_photo_placement", placement(picture.camera, camera))
        program.set("u_photo_cutout", int(picture.cutout))
        program.set("u_mode", _MODE_NUMBER[mode])
        program.set("u_wipe", float(options.wipe))
        program.set("u_overlay", float(options.overlay))
        program.set("u_difference_gain", float(options.difference_gain))
        program.set("u_pixel", options.ui_scale * options.resolution_scale / size[0])
        program.set_array("u_colormap", COLORMAPS[DIFFERENCE_MAP])

    def _set_outline(self, program: Program, targets: Targets, picture: Picture) -> None:
        targets.gbuffer["material"].use(PART_UNIT)
        program.set("u_part", PART_UNIT)
        program.set("u_selected", float(picture.selected or 0))
        pixels = OUTLINE_PIXELS * picture.options.ui_scale * picture.options.resolution_scale
        program.set("u_outline", (pixels / targets.size[0], pixels / targets.size[1]))
        program.set("u_accent", ACCENT)
