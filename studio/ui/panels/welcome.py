"""The welcome page: where to begin, while nothing is open or when somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from imgui_bundle import ImVec2, imgui

from studio.core.scenes import SCENES
from studio.ui import actions, theme
from studio.ui import widgets as w
from studio.ui.panels import questions
from studio.ui.pictures import Pictures
from studio.ui.state import AppState
from studio.ui.theme import Icon, mix, px, roles, u32, vec

_WIDTH, _MARGIN = 720.0, 28.0
_TILE_GAP = 12.0
_ROW = 26.0


def wanted(state: AppState) -> bool:
    """Whether the page shows: nothing is open, or it was asked for."""
    if state.view.picture_only or not state.ready:
        return False
    empty = state.scene.empty and state.photos is None and not state.run.active
    opening = bool(state.jobs.running) and any(job.title.startswith("Opening") for job in state.jobs.running)
    return state.view.welcome_open or (empty and state.document.missing is None and not opening)


def draw(state: AppState, pictures: Pictures, picture: tuple[ImVec2, ImVec2]) -> None:
    """The page in the middle of the picture (its upper left and lower right)."""
    if not wanted(state):
        return
    low, high = picture
    width = min(px(_WIDTH), high.x - low.x - px(24))
    if width < px(220):
        return
    imgui.set_next_window_pos(
        ImVec2((low.x + high.x) / 2, (low.y + high.y) / 2), imgui.Cond_.always, ImVec2(0.5, 0.5)
    )
    imgui.set_next_window_size_constraints(ImVec2(width, 0), ImVec2(width, high.y - low.y - px(24)))
    flags = imgui.WindowFlags_.no_decoration & ~imgui.WindowFlags_.no_scrollbar
    flags |= imgui.WindowFlags_.no_docking | imgui.WindowFlags_.no_saved_settings
    flags |= imgui.WindowFlags_.no_move | imgui.WindowFlags_.always_auto_resize
    imgui.push_style_color(imgui.Col_.window_bg, vec(mix(roles().panel, roles().control, 0.25)))
    imgui.push_style_var(imgui.StyleVar_.window_padding, ImVec2(px(_MARGIN), px(22)))
    imgui.push_style_var(imgui.StyleVar_.window_rounding, px(8))
    imgui.begin("Welcome", None, flags)
    _page(state, pictures, width - 2 * px(_MARGIN))
    imgui.end()
    imgui.pop_style_var(2)
    imgui.pop_style_color()


def _page(state: AppState, pictures: Pictures, width: float) -> None:
    theme.bold(22)
    w.text("Studio")
    imgui.pop_font()
    if state.view.welcome_open:
        imgui.same_line(width + px(_MARGIN) - px(20))
        if w.quiet_button(Icon.close, "close_welcome", "Close; the menu Help brings it back"):
            state.view.welcome_open = False
    w.muted("Photos in; mesh, materials and light out.")
    w.spacer(10)
    _open_buttons(state, width)
    w.spacer(10)
    _recoveries(state)
    _title("Built-in scenes")
    scenes = [a for a in actions.FILE if a.name == "open_scene"]
    across = len(scenes) if width >= px(560) else 3
    size = (width - px(_TILE_GAP) * (across - 1)) / across
    for i, action in enumerate(scenes):
        if i % across:
            imgui.same_line(0, px(_TILE_GAP))
        name = action.args[0]
        if _tile(pictures, name, action.title, ImVec2(size, size / 1.6)):
            _go(state, partial(state.act, action.name, *action.args))
    w.spacer(10)
    _title("Recent projects")
    if not state.recent:
        w.muted("Projects that you save are listed here.")
    for i, path in enumerate(state.recent[:6]):
        _recent(state, i, path, width)


def _title(text: str) -> None:
    theme.bold()
    w.text(text)
    imgui.pop_font()
    w.spacer(2)


def _go(state: AppState, then: Callable[[], None]) -> None:
    """The page gives way to what was chosen."""
    state.view.welcome_open = False
    then()


def _open_buttons(state: AppState, width: float) -> None:
    """What a person comes with: photos, a mesh, a project."""
    choices = (
        ("open_photos", f"{Icon.photos}   Open photos…", "A folder of photos, or a camera file"),
        ("open_mesh", f"{Icon.mesh}   Open mesh…", "glTF, OBJ, PLY or STL"),
        ("open_project", f"{Icon.folder}   Open project…", "A .studio file"),
    )
    gap = px(8)
    each = (width - 2 * gap) / 3
    imgui.push_style_var(imgui.StyleVar_.frame_padding, ImVec2(px(8), px(8)))
    for i, (name, title, hint) in enumerate(choices):
        if i:
            imgui.same_line(0, gap)
        pressed = (
            w.accent_button(title, name, each, 0, True)
            if i == 0
            else imgui.button(f"{title}###{name}", ImVec2(each, 0))
        )
        w.tooltip(actions.tip(hint, name))
        if pressed:
            state.act(name)
    imgui.pop_style_var()
    w.muted("Or drop them into the window.")


def _recoveries(state: AppState) -> None:
    """Work that was put off."""
    for i, recovery in enumerate(list(state.recoveries)):
        imgui.push_id(f"recovery{i}")
        imgui.align_text_to_frame_padding()
        w.text(Icon.warn, roles().warn)
        imgui.same_line()
        w.text(f"{recovery.summary.name}, unsaved")
        imgui.same_line()
        w.muted(questions.ago(recovery.summary.saved))
        imgui.same_line()
        if imgui.button("Recover###recover"):
            _go(state, partial(state.act, "recover", recovery))
        imgui.same_line()
        if imgui.button("Discard###discard"):
            state.act("discard", recovery)
        imgui.pop_id()
    if state.recoveries:
        w.spacer(8)


def _tile(pictures: Pictures, name: str, title: str, size: ImVec2) -> bool:
    """A picture with its title below; True if pressed."""
    start = imgui.get_cursor_screen_pos()
    height = size.y + imgui.get_font_size() + px(8)
    pressed = imgui.invisible_button(f"scene_{name}", ImVec2(size.x, height))
    hovered = imgui.is_item_hovered()
    imgui.set_cursor_screen_pos(start)
    questions.picture(pictures, f"scene {name}", _scene_picture(name), size)
    draw = imgui.get_window_draw_list()
    if hovered:
        draw.add_rect(start, ImVec2(start.x + size.x, start.y + size.y), u32(roles().accent), px(4), px(2))
    shown = w.elide(title, size.x)
    draw.add_text(
        ImVec2(start.x, start.y + size.y + px(5)), u32(roles().text if hovered else roles().muted), shown
    )
    imgui.set_cursor_screen_pos(start)
    imgui.dummy(ImVec2(size.x, height))  # the line's height, for what stands beside it
    return bool(pressed)


_pictures: dict[str, bytes | None] = {}


def _scene_picture(name: str) -> bytes | None:
    """The picture of a built-in scene, read once."""
    if name not in _pictures:
        try:
            _pictures[name] = (SCENES / "pictures" / f"{name}.jpg").read_bytes()
        except OSError:
            _pictures[name] = None
    return _pictures[name]


def _recent(state: AppState, i: int, path: Path, width: float) -> None:
    """A project: its name, and where it is."""
    start = imgui.get_cursor_screen_pos()
    if imgui.selectable(f"##recent{i}", False, 0, ImVec2(width, px(_ROW)))[0]:
        _go(state, lambda: state.act("open_project", path))
    draw = imgui.get_window_draw_list()
    y = start.y + (px(_ROW) - imgui.get_font_size()) / 2
    draw.add_text(ImVec2(start.x + px(6), y), u32(roles().muted), Icon.file)
    name = w.elide(path.stem, width * 0.5)
    draw.add_text(ImVec2(start.x + px(28), y), u32(roles().text), name)
    after = px(28) + imgui.calc_text_size(name).x + px(14)
    folder = str(path.parent).replace(str(Path.home()), "~", 1)
    draw.add_text(ImVec2(start.x + after, y), u32(roles().muted, 0.8), w.elide(folder, width - after - px(8)))
