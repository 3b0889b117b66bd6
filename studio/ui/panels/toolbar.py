"""The slim column of tools at the left of the picture, and the legend of a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgui_bundle import ImVec2, imgui

from studio.core.channels import CHANNELS, Show
from studio.gl.colormap import COLORMAPS, DEPTH_MAP
from studio.ui import actions
from studio.ui import widgets as w
from studio.ui.panels.compare_bar import chip, gradient
from studio.ui.state import AppState
from studio.ui.theme import Icon, mix, px, roles, u32, vec

if TYPE_CHECKING:
    from studio.ui.panels.viewport import ViewportPanel

BUTTON = 28.0
TOOL_ITEMS = (
    ("select", Icon.pointer, "Select: click an object, a light or a camera"),
    ("move", Icon.move, "Move the selected object or light; Ctrl snaps"),
    ("rotate", Icon.rotate, "Turn it"),
    ("scale", Icon.scale, "Scale it"),
    ("mask", Icon.brush, "Correct the mask of the photo that is looked through"),
)
TOGGLE_ITEMS = (
    ("wireframe", Icon.wire, "Wireframe"),
    ("normals", Icon.normals, "Vertex normals"),
    ("clipping", Icon.clipping, "Mark clipped pixels: red too bright, blue black"),
    ("inspector", Icon.inspect, "Pixel inspector"),
    ("histogram", Icon.histogram, "Histogram"),
)
MEANINGS: dict[Show, str] = {
    "direction": "x y z  →  red green blue, −1 … 1",
    "position": "x y z  →  red green blue, over the scene's box",
    "uv": "u  →  red,  v  →  green, 0 … 1",
    "number": "a colour for each number",
}
MAP_TITLES = ("Own look", *(name.capitalize() for name in COLORMAPS))


def draw(state: AppState, at: ImVec2, room: float) -> None:
    """The column, in `room` pixels of height; what has no room is in the menus."""
    count = int(room // px(BUTTON))
    draw_list = imgui.get_window_draw_list()
    items = [(*item, True) for item in TOOL_ITEMS] + [(*item, False) for item in TOGGLE_ITEMS]
    items = items[: max(0, count)]
    if not items:
        return
    gap = px(6) if len(items) > len(TOOL_ITEMS) else 0
    foot = at.y + len(items) * px(BUTTON) + gap
    draw_list.add_rect_filled(at, ImVec2(at.x + px(BUTTON), foot), u32(roles().panel, 0.92), px(4))
    y = at.y
    imgui.push_style_var(imgui.StyleVar_.frame_padding, ImVec2(0, imgui.get_style().frame_padding.y))
    for name, icon, hint, is_tool in items:
        if name == TOGGLE_ITEMS[0][0]:
            y += gap
        active = state.view.tool == name if is_tool else bool(getattr(state.view, name))
        imgui.set_cursor_screen_pos(ImVec2(at.x, y))
        kind = "tool" if is_tool else "toggle"
        if _button(icon, f"tool_{name}", actions.tip(hint, kind, name), active):
            state.act(kind, name)
        y += px(BUTTON)
    imgui.pop_style_var()


def _button(icon: str, id: str, hint: str, active: bool) -> bool:
    tint = mix(roles().control, roles().accent, 0.28)
    imgui.push_style_color(imgui.Col_.button, vec(tint) if active else vec(0, 0))
    imgui.push_style_color(imgui.Col_.text, vec(roles().accent if active else roles().muted))
    pressed = imgui.button(f"{icon}###{id}", ImVec2(px(BUTTON), px(BUTTON)))
    imgui.pop_style_color(2)
    w.tooltip(hint)
    return pressed


def draw_channel_legend(panel: ViewportPanel, at: ImVec2) -> float:
    """What the colours of the shown channel mean, above `at`; the height taken."""
    state = panel.state
    name = state.view.aov if state.view.aov in state.channels else "color"
    channel = CHANNELS[name]
    if name == "color":
        return 0.0
    if channel.show not in ("unit", "depth"):
        meaning = MEANINGS.get(channel.show, "")
        return _plate(f"{channel.title}    {meaning}".strip(), at)
    height, bar = px(26), px(110)
    low = ImVec2(at.x, at.y - height)
    title = imgui.calc_text_size(channel.title).x
    draw = imgui.get_window_draw_list()
    field, pick = px(58), px(92)
    total = title + bar + 2 * field + pick + px(56)
    draw.add_rect_filled(low, ImVec2(low.x + total, at.y), u32(roles().window, 0.8), px(4))
    draw.add_text(ImVec2(low.x + px(8), low.y + px(5)), u32(roles().text), channel.title)
    start, end = panel.gl.channel_range()
    x = low.x + px(14) + title
    imgui.push_style_color(imgui.Col_.frame_bg, vec(roles().panel, 0))
    first = _bound("##aov_low", start, x, low.y, field)
    x += field + px(4)
    shown = state.view.aov_map or (DEPTH_MAP if channel.show == "depth" else "gray")
    ends = (x + bar, x) if channel.show == "depth" else (x, x + bar)
    gradient(ImVec2(ends[0], low.y + px(8)), ImVec2(ends[1], low.y + px(18)), shown)
    x += bar + px(4)
    last = _bound("##aov_high", end, x, low.y, field)
    if first is not None or last is not None:
        start, end = start if first is None else first, end if last is None else last
        state.view.aov_range = (min(start, end), max(start, end))
    imgui.set_cursor_screen_pos(ImVec2(x + field + px(6), low.y + px(1)))
    imgui.set_next_item_width(pick)
    chosen = w.combo("##aov_map", state.view.aov_map, ("", *COLORMAPS), MAP_TITLES)
    w.tooltip("Colour map")
    if chosen is not None:
        state.view.aov_map = chosen
    imgui.pop_style_color()
    return height + px(6)


def _bound(id: str, value: float, x: float, y: float, width: float) -> float | None:
    imgui.set_cursor_screen_pos(ImVec2(x, y + px(1)))
    moved = w.drag(id, value, speed=max(abs(value), 0.1) * 0.005, fmt="%.3g", width=width)
    w.tooltip("Drag, or double click to type; R shows all of the range again")
    return moved


def _plate(words: str, at: ImVec2) -> float:
    height = imgui.get_font_size() + px(8)
    chip(words, ImVec2(at.x, at.y - height))
    return height + px(6)
