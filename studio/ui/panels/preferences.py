"""The dialog of preferences; every change acts at once."""

from __future__ import annotations

from imgui_bundle import ImVec2, imgui

from studio.ui import autopanel, theme
from studio.ui import widgets as w
from studio.ui.panels import overlays
from studio.ui.state import AppState
from studio.ui.theme import px, roles, u32

TITLE = "Preferences"


def draw(state: AppState) -> None:
    """Open it if somebody asked for it, and draw it while it is open."""
    if state.view.preferences_open:
        imgui.open_popup(TITLE)
        state.view.preferences_open = False
    if not overlays.modal(TITLE, 400):
        return
    overlays.heading(TITLE)
    values = state.preferences
    for param in values.params():
        if w.label(param.title, param.help, not values.is_default(param.name)):
            state.act("prefer", param.name, param.default)
        chosen = _accents(values["accent"]) if param.name == "accent" else None
        if param.name != "accent":
            chosen = autopanel.control(param, values[param.name])
        if chosen is not None and chosen != values[param.name]:
            state.act("prefer", param.name, chosen)
    w.spacer(6)
    hint = "Panels can be dragged to other places. Restore layout, in the menu Window, puts them back."
    w.wrapped(hint, roles().muted)
    imgui.end_popup()


def _accents(current: str) -> str | None:
    """A row of colour dots; the one clicked, or None."""
    clicked = None
    radius = px(8)
    for name in theme.ACCENTS:
        start = imgui.get_cursor_screen_pos()
        if imgui.invisible_button(name, ImVec2(px(26), px(24))):
            clicked = name
        w.tooltip(name.capitalize())
        center = ImVec2(start.x + px(11), start.y + px(12))
        draw = imgui.get_window_draw_list()
        draw.add_circle_filled(center, radius, u32(theme.accent(name)))
        if name == current or imgui.is_item_hovered():
            ring = roles().text if name == current else roles().muted
            draw.add_circle(center, radius + px(3), u32(ring), 0, px(1.5))
        imgui.same_line(0, 0)
    imgui.new_line()
    return clicked
