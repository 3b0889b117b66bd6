"""Material: the glTF factors of the selected mesh, or how the selected volume or points are shown."""

from __future__ import annotations

from typing import Any

from studio.core.params import Param
from studio.core.scene import Material
from studio.ui import autopanel
from studio.ui import widgets as w
from studio.ui.commands import Path
from studio.ui.panels import radiance, transform
from studio.ui.panels.scene_tree import selected_mesh
from studio.ui.state import AppState
from studio.ui.theme import Icon

_BASE = Material()
FACTORS = (
    Param("base_color", _BASE.base_color, "color", 0.0, 1.0, help="Multiplies textures and vertex colours"),
    Param("perceptual_roughness", _BASE.perceptual_roughness, low=0.0, high=1.0, label="Roughness",
          help="0 is a mirror, 1 is chalk; the shading uses its square"),
    Param("metallic", _BASE.metallic, low=0.0, high=1.0, help="0 is plastic or stone, 1 is bare metal"),
    Param("emissive", _BASE.emissive, "color", 0.0, 1.0, help="Light the surface gives off by itself"),
    Param("subsurface", _BASE.subsurface, low=0.0, high=1.0,
          help="Share of light that scatters below the surface, as in skin or wax; with the effect SSS"),
)  # fmt: skip
SURFACE = (Param("double_sided", False, "bool", help="Exported programs draw both sides"),)
_MOVED_BY = {"base_color": "albedo", "perceptual_roughness": "roughness", "metallic": "metallic"}


def draw(state: AppState) -> None:
    """The panel's body; that of a volume or of points while they are selected."""
    if state.view.selected in ("volume", "points") and radiance.draw(state, state.view.selected):
        return
    if not state.scene.meshes:
        if w.empty(Icon.material, "A mesh brings a material.", "Open mesh…", "open_mesh"):
            state.act("open_mesh")
        return
    index = selected_mesh(state)
    mesh = state.scene.meshes[index]
    path: Path = ("scene", "meshes", index, "material")
    w.spacer(2)
    for param in FACTORS + SURFACE:
        group = _MOVED_BY.get(param.name, "")
        moving = bool(group) and state.run.active and state.document.settings.enabled(group)
        value: Any = getattr(mesh.material, param.name)
        autopanel.row(state, param, value, (*path, param.name), param.default, moving)
    transform.draw(state, index)
    _maps(mesh.material, mesh.colors is not None or state.run.override is not None)


def _maps(material: Material, per_vertex: bool) -> None:
    if not w.section("Maps"):
        return
    maps = {
        "Base colour": material.base_color_texture,
        "Occlusion, roughness, metal": material.orm_texture,
        "Normal": material.normal_texture,
        "Emission": material.emissive_texture,
    }
    shown = {title: image for title, image in maps.items() if image is not None}
    for title, image in shown.items():
        w.label(title)
        w.muted(f"{image.shape[1]} × {image.shape[0]} px")
    if per_vertex:
        w.label("Vertex colours")
        w.muted("in use")
    elif not shown:
        w.muted("None: the factors above hold everywhere.")
