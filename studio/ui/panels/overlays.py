"""What lies over the window: notices, about, and how dialogs look."""

from __future__ import annotations

from imgui_bundle import ImVec2, imgui

import studio
from studio.ui import theme
from studio.ui import widgets as w
from studio.ui.state import AppState
from studio.ui.theme import Icon, mix, px, roles, u32, vec


def draw(state: AppState, picture: tuple[ImVec2, ImVec2]) -> None:
    """Both; notices stand at the foot of `picture` (its upper left and lower right)."""
    _notices(state, picture)
    _about(state)


def _notices(state: AppState, picture: tuple[ImVec2, ImVec2]) -> None:
    state.notices = [notice for notice in state.notices if not notice.expired]
    bottom = picture[1].y - px(44)
    middle = (picture[0].x + picture[1].x) / 2
    marks = {
        "info": (Icon.info, roles().accent),
        "good": (Icon.good, roles().good),
        "warn": (Icon.warn, roles().warn),
        "fail": (Icon.fail, roles().fail),
    }
    flags = (
        imgui.WindowFlags_.no_decoration
        | imgui.WindowFlags_.no_docking
        | imgui.WindowFlags_.no_saved_settings
        | imgui.WindowFlags_.no_move
        | imgui.WindowFlags_.no_focus_on_appearing
        | imgui.WindowFlags_.no_nav
    )
    for i, notice in enumerate(reversed(state.notices)):
        icon, color = marks[notice.level]
        width = px(380)
        imgui.set_next_window_pos(ImVec2(middle, bottom), imgui.Cond_.always, ImVec2(0.5, 1.0))
        imgui.set_next_window_size_constraints(ImVec2(width, 0), ImVec2(width, px(300)))
        imgui.push_style_color(imgui.Col_.window_bg, vec(mix(roles().control, roles().panel, 0.3)))
        imgui.push_style_var(imgui.StyleVar_.window_padding, ImVec2(px(14), px(8)))
        imgui.begin(f"##notice{i}", None, flags | imgui.WindowFlags_.always_auto_resize)
        low, size = imgui.get_window_pos(), imgui.get_window_size()
        imgui.get_window_draw_list().add_rect_filled(
            low, ImVec2(low.x + px(3), low.y + size.y), u32(color), px(2)
        )
        imgui.align_text_to_frame_padding()
        w.text(icon, color)
        imgui.same_line(px(38))
        imgui.begin_group()
        imgui.push_text_wrap_pos(width - px(44))
        imgui.align_text_to_frame_padding()
        imgui.text_unformatted(notice.text)
        if notice.hint:
            w.muted(notice.hint)
        imgui.pop_text_wrap_pos()
        imgui.end_group()
        imgui.same_line(width - px(38))
        if w.quiet_button(Icon.close, "close", "Close; it stays in the log"):
            notice.born = -1e9
            state.notices = [n for n in state.notices if n is not notice]
        imgui.end()
        imgui.pop_style_var()
        imgui.pop_style_color()
        bottom -= size.y + px(8)


def modal(title: str, width: float) -> bool:
    """Begin a centred window, `width` pixels of the design wide, that a click outside or Esc closes."""
    center = imgui.get_main_viewport().get_center()
    imgui.set_next_window_pos(center, imgui.Cond_.always, ImVec2(0.5, 0.5))
    room = imgui.get_main_viewport().size
    wide = min(px(width), room.x - px(16))
    imgui.set_next_window_size_constraints(ImVec2(wide, 0), ImVec2(wide, room.y - px(16)))  # else it scrolls
    imgui.push_style_var(imgui.StyleVar_.window_padding, ImVec2(px(20), px(16)))
    flags = (
        imgui.WindowFlags_.no_title_bar | imgui.WindowFlags_.always_auto_resize | imgui.WindowFlags_.no_move
    )
    shown = imgui.begin_popup(title, flags)
    imgui.pop_style_var()
    return bool(shown)


def heading(title: str) -> None:
    """The title of such a window."""
    theme.bold(18)
    w.text(title)
    imgui.pop_font()
    w.spacer(4)


def _about(state: AppState) -> None:
    if state.view.about_open:
        imgui.open_popup("About")
        state.view.about_open = False
    if not modal("About", 380):
        return
    heading("Studio")
    w.wrapped("Interactive inverse rendering: photos in, mesh, materials and light out, on any machine.")
    w.spacer(4)
    w.muted(f"Version {studio.__version__} · MIT licence")
    w.muted(f"OpenGL: {state.renderer}")
    imgui.end_popup()
