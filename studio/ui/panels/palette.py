"""The command palette and the sheet of shortcuts: the table of actions, to search and to read."""

from __future__ import annotations

from imgui_bundle import ImVec2, imgui

from studio.ui import catalog, theme
from studio.ui import widgets as w
from studio.ui.action import Action
from studio.ui.panels.overlays import heading, modal
from studio.ui.state import AppState
from studio.ui.theme import px, roles, u32

ROWS = 12
"""Commands that show at once; the rest is a turn of the wheel away."""

ROW = 26.0

_MOUSE = (
    ("Orbit", "Left drag"),
    ("Pan", "Middle drag, Shift + left drag"),
    ("Zoom", "Wheel, towards the cursor"),
    ("Set pivot", "Double click"),
    ("Fly", "Right button + W A S D Q E"),
    ("Select", "Click an object or a light"),
    ("Look through", "Click a camera or a photo"),
    ("Handles", "M, Shift+R, Shift+S; Ctrl snaps"),
    ("Channels", "1 … 8"),
    ("Type a value", "Ctrl + click on a slider"),
    ("Reset a value", "Double click on its name"),
)


class Palette:
    """What was typed, and which of the commands found is chosen."""

    def __init__(self) -> None:
        self._text = ""
        self._chosen = 0
        self._moved = False

    def draw(self, state: AppState) -> None:
        """Open it if somebody asked for it, and draw it while it is open."""
        if state.view.palette_open:
            imgui.open_popup("Commands")
            state.view.palette_open = False
            self._text, self._chosen = "", 0
        if not modal("Commands", 480):
            return
        if imgui.is_window_appearing():
            imgui.set_keyboard_focus_here()
        imgui.set_next_item_width(-1)
        before = self._text
        entered, self._text = imgui.input_text_with_hint(
            "##find", "Type a command", self._text, imgui.InputTextFlags_.enter_returns_true
        )
        found = catalog.matching(state, self._text)
        if self._text != before:
            self._chosen, self._moved = 0, True
        self._step(len(found))
        if not found:
            w.spacer(4)
            w.muted("No command of that name can be given now.")
        pressed = self._list(found)
        if entered and found:
            pressed = found[self._chosen][1]
        if pressed is not None:
            state.act(pressed.name, *pressed.args)
        if pressed is not None or imgui.is_key_pressed(imgui.Key.escape, False):
            imgui.close_current_popup()  # at once: the first Esc would only leave the text
        imgui.end_popup()

    def _step(self, count: int) -> None:
        """Arrow keys move the choice."""
        by = int(imgui.is_key_pressed(imgui.Key.down_arrow)) - int(imgui.is_key_pressed(imgui.Key.up_arrow))
        if count and by:
            self._chosen, self._moved = (self._chosen + by) % count, True
        self._chosen = min(self._chosen, max(count - 1, 0))

    def _list(self, found: list[tuple[str, Action]]) -> Action | None:
        """The commands; the one that was clicked, or None."""
        pressed = None
        height = px(ROW) * min(ROWS, len(found))
        imgui.push_style_var(imgui.StyleVar_.item_spacing, ImVec2(px(8), 0))
        if found and imgui.begin_child("found", ImVec2(0, height)):
            for i, (group, action) in enumerate(found):
                if self._row(i, group, action):
                    pressed = action
            self._moved = False
        if found:
            imgui.end_child()
        imgui.pop_style_var()
        return pressed

    def _row(self, i: int, group: str, action: Action) -> bool:
        start, width = imgui.get_cursor_screen_pos(), imgui.get_content_region_avail().x
        pressed = imgui.selectable(f"##{action.title}{i}", i == self._chosen, 0, ImVec2(0, px(ROW)))[0]
        if i == self._chosen and self._moved:
            imgui.set_scroll_here_y(0.5)
        draw = imgui.get_window_draw_list()
        y = start.y + (px(ROW) - imgui.get_font_size()) / 2
        muted = u32(roles().muted)
        draw.add_text(ImVec2(start.x + px(8), y), muted, action.icon or "")
        draw.add_text(ImVec2(start.x + px(34), y), u32(roles().text), action.title)
        where = f"{group} · {action.under}" if action.under else group
        after = start.x + px(34) + imgui.calc_text_size(action.title).x + px(12)
        draw.add_text(ImVec2(after, y), u32(roles().muted, 0.7), where)
        keys = imgui.calc_text_size(action.shown).x
        draw.add_text(ImVec2(start.x + width - keys - px(8), y), muted, action.shown)
        return bool(pressed)


Group = tuple[str, tuple[tuple[str, str], ...]]
"""A heading with (what, keys) below it."""


def keyed(state: AppState) -> list[Group]:
    """(menu, (title, keys) of every action that has some)."""
    out = []
    for group, items in catalog.groups(state):
        rows = tuple((a.title.rstrip("…"), a.shown) for a in items if a.shown and a.under != "Channel")
        if rows:
            out.append((group, rows))
    return out


def draw_shortcuts(state: AppState) -> None:
    """Open the sheet if somebody asked for it, and draw it while it is open."""
    if state.view.help_open:
        imgui.open_popup("Shortcuts")
        state.view.help_open = False
    if not modal("Shortcuts", 1040):
        return
    heading("Shortcuts")
    if imgui.begin_table("keys", 3, imgui.TableFlags_.sizing_stretch_same, ImVec2(px(1000), 0)):
        for column in columns([("Mouse", _MOUSE), *keyed(state)], 3):
            imgui.table_next_column()
            for group, rows in column:
                _key_group(group, rows)
        imgui.end_table()
    imgui.end_popup()


def columns(entries: list[Group], count: int) -> list[list[Group]]:
    """The groups in order, in columns of about the same length."""
    out: list[list[Group]] = [[]]
    left = sum(len(rows) + 2 for _, rows in entries)
    filled, share = 0.0, left / count
    for entry in entries:
        lines = len(entry[1]) + 2
        if out[-1] and len(out) < count and filled + lines / 2 > share:
            out.append([])
            filled, share = 0.0, left / (count - len(out) + 1)
        out[-1].append(entry)
        filled, left = filled + lines, left - lines
    return out


def _key_group(group: str, rows: tuple[tuple[str, str], ...]) -> None:
    theme.bold()
    w.text(group)
    imgui.pop_font()
    left = imgui.get_cursor_pos_x()
    for title, keys in rows:
        w.muted(title)
        imgui.same_line()
        imgui.set_cursor_pos_x(left + px(128))
        w.text(keys)
    w.spacer(6)
