"""Every action: title, icon, shortcut, when it is possible. Menus, keys, palette and tooltips read this."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from imgui_bundle import imgui

from studio.core.scene.light import KINDS
from studio.ui.state import AppState
from studio.ui.theme import Icon

_K = imgui.Key
CTRL, SHIFT = imgui.Key.mod_ctrl, imgui.Key.mod_shift


def always(state: AppState) -> bool:
    return True


def _ready(state: AppState) -> bool:
    return state.ready


def _can_revert(state: AppState) -> bool:
    return state.document.path is not None and state.history.changed


def _can_start(state: AppState) -> bool:
    return state.ready and state.photos is not None


def _has_mesh(state: AppState) -> bool:
    return state.ready and state.has_mesh


def _has_scene(state: AppState) -> bool:
    return state.ready and (state.has_mesh or any(it is not None for it in state.visible_radiance()))


def _has_volume(state: AppState) -> bool:
    return state.ready and state.scene.volume is not None


def _has_radiance(state: AppState) -> bool:
    return state.ready and (state.scene.volume is not None or state.scene.points is not None)


def _has_photos(state: AppState) -> bool:
    return state.photos is not None


def _can_report(state: AppState) -> bool:
    return _has_mesh(state) and state.photos is not None


def _can_compare(state: AppState) -> bool:
    return state.right is not None


def _has_other(state: AppState) -> bool:
    return state.document.other is not None


def _under_way(state: AppState) -> bool:
    return state.run.active


def _has_run(state: AppState) -> bool:
    return state.run.status.phase not in ("idle", "preparing")


def _has_timeline(state: AppState) -> bool:
    return len(state.run.timeline) > 1


@dataclass(frozen=True)
class Action:
    """One thing a person can do.

    Attributes:
        keys: chords that trigger it; the first is shown.
        shown: how the first chord is written in menus.
        args: passed to the handler.
        checked: for toggles, whether it is on.
        repeat: holding the key repeats it.
        under: the submenu it stands in, "" for none.
        divided: a line separates it from what stands above.
        label: what the menu shows instead of the title, where that changes with the document.
    """

    name: str
    title: str
    icon: str = ""
    shown: str = ""
    keys: tuple[int, ...] = ()
    args: tuple[Any, ...] = ()
    possible: Callable[[AppState], bool] = always
    checked: Callable[[AppState], bool] | None = None
    repeat: bool = False
    under: str = ""
    divided: bool = False
    label: Callable[[AppState], str] | None = None


def _mode(value: str) -> Callable[[AppState], bool]:
    return lambda state: state.view.mode == value


def _tool(name: str) -> Callable[[AppState], bool]:
    return lambda state: state.view.tool == name


def _error(name: str) -> Callable[[AppState], bool]:
    return lambda state: state.view.mode == "difference" and state.view.error == name


def _flag(name: str) -> Callable[[AppState], bool]:
    return lambda state: bool(getattr(state.view, name))


def _kind_shown(kind: str) -> Callable[[AppState], bool]:
    return lambda state: bool(state.document.looks[kind]["shown"])


def _there(kind: str) -> Callable[[AppState], bool]:
    return lambda state: state.ready and getattr(state.scene, kind) is not None


def _light(state: AppState) -> bool:
    return bool(state.preferences["theme"] == "light")


def _key(key: imgui.Key, *mods: imgui.Key) -> int:
    chord = int(key)
    for mod in mods:
        chord |= int(mod)
    return chord


def _history_label(title: str, which: str) -> Callable[[AppState], str]:
    def label(state: AppState) -> str:
        what = getattr(state.history, which)
        return f"{title}: {what}" if what else title

    return label


_BUILT_IN = (
    *(("demo", "Rubber duck"), ("cornell", "Cornell box"), ("teaset", "Tea set")),
    *(("bust", "Bust"), ("balls", "Material balls")),
)
"""Built-in scenes and what they are called."""


def _light_icon(kind: str) -> str:
    return Icon.sun if kind == "directional" else Icon.bulb


FILE = (
    Action("new", "New", Icon.file, "Ctrl+N", (_key(_K.n, CTRL),), possible=_ready),
    Action("open_project", "Open…", Icon.folder, "Ctrl+O", (_key(_K.o, CTRL),), possible=_ready),
    Action("save", "Save", Icon.save, "Ctrl+S", (_key(_K.s, CTRL),), possible=_ready, divided=True),
    Action("save_as", "Save as…", "", "Ctrl+Shift+S", (_key(_K.s, CTRL, SHIFT),), possible=_ready),
    Action("revert", "Revert", Icon.reset, possible=_can_revert),
    Action("open_mesh", "Open mesh…", Icon.mesh, possible=_ready, divided=True),
    Action(
        "open_photos",
        "Open photos…",
        Icon.photos,
        "Ctrl+Shift+O",
        (_key(_K.o, CTRL, SHIFT),),
        possible=_ready,
    ),
    Action("open_radiance", "Open volume or points…", Icon.volume, possible=_ready),
    Action("open_environment", "Open environment…", Icon.sky, possible=_ready),
    *(
        Action("open_scene", title, args=(name,), possible=_ready, under="Built-in scenes")
        for name, title in _BUILT_IN
    ),
    Action(
        "export", "Export mesh…", Icon.export, "Ctrl+E", (_key(_K.e, CTRL),), possible=_has_mesh, divided=True
    ),
    Action("save_radiance", "Save volume or points…", Icon.volume, possible=_has_radiance),
    Action("copy_command", "Copy export as command", Icon.terminal, args=("export",), possible=_has_mesh),
    Action("save_turntable", "Save turntable…", Icon.camera, possible=_has_mesh),
    Action("save_film", "Save film of the run…", Icon.camera, possible=_has_timeline),
    Action("save_report", "Report…", Icon.chart, possible=_can_report),
    Action("screenshot", "Screenshot", Icon.camera, "F12", (_key(_K.f12),), possible=_ready, divided=True),
    Action(
        "dialog",
        "Screenshot…",
        "",
        "Shift+F12",
        (_key(_K.f12, SHIFT),),
        ("picture",),
        possible=_ready,
    ),
    Action("quit", "Quit", Icon.quit, "Ctrl+Q", (_key(_K.q, CTRL),), divided=True),
)
EDIT = (
    Action(
        "undo",
        "Undo",
        Icon.undo,
        "Ctrl+Z",
        (_key(_K.z, CTRL),),
        possible=lambda state: bool(state.history.undo_label),
        repeat=True,
        label=_history_label("Undo", "undo_label"),
    ),
    Action(
        "redo",
        "Redo",
        Icon.redo,
        "Shift+Ctrl+Z",
        (_key(_K.z, CTRL, SHIFT), _key(_K.y, CTRL)),
        possible=lambda state: bool(state.history.redo_label),
        repeat=True,
        label=_history_label("Redo", "redo_label"),
    ),
    Action("copy_command", "Copy picture as command", Icon.terminal, args=("render",), possible=_has_mesh),
    Action("preferences", "Preferences…", Icon.sliders, "Ctrl+,", (_key(_K.comma, CTRL),), divided=True),
)
_SIDES = (
    *(("Front", "1", _K.keypad1), ("Right", "3", _K.keypad3), ("Top", "7", _K.keypad7)),
    *(("Back", "Ctrl+1", _key(_K.keypad1, CTRL)), ("Left", "Ctrl+3", _key(_K.keypad3, CTRL))),
    ("Bottom", "Ctrl+7", _key(_K.keypad7, CTRL)),
)
_TURNS = (
    *(("Turn left", "4", _K.keypad4, (-15.0, 0.0)), ("Turn right", "6", _K.keypad6, (15.0, 0.0))),
    *(("Turn up", "8", _K.keypad8, (0.0, 15.0)), ("Turn down", "2", _K.keypad2, (0.0, -15.0))),
    ("Opposite side", "9", _K.keypad9, (180.0, 0.0)),
)


def _numpad(shown: str) -> str:
    """How a key of the number pad is written: Num 1, Ctrl+Num 1."""
    before, _, digit = shown.rpartition("+")
    return f"{before}+Num {digit}" if before else f"Num {digit}"


VIEWPOINTS = (
    *(
        Action("look", side, "", _numpad(shown), (int(key),), (side.lower(),), under="Viewpoint")
        for side, shown, key in _SIDES
    ),
    *(
        Action(
            "turn_view",
            title,
            "",
            _numpad(shown),
            (int(key),),
            by,
            repeat=by != (180.0, 0.0),
            under="Viewpoint",
        )
        for title, shown, key, by in _TURNS
    ),
)
PROJECTION = (
    Action(
        "toggle",
        "Orthographic",
        "",
        "Num 5",
        (_key(_K.keypad5),),
        ("orthographic",),
        checked=_flag("orthographic"),
    ),
)
VIEW = (
    Action("frame", "Frame object", Icon.frame, "F", (_key(_K.f),)),
    Action("reset_view", "Reset view", Icon.home, "R", (_key(_K.r),)),
    *VIEWPOINTS,
    *PROJECTION,
    Action("toggle", "Turntable", Icon.rotate, args=("turning",), checked=_flag("turning")),
    Action(
        "look_photo", "Through the photo", Icon.camera, "Num 0", (_key(_K.keypad0),), possible=_has_photos
    ),
)
VIEW_TOGGLES = (
    Action("toggle", "Ground grid", Icon.grid, args=("grid",), checked=_flag("grid"), divided=True),
    Action("toggle", "Photo cameras", Icon.camera, args=("cameras",), checked=_flag("cameras")),
    Action("toggle", "Axes", Icon.sliders, args=("gizmo",), checked=_flag("gizmo")),
    Action("toggle", "Lights", Icon.bulb, args=("lights",), checked=_flag("lights")),
    Action("toggle", "Wireframe", Icon.wire, "Z", (_key(_K.z),), ("wireframe",), checked=_flag("wireframe")),
    Action("toggle", "Normals", Icon.normals, "N", (_key(_K.n),), ("normals",), checked=_flag("normals")),
    Action("toggle", "Clipping", Icon.clipping, "C", (_key(_K.c),), ("clipping",), checked=_flag("clipping")),
    Action(
        "toggle", "Inspector", Icon.inspect, "I", (_key(_K.i),), ("inspector",), checked=_flag("inspector")
    ),
    Action(
        "pin", "Keep the pixel", Icon.pin, "P", (_key(_K.p),), checked=lambda s: s.view.pinned is not None
    ),
    Action(
        "toggle", "Histogram", Icon.histogram, "H", (_key(_K.h),), ("histogram",), checked=_flag("histogram")
    ),
    Action("exposure", "Exposure…", Icon.sun, "E", (_key(_K.e),)),
    Action(
        "toggle",
        "Picture only",
        Icon.photo,
        "Tab",
        (_key(_K.tab),),
        args=("picture_only",),
        checked=_flag("picture_only"),
    ),
    Action("toggle_theme", "Light theme", Icon.bulb, checked=_light),
)
SCENE = (
    Action("tool", "Select", Icon.pointer, "V", (_key(_K.v),), ("select",), checked=_tool("select")),
    Action("tool", "Move", Icon.move, "M", (_key(_K.m),), ("move",), _has_mesh, _tool("move")),
    Action(
        "tool", "Turn", Icon.rotate, "Shift+R", (_key(_K.r, SHIFT),), ("rotate",), _has_mesh, _tool("rotate")
    ),
    Action(
        "tool", "Scale", Icon.scale, "Shift+S", (_key(_K.s, SHIFT),), ("scale",), _has_mesh, _tool("scale")
    ),
    Action(
        "tool",
        "Correct the mask",
        Icon.brush,
        "Shift+B",
        (_key(_K.b, SHIFT),),
        ("mask",),
        _has_photos,
        _tool("mask"),
    ),
    *(
        Action("add_light", f"Add {kind} light", _light_icon(kind), args=(kind,), divided=not i)
        for i, kind in enumerate(KINDS)
    ),
    *(
        Action("show_kind", f"Show {kind}", icon, args=(kind,), checked=_kind_shown(kind), divided=not i)
        for i, (kind, icon) in enumerate(
            (("meshes", Icon.mesh), ("volume", Icon.volume), ("points", Icon.points))
        )
    ),
    Action("make_mesh", "Make mesh of the volume", Icon.mesh, possible=_has_volume, divided=True),
    Action("voxelize", "Voxelize the mesh", Icon.volume, possible=_has_mesh),
    *(
        Action("remove_radiance", f"Remove {kind}", Icon.close, args=(kind,), possible=_there(kind))
        for kind in ("volume", "points")
    ),
)
OPTIMIZE = (
    Action("toggle_run", "Start or pause", Icon.play, "Space", (_key(_K.space),), possible=_can_start),
    Action("step", "Single step", Icon.step, ".", (_key(_K.period),), possible=_can_start, repeat=True),
    Action("stop", "Stop", Icon.stop, possible=_under_way),
    Action("reset", "Reset", Icon.reset, possible=_has_run),
    *(
        Action("step_snapshot", title, "", shown, (_key(key),), (by,), _has_timeline, repeat=True)
        for title, shown, key, by in (
            ("Earlier snapshot", "Left", _K.left_arrow, -1),
            ("Later snapshot", "Right", _K.right_arrow, 1),
        )
    ),
    Action("derive", "Derive the view", Icon.chart, possible=_has_mesh),
    Action("save_checkpoint", "Save checkpoint…", Icon.export, possible=_has_run),
    Action("resume", "Resume from checkpoint…", Icon.folder, possible=_can_start),
    Action(
        "copy_command",
        "Copy fit as command",
        Icon.terminal,
        args=("fit",),
        possible=_has_photos,
        divided=True,
    ),
)
COMPARE = (
    Action("mode", "Left alone", "", args=("render",), checked=_mode("render")),
    Action("mode", "Right alone", "", "T", (_key(_K.t),), ("target",), _can_compare, _mode("target")),
    Action("mode", "Wipe", "", "W", (_key(_K.w),), ("wipe",), _can_compare, _mode("wipe")),
    Action("mode", "Split", "", "S", (_key(_K.s),), ("split",), _can_compare, _mode("split")),
    Action("mode", "Side by side", "", "Y", (_key(_K.y),), ("side",), _can_compare, _mode("side")),
    Action("mode", "Difference", "", "O", (_key(_K.o),), ("difference",), _can_compare, _mode("difference")),
    Action("mode", "Flicker", "", args=("flicker",), possible=_can_compare, checked=_mode("flicker")),
)
MEASURES = tuple(
    Action("error", f"Error: {title}", "", args=(name,), possible=_can_compare, checked=_error(name))
    for name, title in (
        *(("absolute", "absolute"), ("squared", "squared"), ("relative", "relative")),
        *(("flip", "FLIP, as perceived"), ("ssim", "structure, 1 − SSIM")),
    )
)
KEPT = (
    Action("keep", "Keep as A", Icon.copy, "K", (_key(_K.k),), ("a",), _has_scene),
    Action("keep", "Keep as B", Icon.copy, "Shift+K", (_key(_K.k, SHIFT),), ("b",), _has_scene),
    Action("restore", "Go back to A", Icon.undo, args=("a",), possible=lambda state: "a" in state.kept),
    Action("restore", "Go back to B", Icon.undo, args=("b",), possible=lambda state: "b" in state.kept),
)
REFERENCE = (
    Action("path_trace", "Path-trace this view", Icon.eye, possible=_has_mesh),
    Action(
        "drop_reference",
        "Remove the path-traced view",
        Icon.close,
        possible=lambda s: s.reference is not None,
    ),
)
SETS = (
    Action("toggle_other", "Effects A or B", Icon.effects, "B", (_key(_K.b),), possible=_ready),
    Action("swap_sets", "Swap sets A and B", Icon.swap, possible=_has_other),
    Action("drop_other", "Remove set B", Icon.close, possible=_has_other),
)
PHOTOS = (
    Action(
        "toggle",
        "Photo over render",
        Icon.compare,
        "G",
        (_key(_K.g),),
        ("truth",),
        _has_photos,
        _flag("truth"),
    ),
    Action(
        "step_photo", "Previous photo", "", "[", (_key(_K.left_bracket),), (-1,), _has_photos, repeat=True
    ),
    Action("step_photo", "Next photo", "", "]", (_key(_K.right_bracket),), (1,), _has_photos, repeat=True),
    Action(
        "leave_photo",
        "Leave photo",
        "",
        "Esc",
        (_key(_K.escape),),
        possible=lambda state: state.view.photo is not None,
    ),
)
COPY_COMPARE = (
    Action(
        "copy_command", "Copy comparison as command", Icon.terminal, args=("compare",), possible=_can_compare
    ),
)


def _divided(*parts: tuple[Action, ...]) -> tuple[Action, ...]:
    """The parts in one menu, with lines between them."""
    first, *rest = parts
    return first + tuple(replace(a, divided=not i) for part in rest for i, a in enumerate(part))


HELP = (
    Action("toggle", "Welcome", Icon.home, args=("welcome_open",)),
    Action("toggle", "Shortcuts", Icon.keyboard, "?", (_key(_K.slash, SHIFT), _key(_K.f1)), ("help_open",)),
    Action("palette", "Commands…", Icon.sliders, "Ctrl+K", (_key(_K.k, CTRL),)),
    Action("about", "About", Icon.info, divided=True),
)

Groups = tuple[tuple[str, tuple[Action, ...]], ...]

GROUPS: Groups = (
    ("File", FILE),
    ("Edit", EDIT),
    ("View", VIEW + VIEW_TOGGLES),
    ("Scene", SCENE),
    ("Optimize", OPTIMIZE),
    ("Compare", _divided(COMPARE, MEASURES, KEPT, SETS, REFERENCE, PHOTOS, COPY_COMPARE)),
    ("Window", ()),
    ("Help", HELP),
)
"""The menus; `catalog.groups` adds what depends on the document."""


def find(name: str, *args: Any) -> Action:
    """The action of the table with this name and these arguments; without arguments, the first."""
    for _, items in GROUPS:
        for action in items:
            if action.name == name and (not args or action.args == args):
                return action
    raise KeyError(name)


def tip(text: str, name: str, *args: Any) -> str:
    """A tooltip that ends with the action's key, if it has one."""
    shown = find(name, *args).shown
    return f"{text}  ({shown})" if shown else text


def trigger_shortcuts(state: AppState) -> None:
    """Post the actions whose keys were pressed this frame."""
    if imgui.is_mouse_down(1):  # flying: W, E and others move the camera
        return
    if state.question is not None or imgui.is_popup_open("Recovery"):  # that has to be answered first
        return
    any_popup = imgui.PopupFlags_.any_popup_id | imgui.PopupFlags_.any_popup_level
    if imgui.is_popup_open("", any_popup) and imgui.is_key_pressed(imgui.Key.escape, False):
        imgui.internal.close_popups_except_modals()  # and nothing else, such as leaving the photo
        return
    for _, actions in GROUPS:
        for action in actions:
            flags = imgui.InputFlags_.route_global
            if action.repeat:
                flags |= imgui.InputFlags_.repeat
            pressed = [imgui.shortcut(chord, flags) for chord in action.keys]
            if any(pressed) and action.possible(state):
                state.act(action.name, *action.args)
