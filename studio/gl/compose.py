"""The last pass: background, ground, comparison of two pictures, encoding for the screen."""

from __future__ import annotations

from dataclasses import dataclass, field

import moderngl

from studio.core.scene import Camera
from studio.gl.colormap import COLORMAPS, DIFFERENCE_MAP, PERCEIVED_MAP
from studio.gl.ground import Ground
from studio.gl.options import ERRORS, ViewOptions
from studio.gl.program import Program, ProgramCache
from studio.gl.sides import COVERAGE_UNIT, RIGHT_UNIT, Side, set_sides, side_defines
from studio.gl.targets import Targets
from studio.gl.view_math import window_of

PART_UNIT, SHADOW_UNIT, MAP_UNIT = RIGHT_UNIT + 1, RIGHT_UNIT + 2, RIGHT_UNIT + 3
ACCENT = (0.102, 0.397, 1.0)
"""#5aa9ff in linear light: the interface's one accent."""
OUTLINE_PIXELS = 2.5
GRADIENT = {
    "dark": ((0.0370, 0.0410, 0.0500), (0.0120, 0.0140, 0.0180)),
    "light": ((0.80, 0.82, 0.84), (0.50, 0.52, 0.55)),
}
"""Linear colour of the studio background, middle and edge."""

_MODE_NUMBER = {"render": 0, "target": 1, "wipe": 2, "split": 3, "difference": 4, "side": 5}
_BACKGROUND_NUMBER = {"studio": 0, "scene": 1, "photo": 2}


@dataclass(eq=False)
class Picture:
    """What one compose pass puts together.

    Attributes:
        left, right: what is shown and compared; renders are linear, not premultiplied.
        coverage: texture whose alpha is coverage.
        sharp: coverage is 0 or 1 and that of the depth buffer: a single frame, not a mean.
        error_map: of this view, for the error "map".
        behind: linear colour of the scene's background, for differences.
        selected: 1 where the part with an outline is, also behind others; or None.
        whole: the camera of the picture that this is a tile of, or None.
    """

    left: Side
    right: Side | None
    coverage: moderngl.Texture
    camera: Camera
    options: ViewOptions
    background: str = "studio"
    sharp: bool = False
    error_map: moderngl.Texture | None = None
    behind: tuple[float, float, float] = (0.0, 0.0, 0.0)
    selected: moderngl.Texture | None = None
    ground: Ground | None = field(default=None)
    whole: Camera | None = None

    def live(self, mode: str) -> bool:
        """Whether a render is seen in this mode, as a picture."""
        if mode == "difference":
            return False
        sides = {"render": (self.left,), "target": (self.right,)}.get(mode, (self.left, self.right))
        return any(side is not None and side.live for side in sides)


def effective_mode(options: ViewOptions, compares: bool) -> str:
    """The mode that is really drawn: flicker is the one or the other in turn, and all but render
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
        mode = effective_mode(options, picture.right is not None)
        behind = picture.background == "photo" and picture.right is not None and not picture.right.live
        right = picture.right if mode != "render" or options.overlay > 0 or behind else None
        ground = picture.ground if picture.live(mode) else None
        outlined = picture.selected is not None and options.outline and picture.live(mode)
        known = "studio" if picture.background == "photo" and not behind else picture.background
        defines = [f"BACKGROUND {_BACKGROUND_NUMBER[known]}", *side_defines(picture.left, right)]
        shown = [name for name in ("grid", "axes") if getattr(options, name)]
        defines += ["GROUND", *(name.upper() for name in shown)] if ground else []
        defines += ["OUTLINE"] if outlined else []
        defines += ["CLIPPING"] if options.clipping and mode != "difference" else []
        defines += ["WINDOW"] if picture.whole is not None else []
        apart = picture.sharp and right is None and picture.left.live and not outlined
        for test, more in ((">", ["COVERED", "FAR"]), ("<=", ["EMPTY", "FAR"])) if apart else (("", []),):
            program = self._programs.get("fullscreen.vert", "compose.frag", (*defines, *more))
            self._set_picture(program, picture, right)
            if right is not None:
                self._set_comparison(program, picture, mode, targets.size)
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

    def _set_picture(self, program: Program, picture: Picture, right: Side | None) -> None:
        set_sides(program, picture.left, right, picture.camera, picture.options.exposure, picture.whole)
        if picture.whole is not None:
            program.set("u_window", window_of(picture.camera, picture.whole))
        picture.coverage.use(COVERAGE_UNIT)
        program.set("u_coverage", COVERAGE_UNIT)
        middle, edge = GRADIENT[picture.options.theme]
        program.set("u_gradient_middle", middle)
        program.set("u_gradient_edge", edge)

    def _set_comparison(self, program: Program, picture: Picture, mode: str, size: tuple[int, int]) -> None:
        options = picture.options
        mapped = options.error == "map"
        if picture.error_map is not None:
            picture.error_map.use(MAP_UNIT)
        program.set("u_map", MAP_UNIT)
        program.set("u_behind", picture.behind)
        program.set("u_mode", _MODE_NUMBER[mode])
        program.set("u_wipe", float(options.wipe))
        program.set("u_overlay", float(options.overlay))
        program.set("u_error", ERRORS.index(options.error))
        program.set("u_per_range", 1.0 / max(float(options.error_range), 1e-6))
        program.set("u_pixel", options.ui_scale * options.resolution_scale / size[0])
        program.set_array("u_colormap", COLORMAPS[PERCEIVED_MAP if mapped else DIFFERENCE_MAP])

    def _set_outline(self, program: Program, targets: Targets, picture: Picture) -> None:
        assert picture.selected is not None
        picture.selected.use(PART_UNIT)
        program.set("u_part", PART_UNIT)
        pixels = OUTLINE_PIXELS * picture.options.ui_scale * picture.options.resolution_scale
        program.set("u_outline", (pixels / targets.size[0], pixels / targets.size[1]))
        program.set("u_accent", ACCENT)
