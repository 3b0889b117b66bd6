"""Photos: thumbnails with the error of each as a thin bar; a click looks through the camera."""

from __future__ import annotations

from imgui_bundle import ImVec2, imgui

from studio.ui import widgets as w
from studio.ui.state import AppState
from studio.ui.theme import Icon, mix, px, roles, u32
from studio.ui.thumbnails import Thumbnails

TILE = 84.0
"""Smallest width of a thumbnail; as many columns as fit."""

BAD_ERROR = 0.06
"""Mean error (sRGB) above which the bar turns amber: a visible difference over the whole object."""

FULL_ERROR = 0.12
"""Error that fills the bar."""


def draw(state: AppState, thumbnails: Thumbnails) -> None:
    """The panel's body."""
    photos = state.photos
    missing = state.document.missing
    if photos is None and missing is not None:
        words = f"{missing.described} are not where the project left them: {missing.source}"
        if w.empty(Icon.photos, words, "Find photos…", "find_photos"):
            state.act("find_photos")
        return
    if photos is None or not photos.photos:
        if w.empty(Icon.photos, "Drop a folder of photos with cameras here.", "Open photos…", "open_photos"):
            state.act("open_photos")
        return
    thumbnails.request(photos)
    order = list(range(len(photos.photos)))
    if state.view.worst_first:
        order.sort(key=lambda i: -(state.view_error(photos.photos[i].name) or 0.0))
    _header(state, len(order))
    gap = px(6)
    space = imgui.get_content_region_avail().x
    columns = max(1, int((space + gap) // (px(TILE) + gap)))
    width = (space - gap * (columns - 1)) / columns
    camera = photos.photos[0].camera
    height = width * min(max(camera.height / camera.width, 0.5), 1.0)
    for place, index in enumerate(order):
        if place % columns:
            imgui.same_line(0, gap)
        _tile(state, thumbnails, index, ImVec2(width, height + px(8)), height)


def _header(state: AppState, count: int) -> None:
    """How many there are, and the sort toggle once there is something to sort by."""
    imgui.align_text_to_frame_padding()
    w.muted(f"{count} photos")
    if state.run.snapshot is not None and state.run.snapshot.view_errors:
        imgui.same_line(imgui.get_content_region_avail().x - px(20))
        hint = "In order" if state.view.worst_first else "Worst first"
        if w.quiet_button(Icon.sort, "worst_first", hint, state.view.worst_first):
            state.act("toggle", "worst_first")


def _tile(state: AppState, thumbnails: Thumbnails, index: int, size: ImVec2, height: float) -> None:
    photos = state.photos
    assert photos is not None
    photo = photos.photos[index]
    start = imgui.get_cursor_screen_pos()
    pressed = imgui.invisible_button(f"photo{index}", size)
    if not imgui.is_item_visible():
        return
    hovered = imgui.is_item_hovered()
    draw = imgui.get_window_draw_list()
    end = ImVec2(start.x + size.x, start.y + height)
    texture = thumbnails.get(index)
    draw.add_rect_filled(start, end, u32(roles().window), px(4))
    if texture is not None:
        top, bottom = thumbnails.crop(index, size.x / height)
        draw.add_image_rounded(imgui.ImTextureRef(texture), start, end, top, bottom, 0xFFFFFFFF, px(4))
    if state.view.photo == index:
        draw.add_rect(start, end, u32(roles().accent), px(4), px(2))
    elif hovered:
        draw.add_rect(start, end, u32(roles().muted, 0.7), px(4), px(1))
    error = state.view_error(photo.name)
    _error_bar(draw, start, end, error)
    if pressed:
        state.act("look_through", index)
    if hovered:
        shown = f"\nmean error {error:.3f}" if error is not None else ""
        w.tooltip(f"{photo.name}\n{photo.camera.width} × {photo.camera.height} px{shown}")


def _error_bar(draw: imgui.ImDrawList, start: ImVec2, end: ImVec2, error: float | None) -> None:
    low, high = ImVec2(start.x, end.y + px(3)), ImVec2(end.x, end.y + px(6))
    draw.add_rect_filled(low, high, u32(roles().control), px(1.5))
    if error is None:
        return
    color = roles().warn if error > BAD_ERROR else mix(roles().accent, roles().control, 0.15)
    share = min(max(error / FULL_ERROR, 0.03), 1.0)
    draw.add_rect_filled(low, ImVec2(low.x + (high.x - low.x) * share, high.y), u32(color), px(1.5))
