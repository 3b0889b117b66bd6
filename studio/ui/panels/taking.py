"""What the dialogs have in common in which something to take away is chosen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from imgui_bundle import ImVec2, imgui

from studio.core.params import Param
from studio.ui import autopanel
from studio.ui import widgets as w
from studio.ui.panels import overlays
from studio.ui.state import AppState
from studio.ui.theme import Icon, px, roles

WIDTH = 440


def begin(state: AppState, name: str, title: str, width: float = WIDTH) -> bool:
    """Open the dialog if somebody asked for it; whether it is open. If so, end_popup() ends it."""
    if state.view.dialog == name:
        state.view.dialog = ""
        imgui.open_popup(title)
    if not overlays.modal(title, width):
        return False
    overlays.heading(title)
    return True


def rows(
    state: AppState,
    dialog: str,
    names: Iterable[str],
    without: Iterable[str] = (),
) -> None:
    """A labelled control for each of these choices; a change is posted.

    Args:
        without: values of a list that cannot be chosen now.
    """
    values = state.choices[dialog]
    known = {param.name: param for param in values.params()}
    for name in names:
        param = _offered(known[name], tuple(without))
        if w.label(param.title, param.help, not values.is_default(name)):
            state.act("choose", dialog, name, param.default)
        chosen = autopanel.control(param, values[name])
        if chosen is not None and chosen != values[name]:
            state.act("choose", dialog, name, chosen)


def _offered(param: Param, without: tuple[str, ...]) -> Param:
    left = [i for i, choice in enumerate(param.choices) if choice not in without]
    if len(left) == len(param.choices):
        return param
    titles = tuple(param.titles[i] for i in left) if param.titles else ()
    return replace(param, choices=tuple(param.choices[i] for i in left), titles=titles)


def fact(name: str, words: str, color: int | None = None) -> None:
    """A row that only says something."""
    w.label(name)
    imgui.align_text_to_frame_padding()
    w.wrapped(words, color)


def buttons(main: str, possible: bool = True, copy: bool = False) -> str:
    """The foot of the dialog: "main", "copy", or "" for none; Cancel and the main one close it."""
    w.spacer(8)
    pressed = ""
    if copy:
        if w.icon_button(Icon.terminal, "copy", "Copy as command: the command line that does the same"):
            pressed = "copy"
        imgui.same_line(0, px(8))
    widths = [imgui.calc_text_size(title).x + px(36) for title in ("Cancel", main)]
    imgui.set_cursor_pos_x(imgui.get_window_width() - px(20) - sum(widths) - px(8))
    if imgui.button("Cancel###cancel", ImVec2(widths[0], 0)):
        imgui.close_current_popup()
    imgui.same_line(0, px(8))
    if w.accent_button(main, "main", widths[1], 0, possible):
        pressed = "main"
        imgui.close_current_popup()
    return pressed


def size_in_words(count: float) -> str:
    """Bytes, e.g. "about 3.4 MB"."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"about {count / scale:.{1 if count < 10 * scale else 0}f} {unit}"
    return f"about {count:.0f} bytes"


def note(words: str) -> None:
    """A muted line under the choices."""
    w.spacer(2)
    w.wrapped(words, roles().muted)
