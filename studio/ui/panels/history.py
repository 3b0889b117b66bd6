"""History: every edit and every run of this session, newest first; a click goes there."""

from __future__ import annotations

from imgui_bundle import ImVec2, imgui

from studio.ui import widgets as w
from studio.ui.state import AppState
from studio.ui.theme import Icon, px, roles, u32

ROW = 24.0


def draw(state: AppState) -> None:
    """The panel's body."""
    history = state.history
    labels = history.labels
    if not labels:
        w.empty(Icon.history, "What you change is listed here, to go back to.")
        return
    imgui.push_style_var(imgui.StyleVar_.item_spacing, ImVec2(px(8), 0))
    for position in range(len(labels), 0, -1):
        _row(state, position, labels[position - 1])
    _row(state, 0, "Opened" if not state.document.path else f"Opened {state.document.title}")
    imgui.pop_style_var()


def _row(state: AppState, position: int, label: str) -> None:
    """One state of the document; those that were undone are dim."""
    here = state.history.position == position
    start, width = imgui.get_cursor_screen_pos(), imgui.get_content_region_avail().x
    if imgui.selectable(f"##entry{position}", here, 0, ImVec2(0, px(ROW)))[0] and not here:
        state.act("go_to", position)
    w.tooltip("" if here else f"Go {'back' if position < state.history.position else 'on'} to here")
    run = label.startswith("Fit")
    icon = Icon.optimize if run else Icon.folder if position == 0 or label.startswith("Open") else Icon.edit
    done = position <= state.history.position
    color = roles().text if done else roles().muted
    y = start.y + (px(ROW) - imgui.get_font_size()) / 2
    draw = imgui.get_window_draw_list()
    draw.add_text(ImVec2(start.x + px(8), y), u32(roles().accent if run and done else roles().muted), icon)
    draw.push_clip_rect(start, ImVec2(start.x + width, start.y + px(ROW)), True)
    draw.add_text(ImVec2(start.x + px(33), y), u32(color, 1.0 if done else 0.7), label)
    draw.pop_clip_rect()
