"""What compares: the pickers of both sides, the measure, its numbers and its legend."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from imgui_bundle import ImVec2, imgui

from studio.gl.colormap import DIFFERENCE_MAP, PERCEIVED_MAP, colormap
from studio.gl.options import SOURCES, Source
from studio.ui import actions
from studio.ui import widgets as w
from studio.ui.comparing import ERROR_RANGES, MAPS, TITLES
from studio.ui.state import AppState
from studio.ui.theme import Icon, mix, px, roles, u32, vec

if TYPE_CHECKING:
    from studio.ui.panels.viewport import ViewportPanel

SHORT: dict[Source, str] = {**TITLES, "photo": "Target", "diff": "Fit view", "reference": "Traced"}
MISSING: dict[Source, str] = {
    **{"photo": "Photo: open…", "effects": "Set B: make", "reference": "Path-traced: start"},
    **{"a": "Kept A: keep this", "b": "Kept B: keep this"},
}
"""What a picture is called that is made by choosing it."""

ERROR_TITLES = {
    **{"absolute": "Absolute", "squared": "Squared", "relative": "Relative"},
    **{"flip": "FLIP", "ssim": "1 − SSIM"},
}
ERROR_HELP = (
    "Absolute, squared: of sRGB values. Relative: of linear light, to the right picture.\n"
    "FLIP: what an eye sees when one is flipped to the other. 1 − SSIM: lost structure."
)


def short_titles(state: AppState) -> tuple[str, str]:
    """What the two sides are called where there is little room."""
    left, right = state.left, state.right or "photo"
    if {left, right} == {"render", "effects"}:
        return ("A", "B") if left == "render" else ("B", "A")
    return SHORT[left], SHORT[right]


def mode_items(state: AppState) -> tuple[tuple[str, str, str], ...]:
    """(mode, title, tooltip) of every way to compare."""
    left, right = short_titles(state)
    whole = TITLES[state.left].lower(), TITLES[state.right or "photo"].lower()
    target = "B" if state.right == "effects" else "T"
    return (
        ("render", left, f"{whole[0].capitalize()} alone"),
        ("target", right, f"{whole[1].capitalize()} alone  ({target})"),
        ("wipe", "Wipe", actions.tip("Both, with a divider to drag", "mode", "wipe")),
        ("split", "Split", actions.tip("The middle half of each, beside each other", "mode", "split")),
        ("side", "Side", actions.tip("All of each, side by side", "mode", "side")),
        ("difference", "Difference", actions.tip("Where they differ", "mode", "difference")),
        ("flicker", "Flicker", "One and the other in turn"),
    )


def draw_pickers(state: AppState, at: ImVec2, room: float) -> float:
    """The second line of the bar: left picture, right picture, and the measure of their difference.

    Args:
        room: pixels that there are; lists get narrower to fit.
    Returns:
        where it ends.
    """
    imgui.set_cursor_screen_pos(at)
    overlaid = state.view.truth and state.view.mode == "render"
    beside = px(36) + px(104) * (state.view.mode == "difference") + px(118) * overlaid
    width = min(px(124), max(px(72), (room - beside) / 2))
    imgui.push_style_color(imgui.Col_.frame_bg, vec(roles().panel, 0.92))
    _picker(state, "left", state.left, "Left picture", width)
    imgui.same_line(0, px(2))
    imgui.push_style_color(imgui.Col_.button, vec(roles().panel, 0.92))
    if imgui.button(f"{Icon.swap}###swap_sides"):
        state.act("swap_sides")
    imgui.pop_style_color()
    w.tooltip("Swap left and right")
    imgui.same_line(0, px(2))
    _picker(state, "right", state.right or "photo", "Right picture", width)
    if state.view.mode == "difference":
        imgui.same_line(0, px(8))
        imgui.set_next_item_width(px(96))
        kinds = tuple(ERROR_TITLES)
        chosen = w.combo("##error", state.view.error, kinds, tuple(ERROR_TITLES.values()))
        w.tooltip(ERROR_HELP)
        if chosen is not None:
            state.act("error", chosen)
    if overlaid:
        imgui.same_line(0, px(8))
        value = w.slider("##overlay", state.view.overlay, 0.0, 1.0, "photo %.2f", width=px(110))
        w.tooltip(actions.tip("How opaque the photo lies over the render", "toggle", "truth"))
        if value is not None:
            state.view.overlay = value
    imgui.pop_style_color()
    return float(imgui.get_item_rect_max().x)


def _picker(state: AppState, which: str, current: Source, hint: str, width: float) -> None:
    imgui.set_next_item_width(width)
    titles = [TITLES[s] if state.has(s) else MISSING.get(s, TITLES[s]) for s in SOURCES]
    chosen = w.combo(f"##{which}", current, SOURCES, titles)
    w.tooltip(hint)
    if chosen is not None:
        state.act("side", which, chosen)


def numbers(state: AppState, room: float) -> str:
    """How far the two pictures are apart: as much as fits into `room` pixels, the first at any rate."""
    found = state.measured
    if found is None:
        return "…"
    if math.isnan(found.mean):
        return "nothing to compare here"
    if found.more is None:
        return f"mean {found.mean:.4f}    …"
    more = found.more
    words = f"PSNR {more.psnr:.1f} dB"
    for part in (f"SSIM {more.ssim:.3f}", f"FLIP {more.flip:.3f}", f"mean {found.mean:.4f}"):
        if imgui.calc_text_size(f"{words}    {part}").x > room:
            break
        words = f"{words}    {part}"
    return words


def draw_legend(panel: ViewportPanel, at: ImVec2) -> float:
    """The colours of the error, from none to what saturates, above `at`; the height taken."""
    at = ImVec2(at.x, at.y - px(26))
    state = panel.state
    kind = state.view.error
    ready = kind not in MAPS or (panel.comparing is not None and panel.comparing.has_map)
    title = ERROR_TITLES[kind if ready else "absolute"]
    title = title if ready else f"{title} (…)"
    map_name = PERCEIVED_MAP if kind in MAPS and ready else DIFFERENCE_MAP
    bar = px(110)
    width = imgui.calc_text_size(f"{title}  0").x + bar + px(96)
    high = ImVec2(at.x + width, at.y + px(26))
    draw = imgui.get_window_draw_list()
    draw.add_rect_filled(at, high, u32(roles().window, 0.8), px(4))
    draw.add_text(ImVec2(at.x + px(8), at.y + px(5)), u32(roles().text), f"{title}  0")
    left = at.x + imgui.calc_text_size(f"{title}  0").x + px(14)
    gradient(ImVec2(left, at.y + px(8)), ImVec2(left + bar, at.y + px(18)), map_name)
    imgui.set_cursor_screen_pos(ImVec2(left + bar + px(6), at.y + px(1)))
    imgui.push_style_color(imgui.Col_.frame_bg, vec(roles().panel, 0))
    value = w.drag("##error_range", state.view.error_range, 1e-3, 10.0, 0.002, "%.3g", width=px(62))
    imgui.pop_style_color()
    w.tooltip("The error that has the brightest colour: drag it, or double click to type it")
    if value is not None:
        state.view.error_range = value
    if imgui.is_item_clicked(imgui.MouseButton_.right):
        state.view.error_range = ERROR_RANGES[kind]
    return px(32)


def gradient(low: ImVec2, high: ImVec2, name: str) -> None:
    """A colour map as a bar."""
    draw = imgui.get_window_draw_list()
    colors = colormap(name, np.linspace(0, 1, 33))
    part = (high.x - low.x) / (len(colors) - 1)
    codes = [imgui.get_color_u32((float(r), float(g), float(b), 1.0)) for r, g, b in colors]
    for i, (first, second) in enumerate(pairwise(codes)):
        start = ImVec2(low.x + i * part, low.y)
        end = ImVec2(low.x + (i + 1) * part, high.y)
        draw.add_rect_filled_multi_color(start, end, first, second, second, first)


def chip(string: str, at: ImVec2, right: bool = False, room: float = 0.0) -> None:
    """Text on a translucent plate, with `room` left free behind it."""
    size = imgui.calc_text_size(string)
    x = at.x - size.x - px(16) if right else at.x
    draw = imgui.get_window_draw_list()
    low, high = ImVec2(x, at.y), ImVec2(x + size.x + px(16) + room, at.y + size.y + px(8))
    draw.add_rect_filled(low, high, u32(roles().window, 0.8), px(4))
    draw.add_text(ImVec2(x + px(8), at.y + px(4)), u32(mix(roles().muted, roles().text, 0.4)), string)
