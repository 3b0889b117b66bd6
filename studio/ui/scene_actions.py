"""Actions that change what the scene holds: lights come and go, everything is tipped over."""

from __future__ import annotations

from typing import Any

import numpy as np

from studio.core.errors import InputError
from studio.core.scene import Light
from studio.core.scene.light import MAX_LIGHTS
from studio.ui.commands import Edits, Set
from studio.ui.state import AppState

TIPS = {
    "back": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "forward": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "left": ((0, -1, 0), (1, 0, 0), (0, 0, 1)),
    "right": ((0, 1, 0), (-1, 0, 0), (0, 0, 1)),
}
"""Rotations by a quarter, rows; `back` makes +Z, up in many scans and CAD files, +Y."""


class SceneActions:
    """Part of the controller: what panels and menus ask of the scene by `_act_<name>`."""

    state: AppState

    def _apply(self, command: Set | Edits, gesture: int = 0) -> None:
        raise NotImplementedError

    def _act_tip_meshes(self, way: str) -> None:
        """Turn all meshes by a quarter about the origin, as files that have another axis up need it."""
        matrix = np.eye(4)
        matrix[:3, :3] = TIPS[way]
        meshes = [mesh.transformed(matrix) for mesh in self.state.scene.meshes]
        self._apply(Set(("scene", "meshes"), meshes, f"Tip {way}"))
        self.state.act("frame")

    def _act_add_light(self, kind: Any) -> None:
        lights = self.state.scene.lighting.lights
        if len(lights) >= MAX_LIGHTS:
            raise InputError(f"light: a scene has at most {MAX_LIGHTS} direct lights")
        name = "sun" if kind == "directional" else "lamp"
        light = Light(kind=kind, name=f"{name} {len(lights) + 1}" if lights else name)
        self._apply(Set(("scene", "lighting", "lights"), [*lights, light], f"Add {light.name}"))
        self.state.view.selected = f"light:{len(lights)}"

    def _act_remove_light(self, index: int) -> None:
        lights = list(self.state.scene.lighting.lights)
        gone = lights.pop(index)
        self._apply(Set(("scene", "lighting", "lights"), lights, f"Remove {gone.name}"))
