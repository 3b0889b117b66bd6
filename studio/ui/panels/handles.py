"""Handles in the picture that move, turn and scale the selected object or light (ImGuizmo)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from imgui_bundle import imgui
from imgui_bundle.imguizmo import im_guizmo

from studio.core.scene import Camera, Light, Mesh
from studio.ui.commands import Path
from studio.ui.panels.lamps import lamp_frame, selected_light

if TYPE_CHECKING:
    from studio.ui.panels.viewport import ViewportPanel

TOOLS = ("move", "rotate", "scale")
_OPERATIONS = {
    "move": im_guizmo.OPERATION.translate,
    "rotate": im_guizmo.OPERATION.rotate,
    "scale": im_guizmo.OPERATION.scale,
}
_VERBS = {"move": "Move", "rotate": "Turn", "scale": "Scale"}
SNAPS = {"move": 0.1, "rotate": 15.0, "scale": 0.1}
"""Steps while Ctrl is held: shares of the scene's radius, degrees, factors."""

SIZE = 0.14
"""Of the handles, as a share of the picture."""


class Handles:
    """The handles of one viewport panel.

    Attributes:
        busy: the mouse is on a handle or holds one: it moves no camera.
    """

    def __init__(self, panel: ViewportPanel) -> None:
        self._panel = panel
        self._state = panel.state
        self.busy = False
        self._using = False
        self._held: tuple[Path, Any] | None = None
        self._start = np.eye(4)
        self._matrix = np.eye(4)

    def draw(self, camera: Camera) -> None:
        """Draw them and post edits; inside the viewport's window, before it takes the mouse."""
        target = self._target()
        if target is None:
            self.busy = self._using = self._state.holding = False
            self._held = None
            return
        path, item = target
        to_world = self._to_world(item, camera)
        if not self._using or self._held is None or self._held[0] != path:
            self._held = target
            self._start = self._matrix = to_world @ self._pose(item)
        moved = self._manipulate(camera)
        using = bool(im_guizmo.is_using())
        self.busy = using or bool(im_guizmo.is_over())
        if moved is not None:
            self._matrix = moved
            self._post(path, np.linalg.inv(to_world))
        elif self._using and not using:
            self._finish(path)
        self._using = self._state.holding = using

    def _target(self) -> tuple[Path, Any] | None:
        """Path and value of what the tool acts on, or None."""
        state = self._state
        tool, scene = state.view.tool, state.scene
        if tool not in TOOLS or state.view.picture_only or state.run.override is not None:
            return None
        light = selected_light(state)
        if light is not None:
            lamp = scene.lighting.lights[light]
            fits = tool == "move" or (tool == "rotate" and lamp.kind != "point") or lamp.kind == "area"
            return (("scene", "lighting", "lights", light), lamp) if fits else None
        kind, _, index = state.view.selected.partition(":")
        if kind == "mesh" and index.isdigit() and int(index) < len(scene.meshes):
            return ("scene", "meshes", int(index)), scene.meshes[int(index)]
        return None

    def _to_world(self, item: Mesh | Light, camera: Camera) -> np.ndarray:
        """[4, 4]: lights may stay beside the camera."""
        fixed = isinstance(item, Light) and self._state.scene.lighting.fixed_to == "camera"
        return camera.view_to_world if fixed else np.eye(4)

    def _pose(self, item: Mesh | Light) -> np.ndarray:
        if isinstance(item, Light):
            return lamp_frame(item, *self._panel.scene_ball())
        pose = np.eye(4)
        low, high = item.bounds()
        pose[:3, 3] = (np.asarray(low, np.float64) + high) / 2
        return pose

    def _manipulate(self, camera: Camera) -> np.ndarray | None:
        """The new pose if the handles have moved it."""
        low, size = self._panel.low, self._panel.size
        tool = self._state.view.tool
        im_guizmo.begin_frame()
        im_guizmo.set_orthographic(False)
        im_guizmo.set_drawlist()
        im_guizmo.set_rect(low.x, low.y, size.x, size.y)
        im_guizmo.set_gizmo_size_clip_space(SIZE)
        matrix = _columns(self._matrix)
        mode = im_guizmo.MODE.local if tool == "scale" else im_guizmo.MODE.world
        snap = None
        if imgui.get_io().key_ctrl:
            step = SNAPS[tool] * (self._panel.scene_ball()[1] if tool == "move" else 1.0)
            snap = im_guizmo.Matrix3([step] * 3)
        changed = im_guizmo.manipulate(
            _columns(camera.world_to_view),
            _columns(camera.view_to_clip),
            _OPERATIONS[tool],
            mode,
            matrix,
            None,
            snap,
        )
        if not changed:
            return None
        moved = np.asarray(matrix.values, np.float64).reshape(4, 4).T
        return moved if np.isfinite(moved).all() else None

    def _post(self, path: Path, from_world: np.ndarray) -> None:
        """The edit that takes what is held from where it was to where the handles are."""
        assert self._held is not None
        item, tool = self._held[1], self._state.view.tool
        verb = f"{_VERBS[tool]} {item.name or path[1]}"
        if isinstance(item, Light):
            value: Any = placed(item, from_world @ self._matrix, tool, *self._panel.scene_ball())
        else:
            # With its normals, so that they need not be found anew in every frame of the drag.
            held = replace(item, normals=item.vertex_normals())
            value = held.transformed(self._matrix @ np.linalg.inv(self._start))
        self._state.set(path, value, verb)

    def _finish(self, path: Path) -> None:
        """After a drag: normals that were not the mesh's own belong to its new shape."""
        assert self._held is not None
        item = self._held[1]
        moved = not np.array_equal(self._start, self._matrix)
        if isinstance(item, Mesh) and item.normals is None and moved:
            now = self._state.scene.meshes[int(path[2])]
            self._state.set(path, replace(now, normals=None), f"{_VERBS[self._state.view.tool]} {item.name}")


def placed(light: Light, pose: np.ndarray, tool: str, center: np.ndarray, radius: float) -> Light:
    """A light moved, turned or scaled to a pose (see `lamp_frame`)."""
    if tool == "move" and light.kind == "directional":
        away = pose[:3, 3] - center
        length = float(np.linalg.norm(away))
        return light if length < 1e-6 * radius else replace(light, direction=_triple(away / length))
    if tool == "move":
        return replace(light, position=_triple(pose[:3, 3]))
    lengths = np.linalg.norm(pose[:3, :3], axis=0)
    if tool == "rotate":
        right, axis = pose[:3, 0] / lengths[0], pose[:3, 2] / lengths[2]
        return replace(light, direction=_triple(axis), right=_triple(right))
    return replace(light, width=max(light.width * float(lengths[0]), 0.01),
                   height=max(light.height * float(lengths[1]), 0.01))  # fmt: skip


def _triple(vector: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in vector)
    return x, y, z


def _columns(matrix: np.ndarray) -> Any:
    """A matrix that acts on column vectors, as ImGuizmo takes it."""
    return im_guizmo.Matrix16(np.ascontiguousarray(matrix.T, np.float32).ravel().tolist())
