"""The menu bar, made from the table of actions."""

from __future__ import annotations

from itertools import groupby

from imgui_bundle import ImVec2, imgui

from studio.ui import catalog
from studio.ui import widgets as w
from studio.ui.action import Action
from studio.ui.state import AppState
from studio.ui.theme import px, roles, u32

INDENT = " " * 8
"""Room for an icon before every title."""


def draw(state: AppState) -> None:
    """Menus on the left, the document's name on the right."""
    imgui.push_style_var(imgui.StyleVar_.item_spacing, ImVec2(px(8), px(7)))
    for title, items in catalog.groups(state):
        if imgui.begin_menu(title):
            _items(state, items)
            imgui.end_menu()
    imgui.pop_style_var()
    _document_name(state)


def _items(state: AppState, items: tuple[Action, ...]) -> None:
    """A menu's entries; those that stand under one title are its submenu."""
    for under, together in groupby(items, lambda action: action.under):
        if not under:
            for action in together:
                _item(state, action)
            continue
        # "###": the title alone, as tests and the palette know it.
        if imgui.begin_menu(f"{INDENT}{under}###{under}"):
            for action in together:
                _item(state, action)
            imgui.end_menu()


def _item(state: AppState, action: Action) -> None:
    if action.divided:
        imgui.separator()
    title = action.title if action.label is None else action.label(state)
    checked = action.checked(state) if action.checked is not None else False
    start = imgui.get_cursor_screen_pos()
    possible = action.possible(state)
    pressed = imgui.menu_item(f"{INDENT}{title}###{action.title}", action.shown, checked, possible)[0]
    if action.icon:
        color = u32(roles().muted, 1.0 if possible else 0.45)
        imgui.get_window_draw_list().add_text(ImVec2(start.x + px(2), start.y), color, action.icon)
    if pressed:
        state.act(action.name, *action.args)


def _document_name(state: AppState) -> None:
    name = state.document.title
    mark = "  •" if state.unsaved else ""
    width = imgui.calc_text_size(name + mark).x
    imgui.set_cursor_pos_x(imgui.get_window_width() - width - px(14))
    w.muted(name + mark)
