"""Scene: what there is, one line each; selecting shows it in its panel."""

from __future__ import annotations

from imgui_bundle import ImVec2, imgui

from studio.ui import widgets as w
from studio.ui.state import AppState
from studio.ui.theme import AXIS_COLORS, Icon, px, roles, u32

ROW = 24.0


def draw(state: AppState) -> None:
    """The panel's body."""
    scene = state.scene
    if scene.empty and state.run.override is None:
        if w.empty(Icon.mesh, "No object yet.", "Open mesh…", "open_mesh"):
            state.act("open_mesh")
        return
    imgui.push_style_var(imgui.StyleVar_.item_spacing, ImVec2(px(8), 0))
    run_mesh = None if state.run.override is None else state.run.override.mesh
    for i, mesh in enumerate(scene.meshes):
        faces = len(run_mesh.faces) if run_mesh is not None and i == 0 else len(mesh.faces)
        _row(state, f"mesh:{i}", Icon.mesh, 0x7FB8F5, mesh.name or "mesh", count(faces), "Triangles")
    volume, points = state.visible_radiance()
    if volume is not None:
        size = count(volume.density.size)
        _row(state, "volume", Icon.volume, 0x8FD3C8, volume.name, size, "Grid points")
    if points is not None:
        _row(state, "points", Icon.points, 0xC7A6F0, points.name, count(len(points)), "Gaussians")
    if state.has_mesh:
        _row(state, "material", Icon.material, 0xE0A070, _material_name(state), "", "")
    for i, light in enumerate(scene.lighting.lights):
        icon = Icon.sun if light.kind == "directional" else Icon.bulb
        _row(state, f"light:{i}", icon, 0xF2C14E, light.name or light.kind, "", "")
    _row(state, "sky", Icon.sky, AXIS_COLORS[2], "sky", "", "")
    if state.photos is not None:
        total = str(len(state.photos.photos))
        _row(state, "cameras", Icon.camera, roles().muted, "cameras", total, "Photos with a camera")
    imgui.pop_style_var()


def _material_name(state: AppState) -> str:
    index = selected_mesh(state)
    return state.scene.meshes[index].material.name or "material" if state.scene.meshes else "material"


def selected_mesh(state: AppState) -> int:
    """Index of the mesh the panels are about."""
    kind, _, index = state.view.selected.partition(":")
    if kind == "mesh" and index.isdigit() and int(index) < len(state.scene.meshes):
        return int(index)
    return 0


def _row(state: AppState, key: str, icon: str, color: int, title: str, note: str, hint: str) -> None:
    selected = state.view.selected == key
    start = imgui.get_cursor_screen_pos()
    if imgui.selectable(f"##{key}", selected, 0, ImVec2(0, px(ROW)))[0]:
        state.act("select", key)
    w.tooltip(hint and f"{title}: {note} {hint.lower()}")
    draw_list = imgui.get_window_draw_list()
    y = start.y + (px(ROW) - imgui.get_font_size()) / 2
    draw_list.add_text(ImVec2(start.x + px(8), y), u32(color), icon)
    right = start.x + imgui.get_content_region_avail().x
    note_width = imgui.calc_text_size(note).x
    draw_list.push_clip_rect(start, ImVec2(right - note_width - px(14), start.y + px(ROW)), True)
    tone = roles().text if _shown(state, key) else roles().muted
    draw_list.add_text(ImVec2(start.x + px(33), y), u32(tone), title)
    draw_list.pop_clip_rect()
    if note:
        draw_list.add_text(ImVec2(right - note_width - px(8), y), u32(roles().muted), note)


def _shown(state: AppState, key: str) -> bool:
    """Whether the object of a row is drawn."""
    kind = key.partition(":")[0]
    looks = state.document.looks.get("meshes" if kind == "mesh" else kind)
    return looks is None or bool(looks["shown"])


def count(number: int) -> str:
    """5120 as "5.1 k"."""
    if number < 1000:
        return str(number)
    for size, suffix in ((1e6, "M"), (1e3, "k")):
        if number >= size:
            scaled = number / size
            return f"{scaled:.0f} {suffix}" if scaled >= 10 else f"{scaled:.1f} {suffix}"
    return str(number)
