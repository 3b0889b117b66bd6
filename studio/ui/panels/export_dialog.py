"""The dialog of exported meshes: into what kind of file, with what in it and beside it."""

from __future__ import annotations

from imgui_bundle import imgui

from studio.ui.files import Files
from studio.ui.panels import taking
from studio.ui.state import AppState

TITLE = "Export mesh"


def draw(state: AppState, files: Files) -> None:
    """The dialog while it is open."""
    if not taking.begin(state, "mesh", TITLE):
        return
    kind = state.choices["mesh"]["format"]
    scene = files.shown_scene()
    taking.rows(state, "mesh", ("format",))
    pictures = any(mesh.material.textures() for mesh in scene.meshes)
    colored = any(mesh.colors is not None for mesh in scene.meshes)
    inside = (("textures",) if kind != "ply" and pictures else ()) + (("vertex_colors",) if colored else ())
    taking.rows(state, "mesh", (*inside, "up"), without=("z",) if kind == "glb" else ())
    if kind != "glb":
        taking.rows(state, "mesh", ("unit",))
    taking.rows(state, "mesh", ("environment", *(("cameras",) if files.cameras() else ())))
    vertices = sum(len(mesh.vertices) for mesh in scene.meshes)
    counts = [f"{count:,}".replace(",", " ") for count in (scene.triangle_count(), vertices)]
    taking.fact("Mesh", f"{counts[0]} triangles, {counts[1]} vertices")
    size = files.exported_bytes()
    taking.fact("Files", "…" if size is None else taking.size_in_words(size))
    pressed = taking.buttons("Export…", bool(scene.meshes), copy=True)
    if pressed == "main":
        state.act("ask_export")
    elif pressed == "copy":
        state.act("copy_command", "export")
    imgui.end_popup()
