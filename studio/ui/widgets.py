"""The controls every panel is made of: label left, control right, all alike.

Controls return the new value or None, so that a panel reads
`if (value := slider(...)) is not None: send(...)`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from imgui_bundle import ImVec2, ImVec4, imgui

from studio.ui import theme
from studio.ui.theme import LABEL_COLUMN, Icon, mix, px, roles, u32, vec

_open_sections: dict[str, bool] = {}


def reset() -> None:
    """Forget which sections are open, as a new window does."""
    _open_sections.clear()


def spacer(pixels: float) -> None:
    imgui.dummy(ImVec2(0, px(pixels)))


def text(string: str, color: int | None = None) -> None:
    """Unformatted text, so that a % in a file name does no harm."""
    imgui.push_style_color(imgui.Col_.text, vec(roles().text if color is None else color))
    imgui.text_unformatted(string)
    imgui.pop_style_color()


def muted(string: str) -> None:
    text(string, roles().muted)


def wrapped(string: str, color: int | None = None) -> None:
    """Text that wraps at the panel's edge."""
    imgui.push_text_wrap_pos(0.0)
    text(string, color)
    imgui.pop_text_wrap_pos()


def tooltip(string: str) -> None:
    """Tooltip of the last item, wrapped, after ImGui's usual delay."""
    if string and imgui.is_item_hovered(
        imgui.HoveredFlags_.for_tooltip | imgui.HoveredFlags_.allow_when_disabled
    ):
        imgui.begin_tooltip()
        imgui.push_text_wrap_pos(px(300))
        imgui.text_unformatted(string)
        imgui.pop_text_wrap_pos()
        imgui.end_tooltip()


def section(title: str, opened: bool = True) -> bool:
    """A collapsible heading under a full-width line; True while it is open."""
    key = f"{imgui.get_id(title)}"
    is_open = _open_sections.setdefault(key, opened)
    spacer(2)
    window = imgui.get_window_pos()
    start = imgui.get_cursor_screen_pos()
    draw = imgui.get_window_draw_list()
    draw.add_line(
        ImVec2(window.x, start.y),
        ImVec2(window.x + imgui.get_window_width(), start.y),
        u32(roles().border),
        px(1),
    )
    height = px(26)
    width = imgui.get_content_region_avail().x
    if imgui.invisible_button(title, ImVec2(width, height)):
        is_open = not is_open
        _open_sections[key] = is_open
    color = roles().accent if imgui.is_item_hovered() else roles().text
    theme.bold()
    y = start.y + (height - imgui.get_font_size()) / 2
    draw.add_text(
        ImVec2(start.x + px(1), y),
        u32(roles().muted),
        Icon.caret_down if is_open else Icon.caret_right,
    )
    draw.add_text(ImVec2(start.x + px(17), y), u32(color), title)
    imgui.pop_font()
    return is_open


def label(name: str, help: str = "", changed: bool = False, moving: bool = False, delta: str = "") -> bool:
    """The left column: name, a dot if changed, a delta mark if the optimizer moves it.

    The cursor is left at the control column with the rest of the line as item width.
    Returns True if the user asked for the default (double click on the name).
    """
    start = imgui.get_cursor_pos()
    marks = (14 if changed else 0) + (16 if moving else 0)
    shown = elide(name, px(LABEL_COLUMN - 6 - marks))
    imgui.align_text_to_frame_padding()
    text(shown)
    reset = imgui.is_item_hovered() and imgui.is_mouse_double_clicked(0)
    hint = f"{name}\n{help}" if shown != name else help
    tooltip((hint + ("\nDouble click resets it." if changed else "")).strip())
    low, high = imgui.get_item_rect_min(), imgui.get_item_rect_max()
    draw = imgui.get_window_draw_list()
    x = high.x + px(7)
    if changed:
        draw.add_circle_filled(ImVec2(x, (low.y + high.y) / 2), px(2.5), u32(roles().accent))
        x += px(6)
    if moving:
        draw.add_text(ImVec2(x, low.y), u32(roles().good), "Δ " + delta if delta else "Δ")
    imgui.set_cursor_pos(ImVec2(start.x + px(LABEL_COLUMN), start.y))
    imgui.set_next_item_width(-1)
    return reset


def elide(string: str, width: float) -> str:
    """The text, shortened with an ellipsis to fit a width."""
    if imgui.calc_text_size(string).x <= width:
        return string
    while len(string) > 1 and imgui.calc_text_size(string + "…").x > width:
        string = string[:-1]
    return string.rstrip() + "…"


def _bar(low: ImVec2, high: ImVec2, fraction: float, hovered: bool) -> None:
    draw = imgui.get_window_draw_list()
    radius = imgui.get_style().frame_rounding
    draw.add_rect_filled(low, high, u32(roles().hover if hovered else roles().control), radius)
    if fraction > 0:
        end = ImVec2(low.x + (high.x - low.x) * min(fraction, 1.0), high.y)
        fill = mix(roles().control, roles().accent, 0.42 if hovered else 0.34)
        whole = end.x >= high.x - radius
        flags = imgui.ImDrawFlags_.round_all if whole else imgui.ImDrawFlags_.round_left
        draw.add_rect_filled(low, end, u32(fill), radius, flags)


def _fraction(value: float, low: float, high: float, log: bool) -> float:
    if not high > low:
        return 0.0
    if log and low > 0:
        return math.log(max(value, low) / low) / math.log(high / low)
    return (value - low) / (high - low)


def slider(
    id: str,
    value: float,
    low: float,
    high: float,
    fmt: str = "%.3f",
    log: bool = False,
    width: float | None = None,
) -> float | None:
    """A filled bar; Ctrl+click types a value."""
    width = imgui.calc_item_width() if width is None else width
    start = imgui.get_cursor_screen_pos()
    end = ImVec2(start.x + width, start.y + imgui.get_frame_height())
    hovered = imgui.is_mouse_hovering_rect(start, end) and imgui.is_window_hovered()
    _bar(start, end, _fraction(value, low, high, log), hovered)
    for color in ("frame_bg", "frame_bg_hovered", "frame_bg_active", "slider_grab", "slider_grab_active"):
        imgui.push_style_color(getattr(imgui.Col_, color), vec(0, 0))
    imgui.set_next_item_width(width)
    flags = imgui.SliderFlags_.logarithmic if log else imgui.SliderFlags_.none
    changed, result = imgui.slider_float(id, value, low, high, fmt, flags | imgui.SliderFlags_.always_clamp)
    imgui.pop_style_color(5)
    return result if changed else None


def drag(
    id: str,
    value: float,
    low: float = -math.inf,
    high: float = math.inf,
    speed: float = 0.01,
    fmt: str = "%.3f",
    width: float | None = None,
) -> float | None:
    """A number to drag or, after a double click, to type."""
    if width is not None:
        imgui.set_next_item_width(width)
    big = 3.0e38  # ImGui wants finite bounds to clamp to
    low, high = max(low, -big), min(high, big)
    flags = imgui.SliderFlags_.always_clamp | imgui.SliderFlags_.no_round_to_format
    changed, result = imgui.drag_float(id, value, speed, low, high, fmt, flags)
    return result if changed else None


def drag_int(
    id: str, value: int, low: int, high: int, speed: float = 0.1, fmt: str = "%d", width: float | None = None
) -> int | None:
    if width is not None:
        imgui.set_next_item_width(width)
    changed, result = imgui.drag_int(id, value, speed, low, high, fmt, imgui.SliderFlags_.always_clamp)
    return result if changed else None


def combo(id: str, current: str, items: Sequence[str], titles: Sequence[str] | None = None) -> str | None:
    """A drop-down with a small chevron; returns the chosen item."""
    titles = items if titles is None else titles
    chosen = None
    if begin_combo(id, titles[items.index(current)] if current in items else current):
        for item, title in zip(items, titles):
            if imgui.selectable(title, item == current)[0]:
                chosen = item
        imgui.end_combo()
    return chosen


def begin_combo(id: str, shown: str) -> bool:
    """A drop-down of one's own; if it is open, imgui.end_combo() ends it."""
    width = imgui.calc_item_width()
    height = imgui.get_frame_height()
    start = imgui.get_cursor_screen_pos()
    draw = imgui.get_window_draw_list()
    imgui.set_next_item_width(width)
    opened = imgui.begin_combo(id, shown, imgui.ComboFlags_.no_arrow_button | imgui.ComboFlags_.height_large)
    size = 0.72 * theme.FONT_SIZE  # smaller than text: a hint only
    imgui.push_font(None, size)
    y = start.y + (height - imgui.get_font_size()) / 2
    draw.add_text(ImVec2(start.x + width - px(19), y), u32(roles().muted), Icon.chevron)
    imgui.pop_font()
    return opened


def checkbox(id: str, value: bool) -> bool | None:
    """A box of text height instead of frame height."""
    pad = px(2)
    y = imgui.get_cursor_pos_y()
    imgui.set_cursor_pos_y(y + imgui.get_style().frame_padding.y - pad)
    imgui.push_style_var(imgui.StyleVar_.frame_padding, ImVec2(pad, pad))
    if value:
        for color in ("frame_bg", "frame_bg_hovered", "frame_bg_active"):
            imgui.push_style_color(getattr(imgui.Col_, color), vec(roles().accent))
    changed, result = imgui.checkbox(id, value)
    if value:
        imgui.pop_style_color(3)
    imgui.pop_style_var()
    return result if changed else None


def icon_button(
    icon: str, id: str, hint: str, enabled: bool = True, active: bool = False, width: float = 34
) -> bool:
    """A square button with an icon; the tooltip says what it does."""
    imgui.begin_disabled(not enabled)
    if active:
        imgui.push_style_color(imgui.Col_.button, vec(mix(roles().control, roles().accent, 0.35)))
        imgui.push_style_color(imgui.Col_.text, vec(roles().accent))
    pressed = imgui.button(f"{icon}###{id}", ImVec2(px(width), 0))
    if active:
        imgui.pop_style_color(2)
    imgui.end_disabled()
    tooltip(hint)
    return pressed


def quiet_button(icon: str, id: str, hint: str, active: bool = False) -> bool:
    """An icon without a frame until hovered."""
    imgui.push_style_color(imgui.Col_.button, vec(0, 0))
    imgui.push_style_color(imgui.Col_.text, vec(roles().accent if active else roles().muted))
    pressed = imgui.button(f"{icon}###{id}")
    imgui.pop_style_color(2)
    tooltip(hint)
    return pressed


def accent_button(title: str, id: str, width: float, height: float, enabled: bool = True) -> bool:
    """The one button of a panel that matters most."""
    r = roles()
    imgui.begin_disabled(not enabled)
    imgui.push_style_color(imgui.Col_.button, vec(r.accent))
    imgui.push_style_color(imgui.Col_.button_hovered, vec(mix(r.accent, 0xFFFFFF, 0.15)))
    imgui.push_style_color(imgui.Col_.button_active, vec(mix(r.accent, 0x000000, 0.15)))
    imgui.push_style_color(imgui.Col_.text, vec(r.on_accent))
    theme.bold()
    pressed = imgui.button(f"{title}###{id}", ImVec2(width, height))
    imgui.pop_font()
    imgui.pop_style_color(4)
    imgui.end_disabled()
    return pressed


SEGMENT_PADDING = 9.0


def segmented_width(items: Sequence[tuple[str, str, str]]) -> float:
    """What `segmented` takes."""
    return float(sum(imgui.calc_text_size(title).x + 2 * px(SEGMENT_PADDING) for _, title, _ in items))


def segmented(id: str, current: str, items: Sequence[tuple[str, str, str]]) -> str | None:
    """Buttons of which one is chosen; items are (value, title, tooltip)."""
    r = roles()
    pad, chosen = px(SEGMENT_PADDING), None
    start = imgui.get_cursor_screen_pos()
    height = imgui.get_frame_height()
    width = segmented_width(items)
    draw = imgui.get_window_draw_list()
    end = ImVec2(start.x + width, start.y + height)
    draw.add_rect_filled(start, end, u32(r.panel, 0.92), px(4))
    imgui.push_style_var(imgui.StyleVar_.item_spacing, ImVec2(0, 0))
    imgui.push_style_var(imgui.StyleVar_.frame_padding, ImVec2(pad, imgui.get_style().frame_padding.y))
    for i, (value, title, hint) in enumerate(items):
        if i:
            imgui.same_line()
        on = value == current
        tint = mix(r.control, r.accent, 0.28)
        imgui.push_style_color(imgui.Col_.button, vec(tint) if on else vec(0, 0))
        imgui.push_style_color(imgui.Col_.button_hovered, vec(tint if on else r.hover))
        imgui.push_style_color(imgui.Col_.text, vec(mix(r.accent, r.text, 0.25) if on else r.muted))
        if imgui.button(f"{title}###{id}_{value}"):
            chosen = value
        imgui.pop_style_color(3)
        tooltip(hint)
    imgui.pop_style_var(2)
    return chosen


def color(id: str, value: Sequence[float]) -> tuple[float, float, float] | None:
    """A linear colour as a wide swatch; a click opens a picker in the sRGB a person sees."""
    shown = [_encode(v) for v in value]
    top = max(1.0, *shown)  # brighter than white: the swatch keeps the hue, the numbers the value
    swatch = ImVec4(shown[0] / top, shown[1] / top, shown[2] / top, 1.0)
    size = ImVec2(imgui.calc_item_width(), imgui.get_frame_height())
    start = imgui.get_cursor_screen_pos()
    pressed = imgui.color_button(id, swatch, imgui.ColorEditFlags_.no_tooltip, size)
    luma = 0.3 * swatch.x + 0.59 * swatch.y + 0.11 * swatch.z
    words = "  ".join(f"{v:.2f}" for v in value)
    at = ImVec2(start.x + px(9), start.y + imgui.get_style().frame_padding.y)
    imgui.get_window_draw_list().add_text(at, u32(0x000000 if luma > 0.5 else 0xFFFFFF, 0.85), words)
    popup = f"{id}picker"
    if pressed:
        imgui.open_popup(popup)
    result = None
    if imgui.begin_popup(popup):
        flags = imgui.ColorEditFlags_.float | imgui.ColorEditFlags_.no_side_preview
        changed, picked = imgui.color_picker3("##pick", shown, flags)
        if changed:
            result = (_decode(picked[0]), _decode(picked[1]), _decode(picked[2]))
        imgui.end_popup()
    return result


def _encode(linear: float) -> float:
    """IEC 61966-2-1."""
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055


def _decode(encoded: float) -> float:
    return encoded / 12.92 if encoded <= 0.04045 else ((encoded + 0.055) / 1.055) ** 2.4


def empty(icon: str, message: str, button: str = "", id: str = "empty") -> bool:
    """What belongs into an empty panel, with the button that brings it; True if pressed."""
    space = imgui.get_content_region_avail()
    spacer(min(24.0, max(space.y / px(1) - 100, 0) / 3))
    _centered(icon, space.x, roles().muted, size=22)
    imgui.push_text_wrap_pos(imgui.get_cursor_pos_x() + space.x)
    wrapped_width = min(imgui.calc_text_size(message).x, space.x)
    imgui.set_cursor_pos_x(imgui.get_cursor_pos_x() + (space.x - wrapped_width) / 2)
    text(message, roles().muted)
    imgui.pop_text_wrap_pos()
    if not button:
        return False
    spacer(2)
    width = imgui.calc_text_size(button).x + px(24)
    imgui.set_cursor_pos_x(imgui.get_cursor_pos_x() + max(0.0, (space.x - width) / 2))
    return imgui.button(f"{button}###{id}", ImVec2(width, 0))


def _centered(string: str, width: float, color: int, size: float) -> None:
    imgui.push_font(None, size)
    extent = imgui.calc_text_size(string).x
    imgui.set_cursor_pos_x(imgui.get_cursor_pos_x() + max(0.0, (width - extent) / 2))
    text(string, color)
    imgui.pop_font()
