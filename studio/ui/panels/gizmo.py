"""The axes gizmo: shows how the camera is turned; a click on an end looks along that axis."""

from __future__ import annotations

from imgui_bundle import ImVec2, imgui

from studio.core.scene import Camera
from studio.gl.navigation import gizmo_axes
from studio.ui import widgets as w
from studio.ui.theme import AXIS_COLORS, mix, px, roles, u32

RADIUS = 23.0
DISC = 7.5
REACH = RADIUS + DISC + 5


def draw(camera: Camera, center: ImVec2) -> str | None:
    """Draw around `center`; the name of the view whose end was clicked, or None."""
    clicked = None
    list_ = imgui.get_window_draw_list()
    imgui.set_cursor_screen_pos(ImVec2(center.x - px(REACH), center.y - px(REACH)))
    pressed = imgui.invisible_button("gizmo", ImVec2(2 * px(REACH), 2 * px(REACH)))
    hovered = imgui.is_item_hovered()
    mouse = imgui.get_mouse_pos()
    if hovered:
        list_.add_circle_filled(center, px(REACH), u32(roles().text, 0.08))
    for axis in gizmo_axes(camera):
        at = ImVec2(center.x + axis.x * px(RADIUS), center.y - axis.y * px(RADIUS))
        base = AXIS_COLORS["xyz".index(axis.name)]
        color = base if axis.depth > -0.2 else mix(base, DISTANT, 0.35)
        over = hovered and (mouse.x - at.x) ** 2 + (mouse.y - at.y) ** 2 < px(DISC + 1) ** 2
        if axis.positive:
            list_.add_line(center, at, u32(color), px(2))
            list_.add_circle_filled(at, px(DISC), u32(mix(color, 0xFFFFFF, 0.35) if over else color))
            _letter(list_, axis.name.upper(), at)
        else:
            list_.add_circle_filled(at, px(5), u32(mix(color, DISTANT, 0.3 if over else 0.75)))
            list_.add_circle(at, px(5), u32(color, 0.8), 0, px(1))
        if over:
            w.tooltip(axis.view.capitalize())
            clicked = axis.view if pressed else None
    return clicked


DISTANT = 0x2A2D31
"""Grey of the studio background: what is behind fades into it."""


def _letter(list_: imgui.ImDrawList, letter: str, at: ImVec2) -> None:
    imgui.push_font(None, 12)
    size = imgui.calc_text_size(letter)
    list_.add_text(ImVec2(at.x - size.x / 2, at.y - size.y / 2), u32(0x10151C), letter)
    imgui.pop_font()
