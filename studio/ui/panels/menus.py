"""The menu bar, made from the table of actions."""

from __future__ import annotations

from itertools import accumulate

from imgui_bundle import ImVec2, hello_imgui, imgui

from studio.core.channels import CHANNELS
from studio.core.optim.settings import PRESETS
from studio.ui import actions
from studio.ui import widgets as w
from studio.ui.actions import Action
from studio.ui.panels import optimize
from studio.ui.state import AppState
from studio.ui.theme import px, roles, u32

INDENT = " " * 8
"""Room for an icon before every title."""

LAYOUTS = ("Optimize", "Edit", "Compare")


def draw(state: AppState) -> None:
    """Menus on the left, the document's name on the right."""
    imgui.push_style_var(imgui.StyleVar_.item_spacing, ImVec2(px(8), px(7)))
    for title, items in actions.GROUPS[:-1]:
        if imgui.begin_menu(title):
            _items(state, title, items)
            imgui.end_menu()
    if imgui.begin_menu("Window"):
        _window_menu(state)
        imgui.end_menu()
    title, items = actions.GROUPS[-1]
    if imgui.begin_menu(title):
        for action in items:
            _item(state, action)
        imgui.end_menu()
    imgui.pop_style_var()
    _document_name(state)


def _items(state: AppState, title: str, items: tuple[Action, ...]) -> None:
    breaks = {"quit", "look"} if title in ("File", "View") else set()
    seen: set[str] = set()
    for i, action in enumerate(items):
        starts_group = title == "View" and i == len(actions.VIEW)
        parts = (actions.COMPARE, actions.MEASURES, actions.KEPT, actions.SETS, actions.REFERENCE)
        starts_group |= title == "Compare" and i in accumulate(len(part) for part in parts)
        if (action.name in breaks and action.name not in seen) or starts_group:
            imgui.separator()
        seen.add(action.name)
        _item(state, action)
    if title == "View":
        imgui.separator()
        _aov_menu(state)
    if title == "Optimize":
        imgui.separator()
        for name in PRESETS:
            chosen = state.document.settings.preset == name
            if imgui.menu_item(f"{INDENT}Preset {name}", "", chosen)[0]:
                state.set(("settings",), optimize.preset(name).copy(), f"Use preset {name}")


def _item(state: AppState, action: Action) -> None:
    title = action.title
    if action.name == "undo" and state.history.undo_label:
        title = f"Undo: {state.history.undo_label}###Undo"
    if action.name == "redo" and state.history.redo_label:
        title = f"Redo: {state.history.redo_label}###Redo"
    checked = action.checked(state) if action.checked is not None else False
    start = imgui.get_cursor_screen_pos()
    id = title if "###" in title else f"{title}###{title}"
    possible = action.possible(state)
    pressed = imgui.menu_item(INDENT + id, action.shown, checked, possible)[0]
    if action.icon:
        color = u32(roles().muted, 1.0 if possible else 0.45)
        imgui.get_window_draw_list().add_text(ImVec2(start.x + px(2), start.y), color, action.icon)
    if pressed:
        state.act(action.name, *action.args)


def _aov_menu(state: AppState) -> None:
    if imgui.begin_menu(f"{INDENT}Channel###Channel"):
        for i, aov in enumerate(state.channels):
            shown = str(i + 1) if i < 8 else ""
            if imgui.menu_item(CHANNELS[aov].title, shown, state.view.aov == aov)[0]:
                state.act("aov", aov)
        imgui.end_menu()


def _window_menu(state: AppState) -> None:
    params = hello_imgui.get_runner_params()
    for window in params.docking_params.dockable_windows:
        if window.label == "Viewport":
            continue
        if imgui.menu_item(window.label, "", window.is_visible)[0]:
            window.is_visible = not window.is_visible
    imgui.separator()
    current = hello_imgui.current_layout_name()
    for layout in LAYOUTS:
        if imgui.menu_item(f"Layout {layout}", "", layout == current)[0]:
            state.act("layout", layout)
    if imgui.menu_item("Restore layout", "", False)[0]:
        params.docking_params.layout_reset = True


def _document_name(state: AppState) -> None:
    name = state.document.title
    mark = "  •" if state.unsaved else ""
    width = imgui.calc_text_size(name + mark).x
    imgui.set_cursor_pos_x(imgui.get_window_width() - width - px(14))
    w.muted(name + mark)
