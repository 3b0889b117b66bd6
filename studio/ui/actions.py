"""Every action: title, icon, shortcut, when it is possible. Menus, keys, palette and tooltips read this."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from imgui_bundle import imgui

from studio.core.scene.light import KINDS
from studio.ui import when
from studio.ui.action import CTRL, SHIFT, Action, key_of
from studio.ui.actions_fit import (
    COMPARE,
    COPY_COMPARE,
    KEPT,
    MEASURES,
    OPTIMIZE,
    PHOTOS,
    REFERENCE,
    SETS,
)
from studio.ui.state import AppState
from studio.ui.theme import Icon

_K = imgui.Key


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
    Action("new", "New", Icon.file, "Ctrl+N", (key_of(_K.n, CTRL),), possible=when.ready),
    Action("open_project", "Open…", Icon.folder, "Ctrl+O", (key_of(_K.o, CTRL),), possible=when.ready),
    Action("save", "Save", Icon.save, "Ctrl+S", (key_of(_K.s, CTRL),), possible=when.ready, divided=True),
    Action("save_as", "Save as…", "", "Ctrl+Shift+S", (key_of(_K.s, CTRL, SHIFT),), possible=when.ready),
    Action("revert", "Revert", Icon.reset, possible=when.can_revert),
    Action("open_mesh", "Open mesh…", Icon.mesh, possible=when.ready, divided=True),
    Action(
        "open_photos",
        "Open photos…",
        Icon.photos,
        "Ctrl+Shift+O",
        (key_of(_K.o, CTRL, SHIFT),),
        possible=when.ready,
    ),
    Action("open_radiance", "Open volume or points…", Icon.volume, possible=when.ready),
    Action("open_environment", "Open environment…", Icon.sky, possible=when.ready),
    *(
        Action("open_scene", title, args=(name,), possible=when.ready, under="Built-in scenes")
        for name, title in _BUILT_IN
    ),
    Action(
        "export",
        "Export mesh…",
        Icon.export,
        "Ctrl+E",
        (key_of(_K.e, CTRL),),
        possible=when.has_mesh,
        divided=True,
    ),
    Action("save_radiance", "Save volume or points…", Icon.volume, possible=when.has_radiance),
    Action("copy_command", "Copy export as command", Icon.terminal, args=("export",), possible=when.has_mesh),
    Action("save_turntable", "Save turntable…", Icon.camera, possible=when.has_scene),
    Action("save_film", "Save film of the run…", Icon.camera, possible=when.has_timeline),
    Action("save_report", "Report…", Icon.chart, possible=when.can_report),
    Action(
        "screenshot", "Screenshot", Icon.camera, "F12", (key_of(_K.f12),), possible=when.ready, divided=True
    ),
    Action(
        "dialog",
        "Screenshot…",
        "",
        "Shift+F12",
        (key_of(_K.f12, SHIFT),),
        ("picture",),
        possible=when.ready,
    ),
    Action("quit", "Quit", Icon.quit, "Ctrl+Q", (key_of(_K.q, CTRL),), divided=True),
)
EDIT = (
    Action(
        "undo",
        "Undo",
        Icon.undo,
        "Ctrl+Z",
        (key_of(_K.z, CTRL),),
        possible=lambda state: bool(state.history.undo_label),
        repeat=True,
        label=_history_label("Undo", "undo_label"),
    ),
    Action(
        "redo",
        "Redo",
        Icon.redo,
        "Shift+Ctrl+Z",
        (key_of(_K.z, CTRL, SHIFT), key_of(_K.y, CTRL)),
        possible=lambda state: bool(state.history.redo_label),
        repeat=True,
        label=_history_label("Redo", "redo_label"),
    ),
    Action(
        "copy_command", "Copy picture as command", Icon.terminal, args=("render",), possible=when.has_mesh
    ),
    Action("preferences", "Preferences…", Icon.sliders, "Ctrl+,", (key_of(_K.comma, CTRL),), divided=True),
)
_SIDES = (
    *(("Front", "1", _K.keypad1), ("Right", "3", _K.keypad3), ("Top", "7", _K.keypad7)),
    *(("Back", "Ctrl+1", key_of(_K.keypad1, CTRL)), ("Left", "Ctrl+3", key_of(_K.keypad3, CTRL))),
    ("Bottom", "Ctrl+7", key_of(_K.keypad7, CTRL)),
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
        (key_of(_K.keypad5),),
        ("orthographic",),
        checked=when.flag("orthographic"),
    ),
)
VIEW = (
    Action("frame", "Frame object", Icon.frame, "F", (key_of(_K.f),)),
    Action("reset_view", "Reset view", Icon.home, "R", (key_of(_K.r),)),
    *VIEWPOINTS,
    *PROJECTION,
    Action("toggle", "Turntable", Icon.rotate, args=("turning",), checked=when.flag("turning")),
    Action(
        "look_photo",
        "Through the photo",
        Icon.camera,
        "Num 0",
        (key_of(_K.keypad0),),
        possible=when.has_photos,
    ),
)
VIEW_TOGGLES = (
    Action("toggle", "Ground grid", Icon.grid, args=("grid",), checked=when.flag("grid"), divided=True),
    Action("toggle", "Photo cameras", Icon.camera, args=("cameras",), checked=when.flag("cameras")),
    Action("toggle", "Axes", Icon.sliders, args=("gizmo",), checked=when.flag("gizmo")),
    Action("toggle", "Lights", Icon.bulb, args=("lights",), checked=when.flag("lights")),
    Action(
        "toggle", "Wireframe", Icon.wire, "Z", (key_of(_K.z),), ("wireframe",), checked=when.flag("wireframe")
    ),
    Action(
        "toggle", "Normals", Icon.normals, "N", (key_of(_K.n),), ("normals",), checked=when.flag("normals")
    ),
    Action(
        "toggle",
        "Clipping",
        Icon.clipping,
        "C",
        (key_of(_K.c),),
        ("clipping",),
        checked=when.flag("clipping"),
    ),
    Action(
        "toggle",
        "Inspector",
        Icon.inspect,
        "I",
        (key_of(_K.i),),
        ("inspector",),
        checked=when.flag("inspector"),
    ),
    Action(
        "pin", "Keep the pixel", Icon.pin, "P", (key_of(_K.p),), checked=lambda s: s.view.pinned is not None
    ),
    Action(
        "toggle",
        "Histogram",
        Icon.histogram,
        "H",
        (key_of(_K.h),),
        ("histogram",),
        checked=when.flag("histogram"),
    ),
    Action("exposure", "Exposure…", Icon.sun, "E", (key_of(_K.e),)),
    Action(
        "toggle",
        "Picture only",
        Icon.photo,
        "Tab",
        (key_of(_K.tab),),
        args=("picture_only",),
        checked=when.flag("picture_only"),
    ),
    Action("toggle_theme", "Light theme", Icon.bulb, checked=when.is_light),
)
SCENE = (
    Action(
        "tool", "Select", Icon.pointer, "V", (key_of(_K.v),), ("select",), checked=when.has_tool("select")
    ),
    Action("tool", "Move", Icon.move, "M", (key_of(_K.m),), ("move",), when.has_mesh, when.has_tool("move")),
    Action(
        "tool",
        "Turn",
        Icon.rotate,
        "Shift+R",
        (key_of(_K.r, SHIFT),),
        ("rotate",),
        when.has_mesh,
        when.has_tool("rotate"),
    ),
    Action(
        "tool",
        "Scale",
        Icon.scale,
        "Shift+S",
        (key_of(_K.s, SHIFT),),
        ("scale",),
        when.has_mesh,
        when.has_tool("scale"),
    ),
    Action(
        "tool",
        "Correct the mask",
        Icon.brush,
        "Shift+B",
        (key_of(_K.b, SHIFT),),
        ("mask",),
        when.has_photos,
        when.has_tool("mask"),
    ),
    *(
        Action("tip_meshes", f"Tip {way}", args=(way,), possible=when.can_tip, under="Tip the meshes")
        for i, way in enumerate(("back", "forward", "left", "right"))
    ),
    *(
        Action("add_light", f"Add {kind} light", _light_icon(kind), args=(kind,), divided=not i)
        for i, kind in enumerate(KINDS)
    ),
    *(
        Action("show_kind", f"Show {kind}", icon, args=(kind,), checked=when.shows_kind(kind), divided=not i)
        for i, (kind, icon) in enumerate(
            (("meshes", Icon.mesh), ("volume", Icon.volume), ("points", Icon.points))
        )
    ),
    Action("make_mesh", "Make mesh of the volume", Icon.mesh, possible=when.has_volume, divided=True),
    Action("voxelize", "Voxelize the mesh", Icon.volume, possible=when.has_mesh),
    *(
        Action("remove_radiance", f"Remove {kind}", Icon.close, args=(kind,), possible=when.there(kind))
        for kind in ("volume", "points")
    ),
)


def _divided(*parts: tuple[Action, ...]) -> tuple[Action, ...]:
    """The parts in one menu, with lines between them."""
    first, *rest = parts
    return first + tuple(replace(a, divided=not i) for part in rest for i, a in enumerate(part))


HELP = (
    Action("toggle", "Welcome", Icon.home, args=("welcome_open",)),
    Action(
        "toggle", "Shortcuts", Icon.keyboard, "?", (key_of(_K.slash, SHIFT), key_of(_K.f1)), ("help_open",)
    ),
    Action("palette", "Commands…", Icon.sliders, "Ctrl+K", (key_of(_K.k, CTRL),)),
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
