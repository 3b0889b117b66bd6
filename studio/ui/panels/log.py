"""Log: everything that was said, newest at the bottom."""

from __future__ import annotations

from imgui_bundle import imgui

from studio.ui import widgets as w
from studio.ui.state import AppState
from studio.ui.theme import LABEL_COLUMN, Icon, px, roles


def draw(state: AppState) -> None:
    """The panel's body."""
    if not state.log:
        w.empty(Icon.log, "What happens is written here.")
        return
    if w.quiet_button(Icon.copy, "copy", "Copy the log"):
        imgui.set_clipboard_text("\n".join(f"{line.clock} {line.level} {line.text}" for line in state.log))
    imgui.begin_child("lines")
    at_end = imgui.get_scroll_y() >= imgui.get_scroll_max_y() - px(4)
    colors = {"info": roles().text, "warn": roles().warn, "fail": roles().fail, "good": roles().good}
    for line in state.log:
        w.muted(line.clock)
        imgui.same_line(px(LABEL_COLUMN - 36))
        w.wrapped(line.text, colors[line.level])
    if at_end:
        imgui.set_scroll_here_y(1.0)
    imgui.end_child()
