"""Light: direct lights, the average of the sky, and what the light is fixed to."""

from __future__ import annotations

import math

import numpy as np
from imgui_bundle import imgui

from studio.core.params import Param
from studio.core.scene import Light, Lighting
from studio.core.scene.light import KINDS, MAX_LIGHTS, SH_Y00, ambient_sh
from studio.ui import autopanel
from studio.ui import widgets as w
from studio.ui.state import AppState
from studio.ui.theme import Icon

COLOR = Param("color", (1.0, 1.0, 1.0), "color", 0.0, 1.0, help="Linear colour of the light")
INTENSITY = Param(
    "intensity",
    1.0,
    low=0.0,
    high=10.0,
    help="Radiance of a white wall that faces the light, at distance 1; of an area light, its own",
)
KIND = Param(
    "kind",
    "directional",
    "choice",
    choices=KINDS,
    titles=("Sun", "Point", "Spot", "Area"),
    help="Sun is parallel light; an area light is a rectangle that shines from one side",
)
POSITION = Param("position", (2.0, 3.0, 2.0), "vec3", -100.0, 100.0, 0.02, help="World units")
TURN = Param("turn", 0.0, low=-180.0, high=180.0, step=1.0, unit="°", help="Compass direction of the light")
HEIGHT = Param("elevation", 45.0, low=-90.0, high=90.0, step=1.0, unit="°", help="Angle above the horizon")
INNER = Param("inner_angle", 20.0, low=0.0, high=89.0, step=1.0, unit="°", help="Full light up to here")
OUTER = Param("outer_angle", 30.0, low=1.0, high=89.5, step=1.0, unit="°", help="No light from here on")
WIDTH = Param("width", 1.0, low=0.01, high=10.0, log=True, help="World units")
TALL = Param("height", 1.0, low=0.01, high=10.0, log=True, help="World units")
SIZE = Param(
    "size", 0.05, low=0.0, high=1.0, label="Radius", help="For soft shadows; of a sun, seen at distance 1"
)
SHADOW = Param("shadow", True, "bool", label="Casts shadows", help="With the effect Shadows")
EXTRAS = {
    "directional": (SIZE, SHADOW),
    "point": (SIZE, SHADOW),
    "spot": (INNER, OUTER, SIZE, SHADOW),
    "area": (WIDTH, TALL, SHADOW),
}
SKY = Param("sky", (0.45, 0.45, 0.45), "color", 0.0, 4.0, help="Average radiance from all around")
FIXED = Param(
    "fixed_to",
    "world",
    "choice",
    choices=("world", "camera"),
    label="Fixed to",
    help="camera: the lamp stays beside the camera, as with an object on a turntable",
)
BACKGROUND = Param(
    "background", (0.0, 0.0, 0.0), "color", 0.0, 1.0, help="Behind everything, in renders and fits"
)


def draw(state: AppState) -> None:
    """The panel's body."""
    lighting = state.scene.lighting
    moving = state.run.active and state.document.settings.enabled("light")
    path = ("scene", "lighting")
    w.spacer(2)
    autopanel.row(state, FIXED, lighting.fixed_to, (*path, "fixed_to"), FIXED.default)
    for i, light in enumerate(lighting.lights):
        imgui.push_id(i)
        if w.section(f"{light.name or light.kind}"):
            _light(state, i, light)
        imgui.pop_id()
    if w.section("Sky"):
        average = tuple(float(v) for v in np.asarray(lighting.sh[0]) * SH_Y00)
        if w.label(SKY.title, SKY.help, False, moving):
            state.set((*path, "sh"), ambient_sh(SKY.default), "Reset sky")
        if (value := w.color("##sky", average)) is not None:
            sh = np.array(lighting.sh, np.float32)
            sh[0] = np.asarray(value) / SH_Y00
            state.set((*path, "sh"), sh, "Change sky")
        if lighting.environment is not None:
            high, wide = lighting.environment.shape[:2]
            w.label("Map", "Shown by the effect Environment; the sky's colour is its average")
            if imgui.button(f"{wide} × {high}  {Icon.trash}###remove_map"):
                state.set(path, lighting.with_environment(None), "Remove the map")
            w.tooltip("Remove the map; its light stays, blurred")
        else:
            if imgui.button("Open map…###open_map"):
                state.act("open_environment")
            w.tooltip("An equirectangular .hdr or .exr; or drop one into the window")
        autopanel.row(state, BACKGROUND, state.scene.background, ("scene", "background"), BACKGROUND.default)
    w.spacer(4)
    imgui.begin_disabled(len(lighting.lights) >= MAX_LIGHTS)
    if imgui.button(f"{Icon.plus}  Add light###add_light"):
        state.act("add_light", "directional")
    imgui.end_disabled()
    w.tooltip(f"Up to {MAX_LIGHTS} lights shade the picture.")


def _light(state: AppState, index: int, light: Light) -> None:
    path = ("scene", "lighting", "lights", index)
    base = Lighting().lights[0] if index == 0 else Light()
    autopanel.row(state, COLOR, light.color, (*path, "color"), base.color)
    autopanel.row(state, INTENSITY, light.intensity, (*path, "intensity"), base.intensity)
    autopanel.row(state, KIND, light.kind, (*path, "kind"), base.kind)
    if light.kind != "directional":
        autopanel.row(state, POSITION, light.position, (*path, "position"), base.position)
    if light.kind != "point":
        turn, height = angles(light.direction)
        for param, value in ((TURN, turn), (HEIGHT, height)):
            w.label(param.title, param.help)
            moved = autopanel.control(param, value)
            if moved is not None:
                pair = (moved, height) if param is TURN else (turn, moved)
                state.set((*path, "direction"), direction(*pair), "Turn light")
    for param in EXTRAS[light.kind]:
        autopanel.row(state, param, getattr(light, param.name), (*path, param.name), param.default)
    w.label("")
    if imgui.button(f"{Icon.trash}  Remove###remove"):
        state.act("remove_light", index)
    w.tooltip("Remove this light. Undo brings it back.")


def angles(direction: tuple[float, float, float]) -> tuple[float, float]:
    """(turn, height) in degrees of a unit vector; turn 0 is +Z, 90 is +X."""
    x, y, z = direction
    length = math.sqrt(x * x + y * y + z * z) or 1.0
    return math.degrees(math.atan2(x, z)), math.degrees(math.asin(max(-1.0, min(1.0, y / length))))


def direction(turn: float, height: float) -> tuple[float, float, float]:
    """Unit vector of the two angles; the height stops short of the pole, where turn would be lost."""
    a, b = math.radians(turn), math.radians(max(-89.9, min(89.9, height)))
    return math.cos(b) * math.sin(a), math.sin(b), math.cos(b) * math.cos(a)
