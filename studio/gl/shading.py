"""From G-buffer to linear colour: the shaders of the effects, in the order of their stages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import moderngl
import numpy as np

from studio.core.params import ParamSet
from studio.core.scene import Lighting
from studio.core.scene.light import MAX_LIGHTS
from studio.gl.program import Program, ProgramCache
from studio.gl.targets import Targets

if TYPE_CHECKING:
    from studio.core.effects.effect import Effect

_FAR = ("FAR",)

COLOR_UNIT = 4
"""Texture unit of u_color, after the four of the G-buffer."""


@dataclass(eq=False)
class View:
    """Matrices of the frame being drawn; the projection may be jittered.

    Attributes:
        world_to_view, view_to_clip: [4, 4] float64.
        position: [3] of the camera.
    """

    world_to_view: np.ndarray
    view_to_clip: np.ndarray
    position: np.ndarray

    @property
    def world_to_clip(self) -> np.ndarray:
        return np.asarray(self.view_to_clip @ self.world_to_view)


@dataclass(eq=False)
class LightUniforms:
    """Lighting in the shapes that the uniforms have."""

    count: int = 0
    kind: np.ndarray = field(default_factory=lambda: np.zeros((MAX_LIGHTS, 1), np.int32))
    vector: np.ndarray = field(default_factory=lambda: np.zeros((MAX_LIGHTS, 3), np.float32))
    radiance: np.ndarray = field(default_factory=lambda: np.zeros((MAX_LIGHTS, 3), np.float32))
    sh: np.ndarray = field(default_factory=lambda: np.zeros((25, 3), np.float32))
    fixed_to_camera: bool = False

    @classmethod
    def from_lighting(cls, lighting: Lighting) -> LightUniforms:
        """The first MAX_LIGHTS lights and the environment."""
        lights = lighting.lights[:MAX_LIGHTS]
        out = cls(
            count=len(lights),
            sh=np.asarray(lighting.sh, np.float32),
            fixed_to_camera=lighting.fixed_to == "camera",
        )
        for row, light in enumerate(lights):
            point = light.kind == "point"
            out.kind[row] = int(point)
            out.vector[row] = light.position if point else light.direction
            out.radiance[row] = np.asarray(light.color) * light.intensity
        return out

    def same(self, other: LightUniforms) -> bool:
        return (self.count, self.fixed_to_camera) == (other.count, other.fixed_to_camera) and all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in ("kind", "vector", "radiance", "sh")
        )


def _uniform_value(params: ParamSet, name: str, kind: str, choices: tuple[str, ...]) -> Any:
    value = params[name]
    if kind == "choice":
        return choices.index(value)
    if kind in ("bool", "int"):
        return int(value)
    return tuple(float(v) for v in value) if kind in ("color", "vec3") else float(value)


class EffectChain:
    """Runs the enabled effects' shaders over a set of targets."""

    def __init__(self, programs: ProgramCache):
        self._programs = programs
        self._effects: list[tuple[Effect, ParamSet]] = []

    def set_effects(self, effects: dict[str, ParamSet]) -> bool:
        """Take the enabled effects and their parameters; True if anything is different now.

        They run in the order of the registry, whatever the order of `effects`.
        """
        from studio.core.effects import get, registry  # brings torch: not before it is needed

        for name in effects:
            get(name)
        chosen = [(e, effects[e.name].copy()) for e in registry().values() if e.name in effects]
        before = [(e.name, params.as_dict()) for e, params in self._effects]
        self._effects = chosen
        return before != [(e.name, params.as_dict()) for e, params in chosen]

    def shade(
        self, targets: Targets, view: View, lights: LightUniforms, background: tuple[float, float, float]
    ) -> moderngl.Texture:
        """Linear colour from the G-buffer: the "shade" and "screen" stages.

        Without a shade effect the colour is the albedo. Returns the texture it is in.
        """
        common = (targets, view, lights, background)
        shaders = [(e, p) for e, p in self._effects if e.stage == "shade"]
        target = 0
        for fbo in targets.color_fbo[: max(1, len(shaders))]:
            fbo.clear(*background, 1.0)
        # Only where geometry is: that is what shading costs, and most of a picture is background.
        ctx = self._programs.ctx
        ctx.enable_only(moderngl.DEPTH_TEST)
        ctx.depth_func = ">"
        if not shaders:
            program = self._programs.get("fullscreen.vert", "unshaded.frag", _FAR)
            self._pass(target, None, program, None, *common)
        for index, (effect, params) in enumerate(shaders):
            target = index % 2
            source = targets.color[1 - target] if index else None
            self._pass(target, source, self._program(effect, _FAR), params, *common)
        ctx.depth_func = "<"
        ctx.enable_only(moderngl.NOTHING)
        for effect, params in self._effects:
            if effect.stage == "screen":
                self._pass(1 - target, targets.color[target], self._program(effect), params, *common)
                target = 1 - target
        return targets.color[target]

    def post(
        self,
        source: moderngl.Texture,
        targets: Targets,
        view: View,
        lights: LightUniforms,
        background: tuple[float, float, float],
    ) -> moderngl.Texture:
        """The "post" stage on antialiased linear colour. Returns the texture it ends in."""
        for effect, params in self._effects:
            if effect.stage == "post":
                target = 1 if source is targets.color[0] else 0
                self._pass(target, source, self._program(effect), params, targets, view, lights, background)
                source = targets.color[target]
        return source

    def _program(self, effect: Effect, defines: tuple[str, ...] = ()) -> Program:
        return self._programs.get("fullscreen.vert", f"{effect.name}.frag", defines)

    def _pass(
        self,
        target: int,
        source: moderngl.Texture | None,
        program: Program,
        params: ParamSet | None,
        targets: Targets,
        view: View,
        lights: LightUniforms,
        background: tuple[float, float, float],
    ) -> None:
        targets.color_fbo[target].use()
        for name, unit in targets.bind_gbuffer().items():
            program.set(name, unit)
        if source is not None:
            source.use(COLOR_UNIT)
            program.set("u_color", COLOR_UNIT)
        set_frame_uniforms(program, view, lights, background)
        if params is not None:
            for param in params.params():
                value = _uniform_value(params, param.name, param.kind, param.choices)
                program.set(f"u_{param.name}", value)
        self._programs.draw_fullscreen(program)


def set_frame_uniforms(
    program: Program, view: View, lights: LightUniforms, background: tuple[float, float, float]
) -> None:
    """Camera, lights and background, as every effect shader may declare them."""
    program.set("u_camera_position", tuple(float(v) for v in view.position))
    program.set_matrix("u_world_to_view", view.world_to_view)
    program.set_matrix("u_view_to_clip", view.view_to_clip)
    program.set("u_light_count", lights.count)
    program.set_array("u_light_kind", lights.kind)
    program.set_array("u_light_vector", lights.vector)
    program.set_array("u_light_radiance", lights.radiance)
    program.set_array("u_sh", lights.sh)
    program.set_matrix("u_world_to_light", view.world_to_view if lights.fixed_to_camera else np.eye(4))
    program.set("u_background", tuple(float(v) for v in background))
