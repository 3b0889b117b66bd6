"""Dialogs that wait for an answer: what becomes of unsaved work, and work of a session that crashed."""

from __future__ import annotations

import time

from imgui_bundle import ImVec2, imgui

from studio.ui import widgets as w
from studio.ui.panels import overlays
from studio.ui.pictures import Pictures
from studio.ui.recovery import Recovery
from studio.ui.state import AppState, Question
from studio.ui.theme import Icon, px, roles, u32

QUESTION, RECOVERY = "Question", "Recovery"
_WIDTH = 440


def draw(state: AppState, pictures: Pictures) -> None:
    """The one that is open, if any; a question comes before an offer."""
    if state.question is not None:
        _question(state, state.question)
    elif state.recoveries and state.ready and not state.recovery_put_off:
        _recovery(state, pictures)


def _begin(title: str, width: float) -> bool:
    """A dialog in the middle that only its buttons and Esc close."""
    if not imgui.is_popup_open(title):
        imgui.open_popup(title)
    center = imgui.get_main_viewport().get_center()
    imgui.set_next_window_pos(center, imgui.Cond_.always, ImVec2(0.5, 0.5))
    wide = min(px(width), imgui.get_main_viewport().size.x - px(16))
    imgui.set_next_window_size_constraints(ImVec2(wide, 0), ImVec2(wide, imgui.get_main_viewport().size.y))
    imgui.push_style_var(imgui.StyleVar_.window_padding, ImVec2(px(20), px(16)))
    flags = imgui.WindowFlags_.no_title_bar | imgui.WindowFlags_.always_auto_resize
    flags |= imgui.WindowFlags_.no_move | imgui.WindowFlags_.no_saved_settings
    shown = imgui.begin_popup_modal(title, None, flags)[0]
    imgui.pop_style_var()
    return bool(shown)


def _escaped() -> bool:
    return bool(imgui.is_key_pressed(imgui.Key.escape, False))


def _question(state: AppState, question: Question) -> None:
    if not _begin(QUESTION, _WIDTH):
        return
    overlays.heading(question.title)
    w.wrapped(question.text, roles().muted)
    w.spacer(10)
    chosen = None
    entered = imgui.is_key_pressed(imgui.Key.enter, False) or imgui.is_key_pressed(
        imgui.Key.keypad_enter, False
    )
    titles = [*(choice.title for choice in question.choices), "Cancel"]
    widths = [imgui.calc_text_size(title).x + px(36) for title in titles]
    gap = px(8)
    total = sum(widths) + gap * (len(widths) - 1)
    imgui.set_cursor_pos_x(imgui.get_window_width() - px(20) - total)
    # The main choice stands at the right, where the eye ends; Cancel at the left of it.
    order = [
        *reversed([c for c in question.choices if not c.main]),
        None,
        *(c for c in question.choices if c.main),
    ]
    for i, choice in enumerate(order):
        if i:
            imgui.same_line(0, gap)
        title = "Cancel" if choice is None else choice.title
        width = imgui.calc_text_size(title).x + px(36)
        if choice is None:
            if imgui.button(f"{title}###cancel", ImVec2(width, 0)) or _escaped():
                _close(state)
                imgui.end_popup()
                return
        elif choice.main:
            if w.accent_button(title, "main", width, 0, True) or entered:
                chosen = choice
        elif imgui.button(f"{title}###{title}", ImVec2(width, 0)):
            chosen = choice
    if chosen is not None:
        _close(state)
    imgui.end_popup()
    if chosen is not None:
        chosen.then()


def _close(state: AppState) -> None:
    state.question = None
    imgui.close_current_popup()


def _recovery(state: AppState, pictures: Pictures) -> None:
    if not _begin(RECOVERY, 540):
        return
    overlays.heading("Recover unsaved work?")
    one = len(state.recoveries) == 1
    text = "The studio ended before this was saved." if one else "The studio ended before these were saved."
    w.wrapped(text, roles().muted)
    w.spacer(8)
    for i, recovery in enumerate(list(state.recoveries)):
        imgui.push_id(i)
        _row(state, pictures, recovery)
        imgui.pop_id()
    w.spacer(6)
    imgui.set_cursor_pos_x(imgui.get_window_width() - px(20) - px(90))
    if imgui.button("Later###later", ImVec2(px(90), 0)) or _escaped():
        state.recovery_put_off = True
        imgui.close_current_popup()
    w.tooltip("It stays; the next start and the welcome page offer it again.")
    if not state.recoveries or state.question is not None:
        imgui.close_current_popup()
    imgui.end_popup()


def _row(state: AppState, pictures: Pictures, recovery: Recovery) -> None:
    """Picture, what and when, and the two buttons."""
    start, height = imgui.get_cursor_screen_pos(), px(96)
    picture(pictures, str(recovery.folder), recovery.summary.thumbnail, ImVec2(px(144), height))
    imgui.set_cursor_screen_pos(ImVec2(start.x + px(160), start.y))
    imgui.begin_group()
    w.text(recovery.summary.name)
    w.muted(ago(recovery.summary.saved))
    w.muted(contents(recovery))
    imgui.set_cursor_screen_pos(ImVec2(start.x + px(160), start.y + height - imgui.get_frame_height()))
    if w.accent_button("Recover", "recover", px(110), 0, not state.jobs.running):
        state.act("recover", recovery)
    imgui.same_line(0, px(8))
    if imgui.button("Discard###discard", ImVec2(px(90), 0)):
        state.act("discard", recovery)
    w.tooltip("Remove it for good")
    imgui.end_group()
    imgui.set_cursor_screen_pos(ImVec2(start.x, start.y + height + px(10)))
    imgui.dummy(ImVec2(0, 0))


def contents(recovery: Recovery) -> str:
    """What is in it, e.g. "5 120 triangles, 24 photos, step 300"."""
    found = recovery.summary
    parts = [f"{found.triangles:,} triangles".replace(",", " ")]
    parts += [f"{found.photos} photos"] if found.photos else []
    parts += [f"step {found.step}"] if found.step else []
    return ", ".join(parts)


def ago(then: float, now: float | None = None) -> str:
    """A time in words, e.g. "4 minutes ago" or "14 March 2025, 16:20"."""
    passed = (time.time() if now is None else now) - then
    if passed < 90:
        return "a moment ago"
    if passed < 5400:
        return f"{round(passed / 60)} minutes ago"
    moment = time.localtime(then)
    if passed < 43200:
        return f"at {time.strftime('%H:%M', moment)}"
    return f"{moment.tm_mday} {time.strftime('%B %Y, %H:%M', moment)}"


def picture(pictures: Pictures, key: str, data: bytes | None, size: ImVec2) -> None:
    """A picture that fills a frame of this size; an icon where there is none."""
    low = imgui.get_cursor_screen_pos()
    high = ImVec2(low.x + size.x, low.y + size.y)
    imgui.dummy(size)
    draw_list = imgui.get_window_draw_list()
    found = None if data is None else pictures.get(key, data, size.x / size.y)
    if found is None:
        draw_list.add_rect_filled(low, high, u32(roles().window), px(4))
        half = imgui.calc_text_size(Icon.mesh)
        at = ImVec2((low.x + high.x - half.x) / 2, (low.y + high.y - half.y) / 2)
        draw_list.add_text(at, u32(roles().muted), Icon.mesh)
        return
    name, uv_low, uv_high = found
    draw_list.add_image_rounded(imgui.ImTextureRef(name), low, high, uv_low, uv_high, 0xFFFFFFFF, px(4))
