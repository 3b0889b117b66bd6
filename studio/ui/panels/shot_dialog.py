"""The dialog of pictures: how large, of what, into what kind of file."""

from __future__ import annotations

from imgui_bundle import ImVec2, imgui

from studio.ui import widgets as w
from studio.ui.choices import LAYERS
from studio.ui.panels import taking
from studio.ui.panels.viewport import ViewportPanel
from studio.ui.pictures import Pictures
from studio.ui.shots import Shots
from studio.ui.state import AppState
from studio.ui.theme import px, roles, u32

TITLE = "Screenshot"
_PREVIEW_HEIGHT = 170
_PREVIEW = "screenshot"

_shown: list[object] = []
"""The preview whose texture there is."""


def draw(state: AppState, shots: Shots, panel: ViewportPanel, pictures: Pictures) -> None:
    """The dialog while it is open."""
    if not taking.begin(state, "picture", TITLE):
        if _shown:
            _shown.clear()
            pictures.forget(_PREVIEW)
        shots.forget()
        return
    shots.follow(panel)
    values = state.choices["picture"]
    width, height = shots.size(panel.pixels)
    _preview(shots, pictures, width / height)
    custom = ("width", "height", "locked") if values["size"] == "custom" else ()
    taking.rows(state, "picture", ("size", *custom))
    absent = [name for name in LAYERS if name not in state.channels]
    jpeg = values["format"] == "jpg"
    taking.rows(
        state,
        "picture",
        ("draw", "transparent", "samples", "format"),
        without=absent,
    )
    if jpeg:
        taking.rows(state, "picture", ("quality",))
    if values["format"] == "exr":
        _layers(state, shots)
    taking.fact("Picture", f"{width} × {height} pixels")
    taking.fact("File", "…" if shots.preview is None else taking.size_in_words(shots.preview.bytes))
    pressed = taking.buttons("Save…", possible=state.ready, copy=True)
    if pressed == "main":
        state.act("ask_screenshot")
    elif pressed == "copy":
        state.act("copy_command", "picture")
    imgui.end_popup()


def _preview(shots: Shots, pictures: Pictures, aspect: float) -> None:
    """The small picture in the middle, over squares where it is transparent."""
    room = imgui.get_content_region_avail().x
    height = min(px(_PREVIEW_HEIGHT), room / aspect, 0.22 * imgui.get_main_viewport().size.y)
    width = height * aspect
    start = imgui.get_cursor_screen_pos()
    low = ImVec2(start.x + (room - width) / 2, start.y)
    high = ImVec2(low.x + width, low.y + height)
    imgui.dummy(ImVec2(room, height))
    draw = imgui.get_window_draw_list()
    draw.add_rect_filled(low, high, u32(roles().window))
    preview = shots.preview
    if preview is None:
        return
    if _shown != [preview]:
        _shown[:] = [preview]
        pictures.forget(_PREVIEW)
    found = pictures.get(_PREVIEW, preview.picture, aspect)
    if found is not None:
        name, uv_low, uv_high = found
        if shots.values["transparent"]:
            _squares(low, high)
        draw.add_image(imgui.ImTextureRef(name), low, high, uv_low, uv_high)
    w.spacer(4)


def _squares(low: ImVec2, high: ImVec2) -> None:
    """What pictures lie on that show through."""
    draw, side = imgui.get_window_draw_list(), px(8)
    draw.add_rect_filled(low, high, u32(0x999999))
    for row in range(int((high.y - low.y) / side) + 1):
        for column in range(row % 2, int((high.x - low.x) / side) + 1, 2):
            corner = ImVec2(low.x + column * side, low.y + row * side)
            end = ImVec2(min(corner.x + side, high.x), min(corner.y + side, high.y))
            draw.add_rect_filled(corner, end, u32(0x666666))


def _layers(state: AppState, shots: Shots) -> None:
    """The channels that can be layers, as a list to tick."""
    chosen = shots.layers()
    w.label("Layers", "Channels that the file gets besides the picture.")
    shown = f"{len(chosen)} besides the picture" if chosen else "The picture alone"
    if w.begin_combo("##layers", shown):
        values = state.choices["picture"]
        for param in values.params():
            name = param.name.removeprefix("layer_")
            if param.name == name or name not in state.channels:
                continue
            changed, on = imgui.checkbox(f"{param.title}###{param.name}", values[param.name])
            if changed:
                state.act("choose", "picture", param.name, on)
        imgui.end_combo()
    w.tooltip("Channels that the file gets besides the picture: any set of them, in one file.")
