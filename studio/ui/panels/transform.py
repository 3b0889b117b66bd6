"""Place, turn and scale of the selected mesh as numbers, beside the handles in the picture.

Meshes have no transforms: numbers act on the vertices at once. What a mesh was made of by the numbers is
remembered as long as the mesh lives, so that they go on from there and come back when an edit is undone.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from imgui_bundle import imgui

from studio.core.params import Param
from studio.core.scene import Mesh
from studio.ui import autopanel
from studio.ui import widgets as w
from studio.ui.state import AppState

_FARTHEST = 1e6

PARAMS = (
    Param(
        "position",
        (0.0, 0.0, 0.0),
        "vec3",
        -_FARTHEST,
        _FARTHEST,
        step=0.01,
        help="Middle of the object's box along X, Y and Z, in units of the scene.",
    ),
    Param(
        "rotation",
        (0.0, 0.0, 0.0),
        "vec3",
        -360.0,
        360.0,
        step=0.5,
        help="Degrees about X, then Y, then Z, through the object's middle; from where it was before.",
    ),
    Param(
        "scale",
        (1.0, 1.0, 1.0),
        "vec3",
        0.001,
        1000.0,
        step=0.01,
        help="Factors along X, Y and Z, from what it was before it was turned here.",
    ),
)
_VERBS = {"position": "Move", "rotation": "Turn", "scale": "Scale"}


@dataclass(frozen=True, eq=False)
class Placement:
    """How numbers made a mesh of another one.

    Attributes:
        base: the mesh before, with its normals.
        position: of the middle now; rotation, in degrees; scale.
    """

    base: Mesh
    position: tuple[float, float, float]
    rotation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def made(self) -> Mesh:
        """The base scaled, turned and put in its place."""
        return self.base.transformed(self.matrix())

    def matrix(self) -> np.ndarray:
        """[4, 4] from the base to the mesh."""
        out = np.eye(4)
        out[:3, :3] = rotation_matrix(self.rotation) @ np.diag(self.scale)
        out[:3, 3] = np.asarray(self.position) - out[:3, :3] @ middle(self.base)
        return out


_known: weakref.WeakKeyDictionary[Mesh, Placement] = weakref.WeakKeyDictionary()


def middle(mesh: Mesh) -> np.ndarray:
    """[3] of the mesh's box."""
    low, high = mesh.bounds()
    return np.asarray((np.asarray(low, np.float64) + high) / 2)


def rotation_matrix(degrees: tuple[float, float, float]) -> np.ndarray:
    """[3, 3] about the fixed axes X, then Y, then Z."""
    out = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        turn = np.eye(3)
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        out = turn @ out
    return out


def placement(mesh: Mesh) -> Placement:
    """What the numbers of a mesh are: from its own past, or from where it is."""
    found = _known.get(mesh)
    if found is None:
        x, y, z = (float(v) for v in middle(mesh))
        found = Placement(mesh, (x, y, z))
    return found


def changed(mesh: Mesh, name: str, value: tuple[float, float, float]) -> Mesh:
    """The mesh with another number; it remembers what it was made of."""
    before = placement(mesh)
    if before.base is mesh:  # with its normals, so that they need not be found anew in every frame
        before = replace(before, base=replace(mesh, normals=mesh.vertex_normals()))
    numbers: dict[str, Any] = {name: value}
    after = replace(before, **numbers)
    made = after.made()
    _known[made] = after
    return made


def draw(state: AppState, index: int) -> None:
    """The section of the panel."""
    if not w.section("Object"):
        return
    mesh = state.scene.meshes[index]
    now = placement(mesh)
    imgui.begin_disabled(state.run.override is not None)
    for param in PARAMS:
        value: Any = getattr(now, param.name)
        plain = value if param.name == "position" else param.default
        if w.label(param.title, param.help, value != plain):
            _post(state, index, param.name, plain)
        result = autopanel.control(param, value)
        if result is not None and result != value:
            _post(state, index, param.name, result)
    imgui.end_disabled()


def _post(state: AppState, index: int, name: str, value: tuple[float, float, float]) -> None:
    mesh = state.scene.meshes[index]
    made = changed(mesh, name, value)
    state.set(("scene", "meshes", index), made, f"{_VERBS[name]} {mesh.name or index}")
