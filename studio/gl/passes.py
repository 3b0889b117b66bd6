"""One frame of effects on its way through a set of targets: each pass with its inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import moderngl

from studio.core.channels import CHANNELS
from studio.core.effects.effect import Prepared, Surroundings
from studio.core.params import ParamSet
from studio.gl.graph import Draw
from studio.gl.images import PreparedImages
from studio.gl.program import Program, ProgramCache
from studio.gl.targets import Targets
from studio.gl.uniforms import Color, LightUniforms, View, set_frame_uniforms

_FAR = ("FAR",)

COLOR_UNIT = 4
"""Texture unit of u_color, after the four of the G-buffer; all others follow."""


@dataclass(eq=False)
class Shot:
    """What effects can see of a frame besides the images.

    Attributes:
        background: linear colour where nothing is.
        scenery: an effect may put its own background there.
        surroundings: for `prepare`.
        draft: run the effects' drafts (see Effect.draft).
    """

    targets: Targets
    view: View
    lights: LightUniforms
    background: Color
    scenery: bool
    surroundings: Surroundings
    draft: bool = False


def _uniform_value(params: ParamSet, name: str, kind: str, choices: tuple[str, ...]) -> Any:
    value = params[name]
    if kind == "choice":
        return choices.index(value)
    if kind in ("bool", "int"):
        return int(value)
    return tuple(float(v) for v in value) if kind in ("color", "vec3") else float(value)


class Run:
    """The effects of one frame on their way through one set of targets.

    Attributes:
        color: where the newest colour is, or None before there is one.
        empty_color: of a colour image where nothing is, or None: all pixels are drawn.
        made: channels, buffers and masks drawn so far.
    """

    def __init__(
        self,
        programs: ProgramCache,
        images: PreparedImages,
        shot: Shot,
        prepared: dict[str, Prepared],
        asked: frozenset[str] = frozenset(),
        color: moderngl.Texture | None = None,
    ):
        self._programs = programs
        self._images = images
        self._shot = shot
        self._targets = shot.targets
        self._prepared = prepared
        self._asked = asked
        self.color = color
        self.empty_color: Color | None = None
        self.made: set[str] = set()
        self._cleared: set[int] = set()
        self._painting = False

    def finish(self) -> moderngl.Texture:
        """The newest colour; leaves OpenGL's tests and blending as whoever draws next expects them."""
        self._test("")
        self._programs.ctx.blend_func = (moderngl.SRC_ALPHA, moderngl.ONE_MINUS_SRC_ALPHA)
        assert self.color is not None
        return self.color

    def depth(self) -> None:
        """u_depth from the G-buffer: the distance along -Z, `far` where nothing is."""
        self.made.add("depth")
        texture = self._targets.image("depth", 1)
        fbo = self._targets.framebuffer((texture,), self._targets.depth)
        fbo.clear(self._shot.view.far, 0.0, 0.0, 0.0)
        self._test(">")
        self._simple(fbo, "depth.frag", _FAR, {})

    def unshaded(self) -> None:
        """The albedo as colour."""
        self._test(">")
        target = self._next_color()
        self._simple(self._targets.fbo_of(target), "unshaded.frag", _FAR, {})
        self.color = target

    def background(self, scenery: bool) -> None:
        """What is seen where nothing is, into the colour."""
        assert self.color is not None
        self._test("<=")
        images = {"u_scenery": self._targets.image("background", 4)} if scenery else {}
        defines = (*_FAR, *(("SCENERY",) if scenery else ()))
        self._simple(self._targets.fbo_of(self.color), "background.frag", defines, images)

    def paint(self, draw: Draw) -> None:
        """A pass that makes the background alone, straight into the colour."""
        self._painting = True
        self.draw(draw)
        self._painting = False

    def draw(self, draw: Draw) -> None:
        """One pass of an effect."""
        prepared = self._prepared.get(draw.step.effect.name)
        defines = (*draw.defines, *(prepared.defines if prepared is not None else ()))
        program = self._programs.get("fullscreen.vert", draw.shader, defines)
        if "u_half" in program or (draw.over == "covered" and draw.halvings):
            self._halve()
        self._target(draw)
        self._set_uniforms(program, 1 << draw.halvings)
        for param in draw.step.params.params():
            value = _uniform_value(draw.step.params, param.name, param.kind, param.choices)
            program.set(f"u_{param.name}", value)
        self._bind(program, self._inputs(draw, program))
        self._programs.draw_fullscreen(program)
        if "color" in draw.writes and not draw.run.adds:
            self.color = self._next_color()

    def _target(self, draw: Draw) -> None:
        """Use the framebuffer of a pass, its blending, and the depth test that picks its pixels."""
        targets = self._targets
        if draw.run.marks:
            fbo = targets.marking(draw.image(draw.run.name), draw.halvings)
            fbo.clear(depth=1.0)
            self._test("1")
            fbo.use()
            return
        textures = tuple(self._output(draw, name) for name in draw.writes)
        depth = None
        if draw.over:
            mask = "covered" if draw.over == "empty" else draw.over
            depth = targets.mask(mask, draw.halvings)
        self._test({"": "", "empty": "<="}.get(draw.over, ">"))
        if draw.run.adds:
            self._programs.ctx.enable(moderngl.BLEND)
            self._programs.ctx.blend_func = (moderngl.ONE, moderngl.ONE)
        targets.framebuffer(textures, depth).use()

    def _output(self, draw: Draw, name: str) -> moderngl.Texture:
        """The image that a pass writes, with what belongs into the pixels over which it does not run.

        Channels that nobody asked for hold anything there: passes look at covered pixels.
        """
        if name == "background" and self._painting and self.color is not None:
            return self.color
        if name == "color":
            if draw.run.adds and self.color is not None:
                return self.color
            texture = self._next_color()
            if draw.run.mask and self.color is not None:
                self._copy(self.color, texture)
            return texture
        key = draw.image(name)
        texture = self._targets.image(key, draw.components(name), draw.halvings)
        if draw.over and key not in self.made and (name not in CHANNELS or name in self._asked):
            empty = CHANNELS[name].empty if name in CHANNELS else 0.0
            self._targets.framebuffer((texture,), None).clear(empty, empty, empty, empty)
        self.made.add(key)
        return texture

    def _copy(self, source: moderngl.Texture, target: moderngl.Texture) -> None:
        plain = [self._targets.framebuffer((texture,), None) for texture in (target, source)]
        self._programs.ctx.copy_framebuffer(*plain)

    def _halve(self) -> None:
        """The surface of every second pixel as u_half, and the mask of covered ones, once in a frame."""
        if "half" in self.made:
            return
        self.made.add("half")
        if "depth" not in self.made:
            self.depth()
        fbo = self._targets.half_fbo
        fbo.clear(0.0, 0.0, 0.0, self._shot.view.far, depth=1.0)
        self._test("1")
        self._simple(fbo, "half.frag", (), {}, 2)

    def _inputs(self, draw: Draw, program: Program) -> dict[str, moderngl.Texture]:
        """Sampler -> texture of everything a pass reads besides the G-buffer and the colour."""
        out = {f"u_{name}": self._image_of(draw, name) for name in draw.reads}
        name = draw.step.effect.name
        prepared = self._prepared.get(name)
        if prepared is not None:
            for uniform, value in prepared.uniforms.items():
                program.set_any(f"u_{uniform}", value)
            for key, image in prepared.images.items():
                out[f"u_{key}"] = self._images.texture(f"{name}.{key}", image)
        return out

    def _image_of(self, draw: Draw, name: str) -> moderngl.Texture:
        """The texture of a channel, or of a buffer of an earlier pass of the same effect."""
        if name in CHANNELS:
            return self._targets.image(name, draw.components(name))
        params = draw.step.params
        run = next(p for p in draw.step.effect.passes if name in p.writes and p.runs(params))
        return self._targets.image(draw.image(name), 4 if run.size == 3 else run.size, run.halvings(params))

    def _next_color(self) -> moderngl.Texture:
        """The one of the two colour images that is not being read."""
        first, second = self._targets.color
        texture = second if self.color is first else first
        if self.empty_color is not None and texture.glo not in self._cleared:
            self._cleared.add(texture.glo)
            self._targets.fbo_of(texture).clear(*self.empty_color, 0.0)
        return texture

    def _simple(
        self,
        fbo: moderngl.Framebuffer,
        shader: str,
        defines: tuple[str, ...],
        images: dict[str, moderngl.Texture],
        step: int = 1,
    ) -> None:
        program = self._programs.get("fullscreen.vert", shader, defines)
        fbo.use()
        self._set_uniforms(program, step)
        self._bind(program, images)
        self._programs.draw_fullscreen(program)

    def _set_uniforms(self, program: Program, step: int) -> None:
        shot = self._shot
        set_frame_uniforms(program, shot.view, shot.lights, shot.background, self._targets.size, step)

    def _bind(self, program: Program, images: Mapping[str, moderngl.Texture]) -> None:
        """G-buffer and colour on their units, the rest of what the program samples on those after."""
        for name, unit in self._targets.bind_gbuffer().items():
            program.set(name, unit)
        if self.color is not None:
            self.color.use(COLOR_UNIT)
            program.set("u_color", COLOR_UNIT)
        shared: dict[str, Callable[[], moderngl.Texture]] = {
            "u_depth": lambda: self._targets.image("depth", 1),
            "u_half": lambda: self._targets.half,
            "u_gbuffer_emission": lambda: self._targets.emission,
        }
        sources = {name: make() for name, make in shared.items() if name in program}
        sources |= {name: texture for name, texture in images.items() if name in program}
        for unit, (name, texture) in enumerate(sources.items(), start=COLOR_UNIT + 1):
            texture.use(unit)
            program.set(name, unit)

    def _test(self, func: str) -> None:
        """Depth test: ">" covered or marked pixels, "<=" the others, "1" all, writing, "" none."""
        ctx = self._programs.ctx
        ctx.depth_func = func or "<"
        ctx.enable_only(moderngl.DEPTH_TEST if func else moderngl.NOTHING)
